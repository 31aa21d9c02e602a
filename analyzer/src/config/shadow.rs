//! What a shadow has to prove, and what counts as agreement where there are no labels.

use std::time::Duration;

use host::config::Faults;
use serde::Deserialize;
use store::read::Tolerance;

use super::RawOverrides;
use crate::judge::{agreement::ShadowPolicy, guardrails::Limits};

/// What a shadow has to prove.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawShadow {
    /// Agreement with the primary, 0 to 1.
    pub agreement_min: f64,
    /// Largest share of requests that it may fail or shed.
    pub max_failures: f64,
    /// Chance of a wrong verdict, over all looks.
    pub alpha: f64,
    /// Pairs before a promotion.
    pub min_pairs: u64,
    /// Time between first and last pair before a promotion.
    #[serde(with = "humantime_serde")]
    pub min_time: Duration,
    /// Run time over the primary's, at most; 0 asks nothing.
    pub max_slowdown: f64,
    /// Fall of the mean confidence, at most, 0 to 1; 1 asks nothing.
    pub max_confidence_drop: f64,
    /// Fall of accuracy by labels, at most, 0 to 1; 1 asks nothing.
    pub max_accuracy_loss: f64,
    /// Rise of the Brier score by labels, at most, 0 to 1; 1 asks nothing.
    pub max_brier_rise: f64,
    /// Labelled pairs from which on a promotion asks what labels say.
    pub min_labelled: u64,
    /// Pairs of each class that makes up a hundredth of the answers; 0 asks nothing.
    pub min_class_pairs: u64,
    /// Numbers agree where they differ by at most this share of the larger.
    pub number_tolerance: f64,
    /// They agree too where they differ by at most this, in their own unit.
    pub number_tolerance_absolute: f64,
    /// Vectors agree from this cosine on.
    pub min_cosine: f64,
}

impl Default for RawShadow {
    fn default() -> Self {
        Self {
            agreement_min: 0.95,
            max_failures: 0.02,
            alpha: 0.05,
            min_pairs: 500,
            min_time: Duration::from_secs(600),
            max_slowdown: 2.0,
            max_confidence_drop: 0.1,
            max_accuracy_loss: 0.02,
            max_brier_rise: 0.02,
            min_labelled: 100,
            min_class_pairs: 20,
            number_tolerance: 0.01,
            number_tolerance_absolute: 1e-9,
            min_cosine: 0.99,
        }
    }
}

/// A model's policy.
pub(super) fn policy(raw: &RawShadow, own: &RawOverrides, key: &str, faults: &mut Faults) -> ShadowPolicy {
    let policy = ShadowPolicy {
        agreement_min: own.agreement_min.unwrap_or(raw.agreement_min),
        failure_max: own.max_failures.unwrap_or(raw.max_failures),
        alpha: raw.alpha,
        pairs_min: own.min_pairs.unwrap_or(raw.min_pairs),
        seconds_min: raw.min_time.as_secs(),
        tolerance: tolerance(raw, key, faults),
        limits: limits(raw, key, faults),
    };
    for (name, value) in
        [("alpha", policy.alpha), ("agreement_min", policy.agreement_min), ("max_failures", policy.failure_max)]
    {
        let sentence = format!("is {value}; write a number between 0 and 1, ends excluded");
        faults.check(value > 0.0 && value < 1.0, format!("{key}.shadow.{name}"), sentence);
    }
    policy
}

fn limits(raw: &RawShadow, key: &str, faults: &mut Faults) -> Limits {
    let slowdown = raw.max_slowdown;
    let sentence = format!("is {slowdown}; write a factor of at least 1, such as 2, or 0 to ask nothing");
    faults.check(slowdown == 0.0 || slowdown >= 1.0, format!("{key}.shadow.max_slowdown"), sentence);
    for (name, value) in [
        ("max_confidence_drop", raw.max_confidence_drop),
        ("max_accuracy_loss", raw.max_accuracy_loss),
        ("max_brier_rise", raw.max_brier_rise),
    ] {
        let sentence = format!("is {value}; write a number above 0 and at most 1, such as 0.02; 1 asks nothing");
        faults.check(value > 0.0 && value <= 1.0, format!("{key}.shadow.{name}"), sentence);
    }
    Limits {
        slowdown: if slowdown == 0.0 { f64::INFINITY } else { slowdown },
        confidence_drop: raw.max_confidence_drop,
        accuracy_loss: raw.max_accuracy_loss,
        brier_rise: raw.max_brier_rise,
        labelled_min: raw.min_labelled,
        class_pairs_min: raw.min_class_pairs,
    }
}

fn tolerance(raw: &RawShadow, key: &str, faults: &mut Faults) -> Tolerance {
    let RawShadow { number_tolerance, number_tolerance_absolute, min_cosine, .. } = *raw;
    let sentence = format!("is {number_tolerance}; write a share from 0 to below 1, such as 0.01");
    faults.check((0.0..1.0).contains(&number_tolerance), format!("{key}.shadow.number_tolerance"), sentence);
    let sentence = format!("is {number_tolerance_absolute}; write a number from 0 on, in the unit of the answer");
    let finite = number_tolerance_absolute >= 0.0 && number_tolerance_absolute.is_finite();
    faults.check(finite, format!("{key}.shadow.number_tolerance_absolute"), sentence);
    let sentence = format!("is {min_cosine}; write a number from -1 to 1, such as 0.99");
    faults.check((-1.0..=1.0).contains(&min_cosine), format!("{key}.shadow.min_cosine"), sentence);
    Tolerance { absolute: number_tolerance_absolute, relative: number_tolerance, vector: 1.0 - min_cosine }
}
