//! A collector and its database in processes of their own, to be measured and to be killed.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use contract::wire::Batch;
use store::Store;
use store::engine::{Engine, EngineConfig};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// Longest wait for something that must come.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// One folder with an engine and a collector.
#[derive(Debug)]
pub struct House {
    folder: tempfile::TempDir,
    program: PathBuf,
    engine: Option<Engine>,
    engine_port: u16,
    collector: Option<Child>,
    /// Keys that the collector's next start has over its file, as `KEY=VALUE`.
    pub settings: Vec<String>,
    /// Where the collector listens, as `host:port`; the same after each start.
    pub address: String,
    http: reqwest::Client,
    password: String,
}

impl House {
    /// Starts both. `collector` is what stands in the collector's section, as TOML.
    ///
    /// # Errors
    /// Where something cannot be started.
    pub async fn build(program: &Path, collector: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let program = std::path::absolute(program)?;
        if !program.exists() {
            bail!("{} is absent: run `make build`", program.display());
        }
        let text = format!(
            "data_dir = {:?}\n[log]\nfilter = \"warn\"\n[collector]\nlisten = \"127.0.0.1:0\"\n{collector}",
            folder.path()
        );
        std::fs::write(folder.path().join("driftline.toml"), text)?;
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?;
        let mut house = Self {
            folder,
            program,
            engine: None,
            engine_port: 0,
            collector: None,
            settings: Vec::new(),
            address: "127.0.0.1:0".to_owned(),
            http,
            password: String::new(),
        };
        house.start_engine().await?;
        let engine = house.engine.as_ref().context("the engine runs")?;
        house.engine_port = engine.http_port();
        house.password = std::fs::read_to_string(engine.password_file())?.trim().to_owned();
        house.start_collector().await?;
        let deadline = Instant::now() + PATIENCE;
        while house.ask("SELECT count() FROM heartbeats").await.is_err() {
            if Instant::now() > deadline {
                bail!("the collector does not make its tables");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(house)
    }

    /// Where everything of it lies.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A connection to its database, for the time that its engine runs.
    ///
    /// # Errors
    /// Where the engine has left no address.
    pub fn store(&self) -> anyhow::Result<Store> {
        let raw = store::RawConfig { data_dir: self.path("clickhouse"), ..store::RawConfig::default() };
        Ok(Store::connect(&store::Config::new(raw)?)?)
    }

    /// The port of the engine's HTTP interface, which it keeps.
    #[must_use]
    pub const fn engine_port(&self) -> u16 {
        self.engine_port
    }

    /// Starts the engine; on the port that it had.
    ///
    /// # Errors
    /// Where it does not come up in time.
    pub async fn start_engine(&mut self) -> anyhow::Result<()> {
        let in_workspace = concat!(env!("CARGO_MANIFEST_DIR"), "/../.deps/chdb/libchdb.so");
        let library = std::env::var_os("DRIFTLINE_CHDB").map_or_else(|| PathBuf::from(in_workspace), PathBuf::from);
        let config = EngineConfig {
            library,
            program: self.program.clone(),
            data_dir: self.path("clickhouse"),
            http_port: self.engine_port,
            max_memory_bytes: EngineConfig::DEFAULT_MAX_MEMORY_BYTES,
        };
        let deadline = Instant::now() + PATIENCE;
        loop {
            match Engine::start(config.clone()).await {
                Ok(engine) => {
                    self.engine = Some(engine);
                    return Ok(());
                }
                Err(error) if Instant::now() > deadline => return Err(error.into()),
                // the killed one may still hold the port
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// `kill -9` of the engine.
    pub fn kill_engine(&mut self) {
        self.engine = None;
    }

    /// Starts the collector; on the address that it had.
    ///
    /// # Errors
    /// Where it does not come up in time.
    pub async fn start_collector(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut process = Command::new(&self.program)
                .args(["collect", "--stop-with-stdin", "--config"])
                .arg(self.path("driftline.toml"))
                .args(["--set", &format!("collector.listen={}", self.address)])
                .args(self.settings.iter().flat_map(|setting| ["--set", setting]))
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(std::fs::File::options().create(true).append(true).open(self.path("collector.log"))?)
                .kill_on_drop(true)
                .spawn()?;
            let mut line = String::new();
            let mut out = BufReader::new(process.stdout.take().context("is piped")?);
            tokio::time::timeout(PATIENCE, out.read_line(&mut line))
                .await
                .context("the collector does not say where it listens")??;
            let report = serde_json::from_str::<serde_json::Value>(&line).unwrap_or_default();
            if let Some(address) = report["addresses"]["http"].as_str() {
                self.address = address.to_owned();
                self.collector = Some(process);
                return Ok(());
            }
            let _ = process.kill().await;
            if Instant::now() > deadline {
                let log = std::fs::read_to_string(self.path("collector.log")).unwrap_or_default();
                bail!("the collector does not start:\n{log}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// `kill -9` of the collector.
    ///
    /// # Errors
    /// Where the system refuses.
    pub async fn kill_collector(&mut self) -> anyhow::Result<()> {
        match self.collector.take() {
            Some(mut process) => Ok(process.kill().await?),
            None => Ok(()),
        }
    }

    /// The collector's resident memory now, in bytes; from `/proc`.
    #[must_use]
    pub fn collector_memory(&self) -> Option<u64> {
        let pid = self.collector.as_ref()?.id()?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
    }

    /// Processor seconds that the collector has used; from `/proc`, in the kernel's hundredths.
    #[must_use]
    pub fn collector_seconds(&self) -> Option<f64> {
        let pid = self.collector.as_ref()?.id()?;
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        Some((fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?) / 100.0)
    }

    /// What a query gives, as tab-separated lines.
    ///
    /// # Errors
    /// Where the database does not answer, or refuses.
    pub async fn ask(&self, sql: &str) -> anyhow::Result<String> {
        let answer = self.fetch(sql).await?;
        Ok(String::from_utf8_lossy(&answer).trim_end().to_owned())
    }

    /// What a query gives, as it comes.
    ///
    /// # Errors
    /// Where the database does not answer, or refuses.
    pub async fn fetch(&self, sql: &str) -> anyhow::Result<bytes::Bytes> {
        let url = format!("http://127.0.0.1:{}/?database=driftline", self.engine_port);
        let request = self.http.post(url).body(sql.to_owned());
        let request = request.header("X-ClickHouse-User", "driftline").header("X-ClickHouse-Key", &self.password);
        let answer = request.send().await?;
        let status = answer.status();
        let body = answer.bytes().await?;
        if !status.is_success() {
            bail!("{sql}: {}", String::from_utf8_lossy(&body));
        }
        Ok(body)
    }

    /// The sum of a family of the collector's metrics whose series begin so.
    ///
    /// # Errors
    /// Where the collector does not answer.
    pub async fn metric(&self, series: &str) -> anyhow::Result<f64> {
        let text = self.http.get(format!("http://{}/metrics", self.address)).send().await?.text().await?;
        let those = text.lines().filter(|line| line.starts_with(series));
        Ok(those.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum())
    }

    /// Waits until nothing is on its way from the log into the database.
    ///
    /// # Errors
    /// Where that takes too long.
    pub async fn until_inserted(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if matches!(self.metric("driftline_collector_log_bytes").await, Ok(bytes) if bytes == 0.0) {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("the log is not empty after {PATIENCE:?}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A batch as the proxy packs it.
///
/// # Errors
/// Where it cannot be packed.
pub fn packed(batch: &Batch) -> anyhow::Result<Vec<u8>> {
    Ok(zstd::bulk::compress(&rmp_serde::to_vec_named(batch)?, 1)?)
}

/// Posts what [`packed`] gave, or JSON; the status.
///
/// # Errors
/// Where no answer comes: nobody knows what became of it.
pub async fn post(http: &reqwest::Client, address: &str, path: &str, body: Body) -> reqwest::Result<u16> {
    let request = http.post(format!("http://{address}{path}"));
    let request = match body {
        Body::Packed(bytes) => {
            request.header("content-type", "application/msgpack").header("content-encoding", "zstd").body(bytes)
        }
        Body::Json(text) => request.header("content-type", "application/json").body(text),
    };
    let answer = request.send().await?;
    let status = answer.status().as_u16();
    // an answer that breaks off is none
    answer.bytes().await?;
    Ok(status)
}

/// What is posted.
#[derive(Clone, Debug)]
pub enum Body {
    /// MessagePack in zstd.
    Packed(bytes::Bytes),
    /// JSON.
    Json(String),
}
