//! The queue between requests and sessions: a [`Batcher`] under a lock, with a way to wait on both sides.
//!
//! Requests hand in works and hold a [`Ticket`]; dropping the ticket (an answer, a deadline, a client that left) takes
//! out what still waits, at once, also while every session is busy. Sessions take batches when they are free.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::answer::RunError;
use super::batch::{Batch, Batcher, Job, Load, Next, Policy};
use super::config::QueueLimits;
use super::metrics::VersionMetrics;
use super::plan::Work;
use super::stats::{Compute, Stats};
use crate::tensor::Tensor;

/// A version's queue.
#[derive(Debug)]
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    wake: Condvar,
    pub(crate) metrics: VersionMetrics,
    pub(crate) stats: Stats,
}

#[derive(Debug)]
struct Inner {
    batcher: Batcher<Pending>,
    closed: bool,
    /// Batches that sessions are running.
    running: usize,
    /// Sessions that can run.
    live: usize,
    /// Why a session cannot run.
    trouble: Option<String>,
    /// Seconds a padded token takes a session, smoothed; 0 before the first batch.
    pace: f64,
}

/// A work that waits, and who waits for it.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) work: Work,
    pub(crate) reply: oneshot::Sender<Reply>,
    pub(crate) since: Instant,
}

/// What a session made of a work.
#[derive(Debug)]
pub(crate) struct Done {
    /// Its share of the outputs.
    pub(crate) outputs: Vec<Tensor>,
    /// How long it waited.
    pub(crate) queue: Duration,
    /// How long its batch ran.
    pub(crate) infer: Duration,
    /// The parts of that run.
    pub(crate) compute: Compute,
    /// Items in that batch.
    pub(crate) batch: usize,
}

pub(crate) type Reply = Result<Done, RunError>;

/// Works in the queue; dropping it cancels those that still wait.
#[derive(Debug)]
pub(crate) struct Ticket {
    queue: Arc<Queue>,
    ids: Vec<u64>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.queue.cancel(&self.ids);
    }
}

impl Queue {
    pub(crate) fn new(policy: Policy, limits: QueueLimits, sessions: usize, metrics: VersionMetrics) -> Arc<Self> {
        let batcher = Batcher::new(policy, limits);
        let inner = Inner { batcher, closed: false, running: 0, live: sessions, trouble: None, pace: 0.0 };
        Arc::new(Self { inner: Mutex::new(inner), wake: Condvar::new(), metrics, stats: Stats::default() })
    }

    /// Refuses a request of more items than may ever wait: asked before the work of preparing them is done.
    ///
    /// # Errors
    /// [`RunError::Invalid`].
    pub(crate) fn check_items(&self, items: usize) -> Result<(), RunError> {
        let max_items = self.lock().batcher.limits().max_items;
        if items <= max_items {
            return Ok(());
        }
        let why = format!("the request has {items} items, and the queue takes at most {max_items}: send it in parts");
        Err(RunError::Invalid(why))
    }

    /// Takes in all works of a request, or none.
    ///
    /// # Errors
    /// [`RunError::QueueFull`], [`RunError::Unavailable`], or [`RunError::Invalid`] for a request that is larger than
    /// the queue will ever be.
    pub(crate) fn submit(
        self: &Arc<Self>,
        works: Vec<Job<Work>>,
    ) -> Result<(Ticket, Vec<oneshot::Receiver<Reply>>), RunError> {
        let now = Instant::now();
        let mut inner = self.lock();
        if inner.closed {
            return Err(RunError::Unavailable("this version is being unloaded".to_owned()));
        }
        if inner.live == 0 {
            let why = inner.trouble.as_deref().unwrap_or("they are being restarted");
            return Err(RunError::Unavailable(format!("this version has no working session: {why}")));
        }
        let limits = inner.batcher.limits();
        let size = Load::of(&works);
        if !size.fits(limits) {
            let QueueLimits { max_items, max_tokens, max_bytes } = limits;
            return Err(RunError::Invalid(format!(
                "the request has {} items, {} tokens and {} bytes, and the queue takes at most {max_items}, \
                 {max_tokens} and {max_bytes}: send it in parts",
                size.items, size.tokens, size.bytes
            )));
        }
        let (jobs, replies) = works.into_iter().map(|job| pend(job, now)).unzip();
        let admitted = inner.batcher.admit(jobs, now);
        self.metrics.waiting(inner.batcher.load());
        match admitted {
            Ok(ids) => {
                self.wake.notify_one();
                Ok((Ticket { queue: Arc::clone(self), ids }, replies))
            }
            Err(_refused) => Err(RunError::QueueFull { retry_after: inner.time_to_drain() }),
        }
    }

