//! What pint and the monitoring mixins' guide ask of rules, as tests over everything that is rendered.
//!
//! pint's checks by their names there: `alerts/annotation`, `rule/label`, `promql/rate`, `promql/vector_matching`,
//! `alerts/for`, `alerts/template`, `promql/syntax`; the mixins' guide: severity, summary, description, runbook.

use contract::metrics::Kind;
use serde_json::Value;

use super::*;
use crate::alert::Expected;

/// Rules of all files with their group's interval in seconds.
fn rules() -> Vec<(Value, f64)> {
    let options = Options { compat_sloth: true, ..options() };
    let files = render(&file(""), &options);
    let of_file = |f: &RenderedFile| -> Vec<(Value, f64)> {
        let tree: Value = serde_saphyr::from_str(&f.contents).unwrap();
        let groups = tree["groups"].as_array().unwrap().clone();
        groups
            .iter()
            .flat_map(|g| {
                let interval = seconds(g["interval"].as_str().unwrap());
                g["rules"].as_array().unwrap().clone().into_iter().map(move |rule| (rule, interval))
            })
            .collect()
    };
    files.iter().filter(|f| f.path.starts_with("prometheus/rules/")).flat_map(of_file).collect()
}

/// Seconds of a duration of one unit.
fn seconds(text: &str) -> f64 {
    let units = [("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3_600.0), ("d", 86_400.0)];
    let (unit, factor) = units.into_iter().find(|(unit, _)| text.ends_with(unit)).unwrap();
    text.trim_end_matches(unit).parse::<f64>().unwrap() * factor
}

fn alert_rules() -> Vec<(Value, f64)> {
    rules().into_iter().filter(|(rule, _)| rule["alert"].is_string()).collect()
}

fn text<'a>(rule: &'a Value, at: &str) -> &'a str {
    rule.pointer(at).and_then(Value::as_str).unwrap_or_else(|| panic!("{} has no {at}", rule["alert"]))
}

#[test]
fn every_alert_has_its_labels_and_annotations() {
    for (rule, _) in alert_rules() {
        assert!(["page", "ticket", "info"].contains(&text(&rule, "/labels/severity")));
        assert!(["platform", "model"].contains(&text(&rule, "/labels/domain")));
        assert!(!text(&rule, "/labels/owner").is_empty());
        let name = text(&rule, "/alert");
        assert!(text(&rule, "/annotations/runbook_url").ends_with(&format!("/{name}.md")));
        assert!(text(&rule, "/annotations/dashboard_url").starts_with("http"));
        let (summary, description) = (text(&rule, "/annotations/summary"), text(&rule, "/annotations/description"));
        assert!(summary.len() < 120 && !summary.ends_with('.'), "{name}: a summary is a headline");
        assert!(description.ends_with(['.', '}']), "{name}: a description is sentences");
        // a label's value must not change with the query's, or each evaluation is a new alert
        assert!(rule["labels"].as_object().unwrap().values().all(|v| !v.as_str().unwrap().contains("{{")), "{name}");
    }
}

#[test]
fn an_objectives_own_owner_and_labels_are_on_its_alerts() {
    let of = |slo: &str| {
        let all = alert_rules();
        let mine = all.into_iter().map(|(rule, _)| rule).filter(|r| r["expr"].as_str().unwrap().contains(slo));
        mine.filter(|r| r["alert"] != "DriftlineSloBurnPage").collect::<Vec<_>>()
    };
    for rule in of("digits-same") {
        assert_eq!((text(&rule, "/labels/owner"), text(&rule, "/labels/tier")), ("readers", "gold"));
        assert_eq!(text(&rule, "/labels/domain"), "model");
    }
    assert_eq!(text(&of("router-latency")[0], "/labels/owner"), "platform");
}

/// Ranges of an expression that follow a function, in seconds, subqueries left out.
fn ranges(expr: &str, functions: &[&str]) -> Vec<f64> {
    let mut found = Vec::new();
    for function in functions {
        for (at, _) in expr.match_indices(&format!("{function}(")) {
            let range = expr[at..].split('[').nth(1).and_then(|r| r.split(']').next()).unwrap();
            if !range.contains(':') {
                found.push(seconds(range));
            }
        }
    }
    found
}

#[test]
fn counters_are_read_as_growth_over_four_scrapes_and_gauges_are_not() {
    const SCRAPE_SECONDS: f64 = 15.0;
    for (rule, _) in rules() {
        let expr = rule["expr"].as_str().unwrap();
        for range in ranges(expr, &["rate", "increase"]) {
            assert!(range >= 4.0 * SCRAPE_SECONDS, "{expr}: {range} s hold too few scrapes");
        }
        for metric in contract::metrics::all() {
            let grows = ["rate(", "increase("].iter().any(|f| expr.contains(&format!("{f}{}", metric.name)));
            match metric.kind {
                Kind::Gauge => assert!(!grows, "{} is a gauge: {expr}", metric.name),
                Kind::Counter => {
                    let stands = expr.contains(&format!("absent({}", metric.name))
                        || expr.contains(&format!("unless last_over_time({}", metric.name));
                    let named =
                        expr.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).any(|w| w == metric.name);
                    assert!(!named || grows || stands, "{} as it stands: {expr}", metric.name);
                }
                Kind::Histogram(_) => {}
            }
        }
    }
}

/// A `for` that is no multiple of the interval waits for the next one: then say so.
#[test]
fn waits_are_multiples_of_the_interval() {
    for (rule, interval) in alert_rules() {
        for key in ["for", "keep_firing_for"] {
            let wait = seconds(rule[key].as_str().unwrap());
            assert!(wait % interval == 0.0, "{}: {key} {wait} s at an interval of {interval} s", rule["alert"]);
        }
        let keep = seconds(rule["keep_firing_for"].as_str().unwrap());
        assert!(keep >= 60.0, "{} would flap", rule["alert"]);
    }
}

/// A division without a guard is NaN when nothing is asked, and NaN is an alert that neither fires nor ends.
#[test]
fn no_division_by_what_may_be_nothing() {
    let empty = Expected::default();
    assert_eq!(empty.value, 0.0);
    for (rule, _) in rules() {
        let expr = rule["expr"].as_str().unwrap();
        for part in expr.split("/ (sum").skip(1).chain(expr.split("/ (max").skip(1)).chain(expr.split("/ sum").skip(1))
        {
            assert!(part.contains("> 0)") || part.contains("> 100)"), "nothing guards the division in {expr}");
        }
    }
}

#[test]
fn every_template_is_a_label_that_the_expression_gives_or_the_value() {
    for alert in alerts(&file("")) {
        for text in [&alert.summary, &alert.description] {
            for template in text.split("{{ $labels.").skip(1) {
                let label = template.split(' ').next().unwrap();
                let given =
                    alert.scenarios.iter().flat_map(|s| &s.fires).all(|f| f.labels.iter().any(|(k, _)| k == label));
                assert!(given, "{}: its results have no label {label}", alert.name);
            }
        }
    }
}
