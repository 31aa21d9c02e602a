//! The Open Inference Protocol, version 2, over HTTP with JSON tensors.
//!
//! | path | |
//! |---|---|
//! | `GET /v2`, `/v2/health/live`, `/v2/health/ready` | the server ([`info`]) |
//! | `GET /v2/models/{model}[/versions/{version}]`, and `/ready` below it | a model ([`info`]) |
//! | `POST /v2/models/{model}[/versions/{version}]/infer` | inference (here) |
//! | `POST /v2/repository/index`, `/v2/repository/models/{model}/load` and `/unload` | [`repository`] |
//!
//! Errors are `{"error": "<one sentence>"}`. A text classifier takes its texts as one `BYTES` tensor, and gives
//! `scores` (`FP32`, items by classes) and `label` (`BYTES`) beside the graph's own outputs.

pub mod decode;
pub mod encode;
pub mod flat;
pub mod info;
pub mod repository;

use std::sync::Arc;

use axum::Extension;
use axum::Json;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::ApiError;
use crate::handle::{self, Asked, Deadline, Edge, Named};
use crate::model::{Input, Version};
use crate::observe::Notes;
use crate::tensor::Tensor;
use crate::upstream::forward::{self, Passage};

/// An inference answer as the protocol writes it.
#[derive(Serialize)]
struct InferResponse<'a> {
    model_name: &'a str,
    model_version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    outputs: Vec<encode::OnWire<'a>>,
}

/// `POST …/infer`.
pub async fn infer(
    State(edge): State<Arc<Edge>>,
    Extension(notes): Extension<Notes>,
    Extension(deadline): Extension<Deadline>,
    named: Named,
    request: Request,
) -> Result<Response, ApiError> {
    let version = handle::find(&edge, &notes, &named)?;
    if let Some(upstream) = version.upstream() {
        let asked = named.version.as_deref().filter(|_| upstream.floats());
        let passage = Passage { notes: &notes, version: asked, deadline, max_body_bytes: edge.max_body_bytes };
        return forward::infer(upstream, passage, request).await;
    }
    let body = handle::body(request, edge.max_body_bytes).await?;
    let decode::InferRequest { id, inputs, outputs: wanted, parameters } =
        handle::off_thread(body.len(), move || decode::decode(&body)).await?;
    let asked = Asked { version: &version, input: Input::Tensors(inputs), parameters, urgency: deadline.0.into() };
    let answer = handle::run(&notes, asked).await?;
    let outputs = encode::outputs(&answer, version.metadata(), &wanted)?;
    Ok(respond(&version, id, &outputs))
}

fn respond(version: &Version, id: Option<String>, outputs: &[Tensor]) -> Response {
    let (model_name, model_version) = (version.name(), version.version());
    let outputs = outputs.iter().map(encode::OnWire).collect();
    Json(InferResponse { model_name, model_version, id, outputs }).into_response()
}

/// Reads a JSON body; mistakes are told with line and column.
pub(crate) fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let text = std::str::from_utf8(body).map_err(|error| {
        let place = error.valid_up_to();
        ApiError::invalid("invalid_utf8", format!("the body is not UTF-8 at byte {place}; send JSON as UTF-8"))
    })?;
    serde_json::from_str(text).map_err(|error| ApiError::json(&error))
}

/// Names in a path; the version may be absent.
impl<S: Send + Sync> axum::extract::FromRequestParts<S> for Named {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, state: &S) -> Result<Self, ApiError> {
        #[derive(serde::Deserialize)]
        struct Names {
            model: String,
            #[serde(default)]
            version: Option<String>,
        }
        let Path(Names { model, version }) = Path::from_request_parts(parts, state)
            .await
            .map_err(|_| ApiError::invalid("bad_path", "the names in the path are not UTF-8"))?;
        Ok(Self { model, version })
    }
}
