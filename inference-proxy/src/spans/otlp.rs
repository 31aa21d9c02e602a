//! OpenTelemetry's trace messages, as far as they are sent (opentelemetry-proto, `trace/v1/trace.proto`). Written by
//! hand, as those of gRPC are; the test compares them with the bytes of the generated ones.

use prost::Message;

/// `ExportTraceServiceRequest`.
#[derive(Clone, PartialEq, Message)]
pub struct Export {
    /// Of one resource: this process.
    #[prost(message, repeated, tag = "1")]
    pub resource_spans: Vec<ResourceSpans>,
}

/// `ResourceSpans`.
#[derive(Clone, PartialEq, Message)]
pub struct ResourceSpans {
    /// Whose spans they are.
    #[prost(message, optional, tag = "1")]
    pub resource: Option<Resource>,
    /// Of one library: this one.
    #[prost(message, repeated, tag = "2")]
    pub scope_spans: Vec<ScopeSpans>,
}

/// `Resource`.
#[derive(Clone, PartialEq, Message)]
pub struct Resource {
    /// What it is.
    #[prost(message, repeated, tag = "1")]
    pub attributes: Vec<KeyValue>,
}

/// `ScopeSpans`.
#[derive(Clone, PartialEq, Message)]
pub struct ScopeSpans {
    /// What made them.
    #[prost(message, optional, tag = "1")]
    pub scope: Option<Scope>,
    /// The spans.
    #[prost(message, repeated, tag = "2")]
    pub spans: Vec<Span>,
}

/// `InstrumentationScope`.
#[derive(Clone, PartialEq, Message)]
pub struct Scope {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its version.
    #[prost(string, tag = "2")]
    pub version: String,
}

/// `Span`.
#[derive(Clone, PartialEq, Message)]
pub struct Span {
    /// 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub trace_id: Vec<u8>,
    /// 8 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub span_id: Vec<u8>,
    /// 8 bytes, or none at a trace's root.
    #[prost(bytes = "vec", tag = "4")]
    pub parent_span_id: Vec<u8>,
    /// What it was.
    #[prost(string, tag = "5")]
    pub name: String,
    /// [`INTERNAL`], [`SERVER`] or [`CLIENT`].
    #[prost(int32, tag = "6")]
    pub kind: i32,
    /// Nanoseconds since the Unix epoch.
    #[prost(fixed64, tag = "7")]
    pub start_time_unix_nano: u64,
    /// Nanoseconds since the Unix epoch.
    #[prost(fixed64, tag = "8")]
    pub end_time_unix_nano: u64,
    /// What is known of it.
    #[prost(message, repeated, tag = "9")]
    pub attributes: Vec<KeyValue>,
    /// How it ended.
    #[prost(message, optional, tag = "15")]
    pub status: Option<Status>,
}

/// `SPAN_KIND_INTERNAL`.
pub const INTERNAL: i32 = 1;
/// `SPAN_KIND_SERVER`.
pub const SERVER: i32 = 2;
/// `SPAN_KIND_CLIENT`.
pub const CLIENT: i32 = 3;
/// `STATUS_CODE_ERROR`.
pub const ERROR: i32 = 2;

/// `Status`.
#[derive(Clone, PartialEq, Message)]
pub struct Status {
    /// Why.
    #[prost(string, tag = "2")]
    pub message: String,
    /// [`ERROR`].
    #[prost(int32, tag = "3")]
    pub code: i32,
}

/// `KeyValue`.
#[derive(Clone, PartialEq, Message)]
pub struct KeyValue {
    /// By the semantic conventions, or `driftline.*`.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Its value.
    #[prost(message, optional, tag = "2")]
    pub value: Option<AnyValue>,
}

/// `AnyValue`, of a text or a whole number.
#[derive(Clone, PartialEq, Message)]
pub struct AnyValue {
    /// The value.
    #[prost(oneof = "Value", tags = "1, 3")]
    pub value: Option<Value>,
}

/// The value of an attribute.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Value {
    /// A text.
    #[prost(string, tag = "1")]
    Text(String),
    /// A whole number.
    #[prost(int64, tag = "3")]
    Whole(i64),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<i64> for Value {
    fn from(n: i64) -> Self {
        Self::Whole(n)
    }
}

/// An attribute.
pub fn attribute(key: &str, value: impl Into<Value>) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value.into()) }) }
}

impl Export {
    /// Spans of this process.
    #[must_use]
    pub fn new(service: &str, spans: Vec<Span>) -> Self {
        let version = env!("CARGO_PKG_VERSION");
        let attributes = vec![attribute("service.name", service), attribute("service.version", version)];
        let scope = Scope { name: "driftline".to_owned(), version: version.to_owned() };
        let scope_spans = vec![ScopeSpans { scope: Some(scope), spans }];
        Self { resource_spans: vec![ResourceSpans { resource: Some(Resource { attributes }), scope_spans }] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// opentelemetry-proto 1.45.2 from PyPI, on protobuf 7.36.2:
    /// ```python
    /// from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    /// r = ExportTraceServiceRequest(); rs = r.resource_spans.add(); ss = rs.scope_spans.add()
    /// rs.resource.attributes.add(key="service.name").value.string_value = "p"
    /// rs.resource.attributes.add(key="service.version").value.string_value = "V"
    /// ss.scope.name = "driftline"; ss.scope.version = "V"
    /// s = ss.spans.add(trace_id=bytes(range(16)), span_id=bytes(8), parent_span_id=bytes([7] * 8), name="infer m",
    ///                  kind=2, start_time_unix_nano=1, end_time_unix_nano=2**63)
    /// s.attributes.add(key="a").value.string_value = "b"; s.attributes.add(key="n").value.int_value = -3
    /// s.status.message = "deadline"; s.status.code = 2
    /// print(r.SerializeToString(deterministic=True).hex())
    /// ```
    const EXPECTED: &str = "0ab0010a2d0a130a0c736572766963652e6e616d6512030a01700a160a0f736572766963652e76657273696f6e12030a\
        0156127f0a0e0a0964726966746c696e65120156126d0a10000102030405060708090a0b0c0d0e0f1208000000000000\
        0000220807070707070707072a07696e666572206d30023901000000000000004100000000000000804a080a01611203\
        0a01624a100a016e120b18fdffffffffffffffff017a0c1208646561646c696e651802";

    #[test]
    fn the_bytes_are_those_of_opentelemetrys_own_messages() {
        let span = Span {
            trace_id: (0..16).collect(),
            span_id: vec![0; 8],
            parent_span_id: vec![7; 8],
            name: "infer m".into(),
            kind: SERVER,
            start_time_unix_nano: 1,
            end_time_unix_nano: 1 << 63,
            attributes: vec![attribute("a", "b"), attribute("n", -3)],
            status: Some(Status { message: "deadline".into(), code: ERROR }),
        };
        let mut export = Export::new("p", vec![span]);
        let ours = &mut export.resource_spans[0];
        ours.resource.as_mut().unwrap().attributes[1] = attribute("service.version", "V");
        ours.scope_spans[0].scope.as_mut().unwrap().version = "V".into();
        assert_eq!(hex::encode(export.encode_to_vec()), EXPECTED);
    }
}
