//! What is done to a text: fold, recognize, replace, until nothing more is found.

use std::ops::Range;

use crate::entity::{Entity, Hits};
use crate::fold::fold;
use crate::recognize::{self, Context};

/// Replacing can join what stood apart, so a text is gone over again after a hit; more rounds than this mean a text
/// made to keep the masker busy, which is withheld.
const ROUNDS_MAX: usize = 16;

/// What stands for a text that could not be made safe.
pub(crate) const WITHHELD: &str = "[WITHHELD]";

/// A masked text, or that it could not be made safe.
pub(crate) enum Outcome {
    /// Nothing was found.
    Clean,
    /// What it became.
    Masked(String, Hits),
    /// More rounds than any honest text needs.
    Withheld,
}

/// Goes over a text. `context` says what is known of the field it stands in.
pub(crate) fn mask(text: &str, context: Context) -> Outcome {
    let mut hits = Hits::default();
    let Some(mut masked) = round(text, context, &mut hits) else { return Outcome::Clean };
    for _ in 1..ROUNDS_MAX {
        match round(&masked, context, &mut hits) {
            Some(again) => masked = again,
            None => return Outcome::Masked(masked, hits),
        }
    }
    Outcome::Withheld
}

/// One pass; `None` when nothing is found.
fn round(text: &str, context: Context, hits: &mut Hits) -> Option<String> {
    if !may_hold(text) {
        return None;
    }
    let folded = fold(text);
    let mut spans = recognize::all(&folded.text, context);
    if spans.is_empty() {
        return None;
    }
    spans.sort_by_key(|(range, entity)| (range.start, *entity));
    let mut masked = String::with_capacity(text.len());
    let mut copied = 0;
    for (range, entity) in merge(spans) {
        let range = folded.original(&range);
        masked.push_str(&text[copied..range.start]);
        masked.push_str(entity.marker());
        copied = range.end;
        hits.add(entity);
    }
    masked.push_str(&text[copied..]);
    Some(masked)
}

/// Every entity holds a digit, an at sign (or the word for it in brackets) or two colons; beyond ASCII we look closer.
fn may_hold(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.iter().any(|b| b.is_ascii_digit() || *b >= 0x80)
        || memchr::memchr(b'@', bytes).is_some()
        || memchr::memmem::find(bytes, b"::").is_some()
        || recognize::email::may_be_spelled_out(bytes)
}

/// Joins overlapping spans: nothing of either is left over, and the more trusted entity gives its name.
fn merge(sorted: Vec<(Range<usize>, Entity)>) -> Vec<(Range<usize>, Entity)> {
    let mut merged: Vec<(Range<usize>, Entity)> = Vec::with_capacity(sorted.len());
    for (range, entity) in sorted {
        match merged.last_mut() {
            Some((last, named)) if range.start < last.end => {
                last.end = last.end.max(range.end);
                *named = (*named).min(entity);
            }
            _ => merged.push((range, entity)),
        }
    }
    merged
}
