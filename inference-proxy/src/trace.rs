//! W3C trace context: taken from the request, or begun with it.
//!
//! The trace id to store, a `traceparent` to answer with and to pass on, and who draws which share of all traces. Level 1 of
//! <https://www.w3.org/TR/trace-context/>; a header that breaks its rules is ignored, as the rules demand.

use uuid::Uuid;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// The trace a request belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// 32 lower-case hex digits, not all 0.
    pub id: String,
    flags: u8,
    /// The caller's span, where it began with the caller.
    parent: Option<u64>,
}

/// The span of a request that is observed under this id.
#[must_use]
pub fn span_of(observation: Uuid) -> u64 {
    xxh3_64(observation.as_bytes()).max(1)
}

const SAMPLED: u8 = 1;

impl Trace {
    /// The trace of the header, or a new one whose id is derived from the observation's.
    #[must_use]
    pub fn of(header: Option<&str>, observation: Uuid) -> Self {
        header.and_then(Self::parse).unwrap_or_else(|| {
            let id = xxh3_128(observation.as_bytes()).max(1);
            Self { id: format!("{id:032x}"), flags: SAMPLED, parent: None }
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
        well_formed.then(|| Self {
            id: id.to_owned(),
            flags: u8::from_str_radix(flags, 16).unwrap_or_default(),
            parent: u64::from_str_radix(parent, 16).ok(),
        })
    }

    /// The header to answer with: this trace, and our own span in it.
    #[must_use]
    pub fn header(&self, observation: Uuid) -> String {
        format!("00-{}-{:016x}-{:02x}", self.id, span_of(observation), self.flags & SAMPLED)
    }

    /// The caller's span.
    #[must_use]
    pub fn parent(&self) -> Option<u64> {
        self.parent
    }

    /// Its id as OTLP has it.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        // 32 hex digits, as both ways to make one have checked
        hex::decode(&self.id).unwrap_or_default()
    }

    /// Whether the caller keeps its part of the trace.
    #[must_use]
    pub fn is_followed(&self) -> bool {
        self.parent.is_some() && self.flags & SAMPLED == SAMPLED
    }

    /// Whether it is one of this share of all traces, drawn by the id so that every service draws the same: the last 56
    /// bits against a threshold (<https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/>).
    #[must_use]
    pub fn is_sampled_by(&self, share: f64) -> bool {
        const ALL: f64 = (1_u64 << 56) as f64;
        let drawn = self.id.get(18..).and_then(|tail| u64::from_str_radix(tail, 16).ok()).unwrap_or_default();
        #[expect(clippy::cast_precision_loss, reason = "a share of 1 and of 0 stay exact")]
        let drawn = drawn as f64;
        drawn >= (1.0 - share) * ALL
    }

    /// The trace as those behind us are told of it: one that began here says whether it is kept, a caller's never less
    /// than the caller said.
    #[must_use]
    pub fn sampled(self, sampled: bool) -> Self {
        let kept = if self.parent.is_some() { self.flags } else { 0 };
        Self { flags: kept | u8::from(sampled), ..self }
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
        assert_eq!((&answered.id, answered.flags), (&trace.id, trace.flags));
        assert_eq!((trace.parent(), answered.parent()), (Some(0x00f0_67aa_0ba9_02b7), Some(span_of(id))));
        assert!(!trace.header(id).contains("00f067aa0ba902b7"), "the span must be ours");
    }

    #[test]
    fn a_share_is_drawn_by_the_id_and_told_to_those_behind_us() {
        let begun = |n: u128| Trace::of(None, Uuid::from_u128(n));
        let kept = |share| (0..2_000).filter(|n| begun(*n).is_sampled_by(share)).count();
        assert_eq!((kept(0.0), kept(1.0)), (0, 2_000));
        // 5 standard deviations of a binomial of 2,000 and .1 are 67
        assert!((133..=267).contains(&kept(0.1)), "{}", kept(0.1));
        assert!((0..2_000).all(|n| !begun(n).is_sampled_by(0.1) || begun(n).is_sampled_by(0.2)));
        let said = |trace: Trace| trace.header(Uuid::nil()).ends_with("-01");
        let (followed, unfollowed) = (Trace::parse(GOOD).unwrap(), Trace::parse(&GOOD.replace("-01", "-00")).unwrap());
        assert!(followed.is_followed() && !unfollowed.is_followed() && !begun(1).is_followed());
        assert!(said(followed.clone().sampled(false)) && said(unfollowed.clone().sampled(true)));
        assert!(!said(unfollowed.sampled(false)) && !said(begun(1).sampled(false)));
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
