//! How much the page may ask at once: open event streams, and questions to the database.
//!
//! A wall of screens is a few streams; a script in a loop must not starve the cycle of the database.

use std::{sync::Arc, time::Duration};

use host::{config::Faults, gate::Gate};
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A question waits so long for its turn.
const PATIENCE: Duration = Duration::from_secs(5);

/// The `[analyzer.page]` section as typed.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawPage {
    /// Event streams open at once; one a browser tab.
    pub max_streams: u32,
    /// Questions to the database at once; more wait up to five seconds.
    pub max_queries: u32,
}

impl Default for RawPage {
    fn default() -> Self {
        Self { max_streams: 64, max_queries: 4 }
    }
}

/// The section, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageConfig {
    streams_max: usize,
    queries_max: usize,
}

impl RawPage {
    /// Checks it.
    #[must_use]
    pub fn check(self, key: &str, faults: &mut Faults) -> PageConfig {
        for (name, value) in [("max_streams", self.max_streams), ("max_queries", self.max_queries)] {
            let sentence = format!("is {value}; write a number from 1 to 10000");
            faults.check((1..=10_000).contains(&value), format!("{key}.{name}"), sentence);
        }
        PageConfig { streams_max: self.max_streams as usize, queries_max: self.max_queries as usize }
    }
}

/// Places that are free; refusals are counted at the gate, as all others.
#[derive(Clone, Debug)]
pub struct Limits {
    streams: Arc<Semaphore>,
    queries: Arc<Semaphore>,
    gate: Gate,
}

impl Limits {
    /// All places free.
    #[must_use]
    pub fn new(config: PageConfig, gate: Gate) -> Self {
        Self {
            streams: Arc::new(Semaphore::new(config.streams_max)),
            queries: Arc::new(Semaphore::new(config.queries_max)),
            gate,
        }
    }

    /// A place for a stream, if one is free.
    pub(super) fn stream(&self) -> Option<OwnedSemaphorePermit> {
        let place = Arc::clone(&self.streams).try_acquire_owned().ok();
        if place.is_none() {
            self.gate.count_refusal("page_streams");
        }
        place
    }

    /// A turn at the database, if one comes in time.
    pub(super) async fn query(&self) -> Option<OwnedSemaphorePermit> {
        let turn = tokio::time::timeout(PATIENCE, Arc::clone(&self.queries).acquire_owned()).await;
        let turn = turn.ok().and_then(Result::ok);
        if turn.is_none() {
            self.gate.count_refusal("page_queries");
        }
        turn
    }
}
