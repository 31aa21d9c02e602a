//! The whole edge with real models (`tests/fixtures`), a real collector's socket, and requests good and bad.

mod predict;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Request, StatusCode};
use contract::slo::SloFile;
use contract::wire::{Ack, AckStatus, Batch, FeatureValue, Observation, Outcome, Payload};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::*;
use crate::{Deps, RawConfig, Service, build};

mod clients;
mod forward;
mod grpc;
mod names;
mod serving;
mod traces;
mod tritonclient;

type Seen = Arc<Mutex<Vec<Batch>>>;

/// A collector that stores what comes.
async fn collector() -> (String, Seen) {
    async fn store(State(seen): State<Seen>, body: Bytes) -> axum::Json<Ack> {
        let batch: Batch = rmp_serde::from_slice(&zstd::decode_all(body.as_ref()).unwrap()).unwrap();
        let stored = batch.observations.len() as u64;
        seen.lock().unwrap().push(batch);
        axum::Json(Ack { status: AckStatus::Stored, stored })
    }
    let seen = Seen::default();
    let router = Router::new().route(contract::wire::OBSERVATIONS_PATH, post(store)).with_state(Arc::clone(&seen));
    let listener = host::serve::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(host::serve::run(listener, router, CancellationToken::new(), Duration::ZERO));
    (url, seen)
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models")
}

fn onnxruntime() -> PathBuf {
    let deps = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../.deps/onnxruntime/libonnxruntime.so");
    std::env::var_os("DRIFTLINE_ONNXRUNTIME").map_or_else(deps, PathBuf::from)
}

const SLOS: &str = r#"{"service":"s","owner":"o","slos":[
    {"name":"up","model":"router","objective":99,"sli":{"kind":"availability"}},
    {"name":"slow-up","model":"slow","objective":99,"sli":{"kind":"availability"}}]}"#;

/// A proxy in this process.
pub(crate) struct Proxy {
    service: Service,
    seen: Seen,
    registry: Registry,
}

impl Proxy {
    pub(crate) async fn start(change: impl FnOnce(&mut RawConfig)) -> Self {
        let (url, seen) = collector().await;
        let mut raw = RawConfig { listen: "127.0.0.1:0".parse().unwrap(), ..RawConfig::default() };
        raw.models.models_dir = fixtures();
        raw.models.onnxruntime = onnxruntime();
        raw.models.models = toml::from_str(
            "[router]\nprimary = '1'\ninstances = 1\nshadows = [{ version = '2', percent = 100 }]\n[slow]\ninstances = 1\n",
        )
        .unwrap();
        raw.mirror.collector_url = Some(url);
        raw.mirror.batch_max_delay = Duration::from_millis(5);
        raw.client_key = Some("0123456789abcdef".into());
        change(&mut raw);
        let registry = Registry::new();
        let slos: SloFile = serde_json::from_str(SLOS).unwrap();
        let deps = Deps { registry: registry.clone(), masking: masking::RawConfig::default(), slos: Some(slos) };
        let service = build(raw.check().unwrap(), deps).await.unwrap();
        assert!(service.load().await, "every fixture loads");
        Self { service, seen, registry }
    }

