CREATE TABLE IF NOT EXISTS observations_local ON CLUSTER 'main' (
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
    label LowCardinality(String),
    confidence Nullable(Float64),
    margin Nullable(Float64),
    entropy Nullable(Float64),
    INDEX by_segment segment TYPE bloom_filter(0.001) GRANULARITY 1
) ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/driftline/observations', '{replica}') ORDER BY (model, at, id)
TTL toDateTime(at) + INTERVAL 90 DAY
SETTINGS replicated_deduplication_window_seconds = 604800, replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS observations ON CLUSTER 'main' AS observations_local ENGINE = Distributed('main', 'driftline', 'observations_local', cityHash64(segment));

CREATE TABLE IF NOT EXISTS features_local ON CLUSTER 'main' (
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
) ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/driftline/features', '{replica}') ORDER BY (model, feature, at)
TTL toDateTime(at) + INTERVAL 30 DAY
SETTINGS replicated_deduplication_window_seconds = 604800, replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS features ON CLUSTER 'main' AS features_local ENGINE = Distributed('main', 'driftline', 'features_local', cityHash64(segment));

CREATE TABLE IF NOT EXISTS categories_local ON CLUSTER 'main' (
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
) ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/driftline/categories', '{replica}') ORDER BY (model, feature, at)
TTL toDateTime(at) + INTERVAL 30 DAY
SETTINGS replicated_deduplication_window_seconds = 604800, replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS categories ON CLUSTER 'main' AS categories_local ENGINE = Distributed('main', 'driftline', 'categories_local', cityHash64(segment));

CREATE TABLE IF NOT EXISTS payloads_local ON CLUSTER 'main' (
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
) ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/driftline/payloads', '{replica}') ORDER BY (model, at, id)
TTL toDateTime(at) + INTERVAL 14 DAY
SETTINGS replicated_deduplication_window_seconds = 604800, replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS payloads ON CLUSTER 'main' AS payloads_local ENGINE = Distributed('main', 'driftline', 'payloads_local', cityHash64(segment));

CREATE TABLE IF NOT EXISTS comparisons_local ON CLUSTER 'main' (
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
) ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/driftline/comparisons', '{replica}') ORDER BY (model, shadow, at)
TTL toDateTime(at) + INTERVAL 90 DAY
SETTINGS replicated_deduplication_window_seconds = 604800, replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS comparisons ON CLUSTER 'main' AS comparisons_local ENGINE = Distributed('main', 'driftline', 'comparisons_local', cityHash64(segment));

CREATE TABLE IF NOT EXISTS labels_local ON CLUSTER 'main' (
    id UUID,
    item UInt32,
    segment UUID,
    received_at DateTime64(3, 'UTC'),
    at DateTime64(3, 'UTC'),
    label LowCardinality(String),
    INDEX by_segment segment TYPE bloom_filter(0.001) GRANULARITY 1
) ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/driftline/labels', '{replica}') ORDER BY (id, item, at)
TTL toDateTime(at) + INTERVAL 365 DAY
SETTINGS replicated_deduplication_window_seconds = 604800, replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS labels ON CLUSTER 'main' AS labels_local ENGINE = Distributed('main', 'driftline', 'labels_local', cityHash64(segment));

CREATE TABLE IF NOT EXISTS heartbeats_local ON CLUSTER 'main' (
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
) ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/driftline/heartbeats', '{replica}') ORDER BY (source, sent_at)
TTL toDateTime(sent_at) + INTERVAL 7 DAY
SETTINGS replicated_deduplication_window_seconds = 604800, replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS heartbeats ON CLUSTER 'main' AS heartbeats_local ENGINE = Distributed('main', 'driftline', 'heartbeats_local', cityHash64(segment));

CREATE TABLE IF NOT EXISTS events_local ON CLUSTER 'main' (
    at DateTime64(3, 'UTC'),
    kind LowCardinality(String),
    model LowCardinality(String),
    version LowCardinality(String),
    text String
) ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/driftline/events', '{replica}') ORDER BY (at, kind)
TTL toDateTime(at) + INTERVAL 365 DAY
SETTINGS replicated_deduplication_window_seconds = 604800, replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS events ON CLUSTER 'main' AS events_local ENGINE = Distributed('main', 'driftline', 'events_local', cityHash64(model));

