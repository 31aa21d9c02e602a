//! The operator's door: who does what among a model's versions.
//!
//! | path | body | |
//! |---|---|---|
//! | `GET /v1/models/{model}/roles` | | who does what |
//! | `POST /v1/models/{model}/versions/{version}/role` | `{"role": "canary", "percent": 5}` | gives a version a role, and loads it first |
//! | `POST /v1/models/{model}/promote` | `{"version": "3"}` or nothing | the version, or the canary, answers everybody |
//! | `POST /v1/models/{model}/rollback` | `{"from": "3"}` or nothing | ends the canary; without one, the previous primary is back |
//! | `POST /v1/models/{model}/verdict` | `{"version": "3", "verdict": "reject"}` | follows the analyzer, if `follow_verdicts` or `promote_shadows` is set |
//!
//! Each answers with who does what afterwards and one sentence on what was done. `reason` in any body goes into the
//! journal. Roles given here last until the next start, when the configuration's hold again.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use contract::api::shadow::ToldVerdict;
use host::config::Faults;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::ApiError;
use crate::handle::{self, Edge, Named};
use crate::model::{Assignment, Changed, RawCanary};
use crate::oip::repository::{self, QUESTION_BYTES_MAX};

/// Everything that changes what is served, here and in the repository extension: one router, so that one layer can
/// guard all of it.
pub fn router() -> Router<Arc<Edge>> {
    Router::new()
        .route("/v1/models/{model}/roles", get(roles))
        .route("/v1/models/{model}/versions/{version}/role", post(assign))
        .route("/v1/models/{model}/promote", post(promote))
        .route("/v1/models/{model}/rollback", post(rollback))
        .route("/v1/models/{model}/verdict", post(verdict))
        .route("/v2/repository/models/{model}/load", post(repository::load))
        .route("/v2/repository/models/{model}/unload", post(repository::unload))
}

/// A role for a version.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RoleRequest {
    role: RoleName,
    /// Share of a canary or a shadow, 0 to 100.
    percent: Option<f64>,
    /// `name: value` of a header that leads to the canary.
    header: Option<String>,
    /// Name of the header with the key that is drawn.
    key_header: Option<String>,
    reason: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RoleName {
    Primary,
    Canary,
    Shadow,
    Fallback,
    Spare,
}

/// What a promotion may say.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct StepRequest {
    version: Option<String>,
    reason: Option<String>,
}

/// What a rollback may say.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RollbackRequest {
    /// The version that must go.
    from: Option<String>,
    /// Where it leads is not to be chosen, and who tries is told so.
    version: Option<String>,
    reason: Option<String>,
}

async fn roles(State(edge): State<Arc<Edge>>, named: Named) -> Result<Json<Changed>, ApiError> {
    Ok(Json(edge.catalog.roles(&named.model, "nothing".to_owned())?))
}

async fn assign(State(edge): State<Arc<Edge>>, named: Named, request: Request) -> Result<Json<Changed>, ApiError> {
    let body = handle::body(request, QUESTION_BYTES_MAX).await?;
    let asked: RoleRequest = crate::oip::json(&body)?;
    let version = named.version.unwrap_or_default();
    let why = because(asked.reason.as_deref());
    let assignment = meant(asked, &version)?;
    done(&edge, edge.catalog.assign(&named.model, &version, assignment, &why).await)
}

async fn promote(State(edge): State<Arc<Edge>>, named: Named, request: Request) -> Result<Json<Changed>, ApiError> {
    let StepRequest { version, reason } = optional(request).await?;
    let promoted = edge.catalog.promote(&named.model, version.as_deref(), &because(reason.as_deref())).await;
    done(&edge, promoted)
}

async fn rollback(State(edge): State<Arc<Edge>>, named: Named, request: Request) -> Result<Json<Changed>, ApiError> {
    let RollbackRequest { from, version, reason } = optional(request).await?;
    if version.is_some() {
        let sentence = "a rollback goes to the version before (`from` names the one that must go); to go to another one, \
                        promote it";
        return Err(ApiError::invalid("rollback_version", sentence));
    }
    done(&edge, edge.catalog.rollback(&named.model, from.as_deref(), &because(reason.as_deref())).await)
}

async fn verdict(State(edge): State<Arc<Edge>>, named: Named, request: Request) -> Result<Json<Changed>, ApiError> {
    let body = handle::body(request, QUESTION_BYTES_MAX).await?;
    let told: ToldVerdict = crate::oip::json(&body)?;
    done(&edge, edge.catalog.follow(&named.model, &told).await)
}

async fn optional<T: DeserializeOwned + Default>(request: Request) -> Result<T, ApiError> {
    repository::optional(&handle::body(request, QUESTION_BYTES_MAX).await?)
}

fn because(reason: Option<&str>) -> String {
    reason.map_or_else(|| "on request".to_owned(), |reason| format!("on request: {reason}"))
}

/// What was asked for, with everything that is wrong with it in one sentence.
fn meant(asked: RoleRequest, version: &str) -> Result<Assignment, ApiError> {
    let RoleRequest { role, percent, header, key_header, .. } = asked;
    let mut faults = Faults::default();
    let shared = matches!(role, RoleName::Canary | RoleName::Shadow);
    faults.check(shared || percent.is_none(), "percent", "is for canaries and shadows");
    let canary = matches!(role, RoleName::Canary);
    faults.check(canary || header.is_none() && key_header.is_none(), "header", "is for canaries");
    let assignment = match role {
        RoleName::Primary => Assignment::Primary,
        RoleName::Canary => {
            faults.check(percent.is_some() || header.is_some(), "percent", "say how much the canary gets, or a header");
            let raw =
                RawCanary { version: version.to_owned(), percent: percent.unwrap_or_default(), header, key_header };
            Assignment::Canary(raw.check("canary", &mut faults))
        }
        RoleName::Shadow => {
            let percent = percent.unwrap_or(100.0);
            faults.check((0.0..=100.0).contains(&percent), "percent", "must be from 0 to 100");
            Assignment::Shadow { percent }
        }
        RoleName::Fallback => Assignment::Fallback,
        RoleName::Spare => Assignment::Spare,
    };
    let one_line = |faults: Faults| ApiError::invalid("bad_role", faults.to_string().trim_end().replace('\n', "; "));
    faults.result(assignment).map_err(one_line)
}

fn done(edge: &Edge, changed: Result<Changed, crate::model::LoadError>) -> Result<Json<Changed>, ApiError> {
    let changed = changed?;
    edge.expect();
    Ok(Json(changed))
}

#[cfg(test)]
mod tests;
