//! The page in a real browser, over a real Driftline with stored data: `dashboards/page/tests/page.test.mjs` drives Chromium.
//!
//! What is drawn comes from requests through the proxy; what would take days or a table of 10,000 columns is put into the
//! database by SQL.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::harness::{Driftline, PATIENCE, TEXT_MODEL, configuration, fixture_models, merge, write_configuration};

/// The model of 10,000 features.
const WIDE: &str = "wide";
const SLOS: &str = "
service: page
owner: platform
period_days: 30
slos:
  - name: available
    description: Messages are routed without an error, a timeout or a refusal.
    model: router
    objective: 99
    sli: { kind: availability }
  - name: quick
    description: Messages are routed within 250 ms.
    model: router
    objective: 95
    sli: { kind: latency, threshold_ms: 250 }
";

fn page_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards/page")
}

async fn filled() -> Driftline {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let slos = folder.path().join("slo.yaml");
    std::fs::write(&slos, SLOS).expect("the folder is writable");
    let mut table = configuration(&fixture_models());
    table.insert("slo_file".into(), slos.display().to_string().into());
    let extra: toml::Table = r#"
        [analyzer]
        provisional_after = 200
        min_detectable = 0.5
        min_window_n = 20
        [analyzer.segments]
        reference = 200
        [analyzer.models.router]
        segments = ["text.length_bucket"]
        [analyzer.shadow]
        min_time = "1s"
        [proxy.models.models.router]
        primary = "1"
        shadows = [{ version = "2", percent = 100 }]
    "#
    .parse()
    .expect("is TOML");
    merge(&mut table, extra);
    write_configuration(folder.path(), &table);
    Driftline::up_in(folder).await
}

/// Texts that the fixture classifier knows, with something to mask in some.
fn text(i: usize) -> String {
    let words = ["refund", "parcel", "broken", "invoice", "late", "please", "thanks"];
    let length = 1 + (i * 7 + i / 3) % 9;
    let said: Vec<&str> = (0..length).map(|k| words[(i + k * k) % words.len()]).collect();
    let who = if i.is_multiple_of(3) { " write to jane.doe@example.com" } else { "" };
    format!("{}{who}", said.join(" "))
}

/// The same, made longer than any of them was, and no longer than the bucket of the longest.
fn long_text(i: usize) -> String {
    let mut said = text(i);
    while said.len() < 110 {
        said.push_str(" please");
    }
    said
}

/// Sends requests, and a label for every second answer.
async fn traffic(driftline: &Driftline, from: usize, requests: usize, say: fn(usize) -> String) {
    let mut labels = Vec::new();
    for i in from..from + requests {
        let answer = driftline.predict(TEXT_MODEL, &say(i)).await;
        if i % 2 == 0 {
            labels.push(json!({"id": answer["id"], "label": answer["predictions"][0]["label"]}));
        }
    }
    let (status, body) =
        driftline.post(&format!("{}/v1/labels", driftline.collector), &json!({ "labels": labels })).await;
    assert!((200..300).contains(&status), "{status} {body}");
}

/// The fixture's two versions agree on every text: some pairs are stored again with another label of the shadow's.
async fn disagree(driftline: &Driftline) {
    driftline
        .sql(
            "INSERT INTO comparisons (* EXCEPT (compared, absolute_gap, relative_gap)) SELECT id, item, segment, received_at, at, model, version, shadow, answered, outcome, reason, \
               primary_label, 'other', primary_confidence, shadow_confidence, primary_infer_us, shadow_infer_us \
             FROM comparisons WHERE answered ORDER BY at LIMIT 30",
        )
        .await;
}

/// A judged window of 10,000 features, the first 25 of them drifted, and an observation, so that the model counts as asked.
async fn widen(driftline: &Driftline) {
    let overview = driftline.get_json(&format!("{}/api/v1/overview", driftline.analyzer)).await;
    let known = overview["models"][0]["features"][0].to_string().replace('\'', "''");
    let evidence = format!(
        "replaceRegexpOne(replaceRegexpOne(replaceRegexpOne('{known}', '\"model\":\"[^\"]*\"', '\"model\":\"{WIDE}\"'), \
           '\"feature\":\"[^\"]*\"', concat('\"feature\":\"input.col_', toString(number), '\"')), \
           '\"state\":\"[^\"]*\"', concat('\"state\":\"', if(number < 25, 'drifted', 'stable'), '\"'))"
    );
    let evidence = format!("concat(substring({evidence}, 1, length({evidence}) - 1), ',\"quiet_windows\":0}}')");
    let window = "toStartOfMinute(now64(3)) - INTERVAL 1 MINUTE";
    driftline
        .sql(&format!(
            "INSERT INTO verdicts (model, version, feature, window_start, window_end, cut, judged_at, state, n, m, ks_lower, \
               fingerprint, evidence) \
             SELECT '{WIDE}', '1', concat('input.col_', toString(number)), {window}, {window} + INTERVAL 1 SECOND, now64(3), \
               now64(3), if(number < 25, 'drifted', 'stable'), 400, 1000, (number % 97) / 970, 'f', {evidence} \
             FROM numbers(10000)"
        ))
        .await;
    driftline
        .sql(&format!(
            "INSERT INTO observations (id, segment, received_at, at, source, model, version, outcome, code, total_us, items) \
             SELECT generateUUIDv4(), generateUUIDv4(), now64(3), now64(3), 's', '{WIDE}', '1', 'ok', 200, 1000, 1 FROM numbers(50)"
        ))
        .await;
}

