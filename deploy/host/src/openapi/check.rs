//! Holds a role's document to the rules of OpenAPI, to the routes in its sources and to what it really answers.
//!
//! For the tests of the roles. Everything here gives sentences on what is wrong and none where nothing is, so that a test
//! shows all of it at once.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Answer, Document, Operation, names_in, reference};

/// How routes name the methods.
const METHODS: [(&str, &str, &str); 5] = [
    ("GET", "get(", ").get("),
    ("POST", "post(", ").post("),
    ("PUT", "put(", ").put("),
    ("PATCH", "patch(", ").patch("),
    ("DELETE", "delete(", ").delete("),
];

/// Method and path of every route in a source: wherever a path in quotes stands before a handler.
#[must_use]
pub fn routes(source: &str) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    for (at, _) in source.match_indices("\"/") {
        let Some((path, rest)) = source[at + 1..].split_once('"') else { continue };
        let Some(handlers) = rest.strip_prefix(',').and_then(|rest| rest.trim_start().lines().next()) else { continue };
        for (method, first, then) in METHODS {
            if handlers.starts_with(first) || handlers.contains(then) {
                found.insert((method.to_owned(), path.to_owned()));
            }
        }
    }
    found
}

/// Where the table and the routes in the sources differ.
#[must_use]
pub fn unlike_routes(document: &Document, sources: &[&str]) -> Vec<String> {
    let routed: BTreeSet<_> = sources.iter().flat_map(|source| routes(source)).collect();
    let listed: BTreeSet<_> = document.operations.iter().map(|o| (o.method.to_owned(), o.path.to_owned())).collect();
    let missing = routed.difference(&listed).map(|(method, path)| format!("{method} {path} is routed, and not listed"));
    let idle = listed.difference(&routed).map(|(method, path)| format!("{method} {path} is listed, and not routed"));
    let twice = (listed.len() < document.operations.len()).then(|| "a row is there twice".to_owned());
    missing.chain(idle).chain(twice).collect()
}

/// What <https://spec.openapis.org/oas/v3.1.0> asks of the parts that are used here, and is not so.
#[must_use]
pub fn broken_rules(document: &Document) -> Vec<String> {
    let (json, mut found) = (document.json(), Vec::new());
    let mut references = BTreeSet::new();
    collect(&json, &mut references);
    for reference in &references {
        if json.pointer(reference.trim_start_matches('#')).is_none() {
            found.push(format!("{reference} leads nowhere"));
        }
    }
    for shape in json["components"]["schemas"].as_object().into_iter().flat_map(|shapes| shapes.keys()) {
        if !references.contains(format!("#/components/schemas/{shape}").as_str()) {
            found.push(format!("{shape} is used nowhere"));
        }
    }
    let mut ids = BTreeSet::new();
    for operation in document.operations {
        let Operation { id, path, tag, summary, .. } = operation;
        if !ids.insert(id) {
            found.push(format!("the id {id} is given twice"));
        }
        if !document.tags.iter().any(|(name, _)| name == tag) {
            found.push(format!("{id}: {tag} is no tag"));
        }
        if !summary.ends_with('.') {
            found.push(format!("{id}: {summary:?} is no sentence"));
        }
        let named: BTreeSet<_> = names_in(path).collect();
        if named.len() < path.matches('{').count() {
            found.push(format!("{id}: {path} names a parameter twice"));
        }
    }
    found
}

/// Every `$ref` of a document.
fn collect<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str));
            members.values().for_each(|member| collect(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        _ => {}
    }
}

/// What is wrong with an answer of an operation; `json` is the document.
#[must_use]
pub fn faults_of_answer(json: &Value, operation: &Operation, answer: &Value) -> Vec<String> {
    let mut found = Vec::new();
    if !matches!(operation.answer, Answer::Other(_)) {
        faults(json, &operation.answer.schema().1, answer, operation.id, &mut found);
    }
    found
}

