//! Frames: how entries lie in a segment, and how they are found again in a damaged one.
//!
//! ```text
//! "DLf1"  length u32 LE  crc32c u32 LE of length and payload  payload
//! ```
//!
//! The marker lets a reader find the next frame behind a damaged one; the checksum covers the length, so that a damaged
//! length is not believed.

/// Begins every frame.
pub const MARKER: [u8; 4] = *b"DLf1";
/// Bytes before the payload.
pub const HEADER_BYTES: usize = 12;
/// A longer payload is not written, and a longer length not believed.
pub const PAYLOAD_BYTES_MAX: usize = 256 << 20;

/// Appends a frame to `out`; `false` (and nothing appended) where the payload is too long.
pub fn write(payload: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(length) = u32::try_from(payload.len()).ok().filter(|_| payload.len() <= PAYLOAD_BYTES_MAX) else {
        return false;
    };
    out.reserve(HEADER_BYTES + payload.len());
    out.extend_from_slice(&MARKER);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&checksum(length, payload).to_le_bytes());
    out.extend_from_slice(payload);
    true
}

fn checksum(length: u32, payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&length.to_le_bytes()), payload)
}

/// What a reader met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Met<'a> {
    /// A whole frame's payload.
    Frame(&'a [u8]),
    /// Bytes that are no frame, with a whole frame somewhere behind them.
    Corrupt {
        /// How many.
        bytes: usize,
    },
    /// The rest is no whole frame: a write that was cut off.
    Torn {
        /// Where it begins.
        at: usize,
    },
}

/// Reads frames from bytes, whatever they are.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// From the first frame on.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The payload of a whole frame at `at`.
    fn frame_at(&self, at: usize) -> Option<&'a [u8]> {
        let header = self.bytes.get(at..at + HEADER_BYTES)?;
        let number = |range: std::ops::Range<usize>| header[range].try_into().ok().map(u32::from_le_bytes);
        let length = number(4..8).filter(|length| header[..4] == MARKER && *length as usize <= PAYLOAD_BYTES_MAX)?;
        let payload = self.bytes.get(at + HEADER_BYTES..at + HEADER_BYTES + length as usize)?;
        (number(8..12)? == checksum(length, payload)).then_some(payload)
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Met<'a>;

    fn next(&mut self) -> Option<Met<'a>> {
        if self.at >= self.bytes.len() {
            return None;
        }
        if let Some(payload) = self.frame_at(self.at) {
            self.at += HEADER_BYTES + payload.len();
            return Some(Met::Frame(payload));
        }
        let start = self.at;
        let mut markers = start + 1..self.bytes.len().saturating_sub(HEADER_BYTES - 1);
        match markers.find(|at| self.bytes[*at..].starts_with(&MARKER) && self.frame_at(*at).is_some()) {
            Some(next) => {
                self.at = next;
                Some(Met::Corrupt { bytes: next - start })
            }
            None => {
                self.at = self.bytes.len();
                Some(Met::Torn { at: start })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn written(payloads: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        payloads.iter().for_each(|payload| assert!(write(payload, &mut bytes)));
        bytes
    }

    fn frames(bytes: &[u8]) -> Vec<Vec<u8>> {
        let frame = |met| match met {
            Met::Frame(payload) => Some(payload.to_vec()),
            Met::Corrupt { .. } | Met::Torn { .. } => None,
        };
        Reader::new(bytes).filter_map(frame).collect()
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in vec(any::<u8>(), 0..2048), payloads in vec(vec(any::<u8>(), 0..64), 0..4)) {
            let _ = Reader::new(&bytes).count();
            let mixed = [bytes.clone(), written(&payloads), bytes].concat();
            let found = frames(&mixed);
            prop_assert!(payloads.iter().all(|payload| found.contains(payload)));
        }

        #[test]
        fn a_truncation_leaves_a_prefix(payloads in vec(vec(any::<u8>(), 0..64), 0..8), cut in 0.0..1.0_f64) {
            let bytes = written(&payloads);
            let cut = (bytes.len() as f64 * cut) as usize;
            let mut whole = 0;
            let mut end = 0;
            for payload in &payloads {
                end += HEADER_BYTES + payload.len();
                whole += usize::from(end <= cut);
            }
            prop_assert_eq!(frames(&bytes[..cut]), &payloads[..whole]);
            let torn = Reader::new(&bytes[..cut]).any(|met| matches!(met, Met::Torn { .. }));
            let prefix: usize = payloads[..whole].iter().map(|p| HEADER_BYTES + p.len()).sum();
            prop_assert_eq!(torn, prefix < cut);
        }

        #[test]
        fn one_damaged_byte_costs_one_frame(payloads in vec(vec(any::<u8>(), 1..64), 1..8), at in any::<prop::sample::Index>(), flip in 1..=255_u8) {
            let mut bytes = written(&payloads);
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            let mut end = 0;
            let damaged = payloads.iter().position(|p| { end += HEADER_BYTES + p.len(); at < end }).unwrap();
            let mut expected = payloads.clone();
            expected.remove(damaged);
            prop_assert_eq!(frames(&bytes), expected);
        }
    }

    #[test]
    fn what_is_met_is_told_apart() {
        let bytes = written(&[b"one".to_vec(), b"two".to_vec()]);
        let mut damaged = bytes.clone();
        damaged[HEADER_BYTES] ^= 1;
        let met: Vec<_> = Reader::new(&damaged).collect();
        assert_eq!(met, [Met::Corrupt { bytes: HEADER_BYTES + 3 }, Met::Frame(b"two")]);
        let met: Vec<_> = Reader::new(&bytes[..bytes.len() - 1]).collect();
        assert_eq!(met, [Met::Frame(b"one"), Met::Torn { at: HEADER_BYTES + 3 }]);
        assert!(!write(&vec![0; PAYLOAD_BYTES_MAX + 1], &mut Vec::new()));
    }
}
