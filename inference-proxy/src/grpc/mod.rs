//! The Open Inference Protocol, version 2, over gRPC: `inference.GRPCInferenceService`, as Triton's and KServe's clients
//! call it, and `grpc.health.v1.Health`.
//!
//! Only the words are different here. An inference is read into the same [`InferRequest`](crate::oip::request), goes
//! through the same layers and the same [`core`], and what is said of the server and its models is read out of what the
//! HTTP routes say ([`about`]). The messages are written by hand ([`message`]), their framing and compression are
//! tonic's ([`codec`]), errors become gRPC's statuses at the outermost ([`status`]).
//!
//! | call | |
//! |---|---|
//! | `ServerLive`, `ServerReady`, `ModelReady`, `grpc.health.v1.Health/Check` and `Watch` | health ([`health`]) |
//! | `ServerMetadata`, `ModelMetadata`, `ModelConfig`, `ModelStatistics` | what is served, how, and what it did |
//! | `ModelInfer` | inference, one observation a call |
//! | `ModelStreamInfer` | the same many times over one call, one observation a message ([`stream`]) |
//! | `ServerReflection` | what of all this there is, for clients without definitions ([`reflection`]) |
//! | `RepositoryIndex`, `RepositoryModelLoad`, `RepositoryModelUnload` | the repository |
//! | shared memory, trace and log settings | `UNIMPLEMENTED` |

pub mod about;
pub mod answer;
pub mod codec;
pub mod descriptor;
pub mod frames;
pub mod health;
pub mod message;
pub mod reflection;
pub mod request;
pub mod status;
pub mod stream;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Json, Router};
use http_body_util::BodyExt;
use prost::Message;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use tower_http::catch_panic::CatchPanicLayer;

use crate::error::ApiError;
use crate::handle::{self, Deadline, Edge, Named};
use crate::observe::{Notes, Route};
use crate::oip::{core, info, repository, settings, statistics};
use crate::stack::inference;
use about::{
    ChangeChoice, ChangeRequest, ConfigResponse, Index, IndexRequest, ModelConfig, ModelMetadata, ModelRequest,
    Nothing, ServerMetadata, Statistics, YesOrNo,
};
pub use health::Health;
use message::{ModelInferRequest, ModelInferResponse};

/// The calls of the service, below this.
pub const SERVICE: &str = "/inference.GRPCInferenceService/";
/// An inference.
pub const MODEL_INFER: &str = "/inference.GRPCInferenceService/ModelInfer";

/// All calls but those that stream ([`stream::router`]).
pub fn router(edge: Arc<Edge>, health: &Health) -> Router {
    let at = |call: &str| format!("{SERVICE}{call}");
    inference(&edge, Route::Grpc, MODEL_INFER, post(infer))
        .route(&at("ServerLive"), post(live))
        .route(&at("ServerReady"), post(ready))
        .route(&at("ModelReady"), post(model_ready))
        .route(&at("ServerMetadata"), post(server_metadata))
        .route(&at("ModelMetadata"), post(model_metadata))
        .route(&at("ModelConfig"), post(model_config))
        .route(&at("ModelStatistics"), post(model_statistics))
        .route(&at("RepositoryIndex"), post(index))
        .route(&at("RepositoryModelLoad"), post(load))
        .route(&at("RepositoryModelUnload"), post(unload))
        .merge(health::router(health))
        .fallback(async |request: Request| ApiError::no_call(request.uri().path()))
        .with_state(edge)
        .layer(CatchPanicLayer::custom(ApiError::panicked))
        .layer(from_fn(status::spoken))
}

async fn infer(
    State(edge): State<Arc<Edge>>,
    Extension(notes): Extension<Notes>,
    Extension(deadline): Extension<Deadline>,
    request: Request,
) -> Result<Response, ApiError> {
    let limit = edge.max_body_bytes;
    codec::unary(request, limit, |message| answered(edge, notes, deadline, message)).await
}

async fn answered(
    edge: Arc<Edge>,
    notes: Notes,
    deadline: Deadline,
    mut message: ModelInferRequest,
) -> Result<ModelInferResponse, ApiError> {
    let named = named(std::mem::take(&mut message.model_name), std::mem::take(&mut message.model_version));
    let version = handle::find(&edge, &notes, &named)?;
    if let Some(asked) = named.version.filter(|asked| version.upstream().is_some() && version.version() != asked) {
        let sentence = format!(
            "the server behind '{}' chooses the version; over gRPC version '{asked}' cannot be named",
            named.model
        );
        return Err(ApiError::invalid("version_not_ours", sentence));
    }
    let raw = !message.raw_input_contents.is_empty();
    let request = handle::off_thread(request::bytes(&message), move || request::read(message)).await?;
    let answer = core::infer(&edge, &notes, version, deadline, request).await?;
    answer::write(answer, raw)
}

/// A name and a version that may be empty.
fn named(model: String, version: String) -> Named {
    Named { model, version: (!version.is_empty()).then_some(version) }
}

