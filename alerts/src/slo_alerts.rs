//! The alerts of one SLO: fast burn pages, slow burn opens a ticket, missing counters are told apart from silence.
//!
//! A burn alerts when it is fast on the long window (it matters), on the short one (it is still going on), and when
//! the long window holds enough evidence ([`burn::BURN_FLOOR`]). The pairs of one severity are one alert.

use contract::slo::{BURN_WINDOWS, BurnWindow, Counter, Labels, Slo, SloFile};

use crate::alert::{Alert, Domain, Expected, Scenario, Severity, VALUE, label};
use crate::made_up::{gone, inputs, phase};
use crate::promql::{Scale, Span, number};
use crate::rules::period_in_words;
use crate::{burn, source};

/// Fast burn.
pub const PAGE: &str = "DriftlineSloBurnPage";
/// Slow burn.
pub const TICKET: &str = "DriftlineSloBurnTicket";
/// The counters are gone.
pub const MISSING: &str = "DriftlineSloSeriesMissing";

/// Seconds without any event-counting series after which the objective is blind, before scaling.
const MISSING_SECONDS: u64 = 300;

/// Alerts of one SLO. Windows that can never alert, because even nothing but failures burns slower than their factor,
/// are left out.
pub fn of(file: &SloFile, slo: &Slo) -> Vec<Alert> {
    let scale = Scale::of(file);
    let loud = |severity| move |w: &&BurnWindow| Severity::from(w.severity) == severity && reachable(file, slo, w);
    let fast: Vec<_> = BURN_WINDOWS.iter().filter(loud(Severity::Page)).collect();
    let slow: Vec<_> = BURN_WINDOWS.iter().filter(loud(Severity::Ticket)).collect();
    let mut alerts = Vec::new();
    let pages = slo.pages() && !fast.is_empty();
    if pages {
        alerts.push(burning(PAGE, Severity::Page, file, slo, &fast));
    }
    let slow: Vec<_> = if pages { slow } else { fast.into_iter().chain(slow).collect() };
    if slo.ticket && !slow.is_empty() {
        alerts.push(burning(TICKET, Severity::Ticket, file, slo, &slow));
    }
    alerts.push(missing(file, slo, scale));
    alerts
}

/// Whether nothing but failures would burn faster than the window's factor.
pub fn reachable(file: &SloFile, slo: &Slo, window: &BurnWindow) -> bool {
    slo.factor(window, file.period_days) * slo.budget() < 1.0
}

/// Labels of its alerts: the file's, its own, and those of the severity.
fn labels(file: &SloFile, slo: &Slo, severity: Severity) -> Labels {
    let of_severity = if severity == Severity::Page { &slo.page_labels } else { &slo.ticket_labels };
    let all = file.labels.iter().chain(&slo.labels).chain(of_severity);
    all.map(|(k, v)| (k.clone(), v.clone())).collect()
}

/// Whose business it is: what a model does is its owners', that it answers is the platform's.
fn domain(slo: &Slo) -> Domain {
    if slo.sli.counter() == Counter::Analyzer { Domain::Model } else { Domain::Platform }
}

/// `name of model`, or the name where it is about none.
fn subject(slo: &Slo) -> String {
    if slo.model.is_empty() { label("slo") } else { format!("{} of {}", label("slo"), label("model")) }
}

fn alert(name: &'static str, severity: Severity, file: &SloFile, slo: &Slo, expr: String) -> Alert {
    let alert = Alert::new(name, severity, domain(slo), expr);
    let alert = if slo.model.is_empty() { alert } else { alert.of_a_model() };
    alert.of(slo.owner.as_deref(), labels(file, slo, severity))
}

fn burning(name: &'static str, severity: Severity, file: &SloFile, slo: &Slo, windows: &[&BurnWindow]) -> Alert {
    let scale = Scale::of(file);
    let pairs: Vec<String> = windows.iter().map(|w| pair(file, slo, w)).collect();
    let keep_seconds = if severity == Severity::Page { 300 } else { 1_800 };
    let factor = |w: &&BurnWindow| format!("{}x over {}", number(slo.factor(w, file.period_days)), w.long_name);
    let factors: Vec<String> = windows.iter().map(factor).collect();
    let promise = if slo.description.is_empty() { String::new() } else { format!(" {}", literal(&slo.description)) };
    let (window, objective, period) = (label("window"), number(slo.objective), period_in_words(file));
    let summary = format!("{} burns its error budget {VALUE} times too fast", label("slo"));
    let description = format!(
        "Over the last {window} the objective {} ({objective} % of events good in {period}) lost \
         budget at {VALUE} times the rate that spends it exactly; it alerts at {}.{promise}",
        subject(slo),
        factors.join(", "),
    );
    alert(name, severity, file, slo, pairs.join("\nor on (slo, model)\n"))
        .timed(Span::ZERO, scale.interval(keep_seconds))
        .says(summary, description)
        .proved_by(scenarios(name, slo, windows))
}

