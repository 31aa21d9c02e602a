//! The model configuration extension: how a version is served, said in the words of Triton's `ModelConfig`
//! (triton-inference-server/common, `protobuf/model_config.proto`). Only what holds here is said.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::encode::output_specs;
use super::info::passed_on;
use crate::error::ApiError;
use crate::handle::{Edge, Named, lookup};
use crate::model::{Local, TensorSpec};

/// `GET /v2/models/{model}[/versions/{version}]/config`.
pub async fn config(State(edge): State<Arc<Edge>>, named: Named) -> Result<Response, ApiError> {
    let version = lookup(&edge.catalog, &named)?;
    match version.local() {
        Some(local) => Ok(Json(of(local)).into_response()),
        None => passed_on(&version, &named, "/config").await,
    }
}

fn of(version: &Local) -> Value {
    let metadata = version.metadata();
    let (inputs, outputs) = (&metadata.inputs, output_specs(metadata));
    // Triton leaves the axis of the items out of the shapes where it batches; a shape of that axis alone it cannot say.
    let most = if inputs.iter().all(|spec| spec.shape.len() > 1) { version.max_batch_items() } else { 0 };
    let specs = |specs: &[TensorSpec]| specs.iter().map(|spec| tensor(spec, most > 0)).collect::<Vec<_>>();
    let kind = if metadata.provider.starts_with("CPU") { "KIND_CPU" } else { "KIND_GPU" };
    let mut config = json!({
        "name": version.name(),
        "platform": "onnxruntime_onnx",
        "backend": "onnxruntime",
        "runtime": "",
        "version_policy": { "specific": { "versions": number(version).into_iter().collect::<Vec<_>>() } },
        "max_batch_size": most,
        "input": specs(inputs),
        "output": specs(&outputs),
        "instance_group": [{ "name": version.name(), "kind": kind, "count": metadata.instances }],
        "default_model_filename": "model.onnx",
        "parameters": parameters(version),
    });
    if most > 0 {
        let delay = u64::try_from(version.max_batch_delay().as_micros()).unwrap_or(u64::MAX);
        config["dynamic_batching"] = json!({ "preferred_batch_size": [], "max_queue_delay_microseconds": delay });
    }
    config
}

fn number(version: &Local) -> Option<i64> {
    version.version().parse().ok()
}

/// A shape of nothing but the items is `[1]` to Triton.
fn tensor(spec: &TensorSpec, batched: bool) -> Value {
    let dims = if batched { spec.shape.get(1..).unwrap_or_default() } else { &spec.shape[..] };
    let datatype = match spec.datatype {
        "BYTES" => "STRING",
        other => other,
    };
    let dims = if dims.is_empty() { vec![1] } else { dims.to_vec() };
    json!({ "name": spec.name, "data_type": format!("TYPE_{datatype}"), "dims": dims })
}

fn parameters(version: &Local) -> Map<String, Value> {
    let metadata = version.metadata();
    let said = [
        ("version", version.version().to_owned()),
        ("role", version.role().as_str().to_owned()),
        ("task", metadata.task.as_str().to_owned()),
        ("provider", metadata.provider.to_owned()),
        ("intra_threads", metadata.intra_threads.to_string()),
    ];
    said.into_iter().map(|(key, value)| (key.to_owned(), json!({ "string_value": value }))).collect()
}
