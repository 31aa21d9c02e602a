//! One shadow: what its pairs show, put before the judge, and how its verdict is written down so that a restart reads it back.

use contract::{
    api::{Flip, ShadowStatus, ShadowVerdict},
    feature,
    slo::{Sli, SloFile},
};
use store::read::{
    FlipCount, ShadowCounts,
    pairs::{Difference, Differing, OCTAVE_STEPS, UNIT_STEPS},
};

use super::{figures::Figures, model::ModelState};
use crate::judge::{
    agreement::{self, Pairs, ShadowPolicy},
    guardrails::{Class, Limits, Measured, Slow},
    paired::{self, Right},
    reference::Reference,
};

/// Label pairs shown.
const FLIPS_MAX: usize = 10;
/// Label pairs looked at, the most frequent first: what is rarer says little of any class.
const LABEL_PAIRS_MAX: u64 = 4_096;

impl Figures<'_> {
    pub(super) async fn shadow(
        &self,
        counts: &ShadowCounts,
        before: ShadowVerdict,
        state: &ModelState,
    ) -> Result<ShadowStatus, store::Error> {
        let pairs = Pairs {
            pairs: counts.pairs,
            agreed: counts.agreed,
            answered: counts.answered,
            errors: counts.errors,
            shed: counts.shed,
            seconds: ((counts.last_ms - counts.first_ms).max(0) / 1_000) as u64,
        };
        let policy = &self.config.of(&counts.model).shadow;
        let table = self.reader.label_pairs(counts, LABEL_PAIRS_MAX).await?;
        let (measured, right) = self.measured(counts, &table, state).await?;
        let decision = agreement::decide_after(before, &pairs, &measured, policy);
        let labels = |one: &FlipCount| (one.primary.clone(), one.shadow.clone(), one.pairs);
        let tests = paired::tests(right, policy.limits.accuracy_loss, &table.iter().map(labels).collect::<Vec<_>>());
        let flips = table.into_iter().filter(|one| one.primary != one.shadow).take(FLIPS_MAX);
        Ok(ShadowStatus {
            model: counts.model.clone(),
            primary: counts.version.clone(),
            shadow: counts.shadow.clone(),
            pairs: counts.pairs,
            agreed: counts.agreed,
            failed: counts.errors + counts.shed,
            shed: counts.shed,
            offered: counts.answered + counts.errors + counts.shed,
            pairs_needed: agreement::pairs_needed(&pairs, &measured, policy),
            seconds: pairs.seconds,
            judged_ms: self.now_ms,
            agreement: (counts.pairs > 0).then(|| counts.agreed as f64 / counts.pairs as f64),
            wilson: agreement::wilson(counts.agreed, counts.pairs),
            sequence: decision.sequence,
            latency_ratio: (counts.primary_us > 0 && counts.answered > 0)
                .then(|| counts.shadow_us as f64 / counts.primary_us as f64),
            flips: flips.map(|one| Flip { primary: one.primary, shadow: one.shadow, pairs: one.pairs }).collect(),
            verdict: decision.verdict,
            sentence: decision.sentence + &agreement::meaning(&counts.compared, policy.tolerance),
            guardrails: agreement::report(&pairs, &measured, policy),
            tests,
        })
    }

    async fn measured(
        &self,
        counts: &ShadowCounts,
        table: &[FlipCount],
        state: &ModelState,
    ) -> Result<(Measured, Right), store::Error> {
        let allowed = self.slo.and_then(|file| slowest(file, &counts.model));
        let slow_us = allowed.map_or(0, |(threshold_ms, _)| (threshold_ms * 1e3).round() as u64);
        let differing = self.reader.differences(counts, slow_us).await?;
        let steps = |what: Difference, of_one: f64| -> Vec<(f64, u64)> {
            let of_it = differing.iter().filter(|one: &&Differing| one.what() == Some(what));
            of_it.map(|one| (f64::from(one.step) / of_one, one.pairs)).collect()
        };
        let (mut measured, mut right) = (Measured::default(), Right::default());
        measured.octaves = steps(Difference::Octaves, f64::from(OCTAVE_STEPS));
        measured.confidence = steps(Difference::Confidence, f64::from(UNIT_STEPS));
        measured.slow =
            allowed.map(|(threshold_ms, budget)| Slow { threshold_ms, budget, counts: steps(Difference::Slow, 1.0) });
        for known in self.reader.labelled_pairs(counts).await? {
            let loss = f64::from(u8::from(known.primary_right)) - f64::from(u8::from(known.shadow_right));
            measured.losses.push((loss, known.pairs));
            measured.brier.push((f64::from(known.brier) / f64::from(UNIT_STEPS), known.pairs));
            match (known.primary_right, known.shadow_right) {
                (true, false) => right.primary += known.pairs,
                (false, true) => right.shadow += known.pairs,
                _ => right.same += known.pairs,
            }
        }
        measured.classes = classes(table, state.baseline().and_then(|one| one.reference(feature::OUTPUT_LABEL)));
        Ok((measured, right))
    }
}

