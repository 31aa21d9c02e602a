//! The sessions of a version, each owned by an OS thread of its own, fed from one queue.
//!
//! A session that panics or fails hurts nobody but the request that did it: a failed batch is run again one by one, so
//! that only the culprit fails, then the session runs its warm-up, and is made anew if it cannot.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::answer::RunError;
use super::batch::Batch;
use super::plan::Work;
use super::queue::{Done, Pending, Queue};
use super::session::{Engine, EngineFactory};
use super::stats::{Compute, Stats};

/// Threads that run batches until their queue is closed and empty.
#[derive(Debug)]
pub(crate) struct Pool {
    queue: Arc<Queue>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Pool {
    /// Starts a thread an engine.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub(crate) fn start(engines: Vec<Engine>, factory: &Arc<EngineFactory>, queue: &Arc<Queue>) -> io::Result<Self> {
        // Made first, so that the threads that did start end where one cannot.
        let pool = Self { queue: Arc::clone(queue), threads: Mutex::default() };
        for (i, engine) in engines.into_iter().enumerate() {
            let session = SessionThread { queue: Arc::clone(queue), factory: Arc::clone(factory), engine };
            let thread = thread::Builder::new().name(format!("session-{i}")).spawn(move || session.serve())?;
            pool.lock().push(thread);
        }
        Ok(pool)
    }

    /// Finishes what is queued and waits for the threads; blocks.
    pub(crate) fn finish(&self) {
        self.queue.close();
        let threads = std::mem::take(&mut *self.lock());
        for thread in threads {
            // A thread catches what its session does; a panic outside of that was reported by the panic hook.
            let _panicked = thread.join();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.queue.close();
    }
}

struct SessionThread {
    queue: Arc<Queue>,
    factory: Arc<EngineFactory>,
    engine: Engine,
}

impl SessionThread {
    /// Between the first two attempts to make a session; doubles.
    const RESTART_PAUSE: Duration = Duration::from_millis(500);
    /// Between any two of them.
    const RESTART_PAUSE_MAX: Duration = Duration::from_secs(8);

    fn serve(mut self) {
        while let Some(batch) = self.queue.take() {
            let (rows, longest) = (batch.rows, batch.longest);
            self.queue.metrics.batch(rows, batch.padding);
            let begun = self.queue.metrics.begins();
            // What a panic drops are the reply channels, and that is how the requests hear of it.
            let outcome = catch_unwind(AssertUnwindSafe(|| run(&mut self.engine, &self.queue.stats, batch)));
            let took = self.queue.metrics.busy(begun);
            // A batch that failed was run again one by one: its time says nothing of its size.
            let took = matches!(outcome, Ok(Ok(()))).then_some(took);
            self.queue.finished(rows, longest, took);
            let trouble = match outcome {
                Ok(Ok(())) => None,
                Ok(Err(why)) => self.still_broken(&why),
                Err(_) => Some("it panicked".to_owned()),
            };
            if let Some(why) = trouble
                && !self.restart(why)
            {
                self.queue.abandon();
                return;
            }
        }
    }

    /// A run failed: was it the input, or is it the session?
    fn still_broken(&mut self, why: &str) -> Option<String> {
        let (model, version) = (&self.queue.metrics.model, &self.queue.metrics.version);
        // what ONNX Runtime says of an argument has the client's value in it
        let why = if self.engine.blames_input() { "it says that an argument was wrong" } else { why };
        tracing::warn!(%model, %version, why, "a session could not run a request");
        let tried = catch_unwind(AssertUnwindSafe(|| self.factory.try_out(&mut self.engine)));
        tried.unwrap_or_else(|_| Err("it panicked".to_owned())).err()
    }

