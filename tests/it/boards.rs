//! Every query of every dashboard, run: PromQL by a real Prometheus that scraped a run, SQL by the engine that stored it.
//!
//! Variables and macros are replaced by what Grafana and its ClickHouse plugin put in their place. No query may fail, and
//! each has to find something, but for those that [`MAY_BE_EMPTY`] lists with what such a run does not have.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::harness::{Driftline, PATIENCE, TEXT_MODEL, configuration, fixture_models, merge, write_configuration};
use crate::monitoring::{self, Tool, encoded};
use crate::runbooks;

/// Panels, or series of them, that find nothing in a short run on one machine, and why.
const MAY_BE_EMPTY: &[(&str, &str)] = &[
    ("Utilisation", "no card"),
    ("Memory of cards", "no card"),
    ("Temperature", "no card"),
    ("Power", "no card"),
    ("Cost", "no prices are configured"),
    ("Verdicts told to proxies", "no proxy is told verdicts"),
    ("Hit ratio", "the cache is off"),
    ("Look-ups", "the cache is off"),
    ("Bytes of kept answers", "the cache is off"),
    ("Kept answers", "the cache is off"),
    ("Servers", "no model runs behind another server"),
    ("Time at the server", "no model runs behind another server"),
    ("Requests passed on", "no model runs behind another server"),
    ("What company does to answers: {{model}} {{version}} is variant", "no answer depends on its batch"),
    ("Failures that count", "nothing breaks in a session"),
    ("Fallback answers", "no version has a fallback"),
    ("Session restarts", "no session dies"),
    ("Texts cut or refused", "which of the two happens is the tokenizer's business"),
    ("Pairs: {{model}} {{version}} to go", "a verdict that is reached asks for none"),
    ("Failed loads", "every load works"),
    ("Second pass hits", "the proxy masks by the same rules"),
    ("Batches to and from disk", "the mirror does not spill"),
    ("On disk", "the mirror does not spill"),
    ("Trouble", "nothing is lost, broken or refused"),
    ("Joined pairs", "no logger of KServe's"),
    ("Failed cycles", "every cycle works"),
    ("Not judged", "no window is given up"),
    ("Credentials refused", "nobody needs a key"),
    ("Limits", "no limit is reached"),
    ("Connections refused", "no limit is reached"),
    ("Keys and certificates read again", "there are none"),
    ("Traces", "nobody is sent any"),
    ("Time to find names", "no model looks for names"),
    ("Names not looked for", "no model looks for names"),
    ("Absolute error", "no model predicts a number"),
    ("Squared error", "no model predicts a number"),
];

const TABLE_MODEL: &str = "flowers";
/// What a board is about when somebody has chosen: one model, two of its versions, a feature.
const CHOSEN: [(&str, &[&str]); 3] =
    [("model", &[TEXT_MODEL]), ("version", &["1", "2"]), ("feature", &["output.confidence"])];

const SLOS: &str = "
service: boards
owner: platform
time_scale: 60
slos:
  - { name: available, description: Messages are routed., model: router, objective: 99, sli: { kind: availability } }
  - { name: read, description: Flowers are told apart., model: flowers, objective: 90, sli: { kind: availability } }
  - { name: sure, description: Answers are sure., model: router, objective: 90, sli: { kind: confidence_floor, floor: 0.1 } }
";

