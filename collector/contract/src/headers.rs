//! HTTP header names that our services set or read.

/// Response header: the observation id of this request. Post labels under this id.
pub const OBSERVATION_ID: &str = "driftline-id";
/// Response header: the model version that answered.
pub const MODEL_VERSION: &str = "driftline-model-version";
/// Response header after a fallback: the version that did not answer and why, as in `1; breaker_open`.
pub const FALLBACK: &str = "driftline-fallback";
/// W3C trace context, in and out.
pub const TRACEPARENT: &str = "traceparent";
/// Request header: who is asking. Stored only as a pseudonym (keyed hash), never as given.
pub const CLIENT: &str = "driftline-client";
/// Request header: `no` where the content of this request is not to be kept; it is observed without it.
pub const KEEP_CONTENT: &str = "driftline-keep-content";
/// Media type of a wire batch in MessagePack.
pub const MSGPACK: &str = "application/msgpack";
