//! A text as the recognizers see it: ASCII digits and punctuation, single spaces, nothing invisible.
//!
//! What folding changed is remembered, so that what is found in the folded text is replaced in the original.

use std::ops::Range;

use crate::scan::{BLOCK, blocks, places};

/// A folded text and the way back.
pub(crate) struct Folded {
    /// What is searched.
    pub text: String,
    /// What folding changed.
    pub changes: Changes,
}

/// The stretches in which a text differs from what it was made from, in order; between them the bytes are the same.
#[derive(Default)]
pub(crate) struct Changes(Vec<Change>);

/// Bytes of the new text, and the bytes of the original they stand for.
struct Change {
    new: Range<usize>,
    original: Range<usize>,
}

impl Changes {
    /// Notes the next change.
    pub fn push(&mut self, new: Range<usize>, original: Range<usize>) {
        self.0.push(Change { new, original });
    }

    /// The bytes of the original that a range of the new text stands for.
    pub fn original(&self, range: &Range<usize>) -> Range<usize> {
        let start = match self.before(range.start) {
            Some(change) if range.start < change.new.end => change.original.start,
            Some(change) => range.start - change.new.end + change.original.end,
            None => range.start,
        };
        // the end lies behind its last byte: what vanished after that byte is not part of it
        let last = range.end.saturating_sub(1);
        let end = match self.before(last) {
            Some(change) if last < change.new.end => change.original.end,
            Some(change) => range.end - change.new.end + change.original.end,
            None => range.end,
        };
        start..end.max(start)
    }

    /// The last change at or before a byte of the new text.
    fn before(&self, at: usize) -> Option<&Change> {
        let n = self.0.partition_point(|change| change.new.start <= at);
        n.checked_sub(1).map(|i| &self.0[i])
    }
}

/// Folds a text.
pub(crate) fn fold(text: &str) -> Folded {
    let mut folder =
        Folder { text: String::with_capacity(text.len()), changes: Changes::default(), from: text, copied: 0 };
    let mut next = 0;
    uneven(text.as_bytes(), |at| {
        // what stands here may have been taken in with what stood before
        if at >= next {
            next = folder.take(at);
        }
    });
    folder.finish()
}

/// Calls back for each byte that may not stand for itself: control characters, percent signs, what is beyond ASCII, and
/// blanks before any of these but the percent sign, or before another blank.
fn uneven(bytes: &[u8], mut found: impl FnMut(usize)) {
    blocks(bytes, |at, block, within| {
        let control = block.below(b' ') | block.equal(0x7f);
        let (blank, beyond) = (block.equal(b' '), block.beyond_ascii());
        let wide = (control | blank | beyond) & within;
        let past = bytes.get(at + BLOCK).is_some_and(|b| !(b'!'..=b'~').contains(b));
        let before_wide = wide >> 1 | u64::from(past) << (BLOCK - 1);
        let marked = control | block.equal(b'%') | beyond | blank & before_wide;
        places(marked & within).for_each(|i| found(at + i));
    });
}

/// Whether folding can bring to light what a scan of the text as it is does not see: a digit or a sign in another form,
/// or a word that something unseen cuts in two (`(a<zero width>t)` between brackets).
pub(crate) fn may_reveal(text: &str) -> bool {
    let signs = |c: char| c >= '\u{80}' && !matches!(simple(c), '-' | '.' | '/' | '+') && simple(c) != c;
    let bracketed = || memchr::memchr3(b'(', b'[', b'{', text.as_bytes()).is_some();
    text.chars().any(signs) || bracketed() && text.chars().any(|c| c >= '\u{80}' && (is_invisible(c) || is_space(c)))
}

/// Whether a hyphen or dot in another form, or something unseen, may part the groups of a hardware address.
pub(crate) fn may_part(text: &str) -> bool {
    text.chars().any(|c| c >= '\u{80}' && (is_invisible(c) || matches!(simple(c), '-' | '.')))
}

struct Folder<'a> {
    text: String,
    changes: Changes,
    from: &'a str,
    /// Bytes of the original that are in `text` already.
    copied: usize,
}