/// A query with where it stands: the panel's title, and the series' legend where it has one.
#[derive(Clone, Debug)]
struct Query {
    place: String,
    ask: Ask,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Ask {
    Prometheus(String),
    /// A selector and a label.
    Label(String, String),
    ClickHouse(String),
}

fn boards(rendered: &Path) -> Vec<Value> {
    let folder = fs::read_dir(rendered.join("grafana/dashboards")).expect("dashboards are rendered");
    let read = |path| serde_json::from_str(&fs::read_to_string(path).expect("is readable")).expect("is JSON");
    let all: Vec<Value> = folder.flatten().map(|file| read(file.path())).collect();
    assert!(all.len() >= 8, "{} dashboards", all.len());
    all
}

/// All queries, each once, whatever boards it is on.
fn queries(boards: &[Value]) -> Vec<Query> {
    let mut all = BTreeMap::new();
    for board in boards {
        let of = |key: &str| board[key].as_array().cloned().unwrap_or_default();
        let list = |key: &str| board[key]["list"].as_array().cloned().unwrap_or_default();
        for panel in of("panels") {
            let title = panel["title"].as_str().expect("has a title");
            for target in panel["targets"].as_array().into_iter().flatten() {
                let legend = target["legendFormat"].as_str().map(|l| format!(": {l}")).unwrap_or_default();
                all.entry(asked(target)).or_insert_with(|| format!("{title}{legend}"));
            }
        }
        for mark in list("annotations") {
            all.entry(asked(&mark["target"])).or_insert_with(|| format!("annotation {}", mark["name"]));
        }
        for variable in list("templating").iter().filter(|v| v["type"] == "query") {
            let text = variable["query"]["query"].as_str().expect("asks");
            let inside =
                text.strip_prefix("label_values(").and_then(|t| t.strip_suffix(')')).expect("asks for a label");
            let (selector, label) = inside.rsplit_once(", ").expect("names a label");
            let ask = Ask::Label(selector.to_owned(), label.to_owned());
            all.entry(ask).or_insert_with(|| format!("variable {}", variable["name"]));
        }
    }
    assert!(all.len() > 100, "{} queries", all.len());
    all.into_iter().map(|(ask, place)| Query { place, ask }).collect()
}

fn asked(target: &Value) -> Ask {
    match (target["expr"].as_str(), target["rawSql"].as_str()) {
        (Some(expr), _) => Ask::Prometheus(expr.to_owned()),
        (_, Some(sql)) => Ask::ClickHouse(sql.to_owned()),
        _ => panic!("{target} asks nothing"),
    }
}

/// What variables stand for: everything, or what was [`CHOSEN`].
#[derive(Clone, Copy, Debug, PartialEq)]
enum Choice {
    All,
    Some,
}

impl Choice {
    /// As Grafana puts it into PromQL: several values as alternatives, escaped as a pattern in quotes.
    fn into_promql(self, expr: &str) -> String {
        // Grafana's: the larger of four scrapes, and the step and a scrape
        let expr = expr.replace("$__rate_interval", "10s").replace("$__range", "600s");
        CHOSEN.iter().fold(expr, |expr, (name, values)| {
            let escaped: Vec<String> = values.iter().map(|value| value.replace('.', "\\\\.")).collect();
            expr.replace(&format!("${name}"), &self.or(escaped.join("|")))
        })
    }

    /// As its ClickHouse plugin and `${…:pipe}` do.
    fn into_sql(self, sql: &str, from: i64, to: i64) -> String {
        let mut sql = CHOSEN.iter().fold(sql.to_owned(), |sql, (name, values)| {
            sql.replace(&format!("${{{name}:pipe}}"), &self.or(values.join("|")))
        });
        sql = sql
            .replace("$__fromTime", &format!("toDateTime({from})"))
            .replace("$__toTime", &format!("toDateTime({to})"));
        while let Some(at) = sql.find("$__timeFilter(") {
            let rest = &sql[at + "$__timeFilter(".len()..];
            let column = rest.split(')').next().expect("is closed");
            let filter = format!("{column} >= toDateTime({from}) AND {column} <= toDateTime({to})");
            sql = format!("{}{filter}{}", &sql[..at], &rest[column.len() + 1..]);
        }
        assert!(!sql.contains("$_") && !sql.contains("${"), "a macro is left: {sql}");
        sql
    }

    fn or(self, chosen: String) -> String {
        if self == Self::All { ".*".to_owned() } else { chosen }
    }
}

/// What was watched, and since when.
struct Run<'a> {
    driftline: &'a Driftline,
    prometheus: &'a Tool,
    from: i64,
}

impl Run<'_> {
    /// Whether a query finds something; an error ends the test.
    async fn finds(&self, query: &Query, choice: Choice) -> bool {
        let (from, to) = (self.from.to_string(), (seconds() + 1).to_string());
        match &query.ask {
            Ask::Prometheus(expr) => {
                let expr = choice.into_promql(expr);
                let fields = [("query", expr.as_str()), ("start", from.as_str()), ("end", to.as_str()), ("step", "1")];
                let (status, answer) = self.prometheus.ask("/api/v1/query_range", &fields).await;
                assert!(status == 200 && answer["warnings"].is_null(), "{}: {expr}: {answer}", query.place);
                has_a_number(&answer["data"]["result"])
            }
            Ask::Label(selector, label) => {
                let selector = choice.into_promql(selector);
                let path = format!("/api/v1/label/{label}/values?match[]={}", encoded(&selector));
                let (status, answer) = self.prometheus.get(&path).await;
                assert_eq!(status, 200, "{}: {selector}: {answer}", query.place);
                answer["data"].as_array().is_some_and(|values| !values.is_empty())
            }
            Ask::ClickHouse(sql) => {
                let sql = choice.into_sql(sql, self.from, seconds() + 1);
                let rows = self.driftline.sql_or_reason(&sql).await;
                !rows.unwrap_or_else(|reason| panic!("{}: {sql}: {reason}", query.place)).is_empty()
            }
        }
    }

    /// Queries of `left` that find nothing yet.
    async fn empty(&self, left: Vec<Query>) -> Vec<Query> {
        let mut empty = Vec::new();
        for query in left {
            if !self.finds(&query, Choice::All).await {
                empty.push(query);
            }
        }
        empty
    }

    /// Errors of rules, which Prometheus keeps to itself.
    async fn rule_errors(&self) -> Vec<String> {
        let (_, answer) = self.prometheus.get("/api/v1/rules").await;
        let groups = answer["data"]["groups"].as_array().expect("rules are loaded").clone();
        let rules = groups.iter().flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default());
        let bad = rules.filter(|rule| rule["health"] == "err");
        bad.map(|rule| format!("{}: {}", rule["name"], rule["lastError"])).collect()
    }
}

