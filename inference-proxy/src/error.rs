//! The one place where errors become HTTP: a status, a sentence for the client, a word for metrics.

use std::any::Any;
use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::model::{LoadError, LookupError, RunError};
use crate::upstream::Fault;

/// An error as the client sees it: `{"error": "<one sentence>"}`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub struct ApiError {
    status: StatusCode,
    reason: Reason,
    sentence: String,
    retry_after: Option<Duration>,
}

/// The word of an error in metrics, logs and observations; rides on the response for the layers outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason(pub &'static str);

impl ApiError {
    fn new(status: StatusCode, reason: &'static str, sentence: impl Into<String>) -> Self {
        Self { status, reason: Reason(reason), sentence: sentence.into(), retry_after: None }
    }

    /// The status, which says who has to do something.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The word for metrics and observations.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// The sentence for the client.
    #[must_use]
    pub fn sentence(&self) -> &str {
        &self.sentence
    }

    /// When it is worth asking again, where that is known.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// 400: the request is wrong in a way that the reason names.
    pub fn invalid(reason: &'static str, sentence: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, reason, sentence)
    }

    /// 404: there is nothing at this path.
    pub fn no_path(path: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "unknown_path", format!("there is nothing at '{path}'"))
    }

    /// 405: there is something at this path, but not for this method.
    pub fn no_method(method: &str, path: &str) -> Self {
        let sentence = format!("'{path}' does not take {method}");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", sentence)
    }

    /// 501: gRPC's clients may call this, and it is not served here.
    pub fn no_call(path: &str) -> Self {
        Self::new(
            StatusCode::NOT_IMPLEMENTED,
            "unknown_call",
            format!("'{}' is not served here", path.trim_matches('/')),
        )
    }

    /// What another server refused, as it said it.
    pub fn passed_on(status: StatusCode, sentence: impl Into<String>) -> Self {
        Self::new(status, "upstream_status", sentence)
    }

    /// 502: another server's answer is none.
    pub fn unread_answer() -> Self {
        let sentence = "the server behind this model gave an answer that cannot be read";
        Self::new(StatusCode::BAD_GATEWAY, "bad_answer", sentence)
    }

    /// 413: the body is larger than the limit.
    pub fn body_too_large(limit: usize) -> Self {
        let sentence =
            format!("the body is larger than {limit} bytes; send fewer items, or raise proxy.max_body_bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", sentence)
    }

    /// 415: the body is compressed in a way that is not taken.
    pub fn content_encoding(encoding: &str) -> Self {
        let sentence = format!("a body with content-encoding '{encoding}' is not taken; send gzip, deflate or none");
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_encoding", sentence)
    }

    /// 429: too many requests are open.
    pub fn overloaded(limit: usize, retry_after: Duration) -> Self {
        let wait = retry_after.as_millis();
        let sentence = format!("{limit} requests are open, which is the limit; try again in {wait} ms");
        Self { retry_after: Some(retry_after), ..Self::new(StatusCode::TOO_MANY_REQUESTS, "overloaded", sentence) }
    }

    /// 429: the bodies of the open requests are as large as they may be together.
    pub fn bodies_open(limit: usize) -> Self {
        let wait = Duration::from_secs(1);
        let sentence = format!(
            "the requests that are open have {limit} bytes of bodies, which is the limit (proxy.max_open_body_bytes); try \
             again in 1000 ms"
        );
        Self { retry_after: Some(wait), ..Self::new(StatusCode::TOO_MANY_REQUESTS, "body_bytes", sentence) }
    }

    /// 504: no answer within the time that a request may take.
    pub fn timeout(limit: Duration) -> Self {
        let sentence = format!("there was no answer within {} ms", limit.as_millis());
        Self::new(StatusCode::GATEWAY_TIMEOUT, "deadline", sentence)
    }

    /// 408: the body had not come by then, which is the client's doing and spends nobody's error budget.
    pub fn slow_body(limit: Duration) -> Self {
        let sentence = format!("the body had not arrived within {} ms", limit.as_millis());
        Self::new(StatusCode::REQUEST_TIMEOUT, "slow_body", sentence)
    }

    /// 500: the model's answer cannot be given.
    pub fn bad_output(sentence: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "bad_output", sentence)
    }

    /// 500 for a panic: the log has the message, the client has not.
    pub fn panicked(_: Box<dyn Any + Send>) -> Response {
        let sentence = "the server failed on this request; its log says where";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "panic", sentence).into_response()
    }

    /// Reads a JSON error as "what, where".
    pub fn json(error: &serde_json::Error) -> Self {
        Self::invalid("bad_json", format!("the body is not the JSON that is expected: {error}"))
    }
}

