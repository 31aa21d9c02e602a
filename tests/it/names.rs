//! Names of people and places: masked by a model that the proxy serves, found nowhere behind it, and withheld while it
//! is away.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use contract::metrics::{collector, naming, proxy};
use serde_json::{Value, json};

use crate::harness::{Driftline, PROGRAM, TEXT_MODEL, copy, fixture_models};

/// The token classifier among the fixture models: it knows these names, and reads 24 tokens.
const TAGGER: &str = "tagger";
const NAMES: [&str; 4] = ["Annalena", "Åsa Öst", "Malmö", "New York"];

/// A folder of models with a classifier of texts and the one that finds names.
fn models() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    copy(&fixture_models().join(TEXT_MODEL), &folder.path().join(TEXT_MODEL));
    copy(&fixture_models().join("../tasks").join(TAGGER), &folder.path().join(TAGGER));
    folder
}

fn serve(config: &mut toml::Table, models: &Path) {
    let section = config["proxy"]["models"].as_table_mut().expect("is a section");
    section.insert("models_dir".into(), models.display().to_string().into());
}

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("is a folder").flatten() {
        let path = entry.path();
        if path.is_dir() { files_below(&path, found) } else { found.push(path) }
    }
}

/// Looks for the names in every table, metric, log line and file.
async fn found_nowhere(driftline: &Driftline) {
    let mut texts = vec![driftline.log()];
    for table in driftline.sql("SHOW TABLES").await.lines() {
        texts.push(driftline.sql(&format!("SELECT * FROM {table} FORMAT JSONEachRow")).await);
    }
    for base in [&driftline.proxy, &driftline.collector, &driftline.analyzer] {
        texts.push(driftline.get(&format!("{base}/metrics")).await);
    }
    let mut files = Vec::new();
    files_below(driftline.folder(), &mut files);
    let contents: Vec<Vec<u8>> = files.iter().filter_map(|path| fs::read(path).ok()).collect();
    for name in NAMES {
        assert!(!texts.iter().any(|text| text.contains(name)), "{name} was stored or shown");
        let holds = |file: &Vec<u8>| file.windows(name.len()).any(|window| window == name.as_bytes());
        assert!(!contents.iter().any(holds), "{name} lies in a file");
    }
}

async fn unload(driftline: &Driftline, model: &str) {
    let url = format!("{}/v2/repository/models/{model}/unload", driftline.proxy);
    let (status, answer) = driftline.post(&url, &json!({})).await;
    assert_eq!(status, 200, "{answer}");
}

