//! Wire v1: what a proxy (or any other server) posts to the collector.
//!
//! `POST /v1/observations` carries one [`Batch`], as MessagePack with named fields or as JSON, zstd optional.
//! Every struct tolerates missing optional fields, so that a single observation is one curl line; unknown
//! fields are refused, so that a typing error is not silently dropped data.
//!
//! Times are milliseconds since the Unix epoch, durations are microseconds, both integers.

mod event;
mod feedback;
mod gap;
mod timings;
mod value;
pub mod weight;

use std::fmt;

pub use event::{EVENTS_PATH, Event, EventKind, Events};
pub use feedback::{Feedback, FeedbackValue, OUTCOMES_PATH, Outcomes};
pub use gap::Gap;
pub use timings::{Provider, Timings};
pub use value::FeatureValue;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The number that [`Batch::wire`] must hold.
pub const WIRE_VERSION: u8 = 1;
/// Where batches are posted.
pub const OBSERVATIONS_PATH: &str = "/v1/observations";
/// The source of observations that are posted one by one: the collector numbers them. It promises nothing about what is
/// still to come, so no window waits for it.
pub const SINGLE_SOURCE: &str = "http";
/// Model and version of a request that named no model that exists: what a client made up is in no table and no label.
pub const UNNAMED: &str = "unknown";
/// Where KServe's payload loggers post CloudEvents.
pub const CLOUD_EVENTS_PATH: &str = "/v1/cloudevents";
/// The source of observations that are joined from them. It sends no heartbeats, so no window waits for it.
pub const KSERVE_SOURCE: &str = "kserve";
/// Where labels are posted.
pub const LABELS_PATH: &str = "/v1/labels";

/// Several observations of one source, numbered so that loss and repetition can be seen.
///
/// (`source`, `epoch`, `seq`) names the batch for ever: the sender increments `seq` by one a batch, starts it at 1, and takes
/// a new `epoch` (its start time) at every start. A batch may be empty: then it is a heartbeat.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// [`WIRE_VERSION`].
    pub wire: u8,
    /// Who sends: a host or pod name, stable over restarts.
    pub source: String,
    /// Start time of the sending process, milliseconds since the Unix epoch.
    pub epoch: u64,
    /// 1, 2, 3, … within an epoch.
    pub seq: u64,
    /// When the batch was closed; the source promises that no observation older than this, less the allowed
    /// lateness, is still to come from an earlier batch.
    pub sent_at_ms: i64,
    /// The sender's own ledger at that moment, so that tail loss is visible.
    #[serde(default)]
    pub ledger: Ledger,
    /// The observations; empty for a heartbeat.
    #[serde(default)]
    pub observations: Vec<Observation>,
}

/// A sender's account of observations since its epoch: `observed = delivered + dropped + in_flight`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// Requests started.
    pub observed: u64,
    /// Observations that the collector acknowledged.
    pub delivered: u64,
    /// Observations lost, for whatever reason.
    pub dropped: u64,
    /// Observations in queues and open posts, counted there and not derived.
    pub in_flight: u64,
}

/// The collector's answer to a post that is durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// Whether the batch was new or had been stored before.
    pub status: AckStatus,
    /// Observations, labels, outcomes or events in the post that are now durable.
    pub stored: u64,
}

/// Whether an acknowledged batch was new.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AckStatus {
    /// Masked, on disk, fsynced.
    Stored,
    /// Seen before under the same (source, epoch, seq); nothing was appended.
    Repeated,
}

/// One started request, however it ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observation {
    /// Unique for ever: a UUID, version 7 from our proxy. Labels join by it.
    pub id: uuid::Uuid,
    /// W3C trace id, 32 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// When the request arrived.
    pub at_ms: i64,
    /// Model name.
    pub model: String,
    /// Version that answered, or that would have.
    pub version: String,
    /// How the request came in: `infer`, `predict`, …
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub route: String,
    /// How it ended.
    pub outcome: Outcome,
    /// HTTP status given to the client; 0 when none was given.
    #[serde(default)]
    pub code: u16,
    /// Short machine-readable reason of a bad outcome (`deadline`, `queue_full`, `bad_shape`, …).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Pseudonym of the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// Where the time went.
    #[serde(default)]
    pub timings: Timings,
    /// Items (texts, rows) in the request.
    #[serde(default = "one")]
    pub items: u32,
    /// Numbers and categories that drift is judged on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<Feature>,
    /// The primary's classifications, one an item; empty for other tasks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub predictions: Vec<Prediction>,
    /// What shadow versions answered to the same request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shadows: Vec<ShadowAnswer>,
    /// The sampled content.
    #[serde(default)]
    pub payload: Payload,
}

fn one() -> u32 {
    1
}

/// How a request ended. What counts as bad for an SLO is written here once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Answered 2xx with finite, well-shaped outputs.
    Ok,
    /// The client's fault (4xx other than 429): excluded from SLOs.
    Invalid,
    /// Our fault: 5xx, a non-finite or wrongly shaped output.
    Error,
    /// Deadline passed before an answer.
    Timeout,
    /// Refused by admission (429).
    Rejected,
    /// The client went away.
    Cancelled,
}