CREATE TABLE IF NOT EXISTS baselines_local ON CLUSTER 'main' (
    model LowCardinality(String),
    version LowCardinality(String),
    feature LowCardinality(String),
    fingerprint LowCardinality(String),
    frozen_at DateTime64(3, 'UTC'),
    provisional Bool,
    m UInt64,
    bins String CODEC(ZSTD(3))
) ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/driftline/baselines', '{replica}') ORDER BY (model, frozen_at, feature)
SETTINGS replicated_deduplication_window_seconds = 604800, replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS baselines ON CLUSTER 'main' AS baselines_local ENGINE = Distributed('main', 'driftline', 'baselines_local', cityHash64(model));

CREATE TABLE IF NOT EXISTS bin_counts_local ON CLUSTER 'main' (
    model LowCardinality(String),
    version LowCardinality(String),
    feature LowCardinality(String),
    fingerprint LowCardinality(String),
    window_start DateTime64(3, 'UTC'),
    window_end DateTime64(3, 'UTC'),
    bin Int32,
    n UInt64
) ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/driftline/bin_counts', '{replica}') ORDER BY (model, feature, fingerprint, window_start, bin)
TTL toDateTime(window_end) + INTERVAL 365 DAY
SETTINGS replicated_deduplication_window_seconds = 604800, replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS bin_counts ON CLUSTER 'main' AS bin_counts_local ENGINE = Distributed('main', 'driftline', 'bin_counts_local', cityHash64(model));

CREATE TABLE IF NOT EXISTS verdicts_local ON CLUSTER 'main' (
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
) ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/driftline/verdicts', '{replica}', judged_at) ORDER BY (model, feature, window_end)
TTL toDateTime(window_end) + INTERVAL 365 DAY
SETTINGS replicated_deduplication_window_seconds = 604800, replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS verdicts ON CLUSTER 'main' AS verdicts_local ENGINE = Distributed('main', 'driftline', 'verdicts_local', cityHash64(model));

CREATE OR REPLACE VIEW dash_traffic ON CLUSTER 'main' AS
SELECT
    toStartOfMinute(o.at) AS at,
    model,
    version,
    outcome,
    count() AS requests,
    quantile(0.5)(total_us) / 1000 AS p50_ms,
    quantile(0.95)(total_us) / 1000 AS p95_ms,
    quantile(0.99)(total_us) / 1000 AS p99_ms
FROM observations AS o
GROUP BY at, model, version, outcome;

CREATE OR REPLACE VIEW dash_drift ON CLUSTER 'main' AS
SELECT
    window_end AS at,
    model,
    version,
    feature,
    state,
    ks_lower,
    ks_upper,
    p_value,
    q_value,
    psi,
    n AS observations
FROM verdicts FINAL;

CREATE OR REPLACE VIEW dash_confidence ON CLUSTER 'main' AS
SELECT
    toStartOfMinute(o.at) AS at,
    model,
    version,
    label,
    count() AS answers,
    avg(confidence) AS mean,
    quantile(0.05)(confidence) AS p05,
    quantile(0.5)(confidence) AS p50
FROM observations AS o
WHERE outcome = 'ok' AND isNotNull(confidence)
GROUP BY at, model, version, label;

CREATE OR REPLACE VIEW dash_shadow ON CLUSTER 'main' AS
SELECT
    toStartOfMinute(c.at) AS at,
    model,
    version,
    shadow,
    countIf(answered) AS pairs,
    countIf(answered AND primary_label = shadow_label) AS agreed,
    countIf(NOT answered) AS failed
FROM comparisons AS c
GROUP BY at, model, version, shadow;

CREATE OR REPLACE VIEW dash_failures ON CLUSTER 'main' AS
SELECT
    at,
    id,
    model,
    version,
    outcome,
    code,
    reason,
    total_us / 1000 AS total_ms
FROM observations
WHERE outcome IN ('error', 'timeout', 'rejected');

CREATE OR REPLACE VIEW dash_events ON CLUSTER 'main' AS
SELECT
    at,
    kind,
    model,
    version,
    text
FROM events;

CREATE TABLE IF NOT EXISTS detector_state_local ON CLUSTER 'main' (
    model LowCardinality(String),
    feature LowCardinality(String),
    fingerprint LowCardinality(String),
    window_end DateTime64(3, 'UTC'),
    judged_at DateTime64(3, 'UTC'),
    state String CODEC(ZSTD(3))
) ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/driftline/detector_state', '{replica}', judged_at) ORDER BY (model, fingerprint, window_end, feature)
TTL toDateTime(window_end) + INTERVAL 30 DAY
SETTINGS replicated_deduplication_window_seconds = 604800, replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS detector_state ON CLUSTER 'main' AS detector_state_local ENGINE = Distributed('main', 'driftline', 'detector_state_local', cityHash64(model));

