//! Which waiting jobs run together: pure, so that its promises can be tested.
//!
//! A batch is formed when a session is free. The job whose turn it is is always in it, with jobs that are near to it in
//! length, inside a budget of padded size and a bound on padding. Where no other session is free, all that waits is cut, by
//! length, into the groups that cost least together by the version's table, and the group of that job runs; where others
//! are, the batch grows from the job outwards as far as that is sooner than side by side. Buckets are therefore made of what
//! waits instead of fixed, and nothing is padded past the longest of its batch.
//!
//! Turns go by arrival; a job of priority level n has its turn as if it had come n times `priority_step` later. So an
//! urgent job overtakes, and none is overtaken by jobs that came more than that later: no level starves.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use super::config::{Order, QueueLimits};
use super::cost::{CostTable, Point, Weighing};
use super::window::{Candidate, Size, Window, group_of};

/// Something that waits.
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
    /// 0 is the most urgent level.
    pub(crate) priority: u8,
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
    /// By cost, or plainly by arrival.
    pub(crate) order: Order,
    /// How much later the jobs of the next level have their turn.
    pub(crate) priority_step: Duration,
}

/// Jobs that run together.
#[derive(Debug)]
pub(crate) struct Batch<T> {
    /// The jobs, in the order of their arrival.
    pub(crate) jobs: Vec<Job<T>>,
    /// Sum of their rows.
    pub(crate) rows: usize,
    /// Length of the longest.
    pub(crate) longest: usize,
    /// Share of the padded size (longest times rows) that is padding.
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
    cost: Option<CostTable>,
    waiting: BTreeMap<Turn, Waiting<T>>,
    turns: HashMap<u64, Turn>,
    deadlines: BTreeSet<(Instant, u64)>,
    next_id: u64,
    load: Load,
    pub(crate) ledger: Ledger,
}

/// When a job's turn comes, and its id.
pub(super) type Turn = (Instant, u64);

#[derive(Debug)]
struct Waiting<T> {
    arrived: Instant,
    job: Job<T>,
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

/// Company must be cheaper than alone by this factor: less is noise.
const WORTH_IT: f64 = 1.03;

impl<T> Batcher<T> {
    /// Jobs of one kind that are looked at when a batch is formed, oldest first; it bounds the work under the lock.
    const HORIZON: usize = 512;
    /// Neighbours in length, on either side of the job whose turn it is, that are cut into groups with it.
    const REACH: usize = 64;

    pub(crate) fn new(policy: Policy, limits: QueueLimits, cost: Option<CostTable>) -> Self {
        let (load, ledger) = (Load::default(), Ledger::default());
        let (waiting, turns, deadlines) = Default::default();
        Self { policy, limits, cost, waiting, turns, deadlines, next_id: 0, load, ledger }
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
        for (id, job) in (first..).zip(jobs) {
            let turn = (now + self.policy.priority_step * u32::from(job.priority), id);
            self.turns.insert(id, turn);
            self.deadlines.insert((job.deadline, id));
            self.waiting.insert(turn, Waiting { arrived: now, job });
        }
        Ok((first..self.next_id).collect())
    }

    /// Forgets a job that still waits, because its deadline has come or its client has gone; its id may be of one that
    /// ran already.
    pub(crate) fn cancel(&mut self, id: u64, now: Instant) -> Option<T> {
        let job = self.remove(id)?;
        if job.deadline <= now {
            self.ledger.expired += 1;
        } else {
            self.ledger.cancelled += 1;
        }
        Some(job.load)
    }

    /// Takes out every job whose deadline has come.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<T> {
        let late: Vec<u64> =
            self.deadlines.iter().take_while(|(deadline, _)| *deadline <= now).map(|&(_, id)| id).collect();
        self.ledger.expired += late.len() as u64;
        late.into_iter().filter_map(|id| self.remove(id)).map(|job| job.load).collect()
    }

    /// Forms a batch, where `idle` more sessions are free. With `hurry` nothing waits for company (the queue is closing).
    pub(crate) fn next(&mut self, now: Instant, idle: usize, hurry: bool) -> Next<T> {
        let Some((&seed, first)) = self.waiting.first_key_value() else { return Next::Idle };
        let ready_at = first.arrived + self.policy.max_delay;
        let window = self.window(seed, now, idle);
        let Policy { together, budget, max_rows, .. } = self.policy;
        let full = !together || window.size.padded() >= budget || window.size.rows >= max_rows;
        if !full && !hurry && now < ready_at {
            return Next::WaitUntil(ready_at);
        }
        Next::Run(self.take(window))
    }

    /// Learns from a batch that ran.
    pub(crate) fn ran(&mut self, run: Point) {
        if let Some(cost) = &mut self.cost {
            cost.saw(run);
        }
    }

    /// What runs cost, as far as it is known.
    pub(crate) fn cost(&self) -> Option<&CostTable> {
        self.cost.as_ref()
    }

    /// Seconds of session time that everything waiting needs one by one; `None` where nothing was measured.
    pub(crate) fn seconds_waiting(&self) -> Option<f64> {
        let Load { items, tokens, .. } = self.load;
        let cost = self.cost.as_ref()?;
        Some(if items == 0 { 0.0 } else { items as f64 * cost.seconds(1, tokens.div_ceil(items)) })
    }

    /// What waits.
    pub(crate) fn load(&self) -> Load {
        self.load
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
        let turn = self.turns.remove(&id)?;
        let Waiting { job, .. } = self.waiting.remove(&turn)?;
        self.deadlines.remove(&(job.deadline, id));
        self.load = self.load.less(Load::one(&job));
        Some(job)
    }

