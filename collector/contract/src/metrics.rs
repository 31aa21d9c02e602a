//! Every metric that leaves a process: name, unit, help text and labels, each written once.
//!
//! Names are `driftline_<subsystem>_<noun>_<unit>[_total]`. Services register from these definitions (through
//! `host`), dashboards and rules refer to them, and a law in `tests/it/tidy.rs` checks that none is orphaned.
//! Labels come from a fixed set; none ever holds a user's value.

pub mod analyzer;
pub mod collector;
pub mod edge;
pub mod naming;
pub mod process;
pub mod proxy;
pub mod serving;
pub mod triton;
pub mod upstream;
pub mod versions;

/// What a metric is to Prometheus.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Only goes up; its name ends in `_total`.
    Counter,
    /// Goes both ways.
    Gauge,
    /// Counts in buckets with these upper bounds, in the metric's unit.
    Histogram(&'static [f64]),
}

/// The definition of one metric family.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metric {
    /// Full name.
    pub name: &'static str,
    /// Help text, one sentence.
    pub help: &'static str,
    /// Counter, gauge or histogram.
    pub kind: Kind,
    /// Label names in the order in which values are given.
    pub labels: &'static [&'static str],
}

impl Metric {
    /// A counter.
    #[must_use]
    pub const fn counter(name: &'static str, help: &'static str, labels: &'static [&'static str]) -> Self {
        Self { name, help, kind: Kind::Counter, labels }
    }

    /// A gauge.
    #[must_use]
    pub const fn gauge(name: &'static str, help: &'static str, labels: &'static [&'static str]) -> Self {
        Self { name, help, kind: Kind::Gauge, labels }
    }

    /// A histogram.
    #[must_use]
    pub const fn histogram(
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
        buckets: &'static [f64],
    ) -> Self {
        Self { name, help, kind: Kind::Histogram(buckets), labels }
    }
}

/// Upper bounds for durations of requests and stages, in seconds: 0.25 ms to 10 s, about a factor of 2 apart.
pub const LATENCY_BUCKETS: &[f64] =
    &[0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Upper bounds for batch sizes, in items.
pub const SIZE_BUCKETS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];

/// Upper bounds for shares, 0 to 1.
pub const SHARE_BUCKETS: &[f64] = &[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0];

/// Label names that a metric may carry. The open ones (`model`, `feature`, `slo`, …) are bounded by the config.
pub const LABELS: &[&str] = &[
    "model", "version", "role", "feature", "outcome", "reason", "stage", "slo", "window", "entity", "route", "code",
    "device", "provider", "class", "segment", "source", "state", "table", "kind",
];

/// All metrics of all subsystems.
pub fn all() -> impl Iterator<Item = &'static Metric> {
    let roles = [proxy::ALL, serving::ALL, versions::ALL, upstream::ALL, collector::ALL, analyzer::ALL];
    roles.into_iter().chain([naming::ALL, edge::ALL, process::ALL]).flatten()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_follow_the_rules() {
        let mut seen = HashSet::new();
        for metric in all() {
            assert!(metric.name.starts_with("driftline_"), "{}", metric.name);
            assert_eq!(metric.name.ends_with("_total"), metric.kind == Kind::Counter, "{}", metric.name);
            assert!(metric.help.ends_with('.'), "{} has a help text that is no sentence", metric.name);
            assert!(seen.insert(metric.name), "{} is defined twice", metric.name);
            for label in metric.labels {
                assert!(LABELS.contains(label), "{} has the unknown label {label}", metric.name);
            }
        }
    }
}
