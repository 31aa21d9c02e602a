-- Tables of raw observations and of judgements.
--
-- Every row that comes from the collector's log carries its `segment`: the log segment it was inserted from. A
-- segment is one insert a table, deduplicated by `insert_deduplication_token` and, where the outcome of an insert is
-- unknown, by counting the rows that carry it (an index finds them). `received_at` is when the collector made the row durable: a window
-- remembers the cut it was judged at.

CREATE TABLE IF NOT EXISTS observations (
    id UUID,
    segment UUID,
    received_at DateTime64(3, 'UTC'),
    at DateTime64(3, 'UTC'),
    source LowCardinality(String),
    trace_id String,
    model LowCardinality(String),
    version LowCardinality(String),
    route LowCardinality(String),
    outcome LowCardinality(String),
    code UInt16,
    reason LowCardinality(String),
    client String,
    total_us UInt64,
    tokenize_us UInt64,
    queue_us UInt64,
    infer_us UInt64,
    batch_size UInt32,
    items UInt32,
    -- the first item's prediction; each item's confidence is in `features`, each item's label in `categories`
    label LowCardinality(String),
    confidence Nullable(Float64),
    margin Nullable(Float64),
    entropy Nullable(Float64),
    INDEX by_segment segment TYPE bloom_filter(0.001) GRANULARITY 1
) ENGINE = MergeTree ORDER BY (model, at, id)
TTL toDateTime(at) + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

-- Numbers, one row an item; `missing` rows hold 0 as value.
CREATE TABLE IF NOT EXISTS features (
    id UUID,
    item UInt32,
    segment UUID,
    received_at DateTime64(3, 'UTC'),
    at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    model LowCardinality(String),
    version LowCardinality(String),
    feature LowCardinality(String),
    value Float64 CODEC(ZSTD(1)),
    missing Bool,
    INDEX by_segment segment TYPE bloom_filter(0.001) GRANULARITY 1
) ENGINE = MergeTree ORDER BY (model, feature, at)
TTL toDateTime(at) + INTERVAL 30 DAY
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS categories (
    id UUID,
    item UInt32,
    segment UUID,
    received_at DateTime64(3, 'UTC'),
    at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    model LowCardinality(String),
    version LowCardinality(String),
    feature LowCardinality(String),
    value LowCardinality(String),
    INDEX by_segment segment TYPE bloom_filter(0.001) GRANULARITY 1
) ENGINE = MergeTree ORDER BY (model, feature, at)
TTL toDateTime(at) + INTERVAL 30 DAY
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

-- Masked content, kept shorter than anything else.
CREATE TABLE IF NOT EXISTS payloads (
    id UUID,
    segment UUID,
    received_at DateTime64(3, 'UTC'),
    at DateTime64(3, 'UTC'),
    model LowCardinality(String),
    version LowCardinality(String),
    input String CODEC(ZSTD(3)),
    output String CODEC(ZSTD(3)),
    inclusion_probability Float64,
    INDEX by_segment segment TYPE bloom_filter(0.001) GRANULARITY 1
) ENGINE = MergeTree ORDER BY (model, at, id)
TTL toDateTime(at) + INTERVAL 14 DAY
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

-- One row an item and shadow; `answered` is false (and labels empty) when the shadow failed or was shed, with item 0.
CREATE TABLE IF NOT EXISTS comparisons (
    id UUID,
    item UInt32,
    segment UUID,
    received_at DateTime64(3, 'UTC'),
    at DateTime64(3, 'UTC'),
    model LowCardinality(String),
    version LowCardinality(String),
    shadow LowCardinality(String),
    answered Bool,
    outcome LowCardinality(String),
    reason LowCardinality(String),
    primary_label LowCardinality(String),
    shadow_label LowCardinality(String),
    primary_confidence Float64,
    shadow_confidence Float64,
    primary_infer_us UInt64,
    shadow_infer_us UInt64,
    INDEX by_segment segment TYPE bloom_filter(0.001) GRANULARITY 1
) ENGINE = MergeTree ORDER BY (model, shadow, at)
TTL toDateTime(at) + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

