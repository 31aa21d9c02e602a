//! gRPC at the edge: who may call, what is refused and how, and models behind other servers. What its clients see is
//! tested with Triton's own (`tritonclient.rs`).

use axum::http::HeaderName;
use prost::Message;

use super::*;
use crate::grpc::message::{Contents, ModelInferRequest, ModelInferResponse, WireTensor};

/// A message in its frame.
fn framed(message: &impl Message) -> Vec<u8> {
    let body = message.encode_to_vec();
    [&[0][..], &u32::try_from(body.len()).unwrap().to_be_bytes(), &body].concat()
}

/// An answer: its code, its headers and trailers together, and what was in its frame.
struct Answered {
    code: i32,
    said: HeaderMap,
    message: Bytes,
}

async fn call(proxy: &Proxy, call: &str, message: &impl Message, headers: &[(&'static str, &str)]) -> Answered {
    let mut request = Request::post(format!("/inference.GRPCInferenceService/{call}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for (name, value) in headers {
        request = request.header(HeaderName::from_static(name), *value);
    }
    let request = request.body(Body::from(framed(message))).unwrap();
    let answer = proxy.service.grpc_router().unwrap().oneshot(request).await.unwrap();
    assert_eq!(
        (answer.status(), answer.headers()["content-type"].to_str().unwrap()),
        (StatusCode::OK, "application/grpc")
    );
    let mut said = answer.headers().clone();
    let body = answer.into_body().collect().await.unwrap();
    said.extend(body.trailers().cloned().unwrap_or_default());
    let message = body.to_bytes();
    let code = said["grpc-status"].to_str().unwrap().parse().unwrap();
    Answered { code, said, message: message.slice(message.len().min(5)..) }
}

fn asking(model: &str, input: &str, datatype: &str, shape: &[i64], contents: Contents) -> ModelInferRequest {
    let (name, datatype) = (input.to_owned(), datatype.to_owned());
    let input = WireTensor { name, datatype, shape: shape.to_vec(), contents: Some(contents), ..WireTensor::default() };
    ModelInferRequest { model_name: model.to_owned(), inputs: vec![input], ..ModelInferRequest::default() }
}

fn flower() -> ModelInferRequest {
    let contents = Contents { fp32_contents: vec![5.1, 3.5, 1.4, 0.2], ..Contents::default() };
    asking("flowers", "input", "FP32", &[1, 4], contents)
}

fn many_steps(n: u64) -> ModelInferRequest {
    let contents = Contents { int64_contents: vec![i64::try_from(n).unwrap()], ..Contents::default() };
    asking("slow", "steps", "INT64", &[1], contents)
}

async fn with_grpc(change: impl FnOnce(&mut RawConfig)) -> Proxy {
    Proxy::start(|raw| {
        raw.grpc = Some("127.0.0.1:0".parse().unwrap());
        change(raw);
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_behind_a_model_goes_on_with_our_span() {
    let (address, heard) = super::forward::raw_server().await;
    let proxy = with_grpc(|raw| {
        let text = format!("backend = 'http'\nurl = 'http://{address}'\n");
        raw.models.models.insert("good".to_owned(), toml::from_str(&text).unwrap());
    })
    .await;
    let contents = Contents { fp32_contents: vec![1.5, 2.5], ..Contents::default() };
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let answered =
        call(&proxy, "ModelInfer", &asking("good", "x", "FP32", &[1, 2], contents), &[("traceparent", trace)]).await;
    assert_eq!(answered.code, 0, "{:?}", answered.said);
    let ours = answered.said["traceparent"].to_str().unwrap();
    assert!(ours.starts_with(&trace[..36]) && ours != trace, "{ours}");
    let heads = heard.lock().unwrap().heads.clone();
    assert!(heads.len() == 1 && heads[0].contains(&format!("traceparent: {ours}")), "{heads:?}");
}

/// gRPC's numbers of its codes.
const INVALID_ARGUMENT: i32 = 3;
const DEADLINE_EXCEEDED: i32 = 4;
const NOT_FOUND: i32 = 5;
const PERMISSION_DENIED: i32 = 7;
const RESOURCE_EXHAUSTED: i32 = 8;
const UNAVAILABLE: i32 = 14;
const UNAUTHENTICATED: i32 = 16;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_asked_for_as_over_http_and_health_is_open() {
    let key = host::auth::keys::generate("acme", &[Scope::Infer]).unwrap();
    let proxy = with_grpc(|raw| raw.edge.auth.keys = vec![key.known]).await;
    let bearer = format!("Bearer {}", key.secret);
    let with_key = [("authorization", bearer.as_str())];
    assert_eq!(call(&proxy, "ModelInfer", &flower(), &[]).await.code, UNAUTHENTICATED);
    let wrong = call(&proxy, "ModelInfer", &flower(), &[("authorization", "Bearer dl_guess")]).await;
    assert_eq!(wrong.code, UNAUTHENTICATED);
    let answered = call(&proxy, "ModelInfer", &flower(), &with_key).await;
    assert_eq!(answered.code, 0, "{:?}", answered.said);
    let answer = ModelInferResponse::decode(answered.message).unwrap();
    assert_eq!((answer.model_name.as_str(), answer.outputs.len()), ("flowers", 2));
    let nobody = ModelInferRequest { model_name: "nobody".into(), ..flower() };
    let unknown = call(&proxy, "ModelInfer", &nobody, &with_key).await;
    let said = unknown.said["grpc-message"].to_str().unwrap();
    assert!(unknown.code == NOT_FOUND && !said.contains("flowers"), "an index is for those who may read: {said}");
    let load = ModelInferRequest { model_name: "flowers".into(), ..ModelInferRequest::default() };
    for refused in ["RepositoryModelLoad", "RepositoryModelUnload", "RepositoryIndex", "ModelMetadata"] {
        assert_eq!(call(&proxy, refused, &load, &with_key).await.code, PERMISSION_DENIED, "{refused}");
    }
    for open in ["ServerLive", "ServerReady"] {
        assert_eq!(call(&proxy, open, &ModelInferRequest::default(), &[]).await.code, 0, "{open}");
    }
    let (observations, ..) = proxy.finish().await;
    let mut told: Vec<_> = observations.iter().map(|o| (o.code, o.route.as_str())).collect();
    told.sort_unstable();
    assert_eq!(told, [(200, "grpc"), (404, "grpc")], "whoever is not let in fills no tables");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_much_is_turned_away_with_when_to_come_back_and_deadlines_are_kept() {
    let proxy = with_grpc(|raw| {
        raw.max_concurrent_requests = 1;
        raw.request_timeout = Duration::from_secs(60);
    })
    .await;
    let (steps, flower) = (many_steps(4_000_000), flower());
    let patient = [("grpc-timeout", "5S")];
    let (slow, refused) = tokio::join!(call(&proxy, "ModelInfer", &steps, &patient), async {
        while proxy.service.edge().admission.available_permits() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        call(&proxy, "ModelInfer", &flower, &[]).await
    });
    assert_eq!(slow.code, DEADLINE_EXCEEDED, "{:?}", slow.said);
    assert_eq!(refused.code, RESOURCE_EXHAUSTED, "{:?}", refused.said);
    assert_eq!(refused.said["grpc-retry-pushback-ms"], "1000");
    assert!(refused.said.contains_key("grpc-status-details-bin") && !refused.said.contains_key("retry-after"));
    let (observations, ..) = proxy.finish().await;
    let ended: Vec<_> = observations.iter().map(|o| (o.outcome, o.code)).collect();
    assert_eq!(ended, [(Outcome::Invalid, 408), (Outcome::Rejected, 429)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_behind_another_server_is_asked_too() {
    let behind = Proxy::start(|_| {}).await;
    let (address, stop) = (behind.service.local_addr(), CancellationToken::new());
    let running = tokio::spawn(behind.service.run(stop.clone()));
    let proxy = with_grpc(|raw| {
        for (name, port) in [("flowers", address.port()), ("gone", 9)] {
            let text = format!("backend = 'http'\nurl = 'http://127.0.0.1:{port}'\n");
            raw.models.models.insert(name.to_owned(), toml::from_str(&text).unwrap());
        }
    })
    .await;
    let answered = call(&proxy, "ModelInfer", &flower(), &[]).await;
    assert_eq!(answered.code, 0, "{:?}", answered.said);
    let answer = ModelInferResponse::decode(answered.message).unwrap();
    let label = answer.outputs.iter().find(|output| output.name == "label").unwrap();
    assert_eq!(label.contents.as_ref().unwrap().int64_contents, [0]);
    let metadata =
        call(&proxy, "ModelMetadata", &ModelInferRequest { model_name: "flowers".into(), ..Default::default() }, &[])
            .await;
    let metadata = crate::grpc::about::ModelMetadata::decode(metadata.message).unwrap();
    assert_eq!((metadata.name.as_str(), metadata.inputs[0].name.as_str()), ("flowers", "input"));
    let other = call(&proxy, "ModelInfer", &ModelInferRequest { model_version: "7".into(), ..flower() }, &[]).await;
    assert_eq!(other.code, INVALID_ARGUMENT, "{:?}", other.said);
    let gone = call(&proxy, "ModelInfer", &ModelInferRequest { model_name: "gone".into(), ..flower() }, &[]).await;
    assert_eq!(gone.code, UNAVAILABLE, "{:?}", gone.said);
    stop.cancel();
    running.await.unwrap().unwrap();
}

/// A request's body that the test fills when it likes, and its answer's.
struct Open {
    ask: tokio::sync::mpsc::Sender<Result<Bytes, tonic::Status>>,
    answer: Body,
}

impl Open {
    async fn call(proxy: &Proxy, call: &'static str, headers: &[(&'static str, &str)]) -> Self {
        let (ask, asked) = tokio::sync::mpsc::channel(16);
        let mut request = Request::post(call).header("content-type", "application/grpc");
        for (name, value) in headers {
            request = request.header(HeaderName::from_static(name), *value);
        }
        let request = request.body(Body::new(crate::grpc::frames::Frames::of(asked))).unwrap();
        let calls = proxy.service.grpc_router().unwrap();
        let answer = tokio::spawn(calls.oneshot(request));
        if call == WATCH {
            ask.send(Ok(framed(&ModelInferRequest::default()).into())).await.unwrap();
        }
        // a watch asks once
        let ask = if call == WATCH { tokio::sync::mpsc::channel(1).0 } else { ask };
        let (parts, answer) = answer.await.unwrap().unwrap().into_parts();
        assert_eq!(parts.headers.get("grpc-status"), None, "it ended before it began: {parts:?}");
        Self { ask, answer }
    }

    async fn ask(&self, message: &impl Message) {
        self.ask.send(Ok(framed(message).into())).await.unwrap();
    }

    /// What comes next: a message, or the status at the end.
    async fn next(&mut self) -> Result<Bytes, i32> {
        let frame = tokio::time::timeout(Duration::from_secs(60), self.answer.frame()).await.unwrap().unwrap().unwrap();
        match frame.into_data() {
            Ok(data) => Ok(data.slice(5..)),
            Err(frame) => Err(frame.into_trailers().unwrap()["grpc-status"].to_str().unwrap().parse().unwrap()),
        }
    }

    /// The status at the end; what is half a question may be answered with what is wrong with it before.
    async fn end(&mut self) -> i32 {
        loop {
            if let Err(code) = self.next().await {
                return code;
            }
        }
    }
}

/// The first byte of nine.
const HALF: Bytes = Bytes::from_static(&[0, 0, 0, 0, 9, 1]);

/// Streams that were closed for this reason.
fn closed(proxy: &Proxy, reason: &str) -> u64 {
    let line = format!("driftline_edge_refused_requests_total{{reason=\"{reason}\"}} ");
    let metrics = proxy.registry.render();
    let found = metrics.lines().find_map(|found| found.strip_prefix(&line));
    found.unwrap_or_else(|| panic!("{line} is not in\n{metrics}")).parse().unwrap()
}

const STREAM: &str = "/inference.GRPCInferenceService/ModelStreamInfer";
const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
const WATCH: &str = "/grpc.health.v1.Health/Watch";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_message_of_a_stream_is_let_in_and_observed_as_a_call_is() {
    let key = host::auth::keys::generate("acme", &[Scope::Infer]).unwrap();
    let proxy = with_grpc(|raw| {
        raw.edge.auth.keys = vec![key.known];
        raw.edge.rate = Some(toml::from_str("per_second = 0.001\nburst = 4").unwrap());
    })
    .await;
    assert_eq!(call(&proxy, "ModelStreamInfer", &flower(), &[]).await.code, UNAUTHENTICATED);
    let bearer = format!("Bearer {}", key.secret);
    // one to open it, three to ask
    let mut stream = Open::call(&proxy, STREAM, &[("authorization", &bearer)]).await;
    let mut told = Vec::new();
    // one by one: only answers keep their order
    for _ in 0..5 {
        stream.ask(&flower()).await;
        let answer = stream.next().await.unwrap();
        told.push(String::from_utf8_lossy(&answer).contains("too many requests"));
    }
    assert_eq!(told, [false, false, false, true, true]);
    drop(stream.ask);
    let rest = tokio::time::timeout(Duration::from_secs(60), stream.answer.collect()).await.unwrap().unwrap();
    assert_eq!(rest.trailers().unwrap()["grpc-status"], "0");
    let (observations, ledger, metrics) = proxy.finish().await;
    assert_eq!((observations.len(), ledger.observed), (3, 3), "what is refused at the edge fills no tables");
    assert!(observations.iter().all(|o| (o.route.as_str(), o.code, o.outcome) == ("grpc", 200, Outcome::Ok)));
    let refused = metrics.lines().find(|line| line.contains("reason=\"rate\"")).unwrap();
    assert!(refused.ends_with(" 2"), "{refused}");
}

/// The client goes away in the middle: what it had asked is cancelled, and that is an observation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_stream_asked_ends_with_it() {
    let proxy = with_grpc(|raw| raw.request_timeout = Duration::from_secs(600)).await;
    let free = || proxy.service.edge().admission.available_permits();
    let all = free();
    let stream = Open::call(&proxy, STREAM, &[]).await;
    stream.ask(&many_steps(4_000_000)).await;
    let until = async |open: bool| {
        while (free() < all) != open {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), until(true)).await.unwrap();
    drop(stream);
    tokio::time::timeout(Duration::from_secs(60), until(false)).await.unwrap();
    while proxy.service.edge().observer.mirror.as_ref().unwrap().counts().observed == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (observations, ledger, _) = proxy.finish().await;
    assert_eq!((observations.len(), ledger.observed), (1, 1));
    assert_eq!(observations[0].outcome, Outcome::Cancelled);
}

/// A client that asks and does not read: its answers keep their places among what is open, and not for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_wait_to_be_read_are_open_and_not_for_ever() {
    for idle_max in [Duration::from_secs(600), Duration::from_millis(200)] {
        let proxy = with_grpc(|raw| raw.max_stream_idle = idle_max).await;
        let edge = proxy.service.edge();
        let free = || edge.admission.available_permits();
        let all = free();
        let until = async |what: &dyn Fn() -> bool| {
            let come = async {
                while !what() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(60), come).await.unwrap();
        };
        let stream = Open::call(&proxy, STREAM, &[]).await;
        for _ in 0..3 {
            stream.ask(&flower()).await;
        }
        if idle_max > Duration::from_secs(60) {
            until(&|| edge.observer.mirror.as_ref().unwrap().counts().observed == 3).await;
            // one is on its way out
            until(&|| free() == all - 2).await;
        } else {
            until(&|| stream.ask.is_closed() && closed(&proxy, "unread_stream") == 1).await;
        }
        let _unread = (idle_max < Duration::from_secs(60)).then_some(stream);
        until(&|| free() == all).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_end_when_the_server_stops_or_nothing_comes() {
    let proxy = with_grpc(|raw| raw.max_stream_idle = Duration::from_millis(200)).await;
    for call in [STREAM, REFLECTION] {
        assert_eq!(Open::call(&proxy, call, &[]).await.next().await, Err(DEADLINE_EXCEEDED), "{call}");
        let mut half = Open::call(&proxy, call, &[]).await;
        half.ask.send(Ok(HALF)).await.unwrap();
        assert_eq!(half.end().await, DEADLINE_EXCEEDED, "{call}");
    }
    assert_eq!(closed(&proxy, "idle_stream"), 4, "each is counted");
    assert_eq!(closed(&proxy, "unread_stream"), 0);

    let proxy = with_grpc(|raw| raw.drain = Duration::from_millis(200)).await;
    let (mut stream, mut health) = (Open::call(&proxy, STREAM, &[]).await, Open::call(&proxy, WATCH, &[]).await);
    let mut half = Open::call(&proxy, STREAM, &[]).await;
    half.ask.send(Ok(HALF)).await.unwrap();
    assert_eq!(health.next().await.unwrap(), [8, 2].as_slice(), "it does not want traffic yet");
    let stop = CancellationToken::new();
    let running = tokio::spawn(proxy.service.run(stop.clone()));
    assert_eq!(health.next().await.unwrap(), [8, 1].as_slice());
    stream.ask(&flower()).await;
    assert!(stream.next().await.unwrap().len() > 40);
    stop.cancel();
    assert_eq!(health.next().await.unwrap(), [8, 2].as_slice());
    assert_eq!((health.next().await, stream.next().await), (Err(UNAVAILABLE), Err(UNAVAILABLE)));
    assert_eq!(half.end().await, UNAVAILABLE, "the rest of a message is waited for as long as for any request");
    running.await.unwrap().unwrap();
}

/// Half a message and then silence, over a real connection: it takes the stop no longer than the drain, and is observed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_message_does_not_hold_up_the_stop() {
    let proxy = with_grpc(|raw| {
        (raw.request_timeout, raw.max_stream_idle) = (Duration::from_secs(600), Duration::from_secs(600));
        raw.drain = Duration::from_secs(5);
    })
    .await;
    let address = proxy.service.grpc_addr().unwrap();
    let admission = Arc::clone(&proxy.service.edge().admission);
    let (all, seen, stop) = (admission.available_permits(), Arc::clone(&proxy.seen), CancellationToken::new());
    let running = tokio::spawn(proxy.service.run(stop.clone()));
    let socket = hyper_util::rt::TokioIo::new(tokio::net::TcpStream::connect(address).await.unwrap());
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut client, connection) = hyper::client::conn::http2::handshake(executor, socket).await.unwrap();
    tokio::spawn(connection);
    let (ask, asked) = tokio::sync::mpsc::channel(1);
    ask.send(Ok(HALF)).await.unwrap();
    let request = Request::post(format!("http://{address}{STREAM}")).header("content-type", "application/grpc");
    let request = request.body(crate::grpc::frames::Frames::of(asked)).unwrap();
    let _answer = client.send_request(request).await.unwrap();
    let begun = async {
        while admission.available_permits() == all {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), begun).await.unwrap();
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(60), running).await.expect("it stops").unwrap().unwrap();
    let routes: Vec<_> =
        seen.lock().unwrap().iter().flat_map(|batch| &batch.observations).map(|o| o.route.clone()).collect();
    assert_eq!(routes, ["grpc"], "what began is observed");
}
