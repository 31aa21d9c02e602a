//! What one walk over a column's values in order leaves: every figure of its report, from sorted values in memory and from a
//! stream of them alike.
//!
//! The choice: where quantiles stand is known before the walk, from how many values there are of each sort. So it keeps what it
//! finds at those places, and needs no value a second time.

use crate::judge::{
    order::{self, Group, Sorts},
    ranks::Walk,
    reference::Numbers,
    wasserstein::{self, Area, Moved},
};

/// Bins of a reference that is drawn and merged.
const BINS: u64 = 1_024;
/// Points of a drawn distribution function.
const CURVE_POINTS: u64 = 120;

/// What is left of a column.
pub(super) struct Measured {
    /// What the rank tests take.
    pub(super) walk: Walk,
    /// The reference in bins.
    pub(super) frozen: Numbers,
    /// The current values in those.
    pub(super) cells: Vec<u64>,
    /// How far values moved.
    pub(super) moved: Option<Moved>,
    /// Both distribution functions between the outer percentiles of the two samples together.
    pub(super) curve: Vec<(f64, f64, f64)>,
}

/// Measures two samples whose values come in order.
pub(super) fn measure(sorts: (Sorts, Sorts), groups: impl Iterator<Item = Group>) -> Measured {
    let mut walk = Walk::new(sorts.0.total(), sorts.1.total());
    let mut area = Area::new(sorts);
    let (bins, points) = (quantiles(&sorts.0), (points(&sorts.0), points(&sorts.1)));
    let quartiles = wasserstein::quartiles(&sorts.0);
    let wanted = bins.iter().chain(&points.0).chain(&quartiles).copied().collect();
    let mut marks = Marks::new(wanted, points.1.clone());
    for group in groups {
        let before = walk.passed();
        walk.take(&group);
        area.take(&group);
        marks.take(group.key, before, walk.passed());
    }
    let [low, high] = quartiles.map(|at| marks.in_first(at).map_or(f64::NAN, |mark| order::value(mark.key)));
    let (frozen, cells) = binned(sorts, &bins, &marks);
    let first = points.0.iter().chain(bins.first()).filter_map(|at| marks.in_first(*at));
    let mut shown: Vec<&Mark> = first.chain(points.1.iter().filter_map(|at| marks.in_second(*at))).collect();
    shown.sort_unstable_by_key(|mark| mark.key);
    shown.dedup_by_key(|mark| mark.key);
    let (m, n) = walk.sizes();
    let point = |mark: &Mark| (order::value(mark.key), mark.upto.0 as f64 / m as f64, mark.upto.1 as f64 / n as f64);
    Measured { walk, frozen, cells, moved: area.moved(high - low), curve: shown.into_iter().map(point).collect() }
}

/// Where edges of bins stand in the sorted reference, the largest value last.
fn quantiles(sorts: &Sorts) -> Vec<u64> {
    let finite = sorts.finite;
    let inner = (0..BINS).map(|i| sorts.least + (u128::from(i) * u128::from(finite) / u128::from(BINS)) as u64);
    inner.chain([sorts.least + finite.saturating_sub(1)]).filter(|_| finite > 0).collect()
}

/// Where points of a drawn distribution function stand in a sorted sample.
fn points(sorts: &Sorts) -> Vec<u64> {
    let last = sorts.finite.saturating_sub(1);
    let half = CURVE_POINTS / 2;
    let point = |i: u64| sorts.least + (u128::from(last) * u128::from(i) / u128::from(half + 1)) as u64;
    (1..=half).filter(|_| sorts.finite > 0).map(point).collect()
}

