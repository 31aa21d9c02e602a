//! One batch on its way to the collector: posted under its number until its outcome is known.
//!
//! A batch keeps its number while its outcome is unknown, so that the collector can tell a repeat from news: that is
//! what makes delivery exactly once. Several batches may be on their way at one time, in any order; the collector knows
//! which numbers are missing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use bytes::Bytes;
use contract::headers::MSGPACK;
use contract::metrics::proxy as names;
use contract::wire::{Ack, AckStatus, OBSERVATIONS_PATH};
use host::client::{Answer, ClientSettings, Neighbour, PostError};
use host::metrics::Registry;
use prometheus::IntCounterVec;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::batch::{self, Header};
use super::ledger::{DropReason, Ledger, Stage};
use super::overflow::Overflow;
use super::queue::Packed;
use super::{Config, StartError};

/// What posts need; one for all.
pub struct Poster {
    config: Config,
    url: String,
    client: Neighbour,
    posts: IntCounterVec,
    ledger: Arc<Ledger>,
    epoch: u64,
    last: AtomicU64,
    /// When the batches were closed that are on their way, by number.
    open: Mutex<BTreeMap<u64, i64>>,
    overflow: Option<Arc<Overflow>>,
}

/// A batch with its number.
pub struct Numbered {
    seq: u64,
    closed_at_ms: i64,
    packed: Vec<Packed>,
}

/// What is known after a post.
pub(super) enum Outcome {
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

/// What became of a batch whose outcome was unknown before it was refused.
enum Before {
    Stored,
    NotStored,
    Unclear,
}

impl Poster {
    /// With a client that keeps its connections.
    ///
    /// # Errors
    /// Where the HTTP client cannot be made.
    pub fn new(
        config: Config,
        registry: &Registry,
        ledger: Arc<Ledger>,
        epoch: u64,
        overflow: Option<Arc<Overflow>>,
    ) -> Result<Arc<Self>, StartError> {
        let settings = ClientSettings {
            timeout: config.post_timeout,
            idle_connections: config.max_posts,
            ..config.collector.clone()
        };
        let client = Neighbour::new(settings).map_err(StartError::Client)?;
        let posts = registry.counter(&names::MIRROR_POSTS);
        for word in Outcome::WORDS {
            let _ = posts.with_label_values(&[word]);
        }
        let url = format!("{}{OBSERVATIONS_PATH}", config.collector_url);
        let (last, open) = (AtomicU64::new(0), Mutex::default());
        Ok(Arc::new(Self { config, url, client, posts, ledger, epoch, last, open, overflow }))
    }

    /// Closes a batch: from now on it has a number.
    pub fn close(&self, packed: Vec<Packed>) -> Numbered {
        self.number(packed, host::clock::now_ms())
    }

    fn number(&self, packed: Vec<Packed>, closed_at_ms: i64) -> Numbered {
        let mut open = self.open();
        let seq = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        if !packed.is_empty() {
            open.insert(seq, closed_at_ms);
        }
        Numbered { seq, closed_at_ms, packed }
    }

    /// Delivers a batch, in parts where the collector finds it too large or something in it wrong: one observation that
    /// it will not have takes no other with it. Returns early when told to stop: what is then undelivered is counted as
    /// its tickets are dropped.
    pub async fn deliver(&self, batch: Numbered, stop: &CancellationToken) {
        let mut parts = VecDeque::from([batch]);
        while let Some(part) = parts.pop_front() {
            if stop.is_cancelled() {
                self.set_aside(part).await;
                continue;
            }
            let (seq, closed_at_ms) = (part.seq, part.closed_at_ms);
            let (number, whole) = match self.deliver_part(part, stop).await {
                Some((number, whole)) => (number, whole),
                None => {
                    self.open().remove(&seq);
                    continue;
                }
            };
            let [first, second] = halves(whole);
            parts.push_front(self.number(second, closed_at_ms));
            parts.push_front(match number {
                Some(seq) => Numbered { seq, closed_at_ms, packed: first },
                None => {
                    let first = self.number(first, closed_at_ms);
                    self.open().remove(&seq);
                    first
                }
            });
        }
    }

