//! What a run costs: a table of measured times over (rows, length), and whether company is worth it. Pure.
//!
//! Whether a batch pays depends on model, provider and machine: eight mixed texts in order of arrival cost six times
//! the eight alone on one CPU, and next to nothing on a GPU. So nobody guesses here. The table is measured at warm-up and follows
//! the live runs: the cells around a run move towards what it took, and all others a little, because what slows one run
//! (other load on the machine) slows all of them, and a cell that is not visited must not look cheap for ever.

use serde::{Deserialize, Serialize};

/// Seconds by rows and length. Between its cells it interpolates; past them time grows with the padded size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CostTable {
    rows: Vec<usize>,
    lengths: Vec<usize>,
    /// One an item of `rows`, each with one an item of `lengths`.
    seconds: Vec<Vec<f64>>,
}

/// A measured run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    pub(crate) rows: usize,
    pub(crate) length: usize,
    pub(crate) seconds: f64,
}

/// Weight of one live run in the cells around it, and in all others.
const NEAR: f64 = 0.1;
const FAR: f64 = 0.02;
/// A run that took longer or shorter than predicted by more than this factor counts as this factor.
const SURPRISE_MAX: f64 = 4.0;
/// Company must save this share of the time apart: less is noise.
const SAVING_MIN: f64 = 0.03;

impl CostTable {
    /// A table over this grid from what was measured of it. What was not is taken to have no gain from company: so many
    /// times the run of one row. `None` where not even one row was measured, or a time is none.
    pub(crate) fn new(mut rows: Vec<usize>, mut lengths: Vec<usize>, points: &[Point]) -> Option<Self> {
        for axis in [&mut rows, &mut lengths] {
            axis.sort_unstable();
            axis.dedup();
        }
        let find = |r: usize, l: usize| points.iter().find(|p| p.rows == r && p.length == l).map(|p| p.seconds);
        let nearest = |l: usize| points.iter().filter(|p| p.rows == 1).min_by_key(|p| p.length.abs_diff(l));
        let one = |l: usize| find(1, l).or_else(|| nearest(l).map(|p| p.seconds * l as f64 / p.length as f64));
        let cell = |r: usize, l: usize| find(r, l).or_else(|| one(l).map(|seconds| seconds * r as f64));
        let seconds: Option<Vec<Vec<f64>>> =
            rows.iter().map(|&r| lengths.iter().map(|&l| cell(r, l)).collect()).collect();
        Some(Self { rows, lengths, seconds: seconds? }).filter(Self::is_sound)
    }

    /// The same with these cells measured anew. What is missing still has no gain from company, be it measured by then that
    /// one row costs something else.
    pub(crate) fn with(self, points: &[Point], missing: &[(usize, usize)]) -> Self {
        let measured = |cell: &Point| points.iter().any(|p| (p.rows, p.length) == (cell.rows, cell.length));
        let kept = self.cells().filter(|cell| !measured(cell) && !missing.contains(&(cell.rows, cell.length)));
        let all: Vec<Point> = points.iter().copied().chain(kept).collect();
        Self::new(self.rows.clone(), self.lengths.clone(), &all).unwrap_or(self)
    }

    /// Whether it can be used: a table from disk may be anything.
    pub(crate) fn is_sound(&self) -> bool {
        let grows = |axis: &[usize]| axis.first().is_some_and(|&a| a > 0) && axis.windows(2).all(|w| w[0] < w[1]);
        let whole =
            self.seconds.len() == self.rows.len() && self.seconds.iter().all(|row| row.len() == self.lengths.len());
        let times = self.seconds.iter().flatten().all(|s| s.is_finite() && *s > 0.0);
        grows(&self.rows) && grows(&self.lengths) && whole && times
    }

    /// Seconds that a session needs for so many rows, padded to this length.
    pub(crate) fn seconds(&self, rows: usize, length: usize) -> f64 {
        let ((i, u, beyond_rows), (j, v, beyond_length)) = (place(&self.rows, rows), place(&self.lengths, length));
        let at = |i: usize, j: usize| {
            let row = &self.seconds[i.min(self.rows.len() - 1)];
            row[j.min(row.len() - 1)]
        };
        let low = at(i, j) * (1.0 - v) + at(i, j + 1) * v;
        let high = at(i + 1, j) * (1.0 - v) + at(i + 1, j + 1) * v;
        (low * (1.0 - u) + high * u) * beyond_rows * beyond_length
    }

    /// Learns from a live run.
    pub(crate) fn saw(&mut self, run: Point) {
        let surprise = run.seconds / self.seconds(run.rows.max(1), run.length.max(1));
        if !surprise.is_finite() || surprise <= 0.0 {
            return;
        }
        let step = surprise.clamp(1.0 / SURPRISE_MAX, SURPRISE_MAX).ln();
        let ((i, u, _), (j, v, _)) = (place(&self.rows, run.rows.max(1)), place(&self.lengths, run.length.max(1)));
        let weight = |at: usize, low: usize, share: f64| match at.checked_sub(low) {
            Some(0) => 1.0 - share,
            Some(1) => share,
            _ => 0.0,
        };
        for (r, row) in self.seconds.iter_mut().enumerate() {
            for (l, cell) in row.iter_mut().enumerate() {
                let near = weight(r, i, u) * weight(l, j, v);
                *cell *= ((FAR + (NEAR - FAR) * near) * step).exp();
            }
        }
    }

