//! The engine itself in trouble, killed in the middle of an insert or away for long, and a damaged place in the log.

use std::time::Duration;

use contract::wire::AckStatus;
use host::config::ByteSize;

use crate::between::{Between, Mood};
use crate::house::{House, Running, ack, batch, nowhere, post, raw};

const INSERTS: &str = "driftline_collector_inserts_total";
const REPAIRED: &str = "driftline_collector_log_repairs_total";

/// What does not compress.
fn noise(words: usize) -> String {
    (0..words).map(|_| uuid::Uuid::now_v7().to_string()).collect()
}

/// Settings with which the real engine says a real no, and the name of what it says.
const TROUBLE: [(&str, &str); 3] = [
    ("readonly=1", "READONLY"),
    ("min_free_disk_bytes_to_perform_insert=4000000000000000000", "NOT_ENOUGH_SPACE"),
    ("max_memory_usage=1&max_untracked_memory=0", "MEMORY_LIMIT_EXCEEDED"),
];

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_read_only_or_out_of_disk_or_memory_gets_everything_later() {
    let house = House::build().await;
    house.store().migrate().await.unwrap();
    let between = Between::listen(house.engine_address()).await;
    let collector = Running::start(raw(&house.path("log")), house.store_at(between.address)).await;
    let client = reqwest::Client::new();
    for (seq, (settings, said)) in (1..).zip(TROUBLE) {
        between.set(Mood::With(settings));
        let before = collector.sum(INSERTS, "outcome=\"failed\"");
        ack(post(&client, &collector.url, &batch("proxy-1", 1, seq, 5)).await.unwrap()).await;
        collector.until_sum(INSERTS, "outcome=\"failed\"", before + 2.0).await;
        let times = house.ask(&format!("SELECT value FROM system.errors WHERE name = '{said}'")).await;
        assert!(times.parse::<u64>().is_ok_and(|times| times > 0), "{said}: {times}");
        assert!(collector.metric("driftline_collector_backlog_observations") > 0.0, "{said}");
        between.set(Mood::Honest);
        house.until("SELECT count(), uniqExact(id) FROM observations", &format!("{0}\t{0}", seq * 5)).await;
        collector.until_metric("driftline_collector_log_bytes", 0.0).await;
        assert_eq!(house.ask("SELECT count() FROM features").await, (seq * 10).to_string(), "{said}");
    }
    let quarantined = "driftline_collector_quarantined_observations_total{reason=\"refused\"}";
    assert_eq!(collector.metric(quarantined), 0.0, "a refusal that passes puts nothing aside");
    collector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_restarted_in_the_middle_of_an_insert_has_its_rows_once() {
    const ROWS: usize = 300;
    let mut house = House::build().await;
    house.store().migrate().await.unwrap();
    let between = Between::listen(house.engine_address()).await;
    let collector = Running::start(raw(&house.path("log")), house.store_at(between.address)).await;
    let client = reqwest::Client::new();
    // once through, so that what is slow below is an insert
    ack(post(&client, &collector.url, &batch("proxy-1", 1, 1, 1)).await.unwrap()).await;
    collector.until_metric("driftline_collector_log_bytes", 0.0).await;
    between.set(Mood::Slow);
    let mut sent = batch("proxy-1", 1, 2, ROWS);
    sent.observations.iter_mut().for_each(|one| one.reason = Some(noise(20)));
    ack(post(&client, &collector.url, &sent).await.unwrap()).await;
    between.felt(10).await;
    house.restart_engine().await;
    between.set(Mood::Honest);
    let rows = ROWS + 1;
    house.until("SELECT count(), uniqExact(id) FROM observations", &format!("{rows}\t{rows}")).await;
    collector.until_metric("driftline_collector_log_bytes", 0.0).await;
    assert!(collector.sum(INSERTS, "outcome=\"unknown\"") > 0.0, "the kill came between two inserts");
    let features = format!("{0}\t{0}", rows * 2);
    assert_eq!(house.ask("SELECT count(), uniqExact(id, feature) FROM features").await, features);
    assert_eq!(house.ask("SELECT count() FROM payloads").await, rows.to_string());
    collector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_for_long_fills_the_log_to_its_bound_and_no_further() {
    let house = House::build().await;
    let between = Between::listen(house.engine_address()).await;
    between.set(Mood::Says("garbage\r\n\r\n"));
    let mut config = raw(&house.path("log"));
    config.log.max_bytes = ByteSize::new(100_000);
    config.log.segment_max_bytes = ByteSize::new(8_192);
    config.log.backlog_after = Duration::from_millis(300);
    config.limits.max_body_bytes = ByteSize::new(50_000);
    config.limits.max_decoded_bytes = ByteSize::new(50_000);
    let collector = Running::start(config, house.store_at(between.address)).await;
    let client = reqwest::Client::new();
    let state = |name: &str| format!("driftline_collector_log_state{{state=\"{name}\"}}");
    assert_eq!(collector.metric(&state("normal")), 1.0);
    ack(post(&client, &collector.url, &batch("proxy-1", 1, 1, 1)).await.unwrap()).await;
    // nearly nothing lies there, but for too long
    collector.until_metric(&state("backlogged"), 1.0).await;
    let mut stored = 1;
    loop {
        let mut sent = batch("proxy-1", 1, stored + 1, 1);
        sent.observations[0].reason = Some(noise(40));
        match post(&client, &collector.url, &sent).await.unwrap().status().as_u16() {
            200 => stored += 1,
            503 => break,
            other => panic!("{other}"),
        }
    }
    assert_eq!(collector.metric(&state("full")), 1.0);
    assert!(collector.metric("driftline_collector_log_bytes") <= 100_000.0);
    assert_eq!(collector.metric("driftline_collector_backlog_observations"), stored as f64);
    between.set(Mood::Honest);
    collector.until_metric(&state("normal"), 1.0).await;
    house.until("SELECT count(), uniqExact(id) FROM observations", &format!("{stored}\t{stored}")).await;
    // what was refused is not known, and is taken when it comes again
    let again = ack(post(&client, &collector.url, &batch("proxy-1", 1, stored + 1, 1)).await.unwrap()).await;
    assert_eq!(again.status, AckStatus::Stored);
    collector.stop().await;
}

#[tokio::test]
async fn a_damaged_frame_is_skipped_counted_and_kept() {
    let house = House::build().await;
    let mut config = raw(&house.path("log"));
    config.drain = Duration::from_millis(100);
    // all three in one segment
    config.log.segment_max_age = Duration::from_secs(3600);
    let client = reqwest::Client::new();
    let collector = Running::start(config.clone(), nowhere()).await;
    for seq in 1..=3 {
        ack(post(&client, &collector.url, &batch("proxy-1", 1, seq, 2)).await.unwrap()).await;
    }
    collector.stop().await;
    let files = std::fs::read_dir(house.path("log")).unwrap().map(|entry| entry.unwrap().path());
    let segments: Vec<_> = files.filter(|path| path.extension().is_some_and(|e| e == "segment")).collect();
    let [segment] = segments.as_slice() else { panic!("{segments:?}") };
    // one bit, in the middle of the second frame's payload
    let mut bytes = std::fs::read(segment).unwrap();
    let length = |at: usize| u32::from_le_bytes(bytes[at + 4..at + 8].try_into().unwrap()) as usize;
    let second = 8 + 12 + length(8);
    let at = second + 12 + length(second) / 2;
    bytes[at] ^= 1;
    std::fs::write(segment, &bytes).unwrap();

    let collector = Running::start(config, house.store()).await;
    assert_eq!(collector.metric(&format!("{REPAIRED}{{reason=\"corrupt\"}}")), 1.0);
    assert_eq!(collector.metric(&format!("{REPAIRED}{{reason=\"torn\"}}")), 0.0);
    house.until("SELECT count(), uniqExact(id) FROM observations", "4\t4").await;
    collector.until_metric("driftline_collector_quarantined_observations_total{reason=\"unreadable\"}", 1.0).await;
    collector.until_metric("driftline_collector_log_bytes", 0.0).await;
    assert_eq!(house.ask("SELECT groupArray(seq) FROM (SELECT seq FROM heartbeats ORDER BY seq)").await, "[1,3]");
    let name = format!("{}.damaged", segment.file_name().unwrap().to_string_lossy());
    assert_eq!(std::fs::read(house.path("log").join("quarantine").join(name)).unwrap(), bytes, "kept as it was found");
    // what it held was acknowledged: its number stays taken, and who sent it may have forgotten it
    let again = ack(post(&client, &collector.url, &batch("proxy-1", 1, 2, 2)).await.unwrap()).await;
    assert_eq!(again.status, AckStatus::Repeated);
    collector.stop().await;
}
