//! Which waiting jobs run together: pure, so that its promises can be tested.
//!
//! A batch is formed when a session is free. The oldest job is always in it, so no job waits for more batches than
//! there were jobs before it. Around it the batch grows to the jobs nearest in length, as long as the padded size
//! stays in the budget and padding stays a small share: on a CPU padding is pure waste (8 mixed texts in order of
//! arrival are 67 % padding), while the gain of company is small. Buckets are therefore relative to the oldest job
//! instead of fixed, and nothing is padded past the longest of its batch.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::config::QueueLimits;

/// Something that waits for a session.
#[derive(Debug)]
pub(crate) struct Job<T> {
    /// Tokens (or tensor elements) of each row, at least 1.
    pub(crate) length: usize,
    /// Rows it adds to a batch, at least 1.
    pub(crate) rows: usize,
    /// Bytes it holds.
    pub(crate) bytes: usize,
    /// Only jobs of one kind run together.
    pub(crate) kind: u64,
    /// When nobody waits for it any more.
    pub(crate) deadline: Instant,
    /// The work itself.
    pub(crate) load: T,
}

/// How batches are formed.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    /// Padded size: the longest length times the rows.
    pub(crate) budget: usize,
    /// Rows.
    pub(crate) max_rows: usize,
    /// Share of the padded size that may be padding.
    pub(crate) max_padding: f64,
    /// How long a batch that is not full waits for company.
    pub(crate) max_delay: Duration,
    /// Whether jobs may run together at all.
    pub(crate) together: bool,
}

/// Jobs that run together.
#[derive(Debug)]
pub(crate) struct Batch<T> {
    /// The jobs, in the order of their arrival.
    pub(crate) jobs: Vec<Job<T>>,
    /// Sum of their rows.
    pub(crate) rows: usize,
    /// Longest length times the rows.
    pub(crate) padded: usize,
    /// Share of `padded` that is padding.
    pub(crate) padding: f64,
}

/// What a free session shall do.
#[derive(Debug)]
pub(crate) enum Next<T> {
    /// Run this.
    Run(Batch<T>),
    /// Look again at this moment, or when something arrives.
    WaitUntil(Instant),
    /// Nothing waits.
    Idle,
}

/// What became of jobs: `admitted = taken + expired + cancelled + waiting`; `rejected` never came in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ledger {
    pub(crate) admitted: u64,
    pub(crate) rejected: u64,
    pub(crate) taken: u64,
    pub(crate) expired: u64,
    pub(crate) cancelled: u64,
}

/// The jobs that wait, inside bounds.
#[derive(Debug)]
pub(crate) struct Batcher<T> {
    policy: Policy,
    limits: QueueLimits,
    waiting: BTreeMap<u64, (Instant, Job<T>)>,
    next_id: u64,
    load: Load,
    ledger: Ledger,
}

/// What waits, or what a request would add.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    /// Rows.
    pub(crate) items: usize,
    /// Lengths times rows.
    pub(crate) tokens: usize,
    /// Bytes.
    pub(crate) bytes: usize,
}

impl Load {
    /// What a list of jobs adds up to.
    pub(crate) fn of<T>(jobs: &[Job<T>]) -> Self {
        jobs.iter().fold(Self::default(), |sum, job| sum.plus(Self::one(job)))
    }

    fn one<T>(job: &Job<T>) -> Self {
        Self { items: job.rows, tokens: job.length.saturating_mul(job.rows), bytes: job.bytes }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            items: self.items.saturating_add(other.items),
            tokens: self.tokens.saturating_add(other.tokens),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    fn less(self, other: Self) -> Self {
        Self { items: self.items - other.items, tokens: self.tokens - other.tokens, bytes: self.bytes - other.bytes }
    }

    /// Whether it stays inside the bounds.
    pub(crate) fn fits(self, limits: &QueueLimits) -> bool {
        self.items <= limits.max_items && self.tokens <= limits.max_tokens && self.bytes <= limits.max_bytes
    }
}

impl<T> Batcher<T> {
    /// Jobs of one kind that are looked at when a batch is formed, oldest first; it bounds the work under the lock.
    const HORIZON: usize = 512;

    pub(crate) fn new(policy: Policy, limits: QueueLimits) -> Self {
        let (load, ledger) = (Load::default(), Ledger::default());
        Self { policy, limits, waiting: BTreeMap::new(), next_id: 0, load, ledger }
    }

