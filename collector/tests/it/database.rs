//! A database that misbehaves: what was acknowledged waits in the log and is inserted once when it behaves again.
//!
//! Between the collector and the real engine stands a listener of raw TCP that does to the bytes what networks, proxies
//! and servers in trouble do to them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::house::{House, Running, ack, batch, post, raw};

/// What the listener does with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    /// Hands everything on.
    Honest,
    /// Says this, whatever it is asked.
    Says(&'static str),
    /// Says this once it was asked to insert; answers questions honestly.
    SaysToInserts(&'static str),
    /// Takes everything and says nothing.
    Silent,
    /// Hangs up in the middle of an insert's rows.
    CutsRequests,
    /// Hands everything on, and loses the answers.
    LosesAnswers,
    /// Hands everything on, a few bytes at a time.
    Slow,
}

/// A page as a load balancer gives it.
const PAGE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 29\r\n\r\n<html>back in an hour</html>\r\n";
/// An empty answer is what ClickHouse gives to an insert.
const EMPTY: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
const FULL: &str = "HTTP/1.1 500 Internal Server Error\r\nX-ClickHouse-Exception-Code: 243\r\ncontent-length: 64\r\n\r\n\
                    Code: 243. DB::Exception: not enough space. (NOT_ENOUGH_SPACE)\r\n";
const READ_ONLY: &str = "HTTP/1.1 500 Internal Server Error\r\nX-ClickHouse-Exception-Code: 164\r\ncontent-length: 52\r\n\r\n\
                         Code: 164. DB::Exception: readonly mode. (READONLY)\r\n";

struct Between {
    address: SocketAddr,
    mood: Arc<Mutex<(Mood, u32)>>,
}

impl Between {
    async fn listen(engine: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let between = Self { address: listener.local_addr().unwrap(), mood: Arc::new(Mutex::new((Mood::Honest, 0))) };
        let mood = between.mood.clone();
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                tokio::spawn(connection(client, engine, mood.clone()));
            }
        });
        between
    }

    fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = (mood, 0);
    }

    /// Waits until the mood was felt so often.
    async fn felt(&self, times: u32) {
        let deadline = Instant::now() + Duration::from_secs(180);
        while self.mood.lock().unwrap().1 < times {
            assert!(Instant::now() < deadline, "{:?} was not felt", self.mood.lock().unwrap());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn connection(client: TcpStream, engine: SocketAddr, mood: Arc<Mutex<(Mood, u32)>>) {
    let Ok(server) = TcpStream::connect(engine).await else { return };
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let now = || mood.lock().unwrap().0;
    let feel = || mood.lock().unwrap().1 += 1;
    let (mut request, mut answer) = (vec![0; 4096], vec![0; 4096]);
    loop {
        tokio::select! {
            read = from_client.read(&mut request) => {
                let Ok(read @ 1..) = read else { return };
                let bytes = &request[..read];
                let insert = String::from_utf8_lossy(bytes).contains("INSERT");
                match now() {
                    Mood::Says(words) => {
                        feel();
                        let _ = to_client.write_all(words.as_bytes()).await;
                        return;
                    }
                    Mood::SaysToInserts(words) if insert => {
                        feel();
                        let _ = to_client.write_all(words.as_bytes()).await;
                        return;
                    }
                    Mood::Silent => {
                        feel();
                        std::future::pending::<()>().await;
                    }
                    Mood::CutsRequests if insert => {
                        feel();
                        let _ = to_server.write_all(&bytes[..read - read / 4]).await;
                        return;
                    }
                    Mood::Slow => {
                        feel();
                        for few in bytes.chunks(512) {
                            tokio::time::sleep(Duration::from_millis(2)).await;
                            if to_server.write_all(few).await.is_err() { return }
                        }
                    }
                    _ => if to_server.write_all(bytes).await.is_err() { return },
                }
            }
            read = from_server.read(&mut answer) => {
                let Ok(read @ 1..) = read else { return };
                if now() == Mood::LosesAnswers {
                    feel();
                    return;
                }
                if to_client.write_all(&answer[..read]).await.is_err() { return }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_database_does_rows_are_stored_once() {
    let mut house = House::build().await;
    let between = Between::listen(house.engine_address()).await;
    let collector = Running::start(raw(&house.path("log")), house.store_at(between.address)).await;
    let client = reqwest::Client::new();
    let moods = [
        Mood::Says("garbage\r\n\r\n"),
        Mood::Says(PAGE),
        Mood::Says(EMPTY),
        Mood::Says(FULL),
        Mood::Says(READ_ONLY),
        Mood::SaysToInserts(PAGE),
        Mood::SaysToInserts(EMPTY),
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
