//! What a user types besides `up`.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::harness::{PROGRAM, configuration, dependency, fixture_models, write_configuration};

fn driftline(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(PROGRAM).current_dir(folder).args(arguments).output().expect("the program can be started")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_configuration_with_three_faults_lists_three() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut table = configuration(&fixture_models());
    for (section, key, value) in
        [("proxy", "listen", "nowhere"), ("collector", "lisen", "127.0.0.1:1"), ("store", "database", "no database")]
    {
        table[section].as_table_mut().expect("is a section").insert(key.into(), value.into());
    }
    write_configuration(folder.path(), &table);
    let checked = driftline(folder.path(), &["check"]);
    assert_eq!(checked.status.code(), Some(64), "{checked:?}");
    for (section, what) in [("proxy", "listen"), ("collector", "lisen"), ("store", "database")] {
        let named = stderr(&checked).lines().any(|line| line.contains(section) && line.contains(what));
        assert!(named, "{section}: {what} is not named:\n{}", stderr(&checked));
    }
}

#[test]
fn a_configuration_without_faults_passes_and_a_mistyped_key_does_not() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut table = configuration(&fixture_models());
    write_configuration(folder.path(), &table);
    let checked = driftline(folder.path(), &["check"]);
    assert!(checked.status.success(), "{}", stderr(&checked));
    table["proxy"].as_table_mut().expect("is a section").insert("lisen".into(), "127.0.0.1:1".into());
    write_configuration(folder.path(), &table);
    let checked = driftline(folder.path(), &["check"]);
    assert_eq!(checked.status.code(), Some(64));
    assert!(stderr(&checked).contains("lisen"), "{}", stderr(&checked));
}

#[test]
fn what_a_cluster_will_be_told_is_printed_and_nothing_is_asked() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("driftline.toml"), "[store]\nurl = \"http://127.0.0.1:1\"\ncluster = \"main\"\n")
        .expect("is writable");
    let printed = driftline(folder.path(), &["store", "migrate", "--print"]);
    assert!(printed.status.success(), "{}", stderr(&printed));
    let sql = stdout(&printed);
    assert!(sql.starts_with("CREATE DATABASE IF NOT EXISTS driftline ON CLUSTER 'main';\n"), "{sql}");
    assert!(sql.contains("CREATE TABLE IF NOT EXISTS features_local ON CLUSTER 'main' ("), "{sql}");
    assert!(sql.contains("ENGINE = Distributed('main', 'driftline', 'features_local', cityHash64(segment))"), "{sql}");
    let alone =
        driftline(folder.path(), &["store", "migrate", "--print", "--set", "store.shards=[\"http://127.0.0.1:2\"]"]);
    assert!(alone.status.success(), "{}", stderr(&alone));
    assert!(!stdout(&alone).contains("ON CLUSTER"), "without Keeper each shard is told by itself");
}

#[test]
fn ks_of_two_files_is_what_scipy_says() {
    // scipy.stats.ks_2samp([1, 2], [3, 4, 5, 6]) -> statistic 1.0, pvalue 0.13333333333333333
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("a"), "1\n2\n").expect("is writable");
    fs::write(folder.path().join("b"), "3\n4\n5\n6\n").expect("is writable");
    let tested = driftline(folder.path(), &["ks", "a", "b", "--json"]);
    let answer: serde_json::Value = serde_json::from_str(&stdout(&tested)).expect("is JSON");
    assert_eq!(answer["d"].as_f64(), Some(1.0));
    assert!((answer["p"].as_f64().expect("a number") - 2.0 / 15.0).abs() < 1e-12, "{answer}");
    fs::write(folder.path().join("b"), "3\nfour\n").expect("is writable");
    let refused = driftline(folder.path(), &["ks", "a", "b"]);
    assert_eq!(refused.status.code(), Some(64));
    assert!(stderr(&refused).contains("line 2"), "{}", stderr(&refused));
}

#[test]
fn what_is_rendered_passes_promtool_and_amtool() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut table = configuration(&fixture_models());
    let slo = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/demo/slo.yaml");
    table.insert("slo_file".into(), slo.display().to_string().into());
    write_configuration(folder.path(), &table);
    let rendered = driftline(folder.path(), &["render", "--out", "rendered"]);
    assert!(rendered.status.success(), "{}", stderr(&rendered));
    let out = folder.path().join("rendered");
    for (tool, arguments) in [
        ("promtool", vec!["check", "config", "prometheus/prometheus.yml"]),
        ("amtool", vec!["check-config", "alertmanager/alertmanager.yml"]),
    ] {
        let checked = Command::new(tool).current_dir(&out).args(&arguments).output();
        let checked = checked.unwrap_or_else(|e| panic!("{tool}: {e}; run `make deps`"));
        assert!(checked.status.success(), "{tool}: {}{}", stdout(&checked), stderr(&checked));
    }
}

