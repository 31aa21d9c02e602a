//! Carries sealed segments into ClickHouse and deletes each once all of its rows are there.
//!
//! Several segments are inserted at once. The rows of most are in memory from when they were logged; the others are read
//! from the log, masked and built, which makes the same bytes. Only their ends keep the order of the log: a segment's
//! heartbeats go in after everything before them, since a heartbeat promises the analyzer what is there.
//!
//! Tries again for ever while ClickHouse is away, and where a segment cannot be worked on: what comes after it waits with it, and
//! the log's state tells. Only rows that it refuses for what they hold are put aside, and the
//! rest of their segment goes in.

mod quarantine;
mod segment;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use masking::Masker;
use store::Error;
use store::write::{Block, Inserted, Table, Tables, write_block};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::log::{self, Disk, Sealed, Shared};
use crate::metrics::{InsertOutcome, Metrics};
use segment::Loaded;
pub(crate) use segment::{for_each, rows};

const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(10);
/// How often the log's state is looked at while nothing else happens.
const TICK: Duration = Duration::from_secs(1);
/// Blocks that are tried in halving one block; what is then still undecided is put aside whole. A table that refuses
/// every row would otherwise cost two inserts a row.
const HALVES_MAX: usize = 4_096;

/// What the inserter works with.
pub(crate) struct Inserter<T> {
    pub tables: T,
    pub disk: Arc<dyn Disk>,
    pub masker: Arc<Masker>,
    pub shared: Arc<Shared>,
    pub metrics: Arc<Metrics>,
    /// Segments at once.
    pub segments: usize,
    /// Where refused rows are put aside.
    pub quarantine: std::path::PathBuf,
    /// What they may take there.
    pub quarantine_max_bytes: u64,
    /// Cancelled when the rest is to stay in the log.
    pub give_up: CancellationToken,
    /// Held to the end: another collector must not find segments that this one still deletes.
    pub _lock: Option<std::fs::File>,
}

/// The stop came first; what is left stays in the log.
#[derive(Debug)]
pub(crate) struct GivenUp;

/// A segment of which everything but the end is in ClickHouse.
pub(crate) struct Delivered(Loaded);

/// A segment that is being delivered.
struct UnderWay {
    segment: Sealed,
    task: JoinHandle<Result<Delivered, GivenUp>>,
    /// How long to wait before it is tried again, should its task end badly.
    retry: Duration,
}

impl<T: Tables> Inserter<T> {
    /// Runs until the log is closed and empty, or until it is to give up.
    pub async fn run(self, sealed: UnboundedReceiver<Sealed>) {
        let this = Arc::new(self);
        let mut under_way = VecDeque::new();
        if this.carry(sealed, &mut under_way).await.is_err() {
            tracing::warn!(
                segments = under_way.len(),
                "ClickHouse did not take all in time; the rest stays in the log"
            );
        }
        for one in under_way {
            one.task.abort();
            let _ = one.task.await;
        }
    }

    async fn carry(
        self: &Arc<Self>,
        mut sealed: UnboundedReceiver<Sealed>,
        under_way: &mut VecDeque<UnderWay>,
    ) -> Result<(), GivenUp> {
        self.prepare().await?;
        let mut tick = tokio::time::interval(TICK);
        let mut closed = false;
        while !(closed && under_way.is_empty()) {
            tokio::select! {
                next = sealed.recv(), if !closed && under_way.len() < self.segments => match next {
                    Some(segment) => under_way.push_back(self.begin(segment)),
                    None => closed = true,
                },
                delivered = first(under_way), if !under_way.is_empty() => {
                    // out before anything else can end this: a task that has ended must not be waited for again
                    let Some(one) = under_way.pop_front() else { continue };
                    match delivered {
                        Ok(delivered) => self.finish(&one.segment, delivered?).await?,
                        // before all others: the heartbeats of later ones promise what is in it
                        Err(error) => {
                            tracing::error!(%error, segment = %one.segment.id, "a segment cannot be worked on; again");
                            under_way.push_front(self.again(one));
                        }
                    }
                }
                _ = tick.tick() => self.look_at_quarantine().await,
                () = self.give_up.cancelled() => return Err(GivenUp),
            }
            match under_way.front() {
                Some(one) => self.shared.waits_since(one.segment.since),
                None => self.shared.tick(),
            }
        }
        Ok(())
    }

