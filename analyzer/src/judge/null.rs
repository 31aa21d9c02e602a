//! What a distance comes to between samples of one distribution: its null, without which its value means nothing.
//!
//! Two multinomial samples of the sizes at hand are drawn from the pooled shares, a thousand times, from a fixed seed, so that a
//! report repeats to the bit. Past [`DRAWN_MAX`] values a side the draws are replaced by their limit, a normal law with the
//! multinomial's covariance, which at such counts is the same to the digits shown.

use super::distances::{self, Distances};

/// Pairs of samples drawn.
const ROUNDS: usize = 1_000;
/// Share of the null below what is published.
const LEVEL: f64 = 0.95;
/// Larger samples are drawn from the limit.
const DRAWN_MAX: u64 = 2_000;

/// What equal distributions stay below in 95 of 100 pairs of samples of these sizes, distance by distance.
#[must_use]
pub fn upper(pairs: &[(u64, u64)]) -> Option<Distances> {
    let (m, n) = distances::totals(pairs);
    if m == 0 || n == 0 {
        return None;
    }
    let pooled: Vec<f64> = pairs.iter().map(|(r, c)| (r + c) as f64 / (m + n) as f64).collect();
    let mut random = Random(0x0D1F_711E);
    let drawn: Vec<Distances> = (0..ROUNDS)
        .filter_map(|_| {
            let (first, second) = (random.multinomial(m, &pooled), random.multinomial(n, &pooled));
            distances::distances(&first.into_iter().zip(second).collect::<Vec<_>>())
        })
        .collect();
    let quantile = |of: fn(&Distances) -> f64| {
        let mut values: Vec<f64> = drawn.iter().map(of).collect();
        values.sort_unstable_by(f64::total_cmp);
        values.get((LEVEL * values.len() as f64) as usize).copied().unwrap_or(0.0)
    };
    Some(Distances {
        psi: quantile(|d| d.psi),
        jensen_shannon: quantile(|d| d.jensen_shannon),
        hellinger: quantile(|d| d.hellinger),
        total_variation: quantile(|d| d.total_variation),
        l_infinity: quantile(|d| d.l_infinity),
    })
}

/// Vigna's splitmix64.
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (((z ^ (z >> 31)) >> 11) as f64 + 0.5) * 2f64.powi(-53)
    }

    /// Box and Muller's.
    fn normal(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }

    fn multinomial(&mut self, n: u64, shares: &[f64]) -> Vec<u64> {
        if n <= DRAWN_MAX { self.drawn(n, shares) } else { self.limit(n, shares) }
    }

    fn drawn(&mut self, n: u64, shares: &[f64]) -> Vec<u64> {
        let mut edges: Vec<f64> = shares
            .iter()
            .scan(0.0, |sum, share| {
                *sum += share;
                Some(*sum)
            })
            .collect();
        if let Some(last) = edges.last_mut() {
            *last = f64::INFINITY;
        }
        let mut counts = vec![0; shares.len()];
        for _ in 0..n {
            let u = self.uniform();
            counts[edges.partition_point(|edge| *edge <= u)] += 1;
        }
        counts
    }

    /// Share by share, each a binomial of what is left, by its normal limit; one of few is drawn by waiting times.
    fn limit(&mut self, n: u64, shares: &[f64]) -> Vec<u64> {
        let (mut left, mut mass) = (n, 1.0f64);
        let last = shares.len() - 1;
        let counts = shares.iter().enumerate().map(|(at, share)| {
            let chance = (share / mass.max(f64::MIN_POSITIVE)).clamp(0.0, 1.0);
            mass -= share;
            let count = if at == last { left } else { self.binomial(left, chance) };
            left -= count;
            count
        });
        counts.collect()
    }

    fn binomial(&mut self, n: u64, chance: f64) -> u64 {
        let mean = n as f64 * chance;
        if mean > 50.0 && n as f64 - mean > 50.0 {
            let drawn = mean + (mean * (1.0 - chance)).sqrt() * self.normal();
            return (drawn.round().max(0.0) as u64).min(n);
        }
        if mean > 50.0 {
            return n - self.waits(n, 1.0 - chance);
        }
        self.waits(n, chance)
    }

    /// Successes among `n` trials, by the geometric gaps between them.
    fn waits(&mut self, n: u64, chance: f64) -> u64 {
        if chance <= 0.0 {
            return 0;
        }
        let (mut at, mut count) = (0.0, 0);
        loop {
            at += (self.uniform().ln() / (-chance).ln_1p()).floor() + 1.0;
            if at > n as f64 {
                return count;
            }
            count += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_of_equal_distributions_follows_its_limit() {
        // (1/m + 1/n) chi-square with nine degrees of freedom, 95 % point 16.919 (Yurdakul 2018)
        for (m, n) in [(1_500, 1_000), (200_000, 50_000)] {
            let found = upper(&[(m, n); 10]).unwrap();
            let expected = 16.919 * (0.1 / m as f64 + 0.1 / n as f64);
            assert!((found.psi / expected - 1.0).abs() < 0.1, "{m} {n}: {} {expected}", found.psi);
            assert!((found.hellinger.powi(2) * 8.0 / expected - 1.0).abs() < 0.1, "{found:?} {expected}");
        }
    }

    #[test]
    fn draws_and_their_limit_have_the_same_mean_and_spread() {
        let shares = [0.5, 0.3, 0.199, 0.001];
        let mut random = Random(3);
        for at in 0..4 {
            let mut spread = |limit: bool| {
                let counts: Vec<f64> = (0..3_000)
                    .map(|_| if limit { random.limit(1_000, &shares) } else { random.drawn(1_000, &shares) })
                    .inspect(|counts| assert_eq!(counts.iter().sum::<u64>(), 1_000))
                    .map(|counts| counts[at] as f64)
                    .collect();
                let mean = counts.iter().sum::<f64>() / 3e3;
                (mean, counts.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 3e3)
            };
            let ((m1, v1), (m2, v2)) = (spread(false), spread(true));
            assert!(
                (m1 - m2).abs() < 5.0 * (v1 / 1.5e3).sqrt() && (v1 / v2 - 1.0).abs() < 0.15,
                "{at}: {m1} {m2} {v1} {v2}"
            );
        }
    }

    #[test]
    fn fewer_values_have_a_wider_null() {
        let at = |k: u64| upper(&[(50 * k, 5 * k), (50 * k, 5 * k)]).unwrap().total_variation;
        assert!(at(1) > at(10) && at(10) > at(1_000));
    }
}
