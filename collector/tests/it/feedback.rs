//! What comes beside observations: lines of them, labels and their corrections, feedback, events.

use serde_json::json;

use crate::house::{House, Running, now, observation, raw};

async fn send(url: &str, path: &str, media_type: &str, body: String) -> (u16, String) {
    let request = reqwest::Client::new().post(format!("{url}{path}")).header("content-type", media_type).body(body);
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

const LINES: &str = "application/x-ndjson";
const JSON: &str = "application/json";

#[tokio::test]
async fn lines_of_observations_are_stored_once() {
    let house = House::build().await;
    let collector = Running::start(raw(&house.path("log")), house.store()).await;
    let named: String = (0..3).map(|_| json!(observation("x")).to_string() + "\n").collect();
    for expected in ["stored", "repeated"] {
        let (status, text) = send(&collector.url, "/v1/observations", LINES, named.clone()).await;
        assert_eq!(status, 200, "{text}");
        assert_eq!(text, format!(r#"{{"status":"{expected}","stored":3}}"#));
    }
    let short = json!({"model": "m", "version": "1", "outcome": "ok", "client": "jane@example.com"});
    let (status, _) = send(&collector.url, "/v1/observations", LINES, format!("{short}\n\n{short}\n")).await;
    assert_eq!(status, 200);
    let wrong = format!("{short}\n{}\n", json!({"model": "m", "version": "1", "outcome": "fine"}));
    let (status, text) = send(&collector.url, "/v1/observations", LINES, wrong).await;
    assert_eq!(status, 400);
    assert!(text.contains("observation 2: outcome: `fine` is none of ok"), "{text}");
    house.until("SELECT count(), uniqExact(id), countIf(client = '[EMAIL]') FROM observations", "5\t5\t2").await;
    house.until("SELECT max(delivered) FROM heartbeats WHERE source = 'http'", "5").await;
    collector.stop().await;
}

#[tokio::test]
async fn the_last_label_holds_and_one_of_an_unknown_request_is_kept() {
    let house = House::build().await;
    let collector = Running::start(raw(&house.path("log")), house.store()).await;
    let mut seen = observation("x");
    seen.at_ms = now() - 14 * 86_400_000;
    let (status, text) = send(&collector.url, "/v1/observations", JSON, json!(seen).to_string()).await;
    assert_eq!(status, 200, "{text}");
    let (known, unknown, at) = (seen.id, uuid::Uuid::now_v7(), now() - 1000);
    let csv = format!("id,label,at_ms\n{known},a,{at}\n{known},b,{at}\n{unknown},c,\n");
    let (status, text) = send(&collector.url, "/v1/labels", "text/csv", csv).await;
    assert_eq!((status, text.as_str()), (200, r#"{"status":"stored","stored":2}"#), "the last of two holds");
    let current = "SELECT label FROM labels_current WHERE id = '";
    house.until(&format!("{current}{known}'"), "b").await;
    // of the same moment and posted later; then of an earlier moment
    for (label, at_ms) in [("d", at), ("e", at - 1)] {
        let line = json!({"id": known, "label": label, "at_ms": at_ms}).to_string();
        assert_eq!(send(&collector.url, "/v1/labels", LINES, line).await.0, 200);
    }
    house.until("SELECT count() FROM labels", "4").await;
    assert_eq!(house.ask(&format!("{current}{known}'")).await, "d");
    house.until("SELECT answer, truth FROM labelled", "a\td").await;
    house.until("SELECT sum(labels), sum(corrected), sum(unknown) FROM dash_labels", "2\t1\t1").await;
    let (status, text) = send(&collector.url, "/v1/labels", "text/csv", format!("id,label\n{known},\n")).await;
    assert_eq!(status, 400, "{text}");
    assert!(text.contains("line 2: missing field `label`"), "{text}");
    collector.stop().await;
}

#[tokio::test]
async fn feedback_and_events_end_as_rows() {
    let house = House::build().await;
    let collector = Running::start(raw(&house.path("log")), house.store()).await;
    let seen = observation("x");
    assert_eq!(send(&collector.url, "/v1/observations", JSON, json!(seen).to_string()).await.0, 200);
    let (id, at) = (seen.id, now());
    let both = json!({"outcomes": [
        {"id": id, "name": "click", "value": true, "at_ms": at}, {"id": id, "name": "rating", "value": 4, "at_ms": at}
    ]});
    for expected in ["stored", "repeated"] {
        let (_, text) = send(&collector.url, "/v1/outcomes", JSON, both.to_string()).await;
        assert_eq!(text, format!(r#"{{"status":"{expected}","stored":2}}"#));
    }
    let csv = format!("id,name,value\n{id},click,false\n");
    assert_eq!(send(&collector.url, "/v1/outcomes", "text/csv", csv).await.0, 200);
    let (status, text) =
        send(&collector.url, "/v1/outcomes", "text/csv", format!("id,name,value\n{id},click,NaN\n")).await;
    assert_eq!(status, 422, "{text}");
    house
        .until("SELECT name, value, is_boolean FROM outcomes_current ORDER BY name", "click\t0\ttrue\nrating\t4\tfalse")
        .await;
    house.until("SELECT name, outcomes, mean FROM dash_outcomes ORDER BY name", "click\t1\t0\nrating\t1\t4").await;

    let events = json!({"source": "ci", "events": [
        {"at_ms": at, "kind": "deployment", "model": "m", "version": "2", "detail": "by jane@example.com"},
        {"at_ms": at, "kind": "incident", "model": ""},
    ]});
    for expected in ["stored", "repeated"] {
        let (_, text) = send(&collector.url, "/v1/events", JSON, events.to_string()).await;
        assert_eq!(text, format!(r#"{{"status":"{expected}","stored":2}}"#));
    }
    let (status, text) =
        send(&collector.url, "/v1/events", JSON, json!({"source": "ci", "events": [{"kind": "x"}]}).to_string()).await;
    assert_eq!(status, 400, "{text}");
    house
        .until(
            "SELECT source, kind, version, text FROM events ORDER BY kind DESC",
            "ci\tincident\t\t\nci\tdeployment\t2\tby [EMAIL]",
        )
        .await;
    // the analyzer writes to the same table, without what a segment has
    let row =
        store::read::EventRow { at, kind: "drift".into(), model: "m".into(), version: String::new(), text: "t".into() };
    house.store().read().insert_events(&[row]).await.unwrap();
    assert_eq!(house.store().read().events(10).await.unwrap().len(), 3);
    assert_eq!(collector.metric("driftline_collector_outcomes_total"), 3.0);
    assert_eq!(collector.metric("driftline_collector_events_total"), 2.0);
    collector.stop().await;
}