    /// Works on a segment beside others.
    fn begin(self: &Arc<Self>, segment: Sealed) -> UnderWay {
        let (this, its) = (self.clone(), segment.clone());
        let task = tokio::spawn(async move { this.deliver(its).await });
        UnderWay { segment: Sealed { ready: None, ..segment }, task, retry: RETRY_MIN }
    }

    /// The same once more, after a while, of one of which some may have been inserted.
    fn again(self: &Arc<Self>, broken: UnderWay) -> UnderWay {
        let UnderWay { segment, mut retry, .. } = broken;
        let segment = Sealed { recovered: true, ..segment };
        let (this, its, mut wait) = (self.clone(), segment.clone(), retry);
        let task = tokio::spawn(async move {
            this.pause(&mut wait).await?;
            this.deliver(its).await
        });
        retry = (retry * 2).min(RETRY_MAX);
        UnderWay { segment, task, retry }
    }

    /// Makes the tables, however long ClickHouse is away.
    async fn prepare(&self) -> Result<(), GivenUp> {
        let mut retry = RETRY_MIN;
        loop {
            match self.unless_given_up(self.tables.prepare()).await? {
                Ok(()) => return Ok(()),
                Err(error) => tracing::warn!(%error, "the tables cannot be made yet; the log keeps what comes"),
            }
            self.shared.tick();
            self.pause(&mut retry).await?;
        }
    }

    /// Everything of a segment but its end.
    pub(crate) async fn deliver(&self, mut segment: Sealed) -> Result<Delivered, GivenUp> {
        let (ready, id) = (segment.ready.take(), segment.id);
        let loaded = match ready {
            Some(ready) => Loaded { encoded: ready.join(id), unreadable: 0 },
            None => self.load(&segment).await?,
        };
        if loaded.unreadable > 0 {
            self.set_aside_whole(&segment, &loaded).await?;
        }
        // each table waits for its own fsync; most rows are features
        let parts = |table| !matches!(table, Table::Features | Table::Observations | Table::Heartbeats);
        tokio::try_join!(
            self.insert_those(&segment, &loaded, |table| table == Table::Features),
            self.insert_those(&segment, &loaded, parts),
        )?;
        // a request that is seen has its parts
        self.insert_those(&segment, &loaded, |table| table == Table::Observations).await?;
        Ok(Delivered(loaded))
    }

    /// Inserts a segment's blocks for some tables, one after another.
    async fn insert_those(
        &self,
        segment: &Sealed,
        loaded: &Loaded,
        those: impl Fn(Table) -> bool,
    ) -> Result<(), GivenUp> {
        for block in loaded.encoded.blocks().iter().filter(|block| those(block.table())) {
            self.insert(segment, block, segment.recovered).await?;
        }
        Ok(())
    }

    async fn load(&self, segment: &Sealed) -> Result<Loaded, GivenUp> {
        let mut wait = RETRY_MIN;
        loop {
            let (disk, path, id, masker) = (self.disk.clone(), segment.path.clone(), segment.id, self.masker.clone());
            match tokio::task::spawn_blocking(move || segment::load(&*disk, &path, id, &masker)).await {
                Ok(Ok(loaded)) => {
                    self.metrics.read_back();
                    return Ok(loaded);
                }
                Ok(Err(error)) => tracing::error!(%error, segment = %segment.id, "a segment cannot be read"),
                Err(error) => tracing::error!(%error, segment = %segment.id, "a segment cannot be worked on"),
            }
            self.pause(&mut wait).await?;
        }
    }

    /// The end of a segment: its heartbeats and its file.
    pub(crate) async fn finish(&self, segment: &Sealed, Delivered(loaded): Delivered) -> Result<(), GivenUp> {
        self.insert_those(segment, &loaded, |table| table == Table::Heartbeats).await?;
        self.delete(segment).await
    }

