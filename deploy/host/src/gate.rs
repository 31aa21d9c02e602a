//! What stands before every role's routes: who is asking, may they, how often, and how slowly.
//!
//! Each role says by method and path what a request needs ([`Need`]), with a rule that is closed for paths it does not
//! know, so that a new route is never open by omission. A refusal here costs no place, no body and no observation: it is
//! counted, and logged within bounds, because whoever is refused must not be able to fill disks or tables.

mod config;
mod refusal;
mod reload;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use contract::metrics::edge as names;
use prometheus::{IntCounterVec, IntGaugeVec};
use tokio_rustls::rustls::ServerConfig;

pub use config::{EdgeConfig, RawAuth, RawEdge};

use crate::audit;
use crate::auth::{Caller, Credential, Denied, Scope};
use crate::connection;
use crate::metrics::Registry;
use crate::pace::{Paced, TooSlow};
use crate::rate::{Client, Limiter};
use refusal::{Refusal, RefusalLog};

/// What a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing: health, for load balancers that hold no key.
    Nothing,
    /// [`Scope::Read`], unless the configuration has `/metrics` open.
    Metrics,
    /// This scope.
    Scope(Scope),
}

impl Need {
    /// What every role's own paths need; `None` for the others.
    #[must_use]
    pub fn of_operations(path: &str) -> Option<Self> {
        match path {
            "/metrics" => Some(Self::Metrics),
            "/health/live" | "/health/ready" => Some(Self::Nothing),
            _ => None,
        }
    }
}

/// From a request's method and path to what it needs.
pub type Rule = fn(&Method, &str) -> Need;

/// The edge of one role. Clones share it.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: EdgeConfig,
    limiter: Limiter,
    counted: Counted,
    log: RefusalLog,
    /// One of a role's listeners looks at the files for all of them.
    looking: tokio::sync::Mutex<()>,
}

/// What an answer's status would be in HTTP, said by a protocol on top whose own statuses are not HTTP's (gRPC's answers
/// are all 200).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told(pub StatusCode);

impl Told {
    fn of(response: &Response) -> StatusCode {
        response.extensions().get::<Self>().map_or(response.status(), |told| told.0)
    }
}

/// What the edge counts.
#[derive(Clone, Debug)]
pub(crate) struct Counted {
    auth_failures: IntCounterVec,
    refused: IntCounterVec,
    reloads: IntCounterVec,
    pub(crate) connections: IntGaugeVec,
    pub(crate) connections_refused: IntCounterVec,
}

/// Reasons of refused connections.
pub(crate) const CONNECTION_REASONS: [&str; 4] =
    [connection::TOO_MANY, connection::HANDSHAKE, connection::SLOW_HEAD, connection::BAD_HEAD];

impl Counted {
    fn new(registry: &Registry) -> Self {
        let counted = Self {
            auth_failures: registry.counter(&names::AUTH_FAILURES),
            refused: registry.counter(&names::REFUSED),
            reloads: registry.counter(&names::RELOADS),
            connections: registry.int_gauge(&names::CONNECTIONS),
            connections_refused: registry.counter(&names::CONNECTIONS_REFUSED),
        };
        // born at 0, so that a first failure is a step
        let denied = Denied::ALL.iter().map(|denied| denied.as_str()).chain([refusal::SCOPE, refusal::CROSS_SITE]);
        denied.for_each(|reason| drop(counted.auth_failures.with_label_values(&[reason])));
        CONNECTION_REASONS.iter().for_each(|reason| drop(counted.connections_refused.with_label_values(&[*reason])));
        counted
    }
}

impl Gate {
    /// A gate as configured.
    #[must_use]
    pub fn new(config: EdgeConfig, registry: &Registry) -> Self {
        let (limiter, counted) = (Limiter::new(config.rate_max_clients), Counted::new(registry));
        let gate = Self(Arc::new(Inner {
            config,
            limiter,
            counted,
            log: RefusalLog::new(),
            looking: tokio::sync::Mutex::default(),
        }));
        gate.expect_refusals(&refusal::LIMITS);
        gate
    }