    /// Takes all of a request's jobs, or gives all of them back.
    pub(crate) fn admit(&mut self, jobs: Vec<Job<T>>, now: Instant) -> Result<Vec<u64>, Vec<Job<T>>> {
        let count = jobs.len() as u64;
        let load = self.load.plus(Load::of(&jobs));
        if !load.fits(&self.limits) {
            self.ledger.rejected += count;
            return Err(jobs);
        }
        self.load = load;
        self.ledger.admitted += count;
        let first = self.next_id;
        self.next_id += count;
        self.waiting.extend((first..).zip(jobs.into_iter().map(|job| (now, job))));
        Ok((first..self.next_id).collect())
    }

    /// Forgets a job that still waits; its id may be of one that ran already.
    pub(crate) fn cancel(&mut self, id: u64) -> Option<T> {
        let job = self.remove(id)?;
        self.ledger.cancelled += 1;
        Some(job.load)
    }

    /// Takes out every job whose deadline has come.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<T> {
        let late: Vec<u64> =
            self.waiting.iter().filter(|(_, (_, job))| job.deadline <= now).map(|(id, _)| *id).collect();
        self.ledger.expired += late.len() as u64;
        late.into_iter().filter_map(|id| self.remove(id)).map(|job| job.load).collect()
    }

    /// Forms a batch. With `hurry` nothing waits for company (the queue is closing).
    pub(crate) fn next(&mut self, now: Instant, hurry: bool) -> Next<T> {
        let Some((&seed, (arrived, _))) = self.waiting.first_key_value() else { return Next::Idle };
        let ready_at = *arrived + self.policy.max_delay;
        let window = self.window(seed);
        let Policy { together, budget, max_rows, .. } = self.policy;
        let full = !together || window.size.padded() >= budget || window.size.rows >= max_rows;
        if !full && !hurry && now < ready_at {
            return Next::WaitUntil(ready_at);
        }
        Next::Run(self.take(window))
    }

    /// What waits.
    pub(crate) fn load(&self) -> Load {
        self.load
    }

    /// What became of all jobs so far.
    #[cfg(test)]
    pub(crate) fn ledger(&self) -> Ledger {
        self.ledger
    }

    /// How batches are formed.
    pub(crate) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The bounds.
    pub(crate) fn limits(&self) -> &QueueLimits {
        &self.limits
    }

    fn remove(&mut self, id: u64) -> Option<Job<T>> {
        let (_, job) = self.waiting.remove(&id)?;
        self.load = self.load.less(Load::one(&job));
        Some(job)
    }

    /// Grows from the seed to its neighbours in length, each time to the one that costs less padding, the older of
    /// equals, until neither fits.
    fn window(&self, seed: u64) -> Window {
        let kind = self.waiting.get(&seed).map(|(_, job)| job.kind);
        let mut nearby: Vec<Candidate> = self
            .waiting
            .iter()
            .filter(|(_, (_, job))| Some(job.kind) == kind)
            .take(if self.policy.together { Self::HORIZON } else { 1 })
            .map(|(&id, (_, job))| Candidate { length: job.length, rows: job.rows, id })
            .collect();
        nearby.sort_unstable_by_key(|c| (c.length, c.id));
        let start = nearby.iter().position(|c| c.id == seed).unwrap_or_default();
        let mut window = Window::default().with(nearby[start]);
        let (mut low, mut high) = (start, start + 1);
        loop {
            let fits = |c: Candidate| Some((window.with_size(c), c)).filter(|(size, _)| self.allows(size));
            let shorter = low.checked_sub(1).and_then(|i| fits(nearby[i]));
            let longer = nearby.get(high).copied().and_then(fits);
            let take_shorter = match (&shorter, &longer) {
                (Some((a, x)), Some((b, y))) => (a.padding(), x.id) < (b.padding(), y.id),
                (shorter, _) => shorter.is_some(),
            };
            let Some((_, chosen)) = (if take_shorter { shorter } else { longer }) else { return window };
            if take_shorter {
                low -= 1;
            } else {
                high += 1;
            }
            window = window.with(chosen);
        }
    }

    fn allows(&self, size: &Size) -> bool {
        size.padded() <= self.policy.budget
            && size.rows <= self.policy.max_rows
            && size.padding() <= self.policy.max_padding
    }

    fn take(&mut self, window: Window) -> Batch<T> {
        let Window { mut ids, size } = window;
        ids.sort_unstable();
        let jobs: Vec<Job<T>> = ids.into_iter().filter_map(|id| self.remove(id)).collect();
        self.ledger.taken += jobs.len() as u64;
        Batch { jobs, rows: size.rows, padded: size.padded(), padding: size.padding() }
    }
}

#[derive(Clone, Copy)]
struct Candidate {
    length: usize,
    rows: usize,
    id: u64,
}

#[derive(Clone, Copy, Default)]
struct Size {
    longest: usize,
    rows: usize,
    real: usize,
}

