//! Clients that send late, do not read, or leave: what they cost, and whom.

use axum::body::HttpBody as _;
use tokio::sync::mpsc;

use super::*;
use crate::grpc::frames::Frames;

/// A text in two pieces, the second after a pause.
fn in_two(text: &str, pause: Duration) -> Body {
    let (first, second) = text.split_at(text.len() / 2);
    let (first, second) = (Bytes::copy_from_slice(first.as_bytes()), Bytes::copy_from_slice(second.as_bytes()));
    let (send, pieces) = mpsc::channel(2);
    tokio::spawn(async move {
        let _sent = send.send(Ok(first)).await;
        tokio::time::sleep(pause).await;
        let _sent = send.send(Ok(second)).await;
    });
    Body::new(Frames::of(pieces))
}

/// What is left of the time after a late body is no limit of ours: it spends no budget and opens no breaker.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_comes_late_is_the_clients_doing_though_it_comes() {
    let limit = Duration::from_secs(2);
    let proxy = Proxy::start(|raw| {
        raw.request_timeout = limit;
        raw.models.breaker.min_runs = 1;
    })
    .await;
    let (status, _, answer) = proxy.call("POST", "/v2/models/slow/infer", in_two(&steps(LONG), limit * 17 / 20)).await;
    assert_eq!(status, 408, "{answer}");
    let (observations, _, metrics) = proxy.finish().await;
    assert_eq!(observations[0].outcome, Outcome::Invalid);
    // on a machine that is slow enough the second piece is not there in time at all
    let reason = observations[0].reason.as_deref();
    assert!(matches!(reason, Some("late_body" | "slow_body")), "{reason:?}");
    assert!(metrics.contains("driftline_proxy_sli_bad_events_total{model=\"slow\",slo=\"slow-up\"} 0"), "{metrics}");
    assert!(!metrics.contains("driftline_proxy_breaker_failures_total{model=\"slow\""), "{metrics}");
}

/// A question to a model without shadows, whose runs have places too.
fn flowers(rows: usize) -> String {
    let row = "5.1,3.5,1.4,0.2";
    let data = vec![row; rows].join(",");
    format!(r#"{{"inputs":[{{"name":"input","shape":[{rows},4],"datatype":"FP32","data":[{data}]}}]}}"#)
}

/// Asks, and gives the body of the answer, of which the client has only the head.
async fn unread(proxy: &Proxy, rows: usize, version: axum::http::Version) -> Body {
    let request = Request::post("/v2/models/flowers/infer").version(version).body(Body::from(flowers(rows))).unwrap();
    let answer = proxy.service.router().oneshot(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.into_body()
}

/// Answers that wait in memory for clients that do not read are as bounded as requests are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_keeps_its_place_until_it_is_taken() {
    let proxy = Proxy::start(|_| {}).await;
    let free = || proxy.service.edge().admission.available_permits();
    let all = free();
    for version in [axum::http::Version::HTTP_11, axum::http::Version::HTTP_2] {
        let mut body = unread(&proxy, 30, version).await;
        assert_eq!(free(), all - 1, "nothing was taken of it");
        let announced = body.size_hint().exact().unwrap();
        let mut taken = Vec::new();
        while let Some(frame) = body.frame().await {
            let piece = frame.unwrap().into_data().unwrap();
            assert!(piece.len() <= 16 << 10, "{} bytes at once", piece.len());
            taken.extend_from_slice(&piece);
        }
        assert_eq!((taken.len() as u64, free()), (announced, all));
        let answer: Value = serde_json::from_slice(&taken).unwrap();
        assert_eq!(answer["outputs"][0]["shape"][0], 30);
        drop(unread(&proxy, 30, version).await);
        assert_eq!(free(), all, "who leaves gives it back");
    }
    let mut body = unread(&proxy, 1_000, axum::http::Version::HTTP_2).await;
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(first.len() <= 16 << 10 && !body.is_end_stream(), "an answer of one frame would count as taken");
    assert_eq!(free(), all - 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_nobody_takes_is_dropped() {
    let proxy = Proxy::start(|raw| raw.request_timeout = Duration::from_secs(5)).await;
    let free = || proxy.service.edge().admission.available_permits();
    let all = free();
    let body = unread(&proxy, 30, axum::http::Version::HTTP_2).await;
    let given_back = async {
        while free() < all {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), given_back).await.unwrap();
    let broken = body.collect().await.unwrap_err();
    assert!(broken.to_string().contains("not read for so long"), "{broken}");
    let metrics = proxy.registry.render();
    assert!(metrics.contains("driftline_proxy_unread_answers_total 1"), "{metrics}");
}