impl From<RunError> for ApiError {
    fn from(error: RunError) -> Self {
        let status = match &error {
            RunError::Invalid(_) => StatusCode::BAD_REQUEST,
            RunError::QueueFull { .. } => StatusCode::TOO_MANY_REQUESTS,
            RunError::Deadline => StatusCode::GATEWAY_TIMEOUT,
            RunError::Impatient | RunError::LateBody => StatusCode::REQUEST_TIMEOUT,
            RunError::Unavailable(_) | RunError::BreakerOpen { .. } => StatusCode::SERVICE_UNAVAILABLE,
            RunError::Failed(_) | RunError::BadOutput(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let retry_after = match &error {
            RunError::QueueFull { retry_after } | RunError::BreakerOpen { retry_after } => Some(*retry_after),
            _ => None,
        };
        Self { retry_after, ..Self::new(status, error.reason(), error.to_string()) }
    }
}

impl From<Fault> for ApiError {
    fn from(fault: Fault) -> Self {
        let status = match fault {
            Fault::Down => StatusCode::SERVICE_UNAVAILABLE,
            Fault::Slow(_) => StatusCode::GATEWAY_TIMEOUT,
            Fault::Impatient | Fault::LateBody => StatusCode::REQUEST_TIMEOUT,
            Fault::Busy(_) => StatusCode::TOO_MANY_REQUESTS,
            Fault::Gibberish | Fault::Cut | Fault::TooLong(_) => StatusCode::BAD_GATEWAY,
            Fault::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Fault::BrokenBody => StatusCode::BAD_REQUEST,
        };
        let retry_after = matches!(fault, Fault::Busy(_)).then(|| Duration::from_secs(1));
        Self { retry_after, ..Self::new(status, fault.reason(), fault.to_string()) }
    }
}

impl From<LookupError> for ApiError {
    fn from(error: LookupError) -> Self {
        let (status, reason) = match &error {
            LookupError::UnknownModel { .. } => (StatusCode::NOT_FOUND, "unknown_model"),
            LookupError::UnknownVersion { .. } => (StatusCode::NOT_FOUND, "unknown_version"),
            LookupError::NotReady { .. } => (StatusCode::SERVICE_UNAVAILABLE, "not_ready"),
        };
        Self::new(status, reason, error.to_string())
    }
}

impl From<LoadError> for ApiError {
    fn from(error: LoadError) -> Self {
        let sentence = error.to_string();
        match error {
            LoadError::Unknown(unknown) => unknown.into(),
            LoadError::Refused { .. } => Self::new(StatusCode::BAD_REQUEST, "refused", sentence),
            LoadError::NoRoom { .. } => Self::new(StatusCode::INSUFFICIENT_STORAGE, "memory", sentence),
            LoadError::Nothing(_) => Self::new(StatusCode::CONFLICT, "nothing_to_do", sentence),
            LoadError::ShuttingDown => Self::new(StatusCode::SERVICE_UNAVAILABLE, "shutting_down", sentence),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(serde_json::json!({ "error": &self.sentence }))).into_response();
        if let Some(after) = self.retry_after {
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        response.extensions_mut().insert(self.reason);
        // for a transport that says it otherwise
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use contract::wire::Outcome;

    use super::*;
    use crate::outcome::{of_run, of_status};

    fn check(error: impl Into<ApiError>, status: u16, outcome: Outcome, reason: &'static str) -> Response {
        let response = error.into().into_response();
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(of_status(response.status()), outcome);
        assert_eq!(response.extensions().get(), Some(&Reason(reason)));
        response
    }

    #[test]
    fn a_run_and_its_status_end_alike() {
        let full = RunError::QueueFull { retry_after: Duration::from_millis(1_200) };
        for (error, status) in [
            (RunError::Invalid("x".into()), 400),
            (full.clone(), 429),
            (RunError::Deadline, 504),
            (RunError::Impatient, 408),
            (RunError::LateBody, 408),
            (RunError::Unavailable("x".into()), 503),
            (RunError::BreakerOpen { retry_after: Duration::from_secs(1) }, 503),
            (RunError::Failed("x".into()), 500),
            (RunError::BadOutput("x".into()), 500),
        ] {
            let (outcome, reason) = (of_run(&error), error.reason());
            check(error, status, outcome, reason);
        }
        let response = check(full, 429, Outcome::Rejected, "queue_full");
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
    }

    #[test]
    fn names_that_lead_nowhere() {
        let model = || "m".to_owned();
        check(LookupError::UnknownModel { model: model(), known: None }, 404, Outcome::Invalid, "unknown_model");
        let version = LookupError::UnknownVersion { model: model(), version: "9".into() };
        check(LoadError::Unknown(version), 404, Outcome::Invalid, "unknown_version");
        let not_ready = LookupError::NotReady { model: model(), version: None, why: "loading".into() };
        check(not_ready, 503, Outcome::Error, "not_ready");
        check(ApiError::overloaded(3, Duration::from_secs(1)), 429, Outcome::Rejected, "overloaded");
        check(ApiError::timeout(Duration::from_secs(1)), 504, Outcome::Timeout, "deadline");
        check(ApiError::slow_body(Duration::from_secs(1)), 408, Outcome::Invalid, "slow_body");
        check(ApiError::body_too_large(3), 413, Outcome::Invalid, "body_too_large");
    }
}
