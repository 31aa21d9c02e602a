//! A breaker a version: after too many failures of our own it is left alone for a while, then tried with a few
//! requests.
//!
//! [`Circuit`] is the pure machine: times come in, changes go out. What counts is in [`counts`]: a session's error, a
//! deadline that passed, an answer that is none. A client's mistake and a full queue never count.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use contract::wire::{EventKind, Outcome};
use host::config::Faults;
use serde::{Deserialize, Serialize};

use super::answer::RunError;
use super::metrics::VersionMetrics;

/// When a breaker opens, as typed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawBreaker {
    /// Whether there are breakers at all.
    pub enabled: bool,
    /// How far back runs are looked at.
    #[serde(with = "humantime_serde")]
    pub window: Duration,
    /// Runs in the window below which it stays closed.
    pub min_runs: usize,
    /// Share of failures, 0 to 1, at which it opens.
    pub failure_ratio: f64,
    /// How long it stays open at first; doubles with every trial that fails.
    #[serde(with = "humantime_serde")]
    pub open_for: Duration,
    /// The longest that it stays open.
    #[serde(with = "humantime_serde")]
    pub open_for_max: Duration,
    /// Trial requests that must go well, one beside the other, before it closes.
    pub trials: usize,
}

impl Default for RawBreaker {
    fn default() -> Self {
        Self {
            enabled: true,
            window: Duration::from_secs(10),
            min_runs: 20,
            failure_ratio: 0.5,
            open_for: Duration::from_secs(5),
            open_for_max: Duration::from_secs(60),
            trials: 3,
        }
    }
}

/// When a breaker opens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Terms {
    enabled: bool,
    window: Duration,
    min_runs: usize,
    failure_ratio: f64,
    open_for: Duration,
    open_for_max: Duration,
    trials: usize,
}

impl RawBreaker {
    /// What is meant; faults are pushed under dotted names that start with `key`.
    pub(crate) fn check(self, key: &str, faults: &mut Faults) -> Terms {
        let at = |name: &str| format!("{key}.{name}");
        let Self { enabled, window, min_runs, failure_ratio, open_for, open_for_max, trials } = self;
        faults.check(!window.is_zero(), at("window"), "must be longer than 0s");
        faults.check((1..=RUNS_MAX).contains(&min_runs), at("min_runs"), format!("must be from 1 to {RUNS_MAX}"));
        let ratio = failure_ratio > 0.0 && failure_ratio <= 1.0;
        faults.check(ratio, at("failure_ratio"), "must be above 0 and at most 1");
        faults.check(!open_for.is_zero(), at("open_for"), "must be longer than 0s");
        faults.check(open_for <= open_for_max, at("open_for_max"), "must not be below open_for");
        faults.check((1..=100).contains(&trials), at("trials"), "must be from 1 to 100");
        Terms { enabled, window, min_runs, failure_ratio, open_for, open_for_max, trials }
    }
}

/// Runs that a window remembers at most: more say nothing new about a share.
const RUNS_MAX: usize = 1_000;

/// The word of a run that counts against its version; `None` for what is not the version's fault.
pub(crate) fn counts(error: &RunError) -> Option<&'static str> {
    match error {
        RunError::Failed(_) | RunError::BadOutput(_) | RunError::Deadline | RunError::Unavailable(_) => {
            Some(error.reason())
        }
        RunError::Invalid(_)
        | RunError::Impatient
        | RunError::LateBody
        | RunError::QueueFull { .. }
        | RunError::BreakerOpen { .. } => None,
    }
}

/// Whether a version is given requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// It is.
    Closed,
    /// It is not.
    Open,
    /// A few, to see whether it can again.
    HalfOpen,
}

impl BreakerState {
    /// All states.
    pub const ALL: [Self; 3] = [Self::Closed, Self::Open, Self::HalfOpen];

    /// The word in labels and metadata.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }

    const fn event(self) -> EventKind {
        match self {
            Self::Closed => EventKind::BreakerClosed,
            Self::Open => EventKind::BreakerOpen,
            Self::HalfOpen => EventKind::BreakerHalfOpen,
        }
    }
}

