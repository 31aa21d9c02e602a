//! `GET /openapi.json`: what the proxy answers to, as OpenAPI 3.1.
//!
//! Hand-kept: a table of operations here, the shapes of bodies in `schemas.rs`. Its tests hold it to the program: every
//! route of the routers is in the table and every row of the table is routed, the key that a row asks for is what
//! [`crate::stack::need`] says, and real answers have the shapes that are promised.

mod schemas;

use std::sync::OnceLock;

use axum::http::{Method, header};
use axum::response::{IntoResponse, Response};
use host::gate::Need;
use serde_json::{Map, Value, json};

use crate::stack::need;

/// One operation.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// The path, names of its parameters in braces.
    pub path: &'static str,
    /// What programs call it.
    pub id: &'static str,
    /// Where it stands in the list.
    pub tag: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// The shape of its body, where it takes one.
    pub body: Option<Body>,
    /// What it answers if all is well.
    pub answer: Answer,
}

/// A body that is taken.
#[derive(Clone, Copy, Debug)]
pub struct Body {
    /// Name of its schema.
    pub schema: &'static str,
    /// Whether it may be left out.
    pub optional: bool,
}

/// What is answered.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    /// JSON of this schema.
    Json(&'static str),
    /// Anything else, of this media type.
    Other(&'static str),
}

const fn get(
    path: &'static str,
    id: &'static str,
    tag: &'static str,
    summary: &'static str,
    answer: Answer,
) -> Operation {
    Operation { method: "GET", path, id, tag, summary, body: None, answer }
}

const fn post(
    path: &'static str,
    id: &'static str,
    tag: &'static str,
    summary: &'static str,
    body: Body,
    answer: Answer,
) -> Operation {
    Operation { method: "POST", path, id, tag, summary, body: Some(body), answer }
}

const fn must(schema: &'static str) -> Body {
    Body { schema, optional: false }
}

const fn may(schema: &'static str) -> Body {
    Body { schema, optional: true }
}

const ASK: &str = "Ask a model";
const MODELS: &str = "Models";
const VERSIONS: &str = "Versions";
const SERVER: &str = "Server";

use Answer::{Json, Other};

/// Everything that is routed.
#[rustfmt::skip]
pub const OPERATIONS: &[Operation] = &[
    post("/v1/models/{model}/predict", "predict", ASK, "Texts in; labels, entities or vectors out.", must("PredictRequest"), Json("Predictions")),
    post("/v2/models/{model}/infer", "infer", ASK, "Tensors in, tensors out (Open Inference Protocol).", must("InferRequest"), Json("InferResponse")),
    post("/v2/models/{model}/versions/{version}/infer", "inferVersion", ASK, "The same of one version.", must("InferRequest"), Json("InferResponse")),

    get("/v1/models", "overview", MODELS, "All models, who does what among their versions, and how each runs.", Json("Overview")),
    get("/v2/models/{model}", "modelMetadata", MODELS, "What a model takes and gives.", Json("ModelMetadata")),
    get("/v2/models/{model}/versions/{version}", "versionMetadata", MODELS, "The same of one version.", Json("ModelMetadata")),
    get("/v2/models/{model}/ready", "modelReady", MODELS, "Whether a model serves; 400 where it does not.", Json("ModelReady")),
    get("/v2/models/{model}/versions/{version}/ready", "versionReady", MODELS, "The same of one version.", Json("ModelReady")),
    get("/v2/models/{model}/config", "modelConfig", MODELS, "How a model is served, in the words of Triton's ModelConfig.", Json("ModelConfig")),
    get("/v2/models/{model}/versions/{version}/config", "versionConfig", MODELS, "The same of one version.", Json("ModelConfig")),
    get("/v2/models/stats", "allStatistics", MODELS, "What every version in memory has done.", Json("Statistics")),
    get("/v2/models/{model}/stats", "modelStatistics", MODELS, "What a model's versions have done.", Json("Statistics")),
    get("/v2/models/{model}/versions/{version}/stats", "versionStatistics", MODELS, "The same of one version.", Json("Statistics")),

    get("/v1/models/{model}/roles", "roles", VERSIONS, "Who does what among a model's versions.", Json("Roles")),
    post("/v1/models/{model}/versions/{version}/role", "assignRole", VERSIONS, "Gives a version a role, and loads it first.", must("RoleRequest"), Json("Roles")),
    post("/v1/models/{model}/promote", "promote", VERSIONS, "The version, or the canary, answers everybody.", may("StepRequest"), Json("Roles")),
    post("/v1/models/{model}/rollback", "rollback", VERSIONS, "Ends the canary; without one, the previous primary is back.", may("RollbackRequest"), Json("Roles")),
    post("/v1/models/{model}/verdict", "verdict", VERSIONS, "Follows the analyzer's verdict, where the configuration says so.", must("VerdictRequest"), Json("Roles")),
    post("/v2/repository/index", "repositoryIndex", VERSIONS, "Every version of every model with its state.", may("IndexRequest"), Json("RepositoryIndex")),
    post("/v2/repository/models/{model}/load", "loadModel", VERSIONS, "Loads a version, or loads it anew.", may("LoadRequest"), Json("Nothing")),
    post("/v2/repository/models/{model}/unload", "unloadModel", VERSIONS, "Drains a model's versions and frees their memory.", may("LoadRequest"), Json("Nothing")),

    get("/", "page", SERVER, "The page: what is served, and a form to try it.", Other("text/html")),
    get("/page/{file}", "pageFile", SERVER, "What the page is made of.", Other("*/*")),
    get("/openapi.json", "openapi", SERVER, "This document.", Json("Object")),
    get("/v2", "serverMetadata", SERVER, "Name, version and extensions.", Json("ServerMetadata")),
    get("/v2/health/live", "serverLive", SERVER, "Whether the process answers.", Json("Live")),
    get("/v2/health/ready", "serverReady", SERVER, "Whether every model has a version that serves; 400 where not.", Json("Ready")),
    get("/health/live", "live", SERVER, "The same for load balancers, as text.", Other("text/plain")),
    get("/health/ready", "ready", SERVER, "Whether traffic is wanted; 503 where not.", Other("text/plain")),
    get("/metrics", "metrics", SERVER, "Metrics in Prometheus' text format.", Other("text/plain")),
];

/// `GET /openapi.json`.
pub async fn serve() -> Response {
    static TEXT: OnceLock<String> = OnceLock::new();
    let text = TEXT.get_or_init(|| document().to_string());
    ([(header::CONTENT_TYPE, "application/json")], text.as_str()).into_response()
}

/// The document.
#[must_use]
pub fn document() -> Value {
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let item = paths.entry(operation.path).or_insert_with(|| json!({}));
        item[operation.method.to_ascii_lowercase()] = describe(operation);
    }
    let tag = |name: &str, description: &str| json!({ "name": name, "description": description });
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Driftline inference proxy",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Serves ONNX models, or fronts another Open Inference server, and observes every request. \
                Errors are {\"error\": \"<one sentence>\"}.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "tags": [
            tag(ASK, "Every request ends as one observation; its id is in the header `driftline-id`."),
            tag(MODELS, "What is served, how, and what it did."),
            tag(VERSIONS, "What comes, goes and changes its role."),
            tag(SERVER, "The process."),
        ],
        "paths": paths,
        "components": {
            "schemas": schemas::all(),
            "securitySchemes": {
                "key": { "type": "http", "scheme": "bearer", "description": "An API key or a JSON Web Token." },
                "password": { "type": "http", "scheme": "basic", "description": "The same as the password, under any name." },
            },
            "responses": {
                "Error": {
                    "description": "What was wrong, in one sentence.",
                    "content": { "application/json": { "schema": reference("Error") } },
                },
            },
        },
    })
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn describe(operation: &Operation) -> Value {
    let (media, schema) = match operation.answer {
        Json(schema) => ("application/json", reference(schema)),
        Other(media) => (media, json!({ "type": "string" })),
    };
    let mut content = Map::from_iter([(media.to_owned(), json!({ "schema": schema }))]);
    // tensors as raw bytes behind the JSON
    let raw = operation.id.starts_with("infer");
    let bytes = json!({ "schema": { "type": "string", "contentMediaType": "application/octet-stream" } });
    if raw {
        content.insert("application/octet-stream".to_owned(), bytes.clone());
    }
    let mut described = json!({
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "parameters": parameters(operation.path),
        "responses": {
            "200": { "description": "Done.", "content": content },
            "default": { "$ref": "#/components/responses/Error" },
        },
    });
    if let Some(Body { schema, optional }) = operation.body {
        let mut content = Map::from_iter([("application/json".to_owned(), json!({ "schema": reference(schema) }))]);
        if raw {
            content.insert("application/octet-stream".to_owned(), bytes);
        }
        described["requestBody"] = json!({ "required": !optional, "content": content });
    }
    secure(&mut described, operation);
    described
}

/// Who may, where keys are asked for; a key is asked for nowhere unless the configuration has some.
fn secure(described: &mut Value, operation: &Operation) {
    let method = if operation.method == "GET" { Method::GET } else { Method::POST };
    let scope = match need(&method, operation.path) {
        Need::Nothing => return described["security"] = json!([]),
        Need::Metrics => "read",
        Need::Scope(scope) => scope.as_str(),
    };
    // a server without keys asks nobody
    described["security"] = json!([{}, { "key": [] }, { "password": [] }]);
    described["description"] = Value::String(format!("Needs the scope `{scope}` where keys are on."));
}

fn parameters(path: &str) -> Vec<Value> {
    let names = path.split('{').skip(1).filter_map(|rest| rest.split('}').next());
    let parameter = |name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } });
    names.map(parameter).collect()
}

#[cfg(test)]
pub(crate) mod tests;
