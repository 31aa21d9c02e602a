//! The live cycle over databases that hold more and more: a window is judged from its own rows and from what was counted
//! before, so that what else is stored should not matter.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use analyzer::config::{Config, RawBaseline, RawConfig};
use analyzer::cycle::Cycle;
use analyzer::publish::Metrics;
use anyhow::{Context as _, ensure};
use bench::command::Options;
use bench::house::House;
use bench::median;
use bench::table::Table;
use host::metrics::Registry;

const SIZES: [u64; 3] = [100_000, 10_000_000, 100_000_000];
const FEATURES: u64 = 10;
const WINDOW_MS: i64 = 300_000;
/// What is stored is spread over the time that features are kept, nearly.
const HISTORY_MS: i64 = 28 * 86_400_000;
/// Requests of a window that is judged.
const REQUESTS: u64 = 2_000;
const WINDOWS: i64 = 21;
/// Windows until everything is remembered that is.
const WARM: i64 = 5;

/// A database with a history, and the analyzer on it.
struct Stored {
    house: House,
    cycle: Cycle,
    now: Arc<AtomicI64>,
    from_ms: i64,
    took: Vec<f64>,
}

/// All three side by side, turn about, so that the machine's moods hit each.
pub async fn growth(options: &Options, table: &mut Table) -> anyhow::Result<()> {
    let mut all = Vec::new();
    for rows in SIZES {
        all.push(Stored::build(options, rows).await?);
    }
    for window in 0..WINDOWS {
        for stored in &mut all {
            stored.judge(window).await?;
        }
    }
    let took: Vec<f64> = all.into_iter().map(|stored| median(stored.took)).collect();
    let [few, more, most] = took.as_slice() else { anyhow::bail!("three sizes were measured") };
    let windows = WINDOWS - WARM;
    let note = |at: f64| {
        format!(
            "{:.1} over {:.1} ms, medians of {windows} windows of {REQUESTS} requests with {FEATURES} features",
            at * 1e3,
            few * 1e3
        )
    };
    table.seen("cycle-7", more / few, note(*more));
    table.seen("cycle-8", most / few, note(*most));
    Ok(())
}

impl Stored {
    #[allow(clippy::print_stderr)] // filling takes minutes
    async fn build(options: &Options, rows: u64) -> anyhow::Result<Self> {
        let house = House::build(&options.driftline, "").await?;
        let now_ms = i64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_millis())?;
        let from_ms = now_ms / WINDOW_MS * WINDOW_MS;
        let began = Instant::now();
        let requests = rows / FEATURES;
        let start_ms = from_ms - HISTORY_MS;
        fill(&house, &Span { start_ms, step_us: HISTORY_MS * 1_000 / i64::try_from(requests)?, requests }).await?;
        settled(&house).await?;
        let stored = house.ask("SELECT count() FROM features").await?;
        ensure!(stored == rows.to_string(), "{stored} rows are stored of {rows}");
        eprintln!("{rows} rows of features are stored after {:.0} s", began.elapsed().as_secs_f64());
        let config = RawConfig {
            window: Duration::from_millis(WINDOW_MS.unsigned_abs()),
            max_backlog_windows: 1,
            baselines: [("m".to_owned(), baseline(&house)?)].into(),
            ..RawConfig::default()
        };
        let config = Config::try_from(config).map_err(|faults| anyhow::anyhow!("{faults}"))?;
        let now = Arc::new(AtomicI64::new(from_ms));
        let clock = {
            let now = Arc::clone(&now);
            Arc::new(move || now.load(Ordering::SeqCst))
        };
        let metrics = Metrics::new(&Registry::new());
        let cycle = Cycle::new(house.store()?.read(), Arc::new(config), None, clock, metrics);
        Ok(Self { house, cycle, now, from_ms, took: vec![] })
    }

    /// Puts a window of traffic in and has it judged.
    async fn judge(&mut self, window: i64) -> anyhow::Result<()> {
        let start_ms = self.from_ms + window * WINDOW_MS;
        let span = Span { start_ms, step_us: WINDOW_MS * 1_000 / i64::try_from(REQUESTS)?, requests: REQUESTS };
        fill(&self.house, &span).await?;
        let end_ms = start_ms + WINDOW_MS;
        heartbeat(&self.house, end_ms + 15_000).await?;
        self.now.store(end_ms + 16_000, Ordering::SeqCst);
        let began = Instant::now();
        self.cycle.tick().await?;
        let took = began.elapsed().as_secs_f64();
        let shared = self.cycle.shared();
        let snapshot = shared.borrow().clone().context("a cycle leaves a snapshot")?;
        let model = snapshot.overview.models.first().context("the model was seen")?;
        let judged = model.features.iter().filter(|feature| feature.window_end_ms == end_ms).count() as u64;
        ensure!(judged >= FEATURES, "{judged} features were judged of {FEATURES}");
        if window >= WARM {
            self.took.push(took);
        }
        Ok(())
    }
}