    pub(crate) async fn call(&self, method: &str, path: &str, body: impl Into<Body>) -> (StatusCode, HeaderMap, Value) {
        let request = Request::builder().method(method).uri(path).body(body.into()).unwrap();
        self.send(request).await
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> (StatusCode, HeaderMap, Value) {
        let answer = self.service.router().oneshot(request).await.unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        let body =
            serde_json::from_slice(&bytes).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into()));
        (status, headers, body)
    }

    /// One request to a model's primary whose deadline passes while it runs, as its breaker sees it.
    pub(crate) async fn expire(&self, model: &str) {
        let version = self.service.edge().catalog.primary(model).unwrap();
        let input = crate::model::testing::texts(&["x"]);
        let late = version.run_guarded(input, std::time::Instant::now().into()).await;
        assert!(matches!(late, Err(crate::model::RunError::Deadline)), "{late:?}");
    }

    /// Stops, and gives what the collector was told, with the account at the end.
    pub(crate) async fn finish(self) -> (Vec<Observation>, contract::wire::Ledger, String) {
        let shutdown = CancellationToken::new();
        shutdown.cancel();
        self.service.run(shutdown).await.unwrap();
        let seen = self.seen.lock().unwrap();
        let ledger = seen.last().unwrap().ledger;
        let mut observations: Vec<_> = seen.iter().flat_map(|batch| batch.observations.clone()).collect();
        // Several threads mask, so they come in any order; their ids are in that of the requests.
        observations.sort_by_key(|observation| observation.id);
        (observations, ledger, self.registry.render())
    }
}

const FLOWER: &str = r#"{"name":"input","shape":[1,4],"datatype":"FP32","data":[5.1,3.5,1.4,0.2]}"#;

