//! The shape of Prometheus' rule files, and which group holds what.
//!
//! A group of its own for each SLO, so that a slow one delays no other; within a group Prometheus evaluates in order, so an alert
//! sees what the recording rules above it have just written.

use std::collections::BTreeMap;

use contract::slo::{Slo, SloFile};
use serde::Serialize;

use crate::alert::Alert;
use crate::promql::{Scale, Span, number};
use crate::{Options, budget, burn, service, slo_alerts, yaml};

/// Seconds between evaluations, before scaling.
pub const EVALUATION_SECONDS: u64 = 30;

#[derive(Serialize)]
struct RuleFile {
    groups: Vec<Group>,
}

#[derive(Serialize)]
struct Group {
    name: String,
    interval: String,
    rules: Vec<Rule>,
}

/// A rule of either kind, as Prometheus' files spell it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Rule {
    /// Writes a series.
    Record {
        /// Name of the series.
        record: &'static str,
        /// PromQL.
        expr: String,
        /// Labels added to it.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        labels: BTreeMap<String, String>,
    },
    /// Wakes people.
    Alert {
        /// Name.
        alert: &'static str,
        /// PromQL.
        expr: String,
        /// How long it must hold.
        #[serde(rename = "for")]
        hold: String,
        /// How long it stays.
        keep_firing_for: String,
        /// Labels added to it.
        labels: BTreeMap<String, String>,
        /// Texts and links.
        annotations: BTreeMap<String, String>,
    },
}

impl Rule {
    /// A recording rule with a `window` label.
    pub fn record(record: &'static str, expr: String, window: Option<&str>) -> Self {
        let labels = window.map(|w| ("window".to_owned(), w.to_owned())).into_iter().collect();
        Self::Record { record, expr, labels }
    }

    fn alert(alert: &Alert, owner: &str, options: &Options) -> Self {
        Self::Alert {
            alert: alert.name,
            expr: alert.expr.clone(),
            hold: alert.hold.to_string(),
            keep_firing_for: alert.keep.to_string(),
            labels: alert.labels(owner),
            annotations: alert.annotations(options),
        }
    }
}

fn group(name: String, interval: Span, rules: Vec<Rule>) -> Group {
    Group { name, interval: interval.to_string(), rules }
}

/// Recording rules and alerts of one SLO.
pub fn slo(file: &SloFile, slo: &Slo, options: &Options) -> String {
    let scale = Scale::of(file);
    let mut rules = burn::rules(file, slo);
    rules.extend(slo_alerts::of(file, slo).iter().map(|alert| Rule::alert(alert, &file.owner, options)));
    let period = budget::rules(file, slo);
    let groups = vec![
        group(format!("slo-{}", slo.name), scale.interval(EVALUATION_SECONDS), rules),
        group(format!("slo-{}-period", slo.name), scale.window(budget::INTERVAL_SECONDS), period),
    ];
    let scaled =
        if file.time_scale > 1 { format!(", all windows divided by {}", file.time_scale) } else { String::new() };
    let comment = format!(
        "The error budget of {} ({} % over {} days{scaled}). Rendered by `driftline render`: edit the SLO file instead.",
        slo.name,
        number(slo.objective),
        file.period_days,
    );
    yaml(&comment, &RuleFile { groups })
}

/// All other alerts.
pub fn service(file: &SloFile, options: &Options) -> String {
    let scale = Scale::of(file);
    let rules = service::all(scale).iter().map(|alert| Rule::alert(alert, &file.owner, options)).collect();
    let groups = vec![group("driftline".into(), scale.interval(EVALUATION_SECONDS), rules)];
    yaml("What alerts beside error budgets. Rendered by `driftline render`.", &RuleFile { groups })
}