impl Folder<'_> {
    fn change(&mut self, to: Option<char>, start: usize, end: usize) {
        self.text.push_str(&self.from[self.copied..start]);
        let at = self.text.len();
        self.text.extend(to);
        // a byte for a byte shifts nothing: the way back is that of the bytes before
        if end - start != 1 || self.text.len() - at != 1 {
            self.changes.push(at..self.text.len(), start..end);
        }
        self.copied = end;
    }

    /// Takes in what stands at a byte that may not stand for itself; gives the place behind.
    fn take(&mut self, at: usize) -> usize {
        let rest = &self.from.as_bytes()[at..];
        if rest.starts_with(b"%40") {
            self.change(Some('@'), at, at + 3);
            at + 3
        } else if rest[0] == b'\n' && rest.get(1).is_some_and(u8::is_ascii_graphic) && !self.wraps(at, at + 1) {
            // the most frequent of all: the end of a line
            self.change(Some(' '), at, at + 1);
            at + 1
        } else {
            self.step(at)
        }
    }

    /// Whether an address was wrapped at its at sign.
    fn wraps(&self, start: usize, end: usize) -> bool {
        self.from[..start].ends_with('@') || self.from[end..].starts_with('@')
    }

    /// Takes in the character at `start`, or the blanks that begin there; gives the place behind.
    fn step(&mut self, start: usize) -> usize {
        let mut rest = self.from[start..].char_indices().map(|(i, c)| (start + i, c)).peekable();
        let Some((_, c)) = rest.next() else { return self.from.len() };
        let mut end = start + c.len_utf8();
        if is_invisible(c) {
            self.change(None, start, end);
        } else if is_space(c) {
            // a line break and its indentation inside a number are one separator
            let mut broken = matches!(c, '\n' | '\r');
            while let Some((at, next)) = rest.next_if(|(_, next)| is_space(*next) || is_invisible(*next)) {
                broken |= matches!(next, '\n' | '\r');
                end = at + next.len_utf8();
            }
            // an address that was wrapped at its at sign is one address
            if broken && self.wraps(start, end) {
                self.change(None, start, end);
            } else if &self.from[start..end] != " " {
                self.change(Some(' '), start, end);
            }
        } else if simple(c) != c {
            self.change(Some(simple(c)), start, end);
        }
        end
    }

    fn finish(mut self) -> Folded {
        self.text.push_str(&self.from[self.copied..]);
        Folded { text: self.text, changes: self.changes }
    }
}

/// Characters that have no width and so can stand unseen inside an identifier: Unicode's `Default_Ignorable_Code_Point`.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}'
            | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
            | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFF8}'
            | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}'
    )
}

fn is_space(c: char) -> bool {
    c.is_whitespace() || c.is_control()
}

/// One character for one: full-width forms, dashes, dots, at signs and every script's decimal digits.
fn simple(c: char) -> char {
    match c {
        '\0'..='~' => c,
        '\u{FF01}'..='\u{FF5E}' => char::from_u32(c as u32 - 0xFEE0).unwrap_or(c),
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{FE58}' | '\u{FE63}' => '-',
        '\u{3002}' | '\u{FF61}' | '\u{FE52}' | '\u{2024}' => '.',
        '\u{FE6B}' => '@',
        '\u{FE62}' => '+',
        '\u{2215}' | '\u{2044}' => '/',
        '\u{FE55}' | '\u{A789}' => ':',
        c => digit(c).map_or(c, |d| char::from(b'0' + d)),
    }
}

/// The value of a decimal digit of any script (general category Nd).
fn digit(c: char) -> Option<u8> {
    let code = c as u32;
    let zero = ZEROES[..ZEROES.partition_point(|zero| *zero <= code)].last()?;
    u8::try_from(code - zero).ok().filter(|d| *d < 10)
}

