//! The service: built from a checked configuration, run until told to stop, drained inside its limits.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use contract::slo::SloFile;
use host::edge::Readiness;
use host::gate::Gate;
use host::metrics::Registry;
use masking::Masker;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cache::Cache;
use crate::config::Config;
use crate::gpu;
use crate::grpc;
use crate::grpc::stream::Streams;
use crate::handle::Edge;
use crate::mirror::events::Poster;
use crate::mirror::naming::Namer;
use crate::mirror::{self, Mirror, Workers};
use crate::model::Catalog;
use crate::observe::Observer;
use crate::observe::access::AccessLog;
use crate::observe::meter::Meter;
use crate::observe::record::{Ended, Rules};
use crate::observe::unread::Unread;
use crate::offload;
use crate::pseudonym::Pseudonyms;
use crate::room::Room;
use crate::shadow::Shadows;
use crate::spans::{self, Exporter};
use crate::stack;
use crate::triton;

/// What the proxy is given beside its configuration.
#[derive(Debug)]
pub struct Deps {
    /// Where metrics are registered.
    pub registry: Registry,
    /// What is masked before bytes leave.
    pub masking: masking::RawConfig,
    /// The objectives to count for.
    pub slos: Option<SloFile>,
}

/// Why the proxy cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The address.
    #[error(transparent)]
    Listen(#[from] io::Error),
    /// The models.
    #[error(transparent)]
    Models(#[from] crate::model::OpenError),
    /// The masking rules.
    #[error("{0}")]
    Masking(#[from] host::config::Faults),
    /// The mirror.
    #[error(transparent)]
    Mirror(#[from] mirror::StartError),
    /// The way of traces.
    #[error("proxy.traces.receiver: {0}")]
    Traces(#[from] host::tls::TlsError),
}

/// A proxy that listens, with models not yet loaded.
#[derive(Debug)]
pub struct Service {
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
    grpc: Option<Listening>,
    edge: Arc<Edge>,
    readiness: Readiness,
    stopping: CancellationToken,
    gate: Gate,
    workers: Option<Workers>,
    events: Option<Poster>,
    exporter: Option<Exporter>,
    drain: Duration,
    mirror_drain: Duration,
}

/// A second door: its listener, its address and its routes.
#[derive(Debug)]
struct Listening {
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
}

/// Builds the proxy: binds its address, opens the model folder, starts the mirror. Needs a runtime.
///
/// # Errors
/// [`BuildError`], with a sentence that says what to change.
pub async fn build(config: Config, deps: Deps) -> Result<Service, BuildError> {
    let Deps { registry, masking, slos } = deps;
    let listener = host::serve::bind(config.listen).await?;
    let address = listener.local_addr()?;
    let grpc = match config.grpc {
        Some(address) => Some(host::serve::bind(address).await?),
        None => None,
    };
    let catalog = Catalog::open(config.models, &registry)?;
    gpu::export(&registry);
    if config.triton_metrics {
        triton::export(&catalog, &registry);
    }
    let limits = config.limits;
    let admission = Arc::new(Semaphore::new(limits.max_concurrent_requests));
    let events = config.mirror.as_ref().map(|mirror| poster(mirror, &catalog)).transpose()?;
    let names = config.names.map(|names| (names, catalog.clone()));
    let (mirror, workers) = start_mirror(config.mirror, names, &masking, &registry)?;
    let (traces, exporter) = config.traces.map(|traces| spans::start(traces, &registry)).transpose()?.unzip();
    let shadows =
        Shadows::new(catalog.clone(), config.shadow, Arc::clone(&admission), limits.max_concurrent_requests, &registry);
    let observer = Observer {
        meter: Meter::new(&registry, slos.as_ref()),
        mirror,
        shadows: Arc::new(shadows),
        rules: Arc::new(Rules { sampling: config.sampling }),
        pseudonyms: config.client_key.as_deref().map(Pseudonyms::new),
        access: AccessLog { share: config.access_log_share },
        traces,
        reading: TaskTracker::new(),
        unread: Unread::new(limits.request_timeout, &registry),
    };
    let edge = Arc::new(Edge {
        catalog,
        cache: config.cache.map(|cache| Cache::new(cache, &registry)),
        observer: Arc::new(observer),
        admission,
        room: Room::new(limits.max_open_body_bytes, limits.max_body_bytes),
        max_open_body_bytes: limits.max_open_body_bytes,
        turns: offload::turns(),
        max_concurrent_requests: limits.max_concurrent_requests,
        max_body_bytes: limits.max_body_bytes,
        request_timeout: limits.request_timeout,
    });
    let (readiness, stopping) = (Readiness::default(), CancellationToken::new());
    let gate = Gate::new(config.edge, &registry);
    let router = gate.guard(stack::router(Arc::clone(&edge), &registry, &readiness), stack::need);
    let grpc = grpc.map(|listener| {
        let health = grpc::Health { readiness: readiness.clone(), stopping: stopping.clone() };
        let router = speak_grpc(&edge, &gate, &health, (limits.max_stream_idle, config.drain));
        Ok::<_, io::Error>(Listening { address: listener.local_addr()?, listener, router })
    });
    let grpc = grpc.transpose()?;
    let (drain, mirror_drain) = (config.drain, config.mirror_drain);
    Ok(Service {
        listener,
        address,
        router,
        grpc,
        edge,
        readiness,
        stopping,
        gate,
        workers,
        events,
        exporter,
        drain,
        mirror_drain,
    })
}

/// All routes of gRPC. Streams hold each of their messages to a pace, and not the time between them.
fn speak_grpc(edge: &Arc<Edge>, gate: &Gate, health: &grpc::Health, (idle_max, drain): (Duration, Duration)) -> Router {
    let calls = gate.guard(grpc::router(Arc::clone(edge), health), stack::need);
    let (stopping, gate) = (health.stopping.clone(), gate.clone());
    let streams = Streams { calls: calls.clone(), stopping, idle_max, drain, gate: gate.clone() };
    calls.merge(gate.guard_streams(grpc::stream::router(streams), stack::need))
}

/// The way of events from the catalog to the collector.
fn poster(config: &mirror::Config, catalog: &Catalog) -> Result<Poster, BuildError> {
    let (way, waiting) = tokio::sync::mpsc::channel(mirror::events::WAITING_MAX);
    Ok(Poster::new(config, catalog.tell(way), waiting)?)
}

type Started = (Option<Mirror<Ended>>, Option<Workers>);

fn start_mirror(
    config: Option<mirror::Config>,
    names: Option<(mirror::naming::Config, Catalog)>,
    masking: &masking::RawConfig,
    registry: &Registry,
) -> Result<Started, BuildError> {
    let masker = Masker::new(masking)?;
    let Some(config) = config else { return Ok((None, None)) };
    let epoch_ms = u64::try_from(host::clock::now_ms()).unwrap_or_default();
    let namer = names.map(|(names, catalog)| Namer::new(names, masker.clone(), catalog, registry));
    let (mirror, workers) = mirror::start(config, masker, namer, registry, epoch_ms)?;
    Ok((Some(mirror), Some(workers)))
}

impl Service {
    /// The address it listens on, also where port 0 was asked for.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The address on which it speaks gRPC, where it does.
    #[must_use]
    pub fn grpc_addr(&self) -> Option<SocketAddr> {
        self.grpc.as_ref().map(|grpc| grpc.address)
    }

    /// Its routes, to be called without a socket.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    #[cfg(test)]
    pub(crate) fn grpc_router(&self) -> Option<Router> {
        self.grpc.as_ref().map(|grpc| grpc.router.clone())
    }

    #[cfg(test)]
    pub(crate) fn edge(&self) -> &Edge {
        &self.edge
    }

    /// Loads all models: every one's primary and shadows. Returns whether every model has a primary that serves.
    pub async fn load(&self) -> bool {
        let ready = self.edge.catalog.load_all().await;
        self.edge.expect();
        ready
    }

    /// Serves until `shutdown`, loading the models meanwhile; then finishes open requests, delivers what the mirror
    /// holds, and stops the sessions, each inside its limit.
    ///
    /// # Errors
    /// Where the listener fails.
    pub async fn run(self, shutdown: CancellationToken) -> io::Result<()> {
        let Self {
            listener,
            router,
            grpc,
            edge,
            readiness,
            stopping,
            gate,
            workers,
            events,
            exporter,
            drain,
            mirror_drain,
            address,
        } = self;
        let grpc_address = grpc.as_ref().map(|grpc| tracing::field::display(grpc.address));
        tracing::info!(%address, grpc = grpc_address, "the proxy listens");
        let telling = CancellationToken::new();
        let exported = exporter.map(|exporter| tokio::spawn(exporter.run(telling.clone())));
        let told = events.map(|events| tokio::spawn(events.run(telling.clone())));
        let loading = tokio::spawn(load_all(Arc::clone(&edge), readiness.clone()));
        let said = {
            let (shutdown, readiness, stopping) = (shutdown.clone(), readiness.clone(), stopping.clone());
            async move {
                shutdown.cancelled().await;
                readiness.set(false);
                stopping.cancel();
                std::future::pending::<()>().await;
            }
        };
        let served = tokio::select! {
            served = serve_both((listener, router), grpc, &gate, shutdown, drain) => served,
            () = said => Ok(()),
        };
        loading.abort();
        // where nothing was open, or a listener failed, nobody has said it yet
        readiness.set(false);
        stopping.cancel();
        edge.observer.settle().await;
        if let (Some(mirror), Some(workers)) = (&edge.observer.mirror, workers) {
            mirror.drain(workers, mirror_drain).await;
        }
        edge.catalog.shutdown().await;
        telling.cancel();
        if let Some(exported) = exported {
            let _ended = exported.await;
        }
        if let Some(told) = told {
            // one attempt for what waits, within the time of one post
            let _ended = told.await;
        }
        served
    }
}

/// Serves HTTP and, where it is on, gRPC, each until its last request.
async fn serve_both(
    (listener, router): (TcpListener, Router),
    grpc: Option<Listening>,
    gate: &Gate,
    shutdown: CancellationToken,
    drain: Duration,
) -> io::Result<()> {
    let beside = async {
        match grpc {
            Some(Listening { listener, router, .. }) => {
                host::serve::serve(listener, router, gate, shutdown.clone(), drain).await
            }
            None => Ok(()),
        }
    };
    let http = host::serve::serve(listener, router, gate, shutdown.clone(), drain);
    tokio::try_join!(http, beside).map(|_| ())
}

/// Loads the models, then asks for traffic. A model without a primary keeps the proxy unready until it is loaded; one
/// that is unloaded later does not take the others out of service.
async fn load_all(edge: Arc<Edge>, readiness: Readiness) {
    let all = edge.catalog.load_all().await;
    edge.expect();
    if !all {
        tracing::error!("not every model has a version that serves; POST /v2/repository/index says why");
    }
    while !edge.catalog.ready() {
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    readiness.set(true);
}
