//! The model repository extension: what there is, and how it comes and goes.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Request, State};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::ApiError;
use crate::handle::{self, Edge, Named};
use crate::model::State as VersionState;

/// What may be asked of the index.
#[derive(Default, Deserialize)]
struct IndexRequest {
    #[serde(default)]
    ready: bool,
}

/// A line of the index.
#[derive(Serialize)]
pub struct Line {
    name: String,
    version: String,
    state: String,
    reason: String,
    /// Not of the protocol: primary, shadow or spare.
    role: &'static str,
}

/// What may be asked of a load or an unload.
#[derive(Default, Deserialize)]
struct Change {
    #[serde(default)]
    parameters: Map<String, Value>,
}

/// `POST /v2/repository/index`.
pub async fn index(State(edge): State<Arc<Edge>>, request: Request) -> Result<Json<Vec<Line>>, ApiError> {
    let IndexRequest { ready } = optional(&handle::body(request, edge.max_body_bytes).await?)?;
    let entries = edge.catalog.states().into_iter();
    let wanted = entries.filter(|entry| !ready || entry.state == VersionState::Ready);
    let line = |entry: crate::model::IndexEntry| Line {
        state: entry.state.as_str().to_uppercase(),
        reason: match entry.state {
            VersionState::Failed { why } => why,
            _ => String::new(),
        },
        name: entry.model,
        version: entry.version,
        role: entry.role.as_str(),
    };
    Ok(Json(wanted.map(line).collect()))
}

/// `POST /v2/repository/models/{model}/load`; `parameters.version` names one version.
pub async fn load(State(edge): State<Arc<Edge>>, named: Named, request: Request) -> Result<Json<Value>, ApiError> {
    let version = version_of(&edge, request).await?;
    edge.catalog.load(&named.model, version.as_deref()).await?;
    edge.observer.expect(&edge.catalog);
    tracing::info!(model = named.model, version, "a model was loaded on request");
    Ok(Json(Value::Object(Map::new())))
}

/// `POST /v2/repository/models/{model}/unload`; `parameters.version` names one version.
pub async fn unload(State(edge): State<Arc<Edge>>, named: Named, request: Request) -> Result<Json<Value>, ApiError> {
    let version = version_of(&edge, request).await?;
    edge.catalog.unload(&named.model, version.as_deref()).await?;
    tracing::info!(model = named.model, version, "a model was unloaded on request");
    Ok(Json(Value::Object(Map::new())))
}

async fn version_of(edge: &Edge, request: Request) -> Result<Option<String>, ApiError> {
    let Change { mut parameters } = optional(&handle::body(request, edge.max_body_bytes).await?)?;
    match parameters.remove("version") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(version)) => Ok(Some(version)),
        Some(Value::Number(version)) => Ok(Some(version.to_string())),
        Some(_) => Err(ApiError::invalid("bad_version", "`parameters.version` must be a string")),
    }
}

/// A body that may be empty.
fn optional<T: Default + serde::de::DeserializeOwned>(body: &Bytes) -> Result<T, ApiError> {
    if body.trim_ascii().is_empty() { Ok(T::default()) } else { super::json(body) }
}
