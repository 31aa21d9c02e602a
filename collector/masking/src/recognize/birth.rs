//! Dates of birth: a date that exists, where a word or the field's name says birth. Weaker: any date beside such a word.

use std::ops::Range;

use super::check::is_day;
use super::groups::Groups;
use super::shape::{stands_free_after, stands_free_before};
use super::{Context, words};
use crate::entity::Entity;

/// Nobody alive was born before.
const YEAR_MIN: u32 = 1880;
const YEAR_MAX: u32 = 2099;

/// Beginnings of the months' names in the languages of the context words, in order; a number is the month.
#[rustfmt::skip]
const MONTHS: &[(&str, u32)] = &[
    ("jan", 1), ("gen", 1), ("ene", 1), ("sty", 1), ("jän", 1), ("feb", 2), ("fév", 2), ("fev", 2), ("lut", 2),
    ("mar", 3), ("mär", 3), ("apr", 4), ("avr", 4), ("abr", 4), ("kwi", 4), ("may", 5), ("mai", 5), ("mag", 5), ("maj", 5),
    ("jun", 6), ("juin", 6), ("giu", 6), ("cze", 6), ("jul", 7), ("juil", 7), ("lug", 7), ("lip", 7), ("aug", 8), ("aoû", 8),
    ("ago", 8), ("sie", 8), ("sep", 9), ("set", 9), ("wrz", 9), ("oct", 10), ("okt", 10), ("ott", 10), ("out", 10), ("paź", 10),
    ("nov", 11), ("lis", 11), ("dec", 12), ("dez", 12), ("déc", 12), ("dic", 12), ("gru", 12),
];

pub(crate) fn find(groups: &Groups<'_>, context: Context, found: &mut Vec<(Range<usize>, Entity)>) {
    let mut next = 0;
    while next < groups.len() {
        let span = in_numbers(groups, next).or_else(|| with_name(groups, next));
        let Some((span, last)) = span else {
            next += 1;
            continue;
        };
        let named = context.named.has(Entity::DateOfBirth) || words::near(groups.text, &span).has(Entity::DateOfBirth);
        if named && stands_free_before(groups.text, span.start) && stands_free_after(groups.text, span.end) {
            found.push((span, Entity::DateOfBirth));
        }
        next = last + 1;
    }
}

/// Whether three runs are a date, whatever they are the date of.
pub(crate) fn is_date(groups: &Groups<'_>, first: usize) -> bool {
    in_numbers(groups, first).is_some()
}

/// `3.5.1990`, `05/03/90`, `1990-05-03`, `19900503`: the span and its last run.
fn in_numbers(groups: &Groups<'_>, first: usize) -> Option<(Range<usize>, usize)> {
    let number = |i: usize| groups.number(i) as u32;
    if groups.length(first) == 8 {
        let whole = number(first);
        let iso = is_birth(whole / 10_000, whole / 100 % 100, whole % 100);
        let european = is_birth(whole % 10_000, whole / 10_000 % 100, whole / 1_000_000);
        return (iso || european).then(|| (groups.range(first), first));
    }
    let last = first + 2;
    if last >= groups.len() {
        return None;
    }
    // lengths first: they tell most numbers from dates
    let lengths = [first, first + 1, last].map(|i| groups.length(i));
    if !matches!(lengths, [4, 1 | 2, 1 | 2] | [1 | 2, 1 | 2, 2 | 4]) {
        return None;
    }
    let gap = groups.gap(first)?;
    if !matches!(gap, "." | "/" | "-" | ". " | " ") || groups.gap(first + 1) != Some(gap) {
        return None;
    }
    let (a, b, c) = (number(first), number(first + 1), number(last));
    let right = match lengths {
        [4, ..] => is_birth(a, b, c),
        [_, _, 4] => is_birth(c, b, a) || is_birth(c, a, b),
        _ => [1900, 2000].iter().any(|century| is_birth(century + c, b, a) || is_birth(century + c, a, b)),
    };
    right.then(|| (groups.span(first, last), last))
}

/// `3 May 1990`, `3rd of May, 1990`, `May 3, 1990`, `3. Mai 1990`, `3 de mayo de 1990`.
fn with_name(groups: &Groups<'_>, first: usize) -> Option<(Range<usize>, usize)> {
    if first + 1 >= groups.len() || groups.length(first) > 2 || groups.length(first + 1) != 4 {
        return None;
    }
    let (day, year) = (groups.number(first) as u32, groups.number(first + 1) as u32);
    let gap = groups.gap(first)?;
    let between = gap.len() <= 24 && gap.chars().all(|c| c.is_alphabetic() || matches!(c, ' ' | '.' | ',' | '-' | '/'));
    if !between {
        return None;
    }
    if let Some(month) = gap.split(|c: char| !c.is_alphabetic()).find_map(month) {
        return is_birth(year, month, day).then(|| (groups.span(first, first + 1), first + 1));
    }
    let short = gap.trim_start_matches(|c: char| c.is_ascii_lowercase());
    let before = groups.text[..groups.range(first).start].trim_end_matches([' ', '.']);
    let name = before.rsplit(|c: char| !c.is_alphabetic()).next().filter(|_| matches!(short, ", " | " " | ","))?;
    let start = before.len() - name.len();
    is_birth(year, month(name)?, day).then(|| (start..groups.span(first, first + 1).end, first + 1))
}

/// The month that a word names: its beginning is a month's, and it is not much longer.
fn month(word: &str) -> Option<u32> {
    const NAME_CHARS_MAX: usize = 12;
    // the shortest is three letters; a word that merely begins so (`marked`) must be ruled out by its length and end
    if word.chars().count() < 3 || word.chars().count() > NAME_CHARS_MAX {
        return None;
    }
    let lower = word.to_lowercase();
    MONTHS.iter().find(|(start, _)| lower.starts_with(start)).map(|(_, month)| *month)
}

fn is_birth(year: u32, month: u32, day: u32) -> bool {
    (YEAR_MIN..=YEAR_MAX).contains(&year) && is_day(year, month, day)
}
