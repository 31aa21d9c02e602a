//! `GET /openapi.json`: what the analyzer answers to, as OpenAPI 3.1.
//!
//! Hand-kept: a table of operations here, the shapes of bodies in `shapes.rs`. Its tests hold it to the program: every route of the
//! routers is in the table and every row of the table is routed, `docs/api.md` has the same rows, the key that a row asks for is
//! what [`super::need`] says, and real answers have the shapes that are promised.

pub mod shapes;

use std::sync::OnceLock;

use axum::{
    http::{Method, header},
    response::{IntoResponse, Response},
};
use host::gate::Need;
use serde_json::{Map, Value, json};

use super::need;

/// One operation.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// The path, names of its parameters in braces.
    pub path: &'static str,
    /// What programs call it.
    pub id: &'static str,
    /// Where it stands in the list.
    pub tag: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// Names after the question mark; each may be left out.
    pub query: &'static [&'static str],
    /// The shape of its body, where it takes one.
    pub body: Option<&'static str>,
    /// What it answers if all is well.
    pub answer: Answer,
}

/// What is answered.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    /// JSON of this shape.
    Json(&'static str),
    /// JSON: a list of these.
    List(&'static str),
    /// Anything else, of this media type.
    Other(&'static str),
}

const fn get(
    path: &'static str,
    id: &'static str,
    tag: &'static str,
    query: &'static [&'static str],
    summary: &'static str,
    answer: Answer,
) -> Operation {
    Operation { method: "GET", path, id, tag, summary, query, body: None, answer }
}

const fn post(
    path: &'static str,
    id: &'static str,
    tag: &'static str,
    body: Option<&'static str>,
    summary: &'static str,
    answer: Answer,
) -> Operation {
    Operation { method: "POST", path, id, tag, summary, query: &[], body, answer }
}

const NOW: &str = "Now";
const MODEL: &str = "A model";
const REFERENCES: &str = "References";
const STORED: &str = "What is stored";
const SERVER: &str = "Server";
const RANGE: &[&str] = &["from_ms", "to_ms"];

use Answer::{Json, List, Other};

/// Everything that is routed.
#[rustfmt::skip]
pub const OPERATIONS: &[Operation] = &[
    get("/api/v1/overview", "overview", NOW, &[], "All models with all their verdicts, objectives, events and the pipeline.", Json("Overview")),
    get("/api/v1/glance", "glance", NOW, &[], "The same without verdicts: a few kilobytes.", Json("Glance")),
    get("/api/v1/stream", "stream", NOW, &[], "Glances as server-sent events, one a cycle.", Other("text/event-stream")),
    get("/api/v1/slos/{slo}", "objective", NOW, &[], "An objective: its budget over the period, its burn, when the budget ends.", Json("SloPage")),

    get("/api/v1/models/{model}", "model", MODEL, &["match", "state", "limit"], "A model with the features that match.", Json("ModelPage")),
    get("/api/v1/models/{model}/features/{feature}", "feature", MODEL, &[], "A feature in full: verdict, distributions, history, segments.", Json("FeatureDetail")),
    get("/api/v1/models/{model}/evidence/{feature}", "evidence", MODEL, RANGE, "A feature's verdicts of a range, oldest first.", List("FeatureVerdict")),
    get("/api/v1/models/{model}/heat", "heat", MODEL, RANGE, "The worst state of each feature by step of a range, loudest first.", Json("Heat")),
    get("/api/v1/models/{model}/traffic", "traffic", MODEL, RANGE, "Requests, bad ones and latency by step of a range, and its events.", Json("TrafficRange")),
    get("/api/v1/models/{model}/confidence", "confidence", MODEL, RANGE, "Confidence by step of a range, and against labels.", Json("ConfidenceRange")),
    get("/api/v1/models/{model}/quality", "quality", MODEL, RANGE, "Accuracy, calibration and errors by labels, and what is expected without.", Json("Quality")),
    get("/api/v1/models/{model}/segments", "segments", MODEL, &["feature", "limit"], "Verdicts on parts of the traffic, loudest first.", Json("Segments")),
    get("/api/v1/models/{model}/shadows/{shadow}", "shadow", MODEL, &[], "A shadow: its verdict, bounds over time, disagreements.", Json("ShadowPage")),
    get("/api/v1/models/{model}/shadows/{shadow}/verdict", "shadowVerdict", MODEL, &[], "Promote, hold or reject, for rollout controllers.", Json("VerdictAnswer")),
    post("/api/v1/models/{model}/shadows/{shadow}/gates/{gate}", "askGate", MODEL, None, "Whether `advance`, `promote` or `rollback` is open: 200 where it is, 409 where not.", Json("GateAnswer")),

    get("/api/v1/baselines", "allBaselines", REFERENCES, &[], "The references of all models, the last touched first.", List("BaselineInfo")),
    post("/api/v1/baselines", "freezeInForce", REFERENCES, Some("FreezeBaseline"), "Freezes a range of a model's rows and judges against it at once.", Json("BaselineInfo")),
    get("/api/v1/models/{model}/baselines", "baselines", REFERENCES, &[], "A model's references and where each stands.", List("BaselineRecord")),
    post("/api/v1/models/{model}/baselines", "freeze", REFERENCES, Some("FreezeRequest"), "Freezes a range, or the newest rows.", Json("BaselineRecord")),
    get("/api/v1/models/{model}/baselines/{fingerprint}", "baseline", REFERENCES, &[], "A reference in full; the first digits of its fingerprint will do.", Json("BaselineShown")),
    get("/api/v1/models/{model}/baselines/{fingerprint}/compare/{other}", "compare", REFERENCES, &[], "How far two references are apart, feature by feature.", Json("BaselineComparison")),
    post("/api/v1/models/{model}/baselines/{fingerprint}/promote", "promote", REFERENCES, None, "Judges against it from the next cycle on.", Json("BaselineRecord")),
    post("/api/v1/models/{model}/baselines/{fingerprint}/retire", "retire", REFERENCES, None, "Puts it away.", Json("BaselineRecord")),

    get("/api/v1/verdicts", "verdicts", STORED, &["model", "feature", "limit"], "Stored verdicts, newest first.", List("FeatureVerdict")),
    get("/api/v1/verdicts/{id}/explain", "explain", STORED, &[], "A stored verdict computed again, each number beside the stored one.", Json("Explanation")),
    get("/api/v1/samples", "samples", STORED, &["model", "outcome", "label", "match", "confidence_max", "before_ms", "limit"], "Stored samples, masked, newest first.", List("Sample")),
    get("/api/v1/events", "events", STORED, &["model", "kind", "from_ms", "to_ms", "limit"], "Deployments, references, changes of state, newest first.", List("Event")),

    get("/", "page", SERVER, &[], "The page.", Other("text/html")),
    get("/openapi.json", "openapi", SERVER, &[], "This list, as OpenAPI 3.1.", Other("application/json")),
    get("/health/live", "live", SERVER, &[], "Whether the process answers.", Other("text/plain")),
    get("/health/ready", "ready", SERVER, &[], "Whether the first cycle is done; 503 where not.", Other("text/plain")),
    get("/metrics", "metrics", SERVER, &[], "Metrics in Prometheus' text format.", Other("text/plain")),
];

/// `GET /openapi.json`.
pub(super) async fn serve() -> Response {
    static TEXT: OnceLock<String> = OnceLock::new();
    let text = TEXT.get_or_init(|| document().to_string());
    ([(header::CONTENT_TYPE, "application/json")], text.as_str()).into_response()
}

/// The document.
#[must_use]
pub fn document() -> Value {
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let item = paths.entry(operation.path).or_insert_with(|| json!({}));
        item[operation.method.to_ascii_lowercase()] = describe(operation);
    }
    let tag = |name: &str, description: &str| json!({ "name": name, "description": description });
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Driftline analyzer",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Verdicts on models in production, with their evidence. Times are milliseconds since 1970, ratios 0 to 1, \
                absent numbers null. Errors are {\"error\": \"<one sentence>\"}.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "tags": [
            tag(NOW, "What the last cycle found."),
            tag(MODEL, "One model, its features, segments and shadows."),
            tag(REFERENCES, "What windows are judged against."),
            tag(STORED, "Rows, by filter."),
            tag(SERVER, "The process."),
        ],
        "paths": paths,
        "components": {
            "schemas": shapes::all(),
            "securitySchemes": {
                "key": { "type": "http", "scheme": "bearer", "description": "An API key or a JSON Web Token." },
                "password": { "type": "http", "scheme": "basic", "description": "The same as the password, under any name." },
            },
            "responses": {
                "Error": {
                    "description": "What was wrong, in one sentence.",
                    "content": { "application/json": { "schema": shapes::reference("Error") } },
                },
            },
        },
    })
}

