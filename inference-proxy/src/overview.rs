//! `GET /v1/models`: everything that is served, in one answer; what the page draws.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::Value;

use crate::handle::Edge;
use crate::model::{BreakerState, IndexEntry, State as VersionState};
use crate::oip::info;

/// All models.
#[derive(Debug, Serialize)]
pub struct Overview {
    models: Vec<Model>,
}

#[derive(Debug, Serialize)]
struct Model {
    name: String,
    versions: Vec<One>,
}

#[derive(Debug, Serialize)]
struct One {
    version: String,
    role: &'static str,
    state: String,
    since_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    breaker: Option<&'static str>,
    /// What a version says of itself that is in memory.
    #[serde(flatten)]
    says: Option<Says>,
}

#[derive(Debug, Serialize)]
struct Says {
    takes_text: bool,
    /// The server that runs it, where that is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream: Option<String>,
    inputs: Vec<info::Spec>,
    outputs: Vec<info::Spec>,
    parameters: Value,
}

/// The handler.
pub async fn models(State(edge): State<Arc<Edge>>) -> Json<Overview> {
    let mut models: Vec<Model> = Vec::new();
    for entry in edge.catalog.states() {
        let name = entry.model.clone();
        let one = one(&edge, entry);
        match models.last_mut().filter(|model| model.name == name) {
            Some(model) => model.versions.push(one),
            None => models.push(Model { name, versions: vec![one] }),
        }
    }
    Json(Overview { models })
}

fn one(edge: &Edge, entry: IndexEntry) -> One {
    let says = edge.catalog.version(&entry.model, &entry.version).ok().map(|version| {
        let (inputs, outputs) = info::specs(&version);
        Says {
            takes_text: version.metadata().takes_text,
            upstream: version.upstream().map(|upstream| upstream.origin().to_owned()),
            inputs,
            outputs,
            parameters: info::parameters(&version),
        }
    });
    One {
        state: entry.state.as_str().to_owned(),
        reason: match entry.state {
            VersionState::Failed { why } => Some(why),
            _ => None,
        },
        version: entry.version,
        role: entry.role.as_str(),
        since_ms: entry.since_ms,
        breaker: entry.breaker.map(BreakerState::as_str),
        says,
    }
}
