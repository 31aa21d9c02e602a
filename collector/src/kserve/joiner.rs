//! Carries halves from the journal into the log: joined with their other half, or alone and marked when the window has
//! passed.
//!
//! The choice: a half is acknowledged when it is in a log of its own (the journal: the same writer, frames and marks), and
//! everything after that is read back from the journal's sealed segments. So nothing that was acknowledged is in memory
//! only, and what a kill interrupts is done again from the same bytes:
//!
//! 1. An observation goes into the collector's log under a guard that follows from its halves, so it is taken once.
//! 2. Then a record says in the journal that these halves are settled.
//! 3. A segment of the journal is deleted when all of its halves are settled, oldest first.
//!
//! After a start the journal's segments are read again. Between 1 and 2 there are at most [`TOGETHER`] observations, and
//! the log remembers far more guards than that.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use contract::wire::{KSERVE_SOURCE, Ledger, Observation};
use masking::{MaskedSample, Masker};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::half::{Half, Side};
use super::join::{Fate, Settlement, Table};
use crate::insert;
use crate::log::frame::Met;
use crate::log::{self, AppendError, Disk, Entry, Log, Sealed, Shared};
use crate::metrics::{Metrics, PairOutcome};
use crate::record::{self, Batch, Packed, Record, Single, Unreadable};

/// Observations that are on their way into the log at once.
const TOGETHER: usize = 64;
/// Rows of one joined observation that wait in memory for the log; larger ones are made from it.
const ROWS_BYTES_MAX: usize = 256 << 10;
const TICK: Duration = Duration::from_millis(200);
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// The stop came first; what is left stays in the journal.
struct Stopped;

/// What carries halves.
pub(crate) struct Joiner {
    pub table: Table,
    /// Where observations go.
    pub log: Log,
    /// Where halves come from.
    pub journal: Log,
    pub shared: Arc<Shared>,
    pub dir: PathBuf,
    pub disk: Arc<dyn Disk>,
    pub masker: Arc<Masker>,
    pub metrics: Arc<Metrics>,
    pub stop: CancellationToken,
    /// Held to the end: another collector must not read what this one still deletes.
    pub _lock: std::fs::File,
}

/// What was read of the journal and is not deleted.
#[derive(Default)]
struct Lying {
    segments: VecDeque<Sealed>,
    /// Halves in a segment that are not settled.
    open: HashMap<Uuid, usize>,
    /// Halves that were settled before this process began.
    settled: HashSet<Uuid>,
}

impl Joiner {
    /// Runs until told to stop.
    pub async fn run(mut self, mut sealed: UnboundedReceiver<Sealed>) {
        let mut lying = Lying::default();
        if self.carry(&mut sealed, &mut lying).await.is_err() {
            tracing::debug!(waiting = self.table.len(), "halves that wait stay in the journal");
        }
    }

    async fn carry(&mut self, sealed: &mut UnboundedReceiver<Sealed>, lying: &mut Lying) -> Result<(), Stopped> {
        lying.settled = self.recall().await?;
        let mut tick = tokio::time::interval(TICK);
        loop {
            let settled = tokio::select! {
                // what was acknowledged is read before anything counts as too late
                biased;
                () = self.stop.cancelled() => return Err(Stopped),
                next = sealed.recv() => match next {
                    Some(segment) => self.take(segment, lying).await?,
                    None => return Ok(()),
                },
                _ = tick.tick() => self.due(lying),
            };
            self.settle(settled, lying).await?;
            self.sweep(lying).await?;
            self.metrics.halves(self.table.len());
        }
    }

    /// Those whose window has passed, and those that keep a journal that is nearly full from shrinking.
    fn due(&mut self, lying: &Lying) -> Vec<Settlement> {
        let mut settled = self.table.expired(host::clock::now_ms());
        if let Some(oldest) = lying.segments.front().filter(|_| self.shared.is_mostly_full()) {
            settled.extend(self.table.squeeze(oldest.id));
        }
        settled
    }

