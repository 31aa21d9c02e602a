//! Metrics of the inference proxy.

use super::{LATENCY_BUCKETS, Metric, SHARE_BUCKETS, SIZE_BUCKETS};

/// Requests by how they ended.
pub const REQUESTS: Metric = Metric::counter(
    "driftline_proxy_requests_total",
    "Requests started, by how they ended.",
    &["model", "version", "role", "outcome"],
);
/// Answers by HTTP status.
pub const RESPONSES: Metric = Metric::counter(
    "driftline_proxy_responses_total",
    "Answers given to clients, by route and HTTP status.",
    &["model", "route", "code"],
);
/// Wall time of requests at the edge.
pub const REQUEST_SECONDS: Metric = Metric::histogram(
    "driftline_proxy_request_seconds",
    "Time from a request's arrival to its answer.",
    &["model", "version", "outcome"],
    LATENCY_BUCKETS,
);
/// Time by stage (`tokenize`, `queue`, `infer`, `postprocess`).
pub const STAGE_SECONDS: Metric = Metric::histogram(
    "driftline_proxy_stage_seconds",
    "Time that requests spent in a stage.",
    &["model", "version", "role", "stage"],
    LATENCY_BUCKETS,
);
/// Traces by what became of them.
pub const TRACES: Metric = Metric::counter(
    "driftline_proxy_traces_total",
    "Traces that were worth keeping, by what became of them: exported, or dropped and why.",
    &["state"],
);
/// Requests that count for an SLO.
pub const SLI_EVENTS: Metric =
    Metric::counter("driftline_proxy_sli_events_total", "Requests that count for this SLO.", &["slo", "model"]);
/// Requests that spent error budget of an SLO.
pub const SLI_BAD_EVENTS: Metric = Metric::counter(
    "driftline_proxy_sli_bad_events_total",
    "Requests that spent this SLO's error budget.",
    &["slo", "model"],
);
/// Items waiting for a session.
pub const QUEUE_ITEMS: Metric =
    Metric::gauge("driftline_proxy_queue_items", "Items that wait for a session.", &["model", "version", "role"]);
/// Tokens waiting for a session.
pub const QUEUE_TOKENS: Metric = Metric::gauge(
    "driftline_proxy_queue_tokens",
    "Padded tokens (or tensor elements) that wait for a session.",
    &["model", "version", "role"],
);
/// Items a batch.
pub const BATCH_ITEMS: Metric = Metric::histogram(
    "driftline_proxy_batch_items",
    "Items in a batch given to a session.",
    &["model", "version", "role"],
    SIZE_BUCKETS,
);
/// Share of padding a batch.
pub const BATCH_PADDING: Metric = Metric::histogram(
    "driftline_proxy_batch_padding_ratio",
    "Share of a batch's tokens that are padding.",
    &["model", "version", "role"],
    SHARE_BUCKETS,
);
/// What company does to answers.
pub const BATCH_DIFFERENCE: Metric = Metric::gauge(
    "driftline_proxy_batch_difference_ratio",
    "Largest difference that padding and batch companions made to a version's answers when it was loaded.",
    &["model", "version"],
);
/// Whether that is too much.
pub const BATCH_VARIANT: Metric = Metric::gauge(
    "driftline_proxy_batch_variant",
    "1 for a version whose answers depend on what else is in their batch.",
    &["model", "version"],
);
/// Texts cut to the model's length.
pub const TRUNCATED: Metric = Metric::counter(
    "driftline_proxy_truncated_texts_total",
    "Texts that were longer than the model's sequence and were truncated.",
    &["model", "version"],
);
/// Values that break the input schema of a model's folder.
pub const SCHEMA_VIOLATIONS: Metric = Metric::counter(
    "driftline_proxy_schema_violations_total",
    "Input values that break the schema declared in the model's folder, by column and how.",
    &["model", "version", "feature", "reason"],
);
/// Answers that nobody took.
pub const UNREAD_ANSWERS: Metric = Metric::counter(
    "driftline_proxy_unread_answers_total",
    "Answers that were dropped because their client took nothing of them for proxy.request_timeout.",
    &[],
);
/// Texts that the tokenizer refused.
pub const TOKENIZE_ERRORS: Metric = Metric::counter(
    "driftline_proxy_tokenize_errors_total",
    "Texts that the tokenizer could not encode.",
    &["model", "version"],
);
/// State of each version, one series a state.
pub const VERSION_STATE: Metric = Metric::gauge(
    "driftline_proxy_version_state",
    "1 for the state that a version is in, 0 for the others.",
    &["model", "version", "role", "state"],
);
/// What a version runs on.
pub const VERSION_INFO: Metric = Metric::gauge(
    "driftline_proxy_version_info",
    "1 for each loaded version, with the execution provider that really runs.",
    &["model", "version", "role", "provider"],
);
/// Load time.
pub const LOAD_SECONDS: Metric = Metric::gauge(
    "driftline_proxy_load_seconds",
    "Time the last load of a version took, checks and warm-up included.",
    &["model", "version"],
);
/// Refused or failed loads.
pub const LOAD_FAILURES: Metric = Metric::counter(
    "driftline_proxy_load_failures_total",
    "Loads that failed or were refused, by reason.",
    &["model", "version", "reason"],
);
/// Golden samples, pairing and hash checks.
pub const CONVERSION_CHECKS: Metric = Metric::counter(
    "driftline_proxy_conversion_checks_total",
    "Pairing, hash and golden-sample checks made at load, by result.",
    &["model", "version", "outcome"],
);
/// Shadow runs.
pub const SHADOW_RUNS: Metric = Metric::counter(
    "driftline_proxy_shadow_runs_total",
    "Requests offered to a shadow, by how they ended.",
    &["model", "version", "outcome"],
);
/// Seconds in which a session was busy.
pub const BUSY_SECONDS: Metric = Metric::counter(
    "driftline_proxy_session_busy_seconds_total",
    "Seconds in which sessions were running a batch.",
    &["model", "version", "role"],
);
/// Ledger: observed.
pub const MIRROR_OBSERVED: Metric = Metric::counter(
    "driftline_mirror_observed_observations_total",
    "Observations offered to the mirror: one a started request.",
    &[],
);
/// Ledger: delivered.
pub const MIRROR_DELIVERED: Metric = Metric::counter(
    "driftline_mirror_delivered_observations_total",
    "Observations that the collector acknowledged as durable.",
    &[],
);
/// Ledger: dropped by reason.
pub const MIRROR_DROPPED: Metric = Metric::counter(
    "driftline_mirror_dropped_observations_total",
    "Observations lost, by reason: full, oversize, refused, masking_failed, sink_dead, shutdown.",
    &["reason"],
);
/// Ledger: in flight, counted from queues and open posts.
pub const MIRROR_IN_FLIGHT: Metric = Metric::gauge(
    "driftline_mirror_in_flight_observations",
    "Observations waiting or being posted, counted where they are.",
    &["stage"],
);
/// Bytes the mirror holds.
pub const MIRROR_BYTES: Metric =
    Metric::gauge("driftline_mirror_held_bytes", "Bytes of observations that the mirror holds.", &[]);
