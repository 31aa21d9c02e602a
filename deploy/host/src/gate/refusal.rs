//! What a refused client is told, in its own protocol, and what the log is.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use crate::auth::{Caller, Denied, Scope};

/// Reason of a scope that is lacking.
pub(super) const SCOPE: &str = "missing_scope";
/// Reason of a browser that another site made send.
pub(super) const CROSS_SITE: &str = "cross_site";
/// Reason of a body over a role's limit.
pub(super) const LARGE_BODY: &str = "large_body";
/// Reasons of the limits.
pub(super) const LIMITS: [&str; 4] = ["rate", "long_path", "slow_body", LARGE_BODY];

/// Why a request is refused.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Whoever asks is not known.
    Denied(Denied),
    /// They are, and may not.
    Scope(Scope, Caller),
    /// A browser sent it for another site.
    CrossSite(Option<Caller>),
    /// Too often; so long until the next.
    Rate(Duration, Option<Caller>),
    /// The path is longer than so many bytes.
    UriTooLong(usize),
    /// The body came too slowly.
    SlowBody,
}

impl Refusal {
    pub(super) const fn is_auth(&self) -> bool {
        matches!(self, Self::Denied(_) | Self::Scope(..) | Self::CrossSite(_))
    }

    pub(super) const fn reason(&self) -> &'static str {
        match self {
            Self::Denied(denied) => denied.as_str(),
            Self::Scope(..) => SCOPE,
            Self::CrossSite(_) => CROSS_SITE,
            Self::Rate(..) => LIMITS[0],
            Self::UriTooLong(_) => LIMITS[1],
            Self::SlowBody => LIMITS[2],
        }
    }

    /// Who it was, where that is known.
    pub(super) const fn caller(&self) -> Option<&Caller> {
        match self {
            Self::Scope(_, caller) | Self::CrossSite(Some(caller)) | Self::Rate(_, Some(caller)) => Some(caller),
            _ => None,
        }
    }

    fn sentence(&self) -> String {
        match self {
            Self::Denied(denied) => denied.to_string(),
            Self::Scope(scope, caller) => format!("'{}' lacks the scope '{scope}'", caller.name),
            Self::CrossSite(Some(_)) => "another site's page asked for this; send the key as a bearer token".to_owned(),
            Self::CrossSite(None) => {
                "another site's page asked for this, and without keys nobody could tell that from its user".to_owned()
            }
            Self::Rate(wait, _) => format!("too many requests; try again in {} s", seconds(*wait)),
            Self::UriTooLong(limit) => format!("the path is longer than {limit} bytes"),
            Self::SlowBody => "the body came too slowly".to_owned(),
        }
    }

    /// HTTP's status, and gRPC's (<https://grpc.io/docs/guides/status-codes/>).
    const fn statuses(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Denied(_) => (StatusCode::UNAUTHORIZED, "16"),
            Self::Scope(..) | Self::CrossSite(_) => (StatusCode::FORBIDDEN, "7"),
            Self::Rate(..) => (StatusCode::TOO_MANY_REQUESTS, "8"),
            Self::UriTooLong(_) => (StatusCode::URI_TOO_LONG, "3"),
            Self::SlowBody => (StatusCode::REQUEST_TIMEOUT, "4"),
        }
    }

    /// HTTP's status.
    pub(super) const fn status(&self) -> StatusCode {
        self.statuses().0
    }

    /// The answer to a request with these headers.
    pub(super) fn response(&self, headers: &HeaderMap) -> Response {
        let (status, grpc_status) = self.statuses();
        if is_grpc(headers) {
            let mut response = grpc(grpc_status, &self.sentence());
            if let Self::Rate(wait, _) = self {
                let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
                response.headers_mut().insert(PUSHBACK, HeaderValue::from(millis));
            }
            return response;
        }
        let mut response = (status, Json(serde_json::json!({ "error": self.sentence() }))).into_response();
        let headers = response.headers_mut();
        match self {
            // a browser asks its user for a password only where Basic is offered
            Self::Denied(denied) => {
                let bearer = match denied {
                    Denied::Missing => "Bearer realm=\"driftline\"",
                    _ => "Bearer realm=\"driftline\", error=\"invalid_token\"",
                };
                headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static(bearer));
                let basic = HeaderValue::from_static("Basic realm=\"driftline\", charset=\"UTF-8\"");
                headers.append(header::WWW_AUTHENTICATE, basic);
            }
            Self::Scope(scope, _) => {
                let bearer = format!("Bearer realm=\"driftline\", error=\"insufficient_scope\", scope=\"{scope}\"");
                headers.extend(HeaderValue::try_from(bearer).ok().map(|value| (header::WWW_AUTHENTICATE, value)));
            }
            Self::Rate(wait, _) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds(*wait)));
            }
            Self::CrossSite(_) | Self::UriTooLong(_) | Self::SlowBody => {}
        }
        response
    }
}

/// When a client of gRPC may try again (<https://github.com/grpc/proposal/blob/master/A6-client-retries.md>).
const PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

fn seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// What of a request's headers decides the form of a refusal.
pub(super) fn grpc_only(headers: &HeaderMap) -> HeaderMap {
    headers.get(header::CONTENT_TYPE).map(|value| (header::CONTENT_TYPE, value.clone())).into_iter().collect()
}

/// An answer of trailers only: gRPC's clients read their status there, and HTTP's is always 200.
fn grpc(status: &'static str, sentence: &str) -> Response {
    let mut response = Response::default();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(HeaderName::from_static("grpc-status"), HeaderValue::from_static(status));
    let message = HeaderValue::try_from(sentence).ok();
    headers.extend(message.map(|message| (HeaderName::from_static("grpc-message"), message)));
    response
}

/// Lines a second that refusals may write; the next line says how many were left out.
const LINES_PER_SECOND: u64 = 10;

/// The log of refusals, which whoever is refused cannot fill.
#[derive(Debug)]
pub(super) struct RefusalLog(Mutex<Second>);

#[derive(Debug)]
struct Second {
    since: Instant,
    lines: u64,
    left_out: u64,
}

impl RefusalLog {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Second { since: Instant::now(), lines: 0, left_out: 0 }))
    }

    /// Writes a line, unless there were enough in this second.
    pub(super) fn write(&self, refusal: &Refusal, request: &Request) {
        let Some(left_out) = self.take_line() else { return };
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        let peer = peer.map(|peer| peer.0.ip().to_string()).unwrap_or_default();
        let (reason, caller) = (refusal.reason(), refusal.caller().map_or("", |caller| &*caller.name));
        let (method, path) = (request.method(), request.uri().path());
        tracing::warn!(peer, caller, %method, path, reason, left_out, "refused");
    }

    /// The same for a stream that a limit closed.
    pub(super) fn write_closed(&self, reason: &str, path: &str, peer: Option<SocketAddr>) {
        let Some(left_out) = self.take_line() else { return };
        let peer = peer.map(|peer| peer.ip().to_string()).unwrap_or_default();
        tracing::warn!(peer, path, reason, left_out, "a stream was closed");
    }

    /// How many lines were left out before this one, if it may be written.
    fn take_line(&self) -> Option<u64> {
        let mut second = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if second.since.elapsed() > Duration::from_secs(1) {
            (second.since, second.lines) = (Instant::now(), 0);
        }
        second.lines += 1;
        if second.lines > LINES_PER_SECOND {
            second.left_out += 1;
            return None;
        }
        Some(std::mem::take(&mut second.left_out))
    }
}
