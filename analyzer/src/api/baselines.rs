//! References over HTTP: what `driftline baseline` does, for programs. The acts need the scope `admin`, which the gate checks and puts into
//! the audit log; what is said of them in the events names the key.

use axum::{
    Extension, Json, Router,
    extract::{Path, State, rejection::JsonRejection},
    http::StatusCode,
    routing::{get, post},
};
use contract::api::{
    BaselineInfo, FreezeBaseline,
    baseline::{BaselineComparison, BaselineRecord, BaselineShown, FreezeRequest},
};
use host::auth::Caller;
use serde::de::DeserializeOwned;

use super::{Api, Refusal, views::turn};
use crate::baseline::{self, desk::Desk};

/// Who asks, where keys are on.
type Asker = Option<Extension<Caller>>;

pub(super) fn router() -> Router<Api> {
    Router::new()
        .route("/api/v1/baselines", get(all).post(freeze_in_force))
        .route("/api/v1/models/{model}/baselines", get(list).post(freeze))
        .route("/api/v1/models/{model}/baselines/{fingerprint}", get(show))
        .route("/api/v1/models/{model}/baselines/{fingerprint}/compare/{other}", get(compare))
        .route("/api/v1/models/{model}/baselines/{fingerprint}/promote", post(promote))
        .route("/api/v1/models/{model}/baselines/{fingerprint}/retire", post(retire))
}

fn who(asker: &Asker) -> &str {
    asker.as_ref().map_or("the API", |Extension(caller)| &*caller.name)
}

fn desk<'a>(api: &'a Api, who: &'a str) -> Desk<'a> {
    Desk { reader: &api.reader, config: &api.config, who, now_ms: (api.clock)() }
}

fn body<T: DeserializeOwned>(request: Result<Json<T>, JsonRejection>) -> Result<T, Refusal> {
    let Json(asked) = request.map_err(|error| Refusal(StatusCode::BAD_REQUEST, error.body_text()))?;
    Ok(asked)
}

async fn all(State(api): State<Api>) -> Result<Json<Vec<BaselineInfo>>, Refusal> {
    let _turn = turn(&api).await?;
    Ok(Json(api.reader.baselines(true).await?.iter().map(baseline::info).collect()))
}

/// Freezes a range and puts it in force at once.
async fn freeze_in_force(
    State(api): State<Api>,
    asker: Asker,
    request: Result<Json<FreezeBaseline>, JsonRejection>,
) -> Result<Json<BaselineInfo>, Refusal> {
    let FreezeBaseline { model, from_ms, to_ms } = body(request)?;
    let asked = FreezeRequest { from_ms: Some(from_ms), to_ms: Some(to_ms), newest: None, promote: true };
    let _turn = turn(&api).await?;
    Ok(Json(desk(&api, who(&asker)).freeze(&model, &asked).await?.info))
}

async fn list(State(api): State<Api>, Path(model): Path<String>) -> Result<Json<Vec<BaselineRecord>>, Refusal> {
    let _turn = turn(&api).await?;
    Ok(Json(desk(&api, "").list(Some(&model)).await?))
}

async fn freeze(
    State(api): State<Api>,
    Path(model): Path<String>,
    asker: Asker,
    request: Result<Json<FreezeRequest>, JsonRejection>,
) -> Result<Json<BaselineRecord>, Refusal> {
    let asked = body(request)?;
    let _turn = turn(&api).await?;
    Ok(Json(desk(&api, who(&asker)).freeze(&model, &asked).await?))
}

async fn show(
    State(api): State<Api>,
    Path((model, fingerprint)): Path<(String, String)>,
) -> Result<Json<BaselineShown>, Refusal> {
    let _turn = turn(&api).await?;
    Ok(Json(desk(&api, "").show(&model, &fingerprint).await?))
}

async fn compare(
    State(api): State<Api>,
    Path((model, first, second)): Path<(String, String, String)>,
) -> Result<Json<BaselineComparison>, Refusal> {
    let _turn = turn(&api).await?;
    Ok(Json(desk(&api, "").compare(&model, &first, &second).await?))
}

async fn promote(
    State(api): State<Api>,
    Path((model, fingerprint)): Path<(String, String)>,
    asker: Asker,
) -> Result<Json<BaselineRecord>, Refusal> {
    let _turn = turn(&api).await?;
    Ok(Json(desk(&api, who(&asker)).promote(&model, &fingerprint).await?))
}

async fn retire(
    State(api): State<Api>,
    Path((model, fingerprint)): Path<(String, String)>,
    asker: Asker,
) -> Result<Json<BaselineRecord>, Refusal> {
    let _turn = turn(&api).await?;
    Ok(Json(desk(&api, who(&asker)).retire(&model, &fingerprint).await?))
}