CREATE TABLE IF NOT EXISTS outcomes_local ON CLUSTER 'main' (
    id UUID,
    item UInt32,
    segment UUID,
    received_at DateTime64(3, 'UTC'),
    at DateTime64(3, 'UTC'),
    name LowCardinality(String),
    value Float64,
    is_boolean Bool,
    INDEX by_segment segment TYPE bloom_filter(0.001) GRANULARITY 1
) ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/driftline/outcomes', '{replica}') ORDER BY (name, id, item, at)
TTL toDateTime(at) + INTERVAL 365 DAY
SETTINGS replicated_deduplication_window_seconds = 604800, replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS outcomes ON CLUSTER 'main' AS outcomes_local ENGINE = Distributed('main', 'driftline', 'outcomes_local', cityHash64(segment));

ALTER TABLE events_local ON CLUSTER 'main' ADD COLUMN IF NOT EXISTS id UUID DEFAULT generateUUIDv4();

ALTER TABLE events_local ON CLUSTER 'main' ADD COLUMN IF NOT EXISTS segment UUID DEFAULT toUUID('00000000-0000-0000-0000-000000000000');

ALTER TABLE events_local ON CLUSTER 'main' ADD COLUMN IF NOT EXISTS received_at DateTime64(3, 'UTC') DEFAULT at;

ALTER TABLE events_local ON CLUSTER 'main' ADD COLUMN IF NOT EXISTS source LowCardinality(String) DEFAULT '';

ALTER TABLE events_local ON CLUSTER 'main' ADD INDEX IF NOT EXISTS by_segment segment TYPE bloom_filter(0.001) GRANULARITY 1;

CREATE OR REPLACE TABLE events ON CLUSTER 'main' AS events_local ENGINE = Distributed('main', 'driftline', 'events_local', cityHash64(segment));

CREATE OR REPLACE VIEW labels_current ON CLUSTER 'main' AS
SELECT
    id,
    item,
    argMax(l.label, (l.at, l.received_at)) AS label,
    max(l.at) AS at,
    max(l.received_at) AS received_at,
    count() AS versions
FROM labels AS l
GROUP BY id, item;

CREATE OR REPLACE VIEW outcomes_current ON CLUSTER 'main' AS
SELECT
    id,
    item,
    name,
    argMax(o.value, (o.at, o.received_at)) AS value,
    argMax(o.is_boolean, (o.at, o.received_at)) AS is_boolean,
    max(o.at) AS at,
    count() AS versions
FROM outcomes AS o
GROUP BY id, item, name;

CREATE OR REPLACE VIEW labelled ON CLUSTER 'main' AS
SELECT
    c.at AS at,
    c.id AS id,
    c.item AS item,
    c.model AS model,
    c.version AS version,
    c.value AS answer,
    l.label AS truth,
    l.at AS truth_at
FROM categories AS c
GLOBAL INNER JOIN labels_current AS l ON c.id = l.id AND c.item = l.item
WHERE c.feature = 'output.label';

CREATE OR REPLACE VIEW dash_labels ON CLUSTER 'main' AS
SELECT
    toStartOfHour(l.received_at) AS at,
    count() AS labels,
    countIf(versions > 1) AS corrected,
    countIf(l.id GLOBAL NOT IN (SELECT id FROM observations)) AS unknown
FROM labels_current AS l
GROUP BY at;

CREATE OR REPLACE VIEW dash_outcomes ON CLUSTER 'main' AS
SELECT
    toStartOfHour(u.at) AS at,
    o.model AS model,
    o.version AS version,
    u.name AS name,
    count() AS outcomes,
    avg(u.value) AS mean
FROM outcomes_current AS u
GLOBAL INNER JOIN observations AS o ON u.id = o.id
GROUP BY at, model, version, name;

ALTER TABLE observations_local ON CLUSTER 'main' ADD COLUMN IF NOT EXISTS batch_variant Bool DEFAULT false;

ALTER TABLE observations_local ON CLUSTER 'main' ADD COLUMN IF NOT EXISTS from_cache Bool DEFAULT false;

ALTER TABLE observations_local ON CLUSTER 'main' ADD COLUMN IF NOT EXISTS padding Float64 DEFAULT 0;

ALTER TABLE observations_local ON CLUSTER 'main' ADD COLUMN IF NOT EXISTS provider LowCardinality(String) DEFAULT '';

