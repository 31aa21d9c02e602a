//! How full the log is, and what that means. Shared by the writer, which fills it, and the inserter, which empties it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use contract::metrics::collector::{LOG_BACKLOGGED, LOG_FULL, LOG_NORMAL};

use super::Kept;
use crate::config::LogConfig;
use crate::metrics::Metrics;

/// What the log's size and age mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Normal,
    /// Segments wait for longer than they should, or half of the bound is used.
    Backlogged,
    /// The bound is reached: posts are refused.
    Full,
}

impl Level {
    pub const ALL: [Self; 3] = [Self::Normal, Self::Backlogged, Self::Full];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => LOG_NORMAL,
            Self::Backlogged => LOG_BACKLOGGED,
            Self::Full => LOG_FULL,
        }
    }

    /// The next level. Each is left later than it is entered, so that it does not flutter.
    fn next(self, bytes: u64, waiting: Duration, max_bytes: u64, backlog_after: Duration) -> Self {
        let tenths = |n: u64| max_bytes / 10 * n;
        let full = bytes >= max_bytes || (self == Self::Full && bytes > tenths(9));
        let late = waiting >= backlog_after || bytes >= tenths(5);
        let still = self != Self::Normal && (waiting >= backlog_after / 2 || bytes >= tenths(4));
        match (full, late || still) {
            (true, _) => Self::Full,
            (false, true) => Self::Backlogged,
            (false, false) => Self::Normal,
        }
    }
}

/// Counts of what is in the log.
pub(crate) struct Shared {
    kept: Kept,
    max_bytes: u64,
    backlog_after: Duration,
    state: Mutex<State>,
    metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("max_bytes", &self.max_bytes).finish_non_exhaustive()
    }
}

struct State {
    level: Level,
    bytes: u64,
    observations: u64,
    /// Since when what is to be inserted next waits.
    waiting_since: Option<Instant>,
    /// The disk refused the last write.
    disk_refuses: bool,
}

impl Shared {
    pub fn new(config: &LogConfig, metrics: Arc<Metrics>) -> Self {
        let state = State { level: Level::Normal, bytes: 0, observations: 0, waiting_since: None, disk_refuses: false };
        let shared = Self {
            kept: config.kept,
            max_bytes: config.max_bytes,
            backlog_after: config.backlog_after,
            state: Mutex::new(state),
            metrics,
        };
        shared.update(|_| {});
        shared
    }

    /// What is in it.
    pub const fn kept(&self) -> Kept {
        self.kept
    }

    /// Whether posts are to be refused at once.
    pub fn is_full(&self) -> bool {
        self.lock().level == Level::Full
    }

    /// Whether so many more bytes fit under the bound.
    pub fn fits(&self, bytes: u64) -> bool {
        self.lock().bytes.saturating_add(bytes) <= self.max_bytes
    }

    /// Whether three quarters of the bound are used.
    pub fn is_mostly_full(&self) -> bool {
        self.lock().bytes >= self.max_bytes / 4 * 3
    }

    /// So much was written.
    pub fn appended(&self, bytes: u64, observations: u64) {
        self.update(|state| {
            state.bytes += bytes;
            state.observations += observations;
            state.disk_refuses = false;
            state.waiting_since.get_or_insert_with(Instant::now);
        });
    }

    /// So much was refused for lack of room.
    pub fn refused(&self) {
        self.update(|state| state.level = Level::Full);
    }

    /// The disk would not take it. Posts are not refused unseen for that: the next one tries again.
    pub fn disk_refuses(&self) {
        self.update(|state| state.disk_refuses = true);
    }

    /// The segment that is to be inserted was sealed then.
    pub fn waits_since(&self, since: Instant) {
        self.update(|state| state.waiting_since = Some(since));
    }

    /// So much is in ClickHouse, or was put aside, and is deleted.
    pub fn released(&self, bytes: u64, observations: u64) {
        self.update(|state| {
            state.bytes = state.bytes.saturating_sub(bytes);
            state.observations = state.observations.saturating_sub(observations);
            state.waiting_since = (state.bytes > 0).then(Instant::now);
        });
    }

    /// Time passed.
    pub fn tick(&self) {
        self.update(|_| {});
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        let waiting = state.waiting_since.map_or(Duration::ZERO, |since| since.elapsed());
        state.level = state.level.next(state.bytes, waiting, self.max_bytes, self.backlog_after);
        let shown = if state.disk_refuses { Level::Full } else { state.level };
        self.metrics.log(state.bytes, state.observations, shown);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // a row of numbers: a panic while it is held cannot leave it half-changed
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_level_is_left_later_than_entered() {
        let mut level = Level::Normal;
        let late = Duration::from_secs(30);
        for (bytes, waiting, expected) in [
            (0, 0, Level::Normal),
            (49, 0, Level::Normal),
            (50, 0, Level::Backlogged),
            (45, 0, Level::Backlogged),
            (39, 0, Level::Normal),
            (0, 30, Level::Backlogged),
            (0, 16, Level::Backlogged),
            (0, 14, Level::Normal),
            (100, 0, Level::Full),
            (95, 0, Level::Full),
            (90, 0, Level::Backlogged),
            (95, 0, Level::Backlogged),
            (10, 0, Level::Normal),
        ] {
            level = level.next(bytes, Duration::from_secs(waiting), 100, late);
            assert_eq!(level, expected, "{bytes} bytes, {waiting} s");
        }
    }
}
