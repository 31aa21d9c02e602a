//! The rendered files against the real `promtool` and `amtool`.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use super::*;

mod foreign;
mod lints;
mod routes;

const FILE: &str = r#"
service: demo
owner: platform
slos:
  - name: router-availability
    description: Nine hundred and ninety-nine of a thousand messages are {{ routed }}.
    model: support-router
    objective: 99.9
    sli: { kind: availability }
  - name: router-latency
    model: support-router
    objective: 95
    sli: { kind: latency, threshold_ms: 300 }
  - { name: digits-availability, model: digits, objective: 90, sli: { kind: availability }, page: false }
  - { name: digits-loose, model: digits, objective: 50, sli: { kind: availability } }
  - { name: digits-early, model: digits, objective: 90, sli: { kind: availability }, page_at: 8 }
  - { name: digits-same, model: digits, objective: 95, sli: { kind: drift_free }, owner: readers, labels: { tier: gold } }
  - { name: shop-orders, objective: 99, sli: { kind: events, total: 'sum(rate(orders_total{shop="a"}[{{.window}}]))', bad: 'sum(rate(orders_total{shop="a",code=~"5.."}[{{.window}}]))' } }
page_on_drift: [digits]
"#;

fn file(extra: &str) -> SloFile {
    slo_file::parse(&format!("{extra}{FILE}")).unwrap_or_else(|faults| panic!("{faults}"))
}

fn options() -> Options {
    let local = |port: u16| vec![format!("127.0.0.1:{port}")];
    let hook = |severity: &str| format!("http://127.0.0.1:9095/{severity}");
    Options {
        proxy: local(8080),
        collector: local(8081),
        analyzer: local(8082),
        alertmanager: local(9093),
        webhooks: Webhooks {
            page: hook("page"),
            ticket: hook("ticket"),
            info: hook("info"),
            model: Some(hook("model")),
        },
        runbook_base: "http://127.0.0.1:8082/runbooks".into(),
        dashboard_base: "http://127.0.0.1:8082/".into(),
        compat_sloth: false,
    }
}

fn write(files: &[RenderedFile]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in files {
        let path = folder.path().join(&file.path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, &file.contents).unwrap();
    }
    folder
}

/// Runs a tool in `folder`; panics with what it said when it fails.
#[track_caller]
fn run(folder: &Path, command: &[&str]) -> String {
    let output = Command::new(command[0])
        .args(&command[1..])
        .current_dir(folder)
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}: run `make deps`", command[0]));
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?} says\n{said}");
    said
}

/// How many run at once.
const PROMTOOLS: usize = 4;

