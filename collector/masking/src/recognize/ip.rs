//! IP addresses, version 4 and 6, by the standard library's parsers.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use super::groups::Groups;
use crate::entity::Entity;

/// `255.255.255.255`.
const V4_BYTES_MAX: usize = 15;
/// The longest text of an address: six groups and a dotted quad.
const V6_BYTES_MAX: usize = 45;

/// Four dotted numbers, unless a fifth follows or the text says that they are a version.
pub(crate) fn find_v4(groups: &Groups<'_>, found: &mut Vec<(Range<usize>, Entity)>) {
    let mut first = 0;
    while first + 3 < groups.len() {
        let span = groups.span(first, first + 3);
        let dotted = span.len() <= V4_BYTES_MAX && (first..first + 3).all(|i| groups.gap(i) == Some("."));
        if dotted
            && groups.text[span.clone()].parse::<Ipv4Addr>().is_ok()
            && alone(groups, first)
            && !says_version(groups, first)
        {
            found.push((span, Entity::Ipv4));
            first += 4;
        } else {
            first += 1;
        }
    }
}

fn alone(groups: &Groups<'_>, first: usize) -> bool {
    let last = first + 3;
    let before = groups.word_before(first) || groups.before(first) == Some(b'.');
    !before && !groups.word_after(last) && groups.gap(last) != Some(".")
}

fn says_version(groups: &Groups<'_>, first: usize) -> bool {
    let lead = groups.lead(first, 16);
    let word = lead.trim_end_matches(|c: char| !c.is_alphanumeric());
    ["version", "release", "build", "firmware", " v", "driver"].iter().any(|w| word.ends_with(w)) || word == "v"
}

/// Runs of hexadecimal digits, colons and dots that parse, of some length: `a::b` is a path in a program.
pub(crate) fn find_v6(text: &str, found: &mut Vec<(Range<usize>, Entity)>) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(colon) = memchr::memchr(b':', &bytes[at..]).map(|i| at + i) {
        let inside = |b: &u8| b.is_ascii_hexdigit() || matches!(b, b':' | b'.');
        let start = colon - bytes[at..colon].iter().rev().take_while(|b| inside(b)).count();
        let end = colon + bytes[colon..].iter().take_while(|b| inside(b)).count();
        if let Some(span) = v6_in(text, start, end) {
            found.push((span, Entity::Ipv6));
        }
        at = end;
    }
}

/// The address in a run, a full stop or a colon of the sentence at its end left out.
fn v6_in(text: &str, start: usize, end: usize) -> Option<Range<usize>> {
    // `12:30:45` and `std::` are many: two colons and four digits, or none
    let run = &text[start..end];
    if run.len() < 6 || run.bytes().filter(|b| *b == b':').count() < 2 {
        return None;
    }
    let trimmed = run.trim_end_matches('.');
    let candidates = [trimmed, trimmed.strip_suffix(':').unwrap_or(trimmed), trimmed.trim_start_matches(':')];
    let address = candidates.into_iter().find(|c| c.len() <= V6_BYTES_MAX && c.parse::<Ipv6Addr>().is_ok())?;
    let start = start + (address.as_ptr() as usize - run.as_ptr() as usize);
    let end_of = start + address.len();
    let digits = address.bytes().filter(u8::is_ascii_hexdigit).count();
    (digits >= 4 && !super::word_before(text, start) && !super::word_at(text, end_of)).then_some(start..end_of)
}
