//! What the supervisor keeps running: the engine, or a role of this program.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use store::engine::{Engine, EngineConfig};
use tokio::process::Command;

use super::child::Supervised;

/// How long a part may take to be ready: loading large models takes its time.
const START_PATIENCE: Duration = Duration::from_secs(180);
/// How long a part may take to stop: longer than the drain limits of the roles.
const STOP_PATIENCE: Duration = Duration::from_secs(40);

/// Where a part listens, `host:port` by protocol.
pub type Addresses = BTreeMap<String, String>;

/// The protocol that every part speaks.
pub const HTTP: &str = "http";

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
        /// The keys that pin its addresses over restarts, by protocol.
        listen_keys: &'static [(&'static str, &'static str)],
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

    /// Starts it, on the addresses that are known.
    pub async fn start(&self, addresses: &Addresses) -> anyhow::Result<Running> {
        match self {
            Self::Engine(config) => {
                let mut config = config.clone();
                let address = addresses.get(HTTP);
                if let Some(port) = address.and_then(|a| a.rsplit_once(':')).and_then(|(_, port)| port.parse().ok()) {
                    config.http_port = port;
                }
                Ok(Running::Engine(Engine::start(config).await?))
            }
            Self::Role { name, program, arguments, listen_keys } => {
                let mut command = Command::new(program);
                command.arg(name).args(arguments).arg("--stop-with-stdin");
                for (protocol, key) in *listen_keys {
                    if let Some(address) = addresses.get(*protocol) {
                        command.arg("--set").arg(format!("{key}={address}"));
                    }
                }
                Ok(Running::Role(Supervised::start(name, command, START_PATIENCE).await?))
            }
        }
    }
}

impl Running {
    /// Where it listens.
    pub fn addresses(&self) -> Addresses {
        match self {
            Self::Engine(engine) => {
                let url = engine.url();
                let address = url.trim_start_matches("http://").trim_end_matches('/');
                Addresses::from([(HTTP.to_owned(), address.to_owned())])
            }
            Self::Role(role) => role.report.addresses.clone(),
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
