//! HTTP: which media types are read, and which status and sentence each refusal becomes.

use std::time::Instant;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use bytes::{Bytes, BytesMut};
use contract::wire::{Ack, CLOUD_EVENTS_PATH, EVENTS_PATH, LABELS_PATH, OBSERVATIONS_PATH, OUTCOMES_PATH};
use host::auth::Scope;
use host::gate::Need;
use http_body::Frame;
use http_body_util::{BodyExt as _, LengthLimitError};

use crate::budget::Held;
use crate::decode::Form;
use crate::kserve::half::Head;
use crate::pipeline::{Pipeline, Post, Refusal};

/// The routes that take posts.
pub(crate) fn routes(pipeline: Pipeline) -> Router {
    Router::new()
        .route(OBSERVATIONS_PATH, post(observations))
        .route(LABELS_PATH, post(labels))
        .route(OUTCOMES_PATH, post(outcomes))
        .route(EVENTS_PATH, post(events))
        .route(CLOUD_EVENTS_PATH, post(cloud_event))
        .method_not_allowed_fallback(async || {
            error(StatusCode::METHOD_NOT_ALLOWED, "what is here is written to; send POST")
        })
        .fallback(async || error(StatusCode::NOT_FOUND, &nothing_here()))
        .with_state(pipeline)
}

fn nothing_here() -> String {
    let paths = [OBSERVATIONS_PATH, LABELS_PATH, OUTCOMES_PATH, EVENTS_PATH, CLOUD_EVENTS_PATH];
    format!("there is nothing at this path; posts go to {}", paths.join(", "))
}

/// A body that is over the limit, whether its head said so or it turned out.
const TOO_LONG: &str = "the body is over collector.limits.max_body_bytes; send it in parts";

/// What the limits around the routes answer, as a sentence.
pub(crate) async fn in_words(response: Response) -> Response {
    let is_ours = response.headers().get(CONTENT_TYPE).is_some_and(|given| given == "application/json");
    match response.status() {
        _ if is_ours => response,
        StatusCode::PAYLOAD_TOO_LARGE => error(StatusCode::PAYLOAD_TOO_LARGE, TOO_LONG),
        StatusCode::REQUEST_TIMEOUT => {
            let sentence = "the request took longer than collector.limits.request_timeout; send less at once";
            error(StatusCode::REQUEST_TIMEOUT, sentence)
        }
        _ => response,
    }
}

/// What a request needs: posts of what was observed, ingest; the rest is read with GET and changed by administrators.
pub(crate) fn need(method: &Method, path: &str) -> Need {
    let posts = method == Method::POST && path.starts_with("/v1/");
    Need::of_operations(path).unwrap_or(match method {
        _ if posts => Need::Scope(Scope::Ingest),
        method if method.is_safe() => Need::Scope(Scope::Read),
        _ => Need::Scope(Scope::Admin),
    })
}

async fn observations(State(pipeline): State<Pipeline>, request: Request) -> Response {
    let arrived = Instant::now();
    answer(
        &pipeline,
        match read(&pipeline, request, arrived).await {
            Ok(post) => pipeline.observations(post).await,
            Err(refusal) => {
                let outcome = Err(refusal);
                pipeline.count(arrived, &outcome);
                outcome
            }
        },
    )
}

async fn labels(State(pipeline): State<Pipeline>, request: Request) -> Response {
    answer(
        &pipeline,
        match read(&pipeline, request, Instant::now()).await {
            Ok(post) => pipeline.labels(post).await,
            Err(refusal) => Err(refusal),
        },
    )
}

async fn outcomes(State(pipeline): State<Pipeline>, request: Request) -> Response {
    answer(
        &pipeline,
        match read(&pipeline, request, Instant::now()).await {
            Ok(post) => pipeline.outcomes(post).await,
            Err(refusal) => Err(refusal),
        },
    )
}

async fn events(State(pipeline): State<Pipeline>, request: Request) -> Response {
    answer(
        &pipeline,
        match read(&pipeline, request, Instant::now()).await {
            Ok(post) => pipeline.events(post).await,
            Err(refusal) => Err(refusal),
        },
    )
}

async fn cloud_event(State(pipeline): State<Pipeline>, request: Request) -> Response {
    let head = Head::read(request.headers());
    let body = async |head| {
        // the media type is that of the model's request, which the body's own first byte tells better
        let post = read_as(&pipeline, request, Instant::now(), Form::Json).await?;
        pipeline.half(head, post).await
    };
    answer(
        &pipeline,
        match head {
            Ok(head) => body(head).await,
            Err(refusal) => Err(refusal),
        },
    )
}

/// Reads the body and what the headers say of it.
async fn read(pipeline: &Pipeline, request: Request, arrived: Instant) -> Result<Post, Refusal> {
    let form = form(request.headers())?;
    read_as(pipeline, request, arrived, form).await
}

