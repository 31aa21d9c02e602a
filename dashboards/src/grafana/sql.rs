//! SQL of the panels that show rows. It reads the views of `contract::views` and nothing else. An aggregate never has
//! its column's name: ClickHouse would read the alias inside the aggregate.

use contract::views::{BINS, CONFIDENCE, DRIFT, EVENTS, FAILURES, LABELS, OUTCOMES, SHADOW, STAGES, TRAFFIC};
use contract::wire::Outcome;

/// Rows in the panels that list the newest.
const NEWEST: u32 = 50;

/// The dashboard's time range and model; `match` takes the variable's pattern.
const IN_VIEW: &str = "$__timeFilter(at) AND match(model, '^(${model:pipe})$')";
/// The same of rows that stand for an hour: the first of them began before the range does.
const HOURS_IN_VIEW: &str = "at >= toStartOfHour($__fromTime) AND at <= $__toTime";
/// Its version, where the rows are of one. Rows of pairs have two.
const OF_VERSION: &str = "match(version, '^(${version:pipe})$')";
/// Its feature.
const OF_FEATURE: &str = "match(feature, '^(${feature:pipe})$')";
/// Bars of a waterfall.
const WATERFALL: u32 = 25;
/// Features in a panel of lines.
const LOUDEST: u32 = 12;

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
        "SELECT at, model, version, outcome, code, reason, total_ms, id FROM {} WHERE {IN_VIEW} AND {OF_VERSION} ORDER BY at DESC LIMIT {NEWEST}",
        FAILURES.name
    )
}

/// The newest verdicts that are not stable.
pub fn drifts() -> String {
    format!(
        "SELECT at, model, version, feature, state, ks_lower, ks_upper, psi, p_value, q_value, observations FROM {} \
         WHERE {IN_VIEW} AND {OF_VERSION} AND {OF_FEATURE} AND state != 'stable' ORDER BY at DESC, ks_lower DESC LIMIT {NEWEST}",
        DRIFT.name
    )
}

/// Requests by outcome, with their latency, over the dashboard's range.
pub fn traffic() -> String {
    format!(
        "SELECT model, version, outcome, sum(requests) AS all_requests, max(p50_ms) AS worst_p50_ms, \
         max(p95_ms) AS worst_p95_ms, max(p99_ms) AS worst_p99_ms FROM {} WHERE {IN_VIEW} AND {OF_VERSION} GROUP BY model, version, outcome ORDER BY model, version, all_requests DESC",
        TRAFFIC.name
    )
}

/// Confidence by class, over the dashboard's range.
pub fn confidence() -> String {
    format!(
        "SELECT model, version, label, sum(answers) AS all_answers, sum(mean * answers) / sum(answers) AS mean_confidence, \
         min(p05) AS worst_p05 FROM {} WHERE {IN_VIEW} AND {OF_VERSION} GROUP BY model, version, label ORDER BY model, version, all_answers DESC",
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
         WHERE {HOURS_IN_VIEW} GROUP BY at ORDER BY at",
        LABELS.name
    )
}

/// Feedback an hour, the mean by name.
pub fn outcomes() -> String {
    format!(
        "SELECT at AS time, concat(model, ' ', version, ' ', name) AS metric, sum(mean * outcomes) / sum(outcomes) AS mean_outcome \
         FROM {} WHERE {HOURS_IN_VIEW} AND match(model, '^(${{model:pipe}})$') GROUP BY at, model, version, name ORDER BY at",
        OUTCOMES.name
    )
}

/// Stages of requests, one after the other, as a bar each.
fn waterfall(which: &str, order: &str) -> String {
    format!(
        "SELECT concat(formatDateTime(at, '%H:%i:%S'), ' ', model, ' ', version, ' ', outcome, ' ', right(toString(id), 6)) AS request, \
         queue_ms, tokenize_ms, infer_ms, rest_ms FROM {} WHERE {IN_VIEW} AND {OF_VERSION} AND {which} ORDER BY {order} LIMIT {WATERFALL}",
        STAGES.name
    )
}

/// The slowest good requests.
pub fn slowest() -> String {
    waterfall("outcome = 'ok'", "total_ms DESC")
}

/// The newest requests that spent budget.
pub fn failed_stages() -> String {
    let bad: Vec<String> =
        Outcome::ALL.into_iter().filter(|o| o.is_bad()).map(|o| format!("'{}'", o.as_str())).collect();
    waterfall(&format!("outcome IN ({})", bad.join(", ")), "at DESC")
}

/// The chosen features that moved most, as a condition.
fn loudest(limit: u32) -> String {
    format!(
        "(model, feature) IN (SELECT model, feature FROM {} WHERE {IN_VIEW} AND {OF_FEATURE} GROUP BY model, feature \
         ORDER BY max(ks_lower) DESC NULLS LAST, max(psi) DESC NULLS LAST, model, feature LIMIT {limit})",
        DRIFT.name
    )
}

/// Reference and range beside each other, part by part, for the one chosen feature that moved most.
pub fn parts() -> String {
    format!(
        "SELECT label, concat(model, ' ', feature) AS shown, any(reference) AS in_reference, \
         sum(current) / nullIf(sum(sum(current)) OVER (), 0) AS in_range FROM {} WHERE {IN_VIEW} AND {} \
         GROUP BY model, feature, part, label ORDER BY part",
        BINS.name,
        loudest(1)
    )
}

/// Atoms, and values that are no ordinary ones, by how much their share differs from the reference's.
pub fn unusual_parts() -> String {
    format!(
        "SELECT model, feature, kind, label, in_reference, in_range FROM (SELECT model, feature, kind, label, any(reference) AS in_reference, \
         sum(current) / nullIf(sum(sum(current)) OVER (PARTITION BY model, feature), 0) AS in_range FROM {} WHERE {IN_VIEW} AND {} \
         GROUP BY model, feature, part, kind, label) WHERE kind NOT IN ('range', 'category') AND (in_reference > 0 OR in_range > 0) \
         ORDER BY abs(in_range - in_reference) DESC LIMIT {NEWEST}",
        BINS.name,
        loudest(LOUDEST)
    )
}

/// Share of values that the reference has no place for, window by window.
pub fn quality() -> String {
    format!(
        "SELECT at AS time, concat(model, ' ', feature) AS metric, \
         sumIf(current, kind NOT IN ('range', 'atom', 'category')) / nullIf(sum(current), 0) AS out_of_place \
         FROM {} WHERE {IN_VIEW} AND {} GROUP BY at, model, feature ORDER BY at",
        BINS.name,
        loudest(LOUDEST)
    )
}
