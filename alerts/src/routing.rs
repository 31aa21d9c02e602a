//! Alertmanager: who hears of what, one notification a model, alert and reason, what silences what, and when nobody
//! wants to hear.
//!
//! A receiver a severity. Where the model's owners have a receiver of their own, what is theirs goes there, and a page
//! about a model goes to both: whoever is on call must know of it, and whoever trains the model must act.

use contract::slo::{Maintenance, SloFile, TimeRange};
use serde::Serialize;

use crate::alert::{Domain, Severity};
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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    time_intervals: Vec<TimeInterval>,
    receivers: Vec<Receiver>,
}

#[derive(Clone, Serialize)]
struct Route {
    receiver: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    matchers: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    group_by: Vec<&'static str>,
    group_wait: String,
    group_interval: String,
    repeat_interval: String,
    #[serde(rename = "continue", skip_serializing_if = "std::ops::Not::not")]
    goes_on: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mute_time_intervals: Vec<String>,
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
struct TimeInterval {
    name: String,
    time_intervals: [Times; 1],
}

#[derive(Serialize)]
struct Times {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    weekdays: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    times: Vec<TimeRange>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    days_of_month: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<String>,
}

#[derive(Serialize)]
struct Receiver {
    name: String,
    webhook_configs: [Webhook; 1],
}

#[derive(Serialize)]
struct Webhook {
    url: String,
    send_resolved: bool,
}

/// `alertmanager.yml`.
pub fn config(file: &SloFile, options: &Options) -> String {
    let config = Config {
        route: routes(file, options),
        inhibit_rules: inhibitions(),
        time_intervals: file.maintenance.iter().map(interval).collect(),
        receivers: receivers(options),
    };
    yaml("Who hears of what. Rendered by `driftline render`.", &config)
}

/// Name of the receiver of a severity, of the model's owners or of whoever runs the machines.
fn receiver(severity: Severity, domain: Domain) -> String {
    match domain {
        Domain::Platform => severity.as_str().to_owned(),
        Domain::Model => format!("{}-model", severity.as_str()),
    }
}

fn receivers(options: &Options) -> Vec<Receiver> {
    let hooks = &options.webhooks;
    let of = |name: String, url: &str| Receiver {
        name,
        webhook_configs: [Webhook { url: url.to_owned(), send_resolved: true }],
    };
    let platform = Severity::ALL.map(|severity| {
        let url = match severity {
            Severity::Page => &hooks.page,
            Severity::Ticket => &hooks.ticket,
            Severity::Info => &hooks.info,
        };
        of(receiver(severity, Domain::Platform), url)
    });
    let model = hooks.model.iter().flat_map(|url| Severity::ALL.map(|s| of(receiver(s, Domain::Model), url)));
    platform.into_iter().chain(model).collect()
}

fn interval(time: &Maintenance) -> TimeInterval {
    let times = Times {
        weekdays: time.weekdays.clone(),
        times: time.times.clone(),
        days_of_month: time.days_of_month.clone(),
        location: time.location.clone(),
    };
    TimeInterval { name: time.name.clone(), time_intervals: [times] }
}

/// The tree: what matches no severity is a ticket, so that nothing falls through.
fn routes(file: &SloFile, options: &Options) -> Route {
    let scale = Scale::of(file);
    let wait = |seconds: u64| scale.interval(seconds);
    // A reminder is for people, whose time is not scaled; but a demonstration should show one.
    let repeat = |seconds: u64| scale.interval(seconds).max(Span::seconds(60));
    let muted = |severity: Severity| {
        let mutes = |m: &&Maintenance| severity != Severity::Page || m.pages;
        file.maintenance.iter().filter(mutes).map(|m| m.name.clone()).collect()
    };
    let route = |severity: Severity, wait_seconds, repeat_seconds| Route {
        receiver: receiver(severity, Domain::Platform),
        matchers: vec![format!("severity={}", quote(severity.as_str()))],
        group_by: vec![],
        group_wait: wait(wait_seconds).to_string(),
        group_interval: wait(GROUP_SECONDS).to_string(),
        repeat_interval: repeat(repeat_seconds).to_string(),
        goes_on: false,
        mute_time_intervals: muted(severity),
        routes: vec![],
    };
    let to_owners = |of: &Route, severity: Severity| {
        let mut route = of.clone();
        route.receiver = receiver(severity, Domain::Model);
        route.matchers.push(format!("domain={}", quote(Domain::Model.as_str())));
        route.goes_on = severity == Severity::Page;
        route
    };
    let mut all = Vec::new();
    for (severity, wait, repeat) in PACE {
        let of_severity = route(severity, wait, repeat);
        all.extend(options.webhooks.model.as_ref().map(|_| to_owners(&of_severity, severity)));
        all.push(of_severity);
    }
    let [_, (ticket, wait_seconds, repeat_seconds), _] = PACE;
    Route {
        matchers: vec![],
        // Alertmanager mutes no root
        mute_time_intervals: vec![],
        group_by: vec!["model", "alertname", "reason"],
        routes: all,
        ..route(ticket, wait_seconds, repeat_seconds)
    }
}

fn named(alert: &str) -> String {
    format!("alertname={}", quote(alert))
}

fn any_of(alerts: &[&str]) -> String {
    format!("alertname=~{}", quote(&alerts.join("|")))
}

/// A cause silences what follows from it, and a page the ticket about the same.
fn inhibitions() -> Vec<Inhibit> {
    let inhibit_all = |source_matchers, target_matchers, equal: &[&'static str]| Inhibit {
        source_matchers,
        target_matchers,
        equal: equal.to_vec(),
    };
    let inhibit = |source, target: String, equal| inhibit_all(source, vec![target], equal);
    // the proxy counts the platform's objectives, the analyzer the model's
    let missing = |domain: Domain| vec![named(slo_alerts::MISSING), format!("domain={}", quote(domain.as_str()))];
    let down = |job: &str| vec![named(service::DOWN), format!("job={}", quote(job))];
    let of_slo = &["slo", "model"];
    let of_model = &["model"];
    vec![
        inhibit(vec![named(slo_alerts::PAGE)], named(slo_alerts::TICKET), of_slo),
        inhibit(vec![named(slo_alerts::MISSING)], any_of(&[slo_alerts::PAGE, slo_alerts::TICKET]), of_slo),
        // a ticket silences no page
        inhibit_all(
            vec![named(service::SCHEMA)],
            vec![named(service::DRIFT), "severity!=\"page\"".to_owned()],
            of_model,
        ),
        inhibit(vec![named(service::UNAVAILABLE)], named(service::ERRORS), of_model),
        inhibit_all(down(PROXY_JOB), missing(Domain::Platform), &[]),
        inhibit(down(COLLECTOR_JOB), any_of(&[service::DRIFT, service::CONFIDENCE, service::STALE]), &[]),
        inhibit(down(ANALYZER_JOB), named(service::STALE), &["instance"]),
        // no model is judged where nothing is
        inhibit(vec![named(service::STALE)], named(service::UNJUDGED), &[]),
        inhibit(vec![named(service::BEHIND)], named(service::UNJUDGED), &[]),
        inhibit_all(down(ANALYZER_JOB), missing(Domain::Model), &[]),
    ]
}
