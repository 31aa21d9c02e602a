-- Feedback on answers, events from outside, and what holds now of labels that were corrected.
--
-- The version of a correction is (at, received_at): the later truth holds, and of two about the same moment the one that
-- came later. Ids that no observation has are kept: it may still come, and `dash_labels` counts them.

CREATE TABLE IF NOT EXISTS outcomes (
    id UUID,
    item UInt32,
    segment UUID,
    received_at DateTime64(3, 'UTC'),
    at DateTime64(3, 'UTC'),
    name LowCardinality(String),
    value Float64,
    -- whether `value` is 0 for no and 1 for yes
    is_boolean Bool,
    INDEX by_segment segment TYPE bloom_filter(0.001) GRANULARITY 1
) ENGINE = MergeTree ORDER BY (name, id, item, at)
TTL toDateTime(at) + INTERVAL 365 DAY
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

-- The analyzer writes events too, without these.
ALTER TABLE events ADD COLUMN IF NOT EXISTS id UUID DEFAULT generateUUIDv4();
ALTER TABLE events ADD COLUMN IF NOT EXISTS segment UUID DEFAULT toUUID('00000000-0000-0000-0000-000000000000');
ALTER TABLE events ADD COLUMN IF NOT EXISTS received_at DateTime64(3, 'UTC') DEFAULT at;
ALTER TABLE events ADD COLUMN IF NOT EXISTS source LowCardinality(String) DEFAULT '';
ALTER TABLE events ADD INDEX IF NOT EXISTS by_segment segment TYPE bloom_filter(0.001) GRANULARITY 1;

CREATE OR REPLACE VIEW labels_current AS
SELECT
    id,
    item,
    argMax(l.label, (l.at, l.received_at)) AS label,
    max(l.at) AS at,
    max(l.received_at) AS received_at,
    count() AS versions
FROM labels AS l
GROUP BY id, item;

CREATE OR REPLACE VIEW outcomes_current AS
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

-- What was answered beside what was true: one row a labelled item. Each item's answer is in `categories`.
CREATE OR REPLACE VIEW labelled AS
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
INNER JOIN labels_current AS l ON c.id = l.id AND c.item = l.item
WHERE c.feature = 'output.label';

CREATE OR REPLACE VIEW dash_labels AS
SELECT
    toStartOfHour(l.received_at) AS at,
    count() AS labels,
    countIf(versions > 1) AS corrected,
    countIf(l.id NOT IN (SELECT id FROM observations)) AS unknown
FROM labels_current AS l
GROUP BY at;

CREATE OR REPLACE VIEW dash_outcomes AS
SELECT
    toStartOfHour(u.at) AS at,
    o.model AS model,
    o.version AS version,
    u.name AS name,
    count() AS outcomes,
    avg(u.value) AS mean
FROM outcomes_current AS u
INNER JOIN observations AS o ON u.id = o.id
GROUP BY at, model, version, name;