async fn overview(driftline: &Driftline) -> Value {
    driftline.get_json(&format!("{}/api/v1/overview", driftline.analyzer)).await
}

fn model<'a>(overview: &'a Value, name: &str) -> Option<&'a Value> {
    overview["models"].as_array()?.iter().find(|model| model["model"] == name)
}

/// Traffic until several windows are judged and everything that a view shows is there.
async fn fill(driftline: &Driftline) {
    let asked = format!("{}/v1/models/nobody/predict", driftline.proxy);
    let (status, body) = driftline.post(&asked, &json!({ "text": "is anybody there" })).await;
    assert_eq!(status, 404, "{body}");
    let (since, mut sent) = (Instant::now(), 0);
    while !is_full(driftline).await {
        assert!(since.elapsed() < PATIENCE, "waited in vain for verdicts, a shadow and samples\n{}", driftline.log());
        traffic(driftline, sent, 50, text).await;
        sent += 50;
    }
}

/// Longer texts, until their length has drifted and the verdict names the part of the traffic that it comes from.
async fn lengthen(driftline: &Driftline) {
    let (since, mut sent) = (Instant::now(), 0);
    while !is_explained(driftline).await {
        assert!(since.elapsed() < PATIENCE, "waited in vain for a drift with its causes\n{}", driftline.log());
        traffic(driftline, sent, 50, long_text).await;
        sent += 50;
    }
}

async fn is_explained(driftline: &Driftline) -> bool {
    let seen = overview(driftline).await;
    let features = model(&seen, TEXT_MODEL).and_then(|router| router["features"].as_array());
    features.into_iter().flatten().any(|one| {
        one["feature"] == "text.chars"
            && one["state"] == "drifted"
            && one["causes"].as_array().is_some_and(|causes| !causes.is_empty())
    })
}

async fn is_full(driftline: &Driftline) -> bool {
    let seen = overview(driftline).await;
    let Some(router) = model(&seen, TEXT_MODEL) else { return false };
    let compared = router["shadows"][0]["pairs"].as_u64() > Some(0);
    let windows = "SELECT uniqExact(window_end) FROM verdicts WHERE model = 'router'";
    let windows = driftline.try_sql(windows).await.and_then(|n| n.parse::<u64>().ok());
    let segments = driftline.get_json(&format!("{}/api/v1/models/{TEXT_MODEL}/segments", driftline.analyzer)).await;
    let parts = segments["verdicts"].as_array().is_some_and(|verdicts| !verdicts.is_empty());
    compared && parts && windows > Some(5) && seen["pipeline"]["labels"].as_u64() > Some(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_in_a_browser() {
    let tests = page_folder().join("tests/page.test.mjs");
    assert!(
        page_folder().join("node_modules/playwright-core").is_dir(),
        "what drives the browser is missing: run `make page`, which needs Node"
    );
    let (driftline, empty) = (filled().await, Driftline::up().await);
    fill(&driftline).await;
    lengthen(&driftline).await;
    disagree(&driftline).await;
    widen(&driftline).await;
    driftline
        .wait_for("10,000 features", async || {
            model(&overview(&driftline).await, WIDE)
                .is_some_and(|one| one["features"].as_array().is_some_and(|f| f.len() == 10_000))
        })
        .await;
    let run = Command::new("node")
        .args(["--test", "--test-reporter=spec"])
        .arg(&tests)
        .env("DRIFTLINE_PAGE", &driftline.analyzer)
        .env("DRIFTLINE_EMPTY", &empty.analyzer)
        .env("DRIFTLINE_MODEL", TEXT_MODEL)
        .env("DRIFTLINE_WIDE", WIDE)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("node can be started: it is needed for the page and its tests");
    let told = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "the page fails in a browser\n{told}\n{}", String::from_utf8_lossy(&run.stderr));
    assert!(told.contains("pass "), "no test ran\n{told}");
    empty.stop().await;
    driftline.stop().await;
}