    /// The batch around the seed.
    fn window(&self, seed: Turn, now: Instant, idle: usize) -> Window {
        let kind = self.waiting.get(&seed).map(|waiting| waiting.job.kind);
        let nearby = self
            .waiting
            .iter()
            .filter(|(_, waiting)| Some(waiting.job.kind) == kind)
            .take(if self.policy.together { Self::HORIZON } else { 1 })
            .map(|(&turn, waiting)| Candidate::of(turn, &waiting.job));
        match self.policy.order {
            Order::Fifo => self.in_order(nearby),
            Order::Cost => {
                let mut nearby: Vec<Candidate> = nearby.collect();
                nearby.sort_unstable_by_key(|c| (c.length, c.turn));
                let start = nearby.iter().position(|c| c.turn == seed).unwrap_or_default();
                let grouped = if idle == 0 { self.grouped(&nearby, start, now) } else { None };
                grouped.unwrap_or_else(|| self.cheapest(self.by_length(&nearby, start), now, idle))
            }
        }
    }

    /// As many as come one after another.
    fn in_order(&self, mut nearby: impl Iterator<Item = Candidate>) -> Window {
        let mut window = nearby.next().map(|seed| Window::default().with(seed)).unwrap_or_default();
        for candidate in nearby {
            let size = window.size.with(candidate);
            if size.padded() > self.policy.budget || size.rows > self.policy.max_rows {
                break;
            }
            window = window.with(candidate);
        }
        window
    }

    /// The seed's group where all that waits runs in the groups that cost least; `None` where that is not known, or would
    /// make one of them late, or where there is nothing to choose.
    fn grouped(&self, nearby: &[Candidate], start: usize, now: Instant) -> Option<Window> {
        let cost = self.cost.as_ref()?;
        // far away in length is company for none of these
        let first = start.saturating_sub(Self::REACH);
        let reach = &nearby[first..nearby.len().min(start + Self::REACH)];
        // of one length none is nearer than another; to weigh every cut would take longer than a small model runs
        if reach.first().map(|c| c.length) == reach.last().map(|c| c.length) {
            return None;
        }
        let seconds = |size: Size| {
            let together = cost.seconds(size.rows, size.longest);
            (size.jobs == 1).then_some(together).or_else(|| self.allows(&size).then_some(together * WORTH_IT))
        };
        let group = &reach[group_of(start - first, reach, seconds)];
        let window = group.iter().fold(Window::default(), |window, &candidate| window.with(candidate));
        let together = Duration::from_secs_f64(cost.seconds(window.size.rows, window.size.longest).min(3_600.0));
        let in_time = group.len() == 1 || group.iter().all(|candidate| now + together <= candidate.deadline);
        in_time.then_some(window)
    }

    /// Grows from the seed to its neighbours in length, each time to the one that costs less padding, the earlier of
    /// equals, until neither fits.
    fn by_length(&self, nearby: &[Candidate], start: usize) -> Window {
        let mut window = Window::default().with(nearby[start]);
        let (mut low, mut high) = (start, start + 1);
        loop {
            let fits = |c: Candidate| Some((window.size.with(c), c)).filter(|(size, _)| self.allows(size));
            let shorter = low.checked_sub(1).and_then(|i| fits(nearby[i]));
            let longer = nearby.get(high).copied().and_then(fits);
            let take_shorter = match (&shorter, &longer) {
                (Some((a, x)), Some((b, y))) => (a.padding(), x.turn) < (b.padding(), y.turn),
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

    /// Of the batches that a window went through while it grew, the one that saves most in each second that it takes: what
    /// is left waiting runs in the seconds that are saved. Company that would make one of them late is none.
    fn cheapest(&self, window: Window, now: Instant, idle: usize) -> Window {
        let Some(cost) = &self.cost else { return window };
        let (mut grown, mut weighing) = (Window::default(), Weighing::default());
        let mut best = (0.0, 1);
        let mut earliest: Option<Instant> = None;
        for &candidate in &window.jobs {
            grown = grown.with(candidate);
            weighing = weighing.with(cost.seconds(candidate.rows, candidate.length));
            let together = cost.seconds(grown.size.rows, grown.size.longest);
            let saving = weighing.saving(together, idle) / together;
            earliest = Some(earliest.map_or(candidate.deadline, |earliest| earliest.min(candidate.deadline)));
            let in_time = earliest.is_some_and(|at| now + Duration::from_secs_f64(together.min(3_600.0)) <= at);
            if saving > best.0 && in_time {
                best = (saving, grown.jobs.len());
            }
        }
        window.jobs.into_iter().take(best.1).fold(Window::default(), Window::with)
    }

    fn allows(&self, size: &Size) -> bool {
        size.padded() <= self.policy.budget
            && size.rows <= self.policy.max_rows
            && size.padding() <= self.policy.max_padding
    }

    fn take(&mut self, window: Window) -> Batch<T> {
        let Window { mut jobs, size } = window;
        jobs.sort_unstable_by_key(|c| c.turn);
        let jobs: Vec<Job<T>> = jobs.into_iter().filter_map(|c| self.remove(c.turn.1)).collect();
        self.ledger.taken += jobs.len() as u64;
        Batch { jobs, rows: size.rows, longest: size.longest, padding: size.padding() }
    }
}

#[cfg(test)]
mod tests;
