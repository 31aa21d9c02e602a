//! References managed and verdicts explained over HTTP, against the real engine.

use analyzer::config::RawConfig;
use contract::api::{
    DriftState, Event, FeatureVerdict, Overview,
    baseline::{BaselineComparison, BaselineRecord, BaselineShown, Standing},
    explain::Explanation,
};
use serde_json::{Value, json};

use crate::{
    api::Running,
    cycle::{T0, WINDOW_MS, raw},
};

const OF_M: &str = "/api/v1/models/m/baselines";

/// A window of 400 values is enough for a reference here.
async fn running() -> Running {
    Running::start_with(RawConfig { min_detectable: 0.3, ..raw() }, &[]).await
}

async fn post(running: &Running, path: &str, body: &Value) -> (u16, Value) {
    let answer = running.http.post(format!("{}{path}", running.base)).json(body).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

async fn act(running: &Running, path: &str, body: &Value) -> BaselineRecord {
    let (status, answer) = post(running, path, body).await;
    assert_eq!(status, 200, "{path}: {answer}");
    serde_json::from_value(answer).unwrap()
}

fn standings(records: &[BaselineRecord]) -> Vec<(String, Standing)> {
    records.iter().map(|one| (one.info.fingerprint.clone(), one.standing)).collect()
}

/// Waits for the cycle that takes a promotion up.
async fn judged_against(running: &Running, fingerprint: &str) {
    loop {
        let overview: Overview = running.read("/api/v1/overview").await;
        if overview.models[0].baseline.as_ref().is_some_and(|judged| judged.fingerprint == fingerprint) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_reference_is_frozen_compared_promoted_and_retired() {
    let running = running().await;
    let first: Vec<BaselineRecord> = running.read(OF_M).await;
    assert_eq!((first.len(), first[0].standing, first[0].info.provisional), (1, Standing::InForce, true));
    let provisional = first[0].info.fingerprint.clone();

    // a candidate changes nothing
    let range = |from: i64, to: i64| json!({"from_ms": T0 + from * WINDOW_MS, "to_ms": T0 + to * WINDOW_MS});
    let drifted = act(&running, OF_M, &range(5, 6)).await;
    assert_eq!((drifted.standing, drifted.info.observations), (Standing::Candidate, 400));
    let whole = act(&running, OF_M, &range(0, 5)).await;
    let again = act(&running, OF_M, &range(0, 5)).await;
    assert_eq!(again.info.fingerprint, whole.info.fingerprint, "the same contents are the same baseline");
    let listed: Vec<BaselineRecord> = running.read(OF_M).await;
    assert_eq!(listed.len(), 3);
    let in_force: Vec<_> = listed.iter().filter(|one| one.standing == Standing::InForce).collect();
    assert_eq!((in_force.len(), &in_force[0].info.fingerprint), (1, &provisional));

    // what is in one, by a few of its digits
    let shown: BaselineShown = running.read(&format!("{OF_M}/{}", &drifted.info.fingerprint[..8])).await;
    let x = shown.contents.iter().find(|one| one.feature == "input.x").unwrap();
    assert_eq!((x.kind.as_str(), x.values, x.missing), ("numbers", 400, 0));
    assert!((shown.record.visible - drifted.visible).abs() < 1e-12 && x.visible > 0.05);
    assert!((x.distribution.reference.iter().sum::<f64>() - 1.0).abs() < 1e-9 && x.distribution.current.is_empty());

    // x moved by .5 in window 5, and nothing else did
    let path = format!("{OF_M}/{}/compare/{}", whole.info.fingerprint, drifted.info.fingerprint);
    let found: BaselineComparison = running.read(&path).await;
    let farthest = &found.features[0];
    assert_eq!((farthest.feature.as_str(), farthest.apart), ("input.x", true), "{farthest:?}");
    let (lower, upper) = (farthest.lower.unwrap(), farthest.upper.unwrap());
    assert!((lower - 0.5).abs() < 0.01 && upper >= lower, "{farthest:?}");
    assert!(found.features[1..].iter().all(|one| !one.apart), "{found:?}");

    // promoted: judged against in the next cycle, and told
    let promoted = act(&running, &format!("{OF_M}/{}/promote", whole.info.fingerprint), &json!({})).await;
    assert_eq!(promoted.standing, Standing::InForce);
    judged_against(&running, &whole.info.fingerprint).await;
    // the clock stands: what happened in this millisecond has happened
    let told: Vec<Event> = running.read("/api/v1/events?model=m&kind=baseline").await;
    let said = |words: &str| told.iter().any(|event| event.text.contains(words));
    assert!(said("start anew") && said(&provisional[..12]) && said(&whole.info.fingerprint[..12]), "{told:?}");

    let refused = async |path: String, code: u16, words: &str| {
        let (status, answer) = post(&running, &path, &json!({})).await;
        assert!(status == code && answer["error"].as_str().unwrap().contains(words), "{path}: {status} {answer}");
    };
    refused(format!("{OF_M}/{}/promote", whole.info.fingerprint), 409, "already").await;
    refused(format!("{OF_M}/{}/retire", whole.info.fingerprint), 409, "promote another").await;
    refused(format!("{OF_M}/ffffffffffff/retire"), 404, "no baseline").await;
    refused(format!("{OF_M}/{}/promote", &whole.info.fingerprint[..1]), 422, "four at least").await;
    refused(OF_M.to_owned(), 400, "newest").await;
    let retired = act(&running, &format!("{OF_M}/{provisional}/retire"), &json!({})).await;
    assert_eq!(retired.standing, Standing::Retired);
    refused(format!("{OF_M}/{provisional}/retire"), 409, "retired already").await;
    let listed: Vec<BaselineRecord> = running.read(OF_M).await;
    for (fingerprint, standing) in standings(&listed) {
        let expected = match () {
            () if fingerprint == provisional => Standing::Retired,
            () if fingerprint == whole.info.fingerprint => Standing::InForce,
            () => Standing::Candidate,
        };
        assert_eq!(standing, expected, "{fingerprint}");
    }
    let by = running.house.ask("SELECT DISTINCT who FROM baseline_acts ORDER BY who").await;
    assert_eq!(by, "analyzer\nthe API");
    running.stop().await;
}

#[tokio::test]
async fn what_is_normal_is_reset_to_the_newest_or_refused_with_what_too_few_could_show() {
    let running = running().await;
    let (status, answer) = post(&running, OF_M, &json!({"newest": 50, "promote": true})).await;
    let sentence = answer["error"].as_str().unwrap();
    // 2 sqrt(ln(2 * 4 / .01) / (2 * 50)) + .05 = .567
    assert!(status == 422 && sentence.contains("below 0.567") && sentence.contains("Massart"), "{status} {sentence}");
    let current = act(&running, OF_M, &json!({"newest": 390, "promote": true})).await;
    assert_eq!(current.standing, Standing::InForce);
    assert!(!current.info.provisional, "somebody chose it");
    // the newest window alone: x lies between .5 and 1.5 there
    let shown: BaselineShown = running.read(&format!("{OF_M}/{}", current.info.fingerprint)).await;
    let x = shown.contents.iter().find(|one| one.feature == "input.x").unwrap();
    assert!(x.distribution.edges[0] >= 0.4, "{:?}", x.distribution.edges);
    running.stop().await;
}

#[tokio::test]
async fn a_verdict_is_computed_again_to_the_bit_or_what_is_gone_is_named() {
    let running = running().await;
    let verdicts: Vec<FeatureVerdict> = running.read("/api/v1/verdicts?model=m").await;
    assert!(verdicts.len() >= 12, "three windows of four features");
    for verdict in &verdicts {
        let found: Explanation = running.read(&format!("/api/v1/verdicts/{}/explain", verdict.id)).await;
        assert!(found.equal && found.gone.is_empty(), "{found:#?}");
        assert!(found.figures.iter().all(|figure| figure.equal == Some(true)), "{found:#?}");
        assert_eq!((found.state, &found.feature), (verdict.state, &verdict.feature));
    }
    let drifted = verdicts.iter().find(|verdict| verdict.feature == "input.x").unwrap();
    assert_eq!(drifted.state, DriftState::Drifted);
    let path = format!("/api/v1/verdicts/{}/explain", drifted.id);

    let sync = "SETTINGS mutations_sync = 2";
    running.house.ask(&format!("ALTER TABLE detector_state DELETE WHERE feature != '' {sync}")).await;
    let found: Explanation = running.read(&path).await;
    assert!(found.equal && found.gone[0].contains("detector_state"), "{found:#?}");
    let of = |found: &Explanation, name: &str| found.figures.iter().find(|one| one.name == name).unwrap().equal;
    assert_eq!((of(&found, "evidence"), of(&found, "ks_lower")), (None, Some(true)));

    running.house.ask(&format!("ALTER TABLE bin_counts UPDATE n = n + 7 WHERE feature = 'input.x' {sync}")).await;
    let found: Explanation = running.read(&path).await;
    assert!(!found.equal, "a changed count does not go unseen: {found:#?}");
    assert_eq!((of(&found, "n"), of(&found, "m")), (Some(false), Some(true)));

    running.house.ask(&format!("ALTER TABLE bin_counts DELETE WHERE n > 0 {sync}")).await;
    let found: Explanation = running.read(&path).await;
    assert!(found.equal && found.gone[0].contains("bin_counts"), "{found:#?}");
    assert!(found.figures.iter().all(|figure| figure.equal.is_none()));

    for (id, code) in [("nonsense", 400), ("1700000000000@m@absent", 404)] {
        let (status, body) = running.get(&format!("/api/v1/verdicts/{id}/explain")).await;
        assert_eq!(status, code, "{body}");
    }
    running.stop().await;
}
