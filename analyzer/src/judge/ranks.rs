//! Two-sample tests on raw samples beside Kolmogorov-Smirnov: Cramer-von Mises, Anderson-Darling, Mann-Whitney, Kuiper.
//!
//! All four see ranks alone, so they take sorted keys (see [`order`]) and one walk over both samples gives every statistic;
//! sums that would cancel are kept in whole numbers, others in floating point. They need the raw values and are for the offline report: the live path
//! has counts over bins.
//!
//! | test | null | source |
//! |---|---|---|
//! | [`cramer_von_mises`] | exact up to 20 values a side, else the limit law at the standardized statistic | Anderson 1962; Xiao, Gordon and Yakovlev 2006 |
//! | [`anderson_darling`] | the limit law at the standardized statistic, to its last digit instead of a table's nearest line | Scholz and Stephens 1987 |
//! | [`mann_whitney`] | exact where a side has at most 8 values and none tie, else normal with ties and continuity corrected | Mann and Whitney 1947 |
//! | [`kuiper`] | the limit law with Stephens' correction | Kuiper 1960; Stephens 1965 |

mod anderson;
mod cramer;
mod kuiper;
mod limit;
mod mann;

use serde::Serialize;

use super::order::{self, Group};

pub use anderson::anderson_darling;
pub use cramer::cramer_von_mises;
pub use kuiper::kuiper;
pub use mann::mann_whitney;

/// A statistic with the chance of one at least as large if both samples came from one distribution.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RankTest {
    /// The statistic; its unit is the test's.
    pub statistic: f64,
    /// P-value.
    pub p: f64,
    /// Natural logarithm of `p`, finite where `p` underflows.
    pub log_p: f64,
}

/// What one walk over two sorted samples finds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Walk {
    n1: u64,
    n2: u64,
    /// Values of both that were passed.
    passed: (u64, u64),
    /// Twice the sum of the first sample's midranks.
    rank_sum_twice: u128,
    /// Sum over all values of the squared difference of the distribution functions, in units of `1 / (n1 n2)`. A whole number, and
    /// exact where that matters (up to twenty values a side); of many millions of values it would not fit 128 bits.
    squares: f64,
    /// Sum of Scholz and Stephens' statistic, before its factors `(1 / n1 + 1 / n2) / N` and `(N - 1) / N`.
    darling: f64,
    /// Sum of `t^3 - t` over groups of `t` equal values.
    ties: u128,
    /// Distinct values.
    distinct: u64,
    /// Largest excess of the first's distribution function over the second's, in units of `1 / (n1 n2)`.
    above: i64,
    /// And the reverse.
    below: i64,
    /// The larger of the two, where it is reached first, and how many of both are at most that value.
    apart: u64,
    at: u64,
    upto: (u64, u64),
}

impl Walk {
    /// A walk over two samples of these sizes that has not begun. The product of the sizes has to be below `2^63`.
    #[must_use]
    pub fn new(n1: u64, n2: u64) -> Self {
        Self { n1, n2, ..Self::default() }
    }

    /// Walks over two sorted samples; `None` when one is empty.
    #[must_use]
    pub fn over(first: &[u64], second: &[u64]) -> Option<Self> {
        if first.is_empty() || second.is_empty() {
            return None;
        }
        let mut walk = Self::new(first.len() as u64, second.len() as u64);
        order::groups(first, second).for_each(|group| walk.take(&group));
        Some(walk)
    }

    /// Values of both samples that were passed.
    #[must_use]
    pub const fn passed(&self) -> (u64, u64) {
        self.passed
    }

    /// Sizes of both samples.
    #[must_use]
    pub const fn sizes(&self) -> (u64, u64) {
        (self.n1, self.n2)
    }

    /// The largest difference of the distribution functions in units of `1 / (n1 n2)`, the value where it is reached (see
    /// [`order`]), and how many values of both samples are at most that.
    #[must_use]
    pub const fn farthest(&self) -> (u64, u64, (u64, u64)) {
        (self.apart, self.at, self.upto)
    }

    /// Whether any two values are equal.
    #[must_use]
    pub const fn tied(&self) -> bool {
        self.distinct < self.n1 + self.n2
    }

    /// The next values, equal to each other and larger than those before.
    #[inline]
    pub fn take(&mut self, group: &Group) {
        let ((i, j), (a, b)) = (self.passed, (group.first, group.second));
        self.passed = (i + a, j + b);
        self.distinct += 1;
        let length = a + b;
        if length > 1 {
            let tied = u128::from(length);
            self.ties += tied * tied * tied - tied;
        }
        self.rank_sum_twice += u128::from(a) * u128::from(2 * (i + j) + length + 1);
        let apart = ((i + a) * self.n2).wrapping_sub((j + b) * self.n1).cast_signed();
        self.squares += length as f64 * (apart as f64 * apart as f64);
        self.above = self.above.max(apart);
        self.below = self.below.max(-apart);
        if apart.unsigned_abs() > self.apart || self.distinct == 1 {
            (self.apart, self.at, self.upto) = (apart.unsigned_abs(), group.key, self.passed);
        }
        let (total, length) = ((self.n1 + self.n2) as f64, length as f64);
        let middle = (i + j) as f64 + length / 2.0;
        let weight = middle * (total - middle) - total * length / 4.0;
        if weight > 0.0 {
            // what the first sample is off, the second is the other way
            let off = total * (i as f64 + a as f64 / 2.0) - middle * self.n1 as f64;
            self.darling += length * (off * off / weight);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_any_size_have_a_sum_of_squares() {
        // One group a side, fifty million values each, as far apart as can be.
        let n = 50_000_000u64;
        let mut walk = Walk::new(n, n);
        walk.take(&Group { key: 1, first: n, second: 0 });
        walk.take(&Group { key: 2, first: 0, second: n });
        let test = cramer_von_mises(&walk);
        // sum of squares n (n n)^2, over (2 n)^2 n n
        assert!((test.statistic / (n as f64 / 4.0) - 1.0).abs() < 1e-12, "{test:?}");
        let apart = [n; 2].map(u128::from).into_iter().product::<u128>();
        assert_eq!(apart.checked_mul(apart).and_then(|square| square.checked_mul(u128::from(2 * n))), None);
    }
}
