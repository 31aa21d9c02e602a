//! The data path of the collector: one post from bytes to acknowledgement. Read this file first.
//!
//! ```text
//!  body -> decode -> check -> mask -> append to the log, fsync -> acknowledge
//!                                        `-> segment -> insert (token = segment) -> delete        (see `insert`)
//! ```
//!
//! An acknowledgement means: masked, on disk, fsynced. After it a kill or a loss of power loses nothing and doubles
//! nothing; before it the sender may send again, and a repeat is acknowledged without being appended.

mod feedback;
mod halves;
mod names;
mod newer;
mod proxies;
mod refusal;
mod singles;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use contract::metrics::collector::SOURCE_PROXY;
use contract::wire::{Ack, AckStatus, Observation, SINGLE_SOURCE};
use masking::{Hits, MaskedSample, Masker};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use crate::budget::{Budget, Held};
use crate::check;
use crate::config::{KserveConfig, Limits};
use crate::decode::{self, Form, LeftOut, Posted};
use crate::insert;
use crate::kserve::half::Head;
use crate::log::{Appended, Entry, Log};
use crate::metrics::{BatchOutcome, Metrics, PairOutcome, SOURCE_HTTP};
use crate::names::Namer;
use crate::record::{self, AsPosted, Batch, Packed, Record, Single, Unreadable};

/// Rows of one post in one table: what ClickHouse cannot take as a block would hold up every segment behind it.
const ROWS_MAX: u64 = 500_000;

use newer::Told;
use proxies::Proxies;
use singles::{Begun, Singles};

pub(crate) use feedback::id_of;
pub(crate) use refusal::Refusal;

/// A post as it came.
#[derive(Debug)]
pub(crate) struct Post {
    pub body: Bytes,
    pub form: Form,
    pub compressed: bool,
    pub arrived: Instant,
    /// What it holds of the memory of all posts, until it is answered.
    pub held: Held,
}

/// Everything a post needs. Clones share it.
#[derive(Clone)]
pub(crate) struct Pipeline {
    shared: Arc<Shared>,
}

struct Shared {
    masker: Masker,
    namer: Option<Namer>,
    limits: Limits,
    log: Log,
    /// The log of halves, see [`crate::kserve`].
    journal: Log,
    kserve: KserveConfig,
    metrics: Arc<Metrics>,
    permits: Arc<Semaphore>,
    budget: Budget,
    singles: Arc<Singles>,
    proxies: Proxies,
    told: Told,
}

impl Pipeline {
    pub fn new(
        (masker, namer): (Masker, Option<Namer>),
        limits: Limits,
        log: Log,
        (journal, kserve): (Log, KserveConfig),
        metrics: Arc<Metrics>,
    ) -> Self {
        let permits = Arc::new(Semaphore::new(limits.max_posts));
        let budget = Budget::new(limits.max_posts_bytes);
        let epoch = u64::try_from(host::clock::now_ms()).unwrap_or_default();
        let singles = Arc::new(Singles::since(epoch));
        let (proxies, told) = (Proxies::default(), Told::default());
        let shared =
            Shared { masker, namer, limits, log, journal, kserve, metrics, permits, budget, singles, proxies, told };
        Self { shared: Arc::new(shared) }
    }

    /// For a post whose body is about to be read.
    pub fn held(&self) -> Held {
        self.shared.budget.held()
    }

    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// A text masked; nothing where nothing personal is in it.
    pub fn masked(&self, text: &str) -> Option<String> {
        let (masked, hits) = self.shared.masker.mask_text(text);
        (hits.total() > 0).then_some(masked)
    }

    /// Takes observations: a batch, a single one, or several as lines.
    pub async fn observations(&self, post: Post) -> Result<Ack, Refusal> {
        let arrived = post.arrived;
        let outcome = self.admitted(&self.shared.log, post, Shared::observations).await;
        self.count(arrived, &outcome);
        outcome
    }

    /// Takes labels.
    pub async fn labels(&self, post: Post) -> Result<Ack, Refusal> {
        self.admitted(&self.shared.log, post, Shared::labels).await
    }

    /// Takes feedback.
    pub async fn outcomes(&self, post: Post) -> Result<Ack, Refusal> {
        self.admitted(&self.shared.log, post, Shared::outcomes).await
    }

    /// Takes events.
    pub async fn events(&self, post: Post) -> Result<Ack, Refusal> {
        self.admitted(&self.shared.log, post, Shared::events).await
    }

