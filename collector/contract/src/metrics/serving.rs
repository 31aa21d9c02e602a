//! Metrics of what answering takes and saves: answers that were kept.

use super::Metric;

/// Look-ups of kept answers.
pub const CACHE_LOOKUPS: Metric = Metric::counter(
    "driftline_proxy_cache_lookups_total",
    "Requests for which a kept answer was looked up, by whether there was one (hit, miss).",
    &["model", "version", "outcome"],
);
/// Answers that were not kept.
pub const CACHE_REFUSED: Metric = Metric::counter(
    "driftline_proxy_cache_refused_total",
    "Answers that were not kept: too_large, or batch_variant (it may depend on the rest of its batch).",
    &["model", "version", "reason"],
);
/// Kept answers that went.
pub const CACHE_EVICTIONS: Metric = Metric::counter(
    "driftline_proxy_cache_evictions_total",
    "Kept answers that went: the bound in bytes (size), or their age (expired).",
    &["reason"],
);
/// Bytes of kept answers.
pub const CACHE_BYTES: Metric = Metric::gauge("driftline_proxy_cache_held_bytes", "Bytes that kept answers hold.", &[]);
/// Number of kept answers.
pub const CACHE_ANSWERS: Metric = Metric::gauge("driftline_proxy_cache_answers", "Answers that are kept.", &[]);

/// All metrics of this subsystem.
pub const ALL: &[Metric] = &[CACHE_LOOKUPS, CACHE_REFUSED, CACHE_EVICTIONS, CACHE_BYTES, CACHE_ANSWERS];
