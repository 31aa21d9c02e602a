//! What changed: the inputs, what they mean, the mix of classes, several of these, or none.
//!
//! A classifier may err otherwise for several reasons. The inputs came to be others, of a kind it was never good at (input drift,
//! covariate shift); the same inputs came to have other labels (concept drift); classes that it is worse at came to be more
//! frequent (label shift); or another version answers. Labels tell that it errs otherwise, inputs tell that they moved. Errors are
//! judged given the label, which label shift does not move; where the whole errs otherwise and no class does, the errors that
//! the classes' own rates in the reference give under the mix of now say whether the mix explains it. What another version does is
//! another reference (see the cycle), so a version never looks like the world. Inputs that have too little data are
//! not inputs that stayed. Labels come late: errors are set beside the inputs of the time when the answers were given, so inputs
//! that have returned since are not inputs that stayed either.

use std::time::{Duration, SystemTime};

use contract::api::{Concept, ConceptKind, DriftState, SegmentVerdict};
use contract::segment;
use serde::{Deserialize, Serialize};

pub use super::errors::Errors;

/// Names in a sentence.
const NAMED_MAX: usize = 3;
/// Two-sided 99 % quantile of the normal law: what the mix leaves unexplained is chance within so many standard errors.
const Z_99: f64 = 2.576;

/// What is known of the inputs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inputs<'a> {
    /// Those that drifted.
    pub moved: Vec<&'a str>,
    /// Those that had when the labelled answers were given which are wrong.
    pub then: &'a [Moved],
    /// Those that had too little data to say.
    pub unknown: usize,
    /// All that are judged.
    pub judged: usize,
}

impl Inputs<'_> {
    /// Names of those that moved: now, and, where answers err otherwise, when these were given.
    fn moved(&self, erring: bool) -> Vec<String> {
        let then = self.then.iter().filter(|one| erring && !self.moved.contains(&one.input.as_str()));
        let then = then.map(|one| format!("{} until {}", one.input, one.until()));
        self.moved.iter().map(|name| (*name).to_owned()).chain(then).collect()
    }
}

/// An input that was drifted, and until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// Its name.
    pub input: String,
    /// End of the last window in which it was, milliseconds.
    pub until_ms: i64,
}

impl Moved {
    fn until(&self) -> String {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(self.until_ms.unsigned_abs());
        humantime::format_rfc3339_seconds(at).to_string()
    }
}

/// The inputs that had moved when the answers were given that make errors drifted. `before` is what the window before left, while
/// errors were drifted already; `now` are those of the time of the newest labels. Labels of quiet answers end a drift of errors some
/// windows after they came, and until then it is the one that was found before; where the newest labels alone show that answers err
/// otherwise (`alone`), their time alone counts.
#[must_use]
pub fn moved_then(before: &[Moved], now: Vec<Moved>, alone: bool) -> Vec<Moved> {
    let mut all = now;
    for one in before.iter().filter(|_| !alone) {
        match all.iter_mut().find(|known| known.input == one.input) {
            Some(known) => known.until_ms = known.until_ms.max(one.until_ms),
            None => all.push(one.clone()),
        }
    }
    all.sort_by(|a, b| b.until_ms.cmp(&a.until_ms).then_with(|| a.input.cmp(&b.input)));
    all
}

/// Right and wrong answers of one class, in the reference and now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Class {
    /// In the reference.
    pub before: Errors,
    /// Now.
    pub now: Errors,
}

/// What is known of the answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answers {
    /// All together.
    pub whole: Class,
    /// By what is true: every class that is told apart, and the others as one.
    pub classes: Vec<Class>,
    /// Shift of a share to ignore.
    pub delta_ignore: f64,
    /// Whether the mix explained errors after the window before: what it made drift ends later than the mix itself.
    pub explained: bool,
}

/// What the classes' own error rates in the reference give under the mix of now.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Mixed {
    expected: f64,
    explains: bool,
}

