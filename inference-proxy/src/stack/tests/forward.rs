//! Models behind other servers: a second proxy that answers well, and a socket that misbehaves in every way.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// What a raw server was asked.
#[derive(Debug, Default)]
pub(super) struct Heard {
    connections: usize,
    pub(super) heads: Vec<String>,
    bodies: Vec<Vec<u8>>,
}

/// A server that does to each model what its name says.
pub(super) async fn raw_server() -> (SocketAddr, Arc<Mutex<Heard>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, heard) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Heard::default())));
    let hearing = Arc::clone(&heard);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            hearing.lock().unwrap().connections += 1;
            tokio::spawn(converse(stream, Arc::clone(&hearing)));
        }
    });
    (address, heard)
}

async fn converse(stream: TcpStream, heard: Arc<Mutex<Heard>>) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let lower = head.to_lowercase();
        let length = lower.lines().find_map(|l| l.strip_prefix("content-length: ")?.trim().parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        let path = head.split(' ').nth(1).unwrap().to_owned();
        let model = path.split('/').nth(3).unwrap().to_owned();
        if path.ends_with("/infer") {
            let mut heard = heard.lock().unwrap();
            heard.heads.push(head);
            heard.bodies.push(body);
        }
        let asks = path.ends_with("/infer");
        let answer = if asks { infer(&model) } else { describe(&path, &model) };
        let Some(answer) = answer else { return std::future::pending().await };
        let closes = !answer.starts_with("HTTP/1.1") || answer.contains("content-length: 1000");
        stream.write_all(answer.as_bytes()).await.unwrap();
        match model.as_str() {
            // only an answer may drip: what asks how the model is would wait out its time-out on this connection
            "drip" if asks => return std::future::pending().await,
            _ if closes => return,
            _ => {}
        }
    }
}

fn http(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nx-from: raw\r\nkeep-alive: timeout=5\r\n\r\n{body}", body.len())
}

fn describe(path: &str, model: &str) -> Option<String> {
    let body = if path.ends_with("/ready") {
        String::new()
    } else {
        format!(
            r#"{{"name":"{model}","versions":["4","12"],"platform":"raw","inputs":[{{"name":"x","datatype":"FP32","shape":[-1,2]}}],"outputs":[]}}"#
        )
    };
    Some(http("200 OK", &body))
}

const GOOD: &str = r#"{"model_name":"m","model_version":"4","outputs":[{"name":"y","datatype":"FP32","shape":[1,2],"data":[0.25,0.75]}]}"#;