/// The reference's bins, as [`Reference::of_sorted`](crate::judge::reference::Reference::of_sorted) makes them, and the current
/// values in them.
fn binned(sorts: (Sorts, Sorts), bins: &[u64], marks: &Marks) -> (Numbers, Vec<u64>) {
    let mut ends: Vec<(f64, (u64, u64))> = Vec::with_capacity(bins.len() + 8);
    let mut end = |value: f64, below: (u64, u64)| {
        if value.is_finite() && ends.last().is_none_or(|(last, _)| *last < value) {
            ends.push((value, below));
        }
    };
    for (i, at) in bins.iter().enumerate() {
        let Some(mark) = marks.in_first(*at) else { continue };
        let (value, is_largest) = (order::value(mark.key), i + 1 == bins.len());
        if !is_largest {
            end(value, mark.before);
        }
        // a value with more than a bin's share has a bin of its own
        if is_largest || u128::from(mark.upto.0 - mark.before.0) * u128::from(BINS) > u128::from(sorts.0.finite) {
            end(value.next_up(), mark.upto);
        }
    }
    let cells = |sorts: &Sorts, below: &dyn Fn(&(u64, u64)) -> u64| {
        let (numbers, total) = (sorts.least + sorts.finite + sorts.most, sorts.total());
        let special = [sorts.least + sorts.finite, numbers, numbers + sorts.nan, total, total];
        let ends = std::iter::once(sorts.least).chain(ends.iter().map(|(_, at)| below(at))).chain(special);
        ends.scan(0, |start, end| Some(end - std::mem::replace(start, end))).collect::<Vec<u64>>()
    };
    let (counts, current) = (cells(&sorts.0, &|at| at.0), cells(&sorts.1, &|at| at.1));
    (Numbers { edges: ends.iter().map(|(edge, _)| *edge).collect(), counts }, current)
}

/// A value, and how many of both samples are below it and at most it.
#[derive(Clone, Copy)]
struct Mark {
    key: u64,
    before: (u64, u64),
    upto: (u64, u64),
}

/// The values at certain places of the sorted samples.
struct Marks {
    wanted: (Vec<u64>, Vec<u64>),
    /// How many of those were passed.
    met: (usize, usize),
    next: (u64, u64),
    found: Vec<Mark>,
}

impl Marks {
    fn new(mut first: Vec<u64>, mut second: Vec<u64>) -> Self {
        first.sort_unstable();
        second.sort_unstable();
        let next = |wanted: &[u64]| wanted.first().copied().unwrap_or(u64::MAX);
        Self { next: (next(&first), next(&second)), wanted: (first, second), met: (0, 0), found: Vec::new() }
    }

    #[inline]
    fn take(&mut self, key: u64, before: (u64, u64), upto: (u64, u64)) {
        if upto.0 > self.next.0 || upto.1 > self.next.1 {
            self.found.push(Mark { key, before, upto });
            let pass = |wanted: &[u64], met: &mut usize, upto: u64| {
                *met += wanted[*met..].partition_point(|at| *at < upto);
                wanted.get(*met).copied().unwrap_or(u64::MAX)
            };
            self.next.0 = pass(&self.wanted.0, &mut self.met.0, upto.0);
            self.next.1 = pass(&self.wanted.1, &mut self.met.1, upto.1);
        }
    }

    /// The value at a place of the first sample.
    fn in_first(&self, at: u64) -> Option<&Mark> {
        self.found.get(self.found.partition_point(|mark| mark.upto.0 <= at))
    }

    fn in_second(&self, at: u64) -> Option<&Mark> {
        self.found.get(self.found.partition_point(|mark| mark.upto.1 <= at))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::judge::reference::Reference;

    fn value() -> impl Strategy<Value = u64> {
        let special = prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(f64::MAX)];
        prop_oneof![
            6 => any::<f64>().prop_map(order::key),
            6 => (-4i32..4).prop_map(|x| order::key(f64::from(x))),
            1 => special.prop_map(order::key),
            1 => Just(order::MISSING),
        ]
    }

    proptest! {
        #[test]
        fn one_walk_finds_what_searching_finds(
            mut first in prop::collection::vec(value(), 1..3_000),
            mut second in prop::collection::vec(value(), 1..300),
        ) {
            first.sort_unstable();
            second.sort_unstable();
            let sorts = (Sorts::of_sorted(&first), Sorts::of_sorted(&second));
            let found = measure(sorts, order::groups(&first, &second));
            let Reference::Numbers(expected) = Reference::of_sorted(&first, BINS as usize) else {
                unreachable!("numbers were given")
            };
            prop_assert_eq!(&found.cells, &expected.cells_of_sorted(&second));
            prop_assert_eq!(&found.frozen, &expected);
            prop_assert_eq!(Some(found.walk), Walk::over(&first, &second));
            prop_assert_eq!(found.moved, wasserstein::wasserstein(&first, &second));
            let upto = |sorted: &[u64], x: f64| {
                sorted.partition_point(|key| *key <= order::key(x)) as f64 / sorted.len() as f64
            };
            for (x, reference, current) in found.curve {
                prop_assert_eq!((reference, current), (upto(&first, x), upto(&second, x)));
            }
        }
    }
}