/// The machine.
#[derive(Debug)]
struct Circuit {
    terms: Terms,
    state: BreakerState,
    /// When each remembered run ended, and whether it failed.
    runs: VecDeque<(Instant, bool)>,
    failed: usize,
    until: Instant,
    /// Times in a row that it opened.
    opened: u32,
    trials_out: usize,
    trials_good: usize,
    /// Counts changes of state, so that a late trial is known to belong to another time.
    term: u64,
}

/// How a run that was let through ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Good,
    Failed,
    /// Not the version's doing.
    Nothing,
}

impl Circuit {
    fn new(terms: Terms, now: Instant) -> Self {
        let (state, runs) = (BreakerState::Closed, VecDeque::new());
        Self { terms, state, runs, failed: 0, until: now, opened: 0, trials_out: 0, trials_good: 0, term: 0 }
    }

    /// Lets a run through, or says how long none will be.
    fn enter(&mut self, now: Instant) -> Result<(), Duration> {
        if self.state == BreakerState::Open && now >= self.until {
            self.turn(BreakerState::HalfOpen);
        }
        match self.state {
            BreakerState::Closed => Ok(()),
            BreakerState::Open => Err(self.until - now),
            BreakerState::HalfOpen if self.trials_out < self.terms.trials => {
                self.trials_out += 1;
                Ok(())
            }
            BreakerState::HalfOpen => Err(TRIALS_UNDER_WAY),
        }
    }

    /// A run that was let through in `term` has ended.
    fn leave(&mut self, term: u64, end: End, now: Instant) {
        if term != self.term {
            return;
        }
        match self.state {
            BreakerState::Closed => self.remember(end, now),
            BreakerState::HalfOpen => self.judge_trial(end, now),
            BreakerState::Open => {}
        }
    }

    fn remember(&mut self, end: End, now: Instant) {
        if end == End::Nothing {
            return;
        }
        self.runs.push_back((now, end == End::Failed));
        self.failed += usize::from(end == End::Failed);
        let old = |at: Instant| now.saturating_duration_since(at) > self.terms.window;
        while self.runs.len() > RUNS_MAX || self.runs.front().is_some_and(|&(at, _)| old(at)) {
            let failed = self.runs.pop_front().is_some_and(|(_, failed)| failed);
            self.failed -= usize::from(failed);
        }
        let ratio = self.failed as f64 / self.runs.len().max(1) as f64;
        if end == End::Failed && self.runs.len() >= self.terms.min_runs && ratio >= self.terms.failure_ratio {
            self.open(now);
        }
    }

    fn judge_trial(&mut self, end: End, now: Instant) {
        self.trials_out -= 1;
        match end {
            End::Failed => self.open(now),
            End::Good => self.trials_good += 1,
            End::Nothing => {}
        }
        if self.state == BreakerState::HalfOpen && self.trials_good >= self.terms.trials {
            self.opened = 0;
            self.turn(BreakerState::Closed);
        }
    }

    fn open(&mut self, now: Instant) {
        let pause = self.terms.open_for.saturating_mul(1 << self.opened.min(16)).min(self.terms.open_for_max);
        self.until = now + pause;
        self.opened += 1;
        self.turn(BreakerState::Open);
    }

    fn turn(&mut self, state: BreakerState) {
        self.state = state;
        self.term += 1;
        self.runs.clear();
        (self.failed, self.trials_out, self.trials_good) = (0, 0, 0);
    }
}

/// What a request is told that comes while trials are under way.
const TRIALS_UNDER_WAY: Duration = Duration::from_secs(1);

/// A version's breaker.
#[derive(Debug)]
pub(crate) struct Breaker {
    circuit: Mutex<Circuit>,
    metrics: VersionMetrics,
}

/// Leave to run; tells the breaker how it went. Dropped without a word, nothing is learnt.
#[derive(Debug)]
pub struct Pass<'a> {
    breaker: &'a Breaker,
    term: u64,
    end: End,
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        let mut circuit = self.breaker.lock();
        let before = circuit.state;
        let (runs, failed) = (circuit.runs.len() + 1, circuit.failed + 1);
        circuit.leave(self.term, self.end, Instant::now());
        self.breaker.tell(before, &circuit, || format!("{failed} of {runs} runs failed"));
    }
}

