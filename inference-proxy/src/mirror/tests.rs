//! The mirror against a real collector's socket that fails, hangs, refuses and answers at random.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use contract::wire::{Ack, AckStatus, Batch, Content, Outcome, Payload};
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

use super::*;

/// A record that waits for its shadows a while and may be huge.
struct Plain {
    observation: Observation,
    waits_ms: u64,
    bytes: usize,
    /// What its shadows' answers add.
    grows: usize,
}

impl Record for Plain {
    fn held_bytes(&self) -> usize {
        self.bytes
    }
    fn has_content(&self) -> bool {
        self.observation.payload != Payload::None
    }
    fn waits(&self) -> bool {
        self.waits_ms > 0
    }
    async fn settle(&mut self) {
        tokio::time::sleep(Duration::from_millis(self.waits_ms)).await;
        self.bytes += self.grows;
    }
    fn observation(self, _: usize) -> Result<Observation, TooLarge> {
        assert_ne!(self.observation.model, "panics", "this one is meant to panic");
        if self.observation.model == "never ends" {
            loop {
                std::thread::park();
            }
        }
        Ok(self.observation)
    }
}

fn plain(n: u64) -> Plain {
    let line = r#"{"id":"01890000-0000-7000-8000-000000000001","at_ms":1,"model":"m","version":"1","outcome":"ok"}"#;
    let mut observation: Observation = serde_json::from_str(line).unwrap();
    observation.id = Uuid::from_u128(n.into());
    observation.outcome = Outcome::ALL[usize::try_from(n % 6).unwrap()];
    observation.payload = match n % 4 {
        0 => Payload::None,
        1 => Payload::SampledOut,
        2 => Payload::Withheld("too_large".into()),
        _ => Payload::Kept(Content {
            input: serde_json::json!({"texts": ["write to jane.doe@example.com"]}),
            output: serde_json::Value::Null,
            inclusion_probability: 1.0,
        }),
    };
    Plain { observation, waits_ms: if n.is_multiple_of(3) { n % 7 } else { 0 }, bytes: 500, grows: 0 }
}

/// What the collector does with one post.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mood {
    Store,
    StoreAndHang,
    StoreAndDie,
    Fail(u16),
    Refuse,
    TooLarge,
    Gibberish,
}

/// A collector that remembers what it stored under which number.
#[derive(Default)]
struct Collector {
    batches: Mutex<BTreeMap<(u64, u64), Vec<Uuid>>>,
    refused: Mutex<Vec<Uuid>>,
    bodies: Mutex<Vec<Batch>>,
    posts: AtomicU64,
    moody: bool,
    poison: Option<Uuid>,
    away: std::sync::atomic::AtomicBool,
    /// Posts that are still to be refused for their key, by turns with 401 and 403.
    keyless: AtomicU64,
    /// Refuses with this status, once, what it has stored without saying so.
    forgets: Option<u16>,
    /// Holds the post with this observation back until it is released.
    hangs: Option<Uuid>,
    released: tokio::sync::Notify,
    /// Numbers under which something was posted.
    posted: Mutex<BTreeSet<u64>>,
}