    /// Reads a sealed segment.
    async fn take(&mut self, segment: Sealed, lying: &mut Lying) -> Result<Vec<Settlement>, Stopped> {
        let records = self.read(segment.path.clone()).await?;
        // recovered ones come first: from here on nothing that was settled before is met again
        if !segment.recovered {
            lying.settled = HashSet::new();
        }
        let (id, mut open, mut settled) = (segment.id, 0, Vec::new());
        for record in records {
            if let Record::Half(half) = record
                && !lying.settled.contains(&half.id())
                && !self.table.holds(&half)
            {
                open += 1;
                settled.extend(self.table.put(half, id));
            }
        }
        lying.open.insert(id, open);
        lying.segments.push_back(segment);
        Ok(settled)
    }

    /// Makes settlements durable, in the log and then in the journal.
    async fn settle(&mut self, settled: Vec<Settlement>, lying: &mut Lying) -> Result<(), Stopped> {
        let mut settled = settled.into_iter().peekable();
        while settled.peek().is_some() {
            let some: Vec<Settlement> = settled.by_ref().take(TOGETHER).collect();
            let halves: Vec<(Uuid, Uuid)> = some.iter().flat_map(|one| one.halves.iter().copied()).collect();
            let mut appends = JoinSet::new();
            for settlement in some {
                let fate = settlement.fate;
                let Some(entry) = self.entry(settlement) else {
                    self.metrics.pair(PairOutcome::Lost);
                    continue;
                };
                let (log, stop, metrics) = (self.log.clone(), self.stop.clone(), self.metrics.clone());
                appends.spawn(async move {
                    let stored = append(&log, entry, &stop).await?;
                    metrics.pair(if stored { outcome(fate) } else { PairOutcome::Lost });
                    Ok(())
                });
            }
            while let Some(appended) = appends.join_next().await {
                appended.unwrap_or(Err(Stopped))?;
            }
            let record = Record::Settled { halves: halves.iter().map(|(half, _)| *half).collect() };
            if let Some(entry) = entry(&record) {
                append(&self.journal, Entry { urgent: true, ..entry }, &self.stop).await?;
            }
            for (_, segment) in halves {
                lying.open.entry(segment).and_modify(|open| *open -= 1);
            }
        }
        Ok(())
    }

    fn entry(&self, settlement: Settlement) -> Option<Entry> {
        let Settlement { guard, received_at_ms, observation, .. } = settlement;
        let batch = Batch {
            source: KSERVE_SOURCE.to_owned(),
            epoch: 0,
            seq: 0,
            sent_at_ms: received_at_ms,
            received_at_ms: host::clock::now_ms(),
            ledger: Ledger::default(),
            single: Some(Single::Id(guard)),
            heartbeat: false,
            observations: vec![self.masker.mask(observation).sample],
        };
        entry(&Record::Batch(batch))
    }

    /// Deletes what is settled, oldest first: what a later segment says is settled may be needed as long as an earlier
    /// one holds it.
    async fn sweep(&mut self, lying: &mut Lying) -> Result<(), Stopped> {
        while let Some(segment) = lying.segments.front().filter(|s| lying.open.get(&s.id).is_none_or(|n| *n == 0)) {
            let (disk, path) = (self.disk.clone(), segment.path.clone());
            self.durably("a settled segment cannot be deleted", move || log::remove(&*disk, &path)).await?;
            if let Some(segment) = lying.segments.pop_front() {
                lying.open.remove(&segment.id);
                self.shared.released(segment.bytes, segment.observations);
            }
        }
        Ok(())
    }

    async fn read(&self, path: PathBuf) -> Result<Vec<Record<Observation>>, Stopped> {
        let disk = self.disk.clone();
        self.durably("a segment of halves cannot be read", move || records(&*disk, &path)).await
    }

