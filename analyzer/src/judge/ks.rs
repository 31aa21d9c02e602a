//! Two-sample Kolmogorov-Smirnov on raw samples: the distance, its exact p-value, and its logarithm.
//!
//! `D = max |F1 - F2|` is a whole multiple of `1 / lcm(n1, n2)`, and everything here works with that whole number `h`,
//! never with a floating tolerance: data at 1e-9 and at 1e9 give the same answer. Up to [`EXACT_MAX`] values a sample the
//! p-value is exact, above it the law of the one-sample statistic at `n = round(n1 n2 / (n1 + n2))` serves, as in scipy's
//! `ks_2samp(method='auto')`.

mod lattice;

use serde::Serialize;
use statrs::function::gamma::ln_gamma;

use crate::judge::{kolmogorov, order, ranks::Walk};

/// Samples up to this size get an exact p-value: scipy's rule for `auto`.
pub const EXACT_MAX: usize = 10_000;

/// Below this an exact p-value is computed again in extended range, for its logarithm.
const SMALL_P: f64 = 1e-290;

/// Result of a two-sample test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct KsTest {
    /// Largest difference of the two empirical distribution functions, 0 to 1.
    pub d: f64,
    /// The value at which they differ most, as a key (see [`order`]).
    #[serde(skip)]
    pub at: u64,
    /// P-value as if the distributions were continuous; equals scipy's.
    pub p: f64,
    /// P-value given the ties at hand (Schroer and Trenkler 1995), never above `p`; `None` above [`EXACT_MAX`] values.
    pub p_ties: Option<f64>,
    /// Natural logarithm of `p`, finite where `p` underflows.
    pub log_p: f64,
    /// How `p` was found.
    pub method: Method,
}

/// How a p-value was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// By counting lattice paths, or the two that there are where samples do not overlap.
    Exact,
    /// By the law of the one-sample statistic.
    Asymptotic,
}

/// Why two samples cannot be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KsError {
    /// Nothing to compare.
    #[error("the {0} sample has no values; give at least one")]
    Empty(&'static str),
    /// NaN has no place in an order; counting it is the caller's choice.
    #[error("value {index} of the {sample} sample is NaN; leave NaN out or count it apart")]
    NotANumber {
        /// `first` or `second`.
        sample: &'static str,
        /// From 0.
        index: usize,
    },
}

/// Compares two samples of finite or infinite numbers.
///
/// # Errors
/// [`KsError`] when a sample is empty or holds NaN.
pub fn two_sample(first: &[f64], second: &[f64]) -> Result<KsTest, KsError> {
    of_sorted(&sorted(first, "first")?, &sorted(second, "second")?).ok_or(KsError::Empty("first"))
}

/// Compares two sorted samples of keys (see [`order`]), NaN and missing values among them. `None` when one is empty.
#[must_use]
pub fn of_sorted(first: &[u64], second: &[u64]) -> Option<KsTest> {
    Some(of_walk(&Walk::over(first, second)?, Some((first, second))))
}

/// The test from a walk over both samples; `samples` are needed up to [`EXACT_MAX`] values, for the p-value given the ties.
#[must_use]
pub fn of_walk(walk: &Walk, samples: Option<(&[u64], &[u64])>) -> KsTest {
    let (n1, n2) = walk.sizes();
    let sizes = Sizes::new(n1 as usize, n2 as usize);
    let (apart, at, _) = walk.farthest();
    // the difference in units of 1 / lcm: n1 n2 is lcm gcd
    let h = apart / (n1 / sizes.n1_reduced);
    let d = h as f64 / sizes.lcm as f64;
    if sizes.n1.max(sizes.n2) > EXACT_MAX && h == sizes.lcm {
        let log_p = log_apart(sizes.n1, sizes.n2);
        return KsTest { d, at, p: log_p.exp(), p_ties: None, log_p, method: Method::Exact };
    }
    if sizes.n1.max(sizes.n2) > EXACT_MAX {
        let (n1, n2) = (n1 as f64, n2 as f64);
        let tail = kolmogorov::tail((n1 * n2 / (n1 + n2)).round_ties_even() as u64, d);
        return KsTest { d, at, p: tail.p, p_ties: None, log_p: tail.log_p, method: Method::Asymptotic };
    }
    let (p, log_p) = exact(&sizes, h);
    let p_ties = match samples {
        _ if !walk.tied() => Some(p),
        Some((first, second)) => Some(lattice::with_ties(&sizes, h, &block_ends(first, second)).min(p)),
        None => None,
    };
    KsTest { d, at, p, p_ties, log_p, method: Method::Exact }
}

