//! Accuracy without labels: the mean of confidence, calibrated by earlier labels.
//!
//! Confidence is calibrated in equal bins (histogram binning, Zadrozny and Elkan 2001): a bin's answers are expected to be right
//! as often as its labelled ones were, shrunk towards its mean confidence by as many answers as [`PRIOR`], so that a bin without
//! labels says what the model says. Expected accuracy is the mean over the answers' bins (the expectation step of CBPE).
//! F1 and AUROC follow from the same expectations (confidence-based performance estimation, NannyML): of `n` answers `positive` in a bin
//! that is right with probability r, n r are true positives and n (1 - r) false ones, and of those that say the other class
//! n (1 - r) are missed. It assumes that an answer of some confidence is as often right as before: concept drift breaks it, which is why it is
//! held against labels once they come.

use contract::api::quality::{BackTest, Estimate, Figure};
use store::read::{AnsweredCount, ScoreCount};

use super::quality::share;

/// Answers that a bin's own confidence counts for.
const PRIOR: f64 = 4.0;
/// Two-sided 95 % quantile of the normal law.
const Z: f64 = 1.959_963_984_540_054;

/// How often answers of each bin are right, by earlier labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    /// Right answers expected of each bin, and the variance of that.
    bins: Vec<(f64, f64)>,
    labelled: u64,
}

impl Calibration {
    /// From labelled answers; `scores` may be in finer bins, `fine` of them.
    #[must_use]
    pub fn of(scores: &[ScoreCount], fine: u32, bins: u32) -> Self {
        let mut counts = vec![(0u64, 0u64, 0.0f64); bins as usize];
        for score in scores {
            let at = (score.bin * bins / fine.max(1)).min(bins.saturating_sub(1)) as usize;
            if let Some(bin) = counts.get_mut(at) {
                *bin = (bin.0 + score.n, bin.1 + score.correct, bin.2 + score.confidence);
            }
        }
        let expect = |(at, (n, correct, confidence)): (usize, &(u64, u64, f64))| {
            let (size, middle) = (*n as f64, (at as f64 + 0.5) / f64::from(bins));
            let own = if *n > 0 { confidence / size } else { middle };
            let share = (*correct as f64 + PRIOR * own) / (size + PRIOR);
            (share, share * (1.0 - share) / (size + PRIOR))
        };
        let labelled = counts.iter().map(|bin| bin.0).sum();
        Self { bins: counts.iter().enumerate().map(expect).collect(), labelled }
    }

    /// Accuracy expected of answers by bin. Without labels the confidence is taken as it is: `mean` is its mean. `None` of
    /// nothing.
    #[must_use]
    pub fn expected(&self, answers: &[u64], mean: f64) -> Option<Figure> {
        let n: u64 = answers.iter().sum();
        if n == 0 {
            return None;
        }
        if self.labelled == 0 {
            return Some(Figure { value: mean, lower: 0.0, upper: 1.0 });
        }
        let weighted = || answers.iter().map(|count| *count as f64 / n as f64).zip(&self.bins);
        let value: f64 = weighted().map(|(weight, (share, _))| weight * share).sum();
        let error = weighted().map(|(weight, (_, spread))| weight * weight * spread).sum::<f64>().sqrt();
        Some(Figure { value, lower: (value - Z * error).max(0.0), upper: (value + Z * error).min(1.0) })
    }

    /// The estimate for answers by bin, without its back-test, F1 and AUROC.
    #[must_use]
    pub fn estimate(&self, answers: &[u64], mean: f64) -> Option<Estimate> {
        let accuracy = self.expected(answers, mean)?;
        let calibrated_by = self.labelled;
        Some(Estimate { accuracy, calibrated_by, within: false, macro_f1: None, auroc: None, back_test: None })
    }

