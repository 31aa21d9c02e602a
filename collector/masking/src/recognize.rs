//! The recognizers: each takes a folded text and gives the ranges that pass its validator.
//!
//! Each family runs only where the first scan saw what its members are made of ([`crate::triggers`]).

pub(crate) mod america;
pub(crate) mod asia;
pub(crate) mod birth;
pub(crate) mod card;
pub(crate) mod check;
pub(crate) mod document;
pub(crate) mod email;
pub(crate) mod europe;
pub(crate) mod groups;
pub(crate) mod iban;
pub(crate) mod ip;
pub(crate) mod jwt;
pub(crate) mod key;
pub(crate) mod mac;
pub(crate) mod national;
pub(crate) mod phone;
pub(crate) mod phone_lengths;
pub(crate) mod shape;
pub(crate) mod url;
pub(crate) mod wallet;
pub(crate) mod words;

use std::ops::Range;

use crate::entity::Entity;
use crate::triggers::{Triggers, long_runs};
use groups::Groups;
use words::Named;

/// What the field that holds a text tells of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Context {
    /// What the field is named for: a value there needs no word beside it.
    pub named: Named,
    /// The text is a name of ours (a model, a version, a class): four dotted numbers are a version, not an address.
    pub name: bool,
}

impl Context {
    /// The context of names of ours.
    pub const NAME: Self = Self { named: Named::NONE, name: true };

    /// What an object's key tells of its value: `home_phone`, `customerSSN`, `Tel.`.
    pub fn of_key(key: &str) -> Self {
        Self { named: words::in_key(key), name: false }
    }
}

/// Lower-case words of a key, split at punctuation and where camel case steps up.
pub(crate) fn words_of(key: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut lower_before = false;
    let mut chars = key.char_indices();
    while let Some((at, c)) = chars.next() {
        // a marker names what is no longer there
        if let Some(end) = crate::operator::marker_end(key.as_bytes(), at) {
            chars.by_ref().take_while(|(i, _)| i + 1 < end).for_each(drop);
            words.push(String::new());
            continue;
        }
        if !c.is_alphanumeric() || (c.is_uppercase() && lower_before) {
            words.push(String::new());
        }
        if c.is_alphanumeric() {
            words.last_mut().expect("it starts with one").extend(c.to_lowercase());
        }
        lower_before = c.is_lowercase();
    }
    words.retain(|word| !word.is_empty());
    words
}

/// All spans of all entities, in no order, possibly overlapping.
pub(crate) fn all(text: &str, context: Context, triggers: Triggers) -> Vec<(Range<usize>, Entity)> {
    let mut spans = Vec::new();
    if triggers.at {
        email::find(text, &mut spans);
        url::credentials(text, &mut spans);
    }
    if triggers.equals {
        url::secrets(text, &mut spans);
    }
    if triggers.long {
        key::private_keys(text.as_bytes(), &mut spans);
        long_runs(text.as_bytes(), |run| {
            jwt::find(text, run.clone(), &mut spans);
            wallet::find(text, run.clone(), &mut spans);
            key::find(text, run, context, &mut spans);
        });
    }
    if triggers.colons {
        ip::find_v6(text, &mut spans);
        mac::find_colons(text, &mut spans);
    }
    if triggers.digits || triggers.pairs {
        mac::find_others(text, &mut spans);
    }
    if triggers.digits {
        let groups = Groups::of(text);
        iban::find(&groups, &mut spans);
        card::find(&groups, &mut spans);
        shape::find(&groups, context, &mut spans);
        birth::find(&groups, context, &mut spans);
        document::find(&groups, context, &mut spans);
        phone::find(&groups, context, &mut spans);
        if !context.name {
            ip::find_v4(&groups, &mut spans);
        }
    }
    spans
}

/// Whether a character belongs to a word. Ideographs do not: in texts without blanks an identifier touches them.
pub(crate) fn is_word_char(c: char) -> bool {
    c == '_' || c.is_alphanumeric() && c < '\u{2E80}'
}

/// Whether the character before `at` belongs to a word.
pub(crate) fn word_before(text: &str, at: usize) -> bool {
    match at.checked_sub(1).map(|i| text.as_bytes()[i]) {
        None => false,
        Some(b) if b < 0x80 => is_word(b),
        Some(_) => text[..at].chars().next_back().is_some_and(is_word_char),
    }
}

/// Whether the character at `at` belongs to a word.
pub(crate) fn word_at(text: &str, at: usize) -> bool {
    match text.as_bytes().get(at) {
        None => false,
        Some(b) if *b < 0x80 => is_word(*b),
        Some(_) => text[at..].chars().next().is_some_and(is_word_char),
    }
}

/// Whether an ASCII byte belongs to a word.
pub(crate) const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}
