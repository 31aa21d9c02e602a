//! KServe's payload logger: a request and its response come apart and end as one row, whoever is killed in between.

use std::time::Duration;

use serde_json::json;
use store::erase::Subject;
use uuid::Uuid;

use crate::house::{Child, House, Running, raw};

/// As KServe's logger posts: binary mode, the ids and names in headers.
async fn log(url: &str, side: &str, id: &str, body: impl Into<reqwest::Body>) -> (u16, String) {
    let request = reqwest::Client::new()
        .post(format!("{url}/v1/cloudevents"))
        .header("content-type", "application/json")
        .header("ce-specversion", "1.0")
        .header("ce-type", format!("org.kubeflow.serving.inference.{side}"))
        .header("ce-id", id)
        .header("ce-source", "http://localhost:9081/")
        .header("ce-inferenceservicename", "iris")
        .header("ce-namespace", "shop")
        .header("ce-component", "predictor")
        .header("ce-endpoint", "default")
        .body(body);
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

const STORED: &str = r#"{"status":"stored","stored":1}"#;

fn asked(text: &str) -> String {
    json!({"inputs": [
        {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [6.8, 2.8]},
        {"name": "note", "datatype": "BYTES", "shape": [1], "data": [text]},
    ]})
    .to_string()
}

fn given() -> String {
    json!({"model_name": "iris", "model_version": "7", "outputs": [
        {"name": "label", "datatype": "BYTES", "shape": [1], "data": ["setosa"]},
    ]})
    .to_string()
}

fn segments(dir: &std::path::Path) -> usize {
    let files = std::fs::read_dir(dir.join("halves")).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|e| e == "segment")).count()
}

#[tokio::test]
async fn halves_are_joined_and_one_that_stays_alone_is_marked() {
    let house = House::build().await;
    let mut config = raw(&house.path("log"));
    config.kserve.window = Duration::from_secs(5);
    let collector = Running::start(config, house.store()).await;
    let ids: Vec<String> = (0..4).map(|_| Uuid::now_v7().to_string()).collect();
    let url = &collector.url;
    assert_eq!(log(url, "request", &ids[0], asked("mail jane@example.com")).await, (200, STORED.into()));
    assert_eq!(log(url, "response", &ids[0], given()).await, (200, STORED.into()));
    let repeated = STORED.replace("stored\",", "repeated\",");
    assert_eq!(log(url, "response", &ids[0], given()).await, (200, repeated));
    assert_eq!(log(url, "response", &ids[1], given()).await.0, 200);
    assert_eq!(log(url, "request", &ids[1], asked("x")).await.0, 200);
    assert_eq!(log(url, "request", &ids[2], "\u{1}not JSON").await.0, 200);
    assert_eq!(log(url, "response", &ids[3], given()).await.0, 200);
    let (status, text) = log(url, "other", &ids[3], "{}").await;
    assert_eq!(status, 422, "{text}");

    house
        .until(
            "SELECT source, model, version, outcome, reason, count() FROM observations GROUP BY ALL ORDER BY outcome, reason",
            "kserve\tiris\tdefault\terror\tno_response\t1\nkserve\tiris\t7\tok\t\t2\nkserve\tiris\t7\tok\tno_request\t1",
        )
        .await;
    let of_first = format!("WHERE id = '{}'", ids[0]);
    house
        .until(
            &format!("SELECT feature, value FROM features {of_first} ORDER BY feature"),
            "input.x_0\t6.8\ninput.x_1\t2.8",
        )
        .await;
    house
        .until(
            &format!("SELECT feature, value FROM categories {of_first} ORDER BY feature"),
            "input.note\tmail [EMAIL]\noutput.label\tsetosa",
        )
        .await;
    let payload = house.ask(&format!("SELECT input, output FROM payloads {of_first}")).await;
    assert!(payload.contains("mail [EMAIL]") && payload.contains("setosa"), "{payload}");
    // a label finds the request by the id that its client gave
    let label = json!({"id": ids[0], "label": "virginica"}).to_string();
    let post = reqwest::Client::new().post(format!("{url}/v1/labels")).body(label).send().await.unwrap();
    assert_eq!(post.status(), 200);
    house.until("SELECT answer, truth FROM labelled", "setosa\tvirginica").await;
    for (outcome, expected) in [("joined", 2.0), ("no_response", 1.0), ("no_request", 1.0), ("lost", 0.0)] {
        collector.until_metric(&format!("driftline_collector_pairs_total{{outcome=\"{outcome}\"}}"), expected).await;
    }
    collector.until_metric("driftline_collector_waiting_halves", 0.0).await;
    assert_eq!(
        house.ask("SELECT count() FROM heartbeats WHERE source = 'kserve'").await,
        "0",
        "no window waits for it"
    );
    // a response that stayed alone has an id of its own, and is found by the one that its client gave
    let (store, subject) = (house.store(), Subject::Id(ids[3].parse().unwrap()));
    let found = store.ids_of(&subject, &[]).await.unwrap();
    store.delete_rows_of(&found).await.unwrap();
    store.forget_ids(found).await.unwrap();
    assert_eq!(house.ask("SELECT count(), countIf(reason = 'no_request') FROM observations").await, "3\t0");
    collector.stop().await;
}

