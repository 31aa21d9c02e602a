//! Segments against the real engine: the part of the traffic that moved is found, named and shown, over restarts too.

use std::sync::Arc;

use analyzer::{config::RawConfig, cycle::Snapshot};
use contract::api::{DriftState, SegmentVerdict, Segments};

use crate::{
    api::Running,
    cycle::{Bench, T0, WINDOW_MS, heartbeat, raw},
    house::House,
};

const ROWS: i64 = 400;
const SEGMENTS: [&str; 3] = ["client", "text.language", "text.length_bucket"];

/// Half of the items are German, three of ten English, two of ten French; who asks and how long a text is follow neither.
async fn window(house: &House, index: i64, german_shift: f64) {
    let start = T0 + index * WINDOW_MS;
    let at = format!("fromUnixTimestamp64Milli({start} + number * 25, 'UTC')");
    let id =
        format!("toUUID(concat('00000000-0000-4000-8000-', leftPad(toString({index} * {ROWS} + number), 12, '0')))");
    let german = "number % 10 < 5";
    let x = format!("((number * 7 + {index} * 31) % {ROWS} + 0.5) / {ROWS} + if({german}, {german_shift}, 0)");
    let language = format!("multiIf({german}, 'deu', number % 10 < 8, 'eng', 'fra')");
    house
        .ask(&format!(
            "INSERT INTO observations (id, segment, received_at, at, source, model, version, outcome, code, client, items) \
             SELECT {id}, generateUUIDv4(), {at}, {at}, 's', 'm', '1', 'ok', 200, if(intDiv(number, 10) % 2 = 0, 'a', 'b'), 1 \
             FROM numbers({ROWS})"
        ))
        .await;
    for (feature, value) in [("input.x", x.as_str()), ("text.chars", "[20, 200, 1000][number % 3 + 1]")] {
        house
            .ask(&format!(
                "INSERT INTO features (id, item, segment, received_at, at, model, version, feature, value, missing) \
                 SELECT {id}, 0, generateUUIDv4(), {at}, {at}, 'm', '1', '{feature}', {value}, false FROM numbers({ROWS})"
            ))
            .await;
    }
    house
        .ask(&format!(
            "INSERT INTO categories (id, item, segment, received_at, at, model, version, feature, value) \
             SELECT {id}, 0, generateUUIDv4(), {at}, {at}, 'm', '1', 'text.language', {language} FROM numbers({ROWS})"
        ))
        .await;
    heartbeat(house, start + WINDOW_MS + 1_500).await;
}

fn config() -> RawConfig {
    let mut config = raw();
    config.min_window_n = 50;
    config.min_detectable = 0.9;
    // The first three windows are the reference.
    config.provisional_after = 1_000;
    config.segments.reference = 3 * ROWS as u64;
    config.segments.max_values = 2;
    config.models.entry("m".into()).or_default().segments = SEGMENTS.map(str::to_owned).to_vec();
    config
}

async fn step(bench: &mut Bench, index: i64, german_shift: f64) -> Arc<Snapshot> {
    window(&bench.house, index, german_shift).await;
    bench.after(index).await
}

fn of<'a>(snapshot: &'a Snapshot, feature: &str, segment: &str, value: &str) -> &'a SegmentVerdict {
    let verdicts = &snapshot.segments["m"].verdicts;
    let found = verdicts
        .iter()
        .find(|one| (one.feature.as_str(), one.segment.as_str(), one.value.as_str()) == (feature, segment, value));
    found.unwrap_or_else(|| panic!("{feature} {segment} {value} is not in {verdicts:#?}"))
}

#[tokio::test]
async fn the_part_of_the_traffic_that_moved_is_named() {
    let mut bench = Bench::build(config()).await;
    for index in 0..3 {
        let snapshot = step(&mut bench, index, 0.0).await;
        assert!(snapshot.segments["m"].verdicts.is_empty(), "window {index} is in the reference");
    }
    for index in 3..5 {
        let snapshot = step(&mut bench, index, 0.0).await;
        let shown = &snapshot.segments["m"];
        assert_eq!((shown.named.as_slice(), shown.waiting.len()), (SEGMENTS.map(str::to_owned).as_slice(), 0));
        assert!(shown.verdicts.iter().all(|one| one.state == DriftState::Stable), "{:#?}", shown.verdicts);
        assert_eq!((of(&snapshot, "input.x", "text.language", "deu").n, shown.untested), (200, 0));
        // Two values are told apart, the third is all others; a segment is not judged by itself.
        assert_eq!(of(&snapshot, "input.x", "text.language", "(other)").n, 80);
        assert!(shown.verdicts.iter().all(|one| one.feature != one.segment));
    }
    let snapshot = step(&mut bench, 5, 0.6).await;
    let german = of(&snapshot, "input.x", "text.language", "deu");
    assert_eq!(german.state, DriftState::Drifted, "{german:?}");
    assert!((german.ks_lower.unwrap() - 0.6).abs() < 0.05 && german.discovery, "{german:?}");
    for value in ["eng", "(other)"] {
        assert_eq!(of(&snapshot, "input.x", "text.language", value).state, DriftState::Stable);
    }
    let verdict = snapshot.overview.models[0].features.iter().find(|one| one.feature == "input.x").unwrap();
    assert_eq!(verdict.state, DriftState::Drifted);
    let cause = &verdict.causes[0];
    assert_eq!((cause.segment.as_str(), cause.value.as_str()), ("text.language", "deu"));
    assert!((cause.contribution().abs() - 0.3).abs() < 0.03 && cause.mix.abs() < 0.01, "{cause:?}");
    assert!(verdict.sentence.contains("Most of it comes from text.language = deu"), "{}", verdict.sentence);
    let text = bench.registry.render();
    assert!(text.contains("driftline_segment_drifted_pairs{model=\"m\",segment=\"text.language\"} 1"), "{text}");
    assert!(!text.contains("deu"), "a value of a segment may be a user's and is no label");
}