#[test]
fn a_model_whose_file_was_changed_does_not_verify() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let source = fixture_models().join(crate::harness::TEXT_MODEL).join("1");
    let copy = folder.path().join("1");
    fs::create_dir(&copy).expect("is writable");
    for file in fs::read_dir(&source).expect("the fixture is there").flatten() {
        fs::copy(file.path(), copy.join(file.file_name())).expect("is writable");
    }
    let library = dependency("onnxruntime/libonnxruntime.so").display().to_string();
    let verify = || driftline(folder.path(), &["model", "verify", "1", "--onnxruntime", &library]);
    let good = verify();
    assert!(good.status.success(), "{}{}", stdout(&good), stderr(&good));
    let path = copy.join("config.json");
    let changed = fs::read_to_string(&path).expect("is text").replace('{', "{ ");
    fs::write(&path, changed).expect("is writable");
    let bad = verify();
    assert_eq!(bad.status.code(), Some(1), "{}{}", stdout(&bad), stderr(&bad));
    assert!(stdout(&bad).contains("config.json"), "{}", stdout(&bad));
}

/// What `driftline mask` makes of its input.
fn masked(folder: &Path, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(PROGRAM)
        .current_dir(folder)
        .arg("mask")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program can be started");
    // a command that refuses its configuration may be gone before it reads; what it says is judged, not that
    let _unread = child.stdin.take().expect("is piped").write_all(input.as_bytes());
    child.wait_with_output().expect("it ends")
}

#[test]
fn mask_is_a_filter_that_says_what_stood_where() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = "café jane@example.com\r\nnothing here\n-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj\n-----END PRIVATE KEY-----\nlast";
    let plain = masked(folder.path(), &[], text);
    assert_eq!(stdout(&plain), "café [EMAIL]\r\nnothing here\n[PRIVATE_KEY]\nlast");
    // what it writes it leaves alone
    assert_eq!(stdout(&masked(folder.path(), &[], &stdout(&plain))), stdout(&plain));

    let told = masked(folder.path(), &["--json"], "café jane@example.com\n{\"card\":4111111111111111}\n");
    let lines: Vec<serde_json::Value> =
        stdout(&told).lines().map(|line| serde_json::from_str(line).expect("is JSON")).collect();
    let mail = serde_json::json!({"type": "email", "start": 5, "end": 21});
    assert_eq!(lines[0], serde_json::json!({"masked": "café [EMAIL]", "entities": [mail]}));
    let card = serde_json::json!({"type": "card", "path": "input.card", "start": 0, "end": 16});
    assert_eq!(lines[1], serde_json::json!({"masked": {"card": "[CARD]"}, "entities": [card]}));
}

#[test]
fn a_rule_is_tried_with_mask_and_a_wrong_one_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let rules = folder.path().join("rules.toml");
    let rule =
        |pattern: &str| format!("[[masking.rules]]\nname = \"staff\"\npattern = '{pattern}'\ncontext = [\"badge\"]\n");
    fs::write(&rules, rule("E-[0-9]{5}")).expect("is writable");
    let out = masked(folder.path(), &["--config", "rules.toml"], "badge E-12345\n");
    assert_eq!(stdout(&out), "badge [STAFF]\n", "{}", stderr(&out));
    fs::write(&rules, rule("E-([0-9]")).expect("is writable");
    let out = masked(folder.path(), &["--config", "rules.toml"], "badge E-12345\n");
    assert_eq!((out.status.code(), stdout(&out).as_str()), (Some(64), ""));
    assert!(stderr(&out).contains("staff"), "{}", stderr(&out));
}

#[test]
fn mask_answers_each_line_of_a_pipe_that_stays_open() {
    let mut child = Command::new(PROGRAM)
        .arg("mask")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program can be started");
    let (mut to, from) = (child.stdin.take().expect("is piped"), child.stdout.take().expect("is piped"));
    let mut lines = BufReader::new(from).lines();
    for i in 0..3 {
        writeln!(to, "line {i} to jane@example.com").expect("it reads");
        // the pipe is open: this line comes now or never
        assert_eq!(lines.next().expect("a line").expect("is text"), format!("line {i} to [EMAIL]"));
    }
    drop(to);
    assert!(child.wait().expect("it ends").success());
}

/// A table of one number and one name; `shift` moves the number.
fn rows(n: u32, shift: f64) -> Vec<(f64, &'static str)> {
    let names = ["north", "south", "west"];
    (0..n).map(|i| (f64::from(i * 7_919 % n) / f64::from(n) + shift, names[(i % 3) as usize])).collect()
}

fn csv(n: u32, shift: f64) -> String {
    let lines = rows(n, shift).into_iter().map(|(x, place)| format!("{x},{place}\n"));
    std::iter::once("size?,place\n".to_owned()).chain(lines).collect()
}

