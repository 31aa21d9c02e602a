//! `[analyzer.segments]` and the segments that a model names: as typed and as meant.

use std::collections::BTreeMap;

use contract::{feature, segment};
use host::config::Faults;
use serde::Deserialize;

/// Segments of one model: each is counted in a query of its own, once a window.
const NAMED_MAX: usize = 8;

/// Bounds of segments, for every model.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawSegments {
    /// Values of a segment that are told apart, the most frequent ones; all others are one.
    pub max_values: u32,
    /// Pairs of a feature and a value that are tested a model, outputs first.
    pub max_tests: u32,
    /// Good observations that make the references of segments.
    pub reference: u64,
}

impl Default for RawSegments {
    fn default() -> Self {
        Self { max_values: 8, max_tests: 500, reference: 10_000 }
    }
}

/// Which segments are judged, and how many of their values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SegmentsConfig {
    /// Values told apart.
    pub values_max: u64,
    /// Pairs tested.
    pub tests_max: usize,
    /// Observations that make the references.
    pub reference: u64,
    by_model: BTreeMap<String, Vec<String>>,
}

impl SegmentsConfig {
    /// The segments of a model, in the order in which they were named.
    #[must_use]
    pub fn of(&self, model: &str) -> &[String] {
        self.by_model.get(model).map_or(&[], Vec::as_slice)
    }
}

impl RawSegments {
    /// Checks; faults are pushed.
    pub(super) fn check<'a>(
        &self,
        models: impl Iterator<Item = (&'a String, &'a Vec<String>)>,
        faults: &mut Faults,
    ) -> SegmentsConfig {
        for (key, value, most) in [
            ("max_values", u64::from(self.max_values), 100),
            ("max_tests", u64::from(self.max_tests), 10_000),
            ("reference", self.reference, 1_000_000),
        ] {
            let within = (1..=most).contains(&value);
            let sentence = format!("is {value}; write a number from 1 to {most}");
            faults.check(within, format!("analyzer.segments.{key}"), sentence);
        }
        let mut by_model = BTreeMap::new();
        for (model, named) in models.filter(|(_, named)| !named.is_empty()) {
            let key = format!("analyzer.models.{model}.segments");
            let sentence = format!("names {} segments; {NAMED_MAX} are the most", named.len());
            faults.check(named.len() <= NAMED_MAX, &key, sentence);
            for (at, name) in named.iter().enumerate() {
                faults.check(can_be(name), &key, format!("'{name}' is no segment; {}", choice()));
                faults.check(!named[..at].contains(name), &key, format!("names {name} twice"));
            }
            by_model.insert(model.clone(), named.clone());
        }
        SegmentsConfig {
            values_max: u64::from(self.max_values),
            tests_max: self.max_tests as usize,
            reference: self.reference,
            by_model,
        }
    }
}

/// Categories among the features of texts.
const TEXTS: [&str; 2] = [segment::LENGTH, feature::TEXT_LANGUAGE];

/// Whether traffic can have a segment of this name. Features are named by where they come from; what comes from a model's own columns
/// and answers, or from a source of one's own, is known to nobody here.
fn can_be(name: &str) -> bool {
    match name.split_once('.') {
        None => [segment::CLIENT, segment::TRUTH].contains(&name),
        Some(("text", _)) => TEXTS.contains(&name),
        Some((family, rest)) => !family.trim().is_empty() && !rest.trim().is_empty(),
    }
}

fn choice() -> String {
    let [length, language] = TEXTS;
    format!(
        "write {}, {}, {length}, {language}, {}, or input. and the name of a column of words",
        segment::CLIENT,
        segment::TRUTH,
        feature::OUTPUT_LABEL
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(named: &[&str]) -> String {
        let models = BTreeMap::from([("m".to_owned(), named.iter().map(|name| (*name).to_owned()).collect())]);
        let mut faults = Faults::default();
        let _ = RawSegments::default().check(models.iter(), &mut faults);
        faults.to_string()
    }

    #[test]
    fn names_are_few_and_each_is_one() {
        assert_eq!(faults(&["client", "text.language"]), "");
        assert!(faults(&["client", "client"]).contains("analyzer.models.m.segments: names client twice"));
        assert_eq!(faults(&["input.region", "output.label", "text.length_bucket"]), "");
        for wrong in [" ", "clientt", "text.languages", "input.", "region"] {
            let said = faults(&[wrong]);
            assert!(
                said.contains(&format!("'{wrong}' is no segment; write client, truth, text.length_bucket, ")),
                "{said}"
            );
        }
        let nine = ["a", "b", "c", "d", "e", "f", "g", "h", "i"].map(|name| format!("input.{name}"));
        assert!(faults(&nine.each_ref().map(String::as_str)).contains("9 segments; 8 are the most"));
    }
}