fn describe(operation: &Operation) -> Value {
    let (media, schema) = match operation.answer {
        Json(shape) => ("application/json", shapes::reference(shape)),
        List(shape) => ("application/json", json!({ "type": "array", "items": shapes::reference(shape) })),
        Other(media) => (media, json!({})),
    };
    let content = Map::from_iter([(media.to_owned(), json!({ "schema": schema }))]);
    let mut described = json!({
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "parameters": parameters(operation),
        "responses": {
            "200": { "description": "Done.", "content": content.clone() },
            "default": { "$ref": "#/components/responses/Error" },
        },
    });
    if operation.id == "askGate" {
        described["responses"]["409"] = json!({ "description": "It is closed.", "content": content });
    }
    if let Some(shape) = operation.body {
        let content = json!({ "application/json": { "schema": shapes::reference(shape) } });
        described["requestBody"] = json!({ "required": true, "content": content });
    }
    let method = if operation.method == "GET" { Method::GET } else { Method::POST };
    let scope = match need(&method, operation.path) {
        Need::Nothing => {
            described["security"] = json!([]);
            return described;
        }
        Need::Metrics => "read",
        Need::Scope(scope) => scope.as_str(),
    };
    // a server without keys asks nobody
    described["security"] = json!([{}, { "key": [] }, { "password": [] }]);
    described["description"] = Value::String(format!("Needs the scope `{scope}` where keys are on."));
    described
}

