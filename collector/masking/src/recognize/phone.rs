//! Telephone numbers by structure: the choice is E.164 country codes and the national ways of writing, not a library
//! of assigned ranges, because a number that nobody has been given yet (or a made-up one) is still masked.
//!
//! Digits without separators are a telephone number only after a word such as `phone`: order numbers must survive.

use std::ops::Range;

use super::Context;
use super::groups::Groups;

/// The longest number of E.164, country code included.
const DIGITS_MAX: usize = 15;
const LEAD_BYTES: usize = 32;
/// What says that a telephone number follows, in the languages that the national formats are from.
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

pub(crate) fn find(groups: &Groups<'_>, context: Context) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut next = 0;
    // looked for once: most texts say nothing of telephones
    let lower = groups.text.to_ascii_lowercase();
    let worded = context.phone || WORDS.iter().any(|word| lower.contains(word));
    while next < groups.len() {
        let hit = international(groups, next)
            .or_else(|| north_american(groups, next))
            .or_else(|| trunk(groups, next))
            .or_else(|| worded.then(|| named(groups, next, context)).flatten());
        match hit {
            Some(last) => {
                found.push(with_signs(groups, next, last));
                next = last + 1;
            }
            None => next += 1,
        }
    }
    found
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
    groups.after(last).is_none_or(|b| !super::is_word(b))
}

/// `+49 171 1234567`, `+1 (415) 555-2671`, `0044 20 7946 0958`.
fn international(groups: &Groups<'_>, first: usize) -> Option<usize> {
    let digits = groups.digits(first);
    let (country, shown) = match (groups.before(first), digits.strip_prefix("00")) {
        (Some(b'+'), _) => (digits, 0),
        (Some(b'('), _) if lead_ends_with(groups, first, "+(") => (digits, 0),
        (before, Some(rest))
            if !before.is_some_and(|b| super::is_word(b) || matches!(b, b'-' | b'.' | b'#' | b'/')) =>
        {
            (rest, 2)
        }
        _ => return None,
    };
    let code = country_code(country)?;
    let north_american = code == 1;
    groups
        .chain(first, DIGITS_MAX + shown, joins)
        .filter(|&(last, total)| {
            let count = total - shown;
            let complete = if north_american { count == 11 } else { (8..=DIGITS_MAX).contains(&count) };
            // 00 and digits in one piece may as well be an order number
            complete && ends(groups, last) && (shown == 0 || last > first)
        })
        .map(|(last, _)| last)
        .last()
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
    if last >= groups.len() || ![3, 3, 4].into_iter().eq((area..=last).map(|i| groups.range(i).len())) {
        return None;
    }
    let (one, two) = (groups.gap(area)?, groups.gap(area + 1)?);
    let bracketed = one.starts_with(')');
    let plain = matches!(one, "-" | "." | " ") && !groups.digits(area + 1).starts_with(['0', '1']);
    let before = groups.before(first);
    let tied = before.is_some_and(|b| super::is_word(b) || matches!(b, b'-' | b'.' | b'#' | b'/'));
    let goes_on = matches!(groups.gap(last), Some("-" | "." | "/"));
    let fits = joins(one) && (bracketed || plain) && matches!(two, "-" | "." | " ");
    (fits && !tied && !goes_on && ends(groups, last) && !groups.digits(area).starts_with(['0', '1'])).then_some(last)
}

/// `020 7946 0958`, `01 23 45 67 89`, `0171-1234567`: national numbers that begin with the trunk prefix 0.
fn trunk(groups: &Groups<'_>, first: usize) -> Option<usize> {
    let head = groups.digits(first);
    let tied = groups.before(first).is_some_and(|b| super::is_word(b) || matches!(b, b'-' | b'.' | b'#' | b'/' | b','));
    if tied || head.len() < 2 || !head.starts_with('0') || head.starts_with("00") || is_date(groups, first) {
        return None;
    }
    groups
        .chain(first, 12, joins)
        .filter(|&(last, total)| {
            let pieces = (first..=last).all(|i| groups.range(i).len() >= 2);
            last > first && total >= 9 && pieces && groups.stands_alone(first, last)
        })
        .map(|(last, _)| last)
        .last()
}

/// `01.02.2024`, `01/02/2024`, `05-06-2024`, and a time after it.
fn is_date(groups: &Groups<'_>, first: usize) -> bool {
    first + 2 < groups.len()
        && [2, 2, 4].into_iter().eq((first..=first + 2).map(|i| groups.range(i).len()))
        && matches!(groups.gap(first), Some("." | "/" | "-"))
        && groups.gap(first) == groups.gap(first + 1)
}

/// Seven digits and more in a field or after a word that says telephone.
fn named(groups: &Groups<'_>, first: usize, context: Context) -> Option<usize> {
    if groups.before(first).is_some_and(super::is_word)
        || !(context.phone || says_phone(&groups.lead(first, LEAD_BYTES)))
    {
        return None;
    }
    groups
        .chain(first, DIGITS_MAX, joins)
        .filter(|&(last, total)| total >= 7 && ends(groups, last))
        .map(|(last, _)| last)
        .last()
}

/// Whether the text before a number ends in a word for telephone, with at most some filling between.
fn says_phone(lead: &str) -> bool {
    const FILLING: [&str; 15] =
        ["me", "us", "at", "on", "is", "no", "number", "nr", "my", "to", "back", "under", "the", "her", "him"];
    let words = lead.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.rev().find(|word| !FILLING.contains(word)).is_some_and(|word| WORDS.contains(&word))
}

/// The country code that digits begin with, by the ITU's list of assigned E.164 codes.
fn country_code(digits: &str) -> Option<u16> {
    (1..=3).filter_map(|n| digits.get(..n)?.parse().ok()).find(|code| is_country_code(*code))
}

fn is_country_code(code: u16) -> bool {
    matches!(
        code,
        1 | 7 | 20 | 27 | 30..=34 | 36 | 39..=41 | 43..=49 | 51..=58 | 60..=66 | 81 | 82 | 84 | 86 | 90..=95 | 98
            | 211..=213 | 216 | 218 | 220..=258 | 260..=269 | 290 | 291 | 297..=299
            | 350..=359 | 370..=383 | 385..=387 | 389 | 420 | 421 | 423
            | 500..=509 | 590..=599 | 670 | 672..=683 | 685..=692
            | 800 | 808 | 850 | 852 | 853 | 855 | 856 | 870 | 878 | 880..=883 | 886 | 888
            | 960..=968 | 970..=977 | 979 | 992..=996 | 998
    )
}
