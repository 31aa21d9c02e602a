//! Categories: the largest difference of a share (L-infinity), its margin of chance, and a G test.
//!
//! Names that a reference never saw have no share in it, but they had one in what it was drawn from: about the share of values
//! whose name came once (Good 1953). Against 0, every column of many names would drift at once and for ever; so the never seen
//! may grow up to that share for nothing.

use statrs::distribution::{ChiSquared, ContinuousCDF};

use super::reference::Categories;

/// Cells expected to hold fewer than this are joined for the G test, where its chi-square law would not hold.
const EXPECTED_MIN: f64 = 5.0;

/// The largest difference of a share, and which cell it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Largest {
    /// 0 to 1.
    pub difference: f64,
    /// The cell.
    pub cell: usize,
    /// Its share of the reference.
    pub reference: f64,
    /// Its share of the window.
    pub current: f64,
}

/// The cell whose share differs most; of two that moved equally, the one that grew. `None` when either side holds nothing.
#[must_use]
pub fn largest(categories: &Categories, current: &[u64]) -> Option<Largest> {
    let (names, reference) = (categories.names.len(), &categories.counts);
    let (m, n): (u64, u64) = (reference.iter().sum(), current.iter().sum());
    if m == 0 || n == 0 {
        return None;
    }
    let once = categories.once();
    reference
        .iter()
        .zip(current)
        .enumerate()
        .map(|(cell, (r, c))| {
            let (least, current) = (*r as f64 / m as f64, *c as f64 / n as f64);
            let most = if cell == names { (*r + once) as f64 / m as f64 } else { least };
            let reference = current.clamp(least, most);
            Largest { difference: (reference - current).abs(), cell, reference, current }
        })
        .max_by(|a, b| grown(a).total_cmp(&grown(b)))
}

/// The difference, a hair more for a share that grew.
fn grown(found: &Largest) -> f64 {
    found.difference + if found.current > found.reference { 1e-9 } else { 0.0 }
}

/// By how much a share of `n` values may be off by chance, for all `cells` at once, but with probability `delta`: Hoeffding's
/// inequality and a union over cells, or twice the margin of the distribution function where that is less.
#[must_use]
pub fn margin(n: u64, cells: usize, delta: f64) -> f64 {
    let by_cell = ((2.0 * cells as f64 / delta).ln() / (2.0 * n as f64)).sqrt();
    by_cell.min(2.0 * ((2.0 / delta).ln() / (2.0 * n as f64)).sqrt())
}

/// P-value of the G test (likelihood ratio) that two columns of counts come from one distribution.
#[must_use]
pub fn g_test(reference: &[u64], current: &[u64]) -> Option<f64> {
    let (m, n): (u64, u64) = (reference.iter().sum(), current.iter().sum());
    if m == 0 || n == 0 {
        return None;
    }
    let (m, n) = (m as f64, n as f64);
    let smaller = m.min(n) / (m + n);
    let (mut kept, mut rare) = (Vec::new(), (0.0, 0.0));
    for (r, c) in reference.iter().zip(current).map(|(r, c)| (*r as f64, *c as f64)).filter(|(r, c)| r + c > 0.0) {
        if (r + c) * smaller < EXPECTED_MIN {
            rare = (rare.0 + r, rare.1 + c);
        } else {
            kept.push((r, c));
        }
    }
    if rare.0 + rare.1 > 0.0 {
        kept.push(rare);
    }
    let term = |observed: f64, expected: f64| if observed > 0.0 { observed * (observed / expected).ln() } else { 0.0 };
    let g: f64 =
        kept.iter().map(|(r, c)| 2.0 * (term(*r, (r + c) * m / (m + n)) + term(*c, (r + c) * n / (m + n)))).sum();
    let freedom = kept.len() as f64 - 1.0;
    if freedom < 1.0 {
        return Some(1.0);
    }
    ChiSquared::new(freedom).ok().map(|law| law.sf(g.max(0.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_g_test_equals_scipys() {
        // scipy.stats.chi2_contingency([[30, 50, 20], [20, 30, 50]], lambda_="log-likelihood", correction=False).pvalue
        let p = g_test(&[30, 50, 20], &[20, 30, 50]).unwrap();
        assert!((p / GTEST_P - 1.0).abs() < 1e-9, "{p}");
    }

    /// From scipy 1.17.1, by the command in the test.
    const GTEST_P: f64 = 3.811424321910853e-05;

    #[test]
    fn rare_cells_are_joined_and_empty_ones_left_out() {
        let with_dust = g_test(&[500, 500, 1, 0, 1], &[250, 250, 0, 0, 1]).unwrap();
        assert!(with_dust > 0.3, "{with_dust}");
        assert_eq!(g_test(&[5, 0], &[7, 0]), Some(1.0));
        assert_eq!(g_test(&[5], &[0]), None);
    }

    #[test]
    fn the_largest_difference_names_its_cell() {
        let frozen = |counts: [u64; 5]| Categories { names: vec!["a".into(), "b".into()], counts: counts.to_vec() };
        let found = largest(&frozen([50, 50, 0, 0, 0]), &[10, 10, 20, 0, 0]).unwrap();
        assert_eq!((found.cell, found.difference, found.reference), (2, 0.5, 0.0));
        // One of a hundred values had a name of its own: so may one of a hundred be new.
        let found = largest(&frozen([99, 1, 0, 0, 0]), &[50, 0, 50, 0, 0]).unwrap();
        assert_eq!((found.cell, found.difference, found.reference), (2, 0.49, 0.01));
        assert_eq!(largest(&frozen([99, 1, 0, 0, 0]), &[99, 0, 1, 0, 0]).map(|found| found.difference), Some(0.01));
    }
}
