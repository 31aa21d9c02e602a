//! Dashboards against their rules: structure, names, and every query parsed by the tool that will run it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::Command;

use contract::metrics::{Kind, Metric};
use serde_json::Value;

use super::*;

const PERIOD_DAYS: u32 = 30;

fn dashboards() -> Vec<Value> {
    let others = boards(PERIOD_DAYS).into_iter().map(|(_, board)| board);
    [overview(PERIOD_DAYS), pipeline()].into_iter().chain(others).collect()
}

fn panels(dashboard: &Value) -> Vec<&Value> {
    dashboard["panels"].as_array().unwrap().iter().filter(|p| p["type"] != "row").collect()
}

fn title(panel: &Value) -> &str {
    panel["title"].as_str().unwrap()
}

fn targets(panel: &Value) -> &Vec<Value> {
    panel["targets"].as_array().unwrap()
}

/// All PromQL with where it stands, variables replaced by what Grafana would put in.
fn expressions() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for dashboard in dashboards() {
        for panel in panels(&dashboard) {
            for target in targets(panel).iter().filter_map(|t| t["expr"].as_str()) {
                let expr = target.replace("$__rate_interval", "1m").replace("$__range", "1h");
                let expr = FILTERS.iter().fold(expr, |expr, filter| expr.replace(&format!("${filter}"), ".*"));
                all.push((title(panel).to_owned(), expr));
            }
        }
    }
    all
}

fn queries() -> Vec<String> {
    let all = dashboards();
    let rows = all.iter().flat_map(panels).flat_map(targets).filter_map(|t| t["rawSql"].as_str().map(str::to_owned));
    let marks = all.iter().map(|d| d["annotations"]["list"][0]["target"]["rawSql"].as_str().unwrap().to_owned());
    rows.chain(marks).collect()
}

/// The metric that a word of PromQL names.
fn metric_of(word: &str) -> Option<&'static Metric> {
    let family = ["_bucket", "_sum", "_count"].iter().find_map(|s| word.strip_suffix(s));
    contract::metrics::all()
        .find(|m| m.name == word || (Some(m.name) == family && matches!(m.kind, Kind::Histogram(_))))
}

fn words(expr: &str) -> impl Iterator<Item = &str> {
    expr.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(|w| w.starts_with("driftline_"))
}

#[test]
fn ids_are_unique_and_panels_do_not_overlap() {
    for dashboard in dashboards() {
        let all = dashboard["panels"].as_array().unwrap();
        let ids: BTreeSet<_> = all.iter().map(|p| p["id"].as_u64().unwrap()).collect();
        assert_eq!(ids.len(), all.len());
        let mut taken: BTreeMap<(u64, u64), &str> = BTreeMap::new();
        for panel in all {
            let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
            assert!(at("x") + at("w") <= 24, "{} is too wide", title(panel));
            for cell in (at("x")..at("x") + at("w")).flat_map(|x| (at("y")..at("y") + at("h")).map(move |y| (x, y))) {
                if let Some(other) = taken.insert(cell, title(panel)) {
                    panic!("{} lies on {other}", title(panel));
                }
            }
        }
    }
}

#[test]
fn every_panel_says_what_it_shows_in_which_unit_and_from_where() {
    for dashboard in dashboards() {
        let mut titles = BTreeSet::new();
        for panel in panels(&dashboard) {
            let name = title(panel);
            assert!(titles.insert(name.to_owned()), "two panels are called {name}");
            assert!(panel["description"].as_str().unwrap().ends_with('.'), "{name} has no sentence");
            assert!(!panel["fieldConfig"]["defaults"]["unit"].as_str().unwrap().is_empty(), "{name} has no unit");
            assert!(!targets(panel).is_empty(), "{name} asks nothing");
            for target in targets(panel) {
                for source in [&panel["datasource"]["uid"], &target["datasource"]["uid"]] {
                    assert!(["${prometheus}", "${clickhouse}"].contains(&source.as_str().unwrap()), "{name}: {source}");
                }
                if target["expr"].is_string() {
                    assert!(
                        !target["legendFormat"].as_str().unwrap().is_empty(),
                        "{name} has a series without a legend"
                    );
                }
            }
        }
    }
}

