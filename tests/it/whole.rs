//! The main job, end to end: a request becomes a row, a verdict and a page.

use serde_json::{Value, json};

use crate::harness::{Driftline, TEXT_MODEL};

/// Texts that the fixture classifier knows; varied, so that features have a distribution.
fn text(i: usize) -> String {
    let words = ["refund", "parcel", "broken", "invoice", "late", "please", "thanks"];
    let length = 1 + (i * 7 + i / 3) % 9;
    (0..length).map(|k| words[(i + k * k) % words.len()]).collect::<Vec<_>>().join(" ")
}

async fn traffic(driftline: &Driftline, from: usize, requests: usize) {
    for i in from..from + requests {
        driftline.predict(TEXT_MODEL, &text(i)).await;
    }
}

async fn model(driftline: &Driftline) -> Option<Value> {
    let overview = driftline.get_json(&format!("{}/api/v1/overview", driftline.analyzer)).await;
    overview["models"].as_array()?.iter().find(|m| m["model"] == TEXT_MODEL).cloned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_becomes_a_row_a_verdict_and_a_page() {
    let driftline = Driftline::up_with(|config| {
        let analyzer = config["analyzer"].as_table_mut().expect("is a section");
        analyzer.insert("provisional_after".into(), 200.into());
        analyzer.insert("min_detectable".into(), 0.5.into());
    })
    .await;
    traffic(&driftline, 0, 250).await;
    driftline.wait_for_rows(250).await;

    // the first rows make a provisional reference, and windows after it are judged
    let mut sent = 250;
    driftline
        .wait_for("a provisional baseline", async || model(&driftline).await.is_some_and(|m| !m["baseline"].is_null()))
        .await;
    for _ in 0..20 {
        traffic(&driftline, sent, 50).await;
        sent += 50;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    driftline
        .wait_for("a verdict on the confidence", async || {
            let features = model(&driftline).await.map(|m| m["features"].clone()).unwrap_or_default();
            let confidence =
                features.as_array().and_then(|f| f.iter().find(|v| v["feature"] == "output.confidence").cloned());
            confidence.is_some_and(|v| v["n"].as_u64() > Some(0) && v["ks_lower"].is_number())
        })
        .await;

    let seen = model(&driftline).await.expect("is listed");
    assert_ne!(seen["state"], json!("drifted"), "undrifted traffic drifted: {seen:#}");
    assert_eq!(driftline.drained_ledger().await, sent as f64);
    driftline.wait_for_rows(sent as u64).await;
    assert_eq!(driftline.sql("SELECT uniqExact(id) FROM observations").await, sent.to_string());

    let page = driftline.get(&format!("{}/", driftline.analyzer)).await;
    assert!(page.contains("<html") && page.contains("Driftline"));
    let verdicts = driftline.sql("SELECT count() FROM verdicts WHERE feature = 'output.confidence'").await;
    assert_ne!(verdicts, "0", "a judgement is stored with its evidence");
    let metrics = driftline.get(&format!("{}/metrics", driftline.analyzer)).await;
    assert!(metrics.contains("driftline_drift_ks_lower_ratio{"), "the verdict is exported\n{metrics}");
    driftline.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_names_the_observation_that_a_label_joins() {
    let driftline = Driftline::up().await;
    let answer = driftline.predict(TEXT_MODEL, "refund please").await;
    let id = answer["id"].as_str().expect("an id");
    let label = json!({"labels": [{"id": id, "label": "billing"}]});
    let (status, body) = driftline.post(&format!("{}/v1/labels", driftline.collector), &label).await;
    assert!((200..300).contains(&status), "{status} {body}");
    driftline
        .wait_for("the label beside its observation", async || {
            let joined = "SELECT count() FROM observations o INNER JOIN labels l ON o.id = l.id";
            driftline.try_sql(joined).await.as_deref() == Some("1")
        })
        .await;
    driftline.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_is_there_again_after_a_restart() {
    let driftline = Driftline::up().await;
    traffic(&driftline, 0, 20).await;
    driftline.wait_for_rows(20).await;
    let folder = driftline.stop().await;
    let again = Driftline::up_in(folder).await;
    again.wait_for_rows(20).await;
    traffic(&again, 20, 5).await;
    again.wait_for_rows(25).await;
    again.stop().await;
}
