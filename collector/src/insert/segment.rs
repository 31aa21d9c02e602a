//! From a segment file to the blocks that go into ClickHouse.
//!
//! The log's samples are plain when they are read, so they are masked again, which finds nothing. A segment's blocks
//! are the same bytes whenever it is read, so that an insert can be repeated after a restart.

use std::io;
use std::path::Path;

use masking::{MaskedSample, Masker};
use store::write::{EncodedSegment, Heartbeat, SegmentBuilder};
use uuid::Uuid;

use crate::kserve::joiner;
use crate::log::{self, Disk, frame::Met};
use crate::record::{self, Batch, Record};

/// A segment, read.
pub(super) struct Loaded {
    /// Its blocks.
    pub encoded: EncodedSegment,
    /// Damaged places, and frames that no record can be read from.
    pub unreadable: usize,
}

/// Reads, masks and encodes a segment, one record at a time: a segment's records together are some times its rows.
pub(super) fn load(disk: &dyn Disk, path: &Path, id: Uuid, masker: &Masker) -> io::Result<Loaded> {
    let mut builder = SegmentBuilder::new(id);
    let (mut only, mut unreadable) = (None, 0);
    for_each(disk, path, masker, |record| match record {
        Some(Record::Only { table }) => only = Some(table),
        Some(record) => encode(&mut builder, &record),
        None => unreadable += 1,
    })?;
    let encoded = builder.finish();
    let encoded = match only {
        Some(table) => encoded.only(&table),
        None => encoded,
    };
    Ok(Loaded { encoded, unreadable })
}

/// Hands on every record of a segment, masked again; `None` for what cannot be read.
pub(crate) fn for_each(
    disk: &dyn Disk,
    path: &Path,
    masker: &Masker,
    mut give: impl FnMut(Option<Record<MaskedSample>>),
) -> io::Result<()> {
    let bytes = disk.read(path)?;
    for met in log::frames(&bytes) {
        let Met::Frame(payload) = met else {
            give(None);
            continue;
        };
        match record::read(payload) {
            Ok(record) => give(Some(masked(record, masker))),
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "a frame of the log holds no record");
                give(None);
            }
        }
    }
    Ok(())
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
        Record::Labels { received_at_ms, labels, key } => Record::Labels { received_at_ms, labels, key },
        Record::Outcomes { received_at_ms, outcomes, key } => Record::Outcomes { received_at_ms, outcomes, key },
        Record::Events { received_at_ms, source, events, key } => {
            Record::Events { received_at_ms, source, events, key }
        }
        Record::Half(half) => Record::Half(joiner::masked(half, masker)),
        Record::Settled { halves } => Record::Settled { halves },
        Record::Only { table } => Record::Only { table },
    }
}

fn encode(builder: &mut SegmentBuilder, record: &Record<MaskedSample>) {
    match record {
        Record::Batch(batch) => {
            for sample in &batch.observations {
                builder.observation(sample, &batch.source, batch.received_at_ms);
            }
            if batch.heartbeat {
                builder.heartbeat(&heartbeat(batch));
            }
        }
        Record::Labels { received_at_ms, labels, .. } => {
            labels.iter().for_each(|label| builder.label(label, *received_at_ms));
        }
        Record::Outcomes { received_at_ms, outcomes, .. } => {
            outcomes.iter().for_each(|feedback| builder.outcome(feedback, *received_at_ms));
        }
        Record::Events { received_at_ms, source, events, .. } => {
            events.iter().for_each(|(id, event)| builder.event(*id, event, source, *received_at_ms));
        }
        // halves are in a log of their own, which is not inserted
        Record::Half(_) | Record::Settled { .. } | Record::Only { .. } => {}
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
