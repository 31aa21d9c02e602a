//! What the server and its models say of themselves.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};

use super::encode::output_specs;
use crate::error::ApiError;
use crate::handle::{Edge, Named, lookup};
use crate::model::{State as VersionState, TensorSpec, Version, library_build};
use crate::upstream::forward;

/// `GET /v2`.
pub async fn server() -> Json<Value> {
    Json(json!({
        "name": "driftline",
        "version": env!("CARGO_PKG_VERSION"),
        "extensions": [
            "binary_tensor_data",
            "model_configuration",
            "model_repository",
            "model_repository(unload_dependents)",
            "parameters",
            "schedule_policy",
            "statistics",
        ],
    }))
}

/// `GET /v2/health/live`.
pub async fn live() -> Json<Value> {
    Json(json!({ "live": true }))
}

/// `GET /v2/health/ready`. The protocol says 4xx for "no".
pub async fn ready(State(edge): State<Arc<Edge>>) -> Response {
    let ready = edge.catalog.ready();
    (yes_or_no(ready), Json(json!({ "ready": ready }))).into_response()
}

/// `GET /v2/models/{model}[/versions/{version}]/ready`.
pub async fn model_ready(State(edge): State<Arc<Edge>>, named: Named) -> Result<Response, ApiError> {
    let ready = match lookup(&edge.catalog, &named) {
        Ok(version) if version.upstream().is_some() => return passed_on(&version, &named, "/ready").await,
        Ok(version) => version.state() == VersionState::Ready,
        Err(crate::model::LookupError::NotReady { .. }) => false,
        Err(unknown) => return Err(unknown.into()),
    };
    Ok((yes_or_no(ready), Json(json!({ "name": named.model, "ready": ready }))).into_response())
}

const fn yes_or_no(ready: bool) -> StatusCode {
    if ready { StatusCode::OK } else { StatusCode::BAD_REQUEST }
}

/// An input or an output as the protocol writes it.
#[derive(Debug, Serialize)]
pub(crate) struct Spec {
    name: String,
    datatype: &'static str,
    shape: Vec<i64>,
}

impl From<TensorSpec> for Spec {
    fn from(spec: TensorSpec) -> Self {
        Self { name: spec.name, datatype: spec.datatype, shape: spec.shape }
    }
}

/// `GET /v2/models/{model}[/versions/{version}]`.
pub async fn model(State(edge): State<Arc<Edge>>, named: Named) -> Result<Response, ApiError> {
    let version = lookup(&edge.catalog, &named)?;
    if version.upstream().is_some() {
        return passed_on(&version, &named, "").await;
    }
    let (inputs, outputs) = specs(&version);
    Ok(Json(json!({
        "name": version.name(),
        "versions": edge.catalog.versions(version.name())?,
        "platform": "onnxruntime_onnx",
        "inputs": inputs,
        "outputs": outputs,
        "parameters": parameters(&version),
    }))
    .into_response())
}

/// What a version takes, and what it gives.
pub(crate) fn specs(version: &Version) -> (Vec<Spec>, Vec<Spec>) {
    let metadata = version.metadata();
    let spec = |specs: Vec<TensorSpec>| specs.into_iter().map(Spec::from).collect();
    (spec(metadata.inputs.clone()), spec(output_specs(&metadata)))
}

/// How a version runs, and why so.
pub(crate) fn parameters(version: &Version) -> Value {
    let metadata = version.metadata();
    json!({
        "version": version.version(),
        "role": version.role().as_str(),
        "state": version.state().as_str(),
        "since_ms": version.since_ms(),
        "breaker": version.breaker().as_str(),
        "model_bytes": metadata.bytes,
        "memory_bytes": metadata.memory_bytes,
        "onnxruntime": library_build(),
        "task": metadata.task.as_str(),
        "labels": *metadata.labels,
        "max_tokens": metadata.max_tokens,
        "provider": metadata.provider,
        "provider_options": metadata.provider_options,
        "precision": metadata.precision,
        "instances": metadata.instances,
        "sessions_why": metadata.sessions_why,
        "batching": {
            "together": metadata.batches,
            "why": metadata.batches_why,
            "difference": metadata.batch_difference,
            "variant": metadata.batch_variant,
            "cost": version.cost().map(|cells| {
                let line = |(rows, length, seconds)| json!({ "rows": rows, "length": length, "ms": seconds * 1e3 });
                cells.into_iter().map(line).collect::<Vec<_>>()
            }),
        },
        "intra_threads": metadata.intra_threads,
        "load_seconds": metadata.load_seconds,
        "checks_passed": metadata.checks_passed,
        "files": metadata.files,
    })
}

/// A question about a model that another server answers best.
pub(super) async fn passed_on(version: &Version, named: &Named, tail: &str) -> Result<Response, ApiError> {
    let Some(upstream) = version.upstream() else { return Err(ApiError::no_path(tail)) };
    let asked = named.version.as_deref().filter(|_| upstream.floats());
    forward::get(upstream, asked, tail).await
}
