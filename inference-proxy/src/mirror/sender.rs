//! Batches on their way to the collector, one at a time, each posted until its outcome is known.
//!
//! A batch keeps its number while its outcome is unknown, so that the collector can tell a repeat from news; the
//! next one waits. That is what makes delivery exactly once with a high-water mark at the collector, and it is why
//! there is one post at a time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use contract::headers::MSGPACK;
use contract::metrics::proxy as names;
use contract::wire::{Ack, AckStatus, OBSERVATIONS_PATH};
use host::metrics::Registry;
use prometheus::IntCounterVec;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::batch::{self, Header};
use super::ledger::{DropReason, Ledger, Stage};
use super::queue::Packed;
use super::{Config, StartError};

/// The task that sends.
pub struct Sender {
    config: Config,
    url: String,
    client: reqwest::Client,
    posts: IntCounterVec,
    ledger: Arc<Ledger>,
    epoch: u64,
    seq: u64,
    ready: UnboundedReceiver<Packed>,
    carried: Option<Packed>,
    abort: CancellationToken,
}

/// What came of waiting for a batch.
enum Gathered {
    Batch(Vec<Packed>),
    Idle,
    Closed,
}

/// What is known after a post.
enum Outcome {
    Acknowledged(Ack),
    /// Stored, not stored, or later: post it again, after this time where the collector named one.
    Unknown(Option<Duration>),
    TooLarge,
    /// What is in the batch is wrong, perhaps in one of its observations only.
    Invalid(StatusCode),
    Refused(StatusCode),
}

impl Outcome {
    const WORDS: [&'static str; 5] = ["stored", "repeated", "unknown", "too_large", "refused"];

    const fn as_str(&self) -> &'static str {
        match self {
            Self::Acknowledged(Ack { status: AckStatus::Stored, .. }) => "stored",
            Self::Acknowledged(Ack { status: AckStatus::Repeated, .. }) => "repeated",
            Self::Unknown(_) => "unknown",
            Self::TooLarge => "too_large",
            Self::Invalid(_) | Self::Refused(_) => "refused",
        }
    }
}

impl Sender {
    /// A sender with a client that keeps its connection.
    ///
    /// # Errors
    /// Where the HTTP client cannot be made.
    pub fn new(
        config: Config,
        registry: &Registry,
        ledger: Arc<Ledger>,
        epoch: u64,
        ready: UnboundedReceiver<Packed>,
        abort: CancellationToken,
    ) -> Result<Self, StartError> {
        let client = reqwest::Client::builder()
            .timeout(config.post_timeout)
            .pool_max_idle_per_host(1)
            .tcp_nodelay(true)
            .redirect(reqwest::redirect::Policy::none())
            // where observations go is in the configuration; a proxy named in the environment is not asked
            .no_proxy()
            .build()
            .map_err(StartError::Client)?;
        let posts = registry.counter(&names::MIRROR_POSTS);
        for word in Outcome::WORDS {
            let _ = posts.with_label_values(&[word]);
        }
        let url = format!("{}{OBSERVATIONS_PATH}", config.collector_url);
        Ok(Self { config, url, client, posts, ledger, epoch, seq: 0, ready, carried: None, abort })
    }

    /// Sends until the mirror is closed and empty, or is told to stop at once.
    pub async fn run(mut self) {
        loop {
            match self.gather().await {
                Gathered::Batch(batch) => self.deliver(batch).await,
                Gathered::Idle => self.deliver(vec![]).await,
                Gathered::Closed => break,
            }
        }
        // the last word: an account with nothing in flight
        self.deliver(vec![]).await;
    }

    /// Waits for a first observation, at most until the next heartbeat is due, then a little for company.
    async fn gather(&mut self) -> Gathered {
        let first = match self.carried.take() {
            Some(carried) => carried,
            None => {
                let heartbeat = self.config.heartbeat;
                tokio::select! {
                    received = timeout(heartbeat, self.ready.recv()) => match received {
                        Ok(Some(packed)) => packed,
                        Ok(None) => return Gathered::Closed,
                        Err(_) => return Gathered::Idle,
                    },
                    () = self.abort.cancelled() => return Gathered::Closed,
                }
            }
        };
        let closes = Instant::now() + self.config.batch_max_delay;
        let mut bytes = first.bytes.len();
        let mut batch = vec![first];
        while batch.len() < self.config.batch_max_observations {
            let Ok(Some(packed)) = timeout_at(closes, self.ready.recv()).await else { break };
            if bytes + packed.bytes.len() > self.config.batch_max_bytes {
                self.carried = Some(packed);
                break;
            }
            bytes += packed.bytes.len();
            batch.push(packed);
        }
        Gathered::Batch(batch)
    }

    /// Delivers a batch, in parts where the collector finds it too large or something in it wrong: one observation that
    /// it will not have takes no other with it. Returns early when told to stop: what is
    /// then undelivered is counted as its tickets are dropped.
    async fn deliver(&mut self, batch: Vec<Packed>) {
        let mut parts = VecDeque::from([batch]);
        while let Some(part) = parts.pop_front() {
            if self.abort.is_cancelled() {
                return;
            }
            self.seq += 1;
            if let Some(whole) = self.deliver_part(part).await {
                // not stored, so its number is free for the first half
                self.seq -= 1;
                for half in halves(whole).into_iter().rev() {
                    parts.push_front(half);
                }
            }
        }
    }

