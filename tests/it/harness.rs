//! A whole Driftline in a temporary folder: real processes, real engine, real models.
//!
//! Whatever a test does, [`Driftline::stop`] asserts what must hold after every run: an orderly end, no process left
//! behind, both ledgers balanced, no panic in any log.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_driftline");

/// Longest wait for anything in a test; a loaded machine is slow, and time decides no test.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A library or tool that `make deps` puts in place.
pub fn dependency(path: &str) -> PathBuf {
    let found = Path::new(env!("CARGO_MANIFEST_DIR")).join(".deps").join(path);
    assert!(found.exists(), "{} is missing: run `make deps`", found.display());
    found
}

/// The text classifier among the fixture models.
pub const TEXT_MODEL: &str = "router";

/// The proxy's fixture models.
pub fn fixture_models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("inference-proxy/tests/fixtures/models")
}

/// Copies a folder with all that is in it.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the folder is writable");
    for entry in fs::read_dir(from).expect("is a folder").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("can be copied");
        }
    }
}

/// A running `driftline up`.
pub struct Driftline {
    process: Child,
    folder: TempDir,
    http: reqwest::Client,
    pub proxy: String,
    /// `host:port`, where gRPC is on.
    pub grpc: String,
    pub collector: String,
    pub analyzer: String,
    pub clickhouse: String,
    password: String,
    user: String,
}

/// What a configuration starts from: free ports, quick windows, the fixture models.
pub fn configuration(models: &Path) -> toml::Table {
    let quick = format!(
        r#"
        [proxy]
        listen = "127.0.0.1:0"
        [proxy.models]
        models_dir = {models:?}
        onnxruntime = {onnxruntime:?}
        [proxy.mirror]
        batch_max_delay = "50ms"
        heartbeat = "200ms"
        [collector]
        listen = "127.0.0.1:0"
        [collector.log]
        segment_max_age = "200ms"
        [store]
        engine = {engine:?}
        [analyzer]
        listen = "127.0.0.1:0"
        window = "1s"
        lateness = "1s"
        "#,
        onnxruntime = dependency("onnxruntime/libonnxruntime.so"),
        engine = dependency("chdb/libchdb.so"),
    );
    quick.parse().expect("the test configuration is TOML")
}

/// Writes a configuration into a folder.
pub fn write_configuration(folder: &Path, table: &toml::Table) -> PathBuf {
    let path = folder.join("driftline.toml");
    fs::write(&path, table.to_string()).expect("the folder is writable");
    path
}

/// Puts one configuration over another, key by key.
pub fn merge(into: &mut toml::Table, from: toml::Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(toml::Value::Table(old)), toml::Value::Table(new)) => merge(old, new),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

impl Driftline {
    /// Starts everything with the fixture models and waits until it is ready.
    pub async fn up() -> Self {
        Self::up_with(|_| ()).await
    }

