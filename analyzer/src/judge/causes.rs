//! Which parts of the traffic a shift comes from.
//!
//! At the point where a feature's two distributions are farthest apart, the shift is a difference of two shares of values. Where
//! every value belongs to one group, each share is the groups' shares weighted by their size, and the difference is a sum over
//! groups of two terms (Kitagawa 1955, "Components of a difference between two rates"): what a group's own values moved,
//! by its mean weight (`within`), and what it adds by weighing more or less than it did, by how far it is from the whole
//! (`mix`). The terms add up to the shift, so parts can be ranked by what they contribute; it is a description and tests nothing.

use super::reference::Reference;

/// One group's values by cell.
#[derive(Clone, Copy, Debug)]
pub struct Group<'a> {
    /// In the reference.
    pub before: &'a [u64],
    /// In the window.
    pub now: &'a [u64],
}

/// One group's part of the shift.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Part {
    /// What its own values moved.
    pub within: f64,
    /// What it adds by being more or less frequent.
    pub mix: f64,
    /// Its weight in the reference, 0 to 1.
    pub share_before: f64,
    /// Its weight in the window.
    pub share_now: f64,
    /// Share of its reference values at the point.
    pub before: Option<f64>,
    /// Share of its window values at the point.
    pub now: Option<f64>,
}

/// The shift of all groups together, and each group's part of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Parts {
    /// Share of values at the point in the window, less that in the reference.
    pub shift: f64,
    /// One a group, in their order.
    pub parts: Vec<Part>,
}

/// Splits the largest shift of a feature over groups that have every value once. `None` where either side holds nothing.
/// `kind` tells numbers from categories; its counts are not looked at.
#[must_use]
pub fn parts(kind: &Reference, groups: &[Group<'_>]) -> Option<Parts> {
    let before = pooled(groups.iter().map(|group| group.before))?;
    let now = pooled(groups.iter().map(|group| group.now))?;
    let (m, n) = (sum(&before), sum(&now));
    let point = Point::farthest(kind, &before, &now);
    let whole = (point.hits(&before) / m, point.hits(&now) / n);
    let part = |group: &Group<'_>| {
        let (size_before, size_now) = (sum(group.before), sum(group.now));
        let share = |cells: &[u64], size: f64| (size > 0.0).then(|| point.hits(cells) / size);
        let (was, is) = (share(group.before, size_before), share(group.now, size_now));
        // A group that is new, or gone, has moved nothing of its own: it weighs differently.
        let (one, other) = (was.or(is).unwrap_or(whole.0), is.or(was).unwrap_or(whole.0));
        let (weight_before, weight_now) = (size_before / m, size_now / n);
        Part {
            within: 0.5 * (weight_before + weight_now) * (other - one),
            mix: (weight_now - weight_before) * (0.5 * (one + other) - whole.0),
            share_before: weight_before,
            share_now: weight_now,
            before: was,
            now: is,
        }
    };
    Some(Parts { shift: whole.1 - whole.0, parts: groups.iter().map(part).collect() })
}

fn sum(cells: &[u64]) -> f64 {
    cells.iter().sum::<u64>() as f64
}

/// Cells of all groups together; `None` where they hold nothing.
fn pooled<'a>(groups: impl Iterator<Item = &'a [u64]>) -> Option<Vec<u64>> {
    let mut all: Vec<u64> = Vec::new();
    for cells in groups {
        all.resize(all.len().max(cells.len()), 0);
        all.iter_mut().zip(cells).for_each(|(all, n)| *all += n);
    }
    (sum(&all) > 0.0).then_some(all)
}

/// What is counted: of numbers the values up to a cell's end, of categories those in a cell.
#[derive(Clone, Copy, Debug)]
enum Point {
    UpTo(usize),
    In(usize),
}

