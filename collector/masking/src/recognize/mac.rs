//! Hardware addresses (IEEE 802): six pairs of hexadecimal digits with colons or hyphens, or three groups of four with
//! dots.

use std::ops::Range;

use super::shape::{stands_free_after, stands_free_before};
use crate::entity::Entity;
use crate::scan::{blocks, places};

/// `00:1A:2B:3C:4D:5E`.
pub(crate) fn find_colons(text: &str, found: &mut Vec<(Range<usize>, Entity)>) {
    let mut pairs = Written { sign: b':', width: 2, groups: 6, from: 0 };
    memchr::memchr_iter(b':', text.as_bytes()).for_each(|at| pairs.take(text, at, found));
}

/// `00-1A-2B-3C-4D-5E` and `001a.2b3c.4d5e`.
pub(crate) fn find_others(text: &str, found: &mut Vec<(Range<usize>, Entity)>) {
    let mut pairs = Written { sign: b'-', width: 2, groups: 6, from: 0 };
    let mut fours = Written { sign: b'.', width: 4, groups: 3, from: 0 };
    blocks(text.as_bytes(), |at, block, _| {
        places(block.equal(b'-')).for_each(|i| pairs.take(text, at + i, found));
        places(block.equal(b'.')).for_each(|i| fours.take(text, at + i, found));
    });
}

/// Whether two hyphens or dots stand as far apart as in an address of [`find_others`].
pub(crate) fn may_stand(bytes: &[u8]) -> bool {
    let again = |at: usize| bytes.get(at + if bytes[at] == b'-' { 3 } else { 5 }) == Some(&bytes[at]);
    memchr::memchr2_iter(b'-', b'.', bytes).any(again)
}

/// A way of writing an address.
struct Written {
    sign: u8,
    width: usize,
    groups: usize,
    /// Where the last one ended.
    from: usize,
}

impl Written {
    /// Looks whether the sign at a place is the first of an address.
    #[inline]
    fn take(&mut self, text: &str, at: usize, found: &mut Vec<(Range<usize>, Entity)>) {
        let bytes = text.as_bytes();
        // most full stops and hyphens have no other so near
        if bytes.get(at + self.width + 1) == Some(&self.sign)
            && let Some(span) = self.around(text, at)
        {
            self.from = span.end;
            found.push((span, Entity::Mac));
        }
    }

    fn around(&self, text: &str, at: usize) -> Option<Range<usize>> {
        let (bytes, width) = (text.as_bytes(), self.width);
        let start = at.checked_sub(width).filter(|start| *start >= self.from)?;
        let end = start + self.groups * (width + 1) - 1;
        let run = bytes.get(start..end)?;
        let mut signs = run.iter().enumerate();
        let fits = signs.all(|(i, b)| if i % (width + 1) == width { *b == self.sign } else { b.is_ascii_hexdigit() });
        // an address has digits; what has none is words
        if !fits || !run.iter().any(u8::is_ascii_digit) {
            return None;
        }
        let whole = stands_free_before(text, start) && stands_free_after(text, end);
        let tied = goes_on(bytes[end..].iter()) || goes_on(bytes[..start].iter().rev());
        (whole && !tied).then_some(start..end)
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
