//! Against scikit-learn 1.9.1 (numpy 2.4.6), on rows small enough to be written down.
//!
//! ```python
//! said, truth, c = zip(*ROWS); y = [t == "yes" for t in truth]; p = [c if s == "yes" else 1 - c for s, c in zip(said, c)]
//! classification_report(truth, said, output_dict=True); brier_score_loss(y, p); log_loss(y, p); roc_auc_score(y, p)
//! v10 = [((a > N) + .5 * (a == N)).mean() for a in P]; v01 = [((P > b) + .5 * (P == b)).mean() for b in N]
//! sqrt(var(v10, ddof=1) / len(P) + var(v01, ddof=1) / len(N))        # DeLong, with P and N the scores of either class
//! mean_absolute_error(t, a); root_mean_squared_error(t, a); numpy.quantile(a - t, [.05, .5, .95])
//! ```

use super::*;

const BINS: u32 = 1_000;

const TWO: [(&str, &str, f64); 12] = [
    ("no", "no", 0.91),
    ("no", "no", 0.62),
    ("yes", "no", 0.55),
    ("yes", "yes", 0.88),
    ("yes", "yes", 0.73),
    ("no", "yes", 0.58),
    ("yes", "yes", 0.97),
    ("no", "no", 0.84),
    ("yes", "no", 0.66),
    ("no", "no", 0.73),
    ("yes", "yes", 0.66),
    ("no", "yes", 0.91),
];

const THREE: [(&str, &str, f64); 10] = [
    ("a", "a", 0.9),
    ("a", "b", 0.5),
    ("b", "b", 0.8),
    ("c", "c", 0.7),
    ("c", "a", 0.6),
    ("b", "b", 0.4),
    ("a", "a", 0.95),
    ("c", "b", 0.45),
    ("a", "a", 0.5),
    ("b", "c", 0.85),
];

/// Counts as the store gives them.
fn counted(rows: &[(&str, &str, f64)], by_answer: bool) -> (Vec<ClassCount>, Vec<ScoreCount>) {
    let mut classes: BTreeMap<&str, (u64, u64, u64)> = BTreeMap::new();
    let mut scores: BTreeMap<(String, u32), ScoreCount> = BTreeMap::new();
    for (said, truth, c) in rows {
        classes.entry(truth).or_default().0 += 1;
        classes.entry(said).or_default().1 += 1;
        classes.entry(said).or_default().2 += u64::from(said == truth);
        let (right, word) = (said == truth, if by_answer { (*said).to_owned() } else { String::new() });
        let bin = ((c * f64::from(BINS)) as u32).min(BINS - 1);
        let score = scores.entry((word.clone(), bin)).or_default();
        let (y, loss) = (f64::from(u8::from(right)), -(if right { *c } else { 1.0 - c }).ln());
        (score.said, score.bin) = (word, bin);
        score.n += 1;
        score.correct += u64::from(right);
        score.confidence += c;
        score.squares += (c - y).powi(2);
        score.squares2 += (c - y).powi(4);
        score.logs += loss;
        score.logs2 += loss * loss;
    }
    let (labelled, right) = (rows.len() as u64, classes.values().map(|one| one.2).sum());
    let class = |(label, (support, answers, hits)): (&str, (u64, u64, u64))| ClassCount {
        label: label.into(),
        support,
        answers,
        hits,
        labelled,
        right,
    };
    let mut classes: Vec<ClassCount> = classes.into_iter().map(class).collect();
    classes.sort_by(|a, b| b.support.cmp(&a.support).then_with(|| a.label.cmp(&b.label)));
    (classes, scores.into_values().collect())
}

fn near(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
}

#[test]
fn two_classes_agree_with_scikit_learn() {
    let (classes, scores) = counted(&TWO, true);
    let found = classification(&classes, &scores, BINS).unwrap();
    near(found.accuracy.value, 0.666_666_666_666_666_6);
    near(found.brier.unwrap().value, 0.196_45);
    near(found.log_loss.unwrap().value, 0.591_891_076_178_414_6);
    near(found.calibration_error.unwrap(), 0.233_333_333_333_333_36);
    let auroc = found.auroc.unwrap();
    near(auroc.value, 0.777_777_777_777_777_8);
    near(auroc.value - auroc.lower, Z * 0.157_134_840_263_677_22);
    assert_eq!((auroc.upper, found.auroc_of.as_str()), (1.0, "yes"));
    let bins: Vec<(u64, f64, f64)> = found.reliability.iter().map(|b| (b.n, b.confidence, b.accuracy.value)).collect();
    assert_eq!(bins.iter().map(|bin| bin.0).collect::<Vec<_>>(), [2, 3, 2, 2, 3]);
    for (bin, (confidence, accuracy)) in
        bins.iter().zip([(0.565, 0.0), (0.646_666_67, 0.666_666_67), (0.73, 1.0), (0.86, 1.0), (0.93, 0.666_666_67)])
    {
        assert!((bin.1 - confidence).abs() < 1e-7 && (bin.2 - accuracy).abs() < 1e-7, "{bin:?}");
    }
}

