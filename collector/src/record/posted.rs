//! A batch that lies in the log as it was posted: packing and compressing it again would make the same of it.
//!
//! The choice: nothing is believed. The masked samples are packed once more, against the posted bytes, and only where
//! every byte is the same do the posted ones stand for them; a field that nobody knows, a key given twice or a number
//! written in another way makes a difference, and the record is written as any other. So the log holds what was packed
//! from masked samples and nothing else, and the proof costs a comparison in place of a compression.
//!
//! ```text
//! 50 2A 4D 18  08 00 00 00  received_at_ms i64 LE  zstd frame of a `contract::wire::Batch`
//! ```
//!
//! The beginning is a skippable frame (RFC 8878, 3.1.2), so that whatever reads zstd reads this.

use std::io::{self, Write};

use contract::wire::{Batch as Wire, Ledger, Observation, WIRE_VERSION};
use masking::MaskedSample;
use serde::Serialize;

use super::Batch;

/// Begins a skippable frame of 8 bytes.
const SKIPPABLE: [u8; 8] = [0x50, 0x2A, 0x4D, 0x18, 8, 0, 0, 0];

/// A body as it came: one zstd frame that says its length, and what it holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AsPosted<'a> {
    pub body: &'a [u8],
    pub plain: &'a [u8],
}

/// What stands before the observations of a [`Wire`], field by field, and an empty list of them.
#[derive(Serialize)]
struct Header<'a> {
    wire: u8,
    source: &'a str,
    epoch: u64,
    seq: u64,
    sent_at_ms: i64,
    ledger: Ledger,
    observations: [(); 0],
}

impl AsPosted<'_> {
    /// Whether it is, byte by byte, the batch that these samples are packed to; the length of the list may be written in
    /// more bytes than it needs, as our proxy does.
    pub fn says(&self, batch: &Batch<MaskedSample>) -> bool {
        if batch.single.is_some() || !batch.heartbeat {
            return false;
        }
        self.observations(batch).is_some_and(|(count, packed)| {
            let mut rest = Expected(packed);
            let mut packer = rmp_serde::Serializer::new(&mut rest).with_struct_map();
            count == batch.observations.len()
                && batch.observations.iter().all(|sample| sample.serialize(&mut packer).is_ok())
                && rest.0.is_empty()
        })
    }

    /// What follows a header that is the batch's: how many observations there are, and their bytes.
    fn observations(&self, batch: &Batch<MaskedSample>) -> Option<(usize, &[u8])> {
        let Batch { source, epoch, seq, sent_at_ms, ledger, .. } = batch;
        let (epoch, seq, sent_at_ms, ledger) = (*epoch, *seq, *sent_at_ms, *ledger);
        let header = Header { wire: WIRE_VERSION, source, epoch, seq, sent_at_ms, ledger, observations: [] };
        let header = rmp_serde::to_vec_named(&header).ok()?;
        let (_, header) = header.split_last()?;
        match self.plain.strip_prefix(header)? {
            [marker @ 0x90..=0x9F, rest @ ..] => Some((usize::from(marker & 0x0F), rest)),
            [0xDC, a, b, rest @ ..] => Some((usize::from(u16::from_be_bytes([*a, *b])), rest)),
            [0xDD, a, b, c, d, rest @ ..] => Some((usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).ok()?, rest)),
            _ => None,
        }
    }

    /// As it lies in a frame of the log.
    pub fn frame(&self, received_at_ms: i64) -> Vec<u8> {
        [SKIPPABLE.as_slice(), &received_at_ms.to_le_bytes(), self.body].concat()
    }
}

/// When a batch came, and its body; `None` of a record that was packed here.
pub(super) fn unframed(payload: &[u8]) -> Option<(i64, &[u8])> {
    let (at, body) = payload.strip_prefix(&SKIPPABLE)?.split_first_chunk()?;
    Some((i64::from_le_bytes(*at), body))
}

/// The record that it is.
pub(super) fn batch(posted: Wire, received_at_ms: i64) -> Batch<Observation> {
    let Wire { wire: _, source, epoch, seq, sent_at_ms, ledger, observations } = posted;
    Batch { source, epoch, seq, sent_at_ms, received_at_ms, ledger, single: None, heartbeat: true, observations }
}

/// Takes what it expects, and fails at the first byte that is another.
struct Expected<'a>(&'a [u8]);