impl Answers {
    fn mixed(&self) -> Option<Mixed> {
        let before = self.whole.before.share()?;
        let Some(now) = self.whole.now.share() else {
            return self.explained.then_some(Mixed { expected: before, explains: true });
        };
        let n: u64 = self.classes.iter().map(|class| class.now.n).sum();
        let (mut expected, mut variance) = (0.0, now * (1.0 - now) / self.whole.now.n as f64);
        for class in self.classes.iter().filter(|class| class.now.n > 0) {
            let weight = class.now.n as f64 / n as f64;
            // a class that the reference had none of may err as the whole did, or in any other way
            let (share, spread) = match class.before.share() {
                Some(share) => {
                    let (m, wrong) = (class.before.n as f64, class.before.wrong as f64);
                    let shrunk = (wrong + 1.0) / (m + 2.0);
                    (share, shrunk * (1.0 - shrunk) / m)
                }
                None => (before, 0.25),
            };
            expected += weight * share;
            variance += weight * weight * spread;
        }
        let (left, moved) = ((now - expected).abs(), (expected - before).abs());
        let explains = left <= self.delta_ignore + Z_99 * variance.sqrt()
            && (self.explained || moved > left.max(self.delta_ignore));
        Some(Mixed { expected, explains })
    }
}

/// The verdict from the inputs, the verdicts on errors (the whole and the classes), and the counts behind them.
#[must_use]
pub fn verdict(inputs: &Inputs<'_>, parts: Vec<SegmentVerdict>, answers: &Answers) -> Concept {
    let known = parts.iter().any(|part| part.state != DriftState::Insufficient);
    let mut erring: Vec<&SegmentVerdict> = parts.iter().filter(|part| part.state == DriftState::Drifted).collect();
    let classes = erring.iter().filter(|part| part.value != segment::ALL).count();
    let mixed = answers.mixed().filter(|mixed| classes == 0 && !erring.is_empty() && mixed.explains);
    if mixed.is_some() {
        erring.clear();
    }
    let moved = inputs.moved(!erring.is_empty());
    let kind = match (known, moved.is_empty(), erring.is_empty()) {
        (false, ..) => ConceptKind::Insufficient,
        (true, true, true) if mixed.is_some() => ConceptKind::Mix,
        (true, true, true) if inputs.judged > 0 && inputs.unknown == inputs.judged => ConceptKind::Insufficient,
        (true, true, true) => ConceptKind::Stable,
        (true, false, true) => ConceptKind::Input,
        (true, true, false) if inputs.unknown == 0 && inputs.judged > 0 => ConceptKind::Concept,
        (true, true, false) => ConceptKind::Errors,
        (true, false, false) => ConceptKind::Both,
    };
    let mut sentence = sentence(kind, (inputs, &moved), &erring, known, answers);
    if let Some(Mixed { expected, .. }) = mixed {
        sentence.push_str(&format!(
            " Classes come in other shares than they did, and each errs as it did: of this mix {:.1} % was to be expected.",
            expected * 100.0
        ));
    }
    let Class { before, now } = answers.whole;
    Concept {
        kind,
        version: String::new(),
        reference: before.n,
        error_before: before.share(),
        labelled: now.n,
        error_now: now.share(),
        sentence,
        parts,
    }
}

/// Whether the mix alone explains that the whole errs otherwise: it drifted, and yet no errors are to blame.
#[must_use]
pub fn is_explained(found: &Concept) -> bool {
    !found.kind.is_of_errors() && found.parts.iter().any(|part| part.state == DriftState::Drifted)
}

/// Labels on the way to a reference of errors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gathered {
    /// Those that it takes, or will once the windows of their answers are judged.
    pub labelled: u64,
    /// How many it needs.
    pub wanted: u64,
    /// Those left out, since inputs were drifted when their answers were given.
    pub apart: u64,
}

/// Before a version has its reference of errors: how many labels it has of those it takes, and how the version before it erred.
#[must_use]
pub fn waiting(version: &str, gathered: Gathered, before: Option<(&str, Errors)>) -> Concept {
    let Gathered { labelled, wanted, apart } = gathered;
    let earlier = before.filter(|(_, errors)| errors.n > 0).map_or_else(String::new, |(earlier, errors)| {
        format!(" Version {earlier} before it erred in {} of {} answers.", percent(errors), errors.n)
    });
    let left = match apart {
        0 => String::new(),
        apart => format!(" {apart} labels are left out: inputs were drifted when their answers were given."),
    };
    let sentence = format!(
        "Version {version} has {labelled} of the {wanted} labels that become its reference of errors; {} more to come.{left}{earlier}",
        wanted.saturating_sub(labelled)
    );
    Concept {
        kind: ConceptKind::Insufficient,
        version: version.to_owned(),
        reference: 0,
        error_before: None,
        labelled,
        error_now: None,
        sentence,
        parts: Vec::new(),
    }
}