/// What keeps a value from having a shape; `json` is the document, `at` what the sentences call the value.
#[must_use]
pub fn faults_of_shape(json: &Value, shape: &str, value: &Value, at: &str) -> Vec<String> {
    let mut found = Vec::new();
    faults(json, &reference(shape), value, at, &mut found);
    found
}

/// What is wrong with a value, by the keywords of JSON Schema that the documents use.
fn faults(json: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        return match json.pointer(reference.trim_start_matches('#')) {
            Some(schema) => faults(json, schema, value, at, found),
            None => found.push(format!("{at} is to be {reference}, which leads nowhere")),
        };
    }
    if let Some(either) = schema["anyOf"].as_array() {
        return found.extend(least_faults(json, either, value, at));
    }
    if !is_of(schema["type"].as_str(), value) {
        return found.push(format!("{at} is {value}, which is no {}", schema["type"]));
    }
    if schema["enum"].as_array().is_some_and(|words| !words.contains(value)) {
        found.push(format!("{at} is {value}, which is none of {}", schema["enum"]));
    }
    if schema["minimum"].as_f64().is_some_and(|least| value.as_f64().is_some_and(|value| value < least)) {
        found.push(format!("{at} is {value}, which is less than {}", schema["minimum"]));
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if value.get(name).is_none() {
            found.push(format!("{at} has no {name}"));
        }
    }
    for (name, member) in value.as_object().into_iter().flatten() {
        match (schema["properties"].get(name), &schema["additionalProperties"]) {
            (Some(schema), _) | (None, schema @ Value::Object(_)) => {
                faults(json, schema, member, &format!("{at}.{name}"), found);
            }
            (None, Value::Bool(false)) => found.push(format!("{at} has {name}, of which nothing is said")),
            _ => {}
        }
    }
    if let Some(schema) = schema.get("items") {
        for (n, item) in value.as_array().into_iter().flatten().enumerate() {
            faults(json, schema, item, &format!("{at}[{n}]"), found);
        }
    }
}

/// What is wrong by the one of several schemas that fits best.
fn least_faults(json: &Value, either: &[Value], value: &Value, at: &str) -> Vec<String> {
    let tried = either.iter().map(|schema| {
        let mut found = Vec::new();
        faults(json, schema, value, at, &mut found);
        // where none fits, what is wrong inside says more than that it is no null
        (!found.is_empty() && schema["type"] == "null", found)
    });
    tried.min_by_key(|(no_null, found)| (*no_null, found.len())).map(|(_, found)| found).unwrap_or_default()
}