/// The strictest latency objective of a model: milliseconds, and the share of requests that may take longer.
fn slowest(file: &SloFile, model: &str) -> Option<(f64, f64)> {
    let of_it = file.slos.iter().filter(|slo| slo.model == model);
    let latency = of_it.filter_map(|slo| match slo.sli {
        Sli::Latency { threshold_ms } => Some((threshold_ms, slo.budget())),
        _ => None,
    });
    latency.min_by(|a, b| a.0.total_cmp(&b.0))
}

/// Classes of the pairs and of the reference: one that was frequent once and never came since was not seen either.
pub(crate) fn classes(table: &[FlipCount], reference: Option<&Reference>) -> Vec<Class> {
    let mut classes: Vec<Class> = Vec::new();
    let all: u64 = table.iter().map(|one| one.pairs).sum();
    for one in table {
        match classes.iter_mut().find(|class| class.label == one.primary) {
            Some(class) => class.pairs += one.pairs,
            None => classes.push(Class { label: one.primary.clone(), pairs: one.pairs, share: 0.0 }),
        }
    }
    for class in &mut classes {
        class.share = class.pairs as f64 / all.max(1) as f64;
    }
    let Some(Reference::Categories(frozen)) = reference else { return classes };
    let known: u64 = frozen.counts.iter().sum();
    for (name, n) in frozen.names.iter().zip(&frozen.counts) {
        let share = *n as f64 / known.max(1) as f64;
        match classes.iter_mut().find(|class| class.label == *name) {
            Some(class) => class.share = class.share.max(share),
            None => classes.push(Class { label: name.clone(), pairs: 0, share }),
        }
    }
    classes
}

/// How the event of a verdict begins, so that it can be read back.
pub(super) fn word(verdict: ShadowVerdict) -> String {
    format!("{}: ", verdict.as_str())
}

/// What a verdict is about: what was proved where less was asked is not proved where more is.
pub(super) fn against(primary: &str, asked: &ShadowPolicy) -> String {
    let ShadowPolicy { agreement_min, failure_max, alpha, limits, .. } = *asked;
    let Limits { slowdown, confidence_drop, accuracy_loss, brier_rise, class_pairs_min, .. } = limits;
    format!(
        "against {primary}, agreement of {agreement_min}, failures of {failure_max}, a slowdown of {slowdown}, less confidence by \
         {confidence_drop}, less accuracy by {accuracy_loss}, a Brier score up by {brier_rise} and {class_pairs_min} pairs a class asked \
         at alpha {alpha}."
    )
}

/// The verdict that an event tells, where it is about the same.
pub(super) fn said(text: &str, about: &str) -> ShadowVerdict {
    let is = |verdict: &ShadowVerdict| text.strip_prefix(&word(*verdict)).is_some_and(|rest| rest.starts_with(about));
    ShadowVerdict::ALL.into_iter().find(is).unwrap_or(ShadowVerdict::Hold)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_taken_up_only_where_as_much_was_asked() {
        let policy = |agreement_min| ShadowPolicy {
            agreement_min,
            failure_max: 0.02,
            alpha: 0.05,
            pairs_min: 500,
            seconds_min: 600,
            tolerance: store::read::Tolerance { absolute: 1e-9, relative: 0.01, vector: 0.01 },
            limits: Limits::NONE,
        };
        let about = against("1", &policy(0.9));
        let text = format!("{}{about} Agreement is at least 92.00 %.", word(ShadowVerdict::Promote));
        assert_eq!(said(&text, &about), ShadowVerdict::Promote);
        assert_eq!(said(&text, &against("1", &policy(0.97))), ShadowVerdict::Hold, "stricter since");
        assert_eq!(said(&text, &against("10", &policy(0.9))), ShadowVerdict::Hold, "another version");
        assert_eq!(said("", &about), ShadowVerdict::Hold);
    }

    #[test]
    fn a_class_of_the_reference_that_never_came_was_not_seen() {
        let pair =
            |primary: &str, shadow: &str, pairs| FlipCount { primary: primary.into(), shadow: shadow.into(), pairs };
        let table = [pair("a", "a", 80), pair("b", "b", 15), pair("b", "a", 5)];
        let reference = Reference::categories(vec![("a".into(), 50), ("b".into(), 40), ("c".into(), 10)], 0, 8);
        let of = |label: &str, pairs, share| Class { label: label.into(), pairs, share };
        assert_eq!(classes(&table, Some(&reference)), [of("a", 80, 0.8), of("b", 20, 0.4), of("c", 0, 0.1)]);
        assert_eq!(classes(&table, None), [of("a", 80, 0.8), of("b", 20, 0.2)]);
    }
}
