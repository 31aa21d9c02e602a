//! One observation a started request, however it ends.
//!
//! The layer [`watch`] is the outermost around a request: it gives it an id, a trace and a time, lets the layers
//! and the handler write what they learn into [`Notes`], and reads from the response how it ended. Where there is no
//! response because the client went away, the guard is dropped instead, and that is the outcome `cancelled`.

pub mod access;
pub mod meter;
pub mod notes;
pub mod record;
pub mod sampling;
pub mod stream;
pub mod unread;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Version};
use axum::middleware::Next;
use axum::response::Response;
use contract::headers;
use contract::wire::{Outcome, Provider, Timings};
use host::auth::{Caller, Scope};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::error::Reason;
use crate::mirror::Mirror;
use crate::model::{Asker, Catalog};
use crate::outcome;
use crate::pseudonym::Pseudonyms;
use crate::shadow::Shadows;
use crate::spans::{Story, Traces};
use crate::trace::Trace;
use crate::upstream::ASKED_WITHIN;
use access::AccessLog;
use meter::Meter;
pub use notes::{Facts, Notes};
use record::{Ended, Rules};
use stream::Held;
use unread::Unread;

/// Stands where a name is not known: a label must not hold what a client made up.
pub const UNKNOWN: &str = contract::wire::UNNAMED;

/// How a request came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Open Inference Protocol over HTTP.
    Infer,
    /// Open Inference Protocol over gRPC.
    Grpc,
    /// Text for people with curl.
    Predict,
}

impl Route {
    /// The word in labels and tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Infer => "infer",
            Self::Grpc => "grpc",
            Self::Predict => "predict",
        }
    }
}

/// What watching needs; one for all requests.
#[derive(Debug)]
pub struct Observer {
    /// Counters and histograms of the edge.
    pub meter: Meter,
    /// Where observations go; nowhere if mirroring is off.
    pub mirror: Option<Mirror<Ended>>,
    /// Who runs beside the primary.
    pub shadows: Arc<Shadows>,
    /// Rules of what an observation holds.
    pub rules: Arc<Rules>,
    /// Pseudonyms of clients; without it nothing about clients is kept.
    pub pseudonyms: Option<Pseudonyms>,
    /// Which requests leave a line in the log.
    pub access: AccessLog,
    /// Where traces go; nowhere if tracing is off.
    pub traces: Option<Traces>,
    /// Forwarded requests whose copies are being read.
    pub reading: TaskTracker,
    /// What becomes of answers that nobody takes.
    pub unread: Unread,
}

impl Observer {
    /// Makes the series of what is loaded, at 0.
    pub fn expect(&self, catalog: &Catalog) {
        self.meter.expect(catalog);
        self.shadows.expect();
    }

    /// Waits, a bounded time, until every request that has ended is an observation.
    pub async fn settle(&self) {
        self.reading.close();
        let _in_time = tokio::time::timeout(stream::READ_MAX, self.reading.wait()).await;
    }
}

/// Reason of a request whose client went away.
const CLIENT_GONE: &str = "client_gone";

/// When the request arrived, for deadlines and for what answers say about time.
#[derive(Clone, Copy, Debug)]
pub struct Arrived(pub Instant);

/// The id under which a request is observed.
#[derive(Clone, Copy, Debug)]
pub struct ObservationId(pub Uuid);

/// The layer: watches one request from its arrival to its answer.
pub async fn watch(
    State((observer, route)): State<(Arc<Observer>, Route)>,
    mut request: Request,
    next: Next,
) -> Response {
    let guard = Guard::begin(observer, route, &request);
    // a server behind us goes on with our span, whether the request is passed on or we ask for it
    let trace = HeaderValue::try_from(guard.trace.header(guard.id)).ok();
    if let Some(trace) = &trace {
        request.headers_mut().insert(headers::TRACEPARENT, trace.clone());
    }
    request.extensions_mut().insert(guard.notes.clone());
    request.extensions_mut().insert(Arrived(guard.arrived));
    request.extensions_mut().insert(ObservationId(guard.id));
    // over HTTP/1.1 the connection sees that nothing is taken
    let unread = (request.version() >= Version::HTTP_2).then(|| guard.observer.unread.clone());
    let response = ASKED_WITHIN.scope(trace, next.run(request)).await;
    let held = response.extensions().get::<Held>().cloned();
    let response = guard.end(response);
    match held {
        Some(held) => unread::kept(response, held, unread),
        None => response,
    }
}

/// How a request ended.
#[derive(Clone, Copy, Debug)]
struct End {
    outcome: Outcome,
    code: u16,
    reason: Option<&'static str>,
    took: Duration,
}

