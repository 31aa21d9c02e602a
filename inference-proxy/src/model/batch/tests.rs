//! The batcher beside the plainest account of what it must do.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

const STEP: Duration = Duration::from_millis(10);
const LIMITS: QueueLimits = QueueLimits { max_items: 40, max_tokens: 2_000, max_bytes: 10_000 };

fn policy() -> Policy {
    Policy {
        budget: 64,
        max_rows: 8,
        max_padding: 0.25,
        max_delay: Duration::ZERO,
        together: true,
        order: Order::Cost,
        priority_step: STEP,
    }
}

fn job(length: usize, load: u64, deadline: Instant) -> Job<u64> {
    Job { length, rows: 1, bytes: length * 4, kind: 0, priority: 0, deadline, load }
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
    let mut batcher = Batcher::new(policy(), LIMITS, None);
    let lengths = [10, 50, 11, 9, 40, 10];
    batcher.admit(lengths.iter().zip(0..).map(|(&l, i)| job(l, i, far(now))).collect(), now).unwrap();
    assert_eq!(loads(batcher.next(now, 0, false)), [0, 2, 3, 5]);
    assert_eq!(loads(batcher.next(now, 0, false)), [1]);
    assert_eq!(loads(batcher.next(now, 0, false)), [4]);
    assert!(matches!(batcher.next(now, 0, false), Next::Idle));
}

#[test]
fn a_batch_that_is_not_full_waits_as_long_as_it_may() {
    let now = Instant::now();
    let delay = Duration::from_millis(5);
    let mut batcher = Batcher::new(Policy { max_delay: delay, ..policy() }, LIMITS, None);
    batcher.admit(vec![job(32, 0, far(now))], now).unwrap();
    assert!(matches!(batcher.next(now, 0, false), Next::WaitUntil(at) if at == now + delay));
    batcher.admit(vec![job(32, 1, far(now))], now).unwrap();
    assert_eq!(loads(batcher.next(now, 0, false)), [0, 1], "the budget is full, so nothing is waited for");
    batcher.admit(vec![job(32, 2, far(now))], now).unwrap();
    assert_eq!(loads(batcher.next(now + delay, 0, false)), [2]);
    batcher.admit(vec![job(32, 3, far(now))], now).unwrap();
    assert_eq!(loads(batcher.next(now, 0, true)), [3], "a closing queue does not wait");
}

#[test]
fn a_request_comes_in_whole_or_not_at_all() {
    let now = Instant::now();
    let mut batcher = Batcher::new(policy(), LIMITS, None);
    batcher.admit((0..30).map(|i| job(1, i, far(now))).collect(), now).unwrap();
    assert_eq!(batcher.admit((0..11).map(|i| job(1, i, far(now))).collect(), now).unwrap_err().len(), 11);
    assert_eq!(batcher.load().items, 30);
    batcher.admit((0..10).map(|i| job(1, i, far(now))).collect(), now).unwrap();
}

#[test]
fn kinds_do_not_mix() {
    let now = Instant::now();
    let mut batcher = Batcher::new(policy(), LIMITS, None);
    let kinds = [1, 2, 1, 2];
    let jobs = kinds.iter().zip(0..).map(|(&kind, i)| Job { kind, ..job(8, i, far(now)) }).collect();
    batcher.admit(jobs, now).unwrap();
    assert_eq!(loads(batcher.next(now, 0, false)), [0, 2]);
    assert_eq!(loads(batcher.next(now, 0, false)), [1, 3]);
}

#[test]
fn what_cannot_be_batched_runs_alone() {
    let now = Instant::now();
    let mut batcher = Batcher::new(Policy { together: false, ..policy() }, LIMITS, None);
    batcher.admit((0..3).map(|i| job(8, i, far(now))).collect(), now).unwrap();
    for expected in 0..3 {
        assert_eq!(loads(batcher.next(now, 0, false)), [expected]);
    }
}

