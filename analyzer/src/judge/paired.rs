//! Classical tests of paired answers, as descriptions: each holds at one look only, so no verdict rests on them.
//!
//! | test | asks | source |
//! |---|---|---|
//! | McNemar, exact | are both right equally often, by labels | McNemar 1947; binomial tail |
//! | Tango | is the shadow right at most `margin` less often, by labels | Tango, Statistics in Medicine 17 (1998), the score test |
//! | Stuart-Maxwell | do both give each class equally often | Stuart 1955; Maxwell 1970 |
//! | Bowker | is one class taken for another as often as the other for it | Bowker 1948 |

use contract::api::shadow::PairedTest;
use statrs::distribution::{Binomial, ChiSquared, ContinuousCDF as _, DiscreteCDF as _, Normal};

use super::agreement::percent;

/// Classes of the tables, the most frequent ones; the rest are one more.
const CLASSES_MAX: usize = 16;

/// Labelled pairs by who was right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Right {
    /// Both, or neither.
    pub same: u64,
    /// The primary alone.
    pub primary: u64,
    /// The shadow alone.
    pub shadow: u64,
}

/// All tests that the pairs allow; `table` holds pairs by the two labels.
#[must_use]
pub fn tests(right: Right, margin: f64, table: &[(String, String, u64)]) -> Vec<PairedTest> {
    let square = square(table);
    [mcnemar(right), tango(right, margin), stuart_maxwell(&square), bowker(&square)].into_iter().flatten().collect()
}

/// Exact: of the pairs in which one alone was right, each is as likely to be so. `None` without any.
#[must_use]
pub fn mcnemar(right: Right) -> Option<PairedTest> {
    let (fewer, n) = (right.primary.min(right.shadow), right.primary + right.shadow);
    let law = Binomial::new(0.5, n).ok().filter(|_| n > 0)?;
    let p_value = (2.0 * law.cdf(fewer)).min(1.0);
    let sentence = format!(
        "The primary alone was right {} times, the shadow alone {} times; were both right equally often, that or more would come with p = {p_value:.3}.",
        right.primary, right.shadow
    );
    Some(PairedTest { test: "mcnemar".into(), statistic: fewer as f64, freedom: None, p_value, sentence })
}

/// Tango's score test of "the shadow is right at least `margin` less often than the primary"; `None` without pairs or margin.
#[must_use]
pub fn tango(right: Right, margin: f64) -> Option<PairedTest> {
    let n = (right.same + right.primary + right.shadow) as f64;
    if n == 0.0 || !(margin > 0.0 && margin < 1.0) {
        return None;
    }
    // b: the shadow alone, c: the primary alone; the null is p_b - p_c = -margin
    let (b, c) = (right.shadow as f64, right.primary as f64);
    // the share of c under the null: the root of 2 n x^2 + B x + C (Tango's equation 2.6 in these letters)
    let (quadratic, linear) = (2.0 * n, -b - c - (2.0 * n - b + c) * margin);
    let constant = c * margin * (margin + 1.0);
    let share = ((linear * linear - 4.0 * quadratic * constant).max(0.0).sqrt() - linear) / (2.0 * quadratic);
    let variance = n * (2.0 * share - margin * (margin + 1.0));
    let statistic = (b - c + n * margin) / variance.max(f64::MIN_POSITIVE).sqrt();
    let p_value = 1.0 - Normal::standard().cdf(statistic);
    let sentence = format!(
        "Were the shadow right {} less often than the primary, as many pairs in its favour would come with p = {p_value:.3}.",
        percent(margin)
    );
    Some(PairedTest { test: "tango".into(), statistic, freedom: None, p_value, sentence })
}

