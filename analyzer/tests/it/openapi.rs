//! `/openapi.json` against what is really answered.

use analyzer::api::openapi::{Answer, OPERATIONS, Operation, document};
use contract::api::{FeatureVerdict, baseline::BaselineRecord};
use serde_json::{Value, json};

use crate::{
    api::Running,
    cycle::{T0, raw},
};

/// What is wrong with a value, by the keywords of JSON Schema that the document uses.
fn faults(document: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        return faults(document, document.pointer(&reference[1..]).unwrap(), value, at, found);
    }
    if let Some(either) = schema["anyOf"].as_array() {
        if !value.is_null() {
            faults(document, &either[0], value, at, found);
        }
        return;
    }
    let is = match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        None => true,
        other => panic!("{at}: the type {other:?}"),
    };
    if !is || schema["enum"].as_array().is_some_and(|words| !words.contains(value)) {
        return found.push(format!("{at} is {value}, which is no {schema}"));
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if value.get(name).is_none() {
            found.push(format!("{at} has no {name}"));
        }
    }
    for (name, member) in value.as_object().into_iter().flatten() {
        let at = format!("{at}.{name}");
        match (schema["properties"].get(name), &schema["additionalProperties"]) {
            (Some(schema), _) | (None, schema @ Value::Object(_)) => faults(document, schema, member, &at, found),
            (None, Value::Bool(false)) => found.push(format!("{at} is answered, and shapes.rs says nothing of it")),
            _ => {}
        }
    }
    for (n, item) in value.as_array().into_iter().flatten().enumerate() {
        faults(document, &schema["items"], item, &format!("{at}[{n}]"), found);
    }
}

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
    let kinds =
        &document["paths"][operation.path][operation.method.to_ascii_lowercase()]["responses"]["200"]["content"];
    let schema = &kinds["application/json"]["schema"];
    let mut found = Vec::new();
    faults(document, schema, &serde_json::from_str(&body).unwrap(), operation.id, &mut found);
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
    let document = document();
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
