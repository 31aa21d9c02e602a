//! `GET /openapi.json`: what the analyzer answers to, as OpenAPI 3.1.
//!
//! Hand-kept: a table of operations here, the shapes of bodies in `shapes.rs`. Its tests hold it to the program: every route of the
//! routers is in the table and every row of the table is routed, `docs/api.md` has the same rows, the key that a row asks for is
//! what [`super::need`] says, and real answers have the shapes that are promised.

mod shapes;

use std::sync::OnceLock;

use host::openapi::{
    Answer::{Json, List, Other},
    Document, Operation, get, post,
};

use super::need;

const NOW: &str = "Now";
const MODEL: &str = "A model";
const REFERENCES: &str = "References";
const STORED: &str = "What is stored";
const SERVER: &str = "Server";
const RANGE: &[&str] = &["from_ms", "to_ms"];

/// Everything that is routed.
#[rustfmt::skip]
pub const OPERATIONS: &[Operation] = &[
    get("/api/v1/overview", "overview", NOW, "All models with all their verdicts, objectives, events and the pipeline.", Json("Overview")),
    get("/api/v1/glance", "glance", NOW, "The same without verdicts: a few kilobytes.", Json("Glance")),
    get("/api/v1/stream", "stream", NOW, "Glances as server-sent events, one a cycle.", Other("text/event-stream")),
    get("/api/v1/slos/{slo}", "objective", NOW, "An objective: its budget over the period, its burn, when the budget ends.", Json("SloPage")),

    get("/api/v1/models/{model}", "model", MODEL, "A model with the features that match.", Json("ModelPage")).asks(&["match", "state", "limit"]),
    get("/api/v1/models/{model}/features/{feature}", "feature", MODEL, "A feature in full: verdict, distributions, history, segments.", Json("FeatureDetail")),
    get("/api/v1/models/{model}/evidence/{feature}", "evidence", MODEL, "A feature's verdicts of a range, oldest first.", List("FeatureVerdict")).asks(RANGE),
    get("/api/v1/models/{model}/heat", "heat", MODEL, "The worst state of each feature by step of a range, loudest first.", Json("Heat")).asks(RANGE),
    get("/api/v1/models/{model}/traffic", "traffic", MODEL, "Requests, bad ones and latency by step of a range, and its events.", Json("TrafficRange")).asks(RANGE),
    get("/api/v1/models/{model}/confidence", "confidence", MODEL, "Confidence by step of a range, and against labels.", Json("ConfidenceRange")).asks(RANGE),
    get("/api/v1/models/{model}/quality", "quality", MODEL, "Accuracy, calibration and errors by labels, and what is expected without.", Json("Quality")).asks(RANGE),
    get("/api/v1/models/{model}/segments", "segments", MODEL, "Verdicts on parts of the traffic, loudest first.", Json("Segments")).asks(&["feature", "limit"]),
    get("/api/v1/models/{model}/shadows/{shadow}", "shadow", MODEL, "A shadow: its verdict, bounds over time, disagreements.", Json("ShadowPage")),
    get("/api/v1/models/{model}/shadows/{shadow}/verdict", "shadowVerdict", MODEL, "Promote, hold or reject, for rollout controllers.", Json("VerdictAnswer")),
    post("/api/v1/models/{model}/shadows/{shadow}/gates/{gate}", "askGate", MODEL, "Whether `advance`, `promote` or `rollback` is open: 200 where it is, 409 where not.", Json("GateAnswer")).or(409, "It is closed."),

    get("/api/v1/baselines", "allBaselines", REFERENCES, "The references of all models, the last touched first.", List("BaselineInfo")),
    post("/api/v1/baselines", "freezeInForce", REFERENCES, "Freezes a range of a model's rows and judges against it at once.", Json("BaselineInfo")).takes("FreezeBaseline"),
    get("/api/v1/models/{model}/baselines", "baselines", REFERENCES, "A model's references and where each stands.", List("BaselineRecord")),
    post("/api/v1/models/{model}/baselines", "freeze", REFERENCES, "Freezes a range, or the newest rows.", Json("BaselineRecord")).takes("FreezeRequest"),
    get("/api/v1/models/{model}/baselines/{fingerprint}", "baseline", REFERENCES, "A reference in full; the first digits of its fingerprint will do.", Json("BaselineShown")),
    get("/api/v1/models/{model}/baselines/{fingerprint}/compare/{other}", "compare", REFERENCES, "How far two references are apart, feature by feature.", Json("BaselineComparison")),
    post("/api/v1/models/{model}/baselines/{fingerprint}/promote", "promote", REFERENCES, "Judges against it from the next cycle on.", Json("BaselineRecord")),
    post("/api/v1/models/{model}/baselines/{fingerprint}/retire", "retire", REFERENCES, "Puts it away.", Json("BaselineRecord")),

    get("/api/v1/verdicts", "verdicts", STORED, "Stored verdicts, newest first.", List("FeatureVerdict")).asks(&["model", "feature", "limit"]),
    get("/api/v1/verdicts/{id}/explain", "explain", STORED, "A stored verdict computed again, each number beside the stored one.", Json("Explanation")),
    get("/api/v1/samples", "samples", STORED, "Stored samples, masked, newest first.", List("Sample")).asks(&["model", "outcome", "label", "match", "confidence_max", "before_ms", "limit"]),
    get("/api/v1/events", "events", STORED, "Deployments, references, changes of state, newest first.", List("Event")).asks(&["model", "kind", "from_ms", "to_ms", "limit"]),

    get("/", "page", SERVER, "The page.", Other("text/html")),
    get("/openapi.json", "openapi", SERVER, "This list, as OpenAPI 3.1.", Other("application/json")),
    get("/health/live", "live", SERVER, "Whether the process answers.", Other("text/plain")),
    get("/health/ready", "ready", SERVER, "Whether the first cycle is done; 503 where not.", Other("text/plain")),
    get("/metrics", "metrics", SERVER, "Metrics in Prometheus' text format.", Other("text/plain")),
];