/// Checks the rendered files and runs those of their tests whose names begin so.
#[track_caller]
fn promtool(file: &SloFile, beginning: &str) {
    let folder = write(&render(file, &options()));
    let folder = folder.path();
    run(folder, &["promtool", "check", "config", "prometheus/prometheus.yml"]);
    let mut tests: Vec<_> = std::fs::read_dir(folder.join("prometheus/tests"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    tests.sort();
    assert_eq!(tests.len(), 2 * file.slos.len() + 6, "{tests:?}");
    tests.retain(|name| name.starts_with(beginning));
    let paths: Vec<_> = tests.iter().map(|name| format!("prometheus/tests/{name}")).collect();
    assert!(!paths.is_empty(), "no test begins with {beginning}");
    // promtool runs one file after the other: a few of them at once
    std::thread::scope(|scope| {
        for some in paths.chunks(paths.len().div_ceil(PROMTOOLS)) {
            let command: Vec<&str> =
                ["promtool", "test", "rules"].into_iter().chain(some.iter().map(String::as_str)).collect();
            scope.spawn(move || run(folder, &command));
        }
    });
}

#[test]
fn every_alert_fires_and_keeps_quiet_in_real_time() {
    promtool(&file(""), "");
}

/// An objective of each source: what is scaled is the same for all.
#[test]
fn every_alert_fires_and_keeps_quiet_sixty_times_faster() {
    let mut file = file("time_scale: 60\n");
    file.slos.retain(|slo| ["router-availability", "digits-same", "shop-orders"].contains(&slo.name.as_str()));
    assert_eq!(file.slos.len(), 3);
    promtool(&file, "slo-");
    promtool(&file, "serving");
}

#[test]
fn a_week_as_period_works_as_well() {
    let mut file = file("period_days: 7\ntime_scale: 60\n");
    file.slos.truncate(1);
    promtool(&file, "slo-");
}

#[test]
fn the_starter_file_has_no_faults() {
    let starter = slo_file::parse(include_str!("../../deploy/slo/starter.yaml")).unwrap_or_else(|f| panic!("{f}"));
    assert_eq!(starter.slos.len(), 6);
    let notes = slo_file::notes(&starter);
    assert!(notes.iter().all(|n| n.starts_with("router-p50")), "{notes:?}");
    let folder = write(&render(&starter, &options()));
    run(folder.path(), &["promtool", "check", "config", "prometheus/prometheus.yml"]);
}

#[test]
fn each_alert_is_proved_both_ways() {
    for alert in alerts(&file("")) {
        let fires = alert.scenarios.iter().filter(|s| !s.fires.is_empty()).count();
        assert!(fires > 0, "{} is never shown to fire", alert.name);
        assert!(fires < alert.scenarios.len(), "{} is never shown to keep quiet", alert.name);
    }
}

/// A test that cannot fail proves nothing: break a factor and a text, and promtool must notice.
#[test]
fn the_generated_tests_notice_a_wrong_rule() {
    let wrongs = [("> 14.4", "> 1e9"), (">= bool 3", ">= bool 0"), ("[1d])", "[1s])"), ("burns its", "eats its")];
    let notice = |(right, wrong)| {
        let mut files = render(&file(""), &options());
        let rules = files.iter_mut().find(|f| f.path == "prometheus/rules/slo-router-availability.yml").unwrap();
        assert!(rules.contents.contains(right), "{right} is not in the rules");
        rules.contents = rules.contents.replace(right, wrong);
        let folder = write(&files);
        let output = Command::new("promtool")
            .args(["test", "rules", "prometheus/tests/slo-router-availability.yml"])
            .current_dir(folder.path())
            .output()
            .unwrap_or_else(|error| panic!("promtool: {error}: run `make deps`"));
        assert!(!output.status.success(), "{right} -> {wrong} passes");
    };
    std::thread::scope(|scope| {
        for one in wrongs {
            scope.spawn(move || notice(one));
        }
    });
}

#[test]
fn reference_factors_are_in_the_rules() {
    let file = file("");
    let path = slo_rules_path(&file.slos[0]);
    let files = render(&file, &options());
    let rules = files.iter().find(|f| f.path == path).unwrap();
    for factor in ["> 14.4\n", "> 6\n", "> 3\n", "> 1\n"] {
        assert!(rules.contents.contains(factor), "no {factor}");
    }
}

#[test]
fn an_objective_that_cannot_burn_fast_enough_has_no_such_window() {
    let file = file("");
    let names = |slo: usize| slo_alerts::of(&file, &file.slos[slo]).iter().map(|a| a.name).collect::<Vec<_>>();
    assert_eq!(names(0), [slo_alerts::PAGE, slo_alerts::TICKET, slo_alerts::MISSING]);
    assert_eq!(names(2), [slo_alerts::TICKET, slo_alerts::MISSING], "page: false");
    assert_eq!(names(4), [slo_alerts::PAGE, slo_alerts::TICKET, slo_alerts::MISSING], "page_at");
    assert_eq!(names(5), [slo_alerts::TICKET, slo_alerts::MISSING], "drift is no page");
    assert_eq!(names(3), [slo_alerts::TICKET, slo_alerts::MISSING], "half may fail");
    let loose = &slo_alerts::of(&file, &file.slos[3])[0];
    assert!(!loose.expr.contains("> 3\n") && loose.expr.contains("> 1\n"), "{}", loose.expr);
}

#[test]
fn what_pages_is_what_users_feel() {
    let pages = |file: &SloFile| alerts(file).into_iter().filter(|a| a.severity == Severity::Page).collect::<Vec<_>>();
    let names: BTreeSet<_> = pages(&file("")).iter().map(|a| a.name).collect();
    let expected = [
        service::DOWN,
        service::DRIFT,
        service::UNAVAILABLE,
        service::ERRORS,
        "DriftlineOutOfMemory",
        slo_alerts::PAGE,
        slo_alerts::MISSING,
    ];
    assert_eq!(names, BTreeSet::from(expected));
    let silent = SloFile { page_on_drift: vec![], ..file("") };
    assert!(pages(&silent).iter().all(|a| a.domain == Domain::Platform), "quality pages by request only");
    assert!(pages(&file("")).iter().all(|a| !a.name.contains("Shadow")));
}

#[test]
fn every_row_of_the_table_is_an_alert() {
    let rows: BTreeSet<_> = service::TABLE.iter().map(|(name, ..)| *name).collect();
    let silent = SloFile { page_on_drift: vec![], ..file("") };
    let named: BTreeSet<_> = service::all(&silent).iter().map(|a| a.name).collect();
    assert_eq!(rows, named);
    for alert in service::all(&silent) {
        let row = service::TABLE.iter().find(|(name, ..)| *name == alert.name).unwrap();
        assert_eq!((row.1, row.2), (alert.severity, alert.domain), "{}", alert.name);
    }
}

#[test]
fn each_alert_has_a_runbook_and_each_runbook_an_alert() {
    let alerts: BTreeSet<_> = alerts(&file("")).iter().map(|a| a.name.to_owned()).collect();
    let embedded: BTreeSet<_> = runbooks::ALL.iter().map(|r| r.alert.to_owned()).collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/runbooks");
    let files: BTreeSet<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().trim_end_matches(".md").to_owned())
        .collect();
    assert_eq!(alerts, embedded);
    assert_eq!(alerts, files);
}

#[test]
fn each_runbook_answers_the_four_questions_and_names_only_metrics_that_exist() {
    let names: BTreeSet<&str> = contract::metrics::all().map(|m| m.name).collect();
    for runbook in runbooks::ALL {
        let headings: Vec<_> = runbook.text.lines().filter(|l| l.starts_with('#')).collect();
        let title = format!("# {}", runbook.alert);
        let four = ["## What it means", "## How to see it", "## First five minutes", "## How to confirm recovery"];
        assert_eq!(headings[0], title);
        assert_eq!(headings[1..], four, "{}", runbook.alert);
        let words = runbook.text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        for word in words.filter(|w| w.starts_with("driftline_")) {
            let family = ["_bucket", "_sum"].iter().find_map(|s| word.strip_suffix(s)).unwrap_or(word);
            assert!(names.contains(family), "{} names {word}, which nobody exports", runbook.alert);
        }
    }
}

#[test]
fn rules_name_only_metrics_that_exist() {
    let names: BTreeSet<&str> = contract::metrics::all().map(|m| m.name).collect();
    for file in render(&file(""), &options()) {
        let words = file.contents.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
        for word in words.filter(|w| w.starts_with("driftline_")) {
            let word = word.strip_suffix("_sum").unwrap_or(word);
            assert!(names.contains(word), "{} names {word}, which nobody exports", file.path);
        }
    }
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    assert_eq!(render(&file(""), &options()), render(&file(""), &options()));
}

/// Thirty days of traffic that differs from day to day, each with an empty night, and one day without any: what is left
/// is finite and right to a part in 1e9. The expected value is plain addition of what was sent.
#[test]
fn what_is_left_after_a_month_with_empty_nights_is_right() {
    use made_up::{inputs, phase};
    let mut file = file("");
    file.slos.truncate(1);
    // steps of 150 s: sixteen hours by day, eight by night
    let day = |d: u32| {
        let is_empty = d == 17;
        let requests = if is_empty { 0.0 } else { f64::from(100 + 7 * d) };
        let failed = if is_empty { 0.0 } else { f64::from(d % 5) / 16.0 };
        [phase(384, requests, failed), phase(192, 0.0, 0.0)]
    };
    let phases: Vec<_> = (0..30).flat_map(day).collect();
    let sum = |of: fn((f64, f64)) -> f64| phases.iter().map(|p| p.steps as f64 * of(p.each.unwrap())).sum::<f64>();
    let (requests, failed) = (sum(|(n, _)| n), sum(|(_, bad)| bad));
    let expected = 1.0 - failed / requests / 0.001;
    let test = serde_json::json!({
        "rule_files": ["../rules/slo-router-availability-budget.yml"],
        "evaluation_interval": "5m",
        "tests": [{
            "interval": "150s",
            "input_series": inputs(&file.slos[0], &phases),
            "promql_expr_test": [{
                "expr": format!("round(({} - {expected}) * 1e9)", budget::REMAINING),
                "eval_time": "30d",
                "exp_samples": [{ "labels": "{slo=\"router-availability\", model=\"support-router\"}", "value": 0 }],
            }],
        }],
    });
    let folder = write(&render(&file, &options()));
    std::fs::write(folder.path().join("prometheus/tests/month.yml"), test.to_string()).unwrap();
    run(folder.path(), &["promtool", "test", "rules", "prometheus/tests/month.yml"]);
}
