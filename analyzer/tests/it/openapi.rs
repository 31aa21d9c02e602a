//! `/openapi.json` against what is really answered.

use analyzer::api::openapi::{DOCUMENT, OPERATIONS};
use contract::api::{FeatureVerdict, baseline::BaselineRecord};
use host::openapi::{Answer, Operation, check::faults_of_answer};
use serde_json::{Value, json};

use crate::{
    api::Running,
    cycle::{T0, raw},
};

fn asked_for(name: &str) -> String {
    match name {
        "limit" => "5".to_owned(),
        "from_ms" | "before_ms" => T0.to_string(),
        "to_ms" => (T0 + 60_000).to_string(),
        "confidence_max" => "0.5".to_owned(),
        "model" => "m".to_owned(),
        "feature" => "input.x".to_owned(),
        name => name.to_owned(),
    }
}

/// Everything that is read, each with every filter that it lists and with one that it does not.
async fn check(running: &Running, operation: &Operation, path: &str, document: &Value) {
    let (status, body) = match operation.method {
        "GET" => running.get(path).await,
        _ => {
            let answer = running.http.post(format!("{}{path}", running.base)).json(&json!({})).send().await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        }
    };
    assert!(status == 200 || (operation.id == "askGate" && status == 409), "{path}: {status} {body}");
    let found = faults_of_answer(document, operation, &serde_json::from_str(&body).unwrap());
    assert!(found.is_empty(), "{found:#?}");
    for name in operation.query {
        let (status, body) = running.get(&format!("{path}?{name}={}", asked_for(name))).await;
        assert_eq!(status, 200, "{path}?{name}: {body}");
    }
    if !operation.query.is_empty() {
        assert_eq!(running.get(&format!("{path}?nonsense=1")).await.0, 400, "{path}");
    }
}

#[tokio::test]
async fn what_is_answered_has_the_shapes_that_are_promised() {
    let mut config = raw();
    config.segments.reference = 1_000;
    config.models.insert("m".into(), serde_json::from_value(json!({ "segments": ["output.label"] })).unwrap());
    let running = Running::start_with(config, &[]).await;
    let (status, text) = running.get("/openapi.json").await;
    let document = DOCUMENT.json();
    assert_eq!((status, serde_json::from_str::<Value>(&text).unwrap()), (200, document.clone()));
    let verdicts: Vec<FeatureVerdict> = running.read("/api/v1/verdicts?model=m&limit=1").await;
    let references: Vec<BaselineRecord> = running.read("/api/v1/models/m/baselines").await;
    let fingerprint = references[0].info.fingerprint.clone();
    let mut asked = 0;
    for operation in OPERATIONS {
        let read = operation.method == "GET" || operation.id == "askGate";
        if !read || matches!(operation.answer, Answer::Other(_)) {
            continue;
        }
        let named = [
            ("{model}", "m"),
            ("{feature}", "input.x"),
            ("{shadow}", "2"),
            ("{gate}", "promote"),
            ("{slo}", "m-available"),
            ("{fingerprint}", fingerprint.as_str()),
            ("{other}", fingerprint.as_str()),
            ("{id}", verdicts[0].id.as_str()),
        ];
        let path = named.iter().fold(operation.path.to_owned(), |path, (name, value)| path.replace(name, value));
        check(&running, operation, &path, &document).await;
        asked += 1;
    }
    assert!(asked > 20, "{asked}");
    running.stop().await;
}
