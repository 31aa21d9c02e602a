//! From a post to a row: how fast, how soon it is acknowledged, and in how much memory when the database is slow.
//!
//! The yardstick is the same rows, masked and encoded beforehand, inserted into the same tables of the same engine by
//! the `clickhouse` crate and nothing else; the faster of one and two streams counts.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use bench::house::{Body, House, packed, post};
use bench::load::{self, Random};
use bench::median;
use contract::wire::OBSERVATIONS_PATH;
use masking::Masker;
use store::write::{Block, EncodedSegment, SegmentBuilder};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use uuid::Uuid;

/// Bytes of a text.
const TEXT_BYTES: usize = 300;
/// Observations of one measurement.
const OBSERVATIONS: usize = 200_000;
/// Observations in a post: what the proxy sends under load.
const BATCH: usize = 500;
/// Observations in a directly inserted block.
const BLOCK: usize = 40_000;
/// Rounds of both, by turns.
const ROUNDS: usize = 3;
/// Connections that post.
const SENDERS: usize = 4;
/// Bytes a second that the slow database takes: some thousand observations.
const SLOW_BYTES: f64 = 1.2e6;
/// Of one sender's posts the observations and the bytes of their texts: more than a segment holds, less than a post may be.
const LARGE: (usize, usize) = (7_000, 8 << 10);
/// How long it is posted to.
const FLOOD: Duration = Duration::from_secs(60);

/// What was seen of speed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Speed {
    /// Observations a second through the collector.
    pub through: f64,
    /// Observations a second of ready rows.
    pub direct: f64,
    /// The one over the other, of the round in the middle.
    pub ratio: f64,
    /// Processor seconds of the collector for a million observations.
    pub collector_seconds: f64,
}

/// Both ways, by turns, over empty tables.
pub(super) async fn throughput(program: &Path) -> anyhow::Result<Speed> {
    let mut random = Random::new(7);
    let house = House::build(program, "").await?;
    let (mut through, mut direct, mut collector_seconds) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let mut fastest = 0.0_f64;
        for streams in [1, 2] {
            empty(&house).await?;
            let rate = insert(&house, &mut random, streams).await?;
            eprintln!("ready rows in {streams} streams: {rate:.0} observations a second");
            fastest = fastest.max(rate);
        }
        direct.push(fastest);
        let posts = posts(&mut random, round as u64 + 1)?;
        empty(&house).await?;
        let used = house.collector_seconds().unwrap_or_default();
        let begun = Instant::now();
        flood(&house, posts).await?;
        let posted = begun.elapsed().as_secs_f64();
        house.until_inserted().await?;
        let rate = OBSERVATIONS as f64 / begun.elapsed().as_secs_f64();
        let used = (house.collector_seconds().unwrap_or_default() - used) * 1e6 / OBSERVATIONS as f64;
        eprintln!(
            "through the collector: {rate:.0} observations a second, {:.0} acknowledged a second, {used:.1} CPU µs each",
            OBSERVATIONS as f64 / posted
        );
        let stored = house.ask("SELECT count() FROM observations").await?;
        ensure!(stored == OBSERVATIONS.to_string(), "{stored} of {OBSERVATIONS} are stored");
        through.push(rate);
        collector_seconds.push(used);
    }
    let ratio = median(through.iter().zip(&direct).map(|(through, direct)| through / direct).collect());
    let (through, direct) = (median(through), median(direct));
    Ok(Speed { through, direct, ratio, collector_seconds: median(collector_seconds) })
}

