//! References, explanations and replays as a user types them, beside a running Driftline.

use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::harness::{Driftline, PROGRAM, TEXT_MODEL};

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

/// In the folder of the configuration, which is what a command reads unless it is told of another.
async fn typed(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.current_dir(folder).args(arguments);
    command.output().await.expect("the program can be started")
}

/// What a command prints as JSON, after it ended with this code.
async fn answer(folder: &Path, arguments: &[&str], code: i32) -> Value {
    let ended = typed(folder, &[arguments, &["--json"]].concat()).await;
    let (out, err) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert_eq!(ended.status.code(), Some(code), "{arguments:?}\n{out}\n{err}");
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{arguments:?}: {error}\n{out}"))
}

async fn refused(folder: &Path, arguments: &[&str], code: i32, words: &str) {
    let ended = typed(folder, arguments).await;
    let err = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.code() == Some(code) && err.contains(words), "{arguments:?}: {:?}\n{err}", ended.status);
}

async fn up() -> Driftline {
    Driftline::up_with(|config| {
        let analyzer = config["analyzer"].as_table_mut().expect("is a section");
        analyzer.insert("provisional_after".into(), 200.into());
        analyzer.insert("min_detectable".into(), 0.5.into());
        config.insert("log".into(), toml::Table::from_iter([("audit_file".into(), "audit.jsonl".into())]).into());
    })
    .await
}

async fn judged(driftline: &Driftline) -> Option<String> {
    let overview = driftline.get_json(&format!("{}/api/v1/overview", driftline.analyzer)).await;
    let model = overview["models"].as_array()?.iter().find(|model| model["model"] == TEXT_MODEL)?.clone();
    model["baseline"]["fingerprint"].as_str().map(str::to_owned)
}

