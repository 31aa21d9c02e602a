//! The shapes of bodies and answers, as JSON Schema.

use host::openapi::reference;
use serde_json::{Map, Value, json};

/// All shapes by name.
pub(super) fn all() -> Map<String, Value> {
    let mut all = Map::new();
    for group in [predict(), infer(), models(), versions(), server()] {
        if let Value::Object(group) = group {
            all.extend(group);
        }
    }
    all
}

fn text(what: &str) -> Value {
    json!({ "type": "string", "description": what })
}

fn number(what: &str) -> Value {
    json!({ "type": "number", "description": what })
}

fn whole(what: &str) -> Value {
    json!({ "type": "integer", "minimum": 0, "description": what })
}

fn flag(what: &str) -> Value {
    json!({ "type": "boolean", "description": what })
}

fn list(of: &Value) -> Value {
    json!({ "type": "array", "items": of })
}

fn texts(what: &str) -> Value {
    json!({ "type": "array", "items": { "type": "string" }, "description": what })
}

fn anything(what: &str) -> Value {
    json!({ "type": "object", "description": what })
}

fn one_of(words: &[&str]) -> Value {
    json!({ "type": "string", "enum": words })
}

/// An object that has these, all of them named but only the first `required` always there.
fn open(required: usize, properties: &[(&str, Value)]) -> Value {
    let names: Vec<&str> = properties.iter().take(required).map(|(name, _)| *name).collect();
    let properties: Map<String, Value> =
        properties.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    let mut object = json!({ "type": "object", "properties": properties });
    if !names.is_empty() {
        object["required"] = json!(names);
    }
    object
}

/// The same with nothing beside: what is mistyped is refused.
fn closed(required: usize, properties: &[(&str, Value)]) -> Value {
    let mut object = open(required, properties);
    object["additionalProperties"] = Value::Bool(false);
    object
}

const DATATYPES: [&str; 14] = [
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "BF16", "FP32", "FP64",
    "BYTES",
];

fn predict() -> Value {
    let pair = json!({ "type": "array", "items": { "type": "string" }, "minItems": 2, "maxItems": 2 });
    let item = closed(1, &[("text", text("The text.")), ("text_pair", text("What it is compared with."))]);
    let entity = open(
        5,
        &[
            ("label", text("Its class.")),
            ("score", number("Mean probability of its tokens.")),
            ("start", whole("First character.")),
            ("end", whole("The one after its last.")),
            ("text", text("What stands there.")),
        ],
    );
    let prediction = open(
        1,
        &[
            ("truncated", flag("Whether the text was cut to the model's length.")),
            ("label", text("The likeliest class.")),
            ("confidence", number("Its probability.")),
            ("labels", texts("All classes that hold, where several may.")),
            ("scores", json!({ "type": "object", "additionalProperties": { "type": "number" } })),
            ("entities", list(&entity)),
            ("embedding", list(&number("One dimension."))),
            ("values", list(&number("One output."))),
        ],
    );
    let timing = open(
        4,
        &[
            ("total", number("Milliseconds from the request's arrival.")),
            ("tokenize", number("Of these, text to tokens.")),
            ("queue", number("Waiting for a session.")),
            ("infer", number("The session's run.")),
        ],
    );
    json!({
        "PredictRequest": closed(0, &[
            ("text", text("One text; or `texts`.")),
            ("text_pair", text("Beside `text`: what it is compared with.")),
            ("texts", json!({ "type": "array", "minItems": 1, "items": { "anyOf": [{ "type": "string" }, pair, item] } })),
            ("top_k", json!({ "type": "integer", "minimum": 1, "description": "Classes a text at most, best first." })),
            ("parameters", anything("Kept with the content, and never read.")),
        ]),
        "Predictions": open(8, &[
            ("id", json!({ "type": "string", "format": "uuid", "description": "The observation: post labels under it." })),
            ("model", text("The model.")),
            ("version", text("The version that answered; `rule` where a rule did.")),
            ("model_used", text("`model/version`.")),
            ("from_cache", flag("Whether it had been given before and nothing was run.")),
            ("task", one_of(&["text-classification", "token-classification", "feature-extraction", "tensor"])),
            ("predictions", list(&prediction)),
            ("timing_ms", timing),
            ("fallback", open(3, &[
                ("instead_of", text("The version that should have answered.")),
                ("reason", text("What was wrong with it, in a word.")),
                ("error", text("The same in a sentence.")),
            ])),
            ("outputs", list(&reference("Tensor"))),
        ]),
    })
}

fn infer() -> Value {
    let shape = list(&json!({ "type": "integer" }));
    let parameters = || anything("Of the protocol's extensions, or the client's own.");
    json!({
        "Tensor": open(3, &[
            ("name", text("Its name.")),
            ("shape", shape),
            ("datatype", one_of(&DATATYPES)),
            ("data", json!({ "type": "array", "description": "Flat, or nested as the shape. Absent where the bytes follow the JSON." })),
            ("parameters", parameters()),
        ]),
        "InferRequest": open(1, &[
            ("inputs", list(&reference("Tensor"))),
            ("id", text("Echoed.")),
            ("outputs", list(&open(1, &[("name", text("The output that is wanted.")), ("parameters", parameters())]))),
            ("parameters", parameters()),
        ]),
        "InferResponse": open(3, &[
            ("model_name", text("The model.")),
            ("model_version", text("The version that answered.")),
            ("outputs", list(&reference("Tensor"))),
            ("id", text("The request's.")),
            ("parameters", anything("Who answered, where that was a fallback; `from_cache` where nothing was run.")),
        ]),
    })
}

