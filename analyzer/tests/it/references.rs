//! References over time against the real engine: what somebody chose stays, and what happened is told, whatever failed or aged.

use std::io::Write as _;

use analyzer::{
    baseline::desk::Desk,
    config::{Config, Hours, RawBaseline, RawConfig},
    cycle::explain::explain,
};
use contract::api::{DriftState, baseline::FreezeRequest};
use store::read::EventRow;

use crate::cycle::{Bench, T0, WINDOW_MS, heartbeat, raw, window};

/// Traffic of `m` that lacks no feature but those of the file, which is of `input.x` alone.
fn with_a_file() -> (RawConfig, tempfile::NamedTempFile) {
    let mut file = tempfile::Builder::new().suffix(".csv").tempfile().unwrap();
    writeln!(file, "input.x").unwrap();
    (0..2_000).for_each(|i| writeln!(file, "{}", (f64::from(i) + 0.5) / 2_000.0).unwrap());
    let mut config = raw();
    config.baselines.insert("m".into(), RawBaseline { file: file.path().to_owned(), categories: vec![] });
    (config, file)
}

async fn step(bench: &mut Bench, index: i64) -> (String, usize) {
    window(&bench.house, index, 0.0).await;
    let snapshot = bench.after(index).await;
    let baseline = snapshot.overview.models[0].baseline.clone().unwrap();
    (baseline.fingerprint, baseline.features as usize)
}

/// The analyzer had completed it with what traffic has beside it; after a restart it did so again, over somebody's head.
#[tokio::test]
async fn whoever_goes_back_to_what_was_chosen_keeps_it() {
    let (config, _file) = with_a_file();
    let mut bench = Bench::build(config.clone()).await;
    bench.after(-1).await;
    let (chosen, of_file) = step(&mut bench, 0).await;
    assert_eq!(of_file, 1);
    step(&mut bench, 1).await;
    step(&mut bench, 2).await;
    let (_, completed) = step(&mut bench, 3).await;
    assert_eq!(completed, 4);
    let (reader, checked) = (bench.house.store.read(), Config::try_from(config).unwrap());
    let desk = Desk { reader: &reader, config: &checked, who: "test", now_ms: T0 + 4 * WINDOW_MS + 3_000 };
    desk.promote("m", &chosen).await.unwrap();
    for index in 4..9 {
        assert_eq!(step(&mut bench, index).await, (chosen.clone(), 1), "window {index}");
        if index == 5 {
            bench.restart();
        }
    }
}

/// The act is one row and its event another: where the second was not written, nobody was told what is judged against.
#[tokio::test]
async fn a_promotion_whose_event_was_lost_is_told_all_the_same() {
    let (config, _file) = with_a_file();
    let mut bench = Bench::build(config).await;
    bench.after(-1).await;
    for index in 0..4 {
        step(&mut bench, index).await;
    }
    let delete = "ALTER TABLE events DELETE WHERE kind = 'baseline' SETTINGS mutations_sync = 2";
    bench.house.ask(delete).await;
    bench.restart();
    step(&mut bench, 20).await;
    let told = "SELECT text FROM events WHERE kind = 'baseline'";
    let text = bench.house.ask(told).await;
    assert!(text.starts_with("Reference ") && text.ends_with("is judged against from now on."), "{text}");
    bench.restart();
    step(&mut bench, 21).await;
    assert_eq!(bench.house.ask(told).await, text, "once");
}

/// A window that is judged again after a failure in between writes its events again.
#[tokio::test]
async fn the_same_events_again_are_taken_once() {
    let bench = Bench::build(raw()).await;
    let reader = bench.house.store.read();
    let event = |text: &str| EventRow {
        at: T0,
        kind: "drift".into(),
        model: "m".into(),
        version: "1".into(),
        text: text.into(),
    };
    for _ in 0..3 {
        reader.insert_events(&[event("Drifted: a."), event("Drifted: b.")]).await.unwrap();
    }
    reader.insert_events(&[event("Drifted: c.")]).await.unwrap();
    assert_eq!(
        bench.house.ask("SELECT arraySort(groupArray(text)) FROM events").await,
        "['Drifted: a.','Drifted: b.','Drifted: c.']"
    );
}

