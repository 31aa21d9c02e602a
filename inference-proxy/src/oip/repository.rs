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
    /// Not of the protocol: primary, canary, shadow, fallback or spare.
    role: &'static str,
    /// Not of the protocol: when the state began, milliseconds since the Unix epoch.
    since_ms: i64,
    /// Not of the protocol: state of the breaker, while the version is in memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    breaker: Option<&'static str>,
}

/// What may be asked of a load or an unload.
#[derive(Default, Deserialize)]
struct Change {
    #[serde(default)]
    parameters: Map<String, Value>,
}

/// Largest body of what is asked or told about models, which is read without a place among the open requests.
pub(crate) const QUESTION_BYTES_MAX: usize = 64 << 10;

/// `POST /v2/repository/index`.
pub async fn index(State(edge): State<Arc<Edge>>, request: Request) -> Result<Json<Vec<Line>>, ApiError> {
    let IndexRequest { ready } = optional(&handle::body(request, QUESTION_BYTES_MAX).await?)?;
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
        since_ms: entry.since_ms,
        breaker: entry.breaker.map(crate::model::BreakerState::as_str),
    };
    Ok(Json(wanted.map(line).collect()))
}

/// `POST /v2/repository/models/{model}/load`; `parameters.version` or `parameters.config` names one version.
pub async fn load(State(edge): State<Arc<Edge>>, named: Named, request: Request) -> Result<Json<Value>, ApiError> {
    let Change { parameters } = optional(&handle::body(request, edge.max_body_bytes).await?)?;
    let version = version_to_load(&named.model, parameters)?;
    edge.catalog.load(&named.model, version.as_deref()).await?;
    edge.expect();
    tracing::info!(model = named.model, version, "a model was loaded on request");
    Ok(Json(Value::Object(Map::new())))
}

/// `POST /v2/repository/models/{model}/unload`; `parameters.version` names one version.
pub async fn unload(State(edge): State<Arc<Edge>>, named: Named, request: Request) -> Result<Json<Value>, ApiError> {
    let Change { parameters } = optional(&handle::body(request, edge.max_body_bytes).await?)?;
    let version = version_to_unload(parameters)?;
    edge.catalog.unload(&named.model, version.as_deref()).await?;
    tracing::info!(model = named.model, version, "a model was unloaded on request");
    Ok(Json(Value::Object(Map::new())))
}

/// The version that a load's parameters name. What they ask for and does not happen would be a surprise in production,
/// so it is refused.
///
/// # Errors
/// 400 with one sentence.
pub fn version_to_load(model: &str, mut parameters: Map<String, Value>) -> Result<Option<String>, ApiError> {
    let version = version(parameters.remove("version"))?;
    let config = parameters.remove("config").map(|config| version_in(model, &config)).transpose()?.flatten();
    if let Some(file) = parameters.keys().find(|key| key.starts_with("file:")) {
        let sentence = format!(
            "`parameters` brings the file '{file}', and files are not taken in a load; put the version's folder beside \
             the others and load it"
        );
        return Err(ApiError::invalid("files_in_load", sentence));
    }
    nothing_else(&parameters)?;
    match (version, config) {
        (Some(one), Some(other)) if one != other => {
            let sentence = format!("`parameters.version` is '{one}' and `parameters.config` says '{other}'");
            Err(ApiError::invalid("bad_version", sentence))
        }
        (one, other) => Ok(one.or(other)),
    }
}

/// The version that an unload's parameters name. No model depends on another, so there are no dependents to unload.
///
/// # Errors
/// 400 with one sentence.
pub fn version_to_unload(mut parameters: Map<String, Value>) -> Result<Option<String>, ApiError> {
    let version = version(parameters.remove("version"))?;
    parameters.remove("unload_dependents");
    nothing_else(&parameters)?;
    Ok(version)
}

fn nothing_else(parameters: &Map<String, Value>) -> Result<(), ApiError> {
    match parameters.keys().next() {
        None => Ok(()),
        Some(key) => Err(ApiError::invalid("unknown_parameter", format!("there is no parameter '{key}' here"))),
    }
}

fn version(value: Option<Value>) -> Result<Option<String>, ApiError> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(version)) => Ok(Some(version)),
        Some(Value::Number(version)) => Ok(Some(version.to_string())),
        Some(_) => Err(ApiError::invalid("bad_version", "`parameters.version` must be a string")),
    }
}

