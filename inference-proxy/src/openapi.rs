//! `GET /openapi.json`: what the proxy answers to, as OpenAPI 3.1.
//!
//! Hand-kept: a table of operations here, the shapes of bodies in `schemas.rs`. Its tests hold it to the program: every
//! route of the routers is in the table and every row of the table is routed, the key that a row asks for is what
//! [`crate::stack::need`] says, and real answers have the shapes that are promised.

mod schemas;

use std::sync::OnceLock;

use host::openapi::Answer::{Json, Other};
use host::openapi::{Document, Operation, get, post};

use crate::stack::need;

const ASK: &str = "Ask a model";
const MODELS: &str = "Models";
const VERSIONS: &str = "Versions";
const SERVER: &str = "Server";

/// Everything that is routed.
#[rustfmt::skip]
pub const OPERATIONS: &[Operation] = &[
    post("/v1/models/{model}/predict", "predict", ASK, "Texts in; labels, entities or vectors out.", Json("Predictions")).takes("PredictRequest"),
    post("/v2/models/{model}/infer", "infer", ASK, "Tensors in, tensors out (Open Inference Protocol).", Json("InferResponse")).takes("InferRequest").with_bytes(),
    post("/v2/models/{model}/versions/{version}/infer", "inferVersion", ASK, "The same of one version.", Json("InferResponse")).takes("InferRequest").with_bytes(),

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
    post("/v1/models/{model}/versions/{version}/role", "assignRole", VERSIONS, "Gives a version a role, and loads it first.", Json("Roles")).takes("RoleRequest"),
    post("/v1/models/{model}/promote", "promote", VERSIONS, "The version, or the canary, answers everybody.", Json("Roles")).may_take("StepRequest"),
    post("/v1/models/{model}/rollback", "rollback", VERSIONS, "Ends the canary; without one, the previous primary is back.", Json("Roles")).may_take("RollbackRequest"),
    post("/v1/models/{model}/verdict", "verdict", VERSIONS, "Follows the analyzer's verdict, where the configuration says so.", Json("Roles")).takes("VerdictRequest"),
    post("/v2/repository/index", "repositoryIndex", VERSIONS, "Every version of every model with its state.", Json("RepositoryIndex")).may_take("IndexRequest"),
    post("/v2/repository/models/{model}/load", "loadModel", VERSIONS, "Loads a version, or loads it anew.", Json("Nothing")).may_take("LoadRequest"),
    post("/v2/repository/models/{model}/unload", "unloadModel", VERSIONS, "Drains a model's versions and frees their memory.", Json("Nothing")).may_take("LoadRequest"),

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

/// The document.
pub static DOCUMENT: Document = Document {
    title: "Driftline inference proxy",
    description: "Serves ONNX models, or fronts another Open Inference server, and observes every request. \
        Errors are {\"error\": \"<one sentence>\"}.",
    tags: &[
        (ASK, "Every request ends as one observation; its id is in the header `driftline-id`."),
        (MODELS, "What is served, how, and what it did."),
        (VERSIONS, "What comes, goes and changes its role."),
        (SERVER, "The process."),
    ],
    operations: OPERATIONS,
    kind: |_| "string",
    shapes: schemas::all,
    need,
    text: OnceLock::new(),
};

#[cfg(test)]
mod tests;
