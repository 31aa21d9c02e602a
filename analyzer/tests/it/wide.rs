//! What the defaults do for a model of many features, what is told until it is judged, and what is no model at all.

use contract::api::DriftState;

use crate::{
    cycle::{Bench, T0, WINDOW_MS, heartbeat, raw, window},
    house::House,
};

/// Columns beside the four features of every window, and names in a categorical one.
const COLUMNS: u32 = 66;
const NAMES: u32 = 200;

/// A window of 71 features.
async fn wide(house: &House, index: i64) {
    let at = format!("fromUnixTimestamp64Milli({} + number * 25, 'UTC')", T0 + index * WINDOW_MS);
    let row = format!("generateUUIDv4(), 0, generateUUIDv4(), {at}, {at}, 'm', '1'");
    house
        .ask(&format!(
            "INSERT INTO features (id, item, segment, received_at, at, model, version, feature, value, missing) \
             SELECT {row}, 'input.c' || leftPad(toString(c), 2, '0'), (number * 37 + c * 11 + {index}) % 400, false \
             FROM numbers(400) ARRAY JOIN range({COLUMNS}) AS c"
        ))
        .await;
    house
        .ask(&format!(
            "INSERT INTO categories (id, item, segment, received_at, at, model, version, feature, value) \
             SELECT {row}, 'input.kind', toString(number % {NAMES}) FROM numbers(400)"
        ))
        .await;
    window(house, index, 0.0).await;
}

/// 1,000 observations cannot show a shift of `min_detectable` in a column of 200 names beside 70 others:
/// `python3 -c "from math import *; print(ceil(2 * log(2 * 203 * 71 / .01) / .15 ** 2))"` is 1323.
#[tokio::test]
async fn seventy_features_are_judged_with_the_defaults_and_told_of_until_then() {
    let mut bench = Bench::build(raw()).await;
    for (index, words) in [(0, "396 of the first 1000"), (1, "792 of the first 1000"), (2, "1188 of the first 1400")] {
        wide(&bench.house, index).await;
        let snapshot = bench.after(index).await;
        let model = &snapshot.overview.models[0];
        let told = model.waiting.as_deref().unwrap();
        assert!(told.starts_with(words) && model.baseline.is_none(), "window {index}: {told}");
    }
    wide(&bench.house, 3).await;
    let snapshot = bench.after(3).await;
    let frozen = snapshot.overview.models[0].baseline.clone().unwrap();
    assert_eq!((frozen.features, frozen.provisional_features, frozen.completes.as_str()), (71, 71, ""));
    assert!((1_400..1_440).contains(&frozen.observations), "with what failed among them: {frozen:?}");
    assert!(snapshot.overview.models[0].waiting.as_deref().unwrap().contains("not closed yet"));
    // found again, so that it is not judged against its own values
    bench.restart();
    bench.tick().await;
    wide(&bench.house, 4).await;
    let snapshot = bench.after(4).await;
    let model = &snapshot.overview.models[0];
    let unjudged: Vec<_> = model.features.iter().filter(|one| one.state != DriftState::Stable).collect();
    assert!(model.features.len() == 71 && unjudged.is_empty(), "{unjudged:?}");
    assert_eq!((model.state, model.waiting.as_deref()), (DriftState::Stable, None));
    assert_eq!(bench.house.ask("SELECT uniqExact(window_end) FROM verdicts").await, "1");
}

#[tokio::test]
async fn a_request_that_names_no_model_makes_none_and_nobody_waits_for_curl() {
    let mut bench = Bench::build(raw()).await;
    window(&bench.house, 0, 0.0).await;
    let at = format!("fromUnixTimestamp64Milli({T0} + 1000, 'UTC')");
    for (model, version, requests) in [("unknown", "unknown", 7), ("unknown", "1", 3)] {
        bench
            .house
            .ask(&format!(
                "INSERT INTO observations (id, segment, received_at, at, source, model, version, outcome, code, total_us, items) \
                 SELECT generateUUIDv4(), generateUUIDv4(), {at}, {at}, 's', '{model}', '{version}', 'invalid', 404, 9, 0 \
                 FROM numbers({requests})"
            ))
            .await;
    }
    bench
        .house
        .ask(&format!("INSERT INTO heartbeats SELECT 'http', generateUUIDv4(), {at}, 1, 1, {at}, 3, 3, 0, 0"))
        .await;
    heartbeat(&bench.house, T0 + WINDOW_MS).await;
    let overview = bench.after(0).await.overview.clone();
    let models: Vec<_> = overview.models.iter().map(|one| (one.model.as_str(), one.version.as_str())).collect();
    assert_eq!(models, [("m", "1"), ("unknown", "1")], "a model may be called so");
    assert_eq!(overview.pipeline.unnamed, 7);
    let sources: Vec<_> = overview.pipeline.sources.iter().map(|one| (one.source.as_str(), one.expected)).collect();
    assert_eq!(sources, [("http", false), ("s", true)]);
}
