//! How each role is put together: its checked configuration, its dependencies, its run.

use std::net::SocketAddr;

use analyzer::service::Asset;
use anyhow::Context as _;
use host::metrics::Registry;
use masking::Masker;
use tokio_util::sync::CancellationToken;

use crate::config::Loaded;
use crate::exit::Usage;
use crate::up::Report;

/// Serves models.
///
/// # Errors
/// Where its configuration is wrong, its port is taken or the model runtime cannot be loaded.
pub async fn proxy(loaded: Loaded, shutdown: CancellationToken) -> anyhow::Result<()> {
    let config = loaded.raw.proxy.check().map_err(usage)?;
    let deps =
        inference_proxy::service::Deps { registry: Registry::new(), masking: loaded.raw.masking, slos: loaded.slo };
    let service = inference_proxy::service::build(config, deps).await?;
    let grpc = service.grpc_addr().map(|address| ("grpc", address));
    report("proxy", [("http", service.local_addr())].into_iter().chain(grpc))?;
    Ok(service.run(shutdown).await?)
}

/// Receives observations.
///
/// # Errors
/// Where its configuration is wrong, its port is taken or its log cannot be opened.
pub async fn collect(loaded: Loaded, shutdown: CancellationToken) -> anyhow::Result<()> {
    let store = loaded.store()?;
    let config = collector::config::Config::try_from(loaded.raw.collector).map_err(usage)?;
    let deps = collector::service::Deps { store, masker: masker(&loaded.raw.masking)?, registry: Registry::new() };
    let service = collector::service::build(config, deps).await?;
    report("collect", [("http", service.local_addr())])?;
    Ok(service.run(shutdown).await?)
}

/// Judges and shows.
///
/// # Errors
/// Where its configuration is wrong, its port is taken or the database refuses it.
pub async fn analyze(loaded: Loaded, shutdown: CancellationToken) -> anyhow::Result<()> {
    let store = loaded.store()?;
    let config = analyzer::config::Config::try_from(loaded.raw.analyzer).map_err(usage)?;
    let silences = loaded.raw.silences.check().map_err(usage)?;
    let reader = store.read();
    let deps = analyzer::service::Deps { store, registry: Registry::new(), slo: loaded.slo, assets: assets() };
    let service = analyzer::service::build(config, deps).await?;
    report("analyze", [("http", service.local_addr())])?;
    let stop = shutdown.child_token();
    let silenced = match silences {
        Some((url, settle)) => {
            let silencer = alerts::rollout::Silencer::new(&url, settle).context("no HTTP client for Alertmanager")?;
            Some(tokio::spawn(crate::silences::keep(silencer, reader, stop.clone())))
        }
        None => None,
    };
    let ended = service.run(shutdown).await;
    stop.cancel();
    if let Some(silenced) = silenced {
        silenced.await.context("the silences of rollouts")?;
    }
    Ok(ended?)
}

fn usage(faults: impl std::fmt::Display) -> Usage {
    Usage(faults.to_string())
}

fn masker(raw: &masking::RawConfig) -> anyhow::Result<Masker> {
    Masker::new(raw).map_err(|error| Usage(format!("masking: {error}")).into())
}

/// The page and the runbooks, which the analyzer serves without knowing what they are.
fn assets() -> Vec<Asset> {
    let page = dashboards::page::assets().iter();
    let page = page.map(|file| Asset {
        path: file.path,
        content_type: file.content_type,
        bytes: file.bytes,
        policy: Some(file.policy),
    });
    let runbooks = alerts::runbooks::ALL.iter();
    let content_type = alerts::runbooks::CONTENT_TYPE;
    let runbooks =
        runbooks.map(|book| Asset { path: book.path, content_type, bytes: book.text.as_bytes(), policy: None });
    page.chain(runbooks).collect()
}

/// Tells whoever started this process where it listens: one JSON line on standard output.
fn report(role: &str, addresses: impl IntoIterator<Item = (&'static str, SocketAddr)>) -> anyhow::Result<()> {
    use std::io::Write as _;
    let addresses = addresses.into_iter().map(|(protocol, address)| (protocol.to_owned(), address.to_string()));
    let report = Report { role: role.to_owned(), addresses: addresses.collect() };
    let line = serde_json::to_string(&report)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).context("cannot write to standard output")
}
