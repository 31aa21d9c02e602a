//! Metrics of the proxy's versions: what they hold, who gets how much of the traffic, what their breakers do.

use super::Metric;

/// Loads that ended well.
pub const LOADS: Metric = Metric::counter(
    "driftline_proxy_loads_total",
    "Cold starts: loads of a version that ended with it ready.",
    &["model", "version"],
);
/// Bytes of a version's files.
pub const MODEL_BYTES: Metric = Metric::gauge(
    "driftline_proxy_model_bytes",
    "Bytes of the files of a loaded version: graph, weights, tokenizer, settings.",
    &["model", "version"],
);
/// What a version's files are.
pub const FILES_FINGERPRINT: Metric = Metric::gauge(
    "driftline_proxy_files_fingerprint",
    "A number made of the hashes of a loaded version's files (48 bits of SHA-256): instances with other files have another.",
    &["model", "version"],
);
/// What a version answered to the golden samples.
pub const GOLDEN_DIFFERENCE: Metric = Metric::gauge(
    "driftline_proxy_golden_difference_ratio",
    "Largest difference of a score from the golden samples when a version was loaded.",
    &["model", "version"],
);
/// Memory of a version.
pub const MEMORY_BYTES: Metric = Metric::gauge(
    "driftline_proxy_version_memory_bytes",
    "Memory that a loaded version is estimated to hold: weights and arena of all its sessions.",
    &["model", "version"],
);
/// Memory that loads may still take.
pub const MEMORY_FREE_BYTES: Metric = Metric::gauge(
    "driftline_proxy_memory_free_bytes",
    "Memory that a load could take at the last look, the reserve left out.",
    &[],
);
/// Share of the requests without a version in their path.
pub const TRAFFIC: Metric = Metric::gauge(
    "driftline_proxy_traffic_ratio",
    "Share of a model's requests that goes to a version by its role, 0 to 1; a shadow's share runs beside.",
    &["model", "version", "role"],
);
/// State of each breaker, one series a state.
pub const BREAKER_STATE: Metric = Metric::gauge(
    "driftline_proxy_breaker_state",
    "1 for the state that a version's breaker is in (closed, open, half_open), 0 for the others.",
    &["model", "version", "state"],
);
/// What breakers count.
pub const BREAKER_FAILURES: Metric = Metric::counter(
    "driftline_proxy_breaker_failures_total",
    "Runs that counted against a version's breaker, by reason.",
    &["model", "version", "reason"],
);
/// Answers of a fallback.
pub const FALLBACKS: Metric = Metric::counter(
    "driftline_proxy_fallbacks_total",
    "Requests that a fallback answered in a version's place, by what was wrong with the version.",
    &["model", "version", "reason"],
);
/// Sessions made anew.
pub const SESSION_RESTARTS: Metric = Metric::counter(
    "driftline_proxy_session_restarts_total",
    "Attempts to make a broken session anew, by how they ended.",
    &["model", "version", "outcome"],
);
/// Changes of versions.
pub const EVENTS: Metric = Metric::counter(
    "driftline_proxy_version_events_total",
    "Changes of versions: load, ready, failed, switch, rollback, canary, role, unload, breaker.",
    &["model", "version", "kind"],
);
/// What became of events on their way to the collector.
pub const EVENT_POSTS: Metric = Metric::counter(
    "driftline_mirror_events_total",
    "Events for the collector: delivered, or lost because the queue was full or the collector refused them or was away.",
    &["outcome"],
);

/// All metrics of this subsystem.
pub const ALL: &[Metric] = &[
    LOADS,
    MODEL_BYTES,
    FILES_FINGERPRINT,
    GOLDEN_DIFFERENCE,
    MEMORY_BYTES,
    MEMORY_FREE_BYTES,
    TRAFFIC,
    BREAKER_STATE,
    BREAKER_FAILURES,
    FALLBACKS,
    SESSION_RESTARTS,
    EVENTS,
    EVENT_POSTS,
];
