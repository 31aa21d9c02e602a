//! The cycle against the real engine: from rows to verdicts, over restarts, and what the API says of it.

use std::{
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use analyzer::{
    baseline::desk::Desk,
    config::{Config, RawBaseline, RawConfig},
    cycle::{Clock, Cycle, Snapshot},
    publish::Metrics,
};
use contract::api::{DriftState, FeatureVerdict, baseline::FreezeRequest};
use host::metrics::Registry;

use crate::house::House;

/// A whole number of windows since 1970.
pub const T0: i64 = 1_900_000_000_000;
pub const WINDOW_MS: i64 = 10_000;
const ROWS: i64 = 400;

pub fn raw() -> RawConfig {
    RawConfig {
        listen: ([127, 0, 0, 1], 0).into(),
        refresh: Duration::from_millis(100),
        window: Duration::from_millis(WINDOW_MS as u64),
        lateness: Duration::from_secs(1),
        judge_windows: 3,
        ..RawConfig::default()
    }
}

/// Puts the requests of one window in, without features: 400 of `m`, spread evenly.
async fn requests(house: &House, index: i64) {
    let at = format!("fromUnixTimestamp64Milli({} + number * 25, 'UTC')", T0 + index * WINDOW_MS);
    let common = format!("generateUUIDv4(), toUUID('00000000-0000-0000-0000-00000000000{}')", index % 10);
    house
        .ask(&format!(
            "INSERT INTO observations (id, segment, received_at, at, source, model, version, outcome, code, total_us, items) \
             SELECT {common}, {at}, {at}, 's', 'm', '1', if(number % 100 = 0, 'error', 'ok'), 200, 1000 + number, 1 FROM numbers({ROWS})"
        ))
        .await;
}

/// Puts one window of traffic in: requests and their features, `input.x` shifted.
pub async fn window(house: &House, index: i64, shift: f64) {
    let start = T0 + index * WINDOW_MS;
    let at = format!("fromUnixTimestamp64Milli({start} + number * 25, 'UTC')");
    requests(house, index).await;
    let even = |prime: u32| format!("((number * {prime} + {index} * 31) % {ROWS} + 0.5) / {ROWS}");
    for (feature, value) in [
        ("input.x", format!("{} + {shift}", even(7))),
        ("input.y", format!("if(number % 2 = 0, 0, {})", even(11))),
        ("output.confidence", format!("0.5 + 0.5 * {}", even(13))),
    ] {
        house
            .ask(&format!(
                "INSERT INTO features (id, item, segment, received_at, at, model, version, feature, value, missing) \
                 SELECT generateUUIDv4(), 0, generateUUIDv4(), {at}, {at}, 'm', '1', '{feature}', {value}, false FROM numbers({ROWS})"
            ))
            .await;
    }
    house
        .ask(&format!(
            "INSERT INTO categories (id, item, segment, received_at, at, model, version, feature, value) \
             SELECT generateUUIDv4(), 0, generateUUIDv4(), {at}, {at}, 'm', '1', 'output.label', if(number % 4 = 0, 'b', 'a') \
             FROM numbers({ROWS})"
        ))
        .await;
    heartbeat(house, start + WINDOW_MS + 1_500).await;
}

pub async fn heartbeat(house: &House, at: i64) {
    let at = format!("fromUnixTimestamp64Milli({at}, 'UTC')");
    house.ask(&format!("INSERT INTO heartbeats SELECT 's', generateUUIDv4(), {at}, 1, 1, {at}, 400, 400, 0, 0")).await;
}

pub struct Bench {
    pub house: House,
    now: Arc<AtomicI64>,
    pub registry: Registry,
    cycle: Cycle,
    config: RawConfig,
}

impl Bench {
    pub async fn build(config: RawConfig) -> Self {
        let house = House::build().await;
        let now = Arc::new(AtomicI64::new(T0));
        let (cycle, registry) = cycle(&house, &config, &now);
        Self { house, now, registry, cycle, config }
    }

    pub fn restart(&mut self) {
        (self.cycle, self.registry) = cycle(&self.house, &self.config, &self.now);
    }

    /// A window of traffic, then a cycle two seconds after its end.
    async fn step(&mut self, index: i64, shift: f64) -> Arc<Snapshot> {
        window(&self.house, index, shift).await;
        self.after(index).await
    }

    /// A cycle two seconds after the end of a window.
    pub async fn after(&mut self, index: i64) -> Arc<Snapshot> {
        self.now.store(T0 + (index + 1) * WINDOW_MS + 2_000, Ordering::SeqCst);
        self.tick().await
    }

    pub async fn tick(&mut self) -> Arc<Snapshot> {
        self.cycle.tick().await.unwrap();
        self.cycle.shared().borrow().clone().unwrap()
    }
}

pub fn clock(now: &Arc<AtomicI64>) -> Clock {
    let now = Arc::clone(now);
    Arc::new(move || now.load(Ordering::SeqCst))
}

fn cycle(house: &House, config: &RawConfig, now: &Arc<AtomicI64>) -> (Cycle, Registry) {
    let registry = Registry::new();
    let config = Arc::new(Config::try_from(config.clone()).unwrap());
    let cycle = Cycle::new(house.store.read(), config, None, clock(now), Metrics::new(&registry));
    (cycle, registry)
}

fn states(snapshot: &Snapshot) -> Vec<(String, DriftState)> {
    let mut states: Vec<_> =
        snapshot.overview.models[0].features.iter().map(|v| (v.feature.clone(), v.state)).collect();
    states.sort();
    states
}

fn state_of(snapshot: &Snapshot, feature: &str) -> DriftState {
    states(snapshot).into_iter().find(|(name, _)| name == feature).unwrap().1
}

/// Shifts of `input.x` by window: a reference, quiet traffic, a drift, its end.
const SCRIPT: [f64; 13] = [0.0, 0.0, 0.0, 0.0, 0.0, 0.5, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];

#[tokio::test]
async fn a_drift_is_found_in_its_first_window_named_and_ended() {
    let mut bench = Bench::build(raw()).await;
    for (index, shift) in SCRIPT.iter().enumerate() {
        let snapshot = bench.step(index as i64, *shift).await;
        let model = &snapshot.overview.models[0];
        match index {
            0 | 1 => {
                assert!(model.baseline.is_none() && model.features.is_empty(), "1,000 good ones are not there yet");
            }
            2 => {
                let baseline = model.baseline.as_ref().unwrap();
                assert!(baseline.provisional);
                assert_eq!((baseline.features, baseline.observations), (4, 1_010));
            }
            3 | 4 => {
                assert_eq!(states(&snapshot).iter().filter(|(_, s)| *s == DriftState::Stable).count(), 4, "{model:?}");
                let order: Vec<&str> = model.features.iter().map(|v| v.feature.as_str()).collect();
                assert!(order[0].starts_with("output.") && order[1].starts_with("output."), "{order:?}");
            }
            5 | 6 => {
                assert_eq!(state_of(&snapshot, "input.x"), DriftState::Drifted);
                assert_eq!(states(&snapshot).iter().filter(|(_, s)| *s == DriftState::Stable).count(), 3);
                assert_eq!(model.state, DriftState::Drifted);
                let verdict = model.features.iter().find(|v| v.feature == "input.x").unwrap();
                assert_eq!((verdict.n, verdict.window_end_ms), (400, T0 + (index as i64 + 1) * WINDOW_MS));
                assert!((verdict.ks_lower.unwrap() - 0.5).abs() < 0.02 && verdict.ks_upper >= verdict.ks_lower);
                assert!(verdict.sentence.contains("% of values are"), "{}", verdict.sentence);
                let text = bench.registry.render();
                assert!(
                    text.contains(
                        "driftline_drift_state{feature=\"input.x\",model=\"m\",state=\"drifted\",version=\"1\"} 1"
                    ),
                    "{text}"
                );
            }
            7 | 8 => assert_eq!(state_of(&snapshot, "input.x"), DriftState::Drifted, "not over at once"),
            9..=11 => assert_eq!(state_of(&snapshot, "input.x"), DriftState::Resolved),
            _ => assert_eq!(state_of(&snapshot, "input.x"), DriftState::Stable),
        }
    }
    let snapshot = bench.tick().await;
    let told: Vec<String> = snapshot.overview.events.iter().map(|e| format!("{} {}", e.kind, e.text)).collect();
    assert_eq!(
        told,
        [
            "drift No longer drifted: input.x.",
            "drift Drifted: input.x.",
            "baseline Provisional reference from the first 1000 observations: 4 features."
        ]
    );
    let model = &snapshot.overview.models[0];
    let mean = model.confidence_mean.unwrap();
    assert!((mean - 0.75).abs() < 0.01, "{mean}");
    let shown = model.confidence.as_ref().unwrap();
    assert_eq!((shown.edges.len(), shown.reference.len(), shown.current.len()), (21, 20, 20));
    assert_eq!(
        model.classes.iter().map(|c| (c.label.as_str(), c.current.unwrap())).collect::<Vec<_>>(),
        [("a", 0.75), ("b", 0.25)]
    );
    assert!((model.traffic.bad_ratio.unwrap() - 0.01).abs() < 1e-3, "{:?}", model.traffic);
    assert_eq!(model.history.len(), 60);
    assert!((model.history[59].traffic.requests_per_second - 40.0).abs() < 1e-9, "{:?}", model.history[59]);
}

#[tokio::test]
async fn a_restart_after_every_window_changes_nothing() {
    let mut steady = Bench::build(raw()).await;
    let mut restarted = Bench::build(raw()).await;
    for (index, shift) in SCRIPT.iter().enumerate() {
        let (a, b) = (steady.step(index as i64, *shift).await, restarted.step(index as i64, *shift).await);
        assert_eq!(a.overview.models[0].features, b.overview.models[0].features, "window {index}");
        restarted.restart();
        let again = restarted.tick().await;
        assert_eq!(
            a.overview.models[0].features, again.overview.models[0].features,
            "after the restart in window {index}"
        );
        assert_eq!(a.distributions, again.distributions, "after the restart in window {index}");
    }
    let sql = "SELECT count(), uniqExact(feature, window_end) FROM verdicts";
    assert_eq!(steady.house.ask(sql).await, restarted.house.ask(sql).await);
    let events = "SELECT kind, text FROM events ORDER BY kind, text";
    assert_eq!(steady.house.ask(events).await, restarted.house.ask(events).await);
}

#[tokio::test]
async fn low_traffic_is_judged_over_several_windows() {
    fn verdict(snapshot: &Arc<Snapshot>) -> FeatureVerdict {
        snapshot.overview.models[0].features[0].clone()
    }
    let mut config = raw();
    config.min_window_n = 1_000;
    let mut bench = Bench::build(config).await;
    for index in 0..4 {
        bench.step(index, 0.0).await;
    }
    let few = verdict(&bench.step(4, 0.0).await);
    assert_eq!((few.n, few.state, few.needed), (800, DriftState::Insufficient, 1_000));
    let enough = verdict(&bench.step(5, 0.0).await);
    assert_eq!((enough.n, enough.state), (1_200, DriftState::Stable));
    assert_eq!((enough.window_end_ms - enough.window_start_ms) / WINDOW_MS, 3);
    // A pause ends nothing and invents nothing: empty windows are not judged.
    bench.now.store(T0 + 30 * WINDOW_MS, Ordering::SeqCst);
    heartbeat(&bench.house, T0 + 30 * WINDOW_MS).await;
    assert_eq!(verdict(&bench.tick().await), enough);
    let after = verdict(&bench.step(31, 0.0).await);
    assert_eq!((after.n, after.state), (400, DriftState::Insufficient));
}

#[tokio::test]
async fn windows_without_values_do_not_end_a_drift() {
    let mut bench = Bench::build(raw()).await;
    for (index, shift) in [0.0, 0.0, 0.0, 0.0, 0.0, 0.5, 0.0].iter().enumerate() {
        bench.step(index as i64, *shift).await;
    }
    // Requests that carry no features, as when the primary only fails: the windows before are not evidence once more.
    for index in 7..10 {
        requests(&bench.house, index).await;
        heartbeat(&bench.house, T0 + (index + 1) * WINDOW_MS + 1_500).await;
        bench.now.store(T0 + (index + 1) * WINDOW_MS + 2_000, Ordering::SeqCst);
        let snapshot = bench.tick().await;
        assert_eq!(state_of(&snapshot, "input.x"), DriftState::Drifted, "window {index}");
    }
    bench.step(10, 0.0).await;
    let snapshot = bench.step(11, 0.0).await;
    assert_eq!(state_of(&snapshot, "input.x"), DriftState::Resolved);
}

#[tokio::test]
async fn a_pause_without_traffic_skips_nothing() {
    let mut config = raw();
    config.max_backlog_windows = 5;
    let mut bench = Bench::build(config).await;
    for index in 0..5 {
        bench.step(index, 0.0).await;
    }
    bench.restart();
    bench.step(40, 0.0).await;
    let text = bench.registry.render();
    assert!(!text.contains("driftline_analyzer_skipped_windows_total{model=\"m\"}"), "{text}");
}

#[tokio::test]
async fn after_a_long_absence_old_windows_are_skipped_and_counted() {
    let mut config = raw();
    config.max_backlog_windows = 5;
    let mut bench = Bench::build(config).await;
    for index in 0..5 {
        bench.step(index, 0.0).await;
    }
    bench.restart();
    for index in 5..15 {
        window(&bench.house, index, 0.0).await;
    }
    let snapshot = bench.step(15, 0.0).await;
    assert_eq!(snapshot.overview.models[0].features[0].window_end_ms, T0 + 16 * WINDOW_MS);
    assert!(bench.registry.render().contains("driftline_analyzer_skipped_windows_total{model=\"m\"} 6"));
    assert_eq!(bench.house.ask("SELECT uniqExact(window_end) FROM verdicts").await, "7");
}

#[tokio::test]
async fn a_reference_file_is_taken_once_and_completed_by_traffic() {
    let mut file = tempfile::Builder::new().suffix(".csv").tempfile().unwrap();
    writeln!(file, "input.x").unwrap();
    for i in 0..2_000 {
        writeln!(file, "{}", (f64::from(i) + 0.5) / 2_000.0).unwrap();
    }
    let mut config = raw();
    config.baselines.insert("m".into(), RawBaseline { file: file.path().to_owned(), categories: vec![] });
    let mut bench = Bench::build(config).await;
    bench.now.store(T0 - 1_000, Ordering::SeqCst);
    bench.tick().await;
    let first = bench.step(0, 0.5).await;
    assert_eq!(states(&first), [("input.x".to_owned(), DriftState::Drifted)]);
    let chosen = first.overview.models[0].baseline.clone().unwrap();
    assert_eq!((chosen.provisional_features, chosen.completes.as_str()), (0, ""));
    assert!(bench.registry.render().contains("driftline_analyzer_unjudged_features{model=\"m\"} 3"));
    bench.restart();
    bench.step(1, 0.0).await;
    bench.step(2, 0.0).await;
    let whole = bench.step(3, 0.0).await;
    let names: Vec<String> = states(&whole).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["input.x", "input.y", "output.confidence", "output.label"]);
    let completed = whole.overview.models[0].baseline.clone().unwrap();
    assert_eq!((completed.provisional_features, completed.features, completed.observations), (3, 4, 2_000));
    assert_eq!(completed.completes, chosen.fingerprint, "what the user chose is still named");
    // Which is which is said: the first traffic stood among the features of the file without a word.
    let (again, added) = (bench.step(4, 0.0).await, "Its reference is not the one that was chosen, which lacks it");
    for one in &again.overview.models[0].features {
        assert_eq!(one.sentence.contains(added), one.feature != "input.x", "{}: {}", one.feature, one.sentence);
    }
    let told = again.overview.events.iter().find(|event| event.text.contains("that the chosen one lacks")).unwrap();
    assert!(told.text.ends_with("lacks, from traffic in which input.x drifted."), "{}", told.text);
    let (reader, settings) = (bench.house.store.read(), Config::try_from(bench.config.clone()).unwrap());
    let desk = Desk { reader: &reader, config: &settings, who: "test", now_ms: T0 };
    let listed = desk.list(Some("m")).await.unwrap();
    assert_eq!((listed.len(), &listed[0].info), (2, &completed), "the list says the same");
    assert_eq!(bench.house.ask("SELECT provisional FROM baselines WHERE feature = 'input.x'").await, "false\nfalse");
    bench.restart();
    bench.tick().await;
    assert_eq!(bench.house.ask("SELECT count() FROM baselines").await, "5", "the file is not taken again");
}