fn models() -> Value {
    let spec = open(
        3,
        &[
            ("name", text("Its name.")),
            ("datatype", one_of(&DATATYPES)),
            ("shape", list(&json!({ "type": "integer", "minimum": -1 }))),
        ],
    );
    let span = open(2, &[("count", whole("How often.")), ("ns", whole("Nanoseconds in all."))]);
    let spans =
        ["success", "fail", "queue", "compute_input", "compute_infer", "compute_output", "cache_hit", "cache_miss"];
    let of_requests: Vec<(&str, Value)> = spans.iter().map(|name| (*name, span.clone())).collect();
    let version = open(
        4,
        &[
            ("version", text("As its folder is called.")),
            ("role", reference("Role")),
            ("state", one_of(&["loading", "ready", "draining", "standby", "failed", "unloaded"])),
            (
                "since_ms",
                json!({ "type": "integer", "description": "When that state began, milliseconds since 1970." }),
            ),
            ("reason", text("Why it failed.")),
            ("breaker", one_of(&["closed", "open", "half_open"])),
            ("upstream", text("The server that runs it, where that is another one.")),
            ("inputs", list(&spec)),
            ("outputs", list(&spec)),
            ("parameters", anything("What `GET /v2/models/{model}/versions/{version}` says.")),
        ],
    );
    json!({
        "Overview": open(1, &[("models", list(&open(2, &[("name", text("The model.")), ("versions", list(&version))])))]),
        "ModelMetadata": open(4, &[
            ("name", text("The model.")),
            ("platform", text("What runs it.")),
            ("inputs", list(&spec)),
            ("outputs", list(&spec)),
            ("versions", texts("All that are known.")),
            ("parameters", anything("How it runs: role, state, provider, batching and why, files and their hashes.")),
        ]),
        "ModelReady": open(2, &[("name", text("The model.")), ("ready", flag("Whether it serves."))]),
        "ModelConfig": anything("Triton's ModelConfig, as far as it holds here."),
        "Statistics": open(1, &[("model_stats", list(&open(6, &[
            ("name", text("The model.")),
            ("version", text("The version.")),
            ("last_inference", whole("Milliseconds since 1970; 0 for never.")),
            ("inference_count", whole("Items that sessions answered.")),
            ("execution_count", whole("Runs of a session.")),
            ("inference_stats", open(8, &of_requests)),
            ("batch_stats", list(&open(4, &[
                ("batch_size", whole("Items that ran together.")),
                ("compute_input", span.clone()),
                ("compute_infer", span.clone()),
                ("compute_output", span),
            ]))),
        ])))]),
    })
}

fn versions() -> Value {
    let reason = || text("Why; for the journal.");
    let percent = || json!({ "type": "number", "minimum": 0, "maximum": 100 });
    json!({
        "Role": one_of(&["primary", "canary", "shadow", "fallback", "spare"]),
        "Roles": anything("Who does what afterwards, and one sentence on what was done."),
        "RoleRequest": closed(1, &[
            ("role", reference("Role")),
            ("percent", percent()),
            ("header", text("`name: value` of a header that leads to the canary.")),
            ("key_header", text("The header with the key by which clients stay with the canary.")),
            ("reason", reason()),
        ]),
        "StepRequest": closed(0, &[("version", text("The version.")), ("reason", reason())]),
        "RollbackRequest": closed(0, &[
            ("from", text("The version that must go; 409 where it neither answers nor is the canary.")),
            ("reason", reason()),
        ]),
        "VerdictRequest": closed(2, &[
            ("version", text("The version.")),
            ("verdict", one_of(&["promote", "hold", "reject"])),
            ("against", text("The primary that it was compared with; where another answers, it promotes nobody.")),
            ("reason", reason()),
        ]),
        "IndexRequest": open(0, &[("ready", flag("Only those that serve."))]),
        "RepositoryIndex": list(&open(6, &[
            ("name", text("The model.")),
            ("version", text("The version.")),
            ("state", text("Its state, in capitals.")),
            ("reason", text("Why it failed.")),
            ("role", reference("Role")),
            ("since_ms", json!({ "type": "integer" })),
            ("breaker", one_of(&["closed", "open", "half_open"])),
        ])),
        "LoadRequest": open(0, &[("parameters", anything("`version` names one version."))]),
        "Nothing": anything("An empty object."),
    })
}

fn server() -> Value {
    json!({
        "ServerMetadata": open(3, &[
            ("name", text("`driftline`.")),
            ("version", text("Its version.")),
            ("extensions", texts("Of the protocol.")),
        ]),
        "Live": open(1, &[("live", flag("True."))]),
        "Ready": open(1, &[("ready", flag("Whether every model has a version that serves."))]),
        "Object": anything("A JSON object."),
        "Error": closed(1, &[("error", text("What was wrong, in one sentence."))]),
    })
}
