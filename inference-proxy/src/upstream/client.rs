//! The HTTP client: connections that are reused, faults that are told apart.

use std::error::Error;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Client as Pool};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::{ASKED_WITHIN, Config, Fault};
use crate::handle::Deadline;
use crate::waiting::Waiting;

/// Until when there must be an answer, and how long that was when it was decided.
#[derive(Clone, Debug)]
pub(super) struct Due {
    pub(super) at: Instant,
    pub(super) within: Duration,
    /// Whether the client set it itself.
    pub(super) own: bool,
    /// The wait for the client's body, where it is sent on.
    pub(super) body: Option<Waiting>,
}

impl Due {
    /// The earlier of a deadline and a time from now.
    pub(super) fn of(deadline: Option<&Deadline>, timeout: Duration) -> Self {
        let now = Instant::now();
        let left = deadline.map(|deadline| (deadline.at.saturating_duration_since(now), deadline.own));
        let (within, own) = left.filter(|(left, _)| *left < timeout).unwrap_or((timeout, false));
        Self { at: now + within, within, own, body: deadline.map(|deadline| deadline.body.clone()) }
    }

    /// The same, by a moment that is no client's.
    pub(super) fn by(at: Instant, timeout: Duration) -> Self {
        let now = Instant::now();
        let within = at.saturating_duration_since(now).min(timeout);
        Self { at: now + within, within, own: false, body: None }
    }

    /// What it means that it passes.
    pub(super) fn passed(&self) -> Fault {
        match &self.body {
            _ if self.own => Fault::Impatient,
            Some(body) if body.took_most_of(self.within) => Fault::LateBody,
            _ => Fault::Slow(self.within),
        }
    }
}

/// A client of one server.
#[derive(Clone, Debug)]
pub(super) struct Client(Pool<HttpConnector, Body>);

impl Client {
    pub(super) fn new(config: &Config) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(config.connect_timeout));
        let pool = Pool::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(config.idle_timeout)
            .pool_max_idle_per_host(config.idle_connections)
            .build(connector);
        Self(pool)
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) async fn send(&self, request: Request<Body>, due: &Due) -> Result<Response<Incoming>, Fault> {
        match tokio::time::timeout_at(due.at.into(), self.0.request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => {
                let fault = fault_of_request(&error);
                tracing::debug!(error = &error as &dyn Error, reason = fault.reason(), "another server gave no answer");
                Err(fault)
            }
            Err(_) => Err(due.passed()),
        }
    }

    /// Sends something small and reads the whole answer, at most `limit` bytes of it.
    pub(super) async fn fetch(
        &self,
        method: Method,
        uri: &str,
        body: Option<Body>,
        due: &Due,
        limit: usize,
    ) -> Result<(StatusCode, Bytes), Fault> {
        let mut request = Request::builder().method(method).uri(uri);
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        if let Ok(Some(trace)) = ASKED_WITHIN.try_with(Clone::clone) {
            request = request.header(contract::headers::TRACEPARENT, trace);
        }
        // addresses are made of checked parts, so that this cannot fail
        let request = request.body(body.unwrap_or_default()).map_err(|_| Fault::Down)?;
        let response = self.send(request, due).await?;
        let status = response.status();
        let reading = Limited::new(response.into_body(), limit).collect();
        match tokio::time::timeout_at(due.at.into(), reading).await {
            Ok(Ok(body)) => Ok((status, body.to_bytes())),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Fault::TooLong(limit)),
            Ok(Err(_)) => Err(Fault::Cut),
            Err(_) => Err(due.passed()),
        }
    }
}

fn fault_of_request(error: &legacy::Error) -> Fault {
    if error.is_connect() {
        return Fault::Down;
    }
    match error.source().and_then(|source| source.downcast_ref::<hyper::Error>()) {
        Some(error) if error.is_parse() => Fault::Gibberish,
        _ => Fault::Cut,
    }
}
