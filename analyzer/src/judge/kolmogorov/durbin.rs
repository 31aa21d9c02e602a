//! Durbin's matrix formula in the form of Marsaglia, Tsang and Wang, "Evaluating Kolmogorov's Distribution", Journal of
//! Statistical Software 8(18), 2003: exact, for small `n x`.
//!
//! With `n x = k - h`, `P(D_n < x) = n!/n^n` times the k-th diagonal element of the n-th power of a square matrix of
//! order `2 k - 1`. The caller's cut points keep that order below about 120.

/// Powers of two by which values are scaled so that neither end of the range is reached.
const SCALE_EXPONENT: i32 = 128;

/// `P(D_n <= x)`.
pub(super) fn cdf(n: u64, x: f64) -> f64 {
    let nd = n as f64 * x;
    let k = nd.ceil().max(1.0) as usize;
    let mut base = step_matrix(k, k as f64 - nd);
    let order = base.order;
    let mut power = Matrix::identity(order);
    let (mut power_exponent, mut base_exponent) = (0i32, 0i32);
    let big = 2f64.powi(SCALE_EXPONENT);
    let mut left = n;
    while left > 0 {
        if left % 2 == 1 {
            power = power.times(&base);
            power_exponent += base_exponent;
        }
        left /= 2;
        if left == 0 {
            break;
        }
        base = base.times(&base);
        base_exponent *= 2;
        if base.at(k - 1, k - 1).abs() > big {
            base.scale(1.0 / big);
            base_exponent += SCALE_EXPONENT;
        }
    }
    let mut p = power.at(k - 1, k - 1);
    for i in 1..=n {
        p *= i as f64 / n as f64;
        if p.abs() < 1.0 / big {
            p *= big;
            power_exponent -= SCALE_EXPONENT;
        }
    }
    (p * 2f64.powi(power_exponent)).clamp(0.0, 1.0)
}

/// The matrix H of the paper's section 2.
fn step_matrix(k: usize, h: f64) -> Matrix {
    let order = 2 * k - 1;
    let mut matrix = Matrix::zero(order);
    // 1 / j! for j = 0 …; a late underflow is harmless.
    let mut reciprocal = vec![1.0; order + 1];
    for j in 1..=order {
        reciprocal[j] = reciprocal[j - 1] / j as f64;
    }
    for row in 0..order {
        for column in 1..order {
            if row + 1 >= column {
                matrix.set(row, column, reciprocal[row + 1 - column]);
            }
        }
    }
    let mut edge: Vec<f64> = (1..=order).map(|j| (1.0 - h.powi(j as i32)) * reciprocal[j]).collect();
    let twice = (2.0 * h - 1.0).max(0.0).powi(order as i32) - 2.0 * h.powi(order as i32);
    edge[order - 1] = (1.0 + twice) * reciprocal[order];
    for (i, value) in edge.iter().enumerate() {
        matrix.set(i, 0, *value);
        matrix.set(order - 1, order - 1 - i, *value);
    }
    matrix
}

/// A small dense square matrix, row by row.
struct Matrix {
    order: usize,
    cells: Vec<f64>,
}

impl Matrix {
    fn zero(order: usize) -> Self {
        Self { order, cells: vec![0.0; order * order] }
    }

    fn identity(order: usize) -> Self {
        let mut matrix = Self::zero(order);
        for i in 0..order {
            matrix.set(i, i, 1.0);
        }
        matrix
    }

    fn at(&self, row: usize, column: usize) -> f64 {
        self.cells[row * self.order + column]
    }

    fn set(&mut self, row: usize, column: usize, value: f64) {
        self.cells[row * self.order + column] = value;
    }

    fn scale(&mut self, by: f64) {
        self.cells.iter_mut().for_each(|cell| *cell *= by);
    }

    fn times(&self, other: &Self) -> Self {
        let mut product = Self::zero(self.order);
        for row in 0..self.order {
            let target = &mut product.cells[row * self.order..(row + 1) * self.order];
            for (inner, factor) in self.cells[row * self.order..(row + 1) * self.order].iter().enumerate() {
                let source = &other.cells[inner * self.order..(inner + 1) * self.order];
                for (cell, value) in target.iter_mut().zip(source) {
                    *cell += factor * value;
                }
            }
        }
        product
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_papers_example() {
        // Marsaglia, Tsang and Wang give P(D_10 < 0.274) = .6284796154565….
        assert!((cdf(10, 0.274) - 0.628_479_615_456_5).abs() < 1e-12);
    }
}
