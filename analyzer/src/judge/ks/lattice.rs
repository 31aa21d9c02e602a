//! Exact p-values by counting lattice paths.
//!
//! Under the null every order of the pooled sample is equally likely, and an order is a path from (0, 0) to (n1, n2). The
//! p-value is the share of paths that touch the region `|i n2 - j n1| >= h gcd`. [`outside`] computes that share itself and
//! not its complement, so that small p-values keep their digits: Viehmann 2021, arXiv 2102.08037.

use super::Sizes;

/// Equal sizes: `2 sum_k (-1)^(k-1) C(2n, n - k h) / C(2n, n)`, in Horner form so that terms do not cancel.
pub(super) fn equal_sizes(n: u64, h: u64) -> (f64, f64) {
    let mut inner = 0.0;
    for k in (1..=n / h).rev() {
        inner = ratio(n, h, k) * (1.0 - inner);
    }
    let first: f64 = (0..h).map(|j| ((n - j) as f64 / (n + j + 1) as f64).ln()).sum();
    let mut p = 1.0 - inner;
    for j in 0..h {
        p *= (n - j) as f64 / (n + j + 1) as f64;
    }
    ((2.0 * p).min(1.0), (std::f64::consts::LN_2 + first + (1.0 - inner).ln()).min(0.0))
}

/// `C(2n, n - (k+1) h) / C(2n, n - k h)`; 0 where `(k+1) h > n`.
fn ratio(n: u64, h: u64, k: u64) -> f64 {
    (0..h).fold(1.0, |product, j| product * n.saturating_sub(k * h + j) as f64 / (n + k * h + j + 1) as f64)
}

/// Share of paths that touch the boundary, for continuous data. Time O(n1 n2) at worst, memory O(min).
pub(super) fn outside(sizes: &Sizes, h: u64) -> f64 {
    recursion::<f64>(sizes, h)
}

/// The logarithm of [`outside`], in numbers whose exponent does not underflow.
pub(super) fn log_outside(sizes: &Sizes, h: u64) -> f64 {
    recursion::<Wide>(sizes, h).ln()
}

/// The recursion `C(i, j) = 1` outside, else `i/(i+j) C(i-1, j) + j/(i+j) C(i, j-1)`, column by column over the band inside.
fn recursion<W: Weight>(sizes: &Sizes, h: u64) -> W {
    let (m, n) = (sizes.n1.max(sizes.n2) as i64, sizes.n1.min(sizes.n2) as i64);
    let m_reduced = sizes.n1_reduced.max(sizes.n2_reduced) as i64;
    let n_reduced = sizes.n1_reduced.min(sizes.n2_reduced) as i64;
    let h = h as i64;
    // Rows j of column i with |i n' - j m'| < h.
    let band = |i: i64| {
        let low = ((n_reduced * i - h).div_euclid(m_reduced) + 1).max(0);
        let high = (n_reduced * i + h - 1).div_euclid(m_reduced).min(n);
        (low, high)
    };
    let (mut low, mut high) = band(0);
    // Row j of the column before; cells outside its band are 1.
    let mut column = vec![W::ONE; n as usize + 1];
    for j in low..=high {
        column[j as usize] = W::ZERO;
    }
    for i in 1..=m {
        let (next_low, next_high) = band(i);
        if next_high < next_low {
            return W::ONE;
        }
        let mut below = if next_low == 0 { W::ZERO } else { W::ONE };
        for j in next_low..=next_high {
            below = W::mix(i as f64, column[j as usize], j as f64, below);
            column[j as usize] = below;
        }
        for j in low..next_low.min(high + 1) {
            column[j as usize] = W::ONE;
        }
        (low, high) = (next_low, next_high);
    }
    column[n as usize]
}

/// Share of paths that touch the boundary at the end of a block of tied values: `ends[t]` says whether a block ends after `t`
/// values. Inside a block the order is not observed, so no path is judged there.
pub(super) fn with_ties(sizes: &Sizes, h: u64, ends: &[bool]) -> f64 {
    let mut column = vec![0.0f64; sizes.n2 + 1];
    for i in 0..=sizes.n1 {
        let mut below = 0.0;
        let across = i as u64 * sizes.n2_reduced;
        for (j, cell) in column.iter_mut().enumerate() {
            let touches = ends[i + j] && across.abs_diff(j as u64 * sizes.n1_reduced) >= h;
            below = match (touches, i + j) {
                (true, _) => 1.0,
                (false, 0) => 0.0,
                (false, _) => f64::mix(i as f64, *cell, j as f64, below),
            };
            *cell = below;
        }
    }
    column[sizes.n2]
}

/// What the recursion runs on: doubles, or numbers of wider range.
trait Weight: Copy {
    const ZERO: Self;
    const ONE: Self;
    /// `(i a + j b) / (i + j)`.
    fn mix(i: f64, a: Self, j: f64, b: Self) -> Self;
}

impl Weight for f64 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;

    fn mix(i: f64, a: Self, j: f64, b: Self) -> Self {
        (i * a + j * b) / (i + j)
    }
}

/// `mantissa * 2^(256 * steps)` with a mantissa kept above `2^-256`.
#[derive(Clone, Copy)]
struct Wide {
    mantissa: f64,
    steps: i32,
}

/// `2^-256`.
const STEP: f64 = 1.0 / (1u128 << 64) as f64 / (1u128 << 64) as f64 / (1u128 << 64) as f64 / (1u128 << 64) as f64;

impl Wide {
    fn ln(self) -> f64 {
        self.mantissa.ln() + f64::from(self.steps) * 256.0 * std::f64::consts::LN_2
    }

    /// The mantissa as seen from a higher exponent; three steps down it no longer counts.
    fn at(self, steps: i32) -> f64 {
        match steps - self.steps {
            0 => self.mantissa,
            1 => self.mantissa * STEP,
            2 => self.mantissa * STEP * STEP,
            _ => 0.0,
        }
    }
}

impl Weight for Wide {
    const ZERO: Self = Self { mantissa: 0.0, steps: i32::MIN / 2 };
    const ONE: Self = Self { mantissa: 1.0, steps: 0 };

    fn mix(i: f64, a: Self, j: f64, b: Self) -> Self {
        let steps = a.steps.max(b.steps);
        let mantissa = (i * a.at(steps) + j * b.at(steps)) / (i + j);
        if mantissa > 0.0 && mantissa < STEP {
            return Self { mantissa: mantissa / STEP, steps: steps - 1 };
        }
        Self { mantissa, steps }
    }
}
