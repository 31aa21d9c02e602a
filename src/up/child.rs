//! One supervised process: spawned with pipes on all three standard streams.
//!
//! Standard input is a life line: it ends when the supervisor does, however that happens, and the child stops.
//! Standard output carries one JSON line, the child's [`Report`]. Standard error is its log, passed on with a prefix.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};

/// What a role tells on standard output once it is ready.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The role (`proxy`, `collect`, …).
    pub role: String,
    /// Bound addresses by protocol (`http`, `grpc`).
    pub addresses: BTreeMap<String, String>,
}

/// A running child.
#[derive(Debug)]
pub struct Supervised {
    name: &'static str,
    process: Child,
    life_line: Option<ChildStdin>,
    /// Where it listens.
    pub report: Report,
}

impl Supervised {
    /// Spawns `command` and waits for its report.
    ///
    /// # Errors
    /// Where it cannot be spawned, ends, or says nothing within `patience`.
    pub async fn start(name: &'static str, mut command: Command, patience: Duration) -> anyhow::Result<Self> {
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            // its own group: a Ctrl-C in the terminal reaches the supervisor alone, which stops the roles in order
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let stdout = process.stdout.take().context("a piped child has a standard output")?;
        let stderr = process.stderr.take().context("a piped child has a standard error")?;
        let life_line = process.stdin.take();
        tokio::spawn(pass_on(name, stderr));
        let report = match tokio::time::timeout(patience, first_report(stdout)).await {
            Ok(Some(report)) => report,
            Ok(None) => {
                let status = process.wait().await?;
                bail!("{name} ended before it was ready ({status}); its log says why");
            }
            Err(_) => bail!("{name} was not ready within {} s", patience.as_secs()),
        };
        Ok(Self { name, process, life_line, report })
    }

    /// Waits for its end.
    pub async fn wait(&mut self) -> std::io::Result<std::process::ExitStatus> {
        self.process.wait().await
    }

    /// Closes the life line and waits up to `patience`; then kills.
    pub async fn stop(mut self, patience: Duration) {
        drop(self.life_line.take());
        match tokio::time::timeout(patience, self.process.wait()).await {
            Ok(_) => tracing::info!(role = self.name, "stopped"),
            Err(_) => {
                tracing::warn!(role = self.name, seconds = patience.as_secs(), "did not stop in time and is killed");
                let _ = self.process.kill().await;
            }
        }
    }
}

/// The first line of standard output that is a report; the rest is read and dropped, so that the child never blocks.
async fn first_report(stdout: impl AsyncRead + Unpin + Send + 'static) -> Option<Report> {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Ok(report) = serde_json::from_str(&line) {
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Some(report);
        }
    }
    None
}

/// Copies log lines to our standard error, each with the child's name in front.
async fn pass_on(name: &'static str, stderr: impl AsyncRead + Unpin) {
    let mut lines = BufReader::new(stderr).split(b'\n');
    let mut out = tokio::io::stderr();
    while let Ok(Some(line)) = lines.next_segment().await {
        let line = format!("{name:<9}| {}\n", String::from_utf8_lossy(&line));
        // read on where nobody listens any more: a child must never block on its own log
        let _ = out.write_all(line.as_bytes()).await;
    }
}
