-- An answer without labels (a task has none, or its primary gave none) is stored, so that failures are a share of all that a
-- shadow was asked; it is no pair.
CREATE OR REPLACE VIEW dash_shadow AS
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
