//! Rows that ClickHouse refuses for what they hold do not hold up the others, and are not lost.

use std::time::Duration;

use crate::house::{House, Running, ack, batch, post, raw};

#[tokio::test]
async fn refused_rows_are_put_aside_and_can_be_put_back() {
    let house = House::build().await;
    house.store().migrate().await.unwrap();
    house.ask("ALTER TABLE observations ADD CONSTRAINT sane CHECK code != 599").await;
    let collector = Running::start(raw(&house.path("log")), house.store()).await;
    let mut sent = batch("proxy-1", 1, 1, 20);
    sent.observations[4].code = 599;
    sent.observations[17].code = 599;
    ack(post(&reqwest::Client::new(), &collector.url, &sent).await.unwrap()).await;
    collector.until_metric("driftline_collector_quarantined_observations_total{reason=\"refused\"}", 2.0).await;
    collector.until_metric("driftline_collector_backlog_observations", 0.0).await;
    assert_eq!(house.ask("SELECT count() FROM observations").await, "18");
    assert_eq!(house.ask("SELECT count() FROM features").await, "40");
    collector.stop().await;

    let quarantine = house.path("log").join("quarantine");
    let files: Vec<_> = std::fs::read_dir(&quarantine).unwrap().map(|e| e.unwrap().path()).collect();
    let segment = files.iter().find(|p| p.extension().is_some_and(|e| e == "segment")).unwrap();
    let reason = std::fs::read_to_string(segment.with_extension("reason")).unwrap();
    assert!(reason.starts_with("table observations") && reason.contains("sane"), "{reason}");

    // a person repairs the table and moves the file back
    house.ask("ALTER TABLE observations DROP CONSTRAINT sane").await;
    std::fs::rename(segment, house.path("log").join(segment.file_name().unwrap())).unwrap();
    let collector = Running::start(raw(&house.path("log")), house.store()).await;
    house.until("SELECT count(), uniqExact(id) FROM observations", "20\t20").await;
    collector.until_metric("driftline_collector_backlog_observations", 0.0).await;
    assert_eq!(house.ask("SELECT count() FROM features").await, "40", "the other tables had them");
    assert_eq!(house.ask("SELECT count() FROM heartbeats").await, "1");
    collector.stop().await;
}

#[tokio::test]
async fn a_full_quarantine_holds_up_its_segment_until_there_is_room() {
    let house = House::build().await;
    house.store().migrate().await.unwrap();
    house.ask("ALTER TABLE observations ADD CONSTRAINT sane CHECK code != 599").await;
    let mut config = raw(&house.path("log"));
    config.drain = Duration::from_millis(200);
    let client = reqwest::Client::new();
    let poisoned = async |url: &str, seq: u64| {
        let mut sent = batch("proxy-1", 1, seq, 2);
        sent.observations[0].code = 599;
        // what does not compress
        sent.observations[0].reason = Some((0..60).map(|_| uuid::Uuid::now_v7().to_string()).collect());
        ack(post(&client, url, &sent).await.unwrap()).await;
    };
    let quarantined = "driftline_collector_quarantined_observations_total{reason=\"refused\"}";
    let quarantine = house.path("log").join("quarantine");
    let files = || std::fs::read_dir(&quarantine).unwrap().map(|entry| entry.unwrap().path());
    let collector = Running::start(config.clone(), house.store()).await;
    poisoned(&collector.url, 1).await;
    collector.until_metric(quarantined, 1.0).await;
    collector.until_metric("driftline_collector_backlog_observations", 0.0).await;
    collector.stop().await;

    // room for half of another
    let taken: u64 = files().map(|path| path.metadata().unwrap().len()).sum();
    config.insert.quarantine_max_bytes = host::config::ByteSize::new(taken + taken / 2);
    let collector = Running::start(config, house.store()).await;
    poisoned(&collector.url, 2).await;
    house.until("SELECT count() FROM observations", "2").await;
    while collector.metric("driftline_collector_quarantine_used_ratio") < 0.6 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(collector.metric(quarantined), 0.0, "what has no place is not put aside");
    assert!(collector.metric("driftline_collector_backlog_observations") > 0.0, "and stays in the log");
    // somebody makes room
    for path in files().collect::<Vec<_>>() {
        std::fs::rename(&path, house.path("log").with_extension(path.file_name().unwrap())).unwrap();
    }
    collector.until_metric(quarantined, 1.0).await;
    collector.until_metric("driftline_collector_backlog_observations", 0.0).await;
    collector.stop().await;
}

#[tokio::test]
async fn tables_that_were_taken_away_are_made_again() {
    let house = House::build().await;
    let collector = Running::start(raw(&house.path("log")), house.store()).await;
    let client = reqwest::Client::new();
    ack(post(&client, &collector.url, &batch("proxy-1", 1, 1, 1)).await.unwrap()).await;
    house.until("SELECT count() FROM observations", "1").await;
    house.ask("DROP DATABASE driftline SYNC").await;
    ack(post(&client, &collector.url, &batch("proxy-1", 1, 2, 1)).await.unwrap()).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    house.until("SELECT count() FROM observations", "1").await;
    collector.stop().await;
}