/// Requests at even distances.
struct Span {
    start_ms: i64,
    step_us: i64,
    requests: u64,
}

/// Requests with their features, as the collector stores them.
async fn fill(house: &House, span: &Span) -> anyhow::Result<()> {
    let Span { start_ms, step_us, requests } = span;
    let id = format!("reinterpretAsUUID(toUInt128(number) + toUInt128({start_ms}) * 1000000000)");
    let at = format!("fromUnixTimestamp64Milli({start_ms} + intDiv(number * {step_us}, 1000), 'UTC')");
    let common = format!("{id}, toUUID('00000000-0000-0000-0000-000000000001')");
    house
        .ask(&format!(
            "INSERT INTO observations (id, segment, received_at, at, source, model, version, route, outcome, code, total_us, \
             items) SELECT {common}, {at}, {at}, 's', 'm', '1', 'infer', 'ok', 200, 1000 + number % 1000, 1 \
             FROM numbers({requests})"
        ))
        .await?;
    for feature in 0..FEATURES {
        house
            .ask(&format!(
                "INSERT INTO features (id, item, segment, received_at, at, model, version, feature, value, missing) \
                 SELECT {id}, 0, toUUID('00000000-0000-0000-0000-000000000001'), {at}, {at}, 'm', '1', 'input.x{feature}', \
                 sipHash64(number, {feature}, {start_ms}) / exp2(64), false FROM numbers({requests})"
            ))
            .await?;
    }
    Ok(())
}

async fn heartbeat(house: &House, at_ms: i64) -> anyhow::Result<()> {
    let at = format!("fromUnixTimestamp64Milli({at_ms}, 'UTC')");
    let row = format!("SELECT 's', generateUUIDv4(), {at}, 1, 1, {at}, 1, 1, 0, 0");
    let columns = "source, segment, received_at, epoch, seq, sent_at, observed, delivered, dropped, in_flight";
    house.ask(&format!("INSERT INTO heartbeats ({columns}) {row}")).await.map(drop)
}

/// Waits until the database has merged what it will merge.
async fn settled(house: &House) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(300);
    while house.ask("SELECT count() FROM system.merges").await? != "0" && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}

/// A reference of 10,000 rows of the same law.
fn baseline(house: &House) -> anyhow::Result<RawBaseline> {
    let header: Vec<String> = (0..FEATURES).map(|feature| format!("input.x{feature}")).collect();
    let mut text = header.join(",");
    for row in 0..10_000u64 {
        let value = |feature: u64| format!("{}", ((row * 7_919 + feature * 101) % 10_000) as f64 / 1e4 + 5e-5);
        text += "\n";
        text += &(0..FEATURES).map(value).collect::<Vec<_>>().join(",");
    }
    let file = house.path("reference.csv");
    std::fs::write(&file, text + "\n")?;
    Ok(RawBaseline { file, categories: vec![] })
}