#[tokio::test]
async fn a_reference_file_that_cannot_be_read_stops_no_other_model() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("reference.csv");
    let rows: String = (0..2_000).map(|i| format!("{}\n", f64::from(i) / 2_000.0)).collect();
    std::fs::write(&path, format!("input.x\n{rows}")).unwrap();
    let mut config = raw();
    config.baselines.insert("other".into(), RawBaseline { file: path.clone(), categories: vec![] });
    let mut bench = Bench::build(config).await;
    std::fs::remove_file(&path).unwrap();
    for index in 0..4 {
        bench.step(index, 0.0).await;
    }
    let drifted = bench.step(4, 0.5).await;
    assert_eq!(state_of(&drifted, "input.x"), DriftState::Drifted);
    let failed = |count: u32| format!("driftline_analyzer_cycle_failures_total{{reason=\"baseline_file\"}} {count}");
    let text = bench.registry.render();
    assert!(text.contains(&failed(1)), "it is not tried again in every cycle: {text}");
    // it is there again, and taken without a restart
    std::fs::write(&path, format!("input.x\n{rows}")).unwrap();
    for index in 5..8 {
        bench.step(index, 0.0).await;
    }
    assert_eq!(bench.house.ask("SELECT model FROM baselines WHERE model = 'other'").await, "other");
    assert!(bench.registry.render().contains(&failed(1)));
}