/// Chance, as a logarithm, that two samples do not overlap: two of all orders. The law of one sample knows no distance of 1.
fn log_apart(n1: usize, n2: usize) -> f64 {
    let (n1, n2) = (n1 as f64, n2 as f64);
    (std::f64::consts::LN_2 + ln_gamma(n1 + 1.0) + ln_gamma(n2 + 1.0) - ln_gamma(n1 + n2 + 1.0)).min(0.0)
}

/// Sample sizes and what follows from them.
pub(crate) struct Sizes {
    pub(crate) n1: usize,
    pub(crate) n2: usize,
    /// `n1 / gcd` and `n2 / gcd`.
    pub(crate) n1_reduced: u64,
    pub(crate) n2_reduced: u64,
    pub(crate) lcm: u64,
}

impl Sizes {
    pub(crate) fn new(n1: usize, n2: usize) -> Self {
        let (mut a, mut b) = (n1 as u64, n2 as u64);
        while b > 0 {
            (a, b) = (b, a % b);
        }
        let (n1_reduced, n2_reduced) = (n1 as u64 / a, n2 as u64 / a);
        Self { n1, n2, n1_reduced, n2_reduced, lcm: n1_reduced * n2 as u64 }
    }
}

fn sorted(sample: &[f64], name: &'static str) -> Result<Vec<u64>, KsError> {
    if sample.is_empty() {
        return Err(KsError::Empty(name));
    }
    if let Some(index) = sample.iter().position(|x| x.is_nan()) {
        return Err(KsError::NotANumber { sample: name, index });
    }
    let mut sorted: Vec<u64> = sample.iter().map(|x| order::key(*x)).collect();
    sorted.sort_unstable();
    Ok(sorted)
}

/// For each number of values taken from the pooled sample, whether the next one is larger.
fn block_ends(first: &[u64], second: &[u64]) -> Vec<bool> {
    let mut ends = vec![false; first.len() + second.len() + 1];
    let mut taken = 0;
    for group in order::groups(first, second) {
        taken += (group.first + group.second) as usize;
        ends[taken] = true;
    }
    ends
}

