//! The laws of the house, executed: who imports whom, how long a file may be, that every name has its place.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Files longer than [`FILE_LINES_MAX`] outside their tests. This list only shrinks.
const LONG_FILES: &[&str] = &[];
const FILE_LINES_MAX: usize = 400;

/// Who may import whom among our crates: the table of ARCHITECTURE.md.
const MAY_IMPORT: &[(&str, &str, &[&str])] = &[
    (
        ".",
        "driftline",
        &["contract", "masking", "host", "store", "inference-proxy", "collector", "analyzer", "dashboards", "alerts"],
    ),
    ("inference-proxy", "inference-proxy", &["contract", "masking", "texts", "host"]),
    ("collector", "collector", &["contract", "masking", "texts", "store", "host"]),
    ("analyzer", "analyzer", &["contract", "store", "host"]),
    ("dashboards", "dashboards", &["contract"]),
    ("alerts", "alerts", &["contract"]),
    ("collector/store", "store", &["contract", "masking"]),
    ("collector/masking", "masking", &["contract"]),
    ("collector/texts", "texts", &["contract"]),
    ("deploy/host", "host", &["contract"]),
    ("collector/contract", "contract", &[]),
    ("bench", "bench", &["analyzer", "contract", "host", "masking", "store", "inference-proxy"]),
];

/// Foreign crates that only one of ours may name.
const ONLY_X_KNOWS_Y: &[(&str, &str)] = &[
    ("ort", "inference-proxy"),
    ("tokenizers", "inference-proxy"),
    ("clickhouse", "store"),
    ("libloading", "store"),
    ("statrs", "analyzer"),
    ("whatlang", "texts"),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn manifest(folder: &str) -> toml::Table {
    read(root().join(folder).join("Cargo.toml")).parse().expect("a manifest is TOML")
}

fn dependencies(folder: &str) -> BTreeSet<String> {
    manifest(folder)
        .get("dependencies")
        .and_then(toml::Value::as_table)
        .map(|t| t.keys().cloned().collect())
        .unwrap_or_default()
}

/// Every Rust file of the project, relative to its root.
fn rust_files() -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a folder can be listed").flatten() {
            let path = entry.path();
            let name = entry.file_name();
            let skipped = ["target", ".git", ".deps", "data", "models", "node_modules", "corpus", "artifacts"];
            if path.is_dir() && !skipped.iter().any(|s| name == *s) {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root(), &mut found);
    assert!(found.len() > 20, "the walk found {} files", found.len());
    found
}

/// Path relative to the root, with slashes.
fn relative(path: &Path) -> String {
    path.strip_prefix(root()).expect("is below the root").to_string_lossy().into_owned()
}

/// Lines before the first unit test module.
fn lines_outside_tests(text: &str) -> usize {
    text.split("\n#[cfg(test)]\nmod ").next().unwrap_or(text).lines().count()
}

#[test]
fn crates_import_only_what_the_table_allows() {
    let ours: BTreeSet<&str> = MAY_IMPORT.iter().map(|(_, name, _)| *name).collect();
    for (folder, name, allowed) in MAY_IMPORT {
        for dependency in dependencies(folder).iter().filter(|d| ours.contains(d.as_str())) {
            assert!(allowed.contains(&dependency.as_str()), "{name} must not import {dependency}");
        }
    }
}

#[test]
fn foreign_crates_have_one_knower() {
    for (foreign, knower) in ONLY_X_KNOWS_Y {
        for (folder, name, _) in MAY_IMPORT {
            assert!(
                name == knower || !dependencies(folder).contains(*foreign),
                "{name} must not know {foreign}: only {knower} does"
            );
        }
    }
}

#[test]
fn the_contract_is_pure() {
    for foreign in dependencies("collector/contract").iter().chain(&dependencies("collector/masking")) {
        assert!(
            !["tokio", "reqwest", "axum", "hyper"].contains(&foreign.as_str()),
            "a pure crate depends on {foreign}"
        );
    }
}

#[test]
fn every_crate_takes_the_workspace_lints() {
    for (folder, name, _) in MAY_IMPORT {
        let inherits = manifest(folder)["lints"]["workspace"].as_bool();
        assert_eq!(inherits, Some(true), "{name} has lints of its own");
    }
}

#[test]
fn every_file_says_what_it_is() {
    for path in rust_files() {
        let text = read(&path);
        assert!(text.starts_with("//!"), "{} does not open with //!", relative(&path));
        assert!(!text.contains(concat!("#[", "ignore")), "{} ignores a test", relative(&path));
    }
}