/// Text of a user's in a template: its braces must stay braces.
fn literal(text: &str) -> String {
    text.replace("{{", "{ {").replace("}}", "} }")
}

fn pair(file: &SloFile, slo: &Slo, window: &BurnWindow) -> String {
    let factor = number(slo.factor(window, file.period_days));
    let of = |name, window| burn::series(name, slo, window);
    format!(
        "(\n  {long} > {factor}\n  and on (slo, model) {short} > {factor}\n  and on (slo, model) {floor} > {factor}\n)",
        long = of(burn::BURN, window.long_name),
        short = of(burn::BURN, window.short_name),
        floor = of(burn::BURN_FLOOR, window.long_name),
    )
}

fn missing(file: &SloFile, slo: &Slo, scale: Scale) -> Alert {
    // It silences the burn alerts of its SLO, so it must be as loud as they would be.
    let severity = if slo.pages() { Severity::Page } else { Severity::Ticket };
    let who = match slo.sli.counter() {
        Counter::Proxy => "No scraped process exports the counters of the objective",
        Counter::Analyzer => "No scraped analyzer exports the counters of the objective",
        Counter::Queries => "The query for all events finds no series for the objective",
    };
    let description = format!(
        "{who} {}. This is not low traffic: an idle process still exports them. The objective is blind, and its burn alerts \
         keep the state they had.",
        // by name: a template sees the labels of the expression, and what is absent has none
        if slo.model.is_empty() { slo.name.clone() } else { format!("{} of {}", slo.name, slo.model) }
    );
    let mut alert = alert(MISSING, severity, file, slo, source::absent(slo, scale.window(MISSING_SECONDS)))
        .timed(scale.interval(MISSING_SECONDS), scale.interval(60))
        .says(format!("Nobody counts events for {}", slo.name), description)
        .proved_by(missing_scenarios(slo));
    // What is absent has no labels of its own.
    alert.more.extend(source::labels(slo).into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())));
    alert
}

fn expected(slo: &Slo, window: Option<&str>, value: f64) -> Expected {
    let mut labels = source::labels(slo);
    labels.extend(window.map(|w| ("window", w)));
    Expected::new(&labels, value)
}

/// Steps in which nothing is counted after an hour of failures, before the test looks: the 1 h window is empty then.
const SILENT_STEPS: u64 = 75;

fn scenarios(name: &str, slo: &Slo, windows: &[&BurnWindow]) -> Vec<Scenario> {
    let of = |phases: &[_]| inputs(slo, phases);
    let hour = phase(60, 60.0, 60.0);
    if of(&[hour]).is_empty() {
        return vec![];
    }
    let first = windows.first().map(|w| w.long_name);
    let fires = || expected(slo, first, 1.0 / slo.budget());
    // one in a budget's inverse is exactly what the objective allows; half of that must stay quiet
    let allowed = (2.0 / slo.budget()).ceil();
    let two_of_sixty = [phase(55, 1.0, 0.0), phase(2, 1.0, 1.0), phase(3, 1.0, 0.0)];
    let into_a_gap = [hour, phase(SILENT_STEPS, 0.0, 0.0)];
    let mut all = vec![
        // the same counters as of the gap below, looked at before it: one run shows both
        Scenario::fires("nothing but failures", of(&into_a_gap), 60, fires()),
        Scenario::quiet("failures inside the budget", of(&[phase(90, allowed, 1.0)]), 90),
        Scenario::quiet("two failures of sixty requests are no trend", of(&two_of_sixty), 60),
        Scenario::fires("a gap in the traffic ends no alert", of(&into_a_gap), 60 + SILENT_STEPS, fires()),
        Scenario::fires(
            "a vanished counter ends no alert",
            of(&[hour, gone(SILENT_STEPS)]),
            60 + SILENT_STEPS,
            fires(),
        ),
    ];
    if name == PAGE {
        let recovered = of(&[hour, phase(61, 60.0, 0.0)]);
        all.push(Scenario::quiet("over once the short windows are clean", recovered, 110));
    }
    all
}

fn missing_scenarios(slo: &Slo) -> Vec<Scenario> {
    let of = |phases: &[_]| inputs(slo, phases);
    let never = || Scenario::fires("they were never there", vec![], 15, expected(slo, None, 1.0));
    if of(&[phase(1, 1.0, 0.0)]).is_empty() {
        // made up: a name that no query can find
        return vec![never()];
    }
    let vanished = of(&[phase(10, 1.0, 0.0), gone(30)]);
    vec![
        Scenario::fires("the counters vanish", vanished, 35, expected(slo, None, 1.0)),
        never(),
        Scenario::quiet("an idle process", of(&[phase(30, 0.0, 0.0)]), 30),
    ]
}
