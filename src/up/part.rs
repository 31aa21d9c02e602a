//! What the supervisor keeps running: the engine, or a role of this program.

use std::path::PathBuf;
use std::time::Duration;

use store::engine::{Engine, EngineConfig};
use tokio::process::Command;

use super::child::Supervised;

/// How long a part may take to be ready: loading large models takes its time.
const START_PATIENCE: Duration = Duration::from_secs(180);
/// How long a part may take to stop: longer than the drain limits of the roles.
const STOP_PATIENCE: Duration = Duration::from_secs(40);

/// How to start a part.
#[derive(Clone, Debug)]
pub enum Part {
    /// The embedded ClickHouse.
    Engine(EngineConfig),
    /// A role, as `PROGRAM <name> <arguments>`.
    Role {
        /// The subcommand.
        name: &'static str,
        /// This program.
        program: PathBuf,
        /// Arguments after the subcommand.
        arguments: Vec<String>,
        /// The key that pins the address over restarts.
        listen_key: &'static str,
    },
}

/// A started part.
#[derive(Debug)]
pub enum Running {
    /// The engine.
    Engine(Engine),
    /// A role.
    Role(Supervised),
}

impl Part {
    /// For logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Engine(_) => "engine",
            Self::Role { name, .. } => name,
        }
    }

    /// Starts it, on `address` if that is known.
    pub async fn start(&self, address: Option<&str>) -> anyhow::Result<Running> {
        match self {
            Self::Engine(config) => {
                let mut config = config.clone();
                if let Some(port) = address.and_then(|a| a.rsplit_once(':')).and_then(|(_, port)| port.parse().ok()) {
                    config.http_port = port;
                }
                Ok(Running::Engine(Engine::start(config).await?))
            }
            Self::Role { name, program, arguments, listen_key } => {
                let mut command = Command::new(program);
                command.arg(name).args(arguments).arg("--stop-with-stdin");
                if let Some(address) = address {
                    command.arg("--set").arg(format!("{listen_key}={address}"));
                }
                Ok(Running::Role(Supervised::start(name, command, START_PATIENCE).await?))
            }
        }
    }
}

impl Running {
    /// `host:port` of its HTTP listener.
    pub fn address(&self) -> String {
        match self {
            Self::Engine(engine) => engine.url().trim_start_matches("http://").trim_end_matches('/').to_owned(),
            Self::Role(role) => role.report.addresses.get("http").cloned().unwrap_or_default(),
        }
    }

    /// Waits for its end; says how it ended.
    pub async fn wait(&mut self) -> String {
        match self {
            Self::Engine(engine) => format!("{:?}", engine.wait().await),
            Self::Role(role) => role.wait().await.map_or_else(|e| e.to_string(), |status| status.to_string()),
        }
    }

    /// Stops it in order.
    pub async fn stop(self) {
        match self {
            Self::Engine(engine) => {
                if let Err(error) = engine.stop().await {
                    tracing::warn!(%error, "the engine did not stop cleanly");
                }
            }
            Self::Role(role) => role.stop(STOP_PATIENCE).await,
        }
    }
}