-- Ground truth; the newest `at` for an (id, item) holds.
CREATE TABLE IF NOT EXISTS labels (
    id UUID,
    item UInt32,
    segment UUID,
    received_at DateTime64(3, 'UTC'),
    at DateTime64(3, 'UTC'),
    label LowCardinality(String),
    INDEX by_segment segment TYPE bloom_filter(0.001) GRANULARITY 1
) ENGINE = MergeTree ORDER BY (id, item, at)
TTL toDateTime(at) + INTERVAL 365 DAY
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

-- One row a batch: the sender's clock and ledger. The watermark is the least over live sources.
CREATE TABLE IF NOT EXISTS heartbeats (
    source LowCardinality(String),
    segment UUID,
    received_at DateTime64(3, 'UTC'),
    epoch UInt64,
    seq UInt64,
    sent_at DateTime64(3, 'UTC'),
    observed UInt64,
    delivered UInt64,
    dropped UInt64,
    in_flight UInt64,
    INDEX by_segment segment TYPE bloom_filter(0.001) GRANULARITY 1
) ENGINE = MergeTree ORDER BY (source, sent_at)
TTL toDateTime(sent_at) + INTERVAL 7 DAY
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

-- Deployments, drift changes, baseline acts.
CREATE TABLE IF NOT EXISTS events (
    at DateTime64(3, 'UTC'),
    kind LowCardinality(String),
    model LowCardinality(String),
    version LowCardinality(String),
    text String
) ENGINE = MergeTree ORDER BY (at, kind)
TTL toDateTime(at) + INTERVAL 365 DAY
SETTINGS non_replicated_deduplication_window = 10000;

-- Frozen references, one row a feature. The newest `frozen_at` of a model is in force. `bins` is the JSON of the
-- analyzer's reference: edges, atoms, categories, counts and sums.
CREATE TABLE IF NOT EXISTS baselines (
    model LowCardinality(String),
    version LowCardinality(String),
    feature LowCardinality(String),
    fingerprint LowCardinality(String),
    frozen_at DateTime64(3, 'UTC'),
    provisional Bool,
    m UInt64,
    bins String CODEC(ZSTD(3))
) ENGINE = MergeTree ORDER BY (model, frozen_at, feature)
SETTINGS non_replicated_deduplication_window = 10000;

-- Counts of a window over the bins of a reference; filled by one INSERT SELECT when the window closes.
CREATE TABLE IF NOT EXISTS bin_counts (
    model LowCardinality(String),
    version LowCardinality(String),
    feature LowCardinality(String),
    fingerprint LowCardinality(String),
    window_start DateTime64(3, 'UTC'),
    window_end DateTime64(3, 'UTC'),
    bin Int32,
    n UInt64
) ENGINE = ReplacingMergeTree ORDER BY (model, feature, fingerprint, window_start, bin)
TTL toDateTime(window_end) + INTERVAL 365 DAY
SETTINGS non_replicated_deduplication_window = 10000;

-- Every judgement with its evidence. `cut` is the newest `received_at` that it saw; `evidence` is the JSON of the
-- verdict as the API gives it.
CREATE TABLE IF NOT EXISTS verdicts (
    model LowCardinality(String),
    version LowCardinality(String),
    feature LowCardinality(String),
    window_start DateTime64(3, 'UTC'),
    window_end DateTime64(3, 'UTC'),
    cut DateTime64(3, 'UTC'),
    judged_at DateTime64(3, 'UTC'),
    state LowCardinality(String),
    n UInt64,
    m UInt64,
    ks_lower Nullable(Float64),
    ks_upper Nullable(Float64),
    p_value Nullable(Float64),
    q_value Nullable(Float64),
    psi Nullable(Float64),
    fingerprint LowCardinality(String),
    evidence String CODEC(ZSTD(3))
) ENGINE = ReplacingMergeTree(judged_at) ORDER BY (model, feature, window_end)
TTL toDateTime(window_end) + INTERVAL 365 DAY
SETTINGS non_replicated_deduplication_window = 10000;
