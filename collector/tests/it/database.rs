//! A database that misbehaves: what was acknowledged waits in the log and is inserted once when it behaves again.
//!
//! Between the collector and the real engine stands a listener of raw TCP ([`crate::between`]) that does to the bytes what
//! networks, proxies and servers in trouble do to them.

use std::time::Duration;

use crate::between::{Between, Mood};
use crate::house::{House, Running, ack, batch, post, raw};

/// A page as a load balancer gives it.
const PAGE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 29\r\n\r\n<html>back in an hour</html>\r\n";
/// The same, when it knows that something is wrong.
const BAD_GATEWAY: &str = "HTTP/1.1 502 Bad Gateway\r\ncontent-type: text/html\r\ncontent-length: 28\r\n\r\n\
                           <html>502 Bad Gateway</html>";
/// An empty answer is what ClickHouse gives to an insert.
const EMPTY: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
/// An answer of which only the beginning arrives.
const HALF: &str = "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n\u{1}n\u{6}UInt64";
/// What ClickHouse says where it had begun to answer before it failed: the status was sent by then.
const EXCEPTION_IN_BODY: &str = "HTTP/1.1 200 OK\r\ncontent-length: 86\r\n\r\n\
    Code: 241. DB::Exception: Memory limit (total) exceeded. (MEMORY_LIMIT_EXCEEDED) (x)\r\n";
const FULL: &str = "HTTP/1.1 500 Internal Server Error\r\nX-ClickHouse-Exception-Code: 243\r\ncontent-length: 64\r\n\r\n\
                    Code: 243. DB::Exception: not enough space. (NOT_ENOUGH_SPACE)\r\n";
const READ_ONLY: &str = "HTTP/1.1 500 Internal Server Error\r\nX-ClickHouse-Exception-Code: 164\r\ncontent-length: 52\r\n\r\n\
                         Code: 164. DB::Exception: readonly mode. (READONLY)\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_database_does_rows_are_stored_once() {
    let mut house = House::build().await;
    let between = Between::listen(house.engine_address()).await;
    let collector = Running::start(raw(&house.path("log")), house.store_at(between.address)).await;
    let client = reqwest::Client::new();
    let moods = [
        Mood::Says("garbage\r\n\r\n"),
        Mood::Says(PAGE),
        Mood::Says(BAD_GATEWAY),
        Mood::Says(EMPTY),
        Mood::Says(HALF),
        Mood::Says(FULL),
        Mood::Says(READ_ONLY),
        Mood::SaysToInserts(PAGE),
        Mood::SaysToInserts(BAD_GATEWAY),
        Mood::SaysToInserts(EMPTY),
        Mood::SaysToInserts(HALF),
        Mood::SaysToInserts(EXCEPTION_IN_BODY),
        Mood::SaysToInserts(FULL),
        Mood::SaysToInserts(READ_ONLY),
        Mood::CutsRequests,
        Mood::LosesAnswers,
        Mood::Silent,
        Mood::Slow,
    ];
    house.until_tables().await;
    for (seq, mood) in (1..).zip(moods) {
        between.set(mood);
        ack(post(&client, &collector.url, &batch("proxy-1", 1, seq, 5)).await.unwrap()).await;
        between.felt(1).await;
        between.set(Mood::Honest);
        // an insert that is cut in the middle can end the embedded engine
        house.revive_engine().await;
        let rows = format!("{}\t{}", seq * 5, seq * 5);
        house.until("SELECT count(), uniqExact(id) FROM observations", &rows).await;
        collector.until_metric("driftline_collector_log_bytes", 0.0).await;
        let (features, beats) = (format!("{}\t{}", seq * 10, seq * 10), format!("{seq}\t{seq}"));
        assert_eq!(house.ask("SELECT count(), uniqExact(id, feature) FROM features").await, features, "{mood:?}");
        assert_eq!(house.ask("SELECT count() FROM payloads").await, (seq * 5).to_string(), "{mood:?}");
        assert_eq!(house.ask("SELECT count(), uniqExact(seq) FROM heartbeats").await, beats, "{mood:?}");
    }
    assert_eq!(collector.metric("driftline_collector_quarantined_observations_total{reason=\"refused\"}"), 0.0);
    collector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_does_not_wait_for_a_database_that_says_nothing() {
    let house = House::build().await;
    let between = Between::listen(house.engine_address()).await;
    between.set(Mood::Silent);
    let mut config = raw(&house.path("log"));
    config.drain = Duration::from_millis(300);
    let collector = Running::start(config.clone(), house.store_at(between.address)).await;
    ack(post(&reqwest::Client::new(), &collector.url, &batch("proxy-1", 1, 1, 5)).await.unwrap()).await;
    between.felt(1).await;
    // a stop that waits for an answer would run into this test's limit
    tokio::time::timeout(Duration::from_secs(30), collector.stop()).await.expect("it stops");
    between.set(Mood::Honest);
    let collector = Running::start(config, house.store_at(between.address)).await;
    house.until("SELECT count(), uniqExact(id) FROM observations", "5\t5").await;
    collector.stop().await;
}

/// A payload may be taken that is older than payloads are kept: its rows must not keep its segment for ever.
#[tokio::test(flavor = "multi_thread")]
async fn rows_past_their_time_to_live_hold_up_nothing() {
    let house = House::build().await;
    let collector = Running::start(raw(&house.path("log")), house.store()).await;
    let mut sent = batch("proxy-1", 1, 1, 5);
    sent.observations.iter_mut().for_each(|old| old.at_ms -= 27 * 86_400_000);
    ack(post(&reqwest::Client::new(), &collector.url, &sent).await.unwrap()).await;
    house.until("SELECT count(), uniqExact(id) FROM observations", "5\t5").await;
    collector.until_metric("driftline_collector_log_bytes", 0.0).await;
    collector.stop().await;
}
