//! The expansion of Pelz and Good, Journal of the Royal Statistical Society B 38(2), 1976, to order `n^(-3/2)`.
//!
//! `P(D_n <= x) ~ K0(z) + K1(z) n^(-1/2) + K2(z) n^(-1) + K3(z) n^(-3/2)`, `z = x sqrt(n)`, each K turned by the functional
//! equation of Jacobi's theta functions into sums that converge at once for small `z`.

use std::f64::consts::PI;

/// Below this exponent the first term underflows: the probability is 0 to double precision.
const LOG_SMALLEST: f64 = -708.0;

/// `P(D_n <= x)`.
pub(super) fn cdf(n: u64, x: f64) -> f64 {
    let root = (n as f64).sqrt();
    let z = root * x;
    let log_q = -PI * PI / 8.0 / (z * z);
    if log_q < LOG_SMALLEST {
        return 0.0;
    }
    let terms = (16.0 * z / PI).ceil() as i32;
    let mut k = odd_sums(z, log_q.exp(), terms);
    let (k2, k3) = even_sums(z, terms);
    k[2] += k2;
    k[3] += k3;
    let (mut sum, mut divisor) = (0.0, 1.0);
    for term in k {
        sum += term / divisor;
        divisor *= root;
    }
    sum.clamp(0.0, 1.0)
}

/// The sums over odd integers, by Horner's scheme in powers of `q`.
fn odd_sums(z: f64, q: f64, terms: i32) -> [f64; 4] {
    let (z2, z4, z6, z8) = (z.powi(2), z.powi(4), z.powi(6), z.powi(8));
    let (pi2, pi4, pi6) = (PI.powi(2), PI.powi(4), PI.powi(6));
    let mut sums = [0.0f64; 4];
    for k in (1..=terms).rev() {
        let m2 = f64::from(2 * k - 1).powi(2);
        let coefficients = [
            1.0,
            -z2 + pi2 / 4.0 * m2,
            6.0 * z6 + 2.0 * z4 + (2.0 * z4 - 5.0 * z2) * pi2 / 4.0 * m2 + pi4 * (1.0 - 2.0 * z2) / 16.0 * m2 * m2,
            -30.0 * z6 - 90.0 * z8
                + pi2 * (135.0 * z4 - 96.0 * z6) / 4.0 * m2
                + pi4 * (-60.0 * z2 + 212.0 * z4) / 16.0 * m2 * m2
                + pi6 * (5.0 - 30.0 * z2) / 64.0 * m2 * m2 * m2,
        ];
        let power = q.powi(8 * k);
        for (sum, coefficient) in sums.iter_mut().zip(coefficients) {
            *sum = *sum * power + coefficient;
        }
    }
    let scale = q * (2.0 * PI).sqrt();
    let divisors = [z, 6.0 * z4, 72.0 * z.powi(7), 6480.0 * z.powi(10)];
    for (sum, divisor) in sums.iter_mut().zip(divisors) {
        *sum *= scale / divisor;
    }
    sums
}

/// The further sums of K2 and K3, over all integers.
fn even_sums(z: f64, terms: i32) -> (f64, f64) {
    let pi2 = PI * PI;
    let root = (2.0 * PI).sqrt();
    let q = (-pi2 / 2.0 / (z * z)).exp();
    let (mut k2, mut k3) = (0.0, 0.0);
    for k in (1..=terms).rev() {
        let square = f64::from(k).powi(2);
        let weight = square * q.powf(square);
        let (a, b) = (3f64.sqrt() * z, PI * f64::from(k));
        k2 += weight;
        k3 += (a + b) * (a - b) * weight;
    }
    (k2 * pi2 * root / (-36.0 * z.powi(3)), k3 * pi2 * root / (216.0 * z.powi(6)))
}
