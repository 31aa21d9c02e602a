//! Figures whose cost grows with what is stored: shadow comparisons, the periods of error budgets, traffic by window.
//!
//! The choice: such a figure is always counted over all its rows and never by adding what is new, because rows arrive late and out
//! of order (a segment may be inserted hours after it was received), and a sum kept beside them would drift from them unseen.
//! What gives way is how often: a count that took a second is made again after twenty, so that counting takes at most
//! a twentieth of the time, whatever the traffic. Small tables are counted in every cycle.

use std::time::Duration;

/// A count rests for this many times as long as it took.
const REST_FACTOR: u32 = 20;

/// A figure, and when it is worth counting again.
#[derive(Clone, Debug)]
pub struct Paced<T>(Option<Counted<T>>);

#[derive(Clone, Debug)]
struct Counted<T> {
    value: T,
    at_ms: i64,
    rest_ms: i64,
}

impl<T> Default for Paced<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Paced<T> {
    /// The figure while it rests; `None` when it has to be counted.
    #[must_use]
    pub fn fresh(&self, now_ms: i64) -> Option<&T> {
        // A clock that went back would make it rest for as long.
        let rests = |counted: &&Counted<T>| (0..counted.rest_ms).contains(&(now_ms - counted.at_ms));
        self.0.as_ref().filter(rests).map(|counted| &counted.value)
    }

    /// The figure as last counted, however old.
    #[must_use]
    pub fn last(&self) -> Option<&T> {
        self.0.as_ref().map(|counted| &counted.value)
    }

    /// Keeps a figure that took so long to count, for at most `rest_ms`: what is asked of it needs it that new.
    pub fn put_within(&mut self, value: T, now_ms: i64, rest_ms: i64, took: Duration) -> &T {
        let rest = i64::try_from((took * REST_FACTOR).as_millis()).unwrap_or(i64::MAX);
        &self.0.insert(Counted { value, at_ms: now_ms, rest_ms: rest.min(rest_ms) }).value
    }

    /// Keeps a figure that took so long to count, for at least `rest_ms`.
    pub fn put(&mut self, value: T, now_ms: i64, rest_ms: i64, took: Duration) -> &T {
        let rest = i64::try_from((took * REST_FACTOR).as_millis()).unwrap_or(i64::MAX);
        &self.0.insert(Counted { value, at_ms: now_ms, rest_ms: rest_ms.max(rest) }).value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_rests_in_proportion_to_its_cost() {
        let mut paced = Paced::default();
        assert_eq!(paced.fresh(0), None);
        assert_eq!(*paced.put(7, 1_000, 0, Duration::from_millis(50)), 7);
        assert_eq!((paced.fresh(1_999), paced.fresh(2_000)), (Some(&7), None));
        assert_eq!(paced.last(), Some(&7));
        paced.put(8, 1_000, 5_000, Duration::from_millis(50));
        assert_eq!((paced.fresh(5_999), paced.fresh(6_000)), (Some(&8), None));
        paced.put(9, 1_000, 0, Duration::ZERO);
        assert_eq!(paced.fresh(1_000), None, "what costs nothing is counted in every cycle");
    }

    #[test]
    fn a_figure_that_has_to_be_new_rests_no_longer_than_it_may() {
        let mut paced = Paced::default();
        paced.put_within(7, 0, 5_000, Duration::from_millis(50));
        assert_eq!((paced.fresh(999), paced.fresh(1_000)), (Some(&7), None));
        paced.put_within(7, 0, 5_000, Duration::from_secs(60));
        assert_eq!((paced.fresh(4_999), paced.fresh(5_000)), (Some(&7), None));
    }

    #[test]
    fn a_clock_that_goes_back_does_not_prolong_the_rest() {
        let mut paced = Paced::default();
        paced.put(7, 1_000_000, 10_000, Duration::ZERO);
        assert_eq!(paced.fresh(500_000), None);
    }
}
