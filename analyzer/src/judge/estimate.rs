//! Accuracy without labels: the mean of confidence, calibrated by earlier labels.
//!
//! Confidence is calibrated in equal bins (histogram binning, Zadrozny and Elkan 2001): a bin's answers are expected to be right
//! as often as its labelled ones were, shrunk towards its mean confidence by as many answers as [`PRIOR`], so that a bin without
//! labels says what the model says. Expected accuracy is the mean over the answers' bins (the expectation step of CBPE).
//! It assumes that an answer of some confidence is as often right as before: concept drift breaks it, which is why it is
//! held against labels once they come.

use contract::api::quality::{Estimate, Figure};
use store::read::ScoreCount;

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

    /// The estimate for answers by bin, without its back-test.
    #[must_use]
    pub fn estimate(&self, answers: &[u64], mean: f64) -> Option<Estimate> {
        let accuracy = self.expected(answers, mean)?;
        Some(Estimate { accuracy, calibrated_by: self.labelled, back_test: None })
    }
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
}