#[test]
fn files_have_one_subject_and_fit_on_a_few_screens() {
    for path in rust_files() {
        let name = relative(&path);
        let lines = lines_outside_tests(&read(&path));
        let in_tests = name.contains("tests/") || name.ends_with("tests.rs");
        let excused = LONG_FILES.contains(&name.as_str());
        if !in_tests {
            assert!(lines <= FILE_LINES_MAX || excused, "{name} has {lines} lines outside tests");
        }
        assert!(!excused || lines > FILE_LINES_MAX, "{name} is short now: take it off LONG_FILES");
    }
}

#[test]
fn no_crate_is_a_drawer() {
    for (_, name, _) in MAY_IMPORT {
        assert!(!["common", "core", "util", "utils", "shared"].contains(name));
    }
}

#[test]
fn every_path_in_the_map_exists_and_every_crate_is_on_it() {
    let map = read(root().join("ARCHITECTURE.md"));
    for (_, name, _) in MAY_IMPORT {
        assert!(map.contains(&format!("`{name}`")), "ARCHITECTURE.md does not name the crate {name}");
    }
    let quoted = map.split('`').skip(1).step_by(2);
    let generated = ["data/", "models/", ".deps/", "target/"];
    let paths = quoted.filter(|q| {
        let looks_like_a_file = q.ends_with(".rs")
            || q.ends_with(".md")
            || q.ends_with(".sql")
            || q.ends_with(".toml")
            || q.ends_with(".py");
        q.contains('/')
            && (looks_like_a_file || q.ends_with('/'))
            && !q.contains([' ', '<', '*', '{'])
            && !q.starts_with('/')
            && !generated.iter().any(|g| q.starts_with(g))
    });
    let mut seen = 0;
    for path in paths {
        seen += 1;
        assert!(root().join(path).exists(), "ARCHITECTURE.md names {path}, which does not exist");
    }
    assert!(seen > 20, "ARCHITECTURE.md names only {seen} paths");
}

/// Every word in a rendered file that looks like one of our metrics is one.
fn check_metrics(what: &str, text: &str) {
    let names: BTreeSet<&str> = contract::metrics::all().map(|m| m.name).collect();
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    for word in words.filter(|w| w.starts_with("driftline_")) {
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|s| word.strip_suffix(s)).unwrap_or(word);
        assert!(names.contains(word) || names.contains(family), "{what} reads {word}, which nobody exports");
    }
}

#[test]
fn every_metric_is_on_a_dashboard_and_every_dashboard_metric_exists() {
    let dashboards: String = dashboards::render().iter().map(|f| f.contents.clone()).collect();
    for metric in contract::metrics::all() {
        assert!(dashboards.contains(metric.name), "{} is on no dashboard", metric.name);
    }
    check_metrics("a dashboard", &dashboards);
}

#[test]
fn every_metric_in_a_rule_exists_and_every_alert_has_its_runbook() {
    let slos =
        alerts::slo_file::parse(&read(root().join("deploy/demo/slo.yaml"))).expect("the demo's SLO file is right");
    for alert in alerts::alerts(&slos) {
        check_metrics(&format!("the alert {}", alert.name), &alert.expr);
        let book = root().join("docs/runbooks").join(format!("{}.md", alert.name));
        assert!(book.exists(), "{} has no runbook", alert.name);
    }
}

/// A reader of the page about alerts finds each of them, where its severity says.
#[test]
fn every_alert_stands_under_its_severity_in_its_page() {
    let page = read(root().join("docs/alerts.md"));
    let (_, lists) = page.split_once("## How loud").expect("has a list by severity");
    let under = |severity: &str| {
        let (_, rest) = lists.split_once(&format!("**{severity}**")).expect("has this severity");
        rest.split("\n\n").next().unwrap_or_default().to_owned()
    };
    let (pages, tickets, infos) = (under("Page"), under("Ticket"), under("Info"));
    for (name, severity, _) in alerts::service::TABLE {
        let list = match severity {
            alerts::Severity::Page => &pages,
            alerts::Severity::Ticket => &tickets,
            alerts::Severity::Info => &infos,
        };
        assert!(list.contains(&format!("`{name}`")), "docs/alerts.md does not list {name} as {}", severity.as_str());
    }
}

#[test]
fn every_changelog_version_is_ours() {
    let changelog = read(root().join("CHANGELOG.md"));
    assert!(
        changelog.contains(env!("CARGO_PKG_VERSION")),
        "CHANGELOG.md does not name version {}",
        env!("CARGO_PKG_VERSION")
    );
}

#[test]
fn nothing_names_a_host_or_a_machine_path() {
    let forbidden = [
        concat!("/work", "/"),
        concat!("/tmp", "/dl"),
        concat!("index.", "crates"),
        concat!("registry.", "npmjs"),
        concat!("pypi.", "org"),
    ];
    for path in rust_files() {
        let text = read(&path);
        for word in forbidden {
            assert!(!text.contains(word), "{} names {word}", relative(&path));
        }
    }
}
