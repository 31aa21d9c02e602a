//! The data path of the collector: one post from bytes to acknowledgement. Read this file first.
//!
//! ```text
//!  body -> decode -> check -> mask -> append to the log, fsync -> acknowledge
//!                                        `-> segment -> insert (token = segment) -> delete        (see `insert`)
//! ```
//!
//! An acknowledgement means: masked, on disk, fsynced. After it a kill or a loss of power loses nothing and doubles
//! nothing; before it the sender may send again, and a repeat is acknowledged without being appended.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use contract::metrics::collector::SOURCE_PROXY;
use contract::wire::{Ack, AckStatus, Label, Ledger, Observation, SINGLE_SOURCE};
use masking::{Hits, MaskedSample, Masker};
use tokio::sync::Semaphore;

use crate::check;
use crate::config::Limits;
use crate::decode::{self, Form, Posted};
use crate::log::{AppendError, Appended, Entry, Log};
use crate::metrics::{BatchOutcome, Metrics, SOURCE_HTTP};
use crate::record::{self, Batch, Record, Single};

/// Rows of one post in one table: what ClickHouse cannot take as a block would hold up every segment behind it.
const ROWS_MAX: u64 = 500_000;

/// A post as it came.
#[derive(Debug)]
pub(crate) struct Post {
    pub body: Bytes,
    pub form: Form,
    pub compressed: bool,
    pub arrived: Instant,
}

/// Why a post was not stored, one variant per next action of the sender.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// It cannot be read: repair the sender.
    #[error("{0}")]
    Malformed(String),
    /// It is well-formed and says what cannot be: repair the sender.
    #[error("{0}")]
    Invalid(String),
    /// It is in a form that is not read: repair the sender.
    #[error("{0}")]
    Unsupported(String),
    /// Send it in parts.
    #[error("{0}")]
    TooLarge(String),
    /// It is too late for this batch: count it as lost.
    #[error("{0}")]
    TooOld(String),
    /// Send it again later.
    #[error("{reason}")]
    Later {
        /// Why not now.
        reason: String,
        /// When to try again.
        after_seconds: u32,
    },
}

impl Refusal {
    fn later(reason: impl Into<String>, after_seconds: u32) -> Self {
        Self::Later { reason: reason.into(), after_seconds }
    }
}

impl From<AppendError> for Refusal {
    fn from(error: AppendError) -> Self {
        let sentence = error.to_string();
        match error {
            AppendError::TooOld { .. } => Self::TooOld(sentence),
            AppendError::Busy => Self::later(sentence, 1),
            AppendError::Full | AppendError::Disk(_) | AppendError::Stopping => Self::later(sentence, 5),
            AppendError::TooManySources => Self::later(sentence, 60),
        }
    }
}

/// Everything a post needs. Clones share it.
#[derive(Clone)]
pub(crate) struct Pipeline {
    shared: Arc<Shared>,
}

struct Shared {
    masker: Masker,
    limits: Limits,
    log: Log,
    metrics: Arc<Metrics>,
    permits: Arc<Semaphore>,
    /// Single observations are numbered by us, for their heartbeats.
    epoch: u64,
    singles: AtomicU64,
}

impl Pipeline {
    pub fn new(masker: Masker, limits: Limits, log: Log, metrics: Arc<Metrics>) -> Self {
        let permits = Arc::new(Semaphore::new(limits.max_posts));
        let epoch = u64::try_from(host::clock::now_ms()).unwrap_or_default();
        Self { shared: Arc::new(Shared { masker, limits, log, metrics, permits, epoch, singles: AtomicU64::new(0) }) }
    }

    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// Takes observations: a batch or a single one.
    pub async fn observations(&self, post: Post) -> Result<Ack, Refusal> {
        let arrived = post.arrived;
        let outcome = self.admitted(post, Shared::observations).await;
        self.count(arrived, &outcome);
        outcome
    }

    /// Takes labels.
    pub async fn labels(&self, post: Post) -> Result<Ack, Refusal> {
        self.admitted(post, Shared::labels).await
    }

    /// Counts a post of observations, also one that did not get as far as decoding.
    pub fn count(&self, arrived: Instant, outcome: &Result<Ack, Refusal>) {
        let metrics = &self.shared.metrics;
        metrics.batch(match outcome {
            Ok(Ack { status: AckStatus::Stored, .. }) => BatchOutcome::Stored,
            Ok(Ack { status: AckStatus::Repeated, .. }) => BatchOutcome::Repeated,
            Err(Refusal::Later { .. }) => BatchOutcome::Refused,
            Err(_) => BatchOutcome::Invalid,
        });
        if outcome.is_ok() {
            metrics.acknowledged(arrived.elapsed());
        }
    }

