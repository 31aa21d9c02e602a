//! The doors that a newcomer tries first: commands on a running Driftline, and what is said of the mistakes everybody makes.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::harness::{Driftline, PROGRAM, TEXT_MODEL, configuration, dependency, fixture_models, write_configuration};

fn typed(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } =
        Command::new(PROGRAM).current_dir(folder).args(arguments).output().expect("the program can be started");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("is text");
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

/// The command fails with this code and one line, which has all of the words.
fn refused(folder: &Path, arguments: &[&str], code: i32, words: &[&str]) {
    let (ended, _, err) = typed(folder, arguments);
    assert_eq!(ended, code, "{arguments:?}\n{err}");
    assert_eq!(err.lines().count(), 1, "{arguments:?} says more than a sentence:\n{err}");
    for word in words {
        assert!(err.contains(word), "{arguments:?} does not say '{word}':\n{err}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_clients_rows_are_given_out_and_forgotten_by_command() {
    let driftline = Driftline::up().await;
    let ids: Vec<String> = (0..3).map(|_| uuid::Uuid::now_v7().to_string()).collect();
    for (id, client) in ids.iter().zip(["shop-7", "shop-7", "shop-8"]) {
        let seen = json!({"id": id, "model": "churn", "version": "1", "outcome": "ok", "client": client,
            "features": [{"name": "input.age", "value": 41.0}]});
        let (status, answer) = driftline.post(&format!("{}/v1/observations", driftline.collector), &seen).await;
        assert_eq!(status, 200, "{answer}");
    }
    driftline.wait_for_rows(3).await;
    let folder = driftline.folder();
    let counts = "SELECT (SELECT count() FROM observations), (SELECT count() FROM features)";

    let (code, out, err) = typed(folder, &["store", "export", "--client", "shop-7"]);
    assert_eq!(code, 0, "{err}");
    let rows: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).expect("is JSON")).collect();
    let of = |table: &str| rows.iter().filter(|row| row["table"] == table).count();
    assert_eq!((of("observations"), of("features")), (2, 2), "{out}");
    assert!(!out.contains("shop-8") && !out.contains(&ids[2]), "{out}");

    references_and_replays(folder);

    let (code, out, err) = typed(folder, &["store", "forget", "--client", "shop-7"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("2 requests: ") && out.contains(" 0 rows left"), "{out}");
    assert_eq!(driftline.sql(counts).await, "1\t1", "the other client's are there");
    assert_eq!(typed(folder, &["store", "export", "--client", "shop-7"]), (0, String::new(), String::new()));

    let (code, _, err) = typed(folder, &["store", "forget", "--id", &ids[2]]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(driftline.sql(counts).await, "0\t0");

    for whom in [&[][..], &["--client", "a", "--id", &ids[0]]] {
        let (code, _, err) = typed(folder, &[&["store", "forget"], whom].concat());
        assert!(code == 64 && err.contains("--client <CLIENT>"), "{code}: {err}");
    }
    let (code, out, err) = typed(folder, &["store", "status"]);
    assert!(code == 0 && out.contains("kept 90 days") && !out.contains("toInterval"), "{out}{err}");
    // nobody reads what it prints
    let mut unread = Command::new(PROGRAM)
        .current_dir(folder)
        .args(["store", "migrate", "--print"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program can be started");
    drop(unread.stdout.take());
    let ended = unread.wait_with_output().expect("it ends");
    assert_eq!((ended.status.code(), String::from_utf8_lossy(&ended.stderr).as_ref()), (Some(141), ""));

    // the folder is taken
    let process = fs::read_to_string(folder.join("data/driftline.pid")).expect("says whose it is");
    let users =
        || fs::metadata(folder.join("data/clickhouse/users.xml")).and_then(|file| file.modified()).expect("is there");
    let written = users();
    refused(folder, &["up"], 2, &["another driftline runs in", &format!("(process {})", process.trim())]);
    assert_eq!(users(), written, "nothing was written");
    driftline.stop().await;
}

/// What is wrong with a reference or a replay is said once, and names what the user knows.
fn references_and_replays(folder: &Path) {
    let ages = (0..2_000).map(|i| format!("{}\n", i % 70)).collect::<String>();
    fs::write(folder.join("training.csv"), format!("age\n{ages}")).expect("is writable");
    let (code, _, err) = typed(folder, &["baseline", "freeze", "churn"]);
    let said = "say what is frozen: --newest N observations, --from and --to of a range, or --file";
    assert!(code == 64 && err.matches(said).count() == 1, "{code} {err}");
    let (code, _, err) = typed(folder, &["baseline", "freeze", "churn", "--newest", "3"]);
    assert!(code != 0 && err.matches("cannot show a shift below").count() == 1, "{code} {err}");
    let (code, _, err) = typed(folder, &["baseline", "freeze", "churn", "--file", "training.csv"]);
    let said = "columns that are no features of churn: age; name them as features are named: input.age";
    assert!(code == 64 && err.matches(said).count() == 1, "{code} {err}");

    fs::write(folder.join("asked.jsonl"), "{\"text\": \"refund please\"}\n").expect("is writable");
    let replay = ["replay", "--model", TEXT_MODEL, "--version", "9", "--against", "1", "--file", "asked.jsonl"];
    let (code, _, err) = typed(folder, &replay);
    let said = err.lines().find(|line| line.starts_with("driftline: ")).unwrap_or_default();
    assert!(
        code == 64 && said.contains("version 9 of router does not serve") && !said.contains("/tmp/"),
        "{code} {err}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_lies_a_folder_too_high_is_told_of_and_so_are_no_models() {
    let models = tempfile::tempdir().expect("a temporary folder");
    let in_folder = |table: &mut toml::Table| {
        let section = table["proxy"]["models"].as_table_mut().expect("is a section");
        section.insert("models_dir".into(), models.path().display().to_string().into());
    };
    let driftline = Driftline::up_with(in_folder).await;
    assert!(driftline.log().contains("no model is served: put one into"), "{}", driftline.log());
    driftline.stop().await;

    fs::create_dir(models.path().join("clf")).expect("is writable");
    let model = fixture_models().join(TEXT_MODEL).join("1/model.onnx");
    fs::copy(model, models.path().join("clf/model.onnx")).expect("is writable");
    let driftline = Driftline::up_with(in_folder).await;
    let index = driftline.post(&format!("{}/v2/repository/index", driftline.proxy), &json!({})).await.1;
    assert_eq!((index[0]["name"].as_str(), index[0]["state"].as_str()), (Some("clf"), Some("FAILED")), "{index}");
    assert!(index[0]["reason"].as_str().is_some_and(|why| why.contains("put its files into clf/1/")), "{index}");
    let ask = async |model: &str| {
        driftline.post(&format!("{}/v1/models/{model}/predict", driftline.proxy), &json!({"text": "x"})).await
    };
    let (status, answer) = ask("clf").await;
    assert!(status == 503 && answer["error"].as_str().is_some_and(|why| why.contains("clf/1/")), "{status} {answer}");
    let (status, answer) = ask("nope").await;
    assert_eq!((status, answer["error"].as_str()), (404, Some("there is no model 'nope'; there are clf")));
    assert!(driftline.log().contains("a model does not serve"), "{}", driftline.log());
    driftline.stop().await;
}

#[test]
fn a_configuration_says_only_what_is_wrong_with_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    refused(folder.path(), &["check"], 64, &["there is no configuration driftline.toml; give --config FILE"]);
    let broken = folder.path().join("broken.toml");
    fs::write(&broken, "[proxy]\nlisten = \"127.0.0.1:1\n").expect("is writable");
    refused(folder.path(), &["check", "--config", "broken.toml"], 64, &["broken.toml, line 2, column "]);

    let mut table = configuration(&fixture_models());
    let set = |table: &mut toml::Table, section: &str, key: &str, value: toml::Value| {
        table[section].as_table_mut().expect("is a section").insert(key.into(), value);
    };
    set(&mut table, "proxy", "listen", "localhost:0".into());
    write_configuration(folder.path(), &table);
    let (code, _, err) = typed(folder.path(), &["check"]);
    assert_eq!((code, err.as_str()), (0, ""), "an address may have a name");

    set(&mut table, "proxy", "request_threads", "two".into());
    write_configuration(folder.path(), &table);
    refused(folder.path(), &["check"], 64, &["proxy.request_threads: ", "\"two\""]);

    let mut table = configuration(&fixture_models());
    set(&mut table, "proxy", "listen", "127.0.0.1:9100".into());
    set(&mut table, "analyzer", "listen", "127.0.0.1:9100".into());
    let segments = toml::Table::from_iter([("segments".into(), toml::Value::from(vec!["clientt"]))]);
    set(&mut table, "analyzer", "models", toml::Table::from_iter([("m".into(), segments.into())]).into());
    write_configuration(folder.path(), &table);
    for command in ["check", "up"] {
        let (code, _, err) = typed(folder.path(), &[command]);
        assert_eq!((code, err.lines().count()), (64, 2), "{err}");
        assert!(err.contains("analyzer.listen: is 127.0.0.1:9100, where proxy.listen listens"), "{err}");
        assert!(
            err.contains("analyzer.models.m.segments: 'clientt' is no segment; ") && err.contains("client, "),
            "{err}"
        );
    }

    let masked = Command::new("sh")
        .args(["-c", "echo hello jane@example.com | \"$0\" mask --set masking.operator=redact", PROGRAM])
        .current_dir(folder.path())
        .output()
        .expect("a shell");
    assert!(masked.status.success() && !String::from_utf8_lossy(&masked.stdout).contains("jane"), "{masked:?}");
    assert!(!String::from_utf8_lossy(&masked.stdout).contains("[EMAIL]"), "the override holds: {masked:?}");
}

#[test]
fn a_port_that_is_taken_is_said_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("has one").to_string();
    let mut table = configuration(&fixture_models());
    table["proxy"].as_table_mut().expect("is a section").insert("listen".into(), address.clone().into());
    write_configuration(folder.path(), &table);
    let (code, _, err) = typed(folder.path(), &["proxy"]);
    let said = err.lines().filter(|line| line.starts_with("driftline: ")).collect::<Vec<_>>();
    assert_eq!((code, said.len()), (2, 1), "{err}");
    assert_eq!(said[0].matches("is the port in use?").count(), 1, "{err}");
    assert!(said[0].contains(&address), "{err}");
}

fn csv(n: u32) -> String {
    std::iter::once("size,place\n".to_owned())
        .chain(
            (0..n).map(|i| {
                format!("{},{}\n", f64::from(i * 7_919 % n) / f64::from(n), ["north", "south"][(i % 2) as usize])
            }),
        )
        .collect()
}

#[test]
fn a_bad_file_is_one_sentence_and_too_little_data_is_no_pass() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("is writable");
    write("reference.csv", &csv(3_000));
    write("few.csv", &csv(5));
    write("empty.csv", "");
    write("header.csv", "size,place\n");
    write("ragged.csv", "size,place\n1,a\n2\n3,b,c\n");
    write("notes.txt", "hello\n");
    let engine = dependency("chdb/libchdb.so").display().to_string();
    let drift = |current: &str, more: &[&'static str]| {
        let arguments: Vec<String> = ["drift", "reference.csv", current, "--engine", &engine]
            .into_iter()
            .chain(more.iter().copied())
            .map(str::to_owned)
            .collect();
        arguments
    };
    for (file, words) in [
        ("empty.csv", "empty.csv cannot be read: it is empty"),
        ("header.csv", "header.csv cannot be read: it has no rows"),
        ("ragged.csv", "ragged.csv cannot be read: its rows have different numbers of values"),
        ("none*.csv", "none*.csv cannot be read: no file matches"),
        ("notes.txt", "notes.txt cannot be read: its name ends in none of .csv"),
    ] {
        let arguments = drift(file, &[]);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        refused(folder.path(), &arguments, 2, &[words]);
    }
    let ended = |current: &str, more: &[&'static str]| {
        let arguments = drift(current, more);
        typed(folder.path(), &arguments.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let (code, out, err) = ended("few.csv", &[]);
    assert!(code == 3 && out.contains("Nothing could be judged: all 2 columns"), "{code} {out}{err}");
    let (code, out, _) = ended("reference.csv", &["--limit", "psi=-1"]);
    assert!(code == 1 && !out.contains("stable") && out.contains("over psi"), "{code} {out}");
    let (code, _, err) = ended("reference.csv", &["--exclude", "colour"]);
    assert!(code == 64 && err.contains("has no column 'colour'; it has size, place"), "{code} {err}");
    assert_eq!(ended("reference.csv", &[]).0, 0);
    refused(
        folder.path(),
        &["drift", "reference.csv", "few.csv", "--engine", "/nope"],
        64,
        &["--engine /nope is no file"],
    );
}

#[test]
fn pinning_again_keeps_what_the_model_has_to_answer() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let source = fixture_models().join(TEXT_MODEL).join("1");
    fs::create_dir(folder.path().join("1")).expect("is writable");
    for file in fs::read_dir(source).expect("the fixture is there").flatten() {
        fs::copy(file.path(), folder.path().join("1").join(file.file_name())).expect("is writable");
    }
    fs::write(folder.path().join("samples.txt"), "where is my parcel\nrefund please\n").expect("is writable");
    let library = dependency("onnxruntime/libonnxruntime.so").display().to_string();
    let pin = |more: &[&str]| typed(folder.path(), &[&["model", "pin", "1", "--onnxruntime", &library], more].concat());
    assert_eq!(typed(folder.path(), &["model", "keygen", "key"]).0, 0);
    let (code, out, err) = pin(&["--samples", "samples.txt", "--key", "key"]);
    assert!(code == 0 && out.contains(" 2 golden samples, signed"), "{out}{err}");
    let (code, _, err) = pin(&[]);
    assert!(code == 2 && err.contains("the manifest is signed") && err.contains("--anew"), "{err}");
    let (code, out, err) = pin(&["--key", "key"]);
    assert!(
        code == 0 && out.contains(" 2 golden samples (those of the manifest before, which hold), signed"),
        "{out}{err}"
    );
    let (code, out, err) = pin(&["--anew"]);
    assert!(code == 0 && out.contains(" 5 golden samples, not signed"), "{out}{err}");
}
