//! How far two frozen references of one feature are apart, from their counts alone.
//!
//! Each knows its distribution function at its own edges and, between two of them, that it does not fall. Over the edges of both that
//! bounds the exact Kolmogorov-Smirnov distance of the two frozen samples from both sides, as [`bounds`](super::bounds) does where
//! the bins are shared. For categories the distance is the largest difference of a share; a name that one side counted among the rare
//! ones has a share there between 0 and that of all of them.

use std::collections::BTreeSet;

use super::{
    order,
    reference::{Categories, Numbers, Reference},
};

/// Bounds on a distance, and where it shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Between {
    /// The distance is at least this.
    pub lower: f64,
    /// And at most this.
    pub upper: f64,
    /// Where the lower bound is reached; `None` where the two agree.
    pub at: Option<Place>,
}

/// Where two references differ most.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// In words that follow "of values are".
    pub what: String,
    /// Share there in the first, as far as it is known.
    pub first: f64,
    /// Share there in the second.
    pub second: f64,
}

/// The distance of two references; `None` where one holds numbers and the other categories.
#[must_use]
pub fn between(first: &Reference, second: &Reference) -> Option<Between> {
    match (first, second) {
        (Reference::Numbers(first), Reference::Numbers(second)) => Some(numbers(first, second)),
        (Reference::Categories(first), Reference::Categories(second)) => Some(categories(first, second)),
        _ => None,
    }
}

/// Keys of [`order`] with room for what comes after all of them.
type Key = u128;

const MISSING: Key = order::MISSING as Key;
const OTHER: Key = MISSING + 1;

/// A share, at least and at most.
type Share = (f64, f64);

/// A distribution function: the share of values before each of some keys.
struct Steps(Vec<(Key, f64)>);

impl Steps {
    fn of(numbers: &Numbers) -> Self {
        let key = |value: f64| Key::from(order::key(value));
        let mut keys = vec![key(store::read::bin::LEAST)];
        keys.extend(numbers.edges.iter().map(|edge| key(*edge)));
        // the last value, then what is no number, then what is no value, then what is of another type
        keys.extend([key(f64::INFINITY), key(f64::INFINITY) + 1, MISSING, OTHER, OTHER + 1]);
        let total = numbers.counts.iter().sum::<u64>().max(1) as f64;
        let mut before = 0;
        let steps = keys.into_iter().zip(&numbers.counts).map(|(key, count)| {
            before += count;
            (key, before as f64 / total)
        });
        Self(std::iter::once((key(f64::NEG_INFINITY), 0.0)).chain(steps).collect())
    }

    /// Share before a key: at least and at most.
    fn at(&self, key: Key) -> (f64, f64) {
        let after = self.0.partition_point(|(known, _)| *known < key);
        let (found, most) = self.0.get(after).copied().unwrap_or((key, 1.0));
        let least = if found == key { most } else { after.checked_sub(1).map_or(0.0, |i| self.0[i].1) };
        (least, most)
    }
}

fn numbers(first: &Numbers, second: &Numbers) -> Between {
    let (first, second) = (Steps::of(first), Steps::of(second));
    let keys: BTreeSet<Key> = first.0.iter().chain(&second.0).map(|(key, _)| *key).collect();
    let mut found = Between { lower: 0.0, upper: 0.0, at: None };
    let mut before: Option<(Key, Share, Share)> = None;
    for key in keys {
        let (a, b) = (first.at(key), second.at(key));
        let apart = (a.0 - b.1).max(b.0 - a.1);
        // of equals the last: what is missing is no number either
        if apart > 0.0 && apart >= found.lower {
            let (share, other) = (f64::midpoint(a.0, a.1), f64::midpoint(b.0, b.1));
            (found.lower, found.at) = (apart, Some(Place { what: place(key), first: share, second: other }));
        }
        found.upper = found.upper.max(a.1 - b.0).max(b.1 - a.0);
        if let Some((last, was_a, was_b)) = before {
            // between two neighbours there is no value
            if key - last > 1 {
                found.upper = found.upper.max(a.1 - was_b.0).max(b.1 - was_a.0);
            }
        }
        before = Some((key, a, b));
    }
    found.upper = found.upper.min(1.0);
    found
}

/// What lies before a key.
fn place(key: Key) -> String {
    match u64::try_from(key) {
        Ok(order::MISSING) => "given".to_owned(),
        Ok(key) if key > order::key(f64::INFINITY) => "numbers".to_owned(),
        Ok(key) if key == order::key(f64::INFINITY) => "finite numbers".to_owned(),
        Ok(key) => format!("below {}", Short(order::value(key))),
        Err(_) => "of the type that is expected".to_owned(),
    }
}

/// A number in a few digits, whatever its size.
struct Short(f64);

