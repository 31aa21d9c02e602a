//! SQL of the panels that show rows. It reads the views of `contract::views` and nothing else. An aggregate never has
//! its column's name: ClickHouse would read the alias inside the aggregate.

use contract::views::{CONFIDENCE, DRIFT, EVENTS, FAILURES, LABELS, OUTCOMES, SHADOW, TRAFFIC};

/// Rows in the panels that list the newest.
const NEWEST: u32 = 50;

/// The dashboard's time range and model; `match` takes the variable's pattern.
const IN_VIEW: &str = "$__timeFilter(at) AND match(model, '^(${model:pipe})$')";

/// Events as annotations.
pub fn events() -> String {
    format!(
        "SELECT at AS time, text, kind AS title, concat(model, ' ', version) AS tags FROM {} WHERE {IN_VIEW} OR \
         (model = '' AND $__timeFilter(at)) ORDER BY at DESC LIMIT 200",
        EVENTS.name
    )
}

/// The newest bad requests.
pub fn failures() -> String {
    format!(
        "SELECT at, model, version, outcome, code, reason, total_ms, id FROM {} WHERE {IN_VIEW} ORDER BY at DESC LIMIT {NEWEST}",
        FAILURES.name
    )
}

/// The newest verdicts that are not stable.
pub fn drifts() -> String {
    format!(
        "SELECT at, model, version, feature, state, ks_lower, ks_upper, psi, p_value, q_value, observations FROM {} \
         WHERE {IN_VIEW} AND state != 'stable' ORDER BY at DESC, ks_lower DESC LIMIT {NEWEST}",
        DRIFT.name
    )
}

/// Requests by outcome, with their latency, over the dashboard's range.
pub fn traffic() -> String {
    format!(
        "SELECT model, version, outcome, sum(requests) AS all_requests, max(p50_ms) AS worst_p50_ms, \
         max(p95_ms) AS worst_p95_ms, max(p99_ms) AS worst_p99_ms FROM {} WHERE {IN_VIEW} GROUP BY model, version, outcome ORDER BY model, version, all_requests DESC",
        TRAFFIC.name
    )
}

/// Confidence by class, over the dashboard's range.
pub fn confidence() -> String {
    format!(
        "SELECT model, version, label, sum(answers) AS all_answers, sum(mean * answers) / sum(answers) AS mean_confidence, \
         min(p05) AS worst_p05 FROM {} WHERE {IN_VIEW} GROUP BY model, version, label ORDER BY model, version, all_answers DESC",
        CONFIDENCE.name
    )
}

/// Agreement a minute.
pub fn agreement() -> String {
    format!(
        "SELECT at AS time, concat(model, ' ', shadow, ' beside ', version) AS metric, sum(agreed) / nullIf(sum(pairs), 0) AS agreement \
         FROM {} WHERE {IN_VIEW} GROUP BY at, model, version, shadow ORDER BY at",
        SHADOW.name
    )
}

/// Labels an hour; they belong to no model before they are joined.
pub fn labels() -> String {
    format!(
        "SELECT at AS time, sum(labels) AS all_labels, sum(corrected) AS all_corrected, sum(unknown) AS all_unknown FROM {} \
         WHERE $__timeFilter(at) GROUP BY at ORDER BY at",
        LABELS.name
    )
}

/// Feedback an hour, the mean by name.
pub fn outcomes() -> String {
    format!(
        "SELECT at AS time, concat(model, ' ', version, ' ', name) AS metric, sum(mean * outcomes) / sum(outcomes) AS mean_outcome \
         FROM {} WHERE {IN_VIEW} GROUP BY at, model, version, name ORDER BY at",
        OUTCOMES.name
    )
}