fn is_of(kind: Option<&str>, value: &Value) -> bool {
    match kind {
        None => true,
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("null") => value.is_null(),
        Some(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use axum::http::Method;
    use serde_json::{Map, json};

    use super::super::{Answer::Json, get, post};
    use super::*;
    use crate::auth::Scope;
    use crate::gate::Need;

    fn shapes() -> Map<String, Value> {
        let thing = json!({
            "type": "object",
            "required": ["name"],
            "additionalProperties": false,
            "properties": {
                "name": { "type": "string", "enum": ["a", "b"] },
                "n": { "anyOf": [{ "type": "integer", "minimum": 0 }, { "type": "null" }] },
                "parts": { "type": "array", "items": reference("Thing") },
                "any": {},
            },
        });
        let error = json!({ "type": "object", "required": ["error"], "properties": { "error": { "type": "string" } } });
        Map::from_iter([("Thing".to_owned(), thing), ("Error".to_owned(), error)])
    }

    fn need(method: &Method, path: &str) -> Need {
        Need::of_operations(path).unwrap_or(Need::Scope(if method.is_safe() { Scope::Read } else { Scope::Admin }))
    }

    const fn document(operations: &'static [Operation]) -> Document {
        Document {
            title: "A role",
            description: "For the test.",
            tags: &[("Things", "What there is.")],
            operations,
            kind: |name| if name == "limit" { "integer" } else { "string" },
            shapes,
            need,
            text: OnceLock::new(),
        }
    }

    const GOOD: &[Operation] = &[
        get("/things/{thing}", "thing", "Things", "A thing.", Json("Thing")).asks(&["limit"]),
        post("/things/{thing}", "make", "Things", "Makes one.", Json("Thing")).takes("Thing").or(409, "It is there."),
        get("/health/live", "live", "Things", "Lives.", Answer::Other("text/plain")),
    ];

    #[test]
    fn the_document_says_who_may_what_and_with_which_parameters() {
        let json = document(GOOD).json();
        assert_eq!(broken_rules(&document(GOOD)), [""; 0]);
        let (read, made) = (&json["paths"]["/things/{thing}"]["get"], &json["paths"]["/things/{thing}"]["post"]);
        assert_eq!(read["description"], "Needs the scope `read` where keys are on.");
        assert_eq!(made["description"], "Needs the scope `admin` where keys are on.");
        assert_eq!(json["paths"]["/health/live"]["get"]["security"], json!([]));
        assert_eq!(
            read["parameters"][0],
            json!({ "name": "thing", "in": "path", "required": true, "schema": { "type": "string" } })
        );
        assert_eq!(
            read["parameters"][1],
            json!({ "name": "limit", "in": "query", "required": false, "schema": { "type": "integer" } })
        );
        assert_eq!(made["requestBody"]["required"], true);
        assert_eq!(made["responses"]["409"]["content"], made["responses"]["200"]["content"]);
    }

    #[test]
    fn broken_rules_are_found() {
        const BAD: &[Operation] = &[
            get("/a/{b}/{b}", "a", "Other", "No sentence", Json("Gone")),
            get("/c", "a", "Things", "Twice.", Json("Error")),
        ];
        let found = broken_rules(&document(BAD)).join("\n");
        for part in
            ["Gone leads nowhere", "id a is given twice", "Other is no tag", "no sentence", "names a parameter twice"]
        {
            assert!(found.contains(part), "{part}: {found}");
        }
    }

    #[test]
    fn a_route_is_found_however_it_is_written() {
        let source = r#"
            .route("/things/{thing}", get(read).post(make))
            .merge(guarded(&edge, "/health/live", get(live)))
            .route(
                "/long",
                delete(gone),
            )
            assert_eq!(path, "/no/route", "as a sentence");
        "#;
        let found = unlike_routes(&document(GOOD), &[source]);
        assert_eq!(found, ["DELETE /long is routed, and not listed"]);
        let found = unlike_routes(&document(GOOD), &[r#".route("/health/live", get(live))"#]);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].ends_with("is listed, and not routed"), "{found:?}");
    }

    #[test]
    fn what_has_not_the_shape_is_found() {
        let json = document(GOOD).json();
        let right = json!({ "name": "a", "n": null, "parts": [{ "name": "b", "n": 3, "any": [1] }] });
        assert_eq!(faults_of_answer(&json, &GOOD[0], &right), [""; 0]);
        let wrong = json!({ "name": "c", "n": "x", "parts": [{ "n": -1 }, 7], "more": 1 });
        let found = faults_of_answer(&json, &GOOD[0], &wrong);
        let expected = [
            "thing has more, of which nothing is said",
            "thing.name is \"c\", which is none of [\"a\",\"b\"]",
            "thing.n is \"x\", which is no \"integer\"",
            "thing.parts[0] has no name",
            "thing.parts[0].n is -1, which is less than 0",
            "thing.parts[1] is 7, which is no \"object\"",
        ];
        assert_eq!(BTreeSet::from_iter(found.iter().map(String::as_str)), BTreeSet::from(expected));
        assert_eq!(faults_of_shape(&json, "Nothing", &wrong, "it").len(), 1);
    }
}