#[test]
fn identities_are_stable_and_links_lead_to_each_other() {
    let uids: Vec<String> = dashboards().iter().map(|d| d["uid"].as_str().unwrap().to_owned()).collect();
    let named = ["overview", "pipeline", "executive", "on-call", "debug", "drift", "confidence", "shadow"];
    assert_eq!(uids, named.map(|name| format!("driftline-{name}")));
    for dashboard in dashboards() {
        let url = dashboard["links"][0]["url"].as_str().unwrap();
        let target = url.trim_start_matches("/d/").split('?').next().unwrap();
        assert!(uids.iter().any(|uid| uid == target) && dashboard["uid"] != target, "{url}");
        let names: Vec<_> =
            dashboard["templating"]["list"].as_array().unwrap().iter().map(|v| v["name"].clone()).collect();
        assert_eq!(names, ["prometheus", "clickhouse", "model", "version", "feature"]);
        assert!(dashboard["schemaVersion"].as_u64().unwrap() >= 39);
    }
}

#[test]
fn every_expression_names_only_metrics_that_exist_with_labels_that_they_have() {
    for (panel, expr) in expressions() {
        assert!(words(&expr).count() > 0, "{panel}: {expr}");
        for word in words(&expr) {
            let metric = metric_of(word).unwrap_or_else(|| panic!("{panel} reads {word}, which nobody exports"));
            let scraped = ["job", "instance", "le"];
            for by in expr.split(" by (").skip(1).filter_map(|rest| rest.split(')').next()).flat_map(|l| l.split(", "))
            {
                let known =
                    expr.matches("driftline_").count() > 1 || metric.labels.contains(&by) || scraped.contains(&by);
                assert!(known, "{panel}: {word} has no label {by}");
            }
        }
    }
}

/// A counter's value means nothing by itself, except in the ledger, whose sides must be compared as they stand.
#[test]
fn counters_are_shown_as_growth() {
    let ledger = ["Observed", "Delivered", "Dropped", "Unaccounted for"];
    for (panel, expr) in expressions() {
        for word in words(&expr).filter(|w| metric_of(w).is_some_and(|m| m.kind != Kind::Gauge)) {
            let grows = ["rate(", "increase("].iter().any(|f| expr.contains(&format!("{f}{word}")));
            assert!(grows || ledger.contains(&panel.as_str()), "{panel} shows {word} as it stands");
        }
    }
}

#[test]
fn every_metric_is_on_some_panel() {
    let all: String = expressions().into_iter().map(|(_, expr)| expr + " ").collect();
    let shown: BTreeSet<&str> = words(&all).filter_map(metric_of).map(|m| m.name).collect();
    let missing: Vec<_> = contract::metrics::all().map(|m| m.name).filter(|name| !shown.contains(name)).collect();
    assert!(missing.is_empty(), "on no panel: {missing:?}");
}

#[test]
fn prometheus_parses_every_expression() {
    let mut rules = tempfile::Builder::new().suffix(".json").tempfile().unwrap();
    let all: Vec<Value> = expressions()
        .into_iter()
        .enumerate()
        .map(|(i, (_, expr))| json!({ "record": format!("panel:{i}"), "expr": expr }))
        .collect();
    assert!(all.len() > 60, "{} expressions", all.len());
    write!(rules, "{}", json!({ "groups": [{ "name": "panels", "rules": all }] })).unwrap();
    let output = Command::new("promtool")
        .args(["check", "rules"])
        .arg(rules.path())
        .output()
        .unwrap_or_else(|error| panic!("promtool: {error}: run `make deps`"));
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    assert!(said.contains(&format!("{} rules found", all.len())), "{said}");
}

#[test]
fn burn_panels_draw_the_lines_of_the_windows() {
    // the workbook's table for 30 days; for 14 the shares of the budget stay and the slowest is raised to 1
    let lines = [(30, [14.4, 6.0, 3.0, 1.0]), (14, [6.72, 2.8, 1.4, 1.0])];
    for (days, factors) in lines {
        let on_call = boards(days).into_iter().find(|(name, _)| *name == "on-call").unwrap().1;
        for board in [overview(days), on_call] {
            for (window, factor) in ["1h", "6h", "1d", "3d"].iter().zip(factors) {
                let name = format!("Burn over {window} ");
                let panel = panels(&board).into_iter().find(|p| title(p).starts_with(&name)).unwrap();
                let line = panel["fieldConfig"]["defaults"]["thresholds"]["steps"][1]["value"].as_f64().unwrap();
                assert!((line - factor).abs() < 1e-9, "{name} of {days} days: {line}");
                assert!(panel["description"].as_str().unwrap().contains(&format!("for {days} days")));
            }
        }
    }
}