    /// A gate with the defaults of a loopback listener: nobody is asked for a key.
    #[must_use]
    pub fn open() -> Self {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = RawEdge::default().check("edge", loopback, &mut crate::config::Faults::default());
        Self::new(config, &Registry::new())
    }

    /// Puts the gate before a role's routes.
    pub fn guard(&self, router: Router, rule: Rule) -> Router {
        router.layer(from_fn_with_state((self.clone(), rule, true), pass))
    }

    /// The same for routes whose bodies have no end and come when there is something to say, and that hold each part of
    /// them to a pace themselves.
    pub fn guard_streams(&self, router: Router, rule: Rule) -> Router {
        router.layer(from_fn_with_state((self.clone(), rule, false), pass))
    }

    /// Counts what a limit of the role's own refused, beside what the gate refuses.
    pub fn count_refusal(&self, reason: &str) {
        self.0.counted.refused.with_label_values(&[reason]).inc();
    }

    /// The same for what had been let in, a stream, and is closed now: counted, and logged within the bounds of refusals.
    pub fn count_closed(&self, reason: &str, path: &str, peer: Option<SocketAddr>) {
        self.count_refusal(reason);
        self.0.log.write_closed(reason, path, peer);
    }

    /// Makes the series of a role's own limits, at 0, so that a first refusal is a step.
    pub fn expect_refusals(&self, reasons: &[&str]) {
        reasons.iter().for_each(|reason| drop(self.0.counted.refused.with_label_values(&[*reason])));
    }

    pub(crate) fn config(&self) -> &EdgeConfig {
        &self.0.config
    }

    pub(crate) fn counted(&self) -> &Counted {
        &self.0.counted
    }

    /// TLS for the next connection.
    pub(crate) fn tls(&self) -> Option<Arc<ServerConfig>> {
        self.0.config.files.tls()
    }

    /// Reads keys and certificates again when they change, until dropped.
    pub(crate) async fn keep_up(&self) {
        let _alone = self.0.looking.lock().await;
        self.0.config.files.keep_up(&self.0.counted.reloads).await;
    }

    /// Who is asking, if they may.
    fn admit(&self, request: &Request, need: Need) -> Result<Option<Caller>, Refusal> {
        let path = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
        if path > self.0.config.max_uri_bytes {
            return Err(Refusal::UriTooLong(self.0.config.max_uri_bytes));
        }
        let scope = match need {
            Need::Nothing => return Ok(None),
            Need::Metrics if self.0.config.metrics_open => return Ok(None),
            Need::Metrics => Scope::Read,
            Need::Scope(scope) => scope,
        };
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| Client::peer(peer.0.ip()));
        let Some(authority) = self.0.config.files.authority() else {
            self.within_rate(peer, None)?;
            // whoever can open a page on this machine reaches its loopback ports through the browser
            if is_cross_site(request) {
                return Err(Refusal::CrossSite(None));
            }
            return Ok(None);
        };
        let known = Credential::of(request.headers()).and_then(|credential| {
            Ok((authority.caller(&credential, crate::clock::now_ms() / 1_000)?, credential.ambient))
        });
        let (caller, ambient) = match known {
            Ok(known) => known,
            Err(denied) => {
                // guessing is held to the rate as well
                self.within_rate(peer, None)?;
                return Err(Refusal::Denied(denied));
            }
        };
        if ambient && is_cross_site(request) {
            return Err(Refusal::CrossSite(Some(caller)));
        }
        if !caller.scopes.contains(&scope) {
            return Err(Refusal::Scope(scope, caller));
        }
        self.within_rate(Some(Client::Named(Arc::clone(&caller.name))), Some(&caller))?;
        Ok(Some(caller))
    }

    fn within_rate(&self, client: Option<Client>, caller: Option<&Caller>) -> Result<(), Refusal> {
        let quota = caller.and_then(|caller| caller.rate).or(self.0.config.rate);
        let (Some(quota), Some(client)) = (quota, client) else { return Ok(()) };
        self.0.limiter.take(client, quota).map_err(|wait| Refusal::Rate(wait, caller.cloned()))
    }

    fn refuse(&self, refusal: &Refusal, request: &Request) -> Response {
        let family = if refusal.is_auth() { &self.0.counted.auth_failures } else { &self.0.counted.refused };
        family.with_label_values(&[refusal.reason()]).inc();
        self.0.log.write(refusal, request);
        refusal.response(request.headers())
    }
}

