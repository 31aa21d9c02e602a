//! The account of observations and payloads: exact at every moment, not only when all is quiet.
//!
//! An admitted observation travels with its [`Ticket`]. The ticket is in exactly one stage, and every move (in, on,
//! out) changes the account under one short lock, so that
//! `observed = delivered + dropped + in_flight` and `eligible = stored + sampled_out + withheld` hold in every
//! snapshot. What is in flight is counted where it is; a ticket that is lost with its task ends as a counted drop.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use contract::wire;

use super::tally::Tally;

/// Where an observation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Waits for shadow answers.
    Shadows,
    /// Waits to be masked.
    Queued,
    /// Is being masked and packed.
    Masking,
    /// Waits for the model that finds names.
    Naming,
    /// Waits for a batch.
    Ready,
    /// Is in a batch whose outcome is not known yet.
    Posting,
    /// Is in a batch on disk.
    Spilled,
}

impl Stage {
    /// All stages, in the order of the way.
    pub const ALL: [Self; 7] =
        [Self::Shadows, Self::Queued, Self::Masking, Self::Naming, Self::Ready, Self::Posting, Self::Spilled];

    /// The word in labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shadows => "shadows",
            Self::Queued => "queued",
            Self::Masking => "masking",
            Self::Naming => "naming",
            Self::Ready => "ready",
            Self::Posting => "posting",
            Self::Spilled => "spilled",
        }
    }
}

/// Why an observation was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// The mirror holds as many bytes as it may.
    Full,
    /// This one is larger than one may be.
    Oversize,
    /// The collector will not have it (4xx).
    Refused,
    /// It could not be made safe, so it does not leave.
    MaskingFailed,
    /// A task of the mirror died with it.
    SinkDead,
    /// The drain limit passed first, or the request ended after it.
    Shutdown,
}

impl DropReason {
    /// All reasons.
    pub const ALL: [Self; 6] =
        [Self::Full, Self::Oversize, Self::Refused, Self::MaskingFailed, Self::SinkDead, Self::Shutdown];

    /// The word in labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Oversize => "oversize",
            Self::Refused => "refused",
            Self::MaskingFailed => "masking_failed",
            Self::SinkDead => "sink_dead",
            Self::Shutdown => "shutdown",
        }
    }
}

/// What became of the content of an observation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// There was none.
    None,
    /// It goes along.
    Kept,
    /// Left out by sampling.
    SampledOut,
    /// Left out for this reason.
    Withheld(String),
}

/// A snapshot of the account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Observations offered.
    pub observed: u64,
    /// Observations acknowledged by the collector.
    pub delivered: u64,
    /// Observations lost, in the order of [`DropReason::ALL`].
    pub dropped: [u64; 6],
    /// Observations by where they are, in the order of [`Stage::ALL`].
    pub in_flight: [u64; 7],
    /// Bytes that these hold.
    pub held_bytes: usize,
    /// Ended observations that had content.
    pub eligible: u64,
    /// Contents delivered.
    pub stored: u64,
    /// Contents left out by sampling.
    pub sampled_out: u64,
    /// Contents left out for another reason, or lost with their observation.
    pub withheld: BTreeMap<String, u64>,
}

/// More reasons than this for withholding are counted as `other`: a label must stay bounded.
const MAX_WITHHELD_REASONS: usize = 16;

impl Counts {
    /// The account as a batch carries it.
    #[must_use]
    pub fn wire(&self) -> wire::Ledger {
        wire::Ledger {
            observed: self.observed,
            delivered: self.delivered,
            dropped: self.dropped.iter().sum(),
            in_flight: self.in_flight.iter().sum(),
        }
    }

    /// Whether both accounts balance.
    #[must_use]
    pub fn balances(&self) -> bool {
        let ledger = self.wire();
        ledger.observed == ledger.delivered + ledger.dropped + ledger.in_flight
            && self.eligible == self.stored + self.sampled_out + self.withheld.values().sum::<u64>()
    }

    fn drop_one(&mut self, reason: DropReason, had_content: bool) {
        self.dropped[reason as usize] += 1;
        if had_content {
            self.eligible += 1;
            self.withhold(reason.as_str());
        }
    }

    fn deliver_one(&mut self, content: &Content) {
        self.delivered += 1;
        self.eligible += u64::from(*content != Content::None);
        match content {
            Content::None => {}
            Content::Kept => self.stored += 1,
            Content::SampledOut => self.sampled_out += 1,
            Content::Withheld(reason) => self.withhold(reason),
        }
    }

    fn withhold(&mut self, reason: &str) {
        self.withhold_all(reason, 1);
    }

    fn withhold_all(&mut self, reason: &str, n: u64) {
        let known = self.withheld.contains_key(reason) || self.withheld.len() < MAX_WITHHELD_REASONS;
        *self.withheld.entry(if known { reason } else { "other" }.to_owned()).or_default() += n;
    }
}

/// How much the mirror may hold.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes of all observations together.
    pub max_bytes: usize,
    /// Bytes of one observation.
    pub max_observation_bytes: usize,
}

