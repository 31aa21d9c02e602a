//! What a frame of the log holds: a batch, labels, feedback, events, or which table a quarantined segment is for.
//!
//! Packed as MessagePack and compressed with zstd. Written, its observations are [`MaskedSample`]s, which cannot be read
//! back; read, they are plain again, and whoever reads them masks them again.
//!
//! Most batches come from proxies that have masked them, so that the second pass changes nothing: the bytes that would be
//! written are those that came, and they lie in the log in the sender's own compression (`record/posted.rs`).

mod posted;

use contract::wire::{Event, Feedback, Label, Ledger, Observation, ShadowAnswer};
use masking::MaskedSample;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::kserve::half::Half;
use crate::log::{Counts, Guard};
pub(crate) use posted::AsPosted;

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
        /// Follows from what was posted, where the post says all of it; a repeat has the same.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<Uuid>,
    },
    /// Feedback of one post.
    Outcomes {
        /// When it came.
        received_at_ms: i64,
        /// Masked feedback.
        outcomes: Vec<Feedback>,
        /// As that of labels.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<Uuid>,
    },
    /// Events of one post.
    Events {
        /// When they came.
        received_at_ms: i64,
        /// Who told.
        source: String,
        /// Masked events, each with an id that follows from the post.
        events: Vec<(Uuid, Event)>,
        /// Follows from what was posted; `None` in quarantine.
        key: Option<Uuid>,
    },
    /// In the log of halves: a logged request or response.
    Half(Half<O>),
    /// In the log of halves: these went into the collector's log, joined or alone.
    Settled {
        /// The halves' ids.
        halves: Vec<Uuid>,
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
    /// Of observations that nobody numbered: how they are told from their repeat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub single: Option<Single>,
    /// Whether a row in `heartbeats` comes of it; not for quarantined observations.
    pub heartbeat: bool,
    pub observations: Vec<O>,
}

/// How observations that nobody numbered are told from their repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Single {
    /// By the id that its sender gave it; of several, by what follows from all of theirs.
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
            Self::Labels { key: Some(key), .. }
            | Self::Outcomes { key: Some(key), .. }
            | Self::Events { key: Some(key), .. } => Guard::Id(*key),
            Self::Half(half) => Guard::Id(half.id()),
            Self::Batch(_)
            | Self::Labels { .. }
            | Self::Outcomes { .. }
            | Self::Events { .. }
            | Self::Settled { .. }
            | Self::Only { .. } => Guard::None,
        }
    }

    /// When it came.
    pub const fn received_at_ms(&self) -> i64 {
        match self {
            Self::Batch(batch) => batch.received_at_ms,
            Self::Labels { received_at_ms, .. }
            | Self::Outcomes { received_at_ms, .. }
            | Self::Events { received_at_ms, .. } => *received_at_ms,
            Self::Half(half) => half.received_at_ms,
            Self::Settled { .. } | Self::Only { .. } => 0,
        }
    }

    /// What is in it.
    pub fn counts(&self) -> Counts {
        let none = Counts::default();
        match self {
            Self::Batch(batch) => Counts { observations: batch.observations.len() as u64, ..none },
            Self::Labels { labels, .. } => Counts { labels: labels.len() as u64, ..none },
            Self::Outcomes { outcomes, .. } => Counts { outcomes: outcomes.len() as u64, ..none },
            Self::Events { events, .. } => Counts { events: events.len() as u64, ..none },
            Self::Half(_) | Self::Settled { .. } | Self::Only { .. } => none,
        }
    }
}

impl Record<MaskedSample> {
    /// Rows in the table that gets the most.
    pub fn rows(&self) -> u64 {
        match self {
            Self::Batch(batch) => {
                let answers = |shadow: &ShadowAnswer| shadow.predictions.len().max(shadow.gaps.len()).max(1);
                let of = |sample: &MaskedSample| {
                    let compared: usize = sample.shadows.iter().map(answers).sum();
                    sample.features.len().max(compared).max(1) as u64
                };
                batch.observations.iter().map(of).sum()
            }
            Self::Labels { .. } | Self::Outcomes { .. } | Self::Events { .. } => self.counts().total(),
            Self::Half(_) => 1,
            Self::Settled { .. } | Self::Only { .. } => 0,
        }
    }
}

