//! The JSON API and the page's files. Paths and bodies are those of [`contract::api`].

mod assets;
mod baselines;
pub mod limits;
mod lists;
pub mod openapi;
mod range;
mod segments;
mod shadows;
mod stream;
mod views;

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use contract::{
    api::{FeatureDetail, FeatureVerdict, Overview, Parts, explain::Explanation},
    slo::SloFile,
};
use host::{auth::Scope, gate::Need};
use serde::Deserialize;
use store::read::Reader;
use tokio_util::sync::CancellationToken;
use tower_http::{compression::CompressionLayer, set_header::SetResponseHeaderLayer};

use crate::{
    baseline::BaselineError,
    config::Config,
    cycle::{
        Clock, Shared, Snapshot,
        explain::{self, ExplainError},
    },
};

pub use assets::Asset;

/// Verdicts in one answer unless asked for fewer, and at most.
const VERDICTS_MAX: u64 = 1_000;
/// Earlier verdicts in a feature's detail.
const HISTORY_MAX: u64 = 120;

/// The page may load scripts, styles and data from this server alone, and nobody may frame it.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What the handlers share.
#[derive(Clone)]
pub struct Api {
    /// The last cycle's snapshot.
    pub shared: Shared,
    /// The database.
    pub reader: Reader,
    /// The configuration.
    pub config: Arc<Config>,
    /// The clock.
    pub clock: Clock,
    /// The objectives.
    pub slo: Option<Arc<SloFile>>,
    /// How much may be asked at once.
    pub limits: limits::Limits,
    /// Ends the streams.
    pub closing: CancellationToken,
}

/// An error as the client sees it: a status and one sentence.
#[derive(Debug)]
struct Refusal(StatusCode, String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(serde_json::json!({ "error": self.1 }))).into_response()
    }
}

impl From<store::Error> for Refusal {
    fn from(error: store::Error) -> Self {
        tracing::warn!(%error, "a request could not be answered from the database");
        Self(StatusCode::SERVICE_UNAVAILABLE, "the database did not answer; try again".to_owned())
    }
}

impl From<BaselineError> for Refusal {
    fn from(error: BaselineError) -> Self {
        match error {
            BaselineError::Store(error) => error.into(),
            BaselineError::Unknown { .. } => missing(&error.to_string()),
            BaselineError::Asked(what) => Self(StatusCode::BAD_REQUEST, what),
            BaselineError::Conflict(what) => Self(StatusCode::CONFLICT, what),
            error => Self(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()),
        }
    }
}

impl From<ExplainError> for Refusal {
    fn from(error: ExplainError) -> Self {
        match error {
            ExplainError::NoId(_) => Self(StatusCode::BAD_REQUEST, error.to_string()),
            ExplainError::Unknown(_) => missing(&error.to_string()),
            ExplainError::Unreadable(_) => Self(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()),
            ExplainError::Baseline(error) => error.into(),
        }
    }
}

/// A limit is reached; the sentence says which.
fn busy(what: &str) -> Refusal {
    Refusal(StatusCode::TOO_MANY_REQUESTS, format!("{what}; try again in a moment"))
}

fn missing(what: &str) -> Refusal {
    Refusal(StatusCode::NOT_FOUND, what.to_owned())
}

fn bad_query(error: &QueryRejection) -> Refusal {
    Refusal(StatusCode::BAD_REQUEST, error.body_text())
}