#[tokio::test]
async fn an_acknowledged_half_outlives_a_kill() {
    let house = House::build().await;
    let mut child = Child::start(&house, "127.0.0.1:0").await;
    let ids: Vec<String> = (0..60).map(|_| Uuid::now_v7().to_string()).collect();
    // killed with halves in the open segment, in sealed ones, in memory, and on the way into the log
    for (side, body) in [("request", asked("x")), ("response", given())] {
        for (i, id) in ids.iter().enumerate() {
            let url = format!("http://{}", child.address);
            assert_eq!(log(&url, side, id, body.clone()).await, (200, STORED.into()));
            if i % 12 == 11 {
                let pause = [0, 30, 90, 150, 250][i / 12];
                tokio::time::sleep(Duration::from_millis(pause)).await;
                child.kill().await;
                child = Child::start(&house, "127.0.0.1:0").await;
            }
        }
    }
    house
        .until("SELECT count(), uniqExact(id), countIf(outcome = 'ok' AND reason = '') FROM observations", "60\t60\t60")
        .await;
    house.until("SELECT count() FROM features", "120").await;
    child.stop().await;
    // what is settled does not lie about: the next start has nothing to read again
    let child = Child::start(&house, "127.0.0.1:0").await;
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while segments(&house.path("log")) > 0 {
        assert!(std::time::Instant::now() < deadline, "{} segments of halves stay", segments(&house.path("log")));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    child.stop().await;
    assert_eq!(house.ask("SELECT count(), uniqExact(id) FROM observations").await, "60\t60");
}

#[tokio::test]
async fn halves_without_room_are_refused_and_the_log_of_halves_empties_again() {
    let house = House::build().await;
    let mut config = raw(&house.path("log"));
    config.kserve.max_bytes = host::config::ByteSize::mib(1);
    config.kserve.window = Duration::from_secs(600);
    let collector = Running::start(config, house.store()).await;
    // what does not compress
    let body = || asked(&(0..3000).map(|_| Uuid::now_v7().to_string()).collect::<String>());
    let (mut stored, mut refused) = (0, 0);
    while refused == 0 {
        match log(&collector.url, "request", &Uuid::now_v7().to_string(), body()).await {
            (200, _) => stored += 1,
            (503, text) => {
                refused += 1;
                let sentence = "collector.kserve.max_bytes";
                assert!(text.contains(sentence) && !text.contains("ClickHouse"), "{text}");
            }
            other => panic!("{other:?}"),
        }
        assert!(stored < 10_000, "the bound on the disk is not kept");
    }
    assert_eq!(collector.metric("driftline_collector_pairs_total{outcome=\"refused\"}"), 1.0);
    // the oldest make room long before their window has passed, and all that was acknowledged is stored
    let again = async || log(&collector.url, "request", &Uuid::now_v7().to_string(), body()).await.0;
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while again().await != 200 {
        assert!(std::time::Instant::now() < deadline, "no room is made");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(collector.metric("driftline_collector_pairs_total{outcome=\"squeezed\"}") > 0.0);
    collector.stop().await;
}