    /// Posts one batch until its outcome is known; gives it back where it has to be split, with its number where that is
    /// free for a part of it.
    async fn deliver_part(&self, part: Numbered, stop: &CancellationToken) -> Option<(Option<u64>, Vec<Packed>)> {
        let (seq, closed_at_ms) = (part.seq, part.closed_at_ms);
        let (mut part, body) = self.encode(part).await?;
        let mut doubtful = false;
        for attempt in 0_u32.. {
            let outcome = tokio::select! {
                outcome = self.post(body.clone()) => outcome,
                () = stop.cancelled() => Outcome::Unknown(None),
            };
            let named = match outcome {
                Outcome::Acknowledged(ack) => {
                    settle(part, &ack);
                    return None;
                }
                Outcome::Unknown(named) => named,
                refusal => {
                    let before = if doubtful { self.ask(seq, stop).await } else { Before::NotStored };
                    // asking has used the number up
                    return refused(part, &refusal, &before).map(|part| ((!doubtful).then_some(seq), part));
                }
            };
            doubtful = true;
            if attempt > 0 || stop.is_cancelled() {
                part = self.spill(seq, closed_at_ms, part, body.clone()).await.err()?;
            }
            tokio::select! {
                () = sleep(self.pause(seq, attempt, named)) => {}
                () = stop.cancelled() => return self.spill(seq, closed_at_ms, part, body).await.ok().and(None),
            }
        }
        None
    }

    /// Writes a batch to disk instead of posting it, if there is a disk to write to; gives it back if not.
    async fn spill(&self, seq: u64, closed_at_ms: i64, part: Vec<Packed>, body: Bytes) -> Result<(), Vec<Packed>> {
        match &self.overflow {
            Some(overflow) if !part.is_empty() => overflow.push(seq, closed_at_ms, part, body).await,
            _ => Err(part),
        }
    }

    /// Puts a batch on disk without posting it; what does not get there is lost, and its tickets count that.
    pub async fn set_aside(&self, batch: Numbered) {
        let (seq, closed_at_ms) = (batch.seq, batch.closed_at_ms);
        if self.overflow.is_some()
            && let Some((part, body)) = self.encode(batch).await
        {
            let _lost = self.spill(seq, closed_at_ms, part, body).await;
        }
        self.open().remove(&seq);
    }

    /// Puts a batch on disk behind those that are there; gives it back where it cannot.
    pub async fn queue_on_disk(&self, batch: Numbered) -> Option<Numbered> {
        let (seq, closed_at_ms) = (batch.seq, batch.closed_at_ms);
        let (part, body) = self.encode(batch).await?;
        let left = self.spill(seq, closed_at_ms, part, body).await.err();
        if left.is_none() {
            self.open().remove(&seq);
        }
        left.map(|packed| Numbered { seq, closed_at_ms, packed })
    }

    /// Whether something waits on disk.
    pub fn has_spilled(&self) -> bool {
        self.overflow.as_ref().is_some_and(|overflow| !overflow.is_empty())
    }

    /// Replays what is on disk, until there is nothing or it has to stay there.
    pub async fn replay(&self, stop: &CancellationToken, closing: &CancellationToken) {
        if let Some(overflow) = &self.overflow {
            overflow.replay(self, stop, closing).await;
        }
    }

    /// How long a batch waits before it is posted again: what the collector named, or else ever longer.
    pub(super) fn pause(&self, seq: u64, attempt: u32, named: Option<Duration>) -> Duration {
        // a collector that names no pause ("Retry-After: 0") is given one all the same
        named.map_or_else(|| self.backoff(seq, attempt), |named| named.max(self.config.retry_min))
    }

    /// Whether the collector has stored something under a number: an empty batch is a repeat if it has, and news if it
    /// has not. Asked once, since the asking itself is stored.
    async fn ask(&self, seq: u64, stop: &CancellationToken) -> Before {
        let empty = Numbered { seq, closed_at_ms: host::clock::now_ms(), packed: vec![] };
        let Some((_, body)) = self.encode(empty).await else { return Before::Unclear };
        let outcome = tokio::select! {
            outcome = self.post(body) => outcome,
            () = stop.cancelled() => return Before::Unclear,
        };
        match outcome {
            Outcome::Acknowledged(Ack { status: AckStatus::Repeated, .. }) => Before::Stored,
            Outcome::Acknowledged(Ack { status: AckStatus::Stored, .. }) => Before::NotStored,
            _ => Before::Unclear,
        }
    }