CREATE OR REPLACE TABLE observations ON CLUSTER 'main' AS observations_local ENGINE = Distributed('main', 'driftline', 'observations_local', cityHash64(segment));

ALTER TABLE events_local ON CLUSTER 'main' MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;

CREATE OR REPLACE VIEW dash_stages ON CLUSTER 'main' AS
SELECT
    at,
    id,
    model,
    version,
    outcome,
    tokenize_us / 1000 AS tokenize_ms,
    queue_us / 1000 AS queue_ms,
    infer_us / 1000 AS infer_ms,
    greatest(toInt64(total_us) - toInt64(tokenize_us + queue_us + infer_us), 0) / 1000 AS rest_ms,
    total_us / 1000 AS total_ms
FROM observations;

CREATE OR REPLACE VIEW dash_bins ON CLUSTER 'main' AS
WITH frozen AS (
    SELECT
        model,
        feature,
        fingerprint,
        JSONExtractString(bins, 'kind') = 'numbers' AS is_numbers,
        JSONExtract(bins, 'edges', 'Array(Float64)') AS edges,
        JSONExtract(bins, 'names', 'Array(String)') AS names,
        JSONExtract(bins, 'counts', 'Array(UInt64)') AS counts,
        toInt32(if(is_numbers, length(edges) + 1, length(names))) AS last,
        greatest(last - 2, 1) AS inner_cells,
        arrayMap(
            (c, n) -> toInt32(if(
                is_numbers,
                multiIf(
                    c = 0 OR c = last + 1, 3000000,
                    c = 1, 0,
                    c = last, 2999999,
                    c > last + 1, 3000000 + c - last - 1,
                    n * 20 >= m AND abs(reinterpretAsInt64(edges[c]) - reinterpretAsInt64(edges[c - 1])) = 1, 2 * c,
                    2 * (2 + intDiv(intDiv((c - 2) * 20, inner_cells) * inner_cells + 19, 20)) + 1
                ),
                multiIf(
                    c < least(last, 30), c,
                    c < last, 30,
                    c = last, 3000004,
                    c = last + 1, 3000002,
                    3000003
                )
            )),
            arrayMap(c -> toInt32(c), range(length(counts))),
            counts
        ) AS keys,
        arraySort(arrayDistinct(keys)) AS parts,
        arrayMap(p -> arraySum(arrayMap((k, n) -> if(k = p, n, 0), keys, counts)) / m, parts) AS shares,
        arrayMap(
            p -> multiIf(
                p = 3000000, 'infinite',
                p = 3000001, 'NaN',
                p = 3000002, 'missing',
                p = 3000003, 'other type',
                p = 3000004, 'never seen',
                NOT is_numbers, 'category',
                p = 0, 'below',
                p = 2999999, 'above',
                p % 2 = 0, 'atom',
                'range'
            ),
            parts
        ) AS kinds,
        arrayMap(
            (p, kind) -> multiIf(
                kind = 'category', if(p = 30, 'rarer ones', names[p + 1]),
                kind = 'below', if(last = 1, 'any number', concat('below ', printf('%.4g', edges[1]))),
                kind = 'above', concat('above ', printf('%.4g', edges[last - 1])),
                kind = 'atom', concat('= ', printf('%.4g', edges[intDiv(p, 2) - 1])),
                kind = 'range', concat('from ', printf('%.4g', edges[intDiv(p, 2) - 1])),
                kind
            ),
            parts,
            kinds
        ) AS labels
    FROM (
        SELECT
            model,
            feature,
            fingerprint,
            argMax(b.bins, frozen_at) AS bins,
            greatest(argMax(b.m, frozen_at), 1) AS m
        FROM baselines AS b
        GROUP BY model, feature, fingerprint
    )
)
SELECT
    at,
    model,
    version,
    feature,
    part,
    label,
    kind,
    reference,
    counted[indexOf(filled, part)] AS current
