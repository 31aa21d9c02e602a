//! What the page's single views ask, against the real engine: ranges, filters, limits, and the stream.

use std::time::Duration;

use contract::api::{
    DriftState, Event, FeatureVerdict, ShadowVerdict,
    page::{ConfidenceRange, Glance, Heat, ModelPage, Sample, ShadowPage, SloPage, TrafficRange},
};
use serde_json::Value;

use crate::{
    api::Running,
    cycle::{T0, WINDOW_MS},
};

/// The range of all rows and of what was found at their end.
fn range() -> String {
    format!("from_ms={T0}&to_ms={}", T0 + 6 * WINDOW_MS + 1_000)
}

#[tokio::test]
async fn a_glance_names_what_is_loud_and_is_small() {
    let running = Running::start().await;
    let glance: Glance = running.read("/api/v1/glance").await;
    let model = &glance.models[0];
    assert_eq!((model.state, model.states[&DriftState::Drifted]), (DriftState::Drifted, 1));
    assert_eq!(model.loudest[0], "input.x");
    assert_eq!(model.states.values().sum::<u64>(), 4);
    assert_eq!((model.shadows[0].verdict, model.shadows[0].pairs), (ShadowVerdict::Reject, 1_200));
    assert_eq!(model.judged_ms, Some(T0 + 6 * WINDOW_MS));
    // the clock stands: what was put together now is sent now
    assert_eq!((glance.at_ms, glance.sent_ms), (T0 + 6 * WINDOW_MS + 2_000, T0 + 6 * WINDOW_MS + 2_000));
    running.stop().await;
}

#[tokio::test]
async fn the_stream_says_the_glance_at_once_and_again_after_a_cycle_and_ends_with_the_service() {
    let running = Running::start().await;
    let mut answer = running.http.get(format!("{}/api/v1/stream", running.base)).send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let mut text = String::new();
    while text.matches("event: glance").count() < 2 {
        let chunk = tokio::time::timeout(Duration::from_secs(60), answer.chunk()).await.unwrap().unwrap();
        text.push_str(std::str::from_utf8(&chunk.expect("goes on")).unwrap());
    }
    let data = text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
    assert_eq!(serde_json::from_str::<Glance>(data).unwrap().models[0].model, "m");
    // An open stream does not hold the end up.
    tokio::time::timeout(Duration::from_secs(60), running.stop()).await.unwrap();
}

#[tokio::test]
async fn a_model_shows_the_features_that_match() {
    let running = Running::start().await;
    let page: ModelPage = running.read("/api/v1/models/m?match=INPUT&limit=1").await;
    assert_eq!((page.matching, page.overview.features.len()), (2, 1));
    assert_eq!(page.overview.features[0].feature, "input.x");
    let page: ModelPage = running.read("/api/v1/models/m?state=drifted").await;
    assert_eq!((page.matching, page.states.values().sum::<u64>()), (1, 4));
    running.stop().await;
}

#[tokio::test]
async fn ranges_are_cut_into_steps() {
    let running = Running::start().await;
    let traffic: TrafficRange = running.read(&format!("/api/v1/models/m/traffic?{}", range())).await;
    let requests: f64 = traffic.points.iter().map(|p| p.traffic.requests_per_second).sum();
    assert_eq!(traffic.step_ms, 1_000);
    assert!((requests - 2_400.0).abs() < 1e-6, "{requests}");
    assert!(traffic.events.iter().any(|event| event.kind == "drift"), "{:?}", traffic.events);
    let heat: Heat = running.read(&format!("/api/v1/models/m/heat?{}", range())).await;
    assert_eq!((heat.step_ms, heat.rows[0].feature.as_str()), (WINDOW_MS, "input.x"));
    let loud: Vec<(u32, DriftState)> = heat.rows[0].cells.iter().map(|cell| (cell.step, cell.state)).collect();
    assert_eq!(loud.last(), Some(&(5, DriftState::Drifted)));
    assert_eq!(heat.rows.len(), 4);
    let verdicts: Vec<FeatureVerdict> = running.read(&format!("/api/v1/models/m/evidence/input.x?{}", range())).await;
    assert_eq!(verdicts.len(), loud.len());
    assert!(verdicts.windows(2).all(|two| two[0].window_end_ms < two[1].window_end_ms));
    let none: Heat = running.read("/api/v1/models/m/heat?from_ms=0&to_ms=1000").await;
    assert!(none.rows.is_empty());
    running.stop().await;
}

