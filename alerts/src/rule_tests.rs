//! Tests for `promtool test rules`: every alert's scenarios, with its labels and texts as they will arrive.
//!
//! An objective has two files: promtool evaluates all groups at one interval, and what is left of the budget is right
//! only at the interval of its own group.

use std::collections::BTreeMap;

use contract::slo::{Period, Slo, SloFile};
use serde::Serialize;

use crate::alert::{Alert, Expected, Input};
use crate::made_up::{inputs, phase};
use crate::promql::{Scale, Span, select};
use crate::{Options, RenderedFile, budget, service, slo_alerts, source, yaml};

#[derive(Serialize)]
struct TestFile {
    rule_files: [String; 1],
    evaluation_interval: String,
    tests: Vec<Test>,
}

#[derive(Serialize)]
struct Test {
    name: String,
    interval: String,
    input_series: Vec<Input>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    alert_rule_test: Vec<AlertTest>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    promql_expr_test: Vec<ExprTest>,
}

#[derive(Serialize)]
struct AlertTest {
    eval_time: String,
    alertname: &'static str,
    exp_alerts: Vec<Firing>,
}

#[derive(Serialize)]
struct Firing {
    exp_labels: BTreeMap<String, String>,
    exp_annotations: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct ExprTest {
    expr: String,
    eval_time: String,
    exp_samples: Vec<Sample>,
}

#[derive(Serialize)]
struct Sample {
    labels: String,
    value: f64,
}

/// One step of a scenario in unscaled seconds.
const STEP_SECONDS: u64 = 60;

/// Two files an SLO, and one for all other alerts.
pub fn all(file: &SloFile, options: &Options) -> Vec<RenderedFile> {
    let of_slo = |slo: &Slo| {
        let alerts = slo_alerts::of(file, slo);
        [alert_tests(&format!("slo-{}", slo.name), file, options, &alerts), budget_tests(file, slo)]
    };
    let others = service::files(file).into_iter().map(|(name, alerts)| alert_tests(name, file, options, &alerts));
    file.slos.iter().flat_map(of_slo).chain(others).collect()
}

const COMMENT: &str = "Run with `promtool test rules`. Rendered by `driftline render` together with the rules.";

/// A test a situation: alerts that are shown in the same one are asked about in one run of the rules.
fn alert_tests(name: &str, file: &SloFile, options: &Options, alerts: &[Alert]) -> RenderedFile {
    let step = Scale::of(file).window(STEP_SECONDS);
    let mut tests: Vec<Test> = Vec::new();
    for (alert, scenario) in alerts.iter().flat_map(|a| a.scenarios.iter().map(move |s| (a, s))) {
        let asked = AlertTest {
            eval_time: step.times(scenario.step).to_string(),
            alertname: alert.name,
            exp_alerts: scenario.fires.iter().map(|expected| firing(alert, expected, &file.owner, options)).collect(),
        };
        let title = format!("{}: {}", alert.name, scenario.title);
        if let Some(same) = tests.iter_mut().find(|t| t.input_series == scenario.inputs) {
            same.name = format!("{}; {title}", same.name);
            same.alert_rule_test.push(asked);
        } else {
            tests.push(Test {
                name: title,
                interval: step.to_string(),
                input_series: scenario.inputs.clone(),
                alert_rule_test: vec![asked],
                promql_expr_test: vec![],
            });
        }
    }
    test_file(name, name, step, tests)
}

fn firing(alert: &Alert, expected: &Expected, owner: &str, options: &Options) -> Firing {
    let mut exp_labels = alert.labels(owner);
    exp_labels.extend(expected.labels.iter().cloned());
    let annotations = alert.annotations(options);
    Firing {
        exp_labels,
        exp_annotations: annotations.into_iter().map(|(k, text)| (k, expected.expand(&text))).collect(),
    }
}

/// Intervals of traffic, then as many of silence, in the budget's tests.
const INTERVALS: u64 = 20;

/// The same for a calendar month, in hours: traffic in the last hours of a month and in the first of the next.
const MONTH_HOURS: u64 = 31 * 24;

fn budget_tests(file: &SloFile, slo: &Slo) -> RenderedFile {
    let interval = Scale::of(file).window(budget::INTERVAL_SECONDS);
    let name = format!("slo-{}-budget", slo.name);
    let test = match file.period {
        Period::Rolling => budget_test(slo, interval),
        Period::CalendarMonth => month_test(slo, interval),
    };
    test_file(&name, &name, interval, test.into_iter().collect())
}

fn test_file(name: &str, rules: &str, interval: Span, tests: Vec<Test>) -> RenderedFile {
    let file =
        TestFile { rule_files: [format!("../rules/{rules}.yml")], evaluation_interval: interval.to_string(), tests };
    RenderedFile { path: format!("prometheus/tests/{name}.yml"), contents: yaml(COMMENT, &file) }
}

/// Traffic that spends half of the budget, then none: what is left stays finite, and stays.
fn budget_test(slo: &Slo, interval: Span) -> Option<Test> {
    let events = (2.0 / slo.budget()).ceil();
    // a sample twice an interval, so that a count has two samples to subtract
    let inputs = inputs(slo, &[phase(INTERVALS * 2, events, 1.0), phase(INTERVALS * 2, 0.0, 0.0)]);
    let name = format!("{}: half the budget, then an empty night", slo.name);
    let asked = vec![left(slo, 1.0 - 1.0 / events / slo.budget(), interval.times(INTERVALS * 2))];
    (!inputs.is_empty()).then(|| of_budget(name, interval.half(), inputs, asked))
}

/// A month that spends the whole budget, and a next one that begins anew.
fn month_test(slo: &Slo, interval: Span) -> Option<Test> {
    let each = (1.0 / slo.budget()).ceil();
    let hour = Span::seconds(3_600);
    let steps = |hours: u64| hour.times(hours).steps_of(interval) * 2;
    let (night, first) = (steps(MONTH_HOURS - 6), steps(6));
    let phases = [phase(night, 0.0, 0.0), phase(first, each, 1.0), phase(first, each, 0.0)];
    let spent = 1.0 - 1.0 / each / slo.budget();
    let asked = vec![left(slo, spent, hour.times(MONTH_HOURS - 1)), left(slo, 1.0, hour.times(MONTH_HOURS + 2))];
    let inputs = inputs(slo, &phases);
    let name = format!("{}: on the first the budget is whole again", slo.name);
    (!inputs.is_empty()).then(|| of_budget(name, interval.half(), inputs, asked))
}

/// What is left at a time, to a part in 1e9.
fn left(slo: &Slo, value: f64, at: Span) -> ExprTest {
    let labels = source::labels(slo);
    ExprTest {
        expr: format!("round({} * 1e9)", select(budget::REMAINING, &labels)),
        eval_time: at.to_string(),
        exp_samples: vec![Sample { labels: select("", &labels), value: (value * 1e9).round() + 0.0 }],
    }
}

fn of_budget(name: String, interval: Span, input_series: Vec<Input>, promql_expr_test: Vec<ExprTest>) -> Test {
    Test { name, interval: interval.to_string(), input_series, alert_rule_test: vec![], promql_expr_test }
}
