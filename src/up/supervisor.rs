//! Order of start and stop, and what a user is told.
//!
//! Start: what is written to comes before what writes. Stop: the other way round, so that each part drains into one
//! that still runs; the analyzer only reads and goes second.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::keeper::Keeper;
use super::lock::Lock;
use super::part::{HTTP, Part};
use super::private_key::{PrivateKey, quoted};
use super::waiting;
use crate::cli::ConfigArgs;
use crate::config::Loaded;

/// Where everything is: one JSON line on standard output once all roles are ready.
#[derive(Debug, Serialize)]
struct Whereabouts {
    proxy: String,
    /// `host:port`, where the proxy speaks gRPC.
    #[serde(skip_serializing_if = "Option::is_none")]
    grpc: Option<String>,
    collector: String,
    analyzer: String,
    clickhouse: String,
    clickhouse_user: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    clickhouse_password_file: Option<std::path::PathBuf>,
}

/// Runs the engine and all roles until `shutdown`.
///
/// # Errors
/// Where a part cannot be started the first time.
pub async fn run(args: &ConfigArgs, loaded: &Loaded, shutdown: CancellationToken) -> anyhow::Result<()> {
    // before anything in the folder is written
    let _lock = Lock::take(&loaded.raw.data_dir)?;
    let mut running = Vec::new();
    let outcome = tokio::select! {
        outcome = start_and_report(args, loaded, &mut running) => outcome,
        () = shutdown.cancelled() => Ok(()),
    };
    if outcome.is_ok() {
        shutdown.cancelled().await;
    }
    stop(running).await;
    outcome
}

async fn start_and_report(
    args: &ConfigArgs,
    loaded: &Loaded,
    running: &mut Vec<(&'static str, Keeper)>,
) -> anyhow::Result<()> {
    let store = match &loaded.raw.store.url {
        Some(url) => url.clone(),
        None => format!("http://{}", start("engine", Part::Engine(loaded.engine()?), running).await?.address()),
    };
    let role = |name, listen_keys, sets: &[(&str, &str)]| role(args, name, listen_keys, sets);
    // migrated before anybody asks; a role that runs alone does it for itself
    loaded.store()?.migrate().await.context("the database cannot be migrated")?;
    // the roles find the engine by the address and password that it leaves in its data folder
    let raw = &loaded.raw;
    let private = PrivateKey::make(loaded)?;
    let known = private.as_ref().map(|key| ("collector.edge.auth.key_files", key.known_in(loaded)));
    let shown = private.as_ref().map(|key| ("proxy.mirror.collector.token_file", key.token_file()));
    let collector = start("collect", role("collect", COLLECTOR, &sets(&known))?, running).await?.address();
    let collector = url(&raw.collector.edge, &collector);
    let mut neighbours = vec![("proxy.mirror.collector_url", collector.as_str())];
    neighbours.extend(sets(&shown));
    // on one machine the mirror trusts the very certificate that the collector shows
    let tls = raw.collector.edge.tls.as_ref().filter(|_| raw.proxy.mirror.collector.ca_file.is_none());
    let trusted = tls.map(|tls| ("proxy.mirror.collector.ca_file", quoted(&tls.cert_file)));
    neighbours.extend(sets(&trusted));
    let proxy = start("proxy", role("proxy", PROXY, &neighbours)?, running).await?;
    let (proxy, grpc) = (proxy.address(), proxy.addresses.get("grpc").cloned());
    let analyzer = start("analyze", role("analyze", ANALYZER, &[])?, running).await?.address();
    let (proxy, analyzer) = (url(&raw.proxy.edge, &proxy), url(&raw.analyzer.edge, &analyzer));
    tracing::info!(proxy, collector, page = analyzer, "all roles run");
    if raw.proxy.edge.tls.is_none() {
        waiting::for_models(&proxy, raw.proxy.edge.auth.is_on()).await;
    }
    let (user, password_file) = loaded.store_credentials();
    report(&Whereabouts {
        proxy,
        grpc,
        collector,
        analyzer,
        clickhouse: store,
        clickhouse_user: user,
        clickhouse_password_file: password_file,
    })
}

fn sets<'a>(set: &'a Option<(&'a str, String)>) -> Vec<(&'a str, &'a str)> {
    set.iter().map(|(key, value)| (*key, value.as_str())).collect()
}

fn url(edge: &host::gate::RawEdge, address: &str) -> String {
    format!("{}://{address}", if edge.tls.is_some() { "https" } else { "http" })
}

/// The keys of a role's addresses, by protocol.
type ListenKeys = &'static [(&'static str, &'static str)];
const COLLECTOR: ListenKeys = &[(HTTP, "collector.listen")];
const PROXY: ListenKeys = &[(HTTP, "proxy.listen"), ("grpc", "proxy.grpc")];
const ANALYZER: ListenKeys = &[(HTTP, "analyzer.listen")];

async fn start<'a>(
    name: &'static str,
    part: Part,
    running: &'a mut Vec<(&'static str, Keeper)>,
) -> anyhow::Result<&'a Keeper> {
    let keeper = Keeper::start(part).await.with_context(|| format!("{name} does not start"))?;
    tracing::info!(role = name, address = keeper.address(), "runs");
    running.push((name, keeper));
    running.last().map(|(_, keeper)| keeper).context("was pushed just now")
}

/// A role with the same configuration file and overrides as ours, and with what it needs to know of its neighbours.
fn role(args: &ConfigArgs, name: &'static str, listen_keys: ListenKeys, sets: &[(&str, &str)]) -> anyhow::Result<Part> {
    let mut arguments = vec!["--config".to_owned(), args.config.display().to_string()];
    let neighbours = sets.iter().map(|(key, value)| format!("{key}={value}"));
    for set in args.overrides.iter().cloned().chain(neighbours) {
        arguments.extend(["--set".to_owned(), set]);
    }
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    Ok(Part::Role { name, program, arguments, listen_keys })
}

fn report(whereabouts: &Whereabouts) -> anyhow::Result<()> {
    use std::io::Write as _;
    let line = serde_json::to_string(whereabouts)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).context("cannot write to standard output")?;
    tracing::info!(page = whereabouts.analyzer, "everything runs; Ctrl-C stops it");
    Ok(())
}

async fn stop(running: Vec<(&'static str, Keeper)>) {
    const ORDER: [&str; 4] = ["proxy", "analyze", "collect", "engine"];
    let mut by_name: BTreeMap<_, _> = running.into_iter().collect();
    for name in ORDER {
        if let Some(keeper) = by_name.remove(name) {
            keeper.stop().await;
        }
    }
}