    /// Waits for a batch; `None` once the queue is closed and empty.
    pub(crate) fn take(&self) -> Option<Batch<Pending>> {
        let mut inner = self.lock();
        loop {
            let now = Instant::now();
            for late in inner.batcher.expire(now) {
                // Whoever waited has seen the deadline too.
                let _gone = late.reply.send(Err(RunError::Deadline));
            }
            let hurry = inner.closed;
            let next = inner.batcher.next(now, hurry);
            self.metrics.waiting(inner.batcher.load());
            inner = match next {
                Next::Run(batch) => {
                    inner.running += 1;
                    if inner.batcher.load().items > 0 {
                        self.wake.notify_one();
                    }
                    return Some(batch);
                }
                Next::Idle if inner.closed => return None,
                Next::Idle => self.wake.wait(inner).unwrap_or_else(PoisonError::into_inner),
                Next::WaitUntil(at) => {
                    let wait = at.saturating_duration_since(now);
                    self.wake.wait_timeout(inner, wait).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// A batch that was taken is done, one way or the other.
    pub(crate) fn finished(&self, padded: usize, took: Duration) {
        let mut inner = self.lock();
        inner.running -= 1;
        let pace = took.as_secs_f64() / padded.max(1) as f64;
        inner.pace = if inner.pace > 0.0 { 0.9 * inner.pace + 0.1 * pace } else { pace };
    }

    /// A session is down; with the last one the queue refuses work.
    pub(crate) fn session_down(&self, why: String) {
        let mut inner = self.lock();
        inner.live -= 1;
        inner.trouble = Some(why);
    }

    /// A session is back.
    pub(crate) fn session_up(&self) {
        self.lock().live += 1;
    }

    /// The queue is closed and no session is left to run what waits: tells those who wait.
    pub(crate) fn abandon(&self) {
        let mut inner = self.lock();
        if inner.live > 0 {
            return;
        }
        while let Next::Run(batch) = inner.batcher.next(Instant::now(), true) {
            for job in batch.jobs {
                let why = "this version was unloaded while none of its sessions worked".to_owned();
                let _gone = job.load.reply.send(Err(RunError::Unavailable(why)));
            }
        }
        self.metrics.waiting(inner.batcher.load());
    }

    /// Takes no more work; what is in is still run.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_all();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// How batches are formed.
    pub(crate) fn policy(&self) -> Policy {
        self.lock().batcher.policy().clone()
    }

    /// Whether nothing waits and nothing runs.
    pub(crate) fn is_idle(&self) -> bool {
        let inner = self.lock();
        inner.running == 0 && inner.batcher.load().items == 0
    }

    fn cancel(&self, ids: &[u64]) {
        let mut inner = self.lock();
        let cancelled = ids.iter().filter_map(|&id| inner.batcher.cancel(id)).count();
        if cancelled > 0 {
            self.metrics.waiting(inner.batcher.load());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// How long the sessions need for what waits; a second where nothing has been measured.
    fn time_to_drain(&self) -> Duration {
        let seconds = self.batcher.load().tokens as f64 * self.pace / self.live.max(1) as f64;
        let seconds = if self.pace > 0.0 { seconds } else { 1.0 };
        Duration::from_secs_f64(seconds.clamp(0.1, 30.0))
    }
}

fn pend(job: Job<Work>, since: Instant) -> (Job<Pending>, oneshot::Receiver<Reply>) {
    let (reply, receiver) = oneshot::channel();
    let Job { length, rows, bytes, kind, deadline, load: work } = job;
    (Job { length, rows, bytes, kind, deadline, load: Pending { work, reply, since } }, receiver)
}
