//! Kuiper: the largest difference one way plus the largest the other way, for values on a circle (hours, angles), where no
//! place is the first (Kuiper 1960).

use super::{RankTest, Walk};

/// The test from a walk. The null is Kuiper's limit at `(sqrt N + .155 + .24 / sqrt N) V`, N = n1 n2 / (n1 + n2) (Stephens 1965);
/// no p-value of more digits is known to us in a library, so it is published to be compared, not decided on.
#[must_use]
pub fn kuiper(walk: &Walk) -> RankTest {
    let (n1, n2) = (walk.n1 as f64, walk.n2 as f64);
    let statistic = (walk.above as f64 + walk.below as f64) / (n1 * n2);
    let root = (n1 * n2 / (n1 + n2)).sqrt();
    let log_p = log_tail((root + 0.155 + 0.24 / root) * statistic);
    RankTest { statistic, p: log_p.exp(), log_p }
}

/// Logarithm of `2 sum (4 j^2 x^2 - 1) exp(-2 j^2 x^2)`; below .4 it is 1 to seven digits.
fn log_tail(x: f64) -> f64 {
    if x < 0.4 {
        return 0.0;
    }
    let square = x * x;
    // the first term's exponential taken out, so that a far tail does not underflow
    let term = |j: f64| (4.0 * j * j * square - 1.0) * (-2.0 * (j * j - 1.0) * square).exp();
    let sum: f64 = (1..=100).map(|j| term(f64::from(j))).sum();
    (2.0 * sum).ln().min(2.0 * square) - 2.0 * square
}
