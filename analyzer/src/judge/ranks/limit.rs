//! The tail of `sum Z_j^2 / x_j` for independent normal `Z_j`, by Smirnov's formula.
//!
//! With `D(x) = prod (1 - x / x_j)` and `x_1 < x_2 < ...`: `P(W >= w) = 1/pi sum_k (-1)^(k+1) integral from x_(2k-1) to x_(2k)
//! of exp(-x w / 2) / (x sqrt(-+D(x))) dx` (Smirnov 1936; Martynov 1978). The roots of `D` at both ends of an interval are what a
//! Chebyshev rule takes away; for a large `w` only the first end counts, and a midpoint rule in the root of the distance from
//! it serves. No series cancels, so small tails keep their digits.

use std::f64::consts::PI;

use crate::judge::kolmogorov::Tail;

/// A law: its roots, and the logarithm of `|D(x)|`.
pub(super) struct Law {
    pub(super) root: fn(u32) -> f64,
    pub(super) d: fn(f64) -> f64,
}

/// Cramer and von Mises: `x_j = (j pi)^2`, `D(x) = sin(sqrt x) / sqrt x` (Anderson and Darling 1952).
pub(super) const CRAMER_VON_MISES: Law =
    Law { root: |j| (f64::from(j) * PI).powi(2), d: |x| x.sqrt().sin() / x.sqrt() };

/// Anderson and Darling: `x_j = j (j + 1)`, `D(x) = -cos(pi/2 sqrt(1 + 4 x)) / (pi x)` (Anderson and Darling 1952).
pub(super) const ANDERSON_DARLING: Law =
    Law { root: |j| f64::from(j) * (f64::from(j) + 1.0), d: |x| -(PI / 2.0 * (1.0 + 4.0 * x).sqrt()).cos() / (PI * x) };

/// Terms past this many cannot be needed: below that the tail is 1 to the last digit.
const TERMS_MAX: u32 = 400;
const NODES: u32 = 256;
/// Beyond this exponent nothing counts.
const EXPONENT_MAX: f64 = 80.0;

impl Law {
    /// `P(W >= w)`.
    pub(super) fn tail(&self, w: f64) -> Tail {
        let certain = Tail { p: 1.0, log_p: 0.0 };
        if w.is_nan() || w <= 0.0 {
            return certain;
        }
        let first = (self.root)(1);
        let mut sum = 0.0;
        for k in 1..=TERMS_MAX {
            let (from, to) = ((self.root)(2 * k - 1), (self.root)(2 * k));
            if (from - first) * w / 2.0 > EXPONENT_MAX {
                let log_p = sum_to_log(sum, first, w);
                return Tail { p: log_p.exp(), log_p };
            }
            let piece = if (to - from) * w / 2.0 > EXPONENT_MAX {
                self.one_end(from, first, w)
            } else {
                self.between(from, to, first, w)
            };
            sum += if k % 2 == 1 { piece } else { -piece };
        }
        // so small a statistic that its tail is 1
        certain
    }

    /// The integral over a whole interval, times `exp(first w / 2)`.
    fn between(&self, from: f64, to: f64, first: f64, w: f64) -> f64 {
        let (middle, half) = ((from + to) / 2.0, (to - from) / 2.0);
        let node = |i: u32| {
            let angle = PI * (f64::from(i) + 0.5) / f64::from(NODES);
            let x = middle + half * angle.cos();
            (-(x - first) * w / 2.0).exp() * half * angle.sin() / (x * (self.d)(x).abs().sqrt())
        };
        (0..NODES).map(node).sum::<f64>() * PI / f64::from(NODES)
    }

    /// The same where only its left end counts.
    fn one_end(&self, from: f64, first: f64, w: f64) -> f64 {
        let reach = (2.0 * EXPONENT_MAX / w).sqrt();
        let node = |i: u32| {
            let s = reach * (f64::from(i) + 0.5) / f64::from(NODES);
            let x = from + s * s;
            (-(x - first) * w / 2.0).exp() * 2.0 * s / (x * (self.d)(x).abs().sqrt())
        };
        (0..NODES).map(node).sum::<f64>() * reach / f64::from(NODES)
    }
}

fn sum_to_log(sum: f64, first: f64, w: f64) -> f64 {
    ((sum / PI).ln() - first * w / 2.0).min(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From `limits` of `tests/oracle/tests.json`: Imhof's inversion, whose own error is about 1e-5.
    #[test]
    fn anderson_darlings_tail_equals_imhofs() {
        for (w, p) in [
            (0.3, 0.938_158),
            (0.6, 0.647_996),
            (1.0, 0.357_267),
            (2.492, 0.050_022),
            (3.878, 0.010_001),
            (6.0, 0.000_967_45),
        ] {
            let found = ANDERSON_DARLING.tail(w).p;
            assert!((found - p).abs() < 3e-5, "{w}: {found} is not {p}");
        }
    }

    /// `1 - scipy.stats._hypotests._cdf_cvm_inf(w)`, scipy 1.17.1
    #[test]
    fn cramer_von_mises_tail_equals_scipys() {
        for (w, p) in [
            (0.01, 0.999_994_135_567_190_1),
            (0.05, 0.876_280_931_041_351),
            (0.2, 0.267_470_430_540_777_1),
            (0.461_36, 0.050_000_383_132_652_87),
            (1.5, 0.000_172_696_219_789_325_6),
        ] {
            let found = CRAMER_VON_MISES.tail(w).p;
            assert!((found - p).abs() < 1e-12, "{w}: {found} is not {p}");
        }
    }

    #[test]
    fn a_far_tail_has_a_logarithm() {
        for law in [CRAMER_VON_MISES, ANDERSON_DARLING] {
            let (near, far) = (law.tail(90.0), law.tail(1e6));
            assert!(far.p == 0.0 && far.log_p.is_finite() && far.log_p < near.log_p, "{far:?}");
            // Both quadratures meet where one takes over from the other.
            let logs: Vec<f64> = (50..4_000).map(|i| law.tail(f64::from(i) / 50.0).log_p).collect();
            assert!(logs.windows(3).all(|l| l[0] >= l[1] && (l[0] - 2.0 * l[1] + l[2]).abs() < 0.02), "not smooth");
        }
        assert_eq!(ANDERSON_DARLING.tail(1e-5).p, 1.0);
    }
}