    /// Puts the body together on a thread for blocking work: compressing a megabyte takes milliseconds.
    async fn encode(&self, part: Numbered) -> Option<(Vec<Packed>, Bytes)> {
        let Numbered { seq, closed_at_ms, packed: mut part } = part;
        part.iter_mut().for_each(|packed| packed.ticket.advance(Stage::Posting));
        // nothing older than the oldest batch that is still on its way may be promised to have come
        let spilled = self.overflow.as_ref().and_then(|overflow| overflow.oldest_ms());
        let oldest = self.open().values().min().copied().into_iter().chain(spilled).min();
        let sent_at_ms = oldest.map_or(closed_at_ms, |oldest| closed_at_ms.min(oldest));
        let header = Header {
            source: self.config.source.clone(),
            epoch: self.epoch,
            seq,
            sent_at_ms,
            ledger: self.ledger.counts().wire(),
        };
        let work = move || {
            let body = batch::body(header, part.iter().map(|packed| &*packed.bytes));
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

    pub(super) async fn post(&self, body: Bytes) -> Outcome {
        let headers = [(CONTENT_TYPE, MSGPACK), (CONTENT_ENCODING, "zstd")];
        let outcome = match self.client.post(&self.url, &headers, body).await {
            Ok(answer) => read(&answer),
            Err(error) => {
                // what somebody has to mend is said aloud; a collector that is away shows in the metrics
                if matches!(error, PostError::Tls(_) | PostError::Token { .. }) {
                    tracing::error!(%error, "observations cannot be posted to the collector; trying again");
                }
                tracing::debug!(%error, "the collector gave no answer");
                Outcome::Unknown(None)
            }
        };
        self.posts.with_label_values(&[outcome.as_str()]).inc();
        outcome
    }

    /// Doubles from the least to the longest wait; half of it is jitter, so that proxies do not knock together.
    fn backoff(&self, seq: u64, attempt: u32) -> Duration {
        let full = self.config.retry_min.saturating_mul(1 << attempt.min(16)).min(self.config.retry_max);
        let seed = xxhash_rust::xxh3::xxh3_64_with_seed(self.config.source.as_bytes(), seq ^ u64::from(attempt));
        #[expect(clippy::cast_precision_loss, reason = "jitter needs no precision")]
        let share = 0.5 + 0.5 * (seed ^ self.epoch) as f64 / u64::MAX as f64;
        full.mul_f64(share)
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<u64, i64>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends a batch that the collector will not have, or gives it back to be split.
fn refused(part: Vec<Packed>, refusal: &Outcome, before: &Before) -> Option<Vec<Packed>> {
    match (before, refusal) {
        (Before::Stored, _) => {
            part.into_iter().for_each(|packed| packed.ticket.delivered(&packed.content));
            return None;
        }
        // whatever is sent again under another number might be stored twice
        (Before::Unclear, _) => {
            tracing::error!(observations = part.len(), "a batch was refused that may have been stored; it is given up");
            end(part, DropReason::Refused);
            return None;
        }
        (Before::NotStored, Outcome::TooLarge | Outcome::Invalid(_)) if part.len() > 1 => return Some(part),
        (Before::NotStored, Outcome::TooLarge) => end(part, DropReason::Oversize),
        (Before::NotStored, Outcome::Invalid(status) | Outcome::Refused(status)) => {
            tracing::error!(%status, observations = part.len(), "the collector refused a batch; it is dropped");
            end(part, DropReason::Refused);
        }
        (Before::NotStored, Outcome::Acknowledged(_) | Outcome::Unknown(_)) => {}
    }
    None
}

/// From an answer to what it means. Only an acknowledgement that can be read counts as delivered, and only a status
/// that says "never" drops anything: 408, 425 and every 5xx leave the outcome open, and so does a key that is not
/// taken, or an address at which something else answers: those are mended in a file, while observations wait within
/// their bound.
fn read(answer: &Answer) -> Outcome {
    let status = answer.status;
    let asked = answer.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let named = asked.map(|seconds| Duration::from_secs(seconds.min(60)));
    match status {
        s if s.is_success() => match serde_json::from_slice(&answer.body) {
            Ok(ack) => Outcome::Acknowledged(ack),
            Err(error) => {
                tracing::warn!(%error, "the collector's acknowledgement cannot be read");
                Outcome::Unknown(None)
            }
        },
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            let said = String::from_utf8_lossy(&answer.body);
            tracing::error!(%status, %said, "the collector does not take proxy.mirror.collector.token_file's key; posting again");
            Outcome::Unknown(named)
        }
        StatusCode::PAYLOAD_TOO_LARGE => Outcome::TooLarge,
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => Outcome::Invalid(status),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => Outcome::Unknown(named),
        s if s.is_redirection() || is_of_another(s) => {
            tracing::error!(%status, "at proxy.mirror.collector_url no collector answers; posting again");
            Outcome::Unknown(named)
        }
        s if s.is_client_error() => Outcome::Refused(s),
        _ => Outcome::Unknown(named),
    }
}

/// Whether a status says that a post went to the wrong place: a proxy on the way, or another server under the name.
fn is_of_another(status: StatusCode) -> bool {
    [StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED, StatusCode::MISDIRECTED_REQUEST].contains(&status)
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