/// The document.
pub static DOCUMENT: Document = Document {
    title: "Driftline analyzer",
    description: "Verdicts on models in production, with their evidence. Times are milliseconds since 1970, ratios 0 to 1, absent \
        numbers null. Errors are {\"error\": \"<one sentence>\"}.",
    tags: &[
        (NOW, "What the last cycle found."),
        (MODEL, "One model, its features, segments and shadows."),
        (REFERENCES, "What windows are judged against."),
        (STORED, "Rows, by filter."),
        (SERVER, "The process."),
    ],
    operations: OPERATIONS,
    kind,
    shapes: shapes::all,
    need,
    text: OnceLock::new(),
};

/// The type of what stands behind a name in a query.
fn kind(name: &str) -> &'static str {
    match name {
        "limit" | "from_ms" | "to_ms" | "before_ms" => "integer",
        "confidence_max" => "number",
        _ => "string",
    }
}

#[cfg(test)]
mod tests {
    use host::openapi::check;

    use super::*;

    #[test]
    fn every_route_is_in_the_table_and_nothing_else() {
        let sources =
            [include_str!("../api.rs"), include_str!("baselines.rs"), include_str!("../../../deploy/host/src/edge.rs")];
        // the page's files are under every path that no route takes
        let page = r#".route("/", get(page))"#;
        assert_eq!(check::unlike_routes(&DOCUMENT, &[&sources[..], &[page]].concat()), [""; 0]);
        assert!(OPERATIONS.len() > 25);
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

    #[test]
    fn the_document_keeps_the_rules() {
        assert_eq!(check::broken_rules(&DOCUMENT), [""; 0]);
        let freeze = &DOCUMENT.json()["paths"]["/api/v1/models/{model}/baselines"]["post"];
        assert_eq!(freeze["description"], "Needs the scope `admin` where keys are on.");
        assert_eq!(freeze["parameters"][0]["name"], "model");
    }
}