/// Routes of the API, and the page's files under every other path.
pub fn router(api: Api, files: Vec<Asset>) -> Router {
    let fixed = |name: HeaderName, value: &'static str| {
        SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
    };
    Router::new()
        .route("/openapi.json", get(async || openapi::DOCUMENT.serve()))
        .route("/api/v1/overview", get(overview))
        .route("/api/v1/models/{model}/features/{feature}", get(feature))
        .route("/api/v1/glance", get(stream::glance))
        .route("/api/v1/stream", get(stream::stream))
        .route("/api/v1/models/{model}", get(views::model))
        .route("/api/v1/models/{model}/traffic", get(views::traffic))
        .route("/api/v1/models/{model}/segments", get(segments::segments))
        .route("/api/v1/models/{model}/heat", get(views::heat))
        .route("/api/v1/models/{model}/evidence/{feature}", get(views::evidence))
        .route("/api/v1/models/{model}/confidence", get(views::confidence))
        .route("/api/v1/models/{model}/quality", get(views::quality))
        .route("/api/v1/models/{model}/shadows/{shadow}", get(views::shadow))
        .route("/api/v1/models/{model}/shadows/{shadow}/verdict", get(shadows::verdict))
        .route("/api/v1/models/{model}/shadows/{shadow}/gates/{gate}", post(shadows::gate))
        .route("/api/v1/slos/{slo}", get(views::slo))
        .route("/api/v1/samples", get(lists::samples))
        .route("/api/v1/events", get(lists::events))
        .route("/api/v1/verdicts", get(verdicts))
        .route("/api/v1/verdicts/{id}/explain", get(explained))
        .merge(baselines::router())
        .with_state(api)
        .fallback_service(assets::service(files))
        .layer(fixed(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY))
        .layer(fixed(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(fixed(header::X_FRAME_OPTIONS, "DENY"))
        .layer(fixed(header::REFERRER_POLICY, "no-referrer"))
        .layer(fixed(HeaderName::from_static("cross-origin-opener-policy"), "same-origin"))
        .layer(CompressionLayer::new())
}

/// What a request needs: the page and the API are read with GET, and changed by administrators.
pub fn need(method: &Method, path: &str) -> Need {
    let reads = method.is_safe() || (method == Method::POST && is_gate(path));
    let scope = if reads { Scope::Read } else { Scope::Admin };
    Need::of_operations(path).unwrap_or(Need::Scope(scope))
}

/// A shadow's gate: asked with POST, since rollout controllers ask so, and changing nothing.
fn is_gate(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    matches!(parts[..], ["", "api", "v1", "models", _, "shadows", _, "gates", _])
}

fn snapshot(api: &Api) -> Result<Arc<Snapshot>, Refusal> {
    let shared = api.shared.borrow().clone();
    shared.ok_or_else(|| {
        Refusal(StatusCode::SERVICE_UNAVAILABLE, "the first cycle is not done yet; try again".to_owned())
    })
}

async fn overview(State(api): State<Api>) -> Result<Json<Overview>, Refusal> {
    Ok(Json(snapshot(&api)?.overview.clone()))
}

async fn feature(
    State(api): State<Api>,
    Path((model, feature)): Path<(String, String)>,
) -> Result<Json<FeatureDetail>, Refusal> {
    let snapshot = snapshot(&api)?;
    let of_model = snapshot.overview.models.iter().find(|known| known.model == model);
    let verdict = of_model.and_then(|known| known.features.iter().find(|verdict| verdict.feature == feature)).cloned();
    let key = (model.clone(), feature.clone());
    let distribution = snapshot.distributions.get(&key).cloned();
    let (Some(verdict), Some(distribution)) = (verdict, distribution) else {
        return Err(missing(&format!("there is no verdict on {feature} of {model} yet")));
    };
    let _turn = views::turn(&api).await?;
    let mut history = read_verdicts(&api, &model, &feature, HISTORY_MAX).await?;
    history.reverse();
    let of_model = snapshot.segments.get(&model);
    let segments = || of_model.iter().flat_map(|shown| &shown.verdicts).filter(|one| one.feature == feature);
    let parts = of_model.map(|shown| Parts { judged: segments().count() as u64, waiting: shown.waiting.clone() });
    let segments = segments().take(segments::VERDICTS).cloned().collect();
    Ok(Json(FeatureDetail { verdict, distribution, history, segments, parts }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VerdictsQuery {
    #[serde(default)]
    model: String,
    #[serde(default)]
    feature: String,
    limit: Option<u64>,
}

async fn verdicts(
    State(api): State<Api>,
    query: Result<Query<VerdictsQuery>, QueryRejection>,
) -> Result<Json<Vec<FeatureVerdict>>, Refusal> {
    let Query(query) = query.map_err(|error| bad_query(&error))?;
    let limit = query.limit.unwrap_or(VERDICTS_MAX).min(VERDICTS_MAX);
    let _turn = views::turn(&api).await?;
    Ok(Json(read_verdicts(&api, &query.model, &query.feature, limit).await?))
}

async fn explained(State(api): State<Api>, Path(id): Path<String>) -> Result<Json<Explanation>, Refusal> {
    let _turn = views::turn(&api).await?;
    Ok(Json(explain::explain(&api.reader, &id).await?))
}

/// Rows of another version's making that no longer read are left out.
async fn read_verdicts(api: &Api, model: &str, feature: &str, limit: u64) -> Result<Vec<FeatureVerdict>, store::Error> {
    let rows = api.reader.verdicts(model, feature, (api.clock)(), limit).await?;
    Ok(rows.iter().filter_map(|evidence| serde_json::from_str(evidence).ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_controller_with_a_reading_key_may_ask_gates_and_change_nothing() {
        let check = |method: Method, path: &str, scope| assert_eq!(need(&method, path), Need::Scope(scope), "{path}");
        check(Method::POST, "/api/v1/models/m/shadows/2/gates/promote", Scope::Read);
        check(Method::GET, "/api/v1/models/m/shadows/2/verdict", Scope::Read);
        check(Method::POST, "/api/v1/baselines", Scope::Admin);
        check(Method::POST, "/api/v1/models/m/baselines/abcd/promote", Scope::Admin);
        check(Method::GET, "/api/v1/models/m/baselines/abcd", Scope::Read);
        check(Method::DELETE, "/api/v1/models/m/shadows/2/gates/promote", Scope::Admin);
        check(Method::POST, "/api/v1/models/m/shadows/2/gates/promote/more", Scope::Admin);
        check(Method::POST, "/api/v1/baselines?x=/api/v1/models/m/shadows/2/gates/promote", Scope::Admin);
    }
}