/// Whether a matrix holds a number that is one.
fn has_a_number(series: &Value) -> bool {
    let values = series.as_array().into_iter().flatten().flat_map(|one| one["values"].as_array().into_iter().flatten());
    values.filter_map(|pair| pair[1].as_str()?.parse::<f64>().ok()).any(f64::is_finite)
}

fn seconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs()).expect("fits")
}

/// The fixture models, one of them with a schema.
fn models(folder: &Path) {
    for (model, versions) in [(TEXT_MODEL, ["1", "2"].as_slice()), (TABLE_MODEL, ["1"].as_slice())] {
        for version in versions {
            let (from, to) = (fixture_models().join(model).join(version), folder.join(model).join(version));
            fs::create_dir_all(&to).expect("the folder is writable");
            for file in fs::read_dir(from).expect("is a fixture").flatten() {
                fs::copy(file.path(), to.join(file.file_name())).expect("the folder is writable");
            }
        }
    }
    let table = folder.join(TABLE_MODEL).join("1");
    fs::remove_file(table.join("driftline.manifest.json")).expect("the fixture has a manifest");
    let settings = table.join("driftline.toml");
    let mut text = fs::read_to_string(&settings).expect("is readable");
    text.push_str("\nranges = { sepal_length = [0, 10] }\n");
    fs::write(&settings, text).expect("the folder is writable");
}

async fn up() -> Driftline {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let here = folder.path().join("models");
    models(&here);
    let slos = folder.path().join("slo.yaml");
    fs::write(&slos, SLOS).expect("the folder is writable");
    let mut table = configuration(&here);
    table.insert("slo_file".into(), slos.display().to_string().into());
    let extra: toml::Table = r#"
        [analyzer]
        provisional_after = 200
        min_detectable = 0.5
        [analyzer.segments]
        reference = 200
        [analyzer.models.router]
        segments = ["text.length_bucket"]
        [analyzer.shadow]
        min_time = "1s"
        [proxy.models.models.router]
        primary = "1"
        shadows = [{ version = "2", percent = 100 }]
    "#
    .parse()
    .expect("is TOML");
    merge(&mut table, extra);
    write_configuration(folder.path(), &table);
    Driftline::up_in(folder).await
}

/// Texts of all lengths, with something to mask in some and one that is too long for the model.
fn text(i: usize) -> String {
    let words = ["refund", "parcel", "broken", "invoice", "late", "please", "thanks"];
    let length = if i % 50 == 7 { 700 } else { 1 + (i * 7 + i / 3) % 9 };
    let said: Vec<&str> = (0..length).map(|k| words[(i + k * k) % words.len()]).collect();
    let who = if i.is_multiple_of(5) { " write to jane.doe@example.com" } else { "" };
    format!("{}{who}", said.join(" "))
}

/// A round of everything that people do: questions good and bad, labels, feedback, a deployment.
async fn traffic(driftline: &Driftline, round: usize) {
    let (mut labels, mut outcomes) = (Vec::new(), Vec::new());
    for i in round * 40..(round + 1) * 40 {
        let answer = driftline.predict(TEXT_MODEL, &text(i)).await;
        labels.push(json!({"id": answer["id"], "label": answer["predictions"][0]["label"]}));
        outcomes.push(json!({"id": answer["id"], "name": "accepted", "value": i % 3 > 0}));
        let row = [5.0 + (i % 7) as f64, 3.0, 1.0 + (i % 5) as f64, 0.2];
        let tensor = json!([{"name": "input", "datatype": "FP32", "shape": [1, 4], "data": row}]);
        let url = format!("{}/v2/models/{TABLE_MODEL}/infer", driftline.proxy);
        let (status, answer) = driftline.post(&url, &json!({"inputs": tensor})).await;
        assert_eq!(status, 200, "{answer}");
    }
    lose(driftline).await;
    let now = seconds() * 1_000;
    let event = json!({"at_ms": now, "kind": "deployment", "model": TEXT_MODEL, "version": "1", "detail": "a release"});
    for (path, body) in [
        ("labels", json!({ "labels": labels })),
        ("outcomes", json!({ "outcomes": outcomes })),
        ("events", json!({"source": "ci", "events": [event]})),
    ] {
        let (status, answer) = driftline.post(&format!("{}/v1/{path}", driftline.collector), &body).await;
        assert!((200..300).contains(&status), "{path}: {status} {answer}");
    }
}

