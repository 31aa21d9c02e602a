//! From an answer to an HTTP response: JSON, the raw bytes of tensors behind it where they were asked for, compressed
//! where that was asked for too. The work grows with the answer, so a large one is done on a thread of its own.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::core::{InferAnswer, Output};
use super::encode::{Values, is_finite};
use crate::encoding::Coding;
use crate::error::ApiError;
use crate::handle::off_thread;
use crate::model::data_bytes;
use crate::tensor::Tensor;

/// Gives the length of the JSON where raw bytes follow it.
pub static JSON_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");

/// Characters that JSON takes for a byte of a tensor, about.
const JSON_OVERHEAD: usize = 3;

/// The answer as the protocol writes it.
///
/// # Errors
/// An output that cannot be written in the form that was asked for.
pub async fn respond(answer: InferAnswer, coding: Option<Coding>) -> Result<Response, ApiError> {
    let work = answer.outputs.iter().map(|output| {
        let bytes = data_bytes(output.given.tensor().data());
        if output.binary && coding.is_none() { 0 } else { bytes.saturating_mul(JSON_OVERHEAD) }
    });
    let (json_bytes, packed) = off_thread(work.sum(), move || write(answer, coding)).await?;
    let Some(length) = json_bytes else { return Ok(packed.into_response("application/json")) };
    let mut response = packed.into_response("application/octet-stream");
    response.headers_mut().insert(JSON_LENGTH.clone(), HeaderValue::from(length));
    Ok(response)
}

/// Any value as JSON, of which `bytes` in memory are about its size.
///
/// # Errors
/// A value that JSON cannot carry.
pub async fn json<T: Serialize + Send + 'static>(
    value: T,
    bytes: usize,
    coding: Option<Coding>,
) -> Result<Response, ApiError> {
    let write = move || {
        let json = serde_json::to_vec(&value).map_err(|error| ApiError::bad_output(error.to_string()))?;
        Packed::of(VecDeque::from([json.into()]), coding)
    };
    Ok(off_thread(bytes.saturating_mul(JSON_OVERHEAD), write).await?.into_response("application/json"))
}

/// A body that is ready to be sent, compressed where that pays.
struct Packed {
    chunks: VecDeque<Bytes>,
    coding: Option<Coding>,
}

impl Packed {
    fn of(chunks: VecDeque<Bytes>, coding: Option<Coding>) -> Result<Self, ApiError> {
        let coding = coding.filter(|_| Coding::pays(chunks.iter().map(Bytes::len).sum()));
        let Some(asked) = coding else { return Ok(Self { chunks, coding }) };
        let packed = asked.pack(&chunks).map_err(|error| ApiError::bad_output(error.to_string()))?;
        Ok(Self { chunks: VecDeque::from([packed.into()]), coding })
    }

    fn into_response(self, content_type: &'static str) -> Response {
        let mut response = Body::new(Chunks(self.chunks)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        if let Some(coding) = self.coding {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.as_str()));
        }
        response
    }
}

/// The body, and the length of its JSON, uncompressed, where raw bytes follow it.
fn write(answer: InferAnswer, coding: Option<Coding>) -> Result<(Option<usize>, Packed), ApiError> {
    let parameters = answer.parameters();
    let InferAnswer { served, id, outputs } = answer;
    let parts = outputs.into_iter().map(part).collect::<Result<Vec<_>, _>>()?;
    let (model_name, model_version) = (served.version.name(), served.version_name());
    let head = InferResponse { model_name, model_version, id, parameters, outputs: &parts };
    let json = serde_json::to_vec(&head).map_err(|error| ApiError::bad_output(error.to_string()))?;
    let json_bytes = parts.iter().any(|part| part.raw.is_some()).then_some(json.len());
    let raw = parts.into_iter().filter_map(|part| part.raw).filter(|raw| !raw.is_empty());
    let chunks = std::iter::once(json.into()).chain(raw).collect();
    Ok((json_bytes, Packed::of(chunks, coding)?))
}

fn part(output: Output) -> Result<Part, ApiError> {
    let Output { given, binary } = output;
    if binary {
        let raw = given.clone().raw().map_err(ApiError::bad_output)?;
        return Ok(Part { given, raw: Some(raw) });
    }
    if is_finite(given.tensor().data()) {
        return Ok(Part { given, raw: None });
    }
    let name = given.tensor().name();
    Err(ApiError::bad_output(format!("output '{name}' holds values that are not finite, which JSON cannot carry")))
}

/// An inference answer as the protocol writes it.
#[derive(Serialize)]
struct InferResponse<'a> {
    model_name: &'a str,
    model_version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<BTreeMap<&'static str, String>>,
    outputs: &'a [Part],
}

/// An output, with its raw bytes where they are not part of the JSON.
struct Part {
    given: super::binary::Given,
    raw: Option<Bytes>,
}

#[derive(Serialize)]
struct Size {
    binary_data_size: usize,
}

impl Serialize for Part {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let tensor: &Tensor = self.given.tensor();
        let mut out = serializer.serialize_struct("Output", 4)?;
        out.serialize_field("name", tensor.name())?;
        out.serialize_field("shape", tensor.shape())?;
        out.serialize_field("datatype", tensor.data().datatype())?;
        match &self.raw {
            Some(raw) => out.serialize_field("parameters", &Size { binary_data_size: raw.len() })?,
            None => out.serialize_field("data", &Values(tensor.data()))?,
        }
        out.end()
    }
}

/// A body of ready parts that are sent as they lie, without being put together; its length is known.
struct Chunks(VecDeque<Bytes>);

impl http_body::Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|chunk| Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.iter().map(|chunk| chunk.len() as u64).sum())
    }
}