impl Write for Expected<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.strip_prefix(bytes).ok_or(io::ErrorKind::InvalidData)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Record, read, write_posted};
    use super::*;
    use masking::Masker;
    use proptest::prelude::*;
    use serde_json::json;

    fn wire(observations: Vec<Observation>) -> Wire {
        let ledger = Ledger { observed: 900, delivered: 70_000, dropped: 1, in_flight: 0 };
        Wire {
            wire: WIRE_VERSION,
            source: "proxy-1".into(),
            epoch: 1 << 40,
            seq: 7,
            sent_at_ms: 5,
            ledger,
            observations,
        }
    }

    fn observation(text: &str, x: f64) -> Observation {
        let line = json!({
            "id": uuid::Uuid::from_u128(7), "at_ms": 1_767_225_600_000_i64, "model": "m", "version": "1", "outcome": "ok",
            "features": [{"name": "input.x", "value": 1}, {"name": "input.y", "item": 1, "value": text}],
            "predictions": [{"label": "a", "confidence": 0.75}],
            "payload": {"kept": {"input": {"text": text, "n": [1, -3, 0.1, null, true]}, "output": {"z": 1, "a": [{}]}}},
        });
        let mut plain: Observation = serde_json::from_value(line).unwrap();
        plain.features[0].value = contract::wire::FeatureValue::Number(x);
        plain
    }

    /// The record of a body as the pipeline makes it, and whether it lies in the log as it came.
    fn kept(plain: &[u8]) -> (Record<MaskedSample>, Vec<u8>, bool) {
        let masker = Masker::new(&masking::RawConfig::default()).unwrap();
        let posted: Wire = rmp_serde::from_slice(plain).unwrap();
        let Batch { source, epoch, seq, sent_at_ms, received_at_ms, ledger, single, heartbeat, observations } =
            batch(posted, 99);
        let observations = observations.into_iter().map(|plain| masker.mask(plain).sample).collect();
        let record = Record::Batch(Batch {
            source,
            epoch,
            seq,
            sent_at_ms,
            received_at_ms,
            ledger,
            single,
            heartbeat,
            observations,
        });
        let body = zstd::bulk::compress(plain, 3).unwrap();
        let payload = write_posted(&record, &AsPosted { body: &body, plain }).unwrap().payload;
        let as_it_came = payload.ends_with(&body);
        (record, payload, as_it_came)
    }

    proptest! {
        #[test]
        fn what_masking_left_lies_as_it_came_and_reads_as_what_was_masked(
            texts in prop::collection::vec((".{0,40}", prop::num::f64::ANY), 0..20)
        ) {
            let all: Vec<Observation> = texts.iter().map(|(text, x)| observation(text, *x)).collect();
            let plain = rmp_serde::to_vec_named(&wire(all)).unwrap();
            let (record, payload, _) = kept(&plain);
            let again = |record: &Record<MaskedSample>| rmp_serde::to_vec_named(record).unwrap();
            prop_assert_eq!(rmp_serde::to_vec_named(&read(&payload).unwrap()).unwrap(), again(&record));
        }
    }

    #[test]
    fn what_a_proxy_posts_is_kept_however_it_writes_the_length_of_the_list() {
        for count in [0, 1, 15, 16, 300] {
            let plain = rmp_serde::to_vec_named(&wire(vec![observation("fine", 0.5); count])).unwrap();
            assert!(kept(&plain).2, "{count} in the fewest bytes");
            let mut long = rmp_serde::to_vec_named(&wire(vec![])).unwrap();
            long.pop();
            long.push(0xDD);
            long.extend(u32::try_from(count).unwrap().to_be_bytes());
            let one = rmp_serde::to_vec_named(&observation("fine", 0.5)).unwrap();
            (0..count).for_each(|_| long.extend_from_slice(&one));
            let (_, payload, as_it_came) = kept(&long);
            assert!(as_it_came, "{count} in five bytes");
            // whoever reads zstd reads it
            assert_eq!(zstd::decode_all(payload.as_slice()).unwrap(), long);
        }
    }

    #[test]
    fn what_was_not_packed_from_masked_samples_is_not_kept() {
        let mail = rmp_serde::to_vec_named(&wire(vec![observation("to jane@example.com", 0.5)])).unwrap();
        let (_, payload, as_it_came) = kept(&mail);
        let text = |payload: &[u8]| String::from_utf8_lossy(&zstd::decode_all(payload).unwrap()).into_owned();
        assert!(!as_it_came && !text(&payload).contains("jane@"), "what was masked is written anew");
        // a key that is given twice: the reader sees the last one, the bytes hold both
        let plain = rmp_serde::to_vec_named(&wire(vec![observation("fine", 0.5)])).unwrap();
        let at = plain.windows(3).position(|w| w == b"\x82\xA1n").expect("the object that is the input");
        let mut twice = plain.clone();
        twice.splice(at..=at, b"\x83\xA4text\xAD jane@foo.com".iter().copied());
        let (_, payload, as_it_came) = kept(&twice);
        assert!(!as_it_came && !text(&payload).contains("jane@"), "a hidden value is not in the log");
    }
}