FROM (
    SELECT
        at,
        model,
        version,
        feature,
        any(w.parts) AS parts,
        any(w.labels) AS labels,
        any(w.kinds) AS kinds,
        any(w.shares) AS shares,
        groupArray(w.key) AS filled,
        groupArray(w.n) AS counted
    FROM (
        SELECT
            c.window_end AS at,
            c.model AS model,
            c.version AS version,
            c.feature AS feature,
            any(f.parts) AS parts,
            any(f.labels) AS labels,
            any(f.kinds) AS kinds,
            any(f.shares) AS shares,
            f.keys[1 + if(
                f.is_numbers,
                multiIf(c.bin = -1, f.last + 2, c.bin = -2, f.last + 3, c.bin BETWEEN 0 AND f.last + 1, c.bin, f.last + 4),
                multiIf(c.bin = -4, f.last, c.bin = -2, f.last + 1, c.bin BETWEEN 0 AND f.last - 1, c.bin, f.last + 2)
            )] AS key,
            sum(c.n) AS n
        FROM bin_counts AS c FINAL
        GLOBAL INNER JOIN frozen AS f ON c.model = f.model AND c.feature = f.feature AND c.fingerprint = f.fingerprint
        GROUP BY at, model, version, feature, key
    ) AS w
    GROUP BY at, model, version, feature
)
ARRAY JOIN
    parts AS part,
    labels AS label,
    kinds AS kind,
    shares AS reference;

CREATE TABLE IF NOT EXISTS segment_references_local ON CLUSTER 'main' (
    model LowCardinality(String),
    fingerprint LowCardinality(String),
    segment LowCardinality(String),
    value String,
    feature LowCardinality(String),
    bin Int32,
    until DateTime64(3, 'UTC'),
    n UInt64
) ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/driftline/segment_references', '{replica}') ORDER BY (model, fingerprint, segment, value, feature, bin)
SETTINGS replicated_deduplication_window_seconds = 604800, replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS segment_references ON CLUSTER 'main' AS segment_references_local ENGINE = Distributed('main', 'driftline', 'segment_references_local', cityHash64(segment));

CREATE TABLE IF NOT EXISTS segment_counts_local ON CLUSTER 'main' (
    model LowCardinality(String),
    fingerprint LowCardinality(String),
    window_start DateTime64(3, 'UTC'),
    window_end DateTime64(3, 'UTC'),
    segment LowCardinality(String),
    value String,
    feature LowCardinality(String),
    bin Int32,
    n UInt64
) ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/driftline/segment_counts', '{replica}') ORDER BY (model, fingerprint, window_start, segment, value, feature, bin)
TTL toDateTime(window_end) + INTERVAL 90 DAY
SETTINGS replicated_deduplication_window_seconds = 604800, replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS segment_counts ON CLUSTER 'main' AS segment_counts_local ENGINE = Distributed('main', 'driftline', 'segment_counts_local', cityHash64(segment));

CREATE TABLE IF NOT EXISTS segment_verdicts_local ON CLUSTER 'main' (
    model LowCardinality(String),
    feature LowCardinality(String),
    segment LowCardinality(String),
    value String,
    window_end DateTime64(3, 'UTC'),
    judged_at DateTime64(3, 'UTC'),
    state LowCardinality(String),
    fingerprint LowCardinality(String),
    evidence String CODEC(ZSTD(3))
) ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/driftline/segment_verdicts', '{replica}', judged_at) ORDER BY (model, window_end, segment, value, feature)
TTL toDateTime(window_end) + INTERVAL 90 DAY
SETTINGS replicated_deduplication_window_seconds = 604800, replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS segment_verdicts ON CLUSTER 'main' AS segment_verdicts_local ENGINE = Distributed('main', 'driftline', 'segment_verdicts_local', cityHash64(segment));

CREATE TABLE IF NOT EXISTS embedding_references_local ON CLUSTER 'main' (
    model LowCardinality(String),
    fingerprint LowCardinality(String),
    embedding LowCardinality(String),
    until DateTime64(3, 'UTC'),
    n UInt64,
    means Array(Float64),
    covariances Array(Float64)
) ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/driftline/embedding_references', '{replica}') ORDER BY (model, fingerprint, embedding)
SETTINGS replicated_deduplication_window_seconds = 604800, replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS embedding_references ON CLUSTER 'main' AS embedding_references_local ENGINE = Distributed('main', 'driftline', 'embedding_references_local', cityHash64(model));

CREATE OR REPLACE VIEW dash_shadow ON CLUSTER 'main' AS
SELECT
    toStartOfMinute(c.at) AS at,
    model,
    version,
    shadow,
    countIf(answered AND primary_label != '') AS pairs,
    countIf(answered AND primary_label != '' AND primary_label = shadow_label) AS agreed,
    countIf(NOT answered) AS failed
FROM comparisons AS c
GROUP BY at, model, version, shadow;

