//! The document is held to the program and to the rules of OpenAPI.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use axum::http::StatusCode;

use super::*;
use crate::stack::tests::Proxy;

/// Method and path of every route in a source file.
fn routed(file: &str) -> BTreeSet<(&'static str, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let source = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let calls = source.split(".route(").skip(1).chain(source.split("inference(&edge").skip(1));
    let found = calls.filter_map(|call| {
        let (_, rest) = call.split_once('"')?;
        let (path, rest) = rest.split_once('"')?;
        let method = if rest.trim_start_matches([',', ' ', '\n']).starts_with("post(") { "POST" } else { "GET" };
        path.starts_with('/').then(|| (method, path.to_owned()))
    });
    found.collect()
}

#[test]
fn every_route_is_in_the_document_and_nothing_else() {
    let files = ["src/stack.rs", "src/admin.rs", "src/page.rs", "../deploy/host/src/edge.rs"];
    let routed: BTreeSet<_> = files.into_iter().flat_map(routed).collect();
    assert!(routed.len() > 25, "{routed:?}");
    let listed: BTreeSet<_> = OPERATIONS.iter().map(|o| (o.method, o.path.to_owned())).collect();
    assert_eq!(listed, routed);
}

/// Every `$ref` of a document.
fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str));
            members.values().for_each(|member| references(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

/// What <https://spec.openapis.org/oas/v3.1.0> asks of the parts that are used here.
#[test]
fn the_document_keeps_the_rules() {
    let document = document();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 50);
    for reference in &found {
        let place = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(place).is_some(), "{reference} leads nowhere");
    }
    for schema in document["components"]["schemas"].as_object().unwrap().keys() {
        let reference = format!("#/components/schemas/{schema}");
        assert!(found.contains(&reference.as_str()), "{schema} is used nowhere");
    }
    let tags: BTreeSet<_> =
        document["tags"].as_array().unwrap().iter().map(|tag| tag["name"].clone().to_string()).collect();
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for operation in item.as_object().unwrap().values() {
            assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{path}: an id is given twice");
            assert!(operation["summary"].as_str().unwrap().ends_with('.'), "{path}");
            assert!(tags.contains(&operation["tags"][0].to_string()), "{path}");
            assert!(operation["responses"]["200"]["description"].is_string(), "{path}");
            let named: Vec<_> =
                operation["parameters"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
            let in_path: Vec<_> = path.split('{').skip(1).map(|rest| rest.split('}').next().unwrap()).collect();
            assert_eq!(named, in_path, "{path}");
        }
    }
}

/// What is wrong with a value, by the keywords of JSON Schema that the document uses.
fn faults(document: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let schema = document.pointer(reference.strip_prefix('#').unwrap()).unwrap();
        return faults(document, schema, value, at, found);
    }
    let is = match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        other => panic!("{at}: the type {other:?}"),
    };
    if !is {
        return found.push(format!("{at} is {value}, which is no {}", schema["type"]));
    }
    if schema["enum"].as_array().is_some_and(|words| !words.contains(value)) {
        found.push(format!("{at} is {value}"));
    }
    if schema["minimum"].as_f64().is_some_and(|least| value.as_f64().unwrap() < least) {
        found.push(format!("{at} is {value}"));
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if value.get(name).is_none() {
            found.push(format!("{at} has no {name}"));
        }
    }
    for (name, member) in value.as_object().into_iter().flatten() {
        match (schema["properties"].get(name), schema.get("additionalProperties")) {
            (Some(schema), _) | (None, Some(schema @ Value::Object(_))) => {
                faults(document, schema, member, &format!("{at}.{name}"), found);
            }
            (None, Some(Value::Bool(false))) => found.push(format!("{at} has {name}, of which nothing is said")),
            _ => {}
        }
    }
    if let Some(schema) = schema.get("items") {
        for (n, item) in value.as_array().unwrap().iter().enumerate() {
            faults(document, schema, item, &format!("{at}[{n}]"), found);
        }
    }
}

#[test]
fn the_checker_finds_what_is_wrong() {
    let document = document();
    let wrong = json!({ "id": 7, "predictions": [{ "truncated": "no" }], "task": "chat" });
    let mut found = Vec::new();
    faults(&document, &reference("Predictions"), &wrong, "answer", &mut found);
    assert!(found.iter().any(|fault| fault == "answer has no model"), "{found:?}");
    for part in ["answer.id is 7", "answer.predictions[0].truncated", "answer.task is"] {
        assert!(found.iter().any(|fault| fault.starts_with(part)), "{part}: {found:?}");
    }
    let mut found = Vec::new();
    faults(&document, &reference("Error"), &json!({ "error": "x", "code": 1 }), "answer", &mut found);
    assert_eq!(found, ["answer has code, of which nothing is said"]);
}