/// A request that is being watched. Dropped without an end, it was cancelled.
struct Guard {
    observer: Arc<Observer>,
    notes: Notes,
    route: Route,
    id: Uuid,
    trace: Trace,
    client: Option<String>,
    arrived: Instant,
    at_ms: i64,
    ended: bool,
}

/// Reason of an answer that a fallback gave.
const FALLBACK: &str = "fallback";

impl Guard {
    fn begin(observer: Arc<Observer>, route: Route, request: &Request) -> Self {
        let headers = request.headers();
        let id = Uuid::now_v7();
        let trace = Trace::of(headers.get(contract::headers::TRACEPARENT).and_then(|value| value.to_str().ok()), id);
        let trace = observer.traces.iter().fold(trace, |trace, traces| traces.told(trace));
        // who asks for others names them; else it is whoever the key or token is of
        let caller = request.extensions().get::<Caller>();
        // without keys everybody may
        let may_read = caller.is_none_or(|caller| caller.scopes.contains(&Scope::Read));
        let caller = caller.map(|caller| caller.name.as_bytes());
        let client = headers.get(contract::headers::CLIENT).map(HeaderValue::as_bytes).or(caller);
        let client = observer.pseudonyms.as_ref().and_then(|pseudonyms| Some(pseudonyms.of(client?)));
        let (arrived, at_ms) = (Instant::now(), host::clock::now_ms());
        let withheld = record::unwanted(headers);
        // without a canary nobody looks at the headers, and copying them is for nothing
        let headers = if observer.shadows.has_canary() { headers.clone() } else { HeaderMap::new() };
        let notes = Notes::new(Asker { id: id.as_bytes().to_vec(), headers }, withheld, may_read);
        Self { observer, notes, route, id, trace, client, arrived, at_ms, ended: false }
    }

    fn end(self, mut response: Response) -> Response {
        let trace = self.trace.header(self.id);
        let (version, fallen, exchange) = self.notes.named();
        for (name, value) in [
            (headers::OBSERVATION_ID, Some(self.id.to_string())),
            (headers::MODEL_VERSION, Some(version)),
            (headers::FALLBACK, fallen),
            (headers::TRACEPARENT, Some(trace)),
        ] {
            let Some(value) = value else { continue };
            // names of versions are folder names of a narrow alphabet; one that is no header value is left out
            if let Ok(value) = HeaderValue::try_from(value) {
                response.headers_mut().insert(HeaderName::from_static(name), value);
            }
        }
        if let Some(exchange) = exchange {
            return stream::watched(self, exchange, response);
        }
        let status = response.status();
        let reason = response.extensions().get::<Reason>().map(|reason| reason.0);
        let (facts, took) = (self.notes.take(), self.arrived.elapsed());
        let reason = reason.or_else(|| facts.fallen.as_ref().map(|_| FALLBACK));
        self.finish(facts, End { outcome: outcome::of_status(status), code: status.as_u16(), reason, took });
        response
    }

    fn finish(mut self, facts: Facts, end: End) {
        self.ended = true;
        self.record(facts, end);
    }

    fn record(&mut self, facts: Facts, end: End) {
        let End { outcome, code, reason, took } = end;
        let mut timings = match &facts.answer {
            Some(_) if facts.from_cache => Timings::cached(),
            // the copies of what passed tell no timings
            Some(answer) if facts.exchange.is_some() => Timings { provider: Provider::Http, ..answer.timings },
            Some(answer) => answer.timings,
            None => Timings::default(),
        };
        timings.total_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let ended = Ended {
            id: self.id,
            trace_id: self.trace.id.clone(),
            at_ms: self.at_ms,
            route: self.route,
            client: self.client.take(),
            outcome,
            code,
            reason,
            took,
            timings,
            facts,
            shadows: vec![],
            asks: None,
            rules: Arc::clone(&self.observer.rules),
        };
        self.observer.access.write(&ended);
        self.observer.meter.count(&ended);
        let traces = self.observer.traces.as_ref().filter(|traces| traces.keeps(&self.trace, &ended));
        let story = traces.map(|traces| (traces, Story::of(&self.trace, self.arrived, &ended)));
        let offering = Instant::now();
        if let Some(mirror) = &self.observer.mirror {
            mirror.offer(ended.beside(&self.observer.shadows));
        }
        if let Some((traces, mut story)) = story {
            self.observer.mirror.iter().for_each(|_| story.mirrored(offering, Instant::now()));
            traces.offer(story);
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.ended {
            let (facts, took) = (self.notes.take(), self.arrived.elapsed());
            self.record(facts, End { outcome: Outcome::Cancelled, code: 0, reason: Some(CLIENT_GONE), took });
        }
    }
}
