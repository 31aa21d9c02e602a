//! A real engine, a collector in this process or in one of its own, and batches to post.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use collector::{Config, Deps, RawConfig};
use contract::wire::{Ack, Batch, Feature, FeatureValue, Ledger, Observation, Outcome, Payload, Timings, WIRE_VERSION};
use host::config::ByteSize;
use host::metrics::Registry;
use masking::Masker;
use reqwest::Response;
use store::Store;
use store::engine::{Engine, EngineConfig};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A folder with an engine in it.
pub struct House {
    pub dir: tempfile::TempDir,
    pub engine: Option<Engine>,
    port: u16,
    password: String,
}

impl House {
    pub async fn build() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::start(engine(&dir.path().join("engine"), 0)).await.unwrap();
        let password = std::fs::read_to_string(engine.password_file()).unwrap().trim().to_owned();
        Self { port: engine.http_port(), password, dir, engine: Some(engine) }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn store(&self) -> Store {
        let raw = store::RawConfig { data_dir: self.path("engine"), ..store::RawConfig::default() };
        Store::connect(&store::Config::new(raw).unwrap()).unwrap()
    }

    /// Where the engine listens.
    pub fn engine_address(&self) -> std::net::SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// The engine behind something else, which may take a while: requests are given up after ten seconds.
    pub fn store_at(&self, address: std::net::SocketAddr) -> Store {
        let raw = store::RawConfig {
            url: Some(format!("http://{address}")),
            user: Some("driftline".into()),
            password: Some(self.password.clone()),
            request_timeout: Duration::from_secs(10),
            ..store::RawConfig::default()
        };
        Store::connect(&store::Config::new(raw).unwrap()).unwrap()
    }

    /// Waits until the collector has made its tables.
    pub async fn until_tables(&self) {
        self.until("SELECT count() FROM heartbeats", "0").await;
    }

