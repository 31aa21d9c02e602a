//! What the collector answers, with and without ClickHouse.

use std::time::Duration;

use contract::wire::AckStatus;
use host::config::ByteSize;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::house::{House, Running, ack, batch, now, nowhere, observation, post, raw};

async fn send(url: &str, path: &str, headers: &[(&str, &str)], body: impl Into<reqwest::Body>) -> (u16, String) {
    let mut request = reqwest::Client::new().post(format!("{url}{path}")).body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

const OBSERVATIONS: &str = "/v1/observations";

#[tokio::test]
async fn refusals_say_what_and_where() {
    let dir = tempfile::tempdir().unwrap();
    let mut raw = raw(dir.path());
    raw.limits.max_body_bytes = ByteSize::new(20_000);
    raw.limits.max_items = 5;
    let collector = Running::start(raw, nowhere()).await;
    let line = |at_ms: i64| json!({"at_ms": at_ms, "model": "m", "version": "1", "outcome": "ok"}).to_string();
    let head = r#"{"wire":1,"source":"s","epoch":1,"seq":1,"sent_at_ms":1767225600000,"observations":"#;
    let many = vec![observation("x"); 6];
    for (headers, body, status, sentence) in [
        (vec![], "{".to_owned(), 400, "the body cannot be read"),
        (vec![], line(5), 422, "at_ms is 5, before 2000"),
        (vec![], format!("{head}[{{\"model\":3}}]}}"), 400, "observations[0].model: is 3, and a text belongs here"),
        (vec![], format!("{head}{}}}", json!(many)), 413, "observations has 6 entries; at most 5"),
        (vec![], head.replace("\"wire\":1", "\"wire\":2") + "[]}", 422, "wire is 2"),
        (vec![], head.replace("\"s\"", "\"a b\"") + "[]}", 422, "source is not"),
        (vec![], head.replace("\"seq\":1", "\"seq\":0") + "[]}", 422, "seq is 0"),
        (vec![], "x".repeat(30_000), 413, "collector.limits.max_body_bytes"),
        (vec![], format!("[{}]", line(now())), 400, "the body is a list; send its observations one a line"),
        (vec![], format!("{}\n{}\n", line(now()), line(now())), 400, "send content-type application/x-ndjson"),
        (vec![("content-type", "text/csv")], line(now()), 415, "content-type 'text/csv'"),
        (vec![("content-encoding", "gzip")], line(now()), 415, "content-encoding 'gzip'"),
        (vec![("content-encoding", "zstd")], line(now()), 400, "is not the zstd"),
    ] {
        let (got, text) = send(&collector.url, OBSERVATIONS, &headers, body.clone()).await;
        assert_eq!(got, status, "{body}: {text}");
        assert!(text.contains(sentence), "{text}");
    }
    for (method, path, status, sentence) in [
        (reqwest::Method::GET, OBSERVATIONS, 405, "send POST"),
        (reqwest::Method::POST, "/v1/observation", 404, "posts go to /v1/observations, /v1/labels"),
    ] {
        let asked = reqwest::Client::new().request(method, format!("{}{path}", collector.url)).send().await.unwrap();
        assert_eq!(asked.status().as_u16(), status);
        let said: Value = asked.json().await.unwrap();
        assert!(said["error"].as_str().unwrap().contains(sentence), "{said}");
    }
    // a chunked body has no length to look at beforehand
    let answer = chunked(&collector.url, 30_000).await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("max_body_bytes"), "{answer}");
    assert!(collector.metric("driftline_collector_batches_total{outcome=\"invalid\"}") >= 10.0);
    assert_eq!(collector.metric("driftline_collector_logged_observations_total"), 0.0);
    collector.stop().await;
}

#[tokio::test]
async fn a_refusal_quotes_nothing_personal() {
    let dir = tempfile::tempdir().unwrap();
    let collector = Running::start(raw(dir.path()), nowhere()).await;
    let with = |key: &str, value: &str| json!({"model": "m", "version": "1", "outcome": "ok", key: value}).to_string();
    let key = "ghs_ZOSi0wGLQgX6D1pAyXCUWzVjj2nNysxTme8c";
    for (headers, body, sentence) in [
        (vec![], with("outcome", "jane@example.com"), "outcome: `[EMAIL]` is none of ok"),
        (vec![], with("jane@example.com", ""), "unknown field `[EMAIL]`"),
        (vec![], with("at_ms", "4111\n1111 11\u{200B}11 1111"), "at_ms: is the text \"[CARD]\""),
        (vec![("content-type", key)], "{}".to_owned(), "content-type '[API_KEY]' is not read"),
    ] {
        let (status, text) = send(&collector.url, OBSERVATIONS, &headers, body).await;
        assert!((400..500).contains(&status), "{text}");
        let said = serde_json::from_str::<Value>(&text).unwrap();
        assert!(said["error"].as_str().unwrap().contains(sentence), "{text}");
    }
    // hosts go by their addresses
    for source in ["10.11.12.13", "2001:db8::1"] {
        ack(post(&reqwest::Client::new(), &collector.url, &batch(source, 1, 1, 1)).await.unwrap()).await;
    }
    collector.stop().await;
}

