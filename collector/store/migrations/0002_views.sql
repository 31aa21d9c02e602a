-- Views for dashboards. Their names and columns are those of `contract::views`; a test compares them.

CREATE OR REPLACE VIEW dash_traffic AS
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

CREATE OR REPLACE VIEW dash_drift AS
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

CREATE OR REPLACE VIEW dash_confidence AS
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

-- `failed` counts requests that the shadow was offered and did not answer, shed ones among them.
CREATE OR REPLACE VIEW dash_shadow AS
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

CREATE OR REPLACE VIEW dash_failures AS
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

CREATE OR REPLACE VIEW dash_events AS
SELECT
    at,
    kind,
    model,
    version,
    text
FROM events;
