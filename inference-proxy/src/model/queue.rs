//! The queue between requests and sessions: a [`Batcher`] under a lock, with a way to wait on both sides.
//!
//! Requests hand in works and hold a [`Ticket`]; dropping the ticket (an answer, a deadline, a client that left) takes
//! out what still waits, at once, also while every session is busy. Sessions take batches when they are free. Of several
//! free ones it is the one that ran last: each has weights and buffers of its own, and its are still in the cache.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::answer::RunError;
use super::batch::{Batch, Batcher, Job, Load, Next, Policy};
use super::config::QueueLimits;
use super::cost::{CostTable, Point};
use super::metrics::VersionMetrics;
use super::plan::Work;
use super::stats::{Compute, Stats};
use crate::tensor::Tensor;

/// A version's queue.
#[derive(Debug)]
pub(crate) struct Queue {
    inner: Mutex<Inner>,
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
    /// Threads of sessions that wait for work, the one that ran last at the end.
    parked: Vec<Thread>,
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
    /// Share of it that was padding.
    pub(crate) padding: f64,
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
    pub(crate) fn new(
        policy: Policy,
        limits: QueueLimits,
        cost: Option<CostTable>,
        sessions: usize,
        metrics: VersionMetrics,
    ) -> Arc<Self> {
        let batcher = Batcher::new(policy, limits, cost);
        let inner = Inner { batcher, closed: false, running: 0, live: sessions, trouble: None, parked: vec![] };
        Arc::new(Self { inner: Mutex::new(inner), metrics, stats: Stats::default() })
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
                let session = inner.parked.pop();
                // it needs the lock at once
                drop(inner);
                session.iter().for_each(Thread::unpark);
                Ok((Ticket { queue: Arc::clone(self), ids }, replies))
            }
            Err(_refused) => Err(RunError::QueueFull { retry_after: inner.time_to_drain() }),
        }
    }

    /// Runs all works of a request and waits for them, at the latest until `deadline`, also while every session is busy.
    /// Dropping the future cancels what still waits.
    ///
    /// # Errors
    /// As [`Self::submit`], what the session said, and [`RunError::Deadline`].
    pub(crate) async fn run(self: &Arc<Self>, works: Vec<Job<Work>>, deadline: Instant) -> Result<Vec<Done>, RunError> {
        // The ticket takes out of the queue what still waits when this future ends, however it ends.
        let (_ticket, replies) = self.submit(works)?;
        let gathered = tokio::time::timeout_at(deadline.into(), gather(replies));
        gathered.await.unwrap_or(Err(RunError::Deadline))
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
            let idle = inner.idle_besides_one();
            let next = inner.batcher.next(now, idle, hurry);
            self.metrics.waiting(inner.batcher.load());
            inner = match next {
                Next::Run(batch) => {
                    inner.running += 1;
                    let other = if inner.batcher.load().items > 0 { inner.parked.pop() } else { None };
                    drop(inner);
                    other.iter().for_each(Thread::unpark);
                    return Some(batch);
                }
                Next::Idle if inner.closed => return None,
                Next::Idle => self.park(inner, None),
                Next::WaitUntil(at) => self.park(inner, Some(at.saturating_duration_since(now))),
            };
        }
    }

    /// Lets this session's thread sleep until there is work, or for a time. It may wake for nothing.
    fn park<'a>(&'a self, mut inner: MutexGuard<'a, Inner>, time: Option<Duration>) -> MutexGuard<'a, Inner> {
        let this = thread::current();
        inner.parked.push(this.clone());
        drop(inner);
        // who takes it from the list wakes it, and one that was woken before it sleeps does not sleep
        match time {
            Some(time) => thread::park_timeout(time),
            None => thread::park(),
        }
        let mut inner = self.lock();
        inner.parked.retain(|parked| parked.id() != this.id());
        inner
    }

    /// A batch that was taken is done, one way or the other; `took` is known where it went well.
    pub(crate) fn finished(&self, rows: usize, length: usize, took: Option<Duration>) {
        let mut inner = self.lock();
        inner.running -= 1;
        if let Some(took) = took {
            inner.batcher.ran(Point { rows, length, seconds: took.as_secs_f64() });
        }
    }

    /// What runs cost, as the live runs left it.
    pub(crate) fn cost(&self) -> Option<CostTable> {
        self.lock().batcher.cost().cloned()
    }

    /// How long a request that comes now waits for those before it; a second where nothing was measured.
    pub(crate) fn time_to_drain(&self) -> Duration {
        self.lock().time_to_drain()
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
        while let Next::Run(batch) = inner.batcher.next(Instant::now(), 0, true) {
            for job in batch.jobs {
                let why = "this version was unloaded while none of its sessions worked".to_owned();
                let _gone = job.load.reply.send(Err(RunError::Unavailable(why)));
            }
        }
        self.metrics.waiting(inner.batcher.load());
    }

    /// Takes no more work; what is in is still run.
    pub(crate) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        inner.parked.drain(..).for_each(|session| session.unpark());
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
        let now = Instant::now();
        let mut inner = self.lock();
        let cancelled = ids.iter().filter_map(|&id| inner.batcher.cancel(id, now)).count();
        if cancelled > 0 {
            self.metrics.waiting(inner.batcher.load());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Sessions that would be free beside the one that asks.
    fn idle_besides_one(&self) -> usize {
        self.live.saturating_sub(self.running + 1)
    }

    /// How long the sessions need for what waits; a second where nothing was measured.
    fn time_to_drain(&self) -> Duration {
        let seconds = self.batcher.seconds_waiting().map_or(1.0, |seconds| seconds / self.live.max(1) as f64);
        Duration::from_secs_f64(seconds.clamp(0.1, 30.0))
    }
}

