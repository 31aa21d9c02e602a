//! The document is held to the program and to the rules of OpenAPI.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use host::openapi::check;
use serde_json::{Value, json};

use super::*;
use crate::stack::tests::Proxy;

#[test]
fn every_route_is_in_the_document_and_nothing_else() {
    let sources = [
        include_str!("../stack.rs"),
        include_str!("../admin.rs"),
        include_str!("../page.rs"),
        include_str!("../../../deploy/host/src/edge.rs"),
    ];
    assert_eq!(check::unlike_routes(&DOCUMENT, &sources), [""; 0]);
    assert!(OPERATIONS.len() > 25);
}

#[test]
fn the_document_keeps_the_rules() {
    assert_eq!(check::broken_rules(&DOCUMENT), [""; 0]);
    let paths = &DOCUMENT.json()["paths"];
    let infer = &paths["/v2/models/{model}/infer"]["post"];
    assert_eq!(infer["description"], "Needs the scope `infer` where keys are on.");
    assert!(infer["requestBody"]["content"]["application/octet-stream"].is_object(), "{infer}");
    assert_eq!(paths["/v2/health/live"]["get"]["security"], json!([]));
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
        let found = match operation.answer {
            _ if status == StatusCode::BAD_REQUEST => check::faults_of_shape(&document, "Error", &answer, operation.id),
            Other(media) => {
                assert!(media == "*/*" || content.starts_with(media), "{path} is {content}");
                continue;
            }
            _ => check::faults_of_answer(&document, operation, &answer),
        };
        assert_eq!(content, "application/json", "{path}");
        assert!(found.is_empty(), "{path}: {found:#?}\n{answer}");
    }
    for (method, path, status) in
        [("GET", "/v2/models/nobody", 404), ("DELETE", "/v2", 405), ("GET", "/page/nothing", 404)]
    {
        let (found, _, answer) = proxy.call(method, path, "").await;
        let wrong = check::faults_of_shape(&document, "Error", &answer, path);
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
