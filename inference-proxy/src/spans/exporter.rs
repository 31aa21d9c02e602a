//! Kept traces on their way to the receiver: batched, bounded, counted, and nothing that waits for them.

use std::time::Duration;

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use host::client::Neighbour;
use prometheus::IntCounterVec;
use prost::Message;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::otlp::{Export, Span};
use super::{DROPPED_REFUSED, DROPPED_UNREACHABLE, EXPORTED};

/// Posts of one batch before it is given up.
const ATTEMPTS: u32 = 4;
/// First wait between posts of one batch; doubles.
const PAUSE: Duration = Duration::from_millis(200);

/// The task that posts traces.
#[derive(Debug)]
pub struct Exporter {
    pub(super) client: Neighbour,
    pub(super) url: String,
    pub(super) service_name: String,
    pub(super) batch_max: usize,
    pub(super) batch_max_delay: Duration,
    pub(super) counts: IntCounterVec,
    /// A trace each.
    pub(super) waiting: mpsc::Receiver<Vec<Span>>,
}

impl Exporter {
    /// Posts what comes until told to stop; then what waits gets one more attempt.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut batch = Vec::new();
        while self.fill(&mut batch, &stop).await {
            self.deliver(std::mem::take(&mut batch), &stop).await;
        }
        while let Ok(trace) = self.waiting.try_recv() {
            batch.push(trace);
        }
        if !batch.is_empty() {
            self.deliver(batch, &stop).await;
        }
    }

    /// Waits for a trace, and then a while for others; whether to go on.
    async fn fill(&mut self, batch: &mut Vec<Vec<Span>>, stop: &CancellationToken) -> bool {
        let filled = async {
            let mut room = self.batch_max;
            if self.waiting.recv_many(batch, room).await == 0 {
                return false;
            }
            let until = tokio::time::Instant::now() + self.batch_max_delay;
            loop {
                room = self.batch_max - batch.len();
                let more = tokio::time::timeout_at(until, self.waiting.recv_many(batch, room));
                if room == 0 || !matches!(more.await, Ok(1..)) {
                    return true;
                }
            }
        };
        tokio::select! {
            more = filled => more,
            () = stop.cancelled() => false,
        }
    }

    async fn deliver(&self, traces: Vec<Vec<Span>>, stop: &CancellationToken) {
        let count = traces.len() as u64;
        let body: bytes::Bytes =
            Export::new(&self.service_name, traces.into_iter().flatten().collect()).encode_to_vec().into();
        let (mut pause, mut fate) = (PAUSE, DROPPED_UNREACHABLE);
        for attempt in 1..=ATTEMPTS {
            match self.post(body.clone()).await {
                Some(known) => {
                    fate = known;
                    break;
                }
                None if attempt == ATTEMPTS || stop.is_cancelled() => break,
                None => {
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = stop.cancelled() => {}
                    }
                    pause *= 2;
                }
            }
        }
        if fate != EXPORTED {
            tracing::warn!(count, fate, url = self.url, "traces did not reach their receiver");
        }
        self.counts.with_label_values(&[fate]).inc_by(count);
    }

    /// What became of a post; `None` where another may go better, by OTLP's own list
    /// (<https://opentelemetry.io/docs/specs/otlp/#retryable-response-codes>).
    async fn post(&self, body: bytes::Bytes) -> Option<&'static str> {
        let answer = self.client.post(&self.url, &[(CONTENT_TYPE, "application/x-protobuf")], body).await;
        let status = answer.inspect_err(|error| tracing::debug!(%error, "no answer to traces")).ok()?.status;
        match status {
            status if status.is_success() => Some(EXPORTED),
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => None,
            _ => Some(DROPPED_REFUSED),
        }
    }
}