/// Posts so many bytes in pieces; the answer as it comes.
async fn chunked(url: &str, bytes: usize) -> String {
    let mut connection = TcpStream::connect(url.strip_prefix("http://").unwrap()).await.unwrap();
    let head =
        format!("POST {OBSERVATIONS} HTTP/1.1\r\nhost: c\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n");
    let body = format!("3e8\r\n{}\r\n", "x".repeat(1000)).repeat(bytes / 1000) + "0\r\n\r\n";
    connection.write_all((head + &body).as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_batch_a_single_line_and_labels_end_as_rows() {
    let house = House::build().await;
    let collector = Running::start(raw(&house.path("log")), house.store()).await;
    let client = reqwest::Client::new();
    let sent = batch("proxy-1", 1, 1, 3);
    let first = ack(post(&client, &collector.url, &sent).await.unwrap()).await;
    assert_eq!((first.status, first.stored), (AckStatus::Stored, 3));
    let again = ack(post(&client, &collector.url, &sent).await.unwrap()).await;
    assert_eq!((again.status, again.stored), (AckStatus::Repeated, 3));

    let line = json!({"model": "m", "version": "1", "outcome": "error", "code": 500, "client": "jane@example.com"});
    let (status, text) = send(&collector.url, OBSERVATIONS, &[], line.to_string()).await;
    assert_eq!((status, text.as_str()), (200, r#"{"status":"stored","stored":1}"#));
    let named = json!(observation("once"));
    for expected in ["stored", "repeated"] {
        let (_, text) = send(&collector.url, OBSERVATIONS, &[], named.to_string()).await;
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["status"], expected);
    }
    let id = sent.observations[0].id;
    for body in [
        json!({"id": id, "label": "a"}),
        json!({"labels": [{"id": id, "label": "b"}, {"id": id, "item": 1, "label": "c"}]}),
    ] {
        // a correction holds because it is later, and time here has a millisecond's grain
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        let (status, text) = send(&collector.url, "/v1/labels", &[], body.to_string()).await;
        assert_eq!(status, 200, "{text}");
    }
    house
        .until("SELECT source, count() FROM observations GROUP BY source ORDER BY source", "http\t2\nproxy-1\t3")
        .await;
    house
        .until("SELECT item, count(), argMax(label, at) FROM labels GROUP BY item ORDER BY item", "0\t2\tb\n1\t1\tc")
        .await;
    house.until("SELECT source, count() FROM heartbeats GROUP BY source ORDER BY source", "http\t2\nproxy-1\t1").await;
    assert_eq!(house.ask("SELECT client FROM observations WHERE code = 500").await, "[EMAIL]");
    assert_eq!(collector.metric("driftline_collector_second_pass_hits_total{entity=\"email\",source=\"http\"}"), 1.0);
    assert_eq!(collector.metric("driftline_collector_second_pass_hits_total{entity=\"email\",source=\"proxy\"}"), 0.0);
    collector.until_metric("driftline_collector_backlog_observations", 0.0).await;
    assert_eq!(collector.metric("driftline_collector_inserted_observations_total"), 5.0);
    assert_eq!(collector.metric("driftline_collector_labels_total"), 3.0);
    collector.stop().await;
}

#[tokio::test]
async fn the_log_holds_nothing_unmasked() {
    let dir = tempfile::tempdir().unwrap();
    let collector = Running::start(raw(dir.path()), nowhere()).await;
    let mut sent = batch("proxy-1", 1, 1, 0);
    sent.observations = vec![observation("call 415-555-2671 or mail jane@example.com, card 4111 1111 1111 1111")];
    ack(post(&reqwest::Client::new(), &collector.url, &sent).await.unwrap()).await;
    collector.stop().await;
    let mut seen = String::new();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "segment") {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        for met in collector::log::frame::Reader::new(&bytes[8..]) {
            if let collector::log::frame::Met::Frame(payload) = met {
                seen += &String::from_utf8_lossy(&zstd::stream::decode_all(payload).unwrap());
            }
        }
    }
    assert!(seen.contains("call [PHONE] or mail [EMAIL], card [CARD]"), "{seen}");
    let ticket = "call 415-555-2671 or mail jane@example.com";
    assert_eq!(seen.matches(ticket).count(), 1, "only the allowed field holds it: {seen}");
}

/// A batch of a proxy that is newer than this collector.
#[derive(serde::Serialize)]
struct Later {
    wire: u8,
    source: String,
    epoch: u64,
    seq: u64,
    sent_at_ms: i64,
    weather: [&'static str; 2],
    observations: Vec<Forecast>,
}

/// An observation of one.
#[derive(serde::Serialize)]
struct Forecast {
    id: uuid::Uuid,
    at_ms: i64,
    model: String,
    version: String,
    outcome: String,
    rain: f64,
    features: Vec<contract::wire::Feature>,
}

/// Proxies that were upgraded before their collector lost every batch.
#[tokio::test]
async fn a_proxy_that_is_newer_loses_what_is_new_and_nothing_else() {
    let house = House::build().await;
    let collector = Running::start(raw(&house.path("log")), house.store()).await;
    let forecast = || Forecast {
        id: uuid::Uuid::now_v7(),
        at_ms: now(),
        model: "m".into(),
        version: "1".into(),
        outcome: "ok".into(),
        rain: 0.5,
        features: observation("").features,
    };
    let weather = ["jane@example.com", "sunny"];
    let (source, observations) = ("proxy-9".to_owned(), vec![forecast(), forecast()]);
    let later = Later { wire: 1, source, epoch: 1, seq: 1, sent_at_ms: now(), weather, observations };
    let body = zstd::bulk::compress(&rmp_serde::to_vec_named(&later).unwrap(), 3).unwrap();
    let headers = [("content-type", "application/msgpack"), ("content-encoding", "zstd")];
    let (status, answer) = send(&collector.url, OBSERVATIONS, &headers, body.clone()).await;
    assert_eq!((status, answer.as_str()), (200, r#"{"status":"stored","stored":2}"#));
    let (_, answer) = send(&collector.url, OBSERVATIONS, &headers, body).await;
    assert_eq!(answer, r#"{"status":"repeated","stored":2}"#);
    assert_eq!(collector.metric("driftline_collector_left_out_fields_total"), 3.0, "of what was stored, once");
    house.until("SELECT count(), uniq(source) FROM observations", "2\t1").await;
    house.until("SELECT countIf(isNaN(value)), count() FROM features", "2\t4").await;
    // people are told of a field that nobody knows
    let typed = serde_json::to_string(&later).unwrap();
    let (status, answer) = send(&collector.url, OBSERVATIONS, &[("content-type", "application/json")], typed).await;
    assert!(status == 400 && answer.contains("unknown field `weather`"), "{status} {answer}");
    collector.stop().await;
}

#[tokio::test]
async fn without_clickhouse_posts_are_kept_up_to_the_bound_and_inserted_later() {
    let house = House::build().await;
    let mut config = raw(&house.path("log"));
    config.log.max_bytes = ByteSize::new(100_000);
    config.log.segment_max_bytes = ByteSize::new(8_192);
    config.limits.max_body_bytes = ByteSize::new(50_000);
    config.limits.max_decoded_bytes = ByteSize::new(50_000);
    config.drain = Duration::from_millis(200);
    let collector = Running::start(config.clone(), nowhere()).await;
    let client = reqwest::Client::new();
    let mut stored = 0;
    let refused = loop {
        let mut sent = batch("proxy-1", 1, stored + 1, 1);
        // what does not compress
        sent.observations[0].reason = Some((0..40).map(|_| uuid::Uuid::now_v7().to_string()).collect());
        let answer = post(&client, &collector.url, &sent).await.unwrap();
        match answer.status().as_u16() {
            200 => stored += 1,
            _ => break answer,
        }
    };
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "5");
    assert!(refused.text().await.unwrap().contains("the log is full"));
    assert!(stored > 10, "{stored}");
    assert_eq!(collector.metric("driftline_collector_log_state{state=\"full\"}"), 1.0);
    assert_eq!(collector.metric("driftline_collector_log_state{state=\"normal\"}"), 0.0);
    assert_eq!(collector.metric("driftline_collector_backlog_observations"), stored as f64);
    assert!(collector.metric("driftline_collector_log_bytes") <= 100_000.0);
    collector.stop().await;

    // the same log, and ClickHouse is there
    let collector = Running::start(config, house.store()).await;
    assert_eq!(collector.metric("driftline_collector_log_repairs_total{reason=\"torn\"}"), 0.0);
    house.until("SELECT count(), uniqExact(id) FROM observations", &format!("{stored}\t{stored}")).await;
    collector.until_metric("driftline_collector_backlog_observations", 0.0).await;
    collector.until_metric("driftline_collector_log_bytes", 0.0).await;
    assert_eq!(collector.metric("driftline_collector_log_state{state=\"normal\"}"), 1.0);
    let repeat = ack(post(&client, &collector.url, &batch("proxy-1", 1, stored, 1)).await.unwrap()).await;
    assert_eq!(repeat.status, AckStatus::Repeated, "marks outlive segments");
    collector.stop().await;
}

#[tokio::test]
async fn two_collectors_do_not_share_a_log() {
    let dir = tempfile::tempdir().unwrap();
    let collector = Running::start(raw(dir.path()), nowhere()).await;
    let deps = collector::Deps {
        store: nowhere(),
        masker: masking::Masker::new(&masking::RawConfig::default()).unwrap(),
        registry: host::metrics::Registry::new(),
    };
    let config = collector::Config::try_from(raw(dir.path())).unwrap();
    let error = collector::build(config, deps).await.err().unwrap();
    assert!(error.to_string().contains("in use by another collector"), "{error}");
    collector.stop().await;
}
