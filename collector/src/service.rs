//! The collector put together: log, pipeline, inserter, listener.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::middleware::map_response;
use host::edge::{self, Readiness};
use host::gate::Gate;
use host::metrics::Registry;
use masking::Masker;
use store::Store;
use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, KserveConfig, LogConfig};
use crate::insert::Inserter;
use crate::kserve::join::Table;
use crate::kserve::joiner::Joiner;
use crate::log::disk::{Disk, Machine};
use crate::log::{self, Log, OpenError, Opened, Sealed};
use crate::metrics::Metrics;
use crate::names::Namer;
use crate::pipeline::Pipeline;
use crate::receive;

/// What the collector is given.
#[derive(Debug)]
pub struct Deps {
    /// The database; it need not be there yet.
    pub store: Store,
    /// The second masking pass.
    pub masker: Masker,
    /// Where metrics are registered.
    pub registry: Registry,
}

/// Why the collector cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its log.
    #[error(transparent)]
    Log(#[from] OpenError),
    /// Its address.
    #[error("{0}")]
    Listen(#[from] io::Error),
    /// The way to the model that finds names.
    #[error("collector.names.proxy: {0}")]
    Names(#[from] host::tls::TlsError),
}

/// A collector that listens and does not serve yet.
pub struct Service {
    listener: TcpListener,
    address: SocketAddr,
    router: axum::Router,
    readiness: Readiness,
    gate: Gate,
    log: Log,
    thread: JoinHandle<()>,
    inserter: Inserter<Store>,
    sealed: UnboundedReceiver<Sealed>,
    halves: Halves,
    give_up: CancellationToken,
    drain: Duration,
}

/// The log of halves and what carries them from there.
struct Halves {
    joiner: Joiner,
    sealed: UnboundedReceiver<Sealed>,
    thread: JoinHandle<()>,
}

/// Opens the log and binds the address.
///
/// # Errors
/// [`StartError`], with what to do.
pub async fn build(config: Config, deps: Deps) -> Result<Service, StartError> {
    let Deps { store, masker, registry } = deps;
    let Config { listen, edge, log: log_config, insert, limits, kserve, names, drain } = config;
    let metrics = Arc::new(Metrics::new(&registry));
    let listener = host::serve::bind(listen).await?;
    let address = listener.local_addr()?;
    let disk: Arc<dyn Disk> = Arc::new(Machine);
    let Opened { log, sealed, shared, thread, lock } = log::open(&log_config, &disk, metrics.clone())?;
    let give_up = CancellationToken::new();
    let inserter = Inserter {
        tables: store,
        disk,
        masker: Arc::new(masker.clone()),
        shared,
        metrics: metrics.clone(),
        segments: insert.segments,
        quarantine: log_config.dir.join("quarantine"),
        quarantine_max_bytes: insert.quarantine_max_bytes,
        give_up: give_up.clone(),
        _lock: Some(lock),
    };
    let halves = halves(&log_config, &kserve, &inserter, log.clone())?;
    let namer = names.map(|names| Namer::new(names, masker.clone(), &registry)).transpose()?;
    let journal = (halves.joiner.journal.clone(), kserve);
    let pipeline = Pipeline::new((masker, namer), limits, log.clone(), journal, metrics);
    let edge_limits = edge::Limits {
        max_body_bytes: pipeline.limits().max_body_bytes,
        request_timeout: pipeline.limits().request_timeout,
    };
    let readiness = Readiness::default();
    let routes = edge::limit(receive::routes(pipeline), edge_limits).layer(map_response(receive::in_words));
    let router = routes.merge(edge::operations(&registry, &readiness));
    let gate = Gate::new(edge, &registry);
    let router = gate.guard(router, receive::need);
    Ok(Service { listener, address, router, readiness, gate, log, thread, inserter, sealed, halves, give_up, drain })
}

/// Opens the log of halves. Its size and state are not those of the log that operators watch: its metrics go nowhere.
fn halves(config: &LogConfig, kserve: &KserveConfig, beside: &Inserter<Store>, log: Log) -> Result<Halves, OpenError> {
    let config = config.of_halves(kserve);
    let unseen = Arc::new(Metrics::new(&Registry::new()));
    let Opened { log: journal, sealed, shared, thread, lock } = log::open(&config, &beside.disk, unseen)?;
    let window_ms = i64::try_from(kserve.window.as_millis()).unwrap_or(i64::MAX);
    let joiner = Joiner {
        table: Table::new(window_ms, kserve.max_waiting, kserve.max_waiting_bytes),
        log,
        journal,
        shared,
        dir: config.dir,
        disk: beside.disk.clone(),
        masker: beside.masker.clone(),
        metrics: beside.metrics.clone(),
        stop: CancellationToken::new(),
        _lock: lock,
    };
    Ok(Halves { joiner, sealed, thread })
}

impl Service {
    /// Where it listens.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown`; then answers open posts, seals the log, and inserts what it can within the drain's limit.
    ///
    /// # Errors
    /// Where the listener fails, and where what inserts or what joins has ended before its time: a collector that goes on
    /// without it would fill its log and look well. The next start carries on from the log.
    pub async fn run(self, shutdown: CancellationToken) -> io::Result<()> {
        let Self { listener, router, readiness, gate, log, thread, inserter, sealed, halves, give_up, drain, .. } =
            self;
        let (journal, stop) = (halves.joiner.journal.clone(), halves.joiner.stop.clone());
        let mut joining = AbortOnDrop(tokio::spawn(halves.joiner.run(halves.sealed)));
        let mut inserting = AbortOnDrop(tokio::spawn(inserter.run(sealed)));
        readiness.set(true);
        let unready = (readiness.clone(), shutdown.clone());
        let unready = AbortOnDrop(tokio::spawn(async move {
            unready.1.cancelled().await;
            unready.0.set(false);
        }));
        let stopping = shutdown.child_token();
        let mut serving = Box::pin(host::serve::serve(listener, router, &gate, stopping.clone(), drain));
        let served = tokio::select! {
            served = &mut serving => Ok(served),
            _ = &mut inserting.0 => Err("inserts"),
            _ = &mut joining.0 => Err("joins halves"),
        };
        let ended = match served {
            Ok(served) => served,
            Err(what) => {
                readiness.set(false);
                stopping.cancel();
                let _ = serving.await;
                let sentence = format!("what {what} has ended before its time; what was acknowledged is in the log");
                Err(io::Error::other(sentence))
            }
        };
        drop(unready);
        // halves that wait stay in their log; what is joined goes into the other before that is closed
        stop.cancel();
        joining.end().await;
        // from here on nothing is acknowledged, so nothing is missed
        let closed = tokio::task::spawn_blocking(move || {
            journal.close();
            log.close();
            halves.thread.join().is_ok() & thread.join().is_ok()
        });
        if !closed.await.unwrap_or(false) {
            tracing::error!("the log's thread ended badly; what it had acknowledged is on disk");
        }
        if tokio::time::timeout(drain, inserting.end()).await.is_err() {
            give_up.cancel();
            inserting.end().await;
        }
        ended
    }
}

/// A task that does not outlive the service.
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl AbortOnDrop {
    /// Waits until it has ended, if it has not.
    async fn end(&mut self) {
        if !self.0.is_finished() {
            let _ = (&mut self.0).await;
        }
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::config::RawConfig;

    /// Went on acknowledging until its log was full.
    #[tokio::test]
    async fn a_collector_of_which_a_part_has_ended_ends() {
        let dir = tempfile::tempdir().unwrap();
        let mut raw = RawConfig { listen: "127.0.0.1:0".to_owned(), ..RawConfig::default() };
        raw.log.dir = dir.path().join("log");
        // nobody is there, and nobody need be
        let store = store::RawConfig { url: Some("http://127.0.0.1:1".to_owned()), ..store::RawConfig::default() };
        let deps = Deps {
            store: Store::connect(&store.try_into().unwrap()).unwrap(),
            masker: Masker::new(&masking::RawConfig::default()).unwrap(),
            registry: Registry::new(),
        };
        let mut service = build(raw.try_into().unwrap(), deps).await.unwrap();
        let (gone, nothing_comes) = mpsc::unbounded_channel();
        drop(gone);
        service.halves.sealed = nothing_comes;
        service.drain = Duration::from_secs(1);
        let ended = tokio::time::timeout(Duration::from_secs(60), service.run(CancellationToken::new())).await;
        let said = ended.expect("it ends by itself").unwrap_err().to_string();
        assert!(said.contains("joins halves"), "{said}");
    }
}
