//! The collector put together: log, pipeline, inserter, listener.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use host::edge::{self, Readiness};
use host::gate::Gate;
use host::metrics::Registry;
use masking::Masker;
use store::Store;
use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::insert::Inserter;
use crate::log::disk::{Disk, Machine};
use crate::log::{self, Log, OpenError, Opened, Sealed};
use crate::metrics::Metrics;
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
    give_up: CancellationToken,
    drain: Duration,
}

/// Opens the log and binds the address.
///
/// # Errors
/// [`StartError`], with what to do.
pub async fn build(config: Config, deps: Deps) -> Result<Service, StartError> {
    let Deps { store, masker, registry } = deps;
    let Config { listen, edge, log: log_config, insert, limits, drain } = config;
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
    let pipeline = Pipeline::new(masker, limits, log.clone(), metrics);
    let edge_limits = edge::Limits {
        max_body_bytes: pipeline.limits().max_body_bytes,
        request_timeout: pipeline.limits().request_timeout,
    };
    let readiness = Readiness::default();
    let router = edge::limit(receive::routes(pipeline), edge_limits).merge(edge::operations(&registry, &readiness));
    let gate = Gate::new(edge, &registry);
    let router = gate.guard(router, receive::need);
    Ok(Service { listener, address, router, readiness, gate, log, thread, inserter, sealed, give_up, drain })
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
    /// Where the listener fails.
    pub async fn run(self, shutdown: CancellationToken) -> io::Result<()> {
        let Self { listener, router, readiness, gate, log, thread, inserter, sealed, give_up, drain, .. } = self;
        let mut inserting = AbortOnDrop(tokio::spawn(inserter.run(sealed)));
        readiness.set(true);
        let unready = (readiness.clone(), shutdown.clone());
        let unready = AbortOnDrop(tokio::spawn(async move {
            unready.1.cancelled().await;
            unready.0.set(false);
        }));
        let served = host::serve::serve(listener, router, &gate, shutdown, drain).await;
        drop(unready);
        // from here on nothing is acknowledged, so nothing is missed
        let closed = tokio::task::spawn_blocking(move || {
            log.close();
            thread.join().is_ok()
        });
        if !closed.await.unwrap_or(false) {
            tracing::error!("the log's thread ended badly; what it had acknowledged is on disk");
        }
        if tokio::time::timeout(drain, &mut inserting.0).await.is_err() {
            give_up.cancel();
            let _ = (&mut inserting.0).await;
        }
        served
    }
}

/// A task that does not outlive the service.
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