#[tokio::test]
async fn figures_that_cannot_be_counted_stop_no_verdict() {
    let mut bench = Bench::build(raw()).await;
    for index in 0..4 {
        bench.step(index, 0.0).await;
    }
    bench.house.ask("RENAME TABLE comparisons TO away").await;
    let without = bench.step(4, 0.5).await;
    assert_eq!(state_of(&without, "input.x"), DriftState::Drifted);
    assert_eq!(without.counted_ms["m"], Some(T0 + 4 * WINDOW_MS + 2_000), "the last figures are shown");
    assert!((without.overview.models[0].traffic.requests_per_second - 400.0 * 4.0 / 60.0).abs() < 1.0, "{without:?}");
    let text = bench.registry.render();
    assert!(text.contains("driftline_analyzer_cycle_failures_total{reason=\"store_refused\"} 1"), "{text}");
    bench.house.ask("RENAME TABLE away TO comparisons").await;
    let mut after = bench.step(5, 0.0).await;
    for index in 6..100 {
        // what failed rests for twenty times as long as it took to fail
        if after.counted_ms["m"] == Some(after.overview.at_ms) {
            return;
        }
        after = bench.step(index, 0.0).await;
    }
    panic!("the figures are not counted again: {:?}", after.counted_ms);
}

#[tokio::test]
async fn sixty_four_features_are_judged_in_a_moment() {
    let mut config = raw();
    config.models.insert("m".into(), toml_overrides());
    let mut bench = Bench::build(config).await;
    for index in 0..4 {
        window(&bench.house, index, 0.0).await;
        let at = format!("fromUnixTimestamp64Milli({} + number * 25, 'UTC')", T0 + index * WINDOW_MS);
        bench
            .house
            .ask(&format!(
                "INSERT INTO features (id, item, segment, received_at, at, model, version, feature, value, missing) \
                 SELECT generateUUIDv4(), 0, generateUUIDv4(), {at}, {at}, 'm', '1', 'input.px_' || leftPad(toString(pixel), 2, '0'), \
                   floor((number * 37 + pixel * 11 + {index}) % {ROWS} * 17 / {ROWS}), false \
                 FROM numbers({ROWS}) ARRAY JOIN range(64) AS pixel"
            ))
            .await;
    }
    bench.now.store(T0 + 4 * WINDOW_MS + 2_000, Ordering::SeqCst);
    let began = std::time::Instant::now();
    let snapshot = bench.tick().await;
    let took = began.elapsed();
    assert_eq!(snapshot.overview.models[0].features.len(), 68);
    assert!(states(&snapshot).iter().all(|(_, state)| *state == DriftState::Stable));
    assert!(took < Duration::from_secs(20), "{took:?}: made a baseline of 68 features and judged a window");
}

