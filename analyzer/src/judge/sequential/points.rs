//! Witness points: the events whose frequency is watched over windows.
//!
//! For numbers, "the value lies before this cut", at cuts of about equal reference mass, and at the ends, so that values out
//! of the reference's range and columns that turn to NaN are seen too. For categories, "the value is this name". Both are a
//! range of cells, so nothing after this file knows the difference.

use std::ops::Range;

use crate::judge::reference::{Categories, Numbers, Reference};

/// Cuts at quantiles, besides those at the ends.
const CUTS: usize = 31;
/// Names watched; the never seen, missing and other are watched besides.
const NAMES: usize = 61;

/// An event: the value lies in these cells.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    cells: Range<usize>,
    /// Its share of the reference.
    pub least: f64,
    /// The share up to which more of it is no news: larger than `least` for names never seen only.
    pub most: f64,
}

impl Point {
    /// An event whose share of the truth lies between two, as a reference's own interval says.
    #[must_use]
    pub const fn new(cells: Range<usize>, least: f64, most: f64) -> Self {
        Self { cells, least, most }
    }

    /// How many of a window's values are in it.
    #[must_use]
    pub fn count(&self, cells: &[u64]) -> u64 {
        cells.get(self.cells.clone()).map_or(0, |cells| cells.iter().sum())
    }
}

/// The points of a reference; none where it holds nothing.
#[must_use]
pub fn of(reference: &Reference) -> Vec<Point> {
    match reference {
        Reference::Numbers(numbers) => cuts(numbers),
        Reference::Categories(categories) => names(categories),
    }
}

fn cuts(numbers: &Numbers) -> Vec<Point> {
    let total: u64 = numbers.counts.iter().sum();
    if total == 0 {
        return Vec::new();
    }
    // after: minus infinity and underflow; the inner bins; overflow
    let ends = [2, numbers.edges.len() + 1, numbers.edges.len() + 2];
    let (mut wanted, mut before) = (1, 0u64);
    let mut points = Vec::with_capacity(CUTS + ends.len());
    for (cell, count) in numbers.counts.iter().enumerate().take(numbers.counts.len() - 1) {
        before += count;
        let due = before * (CUTS as u64 + 1) >= wanted * total && wanted <= CUTS as u64;
        if due {
            wanted = before * (CUTS as u64 + 1) / total + 1;
        }
        if due || ends.contains(&(cell + 1)) {
            let share = before as f64 / total as f64;
            points.push(Point { cells: 0..cell + 1, least: share, most: share });
        }
    }
    points
}

fn names(categories: &Categories) -> Vec<Point> {
    let total: u64 = categories.counts.iter().sum();
    if total == 0 {
        return Vec::new();
    }
    let never_seen = categories.names.len();
    let once = categories.once();
    let watched = (0..never_seen.min(NAMES)).chain(never_seen..categories.counts.len());
    watched
        .map(|cell| {
            let count = categories.counts[cell];
            let news = if cell == never_seen { count + once } else { count };
            let share = |count: u64| count as f64 / total as f64;
            Point { cells: cell..cell + 1, least: share(count), most: share(news) }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_are_spread_over_the_mass_and_reach_the_ends() {
        let reference = Reference::numbers(&(0..10_000).map(f64::from).collect::<Vec<_>>(), 0, 1_024);
        let points = of(&reference);
        assert!((33..=34).contains(&points.len()), "{}", points.len());
        assert_eq!(points[0].least, 0.0, "what lies below the reference's range");
        assert_eq!(points.last().unwrap().least, 1.0, "what is no finite number");
        assert!(points.windows(2).all(|pair| pair[1].least - pair[0].least < 0.034));
        let nan = reference.cells([(store::read::bin::MISSING, 40)]);
        assert!(points.iter().all(|point| point.count(&nan) == 0));
    }

    #[test]
    fn a_column_of_one_value_has_a_cut_on_either_side() {
        let reference = Reference::numbers(&[7.0; 500], 0, 64);
        let shares: Vec<f64> = of(&reference).iter().map(|point| point.least).collect();
        assert_eq!((shares.first(), shares.last()), (Some(&0.0), Some(&1.0)), "{shares:?}");
    }

    #[test]
    fn every_name_and_what_has_none() {
        let reference = Reference::categories(vec![("a".into(), 60), ("b".into(), 39), ("c".into(), 1)], 0, 8);
        let points = of(&reference);
        assert_eq!(points.len(), 6);
        assert_eq!((points[0].least, points[0].most), (0.6, 0.6));
        // one value in a hundred had a name that came once: as many may come with names never seen
        assert_eq!((points[3].least, points[3].most), (0.0, 0.01));
        assert_eq!(points[3].count(&reference.cells([(store::read::bin::NEVER_SEEN, 5), (0, 2)])), 5);
    }
}