    /// The five steps.
    async fn admitted(
        &self,
        post: Post,
        make: fn(&Shared, &Post, i64) -> Result<Made, Refusal>,
    ) -> Result<Ack, Refusal> {
        // a post holds memory for its body, its samples and its frame: only so many at once
        let Ok(permit) = self.shared.permits.clone().try_acquire_owned() else {
            return Err(Refusal::later("too many posts at once (collector.limits.max_posts); nothing was stored", 1));
        };
        let shared = self.shared.clone();
        // decoding and masking a megabyte takes milliseconds: off the threads that serve
        // the permit goes along: a sender that hangs up does not end the work
        let work = tokio::task::spawn_blocking(move || (make(&shared, &post, host::clock::now_ms()), permit));
        let (Made { entry, hits, source }, permit) = match work.await {
            Ok((made, permit)) => (made?, permit),
            Err(error) => {
                tracing::error!(%error, "a post could not be worked on");
                return Err(Refusal::Invalid("the post could not be worked on; it was not stored".to_owned()));
            }
        };
        let stored = entry.observations + entry.labels;
        let appended = self.shared.log.append(entry).await?;
        drop(permit);
        let status = match appended {
            Appended::Stored => {
                self.shared.metrics.hits(source, &hits);
                AckStatus::Stored
            }
            Appended::Repeated => AckStatus::Repeated,
        };
        Ok(Ack { status, stored })
    }
}

/// An entry for the log, and what the second pass found in it.
struct Made {
    entry: Entry,
    hits: Hits,
    source: &'static str,
}

impl Shared {
    /// decode -> check -> mask -> pack
    fn observations(&self, post: &Post, now_ms: i64) -> Result<Made, Refusal> {
        let posted = self.plain(post, |body| decode::observations(body, post.form, now_ms))?;
        let (batch, plain, source) = self.batch(posted, now_ms)?;
        let mut hits = Hits::default();
        let mut masked = Vec::with_capacity(plain.len());
        for (i, observation) in plain.into_iter().enumerate() {
            let at = if batch.single.is_none() { format!("observations[{i}].") } else { String::new() };
            check::observation(&observation, &at, now_ms, &self.limits)?;
            let done = self.masker.mask(observation);
            hits.merge(&done.hits);
            masked.push(done.sample);
        }
        made(&Record::Batch(Batch { observations: masked, ..batch }), 0, hits, source)
    }

    /// The record's header and the observations that go into it.
    fn batch(
        &self,
        posted: Posted,
        now_ms: i64,
    ) -> Result<(Batch<MaskedSample>, Vec<Observation>, &'static str), Refusal> {
        let header = |source: String, epoch, seq, sent_at_ms, ledger, single| Batch {
            source,
            epoch,
            seq,
            sent_at_ms,
            received_at_ms: now_ms,
            ledger,
            single,
            heartbeat: true,
            observations: Vec::new(),
        };
        match posted {
            Posted::Batch(batch) => {
                check::batch(&batch, now_ms, &self.limits)?;
                if self.masker.mask_name(&batch.source).1.total() > 0 {
                    return Err(Refusal::Invalid("source holds personal data; give a host or pod name".to_owned()));
                }
                let head = header(batch.source, batch.epoch, batch.seq, batch.sent_at_ms, batch.ledger, None);
                Ok((head, batch.observations, SOURCE_PROXY))
            }
            Posted::Single(observation, named) => {
                let seq = self.singles.fetch_add(1, Ordering::Relaxed) + 1;
                let ledger = Ledger { observed: seq, delivered: seq, ..Ledger::default() };
                let single = if named { Single::Id(observation.id) } else { Single::Unguarded };
                let head = header(SINGLE_SOURCE.to_owned(), self.epoch, seq, now_ms, ledger, Some(single));
                Ok((head, vec![*observation], SOURCE_HTTP))
            }
        }
    }

    /// decode -> check -> mask -> pack
    fn labels(&self, post: &Post, now_ms: i64) -> Result<Made, Refusal> {
        let mut labels = self.plain(post, |body| decode::labels(body, post.form))?;
        check::count(labels.len(), "labels", &self.limits)?;
        let mut hits = Hits::default();
        let alone = labels.len() == 1;
        for (i, label) in labels.iter_mut().enumerate() {
            let at = if alone { String::new() } else { format!("labels[{i}].") };
            check::label(label, &at, now_ms, &self.limits)?;
            let Label { label: class, at_ms, .. } = label;
            let (masked, found) = self.masker.mask_name(class);
            hits.merge(&found);
            *class = masked;
            at_ms.get_or_insert(now_ms);
        }
        let count = labels.len() as u64;
        made(&Record::Labels { received_at_ms: now_ms, labels }, count, hits, SOURCE_HTTP)
    }

    fn plain<T>(&self, post: &Post, read: impl FnOnce(&[u8]) -> Result<T, Refusal>) -> Result<T, Refusal> {
        if post.compressed {
            read(&decode::decompress(&post.body, self.limits.max_decoded_bytes)?)
        } else {
            read(&post.body)
        }
    }
}

fn made(record: &Record<MaskedSample>, labels: u64, hits: Hits, source: &'static str) -> Result<Made, Refusal> {
    let rows = record.rows();
    if rows > ROWS_MAX {
        return Err(Refusal::TooLarge(format!("it makes {rows} rows in a table, over {ROWS_MAX}; send it in parts")));
    }
    let payload = record::write(record).map_err(|error| Refusal::Invalid(error.to_string()))?;
    let entry = Entry { guard: record.guard(), payload, observations: record.observations(), labels, rows };
    Ok(Made { entry, hits, source })
}
