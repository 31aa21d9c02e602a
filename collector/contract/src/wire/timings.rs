//! Where the time of a request went, and on what.

use serde::{Deserialize, Serialize};

/// Where the time of a request went, in microseconds. Stages overlap nowhere; `total_us` is wall time at the edge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timings {
    /// From arrival to the last byte of the answer.
    pub total_us: u64,
    /// Text to tokens.
    pub tokenize_us: u64,
    /// Waiting for a session.
    pub queue_us: u64,
    /// The session's run, of the whole batch.
    pub infer_us: u64,
    /// Items in the batch that carried this request.
    pub batch_size: u32,
    /// Whether the answer may depend on those other items: the version's answers are known to.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub batch_variant: bool,
    /// Whether the answer had been given before, so that nothing was run.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub from_cache: bool,
    /// Share of that batch that was padding, 0 to 1.
    #[serde(skip_serializing_if = "is_nothing")]
    pub padding: f64,
    /// What ran it.
    #[serde(skip_serializing_if = "Provider::is_unknown")]
    pub provider: Provider,
}

/// What ran a request; a closed list, so that nobody's text comes in by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    /// Nobody said, or nothing ran.
    #[default]
    Unknown,
    /// The processor.
    Cpu,
    /// An NVIDIA card.
    Cuda,
    /// Another server.
    Http,
}

impl Provider {
    /// The word on the wire and in tables; empty where nobody said.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "",
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::Http => "http",
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_nothing(share: &f64) -> bool {
    *share == 0.0
}

impl Timings {
    /// Of an answer that had been given before: no stage took time.
    #[must_use]
    pub const fn cached() -> Self {
        Self {
            total_us: 0,
            tokenize_us: 0,
            queue_us: 0,
            infer_us: 0,
            batch_size: 0,
            batch_variant: false,
            from_cache: true,
            padding: 0.0,
            provider: Provider::Unknown,
        }
    }
}
