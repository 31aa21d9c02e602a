//! The watermark: event time up to which nothing more is expected.
//!
//! Every source promises, with each heartbeat, that nothing older than its `sent_at` less the allowed lateness is still to come.
//! So the watermark is the least of these over live sources. A source that was silent for too long is left out, or one dead
//! host would stop all verdicts. With none alive the clock takes over, as late as a silent source is given up.

use contract::wire::SINGLE_SOURCE;
use store::read::SourceSeen;

use crate::config::Windows;

/// The watermark as of now; `None` where nothing was ever seen.
#[must_use]
pub fn of(sources: &[SourceSeen], any_model: bool, now_ms: i64, windows: &Windows) -> Option<i64> {
    // Single posts promise nothing: one curl line must not hold up everybody's windows until it counts as silent.
    let promising = sources.iter().filter(|source| source.source != SINGLE_SOURCE);
    let live = promising.filter(|source| now_ms - source.received_at_ms <= windows.silence_ms);
    // A clock ahead of ours must not close windows that are still open.
    let least = live.map(|source| source.sent_at_ms.min(now_ms)).min();
    let unattended = (any_model || !sources.is_empty()).then_some(now_ms - windows.silence_ms);
    Some(least.or(unattended)? - windows.lateness_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOWS: Windows =
        Windows { length_ms: 10_000, lateness_ms: 1_000, silence_ms: 30_000, span: 1, backlog: 10 };
    const NOW: i64 = 1_000_000;

    fn source(sent_at_ms: i64, received_at_ms: i64) -> SourceSeen {
        SourceSeen {
            source: "s".into(),
            sent_at_ms,
            received_at_ms,
            observed: 0,
            delivered: 0,
            dropped: 0,
            in_flight: 0,
        }
    }

    #[test]
    fn the_slowest_live_source_decides() {
        let at = |sources: &[SourceSeen]| of(sources, true, NOW, &WINDOWS);
        assert_eq!(at(&[source(NOW - 100, NOW), source(NOW - 5_000, NOW - 200)]), Some(NOW - 6_000));
        assert_eq!(at(&[source(NOW - 100, NOW), source(NOW - 90_000, NOW - 60_000)]), Some(NOW - 1_100));
        assert_eq!(at(&[source(NOW + 90_000, NOW)]), Some(NOW - 1_000), "a clock ahead");
    }

    #[test]
    fn a_single_post_holds_nobody_up() {
        let curl = SourceSeen { source: SINGLE_SOURCE.into(), ..source(NOW - 20_000, NOW - 20_000) };
        assert_eq!(of(&[source(NOW, NOW), curl.clone()], true, NOW, &WINDOWS), Some(NOW - 1_000));
        assert_eq!(of(&[curl], true, NOW, &WINDOWS), Some(NOW - 31_000), "alone, the clock decides");
    }

    #[test]
    fn with_no_source_alive_the_clock_takes_over() {
        assert_eq!(of(&[source(NOW - 90_000, NOW - 80_000)], true, NOW, &WINDOWS), Some(NOW - 31_000));
        assert_eq!(of(&[], true, NOW, &WINDOWS), Some(NOW - 31_000));
        assert_eq!(of(&[], false, NOW, &WINDOWS), None);
    }
}
