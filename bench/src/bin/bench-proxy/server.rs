//! The servers under test: child processes that are told everything by a configuration and end with us.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tempfile::TempDir;

use crate::client::{self, Connection};

/// Name of the model in every experiment.
pub const MODEL: &str = "minilm";

/// How long a server may take to come up.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running server.
pub struct Server {
    process: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its configuration and its models; gone with it.
    _folder: Option<TempDir>,
}

impl Drop for Server {
    fn drop(&mut self) {
        // the whole group: workers of workers too; it may have ended by itself
        let group = i32::try_from(self.process.id()).ok().and_then(rustix::process::Pid::from_raw);
        let _ended = group.map(|group| rustix::process::kill_process_group(group, rustix::process::Signal::KILL));
        let _reaped = self.process.wait();
    }
}

impl Server {
    /// Our proxy, serving `versions` (a name and a folder each) of one model, with more lines of configuration.
    pub fn proxy(program: &Path, root: &Path, versions: &[(&str, PathBuf)], settings: &str) -> anyhow::Result<Self> {
        Self::proxy_with(program, &root.join(".deps/onnxruntime/libonnxruntime.so"), versions, settings)
    }

    /// The same with another ONNX Runtime library.
    pub fn proxy_with(
        program: &Path,
        onnxruntime: &Path,
        versions: &[(&str, PathBuf)],
        settings: &str,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let models = folder.path().join("models").join(MODEL);
        std::fs::create_dir_all(&models)?;
        for (version, dir) in versions {
            symlink(dir.canonicalize().with_context(|| dir.display().to_string())?, models.join(version))?;
        }
        let onnxruntime = onnxruntime.canonicalize().with_context(|| onnxruntime.display().to_string())?;
        let config = format!(
            "data_dir = \"data\"\n[proxy]\nlisten = \"127.0.0.1:0\"\n[proxy.models]\nmodels_dir = \"models\"\n\
             onnxruntime = {onnxruntime:?}\n{settings}\n"
        );
        std::fs::write(folder.path().join("driftline.toml"), config)?;
        let mut process = Command::new(program)
            .args(["proxy", "--config"])
            .arg(folder.path().join("driftline.toml"))
            .env("RUST_LOG", "error")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}: `make build`", program.display()))?;
        let mut line = String::new();
        let out = process.stdout.take().context("is piped")?;
        BufReader::new(out).read_line(&mut line)?;
        let told: serde_json::Value = serde_json::from_str(&line).context("the proxy tells no address")?;
        let address = told["addresses"]["http"].as_str().context("the proxy tells no address")?.parse()?;
        let server = Self { process, address, _folder: Some(folder) };
        server.wait("/health/ready")?;
        Ok(server)
    }

    /// Any command that will listen on the port it is given as its last argument.
    pub fn command(mut command: Command, path: &str) -> anyhow::Result<Self> {
        let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let process = command.arg(address.port().to_string()).process_group(0);
        let process = process.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = process.spawn().with_context(|| format!("cannot start {command:?}"))?;
        let server = Self { process, address, _folder: None };
        server.wait(path)?;
        Ok(server)
    }

    /// Stops it where it stands: it holds its connections and answers nobody.
    pub fn hang(&self) -> anyhow::Result<()> {
        let group = i32::try_from(self.process.id()).ok().and_then(rustix::process::Pid::from_raw);
        let group = group.context("a process has a number")?;
        Ok(rustix::process::kill_process_group(group, rustix::process::Signal::STOP)?)
    }

    fn wait(&self, path: &str) -> anyhow::Result<()> {
        let since = Instant::now();
        let request = client::get(path);
        loop {
            let answer = Connection::open(self.address).and_then(|mut c| c.ask(&request).map(|(status, _)| status));
            match answer {
                Ok(200) => return Ok(()),
                other if since.elapsed() > PATIENCE => bail!("the server is not ready after {PATIENCE:?}: {other:?}"),
                _ => std::thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    /// Bytes of memory in use (resident).
    pub fn resident(&self) -> anyhow::Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kib * 1024.0)
    }
}
