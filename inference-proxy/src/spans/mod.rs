//! Traces of requests, in OpenTelemetry's words and over OTLP.
//!
//! No span is kept while a request runs: where its time went is known when it has ended, from the same facts as its
//! observation, and then it is decided whether its trace is worth keeping. So a slow or failed request is always there,
//! whatever the share, and a request that is not kept costs a comparison.

pub mod config;
mod exporter;
pub mod otlp;

use std::time::{Duration, Instant};

use contract::metrics::proxy::TRACES;
use host::client::Neighbour;
use host::metrics::Registry;
use host::tls::TlsError;
use prometheus::IntCounterVec;
use tokio::sync::mpsc;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::observe::record::Ended;
use crate::trace::Trace;
pub use config::{Config, Keeping, RawTraces};
pub use exporter::Exporter;
use otlp::{CLIENT, ERROR, INTERNAL, SERVER, Span, Status, attribute};

const EXPORTED: &str = "exported";
const DROPPED_FULL: &str = "dropped_full";
const DROPPED_REFUSED: &str = "dropped_refused";
const DROPPED_UNREACHABLE: &str = "dropped_unreachable";

/// What decides about traces and takes those that are kept. Clones share the queue.
#[derive(Clone, Debug)]
pub struct Traces {
    keeping: Keeping,
    queue: mpsc::Sender<Vec<Span>>,
    counts: IntCounterVec,
}

/// When a request got how far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moments {
    /// It had a place among the open requests.
    pub admitted: Option<Instant>,
    /// It had been read, or was being passed on.
    pub asked: Option<Instant>,
}

/// Makes the queue and the task behind it.
///
/// # Errors
/// Where a certificate cannot be read.
pub fn start(config: Config, registry: &Registry) -> Result<(Traces, Exporter), TlsError> {
    let counts = registry.counter(&TRACES);
    for state in [EXPORTED, DROPPED_FULL, DROPPED_REFUSED, DROPPED_UNREACHABLE] {
        let _ = counts.with_label_values(&[state]);
    }
    let (queue, waiting) = mpsc::channel(config.max_waiting);
    let Config { url, receiver, service_name, keeping, batch_max, batch_max_delay, .. } = config;
    let client = Neighbour::new(receiver)?;
    let exporter = Exporter { client, url, service_name, batch_max, batch_max_delay, counts: counts.clone(), waiting };
    Ok((Traces { keeping, queue, counts }, exporter))
}

impl Traces {
    /// The trace of a request as those behind us are told of it: sampled where we know already that ours is kept.
    #[must_use]
    pub fn told(&self, trace: Trace) -> Trace {
        let sampled = trace.is_sampled_by(self.keeping.share) || (self.keeping.follow_callers && trace.is_followed());
        trace.sampled(sampled)
    }

    /// Whether a request that ended like this is kept.
    #[must_use]
    pub fn keeps(&self, trace: &Trace, ended: &Ended) -> bool {
        let Keeping { share, follow_callers, slower_than } = self.keeping;
        ended.outcome.is_bad()
            || slower_than.is_some_and(|slow| ended.took > slow)
            || (follow_callers && trace.is_followed())
            || trace.is_sampled_by(share)
    }

    /// Takes a trace, if there is room.
    pub fn offer(&self, story: Story) {
        if self.queue.try_send(story.spans).is_err() {
            self.counts.with_label_values(&[DROPPED_FULL]).inc();
        }
    }
}

/// The spans of one request: its own first, then its stages in order.
#[derive(Debug)]
pub struct Story {
    clock: Clock,
    trace_id: Vec<u8>,
    id: Uuid,
    spans: Vec<Span>,
}