/// What runs together must cost less than apart: here four rows cost as much as two alone, or far more.
fn cost(four_rows: f64) -> CostTable {
    let points = [(1, 8, 1.0), (1, 64, 8.0), (4, 8, four_rows), (4, 64, 8.0 * four_rows)];
    let points = points.map(|(rows, length, seconds)| Point { rows, length, seconds });
    CostTable::new(vec![1, 4], vec![8, 64], &points).unwrap()
}

#[test]
fn company_is_taken_where_the_table_says_that_it_pays() {
    let now = Instant::now();
    let run = |cost: CostTable, idle: usize, deadline: Duration| {
        let mut batcher = Batcher::new(policy(), LIMITS, Some(cost));
        batcher.admit((0..4).map(|i| job(8, i, now + deadline)).collect(), now).unwrap();
        loads(batcher.next(now, idle, false))
    };
    let far = Duration::from_secs(60);
    assert_eq!(run(cost(2.0), 0, far), [0, 1, 2, 3], "half the time of the four alone");
    assert_eq!(run(cost(6.0), 0, far), [0], "together they would take longer");
    assert_eq!(run(cost(2.0), 3, far), [0], "three more sessions are free: side by side is sooner");
    assert_eq!(run(cost(0.5), 3, far), [0, 1, 2, 3], "sooner than even one alone");
    assert_eq!(run(cost(2.0), 0, Duration::from_millis(1_700)).len(), 3, "the fourth would make all of them late");
}

#[test]
fn in_order_of_arrival_means_just_that() {
    let now = Instant::now();
    let mut batcher = Batcher::new(Policy { order: Order::Fifo, ..policy() }, LIMITS, Some(cost(9.0)));
    let lengths = [10, 20, 2, 30, 1];
    batcher.admit(lengths.iter().zip(0..).map(|(&l, i)| job(l, i, far(now))).collect(), now).unwrap();
    assert_eq!(loads(batcher.next(now, 0, false)), [0, 1, 2], "3 x 20 fit the budget of 64, and 4 x 30 do not");
    assert_eq!(loads(batcher.next(now, 0, false)), [3, 4]);
}

#[test]
fn an_urgent_job_overtakes_for_as_long_as_its_step_and_no_longer() {
    let mut now = Instant::now();
    let mut batcher = Batcher::new(Policy { together: false, ..policy() }, LIMITS, None);
    batcher.admit(vec![Job { priority: 2, ..job(8, 99, far(now)) }], now).unwrap();
    let mut served = Vec::new();
    // An urgent job every millisecond, for ever, and a session that can just keep up.
    for load in 0..40 {
        batcher.admit(vec![job(8, load, far(now))], now).unwrap();
        served.extend(loads(batcher.next(now, 0, false)));
        now += Duration::from_millis(1);
    }
    assert_eq!(served.iter().position(|load| *load == 99), Some(20), "two levels of 10 ms: {served:?}");
}

#[derive(Clone, Debug)]
struct Asked {
    length: usize,
    rows: usize,
    kind: u64,
    priority: u8,
    ttl_ms: u64,
}

#[derive(Clone, Debug)]
enum Step {
    Admit(Vec<Asked>),
    Cancel(usize),
    Run,
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let asked = (1_usize..100, 1_usize..4, 0_u64..2, 0_u8..3, 1_u64..50);
    let asked = asked.prop_map(|(length, rows, kind, priority, ttl_ms)| Asked { length, rows, kind, priority, ttl_ms });
    prop_oneof![
        3 => proptest::collection::vec(asked, 1..6).prop_map(Step::Admit),
        1 => any::<usize>().prop_map(Step::Cancel),
        3 => Just(Step::Run),
        1 => (0_u64..20).prop_map(Step::Pass),
    ]
}

/// The plainest account of what waits.
struct Model {
    batcher: Batcher<u64>,
    now: Instant,
    idle: usize,
    /// Turn, id and load of what waits.
    alive: Vec<(Instant, u64, u64)>,
    seen: HashSet<u64>,
    next: u64,
}

