//! Grafana dashboards in its classic JSON, and the files that make a server load them.
//!
//! Read `overview.rs` and `pipeline.rs`: one line of prose a panel; `boards.rs` puts their rows together, a question each, and
//! `details.rs` has what only one of them shows. `panel.rs` knows Grafana's JSON, `query.rs` turns a
//! metric's definition into PromQL (a counter can only come out inside `rate`), `layout.rs` places panels.

mod boards;
mod details;
mod layout;
mod overview;
mod panel;
mod pipeline;
mod provisioning;
mod quality;
mod query;
mod segments;
mod serving;
mod sql;
mod versions;

pub use boards::boards;
pub use overview::overview;
pub use pipeline::pipeline;
pub use provisioning::provisioning;

use serde_json::{Value, json};

use layout::Row;

/// Version of the classic schema that these dashboards are written in; newer servers migrate it.
const SCHEMA_VERSION: u32 = 41;

/// Variables that choose what is shown. A query is filtered by those that its metric or view has.
const FILTERS: [&str; 3] = ["model", "version", "feature"];

/// The data source variable for metrics.
const PROMETHEUS: &str = "${prometheus}";
/// The data source variable for rows.
const CLICKHOUSE: &str = "${clickhouse}";
/// The plugin that reads ClickHouse.
const CLICKHOUSE_PLUGIN: &str = "grafana-clickhouse-datasource";

/// A dashboard around its rows.
fn dashboard(uid: &str, title: &str, description: &str, other: (&str, &str), rows: Vec<Row>) -> Value {
    let (other_title, other_uid) = other;
    json!({
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["driftline"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": true,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": { "from": "now-1h", "to": "now" },
        "timezone": "browser",
        "links": [{
            "title": other_title,
            "type": "link",
            "url": format!("/d/{other_uid}?${{__url_time_range}}&${{__all_variables}}"),
            "icon": "dashboard",
            "tooltip": other_title,
            "targetBlank": false
        }],
        "annotations": { "list": [annotation()] },
        "templating": { "list": variables() },
        "panels": layout::place(rows),
    })
}

/// Deployments and changes of state as marks on every panel.
fn annotation() -> Value {
    let query = sql::events();
    json!({
        "name": "Events",
        "enable": true,
        "hide": false,
        "iconColor": "blue",
        "datasource": { "type": CLICKHOUSE_PLUGIN, "uid": CLICKHOUSE },
        "target": panel::sql_target("Anno", &query),
    })
}

fn variables() -> [Value; 5] {
    let source = |name: &str, label: &str, plugin: &str| {
        json!({
            "name": name, "label": label, "type": "datasource", "query": plugin, "hide": 0, "includeAll": false,
            "multi": false, "refresh": 1, "regex": "", "options": [], "current": {}
        })
    };
    let labels = |name: &str, label: &str, query: String| {
        json!({
            "name": name, "label": label, "type": "query", "hide": 0, "includeAll": true, "allValue": ".*", "multi": true,
            "refresh": 2, "regex": "", "sort": 1, "options": [],
            "current": { "text": ["All"], "value": ["$__all"] },
            "datasource": { "type": "prometheus", "uid": PROMETHEUS },
            "definition": query,
            "query": { "query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery" },
        })
    };
    let state = contract::metrics::proxy::VERSION_STATE.name;
    let judged = contract::metrics::analyzer::DRIFT_STATE.name;
    let [model, version, feature] = FILTERS;
    [
        source("prometheus", "Metrics", "prometheus"),
        source("clickhouse", "Rows", CLICKHOUSE_PLUGIN),
        labels(model, "Model", format!("label_values({state}, model)")),
        labels(version, "Version", format!("label_values({state}{{model=~\"$model\"}}, version)")),
        labels(feature, "Feature", format!("label_values({judged}{{model=~\"$model\"}}, feature)")),
    ]
}

#[cfg(test)]
mod tests;
