//! Anderson-Darling for two samples: differences of the distribution functions, weighted so that the tails count as much as the
//! middle. Ties by midranks (Scholz and Stephens 1987, equation 7).

use super::{RankTest, Walk, limit};

/// Variance of the limit law: `2 (pi^2 - 9) / 3`.
const LIMIT_VARIANCE: f64 = 0.579_736_267_392_905_7;
const EULER_GAMMA: f64 = 0.577_215_664_901_532_9;

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
    let sum = walk.darling * (1.0 / walk.n1 as f64 + 1.0 / walk.n2 as f64) / size;
    let statistic = (sum * (size - 1.0) / size - 1.0) / deviation;
    let tail = limit::ANDERSON_DARLING.tail(1.0 + statistic * LIMIT_VARIANCE.sqrt());
    Some(RankTest { statistic, p: tail.p, log_p: tail.log_p })
}

/// Variance of the statistic under the null, Scholz and Stephens' equation 4 at k = 2.
fn variance(n1: f64, n2: f64) -> f64 {
    let n = n1 + n2;
    let inverses = 1.0 / n1 + 1.0 / n2;
    let (h, squares) = harmonic(n as u64 - 1);
    // sum over 1 < i < n of (h - H(n - i)) / i, as the sum over k < n of H(k) / (n - k) is H(n)^2 less its squares'
    let g = squares - 2.0 * h / n;
    let a = (4.0 * g - 6.0) + (10.0 - 6.0 * g) * inverses;
    let b = (2.0 * g - 4.0) * 4.0 + 16.0 * h + (2.0 * g - 14.0 * h - 4.0) * inverses - 8.0 * h + 4.0 * g - 6.0;
    let c = (6.0 * h + 2.0 * g - 2.0) * 4.0 + (4.0 * h - 4.0 * g + 6.0) * 2.0 + (2.0 * h - 6.0) * inverses + 4.0 * h;
    let d = (2.0 * h + 6.0) * 4.0 - 8.0 * h;
    (a * n.powi(3) + b * n.powi(2) + c * n + d) / ((n - 1.0) * (n - 2.0) * (n - 3.0))
}

/// From here on the asymptotic series of both sums are exact to the last digit.
const SUMMED_MAX: u64 = 256;

/// Sums of `1 / k` and of `1 / k^2` up to `n`.
fn harmonic(n: u64) -> (f64, f64) {
    if n < SUMMED_MAX {
        return (1..=n).rev().map(|k| 1.0 / k as f64).fold((0.0, 0.0), |(h, squares), x| (h + x, squares + x * x));
    }
    let x = 1.0 / n as f64;
    let square = x * x;
    let h = (n as f64).ln() + EULER_GAMMA + x / 2.0 - square / 12.0 + square * square / 120.0;
    let squares = std::f64::consts::PI.powi(2) / 6.0 - x + square / 2.0 - square * x / 6.0 + square * square * x / 30.0;
    (h, squares)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_double_sum_is_what_its_terms_add_up_to() {
        for n in [4u64, 5, 17, 256, 257, 258, 5_000] {
            let (mut h, mut g) = (0.0, 0.0);
            for i in 2..n {
                h += 1.0 / (n + 1 - i) as f64;
                g += h / i as f64;
            }
            let (found, squares) = harmonic(n - 1);
            let size = n as f64;
            assert!((found - (h + 1.0)).abs() < 1e-13 * found, "{n}: {found} {h}");
            let double = squares - 2.0 * found / size;
            assert!((double - g).abs() < 1e-13, "{n}: {double} {g}");
        }
    }
}