/// Acknowledgements at a steady rate, in milliseconds: the 99th of a hundred.
pub(super) async fn ack_p99(program: &Path, rate: f64) -> anyhow::Result<(f64, usize)> {
    const SMALL: usize = 100;
    const SECONDS: f64 = 20.0;
    let house = House::build(program, "").await?;
    let mut random = Random::new(11);
    let http = reqwest::Client::new();
    let count = (rate * SECONDS / SMALL as f64) as usize;
    let between = Duration::from_secs_f64(SMALL as f64 / rate);
    let mut bodies = Vec::new();
    for seq in 1..=count as u64 {
        let observations = (0..SMALL).map(|_| load::observation(&mut random, "m", TEXT_BYTES)).collect();
        bodies.push(bytes::Bytes::from(packed(&load::batch("steady", 1, seq, observations))?));
    }
    let begun = Instant::now() + Duration::from_millis(100);
    let mut posting = JoinSet::new();
    for (i, body) in bodies.into_iter().enumerate() {
        let (http, address) = (http.clone(), house.address.clone());
        let due = begun + between * u32::try_from(i)?;
        posting.spawn(async move {
            tokio::time::sleep_until(due.into()).await;
            let status = post(&http, &address, OBSERVATIONS_PATH, Body::Packed(body)).await?;
            // from when it should have been sent: a late sender is not the collector's merit
            anyhow::Ok((status, due.elapsed().as_secs_f64() * 1e3))
        });
    }
    let mut times = Vec::new();
    while let Some(done) = posting.join_next().await {
        let (status, milliseconds) = done??;
        ensure!(status == 200, "a post at half of the rate is answered {status}");
        times.push(milliseconds);
    }
    times.sort_by(f64::total_cmp);
    let p99 = times[(times.len() * 99 / 100).min(times.len() - 1)];
    Ok((p99, times.len()))
}

/// What was seen of memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    pub most_bytes: u64,
    pub allowed_bytes: u64,
    /// Offered over inserted.
    pub times: f64,
}