/// A day in two halves is no drift, unless a window is held against both at once.
#[tokio::test]
async fn a_window_is_held_against_the_same_hour_of_the_reference() {
    let config = RawConfig { matched_hours: Hours::Day, ..raw() };
    let mut bench = Bench::build(config.clone()).await;
    let hour = 3_600_000 / WINDOW_MS;
    // an hour of traffic as it is, and the next hour by half a unit higher
    for index in (0..4).chain(hour..hour + 4) {
        window(&bench.house, index, if index < hour { 0.0 } else { 0.5 }).await;
        bench.after(index).await;
    }
    let (reader, checked) = (bench.house.store.read(), Config::try_from(config).unwrap());
    let now_ms = T0 + (hour + 4) * WINDOW_MS + 3_000;
    let desk = Desk { reader: &reader, config: &checked, who: "test", now_ms };
    let (from_ms, to_ms) = (Some(T0), Some(T0 + (hour + 4) * WINDOW_MS));
    let asked = FreezeRequest { from_ms, to_ms, promote: true, ..FreezeRequest::default() };
    desk.freeze("m", &asked).await.unwrap();
    let mut judge = async |index: i64, shift: f64| {
        window(&bench.house, index, shift).await;
        let snapshot = bench.after(index).await;
        snapshot.overview.models[0].features.iter().find(|one| one.feature == "input.x").unwrap().clone()
    };
    let day = 24 * hour;
    for (index, shift) in [(day, 0.0), (day + 1, 0.0), (day + hour, 0.5), (day + hour + 1, 0.5)] {
        let found = judge(index, shift).await;
        assert_eq!((found.state, found.m), (DriftState::Stable, 1_600), "window {index}: {}", found.sentence);
        assert!(found.sentence.ends_with("the same hour of the day of the reference."), "{}", found.sentence);
    }
    let found = judge(day + hour + 2, 0.0).await;
    assert_eq!(found.state, DriftState::Drifted, "what is normal an hour before: {}", found.sentence);
    let again = explain(&reader, &found.id).await.unwrap();
    assert!(again.equal && again.gone.is_empty(), "{again:#?}");
    // an hour that the reference has not
    let found = judge(day + 2 * hour, 0.25).await;
    assert!(found.m == 3_200 && found.sentence.contains("Judged against the whole reference"), "{}", found.sentence);
    let shown = desk.show("m", &found.baseline).await.unwrap();
    let shown = shown.contents.into_iter().find(|one| one.feature == "input.x").unwrap();
    assert!((shown.visible - found.visible).abs() < 1e-12, "what it can show is what it is judged by: {shown:?}");
    // What completes a chosen one has its hours.
    let of = |hour: u32| reader.hour_references(("m", &found.baseline), store::read::hours::HOUR_OF_DAY, hour);
    let at = Hours::Day.of(T0);
    let counts = of(at).await.unwrap();
    reader.copy_hours("m", &found.baseline, "completed").await.unwrap();
    let name = store::read::hours::HOUR_OF_DAY;
    assert!(!counts.is_empty());
    assert_eq!(reader.hour_references(("m", "completed"), name, at).await.unwrap(), counts);
}

/// A chosen reference with hours was completed with what traffic has beside it: its hours are those of what is judged against now.
#[tokio::test]
async fn what_completes_a_reference_has_its_hours() {
    let config = RawConfig { matched_hours: Hours::Day, ..raw() };
    let mut bench = Bench::build(config.clone()).await;
    for index in 0..3 {
        window(&bench.house, index, 0.0).await;
    }
    // what is chosen knows no `output.label`
    let delete = "ALTER TABLE categories DELETE WHERE feature = 'output.label' SETTINGS mutations_sync = 1";
    bench.house.ask(delete).await;
    let (reader, checked) = (bench.house.store.read(), Config::try_from(config).unwrap());
    let now_ms = T0 + 3 * WINDOW_MS;
    let desk = Desk { reader: &reader, config: &checked, who: "test", now_ms };
    let asked = FreezeRequest { from_ms: Some(T0), to_ms: Some(now_ms), promote: true, ..FreezeRequest::default() };
    let chosen = desk.freeze("m", &asked).await.unwrap().info.fingerprint;
    let of = async |fingerprint: &str| {
        let (name, at) = (store::read::hours::HOUR_OF_DAY, Hours::Day.of(T0));
        reader.hour_references(("m", fingerprint), name, at).await.unwrap()
    };
    let hours = of(&chosen).await;
    assert!(!hours.is_empty());
    let mut last = (chosen.clone(), 0);
    for index in 3..9 {
        last = step(&mut bench, index).await;
    }
    assert_ne!(last.0, chosen, "it was completed");
    assert_eq!(of(&last.0).await, hours);
}

