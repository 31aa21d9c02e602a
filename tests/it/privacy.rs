//! No identifier that a client sends is found anywhere behind the proxy, unless the operator allowed its field.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::harness::{Driftline, TEXT_MODEL};

/// Identifiers of every kind, from their public specifications; `{i}` varies where it may without breaking a checksum.
fn planted() -> Vec<String> {
    let fixed = [
        "4111 1111 1111 1111",
        "5500005555555559",
        "378282246310005",
        "DE89370400440532013000",
        "GB82 WEST 1234 5698 7654 32",
        "219-09-9999",
        "203.0.113.77",
        "2001:db8:85a3::8a2e:370:7334",
        "+49 30 901820",
        "+1 212 555 0187",
    ];
    let mails = (0..20).map(|i| format!("first.last{i}@mail{i}.example.org"));
    fixed.into_iter().map(str::to_owned).chain(mails).collect()
}

fn files_below(folder: &Path, found: &mut Vec<Vec<u8>>) {
    for entry in fs::read_dir(folder).expect("is a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            files_below(&path, found);
        } else if let Ok(bytes) = fs::read(&path) {
            found.push(bytes);
        }
    }
}

fn holds(haystack: &[u8], needle: &str) -> bool {
    haystack.windows(needle.len()).any(|w| w == needle.as_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn planted_identifiers_are_found_nowhere() {
    let driftline = Driftline::up_with(|config| {
        // keep segments on disk for a while, so that there is a log to look into
        config["collector"]["log"].as_table_mut().expect("is a section").insert("segment_max_age".into(), "3s".into());
    })
    .await;
    let planted = planted();
    for identifier in &planted {
        driftline.predict(TEXT_MODEL, &format!("please refund {identifier} thanks")).await;
    }
    driftline.drained_ledger().await;

    let mut files = Vec::new();
    files_below(driftline.folder(), &mut files);
    driftline.wait_for_rows(planted.len() as u64).await;
    let mut texts = Vec::new();
    for table in driftline.sql("SHOW TABLES").await.lines() {
        texts.push(driftline.sql(&format!("SELECT * FROM {table} FORMAT JSONEachRow")).await);
    }
    for base in [&driftline.proxy, &driftline.collector, &driftline.analyzer] {
        texts.push(driftline.get(&format!("{base}/metrics")).await);
    }
    texts.push(driftline.get(&format!("{}/api/v1/overview", driftline.analyzer)).await);
    texts.push(driftline.log());
    let stored = texts.concat();
    assert!(stored.contains("please refund [EMAIL] thanks"), "masked texts are stored");
    for identifier in &planted {
        assert!(!stored.contains(identifier.as_str()), "{identifier} was stored or shown");
        assert!(!files.iter().any(|file| holds(file, identifier)), "{identifier} lies in a file");
    }
    let second = driftline.metric(&driftline.collector, contract::metrics::collector::SECOND_PASS_HITS.name, "").await;
    assert_eq!(second, 0.0, "the second pass found what the first had left");
    driftline.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_allowed_field_passes() {
    let driftline = Driftline::up_with(|config| {
        config.insert("masking".into(), toml::toml! { allow = ["input.ticket"] }.into());
    })
    .await;
    let observation = json!({
        "id": "01890000-0000-7000-8000-000000000001", "at_ms": host::clock::now_ms(), "model": "elsewhere", "version": "1", "outcome": "ok",
        "payload": {"kept": {"input": {"ticket": "allowed@example.org", "text": "denied@example.org"}}},
    });
    let (status, body) = driftline.post(&format!("{}/v1/observations", driftline.collector), &observation).await;
    assert!((200..300).contains(&status), "{status} {body}");
    driftline.wait_for_rows(1).await;
    driftline
        .wait_for("the payload", async || {
            driftline.try_sql("SELECT count() FROM payloads").await.as_deref() == Some("1")
        })
        .await;
    let stored = driftline.sql("SELECT input FROM payloads").await;
    assert!(stored.contains("allowed@example.org"), "{stored}");
    assert!(!stored.contains("denied@example.org"), "{stored}");
    driftline.stop().await;
}
