-- What nobody sent a request for is told by the ids of the labels (the feedback) alone: those of all observations are more than the
-- memory of the embedded engine holds.

CREATE OR REPLACE VIEW dash_labels AS
SELECT
    toStartOfHour(l.received_at) AS at,
    count() AS labels,
    countIf(versions > 1) AS corrected,
    countIf(l.id NOT IN (SELECT id FROM observations WHERE id IN (SELECT id FROM labels))) AS unknown
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
INNER JOIN (
    SELECT id, model, version FROM observations WHERE id IN (SELECT id FROM outcomes)
) AS o ON u.id = o.id
GROUP BY at, model, version, name;