/// The digit zero of every script that has decimal digits beyond ASCII, from the character database of Unicode 16.
const ZEROES: &[u32] = &[
    0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6, 0x0D66, 0x0DE6, 0x0E50,
    0x0ED0, 0x0F20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50, 0x1BB0, 0x1C40, 0x1C50,
    0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10, 0x104A0, 0x10D30, 0x10D40, 0x11066, 0x110F0,
    0x11136, 0x111D0, 0x112F0, 0x11450, 0x114D0, 0x11650, 0x116C0, 0x116D0, 0x116DA, 0x11730, 0x118E0, 0x11950,
    0x11BF0, 0x11C50, 0x11D50, 0x11DA0, 0x11F50, 0x16130, 0x16A60, 0x16AC0, 0x16B50, 0x16D70, 0x1CCF0, 0x1D7CE,
    0x1D7D8, 0x1D7E2, 0x1D7EC, 0x1D7F6, 0x1E140, 0x1E2F0, 0x1E4F0, 0x1E5F1, 0x1E950, 0x1FBF0,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_the_same_is_the_same() {
        for (text, folded) in [
            ("４１１１", "4111"),
            ("٤١١١", "4111"),
            ("𝟒𝟷", "41"),
            ("4\u{200B}1", "41"),
            ("a\u{00AD}b＠c．d", "ab@c.d"),
            ("41\r\n  11", "41 11"),
            ("1\u{2011}2", "1-2"),
            ("a%40b", "a@b"),
            ("jane@\n  x.org", "jane@x.org"),
            ("jane\r\n@x.org", "jane@x.org"),
            ("one\n\ntwo", "one two"),
            ("é%4", "é%4"),
        ] {
            assert_eq!(fold(text).text, folded, "{text}");
        }
    }

    /// The oracle is the `regex` crate's tables, which are made from Unicode's own files.
    #[test]
    fn what_is_unseen_and_what_is_a_digit_is_what_unicode_says() {
        let said = |property: &str| {
            let pattern = regex::Regex::new(property).unwrap();
            move |c: char| pattern.is_match(c.encode_utf8(&mut [0; 4]))
        };
        let (ignorable, decimal) = (said(r"\p{Default_Ignorable_Code_Point}"), said(r"[\p{Nd}--0-9]"));
        for c in '\0'..=char::MAX {
            assert_eq!(is_invisible(c), ignorable(c), "{:04X}", c as u32);
            assert_eq!(digit(c).is_some(), decimal(c), "{:04X}", c as u32);
        }
    }

    #[test]
    fn the_way_back_covers_whole_characters() {
        let text = "x ４１\u{200B}１ y";
        let folded = fold(text);
        let at = folded.text.find("411").unwrap();
        assert_eq!(&text[folded.changes.original(&(at..at + 3))], "４１\u{200B}１");
        let plain = fold("abc");
        assert_eq!(plain.changes.original(&(1..2)), 1..2);
    }

    /// Every character taken in one by one.
    fn slow(text: &str) -> Folded {
        let mut folder = Folder { text: String::new(), changes: Changes::default(), from: text, copied: 0 };
        let mut at = 0;
        while at < text.len() {
            at = if text[at..].starts_with("%40") {
                folder.change(Some('@'), at, at + 3);
                at + 3
            } else {
                folder.step(at)
            };
        }
        folder.finish()
    }

    proptest::proptest! {
        #[test]
        fn what_is_passed_over_stands_for_itself(text in "([ -~]{0,30}|[ \\n\\t%]{1,2}|%40|@\\n|[\u{200B}４é\u{3000}]){0,12}") {
            let (fast, slow) = (fold(&text), slow(&text));
            proptest::prop_assert_eq!(&fast.text, &slow.text);
            for start in 0..fast.text.len() {
                for end in start + 1..=fast.text.len() {
                    let ways = [&fast, &slow].map(|folded| folded.changes.original(&(start..end)));
                    proptest::prop_assert_eq!(&ways[0], &ways[1]);
                }
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn every_range_maps_to_character_boundaries(text in ".*") {
            let folded = fold(&text);
            let mut bounds: Vec<usize> = folded.text.char_indices().map(|(i, _)| i).collect();
            bounds.push(folded.text.len());
            for pair in bounds.windows(2) {
                let range = folded.changes.original(&(pair[0]..pair[1]));
                proptest::prop_assert!(text.get(range).is_some());
            }
        }
    }
}
