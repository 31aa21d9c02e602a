//! Files that make Grafana load the data sources and the dashboards at start.

use serde_json::json;

use super::CLICKHOUSE_PLUGIN;
use crate::{Options, RenderedFile};

/// Below `/etc/grafana/provisioning`. JSON is YAML, so no writer of YAML is needed for two short files.
#[must_use]
pub fn provisioning(options: &Options) -> Vec<RenderedFile> {
    let sources = json!({
        "apiVersion": 1,
        "datasources": [
            {
                "name": "Driftline metrics",
                "uid": "driftline-prometheus",
                "type": "prometheus",
                "access": "proxy",
                "url": options.prometheus_url,
                "jsonData": { "httpMethod": "POST" },
            },
            {
                "name": "Driftline rows",
                "uid": "driftline-clickhouse",
                "type": CLICKHOUSE_PLUGIN,
                "jsonData": {
                    "host": options.clickhouse_host,
                    "port": options.clickhouse_port,
                    "protocol": "http",
                    "defaultDatabase": options.database,
                    "username": "${DRIFTLINE_CLICKHOUSE_USER}",
                },
                // Grafana takes it from its own environment: no password is written to a file of ours.
                "secureJsonData": { "password": "${DRIFTLINE_CLICKHOUSE_PASSWORD}" },
            },
        ],
    });
    let provider = json!({
        "apiVersion": 1,
        "providers": [{
            "name": "driftline",
            "folder": "Driftline",
            "type": "file",
            "allowUiUpdates": false,
            "options": { "path": "/var/lib/grafana/dashboards/driftline" },
        }],
    });
    let file = |path: &str, comment: &str, value: &serde_json::Value| RenderedFile {
        path: format!("grafana/provisioning/{path}"),
        contents: format!("# {comment} Rendered by `driftline render`.\n{value:#}\n"),
    };
    vec![
        file("datasources/driftline.yaml", "Where the dashboards' numbers and rows are.", &sources),
        file("dashboards/driftline.yaml", "Put the dashboards into the folder named by `path`.", &provider),
    ]
}
