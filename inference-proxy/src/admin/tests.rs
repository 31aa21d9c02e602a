//! The operator's door with real models: canary, promotion, rollback, verdicts, breaker and fallback as clients see them.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use crate::stack::tests::Proxy;

const PREDICT: &str = "/v1/models/router/predict";
const TEXT: &str = r#"{"text":"where is my parcel"}"#;

fn settings(raw: &mut crate::RawConfig, text: &str) {
    raw.models.models = toml::from_str(text).unwrap();
}

async fn post(proxy: &Proxy, path: &str, body: &Value) -> (u16, Value) {
    let (status, _, body) = proxy.call("POST", path, body.to_string()).await;
    (status.as_u16(), body)
}

/// The version that answers a client, which the header and the body agree on.
async fn answers(proxy: &Proxy, headers: &[(&str, &str)]) -> String {
    let mut request = Request::post(PREDICT);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (status, headers, body) = proxy.send(request.body(Body::from(TEXT)).unwrap()).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(headers["driftline-model-version"], body["version"].as_str().unwrap());
    body["version"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_canary_is_stepped_up_promoted_and_taken_back() {
    let proxy = Proxy::start(|raw| settings(raw, "[router]\nprimary = '1'\ninstances = 1")).await;
    let role = "/v1/models/router/versions/2/role";
    let canary = json!({"role": "canary", "percent": 0, "header": "x-canary: yes"});
    let (status, body) = post(&proxy, role, &canary).await;
    assert_eq!((status, &body["canary"]["version"]), (200, &json!("2")), "{body}");
    assert_eq!(answers(&proxy, &[]).await, "1");
    assert_eq!(answers(&proxy, &[("x-canary", "yes")]).await, "2");
    let mut before = Vec::new();
    for percent in [30, 60, 100] {
        let (status, body) = post(&proxy, role, &json!({"role": "canary", "percent": percent})).await;
        assert_eq!(status, 200, "{body}");
        let mut now = Vec::new();
        for client in 0..20 {
            if answers(&proxy, &[("driftline-client", &format!("client-{client}"))]).await == "2" {
                now.push(client);
            }
        }
        assert!(before.iter().all(|client| now.contains(client)), "{before:?} was there before {now:?}");
        before = now;
    }
    assert_eq!(before.len(), 20);
    let (status, body) = post(&proxy, "/v1/models/router/promote", &json!({"reason": "it is better"})).await;
    assert_eq!((status, &body["primary"], &body["previous"]), (200, &json!("2"), &json!("1")), "{body}");
    assert_eq!(answers(&proxy, &[]).await, "2");
    let (status, body) = post(&proxy, "/v1/models/router/rollback", &json!({})).await;
    assert_eq!((status, &body["primary"]), (200, &json!("1")), "{body}");
    assert_eq!(answers(&proxy, &[]).await, "1");
    let (observations, _, metrics) = proxy.finish().await;
    let versions: Vec<_> = observations.iter().map(|seen| seen.version.as_str()).collect();
    assert!(versions.contains(&"1") && versions.contains(&"2"));
    for line in [
        "driftline_proxy_version_events_total{kind=\"canary\",model=\"router\",version=\"2\"} 4",
        "driftline_proxy_version_events_total{kind=\"rollback\",model=\"router\",version=\"1\"} 1",
        "driftline_proxy_version_events_total{kind=\"switch\",model=\"router\",version=\"2\"} 1",
        "driftline_proxy_loads_total{model=\"router\",version=\"1\"} 1",
        "driftline_proxy_traffic_ratio{model=\"router\",role=\"primary\",version=\"1\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}

/// Pipelines ask again where an answer was lost: what went back must not come forward again.
#[tokio::test]
async fn a_rollback_that_is_sent_again_changes_nothing() {
    let proxy = Proxy::start(|raw| settings(raw, "[router]\nprimary = '1'\ninstances = 1")).await;
    let rollback = async |body: Value| {
        let (status, answer) = post(&proxy, "/v1/models/router/rollback", &body).await;
        let (_, _, roles) = proxy.call("GET", "/v1/models/router/roles", "").await;
        (status, roles["primary"].as_str().unwrap().to_owned(), answer)
    };
    let promote = async |version: &str| {
        let (status, body) = post(&proxy, "/v1/models/router/promote", &json!({"version": version})).await;
        assert_eq!(status, 200, "{body}");
    };
    promote("2").await;
    for (again, expected) in [(false, 200), (true, 409)] {
        let (status, primary, answer) = rollback(json!({})).await;
        assert_eq!((status, primary.as_str()), (expected, "1"), "again: {again}: {answer}");
    }
    promote("2").await;
    let role = "/v1/models/router/versions/1/role";
    let (status, body) = post(&proxy, role, &json!({"role": "canary", "percent": 5})).await;
    assert_eq!(status, 200, "{body}");
    for (again, expected) in [(false, 200), (true, 409)] {
        let (status, primary, answer) = rollback(json!({})).await;
        assert_eq!((status, primary.as_str()), (expected, "2"), "again: {again}: {answer}");
    }
    promote("1").await;
    let (status, primary, answer) = rollback(json!({"from": "2"})).await;
    assert_eq!((status, primary.as_str()), (409, "1"), "version 2 does not answer: {answer}");
    let (status, primary, answer) = rollback(json!({"from": "1", "reason": "it is worse"})).await;
    assert_eq!((status, primary.as_str()), (200, "2"), "{answer}");
    assert_eq!(rollback(json!({"version": "1"})).await.0, 400);
}

#[tokio::test]
async fn what_cannot_be_done_is_said_in_one_sentence() {
    let proxy = Proxy::start(|raw| settings(raw, "[router]\nprimary = '1'\ninstances = 1")).await;
    let check = async |path: &str, body: Value, status: u16, says: &str| {
        let (found, answer) = post(&proxy, path, &body).await;
        let error = answer["error"].as_str().unwrap_or_default();
        assert_eq!(found, status, "{path}: {answer}");
        assert!(error.contains(says) && !error.contains('\n'), "'{error}' does not say '{says}'");
    };
    check("/v1/models/router/rollback", json!({}), 409, "neither a canary nor").await;
    check("/v1/models/router/promote", json!({}), 409, "no canary").await;
    check("/v1/models/router/promote", json!({"version": "9"}), 404, "no version '9'").await;
    check("/v1/models/nobody/rollback", json!({}), 404, "no model 'nobody'").await;
    let role = |version: &str| format!("/v1/models/router/versions/{version}/role");
    check(&role("2"), json!({"role": "canary"}), 400, "how much").await;
    check(&role("2"), json!({"role": "canary", "percent": 101}), 400, "canary.percent: must be from 0 to 100").await;
    check(&role("2"), json!({"role": "primary", "percent": 5}), 400, "is for canaries and shadows").await;
    check(&role("2"), json!({"role": "king"}), 400, "unknown variant `king`").await;
    check(&role("1"), json!({"role": "spare"}), 409, "promote another first").await;
    check(&role("1"), json!({"role": "shadow"}), 409, "promote another first").await;
    let (_, _, body) = proxy.call("GET", "/v1/models/router/roles", "").await;
    assert_eq!((&body["primary"], &body["canary"]), (&json!("1"), &Value::Null), "nothing changed");
}

#[tokio::test]
async fn a_verdict_moves_the_canary_only_where_it_may() {
    let models =
        "[router]\nprimary = '1'\ninstances = 1\nfollow_verdicts = true\ncanary = { version = '2', percent = 50 }";
    let proxy = Proxy::start(|raw| settings(raw, models)).await;
    let verdict = async |version: &str, word: &str| {
        let body = json!({"version": version, "verdict": word, "reason": "e-value 31"});
        let (status, body) = post(&proxy, "/v1/models/router/verdict", &body).await;
        assert_eq!(status, 200, "{body}");
        body
    };
    assert_eq!(verdict("2", "hold").await["canary"]["version"], "2");
    assert_eq!(verdict("1", "reject").await["primary"], "1", "a verdict on another version changes nothing");
    let rejected = verdict("2", "reject").await;
    assert_eq!(rejected["canary"], Value::Null);
    let did = rejected["did"].as_str().unwrap();
    assert!(did.contains("the verdict was 'reject': e-value 31"), "{did}");
    let role = "/v1/models/router/versions/2/role";
    let (status, _) = post(&proxy, role, &json!({"role": "canary", "percent": 10})).await;
    assert_eq!(status, 200);
    assert_eq!(verdict("2", "promote").await["primary"], "2");
    let (_, body) = post(&proxy, "/v1/models/router/rollback", &json!({})).await;
    assert_eq!(body["primary"], "1", "{body}");
    let (status, _) = post(&proxy, role, &json!({"role": "canary", "percent": 10})).await;
    assert_eq!(status, 200);
    let again = verdict("2", "promote").await;
    assert_eq!((&again["primary"], &again["canary"]["version"]), (&json!("1"), &json!("2")), "{again}");
    assert!(again["did"].as_str().unwrap().contains("answered before and was taken back"), "{again}");
    let deaf = Proxy::start(|raw| settings(raw, &models.replace("true", "false"))).await;
    let body = json!({"version": "2", "verdict": "reject"});
    let (_, body) = post(&deaf, "/v1/models/router/verdict", &body).await;
    assert_eq!(body["canary"]["version"], "2", "nobody asked it to follow: {body}");
}

#[tokio::test]
async fn a_proved_shadow_answers_only_where_that_was_chosen_and_what_it_was_compared_with_still_answers() {
    let models = "[router]\nprimary = '1'\ninstances = 1\nfollow_verdicts = true\nshadows = [{ version = '2' }]";
    let told = async |proxy: &Proxy, verdict: &str, against: &str| {
        let body = json!({"version": "2", "verdict": verdict, "against": against});
        let (status, body) = post(proxy, "/v1/models/router/verdict", &body).await;
        assert_eq!(status, 200, "{body}");
        (body["primary"].clone(), body["did"].as_str().unwrap().to_owned())
    };
    let proxy = Proxy::start(|raw| settings(raw, models)).await;
    let (primary, did) = told(&proxy, "promote", "1").await;
    assert_eq!(primary, "1");
    assert!(did.starts_with("nothing: promote_shadows is not set"), "{did}");
    let chosen = Proxy::start(|raw| settings(raw, &format!("{models}\npromote_shadows = true"))).await;
    for (verdict, against, why) in [
        ("reject", "1", "the shadow stays as it is"),
        ("hold", "1", "the shadow stays as it is"),
        ("promote", "0", "compared with a version that answers no more"),
    ] {
        let (primary, did) = told(&chosen, verdict, against).await;
        assert_eq!(primary, "1", "{did}");
        assert!(did.starts_with("nothing: ") && did.contains(why), "{did}");
    }
    assert_eq!(told(&chosen, "promote", "1").await.0, "2");
    assert_eq!(answers(&chosen, &[]).await, "2");
    assert!(told(&chosen, "promote", "1").await.1.contains("answers already"));
}

#[tokio::test]
async fn a_shadow_can_be_promoted() {
    // the fixture's own configuration: version 2 is a shadow with one session
    let proxy = Proxy::start(|raw| {
        if let Some(router) = raw.models.models.get_mut("router") {
            router.instances = Some(2);
        }
    })
    .await;
    let (status, body) = post(&proxy, "/v1/models/router/promote", &json!({"version": "2"})).await;
    assert_eq!((status, &body["primary"], &body["shadows"]), (200, &json!("2"), &json!([])), "{body}");
    assert_eq!(answers(&proxy, &[]).await, "2");
    let (_, _, body) = proxy.call("GET", "/v2/models/router", "").await;
    assert_eq!(body["parameters"]["instances"], 2, "the primary's sessions, not the shadow's");
}

fn asking_row(row: i64) -> String {
    json!({"inputs": [{"name": "row", "shape": [1], "datatype": "INT64", "data": [row]}]}).to_string()
}

#[tokio::test]
async fn a_version_that_fails_is_left_alone_and_its_fallback_answers() {
    let dir = tempfile::tempdir().unwrap();
    for version in ["1", "small"] {
        crate::model::testing::copy(
            &crate::model::testing::fixtures().join("lookup/1"),
            &dir.path().join("lookup").join(version),
        );
    }
    let proxy = Proxy::start(|raw| {
        raw.models.models_dir = dir.path().to_path_buf();
        settings(raw, "[lookup]\nprimary = '1'\ninstances = 1\nfallback = { version = 'small' }");
        raw.models.breaker.min_runs = 3;
        raw.models.breaker.open_for = std::time::Duration::from_secs(600);
        raw.models.breaker.open_for_max = std::time::Duration::from_secs(600);
    })
    .await;
    let infer = async |row: i64| {
        let (status, headers, body) = proxy.call("POST", "/v2/models/lookup/infer", asking_row(row)).await;
        let fallback = headers.get("driftline-fallback").map(|value| value.to_str().unwrap().to_owned());
        (status.as_u16(), fallback, body)
    };
    assert_eq!(infer(0).await.1, None);
    for _ in 0..2 {
        proxy.expire("lookup").await;
    }
    let (status, fallback, body) = infer(0).await;
    assert_eq!((status, fallback.as_deref()), (200, Some("1; breaker_open")), "{body}");
    assert_eq!((&body["model_version"], &body["parameters"]["model_used"]), (&json!("small"), &json!("lookup/small")));
    let (_, _, index) = proxy.call("POST", "/v2/repository/index", "").await;
    let breaker = |version: &str| {
        let line = index.as_array().unwrap().iter().find(|line| line["version"] == version).unwrap();
        line["breaker"].clone()
    };
    assert_eq!(breaker("1"), "open", "{index}");
    let (_, _, metrics) = proxy.call("GET", "/metrics", "").await;
    let metrics = metrics.as_str().unwrap().to_owned();
    let (observations, _, _) = proxy.finish().await;
    let last = observations.last().unwrap();
    assert_eq!((last.version.as_str(), last.reason.as_deref()), ("small", Some("fallback")));
    for line in [
        "driftline_proxy_breaker_state{model=\"lookup\",state=\"open\",version=\"1\"} 1",
        "driftline_proxy_fallbacks_total{model=\"lookup\",reason=\"breaker_open\",version=\"1\"} 1",
        "driftline_proxy_requests_total{model=\"lookup\",outcome=\"ok\",role=\"fallback\",version=\"small\"} 1",
        "driftline_proxy_version_events_total{kind=\"breaker_open\",model=\"lookup\",version=\"1\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}

#[tokio::test]
async fn a_clients_mistakes_open_no_breaker() {
    let proxy = Proxy::start(|raw| {
        settings(raw, "[router]\nprimary = '1'\ninstances = 1");
        raw.models.breaker.min_runs = 1;
    })
    .await;
    for _ in 0..10 {
        let (status, _) = post(&proxy, PREDICT, &json!({"text": ""})).await;
        assert_eq!(status, 400);
    }
    assert_eq!(answers(&proxy, &[]).await, "1");
}

/// A row past the table passes every check of shape and datatype, and ONNX Runtime fails on it: still the client's mistake.
#[tokio::test]
async fn values_that_the_graph_cannot_take_open_no_breaker_and_spend_no_budget() {
    let proxy = Proxy::start(|raw| {
        settings(raw, "[lookup]\nprimary = '1'\ninstances = 1");
        raw.models.breaker.min_runs = 1;
    })
    .await;
    for _ in 0..5 {
        let (status, _, body) = proxy.call("POST", "/v2/models/lookup/infer", asking_row(1_000_000)).await;
        assert_eq!(status, 400, "{body}");
        assert!(body["error"].as_str().unwrap().contains("cannot take these values"), "{body}");
    }
    let (status, _, body) = proxy.call("POST", "/v2/models/lookup/infer", asking_row(1)).await;
    assert_eq!(status, 200, "{body}");
    let (observations, _, metrics) = proxy.finish().await;
    let invalid = |o: &&contract::wire::Observation| o.outcome == contract::wire::Outcome::Invalid;
    assert_eq!(observations.iter().filter(invalid).count(), 5);
    assert!(!metrics.contains("driftline_proxy_breaker_failures_total{model=\"lookup\""), "{metrics}");
}

#[tokio::test]
async fn a_rule_answers_where_nothing_else_can() {
    let proxy = Proxy::start(|raw| {
        settings(raw, "[router]\nprimary = '1'\ninstances = 1\nfallback = { label = 'billing' }");
        raw.models.breaker.min_runs = 1;
        raw.models.breaker.open_for = std::time::Duration::from_secs(600);
        raw.models.breaker.open_for_max = std::time::Duration::from_secs(600);
        raw.request_timeout = std::time::Duration::from_secs(10);
    })
    .await;
    // the breaker learns from a deadline that the request brings along
    proxy.expire("router").await;
    let (status, headers, body) = proxy.call("POST", PREDICT, r#"{"texts":["a parcel","b"]}"#).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!((&body["version"], &body["model_used"]), (&json!("rule"), &json!("router/rule")));
    assert_eq!(body["fallback"]["instead_of"], "1");
    assert_eq!(body["fallback"]["reason"], "breaker_open");
    assert_eq!(body["predictions"][1]["label"], "billing");
    assert_eq!(headers["driftline-fallback"], "1; breaker_open");
    let (_, _, body) = proxy
        .call(
            "POST",
            "/v2/models/router/infer",
            r#"{"inputs":[{"name":"text","shape":[1],"datatype":"BYTES","data":["x"]}]}"#,
        )
        .await;
    assert_eq!(body["parameters"]["model_used"], "router/rule", "{body}");
    let label = body["outputs"].as_array().unwrap().iter().find(|output| output["name"] == "label").unwrap();
    assert_eq!(label["data"], json!(["billing"]));
}