#[test]
fn a_column_that_fits_into_no_memory_has_the_same_report() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, cell: &dyn Fn(u32) -> String| {
        let lines: Vec<String> = (0..60_000u32).map(|i| format!("{},{}\n", cell(i), i % 7)).collect();
        fs::write(folder.path().join(name), format!("x,day\n{}", lines.concat())).expect("is writable");
    };
    let number = |i: u32| f64::from(i.wrapping_mul(2_654_435_761) >> 8) / 1e6 - 3.0;
    write("reference.csv", &|i| if i % 50 == 0 { String::new() } else { format!("{}", number(i)) });
    // words among numbers: read as what they were
    write("current.csv", &|i| match i % 40 {
        0 => "nan".to_owned(),
        1 => "-inf".to_owned(),
        2 => "inf".to_owned(),
        3 => "none".to_owned(),
        4..9 => "-0.5".to_owned(),
        _ => format!("{}", number(i.wrapping_add(77)) * 1.1),
    });
    let engine = dependency("chdb/libchdb.so").display().to_string();
    let compare = |more: &[&str]| {
        let arguments = ["drift", "reference.csv", "current.csv", "--json", "--engine", &engine];
        let done = driftline(folder.path(), &[&arguments[..], more].concat());
        assert_eq!(done.status.code(), Some(1), "{}", stderr(&done));
        serde_json::from_str::<serde_json::Value>(&stdout(&done)).expect("is JSON")
    };
    let (held, streamed) = (compare(&[]), compare(&["--memory", "1"]));
    assert_eq!(held, streamed);
    let x = held["columns"].as_array().and_then(|all| all.iter().find(|one| one["name"] == "x")).expect("a column");
    assert_eq!(
        (x["missing"][0].as_f64(), x["missing"][1].as_f64(), x["nan"][1].as_f64()),
        (Some(0.02), Some(0.025), Some(0.025))
    );
}

#[test]
fn two_files_are_compared_and_the_exit_code_says_what_was_found() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, text: String| fs::write(folder.path().join(name), text).expect("is writable");
    write("reference.csv", csv(3_000, 0.0));
    write("same.csv", csv(2_000, 0.0));
    let moved = rows(2_000, 0.25).into_iter().map(|(x, place)| format!("{{\"size?\":{x},\"place\":\"{place}\"}}\n"));
    write("moved.jsonl", moved.collect());
    let engine = dependency("chdb/libchdb.so").display().to_string();
    let compare = |current: &str, more: &[&str]| {
        driftline(folder.path(), &[&["drift", "reference.csv", current, "--engine", &engine], more].concat())
    };

    let same = compare("same.csv", &[]);
    assert_eq!(same.status.code(), Some(0), "{}{}", stdout(&same), stderr(&same));
    assert!(stdout(&same).contains("No drift found"), "{}", stdout(&same));

    write("few.csv", csv(60, 0.0));
    let few = compare("few.csv", &[]);
    assert_eq!(few.status.code(), Some(3), "sixty rows are no pass: {}{}", stdout(&few), stderr(&few));
    assert!(stdout(&few).contains("too few values to tell"), "{}", stdout(&few));

    let page = folder.path().join("report.html");
    let moved = compare("moved.jsonl", &["--json", "--segment", "place", "--html", &page.display().to_string()]);
    assert_eq!(moved.status.code(), Some(1), "{}", stderr(&moved));
    let report: serde_json::Value = serde_json::from_str(&stdout(&moved)).expect("is JSON");
    let worst = &report["columns"][0];
    assert_eq!((worst["name"].as_str(), worst["state"].as_str()), (Some("size?"), Some("drifted")), "{report}");
    // scipy.stats.ks_2samp of the same rows: statistic 0.25033333333333335
    assert!((worst["d"].as_f64().unwrap_or(0.0) - 0.250_333_333_333_333_35).abs() < 1e-9, "{worst}");
    assert_eq!(report["columns"][1]["state"], "stable", "{report}");
    assert_eq!(report["segments"].as_array().map(Vec::len), Some(3), "{report}");
    let html = fs::read_to_string(page).expect("the report was written");
    assert!(
        html.contains("<svg") && html.contains("Drift found") && !html.contains("<script") && !html.contains("http")
    );

    let lined = compare("same.csv", &["--limit", "d=-1"]);
    assert_eq!(lined.status.code(), Some(1), "a line of the user's own: {}", stderr(&lined));
    for (more, word) in [
        (&["--columns", "absent"][..], "has no column 'absent'; it has size?, place"),
        (&["--limit", "psi"], "--limit psi is not as in psi=0.2"),
        (&["--chance", "2"], "--chance 2 is not between 0 and 1"),
        (&["--detectable", "0.05"], "--detectable 0.05 is not above --ignore 0.05"),
        (&["--detectable", "1"], "--detectable 1 is not between 0 and 1"),
    ] {
        let refused = compare("same.csv", more);
        assert!(refused.status.code() == Some(64) && stderr(&refused).contains(word), "{}", stderr(&refused));
    }
    write("broken.parquet", "no parquet".to_owned());
    let broken = compare("broken.parquet", &[]);
    assert!(broken.status.code() == Some(2) && stderr(&broken).contains("broken.parquet"), "{}", stderr(&broken));
}