impl std::fmt::Display for Short {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let size = self.0.abs();
        if size == 0.0 || (1e-3..1e6).contains(&size) {
            write!(f, "{:.4}", self.0)
        } else {
            write!(f, "{:.3e}", self.0)
        }
    }
}

fn categories(first: &Categories, second: &Categories) -> Between {
    let names: BTreeSet<&str> = first.names.iter().chain(&second.names).map(String::as_str).collect();
    let mut found = Between { lower: 0.0, upper: 0.0, at: None };
    let mut look = |what: &dyn Fn() -> String, a: (f64, f64), b: (f64, f64)| {
        let apart = (a.0 - b.1).max(b.0 - a.1);
        if apart > found.lower {
            let (first, second) = (f64::midpoint(a.0, a.1), f64::midpoint(b.0, b.1));
            (found.lower, found.at) = (apart, Some(Place { what: what(), first, second }));
        }
        found.upper = found.upper.max(a.1 - b.0).max(b.1 - a.0);
    };
    for name in names {
        look(&|| format!("'{name}'"), share(first, name), share(second, name));
    }
    for (offset, what) in [(1, "missing"), (2, "no category")] {
        let special = |of: &Categories| exact(of, of.names.len() + offset);
        look(&|| what.to_owned(), special(first), special(second));
    }
    found
}

/// Share of a name: at least and at most.
fn share(of: &Categories, name: &str) -> (f64, f64) {
    match of.names.iter().position(|known| known == name) {
        Some(cell) => exact(of, cell),
        None => (0.0, exact(of, of.names.len()).1),
    }
}

fn exact(of: &Categories, cell: usize) -> (f64, f64) {
    let total = of.counts.iter().sum::<u64>().max(1) as f64;
    let share = of.counts.get(cell).copied().unwrap_or(0) as f64 / total;
    (share, share)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::judge::ks;

    fn frozen(values: &[f64], bins: usize) -> Reference {
        Reference::numbers(values, 0, bins)
    }

    #[test]
    fn a_reference_is_no_distance_from_itself() {
        let values: Vec<f64> = (0..2_000).map(|i| f64::from(i % 700)).collect();
        let found = between(&frozen(&values, 64), &frozen(&values, 64)).unwrap();
        assert_eq!((found.lower, found.at), (0.0, None));
        assert!(found.upper <= 1.3 / 64.0, "{}", found.upper);
    }

    #[test]
    fn what_is_no_number_has_its_place_too() {
        let mut values = vec![1.0, 2.0, f64::INFINITY, f64::NEG_INFINITY];
        let whole = Reference::numbers(&values, 0, 8);
        let found = between(&whole, &Reference::numbers(&values, 4, 8)).unwrap();
        assert_eq!((found.lower, found.at.unwrap().what.as_str()), (0.5, "given"));
        values.extend([f64::NAN; 4]);
        let found = between(&whole, &Reference::numbers(&values, 0, 8)).unwrap();
        assert_eq!((found.lower, found.at.unwrap().what.as_str()), (0.5, "numbers"));
        assert_eq!(between(&whole, &Reference::categories(vec![("a".into(), 1)], 0, 8)), None);
    }

    #[test]
    fn shares_of_names_and_of_rare_names() {
        let of = |counted: &[(&str, u64)], missing, most| {
            Reference::categories(counted.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect(), missing, most)
        };
        let first = of(&[("a", 60), ("b", 40)], 0, 8);
        let found = between(&first, &of(&[("a", 20), ("b", 60), ("c", 20)], 0, 8)).unwrap();
        assert!((found.lower - 0.4).abs() < 1e-12 && (found.upper - 0.4).abs() < 1e-12, "{found:?}");
        assert_eq!(found.at.unwrap().what, "'a'");
        // the second knows one name only: `b` may be any part of its rest
        let found = between(&first, &of(&[("a", 60), ("b", 30), ("c", 10)], 0, 1)).unwrap();
        assert!((found.lower, found.upper) == (0.0, 0.4), "{found:?}");
        let found = between(&first, &of(&[("a", 60), ("b", 40)], 100, 8)).unwrap();
        assert_eq!((found.lower, found.at.unwrap().what.as_str()), (0.5, "missing"));
    }

    proptest! {
        #[test]
        fn the_exact_distance_lies_between(
            first in prop::collection::vec((-60i32..60).prop_map(|k| f64::from(k) / 7.0), 1..250),
            second in prop::collection::vec((-70i32..70).prop_map(|k| f64::from(k) / 7.0), 1..250),
            bins in (1usize..80, 1usize..80),
        ) {
            let found = between(&frozen(&first, bins.0), &frozen(&second, bins.1)).unwrap();
            let exact = ks::two_sample(&first, &second).unwrap().d;
            prop_assert!(found.lower <= exact + 1e-12, "{found:?} {exact}");
            prop_assert!(exact <= found.upper + 1e-12, "{found:?} {exact}");
        }
    }
}
