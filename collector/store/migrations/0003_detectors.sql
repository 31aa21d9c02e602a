-- What the detector of a feature knew after a window: the next window starts from it, and an old verdict can be computed
-- again from the state before it.
CREATE TABLE IF NOT EXISTS detector_state (
    model LowCardinality(String),
    feature LowCardinality(String),
    fingerprint LowCardinality(String),
    window_end DateTime64(3, 'UTC'),
    judged_at DateTime64(3, 'UTC'),
    state String CODEC(ZSTD(3))
) ENGINE = ReplacingMergeTree(judged_at) ORDER BY (model, fingerprint, window_end, feature)
TTL toDateTime(window_end) + INTERVAL 30 DAY
SETTINGS non_replicated_deduplication_window = 10000;