fn toml_overrides() -> analyzer::config::RawOverrides {
    analyzer::config::RawOverrides {
        delta_ignore: Some(0.1),
        min_detectable: Some(0.3),
        ..analyzer::config::RawOverrides::default()
    }
}

#[tokio::test]
async fn a_promoted_reference_starts_detectors_and_states_anew() {
    let mut bench = Bench::build(raw()).await;
    for index in 0..7 {
        bench.step(index, if index >= 5 { 0.5 } else { 0.0 }).await;
    }
    let before = bench.tick().await;
    assert_eq!(state_of(&before, "input.x"), DriftState::Drifted);
    // what was drift is normal now
    let (reader, config) = (bench.house.store.read(), Config::try_from(bench.config.clone()).unwrap());
    let now_ms = bench.now.load(Ordering::SeqCst);
    let asked = FreezeRequest { newest: Some(800), promote: true, ..FreezeRequest::default() };
    let desk = Desk { reader: &reader, config: &config, who: "test", now_ms };
    let promoted = desk.freeze("m", &asked).await.unwrap();
    let after = bench.step(7, 0.5).await;
    let verdict = after.overview.models[0].features.iter().find(|v| v.feature == "input.x").unwrap().clone();
    assert_eq!(verdict.baseline, promoted.info.fingerprint);
    assert_eq!(verdict.state, DriftState::Stable, "neither drifted nor resolved: {verdict:?}");
    // so the first window took up no detectors, and the next takes up its own
    let basis = "SELECT JSONExtract(evidence, 'basis', 'detectors_ms', 'Nullable(Int64)') FROM verdicts FINAL \
                 WHERE feature = 'input.x' ORDER BY window_end DESC LIMIT 1";
    assert_eq!(bench.house.ask(basis).await, "\\N");
    bench.restart();
    let next = bench.step(8, 0.5).await;
    assert_eq!(state_of(&next, "input.x"), DriftState::Stable);
    assert_eq!(bench.house.ask(basis).await, (T0 + 8 * WINDOW_MS).to_string());
    let back = bench.step(9, 0.0).await;
    assert_eq!(state_of(&back, "input.x"), DriftState::Drifted, "what was before is a drift now");
}

