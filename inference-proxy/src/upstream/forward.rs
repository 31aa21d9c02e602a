//! A client's request passed on as it is, and the answer passed back as it comes.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::body::{Body, HttpBody as _};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use axum::response::{IntoResponse, Response};
use contract::headers;
use serde_json::{Map, Value};

use super::client::Due;
use super::exchange::Exchange;
use super::tee::{Answering, Asking, Copy, read_rest};
use super::tensors::Head;
use super::{Fault, Upstream};
use crate::error::{ApiError, Reason};
use crate::handle::Deadline;
use crate::observe::Notes;

/// What goes along with a request that is passed on.
pub struct Passage<'a> {
    /// Where its observation is written.
    pub notes: &'a Notes,
    /// The version that its path names.
    pub version: Option<&'a str>,
    /// Until when it must be answered.
    pub deadline: Deadline,
    /// Largest body.
    pub max_body_bytes: usize,
}

/// Reason of an answer whose status is bad, as the other server gave it.
const STATUS: Reason = Reason("upstream_status");

/// Passes an inference request on. The answer's body is still to come when this returns; whatever well-formed answer
/// the other server gives is the client's.
///
/// # Errors
/// Where there is no answer: 503 for a server that is not there, 504 for a slow one, 502 for one that does not speak
/// HTTP, 429 past the limit; and what is wrong with the client's own body.
pub async fn infer(upstream: &Arc<Upstream>, passage: Passage<'_>, request: Request) -> Result<Response, ApiError> {
    let Passage { notes, version, deadline, max_body_bytes } = passage;
    let (parts, body) = request.into_parts();
    let copy = Copy::new(upstream.config.max_copy_bytes);
    let exchange = Arc::new(Exchange::new(Arc::clone(upstream), Head::of(&parts.headers), Arc::clone(&copy)));
    notes.forwarded(&exchange, upstream.named(None));
    let rest = Arc::new(Mutex::default());
    let asking = Asking { body, copy: Arc::clone(&copy), rest: Arc::clone(&rest), max_bytes: max_body_bytes };
    let due = Due::of(Some(&deadline), upstream.config.timeout);
    let limit = due.within;
    let sent = send(upstream, &exchange, version, due, &parts.headers, asking, max_body_bytes).await;
    match sent {
        Ok(response) => Ok(response),
        Err(Fault::Slow(_) | Fault::LateBody) if copy.awaits_client() => Err(ApiError::slow_body(limit)),
        Err(fault) => {
            read_rest(&rest, &copy, deadline.at).await;
            Err(fault.into())
        }
    }
}

async fn send(
    upstream: &Arc<Upstream>,
    exchange: &Exchange,
    version: Option<&str>,
    due: Due,
    headers: &HeaderMap,
    asking: Asking,
    max_body_bytes: usize,
) -> Result<Response, Fault> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > max_body_bytes) {
        return Err(Fault::TooLarge(max_body_bytes));
    }
    let place = upstream.place()?;
    let (sent, copy) = (Instant::now(), Arc::clone(&asking.copy));
    // the version in a path is checked to be a plain name before it comes here
    let uri: Uri = upstream.path(version, "/infer").parse().map_err(|_| Fault::Down)?;
    let mut request = Request::new(Body::new(asking));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    *request.headers_mut() = end_to_end(headers);
    request.headers_mut().remove(header::HOST);
    request.headers_mut().remove(header::EXPECT);
    if !upstream.config.forward_authorization {
        request.headers_mut().remove(header::AUTHORIZATION);
    }
    let response = upstream.client.send(request, &due).await.map_err(|fault| {
        // a body of the client's that went wrong looks like a connection that did
        let fault = copy.fault().unwrap_or(fault);
        upstream.series.answered(Some(&fault), sent.elapsed());
        fault
    })?;
    let (parts, body) = response.into_parts();
    let copy = Copy::new(upstream.config.max_copy_bytes);
    exchange.answering(Head::of(&parts.headers), Arc::clone(&copy));
    let (upstream, place) = (Arc::clone(upstream), Some(place));
    let overdue = Box::pin(tokio::time::sleep_until(due.at.into()));
    let mut answering = Answering { body, copy, upstream, sent, overdue, due, place };
    if answering.body.is_end_stream() {
        // an empty body is at its end before anybody asks for it
        answering.settle(None);
    }
    let mut response = Response::new(Body::new(answering));
    *response.status_mut() = parts.status;
    *response.headers_mut() = end_to_end(&parts.headers);
    if !parts.status.is_success() {
        response.extensions_mut().insert(STATUS);
    }
    Ok(response)
}

/// Passes a question about a model on: `/ready`, `/stats`, how it is served (`/config`) or what it is (an empty `tail`),
/// where its name there gives way to its name here.
///
/// # Errors
/// Where there is no answer.
pub async fn get(upstream: &Upstream, version: Option<&str>, tail: &str) -> Result<Response, ApiError> {
    let due = Due::of(None, upstream.config.timeout);
    let (status, body) = upstream.fetch(Method::GET, &upstream.path(version, tail), None, &due).await?;
    let body = match serde_json::from_slice::<Map<String, Value>>(&body) {
        Ok(mut told) if matches!(tail, "" | "/config") && told.contains_key("name") => {
            told.insert("name".into(), upstream.name().into());
            serde_json::to_vec(&told).unwrap_or_default().into()
        }
        _ => body,
    };
    let json = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    Ok((status, json, body).into_response())
}

/// Headers that are meant for one connection and not for who comes after it (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// The headers that pass: all but those of the connection, those that it names, and ours of the answer.
fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let mut passed = headers.clone();
    let named = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    for name in named.flat_map(|names| names.split(',')) {
        passed.remove(name.trim());
    }
    for name in HOP_BY_HOP {
        passed.remove(name);
    }
    passed.remove(headers::OBSERVATION_ID);
    passed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_a_connection_does_not_pass() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Private"),
            ("x-private", "1"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            ("inference-header-content-length", "12"),
            ("content-encoding", "gzip"),
        ] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let passed = end_to_end(&headers);
        let mut names: Vec<_> = passed.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-encoding", "inference-header-content-length", "traceparent"]);
    }
}