/// Posts for a minute at whatever rate is taken, over a database behind a narrow pipe; one sender's posts are as large as posts
/// may be.
pub(super) async fn memory(program: &Path) -> anyhow::Result<Memory> {
    let mut house = House::build(program, "").await?;
    let pipe = narrow(house.engine_port()).await?;
    house.settings = vec![
        format!("store.url=http://127.0.0.1:{pipe}"),
        "store.user=driftline".to_owned(),
        format!("store.password_file={}", house.path("clickhouse/password").display()),
    ];
    house.kill_collector().await?;
    house.start_collector().await?;
    let (offered, deadline) = (Arc::new(AtomicU64::new(0)), Instant::now() + FLOOD);
    let mut posting = JoinSet::new();
    for sender in 0..SENDERS as u64 {
        let (address, offered) = (house.address.clone(), offered.clone());
        posting.spawn(async move {
            let (http, mut random) = (reqwest::Client::new(), Random::new(13 + sender));
            let (count, bytes) = if sender == 0 { LARGE } else { (BATCH, TEXT_BYTES) };
            let observations = (0..count).map(|_| load::observation(&mut random, "m", bytes)).collect();
            let mut batch = load::batch(&format!("flood-{sender}"), 1, 0, observations);
            while Instant::now() < deadline {
                batch.seq += 1;
                let body = Body::Packed(packed(&batch)?.into());
                let status = post(&http, &address, OBSERVATIONS_PATH, body).await?;
                ensure!(status == 200 || status == 503, "answered {status}");
                offered.fetch_add(count as u64, Ordering::Relaxed);
            }
            anyhow::Ok(())
        });
    }
    let mut most_bytes = 0;
    while Instant::now() < deadline {
        most_bytes = most_bytes.max(house.collector_memory().unwrap_or_default());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    while let Some(done) = posting.join_next().await {
        done??;
    }
    let inserted = house.metric("driftline_collector_inserted_observations_total").await?;
    let times = offered.load(Ordering::Relaxed) as f64 / inserted.max(1.0);
    Ok(Memory { most_bytes, allowed_bytes: ALLOWED_BYTES, times })
}

/// What the defaults allow, see docs/RELIABILITY.md: 128 MiB for the program, `limits.max_posts_bytes`, six times
/// `limits.max_decoded_bytes` for each of `insert.segments`, `insert.ready_max_bytes`, and `kserve.max_waiting_bytes`.
const ALLOWED_BYTES: u64 = (128 + 512 + 2 * 6 * 128 + 256 + 64) << 20;

/// Batches as the proxy packs them, source by source in turn.
fn posts(random: &mut Random, epoch: u64) -> anyhow::Result<Vec<bytes::Bytes>> {
    let one = |i: usize| {
        let observations = (0..BATCH).map(|_| load::observation(random, "m", TEXT_BYTES)).collect();
        let (source, seq) = (format!("bench-{}", i % SENDERS), (i / SENDERS) as u64 + 1);
        Ok(packed(&load::batch(&source, epoch, seq, observations))?.into())
    };
    (0..OBSERVATIONS / BATCH).map(one).collect()
}

/// The same sort of observations, masked and encoded.
fn segments(random: &mut Random) -> anyhow::Result<Vec<EncodedSegment>> {
    let masker = Masker::new(&masking::RawConfig::default())?;
    let one = |_| {
        let mut builder = SegmentBuilder::new(Uuid::now_v7());
        for _ in 0..BLOCK {
            let sample = masker.mask(load::observation(random, "m", TEXT_BYTES)).sample;
            builder.observation(&sample, "bench", load::now_ms());
        }
        builder.finish()
    };
    Ok((0..OBSERVATIONS / BLOCK).map(one).collect())
}

/// Observations a second of rows that are ready.
async fn insert(house: &House, random: &mut Random, streams: usize) -> anyhow::Result<f64> {
    let (store, segments) = (house.store()?, segments(random)?);
    let blocks: Vec<Block> = segments.iter().flat_map(EncodedSegment::blocks).cloned().collect();
    let begun = Instant::now();
    let mut inserting = JoinSet::new();
    for stream in 0..streams {
        let mine: Vec<Block> = blocks.iter().skip(stream).step_by(streams).cloned().collect();
        let store = store.clone();
        inserting.spawn(async move {
            for block in &mine {
                store.write_block(block, false).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = inserting.join_next().await {
        done??;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let stored = house.ask("SELECT count() FROM observations").await?;
    ensure!(stored == OBSERVATIONS.to_string(), "{stored} of {OBSERVATIONS} are stored");
    Ok(OBSERVATIONS as f64 / seconds)
}

async fn empty(house: &House) -> anyhow::Result<()> {
    for table in ["observations", "features", "categories", "payloads", "heartbeats"] {
        house.ask(&format!("TRUNCATE TABLE {table}")).await?;
    }
    // what the last round left to merge is not this round's
    tokio::time::sleep(Duration::from_secs(1)).await;
    Ok(())
}

async fn flood(house: &House, posts: Vec<bytes::Bytes>) -> anyhow::Result<()> {
    let posts = Arc::new(posts);
    let mut posting = JoinSet::new();
    for sender in 0..SENDERS {
        let (posts, address) = (posts.clone(), house.address.clone());
        posting.spawn(async move {
            let http = reqwest::Client::new();
            for body in posts.iter().skip(sender).step_by(SENDERS) {
                while post(&http, &address, OBSERVATIONS_PATH, Body::Packed(body.clone())).await? != 200 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = posting.join_next().await {
        done??;
    }
    Ok(())
}

/// A port behind which the engine takes so many bytes a second and no more.
async fn narrow(engine: u16) -> anyhow::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let turn = Arc::new(tokio::sync::Mutex::new(()));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let turn = turn.clone();
            tokio::spawn(async move {
                let Ok(server) = TcpStream::connect(("127.0.0.1", engine)).await else { return };
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) = server.into_split();
                let back = tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
                let mut chunk = vec![0; 16 << 10];
                while let Ok(read @ 1..) = from_client.read(&mut chunk).await {
                    if to_server.write_all(&chunk[..read]).await.is_err() {
                        break;
                    }
                    let _turn = turn.lock().await;
                    tokio::time::sleep(Duration::from_secs_f64(read as f64 / SLOW_BYTES)).await;
                }
                back.abort();
            });
        }
    });
    Ok(port)
}
