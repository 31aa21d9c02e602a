//! What wakes people: Prometheus rules, Alertmanager routes, runbooks.
//!
//! An SLO file and a few addresses go in, files come out ([`render`]); only `rollout.rs` talks, to Alertmanager. Read `burn.rs` first, the rules that
//! judge an error budget; `service/` is the table of everything else that alerts. Each alert carries the proof that
//! it fires and that it keeps quiet ([`alert::Scenario`]); `rule_tests.rs` turns those into tests for `promtool`, so
//! whoever edits a rendered rule can run the same tests against it.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod alert;
mod budget;
mod burn;
mod compat;
mod foreign;
mod made_up;
mod prometheus;
pub mod promql;
pub mod rollout;
mod routing;
mod rule_tests;
mod rules;
pub mod runbooks;
pub mod service;
mod slo_alerts;
pub mod slo_file;
mod source;

use contract::slo::SloFile;

pub use alert::{Alert, Domain, Severity};

/// What the files refer to and the SLO file does not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// `host:port` of the proxies that Prometheus scrapes.
    pub proxy: Vec<String>,
    /// `host:port` of the collectors.
    pub collector: Vec<String>,
    /// `host:port` of the analyzers.
    pub analyzer: Vec<String>,
    /// `host:port` of the Alertmanagers.
    pub alertmanager: Vec<String>,
    /// Where Alertmanager posts.
    pub webhooks: Webhooks,
    /// Start of every `runbook_url`; the runbook's file name is appended after a slash.
    pub runbook_base: String,
    /// Start of every `dashboard_url`: where the web page is; the model's name is appended as `/#/model`.
    pub dashboard_base: String,
    /// Whether series are recorded under Sloth's names too.
    pub compat_sloth: bool,
}

/// Webhook URLs by severity. Point them at whatever pages your people: every paging service takes Alertmanager's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhooks {
    /// Wakes a person.
    pub page: String,
    /// Waits for working hours.
    pub ticket: String,
    /// Nobody has to act.
    pub info: String,
    /// Whatever is about a model itself, where its owners listen elsewhere; its pages go to `page` as well.
    pub model: Option<String>,
}

/// A file to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderedFile {
    /// Relative, with slashes.
    pub path: String,
    /// The whole file.
    pub contents: String,
}

/// Where the rules about one error budget go: a file an objective, so that each can be tested by itself.
#[must_use]
pub fn slo_rules_path(slo: &contract::slo::Slo) -> String {
    format!("prometheus/rules/slo-{}.yml", slo.name)
}

/// Where the rules about what is left of one error budget go.
#[must_use]
pub fn budget_rules_path(slo: &contract::slo::Slo) -> String {
    format!("prometheus/rules/slo-{}-budget.yml", slo.name)
}

/// Every alert of this file, in the order of the rendered files.
#[must_use]
pub fn alerts(file: &SloFile) -> Vec<Alert> {
    let of_slos = file.slos.iter().flat_map(|slo| slo_alerts::of(file, slo));
    of_slos.chain(service::all(file)).collect()
}

/// Prometheus' configuration, rules and rule tests, and Alertmanager's configuration.
///
/// Deterministic: the same input gives the same bytes, so the files can be kept under version control.
#[must_use]
pub fn render(file: &SloFile, options: &Options) -> Vec<RenderedFile> {
    let mut files = vec![
        RenderedFile { path: "prometheus/prometheus.yml".into(), contents: prometheus::config(file, options) },
        RenderedFile { path: "alertmanager/alertmanager.yml".into(), contents: routing::config(file, options) },
    ];
    files.extend(rules::service(file, options));
    files.extend(file.slos.iter().flat_map(|slo| rules::slo(file, slo, options)));
    files.extend(rule_tests::all(file, options));
    files
}

/// YAML of a value of ours, under a comment that says what the file is.
fn yaml(comment: &str, value: &impl serde::Serialize) -> String {
    let body = serde_saphyr::to_string(value).expect("our own structs of strings, numbers and maps serialise");
    let comment: String = comment.lines().map(|line| format!("# {line}\n")).collect();
    format!("{comment}{body}")
}

#[cfg(test)]
mod tests;
