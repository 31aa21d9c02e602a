//! The account of single observations: we number them and keep their ledger, since their senders have none.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use contract::wire::Ledger;

/// The account.
pub(super) struct Singles {
    /// When we began to count.
    epoch: u64,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    /// The last number given.
    seq: u64,
    /// Those that are in the log.
    stored: u64,
    /// Those that may still turn out to be a repeat, or be refused.
    in_flight: u64,
}

impl Singles {
    /// None yet.
    pub fn since(epoch: u64) -> Self {
        Self { epoch, counts: Mutex::default() }
    }

    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        // a row of numbers: a panic while it is held cannot leave it half-changed
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So many more are on the way in one post: its number, and the ledger as it is when they are stored.
    pub fn begin(self: &Arc<Self>, more: u64) -> (u64, Ledger, Begun) {
        let mut counts = self.counts();
        counts.seq += 1;
        let (delivered, in_flight) = (counts.stored + more, counts.in_flight);
        counts.in_flight += more;
        let ledger = Ledger { observed: delivered + in_flight, delivered, dropped: 0, in_flight };
        (counts.seq, ledger, Begun { singles: self.clone(), more, stored: false })
    }
}

/// Single observations on the way; counted as stored only where they were.
pub(super) struct Begun {
    singles: Arc<Singles>,
    more: u64,
    stored: bool,
}

impl Begun {
    /// Whether they are in the log now.
    pub const fn ends(&mut self, stored: bool) {
        self.stored = stored;
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let mut counts = self.singles.counts();
        counts.in_flight -= self.more;
        counts.stored += if self.stored { self.more } else { 0 };
    }
}
