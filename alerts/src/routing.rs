//! Alertmanager: one receiver a severity, one notification a model and alert, and what silences what.

use std::collections::BTreeMap;

use contract::slo::SloFile;
use serde::Serialize;

use crate::alert::Severity;
use crate::prometheus::{ANALYZER_JOB, COLLECTOR_JOB, PROXY_JOB};
use crate::promql::{Scale, Span, quote};
use crate::{Options, service, slo_alerts, yaml};

/// How often a severity is repeated and how long it waits for company, seconds before scaling.
const PACE: [(Severity, u64, u64); 3] =
    [(Severity::Page, 10, 3_600), (Severity::Ticket, 60, 86_400), (Severity::Info, 300, 7 * 86_400)];

/// Seconds between notifications about a group that changes, before scaling.
const GROUP_SECONDS: u64 = 300;

#[derive(Serialize)]
struct Config {
    route: Route,
    inhibit_rules: Vec<Inhibit>,
    receivers: Vec<Receiver>,
}

#[derive(Serialize)]
struct Route {
    receiver: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    matchers: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    group_by: Vec<&'static str>,
    group_wait: String,
    group_interval: String,
    repeat_interval: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    routes: Vec<Self>,
}

#[derive(Serialize)]
struct Inhibit {
    source_matchers: Vec<String>,
    target_matchers: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    equal: Vec<&'static str>,
}

#[derive(Serialize)]
struct Receiver {
    name: &'static str,
    webhook_configs: [Webhook; 1],
}

#[derive(Serialize)]
struct Webhook {
    url: String,
    send_resolved: bool,
}

/// `alertmanager.yml`.
pub fn config(file: &SloFile, options: &Options) -> String {
    let scale = Scale::of(file);
    let urls = BTreeMap::from([
        (Severity::Page, &options.webhooks.page),
        (Severity::Ticket, &options.webhooks.ticket),
        (Severity::Info, &options.webhooks.info),
    ]);
    let receivers = urls.into_iter().map(|(severity, url)| Receiver {
        name: severity.as_str(),
        webhook_configs: [Webhook { url: url.clone(), send_resolved: true }],
    });
    let config = Config { route: routes(scale), inhibit_rules: inhibitions(), receivers: receivers.collect() };
    yaml("Who hears of what. Rendered by `driftline render`.", &config)
}

/// The tree: what matches no severity is a ticket, so that nothing falls through.
fn routes(scale: Scale) -> Route {
    let wait = |seconds: u64| scale.interval(seconds);
    // A reminder is for people, whose time is not scaled; but a demonstration should show one.
    let repeat = |seconds: u64| scale.interval(seconds).max(Span::seconds(60));
    let route = |severity: Severity, wait_seconds, repeat_seconds| Route {
        receiver: severity.as_str(),
        matchers: vec![format!("severity={}", quote(severity.as_str()))],
        group_by: vec![],
        group_wait: wait(wait_seconds).to_string(),
        group_interval: wait(GROUP_SECONDS).to_string(),
        repeat_interval: repeat(repeat_seconds).to_string(),
        routes: vec![],
    };
    let [_, (ticket, wait_seconds, repeat_seconds), _] = PACE;
    Route {
        matchers: vec![],
        group_by: vec!["model", "alertname"],
        routes: PACE.into_iter().map(|(severity, wait, repeat)| route(severity, wait, repeat)).collect(),
        ..route(ticket, wait_seconds, repeat_seconds)
    }
}

fn named(alert: &str) -> String {
    format!("alertname={}", quote(alert))
}

fn any_of(alerts: &[&str]) -> String {
    format!("alertname=~{}", quote(&alerts.join("|")))
}

/// A cause silences what follows from it.
fn inhibitions() -> Vec<Inhibit> {
    let inhibit = |source: Vec<String>, target: String, equal: &[&'static str]| Inhibit {
        source_matchers: source,
        target_matchers: vec![target],
        equal: equal.to_vec(),
    };
    let down = |job: &str| vec![named(service::DOWN), format!("job={}", quote(job))];
    let of_slo = &["slo", "model"];
    vec![
        inhibit(vec![named(slo_alerts::PAGE)], named(slo_alerts::TICKET), of_slo),
        inhibit(vec![named(slo_alerts::MISSING)], any_of(&[slo_alerts::PAGE, slo_alerts::TICKET]), of_slo),
        inhibit(down(PROXY_JOB), named(slo_alerts::MISSING), &[]),
        inhibit(down(COLLECTOR_JOB), any_of(&[service::DRIFT, service::CONFIDENCE, service::STALE]), &[]),
        inhibit(down(ANALYZER_JOB), named(service::STALE), &["instance"]),
    ]
}