impl Point {
    fn farthest(kind: &Reference, before: &[u64], now: &[u64]) -> Self {
        let (m, n) = (sum(before), sum(now));
        let points = (0..before.len()).map(|cell| match kind {
            Reference::Numbers(_) => Self::UpTo(cell),
            Reference::Categories(_) => Self::In(cell),
        });
        // Of two points that moved equally, such as two shares of two, the one that grew.
        let apart = |point: &Self| {
            let shift = point.hits(now) / n - point.hits(before) / m;
            shift.abs() + if shift > 0.0 { 1e-9 } else { 0.0 }
        };
        points
            .map(|point| (apart(&point), point))
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map_or(Self::In(0), |found| found.1)
    }

    fn hits(self, cells: &[u64]) -> f64 {
        match self {
            Self::UpTo(cell) => sum(&cells[..(cell + 1).min(cells.len())]),
            Self::In(cell) => cells.get(cell).copied().unwrap_or(0) as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kind(cells: usize) -> Reference {
        let names = (0..cells - 3).map(|i| (format!("c{i}"), 1)).collect();
        Reference::categories(names, 0, cells)
    }

    fn of(groups: &[(Vec<u64>, Vec<u64>)], kind: &Reference) -> Parts {
        let groups: Vec<Group<'_>> = groups.iter().map(|(before, now)| Group { before, now }).collect();
        parts(kind, &groups).unwrap()
    }

    #[test]
    fn the_group_that_moved_carries_the_shift() {
        // A quarter of traffic goes from 20 % to 80 % in the first cell, the others stay: .25 * .6 = .15.
        let found = of(
            &[(vec![50, 200, 0, 0, 0], vec![200, 50, 0, 0, 0]), (vec![150, 600, 0, 0, 0], vec![150, 600, 0, 0, 0])],
            &kind(5),
        );
        assert!((found.shift - 0.15).abs() < 1e-12);
        assert!((found.parts[0].within - 0.15).abs() < 1e-12 && found.parts[0].mix.abs() < 1e-12);
        assert!(found.parts[1].within.abs() < 1e-12 && found.parts[1].mix.abs() < 1e-12);
        assert_eq!((found.parts[0].before, found.parts[0].now), (Some(0.2), Some(0.8)));
    }

    #[test]
    fn a_group_that_grew_is_told_from_one_that_moved() {
        // Nobody's own values moved; the second group went from 10 % to 50 % of the traffic.
        let found = of(
            &[(vec![900, 0, 0, 0, 0], vec![500, 0, 0, 0, 0]), (vec![0, 100, 0, 0, 0], vec![0, 500, 0, 0, 0])],
            &kind(5),
        );
        let within: f64 = found.parts.iter().map(|part| part.within.abs()).sum();
        assert!(within < 1e-12 && (found.shift.abs() - 0.4).abs() < 1e-12, "{found:?}");
        let grew = found.parts[1].mix.abs();
        assert!(grew > found.parts[0].mix.abs() && grew > 0.3, "{found:?}");
    }

    #[test]
    fn nothing_has_no_parts() {
        assert_eq!(parts(&kind(4), &[Group { before: &[1, 0, 0, 0], now: &[0, 0, 0, 0] }]), None);
        assert_eq!(parts(&kind(4), &[]), None);
    }

    proptest! {
        #[test]
        fn parts_add_up_to_the_shift(
            groups in prop::collection::vec((prop::collection::vec(0u64..50, 6), prop::collection::vec(0u64..50, 6)), 1..6),
            numbers in any::<bool>(),
        ) {
            let kind = if numbers { Reference::numbers(&[0.5], 0, 1) } else { kind(6) };
            let borrowed: Vec<Group<'_>> = groups.iter().map(|(before, now)| Group { before, now }).collect();
            if let Some(found) = parts(&kind, &borrowed) {
                let sum: f64 = found.parts.iter().map(|part| part.within + part.mix).sum();
                prop_assert!((sum - found.shift).abs() < 1e-9, "{sum} is not {}", found.shift);
                prop_assert!(found.shift.abs() <= 1.0 + 1e-12);
            }
        }
    }
}