#[tokio::test]
async fn parts_are_counted_once_each_and_add_up_to_the_whole() {
    let mut bench = Bench::build(config()).await;
    for index in 0..4 {
        step(&mut bench, index, 0.0).await;
    }
    let whole = bench
        .house
        .ask("SELECT feature, bin, sum(n) FROM bin_counts FINAL GROUP BY feature, bin ORDER BY feature, bin")
        .await;
    assert!(whole.lines().count() > 100);
    for segment in ["client", "text.length_bucket"] {
        let sql = format!(
            "SELECT feature, bin, sum(n) FROM segment_counts FINAL WHERE segment = '{segment}' GROUP BY feature, bin ORDER BY feature, bin"
        );
        assert_eq!(bench.house.ask(&sql).await, whole, "{segment}");
    }
    // printf %s a | sha256sum
    let clients = "SELECT DISTINCT value FROM segment_counts WHERE segment = 'client' ORDER BY value";
    assert_eq!(bench.house.ask(clients).await, "3e23e8160039\nca978112ca1b", "clients are not named");
    let lengths = "SELECT value, sum(n) FROM segment_counts FINAL WHERE segment = 'text.length_bucket' AND feature = 'input.x' \
                   GROUP BY value ORDER BY value";
    let lengths = bench.house.ask(lengths).await;
    assert_eq!(
        lengths, "(other)\t133\n0-31 characters\t134\n128-511 characters\t133",
        "a tie goes to the first by name"
    );
}

#[tokio::test]
async fn a_restart_after_every_window_changes_no_segment() {
    let mut steady = Bench::build(config()).await;
    let mut restarted = Bench::build(config()).await;
    for (index, shift) in [0.0, 0.0, 0.0, 0.0, 0.6, 0.0, 0.0, 0.0].into_iter().enumerate() {
        let index = index as i64;
        let (a, b) = (step(&mut steady, index, shift).await, step(&mut restarted, index, shift).await);
        assert_eq!(a.segments, b.segments, "window {index}");
        assert_eq!(a.overview.models[0].features, b.overview.models[0].features, "window {index}");
        restarted.restart();
        let again = restarted.tick().await;
        assert_eq!(a.segments, again.segments, "after the restart in window {index}");
    }
    assert_eq!(
        steady.house.ask("SELECT count() FROM segment_verdicts").await,
        restarted.house.ask("SELECT count() FROM segment_verdicts").await
    );
}

#[tokio::test]
async fn segments_that_are_named_are_shown_before_they_have_a_reference() {
    let mut config = raw();
    config.models.entry("m".into()).or_default().segments = vec!["client".into()];
    let running = Running::start_with(config, &[]).await;
    let shown: Segments = running.read("/api/v1/models/m/segments?feature=input.x&limit=5").await;
    assert_eq!((shown.named, shown.waiting, shown.tested), (vec!["client".to_owned()], vec!["client".to_owned()], 0));
    assert!(shown.guarantee.contains("nothing is promised"), "{}", shown.guarantee);
    running.stop().await;
}

/// The window of an embedder: eight projections around a centre, and its length.
async fn embeddings(house: &House, index: i64, centre: f64) {
    let start = T0 + index * WINDOW_MS;
    let at = format!("fromUnixTimestamp64Milli({start} + number * 25, 'UTC')");
    let id =
        format!("toUUID(concat('00000000-0000-4000-8000-', leftPad(toString({index} * {ROWS} + number), 12, '0')))");
    for sql in [
        format!(
            "INSERT INTO observations (id, segment, received_at, at, source, model, version, outcome, code, items) \
             SELECT {id}, generateUUIDv4(), {at}, {at}, 's', 'm', '1', 'ok', 200, 1 FROM numbers({ROWS})"
        ),
        format!(
            "INSERT INTO features (id, item, segment, received_at, at, model, version, feature, value, missing) \
             SELECT {id}, 0, generateUUIDv4(), {at}, {at}, 'm', '1', 'output.e.p' || toString(p), \
               {centre} + sin(number * (p + 2) + {index}), false FROM numbers({ROWS}) ARRAY JOIN range(8) AS p"
        ),
    ] {
        house.ask(&sql).await;
    }
    heartbeat(house, start + WINDOW_MS + 1_500).await;
}

#[tokio::test]
async fn an_embedding_that_moved_is_described_beside_its_verdicts() {
    let mut config = config();
    config.models.clear();
    let mut bench = Bench::build(config).await;
    for (index, centre) in [0.0, 0.0, 0.0, 0.0, 0.5].into_iter().enumerate() {
        let index = index as i64;
        embeddings(&bench.house, index, centre).await;
        let snapshot = bench.after(index).await;
        let model = &snapshot.overview.models[0];
        match index {
            0..=2 => assert!(model.embeddings.is_empty(), "window {index} is in the reference"),
            3 => assert!(model.embeddings[0].distance < 0.3, "{:?}", model.embeddings),
            _ => {
                let shift = &model.embeddings[0];
                assert_eq!((shift.embedding.as_str(), shift.n, shift.m), ("output.e", 400, 1_200));
                // Eight projections moved by .5 each: the centre by sqrt(8 * .25).
                assert!((shift.means.sqrt() - 2f64.sqrt()).abs() < 0.1, "{shift:?}");
                let verdict = model.features.iter().find(|one| one.feature == "output.e.p3").unwrap();
                assert_eq!(verdict.state, DriftState::Drifted);
                assert!(verdict.sentence.contains("Fréchet distance"), "{}", verdict.sentence);
            }
        }
    }
}
