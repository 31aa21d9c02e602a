//! Cramer-von Mises for two samples: the mean squared difference of the distribution functions (Anderson 1962).

use std::collections::HashMap;

use super::{RankTest, Walk, limit};
use crate::judge::kolmogorov::Tail;

/// Up to so many values a side all orders are counted: scipy's rule for `auto`.
const EXACT_MAX: u64 = 20;

/// The test from a walk: T = n1 n2 / N^2 times the sum of squared differences of the distribution functions over the pooled values.
/// Without ties that is Anderson's T and scipy's; with ties scipy takes midranks instead, which says that samples differ because
/// they tie. P is that of continuous values: with many ties it is too large.
#[must_use]
pub fn cramer_von_mises(walk: &Walk) -> RankTest {
    let (n1, n2) = (walk.n1 as f64, walk.n2 as f64);
    let statistic = walk.squares / ((n1 + n2).powi(2) * n1 * n2);
    let tail = if walk.n1.max(walk.n2) <= EXACT_MAX {
        exact(walk.n1, walk.n2, walk.squares)
    } else {
        limit::CRAMER_VON_MISES.tail(standardized(statistic, n1, n2))
    };
    RankTest { statistic, p: tail.p, log_p: tail.log_p }
}

/// The statistic moved to the limit law's mean and deviation (Anderson 1962, equations 14 and 15).
fn standardized(statistic: f64, n1: f64, n2: f64) -> f64 {
    let (n, k) = (n1 + n2, n1 * n2);
    let mean = (1.0 + 1.0 / n) / 6.0;
    let variance = (n + 1.0) * (4.0 * k * n - 3.0 * (n1 * n1 + n2 * n2) - 2.0 * k) / (45.0 * n * n * 4.0 * k);
    1.0 / 6.0 + (statistic - mean) / (45.0 * variance).sqrt()
}

/// Share of all orders whose statistic is at least the one found: the sums of squared differences along lattice paths, counted
/// (Xiao, Gordon and Yakovlev 2006, algorithm 1). Counts stay below C(40, 20), so they are exact.
fn exact(n1: u64, n2: u64, squares: f64) -> Tail {
    let (mut a, mut b) = (n1, n2);
    while b > 0 {
        (a, b) = (b, a % b);
    }
    let (across, up) = ((n2 / a) as i64, (n1 / a) as i64);
    // squares of whole numbers that the common divisor goes into
    let least = squares as i64 / (a * a) as i64;
    let mut column: Vec<HashMap<i64, f64>> = vec![HashMap::new(); n1 as usize + 1];
    column[0].insert(0, 1.0);
    for u in 0..=n2 as i64 {
        let mut below: HashMap<i64, f64> = HashMap::new();
        for (v, cell) in column.iter_mut().enumerate() {
            let step = (across * v as i64 - up * u).pow(2);
            let mut here: HashMap<i64, f64> = HashMap::with_capacity(cell.len() + below.len());
            for (sum, paths) in cell.iter().chain(&below) {
                *here.entry(sum + step).or_default() += paths;
            }
            cell.clone_from(&here);
            below = here;
        }
    }
    let last = &column[n1 as usize];
    let (hits, all) = last
        .iter()
        .fold((0.0, 0.0), |(hits, all), (sum, paths)| (hits + if *sum >= least { *paths } else { 0.0 }, all + paths));
    let p: f64 = hits / all;
    Tail { p, log_p: p.ln() }
}
