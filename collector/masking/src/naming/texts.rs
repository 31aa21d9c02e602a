//! Which texts of an observation may hold names: what people write. What programs write (keys, datatypes, declared
//! categories, the model's own labels) is not asked about.

use std::collections::{BTreeMap, BTreeSet};

use contract::feature;
use contract::wire::{Feature, FeatureValue, Observation, Payload};
use serde_json::Value;

use super::Naming;
use crate::config::RawField;
use crate::json::{self, DEPTH_MAX};

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

/// What is asked about a text that stands alone.
pub(super) fn alone(text: &str) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    key(text, &mut found);
    found
}

/// Whether a category feature holds what people or clients wrote, not statistics and labels of the model's own.
pub(crate) fn is_open(feature: &str) -> bool {
    let ours = [feature::TEXT_PREFIX, feature::OUTPUT_PREFIX, feature::QUALITY_PREFIX];
    !ours.iter().any(|prefix| feature.starts_with(prefix)) && !feature::is_label(feature)
}

/// The name of a feature behind the prefix that says where it comes from: as a column or tensor is called.
pub(crate) fn bare(name: &str) -> &str {
    let prefixes = [feature::INPUT_PREFIX, feature::TEXT_PREFIX, feature::OUTPUT_PREFIX, feature::QUALITY_PREFIX];
    prefixes.iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name)
}

/// Whether texts are few and short enough to be asked about.
pub(super) fn fits(texts: &BTreeSet<&str>, naming: &Naming) -> bool {
    texts.len() <= naming.max_texts && texts.iter().map(|text| text.len()).sum::<usize>() <= naming.max_bytes
}

/// What of a configuration decides which texts stay.
pub(crate) struct Scope<'m> {
    pub fields: &'m BTreeMap<String, RawField>,
    /// The length of the longest path in `fields`.
    pub longest: usize,
    pub categories: &'m BTreeMap<String, BTreeSet<String>>,
    /// Whether somebody else's program wrote it: what it calls a class, a statistic or a column may be what a person wrote.
    pub strangers: bool,
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
        if self.strangers {
            let shadows = plain.shadows.iter().flat_map(|shadow| &shadow.predictions);
            plain.predictions.iter().chain(shadows).for_each(|prediction| key(&prediction.label, &mut found));
        }
        match &plain.payload {
            Payload::Kept(content) => {
                self.value(&content.input, "input", 0, &mut found);
                self.value(&content.output, "output", 0, &mut found);
            }
            Payload::Withheld(reason) => key(reason, &mut found),
            Payload::None | Payload::SampledOut => {}
        }
        found
    }

    /// The texts to ask about in the input of a payload, each once.
    pub fn texts_of_input<'a>(&self, input: &'a Value) -> BTreeSet<&'a str> {
        let mut found = BTreeSet::new();
        self.value(input, "input", 0, &mut found);
        found
    }

    /// Whether a category is one of those that its feature declares.
    pub fn declares(&self, feature: &str, category: &str) -> bool {
        self.categories.get(feature).is_some_and(|values| values.contains(category))
    }

    fn feature<'a>(&self, feature: &'a Feature, found: &mut BTreeSet<&'a str>) {
        if self.strangers {
            key(bare(&feature.name), found);
        }
        let FeatureValue::Category(category) = &feature.value else { return };
        let whole = self.fields.contains_key(&feature.name);
        if whole || self.declares(&feature.name, category) {
            return;
        }
        if is_open(&feature.name) || self.strangers && !feature::is_label(&feature.name) {
            text(category, found);
        } else if self.strangers {
            key(category, found);
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
                        None => self.value(value, &json::below(self.longest, path, name), depth + 1, found),
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