/// Observations are kept for ninety days and features for thirty: of a reference chosen forty days ago the first observations are
/// there, their features are not, and no reference of what is missing was ever made.
#[tokio::test]
async fn a_reference_older_than_the_features_is_completed_and_has_its_segments() {
    let (mut config, _file) = with_a_file();
    config.segments.reference = 1_200;
    config.models.entry("m".into()).or_default().segments = vec!["output.label".to_owned()];
    let mut bench = Bench::build(config).await;
    let long_ago = -40 * 86_400_000 / WINDOW_MS;
    bench.after(long_ago - 1).await;
    let at = format!("fromUnixTimestamp64Milli({} + number, 'UTC')", T0 + long_ago * WINDOW_MS + 5_000);
    let without = format!(
        "INSERT INTO observations (id, segment, received_at, at, source, model, version, outcome, code, items) \
         SELECT generateUUIDv4(), generateUUIDv4(), {at}, {at}, 's', 'm', '1', 'ok', 200, 1 FROM numbers(2000)"
    );
    bench.house.ask(&without).await;
    for index in 0..9 {
        step(&mut bench, index).await;
    }
    heartbeat(&bench.house, T0 + 10 * WINDOW_MS).await;
    let snapshot = bench.after(9).await;
    assert_eq!(snapshot.overview.models[0].baseline.as_ref().unwrap().features, 4);
    let segments = &snapshot.segments["m"];
    assert!(segments.waiting.is_empty(), "{segments:?}");
}

/// One model's question that fails, or takes for ever, left all models without figures.
#[tokio::test]
async fn one_models_labels_that_cannot_be_counted_are_missing_alone() {
    let mut bench = Bench::build(raw()).await;
    window(&bench.house, 0, 0.0).await;
    let at = format!("fromUnixTimestamp64Milli({T0} + number, 'UTC')");
    for (model, byte) in [("m", "a"), ("broken", "b")] {
        let id = format!("toUUID(concat('00000000-0000-4000-{byte}000-', leftPad(toString(number), 12, '0')))");
        for sql in [
            format!(
                "INSERT INTO observations (id, segment, received_at, at, source, model, version, outcome, code, items) \
                 SELECT {id}, generateUUIDv4(), {at}, {at}, 's', '{model}', '1', 'ok', 200, 1 FROM numbers(900)"
            ),
            format!(
                "INSERT INTO categories (id, item, segment, received_at, at, model, version, feature, value) \
                 SELECT {id}, 0, generateUUIDv4(), {at}, {at}, '{model}', '1', 'output.label', 'a' FROM numbers(900)"
            ),
            format!("INSERT INTO labels SELECT {id}, 0, generateUUIDv4(), {at}, {at}, 'a' FROM numbers(900)"),
        ] {
            bench.house.ask(&sql).await;
        }
    }
    bench.house.ask("RENAME TABLE categories TO all_of_them").await;
    let view = "CREATE VIEW categories AS SELECT * FROM all_of_them WHERE model != 'broken' UNION ALL \
                SELECT * FROM all_of_them WHERE model = 'broken' AND throwIf(length(toString(id)) > 0, 'broken') = 0";
    bench.house.ask(view).await;
    heartbeat(&bench.house, T0 + 2 * WINDOW_MS).await;
    bench.after(1).await;
    let text = bench.registry.render();
    let labelled = |model: &str| format!("driftline_quality_labelled_answers{{model=\"{model}\",window=\"1d\"}}");
    assert!(text.contains(&format!("{} 900", labelled("m"))), "{text}");
    assert!(!text.contains(&labelled("broken")), "{text}");
}