impl Size {
    fn padded(&self) -> usize {
        self.longest.saturating_mul(self.rows)
    }

    fn padding(&self) -> f64 {
        1.0 - self.real as f64 / self.padded().max(1) as f64
    }
}

#[derive(Default)]
struct Window {
    ids: Vec<u64>,
    size: Size,
}

impl Window {
    fn with_size(&self, c: Candidate) -> Size {
        Size {
            longest: self.size.longest.max(c.length),
            rows: self.size.rows.saturating_add(c.rows),
            real: self.size.real.saturating_add(c.length.saturating_mul(c.rows)),
        }
    }

    fn with(mut self, c: Candidate) -> Self {
        self.size = self.with_size(c);
        self.ids.push(c.id);
        self
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    const LIMITS: QueueLimits = QueueLimits { max_items: 40, max_tokens: 2_000, max_bytes: 10_000 };

    fn policy() -> Policy {
        Policy { budget: 64, max_rows: 8, max_padding: 0.25, max_delay: Duration::ZERO, together: true }
    }

    fn job(length: usize, load: u64, deadline: Instant) -> Job<u64> {
        Job { length, rows: 1, bytes: length * 4, kind: 0, deadline, load }
    }

    fn far(now: Instant) -> Instant {
        now + Duration::from_secs(3_600)
    }

    fn loads(next: Next<u64>) -> Vec<u64> {
        match next {
            Next::Run(batch) => batch.jobs.into_iter().map(|job| job.load).collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn neighbours_in_length_run_together() {
        let now = Instant::now();
        let mut batcher = Batcher::new(policy(), LIMITS);
        let lengths = [10, 50, 11, 9, 40, 10];
        batcher.admit(lengths.iter().zip(0..).map(|(&l, i)| job(l, i, far(now))).collect(), now).unwrap();
        assert_eq!(loads(batcher.next(now, false)), [0, 2, 3, 5]);
        assert_eq!(loads(batcher.next(now, false)), [1]);
        assert_eq!(loads(batcher.next(now, false)), [4]);
        assert!(matches!(batcher.next(now, false), Next::Idle));
    }

    #[test]
    fn a_batch_that_is_not_full_waits_as_long_as_it_may() {
        let now = Instant::now();
        let delay = Duration::from_millis(5);
        let mut batcher = Batcher::new(Policy { max_delay: delay, ..policy() }, LIMITS);
        batcher.admit(vec![job(32, 0, far(now))], now).unwrap();
        assert!(matches!(batcher.next(now, false), Next::WaitUntil(at) if at == now + delay));
        batcher.admit(vec![job(32, 1, far(now))], now).unwrap();
        assert_eq!(loads(batcher.next(now, false)), [0, 1], "the budget is full, so nothing is waited for");
        batcher.admit(vec![job(32, 2, far(now))], now).unwrap();
        assert_eq!(loads(batcher.next(now + delay, false)), [2]);
        batcher.admit(vec![job(32, 3, far(now))], now).unwrap();
        assert_eq!(loads(batcher.next(now, true)), [3], "a closing queue does not wait");
    }

    #[test]
    fn a_request_comes_in_whole_or_not_at_all() {
        let now = Instant::now();
        let mut batcher = Batcher::new(policy(), LIMITS);
        batcher.admit((0..30).map(|i| job(1, i, far(now))).collect(), now).unwrap();
        assert_eq!(batcher.admit((0..11).map(|i| job(1, i, far(now))).collect(), now).unwrap_err().len(), 11);
        assert_eq!(batcher.load().items, 30);
        batcher.admit((0..10).map(|i| job(1, i, far(now))).collect(), now).unwrap();
    }

    #[test]
    fn kinds_do_not_mix() {
        let now = Instant::now();
        let mut batcher = Batcher::new(policy(), LIMITS);
        let kinds = [1, 2, 1, 2];
        let jobs = kinds.iter().zip(0..).map(|(&kind, i)| Job { kind, ..job(8, i, far(now)) }).collect();
        batcher.admit(jobs, now).unwrap();
        assert_eq!(loads(batcher.next(now, false)), [0, 2]);
        assert_eq!(loads(batcher.next(now, false)), [1, 3]);
    }

    #[test]
    fn what_cannot_be_batched_runs_alone() {
        let now = Instant::now();
        let mut batcher = Batcher::new(Policy { together: false, ..policy() }, LIMITS);
        batcher.admit((0..3).map(|i| job(8, i, far(now))).collect(), now).unwrap();
        for expected in 0..3 {
            assert_eq!(loads(batcher.next(now, false)), [expected]);
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Admit(Vec<(usize, usize, u64, u64)>),
        Cancel(usize),
        Expire,
        Run,
        Pass(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let jobs = proptest::collection::vec((1_usize..100, 1_usize..4, 0_u64..2, 1_u64..50), 1..6);
        prop_oneof![
            3 => jobs.prop_map(Step::Admit),
            1 => any::<usize>().prop_map(Step::Cancel),
            1 => Just(Step::Expire),
            3 => Just(Step::Run),
            1 => (0_u64..20).prop_map(Step::Pass),
        ]
    }

    /// The batcher beside the plainest account of what it must do.
    struct Model {
        batcher: Batcher<u64>,
        now: Instant,
        alive: Vec<(u64, u64)>,
        seen: HashSet<u64>,
        next: u64,
    }

    impl Model {
        fn admit(&mut self, jobs: &[(usize, usize, u64, u64)]) {
            let made = jobs.iter().map(|&(length, rows, kind, ttl)| {
                self.next += 1;
                let deadline = self.now + Duration::from_millis(ttl);
                Job { rows, kind, bytes: length * rows, ..job(length, self.next, deadline) }
            });
            let made: Vec<_> = made.collect();
            let loads: Vec<u64> = made.iter().map(|job| job.load).collect();
            let before = self.batcher.load();
            match self.batcher.admit(made, self.now) {
                Ok(ids) => self.alive.extend(ids.into_iter().zip(loads)),
                Err(back) => {
                    assert_eq!(back.len(), loads.len());
                    assert_eq!(self.batcher.load(), before);
                }
            }
        }

        fn forget(&mut self, load: u64) {
            assert!(self.seen.insert(load), "{load} left twice");
            let before = self.alive.len();
            self.alive.retain(|(_, l)| *l != load);
            assert_eq!(self.alive.len() + 1, before, "{load} was never in");
        }

        fn run(&mut self) {
            let Next::Run(batch) = self.batcher.next(self.now, false) else {
                assert!(self.alive.is_empty());
                return;
            };
            assert_eq!(batch.jobs[0].load, self.alive[0].1, "the oldest job is in every batch");
            let longest = batch.jobs.iter().map(|job| job.length).max().unwrap();
            assert_eq!(batch.rows, batch.jobs.iter().map(|job| job.rows).sum::<usize>());
            assert_eq!(batch.padded, longest * batch.rows);
            assert!(batch.jobs.iter().all(|job| job.kind == batch.jobs[0].kind));
            if batch.jobs.len() > 1 {
                assert!(batch.padded <= 64 && batch.rows <= 8 && batch.padding <= 0.25, "{batch:?}");
            }
            batch.jobs.iter().for_each(|job| self.forget(job.load));
        }

        fn check(&self) {
            let ledger = self.batcher.ledger();
            let waiting = self.batcher.waiting.len() as u64;
            assert_eq!(ledger.admitted, ledger.taken + ledger.expired + ledger.cancelled + waiting);
            assert_eq!(self.next, ledger.admitted + ledger.rejected);
            assert_eq!(waiting as usize, self.alive.len());
            let jobs = self.batcher.waiting.values().map(|(_, job)| Load::one(job));
            assert_eq!(self.batcher.load(), jobs.fold(Load::default(), Load::plus));
            assert!(self.batcher.load().fits(&LIMITS));
        }
    }

    proptest! {
        #[test]
        fn jobs_are_conserved_and_budgets_hold(steps in proptest::collection::vec(step(), 1..80)) {
            let batcher = Batcher::new(policy(), LIMITS);
            let mut model = Model { batcher, now: Instant::now(), alive: vec![], seen: HashSet::new(), next: 0 };
            for step in steps {
                match step {
                    Step::Admit(jobs) => model.admit(&jobs),
                    Step::Cancel(i) if !model.alive.is_empty() => {
                        let (id, load) = model.alive[i % model.alive.len()];
                        assert_eq!(model.batcher.cancel(id), Some(load));
                        model.forget(load);
                        assert_eq!(model.batcher.cancel(id), None);
                    }
                    Step::Cancel(_) => {}
                    Step::Expire => {
                        let late = model.batcher.expire(model.now);
                        late.into_iter().for_each(|load| model.forget(load));
                        assert!(model.batcher.waiting.values().all(|(_, job)| job.deadline > model.now));
                    }
                    Step::Run => model.run(),
                    Step::Pass(ms) => model.now += Duration::from_millis(ms),
                }
                model.check();
            }
            // A job waits for at most as many batches as there were jobs before it.
            for _ in 0..model.alive.len() {
                model.run();
            }
            prop_assert!(model.alive.is_empty());
        }
    }
}
