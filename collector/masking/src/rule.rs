//! Rules of the configuration: a pattern, words beside it, a check digit, an operator.

use std::ops::Range;

use aho_corasick::AhoCorasick;
use contract::faults::Faults;
use regex::{Regex, RegexBuilder};
use serde::Deserialize;

use crate::config::{RawOperator, RawRule};
use crate::operator::{Operator, marker_end};
use crate::recognize::{check as digits, words};

/// A compiled pattern may take this much memory; what needs more is a mistake.
const COMPILED_BYTES_MAX: usize = 1 << 20;
const RULES_MAX: usize = 100;

/// A check that what a pattern matched must pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Validator {
    /// The digits end in their Luhn digit.
    Luhn,
    /// ISO 7064 mod 97-10 over letters and digits as they stand.
    Mod97,
    /// The digits end in their Verhoeff digit.
    Verhoeff,
}

/// A rule, checked.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// The marker's word.
    pub marker: String,
    /// As the configuration names it.
    pub name: String,
    pub operator: Operator,
    pattern: Regex,
    context: Option<AhoCorasick>,
    validator: Option<Validator>,
}

impl Rule {
    /// What it finds; `None` where it finds more than its budget.
    pub fn find(&self, text: &str, matches_max: usize) -> Option<Vec<Range<usize>>> {
        let mut found = Vec::new();
        for (n, hit) in self.pattern.find_iter(text).enumerate() {
            if n >= matches_max {
                return None;
            }
            let near = self.context.as_ref().is_none_or(|words| words::near_any(words, text, &hit.range()));
            if near
                && !hit.is_empty()
                && self.validator.is_none_or(|check| check.holds(hit.as_str()))
                && !is_ours(text, &hit.range())
            {
                found.push(hit.range());
            }
        }
        Some(found)
    }
}

/// Whether a match lies within a marker, or is stars and signs: what the masker itself wrote.
fn is_ours(text: &str, hit: &Range<usize>) -> bool {
    let bytes = text.as_bytes();
    let from = hit.start.saturating_sub(128);
    let open = bytes[from..=hit.start].iter().rposition(|b| *b == b'[').map(|i| from + i);
    open.and_then(|open| marker_end(bytes, open)).is_some_and(|end| end >= hit.end)
}

impl Validator {
    fn holds(self, text: &str) -> bool {
        let signs: Vec<u8> = text.bytes().filter(u8::is_ascii_alphanumeric).map(|b| b.to_ascii_uppercase()).collect();
        let all_digits = !signs.is_empty() && signs.iter().all(u8::is_ascii_digit);
        match self {
            Self::Luhn => all_digits && digits::luhn(&signs),
            Self::Verhoeff => all_digits && digits::verhoeff(&signs),
            Self::Mod97 => !signs.is_empty() && digits::remainder_97(signs.iter().copied()) == 1,
        }
    }
}

/// Compiles the rules; a fault names its rule.
pub(crate) fn check(
    raw: &[RawRule],
    operator: impl Fn(Option<RawOperator>) -> Operator,
    faults: &mut Faults,
) -> Vec<Rule> {
    faults.check(raw.len() <= RULES_MAX, "masking.rules", format!("there are more than {RULES_MAX}"));
    let mut rules: Vec<Rule> = Vec::new();
    for (i, rule) in raw.iter().enumerate() {
        let key = format!("masking.rules[{i}]");
        let lower = (2..=40).contains(&rule.name.len())
            && rule.name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
            && !rule.name.starts_with('_');
        let what = format!("the name '{}' is not 2 to 40 lower-case letters and underscores", rule.name);
        faults.check(lower, &key, what);
        let builtin = crate::Entity::named(&rule.name).is_some();
        faults.check(!builtin, &key, format!("'{}' is the name of a built-in entity; take another", rule.name));
        let twice = rules.iter().any(|other| other.name == rule.name);
        faults.check(!twice, &key, format!("there are two rules called '{}'", rule.name));
        match pattern(&rule.pattern) {
            Ok(pattern) => rules.push(Rule {
                marker: rule.name.to_ascii_uppercase(),
                name: rule.name.clone(),
                operator: operator(rule.operator),
                pattern,
                context: words::automaton(&rule.context),
                validator: rule.validator,
            }),
            Err(error) => faults.push(&key, format!("the pattern of '{}' {error}", rule.name)),
        }
    }
    rules
}

fn pattern(text: &str) -> Result<Regex, String> {
    if text.is_empty() {
        return Err("is empty".into());
    }
    let compiled = RegexBuilder::new(text)
        .size_limit(COMPILED_BYTES_MAX)
        .dfa_size_limit(COMPILED_BYTES_MAX)
        .nest_limit(50)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => {
                "needs more than 1 MiB compiled; make its repetitions smaller".to_owned()
            }
            other => format!("cannot be read: {}", other.to_string().replace('\n', " ")),
        })?;
    if compiled.is_match("") {
        return Err("matches the empty text, which is everywhere".into());
    }
    Ok(compiled)
}
