//! What is told when: once a change, again when roles moved, later and later while nobody hears it.

use std::collections::{BTreeMap, HashMap};

use contract::api::{ModelOverview, Overview, Pipeline};

use super::*;

const HOUR: i64 = 3_600_000;

pub(crate) fn status(shadow: &str, verdict: ShadowVerdict, judged_ms: i64) -> ShadowStatus {
    serde_json::from_value(serde_json::json!({
        "model": "m", "primary": "1", "shadow": shadow, "pairs": 9, "agreed": 9, "failed": 0, "judged_ms": judged_ms,
        "agreement": 1.0, "wilson": null, "sequence": null, "latency_ratio": null, "flips": [],
        "verdict": verdict.as_str(), "sentence": "Because.",
    }))
    .unwrap()
}

pub(crate) fn snapshot(shadows: &[ShadowStatus], events: &[(i64, EventKind)]) -> Snapshot {
    let model: ModelOverview = serde_json::from_value(serde_json::json!({
        "model": "m", "version": "1", "state": "stable", "history": [], "features": [], "confidence": null,
        "traffic": {"requests_per_second": 0.0, "bad_ratio": null, "p50_ms": null, "p95_ms": null, "p99_ms": null},
        "confidence_mean": null, "classes": [], "shadows": shadows, "baseline": null, "guarantee": "",
    }))
    .unwrap();
    let event = |(at_ms, kind): &(i64, EventKind)| Event {
        at_ms: *at_ms,
        kind: kind.as_str().into(),
        model: "m".into(),
        version: "2".into(),
        text: String::new(),
    };
    let overview = Overview {
        at_ms: 0,
        watermark_ms: None,
        models: vec![model],
        slos: Vec::new(),
        events: events.iter().map(event).collect(),
        pipeline: Pipeline::default(),
    };
    Snapshot {
        overview,
        distributions: HashMap::new(),
        low_shares: HashMap::new(),
        segments: BTreeMap::new(),
        counted_ms: HashMap::new(),
        judged_until_ms: HashMap::new(),
    }
}

/// What is due of one shadow at a time, and how its telling ends.
fn step(ledger: &mut Ledger, at_ms: i64, verdict: ShadowVerdict, events: &[(i64, EventKind)], ends: Outcome) -> usize {
    let due = ledger.due(&snapshot(&[status("2", verdict, at_ms)], events), at_ms);
    for one in &due {
        assert_eq!((one.told.verdict, one.told.against.as_deref()), (verdict, Some("1")));
        ledger.note(one, ends, at_ms);
    }
    due.len()
}

#[test]
fn a_verdict_is_told_when_it_changes_and_again_when_versions_did() {
    use ShadowVerdict::{Hold, Promote, Reject};
    let mut ledger = Ledger::new(HOUR);
    let (none, heard) = (&[][..], Outcome::Nothing);
    assert_eq!(step(&mut ledger, 1_000, Hold, none, heard), 0, "nothing was ever said, and nothing is known");
    assert_eq!(step(&mut ledger, 2_000, Reject, none, heard), 1);
    assert_eq!(step(&mut ledger, 3_000, Reject, none, heard), 0, "it was heard");
    // the rejected version becomes the canary
    let canary = &[(3_500, EventKind::Canary)][..];
    assert_eq!(step(&mut ledger, 4_000, Reject, canary, Outcome::Done), 1);
    assert_eq!(step(&mut ledger, 5_000, Reject, canary, heard), 0);
    assert_eq!(step(&mut ledger, 5_100, Reject, &[(5_050, EventKind::BreakerOpen)], heard), 0, "no version changed");
    assert_eq!(step(&mut ledger, 6_000, Hold, canary, heard), 1, "what was said is taken back");
    assert_eq!(step(&mut ledger, 7_000, Hold, &[(6_500, EventKind::Switch)], heard), 0, "and need not be repeated");
    assert_eq!(step(&mut ledger, 8_000, Promote, canary, heard), 1);
    assert_eq!(step(&mut ledger, 8_000 + HOUR, Promote, canary, heard), 1, "events may be lost");
}

#[test]
fn what_is_not_heard_is_told_again_later_and_later_and_counted_as_waiting() {
    let (mut ledger, mut at_ms, mut gaps) = (Ledger::new(HOUR), 0, Vec::new());
    let mut last_ms = 0;
    while gaps.len() < 10 {
        if step(&mut ledger, at_ms, ShadowVerdict::Reject, &[], Outcome::Failed) == 1 {
            gaps.push(at_ms - last_ms);
            last_ms = at_ms;
        }
        at_ms += 1_000;
    }
    assert_eq!(gaps, [0, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 256_000, 300_000]);
    assert_eq!((ledger.waiting_since_last(), ledger.waiting_since_last()), (1.0, 0.0));
    assert_eq!(step(&mut ledger, at_ms + REST_MAX_MS, ShadowVerdict::Reject, &[], Outcome::Done), 1);
    assert_eq!(ledger.waiting_since_last(), -1.0);
    // one that is not judged any more waits for nobody
    let mut ledger = Ledger::new(HOUR);
    step(&mut ledger, 0, ShadowVerdict::Reject, &[], Outcome::Failed);
    assert_eq!(ledger.waiting_since_last(), 1.0);
    assert_eq!(ledger.due(&snapshot(&[], &[]), 1_000), []);
    assert_eq!(ledger.waiting_since_last(), -1.0);
}

#[test]
fn what_is_too_old_for_a_gate_or_no_name_of_a_proxys_is_not_told() {
    let mut ledger = Ledger::new(HOUR);
    let old = status("2", ShadowVerdict::Promote, 0);
    assert_eq!(ledger.due(&snapshot(std::slice::from_ref(&old), &[]), figures::VERDICT_HOLDS_MS).len(), 1);
    assert_eq!(ledger.due(&snapshot(std::slice::from_ref(&old), &[]), figures::VERDICT_HOLDS_MS + 1), []);
    let strange = status("../2?x", ShadowVerdict::Promote, 0);
    assert_eq!(ledger.due(&snapshot(&[strange], &[]), 0), []);
}

#[test]
fn an_answer_is_heard_or_not() {
    let check = |status: u16, body: &str, outcome: Outcome, says: &str| {
        let (found, said) = heard(status, body.as_bytes());
        assert_eq!(found, outcome, "{status} {body}");
        assert!(said.contains(says), "{said}");
    };
    check(200, r#"{"did": "version '2' answers: the verdict"}"#, Outcome::Done, "version '2' answers");
    check(200, r#"{"did": "nothing: the shadow stays as it is"}"#, Outcome::Nothing, "stays");
    check(404, r#"{"error": "there is no model"}"#, Outcome::Unknown, "no model");
    check(403, "", Outcome::Refused, "scope admin");
    check(507, r#"{"error": "needs 3 GiB"}"#, Outcome::Failed, "507: needs 3 GiB");
    check(502, "<html>", Outcome::Failed, "502");
}
