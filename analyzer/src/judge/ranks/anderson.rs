//! Anderson-Darling for two samples: differences of the distribution functions, weighted so that the tails count as much as the
//! middle. Ties by midranks (Scholz and Stephens 1987, equation 7).

use super::{RankTest, Walk, limit};

/// Variance of the limit law: `2 (pi^2 - 9) / 3`.
const LIMIT_VARIANCE: f64 = 0.579_736_267_392_905_7;

/// The test from a walk. The statistic is scipy's: standardized to mean 0 and standard deviation 1. `None` below four values, and
/// where all values are equal, since there is nothing to weigh.
#[must_use]
pub fn anderson_darling(walk: &Walk) -> Option<RankTest> {
    let total = walk.n1 + walk.n2;
    if total < 4 || walk.distinct < 2 {
        return None;
    }
    let deviation = variance(walk.n1 as f64, walk.n2 as f64).sqrt();
    let size = total as f64;
    let statistic = (walk.darling * (size - 1.0) / size - 1.0) / deviation;
    let tail = limit::ANDERSON_DARLING.tail(1.0 + statistic * LIMIT_VARIANCE.sqrt());
    Some(RankTest { statistic, p: tail.p, log_p: tail.log_p })
}

/// Variance of the statistic under the null, Scholz and Stephens' equation 4 at k = 2.
fn variance(n1: f64, n2: f64) -> f64 {
    let n = n1 + n2;
    let inverses = 1.0 / n1 + 1.0 / n2;
    let (mut h, mut g) = (0.0, 0.0);
    let mut i = 2.0;
    while i < n {
        h += 1.0 / (n + 1.0 - i);
        g += h / i;
        i += 1.0;
    }
    h += 1.0;
    let a = (4.0 * g - 6.0) + (10.0 - 6.0 * g) * inverses;
    let b = (2.0 * g - 4.0) * 4.0 + 16.0 * h + (2.0 * g - 14.0 * h - 4.0) * inverses - 8.0 * h + 4.0 * g - 6.0;
    let c = (6.0 * h + 2.0 * g - 2.0) * 4.0 + (4.0 * h - 4.0 * g + 6.0) * 2.0 + (2.0 * h - 6.0) * inverses + 4.0 * h;
    let d = (2.0 * h + 6.0) * 4.0 - 8.0 * h;
    (a * n.powi(3) + b * n.powi(2) + c * n + d) / ((n - 1.0) * (n - 2.0) * (n - 3.0))
}