    /// Mean F1 of two classes expected of answers in the calibration's bins; `None` where either is never expected.
    #[must_use]
    pub fn macro_f1(&self, answers: &[AnsweredCount], classes: [&str; 2]) -> Option<Figure> {
        let f1 = |shares: &[f64], class: &str| {
            let (mut hits, mut misses) = (0.0, 0.0);
            for (one, share) in answers.iter().filter_map(|one| Some((one, shares.get(one.bin as usize)?))) {
                hits += if one.said == class { one.n as f64 * share } else { 0.0 };
                misses += one.n as f64 * (1.0 - share);
            }
            // whoever is wrong about two classes is a false positive of one and a miss of the other
            (hits + misses > 0.0).then(|| 2.0 * hits / (2.0 * hits + misses))
        };
        self.figure(|shares| Some(0.5 * (f1(shares, classes[0])? + f1(shares, classes[1])?)))
    }

    /// AUROC expected of answers in the calibration's bins: of the second of two classes by its probability, else of right answers by
    /// confidence, as where labels are known.
    #[must_use]
    pub fn auroc(&self, answers: &[AnsweredCount], classes: Option<[&str; 2]>) -> Option<Figure> {
        self.figure(|shares| {
            let of = |one: &AnsweredCount| {
                let (n, confidence) = (one.n as f64, one.confidence / one.n.max(1) as f64);
                let right = n * shares.get(one.bin as usize)?;
                let other = classes.is_some_and(|classes| one.said != classes[1]);
                Some(if other { (1.0 - confidence, n - right, right) } else { (confidence, right, n - right) })
            };
            ranking(answers.iter().filter_map(of).collect())
        })
    }

    /// A figure of the bins' shares, and what their uncertainty makes of it (the delta method, bins being independent).
    fn figure(&self, of: impl Fn(&[f64]) -> Option<f64>) -> Option<Figure> {
        let shares: Vec<f64> = self.bins.iter().map(|bin| bin.0).collect();
        let value = of(&shares)?;
        if self.labelled == 0 {
            return Some(Figure { value, lower: 0.0, upper: 1.0 });
        }
        let moved = |at: usize, by: f64| {
            let mut shares = shares.clone();
            shares[at] = (shares[at] + by).clamp(0.0, 1.0);
            of(&shares).unwrap_or(value)
        };
        let spread = |(at, (_, variance)): (usize, &(f64, f64))| {
            let error = variance.sqrt();
            ((moved(at, error) - moved(at, -error)) / 2.0).powi(2)
        };
        let error = self.bins.iter().enumerate().map(spread).sum::<f64>().sqrt();
        Some(Figure { value, lower: (value - Z * error).max(0.0), upper: (value + Z * error).min(1.0) })
    }
}

/// Share of pairs in which a positive scores above a negative, ties counting one half: scores with the positives and negatives
/// expected there.
fn ranking(mut scored: Vec<(f64, f64, f64)>) -> Option<f64> {
    scored.sort_by(|a, b| a.0.total_cmp(&b.0));
    let positives: f64 = scored.iter().map(|one| one.1).sum();
    let negatives: f64 = scored.iter().map(|one| one.2).sum();
    let (mut below, mut won) = (0.0, 0.0);
    for group in scored.chunk_by(|a, b| (a.0 - b.0).abs() < 1e-12) {
        let (p, n) = group.iter().fold((0.0, 0.0), |sum, one| (sum.0 + one.1, sum.1 + one.2));
        won += p * (below + 0.5 * n);
        below += n;
    }
    (positives > 0.0 && negatives > 0.0).then(|| won / (positives * negatives))
}

