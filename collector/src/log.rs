//! The log between acknowledgement and ClickHouse: what is in it survives a kill and a loss of power.
//!
//! The choice: one thread owns the open segment. It takes all waiting entries, writes them, syncs the file once (group
//! commit), and only then answers any of them; so one fsync serves every post that waits, and whether an entry is news
//! or a repeat is decided in one place. A segment is closed by size, rows or age and never appended to again, not even
//! after a restart: its id is what makes its insert happen once.
//!
//! The log holds masked samples only: an [`Entry`] is made from them and from nothing else. The rows that they become go
//! along in memory ([`ready`]), so that a segment is read back only after a start, or where more wait than fit.

pub(crate) mod disk;
pub mod frame;
mod level;
mod marks;
mod ready;
mod segment;
mod slots;
mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use store::write::EncodedSegment;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

pub(crate) use disk::Disk;
pub(crate) use level::{Level, Shared};
pub(crate) use marks::Guard;
pub(crate) use ready::Ready;
pub(crate) use segment::{SEGMENT_SUFFIX, frames, is_segment, remove, whole};

use crate::config::LogConfig;
use crate::metrics::Metrics;
use slots::Recall;
pub(crate) use writer::Writer;

/// Posts that may wait for the writer.
const WAITING_MAX: usize = 1024;

/// What one post adds.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Tells a repeat from news.
    pub guard: Guard,
    /// The frame's payload: a packed record of masked samples.
    pub payload: Vec<u8>,
    /// What is in it.
    pub counts: Counts,
    /// Rows that it makes in the table that gets the most.
    pub rows: u64,
    /// The payload's bytes before compression.
    pub plain: u64,
    /// The rows that it makes, where they are known already: what is not, is read back from the log.
    pub made: Option<EncodedSegment>,
    /// Whether it makes room: it may use what the log keeps to spare, since without it nothing could be deleted.
    pub urgent: bool,
}

/// How much of what a post or a segment holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub observations: u64,
    pub labels: u64,
    pub outcomes: u64,
    pub events: u64,
}

impl Counts {
    /// All of it together.
    pub const fn total(self) -> u64 {
        self.observations + self.labels + self.outcomes + self.events
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.observations += other.observations;
        self.labels += other.labels;
        self.outcomes += other.outcomes;
        self.events += other.events;
    }
}

/// What became of an entry that is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Appended {
    /// It is new.
    Stored,
    /// It was there before.
    Repeated,
}

/// Why an entry is not on disk. It was not acknowledged, so its sender may send it again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AppendError {
    /// The bound is reached.
    #[error("{0}; nothing was stored")]
    Full(Kept),
    /// It is longer than a frame can be.
    #[error("the post is too large for a frame of the log; nothing was stored, send it in parts")]
    TooLarge,
    /// Too many posts wait for the disk.
    #[error("too many posts wait for the disk; nothing was stored")]
    Busy,
    /// The disk refuses.
    #[error("the log cannot be written ({0}); nothing was stored")]
    Disk(String),
    /// It cannot be known any more whether this number was stored.
    #[error("batch {seq} of epoch {epoch} is from too long ago to tell whether it was stored; it is refused")]
    TooOld {
        /// The batch's epoch.
        epoch: u64,
        /// The batch's number.
        seq: u64,
    },
    /// More sources than are remembered.
    #[error("too many sources have posted within the hour (collector.limits.max_sources); nothing was stored")]
    TooManySources,
    /// The collector is stopping.
    #[error("the collector is stopping; nothing was stored")]
    Stopping,
}

/// What a log holds, which says what makes room in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// What goes into ClickHouse.
    Observations,
    /// Logged requests and responses that wait for each other.
    Halves,
}

impl std::fmt::Display for Kept {
    /// That it is full, and why.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Observations => "the log is full, since ClickHouse does not keep up or is away",
            Self::Halves => {
                "the log of logged requests and responses that wait for each other is full \
                 (collector.kserve.max_bytes); the oldest are being stored alone to make room"
            }
        })
    }
}

/// A segment that takes no more entries.
#[derive(Clone, Debug)]
pub(crate) struct Sealed {
    pub id: Uuid,
    pub path: PathBuf,
    pub bytes: u64,
    pub observations: u64,
    /// Whether an insert may have been tried before this process knew of it.
    pub recovered: bool,
    /// When it was sealed or met.
    pub since: Instant,
    /// Its rows, where all of them are in memory.
    pub ready: Option<Ready>,
}

/// What the writer's thread is told.
pub(crate) enum Command {
    Append(Entry, oneshot::Sender<Result<Appended, AppendError>>),
    Close,
}

/// A handle to the log. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    commands: SyncSender<Command>,
    shared: Arc<Shared>,
}

