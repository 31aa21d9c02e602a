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

use super::order;

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
    /// Twice the sum of the first sample's midranks.
    rank_sum_twice: u128,
    /// Sum over all values of the squared difference of the distribution functions, in units of `1 / (n1 n2)`. A whole number, and
    /// exact where that matters (up to twenty values a side); of many millions of values it would not fit 128 bits.
    squares: f64,
    /// Sum of Scholz and Stephens' statistic, before its factor `(N - 1) / N`.
    darling: f64,
    /// Sum of `t^3 - t` over groups of `t` equal values.
    ties: u128,
    /// Distinct values.
    distinct: u64,
    /// Largest excess of the first's distribution function over the second's.
    above: f64,
    /// And the reverse.
    below: f64,
}

impl Walk {
    /// Walks over two sorted samples; `None` when one is empty.
    #[must_use]
    pub fn over(first: &[u64], second: &[u64]) -> Option<Self> {
        if first.is_empty() || second.is_empty() {
            return None;
        }
        let mut walk = Self { n1: first.len() as u64, n2: second.len() as u64, ..Self::default() };
        let (mut i, mut j) = (0, 0);
        for group in order::groups(first, second) {
            walk.take((i, j), (group.first, group.second));
            i += group.first;
            j += group.second;
        }
        Some(walk)
    }

    /// A group of `a` and `b` equal values after `i` and `j` smaller ones.
    fn take(&mut self, (i, j): (u64, u64), (a, b): (u64, u64)) {
        let tied = u128::from(a + b);
        let midrank_twice = 2 * (i + j) + a + b + 1;
        self.rank_sum_twice += u128::from(a) * u128::from(midrank_twice);
        let apart = ((i + a) * self.n2).abs_diff((j + b) * self.n1) as f64;
        self.squares += (a + b) as f64 * apart * apart;
        self.ties += tied * tied * tied - tied;
        self.distinct += 1;
        let (n1, n2) = (self.n1 as f64, self.n2 as f64);
        let (total, length) = (n1 + n2, (a + b) as f64);
        let middle = (i + j) as f64 + length / 2.0;
        let weight = middle * (total - middle) - total * length / 4.0;
        if weight > 0.0 {
            let one = |before: u64, own: u64, n: f64| {
                let off = total * (before as f64 + own as f64 / 2.0) - middle * n;
                off * off / n
            };
            self.darling += length / total * (one(i, a, n1) + one(j, b, n2)) / weight;
        }
        let difference = (i + a) as f64 / n1 - (j + b) as f64 / n2;
        self.above = self.above.max(difference);
        self.below = self.below.max(-difference);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_any_size_have_a_sum_of_squares() {
        // One group a side, fifty million values each, as far apart as can be.
        let n = 50_000_000u64;
        let mut walk = Walk { n1: n, n2: n, ..Walk::default() };
        walk.take((0, 0), (n, 0));
        walk.take((n, 0), (0, n));
        let test = cramer_von_mises(&walk);
        // sum of squares n (n n)^2, over (2 n)^2 n n
        assert!((test.statistic / (n as f64 / 4.0) - 1.0).abs() < 1e-12, "{test:?}");
        let apart = [n; 2].map(u128::from).into_iter().product::<u128>();
        assert_eq!(apart.checked_mul(apart).and_then(|square| square.checked_mul(u128::from(2 * n))), None);
    }
}