    /// The same with a changed configuration.
    pub async fn up_with(change: impl FnOnce(&mut toml::Table)) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut table = configuration(&fixture_models());
        change(&mut table);
        write_configuration(folder.path(), &table);
        Self::up_in(folder).await
    }

    /// Starts what a folder's configuration says.
    pub async fn up_in(folder: TempDir) -> Self {
        let config = folder.path().join("driftline.toml");
        let log = fs::File::create(folder.path().join("log.txt")).expect("the folder is writable");
        let mut process = Command::new(PROGRAM)
            .args(["up", "--config"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("the program can be started");
        let mut lines = BufReader::new(process.stdout.take().expect("is piped")).lines();
        let first =
            tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("is ready in time").expect("is text");
        let Some(first) = first else { panic!("ended at once:\n{}", log_of(folder.path())) };
        let told: Value = serde_json::from_str(&first).expect("tells its addresses as JSON");
        let text = |key: &str| told[key].as_str().unwrap_or_default().to_owned();
        let password = fs::read_to_string(text("clickhouse_password_file")).expect("the password is readable");
        Self {
            process,
            http: reqwest::Client::new(),
            proxy: text("proxy"),
            grpc: text("grpc"),
            collector: text("collector"),
            analyzer: text("analyzer"),
            clickhouse: text("clickhouse"),
            user: text("clickhouse_user"),
            password: password.trim().to_owned(),
            folder,
        }
    }

    /// Posts JSON; the answer's status and body.
    pub async fn post(&self, url: &str, body: &Value) -> (u16, Value) {
        self.post_raw(url, "application/json", body.to_string().into_bytes()).await
    }

    /// Posts anything; the answer's status and body.
    pub async fn post_raw(&self, url: &str, content_type: &str, body: Vec<u8>) -> (u16, Value) {
        let sent = self.http.post(url).header("content-type", content_type).body(body).send().await;
        let answer = sent.unwrap_or_else(|error| panic!("{url}: {error}\n{}", self.log()));
        let status = answer.status().as_u16();
        (status, serde_json::from_str(&answer.text().await.expect("a body")).unwrap_or(Value::Null))
    }

    /// Classifies one text; panics on anything but 200.
    pub async fn predict(&self, model: &str, text: &str) -> Value {
        let (status, answer) =
            self.post(&format!("{}/v1/models/{model}/predict", self.proxy), &json!({"text": text})).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// Gets a text.
    pub async fn get(&self, url: &str) -> String {
        let answer = self.http.get(url).send().await.unwrap_or_else(|e| panic!("{url}: {e}\n{}", self.log()));
        assert!(answer.status().is_success(), "{url}: {}", answer.status());
        answer.text().await.expect("a body")
    }

    /// Gets JSON.
    pub async fn get_json(&self, url: &str) -> Value {
        serde_json::from_str(&self.get(url).await).expect("is JSON")
    }

    /// A query's answer; `None` while the engine is away, or refuses it.
    pub async fn try_sql(&self, query: &str) -> Option<String> {
        self.sql_or_reason(query).await.ok()
    }

    /// A query's answer, or why there is none.
    ///
    /// # Errors
    /// What the engine says, or that it is away.
    pub async fn sql_or_reason(&self, query: &str) -> Result<String, String> {
        let sent = self
            .http
            .post(format!("{}/?database=driftline", self.clickhouse))
            .header("X-ClickHouse-User", &self.user)
            .header("X-ClickHouse-Key", &self.password)
            .body(query.to_owned())
            .send()
            .await;
        let answer = sent.map_err(|error| error.to_string())?;
        let ok = answer.status().is_success();
        let text = answer.text().await.map_err(|error| error.to_string())?.trim().to_owned();
        if ok { Ok(text) } else { Err(text) }
    }

    /// A query's answer.
    pub async fn sql(&self, query: &str) -> String {
        self.try_sql(query).await.unwrap_or_else(|| panic!("{query} failed\n{}", self.log()))
    }

    /// Sum of a metric's series whose labels contain `labels`.
    pub async fn metric(&self, base: &str, name: &str, labels: &str) -> f64 {
        sum_of(&self.get(&format!("{base}/metrics")).await, name, labels)
    }

    /// Waits until `holds`; panics with `what` and the log where it never does.
    pub async fn wait_for<F: AsyncFn() -> bool>(&self, what: &str, holds: F) {
        let since = Instant::now();
        while !holds().await {
            assert!(since.elapsed() < PATIENCE, "waited in vain for: {what}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until so many observations are in the table.
    pub async fn wait_for_rows(&self, rows: u64) {
        self.wait_for(&format!("{rows} rows in observations"), async || {
            self.try_sql("SELECT count() FROM observations").await.and_then(|n| n.parse::<u64>().ok()) >= Some(rows)
        })
        .await;
    }

    /// Waits until the mirror holds nothing, then checks that its ledger balances; returns what was delivered.
    pub async fn drained_ledger(&self) -> f64 {
        use contract::metrics::proxy as m;
        self.wait_for("the mirror to drain", async || {
            self.metric(&self.proxy, m::MIRROR_IN_FLIGHT.name, "").await == 0.0
        })
        .await;
        let page = self.get(&format!("{}/metrics", self.proxy)).await;
        let of = |name: &str| sum_of(&page, name, "");
        let (observed, delivered, dropped) =
            (of(m::MIRROR_OBSERVED.name), of(m::MIRROR_DELIVERED.name), of(m::MIRROR_DROPPED.name));
        assert_eq!(observed, delivered + dropped, "the ledger of observations does not balance:\n{page}");
        assert_eq!(
            of(m::PAYLOADS_ELIGIBLE.name),
            of(m::PAYLOADS.name),
            "the ledger of payloads does not balance:\n{page}"
        );
        delivered
    }

    /// Process ids of a role's processes (children of ours, by their subcommand).
    pub fn pids(&self, role: &str) -> Vec<u32> {
        let parent = self.process.id().expect("runs");
        children(parent).into_iter().filter(|pid| command_line(*pid).get(1).is_some_and(|a| a == role)).collect()
    }

    /// `kill -9` of a role.
    pub fn kill(&self, role: &str) {
        let pids = self.pids(role);
        assert!(!pids.is_empty(), "no process runs the role {role}\n{}", self.log());
        for pid in pids {
            signal(pid, rustix::process::Signal::KILL);
        }
    }

    /// Stops a role's process where it is (SIGSTOP): it lives and answers nothing.
    pub fn pause(&self, role: &str) {
        self.pids(role).into_iter().for_each(|pid| signal(pid, rustix::process::Signal::STOP));
    }

    /// Lets a paused role go on.
    pub fn resume(&self, role: &str) {
        self.pids(role).into_iter().for_each(|pid| signal(pid, rustix::process::Signal::CONT));
    }

    /// The folder of configuration, log and data.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Everything the processes wrote to their logs.
    pub fn log(&self) -> String {
        log_of(self.folder.path())
    }

    /// Stops in order and asserts what must hold after every run.
    pub async fn stop(mut self) -> TempDir {
        let parent = self.process.id().expect("still runs");
        let family = children(parent);
        signal(parent, rustix::process::Signal::TERM);
        let status: ExitStatus = tokio::time::timeout(PATIENCE, self.process.wait())
            .await
            .expect("stops in time")
            .expect("can be waited for");
        let log = self.log();
        assert!(status.success(), "ended with {status}\n{log}");
        assert!(!log.contains("panicked at"), "something panicked\n{log}");
        for pid in family {
            assert!(!Path::new(&format!("/proc/{pid}")).exists(), "process {pid} was left behind\n{log}");
        }
        self.folder
    }
}

fn log_of(folder: &Path) -> String {
    fs::read_to_string(folder.join("log.txt")).unwrap_or_default()
}

/// Sum of a metric's series in Prometheus' text format whose labels contain `labels`.
pub fn sum_of(page: &str, name: &str, labels: &str) -> f64 {
    page.lines()
        .filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])) && line.contains(labels)
        })
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
        .sum()
}

fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).expect("a process id is not 0");
    rustix::process::kill_process(pid, signal).expect("our own process can be signalled");
}

fn children(parent: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{parent}/task")).expect("/proc lists our threads").flatten();
    threads
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

fn command_line(pid: u32) -> Vec<String> {
    let raw = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    raw.split(|b| *b == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}
