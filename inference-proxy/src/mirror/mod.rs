//! From an ended request to a batch that the collector has acknowledged, beside the serving path.
//!
//! The way of a record, one stage a file:
//!
//! 1. [`Mirror::offer`]: counted and, within the bound on bytes, let in; never blocks, never fails ([`ledger`]);
//! 2. waits for its shadow answers, a bounded time;
//! 3. features, masking and packing, on threads of the mirror's own ([`queue`]), where wanted with the names that a model
//!    found in its texts ([`naming`]);
//! 4. batched ([`sender`]), compressed and posted until the outcome is known, a few batches at a time ([`post`]).
//!
//! While the collector is away batches may go to disk ([`overflow`], [`spill`]).
//!
//! The serving path pays for one lock and one push to a channel. The channels have no bound of their own: the
//! ledger's bound on bytes is the bound, and everything in them holds a ticket.

pub mod batch;
pub mod events;
pub mod ledger;
pub mod naming;
pub mod overflow;
pub mod post;
pub mod published;
pub mod queue;
pub mod sender;
pub mod spill;
pub mod tally;

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use contract::wire::Observation;
use host::metrics::Registry;
use masking::Masker;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use ledger::{Bounds, Counts, DropReason, Ledger, Stage};
use naming::Namer;
use published::Published;
use queue::{Way, Work};

/// Something that becomes an observation once the request is over.
pub trait Record: Send + 'static {
    /// Bytes that it keeps in memory until it is packed.
    fn held_bytes(&self) -> usize;
    /// Whether there is content that could be kept.
    fn has_content(&self) -> bool;
    /// Whether [`Self::settle`] has something to wait for.
    fn waits(&self) -> bool;
    /// Waits, a bounded time, for what is still to come.
    fn settle(&mut self) -> impl Future<Output = ()> + Send;
    /// Builds the observation; called on the mirror's thread.
    ///
    /// # Errors
    /// [`TooLarge`] where it would be larger than one may be.
    fn observation(self, max_bytes: usize) -> Result<Observation, TooLarge>;
}

/// The observation would be larger than one may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Base URL of the collector, without a trailing slash.
    pub collector_url: String,
    /// What the collector asks for, and whom to trust.
    pub collector: host::client::ClientSettings,
    /// Who sends.
    pub source: String,
    /// Bound on bytes of all observations together.
    pub max_bytes: usize,
    /// Bound on bytes of one observation.
    pub max_observation_bytes: usize,
    /// Most observations in a batch.
    pub batch_max_observations: usize,
    /// Most bytes in a batch, before compression.
    pub batch_max_bytes: usize,
    /// A batch waits no longer than this for company.
    pub batch_max_delay: Duration,
    /// An idle mirror sends an empty batch this often.
    pub heartbeat: Duration,
    /// Threads that mask.
    pub masking_threads: usize,
    /// Most batches on their way at one time.
    pub max_posts: usize,
    /// Where batches go while the collector is away; without it they wait in memory.
    pub spill: Option<spill::Config>,
    /// One post may take this long before its outcome is called unknown.
    pub post_timeout: Duration,
    /// First wait between posts of one batch; doubles.
    pub retry_min: Duration,
    /// Longest wait between posts of one batch.
    pub retry_max: Duration,
}

/// Work gathers for this share of the time that a batch waits for company, 25 ms of the 200 by default: what is posted five
/// times a second need not wake a thread for every request.
const GATHER_SHARE: u32 = 8;
/// And no longer than this: nothing interrupts it, the end of the process neither.
const GATHER_MAX: Duration = Duration::from_millis(25);

impl Config {
    /// How long a stage that had nothing to do lets work gather before it begins.
    fn gather(&self) -> Duration {
        (self.batch_max_delay / GATHER_SHARE).min(GATHER_MAX)
    }
}

/// The mirror. Clones offer to the same one.
pub struct Mirror<R: Record> {
    intake: mpsc::UnboundedSender<Work<R>>,
    shared: Arc<Shared>,
}

impl<R: Record> Clone for Mirror<R> {
    fn clone(&self) -> Self {
        Self { intake: self.intake.clone(), shared: Arc::clone(&self.shared) }
    }
}

impl<R: Record> std::fmt::Debug for Mirror<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mirror").field("shared", &self.shared).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Shared {
    ledger: Arc<Ledger>,
    published: Published,
    waiting: TaskTracker,
    abort: CancellationToken,
    runtime: tokio::runtime::Handle,
}

/// The mirror's own threads and task; whoever holds them can drain.
#[derive(Debug)]
pub struct Workers {
    masking: Vec<JoinHandle<()>>,
    sending: tokio::task::JoinHandle<()>,
}

/// Masking threads are given at least so long to end.
const JOIN_MIN: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 10 });

