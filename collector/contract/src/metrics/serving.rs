//! Metrics of what answering takes and saves: money, and answers that were kept, cards.

use super::Metric;

/// What runs cost.
pub const COST: Metric = Metric::counter(
    "driftline_proxy_cost_total",
    "What the runs of sessions cost: busy seconds by the configured prices, in their currency.",
    &["model", "version", "role", "device"],
);
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

/// How busy a card is.
pub const GPU_UTILIZATION: Metric = Metric::gauge(
    "driftline_gpu_utilization_ratio",
    "Share of time in which a graphics card computed, as its driver samples it.",
    &["device"],
);
/// Memory of a card in use.
pub const GPU_MEMORY_USED: Metric = Metric::gauge(
    "driftline_gpu_memory_used_bytes",
    "Memory of a graphics card in use, by all processes.",
    &["device"],
);
/// Memory of a card.
pub const GPU_MEMORY_TOTAL: Metric =
    Metric::gauge("driftline_gpu_memory_total_bytes", "Memory of a graphics card.", &["device"]);
/// Heat of a card.
pub const GPU_TEMPERATURE: Metric =
    Metric::gauge("driftline_gpu_temperature_celsius", "Temperature of a graphics card.", &["device"]);
/// Power of a card.
pub const GPU_POWER: Metric =
    Metric::gauge("driftline_gpu_power_watts", "Power that a graphics card draws.", &["device"]);

/// All metrics of this subsystem.
pub const ALL: &[Metric] = &[
    COST,
    CACHE_LOOKUPS,
    CACHE_REFUSED,
    CACHE_EVICTIONS,
    CACHE_BYTES,
    CACHE_ANSWERS,
    GPU_UTILIZATION,
    GPU_MEMORY_USED,
    GPU_MEMORY_TOTAL,
    GPU_TEMPERATURE,
    GPU_POWER,
];
