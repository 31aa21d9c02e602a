//! The alerts of one SLO: fast burn pages, slow burn opens a ticket, missing counters are told apart from silence.
//!
//! A burn alerts when it is fast on the long window (it matters), on the short one (it is still going on), and when
//! the long window holds enough evidence ([`burn::BURN_FLOOR`]). The pairs of one severity are one alert.

use contract::metrics::proxy::{SLI_BAD_EVENTS, SLI_EVENTS};
use contract::slo::{BURN_WINDOWS, BurnWindow, Slo, SloFile};

use crate::alert::{Alert, Domain, Expected, Input, Scenario, Severity, VALUE, label};
use crate::burn;
use crate::promql::{Scale, Span, number, select};

/// Fast burn.
pub const PAGE: &str = "DriftlineSloBurnPage";
/// Slow burn.
pub const TICKET: &str = "DriftlineSloBurnTicket";
/// The counters are gone.
pub const MISSING: &str = "DriftlineSloSeriesMissing";

/// Alerts of one SLO. Windows that can never alert, because even nothing but failures burns slower than their factor,
/// are left out.
pub fn of(file: &SloFile, slo: &Slo) -> Vec<Alert> {
    let scale = Scale::of(file);
    let loud = |severity| move |w: &&BurnWindow| Severity::from(w.severity) == severity && reachable(file, slo, w);
    let fast: Vec<_> = BURN_WINDOWS.iter().filter(loud(Severity::Page)).collect();
    let slow: Vec<_> = BURN_WINDOWS.iter().filter(loud(Severity::Ticket)).collect();
    let mut alerts = Vec::new();
    if slo.page && !fast.is_empty() {
        alerts.push(burning(PAGE, Severity::Page, file, slo, &fast));
        alerts.push(burning(TICKET, Severity::Ticket, file, slo, &slow));
    } else {
        let both: Vec<_> = fast.into_iter().chain(slow).collect();
        alerts.push(burning(TICKET, Severity::Ticket, file, slo, &both));
    }
    alerts.push(missing(slo, scale));
    alerts
}

/// Whether nothing but failures would burn faster than the window's factor.
pub fn reachable(file: &SloFile, slo: &Slo, window: &BurnWindow) -> bool {
    window.factor(file.period_days) * slo.budget() < 1.0
}

fn burning(name: &'static str, severity: Severity, file: &SloFile, slo: &Slo, windows: &[&BurnWindow]) -> Alert {
    let scale = Scale::of(file);
    let pairs: Vec<String> = windows.iter().map(|w| pair(file, slo, w)).collect();
    let keep_seconds = if severity == Severity::Page { 300 } else { 1_800 };
    let factor = |w: &&BurnWindow| format!("{}x over {}", number(w.factor(file.period_days)), w.long_name);
    let factors: Vec<String> = windows.iter().map(factor).collect();
    let promise = if slo.description.is_empty() { String::new() } else { format!(" {}", literal(&slo.description)) };
    let days = file.period_days;
    let (window, name_of_slo, model, objective) =
        (label("window"), label("slo"), label("model"), number(slo.objective));
    let summary = format!("{name_of_slo} burns its error budget {VALUE} times too fast");
    let description = format!(
        "Over the last {window} the objective {name_of_slo} of {model} ({objective} % of events good in {days} days) lost \
         budget at {VALUE} times the rate that spends it exactly; it alerts at {}.{promise}",
        factors.join(", "),
    );
    Alert::new(name, severity, Domain::Platform, pairs.join("\nor on (slo, model)\n"))
        .of_a_model()
        .timed(Span::ZERO, scale.interval(keep_seconds))
        .says(summary, description)
        .proved_by(scenarios(name, slo, windows))
}

/// Text of a user's in a template: its braces must stay braces.
fn literal(text: &str) -> String {
    text.replace("{{", "{ {").replace("}}", "} }")
}

