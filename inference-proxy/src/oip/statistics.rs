//! The statistics extension: what each version has done since it was loaded, in the shape that Triton's clients read.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::info::passed_on;
use crate::error::ApiError;
use crate::handle::{Edge, Named, lookup};
use crate::model::{RunParts, Span, Version};

/// `GET /v2/models/stats`: all versions in memory; another server counts its own.
pub async fn all(State(edge): State<Arc<Edge>>) -> Json<Value> {
    let models = edge.catalog.models();
    answer(models.iter().flat_map(|model| loaded(&edge, model)))
}

/// `GET /v2/models/{model}[/versions/{version}]/stats`; without a version, all of the model's that are in memory.
pub async fn model(State(edge): State<Arc<Edge>>, named: Named) -> Result<Response, ApiError> {
    if named.version.is_none() {
        let loaded = loaded(&edge, &named.model);
        if !loaded.is_empty() {
            return Ok(answer(loaded).into_response());
        }
    }
    // also what says whether the name is unknown or not ready
    let version = lookup(&edge.catalog, &named)?;
    if version.upstream().is_some() {
        return passed_on(&version, &named, "/stats").await;
    }
    Ok(answer([version]).into_response())
}

fn loaded(edge: &Edge, model: &str) -> Vec<Arc<Version>> {
    let versions = edge.catalog.versions(model).unwrap_or_default();
    let found = versions.iter().filter_map(|version| edge.catalog.version(model, version).ok());
    found.filter(|version| version.upstream().is_none()).collect()
}

fn answer(versions: impl IntoIterator<Item = Arc<Version>>) -> Json<Value> {
    let stats: Vec<Value> = versions.into_iter().map(|version| one(&version)).collect();
    Json(json!({ "model_stats": stats }))
}

fn one(version: &Version) -> Value {
    let counts = version.statistics();
    let batches: Vec<Value> = counts
        .batches
        .iter()
        .map(|(items, RunParts { input, infer, output })| {
            json!({
                "batch_size": items,
                "compute_input": span(*input),
                "compute_infer": span(*infer),
                "compute_output": span(*output),
            })
        })
        .collect();
    json!({
        "name": version.name(),
        "version": version.version(),
        "last_inference": counts.last_inference_ms,
        "inference_count": counts.inferences,
        "execution_count": counts.executions,
        "inference_stats": {
            "success": span(counts.success),
            "fail": span(counts.fail),
            "queue": span(counts.queue),
            "compute_input": span(counts.compute.input),
            "compute_infer": span(counts.compute.infer),
            "compute_output": span(counts.compute.output),
            "cache_hit": span(counts.cache_hit),
            "cache_miss": span(counts.cache_miss),
        },
        "batch_stats": batches,
    })
}

fn span(span: Span) -> Value {
    json!({ "count": span.count, "ns": span.ns })
}