impl Pass<'_> {
    /// Notes how the run ended.
    pub(crate) fn ended<T>(mut self, result: &Result<T, RunError>) {
        match result {
            Ok(_) => self.end = End::Good,
            Err(error) => self.failed(counts(error)),
        }
    }

    /// Notes how a request ended that was passed on.
    pub fn answered(mut self, outcome: Outcome) {
        match outcome {
            Outcome::Ok => self.end = End::Good,
            Outcome::Error => self.failed(Some("upstream")),
            Outcome::Timeout => self.failed(Some(RunError::Deadline.reason())),
            Outcome::Invalid | Outcome::Rejected | Outcome::Cancelled => {}
        }
    }

    fn failed(&mut self, counted: Option<&'static str>) {
        if let Some(reason) = counted {
            self.breaker.metrics.breaker_failure(reason);
            self.end = End::Failed;
        }
    }
}

impl Breaker {
    pub(crate) fn new(terms: Terms, metrics: VersionMetrics) -> Self {
        metrics.breaker(BreakerState::Closed);
        Self { circuit: Mutex::new(Circuit::new(terms, Instant::now())), metrics }
    }

    /// Lets a run through.
    ///
    /// # Errors
    /// [`RunError::BreakerOpen`].
    pub(crate) fn enter(&self) -> Result<Pass<'_>, RunError> {
        let mut circuit = self.lock();
        let before = circuit.state;
        let entered = if circuit.terms.enabled { circuit.enter(Instant::now()) } else { Ok(()) };
        self.tell(before, &circuit, || "trial requests are let through".to_owned());
        match entered {
            Ok(()) => Ok(Pass { breaker: self, term: circuit.term, end: End::Nothing }),
            Err(retry_after) => Err(RunError::BreakerOpen { retry_after }),
        }
    }

    /// The state, as far as the last request has moved it.
    pub(crate) fn state(&self) -> BreakerState {
        self.lock().state
    }

    /// Whether the next request would be let through.
    pub(crate) fn is_passable(&self) -> bool {
        let circuit = self.lock();
        match circuit.state {
            BreakerState::Closed => true,
            BreakerState::Open => Instant::now() >= circuit.until,
            BreakerState::HalfOpen => circuit.trials_out < circuit.terms.trials,
        }
    }

    fn tell(&self, before: BreakerState, circuit: &Circuit, why: impl FnOnce() -> String) {
        if circuit.state == before {
            return;
        }
        self.metrics.breaker(circuit.state);
        let VersionMetrics { families, model, version, .. } = &self.metrics;
        let why = match circuit.state {
            BreakerState::Closed => "the trial requests went well".to_owned(),
            BreakerState::Open | BreakerState::HalfOpen => why(),
        };
        families.journal.record(circuit.state.event(), model, version, why);
    }

    fn lock(&self) -> MutexGuard<'_, Circuit> {
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TERMS: Terms = Terms {
        enabled: true,
        window: Duration::from_secs(10),
        min_runs: 4,
        failure_ratio: 0.5,
        open_for: Duration::from_secs(5),
        open_for_max: Duration::from_secs(15),
        trials: 2,
    };

    fn run(circuit: &mut Circuit, end: End, now: Instant) {
        circuit.enter(now).unwrap();
        let term = circuit.term;
        circuit.leave(term, end, now);
    }

    fn opened(now: Instant) -> Circuit {
        let mut circuit = Circuit::new(TERMS, now);
        (0..4).for_each(|_| run(&mut circuit, End::Failed, now));
        assert_eq!(circuit.state, BreakerState::Open);
        circuit
    }

    #[test]
    fn it_opens_at_the_share_and_not_before_there_are_enough_runs() {
        let now = Instant::now();
        let mut circuit = Circuit::new(TERMS, now);
        (0..3).for_each(|_| run(&mut circuit, End::Failed, now));
        assert_eq!(circuit.state, BreakerState::Closed, "three runs say nothing");
        run(&mut circuit, End::Nothing, now);
        assert_eq!(circuit.state, BreakerState::Closed, "a client's mistake is no run");
        run(&mut circuit, End::Failed, now);
        assert_eq!(circuit.enter(now), Err(TERMS.open_for));
        let mut circuit = Circuit::new(TERMS, now);
        for _ in 0..50 {
            run(&mut circuit, End::Good, now);
            run(&mut circuit, End::Good, now);
            run(&mut circuit, End::Failed, now);
        }
        assert_eq!(circuit.state, BreakerState::Closed, "a third is less than half");
    }

    #[test]
    fn what_is_older_than_the_window_is_forgotten() {
        let now = Instant::now();
        let mut circuit = Circuit::new(TERMS, now);
        (0..3).for_each(|_| run(&mut circuit, End::Failed, now));
        run(&mut circuit, End::Failed, now + TERMS.window + Duration::from_millis(1));
        assert_eq!(circuit.state, BreakerState::Closed);
        assert_eq!((circuit.runs.len(), circuit.failed), (1, 1));
    }

    #[test]
    fn trials_close_it_and_a_failed_one_opens_it_for_longer() {
        let now = Instant::now();
        let mut circuit = opened(now);
        let later = now + TERMS.open_for;
        assert_eq!((circuit.enter(later), circuit.enter(later)), (Ok(()), Ok(())));
        assert_eq!(circuit.enter(later), Err(TRIALS_UNDER_WAY), "two trials, and no more");
        let term = circuit.term;
        circuit.leave(term, End::Failed, later);
        assert_eq!(circuit.enter(later), Err(2 * TERMS.open_for));
        circuit.leave(term, End::Good, later);
        assert_eq!(circuit.state, BreakerState::Open, "the other trial comes too late");
        let later = later + 2 * TERMS.open_for;
        run(&mut circuit, End::Good, later);
        run(&mut circuit, End::Good, later);
        assert_eq!((circuit.state, circuit.opened), (BreakerState::Closed, 0));
        let mut circuit = opened(now);
        for n in 1..5 {
            let at = circuit.until;
            run(&mut circuit, End::Failed, at);
            let pause = TERMS.open_for * (1 << n);
            assert_eq!(circuit.until - at, pause.min(TERMS.open_for_max));
        }
    }

    #[test]
    fn a_trial_that_says_nothing_leaves_its_place_to_another() {
        let now = Instant::now();
        let mut circuit = opened(now);
        let later = now + TERMS.open_for;
        (0..10).for_each(|_| run(&mut circuit, End::Nothing, later));
        assert_eq!((circuit.state, circuit.trials_out), (BreakerState::HalfOpen, 0));
    }

    proptest! {
        /// Whatever happens, it never loses a place for trials and never stays open for ever.
        #[test]
        fn it_always_lets_somebody_through_again(ends in proptest::collection::vec(0..3_usize, 0..200)) {
            let mut now = Instant::now();
            let mut circuit = Circuit::new(TERMS, now);
            for end in ends {
                now += Duration::from_secs(1);
                if circuit.enter(now).is_ok() {
                    let term = circuit.term;
                    circuit.leave(term, [End::Good, End::Failed, End::Nothing][end], now);
                }
            }
            prop_assert!(circuit.enter(now + TERMS.open_for_max).is_ok());
            prop_assert_eq!(circuit.failed, circuit.runs.iter().filter(|run| run.1).count());
        }
    }

    #[test]
    fn a_clients_mistake_never_counts() {
        let text = || "x".to_owned();
        for (error, reason) in [
            (RunError::Failed(text()), Some("session_failed")),
            (RunError::BadOutput(text()), Some("bad_output")),
            (RunError::Deadline, Some("deadline")),
            (RunError::Unavailable(text()), Some("unavailable")),
            (RunError::Invalid(text()), None),
            (RunError::LateBody, None),
            (RunError::QueueFull { retry_after: Duration::ZERO }, None),
            (RunError::BreakerOpen { retry_after: Duration::ZERO }, None),
        ] {
            assert_eq!(counts(&error), reason);
        }
    }
}