impl Story {
    /// Of a request that has ended.
    #[must_use]
    pub fn of(trace: &Trace, arrived: Instant, ended: &Ended) -> Self {
        let clock = Clock { arrived, at: Duration::from_millis(u64::try_from(ended.at_ms).unwrap_or_default()) };
        let end = arrived + ended.took;
        let mut story = Self { clock, trace_id: trace.bytes(), id: ended.id, spans: vec![] };
        story.push("", SERVER, arrived, end);
        let root = &mut story.spans[0];
        root.parent_span_id = trace.parent().map(|parent| parent.to_be_bytes().to_vec()).unwrap_or_default();
        root.name = format!("{} {}", ended.route.as_str(), ended.facts.model);
        root.attributes = attributes(ended);
        if ended.outcome.is_bad() {
            root.status = Some(Status { message: ended.reason.unwrap_or_default().to_owned(), code: ERROR });
        }
        story.stages(ended, end);
        story
    }

    /// The observation was handed to the mirror, after the answer.
    pub fn mirrored(&mut self, from: Instant, to: Instant) {
        self.push("mirror", INTERNAL, from, to);
    }

    fn stages(&mut self, ended: &Ended, end: Instant) {
        let moments = ended.facts.moments;
        self.push("admission", INTERNAL, self.clock.arrived, moments.admitted.unwrap_or(end));
        let Some(admitted) = moments.admitted else { return };
        self.push("read", INTERNAL, admitted, moments.asked.unwrap_or(end));
        let Some(asked) = moments.asked else { return };
        if ended.is_forwarded() {
            return self.push("infer", CLIENT, asked, end);
        }
        if ended.facts.answer.is_none() {
            return self.push("unanswered", INTERNAL, asked, end);
        }
        if ended.facts.from_cache {
            return self.push("cache", INTERNAL, asked, end);
        }
        // where items ran in several batches a stage is the longest of its kind; none goes on after the answer
        let after = |start: Instant, micros: u64| (start + Duration::from_micros(micros)).min(end);
        let timings = ended.timings;
        let tokenized = after(asked, timings.tokenize_us);
        let begun = after(tokenized, timings.queue_us);
        let inferred = after(begun, timings.infer_us);
        if timings.tokenize_us > 0 {
            self.push("tokenize", INTERNAL, asked, tokenized);
        }
        self.push("queue", INTERNAL, tokenized, begun);
        self.push("infer", INTERNAL, begun, inferred);
        if let Some(infer) = self.spans.last_mut() {
            infer.attributes.push(attribute("driftline.batch_size", i64::from(timings.batch_size)));
        }
        self.push("postprocess", INTERNAL, inferred, end);
    }

    fn push(&mut self, name: &str, kind: i32, start: Instant, end: Instant) {
        self.spans.push(Span {
            trace_id: self.trace_id.clone(),
            span_id: span_id(self.id, self.spans.len()),
            parent_span_id: self.spans.first().map(|root| root.span_id.clone()).unwrap_or_default(),
            name: name.to_owned(),
            kind,
            start_time_unix_nano: self.clock.of(start),
            end_time_unix_nano: self.clock.of(end.max(start)),
            ..Span::default()
        });
    }
}

fn attributes(ended: &Ended) -> Vec<otlp::KeyValue> {
    let id = ended.id.to_string();
    let mut attributes = vec![
        attribute("driftline.observation_id", id.as_str()),
        attribute("driftline.model", ended.facts.model.as_str()),
        attribute("driftline.version", ended.facts.version.as_str()),
        attribute("driftline.role", ended.facts.role.as_str()),
        attribute("driftline.outcome", ended.outcome.as_str()),
    ];
    attributes.extend(ended.reason.map(|reason| attribute("driftline.reason", reason)));
    if ended.code != 0 {
        attributes.push(attribute("http.response.status_code", i64::from(ended.code)));
    }
    attributes
}

/// From the process's clock to the world's.
#[derive(Debug)]
struct Clock {
    arrived: Instant,
    at: Duration,
}

impl Clock {
    fn of(&self, moment: Instant) -> u64 {
        nanos(self.at + moment.saturating_duration_since(self.arrived))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Of the request's own span, number 0, as its `traceparent` says; of its stages by their number.
fn span_id(observation: Uuid, number: usize) -> Vec<u8> {
    match number {
        0 => crate::trace::span_of(observation).to_be_bytes().to_vec(),
        n => xxh3_64_with_seed(observation.as_bytes(), n as u64).max(1).to_be_bytes().to_vec(),
    }
}
