//! Fréchet distance of two embeddings' projections, each as a normal law of the same mean and covariance.
//!
//! `d^2 = |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))` (Dowson and Landau 1982). The trace of the root is that of
//! `(S C2 S)^(1/2)` with `S = C1^(1/2)`, which is symmetric, so eigenvalues by Jacobi's rotations will do. It is a description of how
//! far the cloud moved, in the projections' unit; the tests of the single projections decide.

use store::read::Moments;

/// Rotations of Jacobi's method end after as many sweeps; a few suffice.
const SWEEPS_MAX: usize = 64;

/// How far two clouds are apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frechet {
    /// The distance.
    pub distance: f64,
    /// Its square's part of the means.
    pub means: f64,
    /// Its square's part of the covariances.
    pub covariances: f64,
    /// What the part of the means is on average where nothing moved: `tr(C1)/n1 + tr(C2)/n2`.
    pub means_by_chance: f64,
}

/// The distance between a reference and a window; `None` where they are not of one shape, or are no numbers.
#[must_use]
pub fn distance(before: &Moments, now: &Moments) -> Option<Frechet> {
    let k = before.means.len();
    let shaped = |of: &Moments| of.n > 1 && of.means.len() == k && of.covariances.len() == k * k;
    let finite = |of: &Moments| of.means.iter().chain(&of.covariances).all(|x| x.is_finite());
    if k == 0 || ![before, now].into_iter().all(|of| shaped(of) && finite(of)) {
        return None;
    }
    let means: f64 = before.means.iter().zip(&now.means).map(|(a, b)| (a - b).powi(2)).sum();
    let root = root(&before.covariances, k);
    let product = times(&times(&root, &now.covariances, k), &root, k);
    let roots: f64 = eigen(product, k).0.into_iter().map(|value| value.max(0.0).sqrt()).sum();
    let (one, other) = (trace(&before.covariances, k), trace(&now.covariances, k));
    let covariances = (one + other - 2.0 * roots).max(0.0);
    Some(Frechet {
        distance: (means + covariances).sqrt(),
        means,
        covariances,
        means_by_chance: one / before.n as f64 + other / now.n as f64,
    })
}

fn trace(matrix: &[f64], k: usize) -> f64 {
    (0..k).map(|i| matrix[i * k + i]).sum()
}

fn times(a: &[f64], b: &[f64], k: usize) -> Vec<f64> {
    let cell = |at: usize| (0..k).map(|j| a[at / k * k + j] * b[j * k + at % k]).sum();
    (0..k * k).map(cell).collect()
}

/// The symmetric root of a covariance.
fn root(matrix: &[f64], k: usize) -> Vec<f64> {
    let (values, vectors) = eigen(matrix.to_vec(), k);
    let roots: Vec<f64> = values.iter().map(|value| value.max(0.0).sqrt()).collect();
    let cell = |at: usize| (0..k).map(|j| vectors[at / k * k + j] * roots[j] * vectors[at % k * k + j]).sum();
    (0..k * k).map(cell).collect()
}

/// Eigenvalues of a symmetric matrix, and their vectors as columns.
fn eigen(mut a: Vec<f64>, k: usize) -> (Vec<f64>, Vec<f64>) {
    let mut v: Vec<f64> = (0..k * k).map(|at| f64::from(u8::from(at / k == at % k))).collect();
    let scale = a.iter().fold(0.0f64, |most, x| most.max(x.abs()));
    for _ in 0..SWEEPS_MAX {
        let off =
            (0..k).flat_map(|p| (p + 1..k).map(move |q| (p, q))).map(|(p, q)| a[p * k + q].abs()).fold(0.0, f64::max);
        if off <= scale * 1e-15 {
            break;
        }
        for p in 0..k {
            for q in p + 1..k {
                rotate(&mut a, &mut v, k, (p, q));
            }
        }
    }
    ((0..k).map(|i| a[i * k + i]).collect(), v)
}

/// One rotation, after which the cell (p, q) is 0.
fn rotate(a: &mut [f64], v: &mut [f64], k: usize, (p, q): (usize, usize)) {
    let apq = a[p * k + q];
    if apq == 0.0 {
        return;
    }
    let theta = (a[q * k + q] - a[p * k + p]) / (2.0 * apq);
    let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
    let c = 1.0 / (t * t + 1.0).sqrt();
    let s = t * c;
    for j in 0..k {
        let (jp, jq) = (a[j * k + p], a[j * k + q]);
        (a[j * k + p], a[j * k + q]) = (c * jp - s * jq, s * jp + c * jq);
    }
    for j in 0..k {
        let (pj, qj) = (a[p * k + j], a[q * k + j]);
        (a[p * k + j], a[q * k + j]) = (c * pj - s * qj, s * pj + c * qj);
        let (vp, vq) = (v[j * k + p], v[j * k + q]);
        (v[j * k + p], v[j * k + q]) = (c * vp - s * vq, s * vp + c * vq);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(means: &[f64], covariances: &[f64]) -> Moments {
        Moments { n: 100, means: means.to_vec(), covariances: covariances.to_vec() }
    }

    const C1: [f64; 9] = [1.0, 0.2, 0.1, 0.2, 0.8, -0.1, 0.1, -0.1, 0.5];
    const C2: [f64; 9] = [0.6, -0.1, 0.0, -0.1, 1.2, 0.3, 0.0, 0.3, 0.9];

    /// scipy 1.17.1: `((m1 - m2)**2).sum()`, `trace(C1 + C2 - 2 * sqrtm(C1 @ C2).real)`.
    #[test]
    fn it_is_what_scipy_says() {
        let found = distance(&moments(&[0.1, -0.3, 0.5], &C1), &moments(&[0.4, -0.1, 0.2], &C2)).unwrap();
        assert!((found.means - 0.22).abs() < 1e-12, "{found:?}");
        assert!((found.covariances - 0.294_299_811_143_836_63).abs() < 1e-9, "{found:?}");
        assert!((found.distance - 0.717_146_994_098_027_7).abs() < 1e-9, "{found:?}");
        assert!((found.means_by_chance - 0.05).abs() < 1e-12);
    }

    /// `A = sqrtm(C1); trace(C1 + C3 - 2 * sqrtm(A @ C3 @ A).real)`, with a covariance of rank one, as few items have.
    #[test]
    fn a_flat_cloud_has_a_distance_too() {
        let flat: Vec<f64> = (0..9).map(|at| ((at / 3 + 1) * (at % 3 + 1)) as f64).collect();
        let found = distance(&moments(&[0.0; 3], &C1), &moments(&[0.0; 3], &flat)).unwrap();
        assert!((found.covariances - 10.333_426_388_609_68).abs() < 1e-6, "{found:?}");
    }

    #[test]
    fn equal_clouds_are_at_no_distance_and_odd_ones_at_none() {
        let one = moments(&[0.1, -0.3, 0.5], &C1);
        assert!(distance(&one, &one).unwrap().distance < 1e-6);
        assert_eq!(distance(&one, &moments(&[0.0], &[1.0])), None);
        assert_eq!(distance(&one, &moments(&[f64::NAN, 0.0, 0.0], &C1)), None);
        assert_eq!(distance(&one, &Moments { n: 1, ..one.clone() }), None);
    }
}
