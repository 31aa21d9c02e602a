//! Nothing is lost and nothing doubled, whoever is killed; and the serving path does not notice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use contract::metrics::proxy as metrics;

use crate::harness::{Driftline, TEXT_MODEL};

/// Sends requests until `stop`; every one of them must be answered 200. Returns how many there were.
async fn steady_traffic(driftline: Arc<Driftline>, stop: Arc<AtomicBool>) -> u64 {
    let mut sent = 0;
    while !stop.load(Ordering::Acquire) {
        driftline.predict(TEXT_MODEL, "refund please").await;
        sent += 1;
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    sent
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_in_the_middle_of_traffic_lose_and_double_nothing() {
    let driftline = Arc::new(Driftline::up().await);
    let stop = Arc::new(AtomicBool::new(false));
    let traffic = tokio::spawn(steady_traffic(driftline.clone(), stop.clone()));
    for role in ["collect", "engine", "collect", "engine"] {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let before = driftline.pids(role);
        driftline.kill(role);
        driftline
            .wait_for("the role to be started again", async || {
                let now = driftline.pids(role);
                !now.is_empty() && now != before
            })
            .await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    stop.store(true, Ordering::Release);
    let sent = traffic.await.expect("every request was answered");
    assert!(sent > 100, "only {sent} requests were sent");

    let delivered = driftline.drained_ledger().await;
    assert_eq!(delivered, sent as f64, "observations were dropped");
    driftline.wait_for_rows(sent).await;
    assert_eq!(driftline.sql("SELECT count(), uniqExact(id) FROM observations").await, format!("{sent}\t{sent}"));
    let doubled = "SELECT count() FROM (SELECT id, item, feature FROM features GROUP BY ALL HAVING count() > 1)";
    assert_eq!(driftline.sql(doubled).await, "0", "features were doubled");
    Arc::into_inner(driftline).expect("traffic has ended").stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_away_changes_no_answer_and_loss_is_counted() {
    let driftline = Driftline::up_with(|config| {
        let mirror = config["proxy"]["mirror"].as_table_mut().expect("is a section");
        mirror.insert("max_bytes".into(), "64KiB".into());
    })
    .await;
    // stopped, not killed: the supervisor does not start another
    driftline.pause("collect");
    for _ in 0..400 {
        driftline.predict(TEXT_MODEL, "refund please").await;
    }
    let dropped = driftline.metric(&driftline.proxy, metrics::MIRROR_DROPPED.name, "reason=\"full\"").await;
    assert!(dropped > 0.0, "64 KiB held 400 observations");
    let held = driftline.metric(&driftline.proxy, metrics::MIRROR_BYTES.name, "").await;
    assert!(held <= 65_536.0, "the mirror holds {held} bytes");
    driftline.resume("collect");
    let delivered = driftline.drained_ledger().await;
    assert_eq!(delivered + driftline.metric(&driftline.proxy, metrics::MIRROR_DROPPED.name, "").await, 400.0);
    driftline.wait_for_rows(delivered as u64).await;
    assert_eq!(
        driftline.sql("SELECT count(), uniqExact(id) FROM observations").await,
        format!("{delivered}\t{delivered}")
    );
    driftline.stop().await;
}
