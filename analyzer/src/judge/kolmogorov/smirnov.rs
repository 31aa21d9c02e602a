//! The exact one-sided tail, `P(D_n^+ >= x)`, as a sum of positive terms.
//!
//! Birnbaum and Tingey 1951: `P = x sum_j C(n, j) (x + j/n)^(j-1) (1 - x - j/n)^(n-j)`, `j <= n (1 - x)`. Each term is a
//! binomial probability at `p = x + j/n`, written in Loader's saddle-point form ("Fast and Accurate Computation of
//! Binomial Probabilities", 2000), which keeps 13 digits where factorials would lose them. Summed as logarithms, so that
//! nothing underflows.

/// Above this the sum takes too long and its limit is as good: scipy's bound.
const N_SUMMED_MAX: u64 = 1_000_000;

/// `ln P(D_n^+ >= x)` for `0 < x < 1`.
pub(super) fn log_tail(n: u64, x: f64) -> f64 {
    let size = n as f64;
    if n > N_SUMMED_MAX {
        // Maag and Dicaire 1971.
        return -(6.0 * size * x + 1.0).powi(2) / (18.0 * size);
    }
    summed(n, x, stride(n, x))
}

/// The sum with one term in `stride` taken for all.
fn summed(n: u64, x: f64, stride: u64) -> f64 {
    let size = n as f64;
    let t = size * x;
    let last = (size - t).floor().max(0.0) as u64;
    let error_n = stirling_error(size);
    let mut sum = LogSum::default();
    // all other terms of a sum that is taken in strides begin at this one, which is then far below what counts
    sum.add(size * (-x).ln_1p() - (stride as f64).ln());
    for j in (stride..=last.min(n - 1)).step_by(stride as usize) {
        let (below, above) = (j as f64, (n - j) as f64);
        if above <= t {
            break;
        }
        let binomial = error_n
            - stirling_error(below)
            - stirling_error(above)
            - below * excess(t / below)
            - above * excess(-t / above)
            + 0.5 * (size / (std::f64::consts::TAU * below * above)).ln();
        sum.add(binomial + (x / (x + below / size)).ln());
    }
    sum.value() + (stride as f64).ln()
}

/// Smallest sample whose terms are taken in strides.
const STRIDES_FROM: u64 = 4_096;
/// Terms that are taken at least.
const TERMS_MIN: f64 = 1_024.0;

/// Every how many terms one is taken, for all between. The terms are a smooth hump, about `exp(-n x^2 / (2 p (1 - p)))` at
/// `p = x + j / n`, flat at both ends and `sqrt(n) / (4 x)` terms wide: the trapezoidal rule on it errs by less than a double
/// shows as long as its steps are a tenth of that. 1 where the ends count: small samples, distances without a hump.
fn stride(n: u64, x: f64) -> u64 {
    let size = n as f64;
    if n < STRIDES_FROM || x > 0.25 || size * x * x < 2.0 {
        return 1;
    }
    (size / TERMS_MIN).min(size.sqrt() / (64.0 * x)).max(1.0) as u64
}

/// A running sum of exponentials, kept relative to its largest term.
#[derive(Default)]
struct LogSum {
    scaled: f64,
    largest: Option<f64>,
}

impl LogSum {
    fn add(&mut self, log_term: f64) {
        match self.largest {
            Some(largest) if log_term <= largest => self.scaled += (log_term - largest).exp(),
            Some(largest) => {
                self.scaled = self.scaled * (largest - log_term).exp() + 1.0;
                self.largest = Some(log_term);
            }
            None => {
                self.scaled = 1.0;
                self.largest = Some(log_term);
            }
        }
    }

    fn value(&self) -> f64 {
        self.largest.map_or(f64::NEG_INFINITY, |largest| largest + self.scaled.ln())
    }
}

/// `u - ln(1 + u)`, by its series where the difference would cancel.
fn excess(u: f64) -> f64 {
    if u.abs() > 0.1 {
        return u - u.ln_1p();
    }
    // u^2/2 - u^3/3 + u^4/4 - …: below 0.1 eighteen terms reach 1e-19.
    let mut sum = 0.0;
    for k in (2..20).rev() {
        sum = 1.0 / f64::from(k) - u * sum;
    }
    sum * u * u
}

/// `ln(n!) - ln(sqrt(2 pi n) (n / e)^n)` for a whole `n >= 1`.
fn stirling_error(n: f64) -> f64 {
    if n < 16.0 {
        return SMALL[n as usize];
    }
    let square = n * n;
    (1.0 / 12.0 - (1.0 / 360.0 - (1.0 / 1260.0 - (1.0 / 1680.0 - 1.0 / 1188.0 / square) / square) / square) / square)
        / n
}

/// The error for 0 to 15, from the factorials at 40 digits.
const SMALL: [f64; 16] = [
    0.0,
    0.081_061_466_795_327_26,
    0.041_340_695_955_409_3,
    0.027_677_925_684_998_34,
    0.020_790_672_103_765_093,
    0.016_644_691_189_821_193,
    0.013_876_128_823_070_748,
    0.011_896_709_945_891_77,
    0.010_411_265_261_972_096,
    0.009_255_462_182_712_733,
    0.008_330_563_433_362_87,
    0.007_573_675_487_951_841,
    0.006_942_840_107_209_53,
    0.006_408_994_188_004_207,
    0.005_951_370_112_758_847_5,
    0.005_554_733_551_962_801,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_values_by_hand() {
        // n = 2, x = 0.6: only j = 0 counts, (1 - 0.6)^2.
        assert!((log_tail(2, 0.6).exp() - 0.16).abs() < 1e-15);
        // n = 2, x = 0.25: (0.75)^2 + 0.25 * 2 * (0.75)^0 * (0.25)^1.
        assert!((log_tail(2, 0.25).exp() - 0.6875).abs() < 1e-15);
    }

    #[test]
    fn strides_miss_nothing() {
        for (n, x) in
            [(4_096, 0.03), (8_192, 0.25), (50_000, 0.0067), (500_000, 0.0021), (500_000, 0.0152), (1_000_000, 0.2)]
        {
            assert!(stride(n, x) > 1, "{n} {x}");
            let every = summed(n, x, 1);
            assert!(
                (log_tail(n, x) - every).abs() < 1e-12 * every.abs().max(1.0),
                "{n} {x}: {} {every}",
                log_tail(n, x)
            );
        }
    }

    #[test]
    fn the_series_meets_the_logarithm() {
        for u in [0.0999, -0.0999, 0.05, -0.01] {
            let direct = u - f64::ln_1p(u);
            assert!((excess(u) - direct).abs() < 1e-15, "{u}");
        }
    }

    #[test]
    fn the_table_meets_the_series() {
        let at = |n: f64| {
            statrs::function::gamma::ln_gamma(n + 1.0) - ((n + 0.5) * n.ln() - n + 0.5 * std::f64::consts::TAU.ln())
        };
        for n in [1.0, 7.0, 15.0, 16.0, 40.0] {
            assert!((stirling_error(n) - at(n)).abs() < 1e-12, "{n}");
        }
    }
}