    /// Takes a logged request or response.
    pub async fn half(&self, head: Head, post: Post) -> Result<Ack, Refusal> {
        let make = move |shared: &Shared, post: &mut Post, now_ms: i64| shared.half(&head, post, now_ms);
        let outcome = self.admitted(&self.shared.journal, post, make).await;
        if let Err(Refusal::Later { .. }) = outcome {
            self.shared.metrics.pair(PairOutcome::Refused);
        }
        outcome
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
        log: &Log,
        post: Post,
        make: impl FnOnce(&Shared, &mut Post, i64) -> Result<Made, Refusal> + Send + 'static,
    ) -> Result<Ack, Refusal> {
        let mut post = post;
        let Ok(permit) = self.shared.permits.clone().try_acquire_owned() else {
            return Err(Refusal::later("too many posts at once (collector.limits.max_posts); nothing was stored", 1));
        };
        let shared = self.shared.clone();
        // decoding and masking a megabyte takes milliseconds: off the threads that serve
        // the permit goes along: a sender that hangs up does not end the work
        let work = tokio::task::spawn_blocking(move || {
            let made = make(&shared, &mut post, host::clock::now_ms());
            (made.map(|made| made.within(&mut post.held)), post.held, permit)
        });
        let (Made { entry, stored, found, source, begun }, held, permit) = match work.await {
            Ok((made, held, permit)) => (made?, held, permit),
            Err(error) => {
                tracing::error!(%error, "a post could not be worked on");
                return Err(Refusal::Invalid("the post could not be worked on; it was not stored".to_owned()));
            }
        };
        let appended = log.append(entry).await?;
        drop((held, permit));
        if let Some(mut begun) = begun {
            begun.ends(appended == Appended::Stored);
        }
        let status = match appended {
            Appended::Stored => {
                self.shared.metrics.hits(source, &found.hits);
                self.shared.metrics.left_out(found.left_out);
                found.withheld.iter().for_each(|(reason, count)| self.shared.metrics.withheld(reason, *count));
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
    /// What the sender is told: so much is durable.
    stored: u64,
    found: Found,
    source: &'static str,
    begun: Option<Begun>,
}

impl Made {
    /// Its rows are held until they are in the log, or dropped where there is no room: they are only a copy.
    fn within(mut self, held: &mut Held) -> Self {
        self.entry.made = self.entry.made.filter(|rows| held.grow(rows.held_bytes()).is_ok());
        self
    }
}

/// What was done to a post; counted once it is stored, since a post may come again.
#[derive(Default)]
struct Found {
    hits: Hits,
    /// Payloads that came with content and go on without it, by reason.
    withheld: BTreeMap<String, u64>,
    /// Fields that this collector does not know.
    left_out: u64,
}

impl Shared {
    /// decode -> check -> mask -> pack
    fn observations(&self, post: &mut Post, now_ms: i64) -> Result<Made, Refusal> {
        let form = post.form;
        let body = self.weighed(post)?;
        let posted = decode::observations(&body, form, now_ms)?;
        let Numbered { batch, plain, source, begun, left_out } = self.batch(posted, now_ms)?;
        let mut found = Found { left_out: left_out.count, ..Found::default() };
        let count = plain.len();
        for (i, observation) in plain.iter().enumerate() {
            let at = match (batch.single, count) {
                (None, _) => Place::Batch(i),
                (Some(_), 1) => Place::Alone,
                (Some(_), _) => Place::Line(i + 1),
            };
            check::observation(observation, at, now_ms, &self.limits)?;
            if batch.single.is_some() {
                check::single(observation, at)?;
            }
        }
        let names = self.names(source, &plain.iter().collect::<Vec<_>>());
        let masked =
            plain.into_iter().map(|observation| self.masked(observation, names.as_ref(), &mut found)).collect();
        let record = Record::Batch(Batch { observations: masked, ..batch });
        let posted = post.compressed && form == Form::Msgpack && decode::told_length(&post.body) == Some(body.len());
        let pack = || match posted {
            true => record::write_posted(&record, &AsPosted { body: &post.body, plain: &body }),
            false => record::write(&record),
        };
        let made = made_of(&record, pack, found, source)?;
        Ok(Made { begun, ..made })
    }

    /// The record's header and the observations that go into it.
    fn batch(&self, posted: Posted, now_ms: i64) -> Result<Numbered, Refusal> {
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
        let (batch, left_out) = match posted {
            Posted::Batch(batch) => (batch, LeftOut::default()),
            Posted::Newer(batch, left_out) => (batch, left_out),
            Posted::Singles(singles) => {
                check::count(singles.len(), "the body", &self.limits)?;
                let (seq, ledger, begun) = self.singles.begin(singles.len() as u64);
                let single = guard(&singles);
                let plain = singles.into_iter().map(|(observation, _)| observation).collect();
                let head = header(SINGLE_SOURCE.to_owned(), self.singles.epoch(), seq, now_ms, ledger, Some(single));
                let (begun, left_out) = (Some(begun), LeftOut::default());
                return Ok(Numbered { batch: head, plain, source: SOURCE_HTTP, begun, left_out });
            }
        };
        check::batch(&batch, now_ms, &self.limits)?;
        let source = self.source(batch.source)?;
        self.proxies.note(&source);
        self.told.tell(&source, &left_out, &self.masker);
        let head = header(source, batch.epoch, batch.seq, batch.sent_at_ms, batch.ledger, None);
        Ok(Numbered { batch: head, plain: batch.observations, source: SOURCE_PROXY, begun: None, left_out })
    }

    /// Reads a body that is weighed.
    fn plain<T>(&self, post: &mut Post, read: impl FnOnce(&[u8]) -> Result<T, Refusal>) -> Result<T, Refusal> {
        read(&self.weighed(post)?)
    }

    /// A body decompressed where it must be, and weighed before it is decoded.
    fn weighed(&self, post: &mut Post) -> Result<Bytes, Refusal> {
        let Post { body, form, compressed, held, .. } = post;
        let most = self.limits.max_decoded_bytes;
        let body = if *compressed { Bytes::from(decode::decompress(body, most, held)?) } else { std::mem::take(body) };
        decode::weigh(&body, *form, most, held)?;
        Ok(body)
    }
}

/// What tells observations that nobody numbered from their repeat: the ids, where each has one of its sender's.
fn guard(singles: &[(Observation, bool)]) -> Single {
    match singles {
        [(only, true)] => Single::Id(only.id),
        several if several.iter().all(|(_, named)| *named) => {
            let hash = several.iter().fold(Sha256::new(), |hash, (one, _)| hash.chain_update(one.id));
            Single::Id(id_of(hash))
        }
        _ => Single::Unguarded,
    }
}

/// Where an observation stands in a post, as a fault's sentence begins.
#[derive(Clone, Copy)]
enum Place {
    Batch(usize),
    Alone,
    Line(usize),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Batch(i) => write!(f, "observations[{i}]."),
            Self::Alone => Ok(()),
            Self::Line(number) => write!(f, "observation {number}: "),
        }
    }
}

/// A record's header with its number, and what goes into it.
struct Numbered {
    batch: Batch<MaskedSample>,
    plain: Vec<Observation>,
    source: &'static str,
    begun: Option<Begun>,
    left_out: LeftOut,
}

fn made(record: &Record<MaskedSample>, found: Found, source: &'static str) -> Result<Made, Refusal> {
    made_of(record, || record::write(record), found, source)
}

/// The same of a record that is packed in a way of its own, once it is known not to be too large.
fn made_of(
    record: &Record<MaskedSample>,
    pack: impl FnOnce() -> Result<Packed, Unreadable>,
    found: Found,
    source: &'static str,
) -> Result<Made, Refusal> {
    let rows = record.rows();
    if rows > ROWS_MAX {
        return Err(Refusal::TooLarge(format!("it makes {rows} rows in a table, over {ROWS_MAX}; send it in parts")));
    }
    let Packed { payload, plain } = pack().map_err(|error| match error {
        Unreadable::TooLarge(_) => Refusal::TooLarge(error.to_string()),
        Unreadable::Damaged(_) => Refusal::Invalid(error.to_string()),
    })?;
    let (guard, counts, made) = (record.guard(), record.counts(), Some(insert::rows(record)));
    let entry = Entry { guard, payload, counts, rows, plain, made, urgent: false };
    let stored = entry.counts.total();
    Ok(Made { entry, stored, found, source, begun: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use contract::wire::{Gap, Ledger, Outcome, ShadowAnswer};

    fn batch(shadows: usize, gaps: usize) -> Record<MaskedSample> {
        let line = serde_json::json!({
            "id": uuid::Uuid::from_u128(1), "at_ms": 1_767_225_600_000_i64, "model": "m", "version": "1", "outcome": "ok",
            "shadows": [{"version": "2", "outcome": "ok"}],
        });
        let mut plain: Observation = serde_json::from_value(line).unwrap();
        let answer = ShadowAnswer { gaps: vec![Gap::Shape; gaps], ..plain.shadows[0].clone() };
        assert_eq!(answer.outcome, Outcome::Ok);
        plain.shadows = vec![answer; shadows];
        let masker = Masker::new(&masking::RawConfig::default()).unwrap();
        Record::Batch(Batch {
            source: "s".to_owned(),
            epoch: 1,
            seq: 1,
            sent_at_ms: 1,
            received_at_ms: 2,
            ledger: Ledger::default(),
            single: None,
            heartbeat: true,
            observations: vec![masker.mask(plain).sample],
        })
    }

    #[test]
    fn gaps_are_rows_and_too_many_are_refused() {
        let few = made(&batch(3, 100), Found::default(), SOURCE_HTTP).unwrap();
        assert_eq!(few.entry.rows, 300);
        let most = few.entry.made.unwrap().blocks().iter().map(store::write::Block::rows).max();
        assert_eq!(most, Some(few.entry.rows), "what is counted is what is made");
        let refused = made(&batch(64, 8_000), Found::default(), SOURCE_HTTP).err();
        assert!(matches!(refused, Some(Refusal::TooLarge(_))), "{refused:?}");
    }

    #[test]
    fn rows_without_room_are_left_to_the_log() {
        let whole = |bytes| {
            let budget = Budget::new(bytes);
            let mut held = budget.held();
            let made = made(&batch(1, 100), Found::default(), SOURCE_HTTP).unwrap().within(&mut held);
            let left = held.grow(bytes).is_ok();
            (made.entry.made.is_some(), left)
        };
        assert_eq!(whole(1 << 20), (true, false), "rows that are kept are held");
        assert_eq!(whole(1 << 10), (false, true), "rows that are dropped hold nothing");
    }
}