impl Collector {
    fn mood(&self, post: u64, batch: &Batch, stored_before: bool) -> Mood {
        if batch.observations.is_empty() && self.posted.lock().unwrap().contains(&batch.seq) {
            return Mood::Store;
        }
        if let Some(status) = self.forgets.filter(|_| !batch.observations.is_empty()) {
            return if stored_before { Mood::Fail(status) } else { Mood::StoreAndDie };
        }
        if self.away.load(Ordering::Relaxed) {
            return Mood::Fail(503);
        }
        if let Ok(left) = self.keyless.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)) {
            return Mood::Fail(if left % 2 == 0 { 401 } else { 403 });
        }
        if self.poison.is_some_and(|poison| batch.observations.iter().any(|o| o.id == poison)) {
            return Mood::Fail(422);
        }
        if !self.moody {
            return Mood::Store;
        }
        match xxh3_64(&post.to_le_bytes()) % 12 {
            0 => Mood::StoreAndHang,
            1 => Mood::StoreAndDie,
            2 => Mood::Fail(500),
            3 => Mood::Fail(503),
            4 => Mood::Fail(429),
            5 => Mood::Fail(408),
            6 => Mood::Gibberish,
            // a collector that has stored a batch never refuses it afterwards
            7 if !stored_before && !batch.observations.is_empty() => Mood::Refuse,
            8 if !stored_before && batch.observations.len() > 3 => Mood::TooLarge,
            _ => Mood::Store,
        }
    }

    fn store(&self, batch: &Batch) -> Ack {
        let mut batches = self.batches.lock().unwrap();
        let ids: Vec<_> = batch.observations.iter().map(|o| o.id).collect();
        let stored = ids.len() as u64;
        if let Some(before) = batches.get(&(batch.epoch, batch.seq)) {
            let asking = ids.is_empty();
            assert!(asking || *before == ids, "a repeat under number {} holds something else", batch.seq);
            return Ack { status: AckStatus::Repeated, stored };
        }
        batches.insert((batch.epoch, batch.seq), ids);
        Ack { status: AckStatus::Stored, stored }
    }

    fn ids(&self) -> Vec<Uuid> {
        self.batches.lock().unwrap().values().flatten().copied().collect()
    }
}

async fn observations(State(collector): State<Arc<Collector>>, body: Bytes) -> Response {
    let plain = zstd::decode_all(body.as_ref()).unwrap();
    let batch: Batch = rmp_serde::from_slice(&plain).unwrap();
    assert_eq!(batch.ledger.observed, batch.ledger.delivered + batch.ledger.dropped + batch.ledger.in_flight);
    collector.bodies.lock().unwrap().push(batch.clone());
    let stored_before = collector.batches.lock().unwrap().contains_key(&(batch.epoch, batch.seq));
    let mood = collector.mood(collector.posts.fetch_add(1, Ordering::Relaxed), &batch, stored_before);
    if collector.hangs.is_some_and(|hangs| batch.observations.iter().any(|o| o.id == hangs)) {
        collector.released.notified().await;
    }
    if !batch.observations.is_empty() {
        collector.posted.lock().unwrap().insert(batch.seq);
    }
    match mood {
        Mood::Store => axum::Json(collector.store(&batch)).into_response(),
        Mood::StoreAndHang => {
            collector.store(&batch);
            std::future::pending().await
        }
        Mood::StoreAndDie => {
            collector.store(&batch);
            panic!("the collector is meant to die here")
        }
        Mood::Fail(status) => (StatusCode::from_u16(status).unwrap(), [("retry-after", "0")]).into_response(),
        Mood::Refuse => {
            collector.refused.lock().unwrap().extend(batch.observations.iter().map(|o| o.id));
            StatusCode::GONE.into_response()
        }
        Mood::TooLarge => StatusCode::PAYLOAD_TOO_LARGE.into_response(),
        Mood::Gibberish => {
            collector.store(&batch);
            "<html>".into_response()
        }
    }
}

async fn serve(collector: Arc<Collector>) -> SocketAddr {
    let router = Router::new().route(contract::wire::OBSERVATIONS_PATH, post(observations)).with_state(collector);
    let listener = host::serve::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(host::serve::run(listener, router, CancellationToken::new(), Duration::ZERO));
    address
}

fn config(address: SocketAddr) -> Config {
    Config {
        collector_url: format!("http://{address}"),
        collector: host::client::ClientSettings::default(),
        source: "here".into(),
        max_bytes: 1 << 20,
        max_observation_bytes: 4_096,
        batch_max_observations: 50,
        batch_max_bytes: 1 << 20,
        batch_max_delay: Duration::from_millis(5),
        heartbeat: Duration::from_millis(50),
        masking_threads: 3,
        max_posts: 4,
        spill: None,
        post_timeout: Duration::from_millis(150),
        retry_min: Duration::from_millis(1),
        retry_max: Duration::from_millis(10),
    }
}

