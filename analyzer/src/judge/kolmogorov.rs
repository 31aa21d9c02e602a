//! The law of the two-sided one-sample Kolmogorov-Smirnov statistic, `P(D_n >= x)`.
//!
//! No single formula is both exact and quick everywhere. Which one serves where follows Simard and L'Ecuyer, "Computing
//! the Two-Sided Kolmogorov-Smirnov Distribution", Journal of Statistical Software 39(11), 2011, with the cut points
//! that scipy's `kstwo` uses, so that p-values equal scipy's to rounding. For n <= 140 every branch is exact; above,
//! the Pelz-Good expansion (relative error about 1e-5 at n = 141, falling with n) serves the middle, and twice the
//! one-sided tail, exact to the probability of crossing both lines, serves p below about 0.025.

mod durbin;
mod pelz_good;
mod pomeranz;
mod smirnov;

use statrs::function::gamma::ln_gamma;

/// An upper-tail probability and its natural logarithm, which stays finite where the probability underflows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tail {
    /// Probability, 0 to 1.
    pub p: f64,
    /// Its natural logarithm.
    pub log_p: f64,
}

impl Tail {
    /// From a probability.
    fn of(p: f64) -> Self {
        let p = p.clamp(0.0, 1.0);
        Self { p, log_p: p.ln() }
    }

    /// From the logarithm of a probability.
    fn of_log(log_p: f64) -> Self {
        let log_p = log_p.min(0.0);
        Self { p: log_p.exp(), log_p }
    }
}

/// `P(D_n >= x)` for a sample of size `n` from a continuous distribution. `n = 0` can show nothing: 1.
#[must_use]
pub fn tail(n: u64, x: f64) -> Tail {
    let size = n as f64;
    let t = size * x;
    if n == 0 || x.is_nan() || t <= 0.5 {
        return Tail::of(1.0);
    }
    if x >= 1.0 {
        return Tail { p: 0.0, log_p: f64::NEG_INFINITY };
    }
    if t <= 1.0 {
        return Tail::of(1.0 - lowest_step(n, t));
    }
    if t >= size - 1.0 {
        return Tail::of_log(std::f64::consts::LN_2 + size * (-x).ln_1p());
    }
    let one_sided = || Tail::of_log(std::f64::consts::LN_2 + smirnov::log_tail(n, x));
    let square = t * x;
    if x >= 0.5 {
        return one_sided();
    }
    if n <= 140 {
        return match square {
            s if s <= 0.754_693 => Tail::of(1.0 - durbin::cdf(n, x)),
            s if s <= 4.0 => Tail::of(1.0 - pomeranz::cdf(n, x)),
            _ => one_sided(),
        };
    }
    if square >= 2.2 {
        return one_sided();
    }
    if n <= 100_000 && size * x.powf(1.5) <= 1.4 {
        return Tail::of(1.0 - durbin::cdf(n, x));
    }
    Tail::of(1.0 - pelz_good::cdf(n, x))
}

/// `P(D_n <= t / n)` for `1/2 < t <= 1`: n! ((2 t - 1) / n)^n (Ruben and Gambino 1982).
fn lowest_step(n: u64, t: f64) -> f64 {
    let size = n as f64;
    (ln_gamma(size + 1.0) - size * size.ln() + size * (2.0 * t - 1.0).ln()).exp()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_ends_are_certain() {
        assert_eq!(tail(10, 0.0).p, 1.0);
        assert_eq!(tail(10, 0.05).p, 1.0);
        assert_eq!(tail(10, 1.0).p, 0.0);
        assert_eq!(tail(0, 0.3).p, 1.0);
        assert_eq!(tail(1, f64::NAN).p, 1.0);
    }

    #[test]
    fn one_value_is_uniform_in_its_distance() {
        // D_1 = max(u, 1 - u): P(D_1 >= x) = 2 (1 - x) on [1/2, 1].
        for x in [0.5, 0.6, 0.75, 0.99] {
            assert!((tail(1, x).p - 2.0 * (1.0 - x)).abs() < 1e-14, "{x}");
        }
    }

    #[test]
    fn the_logarithm_outlives_the_probability() {
        let far = tail(100_000, 0.5);
        assert_eq!(far.p, 0.0);
        // Kolmogorov's limit 2 exp(-2 n x^2) is the size of it; the exact law is smaller at large x.
        assert!(far.log_p.is_finite() && far.log_p < -50_000.0, "{}", far.log_p);
    }

    proptest! {
        #[test]
        fn falls_with_distance(n in 1u64..3_000, a in 0.0f64..1.0, b in 0.0f64..1.0) {
            let (near, far) = if a < b { (a, b) } else { (b, a) };
            // Branches meet within the error of Pelz-Good's expansion.
            prop_assert!(tail(n, far).p <= tail(n, near).p * (1.0 + 1e-4) + 1e-12);
        }
    }
}
