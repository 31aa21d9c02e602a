//! Hardware addresses (IEEE 802): six pairs of hexadecimal digits with colons or hyphens, or three groups of four with
//! dots.

use std::ops::Range;

use super::shape::{stands_free_after, stands_free_before};
use crate::entity::Entity;

/// `00:1A:2B:3C:4D:5E`.
pub(crate) fn find_colons(text: &str, found: &mut Vec<(Range<usize>, Entity)>) {
    separated(text, b':', 2, 6, found);
}

/// `00-1A-2B-3C-4D-5E` and `001a.2b3c.4d5e`.
pub(crate) fn find_others(text: &str, found: &mut Vec<(Range<usize>, Entity)>) {
    separated(text, b'-', 2, 6, found);
    separated(text, b'.', 4, 3, found);
}

fn separated(text: &str, sign: u8, width: usize, groups: usize, found: &mut Vec<(Range<usize>, Entity)>) {
    let bytes = text.as_bytes();
    let length = groups * (width + 1) - 1;
    let mut from = 0;
    for at in memchr::memchr_iter(sign, bytes) {
        let Some(start) = at.checked_sub(width).filter(|start| *start >= from) else { continue };
        let Some(run) = bytes.get(start..start + length) else { break };
        let fits = run
            .iter()
            .enumerate()
            .all(|(i, b)| if i % (width + 1) == width { *b == sign } else { b.is_ascii_hexdigit() });
        // an address has digits; what has none is words
        let digits = run.iter().any(u8::is_ascii_digit);
        if !fits || !digits {
            continue;
        }
        let whole = stands_free_before(text, start) && stands_free_after(text, start + length);
        let tied = goes_on(bytes[start + length..].iter()) || goes_on(bytes[..start].iter().rev());
        if whole && !tied {
            found.push((start..start + length, Entity::Mac));
            from = start + length;
        }
    }
}

/// Whether a colon and another group follow (or, backwards, precede): it is part of something longer, such as an address
/// of version 6. A colon of the sentence is none: `00-1A-2B-3C-4D-5E: unreachable`, `mac:00:1A:2B:3C:4D:5E`.
fn goes_on<'a>(mut bytes: impl Iterator<Item = &'a u8>) -> bool {
    if bytes.next() != Some(&b':') {
        return false;
    }
    let word: Vec<u8> = bytes.copied().take_while(|b| b.is_ascii_alphanumeric() || *b == b':').take(5).collect();
    let group = word.split(|b| *b == b':').next().unwrap_or_default();
    word.starts_with(b":") || (1..=4).contains(&group.len()) && group.iter().all(u8::is_ascii_hexdigit)
}
