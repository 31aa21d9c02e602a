//! Jobs that could run together, and the cheapest way to run all of them. Pure.

use std::ops::Range;
use std::time::Instant;

use super::batch::{Job, Turn};

/// A job as it is weighed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) length: usize,
    pub(super) rows: usize,
    pub(super) deadline: Instant,
    pub(super) turn: Turn,
}

impl Candidate {
    pub(super) fn of<T>(turn: Turn, job: &Job<T>) -> Self {
        Self { length: job.length, rows: job.rows, deadline: job.deadline, turn }
    }
}

/// What jobs add up to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Size {
    pub(super) jobs: usize,
    pub(super) longest: usize,
    pub(super) rows: usize,
    real: usize,
}

impl Size {
    pub(super) fn with(self, c: Candidate) -> Self {
        Self {
            jobs: self.jobs + 1,
            longest: self.longest.max(c.length),
            rows: self.rows.saturating_add(c.rows),
            real: self.real.saturating_add(c.length.saturating_mul(c.rows)),
        }
    }

    pub(super) fn padded(&self) -> usize {
        self.longest.saturating_mul(self.rows)
    }

    pub(super) fn padding(&self) -> f64 {
        1.0 - self.real as f64 / self.padded().max(1) as f64
    }
}

/// Jobs in the order in which they joined.
#[derive(Default)]
pub(super) struct Window {
    pub(super) jobs: Vec<Candidate>,
    pub(super) size: Size,
}

impl Window {
    pub(super) fn with(mut self, c: Candidate) -> Self {
        self.size = self.size.with(c);
        self.jobs.push(c);
        self
    }
}

/// Where the group of candidate `of` lies, when candidates sorted by length are cut into the groups that cost least in sum.
/// `seconds` says what a group costs, and `None` of one that may not be: nor may a longer one that ends with the same.
///
/// The cheapest cut of the first `n` ends with a group; before it stands the cheapest cut of the rest (dynamic programming,
/// as for breaking lines: Knuth and Plass 1981).
pub(super) fn group_of(of: usize, sorted: &[Candidate], seconds: impl Fn(Size) -> Option<f64>) -> Range<usize> {
    let mut cheapest = vec![0.0];
    let mut begins = Vec::with_capacity(sorted.len());
    for end in 1..=sorted.len() {
        let (mut size, mut best) = (Size::default(), (f64::INFINITY, end - 1));
        for start in (0..end).rev() {
            size = size.with(sorted[start]);
            let Some(seconds) = seconds(size) else { break };
            if cheapest[start] + seconds < best.0 {
                best = (cheapest[start] + seconds, start);
            }
        }
        cheapest.push(best.0);
        begins.push(best.1);
    }
    let mut end = sorted.len();
    while end > 0 && begins[end - 1] > of {
        end = begins[end - 1];
    }
    begins.get(end.wrapping_sub(1)).map_or(of..of + 1, |&start| start..end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn candidates(mut lengths: Vec<usize>) -> Vec<Candidate> {
        lengths.sort_unstable();
        let now = Instant::now();
        let one = |(id, &length): (u64, &usize)| Candidate { length, rows: 1, deadline: now, turn: (now, id) };
        (0..).zip(&lengths).map(one).collect()
    }

    /// So much for a run, so much for each padded token, at most 60 of them.
    fn seconds(run: f64) -> impl Fn(Size) -> Option<f64> {
        move |size| (size.jobs == 1 || size.padded() <= 60).then_some(run + size.padded() as f64)
    }

    #[test]
    fn what_is_near_runs_together_and_what_is_far_apart() {
        let all = candidates(vec![4, 5, 5, 20, 21, 200]);
        let groups: Vec<_> = (0..6).map(|of| group_of(of, &all, seconds(10.0))).collect();
        assert_eq!(groups, [0..3, 0..3, 0..3, 3..5, 3..5, 5..6]);
        assert_eq!(group_of(1, &all, seconds(0.5)), 1..3, "a run that costs little is not worth padding");
        assert_eq!(group_of(0, &all[..1], seconds(1.0)), 0..1);
    }

    proptest! {
        /// The oracle tries every way to cut.
        #[test]
        fn no_cut_is_cheaper(lengths in proptest::collection::vec(1_usize..40, 1..9), run in 0.0..30.0_f64) {
            let all = candidates(lengths);
            let price = |group: &[Candidate]| {
                seconds(run)(group.iter().fold(Size::default(), |size, &c| size.with(c))).unwrap_or(f64::INFINITY)
            };
            let cut = |ways: u32| {
                let mut groups = all.chunk_by(|a, b| {
                    let at = all.iter().position(|c| c.turn == b.turn).unwrap();
                    debug_assert!(a.length <= b.length);
                    ways & (1 << at) == 0
                });
                groups.by_ref().map(price).sum::<f64>()
            };
            let least = (0..1_u32 << all.len()).map(cut).fold(f64::INFINITY, f64::min);
            let mut found = 0.0;
            let mut at = 0;
            while at < all.len() {
                let group = group_of(at, &all, seconds(run));
                prop_assert!(group.contains(&at));
                prop_assert_eq!(group.start, at, "groups meet");
                found += price(&all[group.clone()]);
                at = group.end;
            }
            prop_assert!((found - least).abs() < 1e-6, "{found} instead of {least}");
        }
    }
}
