//! The messages of an inference, field by field as Triton's `grpc_service.proto` numbers them (KServe's
//! `open_inference_grpc.proto` is a part of it). Written by hand, so that a build needs no `protoc` and compiles no
//! generator; the real client and its own descriptors are what they are tested against.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;

/// Parameters by name.
pub type Parameters = BTreeMap<String, Parameter>;

/// `inference.InferParameter`.
#[derive(Clone, PartialEq, Message)]
pub struct Parameter {
    /// The value.
    #[prost(oneof = "Choice", tags = "1, 2, 3, 4, 5")]
    pub choice: Option<Choice>,
}

/// The value of a parameter.
#[derive(Clone, PartialEq, prost::Oneof)]
#[expect(missing_docs, reason = "each variant is the type of that name")]
pub enum Choice {
    #[prost(bool, tag = "1")]
    Bool(bool),
    #[prost(int64, tag = "2")]
    Int64(i64),
    #[prost(string, tag = "3")]
    String(String),
    #[prost(double, tag = "4")]
    Double(f64),
    #[prost(uint64, tag = "5")]
    Uint64(u64),
}

/// `inference.InferTensorContents`: the values of one tensor, in the list of its datatype.
#[derive(Clone, PartialEq, Message)]
#[expect(missing_docs, reason = "each field is the list of the datatypes of that name")]
pub struct Contents {
    #[prost(bool, repeated, tag = "1")]
    pub bool_contents: Vec<bool>,
    /// INT8, INT16 and INT32.
    #[prost(int32, repeated, tag = "2")]
    pub int_contents: Vec<i32>,
    #[prost(int64, repeated, tag = "3")]
    pub int64_contents: Vec<i64>,
    /// UINT8, UINT16 and UINT32.
    #[prost(uint32, repeated, tag = "4")]
    pub uint_contents: Vec<u32>,
    #[prost(uint64, repeated, tag = "5")]
    pub uint64_contents: Vec<u64>,
    #[prost(float, repeated, tag = "6")]
    pub fp32_contents: Vec<f32>,
    #[prost(double, repeated, tag = "7")]
    pub fp64_contents: Vec<f64>,
    #[prost(bytes = "bytes", repeated, tag = "8")]
    pub bytes_contents: Vec<Bytes>,
}

/// `inference.ModelInferRequest.InferInputTensor`, and `ModelInferResponse.InferOutputTensor`, which is the same.
#[derive(Clone, PartialEq, Message)]
pub struct WireTensor {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The protocol's name of the datatype.
    #[prost(string, tag = "2")]
    pub datatype: String,
    /// Outermost dimension first.
    #[prost(int64, repeated, tag = "3")]
    pub shape: Vec<i64>,
    /// Said about it.
    #[prost(btree_map = "string, message", tag = "4")]
    pub parameters: Parameters,
    /// The values, where they are not in the raw contents.
    #[prost(message, optional, tag = "5")]
    pub contents: Option<Contents>,
}

/// `inference.ModelInferRequest.InferRequestedOutputTensor`.
#[derive(Clone, PartialEq, Message)]
pub struct Requested {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// How it is wanted.
    #[prost(btree_map = "string, message", tag = "2")]
    pub parameters: Parameters,
}

/// `inference.ModelInferRequest`.
#[derive(Clone, PartialEq, Message)]
pub struct ModelInferRequest {
    /// The model.
    #[prost(string, tag = "1")]
    pub model_name: String,
    /// The version; empty for the one that serves.
    #[prost(string, tag = "2")]
    pub model_version: String,
    /// Echoed in the answer.
    #[prost(string, tag = "3")]
    pub id: String,
    /// Said about the request.
    #[prost(btree_map = "string, message", tag = "4")]
    pub parameters: Parameters,
    /// The inputs.
    #[prost(message, repeated, tag = "5")]
    pub inputs: Vec<WireTensor>,
    /// The wanted outputs; none for all.
    #[prost(message, repeated, tag = "6")]
    pub outputs: Vec<Requested>,
    /// The inputs' values as raw bytes, in the order of the inputs; all of them or none.
    #[prost(bytes = "bytes", repeated, tag = "7")]
    pub raw_input_contents: Vec<Bytes>,
}

/// `inference.ModelInferResponse`.
#[derive(Clone, PartialEq, Message)]
pub struct ModelInferResponse {
    /// The model that answered.
    #[prost(string, tag = "1")]
    pub model_name: String,
    /// Its version.
    #[prost(string, tag = "2")]
    pub model_version: String,
    /// The request's.
    #[prost(string, tag = "3")]
    pub id: String,
    /// What there is to say beside the outputs.
    #[prost(btree_map = "string, message", tag = "4")]
    pub parameters: Parameters,
    /// The outputs.
    #[prost(message, repeated, tag = "5")]
    pub outputs: Vec<WireTensor>,
    /// The outputs' values as raw bytes, in the order of the outputs; all of them or none.
    #[prost(bytes = "bytes", repeated, tag = "6")]
    pub raw_output_contents: Vec<Bytes>,
}
