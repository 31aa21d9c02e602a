//! What goes to disk while the collector is away, and comes back when it is there again.
//!
//! As long as there is anything on disk, whatever is new goes behind it, so that batches are replayed in order.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use contract::metrics::proxy as names;
use host::metrics::Registry;
use prometheus::{IntCounterVec, IntGauge};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::ledger::{Bulk, DropReason, Ledger};
use super::post::{Outcome, Poster};
use super::queue::Packed;
use super::spill::{Config, Head, Spill};
use super::tally::Tally;

/// The batches on disk, with their places in the account.
#[derive(Debug)]
pub struct Overflow {
    state: Mutex<State>,
    /// When the oldest batch was closed; [`NONE`] where there is none. Beside the lock, which is held while the disk writes.
    oldest_ms: AtomicI64,
    batches: IntCounterVec,
    bytes: IntGauge,
}

#[derive(Debug)]
struct State {
    spill: Spill,
    /// As the frames on disk, in the same order; when each was closed.
    bulks: VecDeque<(i64, Bulk)>,
}

/// No batch is on disk.
const NONE: i64 = i64::MAX;

/// What may become of a batch here, as it is counted.
const OUTCOMES: [&str; 5] = ["spilled", "recovered", "replayed", "full", "failed"];

impl Overflow {
    /// Opens the folder; what an earlier process left there counts as observed and in flight.
    ///
    /// # Errors
    /// Where the folder cannot be used.
    pub fn open(config: Config, ledger: &Arc<Ledger>, registry: &Registry) -> io::Result<Arc<Self>> {
        let (spill, left) = Spill::open(config)?;
        let batches = registry.counter(&names::MIRROR_SPILLED);
        for outcome in OUTCOMES {
            let _ = batches.with_label_values(&[outcome]);
        }
        batches.with_label_values(&["recovered"]).inc_by(left.len() as u64);
        let bulks = left.into_iter().map(|head| (head.closed_at_ms, ledger.recover(head.tally))).collect();
        let bytes = registry.int_gauge(&names::MIRROR_SPILL_BYTES).with_label_values(&[] as &[&str]);
        let overflow =
            Self { state: Mutex::new(State { spill, bulks }), oldest_ms: AtomicI64::new(NONE), batches, bytes };
        overflow.show(&overflow.lock());
        Ok(Arc::new(overflow))
    }

    /// Whether there is nothing on disk.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.oldest_ms().is_none()
    }

    /// When the oldest batch on disk was closed.
    #[must_use]
    pub fn oldest_ms(&self) -> Option<i64> {
        Some(self.oldest_ms.load(Ordering::Acquire)).filter(|oldest| *oldest != NONE)
    }

    /// Writes a batch to disk; gives it back where there is no room or the disk refuses.
    pub async fn push(
        self: &Arc<Self>,
        seq: u64,
        closed_at_ms: i64,
        part: Vec<Packed>,
        body: Bytes,
    ) -> Result<(), Vec<Packed>> {
        let overflow = Arc::clone(self);
        let write = move || overflow.write(seq, closed_at_ms, part, &body);
        // a task that died has dropped its tickets, and they count that
        tokio::task::spawn_blocking(write).await.unwrap_or(Ok(()))
    }

    fn write(&self, seq: u64, closed_at_ms: i64, part: Vec<Packed>, body: &[u8]) -> Result<(), Vec<Packed>> {
        let tally = Tally::of(part.iter().map(|packed| (&packed.ticket, &packed.content)));
        let head = Head { seq, closed_at_ms, tally };
        let mut state = self.lock();
        let written = state.spill.push(&head, body);
        let outcome = match &written {
            Ok(true) => "spilled",
            Ok(false) => "full",
            Err(error) => {
                tracing::error!(%error, "a batch could not be spilled to disk");
                "failed"
            }
        };
        self.batches.with_label_values(&[outcome]).inc();
        if !matches!(written, Ok(true)) {
            return Err(part);
        }
        let tickets = part.into_iter().map(|packed| packed.ticket).collect();
        if let Some(bulk) = Bulk::of(tickets, head.tally) {
            state.bulks.push_back((closed_at_ms, bulk));
        }
        self.show(&state);
        Ok(())
    }

    /// Posts what is on disk, the oldest first, until there is nothing, or until the collector is away and `closing`: then
    /// it stays for the next process. One that is refused is lost, since it cannot be told whether an earlier post of it
    /// was stored.
    pub(super) async fn replay(self: &Arc<Self>, to: &Poster, stop: &CancellationToken, closing: &CancellationToken) {
        let mut attempt = 0;
        while let Some((seq, body)) = self.front().await {
            let outcome = tokio::select! {
                outcome = to.post(body) => outcome,
                () = stop.cancelled() => return,
            };
            let ended = match outcome {
                Outcome::Acknowledged(_) => Ok(()),
                Outcome::TooLarge => Err(DropReason::Oversize),
                Outcome::Invalid(_) | Outcome::Refused(_) => Err(DropReason::Refused),
                Outcome::Unknown(_) if closing.is_cancelled() => return,
                Outcome::Unknown(named) => {
                    tokio::select! {
                        () = sleep(to.pause(seq, attempt, named)) => {}
                        () = closing.cancelled() => {}
                        () = stop.cancelled() => return,
                    }
                    attempt += 1;
                    continue;
                }
            };
            attempt = 0;
            self.pop(ended).await;
        }
    }

    /// The oldest batch's number and body. What the disk does not give back is given up.
    pub async fn front(self: &Arc<Self>) -> Option<(u64, Bytes)> {
        let overflow = Arc::clone(self);
        let read = move || {
            let front = overflow.lock().spill.front();
            match front {
                Ok(front) => front.map(|(head, body)| (head.seq, body)),
                Err(error) => {
                    tracing::error!(%error, "a spilled batch cannot be read and is given up");
                    overflow.done(Err(DropReason::SinkDead));
                    None
                }
            }
        };
        tokio::task::spawn_blocking(read).await.ok().flatten()
    }

    /// The oldest batch is delivered, or lost.
    pub async fn pop(self: &Arc<Self>, ended: Result<(), DropReason>) {
        let overflow = Arc::clone(self);
        let _done = tokio::task::spawn_blocking(move || overflow.done(ended)).await;
    }

    fn done(&self, ended: Result<(), DropReason>) {
        let mut state = self.lock();
        for n in 0..state.spill.pop() {
            // what is behind a damaged one in its file is lost with it
            let ended = if n == 0 { ended } else { Err(DropReason::SinkDead) };
            let outcome = if ended.is_ok() { "replayed" } else { "failed" };
            self.batches.with_label_values(&[outcome]).inc();
            match (state.bulks.pop_front(), ended) {
                (Some((_, bulk)), Ok(())) => bulk.delivered(),
                (Some((_, bulk)), Err(reason)) => bulk.dropped(reason),
                (None, _) => {}
            }
        }
        self.show(&state);
    }

    fn show(&self, state: &State) {
        let oldest = state.bulks.front().map_or(NONE, |(closed_at_ms, _)| *closed_at_ms);
        self.oldest_ms.store(oldest, Ordering::Release);
        self.bytes.set(i64::try_from(state.spill.bytes()).unwrap_or(i64::MAX));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