async fn wait_for_payloads(driftline: &Driftline, count: &str) {
    driftline
        .wait_for("the payloads", async || {
            driftline.try_sql("SELECT count() FROM payloads").await.as_deref() == Some(count)
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_in_a_request_is_masked_before_it_leaves_the_proxy_or_it_does_not_leave() {
    let models = models();
    let driftline = Driftline::up_with(|config| {
        serve(config, models.path());
        let names = toml::toml! { model = "tagger" };
        config["proxy"].as_table_mut().expect("is a section").insert("names".into(), names.into());
    })
    .await;
    // the last name stands far behind what the model reads at once
    let long = format!("{}and a refund for Åsa Öst", "where is my parcel, ".repeat(30));
    let texts = ["refund Annalena in Malmö, write to jane@example.com", "New York or not", &long, "nobody at all"];
    for text in texts {
        driftline.predict(TEXT_MODEL, text).await;
    }
    driftline.drained_ledger().await;
    wait_for_payloads(&driftline, "4").await;
    let stored = driftline.sql("SELECT input FROM payloads").await;
    for masked in ["refund [PERSON] in [PLACE], write to [EMAIL]", "[PLACE] or not", "for [PERSON]", "nobody at all"] {
        assert!(stored.contains(masked), "{masked} is not in {stored}");
    }
    let masked = driftline.metric(&driftline.proxy, proxy::MASKED_ENTITIES.name, "entity=\"person\"").await;
    assert_eq!(masked, 2.0);
    let second = driftline.metric(&driftline.collector, collector::SECOND_PASS_HITS.name, "").await;
    assert_eq!(second, 0.0, "the second pass found what the first had left");

    unload(&driftline, TAGGER).await;
    driftline.predict(TEXT_MODEL, "Annalena is back from Malmö").await;
    driftline.drained_ledger().await;
    driftline.wait_for_rows(5).await;
    let of = async |name: &str, labels: &str| driftline.metric(&driftline.proxy, name, labels).await;
    assert_eq!(of(proxy::PAYLOADS.name, "reason=\"names_unavailable\"").await, 1.0);
    assert_eq!(of(naming::NAMES_FAILURES.name, "reason=\"unavailable\"").await, 1.0);
    assert_eq!(driftline.sql("SELECT count() FROM payloads").await, "4", "the observation is there, its text is not");
    found_nowhere(&driftline).await;
    driftline.stop().await;
}

/// An address that the proxy will listen on: the collector must know it before there is a proxy.
fn free_address() -> std::net::SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}

fn observation(n: u8, input: &Value) -> Value {
    json!({
        "id": format!("01890000-0000-7000-8000-0000000000{n:02}"), "at_ms": host::clock::now_ms(), "model": "elsewhere",
        "version": "1", "outcome": "ok", "features": [{"name": "input.amount", "value": 12.5}],
        "payload": {"kept": {"input": input}},
    })
}

/// What `driftline mask` makes of lines with the names that the proxy's model finds, and what it says beside.
fn tried(driftline: &Driftline, lines: &str) -> (String, String) {
    let mut child = Command::new(PROGRAM)
        .args(["mask", "--names", &format!("{}/{TAGGER}", driftline.proxy)])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program can be started");
    child.stdin.take().expect("is piped").write_all(lines.as_bytes()).expect("it reads");
    let out = child.wait_with_output().expect("it ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&out.stdout), text(&out.stderr))
}

/// The status of a label's post.
async fn label_of(driftline: &Driftline, label: &str) -> u16 {
    let body = json!({"id": "01890000-0000-7000-8000-000000000001", "label": label});
    driftline.post(&format!("{}/v1/labels", driftline.collector), &body).await.0
}

/// The status of an event's post.
async fn event_of(driftline: &Driftline, detail: &str) -> u16 {
    let event = json!({"at_ms": host::clock::now_ms(), "kind": "deployment", "model": "elsewhere", "detail": detail});
    let body = json!({"source": "ci", "events": [event]});
    driftline.post(&format!("{}/v1/events", driftline.collector), &body).await.0
}

/// A tagger of parts of speech answers every text, and finds no name in any.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_without_a_word_for_names_lets_nothing_pass() {
    let models = models();
    let config = models.path().join(TAGGER).join("1/config.json");
    let words = fs::read_to_string(&config).expect("is there").replace("-PER", "-NOUN").replace("-LOC", "-VERB");
    fs::write(&config, words).expect("is ours");
    let address = free_address();
    let driftline = Driftline::up_with(|config| {
        serve(config, models.path());
        config["proxy"].as_table_mut().expect("is a section").insert("listen".into(), address.to_string().into());
        let mut names = toml::toml! { model = "tagger" };
        names.insert("proxy_url".into(), format!("http://{address}").into());
        config["collector"].as_table_mut().expect("is a section").insert("names".into(), names.into());
    })
    .await;
    let url = format!("{}/v1/observations", driftline.collector);
    let (status, answer) = driftline.post(&url, &observation(1, &json!({"note": "Annalena in New York"}))).await;
    assert_eq!(status, 200, "{answer}");
    let withheld =
        driftline.metric(&driftline.collector, collector::WITHHELD.name, "reason=\"names_unavailable\"").await;
    assert_eq!(withheld, 1.0);
    driftline
        .wait_for("the observation", async || {
            let count = "SELECT count() FROM observations WHERE model = 'elsewhere'";
            driftline.try_sql(count).await.as_deref() == Some("1")
        })
        .await;
    found_nowhere(&driftline).await;
    driftline.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_collector_asks_the_proxy_about_what_others_send() {
    let models = models();
    let address = free_address();
    let driftline = Driftline::up_with(|config| {
        serve(config, models.path());
        config["proxy"].as_table_mut().expect("is a section").insert("listen".into(), address.to_string().into());
        let mut names = toml::toml! { model = "tagger" };
        names.insert("proxy_url".into(), format!("http://{address}").into());
        config["collector"].as_table_mut().expect("is a section").insert("names".into(), names.into());
    })
    .await;
    let url = format!("{}/v1/observations", driftline.collector);
    let input = json!({"note": "Annalena in New York", "who": {"Åsa Öst": "card 4111 1111 1111 1111"}, "lang": "de"});
    let (status, answer) = driftline.post(&url, &observation(1, &input)).await;
    assert_eq!(status, 200, "{answer}");
    wait_for_payloads(&driftline, "1").await;
    let stored: Value = serde_json::from_str(&driftline.sql("SELECT input FROM payloads").await).expect("is JSON");
    let expected = json!({"note": "[PERSON] in [PLACE]", "who": {"[PERSON]": "card [CARD]"}, "lang": "de"});
    assert_eq!(stored, expected);
    let masked = driftline.metric(&driftline.collector, collector::MASKED_NAMES.name, "entity=\"person\"").await;
    assert_eq!(masked, 2.0);
    // the proxy has observed the question and kept nothing of it
    driftline.drained_ledger().await;
    let kept = driftline.metric(&driftline.proxy, proxy::PAYLOADS.name, "reason=\"not_wanted\"").await;
    assert!(kept >= 1.0, "{kept}");

    let (label, event) =
        (label_of(&driftline, "paid by Annalena").await, event_of(&driftline, "rolled out from New York").await);
    assert_eq!((label, event), (200, 200));
    driftline
        .wait_for("the label and the event", async || {
            let said =
                "SELECT (SELECT any(label) FROM labels), (SELECT any(text) FROM events WHERE model = 'elsewhere')";
            driftline.try_sql(said).await.as_deref() == Some("paid by [PERSON]\trolled out from [PLACE]")
        })
        .await;

    let (told, _) = tried(&driftline, "Annalena in Malmö, jane@example.com\n{\"who\": \"Åsa Öst\"}\n");
    assert_eq!(told, "[PERSON] in [PLACE], [EMAIL]\n{\"who\":\"[PERSON]\"}\n");

    unload(&driftline, TAGGER).await;
    let (told, why) = tried(&driftline, "Annalena in Malmö\n0815\n");
    assert_eq!(told, "[WITHHELD]\n0815\n", "what cannot be asked about does not pass");
    assert!(why.contains("unavailable"), "{why}");
    // what the proxy tells of its own versions is no client's text, and does not wait for the model
    driftline
        .wait_for("the proxy's event of the unload", async || {
            let told = format!("SELECT count() FROM events WHERE model = '{TAGGER}' AND kind = 'unload'");
            driftline.try_sql(&told).await.as_deref() == Some("1")
        })
        .await;
    // what has nothing but its text is not stored without it; a word as programs write them needs no model
    let (label, event) = (label_of(&driftline, "paid by Åsa Öst").await, event_of(&driftline, "back in Malmö").await);
    assert_eq!((label, event, label_of(&driftline, "billing").await), (503, 503, 200));
    let (status, answer) = driftline.post(&url, &observation(2, &json!({"note": "Annalena in Malmö"}))).await;
    assert_eq!(status, 200, "an outage of the model is none of the sender's: {answer}");
    // nobody answers at all
    driftline.pause("proxy");
    let (status, answer) = driftline.post(&url, &observation(3, &json!({"note": "Åsa Öst in New York"}))).await;
    driftline.resume("proxy");
    assert_eq!(status, 200, "{answer}");
    driftline
        .wait_for("the observations", async || {
            let count = "SELECT count() FROM observations WHERE model = 'elsewhere'";
            driftline.try_sql(count).await.as_deref() == Some("3")
        })
        .await;
    let of = async |name: &str, labels: &str| driftline.metric(&driftline.collector, name, labels).await;
    assert_eq!(of(collector::WITHHELD.name, "reason=\"names_unavailable\"").await, 2.0);
    for (reason, count) in [("unavailable", 3.0), ("timeout", 1.0)] {
        let failed = of(naming::NAMES_FAILURES.name, &format!("reason=\"{reason}\"")).await;
        assert!(failed >= count, "{reason}: {failed}");
    }
    assert_eq!(driftline.sql("SELECT count() FROM payloads WHERE model = 'elsewhere'").await, "1");
    let features = "SELECT count() FROM features WHERE model = 'elsewhere' AND feature = 'input.amount'";
    assert_eq!(driftline.sql(features).await, "3", "numbers are there all the same");
    found_nowhere(&driftline).await;
    driftline.stop().await;
}
