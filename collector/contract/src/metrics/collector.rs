//! Metrics of the collector.

use super::{LATENCY_BUCKETS, Metric};

/// Batches by what became of them.
pub const BATCHES: Metric = Metric::counter(
    "driftline_collector_batches_total",
    "Batches received, by outcome: stored, repeated, invalid, refused.",
    &["outcome"],
);
/// Durable observations.
pub const OBSERVATIONS: Metric =
    Metric::counter("driftline_collector_logged_observations_total", "Observations masked, logged and fsynced.", &[]);
/// Observations that ClickHouse confirmed.
pub const INSERTED: Metric =
    Metric::counter("driftline_collector_inserted_observations_total", "Observations that ClickHouse confirmed.", &[]);
/// Observations durable but not yet in ClickHouse.
pub const BACKLOG: Metric = Metric::gauge(
    "driftline_collector_backlog_observations",
    "Observations in the log that ClickHouse has not confirmed yet, counted in the log.",
    &[],
);
/// Observations put aside because ClickHouse refuses them.
pub const QUARANTINED: Metric = Metric::counter(
    "driftline_collector_quarantined_observations_total",
    "Observations put aside because ClickHouse refuses them.",
    &["reason"],
);
/// How full the quarantine is.
pub const QUARANTINE_USED: Metric = Metric::gauge(
    "driftline_collector_quarantine_used_ratio",
    "Bytes in the quarantine folder over what it may hold; at 1 refused rows have no place and their segments wait.",
    &[],
);
/// Labels stored.
pub const LABELS_STORED: Metric =
    Metric::counter("driftline_collector_labels_total", "Ground-truth labels logged and fsynced.", &[]);
/// Feedback stored.
pub const OUTCOMES_STORED: Metric = Metric::counter(
    "driftline_collector_outcomes_total",
    "Feedback on answers (clicks, accepts, …) logged and fsynced.",
    &[],
);
/// Events stored.
pub const EVENTS_STORED: Metric = Metric::counter(
    "driftline_collector_events_total",
    "Deployments, incidents and changes of versions logged and fsynced.",
    &[],
);
/// Requests and responses that were logged apart.
pub const PAIRS: Metric = Metric::counter(
    "driftline_collector_pairs_total",
    "Logged requests and responses by what became of them: joined, no_response, no_request, squeezed (alone, for lack of \
     room), lost; and halves that were answered 503: refused.",
    &["outcome"],
);
/// Halves that wait for their other half.
pub const HALVES: Metric = Metric::gauge(
    "driftline_collector_waiting_halves",
    "Logged requests and responses that wait for their other half.",
    &[],
);
/// Log size.
pub const LOG_BYTES: Metric = Metric::gauge("driftline_collector_log_bytes", "Bytes in the log's segments.", &[]);
/// Log state.
pub const LOG_STATE: Metric = Metric::gauge(
    "driftline_collector_log_state",
    "1 for the state the log is in (normal, backlogged, full), 0 for the others.",
    &["state"],
);
/// Inserts by outcome.
pub const INSERTS: Metric = Metric::counter(
    "driftline_collector_inserts_total",
    "Segment inserts into a ClickHouse table, by outcome: ok, failed, unknown, found.",
    &["table", "outcome"],
);
/// Insert duration.
pub const INSERT_SECONDS: Metric = Metric::histogram(
    "driftline_collector_insert_seconds",
    "Time of a segment's insert into one table.",
    &["table"],
    LATENCY_BUCKETS,
);
/// Segments of which the rows were not in memory.
pub const SEGMENTS_READ_BACK: Metric = Metric::counter(
    "driftline_collector_read_back_segments_total",
    "Segments that were read from the log to be inserted: after a start, and where ready rows take all of collector.insert.ready_max_bytes.",
    &[],
);
/// Ack duration.
pub const ACK_SECONDS: Metric = Metric::histogram(
    "driftline_collector_ack_seconds",
    "Time from a batch's arrival to its durable acknowledgement.",
    &[],
    LATENCY_BUCKETS,
);
/// Second pass hits.
pub const SECOND_PASS_HITS: Metric = Metric::counter(
    "driftline_collector_second_pass_hits_total",
    "Personal data that the second masking pass replaced, by source kind and entity; 0 for the proxy's records.",
    &["source", "entity"],
);
/// Names that a model found.
pub const MASKED_NAMES: Metric = Metric::counter(
    "driftline_collector_masked_names_total",
    "Names that the model of collector.names found and that were replaced, by source kind and entity.",
    &["source", "entity"],
);
/// Payloads withheld by the collector.
pub const WITHHELD: Metric = Metric::counter(
    "driftline_collector_withheld_payloads_total",
    "Payloads that came with content and were stored without it, because the collector could not make it safe, by reason.",
    &["reason"],
);
/// Fields of a newer sender.
pub const FIELDS_LEFT_OUT: Metric = Metric::counter(
    "driftline_collector_left_out_fields_total",
    "Fields of batches that were stored without them, because their sender is newer than this collector and it does not know them.",
    &[],
);
/// Gaps in sequence numbers.
pub const SEQUENCE_GAPS: Metric = Metric::counter(
    "driftline_collector_sequence_gaps_total",
    "Batches that a source numbered and that never came.",
    &["source"],
);
/// Torn or corrupt frames and damaged marks met at start.
pub const LOG_REPAIRS: Metric = Metric::counter(
    "driftline_collector_log_repairs_total",
    "Torn tails truncated, corrupt frames skipped and damaged marks met when the log was opened.",
    &["reason"],
);

/// State of [`LOG_STATE`]: all is well.
pub const LOG_NORMAL: &str = "normal";
/// State of [`LOG_STATE`]: segments wait for ClickHouse for longer than they should.
pub const LOG_BACKLOGGED: &str = "backlogged";
/// State of [`LOG_STATE`]: the bound is reached, batches are refused.
pub const LOG_FULL: &str = "full";
/// Source kind of [`SECOND_PASS_HITS`]: records that a proxy of ours had masked before.
pub const SOURCE_PROXY: &str = "proxy";

/// All metrics of this subsystem.
pub const ALL: &[Metric] = &[
    BATCHES,
    OBSERVATIONS,
    INSERTED,
    BACKLOG,
    QUARANTINED,
    QUARANTINE_USED,
    LABELS_STORED,
    OUTCOMES_STORED,
    EVENTS_STORED,
    PAIRS,
    HALVES,
    LOG_BYTES,
    LOG_STATE,
    INSERTS,
    INSERT_SECONDS,
    SEGMENTS_READ_BACK,
    ACK_SECONDS,
    SECOND_PASS_HITS,
    MASKED_NAMES,
    WITHHELD,
    FIELDS_LEFT_OUT,
    SEQUENCE_GAPS,
    LOG_REPAIRS,
];