/// A browser sends a password that it was told once to every request, also to those that another site makes it send.
///
/// What it says of where that was asked, it says to servers that it trusts: over HTTPS, and on this machine. To others it
/// names the page's origin alone, which then has to be the address that was asked.
fn is_cross_site(request: &Request) -> bool {
    let headers = request.headers();
    let elsewhere = match headers.get("sec-fetch-site") {
        Some(from) => !matches!(from.as_bytes(), b"same-origin" | b"none"),
        None => headers.get(header::ORIGIN).is_some_and(|origin| !is_of_host(origin.as_bytes(), request)),
    };
    !request.method().is_safe() && elsewhere
}

/// Whether an origin, `http://name:port`, is the name and port that a request asks.
fn is_of_host(origin: &[u8], request: &Request) -> bool {
    let asked = request.headers().get(header::HOST).map(|host| host.as_bytes());
    let asked = asked.or_else(|| request.uri().authority().map(|authority| authority.as_str().as_bytes()));
    let name = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
    matches!((name, asked), (Some(name), Some(asked)) if name.eq_ignore_ascii_case(asked))
}

/// The layer; `paced` where a body must not come slowly.
async fn pass(State((gate, rule, paced)): State<(Gate, Rule, bool)>, mut request: Request, next: Next) -> Response {
    let need = rule(request.method(), request.uri().path());
    let action = (need == Need::Scope(Scope::Admin)).then(|| Action::of(&request));
    let caller = match gate.admit(&request, need) {
        Ok(caller) => caller,
        Err(refusal) => {
            let response = gate.refuse(&refusal, &request);
            if let Some(action) = action {
                action.record(refusal.caller(), refusal.status(), refusal.reason());
            }
            return response;
        }
    };
    if let Some(caller) = &caller {
        request.extensions_mut().insert(caller.clone());
    }
    let (too_slow, headers) = (TooSlow::default(), refusal::grpc_only(request.headers()));
    let pace = gate.config().pace;
    let request = request.map(|body| {
        if !paced || axum::body::HttpBody::is_end_stream(&body) {
            body
        } else {
            Body::new(Paced::new(body, pace, too_slow.clone()))
        }
    });
    let mut response = next.run(request).await;
    if too_slow.is_so() {
        gate.0.counted.refused.with_label_values(&[Refusal::SlowBody.reason()]).inc();
        response = Refusal::SlowBody.response(&headers);
    } else if Told::of(&response) == StatusCode::PAYLOAD_TOO_LARGE {
        gate.0.counted.refused.with_label_values(&[refusal::LARGE_BODY]).inc();
    }
    if let Some(action) = action {
        action.record(caller.as_ref(), Told::of(&response), "");
    }
    response
}

/// An action of an administrator, for the audit log.
struct Action {
    method: Method,
    path: String,
    from: String,
}

impl Action {
    fn of(request: &Request) -> Self {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        let from = peer.map_or_else(String::new, |peer| format!("from {}", peer.0.ip()));
        Self { method: request.method().clone(), path: request.uri().path().to_owned(), from }
    }

    fn record(&self, caller: Option<&Caller>, status: StatusCode, reason: &str) {
        let detail = format!("{} {status} {reason}", self.from, status = status.as_u16());
        audit::record(audit::Action {
            who: caller.map_or("anonymous", |caller| &*caller.name),
            what: self.method.as_str(),
            target: &self.path,
            outcome: audit::Outcome::of_status(status.as_u16()),
            detail: detail.trim(),
        });
    }
}

#[cfg(test)]
mod tests;
