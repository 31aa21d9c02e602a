-- Segments: the same counts as `bin_counts`, by the value of a segment, and what is judged on them.
--
-- They are counted from the raw rows when a window closes and not by a view at insert: the bins belong to a baseline and the
-- values told apart to its reference, both of which are chosen after rows were written.

-- Counts of the observations that are a segment's reference; `until` is the end of their span.
CREATE TABLE IF NOT EXISTS segment_references (
    model LowCardinality(String),
    fingerprint LowCardinality(String),
    segment LowCardinality(String),
    value String,
    feature LowCardinality(String),
    bin Int32,
    until DateTime64(3, 'UTC'),
    n UInt64
) ENGINE = ReplacingMergeTree ORDER BY (model, fingerprint, segment, value, feature, bin)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS segment_counts (
    model LowCardinality(String),
    fingerprint LowCardinality(String),
    window_start DateTime64(3, 'UTC'),
    window_end DateTime64(3, 'UTC'),
    segment LowCardinality(String),
    value String,
    feature LowCardinality(String),
    bin Int32,
    n UInt64
) ENGINE = ReplacingMergeTree ORDER BY (model, fingerprint, window_start, segment, value, feature, bin)
TTL toDateTime(window_end) + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 10000;

-- `evidence` is the JSON of the verdict as the API gives it.
CREATE TABLE IF NOT EXISTS segment_verdicts (
    model LowCardinality(String),
    feature LowCardinality(String),
    segment LowCardinality(String),
    value String,
    window_end DateTime64(3, 'UTC'),
    judged_at DateTime64(3, 'UTC'),
    state LowCardinality(String),
    fingerprint LowCardinality(String),
    evidence String CODEC(ZSTD(3))
) ENGINE = ReplacingMergeTree(judged_at) ORDER BY (model, window_end, segment, value, feature)
TTL toDateTime(window_end) + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 10000;

-- Means and covariances of an embedding's stored projections in the observations that are a reference; `covariances` row by row.
CREATE TABLE IF NOT EXISTS embedding_references (
    model LowCardinality(String),
    fingerprint LowCardinality(String),
    embedding LowCardinality(String),
    until DateTime64(3, 'UTC'),
    n UInt64,
    means Array(Float64),
    covariances Array(Float64)
) ENGINE = ReplacingMergeTree ORDER BY (model, fingerprint, embedding)
SETTINGS non_replicated_deduplication_window = 10000;