/// A square table of the most frequent classes, rows by the primary's.
fn square(table: &[(String, String, u64)]) -> Vec<Vec<f64>> {
    let mut totals: std::collections::BTreeMap<&str, u64> = std::collections::BTreeMap::new();
    for (primary, shadow, n) in table {
        *totals.entry(primary).or_default() += n;
        *totals.entry(shadow).or_default() += n;
    }
    let mut classes: Vec<(&str, u64)> = totals.into_iter().collect();
    classes.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
    let size = classes.len().min(CLASSES_MAX + 1);
    let place = |label: &str| classes.iter().position(|(class, _)| *class == label).unwrap_or(0).min(CLASSES_MAX);
    let mut square = vec![vec![0.0; size]; size];
    for (primary, shadow, n) in table {
        square[place(primary)][place(shadow)] += *n as f64;
    }
    square
}

/// Are rows and columns of a square table alike in their sums. `None` where they cannot differ.
#[must_use]
pub fn stuart_maxwell(table: &[Vec<f64>]) -> Option<PairedTest> {
    let k = table.len();
    let row = |i: usize| table[i].iter().sum::<f64>();
    let column = |i: usize| table.iter().map(|row| row[i]).sum::<f64>();
    // classes that are never taken for another say nothing, and make the covariances singular
    let moves: Vec<usize> = (0..k).filter(|&i| row(i) + column(i) > 2.0 * table[i][i]).collect();
    let kept = &moves[..moves.len().checked_sub(1).filter(|kept| *kept > 0)?];
    let differences: Vec<f64> = kept.iter().map(|&i| row(i) - column(i)).collect();
    let covariance = |i: usize, j: usize| match i == j {
        true => row(i) + column(i) - 2.0 * table[i][i],
        false => -(table[i][j] + table[j][i]),
    };
    let matrix = kept.iter().map(|&i| kept.iter().map(|&j| covariance(i, j)).collect()).collect();
    let solved = solve(matrix, differences.clone())?;
    let statistic: f64 = differences.iter().zip(solved).map(|(a, b)| a * b).sum();
    let what = "Primary and shadow give each class equally often";
    chi_square("stuart_maxwell", statistic, kept.len(), what)
}

/// Is one class taken for another as often as the other for it. `None` without any such pair.
#[must_use]
pub fn bowker(table: &[Vec<f64>]) -> Option<PairedTest> {
    let pairs = (0..table.len()).flat_map(|i| (0..i).map(move |j| (table[i][j], table[j][i])));
    let (statistic, freedom) = pairs
        .filter(|(a, b)| a + b > 0.0)
        .fold((0.0, 0), |(sum, n), (a, b)| (sum + (a - b) * (a - b) / (a + b), n + 1));
    chi_square("bowker", statistic, freedom, "Each class is taken for another as often as the other for it")
}

fn chi_square(test: &str, statistic: f64, freedom: usize, what: &str) -> Option<PairedTest> {
    let law = ChiSquared::new(freedom as f64).ok().filter(|_| freedom > 0 && statistic.is_finite())?;
    let p_value = law.sf(statistic);
    let sentence = format!("{what}: if so, differences as large would come with p = {p_value:.3}.");
    Some(PairedTest { test: test.into(), statistic, freedom: u32::try_from(freedom).ok(), p_value, sentence })
}

