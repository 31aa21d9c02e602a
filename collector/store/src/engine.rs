//! The embedded engine: a real ClickHouse in a child process that listens on loopback.
//!
//! The choice: `libchdb.so` is clickhouse-local as a shared library, and clickhouse-local can open the server's own
//! HTTP listener. So the engine has the server's SQL, files and protocol, and the rest of this crate cannot tell
//! the two apart. It runs in a child of our own binary, because a crash of the engine must not be ours.
//!
//! The child reads its standard input until that ends: [`Engine::stop`] closes it, and so does the death of the
//! parent, however it dies. No orphan is left, and no signal is needed.

mod files;
mod library;

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};

pub use library::run_child;

use crate::{Config, Error, RawConfig, Store};

/// The first argument with which our own binary is called to become the engine.
pub const CHILD_COMMAND: &str = "engine";

/// Opens the listener, then reads standard input until it ends; clickhouse-local stops after its last statement.
const STATEMENTS: &str = "SYSTEM START LISTEN HTTP; INSERT INTO FUNCTION null('line String') \
                          SELECT * FROM file('/dev/stdin', 'LineAsString', 'line String')";
const READY_WITHIN: Duration = Duration::from_secs(60);
/// Shortest and longest time between two questions whether it is there.
const ASK_AFTER: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(250));
const STOP_WITHIN: Duration = Duration::from_secs(20);
const PORT_ATTEMPTS: u32 = 5;

/// How to run the engine.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// `libchdb.so`, or a `clickhouse` binary, which takes the same arguments.
    pub library: PathBuf,
    /// Our own binary, called as `PROGRAM engine …`; not used with a `clickhouse` binary.
    pub program: PathBuf,
    /// Where tables, password and address are kept; made if absent, mode 0700.
    pub data_dir: PathBuf,
    /// Port of the HTTP interface on loopback; 0 picks a free one.
    pub http_port: u16,
    /// Limit of the engine's memory in bytes; a query that would pass it fails.
    pub max_memory_bytes: u64,
}

impl EngineConfig {
    /// 1.5 GB: room for a million-row insert and the analyzer's scans beside it.
    pub const DEFAULT_MAX_MEMORY_BYTES: u64 = 1_500_000_000;
}

/// Why the engine does not run.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The library or binary is not there.
    #[error("the ClickHouse engine {} is absent; run `make deps`, or set store.engine or store.url", path.display())]
    Absent {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// Its data folder cannot be prepared.
    #[error("the engine's data folder cannot be used: {0}")]
    Folder(String),
    /// It cannot be started.
    #[error("{} cannot be started: {reason}", program.display())]
    Spawn {
        /// What was started.
        program: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// It ended before it answered.
    #[error("the engine ended at once ({status}); its last words: {words}")]
    EndedEarly {
        /// How it ended.
        status: String,
        /// The end of its standard error.
        words: String,
    },
    /// It runs and does not answer.
    #[error("the engine did not answer within {} s: {reason}", READY_WITHIN.as_secs())]
    Silent {
        /// The last answer.
        reason: String,
    },
}

/// A running engine. Dropping it kills it, which loses nothing that was acknowledged.
#[derive(Debug)]
pub struct Engine {
    child: Child,
    stdin: Option<ChildStdin>,
    address: SocketAddr,
    data_dir: PathBuf,
}

impl Engine {
    /// Starts the engine and waits until it answers.
    ///
    /// # Errors
    /// [`EngineError`], each with what to do.
    pub async fn start(config: EngineConfig) -> Result<Self, EngineError> {
        if !config.library.exists() {
            return Err(EngineError::Absent { path: config.library });
        }
        let mut attempt = 0;
        loop {
            attempt += 1;
            match Self::start_once(&config).await {
                // somebody may take the picked port before the engine does
                Err(EngineError::EndedEarly { .. }) if config.http_port == 0 && attempt < PORT_ATTEMPTS => {}
                outcome => return outcome,
            }
        }
    }

    async fn start_once(config: &EngineConfig) -> Result<Self, EngineError> {
        let address = address(config.http_port)?;
        let files = files::prepare(config).map_err(EngineError::Folder)?;
        let mut command = command(config, &files, address.port());
        // its own group: a terminal's Ctrl-C is for the parent, which stops it in order
        command.process_group(0).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| EngineError::Spawn {
            program: PathBuf::from(command.as_std().get_program()),
            reason: error.to_string(),
        })?;
        let stdin = child.stdin.take();
        let words = child.stderr.take().map(LastWords::follow);
        let mut engine = Self { child, stdin, address, data_dir: config.data_dir.clone() };
        engine.until_ready(words).await?;
        files::write_address(&config.data_dir, &engine.url()).map_err(EngineError::Folder)?;
        Ok(engine)
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The port that it listens on.
    #[must_use]
    pub const fn http_port(&self) -> u16 {
        self.address.port()
    }

    /// Its process id; `None` once it has ended.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// The file that holds the password of user `driftline`.
    #[must_use]
    pub fn password_file(&self) -> PathBuf {
        password_file(&self.data_dir)
    }

    /// Waits until it ends by itself, which it does only by a fault.
    ///
    /// # Errors
    /// Where the system cannot wait.
    pub async fn wait(&mut self) -> std::io::Result<ExitStatus> {
        // tokio closes a child's standard input before it waits, unless it was taken, as it was
        self.child.wait().await
    }

    /// Closes its standard input and waits for a clean end; kills it if that takes over 20 s.
    ///
    /// # Errors
    /// Where the system cannot wait.
    pub async fn stop(mut self) -> std::io::Result<ExitStatus> {
        files::remove_address(&self.data_dir);
        drop(self.stdin.take());
        match tokio::time::timeout(STOP_WITHIN, self.child.wait()).await {
            Ok(status) => status,
            Err(_) => {
                tracing::warn!("the engine did not stop in time and is killed, which loses nothing acknowledged");
                self.child.kill().await?;
                self.child.wait().await
            }
        }
    }

    /// Kills it and waits until it is gone: for an engine that keeps nothing.
    ///
    /// # Errors
    /// Where the system cannot kill it.
    pub async fn kill(mut self) -> std::io::Result<()> {
        self.child.kill().await
    }

    async fn until_ready(&mut self, words: Option<LastWords>) -> Result<(), EngineError> {
        let store = self.store()?;
        let deadline = Instant::now() + READY_WITHIN;
        let began = Instant::now();
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                let words = match words {
                    Some(words) => words.collect().await,
                    None => String::new(),
                };
                return Err(EngineError::EndedEarly { status: status.to_string(), words });
            }
            match store.ping().await {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() >= deadline => {
                    return Err(EngineError::Silent { reason: error.to_string() });
                }
                // a tenth of a start at most is lost by asking too late
                Err(_) => tokio::time::sleep((began.elapsed() / 10).clamp(ASK_AFTER.0, ASK_AFTER.1)).await,
            }
        }
    }

    fn store(&self) -> Result<Store, EngineError> {
        let raw = RawConfig {
            url: Some(self.url()),
            user: Some(crate::connection::ENGINE_USER.to_owned()),
            password_file: Some(self.password_file()),
            request_timeout: Duration::from_secs(5),
            ..RawConfig::default()
        };
        let config = Config::new(raw).map_err(|faults| EngineError::Folder(faults.to_string()))?;
        Store::connect(&config).map_err(|error: Error| EngineError::Folder(error.to_string()))
    }
}

