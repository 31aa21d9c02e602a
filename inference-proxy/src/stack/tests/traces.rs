//! Traces as a receiver of OTLP gets them. That the bytes are OTLP is tested beside the messages (`spans/otlp.rs`).

use prost::Message;

use super::*;
use crate::spans::otlp::{Export, SERVER, Span};

type Received = Arc<Mutex<Vec<Span>>>;

/// A receiver that keeps what comes.
async fn receiver() -> (String, Received) {
    async fn take(State(spans): State<Received>, headers: HeaderMap, body: Bytes) -> StatusCode {
        assert_eq!(headers["content-type"], "application/x-protobuf");
        for resource in Export::decode(body).unwrap().resource_spans {
            let service = &resource.resource.as_ref().unwrap().attributes[0];
            assert_eq!(service.key, "service.name");
            assert!(format!("{:?}", service.value).contains("tested-proxy"), "{service:?}");
            spans.lock().unwrap().extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
        }
        StatusCode::OK
    }
    let spans = Received::default();
    let router = Router::new().route("/v1/traces", post(take)).with_state(Arc::clone(&spans));
    let listener = host::serve::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(host::serve::run(listener, router, CancellationToken::new(), Duration::ZERO));
    (url, spans)
}

async fn traced(url: &str, change: impl FnOnce(&mut RawConfig)) -> Proxy {
    Proxy::start(|raw| {
        raw.traces.otlp_url = Some(url.to_owned());
        raw.traces.service_name = "tested-proxy".into();
        raw.traces.keep_slower_than = None;
        change(raw);
    })
    .await
}

async fn predict(proxy: &Proxy, traceparent: Option<&str>) -> HeaderMap {
    let mut request = Request::post("/v1/models/router/predict");
    if let Some(traceparent) = traceparent {
        request = request.header("traceparent", traceparent);
    }
    let (status, headers, answer) = proxy.send(request.body(Body::from(r#"{"text":"my parcel"}"#)).unwrap()).await;
    assert_eq!(status, 200, "{answer}");
    headers
}

const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn text(span: &Span, key: &str) -> String {
    let found = span.attributes.iter().find(|attribute| attribute.key == key);
    format!("{:?}", found.and_then(|attribute| attribute.value.as_ref()?.value.clone()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_one_trace_with_its_stages_in_order() {
    let (url, received) = receiver().await;
    let proxy = traced(&url, |raw| raw.traces.percent = 100.0).await;
    let answered = predict(&proxy, Some(CALLER)).await;
    let (observations, _, metrics) = proxy.finish().await;
    let spans = received.lock().unwrap().clone();
    let names: Vec<_> = spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(
        names,
        ["predict router", "admission", "read", "tokenize", "queue", "infer", "postprocess", "mirror"],
        "{metrics}"
    );
    let (root, stages) = spans.split_first().unwrap();
    assert_eq!(hex::encode(&root.trace_id), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(hex::encode(&root.parent_span_id), "00f067aa0ba902b7");
    assert_eq!((root.kind, root.status.is_none()), (SERVER, true));
    let told = answered["traceparent"].to_str().unwrap();
    assert_eq!(told, format!("00-{}-{}-01", hex::encode(&root.trace_id), hex::encode(&root.span_id)));
    assert!(text(root, "driftline.observation_id").contains(&observations[0].id.to_string()));
    assert!(text(root, "driftline.outcome").contains("ok") && text(root, "http.response.status_code").contains("200"));
    let (arrived, answered) = (root.start_time_unix_nano, root.end_time_unix_nano);
    assert_eq!(arrived / 1_000_000, u64::try_from(observations[0].at_ms).unwrap());
    let mut before = arrived;
    for stage in stages {
        assert_eq!((&stage.trace_id, &stage.parent_span_id), (&root.trace_id, &root.span_id), "{stage:?}");
        assert!(
            stage.start_time_unix_nano >= before && stage.end_time_unix_nano >= stage.start_time_unix_nano,
            "{spans:?}"
        );
        assert!(stage.name == "mirror" || stage.end_time_unix_nano <= answered, "{spans:?}");
        before = stage.end_time_unix_nano;
    }
    let ids: std::collections::BTreeSet<_> = spans.iter().map(|span| span.span_id.clone()).collect();
    assert!(ids.len() == spans.len() && ids.iter().all(|id| id.len() == 8));
    assert!(metrics.contains("driftline_proxy_traces_total{state=\"exported\"} 1"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ends_badly_is_always_kept_and_of_the_rest_what_was_asked_for() {
    let (url, received) = receiver().await;
    let proxy = traced(&url, |raw| {
        raw.traces.percent = 0.0;
        raw.request_timeout = Duration::from_secs(3);
    })
    .await;
    let unkept = predict(&proxy, None).await;
    assert!(unkept["traceparent"].to_str().unwrap().ends_with("-00"), "those behind us need not keep it either");
    predict(&proxy, Some(&CALLER.replace("-01", "-00"))).await;
    predict(&proxy, Some(CALLER)).await;
    assert_eq!(proxy.call("POST", "/v1/models/nobody/predict", "{}").await.0, 404);
    assert_eq!(proxy.call("POST", "/v2/models/slow/infer", steps(4_000_000)).await.0, 504);
    proxy.finish().await;
    let spans = received.lock().unwrap().clone();
    let mut roots: Vec<_> = spans.iter().filter(|span| span.kind == SERVER).collect();
    roots.sort_by_key(|span| span.name.clone());
    assert_eq!(roots.iter().map(|span| span.name.as_str()).collect::<Vec<_>>(), ["infer slow", "predict router"]);
    let status = roots[0].status.as_ref().unwrap();
    assert_eq!((status.code, status.message.as_str()), (2, "deadline"));
    assert!(roots[0].parent_span_id.is_empty(), "it began here");
    let unanswered = spans.iter().find(|span| span.name == "unanswered").unwrap();
    assert_eq!(unanswered.parent_span_id, roots[0].span_id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_is_away_changes_no_answer_and_what_is_lost_is_counted() {
    let proxy = traced("http://127.0.0.1:9", |raw| {
        raw.traces.percent = 100.0;
        raw.traces.max_waiting = 1;
        raw.traces.batch_max_traces = 1;
    })
    .await;
    // nothing is posted before the proxy runs: one waits, the others find no room
    for _ in 0..10 {
        predict(&proxy, None).await;
    }
    let (_, ledger, metrics) = proxy.finish().await;
    assert_eq!((ledger.observed, ledger.delivered), (10, 10));
    for (state, n) in [("exported", 0), ("dropped_full", 9), ("dropped_unreachable", 1), ("dropped_refused", 0)] {
        let line = format!("driftline_proxy_traces_total{{state=\"{state}\"}} {n}\n");
        assert!(metrics.contains(&line), "{line} is not in\n{metrics}");
    }
}
