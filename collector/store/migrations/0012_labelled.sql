-- Labels are asked for by when they arrived, and the answers of their ids among those of a month. What is stored already gets the
-- indexes as its parts are merged.
ALTER TABLE labels ADD INDEX IF NOT EXISTS by_arrival received_at TYPE minmax GRANULARITY 1;
ALTER TABLE categories ADD INDEX IF NOT EXISTS by_id id TYPE bloom_filter(0.0001) GRANULARITY 1;

-- The same label sent again corrects nothing.
CREATE OR REPLACE VIEW labels_current AS
SELECT
    id,
    item,
    argMax(l.label, (l.at, l.received_at)) AS label,
    max(l.at) AS at,
    max(l.received_at) AS received_at,
    uniqExact(l.label) AS versions
FROM labels AS l
GROUP BY id, item;
