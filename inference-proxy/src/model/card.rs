//! Who pays for a card that several sessions use at once.
//!
//! A card costs the same whether one session runs on it or ten. So each moment in which any runs is paid for once, by those
//! that run, in equal parts: a session pays for the integral of `1 / n(t)` over its run, where `n(t)` sessions run at `t`.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The account of one card. It counts one reading that every run shares: how much a session that had always run would have
/// paid. A run's share is how far that went meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Card(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    running: u32,
    /// Until when the reading is right.
    until: Option<Instant>,
    reading: Duration,
}

/// The beginning of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begun(Duration);

impl Card {
    /// A run begins.
    pub(crate) fn begin(&self, now: Instant) -> Begun {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.advance(now);
        state.running += 1;
        Begun(state.reading)
    }

    /// It ends; its share of the time that the card was busy meanwhile.
    pub(crate) fn end(&self, begun: Begun, now: Instant) -> Duration {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.advance(now);
        state.running = state.running.saturating_sub(1);
        state.reading.saturating_sub(begun.0)
    }
}

impl State {
    fn advance(&mut self, now: Instant) {
        let passed = self.until.map_or(Duration::ZERO, |until| now.saturating_duration_since(until));
        self.until = self.until.max(Some(now));
        // nobody pays for an idle card
        self.reading += passed.checked_div(self.running).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    #[test]
    fn a_moment_is_paid_once_by_all_that_run() {
        let (card, start) = (Card::default(), Instant::now());
        let first = card.begin(at(start, 0));
        let second = card.begin(at(start, 100));
        assert_eq!(card.end(first, at(start, 200)), Duration::from_millis(150));
        let third = card.begin(at(start, 300));
        assert_eq!(card.end(second, at(start, 500)), Duration::from_millis(250));
        assert_eq!(card.end(third, at(start, 500)), Duration::from_millis(100));
        let alone = card.begin(at(start, 900));
        assert_eq!(card.end(alone, at(start, 1_000)), Duration::from_millis(100), "nobody paid for the time between");
    }

    proptest! {
        /// The oracle counts microseconds one by one.
        #[test]
        fn shares_add_up_to_the_time_in_which_any_ran(runs in proptest::collection::vec((0_u64..400, 1_u64..200), 1..20)) {
            let (card, start) = (Card::default(), Instant::now());
            let mut events: Vec<(u64, bool, usize)> =
                runs.iter().enumerate().flat_map(|(n, (from, took))| [(*from, true, n), (from + took, false, n)]).collect();
            events.sort_unstable();
            let mut begun = vec![None; runs.len()];
            let mut paid = Duration::ZERO;
            for (when, begins, n) in events {
                let now = start + Duration::from_micros(when);
                if begins {
                    begun[n] = Some(card.begin(now));
                } else {
                    paid += card.end(begun[n].unwrap(), now);
                }
            }
            let busy = (0..600).filter(|at| runs.iter().any(|(from, took)| (*from..from + took).contains(at))).count();
            // a nanosecond is lost in each division
            let apart = paid.abs_diff(Duration::from_micros(busy as u64));
            prop_assert!(apart < Duration::from_micros(1), "{paid:?} for {busy} us");
        }
    }
}