/// Bodies that are right, by operation.
fn bodies() -> BTreeMap<&'static str, Value> {
    let flower = json!({"name": "input", "shape": [1, 4], "datatype": "FP32", "data": [5.1, 3.5, 1.4, 0.2]});
    BTreeMap::from([
        ("predict", json!({"text": "where is my parcel"})),
        ("infer", json!({"inputs": [flower.clone()], "id": "a"})),
        ("inferVersion", json!({"inputs": [flower]})),
        ("assignRole", json!({"role": "spare"})),
        ("promote", json!({"version": "2", "reason": "a test"})),
        ("rollback", json!({})),
        ("repositoryIndex", json!({})),
        ("loadModel", json!({})),
        ("unloadModel", json!({})),
    ])
}

/// Every operation is asked of a running proxy; what it answers has the shape that is promised, and so has every refusal.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_answered_is_what_is_promised() {
    let proxy = Proxy::start(|raw| raw.models.tuning.max_time = std::time::Duration::ZERO).await;
    let (status, headers, document) = proxy.call("GET", "/openapi.json", "").await;
    assert_eq!((status, &headers["content-type"]), (StatusCode::OK, &"application/json".parse().unwrap()));
    let bodies = bodies();
    for operation in OPERATIONS {
        // what is loaded and unloaded is the model that nobody else asks
        let model = match operation.id {
            "infer" | "inferVersion" => "flowers",
            "loadModel" | "unloadModel" => "slow",
            _ => "router",
        };
        let version = if operation.id == "assignRole" { "2" } else { "1" };
        let path = operation.path.replace("{model}", model).replace("{version}", version).replace("{file}", "app.js");
        let body = bodies.get(operation.id).map_or_else(String::new, Value::to_string);
        let (status, headers, answer) = proxy.call(operation.method, &path, body).await;
        if operation.id == "verdict" {
            // needs a body, and `follow_verdicts`
            assert_eq!(status, StatusCode::BAD_REQUEST);
        } else {
            // readiness is only said by a proxy that runs
            let may = status == StatusCode::OK || operation.id == "ready";
            assert!(may, "{} {path}: {status} {answer}", operation.method);
        }
        let content = headers["content-type"].to_str().unwrap();
        let schema = match operation.answer {
            _ if status == StatusCode::BAD_REQUEST => reference("Error"),
            Json(schema) => reference(schema),
            Other(media) => {
                assert!(media == "*/*" || content.starts_with(media), "{path} is {content}");
                continue;
            }
        };
        assert_eq!(content, "application/json", "{path}");
        let mut found = Vec::new();
        faults(&document, &schema, &answer, operation.id, &mut found);
        assert!(found.is_empty(), "{path}: {found:#?}\n{answer}");
    }
    for (method, path, status) in
        [("GET", "/v2/models/nobody", 404), ("DELETE", "/v2", 405), ("GET", "/page/nothing", 404)]
    {
        let (found, _, answer) = proxy.call(method, path, "").await;
        let mut wrong = Vec::new();
        faults(&document, &reference("Error"), &answer, path, &mut wrong);
        assert_eq!((found.as_u16(), wrong.is_empty()), (status, true), "{path}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_is_there_and_nothing_may_load_into_it() {
    let proxy = Proxy::start(|raw| raw.models.tuning.max_time = std::time::Duration::ZERO).await;
    let (status, headers, page) = proxy.call("GET", "/", "").await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.as_str().unwrap().contains("<main id=\"models\""));
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    let (_, _, overview) = proxy.call("GET", "/v1/models", "").await;
    let models = overview["models"].as_array().unwrap();
    let router = models.iter().find(|model| model["name"] == "router").unwrap();
    let primary = &router["versions"][0];
    assert_eq!(
        (&primary["role"], &primary["state"], &primary["takes_text"]),
        (&json!("primary"), &json!("ready"), &json!(true))
    );
    assert_eq!(primary["parameters"]["precision"], "fp32");
    assert!(primary["parameters"]["batching"]["why"].is_string());
    assert_eq!(router["versions"][1]["role"], "shadow");
}
