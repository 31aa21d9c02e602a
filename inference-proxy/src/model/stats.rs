//! What a version has done since it was loaded, counted as the protocol's statistics extension counts.
//!
//! Requests and runs are counted apart: a run may answer several requests, and a request of several texts may take
//! several runs. One short lock a request and one a run: both take far longer than that.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::answer::RunError;

/// How often something happened, and how long it took in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// How often.
    pub count: u64,
    /// Nanoseconds in all.
    pub ns: u64,
}

impl Span {
    fn add(&mut self, took: Duration) {
        self.count += 1;
        self.ns = self.ns.saturating_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }
}

/// The parts of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts<T> {
    /// Requests put together into the session's inputs.
    pub input: T,
    /// The session itself.
    pub infer: T,
    /// Outputs read, checked and shared out.
    pub output: T,
}

/// The parts of one run.
pub(crate) type Compute = Parts<Duration>;

impl Parts<Span> {
    fn add(&mut self, took: Compute) {
        self.input.add(took.input);
        self.infer.add(took.infer);
        self.output.add(took.output);
    }
}

/// What a version has done since it was loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// When a request last came to it, milliseconds since the Unix epoch; 0 for never.
    pub last_inference_ms: u64,
    /// Items that were answered.
    pub inferences: u64,
    /// Runs of a session that succeeded.
    pub executions: u64,
    /// Requests that were answered, from arrival at the version to the answer.
    pub success: Span,
    /// Requests that were not, though they were well formed: refused, late, cancelled or failed.
    pub fail: Span,
    /// How long the answered ones waited for a session.
    pub queue: Span,
    /// How long their runs took.
    pub compute: Parts<Span>,
    /// Answers that had been given before; they count as `success` too, and nowhere else.
    pub cache_hit: Span,
    /// Answers that were looked for among those and were not there: the time of the look-up and of keeping the new one.
    pub cache_miss: Span,
    /// Runs by the number of items that ran together.
    pub batches: BTreeMap<usize, Parts<Span>>,
}

/// The counters of one version.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stats(Arc<Mutex<Statistics>>);

/// What an answered request took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Served {
    pub(crate) items: usize,
    pub(crate) queue: Duration,
    pub(crate) compute: Compute,
}

impl Stats {
    /// A request came.
    pub(crate) fn begin(&self) -> Request {
        self.lock().last_inference_ms = u64::try_from(host::clock::now_ms()).unwrap_or_default();
        Request { stats: self.clone(), since: Instant::now(), counted: false }
    }

    /// A run succeeded.
    pub(crate) fn executed(&self, items: usize, took: Compute) {
        let mut counts = self.lock();
        counts.executions += 1;
        counts.batches.entry(items).or_default().add(took);
    }

    /// A request was answered with what had been answered before. As Triton counts: a success, and no inference.
    pub(crate) fn cache_hit(&self, took: Duration) {
        let mut counts = self.lock();
        counts.last_inference_ms = u64::try_from(host::clock::now_ms()).unwrap_or_default();
        counts.success.add(took);
        counts.cache_hit.add(took);
    }

    /// An answer was looked for and was not there.
    pub(crate) fn cache_miss(&self, took: Duration) {
        self.lock().cache_miss.add(took);
    }

    pub(crate) fn snapshot(&self) -> Statistics {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Statistics> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request under way; one that is dropped without an end was given up, and has failed.
pub(crate) struct Request {
    stats: Stats,
    since: Instant,
    counted: bool,
}

impl Request {
    /// Counts how it ended. A request that was wrong counts nowhere: it is not the version's.
    pub(crate) fn end<T>(mut self, ended: Result<(T, Served), RunError>) -> Result<T, RunError> {
        self.counted = matches!(&ended, Ok(_) | Err(RunError::Invalid(_)));
        let (answer, Served { items, queue, compute }) = ended?;
        let mut counts = self.stats.lock();
        counts.inferences += items as u64;
        counts.success.add(self.since.elapsed());
        counts.queue.add(queue);
        counts.compute.add(compute);
        drop(counts);
        Ok(answer)
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if !self.counted {
            self.stats.lock().fail.add(self.since.elapsed());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_counts_once_by_how_it_ended() {
        let stats = Stats::default();
        let second = Duration::from_secs(1);
        let compute = Parts { input: second, infer: 2 * second, output: 3 * second };
        let served = Served { items: 4, queue: second, compute };
        assert!(stats.begin().end(Ok(((), served))).is_ok());
        assert!(stats.begin().end::<()>(Err(RunError::Invalid("no".into()))).is_err());
        assert!(stats.begin().end::<()>(Err(RunError::Deadline)).is_err());
        drop(stats.begin());
        stats.executed(4, compute);
        let Statistics { inferences, executions, success, fail, queue, compute, batches, last_inference_ms, .. } =
            stats.snapshot();
        assert_eq!((inferences, executions, success.count, fail.count), (4, 1, 1, 2));
        assert_eq!(queue, Span { count: 1, ns: 1_000_000_000 });
        assert_eq!(compute.output, Span { count: 1, ns: 3_000_000_000 });
        assert_eq!(batches[&4], compute);
        assert!(last_inference_ms > 0);
    }
}
