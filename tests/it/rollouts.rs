//! The analyzer tells a real proxy what it judged: a canary that was rejected is taken back, and a proved shadow answers,
//! where that was chosen.

use std::fs;
use std::path::Path;

use contract::metrics::analyzer as m;
use serde_json::{Value, json};

use crate::harness::{
    Driftline, PATIENCE, PROGRAM, TEXT_MODEL, configuration, copy, fixture_models, merge, write_configuration,
};
use crate::switch::Proxy;

/// A version that calls everything by a wrong name.
const WRONG: &str = "3";

/// The text classifier alone, with a third version whose classes are mixed up.
fn models(folder: &Path) {
    let model = folder.join("models").join(TEXT_MODEL);
    copy(&fixture_models().join(TEXT_MODEL), &model);
    copy(&model.join("1"), &model.join(WRONG));
    // what it is expected to answer is another version's
    fs::remove_file(model.join(WRONG).join("driftline.manifest.json")).expect("was copied");
    let config = model.join(WRONG).join("config.json");
    let text = fs::read_to_string(&config).expect("was copied");
    let text = text.replace("billing", "?").replace("shipping", "billing").replace("technical", "shipping");
    fs::write(config, text.replace('?', "technical")).expect("is writable");
}

/// A port that is free now: the analyzer has to know the proxy's before either runs.
fn free_port() -> u16 {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("some port is free");
    taken.local_addr().expect("is bound").port()
}

async fn up() -> Driftline {
    let folder = tempfile::tempdir().expect("a temporary folder");
    models(folder.path());
    let mut table = configuration(&folder.path().join("models"));
    let (port, model) = (free_port(), TEXT_MODEL);
    let more = format!(
        "[proxy]\nlisten = '127.0.0.1:{port}'\n\
         [proxy.models.models.{model}]\nprimary = '1'\ninstances = 1\nshadows = [{{ version = '{WRONG}' }}]\n\
         follow_verdicts = true\npromote_shadows = true\n\
         [analyzer.rollout]\nproxies = ['http://127.0.0.1:{port}']\n\
         [analyzer.shadow]\nagreement_min = 0.8\nmax_failures = 0.5\nmin_pairs = 20\nmin_time = '0s'\n\
         max_slowdown = 0.0\nmax_confidence_drop = 1.0\nmin_class_pairs = 0\n"
    );
    merge(&mut table, more.parse().expect("is TOML"));
    write_configuration(folder.path(), &table);
    Driftline::up_in(folder).await
}

async fn traffic(driftline: &Driftline) {
    let texts = ["where is my parcel", "my card was charged", "login error", "refund the price", "late delivery"];
    for n in 0..80 {
        driftline.predict(TEXT_MODEL, texts[n % texts.len()]).await;
    }
}

async fn roles(driftline: &Driftline) -> Value {
    driftline.get_json(&format!("{}/v1/models/{TEXT_MODEL}/roles", driftline.proxy)).await
}

async fn give(driftline: &Driftline, version: &str, role: &Value) {
    let url = format!("{}/v1/models/{TEXT_MODEL}/versions/{version}/role", driftline.proxy);
    let (status, answer) = driftline.post(&url, role).await;
    assert_eq!(status, 200, "{answer}");
}

/// How often a verdict was told and ended so.
async fn told(driftline: &Driftline, verdict: &str, outcome: &str) -> f64 {
    let labels = format!("model=\"{TEXT_MODEL}\",outcome=\"{outcome}\",state=\"{verdict}\"");
    driftline.metric(&driftline.analyzer, m::VERDICTS_TOLD.name, &labels).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejected_canary_is_taken_back_and_a_proved_shadow_answers() {
    let driftline = up().await;
    traffic(&driftline).await;
    // a shadow is not moved by a rejection
    driftline.wait_for("the rejection to be told", async || told(&driftline, "reject", "nothing").await >= 1.0).await;
    assert_eq!(roles(&driftline).await["shadows"][0]["version"], WRONG);

    // somebody lets it answer all the same: the verdict of before is told again, and followed
    give(&driftline, WRONG, &json!({"role": "canary", "percent": 1})).await;
    driftline.wait_for("the canary to be taken back", async || roles(&driftline).await["canary"].is_null()).await;
    driftline.wait_for("the answer", async || told(&driftline, "reject", "done").await == 1.0).await;
    assert_eq!(roles(&driftline).await["primary"], "1");

    // one that says the same is proved, and answers
    give(&driftline, "2", &json!({"role": "shadow", "percent": 100})).await;
    traffic(&driftline).await;
    driftline.wait_for("the shadow to answer", async || roles(&driftline).await["primary"] == "2").await;
    assert_eq!(driftline.predict(TEXT_MODEL, "where is my parcel").await["version"], "2");
    driftline.wait_for("the answer", async || told(&driftline, "promote", "done").await == 1.0).await;
    assert_eq!(driftline.metric(&driftline.analyzer, m::VERDICTS_UNTOLD.name, "").await, 0.0);

    let written = "SELECT text FROM events WHERE kind = 'rollout' ORDER BY at";
    let event = |words: &[&str], texts: &str| texts.lines().any(|line| words.iter().all(|word| line.contains(word)));
    driftline
        .wait_for("the events", async || {
            let texts = driftline.try_sql(written).await.unwrap_or_default();
            // quotes come escaped
            event(&["reject", "was told", "has no role any more"], &texts)
                && event(&["promote", "was told", "version ", " answers: "], &texts)
        })
        .await;
    driftline.stop().await;
}

/// A proxy that lets a request through every two seconds is asked at its own pace: that it is busy is no fault of a version's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_waits_as_long_as_a_busy_proxy_says() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings = format!(
        "[proxy.edge]\nrate = {{ per_second = 0.5, burst = 20 }}\n[proxy.models.models.{TEXT_MODEL}]\nprimary = '1'\n\
         instances = 1\nshadows = [{{ version = '2' }}]\n"
    );
    let proxy = Proxy::start(folder.path(), |table| merge(table, settings.parse().expect("is TOML"))).await;
    let (http, ready) = (reqwest::Client::new(), format!("{}/v2/models/{TEXT_MODEL}/versions/2/ready", proxy.url));
    let since = std::time::Instant::now();
    while !http.get(&ready).send().await.is_ok_and(|answer| answer.status().is_success()) {
        assert!(since.elapsed() < PATIENCE, "the shadow is never ready");
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    }
    let lines = "{\"text\": \"where is my parcel\"}\n".repeat(14);
    fs::write(folder.path().join("asked.jsonl"), lines).expect("is writable");
    let mut replay = tokio::process::Command::new(PROGRAM);
    replay.current_dir(folder.path()).args(["replay", "--model", TEXT_MODEL, "--version", "2", "--against", "1"]);
    replay.args(["--file", "asked.jsonl", "--rate", "0", "--json", "--proxy", &proxy.url]);
    let ended = replay.output().await.expect("the program can be started");
    let (out, err) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    let report: Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}\n{err}"));
    assert_eq!(
        (&report["failed"], &report["left_out"], &report["pairs"]),
        (&json!({}), &json!({}), &json!(14)),
        "{report}"
    );
}