    /// Inserts one block; what is refused for what it holds is halved until the refused observations stand alone.
    async fn insert(&self, segment: &Sealed, block: &Block, look_first: bool) -> Result<(), GivenUp> {
        let mut refused = Vec::new();
        let mut todo = vec![(block.clone(), look_first)];
        let mut tried = 0;
        while let Some((block, look_first)) = todo.pop() {
            let Some(error) = self.insert_block(segment, &block, look_first).await? else {
                continue;
            };
            tried += 1;
            match block.halves().filter(|_| tried < HALVES_MAX) {
                // they may have been tried before a restart
                Some([left, right]) => todo.extend([(right, true), (left, true)]),
                None => refused.push((block, error)),
            }
        }
        if refused.is_empty() { Ok(()) } else { self.set_aside(segment, &refused).await }
    }

    /// Tries until ClickHouse has the block (`None`) or refuses its data (the error).
    async fn insert_block(&self, segment: &Sealed, block: &Block, look_first: bool) -> Result<Option<Error>, GivenUp> {
        let (mut look_first, mut retry) = (look_first, RETRY_MIN);
        loop {
            let started = Instant::now();
            let outcome = self.unless_given_up(write_block(&self.tables, block, look_first)).await?;
            let counted = match &outcome {
                Ok(Inserted::Now) => InsertOutcome::Ok,
                Ok(Inserted::Before) => InsertOutcome::Found,
                Err(error) if error.is_unavailable() => InsertOutcome::Unknown,
                Err(_) => InsertOutcome::Failed,
            };
            self.metrics.insert(block.table(), counted, started.elapsed());
            let error = match outcome {
                Ok(_) => {
                    if block.table() == Table::Observations {
                        self.metrics.inserted(block.rows());
                    }
                    return Ok(None);
                }
                Err(error) if error.is_data_refused() => return Ok(Some(error)),
                Err(error) => error,
            };
            tracing::warn!(%error, table = block.table().name(), segment = %segment.id, "not inserted yet");
            look_first = true;
            self.shared.tick();
            self.pause(&mut retry).await?;
            // somebody may have taken the tables away, or put an empty server in the old one's place
            if !error.is_unavailable()
                && let Err(error) = self.unless_given_up(self.tables.prepare()).await?
            {
                tracing::warn!(%error, "the tables cannot be made");
            }
        }
    }

    async fn delete(&self, segment: &Sealed) -> Result<(), GivenUp> {
        let (disk, path) = (self.disk.clone(), segment.path.clone());
        self.durably("a finished segment cannot be deleted", move || log::remove(&*disk, &path)).await?;
        self.shared.released(segment.bytes, segment.observations);
        Ok(())
    }

    /// Does something with the disk until it works; `failed` says what it is when it does not.
    async fn durably(
        &self,
        failed: &str,
        act: impl Fn() -> std::io::Result<()> + Clone + Send + 'static,
    ) -> Result<(), GivenUp> {
        let mut retry = RETRY_MIN;
        loop {
            match tokio::task::spawn_blocking(act.clone()).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => tracing::error!(%error, "{failed}; its segment waits"),
                Err(error) => tracing::error!(%error, "{failed}; its segment waits"),
            }
            self.shared.tick();
            self.pause(&mut retry).await?;
        }
    }

    /// Waits, longer each time, unless it is to give up.
    async fn pause(&self, wait: &mut Duration) -> Result<(), GivenUp> {
        let now = *wait;
        *wait = (now * 2).min(RETRY_MAX);
        self.unless_given_up(tokio::time::sleep(now)).await
    }

    /// An insert that is left in the middle is one of unknown outcome, which the next start looks for.
    async fn unless_given_up<R>(&self, work: impl Future<Output = R>) -> Result<R, GivenUp> {
        tokio::select! {
            result = work => Ok(result),
            () = self.give_up.cancelled() => Err(GivenUp),
        }
    }
}

/// Waits for the first of those under way; it stays in its place, so that the wait may be given up.
async fn first(under_way: &mut VecDeque<UnderWay>) -> Result<Result<Delivered, GivenUp>, tokio::task::JoinError> {
    match under_way.front_mut() {
        Some(one) => (&mut one.task).await,
        None => std::future::pending().await,
    }
}
