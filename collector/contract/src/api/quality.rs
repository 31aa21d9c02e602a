//! How good answers turned out, by labels; and how good they are expected to be, without.
//!
//! | path | body |
//! |---|---|
//! | `GET /api/v1/models/{model}/quality?from_ms=…&to_ms=…` | [`Quality`] |
//!
//! Answers count by when they were given, whenever their labels came. Intervals are two-sided, at 95 %.

use serde::{Deserialize, Serialize};

/// A figure and its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// The figure.
    pub value: f64,
    /// Lower end.
    pub lower: f64,
    /// Upper end.
    pub upper: f64,
}

/// Quality of a model's answers in a range.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// Answers in the range, labelled or not.
    pub answers: u64,
    /// Those that have a label.
    pub labelled: u64,
    /// Share of answers that have a label; figures speak of these alone.
    pub coverage: Option<f64>,
    /// Of answers with labels of the model's own; `None` without labelled ones.
    pub classes: Option<Classification>,
    /// Of answers that are numbers; `None` without labelled ones.
    pub numbers: Option<Regression>,
    /// What is expected of all answers, labelled or not; `None` for models without a confidence.
    pub estimate: Option<Estimate>,
}

/// Classification against labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Classification {
    /// Share of answers that were right (Wilson's interval).
    pub accuracy: Figure,
    /// Mean of F1 over the classes that have labels.
    pub macro_f1: Option<f64>,
    /// One entry a class, most labels first.
    pub classes: Vec<ClassQuality>,
    /// Mean of `(confidence - right)^2` of the winning class; for two classes this is the Brier score.
    pub brier: Option<Figure>,
    /// Mean of `-ln` of the probability that the winning class was given for what happened; for two classes this is log loss.
    pub log_loss: Option<Figure>,
    /// Expected calibration error: mean gap of confidence and accuracy over ten equal bins (Naeini et al. 2015).
    pub calibration_error: Option<f64>,
    /// Chance that a score ranks a positive above a negative (DeLong's interval).
    pub auroc: Option<Figure>,
    /// What is positive: a class, where there are two, else right answers among all, ranked by confidence.
    pub auroc_of: String,
    /// Confidence against accuracy.
    pub reliability: Vec<Reliability>,
}

/// One class against labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassQuality {
    /// The class.
    pub label: String,
    /// Labels that name it.
    pub support: u64,
    /// Labelled answers that name it.
    pub answers: u64,
    /// Of the answers that name it, the share that was right.
    pub precision: Option<Figure>,
    /// Of the labels that name it, the share that was answered so.
    pub recall: Option<Figure>,
    /// Harmonic mean of both.
    pub f1: Option<Figure>,
}

/// Labelled answers of about the same confidence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reliability {
    /// Answers.
    pub n: u64,
    /// Their mean confidence.
    pub confidence: f64,
    /// The share that was right.
    pub accuracy: Figure,
}

/// Numbers against labels; errors are answer less truth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Regression {
    /// The feature that is the answer.
    pub feature: String,
    /// Mean error: positive where answers are too high.
    pub bias: Figure,
    /// Mean absolute error.
    pub mae: Figure,
    /// Root of the mean squared error.
    pub rmse: Figure,
    /// Errors at the 5th, 50th and 95th percentile.
    pub quantiles: [f64; 3],
    /// Absolute errors at the 50th and 95th percentile.
    pub sizes: [f64; 2],
}

/// Figures that are expected without labels, from confidence, calibrated where labels allow.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Expected accuracy of all answers of the range; the interval speaks of what earlier labels leave open.
    pub accuracy: Figure,
    /// Labelled answers by which confidence was calibrated; 0 where it is taken as it is.
    pub calibrated_by: u64,
    /// Whether these are of the range itself, because too few earlier ones are kept: the later half of the answers is then
    /// held against what the labels of the earlier expect of it.
    #[serde(default)]
    pub within: bool,
    /// Mean F1 expected of two classes; `None` of more.
    #[serde(default)]
    pub macro_f1: Option<Figure>,
    /// AUROC expected, of what [`Classification::auroc_of`] names.
    #[serde(default)]
    pub auroc: Option<Figure>,
    /// The same estimate of the labelled answers of the range beside their accuracy; `None` without labelled ones.
    pub back_test: Option<BackTest>,
}

/// An estimate held against what happened.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BackTest {
    /// Accuracy expected of the labelled answers.
    pub expected: f64,
    /// Their accuracy.
    pub found: Figure,
    /// Whether the two differ by no more than calibration leaves open and chance explains.
    pub holds: bool,
}