/// The value of a metric's series in the text of `/metrics`.
fn figure(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
}

/// The last state stood for weeks: the cycle succeeded, and nothing said that one model in it was not judged.
#[tokio::test]
async fn a_model_that_cannot_be_judged_stands_still_by_its_own_account() {
    let mut bench = Bench::build(raw()).await;
    let until = |bench: &Bench, model: &str| {
        let series = format!("driftline_analyzer_judged_until_timestamp_seconds{{model=\"{model}\"}}");
        figure(&bench.registry.render(), &series)
    };
    // what a source's heartbeat promised, less the lateness
    let promised = |index: i64| Some((T0 + (index + 1) * WINDOW_MS + 500) as f64 / 1e3);
    for index in 0..5 {
        bench.step(index, 0.0).await;
    }
    assert_eq!(until(&bench, "m"), promised(4));
    bench
        .house
        .ask("ALTER TABLE baselines UPDATE bins = concat('x', bins) WHERE model = 'm' SETTINGS mutations_sync = 1")
        .await;
    bench.restart();
    for index in 5..8 {
        window(&bench.house, index, 0.0).await;
        for table in ["observations", "features"] {
            // another model, asked as often, which has no reference yet
            let at = format!("fromUnixTimestamp64Milli({}, 'UTC')", T0 + index * WINDOW_MS);
            let copy = format!(
                "INSERT INTO {table} SELECT * REPLACE ('n' AS model) FROM {table} AS o WHERE o.model = 'm' AND o.at >= {at}"
            );
            bench.house.ask(&copy).await;
        }
        bench.after(index).await;
        let last_verdict = Some((T0 + 5 * WINDOW_MS) as f64 / 1e3);
        assert_eq!((until(&bench, "m"), until(&bench, "n")), (last_verdict, promised(index)), "window {index}");
    }
    let text = bench.registry.render();
    assert_eq!(figure(&text, "driftline_analyzer_watermark_lag_allowed_seconds"), Some(31.0));
    assert!(
        figure(&text, "driftline_analyzer_cycle_failures_total{reason=\"baseline_damaged\"}") > Some(0.0),
        "{text}"
    );
    bench
        .house
        .ask("ALTER TABLE baselines UPDATE bins = substring(bins, 2) WHERE model = 'm' SETTINGS mutations_sync = 1")
        .await;
    for index in 8..100 {
        bench.step(index, 0.0).await;
        if until(&bench, "m") == promised(index) {
            return;
        }
    }
    panic!("it is not judged again: {:?}", until(&bench, "m"));
}