/// An opened log: the handle, its sealed segments as they come, its thread.
pub(crate) struct Opened {
    pub log: Log,
    pub sealed: mpsc::UnboundedReceiver<Sealed>,
    pub shared: Arc<Shared>,
    pub thread: JoinHandle<()>,
    /// Holds the folder; for whoever deletes segments, who may outlive the thread.
    pub lock: std::fs::File,
}

/// Why the log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder or a file in it cannot be used.
    #[error("the log in {} cannot be opened: {source}", dir.display())]
    Io {
        /// The log's folder.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another collector has it.
    #[error("the log in {} is in use by another collector; give each its own collector.log.dir", dir.display())]
    Locked {
        /// The log's folder.
        dir: PathBuf,
    },
}

/// The log's parts before its thread has them.
pub(crate) struct Parts {
    pub writer: Writer,
    pub sealed: mpsc::UnboundedReceiver<Sealed>,
    pub shared: Arc<Shared>,
}

/// Opens the log: repairs what a kill left torn, recalls the marks, and starts the writer's thread.
///
/// # Errors
/// [`OpenError`].
pub(crate) fn open(config: &LogConfig, disk: &Arc<dyn Disk>, metrics: Arc<Metrics>) -> Result<Opened, OpenError> {
    let dir = config.dir.clone();
    let io = |source| OpenError::Io { dir: dir.clone(), source };
    disk.make_dir(&dir).map_err(io)?;
    let lock = lock(&dir)?;
    let held = lock.try_clone().map_err(io)?;
    let Parts { writer, sealed, shared } = parts(config, disk, metrics).map_err(io)?;
    let (commands, received) = std::sync::mpsc::sync_channel(WAITING_MAX);
    let thread = std::thread::Builder::new().name("log".to_owned());
    let thread = thread.spawn(move || {
        writer.run(&received);
        drop(lock);
    });
    let log = Log { commands, shared: shared.clone() };
    Ok(Opened { log, sealed, shared, thread: thread.map_err(io)?, lock: held })
}

/// What an earlier process left, and the writer that goes on from there.
pub(crate) fn parts(config: &LogConfig, disk: &Arc<dyn Disk>, metrics: Arc<Metrics>) -> io::Result<Parts> {
    let now_ms = host::clock::now_ms();
    let (slots, mut marks, recall) = slots::Slots::open(disk, &config.dir, config.max_sources, now_ms)?;
    match recall {
        Recall::Fresh | Recall::Known { torn: false } => {}
        Recall::Known { torn: true } => {
            tracing::warn!("one of the two files of the log's marks cannot be read; the other one holds");
            metrics.repaired("marks");
        }
        Recall::Damaged => {
            tracing::error!(
                dir = %config.dir.display(),
                "both files of the log's marks are damaged: what was stored before is not known. Copies are kept as \
                 marks.*.damaged. The first batches of each running source are refused (409), since they may have been \
                 stored; single observations that are repeated are stored again"
            );
            metrics.repaired("marks");
            metrics.repaired("marks");
        }
    }
    let found = segment::recover(&**disk, &config.dir, &mut marks, &metrics)?;
    let shared = Arc::new(Shared::new(config, metrics.clone()));
    let (send_sealed, sealed) = mpsc::unbounded_channel();
    found.iter().for_each(|segment| shared.appended(segment.bytes, segment.observations));
    let writer =
        Writer::new(config.clone(), disk.clone(), marks, slots, shared.clone(), send_sealed, metrics).go_on_with(found);
    Ok(Parts { writer, sealed, shared })
}

impl Log {
    /// Puts an entry on disk. When this answers `Ok`, a loss of power takes nothing from it.
    pub async fn append(&self, entry: Entry) -> Result<Appended, AppendError> {
        if self.shared.is_full() && !entry.urgent {
            return Err(AppendError::Full(self.shared.kept()));
        }
        let (reply, answer) = oneshot::channel();
        match self.commands.try_send(Command::Append(entry, reply)) {
            Ok(()) => answer.await.unwrap_or(Err(AppendError::Stopping)),
            Err(TrySendError::Full(_)) => Err(AppendError::Busy),
            Err(TrySendError::Disconnected(_)) => Err(AppendError::Stopping),
        }
    }

    /// Seals the open segment and ends the thread; later entries are refused.
    pub fn close(&self) {
        // a full queue is emptied within moments; a thread that is gone is closed
        let _ = self.commands.send(Command::Close);
    }
}

/// Holds the folder for this process; the system lets go of it when the process ends, however it ends.
fn lock(dir: &Path) -> Result<std::fs::File, OpenError> {
    let io = |source| OpenError::Io { dir: dir.to_owned(), source };
    let file =
        std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(dir.join("lock")).map_err(io)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::Locked { dir: dir.to_owned() }),
        Err(error) => Err(io(error.into())),
    }
}

/// How long until a deadline.
fn until(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}
