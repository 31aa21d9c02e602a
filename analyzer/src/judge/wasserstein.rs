//! Wasserstein-1: the mean distance that values would have to move, in the feature's own unit.
//!
//! The area between the two distribution functions. No threshold on it means anything without the feature's scale, so the share of
//! the reference's interquartile range is given beside it. It has no null of its own that does not depend on the distribution
//! (del Barrio, Gine and Matran 1999); what is decided is the distance of distribution functions, which has.

use serde::Serialize;

use super::order::{self, Group, Sorts};

/// How far values moved.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Moved {
    /// Mean distance, in the unit of the feature.
    pub distance: f64,
    /// The same in interquartile ranges of the reference; `None` where that is 0.
    pub in_ranges: Option<f64>,
}

/// The distance of the finite values of two sorted samples of keys (see [`order`]). `None` when a side has none, or it is not
/// finite.
#[must_use]
pub fn wasserstein(reference: &[u64], current: &[u64]) -> Option<Moved> {
    let sorts = (Sorts::of_sorted(reference), Sorts::of_sorted(current));
    let mut area = Area::new(sorts);
    order::groups(reference, current).for_each(|group| area.take(&group));
    let [low, high] =
        quartiles(&sorts.0).map(|at| reference.get(at as usize).map_or(f64::NAN, |key| order::value(*key)));
    area.moved(high - low)
}

/// Where the quartiles of the finite values stand in a sorted sample.
#[must_use]
pub fn quartiles(sorts: &Sorts) -> [u64; 2] {
    [0.25, 0.75].map(|share| sorts.least + (sorts.finite.saturating_sub(1) as f64 * share) as u64)
}

/// The area between two distribution functions, group by group.
#[derive(Clone, Copy, Debug)]
pub struct Area {
    /// Finite values of both.
    sizes: (u64, u64),
    /// `1 / (m n)`, the unit in which the distribution functions differ.
    unit: f64,
    passed: (u64, u64),
    before: f64,
    sum: f64,
}

impl Area {
    /// Nothing yet, of two samples whose values are of these sorts.
    #[must_use]
    pub const fn new((first, second): (Sorts, Sorts)) -> Self {
        let unit = 1.0 / (first.finite as f64 * second.finite as f64);
        Self { sizes: (first.finite, second.finite), unit, passed: (0, 0), before: 0.0, sum: 0.0 }
    }

    /// The next values; those that are not finite have no distance.
    #[inline]
    pub fn take(&mut self, group: &Group) {
        let value = order::value(group.key);
        if !value.is_finite() {
            return;
        }
        let apart = (self.passed.0 * self.sizes.1).abs_diff(self.passed.1 * self.sizes.0);
        // before the first value both are 0, and so is this
        self.sum += if apart > 0 { apart as f64 * self.unit * (value - self.before) } else { 0.0 };
        self.passed = (self.passed.0 + group.first, self.passed.1 + group.second);
        self.before = value;
    }

    /// The mean distance; `range` is the reference's between its quartiles.
    #[must_use]
    pub fn moved(&self, range: f64) -> Option<Moved> {
        if self.sizes.0 == 0 || self.sizes.1 == 0 {
            return None;
        }
        let distance = self.sum;
        distance.is_finite().then(|| Moved { distance, in_ranges: (range > 0.0).then(|| distance / range) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(values: &[f64]) -> Vec<u64> {
        let mut keys: Vec<u64> = values.iter().map(|x| order::key(*x)).collect();
        keys.sort_unstable();
        keys
    }

    #[test]
    fn a_shift_is_as_far_as_it_is() {
        let reference: Vec<f64> = (0..100).map(f64::from).collect();
        let shifted: Vec<f64> = reference.iter().map(|x| x + 2.5).collect();
        let found = wasserstein(&keys(&reference), &keys(&shifted)).unwrap();
        assert!(
            (found.distance - 2.5).abs() < 1e-12 && (found.in_ranges.unwrap() - 2.5 / 50.0).abs() < 1e-12,
            "{found:?}"
        );
    }

    #[test]
    fn what_is_no_finite_number_has_no_distance() {
        let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
        assert_eq!(wasserstein(&keys(&odd), &keys(&[1.0])), None);
        assert_eq!(wasserstein(&keys(&[1.0, f64::NAN]), &keys(&[3.0])).unwrap().distance, 2.0);
        assert_eq!(wasserstein(&keys(&[f64::MIN]), &keys(&[f64::MAX])), None, "farther than a double");
    }
}