async fn gather(replies: Vec<oneshot::Receiver<Reply>>) -> Result<Vec<Done>, RunError> {
    let mut done = Vec::with_capacity(replies.len());
    for reply in replies {
        // A session that panics drops the channel.
        let lost = |_| Err(RunError::Failed("the session was lost while it ran this request".to_owned()));
        done.push(reply.await.unwrap_or_else(lost)?);
    }
    Ok(done)
}

fn pend(job: Job<Work>, since: Instant) -> (Job<Pending>, oneshot::Receiver<Reply>) {
    let (reply, receiver) = oneshot::channel();
    let Job { length, rows, bytes, kind, priority, deadline, load: work } = job;
    (Job { length, rows, bytes, kind, priority, deadline, load: Pending { work, reply, since } }, receiver)
}

#[cfg(test)]
mod tests {
    use host::metrics::Registry;

    use super::super::config::Order;
    use super::super::metrics::Metrics;
    use super::super::status::{Role, State, Status};
    use super::*;
    use crate::tensor::Data;

    /// A queue whose only session never comes: it is busy for ever.
    fn queue() -> Arc<Queue> {
        queue_of(1)
    }

    fn queue_of(sessions: usize) -> Arc<Queue> {
        let metrics = VersionMetrics {
            families: Arc::new(Metrics::register(&Registry::new())),
            model: "m".into(),
            version: "1".into(),
            status: Arc::new(Status::new(Role::Primary, State::Ready)),
            price: None,
        };
        let policy = Policy {
            budget: 8,
            max_rows: 8,
            max_padding: 0.0,
            max_delay: Duration::ZERO,
            together: true,
            order: Order::Cost,
            priority_step: Duration::ZERO,
        };
        Queue::new(policy, QueueLimits { max_items: 2, max_tokens: 8, max_bytes: 80 }, None, sessions, metrics)
    }

    fn job(deadline: Instant) -> Job<Work> {
        let load = Work::Tensors(vec![Tensor::new("x", vec![1], Data::Int64(vec![1])).unwrap()]);
        Job { length: 1, rows: 1, bytes: 8, kind: 0, priority: 0, deadline, load }
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_comes_on_time_while_every_session_is_busy() {
        let queue = queue();
        let started = tokio::time::Instant::now();
        let deadline = Instant::now() + Duration::from_secs(5);
        let (late, later) = tokio::join!(
            queue.run(vec![job(deadline)], started.into_std() + Duration::from_secs(5)),
            queue.run(vec![job(deadline)], started.into_std() + Duration::from_secs(7)),
        );
        assert_eq!((late.unwrap_err(), later.unwrap_err()), (RunError::Deadline, RunError::Deadline));
        assert_eq!(started.elapsed().as_secs(), 7, "not when a session gets free");
        assert_eq!(queue.lock().batcher.load(), Load::default(), "and their places are free");
    }

    /// Runs works as long as there are any; gives how many.
    fn serve(queue: &Queue) -> usize {
        let mut ran = 0;
        while let Some(batch) = queue.take() {
            let (rows, longest) = (batch.rows, batch.longest);
            queue.finished(rows, longest, None);
            for job in batch.jobs {
                let _gone = job.load.reply.send(Err(RunError::Failed("ran".into())));
            }
            ran += 1;
        }
        ran
    }

    #[tokio::test]
    async fn the_session_that_ran_last_runs_next() {
        let queue = queue_of(3);
        let sessions: Vec<_> = (0..3)
            .map(|_| {
                let queue = Arc::clone(&queue);
                thread::spawn(move || serve(&queue))
            })
            .collect();
        let deadline = Instant::now() + Duration::from_secs(600);
        for _ in 0..20 {
            while queue.lock().parked.len() < 3 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let ran = queue.run(vec![job(deadline)], deadline).await;
            assert_eq!(ran.unwrap_err(), RunError::Failed("ran".into()));
        }
        queue.close();
        let mut ran: Vec<_> = sessions.into_iter().map(|session| session.join().unwrap()).collect();
        ran.sort_unstable();
        assert_eq!(ran, [0, 0, 20], "its weights are in the cache");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_leaves_takes_its_work_along() {
        let queue = queue();
        let deadline = Instant::now() + Duration::from_secs(3_600);
        let waiting = Arc::clone(&queue);
        let client = tokio::spawn(async move { waiting.run(vec![job(deadline), job(deadline)], deadline).await });
        tokio::task::yield_now().await;
        assert!(matches!(queue.run(vec![job(deadline)], deadline).await, Err(RunError::QueueFull { .. })));
        client.abort();
        assert!(client.await.is_err());
        let ledger = queue.lock().batcher.ledger;
        assert_eq!((ledger.admitted, ledger.cancelled, ledger.expired, ledger.rejected), (2, 2, 0, 1));
    }
}