fn begin(config: Config, registry: &Registry) -> (Mirror<Plain>, Workers) {
    let masker = Masker::new(&masking::RawConfig::default()).unwrap();
    start(config, masker, None, registry, 7).unwrap()
}

const PATIENCE: Duration = Duration::from_secs(30);

/// Reads a scrape: family and labels to value.
fn scrape(registry: &Registry) -> HashMap<String, u64> {
    let text = registry.render();
    let lines = text.lines().filter(|l| l.starts_with("driftline_mirror_"));
    lines.filter_map(|l| l.rsplit_once(' ')).map(|(k, v)| (k.to_owned(), v.parse().unwrap())).collect()
}

fn sum(scrape: &HashMap<String, u64>, family: &str) -> u64 {
    scrape.iter().filter(|(k, _)| k.split('{').next() == Some(family)).map(|(_, v)| v).sum()
}

#[track_caller]
fn assert_balance(registry: &Registry) {
    let scrape = scrape(registry);
    let family = |name: &str| sum(&scrape, name);
    assert_eq!(
        family("driftline_mirror_observed_observations_total"),
        family("driftline_mirror_delivered_observations_total")
            + family("driftline_mirror_dropped_observations_total")
            + family("driftline_mirror_in_flight_observations"),
        "{scrape:?}"
    );
    assert_eq!(
        family("driftline_mirror_eligible_payloads_total"),
        family("driftline_mirror_payloads_total"),
        "{scrape:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_ledger_balances_at_every_moment_under_a_moody_collector() {
    const OFFERS: u64 = 6_000;
    let collector = Arc::new(Collector { moody: true, ..Collector::default() });
    let registry = Registry::new();
    let config = Config { max_bytes: 200_000, ..config(serve(Arc::clone(&collector)).await) };
    let (mirror, workers) = begin(config, &registry);
    let offering: Vec<_> = (0..4_u64)
        .map(|thread| {
            let mirror = mirror.clone();
            tokio::spawn(async move {
                for n in (thread..OFFERS).step_by(4) {
                    let mut record = plain(n);
                    match n % 500 {
                        13 => record.bytes = 5_000,
                        14 => record.observation.model = "panics".into(),
                        _ => {}
                    }
                    mirror.offer(record);
                    if n % 16 < 4 {
                        tokio::time::sleep(Duration::from_millis(2)).await;
                    }
                }
            })
        })
        .collect();
    while !offering.iter().all(tokio::task::JoinHandle::is_finished) {
        mirror.publish();
        assert_balance(&registry);
        assert!(mirror.counts().balances());
        assert!(mirror.counts().held_bytes <= 200_000);
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    mirror.drain(workers, PATIENCE).await;
    assert_balance(&registry);

    let counts = mirror.counts();
    assert_eq!((counts.observed, counts.in_flight, counts.held_bytes), (OFFERS, [0; 7], 0));
    let mut ids = collector.ids();
    assert_eq!(counts.delivered, ids.len() as u64, "what was counted as delivered is what the collector stored");
    ids.sort();
    ids.dedup();
    assert_eq!(counts.delivered, ids.len() as u64, "nothing was stored twice");
    let refused = collector.refused.lock().unwrap().clone();
    assert_eq!(counts.dropped[DropReason::Refused as usize], refused.len() as u64);
    assert!(!refused.iter().any(|id| ids.contains(id)), "what was refused was not stored");
    assert_eq!(counts.dropped[DropReason::Oversize as usize], 12);
    let lost_to_masking = counts.dropped[DropReason::MaskingFailed as usize];
    assert!(lost_to_masking > 0 && lost_to_masking <= 12, "{lost_to_masking}");
    assert_eq!(counts.dropped[DropReason::Shutdown as usize], 0);
    assert_eq!(counts.dropped[DropReason::SinkDead as usize], 0);
    let expected = ids.iter().filter(|id| id.as_u128() % 4 == 3).count() as u64;
    assert_eq!(counts.stored, expected, "stored payloads are those of delivered observations");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_run_on_and_the_last_word_has_nothing_in_flight() {
    let collector = Arc::new(Collector::default());
    let registry = Registry::new();
    let (mirror, workers) = begin(config(serve(Arc::clone(&collector)).await), &registry);
    (0..120).for_each(|n| mirror.offer(plain(n)));
    tokio::time::sleep(Duration::from_millis(200)).await;
    mirror.drain(workers, PATIENCE).await;
    let seqs: Vec<u64> = collector.batches.lock().unwrap().keys().map(|(_, seq)| *seq).collect();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
    assert_eq!(collector.ids().len(), 120);
    let bodies = collector.bodies.lock().unwrap();
    assert!(bodies.iter().filter(|b| b.observations.is_empty()).count() >= 2, "an idle mirror sends heartbeats");
    let last = bodies.last().unwrap();
    assert_eq!((last.ledger.delivered, last.ledger.in_flight, last.epoch), (120, 0, 7));
    assert!(bodies.iter().all(|b| b.observations.len() <= 50));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_refused_for_their_key_are_posted_again_once_it_is_mended() {
    let collector = Arc::new(Collector { keyless: 40.into(), ..Collector::default() });
    let registry = Registry::new();
    let (mirror, workers) = begin(config(serve(Arc::clone(&collector)).await), &registry);
    (0..120).for_each(|n| mirror.offer(plain(n)));
    mirror.drain(workers, PATIENCE).await;
    assert_balance(&registry);
    assert_eq!(collector.keyless.load(Ordering::Relaxed), 0, "the key was refused for a while");
    assert_eq!((mirror.counts().delivered, collector.ids().len()), (120, 120), "nothing is dropped for a key");
    let seqs: Vec<u64> = collector.batches.lock().unwrap().keys().map(|(_, seq)| *seq).collect();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>(), "and each batch keeps its number");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_leaves_is_masked_and_counted_by_kind() {
    let collector = Arc::new(Collector::default());
    let registry = Registry::new();
    let (mirror, workers) = begin(config(serve(Arc::clone(&collector)).await), &registry);
    mirror.offer(plain(7));
    mirror.drain(workers, PATIENCE).await;
    let sent = serde_json::to_string(&*collector.bodies.lock().unwrap()).unwrap();
    assert!(sent.contains("write to") && !sent.contains("jane.doe"), "{sent}");
    assert_eq!(scrape(&registry)["driftline_mirror_masked_entities_total{entity=\"email\"}"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_collector_away_the_bound_holds_and_what_waits_is_delivered_later() {
    let collector = Arc::new(Collector::default());
    collector.away.store(true, Ordering::Relaxed);
    let registry = Registry::new();
    let config = Config { max_bytes: 50_000, ..config(serve(Arc::clone(&collector)).await) };
    let (mirror, workers) = begin(config, &registry);
    for n in 0..1_000 {
        let before = std::time::Instant::now();
        mirror.offer(plain(n));
        assert!(before.elapsed() < Duration::from_millis(500), "an offer must not wait for the collector");
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let counts = mirror.counts();
    assert!(counts.balances() && counts.delivered == 0 && counts.held_bytes <= 50_000, "{counts:?}");
    assert!(counts.dropped[DropReason::Full as usize] > 0, "{counts:?}");
    collector.away.store(false, Ordering::Relaxed);
    mirror.drain(workers, PATIENCE).await;
    let counts = mirror.counts();
    assert_eq!(counts.delivered + counts.dropped[DropReason::Full as usize], 1_000);
    assert_eq!(counts.delivered, collector.ids().len() as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_end_of_the_drain_limit_the_rest_is_counted() {
    let collector = Arc::new(Collector::default());
    collector.away.store(true, Ordering::Relaxed);
    let registry = Registry::new();
    let (mirror, workers) = begin(config(serve(Arc::clone(&collector)).await), &registry);
    for n in 0..200 {
        mirror.offer(plain(n));
    }
    let mut slow = plain(3);
    slow.waits_ms = 60_000;
    mirror.offer(slow);
    let before = std::time::Instant::now();
    mirror.drain(workers, Duration::from_millis(300)).await;
    assert!(before.elapsed() < Duration::from_secs(5), "the limit is a limit");
    mirror.offer(plain(1));
    let counts = mirror.counts();
    assert_eq!((counts.observed, counts.in_flight, counts.held_bytes), (202, [0; 7], 0));
    assert_eq!(counts.dropped[DropReason::Shutdown as usize], 202, "{counts:?}");
    assert!(counts.balances());
}

/// The account then says that one is still being masked: it was neither delivered nor given up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_is_never_done_holds_up_no_stop() {
    let collector = Arc::new(Collector::default());
    let config = Config { masking_threads: 2, ..config(serve(Arc::clone(&collector)).await) };
    let (mirror, workers) = begin(config, &Registry::new());
    let mut endless = plain(1);
    endless.observation.model = "never ends".into();
    mirror.offer(endless);
    let masking = async {
        while mirror.counts().in_flight[Stage::Masking as usize] == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, masking).await.unwrap();
    (2..20).for_each(|n| mirror.offer(plain(n)));
    tokio::time::timeout(PATIENCE, mirror.drain(workers, Duration::from_millis(300))).await.unwrap();
    let counts = mirror.counts();
    assert!(counts.balances(), "{counts:?}");
    assert_eq!(counts.wire().in_flight, 1, "{counts:?}");
    assert_eq!(counts.delivered, collector.ids().len() as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_listens_and_nothing_breaks() {
    let registry = Registry::new();
    let (mirror, workers) = begin(config("127.0.0.1:9".parse().unwrap()), &registry);
    (0..10).for_each(|n| mirror.offer(plain(n)));
    mirror.drain(workers, Duration::from_millis(200)).await;
    let counts = mirror.counts();
    assert!(counts.balances() && counts.delivered == 0 && counts.in_flight == [0; 7], "{counts:?}");
}

/// Shadows' answers come when a record has long been let in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_while_it_waited_is_held_too() {
    let (registry, collector) = (Registry::new(), Arc::<Collector>::default());
    let (mirror, workers) = begin(config(serve(collector).await), &registry);
    for grows in [1_000, 2 << 20] {
        mirror.offer(Plain { waits_ms: 1, grows, ..plain(3) });
    }
    mirror.drain(workers, PATIENCE).await;
    let counts = mirror.counts();
    assert!(counts.balances() && counts.held_bytes == 0, "{counts:?}");
    assert_eq!((counts.delivered, counts.dropped[DropReason::Full as usize]), (1, 1));
}

#[test]
fn work_gathers_for_a_moment_however_long_a_batch_may_wait() {
    let gathers = |delay_ms| {
        let batch_max_delay = Duration::from_millis(delay_ms);
        Config { batch_max_delay, ..config("127.0.0.1:9".parse().unwrap()) }.gather().as_millis()
    };
    assert_eq!([80, 200, 30_000].map(gathers), [10, 25, 25]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_asks_for_no_pause_is_given_one() {
    let collector = Arc::new(Collector::default());
    collector.away.store(true, Ordering::Relaxed);
    let wait = Duration::from_millis(50);
    let config =
        Config { retry_min: wait, retry_max: wait, heartbeat: PATIENCE, ..config(serve(Arc::clone(&collector)).await) };
    let (mirror, workers) = begin(config, &Registry::new());
    mirror.offer(plain(1));
    tokio::time::sleep(Duration::from_millis(500)).await;
    let posts = collector.posts.load(Ordering::Relaxed);
    assert!((2..=11).contains(&posts), "{posts} posts in 500 ms");
    collector.away.store(false, Ordering::Relaxed);
    mirror.drain(workers, PATIENCE).await;
    assert_eq!(mirror.counts().delivered, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_observation_that_the_collector_will_not_have_takes_no_other_with_it() {
    let poison = Uuid::from_u128(37);
    let collector = Arc::new(Collector { poison: Some(poison), ..Collector::default() });
    let (mirror, workers) = begin(config(serve(Arc::clone(&collector)).await), &Registry::new());
    (0..100).for_each(|n| mirror.offer(plain(n)));
    mirror.drain(workers, PATIENCE).await;
    let (counts, mut ids) = (mirror.counts(), collector.ids());
    assert_eq!((counts.delivered, counts.dropped[DropReason::Refused as usize]), (99, 1), "{counts:?}");
    ids.sort();
    ids.dedup();
    assert!(ids.len() == 99 && !ids.contains(&poison));
    let seqs: Vec<u64> = collector.batches.lock().unwrap().keys().map(|(_, seq)| *seq).collect();
    let last = seqs.last().copied().unwrap();
    assert_eq!(seqs.len() as u64, last - 1, "only the number of what was lost is missing: {seqs:?}");
}

fn spilling(address: SocketAddr, dir: &std::path::Path, max_bytes: u64) -> Config {
    let spill = Some(spill::Config { dir: dir.join("spill"), max_bytes });
    Config { spill, max_bytes: 20_000, heartbeat: PATIENCE, ..config(address) }
}

/// Offers at the pace of the masking threads, so that the bound in memory is not what is tested.
async fn offer_all(mirror: &Mirror<Plain>, numbers: std::ops::Range<u64>) {
    for n in numbers {
        mirror.offer(plain(n));
        while mirror.counts().held_bytes > 10_000 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_disk_an_outage_larger_than_memory_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let collector = Arc::new(Collector::default());
    collector.away.store(true, Ordering::Relaxed);
    let registry = Registry::new();
    let (mirror, workers) = begin(spilling(serve(Arc::clone(&collector)).await, folder.path(), 1 << 30), &registry);
    tokio::time::timeout(PATIENCE, offer_all(&mirror, 0..500)).await.expect("the disk makes room in memory");
    mirror.publish();
    assert_balance(&registry);
    assert!(mirror.counts().in_flight[Stage::Spilled as usize] > 400, "{:?}", mirror.counts());
    collector.away.store(false, Ordering::Relaxed);
    offer_all(&mirror, 500..600).await;
    mirror.drain(workers, PATIENCE).await;
    assert_balance(&registry);
    let mut ids = collector.ids();
    ids.sort();
    assert_eq!(ids, (0..600).map(Uuid::from_u128).collect::<Vec<_>>());
    let counts = mirror.counts();
    assert_eq!((counts.delivered, counts.in_flight), (600, [0; 7]), "{counts:?}");
    assert_eq!(std::fs::read_dir(folder.path().join("spill")).unwrap().count(), 1, "only the lock is left");
}

/// A process ends with the collector away; the next one delivers what it left, under its numbers, and its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_on_disk_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let collector = Arc::new(Collector::default());
    collector.away.store(true, Ordering::Relaxed);
    let address = serve(Arc::clone(&collector)).await;
    let (mirror, workers) = begin(spilling(address, folder.path(), 1 << 30), &Registry::new());
    offer_all(&mirror, 0..200).await;
    mirror.drain(workers, Duration::from_secs(5)).await;
    let left = mirror.counts();
    let spilled = left.in_flight[Stage::Spilled as usize];
    assert!(left.balances() && left.delivered == 0 && left.held_bytes == 0, "{left:?}");
    assert_eq!(spilled + left.dropped.iter().sum::<u64>(), 200, "{left:?}");
    assert_eq!(left.wire().in_flight, spilled, "nothing is in flight but what is on disk");
    assert!(spilled > 0);
    drop(mirror);
    collector.away.store(false, Ordering::Relaxed);
    let masker = Masker::new(&masking::RawConfig::default()).unwrap();
    let registry = Registry::new();
    let (mirror, workers) = start(spilling(address, folder.path(), 1 << 30), masker, None, &registry, 8).unwrap();
    offer_all(&mirror, 200..250).await;
    mirror.drain(workers, PATIENCE).await;
    assert_balance(&registry);
    let counts = mirror.counts();
    assert_eq!((counts.observed, counts.delivered, counts.in_flight), (spilled + 50, spilled + 50, [0; 7]));
    let bodies = collector.bodies.lock().unwrap();
    let replayed: BTreeSet<_> =
        bodies.iter().filter(|b| b.epoch == 7).flat_map(|b| b.observations.iter().map(|o| o.id)).collect();
    assert!(replayed.len() as u64 >= spilled, "they come under the numbers of their own epoch");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_a_bound_and_not_an_end() {
    let folder = tempfile::tempdir().unwrap();
    let collector = Arc::new(Collector::default());
    collector.away.store(true, Ordering::Relaxed);
    let registry = Registry::new();
    let (mirror, workers) = begin(spilling(serve(Arc::clone(&collector)).await, folder.path(), 2_000), &registry);
    (0..2_000).for_each(|n| mirror.offer(plain(n)));
    let full = async {
        while mirror.counts().dropped[DropReason::Full as usize] == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            mirror.offer(plain(9));
        }
    };
    tokio::time::timeout(PATIENCE, full).await.unwrap();
    collector.away.store(false, Ordering::Relaxed);
    mirror.drain(workers, PATIENCE).await;
    let counts = mirror.counts();
    assert!(counts.balances() && counts.in_flight == [0; 7], "{counts:?}");
    assert_eq!(counts.delivered, collector.ids().len() as u64);
    assert_eq!(counts.delivered + counts.dropped[DropReason::Full as usize], counts.observed);
}

/// Stored without an answer, then refused: parts of it under other numbers would be stored twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_stored_unheard_and_then_refused_is_delivered_once() {
    for status in [413, 422, 410] {
        let collector = Arc::new(Collector { forgets: Some(status), ..Collector::default() });
        let (mirror, workers) = begin(config(serve(Arc::clone(&collector)).await), &Registry::new());
        (0..120).for_each(|n| mirror.offer(plain(n)));
        mirror.drain(workers, PATIENCE).await;
        let (counts, mut ids) = (mirror.counts(), collector.ids());
        ids.sort();
        assert_eq!(ids, (0..120).map(Uuid::from_u128).collect::<Vec<_>>(), "{status}");
        assert_eq!((counts.delivered, counts.in_flight), (120, [0; 7]), "{status}: {counts:?}");
    }
}

/// A collector that holds a post back does not hold back the others, and nothing older is promised to have come.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn posts_overtake_one_that_hangs() {
    let collector = Arc::new(Collector { hangs: Some(Uuid::from_u128(0)), ..Collector::default() });
    let slow =
        Config { batch_max_observations: 1, post_timeout: PATIENCE, ..config(serve(Arc::clone(&collector)).await) };
    let (mirror, workers) = begin(slow, &Registry::new());
    (0..20).for_each(|n| mirror.offer(plain(n)));
    let others = async {
        while collector.ids().len() < 19 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, others).await.unwrap();
    {
        let bodies = collector.bodies.lock().unwrap();
        let hanging = bodies.iter().find(|b| b.observations.iter().any(|o| o.id == Uuid::from_u128(0))).unwrap();
        let later = bodies.iter().filter(|b| b.seq > hanging.seq);
        later.for_each(|b| assert!(b.sent_at_ms <= hanging.sent_at_ms, "{} after {}", b.seq, hanging.seq));
    }
    collector.released.notify_one();
    mirror.drain(workers, PATIENCE).await;
    assert_eq!((mirror.counts().delivered, collector.ids().len()), (20, 20));
}

/// The address of the collector is in the configuration; a proxy in the environment is not ours to pass content to.
#[test]
fn the_environment_does_not_lead_observations_astray() {
    let mut again = std::process::Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", "mirror::tests::what_leaves_is_masked_and_counted_by_kind"]);
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        again.env(name, "http://127.0.0.1:9");
    }
    let told = again.env_remove("no_proxy").env_remove("NO_PROXY").output().unwrap();
    let text = String::from_utf8_lossy(&told.stdout);
    assert!(told.status.success() && text.contains("1 passed"), "{text}");
}
