//! From a metric's definition to PromQL: what a metric is decides what may be asked of it.

use contract::metrics::proxy::SCHEMA_VIOLATIONS;
use contract::metrics::{Kind, Metric};

/// Matchers for the dashboard's variables, as far as the metric has their labels, and further ones.
fn matchers(metric: &Metric, further: &[(&str, &str)]) -> String {
    // of a schema's violations it is the column that was given, not the feature that is judged
    let has = |v: &&str| metric.labels.contains(v) && (*v != "feature" || metric.name != SCHEMA_VIOLATIONS.name);
    let variables = super::FILTERS.into_iter().filter(has);
    let mut all: Vec<String> = variables.map(|v| format!("{v}=~\"${v}\"")).collect();
    all.extend(further.iter().map(|(label, value)| format!("{label}=~\"{value}\"")));
    if all.is_empty() { String::new() } else { format!("{{{}}}", all.join(", ")) }
}

fn by(labels: &[&str]) -> String {
    if labels.is_empty() { String::new() } else { format!(" by ({})", labels.join(", ")) }
}

/// A counter's growth a second, summed by labels.
pub fn rate(metric: &Metric, labels: &[&str]) -> String {
    rate_where(metric, &[], labels)
}

/// The same of the series that match.
pub fn rate_where(metric: &Metric, further: &[(&str, &str)], labels: &[&str]) -> String {
    assert!(metric.kind == Kind::Counter, "{} is no counter", metric.name);
    format!("sum{} (rate({}{}[$__rate_interval]))", by(labels), metric.name, matchers(metric, further))
}

/// A counter's growth over the dashboard's time range. A series that was born in it came with its first event, which `increase()`
/// alone never sees: where the hour before knew nothing of the series, all of its value is growth.
pub fn increase(metric: &Metric, labels: &[&str]) -> String {
    assert!(metric.kind == Kind::Counter, "{} is no counter", metric.name);
    let series = format!("{}{}", metric.name, matchers(metric, &[]));
    format!(
        "sum{} (({series} unless last_over_time({series}[1h] offset $__range)) or increase({series}[$__range]))",
        by(labels)
    )
}

/// A counter as it stands, summed since each process started: for ledgers, which must add up.
pub fn total(metric: &Metric) -> String {
    assert!(metric.kind == Kind::Counter, "{} is no counter", metric.name);
    format!("sum({}{})", metric.name, matchers(metric, &[]))
}

/// A gauge, aggregated by `max` or `sum`.
pub fn gauge(aggregate: &str, metric: &Metric, labels: &[&str]) -> String {
    gauge_where(aggregate, metric, &[], labels)
}

/// The same of the series that match.
pub fn gauge_where(aggregate: &str, metric: &Metric, further: &[(&str, &str)], labels: &[&str]) -> String {
    assert!(metric.kind == Kind::Gauge, "{} is no gauge", metric.name);
    format!("{aggregate}{} ({}{})", by(labels), metric.name, matchers(metric, further))
}

/// A quantile from a histogram's buckets.
pub fn quantile(q: f64, metric: &Metric, labels: &[&str]) -> String {
    assert!(matches!(metric.kind, Kind::Histogram(_)), "{} is no histogram", metric.name);
    let labels: Vec<&str> = labels.iter().copied().chain(["le"]).collect();
    let series = format!("{}_bucket{}", metric.name, matchers(metric, &[]));
    format!("histogram_quantile({q}, sum{} (rate({series}[$__rate_interval])))", by(&labels))
}

/// The mean from a histogram.
pub fn mean(metric: &Metric, labels: &[&str]) -> String {
    assert!(matches!(metric.kind, Kind::Histogram(_)), "{} is no histogram", metric.name);
    let part = |suffix: &str| {
        format!("sum{} (rate({}_{suffix}{}[$__rate_interval]))", by(labels), metric.name, matchers(metric, &[]))
    };
    format!("{} / {}", part("sum"), part("count"))
}

/// What a histogram's events add up to a second: items, of a histogram of items.
pub fn total_rate(metric: &Metric, labels: &[&str]) -> String {
    assert!(matches!(metric.kind, Kind::Histogram(_)), "{} is no histogram", metric.name);
    format!("sum{} (rate({}_sum{}[$__rate_interval]))", by(labels), metric.name, matchers(metric, &[]))
}

/// A histogram's events a second, summed by labels.
pub fn passed(metric: &Metric, labels: &[&str]) -> String {
    assert!(matches!(metric.kind, Kind::Histogram(_)), "{} is no histogram", metric.name);
    format!("sum{} (rate({}_count{}[$__rate_interval]))", by(labels), metric.name, matchers(metric, &[]))
}