/// A system of linear equations by elimination with pivots; `None` where it has no single solution.
fn solve(mut matrix: Vec<Vec<f64>>, mut right: Vec<f64>) -> Option<Vec<f64>> {
    let n = right.len();
    for at in 0..n {
        let pivot = (at..n).max_by(|&i, &j| matrix[i][at].abs().total_cmp(&matrix[j][at].abs()))?;
        matrix.swap(at, pivot);
        right.swap(at, pivot);
        let head = matrix[at].clone();
        if head[at].abs() < 1e-9 {
            return None;
        }
        for row in at + 1..n {
            let factor = matrix[row][at] / head[at];
            matrix[row].iter_mut().zip(&head).for_each(|(value, above)| *value -= factor * above);
            right[row] -= factor * right[at];
        }
    }
    for at in (0..n).rev() {
        let known: f64 = (at + 1..n).map(|column| matrix[at][column] * right[column]).sum();
        right[at] = (right[at] - known) / matrix[at][at];
    }
    Some(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: &PairedTest, statistic: f64, freedom: Option<u32>, p_value: f64) {
        assert_eq!(found.freedom, freedom, "{found:?}");
        assert!((found.statistic - statistic).abs() < 1e-9, "{found:?} is not {statistic}");
        assert!((found.p_value - p_value).abs() < 1e-9, "{found:?} has not p = {p_value}");
    }

    /// statsmodels 0.15.0, scipy 1.17.1:
    /// `t = SquareTable(np.array([[50,6,3],[2,40,9],[7,1,30]]), shift_zeros=False)`, `t.homogeneity(method="stuart_maxwell")`,
    /// `t.symmetry()`, `mcnemar([[0,12],[5,0]], exact=True)`
    #[test]
    fn statistics_and_p_values_equal_those_of_statsmodels() {
        let table = vec![vec![50.0, 6.0, 3.0], vec![2.0, 40.0, 9.0], vec![7.0, 1.0, 30.0]];
        near(&stuart_maxwell(&table).unwrap(), 1.1076923076923055, Some(2), 0.5747350345627651);
        near(&bowker(&table).unwrap(), 10.0, Some(3), 0.01856613546304325);
        near(&mcnemar(Right { same: 0, primary: 12, shadow: 5 }).unwrap(), 5.0, None, 0.143463134765625);
    }

    /// The constrained likelihood maximised by root finding, with scipy's `brentq`:
    /// `q = brentq(lambda q: b/(q-m) + c/q - 2*same/(1-2*q+m), m + 1e-12, (1+m)/2 - 1e-12)`,
    /// `z = (b-c+n*m) / sqrt(n*(2*q-m-m*m))`, `norm.sf(z)`
    #[test]
    fn tangos_closed_form_equals_the_constrained_likelihood() {
        let of = |same, primary, shadow, margin| tango(Right { same, primary, shadow }, margin).unwrap();
        near(&of(183, 12, 5, 0.05), 0.7068821124751163, None, 0.23981987043373104);
        near(&of(980, 12, 8, 0.02), 2.923257395515386, None, 0.0017319502059196378);
        assert!(of(1_000, 0, 0, 0.02).p_value < 1e-4, "nothing differs");
    }

    #[test]
    fn what_cannot_be_asked_is_no_test() {
        assert_eq!(mcnemar(Right { same: 9, primary: 0, shadow: 0 }), None);
        assert_eq!((tango(Right::default(), 0.02), tango(Right { same: 9, ..Right::default() }, 1.0)), (None, None));
        for table in [vec![], vec![vec![5.0]], vec![vec![5.0, 0.0], vec![0.0, 7.0]]] {
            assert_eq!((stuart_maxwell(&table), bowker(&table)), (None, None), "{table:?}");
        }
        // a class that is never taken for another does not stand in the way of the others
        let table = vec![vec![9.0, 0.0, 0.0], vec![0.0, 9.0, 4.0], vec![0.0, 1.0, 9.0]];
        near(
            &stuart_maxwell(&table).unwrap(),
            bowker(&table).unwrap().statistic,
            Some(1),
            bowker(&table).unwrap().p_value,
        );
    }

    #[test]
    fn many_classes_are_the_most_frequent_ones_and_the_rest() {
        let label = |i: u64| format!("class {i:02}");
        let table: Vec<(String, String, u64)> = (0..40).map(|i| (label(i), label((i + 1) % 40), 100 - i)).collect();
        let square = square(&table);
        assert_eq!(square.len(), CLASSES_MAX + 1);
        let total: f64 = square.iter().flatten().sum();
        assert_eq!(total, table.iter().map(|(_, _, n)| *n as f64).sum::<f64>());
        assert_eq!(tests(Right::default(), 0.02, &table).len(), 2);
    }
}
