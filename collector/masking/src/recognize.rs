//! The recognizers: each takes a folded text and gives the ranges that pass its validator.

pub(crate) mod card;
pub(crate) mod email;
pub(crate) mod groups;
pub(crate) mod iban;
pub(crate) mod ip;
pub(crate) mod phone;
pub(crate) mod ssn;

use std::ops::Range;

use crate::entity::Entity;
use groups::Groups;

/// What the field that holds a text tells of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Context {
    /// The field is named like a telephone number: digits without separators count as one.
    pub phone: bool,
    /// The field is named like a social security number: nine digits count as one.
    pub ssn: bool,
    /// The text is a name of ours (a model, a version, a class): four dotted numbers are a version, not an address.
    pub name: bool,
}

impl Context {
    /// The context of names of ours.
    pub const NAME: Self = Self { phone: false, ssn: false, name: true };

    /// What an object's key tells of its value: `home_phone`, `customerSSN`, `Tel.`.
    pub fn of_key(key: &str) -> Self {
        let words = words(&without_markers(&key.to_ascii_lowercase(), key));
        let any = |names: &[&str]| words.iter().any(|word| names.contains(&word.as_str()));
        let joined = words.concat();
        Self {
            phone: any(&["phone", "phones", "tel", "telephone", "mobile", "cell", "fax", "whatsapp", "msisdn"])
                || joined.contains("phonenumber"),
            ssn: any(&["ssn", "ssns"]) || joined.contains("socialsecurity"),
            name: false,
        }
    }
}

/// A text without our own markers, which name what is no longer there: `[PHONE] 12` holds no telephone number.
///
/// `lower` is the text in ASCII lower case; the end of a marker counts, since a window may cut it.
pub(crate) fn without_markers(lower: &str, text: &str) -> String {
    let mut kept = text.to_owned();
    for marker in ["phone]", "ssn]"] {
        for (at, _) in lower.match_indices(marker) {
            kept.replace_range(at..at + marker.len(), &"#".repeat(marker.len()));
        }
    }
    kept
}

/// Lower-case words of a key, split at punctuation and where camel case steps up.
fn words(key: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut lower_before = false;
    for c in key.chars() {
        if !c.is_alphanumeric() || (c.is_uppercase() && lower_before) {
            words.push(String::new());
        }
        if c.is_alphanumeric() {
            words.last_mut().expect("it starts with one").extend(c.to_lowercase());
        }
        lower_before = c.is_lowercase();
    }
    words
}

/// All spans of all entities, in no order, possibly overlapping.
pub(crate) fn all(text: &str, context: Context) -> Vec<(Range<usize>, Entity)> {
    let mut spans = Vec::new();
    let mut found = |entity: Entity, ranges: Vec<Range<usize>>| spans.extend(ranges.into_iter().map(|r| (r, entity)));
    found(Entity::Email, email::find(text));
    found(Entity::Iban, iban::find(text));
    let groups = Groups::of(text);
    found(Entity::Card, card::find(&groups));
    found(Entity::UsSsn, ssn::find(&groups, context));
    found(Entity::Phone, phone::find(&groups, context));
    if !context.name {
        found(Entity::Ipv4, ip::find_v4(&groups));
        found(Entity::Ipv6, ip::find_v6(text));
    }
    spans
}

/// Whether the byte before `at` belongs to a word (letter, digit, underscore or beyond ASCII).
pub(crate) fn word_before(text: &str, at: usize) -> bool {
    at.checked_sub(1).is_some_and(|i| is_word(text.as_bytes()[i]))
}

/// Whether the byte at `at` belongs to a word.
pub(crate) fn word_at(text: &str, at: usize) -> bool {
    text.as_bytes().get(at).is_some_and(|b| is_word(*b))
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_tells_what_it_holds() {
        for key in ["phone", "homePhone", "customer_phone_number", "Tel.", "phoneNumber"] {
            assert!(Context::of_key(key).phone, "{key}");
        }
        for key in ["ssn", "customerSSN", "social_security_no", "SSN"] {
            assert!(Context::of_key(key).ssn, "{key}");
        }
        for key in ["telemetry", "order", "excellent", "assn", "cellar"] {
            assert_eq!(Context::of_key(key), Context::default(), "{key}");
        }
    }
}
