//! What changed and when: the marks that dashboards draw over their lines.
//!
//! `POST /v1/events` carries [`Events`] as JSON. They are best effort: a mark that is lost loses no observation, and
//! whoever sends counts what could not be delivered.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where events are posted.
pub const EVENTS_PATH: &str = "/v1/events";

/// The body of `POST /v1/events`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Events {
    /// Who tells: the source of its observations, or any name of a pipeline.
    pub source: String,
    /// The events, in the order in which they happened.
    pub events: Vec<Event>,
}

/// One change of a model's service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// When it happened, milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// What happened: one of [`EventKind`]'s words from a proxy; other sources may have words of their own.
    pub kind: String,
    /// The model.
    pub model: String,
    /// The version that it happened to.
    #[serde(default)]
    pub version: String,
    /// One sentence: from where to where, and why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// What a proxy tells of its versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// A load has begun.
    Load,
    /// It serves.
    Ready,
    /// It was refused.
    Failed,
    /// It became the primary.
    Switch,
    /// It became the primary again, or a canary was ended.
    Rollback,
    /// It became the canary, or its share changed.
    Canary,
    /// It was given another role: shadow, fallback, spare.
    Role,
    /// It left the memory.
    Unload,
    /// Its breaker opened: it answers nobody for a while.
    BreakerOpen,
    /// Its breaker lets trial requests through.
    BreakerHalfOpen,
    /// Its breaker closed: it answers again.
    BreakerClosed,
}

impl EventKind {
    /// All kinds.
    pub const ALL: [Self; 11] = [
        Self::Load,
        Self::Ready,
        Self::Failed,
        Self::Switch,
        Self::Rollback,
        Self::Canary,
        Self::Role,
        Self::Unload,
        Self::BreakerOpen,
        Self::BreakerHalfOpen,
        Self::BreakerClosed,
    ];

    /// The word on the wire, in labels and in tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Ready => "ready",
            Self::Failed => "failed",
            Self::Switch => "switch",
            Self::Rollback => "rollback",
            Self::Canary => "canary",
            Self::Role => "role",
            Self::Unload => "unload",
            Self::BreakerOpen => "breaker_open",
            Self::BreakerHalfOpen => "breaker_half_open",
            Self::BreakerClosed => "breaker_closed",
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipelines_event_is_one_curl_line() {
        let line = r#"{"source":"ci","events":[{"at_ms":1,"kind":"deploy","model":"m"}]}"#;
        let read: Events = serde_json::from_str(line).expect("reads");
        assert_eq!((read.events[0].kind.as_str(), read.events[0].version.as_str()), ("deploy", ""));
        let typo = line.replace("kind", "knid");
        assert!(serde_json::from_str::<Events>(&typo).is_err(), "a typing error is no event");
    }
}