fn infer(model: &str) -> Option<String> {
    let partly = format!("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{GOOD}");
    Some(match model {
        "good" | "renamed" => http("200 OK", GOOD),
        "gibberish" => "SSH-2.0-OpenSSH_9.2\r\n".into(),
        "hangup" => String::new(),
        "cut" | "drip" => partly,
        "shapes" => http("200 OK", &GOOD.replace("[1,2]", "[3,2]")),
        "html" => http("200 OK", "<html>welcome</html>"),
        "nan" => http("200 OK", &GOOD.replace("0.25", "NaN")),
        "refuses" => http("400 Bad Request", r#"{"error":"unexpected shape"}"#),
        "fails" => http("500 Internal Server Error", r#"{"error":"out of memory"}"#),
        _ => return None,
    })
}

/// A model, the status, a part of the answer unless it breaks off, the outcome and its reason.
type Case = (&'static str, u16, Option<&'static str>, Outcome, Option<&'static str>);

const ASKED: &str = r#"{"id":"7","inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[1.5,2.5]}]}"#;

/// A proxy in front of a server, with these models.
async fn front(url: &str, models: &[&str], more: &str) -> Proxy {
    Proxy::start(|raw| {
        for model in models {
            let text = format!("backend = 'http'\nurl = '{url}'\n{more}");
            raw.models.models.insert((*model).to_owned(), toml::from_str(&text).unwrap());
        }
        raw.sampling.keep_confidence_below = 0.0;
    })
    .await
}

/// Asks, and gives status and body; the body is `None` where it broke off.
async fn ask(proxy: &Proxy, model: &str, body: impl Into<Body>) -> (StatusCode, Option<String>) {
    let request = Request::post(format!("/v2/models/{model}/infer")).body(body.into()).unwrap();
    let answer = proxy.service.router().oneshot(request).await.unwrap();
    let status = answer.status();
    let body = answer.into_body().collect().await.ok();
    (status, body.map(|body| String::from_utf8(body.to_bytes().to_vec()).unwrap()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_server_answers_passes_untouched_and_is_observed() {
    let (address, heard) = raw_server().await;
    let more = "upstream = { labels = ['no', 'yes'], probabilities = 'y' }";
    let proxy = front(&format!("http://{address}"), &["good"], more).await;
    let request = Request::post("/v2/models/good/infer")
        .header("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
        .header("x-tenant", "acme")
        .header("connection", "x-hop")
        .header("x-hop", "1")
        .header("content-length", ASKED.len())
        .body(Body::from(ASKED))
        .unwrap();
    let answer = proxy.service.router().oneshot(request).await.unwrap();
    let headers = answer.headers().clone();
    assert_eq!((headers["x-from"].to_str().unwrap(), headers.get("keep-alive")), ("raw", None));
    assert_eq!(headers["driftline-model-version"], "12", "the newest that it told of");
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), GOOD);
    for _ in 0..5 {
        assert_eq!(ask(&proxy, "good", ASKED).await.0, 200);
    }
    {
        let heard = heard.lock().unwrap();
        let head = heard.heads[0].to_lowercase();
        assert!(head.starts_with("post /v2/models/good/infer http/1.1\r\n"), "{head}");
        assert!(head.contains("x-tenant: acme") && !head.contains("x-hop"), "{head}");
        assert!(head.contains("traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-"), "{head}");
        assert!(!head.contains("00f067aa0ba902b7"), "the span must be ours: {head}");
        assert_eq!(heard.bodies[0], ASKED.as_bytes());
        assert!(heard.connections <= 3, "connections are reused: {}", heard.connections);
    }
    let (_, _, told) = proxy.call("GET", "/v2/models/good", "").await;
    assert_eq!((&told["platform"], &told["versions"]), (&json!("raw"), &json!(["4", "12"])));
    assert_eq!(proxy.call("GET", "/v2/models/good/ready", "").await.0, 200);
    assert_eq!(proxy.call("POST", "/v2/models/good/versions/4/infer", ASKED).await.0, 200);

    // a version that is stopped is no longer there: look while it serves
    let info = "driftline_proxy_version_info{model=\"good\",provider=\"http\",role=\"primary\",version=\"upstream\"} 1";
    assert!(proxy.registry.render().contains(info), "{}", proxy.registry.render());
    let (observations, ledger, metrics) = proxy.finish().await;
    assert_eq!((ledger.observed, ledger.delivered, ledger.in_flight), (7, 7, 0));
    for seen in &observations {
        assert_eq!(
            (seen.model.as_str(), seen.version.as_str(), seen.outcome, seen.code),
            ("good", "4", Outcome::Ok, 200)
        );
        assert!((number(seen, "input.x_1") - 2.5).abs() < 1e-9);
        assert_eq!((seen.predictions[0].label.as_str(), seen.predictions[0].confidence), ("yes", 0.75));
        assert!(seen.timings.infer_us > 0 && seen.timings.total_us >= seen.timings.infer_us, "{:?}", seen.timings);
        let Payload::Kept(content) = &seen.payload else { panic!("{:?}", seen.payload) };
        assert_eq!(content.output["outputs"][0]["data"], json!([0.25, 0.75]));
    }
    assert_eq!(observations[0].trace_id.as_deref(), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
    for line in [
        "driftline_proxy_requests_total{model=\"good\",outcome=\"ok\",role=\"primary\",version=\"4\"} 7",
        "driftline_proxy_upstream_up{model=\"good\",version=\"upstream\"} 1",
        "driftline_proxy_upstream_seconds_count{model=\"good\",outcome=\"answered\",version=\"upstream\"} 7",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}

/// What a client shows us to be let in is not for whoever stands behind us, unless the configuration says that it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clients_key_stays_here() {
    for (more, passes) in [("", false), ("upstream = { forward_authorization = true }", true)] {
        let (address, heard) = raw_server().await;
        let proxy = front(&format!("http://{address}"), &["good"], more).await;
        let request =
            Request::post("/v2/models/good/infer").header("authorization", "Bearer secret").header("x-mine", "1");
        let (status, ..) = proxy.send(request.body(Body::from(ASKED)).unwrap()).await;
        assert_eq!(status, 200);
        let head = heard.lock().unwrap().heads[0].to_lowercase();
        assert_eq!(head.contains("authorization"), passes, "{head}");
        assert!(head.contains("x-mine: 1"), "{head}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_misbehaves_is_told_apart_and_observed_in_full() {
    use Outcome::{Error, Invalid, Ok as Fine, Timeout};
    let (address, _) = raw_server().await;
    let models = ["gibberish", "hangup", "cut", "drip", "slow", "shapes", "html", "nan", "refuses", "fails", "good"];
    let more = "upstream = { timeout = '3s', version = '12' }";
    let proxy = front(&format!("http://{address}"), &models, more).await;
    let cases: [Case; 11] = [
        ("gibberish", 502, Some("not HTTP"), Error, Some("upstream_gibberish")),
        ("hangup", 502, Some("hung up"), Error, Some("upstream_cut")),
        ("slow", 504, Some("did not answer within 3000 ms"), Timeout, Some("upstream_slow")),
        ("cut", 200, None, Error, Some("upstream_cut")),
        ("drip", 200, None, Timeout, Some("upstream_slow")),
        ("shapes", 200, Some("[3,2]"), Error, Some("bad_output")),
        ("html", 200, Some("<html>welcome</html>"), Error, Some("bad_output")),
        ("nan", 200, Some("NaN"), Error, Some("bad_output")),
        ("refuses", 400, Some("unexpected shape"), Invalid, Some("upstream_status")),
        ("fails", 500, Some("out of memory"), Error, Some("upstream_status")),
        ("good", 200, Some("0.75"), Fine, None),
    ];
    for (model, status, part, ..) in cases {
        let (answered, body) = ask(&proxy, model, ASKED).await;
        assert_eq!(answered.as_u16(), status, "{model}: {body:?}");
        match (part, body) {
            (None, None) => {}
            (Some(part), Some(body)) => assert!(body.contains(part), "{model}: {body}"),
            (_, body) => panic!("{model}: {body:?}"),
        }
    }
    let (observations, ledger, _) = proxy.finish().await;
    assert_eq!((ledger.observed, ledger.delivered, ledger.in_flight), (11, 11, 0));
    for (model, status, _, outcome, reason) in cases {
        let seen = observations.iter().find(|seen| seen.model == model).unwrap();
        assert_eq!((seen.code, seen.outcome, seen.reason.as_deref()), (status, outcome, reason), "{model}");
        assert_eq!(seen.version, "12", "{model}");
        if outcome == Invalid {
            assert_eq!((&seen.payload, seen.features.len()), (&Payload::None, 0), "a client's mistake is not kept");
            continue;
        }
        assert!((number(seen, "input.x_0") - 1.5).abs() < 1e-9, "{model}");
        assert!(matches!(seen.payload, Payload::Kept(_)), "{model}: {:?}", seen.payload);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_there_is_a_sentence_and_an_observation_with_what_was_asked() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let proxy = front(&format!("http://{gone}"), &["down"], "").await;
    let (status, body) = ask(&proxy, "down", ASKED).await;
    assert_eq!(status, 503);
    assert_eq!(body.unwrap(), r#"{"error":"the server behind this model cannot be reached"}"#);
    assert_eq!(proxy.call("GET", "/v2/models/down/ready", "").await.0, 503);
    let (observations, _, metrics) = proxy.finish().await;
    let [seen] = observations.as_slice() else { panic!("{observations:?}") };
    assert_eq!((seen.outcome, seen.reason.as_deref()), (Outcome::Error, Some("upstream_down")));
    assert_eq!(seen.version, "upstream");
    assert!((number(seen, "input.x_0") - 1.5).abs() < 1e-9);
    assert!(metrics.contains("driftline_proxy_upstream_up{model=\"down\",version=\"upstream\"} 0"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_hold_for_what_passes() {
    let (address, heard) = raw_server().await;
    let more = "upstream = { max_copy_bytes = '200B', max_requests = 1, timeout = '2s' }";
    let proxy = front(&format!("http://{address}"), &["good", "slow"], more).await;
    // longer than what is kept: it passes whole, and is observed without content
    let values = vec!["1.5"; 200].join(",");
    let long = format!(r#"{{"inputs":[{{"name":"x","datatype":"FP32","shape":[100,2],"data":[{values}]}}]}}"#);
    let (status, body) = ask(&proxy, "good", long.clone()).await;
    assert_eq!((status.as_u16(), body.unwrap().as_str()), (200, GOOD));
    assert_eq!(heard.lock().unwrap().bodies[0], long.as_bytes());
    // more than one request
    let (slow, busy) = tokio::join!(ask(&proxy, "slow", ASKED), async {
        while !heard.lock().unwrap().heads.iter().any(|head| head.contains("/slow/")) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        ask(&proxy, "slow", ASKED).await
    });
    assert_eq!((slow.0.as_u16(), busy.0.as_u16()), (504, 429));
    assert!(busy.1.unwrap().contains("which is the limit"));
    let (observations, ..) = proxy.finish().await;
    let seen = observations.iter().find(|seen| seen.model == "good").unwrap();
    assert_eq!((seen.outcome, &seen.payload), (Outcome::Ok, &Payload::Withheld("too_large".into())));
    assert_eq!(seen.predictions, [], "no labels were named");
    assert!(seen.features.iter().any(|f| f.name.starts_with("output.")), "the answer was short enough to be read");
    let reasons: BTreeSet<_> =
        observations.iter().filter(|s| s.model == "slow").map(|s| (s.outcome, s.reason.clone().unwrap())).collect();
    let expected = [(Outcome::Timeout, "upstream_slow"), (Outcome::Rejected, "upstream_busy")];
    assert_eq!(reasons, expected.map(|(outcome, reason)| (outcome, reason.to_owned())).into());
}

/// The real thing behind: another proxy with a text model, on a socket.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_proxy_behind_gives_text_features_classes_and_a_remote_shadow() {
    let behind = Proxy::start(|_| {}).await;
    let url = format!("http://{}", behind.service.local_addr());
    let stop = CancellationToken::new();
    let running = tokio::spawn(behind.service.run(stop.clone()));
    let proxy = Proxy::start(|raw| {
        let fronted = format!("backend = 'http'\nurl = '{url}'\nupstream = {{ model = 'router' }}");
        raw.models.models.insert("support".into(), toml::from_str(&fronted).unwrap());
        let shadowed = format!(
            "primary = '1'\ninstances = 1\nshadows = [{{ version = '9' }}]\nremote.9 = {{ url = '{url}', version = '2' }}"
        );
        raw.models.models.insert("router".into(), toml::from_str(&shadowed).unwrap());
    })
    .await;
    let texts = r#"{"id":"a","inputs":[{"name":"text","shape":[2],"datatype":"BYTES","data":["where is my parcel","crash at login 42"]}]}"#;
    let (status, _, answer) = proxy.call("POST", "/v2/models/support/infer", texts).await;
    assert_eq!(
        (status.as_u16(), &answer["id"], &answer["model_name"]),
        (200, &json!("a"), &json!("router")),
        "{answer}"
    );
    let (status, _, answer) =
        proxy.call("POST", "/v1/models/support/predict", r#"{"text":"where is my parcel"}"#).await;
    assert_eq!((status.as_u16(), &answer["predictions"][0]["label"]), (200, &json!("shipping")), "{answer}");
    let (status, ..) = proxy.call("POST", "/v2/models/router/infer", texts).await;
    assert_eq!(status, 200);
    let (_, _, told) = proxy.call("GET", "/v2/models/support", "").await;
    assert_eq!((&told["name"], &told["parameters"]["task"]), (&json!("support"), &json!("text-classification")));
    let (observations, ..) = proxy.finish().await;
    let seen = observations.iter().find(|seen| seen.model == "support" && seen.route == "infer").unwrap();
    assert_eq!((seen.version.as_str(), seen.items, seen.outcome), ("1", 2, Outcome::Ok));
    let labels: Vec<_> = seen.predictions.iter().map(|p| p.label.as_str()).collect();
    assert_eq!(labels, ["shipping", "technical"]);
    assert!((number(seen, "text.chars") - 18.0).abs() < 1e-9);
    let shadowed = observations.iter().find(|seen| seen.model == "router").unwrap();
    let shadow = &shadowed.shadows[0];
    assert_eq!(
        (shadow.version.as_str(), shadow.outcome, shadow.predictions.len()),
        ("9", Outcome::Ok, 2),
        "{shadow:?}"
    );
    stop.cancel();
    running.await.unwrap().unwrap();
}

/// A client in a hurry spends its own time only: the others are served, and nobody's budget is touched.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clients_own_limit_does_not_open_the_breaker() {
    let (address, _) = raw_server().await;
    let proxy = front(&format!("http://{address}"), &["hangs"], "").await;
    for _ in 0..30 {
        let request = Request::post("/v2/models/hangs/infer").header("grpc-timeout", "20m").body(Body::from(ASKED));
        let answer = proxy.service.router().oneshot(request.unwrap()).await.unwrap();
        assert_eq!(answer.status(), 408);
        assert!(answer.into_body().collect().await.is_ok());
    }
    let closed = "driftline_proxy_breaker_state{model=\"hangs\",state=\"closed\",version=\"upstream\"} 1";
    assert!(proxy.registry.render().contains(closed), "{}", proxy.registry.render());
    let (observations, ..) = proxy.finish().await;
    assert!(observations.iter().all(|seen| seen.outcome == Outcome::Invalid), "{observations:?}");
}

/// The other server is not blamed for what a client left it: the same over the way that passes bodies on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_body_does_not_open_the_breaker_of_the_server_behind() {
    let (address, _) = raw_server().await;
    let more = "upstream = { timeout = '1s' }";
    let proxy = front(&format!("http://{address}"), &["hangs"], more).await;
    for _ in 0..2 {
        let (send, pieces) = tokio::sync::mpsc::channel(2);
        let (first, second) = ASKED.split_at(ASKED.len() / 2);
        let sending = async move {
            send.send(Ok(Bytes::from(first.to_owned()))).await.unwrap();
            tokio::time::sleep(Duration::from_millis(800)).await;
            let _late = send.send(Ok(Bytes::from(second.to_owned()))).await;
        };
        let body = Body::new(crate::grpc::frames::Frames::of(pieces));
        let ((status, answer), ()) = tokio::join!(ask(&proxy, "hangs", body), sending);
        assert_eq!(status, 408, "{answer:?}");
    }
    let (observations, ..) = proxy.finish().await;
    assert!(observations.iter().all(|seen| seen.outcome == Outcome::Invalid), "{observations:?}");
}

/// A server behind us that goes on to another version may take and give other tensors: what is known of it follows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_known_of_another_server_follows_it() {
    let said = Arc::new(Mutex::new("old"));
    let describe = {
        let said = Arc::clone(&said);
        move || async move {
            let name = *said.lock().unwrap();
            axum::Json(json!({
                "name": "m", "versions": ["1"], "platform": "raw", "outputs": [],
                "inputs": [{"name": name, "datatype": "FP32", "shape": [-1, 2]}],
                "parameters": {"labels": [name, "other"]},
            }))
        }
    };
    let behind = Router::new().route("/v2/models/m", get(describe)).route("/v2/models/m/ready", get(async || ()));
    let listener = host::serve::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(host::serve::run(listener, behind, CancellationToken::new(), Duration::ZERO));
    let proxy = front(&url, &["m"], "upstream = { probe_every = '20ms' }").await;
    let version = proxy.service.edge().catalog.primary("m").unwrap();
    for name in ["old", "new"] {
        *said.lock().unwrap() = name;
        let known = async {
            while version.metadata().inputs.first().is_none_or(|input| input.name != name) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), known).await.unwrap();
        assert_eq!(version.metadata().labels[..], [name, "other"]);
    }
}

/// A client that goes away while the answer streams is an observation like any other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_during_the_answer_is_observed() {
    let (address, _) = raw_server().await;
    let proxy = front(&format!("http://{address}"), &["drip"], "").await;
    let request = Request::post("/v2/models/drip/infer").body(Body::from(ASKED)).unwrap();
    let answer = proxy.service.router().oneshot(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    let mut body = answer.into_body();
    assert!(body.frame().await.unwrap().is_ok());
    drop(body);
    let (observations, ..) = proxy.finish().await;
    let [seen] = observations.as_slice() else { panic!("{observations:?}") };
    assert_eq!((seen.outcome, seen.code, seen.reason.as_deref()), (Outcome::Cancelled, 200, Some("client_gone")));
    assert!((number(seen, "input.x_0") - 1.5).abs() < 1e-9);
}

/// The protocol's own Python client, as it comes from PyPI, through the front; and how much later its answers come.
const TRITONCLIENT: &str = r#"
import sys, time
import numpy as np
import tritonclient.http as http
from tritonclient.utils import InferenceServerException

front, behind = (http.InferenceServerClient(url.removeprefix("http://")) for url in sys.argv[1:])
assert front.is_server_live() and front.is_model_ready("support")
assert front.get_model_metadata("support")["name"] == "support"

texts = http.InferInput("text", [2], "BYTES")
texts.set_data_from_numpy(np.array(["where is my parcel", "crash at login"], dtype=object), binary_data=False)
label = http.InferRequestedOutput("label", binary_data=False)
answer = front.infer("support", [texts], outputs=[label], request_id="7")
assert answer.get_response()["id"] == "7"
assert answer.as_numpy("label").tolist() == ["shipping", "technical"], answer.get_response()

raw = http.InferInput("text", [1], "BYTES")
raw.set_data_from_numpy(np.array(["my card was charged"], dtype=object), binary_data=True)
wanted = http.InferRequestedOutput("scores", binary_data=True)
packed = dict(request_compression_algorithm="gzip", response_compression_algorithm="gzip")
answer = front.infer("support", [raw], outputs=[wanted], **packed)
assert answer.as_numpy("scores").shape == (1, 3) and answer.as_numpy("scores").dtype == np.float32
assert front.get_inference_statistics("support")["model_stats"][0]["inference_count"] == 3

wrong = http.InferInput("nothing", [1], "BYTES")
wrong.set_data_from_numpy(np.array(["x"], dtype=object), binary_data=False)
try:
    front.infer("support", [wrong], outputs=[label])
    raise SystemExit("a wrong input was taken")
except InferenceServerException as error:
    assert "nothing" in error.message(), error

def median(client, model):
    flower = http.InferInput("input", [1, 4], "FP32")
    flower.set_data_from_numpy(np.array([[5.1, 3.5, 1.4, 0.2]], dtype=np.float32), binary_data=False)
    wanted = [http.InferRequestedOutput("probabilities", binary_data=False)]
    took = []
    for _ in range(200):
        began = time.perf_counter()
        client.infer(model, [flower], outputs=wanted)
        took.append(time.perf_counter() - began)
    return sorted(took)[len(took) // 2] * 1e3

direct, fronted = median(behind, "flowers"), median(front, "iris")
print(f"p50 straight {direct:.3f} ms, through the front {fronted:.3f} ms: {fronted - direct:.3f} ms more")
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_protocols_own_client_does_not_notice_the_front() {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.deps/venv/bin/python");
    assert!(python.exists(), "{} is missing: run `make deps`", python.display());
    let behind = Proxy::start(|raw| raw.mirror.collector_url = None).await;
    let behind_url = format!("http://{}", behind.service.local_addr());
    let stop = CancellationToken::new();
    let behind = tokio::spawn(behind.service.run(stop.clone()));
    let Proxy { service, seen, registry } = Proxy::start(|raw| {
        for (model, there) in [("support", "router"), ("iris", "flowers")] {
            let text = format!("backend = 'http'\nurl = '{behind_url}'\nupstream = {{ model = '{there}' }}");
            raw.models.models.insert(model.into(), toml::from_str(&text).unwrap());
        }
    })
    .await;
    let front_url = format!("http://{}", service.local_addr());
    let front = tokio::spawn(service.run(stop.clone()));
    let script = tokio::process::Command::new(python).args(["-c", TRITONCLIENT, &front_url, &behind_url]).output();
    let told = script.await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(told.status.success(), "{}", text(&told.stderr));
    eprintln!("{}", text(&told.stdout).trim());
    stop.cancel();
    front.await.unwrap().unwrap();
    behind.await.unwrap().unwrap();
    let seen: Vec<_> = seen.lock().unwrap().iter().flat_map(|batch| batch.observations.clone()).collect();
    let of = |model: &str, outcome| seen.iter().filter(|s| s.model == model && s.outcome == outcome).count();
    assert_eq!((of("support", Outcome::Ok), of("support", Outcome::Invalid), of("iris", Outcome::Ok)), (2, 1, 200));
    let raw = seen.iter().find(|s| s.model == "support" && s.items == 1 && s.outcome == Outcome::Ok).unwrap();
    assert_eq!(raw.predictions[0].label, "billing", "binary and compressed bodies are read for the observation");
    assert!((number(raw, "text.chars") - 19.0).abs() < 1e-9);
    let metrics = registry.render();
    assert!(metrics.contains("driftline_proxy_upstream_up{model=\"iris\",version=\"upstream\"} 1"), "{metrics}");
}