#[test]
fn three_classes_agree_with_scikit_learn() {
    let (classes, scores) = counted(&THREE, false);
    let found = classification(&classes, &scores, BINS).unwrap();
    near(found.macro_f1.unwrap(), 0.573_809_523_809_523_9);
    near(found.auroc.unwrap().value, 0.645_833_333_333_333_4);
    assert_eq!(found.auroc_of, "right answers");
    let figures: Vec<(&str, f64, f64, f64, u64)> = found
        .classes
        .iter()
        .map(|c| {
            (c.label.as_str(), c.precision.unwrap().value, c.recall.unwrap().value, c.f1.unwrap().value, c.support)
        })
        .collect();
    for (found, expected) in figures.iter().zip([
        ("a", 0.75, 0.75, 0.75, 4),
        ("b", 0.666_666_666_666_666_6, 0.5, 0.571_428_571_428_571_4, 4),
        ("c", 0.333_333_333_333_333_3, 0.5, 0.4, 2),
    ]) {
        assert_eq!((found.0, found.4), (expected.0, expected.4));
        near(found.1, expected.1);
        near(found.2, expected.2);
        near(found.3, expected.3);
    }
}

#[test]
fn numbers_agree_with_scikit_learn() {
    let (answers, truths) = ([2.5, 0.1, 2.0, 8.0, 4.2, 5.1], [3.0, -0.5, 2.0, 7.0, 4.0, 6.0f64]);
    let errors: Vec<f64> = answers.iter().zip(truths).map(|(a, t)| a - t).collect();
    let sum = |of: fn(f64) -> f64| errors.iter().map(|e| of(*e)).sum::<f64>();
    let counts = ErrorCounts {
        n: 6,
        signed: sum(|e| e),
        absolute: sum(f64::abs),
        squares: sum(|e| e * e),
        squares2: sum(|e| e.powi(4)),
        quantiles: vec![-0.8, 0.1, 0.9],
        sizes: vec![0.55, 0.975],
    };
    let found = regression("output.y", &counts).unwrap();
    near(found.mae.value, 0.533_333_333_333_333_4);
    near(found.rmse.value, 0.640_312_423_743_284_9);
    near(found.bias.value, 0.066_666_666_666_666_65);
    assert!(found.rmse.lower < found.rmse.value && found.rmse.value < found.rmse.upper);
    assert!(regression("output.y", &ErrorCounts::default()).is_none());
}

#[test]
fn nothing_labelled_is_no_figure() {
    assert_eq!(classification(&[], &[], BINS), None);
    assert_eq!(auroc(vec![(0.5, 10, 0)]), None);
}

/// Beyond ten thousand pairs of an answer and a truth, accuracy was that of the most frequent ones.
#[test]
fn accuracy_is_of_all_labelled_answers_though_not_all_classes_are_told_apart() {
    let (mut classes, _) = counted(&[("a", "a", 0.9), ("b", "b", 0.6)], false);
    classes.iter_mut().for_each(|class| (class.labelled, class.right) = (10, 2));
    assert_eq!(classification(&classes, &[], BINS).unwrap().accuracy.value, 0.2);
}

#[test]
fn a_class_that_was_never_said_has_no_precision_and_still_a_recall() {
    let (classes, scores) = counted(&[("a", "a", 0.9), ("a", "b", 0.6)], true);
    let found = classification(&classes, &scores, BINS).unwrap();
    let never = found.classes.iter().find(|class| class.label == "b").unwrap();
    assert_eq!((never.precision, never.recall.map(|figure| figure.value)), (None, Some(0.0)));
    assert_eq!(never.f1.unwrap().value, 0.0);
}

#[test]
fn a_model_without_a_confidence_has_counts_and_no_scores() {
    let (classes, _) = counted(&THREE, false);
    let found = classification(&classes, &[], BINS).unwrap();
    assert!((found.accuracy.value - 0.6).abs() < 1e-12);
    assert_eq!((found.brier, found.auroc, found.calibration_error), (None, None, None));
}