    /// The halves that any segment of the journal says are settled.
    async fn recall(&self) -> Result<HashSet<Uuid>, Stopped> {
        let (disk, dir) = (self.disk.clone(), self.dir.clone());
        self.durably("the journal of halves cannot be read", move || {
            let mut settled = HashSet::new();
            for path in disk.list(&dir)?.iter().filter(|path| log::is_segment(path)) {
                for record in records(&*disk, path)? {
                    if let Record::Settled { halves } = record {
                        settled.extend(halves);
                    }
                }
            }
            Ok(settled)
        })
        .await
    }

    /// Does something with the disk until it works.
    async fn durably<R: Send + 'static>(
        &self,
        failed: &str,
        act: impl Fn() -> io::Result<R> + Clone + Send + 'static,
    ) -> Result<R, Stopped> {
        let mut wait = RETRY_MIN;
        loop {
            match tokio::task::spawn_blocking(act.clone()).await {
                Ok(Ok(done)) => return Ok(done),
                Ok(Err(error)) => tracing::error!(%error, "{failed}; again"),
                Err(error) => tracing::error!(%error, "{failed}; again"),
            }
            pause(&mut wait, &self.stop).await?;
        }
    }
}

/// Puts an entry on disk, however long there is no room; `false` where it is larger than any may be.
async fn append(log: &Log, entry: Entry, stop: &CancellationToken) -> Result<bool, Stopped> {
    let mut wait = RETRY_MIN;
    loop {
        match log.append(entry.clone()).await {
            Ok(_) => return Ok(true),
            Err(AppendError::Stopping) => return Err(Stopped),
            // it was under every limit as two halves; nobody can send it in parts
            Err(error @ AppendError::TooLarge) => {
                tracing::error!(%error, "a joined observation is lost");
                return Ok(false);
            }
            Err(error) => tracing::warn!(%error, "a joined observation waits"),
        }
        pause(&mut wait, stop).await?;
    }
}

async fn pause(wait: &mut Duration, stop: &CancellationToken) -> Result<(), Stopped> {
    let now = *wait;
    *wait = (now * 2).min(RETRY_MAX);
    tokio::select! {
        () = tokio::time::sleep(now) => Ok(()),
        () = stop.cancelled() => Err(Stopped),
    }
}

/// The records of a segment; what is damaged was counted when the journal was opened.
fn records(disk: &dyn Disk, path: &std::path::Path) -> io::Result<Vec<Record<Observation>>> {
    let bytes = disk.read(path)?;
    let payloads = log::frames(&bytes).filter_map(|met| match met {
        Met::Frame(payload) => Some(payload),
        Met::Corrupt { .. } | Met::Torn { .. } => None,
    });
    Ok(payloads.filter_map(|payload| record::read(payload).ok()).collect())
}

/// A record as it goes into a log; `None`, loudly, where it is larger than any.
pub(crate) fn entry(record: &Record<MaskedSample>) -> Option<Entry> {
    match record::write(record) {
        Ok(Packed { payload, plain }) => {
            let (guard, counts, rows) = (record.guard(), record.counts(), record.rows());
            let made = Some(insert::rows(record)).filter(|rows| rows.held_bytes() <= ROWS_BYTES_MAX);
            Some(Entry { guard, payload, counts, rows, plain, made, urgent: false })
        }
        Err(error @ (Unreadable::TooLarge(_) | Unreadable::Damaged(_))) => {
            tracing::error!(%error, "a joined observation is lost");
            None
        }
    }
}

fn outcome(fate: Fate) -> PairOutcome {
    match fate {
        Fate::Joined => PairOutcome::Joined,
        Fate::Alone(Side::Request) => PairOutcome::NoResponse,
        Fate::Alone(Side::Response) => PairOutcome::NoRequest,
        Fate::Squeezed(_) => PairOutcome::Squeezed,
    }
}

/// Masks a half again.
pub(crate) fn masked(half: Half<Observation>, masker: &Masker) -> Half<MaskedSample> {
    half.map(|plain| masker.mask(plain).sample)
}
