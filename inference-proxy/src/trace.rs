//! W3C trace context: taken from the request, or begun with it.
//!
//! Only what the observation needs: the trace id to store, and a `traceparent` to answer with. Level 1 of
//! <https://www.w3.org/TR/trace-context/>; a header that breaks its rules is ignored, as the rules demand.

use uuid::Uuid;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// The trace a request belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// 32 lower-case hex digits, not all 0.
    pub id: String,
    flags: u8,
}

const SAMPLED: u8 = 1;

impl Trace {
    /// The trace of the header, or a new one whose id is derived from the observation's.
    #[must_use]
    pub fn of(header: Option<&str>, observation: Uuid) -> Self {
        header.and_then(Self::parse).unwrap_or_else(|| {
            let id = xxh3_128(observation.as_bytes()).max(1);
            Self { id: format!("{id:032x}"), flags: SAMPLED }
        })
    }

    /// Reads a `traceparent`.
    #[must_use]
    pub fn parse(header: &str) -> Option<Self> {
        let mut parts = header.trim().split('-');
        let (version, id, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let well_formed = lower_hex(version, 2)
            && version != "ff"
            && (version != "00" || parts.next().is_none())
            && non_zero_hex(id, 32)
            && non_zero_hex(parent, 16)
            && lower_hex(flags, 2);
        well_formed.then(|| Self { id: id.to_owned(), flags: u8::from_str_radix(flags, 16).unwrap_or_default() })
    }

    /// The header to answer with: this trace, and our own span in it.
    #[must_use]
    pub fn header(&self, observation: Uuid) -> String {
        format!("00-{}-{:016x}-{:02x}", self.id, xxh3_64(observation.as_bytes()).max(1), self.flags & SAMPLED)
    }
}

fn lower_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn non_zero_hex(text: &str, length: usize) -> bool {
    lower_hex(text, length) && text.bytes().any(|b| b != b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_trace_goes_on() {
        let id = Uuid::from_u128(5);
        let trace = Trace::of(Some(GOOD), id);
        assert_eq!(trace.id, "4bf92f3577b34da6a3ce929d0e0e4736");
        let answered = Trace::parse(&trace.header(id)).unwrap();
        assert_eq!(answered, trace);
        assert!(!trace.header(id).contains("00f067aa0ba902b7"), "the span must be ours");
    }

    #[test]
    fn a_trace_begins_where_there_is_none_to_go_on() {
        for header in [
            None,
            Some(""),
            Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7"),
            Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more"),
            Some("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            Some("00-00000000000000000000000000000000-00f067aa0ba902b7-01"),
            Some("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"),
            Some("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01"),
        ] {
            let (a, b) = (Trace::of(header, Uuid::from_u128(1)), Trace::of(header, Uuid::from_u128(2)));
            assert_ne!(a.id, b.id, "{header:?}");
            assert!(Trace::parse(&a.header(Uuid::from_u128(1))).is_some());
        }
        assert!(Trace::parse("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more").is_some());
    }
}