fn pair(file: &SloFile, slo: &Slo, window: &BurnWindow) -> String {
    let factor = number(window.factor(file.period_days));
    let of = |name, window| burn::series(name, slo, window);
    format!(
        "(\n  {long} > {factor}\n  and on (slo, model) {short} > {factor}\n  and on (slo, model) {floor} > {factor}\n)",
        long = of(burn::BURN, window.long_name),
        short = of(burn::BURN, window.short_name),
        floor = of(burn::BURN_FLOOR, window.long_name),
    )
}

fn missing(slo: &Slo, scale: Scale) -> Alert {
    let events = select(SLI_EVENTS.name, &burn::matchers(slo));
    // It silences the burn alerts of its SLO, so it must be as loud as they would be.
    let severity = if slo.page { Severity::Page } else { Severity::Ticket };
    let description = format!(
        "No scraped process exports the counters of the objective {} of {}. This is not low traffic: an idle proxy still \
         exports them. The objective is blind, and its burn alerts keep the state they had.",
        label("slo"),
        label("model"),
    );
    Alert::new(MISSING, severity, Domain::Platform, format!("absent({events})"))
        .of_a_model()
        .timed(scale.interval(300), scale.interval(60))
        .says(format!("Nobody counts events for {}", label("slo")), description)
        .proved_by(missing_scenarios(slo))
}

/// Counters of one SLO on one instance.
fn counters(slo: &Slo, events: &str, bad: &str) -> Vec<Input> {
    let labels = [("slo", slo.name.as_str()), ("model", slo.model.as_str()), ("instance", "proxy-1")];
    vec![Input::new(SLI_EVENTS.name, &labels, events), Input::new(SLI_BAD_EVENTS.name, &labels, bad)]
}

fn expected(slo: &Slo, window: &str, value: f64) -> Expected {
    Expected::new(&[("slo", &slo.name), ("model", &slo.model), ("window", window)], value)
}

/// Steps in which nothing is counted after an hour of failures, before the test looks: the 1 h window is empty then.
const SILENT_STEPS: u64 = 75;

fn scenarios(name: &str, slo: &Slo, windows: &[&BurnWindow]) -> Vec<Scenario> {
    let all_bad = 1.0 / slo.budget();
    let first = windows.first().map_or("", |w| w.long_name);
    let fires = || expected(slo, first, all_bad);
    // one in a budget's inverse is exactly what the objective allows; half of that must stay quiet
    let allowed = (2.0 / slo.budget()).ceil();
    let healthy = counters(slo, &format!("0+{allowed}x90"), "0+1x90");
    let hour_of_failures_then = |rest: &str| {
        let values = format!("0+60x60 {rest}");
        counters(slo, &values, &values)
    };
    let silence = hour_of_failures_then(&format!("3600x{SILENT_STEPS}"));
    let gone = hour_of_failures_then(&format!("stale _x{SILENT_STEPS}"));
    let two_of_sixty = counters(slo, "0+1x60", "0x55 1x1 2x2");
    let mut all = vec![
        Scenario::fires("nothing but failures", hour_of_failures_then(""), 60, fires()),
        Scenario::quiet("failures inside the budget", healthy, 90),
        Scenario::quiet("two failures of sixty requests are no trend", two_of_sixty, 60),
        Scenario::fires("a gap in the traffic ends no alert", silence, 60 + SILENT_STEPS, fires()),
        Scenario::fires("a vanished counter ends no alert", gone, 60 + SILENT_STEPS, fires()),
    ];
    if name == PAGE {
        let recovered = counters(slo, "0+60x60 3660+60x60", "0+60x60 3600x60");
        all.push(Scenario::quiet("over once the short windows are clean", recovered, 110));
    }
    all
}

fn missing_scenarios(slo: &Slo) -> Vec<Scenario> {
    let gone = || Expected::new(&[("slo", &slo.name), ("model", &slo.model)], 1.0);
    vec![
        Scenario::fires("the counters vanish", counters(slo, "0+1x10 stale", "0x10 stale"), 30, gone()),
        Scenario::fires("they were never there", vec![], 10, gone()),
        Scenario::quiet("an idle proxy", counters(slo, "0x30", "0x30"), 30),
    ]
}
