//! Carries sealed segments into ClickHouse, oldest first, and deletes each once all of its rows are there.
//!
//! Tries again for ever while ClickHouse is away. Only rows that it refuses for what they hold are put aside, and the
//! rest of their segment goes in.

mod quarantine;
mod segment;

use std::sync::Arc;
use std::time::{Duration, Instant};

use masking::Masker;
use store::write::{Block, Inserted, Table};
use store::{Error, Store};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::sync::CancellationToken;

use crate::log::{self, Sealed, Shared};
use crate::metrics::{InsertOutcome, Metrics};
use segment::Loaded;

const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(10);

/// What the inserter works with.
pub(crate) struct Inserter {
    pub store: Store,
    pub masker: Arc<Masker>,
    pub shared: Arc<Shared>,
    pub metrics: Arc<Metrics>,
    /// Where refused rows are put aside.
    pub quarantine: std::path::PathBuf,
    /// Cancelled when the rest is to stay in the log.
    pub give_up: CancellationToken,
    /// Held to the end: another collector must not find segments that this one still deletes.
    pub _lock: std::fs::File,
}

/// The stop came first; what is left stays in the log.
struct GivenUp;

impl Inserter {
    /// Runs until the log is closed and empty, or until it is to give up.
    pub async fn run(self, mut sealed: UnboundedReceiver<Sealed>) {
        if self.migrate().await.is_err() {
            return;
        }
        loop {
            let next = tokio::select! {
                next = sealed.recv() => next,
                () = self.give_up.cancelled() => None,
            };
            let Some(segment) = next else { return };
            self.shared.waits_since(segment.since);
            if self.deliver(&segment).await.is_err() {
                tracing::warn!(segment = %segment.id, "ClickHouse did not take it in time; it stays in the log");
                return;
            }
        }
    }

    /// Makes the tables, however long ClickHouse is away.
    async fn migrate(&self) -> Result<(), GivenUp> {
        let mut retry = RETRY_MIN;
        loop {
            match self.store.migrate().await {
                Ok(_) => return Ok(()),
                Err(error) => tracing::warn!(%error, "the tables cannot be made yet; the log keeps what comes"),
            }
            self.shared.tick();
            self.pause(&mut retry).await?;
        }
    }

    async fn deliver(&self, segment: &Sealed) -> Result<(), GivenUp> {
        let mut wait = RETRY_MAX;
        let loaded = loop {
            let (path, id, masker) = (segment.path.clone(), segment.id, self.masker.clone());
            match tokio::task::spawn_blocking(move || segment::load(&path, id, &masker)).await {
                Ok(Ok(loaded)) => break loaded,
                Ok(Err(error)) => tracing::error!(%error, segment = %segment.id, "a segment cannot be read"),
                Err(error) => tracing::error!(%error, segment = %segment.id, "a segment cannot be worked on"),
            }
            self.pause(&mut wait).await?;
        };
        if loaded.unreadable > 0 {
            self.set_aside_whole(segment, &loaded).await?;
        }
        for block in loaded.encoded.blocks() {
            self.insert(segment, &loaded, block).await?;
        }
        self.finish(segment).await
    }

    /// Inserts one block; what is refused for what it holds is halved until the refused observations stand alone.
    async fn insert(&self, segment: &Sealed, loaded: &Loaded, block: &Block) -> Result<(), GivenUp> {
        let mut refused = Vec::new();
        let mut todo = vec![(block.clone(), segment.recovered)];
        while let Some((block, look_first)) = todo.pop() {
            let Some(error) = self.insert_block(segment, &block, look_first).await? else {
                continue;
            };
            match block.halves() {
                // they may have been tried before a restart
                Some([left, right]) => todo.extend([(right, true), (left, true)]),
                None => refused.push((block, error)),
            }
        }
        if refused.is_empty() { Ok(()) } else { self.set_aside(segment, loaded, &refused).await }
    }

    /// Tries until ClickHouse has the block (`None`) or refuses its data (the error).
    async fn insert_block(&self, segment: &Sealed, block: &Block, look_first: bool) -> Result<Option<Error>, GivenUp> {
        let (mut look_first, mut retry) = (look_first, RETRY_MIN);
        loop {
            let started = Instant::now();
            let outcome = self.store.write_block(block, look_first).await;
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
                && let Err(error) = self.store.migrate().await
            {
                tracing::warn!(%error, "the tables cannot be made");
            }
        }
    }

    async fn finish(&self, segment: &Sealed) -> Result<(), GivenUp> {
        let mut retry = RETRY_MIN;
        loop {
            let path = segment.path.clone();
            match tokio::task::spawn_blocking(move || log::remove(&path)).await {
                Ok(Ok(())) => break,
                Ok(Err(error)) => {
                    tracing::error!(%error, segment = %segment.id, "a finished segment cannot be deleted");
                }
                Err(error) => tracing::error!(%error, "a finished segment cannot be deleted"),
            }
            self.pause(&mut retry).await?;
        }
        self.shared.released(segment.bytes, segment.observations);
        Ok(())
    }

    /// Waits, longer each time, unless it is to give up.
    async fn pause(&self, wait: &mut Duration) -> Result<(), GivenUp> {
        let now = *wait;
        *wait = (now * 2).min(RETRY_MAX);
        tokio::select! {
            () = tokio::time::sleep(now) => Ok(()),
            () = self.give_up.cancelled() => Err(GivenUp),
        }
    }
}