    /// Makes the session anew; `false` if the queue closed before that worked.
    fn restart(&mut self, why: String) -> bool {
        let (model, version) = (Arc::clone(&self.queue.metrics.model), Arc::clone(&self.queue.metrics.version));
        tracing::error!(%model, %version, why, "a session is restarted");
        self.queue.session_down(why);
        let mut pause = Self::RESTART_PAUSE;
        loop {
            match self.factory.make() {
                Ok(engine) => {
                    self.engine = engine;
                    self.queue.session_up();
                    self.queue.metrics.restarted("ok");
                    return true;
                }
                Err(why) => {
                    self.queue.metrics.restarted("error");
                    tracing::error!(%model, %version, why, "a session cannot be restarted; it is tried again");
                }
            }
            if self.queue.is_closed() {
                return false;
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Self::RESTART_PAUSE_MAX);
        }
    }
}

/// When a run began, what it took, how many items it had and how much of it was padding.
#[derive(Clone, Copy)]
struct Ran {
    started: Instant,
    took: Duration,
    compute: Compute,
    items: usize,
    padding: f64,
}

/// Runs a batch and answers everybody in it. The error is the session's, whoever caused it.
fn run(engine: &mut Engine, stats: &Stats, batch: Batch<Pending>) -> Result<(), String> {
    let started = Instant::now();
    let pending: Vec<Pending> = batch.jobs.into_iter().map(|job| job.load).collect();
    let works: Vec<&Work> = pending.iter().map(|p| &p.work).collect();
    match engine.run(&works) {
        Ok(shares) => {
            let ran = Ran {
                started,
                took: started.elapsed(),
                compute: engine.took(),
                items: batch.rows,
                padding: batch.padding,
            };
            stats.executed(ran.items, ran.compute);
            pending.into_iter().zip(shares).for_each(|(p, share)| answer(p, share, ran));
            Ok(())
        }
        Err(why) if pending.len() == 1 => {
            pending.into_iter().for_each(|p| refuse(p, &why, engine.blames_input()));
            Err(why)
        }
        Err(why) => {
            pending.into_iter().for_each(|p| run_alone(engine, stats, p));
            Err(why)
        }
    }
}

fn run_alone(engine: &mut Engine, stats: &Stats, pending: Pending) {
    let started = Instant::now();
    let items = pending.work.rows();
    match engine.run(&[&pending.work]).map(|mut shares| shares.pop()) {
        Ok(Some(share)) => {
            let ran = Ran { started, took: started.elapsed(), compute: engine.took(), items, padding: 0.0 };
            stats.executed(items, ran.compute);
            answer(pending, share, ran);
        }
        Ok(None) => refuse(pending, "the session gave nothing", false),
        Err(why) => refuse(pending, &why, engine.blames_input()),
    }
}

fn answer(pending: Pending, share: Result<Vec<crate::tensor::Tensor>, String>, ran: Ran) {
    let Ran { started, took: infer, compute, items: batch, padding } = ran;
    let queue = started.saturating_duration_since(pending.since);
    let reply =
        share.map(|outputs| Done { outputs, queue, infer, compute, batch, padding }).map_err(RunError::BadOutput);
    // Nobody waits any more where the client left while the batch ran.
    let _gone = pending.reply.send(reply);
}

/// Values that no shape or datatype forbids and the graph cannot take (an index past a table) are the client's mistake, where
/// they are the client's own: tokens are ours.
fn refuse(pending: Pending, why: &str, blames_input: bool) {
    let theirs = blames_input && matches!(pending.work, Work::Tensors(_));
    let error = match theirs {
        true => RunError::Invalid(format!("the model cannot take these values: {why}")),
        false => RunError::Failed(format!("the session could not run this request: {why}")),
    };
    let _gone = pending.reply.send(Err(error));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use host::metrics::Registry;

    use super::super::batch::{Job, Policy};
    use super::super::config::{Order, QueueLimits, RawBatching};
    use super::super::device::Device;
    use super::super::metrics::{Metrics, VersionMetrics};
    use super::super::pairing::{Terms, examine};
    use super::super::runtime::Runtime;
    use super::super::status::{Role, State, Status};
    use super::super::testing::{fixtures, onnxruntime};
    use super::*;
    use crate::tensor::{Data, Tensor};

    fn row(row: i64) -> Work {
        Work::Tensors(vec![Tensor::new("row", vec![1], Data::Int64(vec![row])).unwrap()])
    }

    fn job(work: Work) -> Job<Work> {
        Job {
            length: 1,
            rows: 1,
            bytes: 8,
            kind: 0,
            priority: 0,
            deadline: Instant::now() + Duration::from_secs(60),
            load: work,
        }
    }

    /// A pool with one session of `lookup` whose warm-up, once it serves, is the row given.
    fn pool(warm_up: i64) -> (Pool, Arc<Queue>) {
        let runtime = Runtime::load(&onnxruntime()).unwrap();
        let batching = RawBatching::default().into();
        let terms = Terms { max_chars: 100, intra_threads: None, device: Device::Cpu, batching, thorough: false };
        let mut paired = examine(&fixtures().join("lookup/1"), &runtime, terms).1.unwrap();
        paired.factory.warm_up = vec![vec![row(warm_up)]];
        let metrics = VersionMetrics {
            families: Arc::new(Metrics::register(&Registry::new())),
            model: "lookup".into(),
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
        let limits = QueueLimits { max_items: 8, max_tokens: 8, max_bytes: 80 };
        let queue = Queue::new(policy, limits, None, 1, metrics);
        let pool = Pool::start(vec![paired.engine], &Arc::new(paired.factory), &queue).unwrap();
        (pool, queue)
    }

    fn run(queue: &Arc<Queue>, work: Work) -> Result<Done, RunError> {
        let (_ticket, mut replies) = queue.submit(vec![job(work)])?;
        replies.remove(0).blocking_recv().unwrap()
    }

    #[test]
    fn a_session_that_only_met_a_bad_input_goes_on() {
        let (pool, queue) = pool(0);
        assert!(matches!(run(&queue, row(99)), Err(RunError::Invalid(_))), "its own mistake");
        assert!(run(&queue, row(3)).is_ok());
        pool.finish();
        assert!(matches!(run(&queue, row(3)), Err(RunError::Unavailable(_))));
    }

    #[test]
    fn without_a_working_session_requests_are_refused_instead_of_kept() {
        let (pool, queue) = pool(99);
        assert!(run(&queue, row(3)).is_ok());
        assert!(matches!(run(&queue, row(99)), Err(RunError::Invalid(_))));
        let until = Instant::now() + Duration::from_secs(5);
        loop {
            match run_or_wait(&queue) {
                Err(RunError::Unavailable(why)) => {
                    assert!(why.contains("no working session"), "{why}");
                    break;
                }
                other => assert!(Instant::now() < until, "{other:?}"),
            }
        }
        pool.finish();
    }

    /// Submits without waiting for the answer, which may never come.
    fn run_or_wait(queue: &Arc<Queue>) -> Result<(), RunError> {
        thread::sleep(Duration::from_millis(10));
        queue.submit(vec![job(row(1))]).map(drop)
    }
}
