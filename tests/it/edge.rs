//! Keys on, everywhere: the mirror still delivers, the page asks, scopes hold, a scrape works.

use serde_json::{Value, json};

use crate::harness::{Driftline, PATIENCE, PROGRAM, TEXT_MODEL};

/// A key of `driftline key new`, and the table that knows it.
fn key(name: &str, scopes: &str) -> (String, toml::Value) {
    let made = std::process::Command::new(PROGRAM)
        .args(["key", "new", "--name", name, "--scopes", scopes])
        .output()
        .expect("the program can be started");
    let text = String::from_utf8(made.stdout).expect("is text");
    let (secret, rest) = text.split_once('\n').expect("has lines");
    let known: toml::Table = rest.parse().expect("the rest is a key file");
    (secret.to_owned(), known["keys"][0].clone())
}

async fn ask(url: &str, key: Option<&str>, body: Option<&Value>) -> (u16, String) {
    let client = reqwest::Client::builder().timeout(PATIENCE).build().expect("a client");
    let request = match body {
        Some(body) => client.post(url).header("content-type", "application/json").body(body.to_string()),
        None => client.get(url),
    };
    let request = key.into_iter().fold(request, |request, key| request.bearer_auth(key));
    let answer = request.send().await.unwrap_or_else(|error| panic!("{url}: {error}"));
    (answer.status().as_u16(), answer.text().await.expect("a body"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_keys_on_everything_works_for_those_who_may_and_for_nobody_else() {
    let (asker, asker_known) = key("asker", "infer");
    let (reader, reader_known) = key("reader", "read");
    let (admin, admin_known) = key("admin", "admin,read");
    let driftline = Driftline::up_with(|config| {
        let edge: toml::Table = "[auth]\n[rate]\nper_second = 1000\n".parse().expect("is TOML");
        config.insert("edge".into(), edge.into());
        config["edge"]["auth"]
            .as_table_mut()
            .expect("is a table")
            .insert("keys".into(), vec![asker_known, reader_known, admin_known].into());
        config.insert("log".into(), toml::Table::from_iter([("audit_file".into(), "audit.jsonl".into())]).into());
    })
    .await;
    let predict = format!("{}/v1/models/{TEXT_MODEL}/predict", driftline.proxy);
    let reload = format!("{}/v2/repository/models/{TEXT_MODEL}/load", driftline.proxy);
    let page = format!("{}/", driftline.analyzer);
    let baselines = format!("{}/api/v1/baselines", driftline.analyzer);
    let observations = format!("{}/v1/observations", driftline.collector);
    let (text, empty) = (json!({"text": "refund please"}), json!({}));
    for (url, key, body, expected) in [
        (&predict, None, Some(&text), 401),
        (&predict, Some(&*reader), Some(&text), 403),
        (&predict, Some(&*asker), Some(&text), 200),
        (&reload, Some(&*asker), Some(&empty), 403),
        (&reload, Some(&*admin), Some(&empty), 200),
        (&page, None, None, 401),
        (&page, Some(&*asker), None, 403),
        (&page, Some(&*reader), None, 200),
        (&baselines, Some(&*reader), Some(&empty), 403),
        (&observations, None, Some(&empty), 401),
        (&observations, Some(&*admin), Some(&empty), 403),
    ] {
        let (status, body) = ask(url, key, body).await;
        assert_eq!(status, expected, "{url}: {body}");
    }
    // the mirror shows a key of its own
    driftline.wait_for_rows(1).await;
    assert_eq!(driftline.drained_ledger().await, 1.0, "what was refused is no observation");
    for (address, failures) in [(&driftline.proxy, 3.0), (&driftline.collector, 2.0), (&driftline.analyzer, 3.0)] {
        let counted = driftline.metric(address, contract::metrics::edge::AUTH_FAILURES.name, "").await;
        assert_eq!(counted, failures, "{address}");
    }
    let folder = driftline.stop().await;
    let audit = std::fs::read_to_string(folder.path().join("data/audit.jsonl")).expect("an audit log");
    let loads: Vec<Value> = audit
        .lines()
        .map(|line| serde_json::from_str(line).expect("is JSON"))
        .filter(|line: &Value| line["on"].as_str().is_some_and(|path| path.ends_with("/load")))
        .collect();
    let seen: Vec<_> = loads.iter().map(|line| (line["who"].as_str(), line["outcome"].as_str())).collect();
    assert_eq!(seen, [(Some("asker"), Some("refused")), (Some("admin"), Some("done"))], "{audit}");
}