/// A model whose counts time out held up all others by a minute in every cycle.
#[tokio::test]
async fn what_could_not_be_judged_rests_before_it_is_tried_again() {
    let mut bench = Bench::build(raw()).await;
    for index in 0..4 {
        bench.step(index, 0.0).await;
    }
    bench.house.ask("RENAME TABLE bin_counts TO away").await;
    bench.step(4, 0.5).await;
    let failed = |bench: &Bench| {
        figure(&bench.registry.render(), "driftline_analyzer_cycle_failures_total{reason=\"store_refused\"}")
    };
    assert_eq!(failed(&bench), Some(1.0));
    // the clock stands: what failed has taken some time, and rests for longer than none
    bench.tick().await;
    assert_eq!(failed(&bench), Some(1.0), "it is tried in every cycle");
    bench.house.ask("RENAME TABLE away TO bin_counts").await;
    for index in 5..100 {
        let snapshot = bench.step(index, 0.5).await;
        let verdict = &snapshot.overview.models[0].features[0];
        if verdict.window_end_ms == T0 + (index + 1) * WINDOW_MS {
            return;
        }
    }
    panic!("it is not judged again");
}

/// Each was there twice until the next window closed.
#[tokio::test]
async fn a_start_that_fails_in_between_shows_each_verdict_once() {
    let mut bench = Bench::build(raw()).await;
    for index in 0..4 {
        bench.step(index, 0.0).await;
    }
    let before = bench.tick().await.overview.models[0].features.clone();
    bench.restart();
    bench.house.ask("RENAME TABLE segment_verdicts TO away").await;
    bench.tick().await;
    bench.house.ask("RENAME TABLE away TO segment_verdicts").await;
    for _ in 0..100 {
        // what failed rests; no window closes in this time, since nobody asks
        bench.now.fetch_add(WINDOW_MS, Ordering::SeqCst);
        let snapshot = bench.tick().await;
        let shown = &snapshot.overview.models[0].features;
        if !shown.is_empty() {
            assert_eq!(*shown, before);
            return;
        }
    }
    panic!("nothing is shown again");
}

