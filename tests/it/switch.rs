//! A hundred switches under load: no request fails, and every answer is that of the version it names.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::harness::{PATIENCE, PROGRAM, TEXT_MODEL, configuration, fixture_models, merge, write_configuration};

const SWITCHES: usize = 100;
const CLIENTS: usize = 4;
const TEXT: &str = "where is my parcel";

/// A proxy in a process of its own, with nothing behind it.
pub struct Proxy {
    process: Child,
    pub url: String,
}

impl Proxy {
    pub async fn start(folder: &Path, change: impl FnOnce(&mut toml::Table)) -> Self {
        let mut table = configuration(&fixture_models());
        change(&mut table);
        let config = write_configuration(folder, &table);
        let log = std::fs::File::create(folder.join("log.txt")).expect("the folder is writable");
        let mut process = Command::new(PROGRAM)
            .args(["proxy", "--config"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("the program can be started");
        let mut lines = BufReader::new(process.stdout.take().expect("is piped")).lines();
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("in time").expect("is text");
        let told: Value = serde_json::from_str(&line.expect("tells its address")).expect("as JSON");
        let address = told["addresses"]["http"].as_str().unwrap_or_else(|| panic!("no address in {told}"));
        let url = format!("http://{address}");
        Self { process, url }
    }
}

/// One answer: the version that it names, and the scores that it gives.
async fn ask(http: &reqwest::Client, url: &str) -> Result<(String, Value), String> {
    let answer = http.post(url).body(json!({"text": TEXT}).to_string()).send().await.map_err(|e| e.to_string())?;
    let status = answer.status();
    let named = answer.headers().get("driftline-model-version").and_then(|v| v.to_str().ok()).map(str::to_owned);
    let body: Value = answer.json().await.map_err(|error| error.to_string())?;
    if !status.is_success() || named.as_deref() != body["version"].as_str() {
        return Err(format!("{status}, header {named:?}: {body}"));
    }
    Ok((named.unwrap_or_default(), body["predictions"][0]["scores"].clone()))
}

async fn step(http: &reqwest::Client, url: String, body: Value) -> Value {
    let answer = http.post(&url).body(body.to_string()).send().await.expect("the proxy is there");
    let status = answer.status();
    let body: Value = answer.json().await.expect("is JSON");
    assert!(status.is_success(), "{url}: {status} {body}");
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_switches_under_load_fail_no_request() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let model: toml::Table =
        format!("[proxy.models.models.{TEXT_MODEL}]\nprimary = '1'\ninstances = 1").parse().expect("is TOML");
    let proxy = Proxy::start(folder.path(), |table| merge(table, model)).await;
    let http = reqwest::Client::new();
    let predict = format!("{}/v1/models/{TEXT_MODEL}/predict", proxy.url);
    let since = std::time::Instant::now();
    while ask(&http, &predict).await.is_err() {
        assert!(since.elapsed() < PATIENCE, "the model is never ready");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    // what each version really says, one at a time
    let mut truth = BTreeMap::new();
    for version in ["2", "1"] {
        step(&http, format!("{}/v1/models/{TEXT_MODEL}/promote", proxy.url), json!({"version": version})).await;
        let (named, scores) = ask(&http, &predict).await.expect("it answers");
        assert_eq!(named, version);
        truth.insert(named, scores);
    }
    assert_ne!(truth["1"], truth["2"], "versions that answer alike prove nothing");
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients = (0..CLIENTS).map(|_| {
        let (http, predict, truth) = (http.clone(), predict.clone(), truth.clone());
        let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
        tokio::spawn(async move {
            let mut failed = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                match ask(&http, &predict).await {
                    Ok((version, scores)) if near(&truth[&version], &scores) => {}
                    Ok((version, scores)) => failed.push(format!("version {version} does not say {scores}")),
                    Err(error) => failed.push(error),
                }
                answered.fetch_add(1, Ordering::Relaxed);
            }
            failed
        })
    });
    let clients: Vec<_> = clients.collect();
    for n in 0..SWITCHES {
        let before = answered.load(Ordering::Relaxed);
        if n % 2 == 0 {
            step(&http, format!("{}/v1/models/{TEXT_MODEL}/promote", proxy.url), json!({"version": "2"})).await;
        } else {
            let back = step(&http, format!("{}/v1/models/{TEXT_MODEL}/rollback", proxy.url), json!({})).await;
            assert_eq!(back["primary"], "1");
        }
        // every switch sees traffic on the version that it led to
        while answered.load(Ordering::Relaxed) < before + 2 * CLIENTS {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        assert_eq!(client.await.expect("does not panic"), [""; 0]);
    }
    assert!(answered.load(Ordering::Relaxed) >= 2 * CLIENTS * SWITCHES);
    let metrics =
        http.get(format!("{}/metrics", proxy.url)).send().await.expect("is there").text().await.expect("text");
    let loads = format!("driftline_proxy_loads_total{{model=\"{TEXT_MODEL}\",version=\"1\"}} 1\n");
    assert!(metrics.contains(&loads), "a rollback took the copy that stood by:\n{metrics}");
    let switches =
        format!("driftline_proxy_version_events_total{{kind=\"rollback\",model=\"{TEXT_MODEL}\",version=\"1\"}} 50");
    assert!(metrics.contains(&switches), "{metrics}");
    drop(proxy.process);
}

/// Company in a batch may change the last digits.
fn near(a: &Value, b: &Value) -> bool {
    let (Some(a), Some(b)) = (a.as_object(), b.as_object()) else { return false };
    let close = |(label, x): (&String, &Value)| {
        b.get(label).and_then(Value::as_f64).zip(x.as_f64()).is_some_and(|(x, y)| (x - y).abs() < 1e-4)
    };
    a.len() == b.len() && a.iter().all(close)
}
