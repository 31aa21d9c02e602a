//! What a frame of the log holds: a batch, labels, or which table a quarantined segment is for.
//!
//! Packed as MessagePack and compressed with zstd. Written, its observations are [`MaskedSample`]s, which cannot be read
//! back; read, they are plain again, and whoever reads them masks them again.

use contract::wire::{Label, Ledger, Observation};
use masking::MaskedSample;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::log::Guard;

/// One frame. `O` is [`MaskedSample`] when it is written and [`Observation`] when it is read.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Record<O> {
    /// Observations of one post.
    Batch(Batch<O>),
    /// Ground truth of one post.
    Labels {
        /// When it came.
        received_at_ms: i64,
        /// Masked labels.
        labels: Vec<Label>,
    },
    /// First in a quarantined segment: its rows go into this table only, the others have them.
    Only {
        /// The table.
        table: String,
    },
}

/// Observations of one post.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Batch<O> {
    pub source: String,
    pub epoch: u64,
    pub seq: u64,
    pub sent_at_ms: i64,
    pub received_at_ms: i64,
    pub ledger: Ledger,
    /// Of a single observation, the id that its sender gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub single: Option<Single>,
    /// Whether a row in `heartbeats` comes of it; not for quarantined observations.
    pub heartbeat: bool,
    pub observations: Vec<O>,
}

/// How a single observation is told from its repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Single {
    /// By the id that its sender gave it.
    Id(Uuid),
    /// Not at all: the id is ours.
    Unguarded,
}

impl<O> Record<O> {
    /// What tells this record from a repeat.
    pub fn guard(&self) -> Guard {
        match self {
            Self::Batch(Batch { single: Some(Single::Id(id)), .. }) => Guard::Id(*id),
            Self::Batch(Batch { single: None, heartbeat: true, source, epoch, seq, .. }) => {
                Guard::Numbered { source: source.clone(), epoch: *epoch, seq: *seq }
            }
            Self::Batch(_) | Self::Labels { .. } | Self::Only { .. } => Guard::None,
        }
    }

    /// When it came.
    pub const fn received_at_ms(&self) -> i64 {
        match self {
            Self::Batch(batch) => batch.received_at_ms,
            Self::Labels { received_at_ms, .. } => *received_at_ms,
            Self::Only { .. } => 0,
        }
    }

    /// Observations in it.
    pub fn observations(&self) -> u64 {
        match self {
            Self::Batch(batch) => batch.observations.len() as u64,
            Self::Labels { .. } | Self::Only { .. } => 0,
        }
    }
}

impl Record<MaskedSample> {
    /// Rows in the table that gets the most.
    pub fn rows(&self) -> u64 {
        let rows = match self {
            Self::Batch(batch) => {
                let of = |sample: &MaskedSample| {
                    let compared: usize = sample.shadows.iter().map(|shadow| shadow.predictions.len().max(1)).sum();
                    sample.features.len().max(compared).max(1)
                };
                batch.observations.iter().map(of).sum()
            }
            Self::Labels { labels, .. } => labels.len(),
            Self::Only { .. } => 0,
        };
        rows as u64
    }
}

/// Level 1: the log's bytes live for seconds.
const ZSTD_LEVEL: i32 = 1;

/// A record that cannot be packed or unpacked.
#[derive(Debug, thiserror::Error)]
#[error("a record of the log is unreadable: {0}")]
pub(crate) struct Unreadable(String);

/// Packs a record of masked samples.
pub(crate) fn write(record: &Record<MaskedSample>) -> Result<Vec<u8>, Unreadable> {
    let packed = rmp_serde::to_vec_named(record).map_err(|error| Unreadable(error.to_string()))?;
    zstd::bulk::compress(&packed, ZSTD_LEVEL).map_err(|error| Unreadable(error.to_string()))
}

/// Unpacks a record. Its samples are plain until they are masked again.
pub(crate) fn read(payload: &[u8]) -> Result<Record<Observation>, Unreadable> {
    let packed = zstd::stream::decode_all(payload).map_err(|error| Unreadable(error.to_string()))?;
    rmp_serde::from_slice(&packed).map_err(|error| Unreadable(error.to_string()))
}
