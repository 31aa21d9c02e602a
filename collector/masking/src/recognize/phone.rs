//! Telephone numbers: international ones by the country codes and lengths of libphonenumber's metadata
//! ([`super::phone_lengths`]), national ones by the ways of writing. The choice is lengths, not assigned ranges, because a
//! number that nobody has been given yet (or a made-up one) is still masked; and a table, not the library at run time,
//! which costs milliseconds to load and tens of microseconds a candidate.
//!
//! Digits without separators are a telephone number only after a word such as `phone`: order numbers must survive.

use std::ops::Range;

use super::birth;
use super::groups::Groups;
use super::phone_lengths::is_possible;
use super::{Context, words};
use crate::entity::Entity;

/// The shortest of all, which a word must name.
const DIGITS_MIN: usize = 7;
/// The longest number of E.164, country code included.
const DIGITS_MAX: usize = 15;
const LEAD_BYTES: usize = 32;
/// What says that a telephone number follows, in the languages that the national formats are from.
#[rustfmt::skip]
const WORDS: [&str; 14] = [
    "phone",
    "telephone",
    "tel",
    "mobile",
    "cell",
    "fax",
    "whatsapp",
    "sms",
    "call",
    "dial",
    "ring",
    "texting",
    "handy",
    "telefon",
];

pub(crate) fn find(groups: &Groups<'_>, context: Context, found: &mut Vec<(Range<usize>, Entity)>) {
    let mut next = 0;
    while next < groups.len() {
        if !groups.may_begin(next, DIGITS_MIN) {
            next += 1;
            continue;
        }
        let hit = international(groups, next)
            .or_else(|| north_american(groups, next))
            .or_else(|| trunk(groups, next))
            .or_else(|| named(groups, next, context));
        match hit {
            Some(last) => {
                found.push((with_signs(groups, next, last), Entity::Phone));
                next = last + 1;
            }
            None => next += 1,
        }
    }
}

/// Takes in the plus sign and parentheses around the first digits.
fn with_signs(groups: &Groups<'_>, first: usize, last: usize) -> Range<usize> {
    let Range { mut start, end } = groups.span(first, last);
    let bytes = groups.text.as_bytes();
    let bracketed = groups.text[start..end].contains(')');
    while start > 0 && (bytes[start - 1] == b'+' || (bracketed && bytes[start - 1] == b'(')) {
        start -= 1;
    }
    start..end
}

/// One to three signs of those that stand between a number's groups.
fn joins(gap: &str) -> bool {
    (1..=3).contains(&gap.len()) && gap.bytes().all(|b| matches!(b, b' ' | b'-' | b'.' | b'/' | b'(' | b')'))
}

fn ends(groups: &Groups<'_>, last: usize) -> bool {
    !groups.word_after(last)
}

/// `+49 171 1234567`, `+1 (415) 555-2671`, `0044 20 7946 0958`.
fn international(groups: &Groups<'_>, first: usize) -> Option<usize> {
    let digits = groups.digits(first);
    let shown = match (groups.before(first), digits.strip_prefix("00")) {
        (Some(b'+'), _) => 0,
        (Some(b'('), _) if lead_ends_with(groups, first, "+(") => 0,
        (before, Some(_))
            if !groups.word_before(first) && !before.is_some_and(|b| matches!(b, b'-' | b'.' | b'#' | b'/')) =>
        {
            2
        }
        _ => return None,
    };
    groups
        .chain(first, DIGITS_MAX + shown, joins)
        .filter(|&(last, total)| {
            // 00 and digits in one piece may as well be an order number
            ends(groups, last) && (shown == 0 || last > first) && complete(groups, first, last, shown, total)
        })
        .map(|(last, _)| last)
        .last()
}

/// Whether so many digits are a whole number of the country whose code they begin with.
fn complete(groups: &Groups<'_>, first: usize, last: usize, shown: usize, total: usize) -> bool {
    let mut digits = [0; DIGITS_MAX + 2];
    let count = groups.copy_digits(first, last, &mut digits);
    debug_assert_eq!(count, total);
    is_possible(&digits[shown..count])
}

fn lead_ends_with(groups: &Groups<'_>, first: usize, end: &str) -> bool {
    groups.text[..groups.range(first).start].ends_with(end)
}

