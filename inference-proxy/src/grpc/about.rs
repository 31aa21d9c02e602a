//! The messages about the server and its models. The answers are read out of the JSON that the HTTP routes give, whose
//! names are the same, so that both transports say the same of a model, also of one behind another server.

use std::collections::BTreeMap;

use prost::Message;
use serde::{Deserialize, Deserializer};

/// `inference.ServerLiveRequest`, `ServerReadyRequest` and `ServerMetadataRequest`: nothing is asked; and
/// `RepositoryModelLoadResponse` and `RepositoryModelUnloadResponse`: nothing is said.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Nothing {}

/// `inference.ServerLiveResponse`, `ServerReadyResponse` and `ModelReadyResponse`.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct YesOrNo {
    /// Whether it is so.
    #[prost(bool, tag = "1")]
    pub yes: bool,
}

/// `inference.ModelReadyRequest`, `ModelMetadataRequest`, `ModelConfigRequest` and `ModelStatisticsRequest`.
#[derive(Clone, PartialEq, Message)]
pub struct ModelRequest {
    /// The model.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its version; empty for the one that serves.
    #[prost(string, tag = "2")]
    pub version: String,
}

/// `inference.ServerMetadataResponse`.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default)]
pub struct ServerMetadata {
    /// Of the server.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Of the program.
    #[prost(string, tag = "2")]
    pub version: String,
    /// What it has beside the protocol.
    #[prost(string, repeated, tag = "3")]
    pub extensions: Vec<String>,
}

/// `inference.ModelMetadataResponse`.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default)]
pub struct ModelMetadata {
    /// Of the model.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Those that may be named.
    #[prost(string, repeated, tag = "2")]
    pub versions: Vec<String>,
    /// What runs it.
    #[prost(string, tag = "3")]
    pub platform: String,
    /// What it takes.
    #[prost(message, repeated, tag = "4")]
    pub inputs: Vec<TensorMetadata>,
    /// What it gives.
    #[prost(message, repeated, tag = "5")]
    pub outputs: Vec<TensorMetadata>,
}

/// `inference.ModelMetadataResponse.TensorMetadata`.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default)]
pub struct TensorMetadata {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The protocol's name of the datatype.
    #[prost(string, tag = "2")]
    pub datatype: String,
    /// -1 where any length will do.
    #[prost(int64, repeated, tag = "3")]
    pub shape: Vec<i64>,
}

/// `inference.ModelStatisticsResponse`.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default)]
pub struct Statistics {
    /// A version each.
    #[prost(message, repeated, tag = "1")]
    pub model_stats: Vec<ModelStatistics>,
}

/// `inference.ModelStatistics`.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default)]
pub struct ModelStatistics {
    /// The model.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its version.
    #[prost(string, tag = "2")]
    pub version: String,
    /// When, in milliseconds since the Unix epoch.
    #[prost(uint64, tag = "3")]
    pub last_inference: u64,
    /// Items that were answered.
    #[prost(uint64, tag = "4")]
    pub inference_count: u64,
    /// Runs of a session.
    #[prost(uint64, tag = "5")]
    pub execution_count: u64,
    /// Where the time went.
    #[prost(message, optional, tag = "6")]
    pub inference_stats: Option<InferStatistics>,
    /// The same by size of batch.
    #[prost(message, repeated, tag = "7")]
    pub batch_stats: Vec<BatchStatistics>,
}

/// `inference.InferStatistics`.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "each field is the time of that name")]
pub struct InferStatistics {
    #[prost(message, optional, tag = "1")]
    pub success: Option<Spent>,
    #[prost(message, optional, tag = "2")]
    pub fail: Option<Spent>,
    #[prost(message, optional, tag = "3")]
    pub queue: Option<Spent>,
    #[prost(message, optional, tag = "4")]
    pub compute_input: Option<Spent>,
    #[prost(message, optional, tag = "5")]
    pub compute_infer: Option<Spent>,
    #[prost(message, optional, tag = "6")]
    pub compute_output: Option<Spent>,
    #[prost(message, optional, tag = "7")]
    pub cache_hit: Option<Spent>,
    #[prost(message, optional, tag = "8")]
    pub cache_miss: Option<Spent>,
}

