//! `GET /openapi.json` of a role: what it answers to, as OpenAPI 3.1 (<https://spec.openapis.org/oas/v3.1.0>).
//!
//! The choice: a role keeps a table of its operations by hand, and the shapes of their bodies; everything else of the
//! document is made here from the table and from the rule by which the gate lets requests pass. What is kept by hand is
//! held to the program by the role's tests, with [`check`].

pub mod check;

use std::sync::OnceLock;

use axum::http::{Method, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::gate::{Need, Rule};

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
    pub body: Option<Body>,
    /// What it answers if all is well.
    pub answer: Answer,
    /// Another status with the same answer, and what it says.
    pub or: Option<(u16, &'static str)>,
    /// Whether bodies and answers may have raw bytes behind their JSON.
    pub bytes: bool,
}

/// A body that is taken.
#[derive(Clone, Copy, Debug)]
pub struct Body {
    /// Name of its shape.
    pub shape: &'static str,
    /// Whether it may be left out.
    pub optional: bool,
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

/// An operation that is read.
#[must_use]
pub const fn get(
    path: &'static str,
    id: &'static str,
    tag: &'static str,
    summary: &'static str,
    answer: Answer,
) -> Operation {
    Operation { method: "GET", path, id, tag, summary, query: &[], body: None, answer, or: None, bytes: false }
}

/// An operation that does something; [`Operation::takes`] says with which body.
#[must_use]
pub const fn post(
    path: &'static str,
    id: &'static str,
    tag: &'static str,
    summary: &'static str,
    answer: Answer,
) -> Operation {
    Operation { method: "POST", ..get(path, id, tag, summary, answer) }
}

impl Operation {
    /// It needs a body of this shape.
    #[must_use]
    pub const fn takes(self, shape: &'static str) -> Self {
        Self { body: Some(Body { shape, optional: false }), ..self }
    }

    /// It takes a body of this shape, or none.
    #[must_use]
    pub const fn may_take(self, shape: &'static str) -> Self {
        Self { body: Some(Body { shape, optional: true }), ..self }
    }

    /// It reads these names after the question mark.
    #[must_use]
    pub const fn asks(self, query: &'static [&'static str]) -> Self {
        Self { query, ..self }
    }

    /// It may also give its answer with this status, which says `what`.
    #[must_use]
    pub const fn or(self, status: u16, what: &'static str) -> Self {
        Self { or: Some((status, what)), ..self }
    }

    /// Raw bytes may stand behind its JSON, both ways.
    #[must_use]
    pub const fn with_bytes(self) -> Self {
        Self { bytes: true, ..self }
    }
}

/// What a role says of itself.
#[derive(Debug)]
pub struct Document {
    /// Its name.
    pub title: &'static str,
    /// What it is for, and what holds for all of its operations.
    pub description: &'static str,
    /// The groups of operations, in order, each with a sentence.
    pub tags: &'static [(&'static str, &'static str)],
    /// Everything that is routed.
    pub operations: &'static [Operation],
    /// From a name after the question mark to its type in JSON Schema.
    pub kind: fn(&str) -> &'static str,
    /// The shapes of bodies and answers by name; `Error` is one of them.
    pub shapes: fn() -> Map<String, Value>,
    /// What the gate asks for.
    pub need: Rule,
    /// The document as it is served, once it was.
    pub text: OnceLock<String>,
}

impl Document {
    /// The answer to `GET /openapi.json`.
    pub fn serve(&'static self) -> Response {
        let text = self.text.get_or_init(|| self.json().to_string());
        ([(header::CONTENT_TYPE, "application/json")], text.as_str()).into_response()
    }

    /// The document.
    #[must_use]
    pub fn json(&self) -> Value {
        let mut paths = Map::new();
        for operation in self.operations {
            let item = paths.entry(operation.path).or_insert_with(|| json!({}));
            item[operation.method.to_ascii_lowercase()] = self.describe(operation);
        }
        let tags = self.tags.iter().map(|(name, what)| json!({ "name": name, "description": what }));
        json!({
            "openapi": "3.1.0",
            "info": {
                "title": self.title,
                "version": env!("CARGO_PKG_VERSION"),
                "description": self.description,
                "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
            },
            "servers": [{ "url": "/" }],
            "tags": tags.collect::<Vec<_>>(),
            "paths": paths,
            "components": {
                "schemas": (self.shapes)(),
                "securitySchemes": {
                    "key": { "type": "http", "scheme": "bearer", "description": "An API key or a JSON Web Token." },
                    "password": { "type": "http", "scheme": "basic", "description": "The same as the password, under any name." },
                },
                "responses": {
                    "Error": {
                        "description": "What was wrong, in one sentence.",
                        "content": { "application/json": { "schema": reference("Error") } },
                    },
                },
            },
        })
    }

    fn describe(&self, operation: &Operation) -> Value {
        let (media, schema) = operation.answer.schema();
        let answered = content(media, &schema, operation.bytes);
        let mut described = json!({
            "operationId": operation.id,
            "tags": [operation.tag],
            "summary": operation.summary,
            "parameters": self.parameters(operation),
            "responses": {
                "200": { "description": "Done.", "content": answered },
                "default": { "$ref": "#/components/responses/Error" },
            },
        });
        if let Some((status, what)) = operation.or {
            described["responses"][status.to_string()] = json!({ "description": what, "content": answered });
        }
        if let Some(Body { shape, optional }) = operation.body {
            let content = content("application/json", &reference(shape), operation.bytes);
            described["requestBody"] = json!({ "required": !optional, "content": content });
        }
        self.secure(&mut described, operation);
        described
    }

    /// Who may, where keys are asked for; a key is asked for nowhere unless the configuration has some.
    fn secure(&self, described: &mut Value, operation: &Operation) {
        let method = if operation.method == "GET" { Method::GET } else { Method::POST };
        let scope = match (self.need)(&method, operation.path) {
            Need::Nothing => return described["security"] = json!([]),
            Need::Metrics => "read",
            Need::Scope(scope) => scope.as_str(),
        };
        // a server without keys asks nobody
        described["security"] = json!([{}, { "key": [] }, { "password": [] }]);
        described["description"] = Value::String(format!("Needs the scope `{scope}` where keys are on."));
    }

    fn parameters(&self, operation: &Operation) -> Vec<Value> {
        let parameter = |name: &str, place: &str, kind: &str| json!({ "name": name, "in": place, "required": place == "path", "schema": { "type": kind } });
        let in_path = names_in(operation.path).map(|name| parameter(name, "path", "string"));
        let in_query = operation.query.iter().map(|name| parameter(name, "query", (self.kind)(name)));
        in_path.chain(in_query).collect()
    }
}

impl Answer {
    /// Its media type, and its shape as JSON Schema.
    fn schema(self) -> (&'static str, Value) {
        match self {
            Self::Json(shape) => ("application/json", reference(shape)),
            Self::List(shape) => ("application/json", json!({ "type": "array", "items": reference(shape) })),
            Self::Other(media) if media.starts_with("text/") => (media, json!({ "type": "string" })),
            Self::Other(media) => (media, json!({})),
        }
    }
}

/// A reference to a shape.
#[must_use]
pub fn reference(shape: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{shape}") })
}

fn content(media: &str, schema: &Value, bytes: bool) -> Value {
    let mut content = json!({ media: { "schema": schema } });
    if bytes {
        let raw = json!({ "type": "string", "contentMediaType": "application/octet-stream" });
        content["application/octet-stream"] = json!({ "schema": raw });
    }
    content
}

/// The names in braces of a path.
fn names_in(path: &str) -> impl Iterator<Item = &str> {
    path.split('{').skip(1).filter_map(|rest| rest.split('}').next())
}
