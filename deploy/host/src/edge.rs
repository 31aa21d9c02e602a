//! What every HTTP server of ours has: `/metrics`, health, and the limits around its routes.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::watch;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;

use crate::metrics::{Registry, TEXT_FORMAT};

/// Whether a service wants traffic. Clones share the same switch, which starts off.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<watch::Sender<bool>>);

impl Readiness {
    /// Turns it on or off.
    pub fn set(&self, ready: bool) {
        self.0.send_replace(ready);
    }

    /// Its position.
    #[must_use]
    pub fn get(&self) -> bool {
        *self.0.borrow()
    }

    /// What hears of every turn of it from now on.
    #[must_use]
    pub fn turns(&self) -> watch::Receiver<bool> {
        self.0.subscribe()
    }
}

/// `GET /metrics`, `GET /health/live`, `GET /health/ready`, and the process's own metrics in the registry.
pub fn operations(registry: &Registry, readiness: &Readiness) -> Router {
    crate::process::export(registry, readiness);
    let (registry, readiness) = (registry.clone(), readiness.clone());
    Router::new()
        .route("/metrics", get(move || std::future::ready(([(header::CONTENT_TYPE, TEXT_FORMAT)], registry.render()))))
        .route("/health/live", get(|| std::future::ready("live\n")))
        .route("/health/ready", get(move || std::future::ready(ready(&readiness))))
}

fn ready(readiness: &Readiness) -> Response {
    if readiness.get() {
        "ready\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n").into_response()
    }
}

/// Limits around a service's routes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A larger request body is answered 413.
    pub max_body_bytes: usize,
    /// A request that takes longer is answered 408.
    pub request_timeout: Duration,
}

/// Puts the limits around a router; a panic in a handler becomes a 500 and the connection lives on.
pub fn limit(router: Router, limits: Limits) -> Router {
    router
        // axum's own limit would answer before ours with another number
        .layer(DefaultBodyLimit::disable())
        .layer(RequestBodyLimitLayer::new(limits.max_body_bytes))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, limits.request_timeout))
        .layer(CatchPanicLayer::new())
}
