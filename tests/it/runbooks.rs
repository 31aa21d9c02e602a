//! What runbooks tell people to run, run: PromQL by a Prometheus that scraped a run, SQL by its engine, `curl` by asking the roles.
//!
//! A command in a runbook is read at night by somebody who believes it. Placeholders (`MODEL`, `PROXY`) get the run's own names; what
//! is found may be nothing, but no command may fail. Called by the test of the dashboards, which has everything running.

use std::fs;
use std::path::Path;

use crate::harness::{Driftline, TEXT_MODEL};
use crate::monitoring::Tool;

/// Something to run, and the file that says so.
#[derive(Debug)]
struct Step {
    file: String,
    command: Command,
}

#[derive(Debug)]
enum Command {
    PromQl(String),
    Sql(String),
    Curl(String),
}

impl Command {
    /// What a piece of code is, if somebody could run it here.
    fn of(code: &str) -> Option<Self> {
        let code = code.split_whitespace().collect::<Vec<_>>().join(" ");
        let is_name = |text: &str| text.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit());
        if code.starts_with("SELECT ") {
            Some(Self::Sql(code))
        } else if code.starts_with("curl ") {
            Some(Self::Curl(code))
        } else if code.contains("driftline_") || (code.starts_with("up") && !is_name(&code)) {
            Some(Self::PromQl(code))
        } else {
            None
        }
    }
}

/// Pieces of code of a page: what stands between two backticks, fenced blocks left out.
fn code(page: &str) -> Vec<&str> {
    page.split("```").step_by(2).flat_map(|text| text.split('`').skip(1).step_by(2)).collect()
}

fn steps() -> Vec<Step> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/runbooks");
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).expect("runbooks are there").flatten() {
        let page = fs::read_to_string(entry.path()).expect("is readable");
        let file = entry.file_name().to_string_lossy().into_owned();
        let commands = code(&page).into_iter().filter_map(Command::of);
        all.extend(commands.map(|command| Step { file: file.clone(), command }));
    }
    assert!(all.len() > 60, "{} commands", all.len());
    all
}

/// Runs every command of every runbook.
pub async fn run_all(driftline: &Driftline, prometheus: &Tool) {
    let steps = steps();
    for Step { file, command } in &steps {
        match command {
            Command::PromQl(expr) => {
                let expr = filled(driftline, expr);
                let (status, answer) = prometheus.ask("/api/v1/query", &[("query", expr.as_str())]).await;
                assert_eq!(status, 200, "{file}: {expr}: {answer}");
            }
            Command::Sql(sql) => {
                let sql = filled(driftline, sql);
                assert!(
                    !sql.contains(" FROM ") || sql.contains(" FROM driftline.") || sql.contains(" FROM system."),
                    "{file}: {sql}: names no database"
                );
                let rows = driftline.sql_or_reason(&sql).await;
                assert!(rows.is_ok(), "{file}: {sql}: {rows:?}");
            }
            Command::Curl(line) => curl(driftline, file, &filled(driftline, line)).await,
        }
    }
    let curls = steps.iter().filter(|step| matches!(step.command, Command::Curl(_))).count();
    assert!(curls >= 5, "{curls} lines of curl");
}

/// With the run's own names in the place of those in capitals.
fn filled(driftline: &Driftline, command: &str) -> String {
    let host = |url: &str| url.trim_start_matches("http://").to_owned();
    let names = [
        ("CLICKHOUSE", host(&driftline.clickhouse)),
        ("ANALYZER", host(&driftline.analyzer)),
        ("COLLECTOR", host(&driftline.collector)),
        ("INSTANCE", host(&driftline.proxy)),
        ("PROXY", host(&driftline.proxy)),
        ("MODEL", TEXT_MODEL.to_owned()),
        ("VERSION", "2".to_owned()),
        ("FEATURE", "output.confidence".to_owned()),
        ("COLUMN", "output.label".to_owned()),
    ];
    names.iter().fold(command.to_owned(), |text, (name, value)| text.replace(name, value))
}

/// As `curl` would, without its program: the address, and a body where one is given, under curl's own content type.
async fn curl(driftline: &Driftline, file: &str, line: &str) {
    let command = line.split(" | ").next().unwrap_or(line);
    let url = command
        .split(' ')
        .find(|word| word.starts_with("http://"))
        .unwrap_or_else(|| panic!("{file}: {line}: where to?"));
    let status = match command.split_once(" -d '") {
        Some((_, body)) => {
            let body = body.trim_end_matches('\'').as_bytes().to_vec();
            driftline.post_raw(url, "application/x-www-form-urlencoded", body).await.0
        }
        None => reqwest::get(url).await.unwrap_or_else(|error| panic!("{file}: {line}: {error}")).status().as_u16(),
    };
    assert!((200..300).contains(&status), "{file}: {line}: {status}");
}

#[test]
fn code_is_told_from_words() {
    let page = "say `SELECT 1` and `up == 1`, `curl -s http://PROXY/x`\n```text\n`no`\n```\n`driftline_a_total /\n  driftline_b` `up` `reason`";
    let told: Vec<String> = code(page).into_iter().filter_map(Command::of).map(|c| format!("{c:?}")).collect();
    assert_eq!(
        told,
        [
            r#"Sql("SELECT 1")"#,
            r#"PromQl("up == 1")"#,
            r#"Curl("curl -s http://PROXY/x")"#,
            r#"PromQl("driftline_a_total / driftline_b")"#,
        ]
    );
}
