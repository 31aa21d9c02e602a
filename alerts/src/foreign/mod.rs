//! SLO files that others wrote: OpenSLO v1 and Sloth's `prometheus/v1`, taken as they are.
//!
//! Both say which events count by queries of PromQL, so both become objectives over events by queries. What a file says
//! and Driftline cannot keep (a plug-in of Sloth's, an SLI of another vendor) is a fault that says so; what has no
//! counterpart and changes no number (an alert's own name, annotations) is left out.

mod openslo;
mod sloth;

use contract::faults::Faults;
use contract::slo::{Labels, SloFile};
use serde_json::{Map, Value};

use crate::slo_file::RESERVED_LABELS;
use crate::source::WINDOW;

/// The file, where the documents are one of theirs and can be read. Whether they are theirs and cannot, the faults say;
/// `None` without faults: they are somebody else's.
pub fn read(documents: &[Value], faults: &mut Faults) -> Option<SloFile> {
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let first = documents.first()?;
    if text(first, "version").is_some_and(|version| version == sloth::VERSION) {
        return sloth::read(first, faults);
    }
    let is_open = |document: &Value| text(document, "apiVersion").is_some_and(|v| v.starts_with("openslo/"));
    documents.iter().any(is_open).then(|| openslo::read(documents, faults)).flatten()
}

/// A name of theirs as one of ours: lower-case letters, digits and dashes.
fn name(theirs: &str) -> String {
    let plain: String =
        theirs.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let plain = plain.trim_matches('-');
    if plain.starts_with(|c: char| c.is_ascii_digit()) { format!("slo-{plain}") } else { plain.to_owned() }
}

/// Labels of theirs; one that Driftline sets itself keeps its value under `given_`.
fn labels(value: Option<&Value>) -> Labels {
    let word = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(is) => Some(is.to_string()),
        // OpenSLO allows a list of values
        Value::Array(all) => Some(all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")),
        _ => None,
    };
    let Some(Value::Object(map)) = value else { return Labels::new() };
    let named = |key: &str| {
        let plain: String = key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        if RESERVED_LABELS.contains(&key) { format!("given_{plain}") } else { plain }
    };
    map.iter().filter_map(|(key, value)| Some((named(key), word(value)?))).collect()
}

fn string(map: &Map<String, Value>, key: &str) -> Option<String> {
    map.get(key).and_then(Value::as_str).map(str::to_owned)
}

/// One line of a text.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A query with [`WINDOW`] where its ranges are; `None` where it reads no range and is not of a form that can be given
/// one. A counter that is only summed is grown over the window before it is summed.
fn windowed(query: &str) -> Option<String> {
    let query = query.trim();
    let query = query.replace("{{ .window }}", WINDOW).replace("{{.Window}}", WINDOW);
    if query.contains(WINDOW) {
        return Some(query);
    }
    if query.contains('[') {
        return Some(ranges_replaced(&query));
    }
    let (head, inner) = match query.strip_suffix(')').and_then(|open| open.split_once('(')) {
        Some((head, inner)) if head.trim_start().starts_with("sum") => (head.to_owned(), inner),
        None => ("sum".to_owned(), query.as_str()),
        Some(_) => return None,
    };
    (!inner.contains(['(', '+', '*', '/'])).then(|| format!("{head}(increase({inner}[{WINDOW}]))"))
}

/// Every `[5m]` as `[{{.window}}]`; what stands in quotes is left alone.
fn ranges_replaced(query: &str) -> String {
    let (mut out, mut in_quotes, mut in_range) = (String::new(), false, false);
    for c in query.chars() {
        in_quotes ^= c == '"';
        match c {
            '[' if !in_quotes => {
                out.push('[');
                out.push_str(WINDOW);
                in_range = true;
            }
            ']' if in_range => {
                out.push(']');
                in_range = false;
            }
            _ if in_range => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_gets_a_window_where_it_has_none() {
        for (query, expected) in [
            ("sum(rate(a[{{.window}}]))", Some("sum(rate(a[{{.window}}]))")),
            ("sum(rate(a{b=\"[x]\"}[5m]))", Some("sum(rate(a{b=\"[x]\"}[{{.window}}]))")),
            ("sum(a{b=\"c\"})", Some("sum(increase(a{b=\"c\"}[{{.window}}]))")),
            ("a", Some("sum(increase(a[{{.window}}]))")),
            ("max(a)", None),
            ("sum(a) / sum(b)", None),
        ] {
            assert_eq!(windowed(query).as_deref(), expected, "{query}");
        }
    }

    #[test]
    fn names_and_labels_of_theirs_become_ours() {
        assert_eq!((name("My_API.Latency"), name("99-percent")), ("my-api-latency".into(), "slo-99-percent".into()));
        let theirs = serde_json::json!({ "severity": "loud", "team/name": "a", "n": 3 });
        let ours: Vec<(String, String)> = labels(Some(&theirs)).into_iter().collect();
        let expected = [("given_severity", "loud"), ("n", "3"), ("team_name", "a")];
        assert_eq!(ours, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
    }
}