    /// Posts one batch until its outcome is known; gives it back where it has to be split.
    async fn deliver_part(&self, mut part: Vec<Packed>) -> Option<Vec<Packed>> {
        part.iter_mut().for_each(|packed| packed.ticket.advance(Stage::Posting));
        let (part, body) = self.encode(part).await?;
        for attempt in 0_u32.. {
            let outcome = tokio::select! {
                outcome = self.post(body.clone()) => outcome,
                () = self.abort.cancelled() => return None,
            };
            self.posts.with_label_values(&[outcome.as_str()]).inc();
            let named = match outcome {
                Outcome::Acknowledged(ack) => {
                    settle(part, &ack);
                    return None;
                }
                Outcome::TooLarge | Outcome::Invalid(_) if part.len() > 1 => return Some(part),
                Outcome::TooLarge => {
                    end(part, DropReason::Oversize);
                    return None;
                }
                Outcome::Invalid(status) | Outcome::Refused(status) => {
                    tracing::error!(%status, observations = part.len(), "the collector refused a batch; it is dropped");
                    end(part, DropReason::Refused);
                    return None;
                }
                Outcome::Unknown(named) => named,
            };
            // a collector that names no pause ("Retry-After: 0") is given one all the same
            let wait = named.map_or_else(|| self.backoff(attempt), |named| named.max(self.config.retry_min));
            tokio::select! {
                () = sleep(wait) => {}
                () = self.abort.cancelled() => return None,
            }
        }
        None
    }

    /// Puts the body together on a thread for blocking work: compressing a megabyte takes milliseconds.
    async fn encode(&self, part: Vec<Packed>) -> Option<(Vec<Packed>, Bytes)> {
        let header = Header {
            source: self.config.source.clone(),
            epoch: self.epoch,
            seq: self.seq,
            sent_at_ms: host::clock::now_ms(),
            ledger: self.ledger.counts().wire(),
        };
        let work = move || {
            let body = batch::body(header, part.iter().map(|packed| packed.bytes.as_slice()));
            (part, body)
        };
        match tokio::task::spawn_blocking(work).await {
            Ok((part, Ok(body))) => Some((part, Bytes::from(body))),
            Ok((part, Err(error))) => {
                tracing::error!(error, "a batch could not be encoded");
                end(part, DropReason::SinkDead);
                None
            }
            // the tickets were dropped with the panicking task
            Err(_) => None,
        }
    }

    async fn post(&self, body: Bytes) -> Outcome {
        let request =
            self.client.post(&self.url).header(CONTENT_TYPE, MSGPACK).header(CONTENT_ENCODING, "zstd").body(body);
        match request.send().await {
            Ok(response) => read(response).await,
            Err(error) => {
                tracing::debug!(%error, "the collector gave no answer");
                Outcome::Unknown(None)
            }
        }
    }

    /// Doubles from the least to the longest wait; half of it is jitter, so that proxies do not knock together.
    fn backoff(&self, attempt: u32) -> Duration {
        let full = self.config.retry_min.saturating_mul(1 << attempt.min(16)).min(self.config.retry_max);
        let seed = xxhash_rust::xxh3::xxh3_64_with_seed(self.config.source.as_bytes(), self.seq ^ u64::from(attempt));
        #[expect(clippy::cast_precision_loss, reason = "jitter needs no precision")]
        let share = 0.5 + 0.5 * (seed ^ self.epoch) as f64 / u64::MAX as f64;
        full.mul_f64(share)
    }
}

/// From an answer to what it means. Only an acknowledgement that can be read counts as delivered, and only a status
/// that says "never" drops anything: 408, 425 and every 5xx leave the outcome open.
async fn read(response: Response) -> Outcome {
    let status = response.status();
    let named = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .map(|seconds: u64| Duration::from_secs(seconds.min(60)));
    match status {
        s if s.is_success() => match response.json().await {
            Ok(ack) => Outcome::Acknowledged(ack),
            Err(error) => {
                tracing::warn!(%error, "the collector's acknowledgement cannot be read");
                Outcome::Unknown(None)
            }
        },
        StatusCode::PAYLOAD_TOO_LARGE => Outcome::TooLarge,
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => Outcome::Invalid(status),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => Outcome::Unknown(named),
        s if s.is_client_error() || s.is_redirection() => Outcome::Refused(s),
        _ => Outcome::Unknown(named),
    }
}

/// Ends the tickets of an acknowledged batch. A collector that stored fewer than it was given refused the rest.
fn settle(part: Vec<Packed>, ack: &Ack) {
    let stored = match ack.status {
        AckStatus::Repeated => part.len(),
        AckStatus::Stored => usize::try_from(ack.stored).unwrap_or(usize::MAX),
    };
    for (n, packed) in part.into_iter().enumerate() {
        if n < stored {
            packed.ticket.delivered(&packed.content);
        } else {
            packed.ticket.dropped(DropReason::Refused);
        }
    }
}

fn end(part: Vec<Packed>, reason: DropReason) {
    part.into_iter().for_each(|packed| packed.ticket.dropped(reason));
}

fn halves(mut batch: Vec<Packed>) -> [Vec<Packed>; 2] {
    let second = batch.split_off(batch.len().div_ceil(2));
    [batch, second]
}
