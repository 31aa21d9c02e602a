//! The shape of Prometheus' rule files, and which group holds what.
//!
//! A group of its own for each SLO, so that a slow one delays no other; within a group Prometheus evaluates in order, so an alert
//! sees what the recording rules above it have just written.

use std::collections::BTreeMap;

use contract::slo::{Period, Slo, SloFile};
use serde::Serialize;

use crate::alert::Alert;
use crate::promql::{Scale, Span, number};
use crate::{
    Options, RenderedFile, budget, budget_rules_path, burn, compat, service, slo_alerts, slo_rules_path, source, yaml,
};

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
    /// A series of an objective, of a window where one is given.
    pub fn record(record: &'static str, expr: String, slo: &Slo, window: Option<&str>) -> Self {
        let labels = source::labels(slo).into_iter().chain(window.map(|w| ("window", w)));
        Self::Record { record, expr, labels: labels.map(|(k, v)| (k.to_owned(), v.to_owned())).collect() }
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

/// Recording rules and alerts of one SLO: a file for burn rates and what alerts on them, one for what is left of the
/// budget, which is counted at an interval of its own.
pub fn slo(file: &SloFile, slo: &Slo, options: &Options) -> [RenderedFile; 2] {
    let scale = Scale::of(file);
    let mut rules = burn::rules(file, slo);
    rules.extend(slo_alerts::of(file, slo).iter().map(|alert| Rule::alert(alert, &file.owner, options)));
    let mut period = budget::rules(file, slo);
    if options.compat_sloth {
        period.extend(compat::sloth(file, slo));
    }
    let scaled =
        if file.time_scale > 1 { format!(", all windows divided by {}", file.time_scale) } else { String::new() };
    let comment = format!(
        "The error budget of {} ({} % over {}{scaled}). Rendered by `driftline render`: edit the SLO file instead.",
        slo.name,
        number(slo.objective),
        period_in_words(file),
    );
    let write = |path: String, name: String, interval, rules| RenderedFile {
        path,
        contents: yaml(&comment, &RuleFile { groups: vec![group(name, interval, rules)] }),
    };
    let name = format!("slo-{}", slo.name);
    [
        write(slo_rules_path(slo), name.clone(), scale.interval(EVALUATION_SECONDS), rules),
        write(budget_rules_path(slo), format!("{name}-period"), scale.window(budget::INTERVAL_SECONDS), period),
    ]
}

/// `30 days`, or `a calendar month`.
pub fn period_in_words(file: &SloFile) -> String {
    match file.period {
        Period::Rolling => format!("{} days", file.period_days),
        Period::CalendarMonth => "a calendar month".to_owned(),
    }
}

/// All other alerts, a file a group.
pub fn service(file: &SloFile, options: &Options) -> Vec<RenderedFile> {
    let scale = Scale::of(file);
    let write = |(name, alerts): (&str, Vec<Alert>)| {
        let rules = alerts.iter().map(|alert| Rule::alert(alert, &file.owner, options)).collect();
        let groups = vec![group(format!("driftline-{name}"), scale.interval(EVALUATION_SECONDS), rules)];
        RenderedFile {
            path: format!("prometheus/rules/{name}.yml"),
            contents: yaml("What alerts beside error budgets. Rendered by `driftline render`.", &RuleFile { groups }),
        }
    };
    service::files(file).into_iter().map(write).collect()
}
