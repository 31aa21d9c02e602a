//! Which texts of an observation may hold names: what people write. What programs write (keys, datatypes, declared
//! categories, the model's own labels) is not asked about.

use std::collections::{BTreeMap, BTreeSet};

use contract::feature;
use contract::wire::{Feature, FeatureValue, Observation, Payload};
use serde_json::Value;

use super::Naming;
use crate::config::RawField;
use crate::json::DEPTH_MAX;

/// The protocol's datatypes: they stand beside every tensor.
const DATATYPES: [&str; 14] = [
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "BF16", "FP32", "FP64",
    "BYTES",
];

/// Whether a text can hold a name.
pub(super) fn may_name(text: &str) -> bool {
    text.chars().any(char::is_alphabetic) && !DATATYPES.contains(&text)
}

/// Whether a key is one as programs write them: `ticket_id`, `customerName`.
pub(super) fn is_identifier(key: &str) -> bool {
    key.is_ascii()
        && !key.starts_with(|c: char| c.is_ascii_uppercase())
        && !key.contains(|c: char| c.is_ascii_whitespace())
}

/// Whether a category feature holds what people or clients wrote, not statistics and labels of the model's own.
pub(crate) fn is_open(feature: &str) -> bool {
    let ours = [feature::TEXT_PREFIX, feature::OUTPUT_PREFIX, feature::QUALITY_PREFIX];
    !ours.iter().any(|prefix| feature.starts_with(prefix)) && !feature::is_label(feature)
}

/// Whether texts are few and short enough to be asked about.
pub(super) fn fits(texts: &BTreeSet<&str>, naming: &Naming) -> bool {
    texts.len() <= naming.max_texts && texts.iter().map(|text| text.len()).sum::<usize>() <= naming.max_bytes
}

/// What of a configuration decides which texts stay.
pub(crate) struct Scope<'m> {
    pub fields: &'m BTreeMap<String, RawField>,
    pub categories: &'m BTreeMap<String, BTreeSet<String>>,
}

impl Scope<'_> {
    /// The texts to ask about, each once.
    pub fn texts<'a>(&self, plain: &'a Observation) -> BTreeSet<&'a str> {
        let mut found = BTreeSet::new();
        let reasons = plain.shadows.iter().map(|shadow| &shadow.reason);
        for word in [&plain.trace_id, &plain.reason, &plain.client].into_iter().chain(reasons).flatten() {
            key(word, &mut found);
        }
        plain.features.iter().for_each(|feature| self.feature(feature, &mut found));
        if let Payload::Kept(content) = &plain.payload {
            self.value(&content.input, "input", 0, &mut found);
            self.value(&content.output, "output", 0, &mut found);
        }
        found
    }

    /// Whether a category is one of those that its feature declares.
    pub fn declares(&self, feature: &str, category: &str) -> bool {
        self.categories.get(feature).is_some_and(|values| values.contains(category))
    }

    fn feature<'a>(&self, feature: &'a Feature, found: &mut BTreeSet<&'a str>) {
        let FeatureValue::Category(category) = &feature.value else { return };
        let whole = self.fields.contains_key(&feature.name);
        if !whole && is_open(&feature.name) && !self.declares(&feature.name, category) {
            text(category, found);
        }
    }

    fn value<'a>(&self, value: &'a Value, path: &str, depth: usize, found: &mut BTreeSet<&'a str>) {
        let field = self.fields.get(path);
        if depth > DEPTH_MAX || matches!(field, Some(RawField::Allow | RawField::Drop)) {
            return;
        }
        match value {
            // a field that is replaced as a whole keeps its keys
            Value::String(_) if field.is_some() => {}
            Value::String(string) => text(string, found),
            Value::Array(items) => items.iter().for_each(|item| self.value(item, path, depth + 1, found)),
            Value::Object(object) => {
                for (name, value) in object {
                    key(name, found);
                    match field {
                        Some(_) => self.value(value, path, depth + 1, found),
                        None if self.fields.is_empty() => self.value(value, path, depth + 1, found),
                        None => self.value(value, &format!("{path}.{name}"), depth + 1, found),
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

fn text<'a>(text: &'a str, found: &mut BTreeSet<&'a str>) {
    if may_name(text) {
        found.insert(text);
    }
}

fn key<'a>(key: &'a str, found: &mut BTreeSet<&'a str>) {
    if !is_identifier(key) {
        text(key, found);
    }
}
