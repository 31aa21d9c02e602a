//! Pomeranz's recursion, Communications of the ACM 17(12), 1974 (Algorithm 487): exact, for `n <= 140`.
//!
//! `2 n + 1` steps, each a convolution of the row before with one of three Poisson-like sequences; only a contiguous
//! range of a row is not zero. Rows are scaled by powers of two against underflow.

/// Powers of two by which values are scaled.
const SCALE_EXPONENT: i32 = 128;

/// `P(D_n <= x)`.
pub(super) fn cdf(n: u64, x: f64) -> f64 {
    let band = Band::new(n, x);
    let weights = Weights::new(n, &band);
    let mut row = vec![1.0];
    let (mut start, _) = band.range(0);
    let mut exponent = 0i32;
    let big = 2f64.powi(SCALE_EXPONENT);
    for i in 1..=2 * band.n + 1 {
        let (from, to) = band.range(i);
        let mut next = convolve(&row, start, weights.of_step(i, band.n), from, to);
        let largest = next.iter().copied().fold(0.0, f64::max);
        if largest > 0.0 && largest < 1.0 / big {
            next.iter_mut().for_each(|value| *value *= big);
            exponent -= SCALE_EXPONENT;
        }
        row = next;
        start = from;
    }
    let mut answer = usize::try_from(band.n - start).ok().and_then(|i| row.get(i)).copied().unwrap_or(0.0);
    for m in 1..=n {
        if answer.abs() > big {
            answer /= big;
            exponent += SCALE_EXPONENT;
        }
        answer *= m as f64;
    }
    (answer * 2f64.powi(exponent)).clamp(0.0, 1.0)
}

/// Cells `from..=to` of the next row: the row, whose first cell is number `start`, convolved with the weights.
fn convolve(row: &[f64], start: i64, weights: &[f64], from: i64, to: i64) -> Vec<f64> {
    (from..=to)
        .map(|j| {
            row.iter()
                .zip(start..=j)
                .filter_map(|(value, k)| weights.get((j - k) as usize).map(|weight| value * weight))
                .sum()
        })
        .collect()
}

/// `n x = whole + fraction`, and where each row is not zero.
struct Band {
    n: i64,
    whole: i64,
    /// 1 when the fraction is above 0.
    ceiled: i64,
    /// 1 when the fraction is above one half.
    rounded: i64,
    /// The fraction's distance to the nearest whole number.
    gap: f64,
}

impl Band {
    fn new(n: u64, x: f64) -> Self {
        let t = n as f64 * x;
        let fraction = t - t.floor();
        Self {
            n: n as i64,
            whole: t.floor() as i64,
            ceiled: i64::from(fraction > 0.0),
            rounded: i64::from(fraction > 0.5),
            gap: fraction.min(1.0 - fraction),
        }
    }

    /// First and last cell of row `i` that may differ from zero.
    fn range(&self, i: i64) -> (i64, i64) {
        let half = (i + 1) / 2;
        let (before, last) = if i == 0 {
            (-self.whole - self.ceiled - 1, self.whole + self.ceiled - 1)
        } else if i % 2 == 0 {
            (half - self.whole - 2, half + self.whole + self.rounded - 1)
        } else if half == self.n + 1 {
            (self.n - self.whole - self.ceiled - 1, self.n + self.whole + self.ceiled - 1)
        } else {
            (half - 2 - self.whole - self.rounded, half + self.whole - 2 + self.ceiled)
        };
        ((before + 2).max(0), last.min(self.n))
    }
}

/// The three sequences `(c / n)^m / m!`.
struct Weights {
    ends: Vec<f64>,
    narrow: Vec<f64>,
    wide: Vec<f64>,
}

impl Weights {
    fn new(n: u64, band: &Band) -> Self {
        let count = 2 * (band.whole as usize + 1);
        let sequence = |c: f64| {
            let ratio = c / n as f64;
            let mut value = 1.0;
            (1..=count)
                .map(|m| {
                    let now = value;
                    value *= ratio / m as f64;
                    now
                })
                .collect()
        };
        Self { ends: sequence(band.gap), narrow: sequence(2.0 * band.gap), wide: sequence(1.0 - 2.0 * band.gap) }
    }

    fn of_step(&self, i: i64, n: i64) -> &[f64] {
        match i {
            1 => &self.ends,
            i if i == 2 * n + 1 => &self.ends,
            i if i % 2 == 1 => &self.narrow,
            _ => &self.wide,
        }
    }
}
