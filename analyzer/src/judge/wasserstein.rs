//! Wasserstein-1: the mean distance that values would have to move, in the feature's own unit.
//!
//! The area between the two distribution functions. No threshold on it means anything without the feature's scale, so the share of
//! the reference's interquartile range is given beside it. It has no null of its own that does not depend on the distribution
//! (del Barrio, Gine and Matran 1999); what is decided is the distance of distribution functions, which has.

use serde::Serialize;

use super::order;

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
    let (reference, current) = (finite(reference), finite(current));
    if reference.is_empty() || current.is_empty() {
        return None;
    }
    let (m, n) = (reference.len() as f64, current.len() as f64);
    let (mut i, mut j, mut before, mut area) = (0, 0, f64::NAN, 0.0);
    for group in order::groups(reference, current) {
        let value = order::value(group.key);
        if i + j > 0 {
            area += (i as f64 / m - j as f64 / n).abs() * (value - before);
        }
        (i, j, before) = (i + group.first, j + group.second, value);
    }
    let quartile = |share: f64| order::value(reference[((m - 1.0) * share) as usize]);
    let range = quartile(0.75) - quartile(0.25);
    area.is_finite().then(|| Moved { distance: area, in_ranges: (range > 0.0).then(|| area / range) })
}

fn finite(sorted: &[u64]) -> &[u64] {
    let from = sorted.partition_point(|key| *key <= order::key(f64::NEG_INFINITY));
    let to = sorted.partition_point(|key| *key < order::key(f64::INFINITY));
    &sorted[from..to.max(from)]
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