impl Outcome {
    /// All outcomes, in the order of their declaration.
    pub const ALL: [Self; 6] = [Self::Ok, Self::Invalid, Self::Error, Self::Timeout, Self::Rejected, Self::Cancelled];

    /// The word on the wire, in labels and in tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Invalid => "invalid",
            Self::Error => "error",
            Self::Timeout => "timeout",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the request counts for an SLO at all: a client's mistake or departure does not.
    #[must_use]
    pub const fn is_valid_event(self) -> bool {
        !matches!(self, Self::Invalid | Self::Cancelled)
    }

    /// Whether a counted request spent error budget.
    #[must_use]
    pub const fn is_bad(self) -> bool {
        matches!(self, Self::Error | Self::Timeout | Self::Rejected)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One named value of one item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feature {
    /// Name, see [`crate::feature`].
    pub name: String,
    /// Which item of the request, from 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub item: u32,
    /// The value.
    pub value: FeatureValue,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// A classification of one item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prediction {
    /// Label of the winning class.
    pub label: String,
    /// Probability of the winning class, 0 to 1.
    pub confidence: f64,
    /// Lead over the runner-up, 0 to 1.
    #[serde(default)]
    pub margin: f64,
    /// Entropy of the class probabilities in nats.
    #[serde(default)]
    pub entropy: f64,
}

/// What a shadow version answered to the same request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShadowAnswer {
    /// The shadow's version.
    pub version: String,
    /// How its run ended; `rejected` when it was shed.
    pub outcome: Outcome,
    /// Short machine-readable reason of a bad outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Where its time went.
    #[serde(default)]
    pub timings: Timings,
    /// Its classifications, one an item.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub predictions: Vec<Prediction>,
    /// How far its answers without classes lie from the primary's, one an item.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Gap>,
}

/// The content of a request, or why it is not there. `eligible = stored + sampled_out + withheld`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// There was nothing to keep (the request never parsed, or the source sends none).
    #[default]
    None,
    /// Left out by sampling.
    SampledOut,
    /// Left out because it could not be made safe; the word says why.
    Withheld(String),
    /// The content.
    Kept(Content),
}

/// Request and answer as JSON values: texts as strings, tensors as `{name, shape, datatype, data}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Content {
    /// What was asked.
    pub input: Value,
    /// What was answered.
    #[serde(default)]
    pub output: Value,
    /// Probability with which this payload was kept, in (0, 1]; 1 for the always-keep strata.
    #[serde(default = "certain")]
    pub inclusion_probability: f64,
}

fn certain() -> f64 {
    1.0
}

/// Ground truth for one request, possibly weeks late; a later one for the same (id, item) corrects the earlier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Label {
    /// The observation's id.
    pub id: uuid::Uuid,
    /// Which item of the request, from 0.
    #[serde(default)]
    pub item: u32,
    /// The true class.
    pub label: String,
    /// When the truth was known; the time of arrival when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_ms: Option<i64>,
}

/// The body of `POST /v1/labels`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Labels {
    /// The labels.
    pub labels: Vec<Label>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_observation_is_one_curl_line() {
        let line =
            r#"{"id":"01890000-0000-7000-8000-000000000001","at_ms":1,"model":"m","version":"1","outcome":"ok"}"#;
        let observation: Observation = serde_json::from_str(line).expect("reads");
        assert_eq!(observation.items, 1);
        assert_eq!(observation.payload, Payload::None);
    }

    #[test]
    fn a_mistyped_field_is_refused() {
        let line = r#"{"id":"01890000-0000-7000-8000-000000000001","at_ms":1,"model":"m","version":"1","outcome":"ok","feature":[]}"#;
        let error = serde_json::from_str::<Observation>(line).expect_err("must refuse");
        assert!(error.to_string().contains("unknown field `feature`"), "{error}");
    }

    #[test]
    fn a_batch_survives_msgpack() {
        let batch = Batch {
            wire: WIRE_VERSION,
            source: "proxy-1".into(),
            epoch: 1,
            seq: 2,
            sent_at_ms: 3,
            ledger: Ledger { observed: 4, delivered: 3, dropped: 1, in_flight: 0 },
            observations: vec![Observation {
                id: uuid::Uuid::from_u128(7),
                trace_id: None,
                at_ms: 1,
                model: "m".into(),
                version: "1".into(),
                route: "predict".into(),
                outcome: Outcome::Timeout,
                code: 504,
                reason: Some("deadline".into()),
                client: None,
                timings: Timings { total_us: 9, ..Timings::default() },
                items: 1,
                features: vec![Feature { name: "text.chars".into(), item: 0, value: FeatureValue::Number(5.0) }],
                predictions: vec![Prediction { label: "a".into(), confidence: 0.5, margin: 0.1, entropy: 0.2 }],
                shadows: vec![],
                payload: Payload::Kept(Content {
                    input: serde_json::json!({"texts": ["hello"]}),
                    output: Value::Null,
                    inclusion_probability: 0.25,
                }),
            }],
        };
        let bytes = rmp_serde::to_vec_named(&batch).expect("packs");
        assert_eq!(rmp_serde::from_slice::<Batch>(&bytes).expect("unpacks"), batch);
    }
}
