-- What was done with frozen references: frozen as a candidate, promoted, retired. The newest act of a reference holds; one without any
-- counts as promoted when it was frozen. Of a model's promoted references the one promoted last is in force.
CREATE TABLE IF NOT EXISTS baseline_acts (
    model LowCardinality(String),
    fingerprint LowCardinality(String),
    at DateTime64(3, 'UTC'),
    act LowCardinality(String),
    who String
) ENGINE = MergeTree ORDER BY (model, fingerprint, at)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;