impl Model {
    fn admit(&mut self, asked: &[Asked]) {
        let made = asked.iter().map(|asked| {
            self.next += 1;
            let deadline = self.now + Duration::from_millis(asked.ttl_ms);
            let &Asked { length, rows, kind, priority, .. } = asked;
            Job { rows, kind, priority, bytes: length * rows, ..job(length, self.next, deadline) }
        });
        let made: Vec<_> = made.collect();
        let turns: Vec<_> = made.iter().map(|job| (self.now + STEP * u32::from(job.priority), job.load)).collect();
        let before = self.batcher.load();
        match self.batcher.admit(made, self.now) {
            Ok(ids) => self.alive.extend(ids.into_iter().zip(turns).map(|(id, (turn, load))| (turn, id, load))),
            Err(back) => {
                assert_eq!(back.len(), asked.len());
                assert_eq!(self.batcher.load(), before);
            }
        }
        self.alive.sort_unstable();
    }

    fn forget(&mut self, load: u64) {
        assert!(self.seen.insert(load), "{load} left twice");
        let before = self.alive.len();
        self.alive.retain(|(.., l)| *l != load);
        assert_eq!(self.alive.len() + 1, before, "{load} was never in");
    }

    /// What a session does: late jobs are told so, and none of them is run.
    fn run(&mut self) {
        let late = self.batcher.expire(self.now);
        late.into_iter().for_each(|load| self.forget(load));
        let Next::Run(batch) = self.batcher.next(self.now, self.idle, false) else {
            assert!(self.alive.is_empty());
            return;
        };
        assert!(batch.jobs.iter().all(|job| job.deadline > self.now), "a late job was run");
        assert!(batch.jobs.iter().any(|job| job.load == self.alive[0].2), "it is somebody's turn");
        let longest = batch.jobs.iter().map(|job| job.length).max().unwrap();
        assert_eq!(batch.rows, batch.jobs.iter().map(|job| job.rows).sum::<usize>());
        assert_eq!(batch.longest, longest);
        assert!(batch.jobs.iter().all(|job| job.kind == batch.jobs[0].kind));
        if batch.jobs.len() > 1 {
            assert!(longest * batch.rows <= 64 && batch.rows <= 8, "{batch:?}");
            assert!(batch.padding <= 0.25 || self.batcher.policy.order == Order::Fifo, "{batch:?}");
        }
        batch.jobs.iter().for_each(|job| self.forget(job.load));
        self.batcher.ran(Point { rows: batch.rows, length: longest, seconds: 0.001 });
    }

    fn check(&self) {
        let ledger = self.batcher.ledger;
        let waiting = self.batcher.waiting.len() as u64;
        assert_eq!(ledger.admitted, ledger.taken + ledger.expired + ledger.cancelled + waiting);
        assert_eq!(self.next, ledger.admitted + ledger.rejected);
        assert_eq!(waiting as usize, self.alive.len());
        assert_eq!((self.batcher.turns.len(), self.batcher.deadlines.len()), (self.alive.len(), self.alive.len()));
        let jobs = self.batcher.waiting.values().map(|waiting| Load::one(&waiting.job));
        assert_eq!(self.batcher.load(), jobs.fold(Load::default(), Load::plus));
        assert!(self.batcher.load().fits(&LIMITS));
    }
}

proptest! {
    #[test]
    fn jobs_are_conserved_and_budgets_hold(
        steps in proptest::collection::vec(step(), 1..80),
        fifo in any::<bool>(),
        priced in proptest::option::of(0.5_f64..8.0),
        idle in 0_usize..3,
    ) {
        let order = if fifo { Order::Fifo } else { Order::Cost };
        let batcher = Batcher::new(Policy { order, ..policy() }, LIMITS, priced.map(cost));
        let mut model = Model { batcher, now: Instant::now(), idle, alive: vec![], seen: HashSet::new(), next: 0 };
        for step in steps {
            match step {
                Step::Admit(jobs) => model.admit(&jobs),
                Step::Cancel(i) if !model.alive.is_empty() => {
                    let (_, id, load) = model.alive[i % model.alive.len()];
                    assert_eq!(model.batcher.cancel(id, model.now), Some(load));
                    model.forget(load);
                    assert_eq!(model.batcher.cancel(id, model.now), None);
                }
                Step::Cancel(_) => {}
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
