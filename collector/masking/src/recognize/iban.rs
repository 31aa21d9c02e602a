//! International bank account numbers: the registry's length for the country, then the remainder by 97 (ISO 13616).

use std::ops::Range;

use super::check::remainder_97;
use super::groups::Groups;
use crate::entity::Entity;

/// Malta, Russia and Saint Lucia come near it.
const LENGTH_MAX: usize = 34;

pub(crate) fn find(groups: &Groups<'_>, found: &mut Vec<(Range<usize>, Entity)>) {
    let bytes = groups.text.as_bytes();
    for run in 0..groups.len() {
        let digits = groups.range(run);
        // two letters, then the check digits: `DE89`, also `DE89370400440532013000`
        let Some(start) = digits.start.checked_sub(2).filter(|_| digits.len() >= 2) else { continue };
        let head = bytes[start].is_ascii_alphabetic() && bytes[start + 1].is_ascii_alphabetic();
        if head && !super::word_before(groups.text, start) {
            found.extend(end(groups.text, start).map(|end| (start..end, Entity::Iban)));
        }
    }
}

/// The end of an IBAN that begins at `start`.
fn end(text: &str, start: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let country = [bytes[start].to_ascii_uppercase(), bytes[start + 1].to_ascii_uppercase()];
    let length = LENGTHS.iter().find(|(code, _)| code.as_bytes() == country)?.1;
    let mut signs = Vec::with_capacity(LENGTH_MAX);
    let mut at = start;
    while signs.len() < length {
        match bytes.get(at)? {
            b if b.is_ascii_alphanumeric() => signs.push(b.to_ascii_uppercase()),
            // one separator at a time, never before the check digits
            b' ' | b'-' if signs.len() >= 4 && bytes[at - 1].is_ascii_alphanumeric() => {}
            _ => return None,
        }
        at += 1;
    }
    let checked = signs[2].is_ascii_digit() && signs[3].is_ascii_digit();
    (checked && !super::word_at(text, at) && remainder_97(signs[4..].iter().chain(&signs[..4]).copied()) == 1)
        .then_some(at)
}

/// Country code and total length, from the SWIFT IBAN registry.
#[rustfmt::skip]
const LENGTHS: &[(&str, usize)] = &[
    ("AD", 24), ("AE", 23), ("AL", 28), ("AT", 20), ("AZ", 28), ("BA", 20), ("BE", 16), ("BG", 22),
    ("BH", 22), ("BI", 27), ("BR", 29), ("BY", 28), ("CH", 21), ("CR", 22), ("CY", 28), ("CZ", 24),
    ("DE", 22), ("DJ", 27), ("DK", 18), ("DO", 28), ("EE", 20), ("EG", 29), ("ES", 24), ("FI", 18),
    ("FK", 18), ("FO", 18), ("FR", 27), ("GB", 22), ("GE", 22), ("GI", 23), ("GL", 18), ("GR", 27),
    ("GT", 28), ("HN", 28), ("HR", 21), ("HU", 28), ("IE", 22), ("IL", 23), ("IQ", 23), ("IS", 26),
    ("IT", 27), ("JO", 30), ("KW", 30), ("KZ", 20), ("LB", 28), ("LC", 32), ("LI", 21), ("LT", 20),
    ("LU", 20), ("LV", 21), ("LY", 25), ("MC", 27), ("MD", 24), ("ME", 22), ("MK", 19), ("MN", 20),
    ("MR", 27), ("MT", 31), ("MU", 30), ("NI", 28), ("NL", 18), ("NO", 15), ("OM", 23), ("PK", 24),
    ("PL", 28), ("PS", 29), ("PT", 25), ("QA", 29), ("RO", 24), ("RS", 22), ("RU", 33), ("SA", 24),
    ("SC", 31), ("SD", 18), ("SE", 24), ("SI", 19), ("SK", 24), ("SM", 27), ("SO", 23), ("ST", 25),
    ("SV", 28), ("TL", 23), ("TN", 24), ("TR", 26), ("UA", 29), ("VA", 22), ("VG", 24), ("XK", 20),
    ("YE", 30),
];
