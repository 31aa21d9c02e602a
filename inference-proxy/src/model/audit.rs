//! The journal of changes: every one is an audit line, a count, and an event for dashboards.
//!
//! Events are best effort and never hold up what they tell of: the way to the collector is bounded, and what does not
//! fit is counted.

use std::sync::OnceLock;

use contract::metrics::versions as names;
use contract::wire::{Event, EventKind};
use host::audit::{self, Action};
use host::metrics::Registry;
use prometheus::IntCounterVec;
use tokio::sync::mpsc;

/// Where changes are written.
#[derive(Debug)]
pub(crate) struct Journal {
    events: IntCounterVec,
    posts: IntCounterVec,
    way: OnceLock<mpsc::Sender<Event>>,
}

/// Outcome of an event that found the queue full.
pub(crate) const FULL: &str = "full";

impl Journal {
    pub(crate) fn new(registry: &Registry) -> Self {
        let (events, posts) = (registry.counter(&names::EVENTS), registry.counter(&names::EVENT_POSTS));
        Self { events, posts, way: OnceLock::new() }
    }

    /// Sends what happens from now on to the collector too.
    pub(crate) fn attach(&self, way: mpsc::Sender<Event>) {
        // A second way is nobody's mistake but the program's; the first one stays.
        let _second = self.way.set(way);
    }

    /// The counter of what became of events, for whoever posts them.
    pub(crate) fn posts(&self) -> IntCounterVec {
        self.posts.clone()
    }

    /// Writes down a change; never waits.
    pub(crate) fn record(&self, kind: EventKind, model: &str, version: &str, detail: impl Into<String>) {
        let detail = detail.into();
        let outcome = if kind == EventKind::Failed { audit::Outcome::Failed } else { audit::Outcome::Done };
        let target = format!("{model}/{version}");
        audit::record(Action { who: "proxy", what: kind.as_str(), target: &target, outcome, detail: &detail });
        self.events.with_label_values(&[model, version, kind.as_str()]).inc();
        let Some(way) = self.way.get() else { return };
        let (model, version) = (model.to_owned(), version.to_owned());
        let event = Event { at_ms: host::clock::now_ms(), kind: kind.as_str().to_owned(), model, version, detail };
        if way.try_send(event).is_err() {
            self.posts.with_label_values(&[FULL]).inc();
        }
    }
}
