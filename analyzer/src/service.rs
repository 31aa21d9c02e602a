//! What the binary builds and runs: a listener, the cycle, and the routes around them.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use contract::slo::SloFile;
use host::{edge, gate::Gate, metrics::Registry};
use store::Store;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    api::{self, Api, limits::Limits},
    config::Config,
    cycle::{Clock, Cycle, error_reason},
    publish::Metrics,
    rollout::{self, Teller},
};

pub use crate::api::Asset;

/// Open requests are waited for this long at the end.
const DRAIN: Duration = Duration::from_secs(5);
/// No request of the API has a larger body.
const BODY_BYTES_MAX: usize = 64 << 10;
/// No request of the API takes longer: freezing a large reference is the longest.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// What the analyzer is given.
pub struct Deps {
    /// The database.
    pub store: Store,
    /// Where metrics are registered.
    pub registry: Registry,
    /// The objectives, checked.
    pub slo: Option<SloFile>,
    /// The page's files.
    pub assets: Vec<Asset>,
}

/// An analyzer that listens and has not judged yet.
pub struct Service {
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
    readiness: edge::Readiness,
    gate: Gate,
    cycle: Cycle,
    tellers: Vec<Teller>,
    /// Ends streams, which would go on for ever.
    closing: CancellationToken,
    refresh: Duration,
    failures: prometheus::IntCounterVec,
}

/// Builds the analyzer and takes its port.
///
/// # Errors
/// When the port is taken.
pub async fn build(config: Config, deps: Deps) -> io::Result<Service> {
    build_with_clock(config, deps, Arc::new(host::clock::now_ms)).await
}

/// The same with a clock of the caller's.
///
/// # Errors
/// When the port is taken.
pub async fn build_with_clock(config: Config, deps: Deps, clock: Clock) -> io::Result<Service> {
    let listener = host::serve::bind(config.listen).await?;
    let address = listener.local_addr()?;
    let (config, reader) = (Arc::new(config), deps.store.read());
    let metrics = Metrics::new(&deps.registry);
    let failures = metrics.failures();
    let tellers = rollout::tellers(&config.rollout, &reader, &metrics.rollout(), &clock).map_err(io::Error::other)?;
    let slo = deps.slo.clone().map(Arc::new);
    let cycle = Cycle::new(reader.clone(), Arc::clone(&config), deps.slo, Arc::clone(&clock), metrics);
    let readiness = edge::Readiness::default();
    let gate = Gate::new(config.edge.clone(), &deps.registry);
    let page = Limits::new(config.page, gate.clone());
    let closing = CancellationToken::new();
    let api = Api {
        shared: cycle.shared(),
        reader,
        config: Arc::clone(&config),
        clock,
        slo,
        limits: page,
        closing: closing.clone(),
    };
    let limits = edge::Limits { max_body_bytes: BODY_BYTES_MAX, request_timeout: REQUEST_TIMEOUT };
    let router = edge::limit(edge::operations(&deps.registry, &readiness).merge(api::router(api, deps.assets)), limits);
    let router = gate.guard(router, api::need);
    Ok(Service {
        listener,
        address,
        router,
        readiness,
        gate,
        cycle,
        tellers,
        closing,
        refresh: config.refresh,
        failures,
    })
}

impl Service {
    /// Where it listens.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Judges and answers until `shutdown`.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn run(self, shutdown: CancellationToken) -> io::Result<()> {
        let Self { listener, router, readiness, gate, cycle, tellers, closing, refresh, failures, .. } = self;
        let stop = shutdown.child_token();
        let shared = cycle.shared();
        let telling = tellers.into_iter().map(|teller| tokio::spawn(teller.keep(shared.clone(), stop.clone())));
        let telling: Vec<_> = telling.collect();
        let judging = tokio::spawn(repeat(cycle, refresh, readiness, failures, stop.clone()));
        let (ends, streams) = (shutdown.clone(), closing);
        tokio::spawn(async move {
            ends.cancelled().await;
            streams.cancel();
        });
        let served = host::serve::serve(listener, router, &gate, shutdown, DRAIN).await;
        stop.cancel();
        // A cycle under way writes only what it would write again, so it may be cut off.
        if tokio::time::timeout(DRAIN, judging).await.is_err() {
            tracing::warn!("the last cycle was cut off");
        }
        // what was not heard yet is told after the next start
        for teller in telling {
            let _ended = teller.await;
        }
        served
    }
}

/// One cycle after the other. The analyzer is ready once the first succeeded, and stays so: its API answers from the last good
/// snapshot, and a database that is away shows in the metrics.
async fn repeat(
    mut cycle: Cycle,
    refresh: Duration,
    readiness: edge::Readiness,
    failures: prometheus::IntCounterVec,
    stop: CancellationToken,
) {
    let mut ticks = tokio::time::interval(refresh);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        match cycle.tick().await {
            Ok(()) => readiness.set(true),
            Err(error) => {
                failures.with_label_values(&[error_reason(&error)]).inc();
                tracing::warn!(%error, "a cycle failed; the next one goes on where it stopped");
            }
        }
    }
}
