//! The readers of bytes that others wrote, as functions of bytes: for the fuzz targets in `collector/fuzz`, and for the
//! property tests below, which are the same with less patience.

use crate::budget::Budget;
use crate::check;
use crate::config::{Config, Limits, RawConfig};
use crate::decode::{self, Form, Posted};
use crate::kserve::config::RawKserve;
use crate::kserve::half::Head;
use crate::kserve::joiner;
use crate::log::{self, frame::Met};
use crate::record;

/// A fixed time, so that the same bytes always do the same: 2026-01-01.
const NOW_MS: i64 = 1_767_225_600_000;
/// A little, so that limits are met.
const MAX_BYTES: usize = 1 << 16;

fn limits() -> Option<Limits> {
    Config::try_from(RawConfig::default()).ok().map(|config| config.limits)
}

/// Reads bytes as a segment's file: its frames, and the records in them.
pub fn segment(bytes: &[u8]) {
    let mut length = 0;
    for met in log::frames(bytes) {
        match met {
            Met::Frame(payload) => {
                length += payload.len();
                let _ = record::read(payload);
            }
            Met::Corrupt { bytes } => length += bytes,
            Met::Torn { at } => assert!(at <= bytes.len()),
        }
    }
    assert!(length <= bytes.len(), "more was read than there is");
    // a frame's checksum keeps most bytes from its record
    let _ = record::read(bytes);
}

/// Reads bytes as a post of observations, labels, feedback or events; the first byte says of which form.
pub fn post(bytes: &[u8]) {
    let (Some((first, body)), Some(limits)) = (bytes.split_first(), limits()) else { return };
    let form = match first & 5 {
        0 => Form::Json,
        1 => Form::Msgpack,
        4 => Form::Lines,
        _ => Form::Csv,
    };
    let mut held = Budget::new(4 * MAX_BYTES).held();
    let plain;
    let body = if first & 2 == 0 {
        body
    } else {
        let Ok(read) = decode::decompress(body, MAX_BYTES, &mut held) else { return };
        plain = read;
        &plain
    };
    if decode::weigh(body, form, MAX_BYTES, &mut held).is_err() {
        return;
    }
    if let Ok(posted) = decode::observations(body, form, NOW_MS) {
        let observations = match posted {
            Posted::Batch(batch) | Posted::Newer(batch, _) => {
                let _ = check::batch(&batch, NOW_MS, &limits);
                batch.observations
            }
            Posted::Singles(singles) => singles.into_iter().map(|(observation, _)| observation).collect(),
        };
        observations.iter().for_each(|one| drop(check::observation(one, "", NOW_MS, &limits)));
    }
    if let Ok(labels) = decode::labels(body, form) {
        labels.iter().for_each(|label| drop(check::label(label, "", NOW_MS, &limits)));
    }
    if let Ok(outcomes) = decode::outcomes(body, form) {
        outcomes.iter().for_each(|feedback| drop(check::feedback(feedback, "", NOW_MS, &limits)));
    }
    if let Ok(events) = decode::events(body, form) {
        events.events.iter().for_each(|event| drop(check::event(event, "", NOW_MS, &limits)));
    }
}

/// Reads bytes as a CloudEvent: up to the first empty line, its headers; then its body. The half is masked and packed as
/// it would be, and reads back.
pub fn cloud_event(bytes: &[u8]) {
    let end = bytes.windows(2).position(|pair| pair == b"\n\n").unwrap_or(bytes.len());
    let (lines, body) = (&bytes[..end], bytes.get(end + 2..).unwrap_or_default());
    let mut headers = axum::http::HeaderMap::new();
    for line in lines.split(|byte| *byte == b'\n') {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let name = parts.next().and_then(|name| axum::http::HeaderName::from_bytes(name).ok());
        let value = parts.next().and_then(|value| axum::http::HeaderValue::from_bytes(value).ok());
        if let (Some(name), Some(value)) = (name, value) {
            headers.insert(name, value);
        }
    }
    let (Ok(head), Some(limits)) = (Head::read(&headers), limits()) else { return };
    let mut faults = Default::default();
    let kserve = RawKserve::default().check(&mut faults);
    let Ok(half) = head.half(body, &kserve, NOW_MS) else { return };
    let _ = check::observation(&half.observation, "", NOW_MS, &limits);
    if let Ok(masker) = masking::Masker::new(&masking::RawConfig::default()) {
        let half = joiner::masked(half, &masker);
        let id = half.id();
        let read = record::write(&record::Record::Half(half)).and_then(|packed| record::read(&packed.payload));
        assert!(matches!(read, Ok(record::Record::Half(half)) if half.id() == id), "a half does not read back");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A batch and a segment that holds it.
    fn whole() -> (Vec<u8>, Vec<u8>) {
        let batch = serde_json::json!({
            "wire": 1, "source": "s", "epoch": 1, "seq": 1, "sent_at_ms": NOW_MS,
            "ledger": {"observed": 1, "delivered": 1, "dropped": 0, "in_flight": 0},
            "observations": [{"id": uuid::Uuid::from_u128(7), "at_ms": NOW_MS, "model": "m", "version": "1", "outcome": "ok"}],
        });
        let packed = rmp_serde::to_vec_named(&batch).unwrap();
        let payload = zstd::bulk::compress(&packed, 1).unwrap();
        let mut bytes = b"DLsegm1\n".to_vec();
        assert!(log::frame::write(&payload, &mut bytes));
        (packed, bytes)
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..1024)) {
            segment(&bytes);
            post(&bytes);
            let headers = "ce-specversion:1.0\nce-type:org.kubeflow.serving.inference.request\nce-id:1\nce-inferenceservicename:m\n\n";
            cloud_event(&[headers.as_bytes(), &bytes].concat());
            cloud_event(&bytes);
        }

        #[test]
        fn damaged_bytes_are_read(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8), kind in 0..8_u8) {
            let (packed, mut frames) = whole();
            let mut body = if kind & 2 == 0 { packed } else { zstd::bulk::compress(&packed, 1).unwrap() };
            for (at, byte) in &changes {
                let at_body = at.index(body.len());
                body[at_body] = *byte;
                let at_frames = at.index(frames.len());
                frames[at_frames] = *byte;
            }
            body.insert(0, kind);
            post(&body);
            segment(&frames);
        }
    }
}