async fn read_as(pipeline: &Pipeline, request: Request, arrived: Instant, form: Form) -> Result<Post, Refusal> {
    let (parts, body) = request.into_parts();
    let compressed = compressed(&parts.headers)?;
    let mut held = pipeline.held();
    let body = bytes(body, &mut held).await?;
    Ok(Post { body, form, compressed, arrived, held })
}

fn form(headers: &HeaderMap) -> Result<Form, Refusal> {
    let given =
        headers.get(CONTENT_TYPE).map_or(Ok("application/json"), |value| value.to_str()).unwrap_or("unreadable");
    let media_type = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match media_type.as_str() {
        // the second is what curl says when nobody told it
        "application/json" | "application/x-www-form-urlencoded" | "text/json" => Ok(Form::Json),
        contract::headers::MSGPACK | "application/x-msgpack" | "application/vnd.msgpack" => Ok(Form::Msgpack),
        "application/x-ndjson" | "application/jsonl" | "application/json-lines" => Ok(Form::Lines),
        "text/csv" => Ok(Form::Csv),
        // as it was given: a secret in lower case would not be known for one
        _ => Err(Refusal::Unsupported(format!(
            "content-type '{given}' is not read; send application/json, application/x-ndjson or application/msgpack"
        ))),
    }
}

fn compressed(headers: &HeaderMap) -> Result<bool, Refusal> {
    match headers.get(CONTENT_ENCODING).map(|value| value.as_bytes()) {
        None | Some(b"identity") => Ok(false),
        Some(b"zstd") => Ok(true),
        Some(other) => Err(Refusal::Unsupported(format!(
            "content-encoding '{}' is not read; send zstd or none",
            String::from_utf8_lossy(other)
        ))),
    }
}

/// The body; what came of it is held from the first byte on, whoever sends it slowly.
async fn bytes(mut body: Body, held: &mut Held) -> Result<Bytes, Refusal> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        match frame.map(Frame::into_data) {
            Ok(Ok(chunk)) => {
                held.grow(chunk.len())?;
                bytes.extend_from_slice(&chunk);
            }
            // trailers
            Ok(Err(_)) => {}
            Err(failure) if is_too_long(&failure) => {
                return Err(Refusal::TooLarge(TOO_LONG.to_owned()));
            }
            // whoever was sending is gone
            Err(failure) => return Err(Refusal::Malformed(format!("the body ended early: {failure}"))),
        }
    }
    Ok(bytes.freeze())
}

fn is_too_long(error: &axum::Error) -> bool {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(inner) = source {
        if inner.is::<LengthLimitError>() {
            return true;
        }
        source = inner.source();
    }
    false
}

fn answer(pipeline: &Pipeline, outcome: Result<Ack, Refusal>) -> Response {
    let refusal = match outcome {
        Ok(ack) => return Json(ack).into_response(),
        Err(refusal) => refusal,
    };
    let sentence = refusal.to_string();
    // it may quote what was posted, and what senders log of it outlives their request; quotes are escaped
    let sentence = pipeline.masked(&unescaped(&sentence)).unwrap_or(sentence);
    match refusal {
        Refusal::Malformed(_) => error(StatusCode::BAD_REQUEST, &sentence),
        Refusal::Invalid(_) => error(StatusCode::UNPROCESSABLE_ENTITY, &sentence),
        Refusal::TooLarge(_) => error(StatusCode::PAYLOAD_TOO_LARGE, &sentence),
        Refusal::Unsupported(_) => error(StatusCode::UNSUPPORTED_MEDIA_TYPE, &sentence),
        Refusal::TooOld(_) => error(StatusCode::CONFLICT, &sentence),
        Refusal::Later { after_seconds, .. } => {
            let after = [(RETRY_AFTER, after_seconds.to_string())];
            (after, error(StatusCode::SERVICE_UNAVAILABLE, &sentence)).into_response()
        }
    }
}

/// A text without the escapes of Rust's quotes: `\n`, `\u{200b}` and the like.
fn unescaped(text: &str) -> String {
    let (mut plain, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, escape)) = rest.split_once('\\') {
        plain.push_str(before);
        let code = escape.strip_prefix("u{").and_then(|code| code.split_once('}'));
        let code = code.and_then(|(hex, after)| Some((char::from_u32(u32::from_str_radix(hex, 16).ok()?)?, after)));
        let mut after = escape.chars();
        let (c, after) = code.unwrap_or_else(|| match after.next() {
            Some('n') => ('\n', after.as_str()),
            Some('r') => ('\r', after.as_str()),
            Some('t') => ('\t', after.as_str()),
            Some(c) => (c, after.as_str()),
            None => ('\\', ""),
        });
        plain.push(c);
        rest = after;
    }
    plain + rest
}

fn error(status: StatusCode, sentence: &str) -> Response {
    (status, Json(serde_json::json!({ "error": sentence }))).into_response()
}