/// Payload ledger: eligible.
pub const PAYLOADS_ELIGIBLE: Metric =
    Metric::counter("driftline_mirror_eligible_payloads_total", "Requests whose content could have been kept.", &[]);
/// Payload ledger: what became of them.
pub const PAYLOADS: Metric = Metric::counter(
    "driftline_mirror_payloads_total",
    "Eligible payloads by state: stored, sampled_out, withheld.",
    &["state", "reason"],
);
/// First masking pass.
pub const MASKED_ENTITIES: Metric = Metric::counter(
    "driftline_mirror_masked_entities_total",
    "Personal data replaced before bytes left the proxy, by kind.",
    &["entity"],
);
/// Posts to the collector.
pub const MIRROR_POSTS: Metric =
    Metric::counter("driftline_mirror_posts_total", "Posts to the collector, by outcome.", &["outcome"]);

/// Batches on disk.
pub const MIRROR_SPILLED: Metric = Metric::counter(
    "driftline_mirror_spilled_batches_total",
    "Batches that met the disk, by outcome: spilled, recovered from an earlier process, replayed, full, failed.",
    &["outcome"],
);
/// Bytes on disk.
pub const MIRROR_SPILL_BYTES: Metric =
    Metric::gauge("driftline_mirror_spill_bytes", "Bytes of masked batches that wait on disk.", &[]);

/// Outcome of [`CONVERSION_CHECKS`]: the check holds.
pub const CHECK_PASSED: &str = "passed";
/// Outcome of [`CONVERSION_CHECKS`]: it does not, and the version is refused.
pub const CHECK_FAILED: &str = "failed";

/// All metrics of this subsystem.
pub const ALL: &[Metric] = &[
    REQUESTS,
    RESPONSES,
    REQUEST_SECONDS,
    STAGE_SECONDS,
    TRACES,
    SLI_EVENTS,
    SLI_BAD_EVENTS,
    QUEUE_ITEMS,
    QUEUE_TOKENS,
    BATCH_ITEMS,
    BATCH_PADDING,
    BATCH_DIFFERENCE,
    BATCH_VARIANT,
    TRUNCATED,
    SCHEMA_VIOLATIONS,
    UNREAD_ANSWERS,
    TOKENIZE_ERRORS,
    VERSION_STATE,
    VERSION_INFO,
    LOAD_SECONDS,
    LOAD_FAILURES,
    CONVERSION_CHECKS,
    SHADOW_RUNS,
    BUSY_SECONDS,
    MIRROR_OBSERVED,
    MIRROR_DELIVERED,
    MIRROR_DROPPED,
    MIRROR_IN_FLIGHT,
    MIRROR_BYTES,
    PAYLOADS_ELIGIBLE,
    PAYLOADS,
    MASKED_ENTITIES,
    MIRROR_POSTS,
    MIRROR_SPILLED,
    MIRROR_SPILL_BYTES,
];
