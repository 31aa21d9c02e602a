//! What each guardrail lets pass, holds and rejects, with the pairs that are still to come.

use contract::api::ShadowVerdict;
use store::read::Tolerance;

use super::*;
use crate::judge::agreement::{decide, pairs_needed, report};

const LIMITS: Limits = Limits {
    slowdown: 2.0,
    confidence_drop: 0.1,
    accuracy_loss: 0.02,
    brier_rise: 0.02,
    labelled_min: 100,
    class_pairs_min: 20,
};
const POLICY: ShadowPolicy = ShadowPolicy {
    agreement_min: 0.9,
    failure_max: 0.02,
    alpha: 0.05,
    pairs_min: 100,
    seconds_min: 0,
    tolerance: Tolerance { absolute: 0.0, relative: 0.0, vector: 0.0 },
    limits: LIMITS,
};

/// A shadow that is as fast, as sure and as right as its primary.
fn good() -> Measured {
    Measured {
        octaves: vec![(0.0, 2_000)],
        slow: None,
        confidence: vec![(0.0, 2_000)],
        losses: vec![(0.0, 1_980), (1.0, 10), (-1.0, 10)],
        brier: vec![(0.0, 1_900), (0.05, 50), (-0.05, 50)],
        classes: vec![Class { label: "a".into(), pairs: 2_000, share: 1.0 }],
    }
}

fn pairs(n: u64) -> Pairs {
    Pairs { pairs: n, agreed: n - n / 20, answered: n, errors: 0, shed: 0, seconds: 60 }
}

fn check(measured: &Measured, verdict: ShadowVerdict, says: &str) {
    let decision = decide(&pairs(2_000), measured, &POLICY);
    assert_eq!(decision.verdict, verdict, "{decision:?}");
    assert!(decision.sentence.contains(says), "{decision:?}");
}

#[test]
fn a_shadow_that_agrees_is_not_promoted_for_that_alone() {
    use ShadowVerdict::{Hold, Promote, Reject};
    check(&good(), Promote, "so is all else that is asked");
    // twenty times slower
    check(&Measured { octaves: vec![(OCTAVES, 2_000)], ..good() }, Reject, "Run time over the primary's is at least");
    // at the limit nothing is ever proved
    check(&Measured { octaves: vec![(1.0, 2_000)], ..good() }, Hold, "2.00 times is allowed; observed is 2.00 times");
    check(&Measured { octaves: vec![(0.9, 20)], ..good() }, Hold, "more pairs at 1.87 times would prove it");
    check(&Measured { octaves: Vec::new(), ..good() }, Hold, "was not measured in any pair");
    check(&Measured { confidence: vec![(0.4, 2_000)], ..good() }, Reject, "The fall of confidence is at least");
    check(&Measured { confidence: vec![(-0.4, 2_000)], ..good() }, Promote, "");
    check(
        &Measured { losses: vec![(0.0, 400), (1.0, 100)], ..good() },
        Reject,
        "The fall of accuracy by labels is at least",
    );
    check(&Measured { brier: vec![(0.2, 500)], ..good() }, Reject, "Brier score by labels is at least");
    let slow = |counts: Vec<(f64, u64)>| Some(Slow { threshold_ms: 50.0, budget: 0.01, counts });
    check(&Measured { slow: slow(vec![(0.0, 2_000)]), ..good() }, Promote, "");
    check(&Measured { slow: slow(vec![(0.0, 1_800), (1.0, 200)]), ..good() }, Reject, "beyond the objective's time");
}