/// Takes a model's file away, so that its requests fail, and brings it back; and gives a shadow its role again, which is an event.
async fn lose(driftline: &Driftline) {
    let file = driftline.folder().join("models").join(TABLE_MODEL).join("1/model.onnx");
    let aside = file.with_extension("away");
    let repository = format!("{}/v2/repository/models/{TABLE_MODEL}", driftline.proxy);
    fs::rename(&file, &aside).expect("the folder is writable");
    let (status, answer) = driftline.post(&format!("{repository}/unload"), &json!({})).await;
    assert_eq!(status, 200, "{answer}");
    let tensor = json!([{"name": "input", "datatype": "FP32", "shape": [1, 4], "data": [1.0, 1.0, 1.0, 1.0]}]);
    for _ in 0..3 {
        let url = format!("{}/v2/models/{TABLE_MODEL}/infer", driftline.proxy);
        let (status, answer) = driftline.post(&url, &json!({"inputs": tensor})).await;
        assert_eq!(status, 503, "{answer}");
    }
    fs::rename(&aside, &file).expect("the folder is writable");
    let (status, answer) = driftline.post(&format!("{repository}/load"), &json!({})).await;
    assert_eq!(status, 200, "{answer}");
    let role = format!("{}/v1/models/{TEXT_MODEL}/versions/2/role", driftline.proxy);
    let (status, answer) = driftline.post(&role, &json!({"role": "shadow", "percent": 100})).await;
    assert_eq!(status, 200, "{answer}");
}

/// What is left of a budget is counted twice: by the proxy for Prometheus, and by ClickHouse for the page. Both count the
/// same events, the failures of [`lose`] among them.
async fn budgets_agree(driftline: &Driftline) {
    let counted = async |name: &str| driftline.metric(&driftline.proxy, name, "slo=\"read\"").await;
    driftline
        .wait_for("the tables to hold the events that the proxy counts", async || {
            let overview = driftline.get_json(&format!("{}/api/v1/overview", driftline.analyzer)).await;
            let slos = overview["slos"].as_array().cloned().unwrap_or_default();
            let Some(read) = slos.iter().find(|slo| slo["slo"] == "read") else { return false };
            let (events, bad) = (read["events"].as_f64(), read["bad"].as_f64());
            bad > Some(0.0)
                && events == Some(counted("driftline_proxy_sli_events_total").await)
                && bad == Some(counted("driftline_proxy_sli_bad_events_total").await)
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_query_of_every_dashboard_answers_and_finds_what_there_is() {
    let driftline = up().await;
    let from = seconds() - 1;
    let rendered = monitoring::render(&driftline, "127.0.0.1:9").await;
    let prometheus = monitoring::prometheus(driftline.folder(), &rendered).await;
    let run = Run { driftline: &driftline, prometheus: &prometheus, from };
    let all = queries(&boards(&rendered));
    for (place, _) in MAY_BE_EMPTY {
        assert!(all.iter().any(|q| q.place.starts_with(place)), "{place} may be empty, and is nowhere");
    }
    let excused = |query: &Query| MAY_BE_EMPTY.iter().any(|(place, _)| query.place.starts_with(place));
    let mut left: Vec<Query> = all.iter().filter(|query| !excused(query)).cloned().collect();
    let (since, mut round) = (Instant::now(), 0);
    while !left.is_empty() {
        let places: Vec<&str> = left.iter().map(|query| query.place.as_str()).collect();
        assert!(since.elapsed() < 2 * PATIENCE, "find nothing:\n{}\n{}", places.join("\n"), driftline.log());
        traffic(&driftline, round).await;
        round += 1;
        tokio::time::sleep(Duration::from_millis(500)).await;
        left = run.empty(left).await;
    }
    for query in &all {
        run.finds(query, Choice::Some).await;
        run.finds(query, Choice::All).await;
    }
    assert_eq!(run.rule_errors().await, [""; 0], "{}", prometheus.said());
    budgets_agree(&driftline).await;
    runbooks::run_all(&driftline, &prometheus).await;
    drop(prometheus);
    driftline.stop().await;
}