fn number(observation: &Observation, name: &str) -> f64 {
    match observation.features.iter().find(|f| f.name == name).map(|f| &f.value) {
        Some(FeatureValue::Number(x)) => *x,
        other => panic!("{name} is {other:?} in {:?}", observation.features),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_is_answered_and_observed_with_its_shadow() {
    let proxy = Proxy::start(|_| {}).await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let body = json!({"text": "where is my parcel jane.doe@example.com", "parameters": {"ticket": "T-7"}}).to_string();
    let request = Request::post("/v1/models/router/predict")
        .header("traceparent", trace)
        .header("driftline-client", "acme")
        .body(Body::from(body))
        .unwrap();
    let (status, headers, answer) = proxy.send(request).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["predictions"][0]["label"], "shipping");
    assert_eq!((&answer["model"], &answer["version"]), (&json!("router"), &json!("1")));
    let scores = answer["predictions"][0]["scores"].as_object().unwrap();
    assert!((scores.values().map(|s| s.as_f64().unwrap()).sum::<f64>() - 1.0).abs() < 1e-5);
    assert_eq!(headers["driftline-id"].to_str().unwrap(), answer["id"].as_str().unwrap());
    assert_eq!(headers["driftline-model-version"], "1");
    assert!(headers["traceparent"].to_str().unwrap().starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"));

    let (observations, ledger, metrics) = proxy.finish().await;
    let [seen] = observations.as_slice() else { panic!("{observations:?}") };
    assert_eq!(seen.id.to_string(), answer["id"].as_str().unwrap());
    assert_eq!((seen.outcome, seen.code, seen.route.as_str()), (Outcome::Ok, 200, "predict"));
    assert_eq!(seen.trace_id.as_deref(), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
    assert_eq!(seen.client.as_deref().map(str::len), Some(32));
    assert_eq!(seen.predictions[0].label, "shipping");
    assert!(seen.timings.total_us >= seen.timings.infer_us && seen.timings.infer_us > 0, "{:?}", seen.timings);
    assert!((number(seen, "text.chars") - 39.0).abs() < 1e-9);
    assert!((number(seen, "output.confidence") - seen.predictions[0].confidence).abs() < 1e-12);
    assert_eq!((seen.shadows[0].version.as_str(), seen.shadows[0].outcome), ("2", Outcome::Ok));
    assert_eq!(seen.shadows[0].predictions[0].label, "shipping");
    let Payload::Kept(content) = &seen.payload else { panic!("{:?}", seen.payload) };
    assert_eq!(content.input["ticket"], "T-7");
    let text = content.input["texts"][0].as_str().unwrap();
    assert!(text.starts_with("where is my parcel") && !text.contains("jane"), "{text}");
    assert_eq!((ledger.observed, ledger.delivered, ledger.in_flight), (1, 1, 0));
    for line in [
        "driftline_proxy_requests_total{model=\"router\",outcome=\"ok\",role=\"primary\",version=\"1\"} 1",
        "driftline_proxy_requests_total{model=\"flowers\",outcome=\"error\",role=\"primary\",version=\"1\"} 0",
        "driftline_proxy_shadow_runs_total{model=\"router\",outcome=\"ok\",version=\"2\"} 1",
        "driftline_proxy_sli_events_total{model=\"router\",slo=\"up\"} 1",
        "driftline_mirror_masked_entities_total{entity=\"email\"} 1",
        "driftline_mirror_payloads_total{reason=\"\",state=\"stored\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_protocol_serves_tensors_and_texts() {
    let proxy = Proxy::start(|_| {}).await;
    let body = format!(r#"{{"id":"abc","inputs":[{FLOWER}],"outputs":[{{"name":"probabilities"}}]}}"#);
    let (status, _, answer) = proxy.call("POST", "/v2/models/flowers/infer", body).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!((&answer["id"], &answer["model_version"]), (&json!("abc"), &json!("1")));
    assert_eq!(answer["outputs"].as_array().unwrap().len(), 1);
    assert_eq!(answer["outputs"][0]["shape"], json!([1, 3]));

    let nested =
        r#"{"inputs":[{"name":"input","shape":[2,4],"datatype":"FP32","data":[[5.1,3.5,1.4,0.2],[6.3,3.3,6.0,2.5]]}]}"#;
    let (status, _, answer) = proxy.call("POST", "/v2/models/flowers/versions/1/infer", nested).await;
    assert_eq!(status, 200, "{answer}");
    let label = answer["outputs"].as_array().unwrap().iter().find(|o| o["name"] == "label").unwrap();
    assert_eq!(*label, json!({"name": "label", "shape": [2], "datatype": "INT64", "data": [0, 2]}));

    let texts = r#"{"inputs":[{"name":"text","shape":[2],"datatype":"BYTES","data":["my card was charged","crash at login"]}]}"#;
    let (status, _, answer) = proxy.call("POST", "/v2/models/router/infer", texts).await;
    assert_eq!(status, 200, "{answer}");
    let output = |name: &str| answer["outputs"].as_array().unwrap().iter().find(|o| o["name"] == name).unwrap().clone();
    assert_eq!(output("label")["data"], json!(["billing", "technical"]));
    assert_eq!(output("scores")["shape"], json!([2, 3]));

    let (_, _, model) = proxy.call("GET", "/v2/models/router", "").await;
    assert_eq!((&model["platform"], &model["versions"]), (&json!("onnxruntime_onnx"), &json!(["1", "2"])));
    assert_eq!(model["inputs"], json!([{"name": "text", "datatype": "BYTES", "shape": [-1]}]));
    let names: Vec<_> = model["outputs"].as_array().unwrap().iter().map(|o| o["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"scores") && names.contains(&"label"), "{names:?}");

    let (observations, ..) = proxy.finish().await;
    assert_eq!(observations.len(), 3);
    assert!((number(&observations[0], "input.sepal_length") - f64::from(5.1_f32)).abs() < 1e-9);
    assert_eq!((observations[1].items, observations[2].items), (2, 2));
    assert!(observations[2].features.iter().any(|f| f.name == "text.tokens" && f.item == 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_input_is_told_what_and_where_and_is_observed() {
    let proxy = Proxy::start(|raw| raw.max_body_bytes = host::config::ByteSize::new(60_000)).await;
    let infer = "/v2/models/flowers/infer";
    let predict = "/v1/models/router/predict";
    let tensor = |rest: &str| format!(r#"{{"inputs":[{{{rest}}}]}}"#).into_bytes();
    let text = |text: &str| json!({ "text": text }).to_string().into_bytes();
    let many_lists =
        |rest: &str| format!("{{{rest},\"parameters\":{{\"a\":[{}]}}}}", vec!["[]"; 2_000].join(",")).into_bytes();
    let cases: Vec<(&str, Vec<u8>, u16, &str)> = vec![
        (infer, b"{\n  \"inputs\": [}".to_vec(), 400, "line 2 column"),
        (infer, b"{\"inputs\":[{\"name\":\"\xff\"}]}".to_vec(), 400, "not UTF-8 at byte 20"),
        (infer, tensor(r#""name":"input","shape":[1,4],"datatype":"FP32","data":[NaN,1,2,3]"#), 400, "line 1 column"),
        (infer, tensor(r#""name":"input","shape":[1,4],"datatype":"FP32","data":[Infinity,1,2,3]"#), 400, "column"),
        (infer, tensor(r#""name":"input","shape":[1,4],"datatype":"FP32","data":[1e400,1,2,3]"#), 400, "out of range"),
        (infer, tensor(r#""name":"input","shape":[1,3],"datatype":"FP32","data":[1,2,3]"#), 400, "input"),
        (infer, tensor(r#""name":"input","shape":[1,4],"datatype":"INT64","data":[1,2,3,4]"#), 400, "FP32"),
        (infer, tensor(r#""name":"inputs","shape":[1,4],"datatype":"FP32","data":[1,2,3,4]"#), 400, "inputs"),
        (
            infer,
            tensor(r#""name":"input","shape":[1,4],"datatype":"FP32","data":[1,2]"#),
            400,
            "needs 4 values but has 2",
        ),
        (
            infer,
            format!(r#"{{"inputs":[{FLOWER}],"outputs":[{{"name":"nope"}}]}}"#).into_bytes(),
            400,
            "no output 'nope'",
        ),
        (infer, [b"{\"inputs\":".as_slice(), &b"[".repeat(50_000)].concat(), 400, "the JSON that is expected"),
        (infer, vec![b' '; 60_001], 413, "larger than 60000 bytes"),
        (predict, text(""), 400, "empty"),
        (predict, text(&"x".repeat(10_001)), 400, "10000"),
        (predict, br#"{"texts":[]}"#.to_vec(), 400, "`texts` is empty"),
        (predict, b"{}".to_vec(), 400, "neither `text` nor `texts`"),
        (predict, br#"{"txt":"x"}"#.to_vec(), 400, "unknown field `txt`"),
        (predict, many_lists("\"text\":\"x\""), 400, "`parameters` hold more than 1024 values"),
        (infer, many_lists(&format!("\"inputs\":[{FLOWER}]")), 400, "`parameters` hold more than 1024 values"),
        ("/v1/models/flowers/predict", text("x"), 400, "takes tensors, not text"),
        ("/v1/models/nobody/predict", text("x"), 404, "'nobody'"),
        ("/v2/models/router/versions/9/infer", text("x"), 404, "'9'"),
        ("/v2/models/%ff/infer", text("x"), 400, "not UTF-8"),
    ];
    let asked = cases.len() as u64;
    for (path, body, status, part) in cases {
        let shown = String::from_utf8_lossy(&body[..body.len().min(120)]).into_owned();
        let (found, headers, answer) = proxy.call("POST", path, body).await;
        assert_eq!(found, status, "{path} {shown}: {answer}");
        let sentence = answer["error"].as_str().unwrap_or_else(|| panic!("{answer}"));
        assert_eq!(answer.as_object().unwrap().len(), 1, "the error object has one key: {answer}");
        assert!(sentence.to_lowercase().contains(&part.to_lowercase()), "{path} {shown}: {sentence}");
        assert!(headers.contains_key("driftline-id"));
    }
    let (observations, ledger, metrics) = proxy.finish().await;
    assert_eq!((ledger.observed, ledger.delivered), (asked, asked));
    assert!(
        observations.iter().all(|o| o.outcome == Outcome::Invalid && o.payload == Payload::None),
        "{observations:?}"
    );
    assert!(observations.iter().all(|o| o.reason.is_some()), "{observations:?}");
    assert!(!metrics.contains("nobody"), "a made-up name must not become a label");
    assert!(metrics.contains("driftline_proxy_sli_events_total{model=\"router\",slo=\"up\"} 0"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paths_and_methods_that_do_not_exist_are_told_so_in_json() {
    let proxy = Proxy::start(|_| {}).await;
    for (method, path, status) in [
        ("GET", "/nowhere", 404),
        ("GET", "/v1/models/router/predict", 405),
        ("DELETE", "/v2/models/router", 405),
        ("GET", "/v2/models/nobody", 404),
        ("GET", "/v2/models/nobody/ready", 404),
    ] {
        let (found, _, answer) = proxy.call(method, path, "").await;
        assert_eq!(found, status, "{method} {path}");
        assert!(answer["error"].is_string(), "{method} {path}: {answer}");
    }
    for path in
        ["/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/router/ready", "/v2/models/router/versions/1/ready"]
    {
        assert_eq!(proxy.call("GET", path, "").await.0, 200, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_goes_and_comes_and_says_so() {
    let proxy = Proxy::start(|_| {}).await;
    let infer = || format!(r#"{{"inputs":[{FLOWER}]}}"#);
    let state = async |name: &str| {
        let (_, _, index) = proxy.call("POST", "/v2/repository/index", "").await;
        let lines = index.as_array().unwrap().clone();
        lines.iter().find(|line| line["name"] == name).unwrap()["state"].as_str().unwrap().to_owned()
    };
    assert_eq!(state("flowers").await, "READY");
    assert_eq!(proxy.call("POST", "/v2/repository/models/flowers/unload", "{}").await.0, 200);
    assert_ne!(state("flowers").await, "READY");
    let (status, _, answer) = proxy.call("POST", "/v2/models/flowers/infer", infer()).await;
    assert_eq!(status, 503, "{answer}");
    assert_eq!(proxy.call("GET", "/v2/models/flowers/ready", "").await.0, 400);
    assert_eq!(proxy.call("POST", "/v2/repository/models/flowers/load", "").await.0, 200);
    assert_eq!(proxy.call("POST", "/v2/models/flowers/infer", infer()).await.0, 200);
    assert_eq!(proxy.call("POST", "/v2/repository/models/nobody/load", "").await.0, 404);
    let (observations, ..) = proxy.finish().await;
    let outcomes: Vec<_> = observations.iter().map(|o| (o.model.as_str(), o.outcome)).collect();
    assert_eq!(outcomes, [("flowers", Outcome::Error), ("flowers", Outcome::Ok)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn raw_bytes_and_compressed_bodies_go_both_ways_together() {
    use crate::encoding::Coding;
    let proxy = Proxy::start(|raw| {
        raw.max_body_bytes = host::config::ByteSize::new(200_000);
        raw.models.queue.max_items = 20_000;
    })
    .await;
    let rows = 10_000_usize;
    let head = json!({"id": "b", "inputs": [{"name": "input", "shape": [rows, 4], "datatype": "FP32",
        "parameters": {"binary_data_size": 16 * rows}}], "outputs": [{"name": "label", "parameters": {"binary_data": false}},
        {"name": "probabilities"}], "parameters": {"binary_data_output": true}}).to_string();
    let values = [5.1_f32, 3.5, 1.4, 0.2].map(f32::to_le_bytes).concat().repeat(rows);
    let body = Bytes::from([head.as_bytes(), &values].concat());
    let ask = async |body: Vec<u8>, content: &str, accept: &str| {
        let request = Request::post("/v2/models/flowers/infer")
            .header("inference-header-content-length", head.len())
            .header("content-encoding", content)
            .header("accept-encoding", accept);
        let answer = proxy.service.router().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
        let (parts, body) = answer.into_parts();
        (parts.status, parts.headers, body.collect().await.unwrap().to_bytes())
    };
    let (status, headers, plain) = ask(body.to_vec(), "identity", "identity").await;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&plain));
    assert_eq!(headers["content-type"], "application/octet-stream");
    assert_eq!(headers["content-length"].to_str().unwrap(), plain.len().to_string());
    let json_bytes: usize = headers["inference-header-content-length"].to_str().unwrap().parse().unwrap();
    let answer: Value = serde_json::from_slice(&plain[..json_bytes]).unwrap();
    assert_eq!(answer["outputs"][0]["data"].as_array().unwrap().len(), rows);
    assert_eq!(answer["outputs"][1]["parameters"], json!({"binary_data_size": 12 * rows}));
    assert_eq!((answer["outputs"][1].get("data"), plain.len()), (None, json_bytes + 12 * rows));
    for (coding, name) in [(Coding::Gzip, "gzip"), (Coding::Deflate, "deflate")] {
        let (status, headers, packed) = ask(coding.pack([&body]).unwrap(), name, name).await;
        assert_eq!((status, headers["content-encoding"].to_str().unwrap()), (StatusCode::OK, name));
        assert!(packed.len() < plain.len() / 4, "{} of {}", packed.len(), plain.len());
        assert_eq!(headers["inference-header-content-length"].to_str().unwrap(), json_bytes.to_string());
        assert_eq!(coding.unpack(&packed, plain.len()).unwrap(), plain);
        let bomb = coding.pack([&Bytes::from(vec![b' '; 200_001])]).unwrap();
        let (status, _, told) = ask(bomb, name, "identity").await;
        assert_eq!(status, 413, "{}", String::from_utf8_lossy(&told));
        assert_eq!(ask(body.to_vec(), name, "identity").await.0, 400);
    }
    assert_eq!(ask(body.to_vec(), "br", "identity").await.0, 415);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clients_own_timeout_is_kept_and_what_cannot_be_answered_does_not_run() {
    let proxy = Proxy::start(|_| {}).await;
    let slow = |micros: u64| {
        format!(
            r#"{{"inputs":[{{"name":"steps","shape":[1],"datatype":"INT64","data":[{LONG}]}}],"parameters":{{"timeout":{micros},"priority":2}}}}"#
        )
    };
    let (status, _, answer) = proxy.call("POST", "/v2/models/slow/infer", slow(200_000)).await;
    assert_eq!(status, 408, "{answer}");
    let (_, _, metrics) = proxy.call("GET", "/metrics", "").await;
    let budget = "driftline_proxy_sli_bad_events_total{model=\"slow\",slo=\"slow-up\"} 0";
    assert!(metrics.as_str().unwrap().contains(budget), "a client's impatience spends nobody's budget: {metrics}");
    for (model, body, part) in [
        ("slow", slow(1).replace(":2}", ":-2}"), "`priority` must be a whole number"),
        (
            "slow",
            steps(1).replace("]}]", "]}],\"outputs\":[{\"name\":\"nope\"}]"),
            "no output 'nope'; the model gives 'done'",
        ),
        (
            "slow",
            steps(1).replace("]}]", "]}],\"outputs\":[{\"name\":\"done\"},{\"name\":\"done\"}]"),
            "asked for twice",
        ),
        (
            "types",
            steps(1).replace("]}]", "]}],\"outputs\":[{\"name\":\"BF16_out\"}]"),
            "output 'BF16_out' is BF16, which JSON cannot carry",
        ),
    ] {
        let (status, _, answer) = proxy.call("POST", &format!("/v2/models/{model}/infer"), body).await;
        assert_eq!(status, 400, "{answer}");
        assert!(answer["error"].as_str().unwrap().contains(part), "{answer}");
    }
    let (_, _, stats) = proxy.call("GET", "/v2/models/slow/stats", "").await;
    let [slow] = stats["model_stats"].as_array().unwrap().as_slice() else { panic!("{stats}") };
    assert_eq!((&slow["inference_stats"]["fail"]["count"], &slow["inference_count"]), (&json!(1), &json!(0)));
    assert_eq!(proxy.call("GET", "/v2/models/nobody/stats", "").await.0, 404);
    assert_eq!(proxy.call("GET", "/v2/models/slow/versions/9/stats", "").await.0, 404);
}

fn steps(n: u64) -> String {
    format!(r#"{{"inputs":[{{"name":"steps","shape":[1],"datatype":"INT64","data":[{n}]}}]}}"#)
}

/// Many steps of the slow fixture: some seconds of work.
const LONG: u64 = 400_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_takes_too_long_is_a_timeout_and_what_is_too_much_is_turned_away() {
    let proxy = Proxy::start(|raw| {
        raw.request_timeout = Duration::from_millis(400);
        raw.max_concurrent_requests = 2;
    })
    .await;
    let path = "/v2/models/slow/infer";
    let (one, two, three) =
        tokio::join!(proxy.call("POST", path, steps(LONG)), proxy.call("POST", path, steps(LONG)), async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            proxy.call("POST", path, steps(1)).await
        });
    assert_eq!((one.0.as_u16(), two.0.as_u16()), (504, 504), "{} {}", one.2, two.2);
    assert_eq!(three.0, 429, "{}", three.2);
    assert_eq!(three.1["retry-after"], "1");
    let (observations, _, metrics) = proxy.finish().await;
    let count = |outcome| observations.iter().filter(|o| o.outcome == outcome).count();
    assert_eq!((count(Outcome::Timeout), count(Outcome::Rejected)), (2, 1), "{observations:?}");
    assert!(metrics.contains("driftline_proxy_sli_bad_events_total{model=\"slow\",slo=\"slow-up\"} 2"), "{metrics}");
}

/// A body of no announced length that ends, or hangs, after its first piece.
struct Piece(Option<Bytes>, bool);

impl axum::body::HttpBody for Piece {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        match self.0.take() {
            Some(piece) => std::task::Poll::Ready(Some(Ok(http_body::Frame::data(piece)))),
            None if self.1 => std::task::Poll::Pending,
            None => std::task::Poll::Ready(None),
        }
    }
}

/// Few requests with large bodies are as much as many with small ones: their bytes have one account.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_bodies_have_one_account() {
    let proxy = Proxy::start(|raw| {
        raw.max_body_bytes = host::config::ByteSize::new(64 << 10);
        raw.max_open_body_bytes = host::config::ByteSize::new(100 << 10);
        raw.edge.body_timeout = Duration::from_secs(120);
        raw.request_timeout = Duration::from_secs(120);
    })
    .await;
    let body = |kib: usize| {
        let padding = " ".repeat(kib << 10);
        Body::from(format!(r#"{{"text":"a parcel"}}{padding}"#))
    };
    let post = |body: Body| Request::post("/v1/models/router/predict").body(body).unwrap();
    let spaces = |kib: usize, hangs: bool| Body::new(Piece(Some(" ".repeat(kib << 10).into()), hangs));
    let open = tokio::spawn(proxy.service.router().oneshot(post(spaces(60, true))));
    let until = std::time::Instant::now() + Duration::from_secs(60);
    while proxy.service.edge().room.free_units() > 40 {
        assert!(!open.is_finished() && std::time::Instant::now() < until, "the open body takes no room");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let refused = proxy.send(post(body(50))).await;
    let late = proxy.send(post(spaces(50, false))).await;
    for (status, headers, answer) in [refused, late] {
        assert_eq!((status.as_u16(), headers["retry-after"].to_str().unwrap()), (429, "1"), "{answer}");
        assert!(answer["error"].as_str().unwrap().contains("proxy.max_open_body_bytes"), "{answer}");
    }
    assert_eq!(proxy.send(post(body(20))).await.0, 200, "there is room for a smaller one");
    open.abort();
    assert!(open.await.unwrap_err().is_cancelled());
    assert_eq!(proxy.send(post(body(60))).await.0, 200, "who is gone leaves the room");
    let (observations, ..) = proxy.finish().await;
    let full = |o: &&Observation| o.reason.as_deref() == Some("body_bytes") && o.outcome == Outcome::Rejected;
    assert_eq!(observations.iter().filter(full).count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_goes_away_is_observed_and_the_drain_ends_with_nothing_in_flight() {
    let proxy = Proxy::start(|_| {}).await;
    let (address, shutdown) = (proxy.service.local_addr(), CancellationToken::new());
    let running = tokio::spawn(proxy.service.run(shutdown.clone()));
    let client = reqwest::Client::new();
    let impatient = client.post(format!("http://{address}/v2/models/slow/infer")).body(steps(LONG));
    let gone = impatient.timeout(Duration::from_millis(300)).send().await;
    assert!(gone.unwrap_err().is_timeout());
    let slow = client.post(format!("http://{address}/v1/models/router/predict")).body(r#"{"text":"my parcel"}"#).send();
    assert_eq!(slow.await.unwrap().status(), 200);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let metrics = client.get(format!("http://{address}/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("driftline_mirror_observed_observations_total 2"), "{metrics}");
    shutdown.cancel();
    running.await.unwrap().unwrap();
    let seen = proxy.seen.lock().unwrap();
    let outcomes: Vec<_> =
        seen.iter().flat_map(|b| &b.observations).map(|o| (o.model.clone(), o.outcome, o.code)).collect();
    assert!(outcomes.contains(&("slow".into(), Outcome::Cancelled, 0)), "{outcomes:?}");
    assert!(outcomes.contains(&("router".into(), Outcome::Ok, 200)), "{outcomes:?}");
    let last = seen.last().unwrap().ledger;
    assert_eq!((last.observed, last.delivered, last.in_flight), (2, 2, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_do_not_change_when_nobody_collects() {
    let proxy = Proxy::start(|raw| {
        raw.mirror.collector_url = Some("http://127.0.0.1:9".into());
        raw.mirror.max_bytes = host::config::ByteSize::new(20_000);
        raw.mirror.drain = Duration::from_millis(200);
    })
    .await;
    for _ in 0..100 {
        let (status, ..) = proxy.call("POST", "/v1/models/router/predict", r#"{"text":"my parcel is late"}"#).await;
        assert_eq!(status, 200);
    }
    let (_, _, scrape) = proxy.call("GET", "/metrics", "").await;
    let scrape = scrape.as_str().unwrap();
    assert!(scrape.contains("driftline_mirror_observed_observations_total 100"), "{scrape}");
    assert!(!scrape.contains("driftline_mirror_dropped_observations_total{reason=\"full\"} 0"), "{scrape}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_does_not_come_is_the_clients_doing() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let proxy = Proxy::start(|raw| raw.request_timeout = Duration::from_millis(200)).await;
    let (address, shutdown) = (proxy.service.local_addr(), CancellationToken::new());
    let running = tokio::spawn(proxy.service.run(shutdown.clone()));
    let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = "POST /v1/models/router/predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 99\r\n\r\n{";
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4_096];
    let n = socket.read(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..n]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    drop(socket);
    shutdown.cancel();
    running.await.unwrap().unwrap();
    let metrics = proxy.registry.render();
    assert!(metrics.contains("driftline_proxy_sli_events_total{model=\"router\",slo=\"up\"} 0"), "{metrics}");
    let seen = proxy.seen.lock().unwrap();
    let observation = seen.iter().flat_map(|batch| &batch.observations).next().unwrap();
    assert_eq!((observation.outcome, observation.reason.as_deref()), (Outcome::Invalid, Some("slow_body")));
}
