//! The end of a forwarded request: its answer's body is watched to its last byte, and read when the client has it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::StatusCode;
use axum::response::Response;
use contract::wire::Outcome;
use http_body::{Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;

use super::{End, Facts, Guard};
use crate::error::Reason;
use crate::room::Part;
use crate::upstream::Fault;
use crate::upstream::exchange::{Exchange, Read};
use crate::{handle, outcome};

/// A place among the open requests, and room for the body; it rides on the response, because a body may be longer on its way than a handler.
#[derive(Clone, Debug)]
pub struct Held(pub Arc<(OwnedSemaphorePermit, Part)>);

/// The body of an answer that another server gives. The observation is made when it ends, however it ends.
struct Watched {
    body: Body,
    last: Option<Last>,
}

/// What is needed at the end.
struct Last {
    guard: Guard,
    exchange: Arc<Exchange>,
    status: StatusCode,
    reason: Option<&'static str>,
    held: Option<Held>,
}

/// Lets the observation end with the body.
pub(super) fn watched(guard: Guard, exchange: Arc<Exchange>, response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let held = parts.extensions.remove::<Held>();
    let reason = parts.extensions.get::<Reason>().map(|reason| reason.0);
    let last = Last { guard, exchange, status: parts.status, reason, held };
    let mut watched = Watched { body, last: Some(last) };
    if watched.body.is_end_stream() {
        watched.end(false);
    }
    Response::from_parts(parts, Body::new(watched))
}

impl Watched {
    fn end(&mut self, gone: bool) {
        if let Some(last) = self.last.take() {
            last.end(gone);
        }
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        if !matches!(polled, Some(Ok(_))) || self.body.is_end_stream() {
            self.end(false);
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.end(true);
    }
}

impl Last {
    /// The client has what it gets: the copies are read on a task of their own, and then the observation is made.
    fn end(self, gone: bool) {
        let Self { guard, exchange, status, reason, held } = self;
        let (outcome, reason) = match exchange.fault() {
            Some(fault @ (Fault::Impatient | Fault::LateBody)) => (Outcome::Invalid, Some(fault.reason())),
            Some(fault @ Fault::Slow(_)) => (Outcome::Timeout, Some(fault.reason())),
            Some(fault) => (Outcome::Error, Some(fault.reason())),
            None if gone => (Outcome::Cancelled, Some(super::CLIENT_GONE)),
            None => (outcome::of_status(status), reason),
        };
        let end = End { outcome, code: status.as_u16(), reason, took: guard.arrived.elapsed() };
        read_and_finish(guard, exchange, end, held);
    }
}

/// Reads the copies and makes the observation; at once where there is no runtime to do it on.
pub(super) fn read_and_finish(guard: Guard, exchange: Arc<Exchange>, end: End, held: Option<Held>) {
    let facts = guard.notes.take();
    let tracker = guard.observer.reading.clone();
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return guard.finish(facts, end);
    };
    let reading = async move {
        // the place is kept meanwhile, so that readings are as bounded as requests
        let _held = held;
        let (bytes, answered) = (exchange.copied_bytes(), end.outcome == Outcome::Ok);
        let read = handle::off_thread(bytes, move || exchange.read(answered)).await;
        let (facts, end) = learn(facts, end, read);
        guard.finish(facts, end);
    };
    tracker.spawn_on(reading, &runtime);
}

fn learn(mut facts: Facts, mut end: End, read: Read) -> (Facts, End) {
    facts.version = read.version;
    facts.input = read.input.map(Arc::new);
    facts.parameters = read.parameters;
    facts.answer = read.answer.map(Arc::new);
    facts.withheld = facts.withheld.or(read.withheld);
    if let Some(bad) = read.bad {
        (end.outcome, end.reason) = (outcome::flawed(end.outcome), Some(bad));
    }
    (facts, end)
}

/// How long readings that are still open at a shutdown are waited for.
pub(super) const READ_MAX: Duration = Duration::from_secs(5);