    /// Rows by lengths by seconds, for whoever wants to see it.
    pub(crate) fn cells(&self) -> impl Iterator<Item = Point> + '_ {
        self.rows.iter().zip(&self.seconds).flat_map(|(&rows, seconds)| {
            self.lengths.iter().zip(seconds).map(move |(&length, &seconds)| Point { rows, length, seconds })
        })
    }
}

/// Where a value lies on an axis: the cell below, the share of the way to the next, and the factor past the end.
fn place(axis: &[usize], value: usize) -> (usize, f64, f64) {
    let (first, last) = (axis[0], axis[axis.len() - 1]);
    if value <= first {
        return (0, 0.0, 1.0);
    }
    if value >= last {
        return (axis.len() - 1, 0.0, value as f64 / last as f64);
    }
    let above = axis.partition_point(|&a| a <= value);
    let (low, high) = (axis[above - 1], axis[above]);
    (above - 1, (value - low) as f64 / (high - low) as f64, 1.0)
}

/// What the jobs of a growing batch would cost, together and apart.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weighing {
    /// Seconds of each alone, summed.
    apart: f64,
    /// The longest of them.
    longest: f64,
}

impl Weighing {
    /// With one more job.
    pub(crate) fn with(self, alone: f64) -> Self {
        Self { apart: self.apart + alone, longest: self.longest.max(alone) }
    }

    /// Seconds saved by running together what takes `together` seconds, where `idle` more sessions are free and would
    /// run the parts side by side; negative where it costs, and 0 where it saves too little to be sure of.
    pub(crate) fn saving(self, together: f64, idle: usize) -> f64 {
        let apart = (self.apart / (idle + 1) as f64).max(self.longest);
        let saving = apart - together;
        if (0.0..SAVING_MIN * apart).contains(&saving) { 0.0 } else { saving }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn point(rows: usize, length: usize, seconds: f64) -> Point {
        Point { rows, length, seconds }
    }

    fn table() -> CostTable {
        let points = [(1, 10, 1.0), (1, 20, 2.0), (4, 10, 2.0), (4, 20, 6.0)].map(|(r, l, s)| point(r, l, s));
        CostTable::new(vec![4, 1], vec![10, 20], &points).unwrap()
    }

    #[test]
    fn between_cells_it_interpolates_and_past_them_it_grows() {
        for (rows, length, seconds) in
            [(1, 10, 1.0), (1, 15, 1.5), (4, 15, 4.0), (1, 5, 1.0), (8, 20, 12.0), (4, 40, 12.0), (2, 10, 4.0 / 3.0)]
        {
            let found = table().seconds(rows, length);
            assert!((found - seconds).abs() < 1e-12, "{rows} x {length}: {found}");
        }
    }

    #[test]
    fn what_was_not_measured_has_no_gain() {
        let table = CostTable::new(vec![1, 4], vec![10, 20], &[point(1, 10, 1.0), point(4, 10, 2.0)]).unwrap();
        assert!((table.seconds(4, 20) - 8.0).abs() < 1e-12);
        assert_eq!(CostTable::new(vec![1], vec![10], &[]), None);
        assert_eq!(CostTable::new(vec![1], vec![10], &[point(1, 10, f64::NAN)]), None);
    }

    #[test]
    fn what_is_measured_later_takes_its_place() {
        let short = CostTable::new(vec![1, 4], vec![10, 20], &[point(1, 10, 1.0), point(1, 20, 2.0)]).unwrap();
        let more = short.with(&[point(4, 10, 1.5), point(9, 10, 1.0)], &[(4, 20)]);
        assert_eq!(more.seconds, [[1.0, 2.0], [1.5, 8.0]]);
    }

    #[test]
    fn it_follows_the_live_runs() {
        let mut table = table();
        for _ in 0..200 {
            table.saw(point(4, 10, 5.0));
        }
        assert!((table.seconds(4, 10) - 5.0).abs() < 0.01, "{}", table.seconds(4, 10));
        assert!(table.seconds(1, 20) > 2.0, "what slows one run slows all");
        let before = table.clone();
        table.saw(point(4, 10, 0.0));
        table.saw(point(1, 10, f64::NAN));
        assert_eq!(table, before, "what is no time teaches nothing");
    }

    #[test]
    fn company_must_save_time() {
        let two = Weighing::default().with(1.0).with(1.0);
        assert!(two.saving(1.5, 0) > 0.0, "cheaper: one session, less of its time");
        assert!(two.saving(1.5, 1) < 0.0, "another session is free: side by side they finish sooner");
        assert!(two.saving(2.5, 0) < 0.0);
        assert!(two.saving(1.99, 0).abs() < f64::EPSILON, "too little to be sure of");
        assert!(two.saving(0.5, 1) > 0.0, "sooner than the longest alone");
    }

    proptest! {
        #[test]
        fn a_sound_table_stays_sound(
            runs in proptest::collection::vec((0_usize..200, 0_usize..2_000, prop_oneof![any::<f64>(), 1e-6..10.0]), 0..300),
        ) {
            let mut table = table();
            for (rows, length, seconds) in runs {
                table.saw(point(rows, length, seconds));
                let seconds = table.seconds(rows, length);
                prop_assert!(table.is_sound() && seconds.is_finite() && seconds > 0.0);
            }
        }
    }
}
