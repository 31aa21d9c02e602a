//! Distances between two columns of counts over the same bins: how far apart, in several units, each with its null.
//!
//! Population stability index, Jensen-Shannon, Hellinger, total variation, L-infinity on shares, and the chi-square and G tests.
//! Fine bins are merged before (see [`merged`]): on 1,024 bins the index of two equal distributions is .38 at n = 200. A
//! distance by itself says nothing: at small n every fixed line is crossed by chance, so each comes with the value that equal
//! distributions stay below 95 times in 100, see [`null`](super::null).

use serde::Serialize;
use statrs::distribution::{ChiSquared, ContinuousCDF};

use super::{psi, reference::Reference};

/// Distances of one feature, in the units of their names.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Distances {
    /// Population stability index, nats; both sides smoothed by [`psi::PSEUDO_COUNT`].
    pub psi: f64,
    /// Jensen-Shannon distance (the root of the divergence in nats), 0 to .8326; as scipy's `jensenshannon`.
    pub jensen_shannon: f64,
    /// Hellinger distance, 0 to 1.
    pub hellinger: f64,
    /// Total variation: half the sum of the differences of shares, 0 to 1.
    pub total_variation: f64,
    /// The largest difference of a share, 0 to 1.
    pub l_infinity: f64,
}

/// A test that two columns of counts come from one distribution.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CountTest {
    /// Pearson's chi-square or the likelihood ratio G.
    pub statistic: f64,
    /// Its degrees of freedom.
    pub freedom: u64,
    /// P-value by the chi-square law.
    pub p: f64,
}

/// Counts of reference and window over at most twenty bins that the reference alone chose. `None` when a side holds nothing.
#[must_use]
pub fn merged(reference: &Reference, current: &[u64]) -> Option<Vec<(u64, u64)>> {
    let pairs = psi::merged(reference, current);
    let (m, n) = totals(&pairs);
    (m > 0 && n > 0).then_some(pairs)
}

/// All distances over pairs of counts. `None` when a side holds nothing.
#[must_use]
pub fn distances(pairs: &[(u64, u64)]) -> Option<Distances> {
    let (m, n) = totals(pairs);
    if m == 0 || n == 0 {
        return None;
    }
    let shares = || pairs.iter().map(|(r, c)| (*r as f64 / m as f64, *c as f64 / n as f64));
    let (mut divergence, mut hellinger, mut variation, mut largest) = (0.0, 0.0, 0.0, 0.0f64);
    for (r, c) in shares() {
        let middle = (r + c) / 2.0;
        divergence += (relative(r, middle) + relative(c, middle)) / 2.0;
        hellinger += (r.sqrt() - c.sqrt()).powi(2) / 2.0;
        variation += (r - c).abs() / 2.0;
        largest = largest.max((r - c).abs());
    }
    Some(Distances {
        psi: psi::of_counts(pairs)?,
        jensen_shannon: divergence.max(0.0).sqrt(),
        hellinger: hellinger.sqrt(),
        total_variation: variation,
        l_infinity: largest,
    })
}

/// `p ln (p / q)`, 0 for p = 0.
fn relative(p: f64, q: f64) -> f64 {
    if p > 0.0 { p * (p / q).ln() } else { 0.0 }
}

/// Pearson's chi-square test of a table of two columns, without Yates' correction. Rows that are empty on both sides are left out;
/// `None` when a column is.
#[must_use]
pub fn chi_square(pairs: &[(u64, u64)]) -> Option<CountTest> {
    independence(pairs, |observed, expected| (observed - expected).powi(2) / expected)
}

/// The likelihood-ratio (G) test of the same table.
#[must_use]
pub fn g(pairs: &[(u64, u64)]) -> Option<CountTest> {
    independence(
        pairs,
        |observed, expected| if observed > 0.0 { 2.0 * observed * (observed / expected).ln() } else { 0.0 },
    )
}

fn independence(pairs: &[(u64, u64)], term: impl Fn(f64, f64) -> f64) -> Option<CountTest> {
    let (m, n) = totals(pairs);
    if m == 0 || n == 0 {
        return None;
    }
    let (m, n) = (m as f64, n as f64);
    let held = || pairs.iter().filter(|(r, c)| r + c > 0).map(|(r, c)| (*r as f64, *c as f64));
    let row = |(r, c): (f64, f64)| term(r, (r + c) * m / (m + n)) + term(c, (r + c) * n / (m + n));
    let (statistic, freedom) = (held().map(row).sum::<f64>().max(0.0), held().count() as u64 - 1);
    let p = if freedom == 0 { 1.0 } else { ChiSquared::new(freedom as f64).ok()?.sf(statistic) };
    Some(CountTest { statistic, freedom, p })
}

pub(super) fn totals(pairs: &[(u64, u64)]) -> (u64, u64) {
    pairs.iter().fold((0, 0), |(m, n), (r, c)| (m + r, n + c))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn two_shares_by_hand() {
        let found = distances(&[(50, 90), (50, 10)]).unwrap();
        assert!((found.total_variation - 0.4).abs() < 1e-15 && (found.l_infinity - 0.4).abs() < 1e-15);
        let affinity = (0.5f64 * 0.9).sqrt() + (0.5f64 * 0.1).sqrt();
        assert!((found.hellinger - (1.0 - affinity).sqrt()).abs() < 1e-15);
        let apart = distances(&[(7, 0), (0, 9)]).unwrap();
        assert!((apart.jensen_shannon - std::f64::consts::LN_2.sqrt()).abs() < 1e-15 && apart.hellinger == 1.0);
    }

    #[test]
    fn nothing_has_no_distance() {
        assert_eq!((distances(&[(0, 5)]), chi_square(&[(0, 5)]), g(&[])), (None, None, None));
        assert_eq!(chi_square(&[(3, 5), (0, 0)]), Some(CountTest { statistic: 0.0, freedom: 0, p: 1.0 }));
    }

    proptest! {
        #[test]
        fn the_inequalities_between_them_hold(pairs in prop::collection::vec((0u64..50, 0u64..50), 2..20)) {
            let Some(found) = distances(&pairs) else { return Ok(()) };
            let (h, v, js) = (found.hellinger, found.total_variation, found.jensen_shannon.powi(2));
            prop_assert!(h * h <= v + 1e-12 && v <= h * (2.0 - h * h).sqrt() + 1e-12);
            prop_assert!(js <= v * std::f64::consts::LN_2 + 1e-12 && v * v <= 2.0 * js + 1e-12);
            prop_assert!(found.l_infinity <= v * 1.0 + 1e-12 && found.psi >= 0.0);
        }
    }
}