/// Where the password of an engine with this data folder is.
#[must_use]
pub fn password_file(data_dir: &Path) -> PathBuf {
    data_dir.join(crate::connection::PASSWORD_FILE)
}

/// The address to listen on; a free port is found by listening on it for a moment.
fn address(port: u16) -> Result<SocketAddr, EngineError> {
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    if port != 0 {
        return Ok(loopback);
    }
    let picked = TcpListener::bind(loopback).and_then(|listener| listener.local_addr());
    picked.map_err(|error| EngineError::Folder(format!("no free port on loopback: {error}")))
}

fn command(config: &EngineConfig, files: &files::Files, port: u16) -> Command {
    let mut arguments: Vec<OsString> = vec![
        option("--config-file=", &files.server),
        option("--path=", &files.tables),
        format!("--query={STATEMENTS}").into(),
        "--".into(),
        format!("--http_port={port}").into(),
        "--listen_host=127.0.0.1".into(),
    ];
    if is_library(&config.library) {
        let mut command = Command::new(&config.program);
        arguments.splice(0..0, [CHILD_COMMAND.into(), config.library.clone().into_os_string()]);
        command.args(arguments);
        command
    } else {
        let mut command = Command::new(&config.library);
        command.arg("local").args(arguments);
        command
    }
}

fn option(name: &str, value: &Path) -> OsString {
    let mut option = OsString::from(name);
    option.push(value);
    option
}

/// Whether a file is a shared library: `libchdb.so`, `libchdb.so.26`, `libchdb.dylib`.
fn is_library(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".dylib") || name.ends_with(".so") || name.contains(".so.")
}

/// The end of the engine's standard error, which is passed on to our log line by line.
struct LastWords {
    reader: tokio::task::JoinHandle<Vec<String>>,
}

impl LastWords {
    const LINES: usize = 8;

    fn follow(stderr: tokio::process::ChildStderr) -> Self {
        let reader = tokio::spawn(async move {
            let mut lines = BufReader::new(stderr).lines();
            let mut last = std::collections::VecDeque::new();
            while let Ok(Some(line)) = lines.next_line().await {
                if line.trim().is_empty() {
                    continue;
                }
                tracing::warn!(target: "engine", "{line}");
                if last.len() == Self::LINES {
                    last.pop_front();
                }
                last.push_back(line);
            }
            last.into()
        });
        Self { reader }
    }

    async fn collect(self) -> String {
        match tokio::time::timeout(Duration::from_secs(2), self.reader).await {
            Ok(Ok(lines)) if !lines.is_empty() => lines.join(" / "),
            _ => "none".to_owned(),
        }
    }
}