/// 60 answers at .9 of which 54 are right, 40 at .6 of which 20 are: an error of (60 * 0 + 40 * .1) / 100.
#[tokio::test]
async fn calibration_is_confidence_against_labels() {
    let running = Running::start().await;
    let id = "toUUID(concat('00000000-0000-0000-0001-', leftPad(toString(number), 12, '0')))";
    let at = format!("fromUnixTimestamp64Milli({T0} + number, 'UTC')");
    let segment = "generateUUIDv4()";
    for sql in [
        format!(
            "INSERT INTO features SELECT {id}, 0, {segment}, {at}, {at}, 'c', '1', 'output.confidence', \
             if(number < 60, 0.9, 0.6), false FROM numbers(100)"
        ),
        format!(
            "INSERT INTO categories SELECT {id}, 0, {segment}, {at}, {at}, 'c', '1', 'output.label', 'a' FROM numbers(100)"
        ),
        // the first label of each is wrong: the later truth holds, and of one moment the one that came later
        format!("INSERT INTO labels SELECT {id}, 0, {segment}, {at}, {at}, 'x' FROM numbers(100)"),
        format!(
            "INSERT INTO labels SELECT {id}, 0, {segment}, {at} + INTERVAL 1 SECOND, {at} + INTERVAL number % 2 SECOND, \
             if(number < 54 OR number >= 80, 'a', 'b') FROM numbers(100)"
        ),
    ] {
        running.house.ask(&sql).await;
    }
    let seen: ConfidenceRange = running.read(&format!("/api/v1/models/c/confidence?{}", range())).await;
    assert_eq!((seen.labelled, seen.reliability.len()), (100, 2));
    assert!((seen.calibration_error.unwrap() - 0.04).abs() < 1e-9, "{seen:?}");
    assert!((seen.points[0].mean - 0.78).abs() < 1e-9 && seen.points[0].answers == 100);
    let unlabelled: ConfidenceRange = running.read(&format!("/api/v1/models/m/confidence?{}", range())).await;
    assert_eq!((unlabelled.labelled, unlabelled.calibration_error), (0, None));
    assert!(unlabelled.points.len() >= 59 && unlabelled.points.iter().all(|p| p.p05 <= p.p50));
    running.stop().await;
}

#[tokio::test]
async fn a_shadow_shows_its_bounds_closing_in_and_masked_disagreements() {
    let running = Running::start().await;
    let kept = "INSERT INTO payloads SELECT id, segment, received_at, at, model, version, 'from <EMAIL>', 'b', 0.5 \
                FROM comparisons WHERE primary_label != shadow_label ORDER BY at LIMIT 5";
    running.house.ask(kept).await;
    let page: ShadowPage = running.read("/api/v1/models/m/shadows/2").await;
    let (first, last) = (page.points.first().unwrap(), page.points.last().unwrap());
    assert_eq!(last.pairs, 1_200);
    assert!(last.upper - last.lower < first.upper - first.lower, "{first:?} {last:?}");
    assert_eq!(Some(last.lower), page.status.sequence.map(|bounds| bounds.lower));
    assert_eq!(page.disagreements.len(), 40);
    assert!(page.disagreements[..5].iter().all(|one| one.input == "from <EMAIL>" && one.primary != one.shadow));
    assert_eq!(page.disagreements[5].input, "");
    running.stop().await;
}

