//! Nothing is lost and nothing is doubled, whoever is killed when.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use contract::wire::AckStatus;
use tokio::task::JoinSet;

use crate::house::{Child, House, Running, ack, batch, nowhere, post, raw};

/// Posts numbered batches until each is acknowledged; every third is posted again. Returns the ids.
async fn source(name: String, url: Arc<Mutex<String>>, batches: u64) -> Vec<uuid::Uuid> {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).build().unwrap();
    let mut ids = Vec::new();
    for seq in 1..=batches {
        let sent = batch(&name, 7, seq, 5);
        ids.extend(sent.observations.iter().map(|o| o.id));
        let mut wanted = if seq % 3 == 0 { 2 } else { 1 };
        while wanted > 0 {
            let at = url.lock().unwrap().clone();
            match post(&client, &at, &sent).await {
                Ok(answer) if answer.status() == 200 => {
                    let ack = ack(answer).await;
                    assert_eq!(ack.stored, 5);
                    wanted -= 1;
                }
                Ok(answer) => assert!(answer.status().is_server_error(), "{answer:?}"),
                // nobody knows what became of it
                Err(_) => {}
            }
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    }
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_of_engine_and_collector_lose_and_double_nothing() {
    const SOURCES: u64 = 4;
    const BATCHES: u64 = 250;
    let mut house = House::build().await;
    let mut collector = Child::start(&house, "127.0.0.1:0").await;
    let address = collector.address.clone();
    let url = Arc::new(Mutex::new(format!("http://{address}")));
    let mut sources = JoinSet::new();
    for i in 0..SOURCES {
        sources.spawn(source(format!("proxy-{i}"), url.clone(), BATCHES));
    }
    for round in 0..4 {
        tokio::time::sleep(Duration::from_millis(300 + 70 * round)).await;
        if round % 2 == 0 {
            house.restart_engine().await;
        }
        collector.kill().await;
        collector = Child::start(&house, &address).await;
        tokio::time::sleep(Duration::from_millis(150)).await;
        if round % 2 == 1 {
            house.restart_engine().await;
        }
    }
    let ids: HashSet<uuid::Uuid> = sources.join_all().await.into_iter().flatten().collect();
    let posted = SOURCES * BATCHES * 5;
    assert_eq!(ids.len() as u64, posted);
    house.until("SELECT count(), uniqExact(id) FROM observations", &format!("{posted}\t{posted}")).await;
    collector.stop().await;
    let stored: HashSet<uuid::Uuid> =
        house.ask("SELECT id FROM observations").await.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(stored, ids);
    let features = format!("{}\t{}", posted * 2, posted * 2);
    assert_eq!(house.ask("SELECT count(), uniqExact(id, feature) FROM features").await, features);
    assert_eq!(house.ask("SELECT count() FROM payloads").await, posted.to_string());
    let beats = format!("{}\t{}", SOURCES * BATCHES, SOURCES * BATCHES);
    assert_eq!(house.ask("SELECT count(), uniqExact(source, epoch, seq) FROM heartbeats").await, beats);
    let left = std::fs::read_dir(house.path("log")).unwrap().filter_map(Result::ok);
    let left: Vec<_> = left.filter(|entry| entry.path().extension().is_some_and(|e| e == "segment")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_at_the_same_moment_is_not_appended() {
    let dir = tempfile::tempdir().unwrap();
    let collector = Running::start(raw(dir.path()), nowhere()).await;
    let client = reqwest::Client::new();
    for seq in 1..=20 {
        let sent = Arc::new(batch("proxy-1", 1, seq, 2));
        let mut posts = JoinSet::new();
        for _ in 0..8 {
            let (client, url, sent) = (client.clone(), collector.url.clone(), sent.clone());
            posts.spawn(async move { ack(post(&client, &url, &sent).await.unwrap()).await });
        }
        let acks = posts.join_all().await;
        let stored = acks.iter().filter(|ack| ack.status == AckStatus::Stored).count();
        assert_eq!((stored, acks.len()), (1, 8));
    }
    assert_eq!(collector.metric("driftline_collector_logged_observations_total"), 40.0);
    collector.stop().await;
}

#[tokio::test]
async fn what_a_crash_leaves_in_the_log_is_recalled() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut config = raw(dir.path());
    // the segment stays open, so that its marks are nowhere but in it
    config.log.segment_max_age = Duration::from_secs(3600);
    let collector = Running::start(config, nowhere()).await;
    let client = reqwest::Client::new();
    // numbers out of order, and one that never comes
    for seq in [3, 1, 2, 5] {
        ack(post(&client, &collector.url, &batch("proxy-1", 1, seq, 2)).await.unwrap()).await;
    }
    // what a power cut would leave: the log as it is now, with half a frame behind it
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_dir() {
            continue;
        }
        let to = copy.path().join(entry.file_name());
        std::fs::copy(entry.path(), &to).unwrap();
        if to.extension().is_some_and(|e| e == "segment") {
            let mut bytes = std::fs::read(&to).unwrap();
            let half = bytes[8..40].to_vec();
            bytes.extend(half);
            std::fs::write(&to, bytes).unwrap();
        }
    }
    collector.stop().await;

    let collector = Running::start(raw(copy.path()), nowhere()).await;
    assert_eq!(collector.metric("driftline_collector_log_repairs_total{reason=\"torn\"}"), 1.0);
    assert_eq!(collector.metric("driftline_collector_backlog_observations"), 8.0);
    for (seq, expected) in [
        (1, AckStatus::Repeated),
        (2, AckStatus::Repeated),
        (3, AckStatus::Repeated),
        (4, AckStatus::Stored),
        (5, AckStatus::Repeated),
        (4, AckStatus::Repeated),
    ] {
        let answer = ack(post(&client, &collector.url, &batch("proxy-1", 1, seq, 2)).await.unwrap()).await;
        assert_eq!(answer.status, expected, "{seq}");
    }
    collector.stop().await;
}

#[tokio::test]
async fn numbers_that_never_come_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let collector = Running::start(raw(dir.path()), nowhere()).await;
    let client = reqwest::Client::new();
    for seq in (1..=30).filter(|seq| *seq != 4 && *seq != 9) {
        ack(post(&client, &collector.url, &batch("proxy-1", 1, seq, 0)).await.unwrap()).await;
    }
    assert_eq!(collector.metric("driftline_collector_sequence_gaps_total{source=\"proxy-1\"}"), 2.0);
    collector.stop().await;
}