/// `inference.InferBatchStatistics`.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "each field is the time of that name")]
pub struct BatchStatistics {
    /// Items.
    #[prost(uint64, tag = "1")]
    pub batch_size: u64,
    #[prost(message, optional, tag = "2")]
    pub compute_input: Option<Spent>,
    #[prost(message, optional, tag = "3")]
    pub compute_infer: Option<Spent>,
    #[prost(message, optional, tag = "4")]
    pub compute_output: Option<Spent>,
}

/// `inference.StatisticDuration`.
#[derive(Clone, Copy, PartialEq, Message, Deserialize)]
#[serde(default)]
pub struct Spent {
    /// How often.
    #[prost(uint64, tag = "1")]
    pub count: u64,
    /// How long in all, in nanoseconds.
    #[prost(uint64, tag = "2")]
    pub ns: u64,
}

/// `inference.RepositoryIndexRequest`.
#[derive(Clone, PartialEq, Message)]
pub struct IndexRequest {
    /// There is one repository, and it has no name.
    #[prost(string, tag = "1")]
    pub repository_name: String,
    /// Only what serves.
    #[prost(bool, tag = "2")]
    pub ready: bool,
}

/// `inference.RepositoryIndexResponse`.
#[derive(Clone, PartialEq, Message)]
pub struct Index {
    /// A version each.
    #[prost(message, repeated, tag = "1")]
    pub models: Vec<IndexLine>,
}

/// `inference.RepositoryIndexResponse.ModelIndex`.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default)]
pub struct IndexLine {
    /// The model.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its version.
    #[prost(string, tag = "2")]
    pub version: String,
    /// `READY` and the like.
    #[prost(string, tag = "3")]
    pub state: String,
    /// Why it is not.
    #[prost(string, tag = "4")]
    pub reason: String,
}

/// `inference.RepositoryModelLoadRequest` and `RepositoryModelUnloadRequest`.
#[derive(Clone, PartialEq, Message)]
pub struct ChangeRequest {
    /// There is one repository, and it has no name.
    #[prost(string, tag = "1")]
    pub repository_name: String,
    /// The model.
    #[prost(string, tag = "2")]
    pub model_name: String,
    /// How.
    #[prost(btree_map = "string, message", tag = "3")]
    pub parameters: BTreeMap<String, ChangeParameter>,
}

/// `inference.ModelRepositoryParameter`.
#[derive(Clone, PartialEq, Message)]
pub struct ChangeParameter {
    /// The value.
    #[prost(oneof = "ChangeChoice", tags = "1, 2, 3, 4")]
    pub choice: Option<ChangeChoice>,
}

/// The value of a parameter of a load or an unload.
#[derive(Clone, PartialEq, prost::Oneof)]
#[expect(missing_docs, reason = "each variant is the type of that name")]
pub enum ChangeChoice {
    #[prost(bool, tag = "1")]
    Bool(bool),
    #[prost(int64, tag = "2")]
    Int64(i64),
    #[prost(string, tag = "3")]
    String(String),
    #[prost(bytes = "bytes", tag = "4")]
    Bytes(bytes::Bytes),
}

/// `inference.ModelConfigResponse`.
#[derive(Clone, PartialEq, Message)]
pub struct ConfigResponse {
    /// How it is served.
    #[prost(message, optional, tag = "1")]
    pub config: Option<ModelConfig>,
}

