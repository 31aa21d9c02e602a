//! Which content is kept: by hash of the id, and always for the strata that people ask about later.
//!
//! The decision is a function of the id and of how the request ended, so that it can be repeated; its probability
//! is stored with the content, so that estimates over kept content can be weighted (Horvitz and Thompson 1952).

use std::time::Duration;

use contract::wire::{Outcome, Prediction, ShadowAnswer};
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Seed of the hash that decides about content: "content" in ASCII.
const CONTENT_SEED: u64 = 0x63_6f_6e_74_65_6e_74;

/// The rules of keeping content.
#[derive(Clone, Copy, Debug)]
pub struct Sampling {
    /// Share of ordinary requests, 0 to 1.
    pub share: f64,
    /// Always keep what ended badly.
    pub errors: bool,
    /// Always keep where some confidence is below this.
    pub confidence_below: f64,
    /// Always keep where a shadow gave another label.
    pub disagreements: bool,
    /// Always keep what took longer.
    pub slower_than: Option<Duration>,
    /// Larger content is withheld.
    pub max_content_bytes: usize,
}

/// What a request shows of itself to the rules.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// Its id.
    pub id: Uuid,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took.
    pub took: Duration,
    /// The primary's classifications.
    pub predictions: &'a [Prediction],
    /// The shadows' answers.
    pub shadows: &'a [ShadowAnswer],
}

impl Sampling {
    /// The probability with which this content is kept, if it is.
    #[must_use]
    pub fn keeps(&self, case: &Case<'_>) -> Option<f64> {
        if self.always(case) {
            return Some(1.0);
        }
        (fraction(case.id, CONTENT_SEED) < self.share).then_some(self.share)
    }

    fn always(&self, case: &Case<'_>) -> bool {
        (self.errors && case.outcome.is_bad())
            || case.predictions.iter().any(|p| p.confidence < self.confidence_below)
            || (self.disagreements && case.shadows.iter().any(|s| disagrees(case.predictions, s)))
            || self.slower_than.is_some_and(|limit| case.took > limit)
    }
}

fn disagrees(primary: &[Prediction], shadow: &ShadowAnswer) -> bool {
    shadow.outcome == Outcome::Ok && primary.iter().zip(&shadow.predictions).any(|(p, s)| p.label != s.label)
}

/// An id's place in [0, 1), the same at every asking and independent between seeds.
#[must_use]
pub fn fraction(id: Uuid, seed: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
    let place = (xxh3_64_with_seed(id.as_bytes(), seed) >> 11) as f64;
    place / 9_007_199_254_740_992.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use contract::wire::Timings;

    const RULES: Sampling = Sampling {
        share: 0.0,
        errors: true,
        confidence_below: 0.5,
        disagreements: true,
        slower_than: Some(Duration::from_millis(100)),
        max_content_bytes: 1,
    };

    fn case(predictions: &[Prediction]) -> Case<'_> {
        let took = Duration::from_millis(1);
        Case { id: Uuid::from_u128(1), outcome: Outcome::Ok, took, predictions, shadows: &[] }
    }

    fn prediction(label: &str, confidence: f64) -> Prediction {
        Prediction { label: label.into(), confidence, margin: 0.0, entropy: 0.0 }
    }

    #[test]
    fn strata_are_always_kept() {
        let sure = [prediction("a", 0.9)];
        assert_eq!(RULES.keeps(&case(&sure)), None);
        assert_eq!(RULES.keeps(&case(&[prediction("a", 0.9), prediction("a", 0.4)])), Some(1.0));
        assert_eq!(RULES.keeps(&Case { outcome: Outcome::Timeout, ..case(&sure) }), Some(1.0));
        assert_eq!(RULES.keeps(&Case { outcome: Outcome::Invalid, ..case(&sure) }), None);
        assert_eq!(RULES.keeps(&Case { took: Duration::from_secs(1), ..case(&sure) }), Some(1.0));
        let shadow = |label: &str, outcome| ShadowAnswer {
            version: "2".into(),
            outcome,
            reason: None,
            timings: Timings::default(),
            predictions: vec![prediction(label, 0.9)],
            gaps: vec![],
        };
        for (label, outcome, kept) in
            [("a", Outcome::Ok, None), ("b", Outcome::Ok, Some(1.0)), ("b", Outcome::Error, None)]
        {
            assert_eq!(RULES.keeps(&Case { shadows: &[shadow(label, outcome)], ..case(&sure) }), kept);
        }
    }

    #[test]
    fn the_share_is_met() {
        let rules = Sampling { share: 0.25, ..RULES };
        let kept = (0..10_000_u128).filter(|&n| {
            let sampled = rules.keeps(&Case { id: Uuid::from_u128(n), ..case(&[]) });
            sampled.is_some_and(|p| (p - 0.25).abs() < 1e-12)
        });
        // four standard deviations of a binomial: sqrt(10000 * 0.25 * 0.75) = 43.3
        let kept = kept.count();
        assert!((2_327..=2_673).contains(&kept), "{kept}");
    }
}
