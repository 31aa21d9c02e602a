//! What changed: the inputs, what they mean, both, or neither.
//!
//! A classifier may err otherwise for two reasons. The inputs came to be others, of a kind it was never good at (input drift,
//! covariate shift); or the same inputs came to have other labels (concept drift). Labels tell that it errs otherwise, inputs
//! tell that they moved, and the four combinations have names. Errors are judged given the label, so classes that only become
//! more or less frequent (label shift) move no class's own error; the whole's error is judged beside them.

use contract::api::{Concept, ConceptKind, DriftState, SegmentVerdict};
use contract::segment;

/// Input features named in a sentence.
const NAMED_MAX: usize = 3;

/// Right and wrong answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Errors {
    /// Answers.
    pub n: u64,
    /// Those that were wrong.
    pub wrong: u64,
}

impl Errors {
    fn share(self) -> Option<f64> {
        (self.n > 0).then(|| self.wrong as f64 / self.n as f64)
    }
}

/// The verdict from the inputs that drifted and the verdicts on errors.
#[must_use]
pub fn verdict(moved: &[&str], parts: Vec<SegmentVerdict>, before: Errors, now: Errors) -> Concept {
    let known = parts.iter().any(|part| part.state != DriftState::Insufficient);
    let erring: Vec<&SegmentVerdict> = parts.iter().filter(|part| part.state == DriftState::Drifted).collect();
    let kind = match (known, moved.is_empty(), erring.is_empty()) {
        (false, ..) => ConceptKind::Insufficient,
        (true, true, true) => ConceptKind::Stable,
        (true, false, true) => ConceptKind::Input,
        (true, true, false) => ConceptKind::Concept,
        (true, false, false) => ConceptKind::Both,
    };
    let sentence = sentence(kind, moved, &erring, before, now);
    Concept {
        kind,
        reference: before.n,
        error_before: before.share(),
        labelled: now.n,
        error_now: now.share(),
        sentence,
        parts,
    }
}

fn sentence(kind: ConceptKind, moved: &[&str], erring: &[&SegmentVerdict], before: Errors, now: Errors) -> String {
    let percent =
        |errors: Errors| errors.share().map_or_else(|| "none".to_owned(), |share| format!("{:.1} %", share * 100.0));
    let rates =
        format!("{} of {} answers in the reference, {} of {} now", percent(before), before.n, percent(now), now.n);
    let classes: Vec<&str> =
        erring.iter().map(|part| part.value.as_str()).filter(|name| *name != segment::ALL).collect();
    let of = if classes.is_empty() { String::new() } else { format!(", of {}", list(&classes)) };
    match kind {
        ConceptKind::Insufficient if before.n == 0 => {
            "Too few labels yet: the first ones that arrive become the reference of errors.".to_owned()
        }
        ConceptKind::Insufficient if !moved.is_empty() => {
            format!("Inputs moved ({}); too few labels to say whether answers err otherwise ({rates}).", list(moved))
        }
        ConceptKind::Insufficient => format!("Too few labels to say whether answers err otherwise ({rates})."),
        ConceptKind::Stable => format!("Neither drifted: no input moved, and answers err as they did ({rates})."),
        ConceptKind::Input => {
            format!("Input drift alone: {} moved, and answers err as they did ({rates}).", list(moved))
        }
        ConceptKind::Concept => format!(
            "Concept drift: answers err otherwise than they did{of} ({rates}), though no input moved: what an input means has changed."
        ),
        ConceptKind::Both => format!(
            "Inputs moved ({}) and answers err otherwise than they did{of} ({rates}): the one may follow from the other.",
            list(moved)
        ),
    }
}

fn list(names: &[&str]) -> String {
    let shown = names.iter().take(NAMED_MAX).copied().collect::<Vec<_>>().join(", ");
    if names.len() > NAMED_MAX { format!("{shown} and {} more", names.len() - NAMED_MAX) } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(value: &str, state: DriftState) -> SegmentVerdict {
        SegmentVerdict {
            feature: contract::feature::OUTPUT_ERROR.into(),
            segment: segment::TRUTH.into(),
            value: value.into(),
            state,
            window_start_ms: 0,
            window_end_ms: 1,
            n: 400,
            needed: 200,
            m: 1_000,
            ks_lower: Some(0.2),
            ks_upper: Some(0.2),
            p_value: None,
            q_value: None,
            evidence: Some(6.0),
            discovery: false,
            visible: 0.1,
            baseline: String::new(),
            sentence: String::new(),
        }
    }

    #[test]
    fn the_four_cases_have_names_and_too_few_labels_are_none_of_them() {
        use ConceptKind as K;
        use DriftState::{Drifted, Insufficient, Stable};
        let (before, now) = (Errors { n: 1_000, wrong: 50 }, Errors { n: 400, wrong: 120 });
        for (moved, all, class, kind, says) in [
            (&[][..], Stable, Stable, K::Stable, "Neither drifted"),
            (&["input.x"][..], Stable, Stable, K::Input, "Input drift alone: input.x moved"),
            (&[][..], Drifted, Stable, K::Concept, "Concept drift: answers err otherwise than they did (5.0 % of 1000"),
            (&[][..], Stable, Drifted, K::Concept, "than they did, of billing (5.0 %"),
            (&["input.x"][..], Drifted, Drifted, K::Both, "Inputs moved (input.x) and answers err otherwise"),
            (&["input.x"][..], Insufficient, Insufficient, K::Insufficient, "too few labels to say"),
            (&[][..], Insufficient, Insufficient, K::Insufficient, "Too few labels to say"),
        ] {
            let found = verdict(moved, vec![part(segment::ALL, all), part("billing", class)], before, now);
            assert_eq!(found.kind, kind);
            assert!(found.sentence.contains(says), "{}", found.sentence);
        }
    }

    #[test]
    fn before_the_first_labels_nothing_is_said_to_be_fine() {
        let found = verdict(&[], Vec::new(), Errors::default(), Errors::default());
        assert_eq!((found.kind, found.error_before), (ConceptKind::Insufficient, None));
        assert!(found.sentence.contains("Too few labels yet"), "{}", found.sentence);
    }
}