fn parameters(operation: &Operation) -> Vec<Value> {
    let in_path = operation.path.split('{').skip(1).filter_map(|rest| rest.split('}').next());
    let in_path =
        in_path.map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }));
    let in_query = operation.query.iter().map(|name| {
        let kind = match *name {
            "limit" | "from_ms" | "to_ms" | "before_ms" => "integer",
            "confidence_max" => "number",
            _ => "string",
        };
        json!({ "name": name, "in": "query", "required": false, "schema": { "type": kind } })
    });
    in_path.chain(in_query).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Method and path of every route in a source.
    fn routed(source: &'static str) -> Vec<(&'static str, &'static str)> {
        let mut found = Vec::new();
        for call in source.split(".route(").skip(1) {
            let Some(path) = call.split('"').nth(1).filter(|path| path.starts_with('/')) else { continue };
            let handlers = call.split_once(',').map_or("", |(_, rest)| rest.lines().next().unwrap_or_default());
            for (method, word) in [("GET", "get("), ("POST", "post(")] {
                if handlers.contains(word) {
                    found.push((method, path));
                }
            }
        }
        found
    }

    #[test]
    fn every_route_is_in_the_table_and_nothing_else() {
        let sources =
            [include_str!("../api.rs"), include_str!("baselines.rs"), include_str!("../../../deploy/host/src/edge.rs")];
        let mut routes: BTreeSet<_> = sources.into_iter().flat_map(routed).collect();
        assert!(routes.len() > 25, "{routes:?}");
        // the page's files are under every path that no route takes
        routes.insert(("GET", "/"));
        let listed: BTreeSet<_> = OPERATIONS.iter().map(|one| (one.method, one.path)).collect();
        assert_eq!(listed, routes);
        assert_eq!(listed.len(), OPERATIONS.len(), "a row is there twice");
    }

    #[test]
    fn the_docs_have_the_same_rows() {
        let page = include_str!("../../../docs/api.md");
        let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
        let expected: Vec<String> = OPERATIONS
            .iter()
            .map(|one| {
                let query = if one.query.is_empty() { String::new() } else { format!("?{}", one.query.join("&")) };
                format!("| `{} {}{query}` | {} |", one.method, one.path, one.summary)
            })
            .collect();
        assert_eq!(
            rows,
            expected,
            "docs/api.md is not what OPERATIONS says; these lines belong there:\n{}",
            expected.join("\n")
        );
    }

    fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str));
                members.values().for_each(|member| references(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }

    /// What <https://spec.openapis.org/oas/v3.1.0> asks of the parts that are used here.
    #[test]
    fn the_document_keeps_the_rules() {
        let document = document();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        for reference in &found {
            assert!(document.pointer(&reference[1..]).is_some(), "{reference} leads nowhere");
        }
        for shape in document["components"]["schemas"].as_object().unwrap().keys() {
            assert!(found.contains(format!("#/components/schemas/{shape}").as_str()), "{shape} is used nowhere");
        }
        let ids: BTreeSet<_> = OPERATIONS.iter().map(|one| one.id).collect();
        assert_eq!(ids.len(), OPERATIONS.len(), "an id is given twice");
        assert!(OPERATIONS.iter().all(|one| one.summary.ends_with('.')));
        let freeze = &document["paths"]["/api/v1/models/{model}/baselines"]["post"];
        assert_eq!(freeze["description"], "Needs the scope `admin` where keys are on.");
        assert_eq!(freeze["parameters"][0]["name"], "model");
    }
}