/// The targets that `deploy/slo/starter.yaml` gives as bands and lines are where people look.
#[test]
fn targets_are_drawn_where_they_are_looked_at() {
    let drawn = |board: &str, name: &str| {
        let board = boards(PERIOD_DAYS).into_iter().find(|(file, _)| *file == board).unwrap().1;
        let panel = panels(&board).into_iter().find(|p| title(p) == name).unwrap();
        let style = &panel["fieldConfig"]["defaults"];
        assert_eq!(style["custom"]["thresholdsStyle"]["mode"], "dashed", "{name}");
        let steps = style["thresholds"]["steps"].as_array().unwrap();
        steps.iter().map(|s| (s["value"].as_f64(), s["color"].as_str().unwrap().to_owned())).collect::<Vec<_>>()
    };
    let step = |value, colour: &str| (value, colour.to_owned());
    let cards = drawn("on-call", "Utilisation");
    assert_eq!(cards, [step(None, "blue"), step(Some(0.6), "green"), step(Some(0.9), "red")]);
    assert_eq!(drawn("executive", "p95 with its target"), [step(None, "green"), step(Some(0.3), "red")]);
}

#[test]
fn what_can_be_chosen_filters_every_query_that_knows_it() {
    let drift = boards(PERIOD_DAYS).into_iter().find(|(name, _)| *name == "drift").unwrap().1;
    for panel in panels(&drift) {
        for target in targets(panel) {
            let query = target["expr"].as_str().or(target["rawSql"].as_str()).unwrap();
            assert!(query.contains("$model") || query.contains("${model:pipe}"), "{}", title(panel));
            let of_features = query.contains("feature");
            let filtered = query.contains("$feature") || query.contains("${feature:pipe}");
            assert!(filtered || !of_features, "{} shows all features, whichever is chosen", title(panel));
        }
    }
}

/// Views that a query reads.
fn views_of(query: &str) -> Vec<&'static contract::views::View> {
    let names = query.split("FROM ").skip(1).filter_map(|rest| rest.split_whitespace().next());
    let named = names.filter(|name| !name.starts_with('('));
    named
        .map(|name| {
            contract::views::ALL.iter().find(|v| v.name == name).unwrap_or_else(|| panic!("{name} is no view: {query}"))
        })
        .collect()
}

#[test]
fn rows_come_from_the_contracts_views_and_all_of_them_are_read() {
    let mut read = BTreeSet::new();
    for query in queries() {
        let views = views_of(&query);
        assert!(!views.is_empty(), "{query}");
        read.extend(views.iter().map(|view| view.name));
        let filters = FILTERS.map(|filter| format!("${{{filter}:pipe}}"));
        let outside_quotes = query.split('\'').step_by(2).collect::<Vec<_>>().join(" ");
        let outside_quotes = filters.iter().fold(outside_quotes, |text, filter| text.replace(filter, ""));
        let aliases: BTreeSet<&str> =
            outside_quotes.split(" AS ").skip(1).filter_map(|rest| rest.split([',', ' ', ')']).next()).collect();
        let functions = [
            "sum",
            "sumIf",
            "max",
            "min",
            "any",
            "abs",
            "concat",
            "match",
            "null",
            "nullIf",
            "right",
            "toString",
            "formatDateTime",
            "__timeFilter",
            "__fromTime",
            "__toTime",
            "toStartOfHour",
        ];
        let identifiers = outside_quotes
            .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .filter(|w| w.chars().any(|c| c.is_ascii_lowercase()));
        for word in identifiers {
            let known = views.iter().any(|view| view.name == word || view.columns.contains(&word))
                || aliases.contains(word)
                || functions.contains(&word);
            assert!(
                known,
                "{} have no column {word}: {query}",
                views.iter().map(|v| v.name).collect::<Vec<_>>().join(", ")
            );
        }
    }
    let views: BTreeSet<&str> = contract::views::ALL.iter().map(|v| v.name).collect();
    assert_eq!(read, views);
}

#[test]
fn no_password_is_written_to_a_file() {
    let files = provisioning(&crate::Options::default());
    assert_eq!(files.len(), 2);
    assert!(files[0].contents.contains("\"password\": \"${DRIFTLINE_CLICKHOUSE_PASSWORD}\""));
}