/// Verdicts over what is in force now come out again as they are stored, until a count is changed.
async fn explained(driftline: &Driftline) {
    let mut sent = 260;
    for _ in 0..10 {
        traffic(driftline, sent, 60).await;
        sent += 60;
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
    }
    let newest = "SELECT count() > 0 FROM verdicts WHERE n > 0";
    driftline.wait_for("a verdict", async || driftline.try_sql(newest).await.as_deref() == Some("1")).await;
    let listed = answer(driftline.folder(), &["explain", "--model", TEXT_MODEL], 0).await;
    let verdict = listed.as_array().and_then(|all| all.iter().find(|one| one["n"].as_u64() > Some(0)));
    let id = verdict.expect("a verdict with values")["id"].as_str().expect("an id").to_owned();
    let explain = ["explain", &*id];
    let found = answer(driftline.folder(), &explain, 0).await;
    assert_eq!((found["equal"].as_bool(), found["gone"].as_array().map(Vec::len)), (Some(true), Some(0)), "{found}");
    driftline.sql("ALTER TABLE bin_counts UPDATE n = n + 3 WHERE n > 0 SETTINGS mutations_sync = 2").await;
    assert_eq!(answer(driftline.folder(), &explain, 1).await["equal"], false);
    refused(driftline.folder(), &["explain", "nonsense"], 64, "no verdict's id").await;
    // nothing to compute from is neither equal nor different
    driftline.sql("ALTER TABLE bin_counts DELETE WHERE 1 SETTINGS mutations_sync = 2").await;
    let found = answer(driftline.folder(), &explain, 3).await;
    assert!(found["gone"][0].as_str().is_some_and(|gone| gone.contains("bin_counts")), "{found}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn references_are_managed_and_verdicts_explained_from_a_terminal() {
    let driftline = up().await;
    let folder = driftline.folder();
    traffic(&driftline, 0, 260).await;
    driftline.wait_for_rows(260).await;
    driftline.wait_for("a provisional baseline", async || judged(&driftline).await.is_some()).await;

    let list = async || answer(folder, &["baseline", "list"], 0).await;
    let first = list().await;
    assert_eq!((first[0]["standing"].as_str(), first[0]["provisional"].as_bool()), (Some("in_force"), Some(true)));

    // frozen from a file of the training's numbers, by the engine that `driftline drift` reads with
    let rows: String = (0..900).map(|i| format!("{{\"text.chars\":{},\"output.label\":\"a\"}}\n", i % 40)).collect();
    std::fs::write(folder.join("training.jsonl"), rows).expect("is writable");
    let file = answer(folder, &["baseline", "freeze", TEXT_MODEL, "--file", "training.jsonl"], 0).await;
    assert_eq!((file["standing"].as_str(), file["features"].as_u64()), (Some("candidate"), Some(2)));
    assert_eq!(file["observations"].as_u64(), Some(900));

    // another of stored rows; the two differ
    let stored = answer(folder, &["baseline", "freeze", TEXT_MODEL, "--newest", "250"], 0).await;
    let [file, stored] = [file, stored].map(|one| one["fingerprint"].as_str().expect("a fingerprint").to_owned());
    let found = answer(folder, &["baseline", "compare", TEXT_MODEL, &file, &stored], 1).await;
    let features = found["features"].as_array().expect("features");
    let chars = features.iter().find(|one| one["feature"] == "text.chars").expect("both have it");
    assert_eq!(chars["apart"], true, "{chars}");

    assert_eq!(answer(folder, &["baseline", "promote", TEXT_MODEL, &stored[..10]], 0).await["standing"], "in_force");
    driftline
        .wait_for("the promoted one to be judged against", async || {
            judged(&driftline).await.as_deref() == Some(&*stored)
        })
        .await;
    assert_eq!(answer(folder, &["baseline", "retire", TEXT_MODEL, &file], 0).await["standing"], "retired");
    refused(folder, &["baseline", "retire", TEXT_MODEL, &stored], 2, "promote another one first").await;
    refused(folder, &["baseline", "show", TEXT_MODEL, "ffff"], 64, "no baseline").await;
    let reset = ["baseline", "promote", TEXT_MODEL, "--from-current", "--newest"];
    refused(folder, &[&reset[..], &["5"]].concat(), 2, "cannot show a shift below").await;
    assert_eq!(answer(folder, &[&reset[..], &["240"]].concat(), 0).await["standing"], "in_force");
    assert_eq!(list().await.as_array().map(Vec::len), Some(4));
    let shown = answer(folder, &["baseline", "show", TEXT_MODEL, &stored], 0).await;
    assert_eq!(shown["standing"], "replaced");

    explained(&driftline).await;
    let audit = std::fs::read_to_string(folder.join("data/audit.jsonl")).expect("an audit log");
    for (what, outcome) in
        [("freeze", "done"), ("promote", "done"), ("retire", "failed"), ("promote from current", "done")]
    {
        let line = audit.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut of_it = line.filter(|line| line["what"] == what && line["outcome"] == outcome);
        assert!(of_it.any(|line| line["who"] == "driftline baseline"), "{what} {outcome} is not in\n{audit}");
    }
    driftline.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_version_is_asked_what_was_asked_before() {
    let driftline = up().await;
    let folder = driftline.folder();
    traffic(&driftline, 0, 60).await;
    driftline.predict(TEXT_MODEL, "refund please, jane@example.com").await;
    driftline.wait_for_rows(61).await;
    let kept = "SELECT count() FROM payloads";
    driftline.wait_for("its content", async || driftline.try_sql(kept).await.as_deref() == Some("61")).await;
    let live = driftline.sql("SELECT any(version) FROM payloads").await;
    let other = if live == "1" { "2" } else { "1" };

    let replay = ["replay", "--model", TEXT_MODEL, "--version", other, "--rate", "0"];
    // five hundred pairs and ten minutes are asked for
    let report = answer(folder, &replay, 3).await;
    assert_eq!((report["against"].as_str(), report["verdict"].as_str()), (Some(&*live), Some("hold")), "{report}");
    assert_eq!((report["requests"].as_u64(), report["pairs"].as_u64()), (Some(61), Some(61)), "{report}");
    assert_eq!(report["repeats"]["items"], 61, "{report}");
    assert!(report["notes"][0].as_str().is_some_and(|note| note.contains("masked")), "{report}");
    let agreed = report["agreed"].as_u64().expect("a count");
    let flips: u64 = report["flips"].as_array().expect("a list").iter().filter_map(|flip| flip["pairs"].as_u64()).sum();
    assert_eq!(agreed + flips, 61, "{report}");
    // the live proxy was not asked
    assert_eq!(driftline.drained_ledger().await, 61.0);

    // the judgement is what the policy says: few pairs are enough for this one
    let eased = ["min_class_pairs=0", "min_pairs=10", "min_time=\"0s\"", "agreement_min=0.01", "max_failures=0.5"];
    let eased = eased.map(|set| format!("--set=analyzer.shadow.{set}"));
    let eased: Vec<&str> = replay.iter().copied().chain(eased.iter().map(String::as_str)).collect();
    assert_eq!(answer(folder, &eased, 0).await["verdict"], "promote");
    let strict = [&replay[..], &["--set", "analyzer.shadow.agreement_min=0.999999"]].concat();
    let strict = typed(folder, &strict).await;
    let expected = if agreed == 61 { 3 } else { 1 };
    assert_eq!(strict.status.code(), Some(expected), "{}", String::from_utf8_lossy(&strict.stdout));

    // a file, in which a line is no request
    let lines = [json!({"text": "where is my parcel"}), json!({"texts": ["refund", "late"]}), json!({"other": 1})];
    let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
    std::fs::write(folder.join("asked.jsonl"), lines).expect("is writable");
    let file = [&replay[..5], &["--against", &live, "--file", "asked.jsonl"]].concat();
    let report = answer(folder, &file, 3).await;
    assert_eq!((report["requests"].as_u64(), report["pairs"].as_u64()), (Some(2), Some(3)), "{report}");
    assert_eq!(report["left_out"]["neither text, nor texts, nor inputs"], 1, "{report}");
    // a proxy that runs is asked only if it serves both, and is no verdict if it is not there
    let running = ["--version", other, "--proxy", &*driftline.proxy];
    let few = [&replay[..3], &running, &["--rate", "0", "--limit", "5"]].concat();
    refused(folder, &few, 64, "does not serve at").await;
    let role = format!("{}/v1/models/{TEXT_MODEL}/versions/{other}/role", driftline.proxy);
    let (status, told) = driftline.post(&role, &json!({"role": "shadow", "percent": 100})).await;
    assert_eq!(status, 200, "{told}");
    let found = answer(folder, &few, 3).await;
    assert_eq!((found["requests"].as_u64(), found["pairs"].as_u64()), (Some(5), Some(5)), "{found}");
    let away = [&replay[..5], &["--proxy", "http://127.0.0.1:1"]].concat();
    refused(folder, &away, 2, "no proxy answers at http://127.0.0.1:1").await;
    for (more, words) in [
        (&["--version", "9", "--proxy", &*driftline.proxy][..], "version 9 of"),
        (&["--version", "9"][..], "version 9 of"),
        (&["--version", &*live, "--against", &*live][..], "agrees with itself"),
        (&["--version", other, "--from", "yesterday"][..], "--from yesterday is no time"),
        (&["--version", other, "--to", "2001-01-01T00:00:00Z", "--from", "2000-01-01T00:00:00Z"][..], "no content of"),
    ] {
        let arguments = [&["replay", "--model", TEXT_MODEL], more].concat();
        refused(folder, &arguments, 64, words).await;
    }
    driftline.stop().await;
}
