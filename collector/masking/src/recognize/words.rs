//! The words that say what a number is, and the window in which one must stand: thirty characters to either side.
//!
//! Behind the number the window ends with the sentence and at the next digit: `it was 12345678. My passport is …` says
//! nothing about the first number. Our own markers say nothing: `[PASSPORT]` names what is no longer there.

use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, AhoCorasickKind, MatchKind};

use super::is_word_char;
use crate::entity::Entity;

/// Characters to either side.
const WINDOW_CHARS: usize = 30;
/// The longest word of the table, about.
const WORD_CHARS_MAX: usize = 32;

/// A set of entities that something speaks of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Named(u64);

impl Named {
    /// Nothing.
    pub const NONE: Self = Self(0);

    pub const fn of(entity: Entity) -> Self {
        Self(1 << entity as u8)
    }

    pub const fn has(self, entity: Entity) -> bool {
        self.0 & Self::of(entity).0 != 0
    }

    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub const fn without(self, entity: Entity) -> Self {
        Self(self.0 & !Self::of(entity).0)
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// The words by entity, in lower case; `document.rs` and `birth.rs` hold what they take for one.
pub(crate) const WORDS: &[(Entity, &[&str])] = &[
    (Entity::UsSsn, &["ssn", "social security", "soc sec", "social-security", "ss#"]),
    (Entity::UsItin, &["itin", "individual taxpayer", "taxpayer id", "taxpayer identification"]),
    (Entity::UsEin, &["ein", "fein", "employer id", "employer identification", "federal tax id", "tax id"]),
    (Entity::UsNpi, &["npi", "national provider", "provider identifier", "provider id"]),
    (Entity::UsAba, &["aba", "routing", "routing number", "rtn", "transit number", "bank routing"]),
    (Entity::UkNhs, &["nhs", "nhs no", "national health service", "health service number"]),
    (
        Entity::DeTaxId,
        &[
            "steuer-id",
            "steuerid",
            "steueridentifikationsnummer",
            "steuer-identifikationsnummer",
            "idnr",
            "identifikationsnummer",
            "tin",
            "tax id",
        ],
    ),
    (Entity::PlPesel, &["pesel"]),
    (Entity::BrCpf, &["cpf", "cadastro de pessoas"]),
    (Entity::FrNir, &["nir", "sécurité sociale", "securite sociale", "insee", "carte vitale"]),
    (Entity::EsDni, &["dni", "nif", "documento nacional"]),
    (Entity::EsNie, &["nie"]),
    (Entity::InAadhaar, &["aadhaar", "aadhar", "adhaar", "uidai", "uid"]),
    (Entity::CaSin, &["sin", "social insurance", "assurance sociale", "nas"]),
    (Entity::AuTfn, &["tfn", "tax file"]),
    (
        Entity::ApiKey,
        &[
            "aws_secret_access_key",
            "secret access key",
            "secretaccesskey",
            "aws_secret_key",
            "secret_key",
            "secret key",
        ],
    ),
    (
        Entity::DateOfBirth,
        &[
            "born",
            "dob",
            "d.o.b",
            "date of birth",
            "birth date",
            "birthdate",
            "birthday",
            "bday",
            "geboren",
            "geb",
            "geburtsdatum",
            "geburtstag",
            "né le",
            "née le",
            "date de naissance",
            "fecha de nacimiento",
            "nacido",
            "nacida",
            "nacimiento",
            "data di nascita",
            "nato il",
            "nata il",
            "data urodzenia",
            "urodzony",
            "urodzona",
            "data de nascimento",
            "nascido",
            "nascida",
        ],
    ),
    (
        Entity::Passport,
        &[
            "passport",
            "passports",
            "passport no",
            "reisepass",
            "reisepassnummer",
            "passeport",
            "pasaporte",
            "passaporto",
            "paszport",
            "passaporte",
            "paspoort",
        ],
    ),
    (
        Entity::DrivingLicence,
        &[
            "driver license",
            "drivers license",
            "driver's license",
            "driver’s license",
            "driver licence",
            "driving licence",
            "driving license",
            "driver's licence",
            "licence number",
            "license number",
            "licence no",
            "license no",
            "dl number",
            "dl no",
            "dl#",
            "dvla",
            "führerschein",
            "fuehrerschein",
            "führerscheinnummer",
            "permis de conduire",
            "permiso de conducir",
            "carnet de conducir",
            "patente di guida",
            "prawo jazdy",
            "carteira de motorista",
            "cnh",
            "rijbewijs",
            "driver licence",
            "drivers licence",
        ],
    ),
    (
        Entity::Phone,
        &[
            "phone",
            "phones",
            "tel",
            "telephone",
            "mobile",
            "cell",
            "fax",
            "whatsapp",
            "msisdn",
            "phonenumber",
            "telefon",
            "handy",
        ],
    ),
];

static ALL: LazyLock<(AhoCorasick, Vec<Entity>)> = LazyLock::new(|| {
    let flat = WORDS.iter().flat_map(|(entity, words)| words.iter().map(|word| (*entity, *word)));
    let (entities, words): (Vec<_>, Vec<_>) = flat.unzip();
    (automaton(&words).expect("there are words"), entities)
});

/// One automaton for all words; `None` where there are none.
pub(crate) fn automaton<W: AsRef<str>>(words: &[W]) -> Option<AhoCorasick> {
    let words = words.iter().map(|word| word.as_ref().to_lowercase()).filter(|word| !word.is_empty());
    let words: Vec<String> = words.collect();
    if words.is_empty() {
        return None;
    }
    // a few hundred short words: always within the automaton's limits
    AhoCorasickBuilder::new()
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::Standard)
        .kind(Some(AhoCorasickKind::DFA))
        .build(&words)
        .ok()
}

/// What the words around a span speak of.
pub(crate) fn near(text: &str, span: &Range<usize>) -> Named {
    let (automaton, entities) = &*ALL;
    let mut named = Named::default();
    each(automaton, text, span, |word| named = named.and(Named::of(entities[word])));
    named
}

/// Whether one of some words stands near a span.
pub(crate) fn near_any(words: &AhoCorasick, text: &str, span: &Range<usize>) -> bool {
    let mut found = false;
    each(words, text, span, |_| found = true);
    found
}

/// What an object's key speaks of: `dateOfBirth`, `customer_ssn`, `Tel.`.
pub(crate) fn in_key(key: &str) -> Named {
    let (automaton, entities) = &*ALL;
    let spaced = super::words_of(key).join(" ");
    let mut named = Named::default();
    within(automaton, &spaced, 0..spaced.len(), |word, _| named = named.and(Named::of(entities[word])));
    named
}

fn each(words: &AhoCorasick, text: &str, span: &Range<usize>, mut found: impl FnMut(usize)) {
    // a word counts if its end lies in the window
    let near = chars_back(text, span.start, WINDOW_CHARS);
    let far = chars_back(text, near, WORD_CHARS_MAX);
    within(words, text, far..span.start, |word, end| {
        if end > near {
            found(word);
        }
    });
    let after = &text[span.end..];
    let length = chars_ahead(after, WINDOW_CHARS);
    let ends = |b: &u8| matches!(b, b'.' | b';' | b'!' | b'?' | b',') || b.is_ascii_digit();
    let length = after.as_bytes()[..length].iter().position(ends).unwrap_or(length);
    within(words, text, span.end..span.end + length, |word, _| found(word));
}

/// Where so many characters before a place begin, or the text does.
fn chars_back(text: &str, at: usize, chars: usize) -> usize {
    let near = at.saturating_sub(chars);
    if text.as_bytes()[near..at].is_ascii() {
        return near;
    }
    text[..at].char_indices().rev().nth(chars - 1).map_or(0, |(i, _)| i)
}

/// How many bytes so many characters take, or all there are.
fn chars_ahead(text: &str, chars: usize) -> usize {
    let near = text.len().min(chars);
    if text.as_bytes()[..near].is_ascii() {
        return near;
    }
    text.char_indices().nth(chars).map_or(text.len(), |(i, _)| i)
}

fn within(words: &AhoCorasick, text: &str, window: Range<usize>, mut found: impl FnMut(usize, usize)) {
    if window.len() < 2 {
        return;
    }
    for hit in words.find_overlapping_iter(&text[window.clone()]) {
        let (start, end) = (window.start + hit.start(), window.start + hit.end());
        let whole = !text[..start].chars().next_back().is_some_and(is_word_char)
            && !text[end..].chars().next().is_some_and(|c| is_word_char(c) && !c.is_ascii_digit());
        if whole && !in_marker(text.as_bytes(), start) {
            found(hit.pattern().as_usize(), end);
        }
    }
}

/// Whether a word is part of a marker: capitals after a bracket that opens.
fn in_marker(text: &[u8], start: usize) -> bool {
    let inside = |b: &u8| b.is_ascii_uppercase() || matches!(b, b'_' | b' ');
    let before = text[..start].iter().rev().take(24).take_while(|b| inside(b)).count();
    text[..start - before].last() == Some(&b'[') && text[start].is_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str) -> Named {
        let start = text.find(|c: char| c.is_ascii_digit()).unwrap();
        let length = text[start..].find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len() - start);
        near(text, &(start..start + length))
    }

    #[test]
    fn words_count_whole_and_near() {
        assert!(named("my passport is 123456789").has(Entity::Passport));
        assert!(named("123456789 is my SSN").has(Entity::UsSsn));
        assert!(named("née le 3").has(Entity::DateOfBirth));
        for text in [
            "my password is 123456789",
            "using 123456789",
            "123456789. My SSN is secret",
            "the passport that I lost in the summer was 123456789",
            "[PASSPORT] 123456789",
            "[US_SSN] 123456789",
        ] {
            assert!(named(text).is_empty(), "{text}: {:?}", named(text));
        }
    }

    #[test]
    fn a_key_tells_what_it_holds() {
        for (key, entity) in [
            ("dateOfBirth", Entity::DateOfBirth),
            ("customer_ssn", Entity::UsSsn),
            ("Tel.", Entity::Phone),
            ("homePhone", Entity::Phone),
            ("passport_no", Entity::Passport),
            ("socialSecurityNumber", Entity::UsSsn),
        ] {
            assert!(in_key(key).has(entity), "{key}");
        }
        for key in ["telemetry", "order", "excellent", "assn", "cellar"] {
            assert!(in_key(key).is_empty(), "{key}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_window_is_so_many_characters(text in "[ -~]{0,40}é?[ -~]{0,40}(😀|[a-z]{0,20})") {
            for at in text.char_indices().map(|(at, _)| at).chain([text.len()]) {
                let before = text[..at].char_indices().rev().nth(WINDOW_CHARS - 1).map_or(0, |(i, _)| i);
                proptest::prop_assert_eq!(chars_back(&text, at, WINDOW_CHARS), before);
                let after = &text[at..];
                let length = after.char_indices().nth(WINDOW_CHARS).map_or(after.len(), |(i, _)| i);
                proptest::prop_assert_eq!(chars_ahead(after, WINDOW_CHARS), length);
            }
        }
    }
}
