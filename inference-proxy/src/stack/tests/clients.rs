//! Clients that send late, do not read, or leave: what they cost, and whom.

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
