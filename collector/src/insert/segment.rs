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

/// The rows of one record, before it is known which segment it goes in.
pub(crate) fn rows(record: &Record<MaskedSample>) -> EncodedSegment {
    let mut builder = SegmentBuilder::new(Uuid::nil());
    encode(&mut builder, record);
    builder.finish()
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
            builder.expect(&batch.observations);
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

#[cfg(test)]
mod tests {
    use super::*;
    use contract::wire::{FeatureValue, Ledger, Observation};
    use proptest::prelude::*;

    /// With whatever survives the wire: numbers that are not finite, content of any shape, an identifier to mask.
    fn observation(n: u64, x: f64, text: &str) -> Observation {
        let line = serde_json::json!({
            "id": Uuid::from_u128(u128::from(n)), "at_ms": 1_767_225_600_000_i64, "model": "m", "version": "1", "outcome": "ok",
            "reason": text, "client": "c", "trace_id": "0123456789abcdef0123456789abcdef",
            "features": [{"name": "input.x", "value": 1}, {"name": "input.y", "item": 1, "value": text},
                         {"name": "input.z", "value": null}],
            "predictions": [{"label": text, "confidence": 0.75}, {"label": "b", "confidence": 0.5}],
            "shadows": [{"version": "2", "outcome": "ok", "predictions": [{"label": "a", "confidence": 0.1}]},
                        {"version": "3", "outcome": "timeout"},
                        {"version": "4", "outcome": "ok", "gaps": ["shape", {"vector": {"distance": 0.1}},
                                                                   {"number": {"absolute": 3.5, "relative": 2.0}}]}],
            "payload": {"kept": {"input": {"text": text, "n": [n, -3, 0.1, null, true], "mail": "ann@example.com"},
                                 "output": {"z": 1, "a": [{}]}}},
        });
        let mut plain: Observation = serde_json::from_value(line).unwrap();
        plain.features[0].value = FeatureValue::Number(x);
        plain
    }

    fn records(masker: &Masker, seen: &[(u64, f64, String)]) -> Vec<Record<MaskedSample>> {
        let batch = |seq: usize, observations: Vec<Observation>| {
            let observations = observations.into_iter().map(|plain| masker.mask(plain).sample).collect();
            Record::Batch(Batch {
                source: "s".to_owned(),
                epoch: 1,
                seq: seq as u64,
                sent_at_ms: 1,
                received_at_ms: 2,
                ledger: Ledger::default(),
                single: None,
                heartbeat: !seq.is_multiple_of(3),
                observations,
            })
        };
        let of = |(n, x, text): &(u64, f64, String)| observation(*n, *x, text);
        let mut records: Vec<_> =
            seen.chunks(2).enumerate().map(|(i, some)| batch(i, some.iter().map(of).collect())).collect();
        let id = Uuid::from_u128(9);
        let label = contract::wire::Label { id, item: 0, label: "a".into(), at_ms: None };
        records.push(Record::Labels { received_at_ms: 3, labels: vec![label], key: None });
        let said = serde_json::json!({"id": id, "name": "resolved", "value": true});
        let outcomes = vec![serde_json::from_value(said).unwrap()];
        records.push(Record::Outcomes { received_at_ms: 3, outcomes, key: Some(id) });
        let event = serde_json::json!({"at_ms": 4, "kind": "deployment", "model": "m", "version": "2", "detail": "d"});
        let events = vec![(id, serde_json::from_value(event).unwrap())];
        records.push(Record::Events { received_at_ms: 4, source: "s".into(), events, key: None });
        records
    }

    proptest! {
        /// An insert that is repeated after a restart must be the same block.
        #[test]
        fn rows_in_memory_are_those_that_the_log_makes(
            seen in prop::collection::vec((any::<u64>(), prop::num::f64::ANY, ".{0,40}"), 0..8)
        ) {
            let masker = Masker::new(&masking::RawConfig::default()).unwrap();
            let records = records(&masker, &seen);
            let segment = Uuid::from_u128(77);
            let ready: Vec<EncodedSegment> = records.iter().map(rows).collect();
            let ready = EncodedSegment::join(segment, &ready);
            let mut builder = SegmentBuilder::new(segment);
            for record in &records {
                let packed = record::write(record).unwrap();
                encode(&mut builder, &masked(record::read(&packed.payload).unwrap(), &masker));
            }
            prop_assert_eq!(ready, builder.finish());
        }
    }
}
