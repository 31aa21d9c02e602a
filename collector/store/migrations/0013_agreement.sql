-- Agreement of shadows by the minute, as the verdict counts it: of classes, and of numbers and vectors by how far apart they may be,
-- which the analyzer's configuration says and the analyzer writes down.
CREATE TABLE IF NOT EXISTS shadow_tolerances (
    model LowCardinality(String),
    at DateTime64(3, 'UTC'),
    absolute Float64,
    relative Float64,
    vector Float64
) ENGINE = ReplacingMergeTree(at) ORDER BY model
SETTINGS non_replicated_deduplication_window = 10000;

CREATE OR REPLACE VIEW dash_shadow AS
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
LEFT JOIN (
    SELECT
        model,
        argMax(s.absolute, s.at) AS absolute,
        argMax(s.relative, s.at) AS relative,
        argMax(s.vector, s.at) AS vector
    FROM shadow_tolerances AS s
    GROUP BY model
) AS t ON c.model = t.model
GROUP BY at, model, version, shadow;
