//! Tests for `promtool test rules`: every alert's scenarios, with its labels and texts as they will arrive.
//!
//! An objective has two files: promtool evaluates all groups at one interval, and what is left of the budget is right
//! only at the interval of its own group.

use std::collections::BTreeMap;

use contract::slo::{Slo, SloFile};
use serde::Serialize;

use crate::alert::{Alert, Expected, Input, Scenario};
use crate::promql::{Scale, Span, select};
use crate::{Options, RenderedFile, budget, burn, service, slo_alerts, yaml};

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
    let others = service::all(Scale::of(file));
    file.slos.iter().flat_map(of_slo).chain([alert_tests("service", file, options, &others)]).collect()
}

const COMMENT: &str = "Run with `promtool test rules`. Rendered by `driftline render` together with the rules.";

fn alert_tests(name: &str, file: &SloFile, options: &Options, alerts: &[Alert]) -> RenderedFile {
    let step = Scale::of(file).window(STEP_SECONDS);
    let test = |alert: &Alert, scenario: &Scenario| Test {
        name: format!("{}: {}", alert.name, scenario.title),
        interval: step.to_string(),
        input_series: scenario.inputs.clone(),
        alert_rule_test: vec![AlertTest {
            eval_time: step.times(scenario.step).to_string(),
            alertname: alert.name,
            exp_alerts: scenario.fires.iter().map(|expected| firing(alert, expected, &file.owner, options)).collect(),
        }],
        promql_expr_test: vec![],
    };
    let tests = alerts.iter().flat_map(|a| a.scenarios.iter().map(move |s| test(a, s))).collect();
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

fn budget_tests(file: &SloFile, slo: &Slo) -> RenderedFile {
    let interval = Scale::of(file).window(budget::INTERVAL_SECONDS);
    let rules = format!("slo-{}", slo.name);
    test_file(&format!("{rules}-budget"), &rules, interval, vec![budget_test(slo, interval)])
}

fn test_file(name: &str, rules: &str, interval: Span, tests: Vec<Test>) -> RenderedFile {
    let file =
        TestFile { rule_files: [format!("../rules/{rules}.yml")], evaluation_interval: interval.to_string(), tests };
    RenderedFile { path: format!("prometheus/tests/{name}.yml"), contents: yaml(COMMENT, &file) }
}

/// Traffic that spends half of the budget, then none: what is left stays finite, and stays.
fn budget_test(slo: &Slo, interval: Span) -> Test {
    let events = (2.0 / slo.budget()).ceil();
    // a sample twice an interval, so that a count has two samples to subtract
    let values =
        |each: f64| format!("0+{each}x{n} {last}x{n}", n = INTERVALS * 2, last = each * (INTERVALS * 2) as f64);
    let [a, b] = burn::matchers(slo);
    let labels = [a, b, ("instance", "proxy-1")];
    let input = |name, each| Input::new(name, &labels, values(each));
    let remaining = 1.0 - 1.0 / events / slo.budget();
    Test {
        name: format!("{}: half the budget, then an empty night", slo.name),
        interval: interval.half().to_string(),
        input_series: vec![
            input(contract::metrics::proxy::SLI_EVENTS.name, events),
            input(contract::metrics::proxy::SLI_BAD_EVENTS.name, 1.0),
        ],
        alert_rule_test: vec![],
        promql_expr_test: vec![ExprTest {
            expr: format!("round({} * 1e9)", select(budget::REMAINING, &[a, b])),
            eval_time: interval.times(INTERVALS * 2).to_string(),
            exp_samples: vec![Sample { labels: select("", &[a, b]), value: (remaining * 1e9).round() }],
        }],
    }
}