/// `(415) 555-2671`, `415-555-2671`, `1.415.555.2671`: area code from 200, then three and four.
fn north_american(groups: &Groups<'_>, first: usize) -> Option<usize> {
    let mut area = first;
    if groups.digits(first) == "1" && groups.gap(first).is_some_and(joins) {
        area += 1;
    }
    let last = area + 2;
    if last >= groups.len() || ![3, 3, 4].into_iter().eq((area..=last).map(|i| groups.length(i))) {
        return None;
    }
    let (one, two) = (groups.gap(area)?, groups.gap(area + 1)?);
    let bracketed = one.starts_with(')');
    let plain = matches!(one, "-" | "." | " ") && !groups.digits(area + 1).starts_with(['0', '1']);
    let before = groups.before(first);
    let tied = groups.word_before(first) || before.is_some_and(|b| matches!(b, b'-' | b'.' | b'#' | b'/'));
    let goes_on = matches!(groups.gap(last), Some("-" | "." | "/"));
    let fits = joins(one) && (bracketed || plain) && matches!(two, "-" | "." | " ");
    let whole = fits && !tied && !goes_on && ends(groups, last) && !groups.digits(area).starts_with(['0', '1']);
    (whole && (one != " " || !says_other(groups, first, last))).then_some(last)
}

/// `020 7946 0958`, `01 23 45 67 89`, `0171-1234567`: national numbers that begin with the trunk prefix 0.
fn trunk(groups: &Groups<'_>, first: usize) -> Option<usize> {
    let head = groups.digits(first);
    let ties = |b| matches!(b, b'-' | b'.' | b'#' | b'/' | b',');
    let tied = groups.word_before(first) || groups.before(first).is_some_and(ties);
    // the middle of a longer row of groups is no beginning
    let inside = first > 0 && matches!(groups.gap(first - 1), Some(" " | "-" | "."));
    if tied || inside || head.len() < 2 || !head.starts_with('0') || head.starts_with("00") || is_date(groups, first) {
        return None;
    }
    groups
        .chain(first, 12, joins)
        .filter(|&(last, total)| {
            let pieces = (first..=last).all(|i| groups.range(i).len() >= 2);
            // nobody dots and hyphenates one number
            let gaps = |sign| (first..last).any(|i| groups.gap(i) == Some(sign));
            let pieces = pieces && !(gaps(".") && gaps("-"));
            last > first && total >= 9 && pieces && groups.stands_alone(first, last)
        })
        .map(|(last, _)| last)
        .last()
}

/// `01.02.2024`, `01/02/2024`, `2024-05-06`, and a time after it.
fn is_date(groups: &Groups<'_>, first: usize) -> bool {
    let year = first + 2 < groups.len() && [first, first + 2].iter().any(|i| groups.range(*i).len() == 4);
    year && groups.gap(first) != Some(" ") && birth::is_date(groups, first)
}

/// Seven digits and more in a field or after a word that says telephone.
fn named(groups: &Groups<'_>, first: usize, context: Context) -> Option<usize> {
    if groups.word_before(first) || is_date(groups, first) {
        return None;
    }
    let last = groups
        .chain(first, DIGITS_MAX, joins)
        .filter(|&(last, total)| total >= DIGITS_MIN && ends(groups, last))
        .map(|(last, _)| last)
        .last()?;
    (context.named.has(Entity::Phone) || says_phone(&groups.lead(first, LEAD_BYTES))).then_some(last)
}

/// Whether a word nearby says that blanks in a number are another identifier's: `NHS 943 476 5919`.
fn says_other(groups: &Groups<'_>, first: usize, last: usize) -> bool {
    let near = words::near(groups.text, &groups.span(first, last)).without(Entity::Phone).without(Entity::DateOfBirth);
    !near.is_empty() && !says_phone(&groups.lead(first, LEAD_BYTES))
}

/// Whether the text before a number ends in a word for telephone, with at most some filling between.
fn says_phone(lead: &str) -> bool {
    const FILLING: [&str; 15] =
        ["me", "us", "at", "on", "is", "no", "number", "nr", "my", "to", "back", "under", "the", "her", "him"];
    let words = lead.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.rev().find(|word| !FILLING.contains(word)).is_some_and(|word| WORDS.contains(&word))
}