/// An estimate of labelled answers beside what they turned out to be. What calibration leaves open and what chance does to so
/// few answers count both: the two differ by more than both together explain, or the estimate holds. Confidence as it
/// is leaves nothing open: it is a claim.
#[must_use]
pub fn back_test(expected: Figure, calibrated: bool, right: u64, n: u64) -> Option<BackTest> {
    let found = share(right, n)?;
    let half = |figure: Figure| (figure.upper - figure.lower) / 2.0;
    let open = if calibrated { half(expected) } else { 0.0 };
    let holds = (expected.value - found.value).abs() <= open.hypot(half(found));
    Some(BackTest { expected: expected.value, found, holds })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(bin: u32, n: u64, correct: u64) -> ScoreCount {
        let confidence = (f64::from(bin) + 0.5) / 10.0 * n as f64;
        ScoreCount { bin, n, correct, confidence, ..ScoreCount::default() }
    }

    #[test]
    fn an_overconfident_model_is_expected_to_be_as_right_as_it_was() {
        // At confidence .95 it was right 6 times in 10, at .55 half the time.
        let calibration = Calibration::of(&[score(9, 10_000, 6_000), score(5, 10_000, 5_000)], 10, 10);
        let mut answers = vec![0; 10];
        (answers[9], answers[5]) = (300, 100);
        let found = calibration.expected(&answers, 0.85).unwrap();
        assert!((found.value - 0.575).abs() < 1e-3, "{found:?}");
        assert!(found.lower < found.value && found.value < found.upper && found.upper - found.lower < 0.03);
        assert_eq!(calibration.estimate(&answers, 0.85).unwrap().calibrated_by, 20_000);
    }

    #[test]
    fn without_labels_confidence_is_taken_as_it_is_and_nothing_is_certain() {
        let calibration = Calibration::of(&[], 10, 10);
        let found = calibration.expected(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 8], 0.93).unwrap();
        assert_eq!((found.value, found.lower, found.upper), (0.93, 0.0, 1.0));
        assert_eq!(calibration.expected(&[0; 10], 0.5), None);
    }

    #[test]
    fn a_bin_with_few_labels_says_mostly_what_the_model_says() {
        let calibration = Calibration::of(&[score(9, 1, 0), score(0, 100, 0)], 10, 10);
        let mut answers = vec![0; 10];
        answers[9] = 10;
        let found = calibration.expected(&answers, 0.95).unwrap();
        assert!((found.value - 4.0 * 0.95 / 5.0).abs() < 1e-12, "{found:?}");
        assert!(found.upper - found.lower > 0.3, "one label leaves most of it open: {found:?}");
    }

    fn answered(said: &str, bin: u32, n: u64) -> AnsweredCount {
        AnsweredCount { said: said.into(), bin, n, confidence: (f64::from(bin) + 0.5) / 10.0 * n as f64 }
    }

    /// With labels that were right as often as expected, the figures by labels are those that were expected.
    #[test]
    fn f1_and_auroc_are_those_that_such_labels_give() {
        let calibration = Calibration::of(&[score(9, 100_000, 90_000), score(6, 100_000, 60_000)], 10, 10);
        let answers =
            [answered("no", 9, 400), answered("no", 6, 200), answered("yes", 9, 100), answered("yes", 6, 300)];
        // yes: 90 + 180 hits, 10 + 120 wrong, 40 + 80 missed; no: 360 + 120 hits, 40 + 80 wrong, 10 + 120 missed
        let (yes, no) = (2.0 * 270.0 / (2.0 * 270.0 + 250.0), 2.0 * 480.0 / (2.0 * 480.0 + 250.0));
        let f1 = calibration.macro_f1(&answers, ["no", "yes"]).unwrap();
        assert!((f1.value - f64::midpoint(yes, no)).abs() < 1e-3 && f1.lower < f1.value, "{f1:?}");
        // By sklearn.metrics.roc_auc_score of 1,000 rows with those labels and the scores .05, .35, .65 and .95: 0.8089533417402269
        let auroc = calibration.auroc(&answers, Some(["no", "yes"])).unwrap();
        assert!((auroc.value - AUROC).abs() < 1e-3 && auroc.upper - auroc.lower < 0.02, "{auroc:?}");
        assert_eq!(calibration.macro_f1(&[], ["no", "yes"]), None);
        assert_eq!(calibration.auroc(&[], None), None);
    }

    const AUROC: f64 = 0.808_953_341_740_226_9;

    #[test]
    fn a_back_test_counts_what_calibration_leaves_open() {
        let expected = |half: f64| Figure { value: 0.9, lower: 0.9 - half, upper: 0.9 + half };
        // 8,500 of 10,000 are right, within .007: a calibration by a handful of labels may well be off by five points.
        let holds = |half, calibrated| back_test(expected(half), calibrated, 8_500, 10_000).unwrap().holds;
        assert!(!holds(0.01, true) && holds(0.06, true) && !holds(0.06, false));
        assert_eq!(back_test(expected(0.1), true, 0, 0), None);
    }
}