    /// Kills the engine and starts it again on the same port.
    pub async fn restart_engine(&mut self) {
        drop(self.engine.take());
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            match Engine::start(engine(&self.path("engine"), self.port)).await {
                Ok(engine) => break self.engine = Some(engine),
                Err(error) if Instant::now() > deadline => panic!("{error}"),
                // the killed one may still hold the port
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// Starts the engine again where it is gone, as a supervisor does.
    pub async fn revive_engine(&mut self) {
        if self.ask("SELECT 1").await != "1" {
            self.restart_engine().await;
        }
    }

    /// What a query gives, as tab-separated lines; the error's text where it fails.
    pub async fn ask(&self, sql: &str) -> String {
        let url = format!("http://127.0.0.1:{}/?database=driftline", self.port);
        let request = reqwest::Client::new().post(url).body(sql.to_owned());
        let request = request.header("X-ClickHouse-User", "driftline").header("X-ClickHouse-Key", &self.password);
        match request.send().await {
            Ok(answer) => answer.text().await.unwrap().trim_end().to_owned(),
            Err(error) => error.to_string(),
        }
    }

    /// Waits until a query gives what is expected.
    pub async fn until(&self, sql: &str, expected: &str) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let answer = self.ask(sql).await;
            if answer == expected {
                return;
            }
            assert!(Instant::now() < deadline, "{sql}: {answer}, not {expected}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn engine(data_dir: &Path, http_port: u16) -> EngineConfig {
    let in_workspace = concat!(env!("CARGO_MANIFEST_DIR"), "/../.deps/chdb/libchdb.so");
    let library = std::env::var_os("DRIFTLINE_CHDB").map_or_else(|| PathBuf::from(in_workspace), PathBuf::from);
    assert!(library.exists(), "{} is absent: run `make deps`", library.display());
    EngineConfig {
        library,
        program: env!("CARGO_BIN_EXE_collector-testbed").into(),
        data_dir: data_dir.to_owned(),
        http_port,
        max_memory_bytes: EngineConfig::DEFAULT_MAX_MEMORY_BYTES,
    }
}

/// A store where nobody answers.
pub fn nowhere() -> Store {
    let raw = store::RawConfig { url: Some("http://127.0.0.1:1".into()), ..store::RawConfig::default() };
    Store::connect(&store::Config::new(raw).unwrap()).unwrap()
}

/// A configuration with a short memory and small segments.
pub fn raw(log: &Path) -> RawConfig {
    let mut raw = RawConfig { listen: "127.0.0.1:0".into(), drain: Duration::from_secs(5), ..RawConfig::default() };
    raw.log.dir = log.to_owned();
    raw.log.segment_max_age = Duration::from_millis(50);
    raw.limits.max_decoded_bytes = ByteSize::mib(16);
    raw
}

/// A collector in this process.
pub struct Running {
    pub url: String,
    pub registry: Registry,
    shutdown: CancellationToken,
    task: JoinHandle<std::io::Result<()>>,
}

impl Running {
    pub async fn start(raw: RawConfig, store: Store) -> Self {
        let registry = Registry::new();
        let masking = masking::RawConfig { allow: vec!["input.ticket".into()], ..masking::RawConfig::default() };
        let deps = Deps { store, masker: Masker::new(&masking).unwrap(), registry: registry.clone() };
        let service = collector::build(Config::try_from(raw).unwrap(), deps).await.unwrap();
        let (url, shutdown) = (format!("http://{}", service.local_addr()), CancellationToken::new());
        let task = tokio::spawn(service.run(shutdown.clone()));
        Self { url, registry, shutdown, task }
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
    }

    /// The value of a series; its name and labels as rendered.
    pub fn metric(&self, series: &str) -> f64 {
        let text = self.registry.render();
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok());
        value.unwrap_or_else(|| panic!("no {series} in\n{text}"))
    }

    /// The sum of a metric's series that carry a label, as in `outcome="failed"`.
    pub fn sum(&self, name: &str, label: &str) -> f64 {
        let text = self.registry.render();
        let series = text.lines().filter(|line| line.starts_with(&format!("{name}{{")) && line.contains(label));
        series.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    }

    /// Waits until such a sum has come so far.
    pub async fn until_sum(&self, name: &str, label: &str, at_least: f64) {
        let deadline = Instant::now() + Duration::from_secs(120);
        while self.sum(name, label) < at_least {
            assert!(Instant::now() < deadline, "{name} {label} is {}, not {at_least}", self.sum(name, label));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn until_metric(&self, series: &str, expected: f64) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while (self.metric(series) - expected).abs() > 0.0 {
            assert!(Instant::now() < deadline, "{series} is {}, not {expected}", self.metric(series));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A collector in a process of its own.
pub struct Child {
    pub address: String,
    process: tokio::process::Child,
}

impl Child {
    pub async fn start(house: &House, listen: &str) -> Self {
        let (log, engine) = (house.path("log"), house.path("engine"));
        let mut process = tokio::process::Command::new(env!("CARGO_BIN_EXE_collector-testbed"))
            .args(["collect", listen])
            .args([log, engine])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).await.unwrap();
        Self { address: line.trim().to_owned(), process }
    }

    /// SIGKILL, and that it is gone.
    pub async fn kill(mut self) {
        self.process.kill().await.unwrap();
    }

    /// Closes its standard input and waits for its end.
    pub async fn stop(mut self) {
        drop(self.process.stdin.take());
        assert!(self.process.wait().await.unwrap().success());
    }
}

pub fn now() -> i64 {
    host::clock::now_ms()
}

pub fn observation(text: &str) -> Observation {
    let feature = |name: &str, value| Feature { name: name.into(), item: 0, value };
    Observation {
        id: uuid::Uuid::now_v7(),
        trace_id: None,
        at_ms: now(),
        model: "m".into(),
        version: "1".into(),
        route: "predict".into(),
        outcome: Outcome::Ok,
        code: 200,
        reason: None,
        client: None,
        timings: Timings::default(),
        items: 1,
        features: vec![
            feature("input.x", FeatureValue::Number(0.5)),
            feature("input.y", FeatureValue::Number(f64::NAN)),
            feature("output.label", FeatureValue::Category("a".into())),
        ],
        predictions: vec![],
        shadows: vec![],
        payload: Payload::Kept(contract::wire::Content {
            input: serde_json::json!({ "text": text, "ticket": text }),
            output: serde_json::Value::Null,
            inclusion_probability: 1.0,
        }),
    }
}

pub fn batch(source: &str, epoch: u64, seq: u64, observations: usize) -> Batch {
    Batch {
        wire: WIRE_VERSION,
        source: source.into(),
        epoch,
        seq,
        sent_at_ms: now(),
        ledger: Ledger { observed: seq, delivered: seq, dropped: 0, in_flight: 0 },
        observations: (0..observations).map(|_| observation("hello")).collect(),
    }
}

/// Posts a batch as the proxy does.
pub async fn post(client: &reqwest::Client, url: &str, batch: &Batch) -> reqwest::Result<Response> {
    let body = zstd::bulk::compress(&rmp_serde::to_vec_named(batch).unwrap(), 3).unwrap();
    let request = client.post(format!("{url}/v1/observations"));
    request.header("content-type", "application/msgpack").header("content-encoding", "zstd").body(body).send().await
}

pub async fn ack(response: Response) -> Ack {
    assert_eq!(response.status(), 200);
    response.json().await.unwrap()
}