/// Starts a mirror on the current runtime.
///
/// # Errors
/// Where a masking thread or the HTTP client cannot be made.
pub fn start<R: Record>(
    config: Config,
    masker: Masker,
    namer: Option<Namer>,
    registry: &Registry,
    epoch_ms: u64,
) -> Result<(Mirror<R>, Workers), StartError> {
    let bounds = Bounds { max_bytes: config.max_bytes, max_observation_bytes: config.max_observation_bytes };
    let ledger = Ledger::new(bounds);
    let (abort, published) = (CancellationToken::new(), Published::new(registry));
    let (intake, work) = mpsc::unbounded_channel();
    let (packed, to_send) = mpsc::unbounded_channel();
    let gather = config.gather();
    let masking = Arc::new(queue::Masking::new(masker, namer, registry, Arc::clone(&ledger), gather, abort.clone()));
    let work = Arc::new(Mutex::new(work));
    let runtime = tokio::runtime::Handle::current();
    let thread = |n: usize| {
        let (masking, work) = (Arc::clone(&masking), Arc::clone(&work));
        // a weak way back: the mirror's own is what keeps the channel open
        let way = Way { packed: packed.clone(), back: intake.downgrade(), runtime: runtime.clone() };
        std::thread::Builder::new().name(format!("mirror-mask-{n}")).spawn(move || masking.run(&work, &way))
    };
    let masking = (0..config.masking_threads).map(thread).collect::<Result<_, _>>().map_err(StartError::Thread)?;
    // with the threads' last copy of it the sender knows that nothing more comes
    drop(packed);
    let open = |spill| overflow::Overflow::open(spill, &ledger, registry);
    let overflow = config.spill.clone().map(open).transpose().map_err(StartError::Spill)?;
    let poster = post::Poster::new(config.clone(), registry, Arc::clone(&ledger), epoch_ms, overflow)?;
    let sending = tokio::spawn(sender::Sender::new(config, poster, to_send, abort.clone()).run());
    let shared = Arc::new(Shared { ledger, published, waiting: TaskTracker::new(), abort, runtime });
    Ok((Mirror { intake, shared }, Workers { masking, sending }))
}

/// Why a mirror does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No thread.
    #[error("a masking thread of the mirror cannot be started: {0}")]
    Thread(#[source] std::io::Error),
    /// No folder to spill to.
    #[error("the folder of proxy.mirror.spill.dir cannot be used: {0}")]
    Spill(#[source] std::io::Error),
    /// No client.
    #[error("the mirror's HTTP client cannot be made: {0}")]
    Client(#[source] host::tls::TlsError),
}

impl<R: Record> Mirror<R> {
    /// Takes a record, or counts why it does not. Never blocks and never fails.
    pub fn offer(&self, record: R) {
        let stage = if record.waits() { Stage::Shadows } else { Stage::Queued };
        let Some(ticket) = self.shared.ledger.admit(record.held_bytes(), stage, record.has_content()) else { return };
        if stage == Stage::Queued {
            // a closed channel drops the work, and its ticket counts that
            let _ = self.intake.send(Work::Record(ticket, record));
            return;
        }
        let (intake, abort) = (self.intake.clone(), self.shared.abort.clone());
        let mut record = record;
        let settled = async move {
            tokio::select! {
                // what has come is held too
                () = record.settle() => match ticket.resize(record.held_bytes()) {
                    Ok(mut ticket) => {
                        ticket.advance(Stage::Queued);
                        let _ = intake.send(Work::Record(ticket, record));
                    }
                    Err(ticket) => ticket.dropped(DropReason::Full),
                },
                () = abort.cancelled() => ticket.dropped(DropReason::Shutdown),
            }
        };
        self.shared.waiting.spawn_on(settled, &self.shared.runtime);
    }

    /// The account at this moment.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.shared.ledger.counts()
    }

    /// Brings the metric families up to the account; called before each scrape.
    pub fn publish(&self) {
        self.shared.published.refresh(&self.shared.ledger);
    }

    /// Lets nothing more in, and delivers what is there until `limit` has passed; the rest is counted as dropped.
    /// Afterwards nothing is in flight, but for what is on disk for the next process.
    pub async fn drain(&self, workers: Workers, limit: Duration) {
        let shared = &self.shared;
        shared.ledger.close();
        shared.waiting.close();
        let mut sending = workers.sending;
        let orderly = async {
            self.masked().await;
            let _ = self.intake.send(Work::Close);
            (&mut sending).await
        };
        if tokio::time::timeout(limit, orderly).await.is_err() {
            shared.abort.cancel();
            let rest = async {
                self.masked().await;
                let _ = self.intake.send(Work::Close);
                let _ = sending.await;
            };
            if tokio::time::timeout(limit.max(JOIN_MIN), rest).await.is_err() {
                tracing::error!("a record is still being masked; the process ends without it");
            }
        }
        // the threads end soon after their last record; one that does not must not hold up the end of the process
        let until = tokio::time::Instant::now() + limit.max(JOIN_MIN);
        while workers.masking.iter().any(|thread| !thread.is_finished()) && tokio::time::Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let left = shared.ledger.counts();
        let ledger = left.wire();
        tracing::info!(
            observed = ledger.observed,
            delivered = ledger.delivered,
            dropped = ledger.dropped,
            in_flight = ledger.in_flight,
            "mirror drained"
        );
        self.publish();
    }

    /// Waits until nothing is to be masked any more: what waits for a model comes back to the threads that mask.
    async fn masked(&self) {
        self.shared.waiting.wait().await;
        while self.shared.ledger.unmasked() > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

#[cfg(test)]
mod tests;