impl From<ModelRequest> for Named {
    fn from(ModelRequest { name, version }: ModelRequest) -> Self {
        named(name, version)
    }
}

/// Questions are small, whatever an inference may be.
const MAX_QUESTION_BYTES: usize = 64 << 10;

/// Answers a question.
async fn ask<Q, A, F>(request: Request, handler: impl FnOnce(Q) -> F + Send) -> Result<Response, ApiError>
where
    Q: Message + Default + 'static,
    A: Message + 'static,
    F: Future<Output = Result<A, ApiError>> + Send,
{
    codec::unary(request, MAX_QUESTION_BYTES, handler).await
}

async fn live(request: Request) -> Result<Response, ApiError> {
    ask(request, async |Nothing {}| Ok(YesOrNo { yes: true })).await
}

async fn ready(State(edge): State<Arc<Edge>>, request: Request) -> Result<Response, ApiError> {
    ask(request, async |Nothing {}| Ok(YesOrNo { yes: edge.catalog.ready() })).await
}

/// As Triton: a model that is not there is not ready.
async fn model_ready(State(edge): State<Arc<Edge>>, request: Request) -> Result<Response, ApiError> {
    ask(request, async |asked: ModelRequest| match info::model_ready(State(edge), asked.into()).await {
        Ok(response) => Ok(YesOrNo { yes: response.status().is_success() }),
        Err(error) if error.status() == axum::http::StatusCode::NOT_FOUND => Ok(YesOrNo { yes: false }),
        Err(error) => Err(error),
    })
    .await
}

async fn server_metadata(request: Request) -> Result<Response, ApiError> {
    ask(request, async |Nothing {}| said::<ServerMetadata>(info::server().await.into_response()).await).await
}

async fn model_metadata(State(edge): State<Arc<Edge>>, request: Request) -> Result<Response, ApiError> {
    ask(request, async |asked: ModelRequest| said::<ModelMetadata>(info::model(State(edge), asked.into()).await?).await)
        .await
}

async fn model_config(State(edge): State<Arc<Edge>>, request: Request) -> Result<Response, ApiError> {
    ask(request, async |asked: ModelRequest| {
        let config = said::<ModelConfig>(settings::config(State(edge), asked.into()).await?).await?;
        Ok(ConfigResponse { config: Some(config) })
    })
    .await
}

async fn model_statistics(State(edge): State<Arc<Edge>>, request: Request) -> Result<Response, ApiError> {
    ask(request, async |asked: ModelRequest| {
        let told = if asked.name.is_empty() {
            statistics::all(State(edge)).await.into_response()
        } else {
            statistics::model(State(edge), asked.into()).await?
        };
        said::<Statistics>(told).await
    })
    .await
}

async fn index(State(edge): State<Arc<Edge>>, request: Request) -> Result<Response, ApiError> {
    ask(request, async |asked: IndexRequest| {
        let lines = repository::index(State(edge), in_json(&json!({ "ready": asked.ready }))).await?;
        Ok(Index { models: said(lines.into_response()).await? })
    })
    .await
}

async fn load(State(edge): State<Arc<Edge>>, request: Request) -> Result<Response, ApiError> {
    let limit = edge.max_body_bytes;
    codec::unary(request, limit, async |asked: ChangeRequest| {
        let (named, asked) = change(asked);
        repository::load(State(edge), named, asked).await.map(|Json(_)| Nothing {})
    })
    .await
}

async fn unload(State(edge): State<Arc<Edge>>, request: Request) -> Result<Response, ApiError> {
    ask(request, async |asked: ChangeRequest| {
        let (named, asked) = change(asked);
        repository::unload(State(edge), named, asked).await.map(|Json(_)| Nothing {})
    })
    .await
}

fn change(asked: ChangeRequest) -> (Named, Request) {
    let value = |choice| match choice {
        Some(ChangeChoice::Bool(value)) => value.into(),
        Some(ChangeChoice::Int64(value)) => value.into(),
        Some(ChangeChoice::String(value)) => value.into(),
        // files, which are refused by their names
        Some(ChangeChoice::Bytes(_)) | None => Value::Null,
    };
    let parameters = asked.parameters.into_iter().map(|(key, parameter)| (key, value(parameter.choice)));
    let parameters: Map<String, Value> = parameters.collect();
    (named(asked.model_name, String::new()), in_json(&json!({ "parameters": parameters })))
}

/// A question in the words of the HTTP routes.
fn in_json(body: &Value) -> Request {
    Request::new(Body::from(body.to_string()))
}

/// What an HTTP route said.
async fn said<T: DeserializeOwned>(response: Response) -> Result<T, ApiError> {
    let status = response.status();
    let unread = || ApiError::unread_answer();
    let body = response.into_body().collect().await.map_err(|_| unread())?.to_bytes();
    if status.is_success() {
        return serde_json::from_slice(&body).map_err(|_| unread());
    }
    #[derive(serde::Deserialize)]
    struct Refused {
        error: String,
    }
    let Refused { error } = serde_json::from_slice(&body).map_err(|_| unread())?;
    Err(ApiError::passed_on(status, error))
}
