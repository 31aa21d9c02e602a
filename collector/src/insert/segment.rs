//! From a segment file to the blocks that go into ClickHouse.
//!
//! The log's samples are plain when they are read, so they are masked again, which finds nothing. A segment's blocks
//! are the same bytes whenever it is read, so that an insert can be repeated after a restart.

use std::io;
use std::path::Path;

use masking::{MaskedSample, Masker};
use store::write::{EncodedSegment, Heartbeat, SegmentBuilder};
use uuid::Uuid;

use crate::log;
use crate::record::{self, Batch, Record};

/// A segment, read.
pub(super) struct Loaded {
    /// Its blocks.
    pub encoded: EncodedSegment,
    /// Its records, for the quarantine.
    pub records: Vec<Record<MaskedSample>>,
    /// Damaged places, and frames that no record can be read from.
    pub unreadable: usize,
}

/// Reads, masks and encodes a segment.
pub(super) fn load(path: &Path, id: Uuid, masker: &Masker) -> io::Result<Loaded> {
    let (payloads, mut unreadable) = log::content(path)?;
    let mut records = Vec::with_capacity(payloads.len());
    for payload in payloads {
        match record::read(&payload) {
            Ok(record) => records.push(masked(record, masker)),
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "a frame of the log holds no record");
                unreadable += 1;
            }
        }
    }
    let encoded = encode(id, &records);
    Ok(Loaded { encoded, records, unreadable })
}

fn masked(record: Record<contract::wire::Observation>, masker: &Masker) -> Record<MaskedSample> {
    match record {
        Record::Batch(batch) => {
            let Batch { source, epoch, seq, sent_at_ms, received_at_ms, ledger, single, heartbeat, observations } =
                batch;
            let observations = observations.into_iter().map(|plain| masker.mask(plain).sample).collect();
            Record::Batch(Batch {
                source,
                epoch,
                seq,
                sent_at_ms,
                received_at_ms,
                ledger,
                single,
                heartbeat,
                observations,
            })
        }
        Record::Labels { received_at_ms, labels } => Record::Labels { received_at_ms, labels },
        Record::Only { table } => Record::Only { table },
    }
}

fn encode(id: Uuid, records: &[Record<MaskedSample>]) -> EncodedSegment {
    let mut builder = SegmentBuilder::new(id);
    let mut only = None;
    for record in records {
        match record {
            Record::Batch(batch) => {
                for sample in &batch.observations {
                    builder.observation(sample, &batch.source, batch.received_at_ms);
                }
                if batch.heartbeat {
                    builder.heartbeat(&heartbeat(batch));
                }
            }
            Record::Labels { received_at_ms, labels } => {
                labels.iter().for_each(|label| builder.label(label, *received_at_ms));
            }
            Record::Only { table } => only = Some(table.as_str()),
        }
    }
    let encoded = builder.finish();
    match only {
        Some(table) => encoded.only(table),
        None => encoded,
    }
}

fn heartbeat(batch: &Batch<MaskedSample>) -> Heartbeat {
    Heartbeat {
        source: batch.source.clone(),
        epoch: batch.epoch,
        seq: batch.seq,
        sent_at_ms: batch.sent_at_ms,
        received_at_ms: batch.received_at_ms,
        ledger: batch.ledger,
    }
}