/// What an observation takes, as a rule; one that is longer costs a copy.
const OBSERVATION_BYTES: usize = 1024;
/// One of the fast ones: the log's bytes live for seconds, and most are never read.
const ZSTD_LEVEL: i32 = -5;
/// A record that is longer before compression is not written, and not read.
const PLAIN_BYTES_MAX: usize = 1 << 30;

/// Why a record cannot be packed or unpacked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    /// Its bytes are not a record's.
    #[error("a record of the log is unreadable: {0}")]
    Damaged(String),
    /// It is longer than a record may be.
    #[error("a record of the log would have {0} bytes, over {PLAIN_BYTES_MAX}")]
    TooLarge(usize),
}

/// A record, packed.
#[derive(Debug)]
pub(crate) struct Packed {
    /// The frame's payload.
    pub payload: Vec<u8>,
    /// Its bytes before compression.
    pub plain: u64,
}

/// Packs a record of masked samples.
pub(crate) fn write(record: &Record<MaskedSample>) -> Result<Packed, Unreadable> {
    let mut plain = Vec::with_capacity(OBSERVATION_BYTES * record.counts().observations as usize);
    let mut packer = rmp_serde::Serializer::new(&mut plain).with_struct_map();
    record.serialize(&mut packer).map_err(|error| Unreadable::Damaged(error.to_string()))?;
    if plain.len() > PLAIN_BYTES_MAX {
        return Err(Unreadable::TooLarge(plain.len()));
    }
    let payload = zstd::bulk::compress(&plain, ZSTD_LEVEL).map_err(|error| Unreadable::Damaged(error.to_string()))?;
    Ok(Packed { payload, plain: plain.len() as u64 })
}

/// Packs a record of masked samples that came as `posted`: in the sender's own compression where it says the same.
pub(crate) fn write_posted(record: &Record<MaskedSample>, posted: &AsPosted<'_>) -> Result<Packed, Unreadable> {
    match record {
        Record::Batch(batch) if posted.says(batch) => {
            Ok(Packed { payload: posted.frame(batch.received_at_ms), plain: posted.plain.len() as u64 })
        }
        _ => write(record),
    }
}

/// Unpacks a record. Its samples are plain until they are masked again.
pub(crate) fn read(payload: &[u8]) -> Result<Record<Observation>, Unreadable> {
    let damaged = |error: rmp_serde::decode::Error| Unreadable::Damaged(error.to_string());
    match posted::unframed(payload) {
        Some((received_at_ms, body)) => {
            let batch = rmp_serde::from_slice(&inflated(body)?).map_err(damaged)?;
            Ok(Record::Batch(posted::batch(batch, received_at_ms)))
        }
        None => rmp_serde::from_slice(&inflated(payload)?).map_err(damaged),
    }
}

fn inflated(payload: &[u8]) -> Result<Vec<u8>, Unreadable> {
    // what lies in the log says its length; a length that is not to be is not believed
    let length = zstd::bulk::Decompressor::upper_bound(payload).filter(|bytes| *bytes <= PLAIN_BYTES_MAX);
    let length = length.ok_or_else(|| Unreadable::Damaged("it does not say its length, or a wrong one".to_owned()))?;
    zstd::bulk::decompress(payload, length).map_err(|error| Unreadable::Damaged(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_payload_is_read_or_refused(payload in proptest::collection::vec(any::<u8>(), 0..512)) {
            let _ = read(&payload);
            let _ = read(&zstd::bulk::compress(&payload, 1).unwrap());
        }
    }

    #[test]
    fn a_length_that_is_not_ours_is_not_believed() {
        // a frame header that promises 2^40 bytes: descriptor with an 8-byte content size
        let mut lie = vec![0x28, 0xB5, 0x2F, 0xFD, 0xE0];
        lie.extend((1_u64 << 40).to_le_bytes());
        assert!(read(&lie).unwrap_err().to_string().contains("length"));
    }
}
