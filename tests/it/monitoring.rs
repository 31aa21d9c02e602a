//! A real Prometheus and a real Alertmanager beside a running Driftline, set up by what `driftline render` writes.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::process::{Child, Command};

use crate::harness::{Driftline, PATIENCE, PROGRAM};

/// Starts of a tool before it is given up: somebody else may take the free port first.
const STARTS: usize = 5;

/// A tool that serves HTTP. It ends with this value.
pub struct Tool {
    process: Child,
    log: PathBuf,
    http: reqwest::Client,
    pub address: String,
}

/// Renders rules, routes and dashboards for a running Driftline; the folder that they are in.
pub async fn render(driftline: &Driftline, alertmanager: &str) -> PathBuf {
    let roles =
        [("--proxy", &driftline.proxy), ("--collector", &driftline.collector), ("--analyzer", &driftline.analyzer)];
    let roles = roles.map(|(role, url)| [role, url.trim_start_matches("http://")]);
    let arguments: Vec<&str> = roles.into_iter().flatten().chain(["--alertmanager", alertmanager]).collect();
    render_in(driftline.folder(), &arguments).await
}

/// Renders what the configuration in a folder says.
pub async fn render_in(folder: &Path, arguments: &[&str]) -> PathBuf {
    let out = folder.join("rendered");
    let config = folder.join("driftline.toml");
    let mut command = Command::new(PROGRAM);
    command.arg("render").arg("--config").arg(config).arg("--out").arg(&out).args(arguments);
    let done = command.output().await.expect("the program can be started");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    out
}

/// Prometheus with the rendered rules, scraping.
pub async fn prometheus(folder: &Path, rendered: &Path) -> Tool {
    let config = format!("--config.file={}", rendered.join("prometheus/prometheus.yml").display());
    let data = format!("--storage.tsdb.path={}", folder.join("prometheus").display());
    Tool::start(folder, "prometheus", &[&config, &data]).await
}

/// Alertmanager with a configuration of its own.
pub async fn alertmanager(folder: &Path, config: &Path) -> Tool {
    let config = format!("--config.file={}", config.display());
    let data = format!("--storage.path={}", folder.join("alertmanager").display());
    Tool::start(folder, "prometheus-alertmanager", &[&config, &data, "--cluster.listen-address="]).await
}

impl Tool {
    async fn start(folder: &Path, program: &str, arguments: &[&str]) -> Self {
        for _ in 0..STARTS {
            let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
            let address = format!("127.0.0.1:{port}");
            let log = folder.join(format!("{program}.log"));
            let written = fs::File::create(&log).expect("the folder is writable");
            let process = Command::new(program)
                .args(arguments)
                .arg(format!("--web.listen-address={address}"))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(written)
                .kill_on_drop(true)
                .spawn()
                .unwrap_or_else(|error| panic!("{program}: {error}: run `make deps`"));
            let mut tool = Self { process, log, http: reqwest::Client::new(), address };
            if tool.is_ready().await {
                return tool;
            }
        }
        panic!(
            "{program} does not start:\n{}",
            fs::read_to_string(folder.join(format!("{program}.log"))).unwrap_or_default()
        );
    }

    /// Whether it is ready before it ends.
    async fn is_ready(&mut self) -> bool {
        let since = Instant::now();
        loop {
            if let Ok(answer) = self.http.get(format!("http://{}/-/ready", self.address)).send().await
                && answer.status().is_success()
            {
                return true;
            }
            if matches!(self.process.try_wait(), Ok(Some(_))) {
                return false;
            }
            assert!(since.elapsed() < PATIENCE, "waited in vain for {}:\n{}", self.address, self.said());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What it wrote to its log.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Gets JSON; its status and body.
    pub async fn get(&self, path: &str) -> (u16, Value) {
        self.answer(self.http.get(format!("http://{}{path}", self.address))).await
    }

    /// Posts JSON.
    pub async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.answer(self.http.post(format!("http://{}{path}", self.address)).json(body)).await
    }

    /// Posts a form.
    pub async fn ask(&self, path: &str, fields: &[(&str, &str)]) -> (u16, Value) {
        let form: Vec<String> = fields.iter().map(|(key, value)| format!("{key}={}", encoded(value))).collect();
        let post = self.http.post(format!("http://{}{path}", self.address));
        let post = post.header("content-type", "application/x-www-form-urlencoded").body(form.join("&"));
        self.answer(post).await
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> (u16, Value) {
        let answer = request.send().await.unwrap_or_else(|error| panic!("{error}\n{}", self.said()));
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or(Value::Null))
    }
}

/// As a form and a URL carry it.
pub fn encoded(text: &str) -> String {
    let byte = |b: u8| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") };
    text.bytes().map(byte).collect()
}