/// The version that a Triton model configuration chooses, as a client sends it with a load.
fn version_in(model: &str, config: &Value) -> Result<Option<String>, ApiError> {
    let bad = |what: &str| ApiError::invalid("bad_config", format!("`parameters.config` {what}"));
    let text = config.as_str().ok_or_else(|| bad("must be a string that holds JSON"))?;
    let config: Map<String, Value> =
        serde_json::from_str(text).map_err(|error| bad(&format!("is no JSON object: {error}")))?;
    let mut chosen = None;
    for (key, value) in &config {
        match (key.as_str(), value.as_str()) {
            ("name", Some(name)) if name == model => {}
            ("platform", Some("onnxruntime_onnx")) | ("backend", Some("onnxruntime")) => {}
            ("version_policy", _) => chosen = policy(value).map_err(|what| bad(&what))?,
            _ => {
                let what = format!("sets '{key}' to {value}, which a load cannot change; only `version_policy` can be");
                return Err(bad(&what));
            }
        }
    }
    Ok(chosen)
}

/// `{"specific": {"versions": [n]}}` or `{"latest": {"num_versions": 1}}`: one version answers.
fn policy(policy: &Value) -> Result<Option<String>, String> {
    let latest = policy.get("latest").map(|latest| latest.get("num_versions").and_then(Value::as_u64).unwrap_or(1));
    let specific = policy.pointer("/specific/versions").and_then(Value::as_array).map(Vec::as_slice);
    match (latest, specific) {
        (Some(1), None) => Ok(None),
        (None, Some([Value::Number(version)])) => Ok(Some(version.to_string())),
        (None, Some([Value::String(version)])) => Ok(Some(version.clone())),
        _ => Err(format!("has the version policy {policy}; one version answers: name it under specific.versions")),
    }
}

/// A body that may be empty.
///
/// # Errors
/// Where it is neither empty nor the JSON that is expected.
pub fn optional<T: Default + serde::de::DeserializeOwned>(body: &Bytes) -> Result<T, ApiError> {
    if body.trim_ascii().is_empty() { Ok(T::default()) } else { super::json(body) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn load(parameters: &Value) -> Result<Option<String>, String> {
        version_to_load("m", parameters.as_object().unwrap().clone()).map_err(|error| error.sentence().to_owned())
    }

    #[test]
    fn a_load_names_a_version_in_our_words_or_tritons() {
        let config = |config: Value| load(&json!({ "config": config.to_string() }));
        let two = Ok(Some("2".to_owned()));
        assert_eq!(load(&json!({})), Ok(None));
        assert_eq!(load(&json!({"version": "2"})), two);
        assert_eq!(load(&json!({"version": 2})), two);
        assert_eq!(config(json!({"name": "m", "version_policy": {"specific": {"versions": [2]}}})), two);
        assert_eq!(config(json!({"backend": "onnxruntime", "version_policy": {"latest": {}}})), Ok(None));
    }

    #[test]
    fn what_a_load_does_not_do_is_refused() {
        let config = |config: &str| json!({ "config": config });
        let twice = json!({"version": "1", "config": r#"{"version_policy":{"specific":{"versions":[2]}}}"#});
        for (parameters, part) in [
            (json!({"version": []}), "`parameters.version` must be a string"),
            (json!({"file:1/model.onnx": "AA=="}), "brings the file 'file:1/model.onnx'"),
            (json!({"instances": 2}), "there is no parameter 'instances'"),
            (json!({"config": {}}), "must be a string that holds JSON"),
            (config("{"), "is no JSON object"),
            (config(r#"{"name": "other"}"#), "sets 'name' to \"other\""),
            (config(r#"{"max_batch_size": 8}"#), "sets 'max_batch_size' to 8, which a load cannot change"),
            (config(r#"{"version_policy": {"all": {}}}"#), "one version answers"),
            (config(r#"{"version_policy": {"specific": {"versions": [1, 2]}}}"#), "one version answers"),
            (twice, "is '1' and `parameters.config` says '2'"),
        ] {
            let error = load(&parameters).unwrap_err();
            assert!(error.contains(part), "{parameters}: {error}");
        }
    }
}
