//! What people look at: Grafana dashboards and the web page.
//!
//! Pure: dashboards are built from small functions that take metrics from `contract::metrics` and views from
//! `contract::views`, so no panel can name what nobody exports; the page's files are carried as bytes. Read
//! `grafana/mod.rs` for the dashboards and `page.rs` for the page.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod grafana;
pub mod page;

/// A file to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderedFile {
    /// Relative, with slashes.
    pub path: String,
    /// The whole file.
    pub contents: String,
}

/// Where Grafana finds its data; the defaults suit one machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Prometheus' URL.
    pub prometheus_url: String,
    /// ClickHouse's host.
    pub clickhouse_host: String,
    /// ClickHouse's HTTP port.
    pub clickhouse_port: u16,
    /// Its database.
    pub database: String,
    /// Days of the error budgets' period: burn panels draw their lines for it.
    pub period_days: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            prometheus_url: "http://127.0.0.1:9090".into(),
            clickhouse_host: "127.0.0.1".into(),
            clickhouse_port: 8123,
            database: "driftline".into(),
            period_days: 30,
        }
    }
}

/// Dashboards and provisioning with the default addresses.
#[must_use]
pub fn render() -> Vec<RenderedFile> {
    render_with(&Options::default())
}

/// Dashboards, and the provisioning files that make Grafana load them. Deterministic.
#[must_use]
pub fn render_with(options: &Options) -> Vec<RenderedFile> {
    let dashboard = |name: &str, json: &serde_json::Value| RenderedFile {
        path: format!("grafana/dashboards/{name}.json"),
        contents: format!("{json:#}\n"),
    };
    let overview = grafana::overview(options.period_days);
    let mut files = vec![dashboard("overview", &overview), dashboard("pipeline", &grafana::pipeline())];
    files.extend(grafana::boards(options.period_days).iter().map(|(name, json)| dashboard(name, json)));
    files.extend(grafana::provisioning(options));
    files
}