#[test]
fn a_class_that_was_hardly_seen_holds_a_promotion() {
    let class = |label: &str, pairs, share| Class { label: label.into(), pairs, share };
    let classes = |rare| Measured { classes: vec![class("a", 1_990, 0.9), rare], ..good() };
    check(&classes(class("rare", 0, 0.05)), ShadowVerdict::Hold, "at least 20 pairs are asked, seen are 0 of rare.");
    check(&classes(class("rare", 20, 0.05)), ShadowVerdict::Promote, "");
    check(&classes(class("hardly there", 0, 0.001)), ShadowVerdict::Promote, "");
    // 15 more of a class of a twentieth
    assert_eq!(pairs_needed(&pairs(2_000), &classes(class("rare", 5, 0.05)), &POLICY), Some(300));
    let told = report(&pairs(2_000), &classes(class("rare", 5, 0.05)), &POLICY);
    let last = told.last().unwrap();
    assert_eq!((last.name, last.state, last.needed), (GuardrailName::Classes, GuardrailState::Open, Some(300)));
}

#[test]
fn few_labels_are_not_asked_and_may_still_reject() {
    let few = |losses: Vec<(f64, u64)>| {
        let brier = vec![(0.0, losses.iter().map(|(_, n)| n).sum())];
        Measured { losses, brier, ..good() }
    };
    check(&few(vec![(0.0, 50)]), ShadowVerdict::Promote, "");
    check(&few(vec![(0.0, 100)]), ShadowVerdict::Hold, "The fall of accuracy by labels is proved to be at most");
    check(&few(vec![(1.0, 90)]), ShadowVerdict::Reject, "The fall of accuracy by labels is at least");
    let told = report(&pairs(2_000), &few(vec![(0.0, 50)]), &POLICY);
    let accuracy = told.iter().find(|one| one.name == GuardrailName::Accuracy).unwrap();
    assert_eq!((accuracy.state, accuracy.n, accuracy.observed), (GuardrailState::Unasked, 50, Some(0.0)));
    // what says the same nearly always cannot be wrong more often, whatever the labels are
    let all = Pairs { agreed: 20_000, ..pairs(20_000) };
    let some = few(vec![(0.0, 388), (1.0, 6), (-1.0, 6)]);
    check(&some, ShadowVerdict::Hold, "The fall of accuracy by labels is proved to be at most");
    let decision = decide(&all, &some, &POLICY);
    assert_eq!(decision.verdict, ShadowVerdict::Promote, "{decision:?}");
}

#[test]
fn so_many_more_pairs_prove_it() {
    for measured in [
        Measured { octaves: vec![(0.5, 8), (0.875, 12)], ..good() },
        Measured { confidence: vec![(0.08, 30), (0.09, 30)], ..good() },
        Measured { losses: vec![(0.0, 95), (1.0, 6), (-1.0, 6)], ..good() },
    ] {
        let more = pairs_needed(&pairs(2_000), &measured, &POLICY).unwrap();
        assert!(more > 0, "{measured:?}");
        let open = rails(&measured, &LIMITS).into_iter().find(|rail| !rail.is_proved(&pairs(2_000), 0.05)).unwrap();
        let proved = |n: u64| open.counts.scaled_to(n).below(open.limit) >= 20.0_f64.ln();
        let n = open.counts.n();
        assert!(proved(n + more) && !proved(n + more * 8 / 10), "{more} after {n}: {measured:?}");
    }
}

#[test]
fn everything_that_is_asked_is_listed_with_its_bounds() {
    let told = report(&pairs(2_000), &good(), &POLICY);
    let names: Vec<&str> = told.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["agreement", "failures", "slowdown", "confidence", "accuracy", "brier", "classes"]);
    assert!(told.iter().all(|one| one.state == GuardrailState::Proved && one.needed == Some(0)), "{told:?}");
    let slowdown = &told[2];
    assert_eq!((slowdown.observed, slowdown.limit), (Some(1.0), 2.0), "as factors");
    assert!(slowdown.upper.unwrap() < 1.1 && slowdown.sentence.contains("2.00 times is allowed"), "{slowdown:?}");
    let none = report(&Pairs::default(), &Measured::default(), &POLICY);
    assert!(none.iter().all(|one| one.state == GuardrailState::Open), "never passed by default: {none:?}");
}