/// A day of all models' rows was grouped every two seconds.
#[tokio::test]
async fn models_of_the_day_are_looked_for_now_and_then_and_those_asked_just_now_at_once() {
    let mut bench = Bench::build(raw()).await;
    bench.step(0, 0.0).await;
    let copied = async |bench: &Bench, model: &str, before_ms: i64| {
        let at = format!("fromUnixTimestamp64Milli({}, 'UTC')", bench.now.load(Ordering::SeqCst) - before_ms);
        let rows =
            format!("SELECT * REPLACE ('{model}' AS model, {at} AS at) FROM observations AS o WHERE o.model = 'm'");
        bench.house.ask(&format!("INSERT INTO observations {rows}")).await;
    };
    let models = |snapshot: &Snapshot| -> Vec<String> {
        snapshot.overview.models.iter().map(|model| model.model.clone()).collect()
    };
    copied(&bench, "hours-ago", 7_200_000).await;
    copied(&bench, "just-now", 1_000).await;
    // the clock stands, and what was counted rests
    assert_eq!(models(&*bench.tick().await), ["just-now", "m"]);
    for index in 1..100 {
        let found = models(&*bench.step(index, 0.0).await);
        assert!(found.contains(&"just-now".to_owned()), "{found:?}");
        if found == ["hours-ago", "just-now", "m"] {
            return;
        }
    }
    panic!("it is not seen at all");
}