/// `inference.ModelConfig`, as much of it as holds here (`oip/settings.rs`).
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are Triton's, explained in its model_config.proto")]
pub struct ModelConfig {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub platform: String,
    #[prost(message, optional, tag = "3")]
    pub version_policy: Option<VersionPolicy>,
    #[prost(int32, tag = "4")]
    pub max_batch_size: i32,
    #[prost(message, repeated, tag = "5")]
    pub input: Vec<ConfigInput>,
    #[prost(message, repeated, tag = "6")]
    pub output: Vec<ConfigOutput>,
    #[prost(message, repeated, tag = "7")]
    pub instance_group: Vec<InstanceGroup>,
    #[prost(string, tag = "8")]
    pub default_model_filename: String,
    #[prost(message, optional, tag = "11")]
    pub dynamic_batching: Option<DynamicBatching>,
    #[prost(btree_map = "string, message", tag = "14")]
    pub parameters: BTreeMap<String, ConfigParameter>,
    #[prost(string, tag = "17")]
    pub backend: String,
}

/// `inference.ModelVersionPolicy`.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default)]
pub struct VersionPolicy {
    /// The versions that are named, where they are.
    #[prost(message, optional, tag = "3")]
    pub specific: Option<Specific>,
}

/// `inference.ModelVersionPolicy.Specific`.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default)]
pub struct Specific {
    /// Their numbers.
    #[prost(int64, repeated, tag = "1")]
    pub versions: Vec<i64>,
}

/// `inference.ModelInput`.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "as in ModelConfig")]
pub struct ConfigInput {
    #[prost(string, tag = "1")]
    pub name: String,
    #[serde(deserialize_with = "data_type")]
    #[prost(int32, tag = "2")]
    pub data_type: i32,
    #[prost(int64, repeated, tag = "4")]
    pub dims: Vec<i64>,
}

/// `inference.ModelOutput`.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "as in ModelConfig")]
pub struct ConfigOutput {
    #[prost(string, tag = "1")]
    pub name: String,
    #[serde(deserialize_with = "data_type")]
    #[prost(int32, tag = "2")]
    pub data_type: i32,
    #[prost(int64, repeated, tag = "3")]
    pub dims: Vec<i64>,
}

/// `inference.ModelInstanceGroup`.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "as in ModelConfig")]
pub struct InstanceGroup {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(int32, tag = "2")]
    pub count: i32,
    #[serde(deserialize_with = "kind")]
    #[prost(int32, tag = "4")]
    pub kind: i32,
}

/// `inference.ModelDynamicBatching`.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "as in ModelConfig")]
pub struct DynamicBatching {
    #[prost(int32, repeated, tag = "1")]
    pub preferred_batch_size: Vec<i32>,
    #[prost(uint64, tag = "2")]
    pub max_queue_delay_microseconds: u64,
}

/// `inference.ModelParameter`.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default)]
pub struct ConfigParameter {
    /// The value.
    #[prost(string, tag = "1")]
    pub string_value: String,
}

/// The numbers of `inference.DataType` are their places here.
pub(super) const DATA_TYPES: [&str; 15] = [
    "TYPE_INVALID",
    "TYPE_BOOL",
    "TYPE_UINT8",
    "TYPE_UINT16",
    "TYPE_UINT32",
    "TYPE_UINT64",
    "TYPE_INT8",
    "TYPE_INT16",
    "TYPE_INT32",
    "TYPE_INT64",
    "TYPE_FP16",
    "TYPE_FP32",
    "TYPE_FP64",
    "TYPE_STRING",
    "TYPE_BF16",
];

/// The numbers of `inference.ModelInstanceGroup.Kind` are their places here.
pub(super) const KINDS: [&str; 4] = ["KIND_AUTO", "KIND_GPU", "KIND_CPU", "KIND_MODEL"];

fn data_type<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
    place(deserializer, &DATA_TYPES)
}

fn kind<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
    place(deserializer, &KINDS)
}

fn place<'de, D: Deserializer<'de>>(deserializer: D, names: &[&str]) -> Result<i32, D::Error> {
    let name = String::deserialize(deserializer)?;
    let place = names.iter().position(|known| *known == name).unwrap_or_default();
    Ok(i32::try_from(place).unwrap_or_default())
}