CREATE TABLE IF NOT EXISTS baseline_acts_local ON CLUSTER 'main' (
    model LowCardinality(String),
    fingerprint LowCardinality(String),
    at DateTime64(3, 'UTC'),
    act LowCardinality(String),
    who String
) ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/driftline/baseline_acts', '{replica}') ORDER BY (model, fingerprint, at)
SETTINGS replicated_deduplication_window_seconds = 604800, replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS baseline_acts ON CLUSTER 'main' AS baseline_acts_local ENGINE = Distributed('main', 'driftline', 'baseline_acts_local', cityHash64(model));

ALTER TABLE comparisons_local ON CLUSTER 'main' ADD COLUMN IF NOT EXISTS compared LowCardinality(String) DEFAULT '';

ALTER TABLE comparisons_local ON CLUSTER 'main' ADD COLUMN IF NOT EXISTS absolute_gap Float64 DEFAULT 0;

ALTER TABLE comparisons_local ON CLUSTER 'main' ADD COLUMN IF NOT EXISTS relative_gap Float64 DEFAULT 0;

CREATE OR REPLACE TABLE comparisons ON CLUSTER 'main' AS comparisons_local ENGINE = Distributed('main', 'driftline', 'comparisons_local', cityHash64(segment));

ALTER TABLE labels_local ON CLUSTER 'main' ADD INDEX IF NOT EXISTS by_arrival received_at TYPE minmax GRANULARITY 1;

ALTER TABLE categories_local ON CLUSTER 'main' ADD INDEX IF NOT EXISTS by_id id TYPE bloom_filter(0.0001) GRANULARITY 1;

CREATE OR REPLACE VIEW labels_current ON CLUSTER 'main' AS
SELECT
    id,
    item,
    argMax(l.label, (l.at, l.received_at)) AS label,
    max(l.at) AS at,
    max(l.received_at) AS received_at,
    uniqExact(l.label) AS versions
FROM labels AS l
GROUP BY id, item;

CREATE TABLE IF NOT EXISTS shadow_tolerances_local ON CLUSTER 'main' (
    model LowCardinality(String),
    at DateTime64(3, 'UTC'),
    absolute Float64,
    relative Float64,
    vector Float64
) ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/driftline/shadow_tolerances', '{replica}', at) ORDER BY model
SETTINGS replicated_deduplication_window_seconds = 604800, replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS shadow_tolerances ON CLUSTER 'main' AS shadow_tolerances_local ENGINE = Distributed('main', 'driftline', 'shadow_tolerances_local', cityHash64(model));

CREATE OR REPLACE VIEW dash_shadow ON CLUSTER 'main' AS
SELECT
    toStartOfMinute(c.at) AS at,
    c.model AS model,
    c.version AS version,
    c.shadow AS shadow,
    countIf(c.answered AND (c.primary_label != '' OR c.compared != '')) AS pairs,
    countIf(c.answered AND multiIf(
        c.compared = 'number', c.absolute_gap <= t.absolute OR c.relative_gap <= t.relative,
        c.compared = 'vector', c.relative_gap <= t.vector,
        c.primary_label != '' AND c.primary_label = c.shadow_label)) AS agreed,
    countIf(NOT c.answered) AS failed
FROM comparisons AS c
GLOBAL LEFT JOIN (
    SELECT
        model,
        argMax(s.absolute, s.at) AS absolute,
        argMax(s.relative, s.at) AS relative,
        argMax(s.vector, s.at) AS vector
    FROM shadow_tolerances AS s
    GROUP BY model
) AS t ON c.model = t.model
GROUP BY at, model, version, shadow;

CREATE OR REPLACE VIEW dash_labels ON CLUSTER 'main' AS
SELECT
    toStartOfHour(l.received_at) AS at,
    count() AS labels,
    countIf(versions > 1) AS corrected,
    countIf(l.id GLOBAL NOT IN (SELECT id FROM observations WHERE id GLOBAL IN (SELECT id FROM labels))) AS unknown
FROM labels_current AS l
GROUP BY at;

CREATE OR REPLACE VIEW dash_outcomes ON CLUSTER 'main' AS
SELECT
    toStartOfHour(u.at) AS at,
    o.model AS model,
    o.version AS version,
    u.name AS name,
    count() AS outcomes,
    avg(u.value) AS mean
FROM outcomes_current AS u
GLOBAL INNER JOIN (
    SELECT id, model, version FROM observations WHERE id GLOBAL IN (SELECT id FROM outcomes)
) AS o ON u.id = o.id
GROUP BY at, model, version, name;