/// The account and its bounds.
#[derive(Debug)]
pub struct Ledger {
    bounds: Bounds,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    counts: Counts,
    closed: bool,
}

impl Ledger {
    /// An empty account.
    #[must_use]
    pub fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self { bounds, state: Mutex::default() })
    }

    /// Counts one observation of so many bytes and lets it in, or counts why not.
    #[must_use]
    pub fn admit(self: &Arc<Self>, bytes: usize, stage: Stage, has_content: bool) -> Option<Ticket> {
        let mut state = self.lock();
        state.counts.observed += 1;
        if let Some(reason) = self.refusal(&state, bytes) {
            state.counts.drop_one(reason, has_content);
            return None;
        }
        state.counts.in_flight[stage as usize] += 1;
        state.counts.held_bytes += bytes;
        drop(state);
        Some(Ticket { ledger: Arc::clone(self), bytes, stage, has_content, ended: false })
    }

    fn refusal(&self, state: &State, bytes: usize) -> Option<DropReason> {
        if state.closed {
            Some(DropReason::Shutdown)
        } else if bytes > self.bounds.max_observation_bytes {
            Some(DropReason::Oversize)
        } else if state.counts.held_bytes.saturating_add(bytes) > self.bounds.max_bytes {
            Some(DropReason::Full)
        } else {
            None
        }
    }

    /// From now on observations are counted and dropped.
    pub fn close(&self) {
        self.lock().closed = true;
    }

    /// Lets a batch in that an earlier process left on disk.
    #[must_use]
    pub fn recover(self: &Arc<Self>, tally: Tally) -> Bulk {
        let mut state = self.lock();
        state.counts.observed += tally.observations;
        state.counts.in_flight[Stage::Spilled as usize] += tally.observations;
        drop(state);
        Bulk { ledger: Arc::clone(self), tally }
    }

    /// The account at this moment.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.lock().counts.clone()
    }

    /// Observations that are still to be masked.
    #[must_use]
    pub fn unmasked(&self) -> u64 {
        let state = self.lock();
        [Stage::Queued, Stage::Masking, Stage::Naming].iter().map(|stage| state.counts.in_flight[*stage as usize]).sum()
    }

    /// Largest size of one observation.
    #[must_use]
    pub fn max_observation_bytes(&self) -> usize {
        self.bounds.max_observation_bytes
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // the account is a row of integers: a panic while it is held cannot leave it half-changed
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right of one observation to be in flight. Ends once, in one of three ways; dropped unended, it counts as lost.
#[derive(Debug)]
pub struct Ticket {
    ledger: Arc<Ledger>,
    bytes: usize,
    stage: Stage,
    has_content: bool,
    ended: bool,
}

impl Ticket {
    /// Whether there was content when it was offered.
    #[must_use]
    pub fn had_content(&self) -> bool {
        self.has_content
    }

    /// Moves on.
    pub fn advance(&mut self, stage: Stage) {
        let mut state = self.ledger.lock();
        state.counts.in_flight[self.stage as usize] -= 1;
        state.counts.in_flight[stage as usize] += 1;
        self.stage = stage;
    }

    /// From now on it holds so many bytes; given back as an error where so many do not fit any more.
    pub fn resize(mut self, bytes: usize) -> Result<Self, Self> {
        let mut state = self.ledger.lock();
        let held = state.counts.held_bytes - self.bytes + bytes;
        let fits = bytes <= self.bytes || held <= self.ledger.bounds.max_bytes;
        if fits {
            state.counts.held_bytes = held;
        }
        drop(state);
        if !fits {
            return Err(self);
        }
        self.bytes = bytes;
        Ok(self)
    }

    /// The collector has it.
    pub fn delivered(mut self, content: &Content) {
        self.end(|counts, _| counts.deliver_one(content));
    }

    /// It is lost.
    pub fn dropped(mut self, reason: DropReason) {
        self.end(|counts, had_content| counts.drop_one(reason, had_content));
    }

    fn end(&mut self, count: impl FnOnce(&mut Counts, bool)) {
        self.ended = true;
        let mut state = self.ledger.lock();
        state.counts.in_flight[self.stage as usize] -= 1;
        state.counts.held_bytes -= self.bytes;
        count(&mut state.counts, self.has_content);
    }
}

/// The right of a whole batch to be in flight: on disk it takes no memory an observation. Unended it stays in flight,
/// since that is where it is: on disk, for the next process.
#[derive(Debug)]
pub struct Bulk {
    ledger: Arc<Ledger>,
    tally: Tally,
}

impl Bulk {
    /// Takes the place of tickets, which hold no bytes from now on. `None` where there are none.
    pub fn of(tickets: Vec<Ticket>, tally: Tally) -> Option<Self> {
        let ledger = Arc::clone(&tickets.first()?.ledger);
        for mut ticket in tickets {
            ticket.end(|counts, _| counts.in_flight[Stage::Spilled as usize] += 1);
        }
        Some(Self { ledger, tally })
    }

    /// The collector has it.
    pub fn delivered(self) {
        let Self { ledger, tally } = self;
        let counts = &mut ledger.lock().counts;
        counts.in_flight[Stage::Spilled as usize] -= tally.observations;
        counts.delivered += tally.observations;
        counts.eligible += tally.kept + tally.sampled_out + tally.withheld.values().sum::<u64>();
        counts.stored += tally.kept;
        counts.sampled_out += tally.sampled_out;
        tally.withheld.iter().for_each(|(reason, n)| counts.withhold_all(reason, *n));
    }

    /// It is lost.
    pub fn dropped(self, reason: DropReason) {
        let Self { ledger, tally } = self;
        let counts = &mut ledger.lock().counts;
        counts.in_flight[Stage::Spilled as usize] -= tally.observations;
        counts.dropped[reason as usize] += tally.observations;
        counts.eligible += tally.had_content;
        if tally.had_content > 0 {
            counts.withhold_all(reason.as_str(), tally.had_content);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let closed = self.ledger.lock().closed;
        let reason = if closed { DropReason::Shutdown } else { DropReason::SinkDead };
        self.end(|counts, had_content| counts.drop_one(reason, had_content));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::published::Published;
    use host::metrics::Registry;

    fn ledger() -> Arc<Ledger> {
        Ledger::new(Bounds { max_bytes: 100, max_observation_bytes: 60 })
    }

    fn dropped(ledger: &Ledger, reason: DropReason) -> u64 {
        ledger.counts().dropped[reason as usize]
    }

    #[test]
    fn a_ticket_is_in_one_stage_and_ends_once() {
        let ledger = ledger();
        let mut ticket = ledger.admit(40, Stage::Shadows, true).unwrap();
        ticket.advance(Stage::Queued);
        let ticket = ticket.resize(10).unwrap();
        let ticket = ticket.resize(101).unwrap_err();
        assert_eq!(ledger.counts().in_flight, [0, 1, 0, 0, 0, 0, 0]);
        assert_eq!(ledger.counts().held_bytes, 10);
        ticket.delivered(&Content::Kept);
        let counts = ledger.counts();
        assert_eq!((counts.delivered, counts.stored, counts.held_bytes), (1, 1, 0));
        assert_eq!(counts.in_flight, [0; 7]);
        assert!(counts.balances());
    }

    #[test]
    fn what_does_not_fit_is_counted_by_reason() {
        let ledger = ledger();
        assert!(ledger.admit(61, Stage::Queued, false).is_none());
        let held = ledger.admit(60, Stage::Queued, false).unwrap();
        assert!(ledger.admit(41, Stage::Queued, true).is_none());
        drop(held);
        ledger.close();
        assert!(ledger.admit(1, Stage::Queued, true).is_none());
        for reason in [DropReason::Oversize, DropReason::Full, DropReason::SinkDead, DropReason::Shutdown] {
            assert_eq!(dropped(&ledger, reason), 1, "{reason:?}");
        }
        assert_eq!(ledger.counts().withheld, BTreeMap::from([("full".into(), 1), ("shutdown".into(), 1)]));
        assert!(ledger.counts().balances());
    }

    #[test]
    fn the_reasons_for_withholding_stay_few() {
        let mut counts = Counts::default();
        for n in 0..100 {
            counts.withhold(&format!("reason {n}"));
        }
        assert_eq!(counts.withheld.len(), MAX_WITHHELD_REASONS + 1);
        assert_eq!(counts.withheld["other"], 100 - MAX_WITHHELD_REASONS as u64);
    }

    #[test]
    fn a_scrape_shows_one_snapshot() {
        let registry = Registry::new();
        let published = Published::new(&registry);
        assert!(registry.render().contains("driftline_mirror_dropped_observations_total{reason=\"full\"} 0"));
        let ledger = ledger();
        let _held = ledger.admit(5, Stage::Ready, false).unwrap();
        let _none = ledger.admit(500, Stage::Ready, false);
        published.refresh(&ledger);
        let text = registry.render();
        for line in [
            "driftline_mirror_observed_observations_total 2",
            "driftline_mirror_dropped_observations_total{reason=\"oversize\"} 1",
            "driftline_mirror_in_flight_observations{stage=\"ready\"} 1",
            "driftline_mirror_held_bytes 5",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn scrapes_at_the_same_time_count_nothing_twice() {
        let registry = Registry::new();
        let (published, ledger) = (Published::new(&registry), ledger());
        std::thread::scope(|scope| {
            let scrapes = || (0..50_000).for_each(|_| published.refresh(&ledger));
            let scrapers: Vec<_> = (0..4).map(|_| scope.spawn(scrapes)).collect();
            while !scrapers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
                drop(ledger.admit(1, Stage::Queued, true));
            }
        });
        published.refresh(&ledger);
        let (text, observed) = (registry.render(), ledger.counts().observed);
        for line in [
            format!("driftline_mirror_observed_observations_total {observed}\n"),
            format!("driftline_mirror_dropped_observations_total{{reason=\"sink_dead\"}} {observed}\n"),
            format!("driftline_mirror_eligible_payloads_total {observed}\n"),
        ] {
            assert!(text.contains(&line), "{line} is not in\n{text}");
        }
    }
}
