//! Mann-Whitney (Wilcoxon's rank sum), two-sided: whether values of one sample tend to be larger (Mann and Whitney 1947).

use std::f64::consts::{LN_2, PI, SQRT_2};

use statrs::function::erf::erfc;

use super::{RankTest, Walk};

/// With a side this small, and no ties, all orders are counted: scipy's rule for `auto`.
const EXACT_MAX: u64 = 8;
/// Counts of orders stay below `C(10008, 8)` and fit whole numbers of 128 bits.
const OTHER_MAX: u64 = 10_000;

/// The test from a walk. The statistic is U of the first sample: over `n1 n2` it is the chance that a value of the first is larger
/// than one of the second, ties counted half.
#[must_use]
pub fn mann_whitney(walk: &Walk) -> RankTest {
    let twice = walk.rank_sum_twice - u128::from(walk.n1) * (u128::from(walk.n1) + 1);
    let statistic = twice as f64 / 2.0;
    let all = walk.n1 as f64 * walk.n2 as f64;
    let larger = statistic.max(all - statistic);
    let (small, large) = (walk.n1.min(walk.n2), walk.n1.max(walk.n2));
    let log_p = if small <= EXACT_MAX && large <= OTHER_MAX && walk.ties == 0 {
        log_exact(small as usize, large as usize, larger as usize)
    } else {
        log_normal(walk, larger - all / 2.0)
    };
    RankTest { statistic, p: log_p.exp(), log_p }
}

/// `ln 2 P(U >= u)`, at most 0. Orders by U are the coefficients of a Gaussian binomial.
fn log_exact(small: usize, large: usize, u: usize) -> f64 {
    let top = small * large;
    let mut orders = vec![0i128; top + 1];
    orders[0] = 1;
    for i in 1..=small {
        for at in (large + i..=top).rev() {
            orders[at] -= orders[at - large - i];
        }
        for at in i..=top {
            orders[at] += orders[at - i];
        }
    }
    let (hits, all): (i128, i128) = (orders[u..].iter().sum(), orders.iter().sum());
    (2.0 * hits as f64 / all as f64).ln().min(0.0)
}

/// The same by the normal law, corrected for ties and continuity; `above` is how far U lies above its mean.
fn log_normal(walk: &Walk, above: f64) -> f64 {
    let (n1, n2) = (walk.n1 as f64, walk.n2 as f64);
    let n = n1 + n2;
    let variance = n1 * n2 / 12.0 * (n + 1.0 - walk.ties as f64 / (n * (n - 1.0)));
    if variance <= 0.0 {
        return 0.0;
    }
    let z = (above - 0.5) / variance.sqrt();
    (LN_2 + log_upper(z)).min(0.0)
}

/// Logarithm of the normal law's upper tail.
pub(super) fn log_upper(z: f64) -> f64 {
    let x = z / SQRT_2;
    if x < 10.0 {
        return (erfc(x) / 2.0).ln();
    }
    // Abramowitz and Stegun 7.1.23
    let square = 2.0 * x * x;
    let series = 1.0 - 1.0 / square + 3.0 / square.powi(2) - 15.0 / square.powi(3) + 105.0 / square.powi(4);
    -x * x - (2.0 * x * PI.sqrt()).ln() + series.ln()
}
