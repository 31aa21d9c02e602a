//! The Open Inference Protocol, version 2, over HTTP, with tensors as JSON or as raw bytes.
//!
//! | path | |
//! |---|---|
//! | `GET /v2`, `/v2/health/live`, `/v2/health/ready` | the server ([`info`]) |
//! | `GET /v2/models/{model}[/versions/{version}]`, and `/ready` below it | a model ([`info`]) |
//! | `GET …/config`, `…/stats` below a model, `/v2/models/stats` | how it is served ([`settings`]), what it did ([`statistics`]) |
//! | `POST /v2/models/{model}[/versions/{version}]/infer` | inference (here) |
//! | `POST /v2/repository/index`, `/v2/repository/models/{model}/load` and `/unload` | [`repository`] |
//!
//! An inference is decoded ([`decode`], [`binary`]) into an [`request::InferRequest`], run by [`core`], which knows no
//! transport, and written by [`respond`].
//!
//! Errors are `{"error": "<one sentence>"}`. A model that takes text takes it as one `BYTES` tensor, pairs as one of two
//! columns or as two tensors. A text classifier gives `scores` (`FP32`, items by classes) and `label` (`BYTES`) beside the
//! graph's own outputs, a token classification `entities`.

pub mod binary;
pub mod core;
pub mod decode;
pub mod encode;
pub mod flat;
pub mod info;
pub mod parameters;
pub mod raw;
pub mod repository;
pub mod request;
pub mod respond;
pub mod settings;
pub mod statistics;

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;

use crate::encoding::Coding;
use crate::error::ApiError;
use crate::handle::{self, Deadline, Edge, Named};
use crate::observe::Notes;
use crate::outcome;
use crate::upstream::forward::{self, Passage};

/// `POST …/infer`.
pub async fn infer(
    State(edge): State<Arc<Edge>>,
    Extension(notes): Extension<Notes>,
    Extension(deadline): Extension<Deadline>,
    named: Named,
    request: Request,
) -> Result<Response, ApiError> {
    let version = handle::find(&edge, &notes, &named)?;
    // a server that is left alone is not asked: the request is read, for what steps in
    if let Some(upstream) = version.upstream().filter(|_| version.is_passable()) {
        let pass = version.enter()?;
        let asked = named.version.as_deref().filter(|_| upstream.floats());
        let passage = Passage { notes: &notes, version: asked, deadline, max_body_bytes: edge.max_body_bytes };
        let response = forward::infer(upstream, passage, request).await.into_response();
        if let Some(pass) = pass {
            pass.answered(outcome::of_status(response.status()));
        }
        return Ok(response);
    }
    let (json_bytes, coding) = (json_bytes(request.headers())?, Coding::accepted(request.headers()));
    let body = handle::body(request, edge.max_body_bytes).await?;
    let request = handle::off_thread(body.len(), move || decode::decode(&body, json_bytes)).await?;
    encode::check_json(&request, &encode::output_specs(&version.metadata()))?;
    let answer = core::infer(&edge, &notes, version, deadline, request).await?;
    respond::respond(answer, coding).await
}

/// Where the JSON of a body ends, if raw bytes follow it.
fn json_bytes(headers: &HeaderMap) -> Result<Option<usize>, ApiError> {
    let Some(value) = headers.get(&respond::JSON_LENGTH) else { return Ok(None) };
    let length = value.to_str().ok().and_then(|value| value.trim().parse().ok());
    length.map(Some).ok_or_else(|| {
        ApiError::invalid("bad_header_length", "inference-header-content-length must be a whole number of bytes")
    })
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
