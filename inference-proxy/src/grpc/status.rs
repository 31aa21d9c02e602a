//! From our errors to gRPC's statuses, and how long a client says it will wait.
//!
//! Everything below [`spoken`] answers as over HTTP, with HTTP's statuses, so that observations, counters and limits
//! are the same for both transports; here, at the outermost, the answer is put into gRPC's words.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use host::gate::Told;
use prost::Message;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

use crate::error::ApiError;

/// gRPC's code for HTTP's status (<https://grpc.io/docs/guides/status-codes/>).
const fn code(status: StatusCode) -> Code {
    match status.as_u16() {
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::NotFound,
        408 | 504 => Code::DeadlineExceeded,
        409 => Code::FailedPrecondition,
        413 | 429 | 507 => Code::ResourceExhausted,
        415 | 501 => Code::Unimplemented,
        502 | 503 => Code::Unavailable,
        400..=499 => Code::InvalidArgument,
        _ => Code::Internal,
    }
}

/// Says when to come back, for clients that retry by themselves
/// (<https://github.com/grpc/proposal/blob/master/A6-client-retries.md>).
const PUSHBACK: &str = "grpc-retry-pushback-ms";

impl From<ApiError> for Status {
    fn from(error: ApiError) -> Self {
        let code = code(error.status());
        // it goes into a header, where clients take a few kibibytes
        let sentence: String = error.sentence().chars().take(MAX_SENTENCE_CHARS).collect();
        let mut metadata = MetadataMap::new();
        let mut details = Bytes::new();
        if let Some(after) = error.retry_after() {
            metadata.extend_pushback(after);
            details = retry_info(code, &sentence, after);
        }
        let mut status = Self::with_details_and_metadata(code, sentence, details, metadata);
        status.set_source(Arc::new(error));
        status
    }
}

/// Most characters of a sentence; each may take twelve bytes once it is percent-encoded.
const MAX_SENTENCE_CHARS: usize = 512;

trait Pushback {
    fn extend_pushback(&mut self, after: Duration);
}

impl Pushback for MetadataMap {
    fn extend_pushback(&mut self, after: Duration) {
        if let Ok(millis) = after.as_millis().max(1).to_string().parse() {
            self.insert(PUSHBACK, millis);
        }
    }
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
struct RichStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Detail>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct Detail {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<Delay>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, Copy, PartialEq, Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

fn retry_info(code: Code, sentence: &str, after: Duration) -> Bytes {
    let seconds = i64::try_from(after.as_secs()).unwrap_or(i64::MAX);
    let nanos = i32::try_from(after.subsec_nanos()).unwrap_or_default();
    let info = RetryInfo { retry_delay: Some(Delay { seconds, nanos }) };
    let detail =
        Detail { type_url: "type.googleapis.com/google.rpc.RetryInfo".to_owned(), value: info.encode_to_vec() };
    let status = RichStatus { code: code.into(), message: sentence.to_owned(), details: vec![detail] };
    status.encode_to_vec().into()
}

/// The outermost layer: an error becomes an answer of trailers only, and those outside are told what it would be in HTTP.
pub async fn spoken(request: Request, next: Next) -> Response {
    let (mut parts, body) = next.run(request).await.into_parts();
    let Some(error) = parts.extensions.remove::<ApiError>() else { return Response::from_parts(parts, body) };
    let told = Told(error.status());
    let mut response: Response = Status::from(error).into_http::<Body>();
    for gone in [header::CONTENT_TYPE, header::CONTENT_LENGTH, header::RETRY_AFTER, header::ALLOW] {
        parts.headers.remove(gone);
    }
    // who asked, by which version it was answered, which trace: said of errors too
    response.headers_mut().extend(parts.headers);
    response.extensions_mut().insert(told);
    response
}

/// How long the client waits, as the `grpc-timeout` of its request says: at most eight digits and a unit
/// (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>). One that breaks the rule says nothing.
#[must_use]
pub fn patience(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let n = digits.parse::<u64>().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(n * 3_600),
        "M" => Duration::from_secs(n * 60),
        "S" => Duration::from_secs(n),
        "m" => Duration::from_millis(n),
        "u" => Duration::from_micros(n),
        "n" => Duration::from_nanos(n),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_digits_and_a_unit() {
        let said = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", value.parse().unwrap());
            patience(&headers)
        };
        assert_eq!(said("250m"), Some(Duration::from_millis(250)));
        assert_eq!(said("99999999H"), Some(Duration::from_secs(359_999_996_400)));
        assert_eq!(
            (said("7S"), said("1u"), said("0n")),
            (Some(Duration::from_secs(7)), Some(Duration::from_micros(1)), Some(Duration::ZERO))
        );
        for wrong in ["", "m", "1", "1x", "-1S", "123456789S", "1.5S", " 1S"] {
            assert_eq!(said(wrong), None, "{wrong:?}");
        }
    }

    /// Python's protobuf 7.36 on messages declared as google/rpc/status.proto and error_details.proto have them:
    /// `s = Status(code=8, message="busy"); r = RetryInfo(); r.retry_delay.FromMilliseconds(1500)`
    /// `s.details.add().Pack(r); print(s.SerializeToString().hex())`
    #[test]
    fn when_to_come_back_is_said_as_googles_details() {
        let expected = "08081204627573791a360a28747970652e676f6f676c65617069732e636f6d2f676f6f676c652e7270632e\
                        5265747279496e666f120a0a0808011080cab5ee01";
        let details = retry_info(Code::ResourceExhausted, "busy", Duration::from_millis(1_500));
        assert_eq!(hex::encode(details), expected);
    }

    #[test]
    fn every_error_has_its_code() {
        let overloaded = Status::from(ApiError::overloaded(3, Duration::from_millis(20)));
        assert_eq!(overloaded.code(), Code::ResourceExhausted);
        assert_eq!(overloaded.metadata().get(PUSHBACK).unwrap(), "20");
        assert!(!overloaded.details().is_empty());
        for (status, expected) in [
            (400, Code::InvalidArgument),
            (404, Code::NotFound),
            (408, Code::DeadlineExceeded),
            (413, Code::ResourceExhausted),
            (500, Code::Internal),
            (503, Code::Unavailable),
            (504, Code::DeadlineExceeded),
        ] {
            assert_eq!(code(StatusCode::from_u16(status).unwrap()), expected, "{status}");
        }
    }
}