/// Whether two versions err differently by more than Delta, each by the labels of its own reference, and how that is said.
#[must_use]
pub fn versions(before: (&str, Errors), now: (&str, Errors), delta: f64, delta_ignore: f64) -> Option<String> {
    let (a, b) = (before.1.interval(delta), now.1.interval(delta));
    let how = match () {
        () if b.0 > a.1 + delta_ignore => "more often",
        () if b.1 < a.0 - delta_ignore => "less often",
        () => return None,
    };
    Some(format!(
        "Version {} errs {how} than {} did: {} of {} labelled answers, {} of {}. The model changed, which is no concept drift.",
        now.0,
        before.0,
        percent(now.1),
        now.1.n,
        percent(before.1),
        before.1.n
    ))
}

fn percent(errors: Errors) -> String {
    errors.share().map_or_else(|| "none".to_owned(), |share| format!("{:.1} %", share * 100.0))
}

fn sentence(
    kind: ConceptKind,
    (inputs, moved): (&Inputs<'_>, &[String]),
    erring: &[&SegmentVerdict],
    known: bool,
    answers: &Answers,
) -> String {
    let Class { before, now } = answers.whole;
    let rates =
        format!("{} of {} answers in the reference, {} of {} now", percent(before), before.n, percent(now), now.n);
    let classes: Vec<String> =
        erring.iter().map(|part| part.value.clone()).filter(|name| *name != segment::ALL).collect();
    let of = if classes.is_empty() { String::new() } else { format!(", of {}", list(&classes)) };
    let unknown = match (inputs.unknown, inputs.judged) {
        (_, 0) => "no input is judged".to_owned(),
        (unknown, judged) => format!("{unknown} of {judged} inputs have too little data"),
    };
    match kind {
        ConceptKind::Insufficient if known => {
            format!("Answers err as they did ({rates}); whether inputs moved is not known: {unknown}.")
        }
        ConceptKind::Insufficient if !moved.is_empty() => {
            format!("Inputs moved ({}); too few labels to say whether answers err otherwise ({rates}).", list(moved))
        }
        ConceptKind::Insufficient => format!("Too few labels to say whether answers err otherwise ({rates})."),
        ConceptKind::Stable if inputs.judged == 0 => {
            format!("Answers err as they did ({rates}); no input is judged.")
        }
        ConceptKind::Stable if inputs.unknown > 0 => {
            format!("Answers err as they did ({rates}), and no input is seen to move; {unknown}.")
        }
        ConceptKind::Stable => format!("Neither drifted: no input moved, and answers err as they did ({rates})."),
        ConceptKind::Mix => format!("The mix of classes changed, not what they mean ({rates})."),
        ConceptKind::Input => {
            format!("Input drift alone: {} moved, and answers err as they did ({rates}).", list(moved))
        }
        ConceptKind::Concept => format!(
            "Concept drift: answers err otherwise than they did{of} ({rates}), though no input moved: what an input means has changed."
        ),
        ConceptKind::Errors => {
            format!("Answers err otherwise than they did{of} ({rates}); whether inputs moved is not known: {unknown}.")
        }
        ConceptKind::Both => format!(
            "Inputs moved ({}) and answers err otherwise than they did{of} ({rates}): the one may follow from the other.",
            list(moved)
        ),
    }
}

fn list(names: &[String]) -> String {
    let shown = names.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
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

    const fn errors(n: u64, wrong: u64) -> Errors {
        Errors { n, wrong }
    }

    fn answers(classes: &[(Errors, Errors)]) -> Answers {
        let classes: Vec<Class> = classes.iter().map(|(before, now)| Class { before: *before, now: *now }).collect();
        let sum = |of: fn(&Class) -> Errors| {
            classes.iter().map(of).fold(Errors::default(), |a, b| errors(a.n + b.n, a.wrong + b.wrong))
        };
        Answers {
            whole: Class { before: sum(|c| c.before), now: sum(|c| c.now) },
            classes,
            delta_ignore: 0.05,
            explained: false,
        }
    }

    #[test]
    fn the_cases_have_names_and_too_few_labels_are_none_of_them() {
        use ConceptKind as K;
        use DriftState::{Drifted, Insufficient, Stable};
        let worse = answers(&[(errors(500, 25), errors(200, 60)), (errors(500, 25), errors(200, 60))]);
        for (moved, unknown, all, class, kind, says) in [
            (&[][..], 0, Stable, Stable, K::Stable, "Neither drifted"),
            (&["input.x"][..], 0, Stable, Stable, K::Input, "Input drift alone: input.x moved"),
            (
                &[][..],
                0,
                Drifted,
                Stable,
                K::Concept,
                "Concept drift: answers err otherwise than they did (5.0 % of 1000",
            ),
            (&[][..], 0, Stable, Drifted, K::Concept, "than they did, of billing (5.0 %"),
            (&["input.x"][..], 0, Drifted, Drifted, K::Both, "Inputs moved (input.x) and answers err otherwise"),
            (&["input.x"][..], 0, Insufficient, Insufficient, K::Insufficient, "too few labels to say"),
            (&[][..], 0, Insufficient, Insufficient, K::Insufficient, "Too few labels to say"),
            (&[][..], 1, Drifted, Drifted, K::Errors, "not known: 1 of 2 inputs have too little data"),
            (&[][..], 1, Stable, Stable, K::Stable, "no input is seen to move; 1 of 2 inputs"),
            (&[][..], 2, Stable, Stable, K::Insufficient, "Answers err as they did"),
            (&[][..], 2, Insufficient, Drifted, K::Errors, "Answers err otherwise than they did, of billing"),
        ] {
            let inputs = Inputs { moved: moved.to_vec(), then: &[], unknown, judged: 2 };
            let found = verdict(&inputs, vec![part(segment::ALL, all), part("billing", class)], &worse);
            assert_eq!(found.kind, kind, "{}", found.sentence);
            assert!(found.sentence.contains(says), "{}", found.sentence);
        }
        let none = Inputs::default();
        let found = verdict(&none, vec![part(segment::ALL, Drifted)], &worse);
        assert_eq!(found.kind, K::Errors, "without inputs it is not known that they stayed: {}", found.sentence);
    }

    /// Labels come late: errors made while inputs were moved were judged when inputs had returned, and called concept drift.
    #[test]
    fn inputs_that_moved_when_the_answers_were_given_did_not_stay() {
        let moved = |until_ms| Moved { input: "input.x".into(), until_ms };
        let worse = answers(&[(errors(500, 25), errors(200, 60)), (errors(500, 25), errors(200, 60))]);
        let kind = |then: &[Moved], whole| {
            let inputs = Inputs { then, judged: 1, ..Inputs::default() };
            let found = verdict(&inputs, vec![part(segment::ALL, whole)], &worse);
            (found.kind, found.sentence)
        };
        let (found, sentence) = kind(&[moved(1_900_000_000_000)], DriftState::Drifted);
        assert_eq!(found, ConceptKind::Both, "{sentence}");
        assert!(
            sentence.starts_with("Inputs moved (input.x until 2030-03-17T17:46:40Z) and answers err"),
            "{sentence}"
        );
        assert_eq!(kind(&[moved(1)], DriftState::Stable).0, ConceptKind::Stable, "it is over, and so are the errors");
        assert_eq!(kind(&[], DriftState::Drifted).0, ConceptKind::Concept);
        // Quiet labels arrive: the drift that they do not end yet is the one before. Then there are errors of a time without a drift.
        let quiet = moved_then(&[moved(5)], Vec::new(), false);
        assert_eq!(quiet, [moved(5)]);
        assert_eq!(moved_then(&quiet, vec![moved(7)], false), [moved(7)]);
        assert_eq!(moved_then(&quiet, Vec::new(), true), []);
        let other = Moved { input: "a".into(), until_ms: 9 };
        assert_eq!(moved_then(&quiet, vec![other.clone()], false), [other, moved(5)]);
    }

    /// A class that is wrong 4 times in 10 grew from a tenth of the labels to a half: the whole errs three times as often, no
    /// class does.
    #[test]
    fn classes_in_other_shares_are_no_concept_drift() {
        let inputs = Inputs { judged: 1, ..Inputs::default() };
        let parts = || vec![part(segment::ALL, DriftState::Drifted), part("a", DriftState::Stable)];
        let mix = answers(&[(errors(900, 45), errors(250, 13)), (errors(100, 40), errors(250, 101))]);
        let found = verdict(&inputs, parts(), &mix);
        assert_eq!(found.kind, ConceptKind::Mix, "{}", found.sentence);
        assert!(
            !found.kind.is_of_errors() && found.sentence.contains("22.5 % was to be expected"),
            "{}",
            found.sentence
        );
        // The same whole, where the frequent class came to be wrong.
        let worse = answers(&[(errors(900, 45), errors(450, 94)), (errors(100, 40), errors(50, 20))]);
        assert_eq!(verdict(&inputs, parts(), &worse).kind, ConceptKind::Concept);
        // Classes that the reference never had explain nothing away that they might.
        let fresh = answers(&[(errors(1_000, 50), errors(100, 5)), (errors(0, 0), errors(300, 280))]);
        assert_eq!(verdict(&inputs, parts(), &fresh).kind, ConceptKind::Concept);
    }

    /// The whole stays drifted for some windows after the mix is what it was: that was raised as concept drift.
    #[test]
    fn a_mix_that_returns_to_what_it_was_is_no_concept_drift() {
        let moved = |names: &[&'static str]| Inputs { moved: names.to_vec(), judged: 1, ..Inputs::default() };
        let parts = || vec![part(segment::ALL, DriftState::Drifted), part("a", DriftState::Stable)];
        let mix = answers(&[(errors(900, 45), errors(250, 13)), (errors(100, 40), errors(250, 101))]);
        let back = answers(&[(errors(900, 45), errors(450, 23)), (errors(100, 40), errors(50, 20))]);
        let none = answers(&[(errors(900, 45), errors(0, 0)), (errors(100, 40), errors(0, 0))]);
        let worse = answers(&[(errors(900, 45), errors(450, 94)), (errors(100, 40), errors(50, 20))]);
        for inputs in [moved(&[]), moved(&["input.x"])] {
            let mut explained = is_explained(&verdict(&inputs, parts(), &mix));
            assert!(explained);
            for now in [&back, &none, &back] {
                let found = verdict(&inputs, parts(), &Answers { explained, ..now.clone() });
                assert!(!found.kind.is_of_errors(), "{}", found.sentence);
                explained = is_explained(&found);
            }
            let found = verdict(&inputs, parts(), &Answers { explained, ..worse.clone() });
            assert!(found.kind.is_of_errors() && !is_explained(&found), "errors of a class: {}", found.sentence);
            let found = verdict(&inputs, parts(), &back);
            assert!(found.kind.is_of_errors(), "no mix explained it: {}", found.sentence);
        }
    }

    #[test]
    fn a_version_without_its_labels_says_how_many_are_to_come() {
        let gathered = Gathered { labelled: 120, wanted: 1_000, apart: 0 };
        let found = waiting("2", gathered, Some(("1", errors(1_000, 50))));
        assert_eq!((found.kind, found.error_before), (ConceptKind::Insufficient, None));
        assert!(found.sentence.contains("880 more to come. Version 1 before it erred in 5.0 %"), "{}", found.sentence);
        let found = waiting("2", Gathered { apart: 7, ..gathered }, None);
        assert!(found.sentence.contains("to come. 7 labels are left out: inputs were drifted"), "{}", found.sentence);
    }

    #[test]
    fn a_version_that_errs_otherwise_is_said_to_be_one() {
        let of = |wrong| versions(("1", errors(1_000, 50)), ("2", errors(1_000, wrong)), 0.01, 0.05);
        assert!(of(300).unwrap().starts_with("Version 2 errs more often than 1 did: 30.0 % of 1000"));
        assert_eq!((of(60), of(110)), (None, None), "within Delta and both intervals");
        let better = versions(("1", errors(1_000, 300)), ("2", errors(1_000, 50)), 0.01, 0.05);
        assert!(better.unwrap().contains("less often"));
    }
}