/// `P(D >= h / lcm)` for continuous distributions, and its logarithm.
fn exact(sizes: &Sizes, h: u64) -> (f64, f64) {
    if h == 0 {
        return (1.0, 0.0);
    }
    if sizes.n1 == sizes.n2 {
        return lattice::equal_sizes(sizes.n1 as u64, h);
    }
    let p = lattice::outside(sizes, h);
    let log_p = if p < SMALL_P { lattice::log_outside(sizes, h) } else { p.ln() };
    (p, log_p)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn test(a: &[f64], b: &[f64]) -> KsTest {
        two_sample(a, b).unwrap()
    }

    #[test]
    fn small_cases_by_hand() {
        let one = test(&[0.0], &[1.0, 2.0]);
        assert!((one.d - 1.0).abs() < 1e-15 && (one.p - 2.0 / 3.0).abs() < 1e-15, "{one:?}");
        let two = test(&[1.0, 2.0], &[3.0, 4.0, 5.0, 6.0]);
        assert!((two.p - 2.0 / 15.0).abs() < 1e-15, "{two:?}");
    }

    #[test]
    fn equal_samples_differ_by_nothing() {
        let same = test(&[3.0, 1.0, 2.0], &[1.0, 2.0, 3.0]);
        assert_eq!((same.d, same.p, same.p_ties, same.log_p), (0.0, 1.0, Some(1.0), 0.0));
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        assert_eq!(of_sorted(&[], &[1]), None);
        assert_eq!(two_sample(&[], &[1.0]), Err(KsError::Empty("first")));
        assert_eq!(two_sample(&[1.0], &[0.0, f64::NAN]), Err(KsError::NotANumber { sample: "second", index: 1 }));
    }

    #[test]
    fn the_logarithm_outlives_the_probability() {
        let low: Vec<f64> = (0..4_000).map(f64::from).collect();
        let high: Vec<f64> = (0..3_000).map(|x| f64::from(x) + 1e6).collect();
        let apart = test(&low, &high);
        assert_eq!(apart.p, 0.0);
        // Two of C(7000, 3000) orders are this far apart.
        let ln = statrs::function::gamma::ln_gamma;
        let expected = std::f64::consts::LN_2 - (ln(7_001.0) - ln(4_001.0) - ln(3_001.0));
        assert!((apart.log_p - expected).abs() < 1e-9 * expected.abs(), "{} {expected}", apart.log_p);
        // So it is where there are too many values to count the other orders.
        // python3 -c "from math import *; print(log(2) - lgamma(40001) + 2 * lgamma(20001))"
        let high: Vec<f64> = (0..20_000).map(|x| f64::from(x) + 1e6).collect();
        let low_20k: Vec<f64> = (0..20_000).map(f64::from).collect();
        let many = test(&low_20k, &high);
        assert!((many.log_p + 27_719.669_960_248).abs() < 1e-6 && many.p == 0.0, "{many:?}");
        let one = test(&[-1.0], &high);
        assert!(
            (one.p - 2.0 / 20_001.0).abs() < 1e-12,
            "one value below 20000 others is no rarity beyond measure: {one:?}"
        );
        let high = &high[..3_000];
        let same_sizes = test(&low[..3_000], high);
        assert!(same_sizes.log_p < -4_000.0 && same_sizes.p == 0.0, "{same_sizes:?}");
    }

    /// P-value given the ties, by trying every assignment of the pooled values to the two samples.
    fn by_enumeration(a: &[f64], b: &[f64]) -> f64 {
        let pooled: Vec<f64> = a.iter().chain(b).copied().collect();
        let observed = test(a, b).d - 1e-12;
        let (mut hits, mut all) = (0u32, 0u32);
        for subset in 0u32..1 << pooled.len() {
            if subset.count_ones() as usize != a.len() {
                continue;
            }
            let pick = |bit| {
                pooled.iter().enumerate().filter(|(i, _)| (subset >> i & 1) == bit).map(|(_, x)| *x).collect::<Vec<_>>()
            };
            all += 1;
            hits += u32::from(test(&pick(1), &pick(0)).d >= observed);
        }
        f64::from(hits) / f64::from(all)
    }

    #[test]
    fn with_ties_the_p_value_is_that_of_all_assignments() {
        for (a, b) in [
            (vec![1.0, 1.0, 2.0, 3.0], vec![2.0, 2.0, 3.0, 4.0, 4.0]),
            (vec![0.0, 0.0, 0.0, 1.0], vec![0.0, 1.0, 1.0, 1.0]),
            (vec![5.0, 5.0, 5.0], vec![5.0, 5.0, 6.0, 7.0, 7.0, 7.0]),
        ] {
            let found = test(&a, &b);
            let expected = by_enumeration(&a, &b);
            assert!((found.p_ties.unwrap() - expected).abs() < 1e-12, "{found:?} {expected}");
            assert!(found.p_ties.unwrap() <= found.p + 1e-15);
        }
    }

    fn sample(size: usize) -> impl Strategy<Value = Vec<f64>> {
        prop::collection::vec((-40i32..40).prop_map(|k| f64::from(k) / 8.0), 1..size)
    }

    proptest! {
        #[test]
        fn symmetric_and_bounded(a in sample(60), b in sample(60)) {
            let (there, back) = (test(&a, &b), test(&b, &a));
            prop_assert_eq!(there.d, back.d);
            prop_assert!((there.p - back.p).abs() <= 1e-12 * there.p);
            prop_assert!((0.0..=1.0).contains(&there.d));
            prop_assert!((0.0..=1.0).contains(&there.p));
            prop_assert!(there.p_ties.unwrap() <= there.p);
        }

        #[test]
        fn blind_to_scale_and_to_rising_maps(a in sample(50), b in sample(50)) {
            let here = test(&a, &b);
            for map in [|x: f64| x * 1e-9, |x: f64| x * 1e9, |x: f64| x.exp(), |x: f64| x * x * x - 1e3] {
                let there = test(&a.iter().copied().map(map).collect::<Vec<_>>(), &b.iter().copied().map(map).collect::<Vec<_>>());
                prop_assert_eq!(KsTest { at: 0, ..here }, KsTest { at: 0, ..there });
            }
        }
    }
}