#[tokio::test]
async fn a_budget_is_drawn_to_where_it_stands() {
    let running = Running::start().await;
    let page: SloPage = running.read("/api/v1/slos/m-available").await;
    assert_eq!(page.period_ms, 30 * 86_400_000);
    let last = page.points.last().unwrap();
    assert!((last.remaining - page.status.budget_remaining.unwrap()).abs() < 1e-9);
    // half is left and half a period's worth burns in a period
    let lasts = page.exhausted_ms.unwrap() - last.at_ms;
    assert!((lasts - page.period_ms).abs() < 10, "{lasts}");
    // what became known since the last cycle is in the figure as well as in the line
    let late = "INSERT INTO observations SELECT * REPLACE (generateUUIDv4() AS id, 'error' AS outcome) FROM observations \
                WHERE model = 'm' AND outcome = 'ok' LIMIT 40";
    running.house.ask(late).await;
    let page: SloPage = running.read("/api/v1/slos/m-available").await;
    let drawn = page.points.last().unwrap().remaining;
    assert!((drawn - page.status.budget_remaining.unwrap()).abs() < 1e-9, "{drawn} {:?}", page.status);
    running.stop().await;
}

#[tokio::test]
async fn samples_and_events_are_found_by_filter() {
    let running = Running::start().await;
    let kept = "INSERT INTO payloads SELECT id, segment, received_at, at, model, version, \
                concat('text ', toString(total_us)), 'out', 0.25 FROM observations WHERE total_us % 2 = 0";
    running.house.ask(kept).await;
    let all: Vec<Sample> = running.read("/api/v1/samples?model=m&limit=200").await;
    assert_eq!(all.len(), 200);
    assert!(all.windows(2).all(|two| two[0].at_ms >= two[1].at_ms));
    let older: Vec<Sample> = running.read(&format!("/api/v1/samples?before_ms={}&limit=1", all[199].at_ms)).await;
    assert!(older[0].at_ms < all[199].at_ms);
    let found: Vec<Sample> = running.read("/api/v1/samples?match=TEXT%201204").await;
    assert_eq!(found.len(), 6);
    assert!((found[0].total_ms - 1.204).abs() < 1e-9 && found[0].inclusion_probability == 0.25);
    let bad: Vec<Sample> = running.read("/api/v1/samples?outcome=error").await;
    assert!(bad.len() == 24 && bad.iter().all(|sample| sample.outcome == "error"));
    for nothing in ["model=absent", "label=absent", "confidence_max=0.5", "before_ms=5", "match=absent"] {
        assert!(running.read::<Vec<Sample>>(&format!("/api/v1/samples?{nothing}")).await.is_empty(), "{nothing}");
    }
    let drifts: Vec<Event> = running.read(&format!("/api/v1/events?kind=drift&model=m&{}", range())).await;
    assert!(!drifts.is_empty() && drifts.iter().all(|event| event.kind == "drift"));
    running.stop().await;
}

#[tokio::test]
async fn bad_questions_are_refused_with_a_sentence() {
    let running = Running::start().await;
    for (path, status) in [
        ("/api/v1/models/absent", 404),
        ("/api/v1/models/m/shadows/absent", 404),
        ("/api/v1/slos/absent", 404),
        ("/api/v1/models/m?limit=-1", 400),
        ("/api/v1/models/m?lmit=1", 400),
        ("/api/v1/models/m/segments", 404),
        ("/api/v1/models/m/segments?lmit=1", 400),
        ("/api/v1/models/m/traffic?from_ms=5&to_ms=4", 400),
        ("/api/v1/models/m/heat?from_ms=-5", 400),
        ("/api/v1/models/m/confidence?from_ms=9223372036854775807", 400),
        ("/api/v1/samples?confidence_max=2", 400),
        ("/api/v1/samples?confidence_max=NaN", 400),
        ("/api/v1/samples?before_ms=-1", 400),
        ("/api/v1/events?limit=many", 400),
    ] {
        let (found, body) = running.get(path).await;
        assert_eq!(found, status, "{path}: {body}");
        assert!(serde_json::from_str::<Value>(&body).unwrap()["error"].is_string());
    }
    running.stop().await;
}
