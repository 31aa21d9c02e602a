//! Finds what was planted in whatever a collector left behind.
//!
//! A haystack is cut into cells (the strings of a frame, the columns of a row, the lines of a log), each is made plain
//! (digits as ASCII, nothing invisible, line breaks out of their JSON escapes), and every needle is looked for twice: as it
//! reads, and with everything but letters and digits removed. One hash look-up a position, however many needles there are.

use std::collections::{BTreeSet, HashMap};

/// Bytes by which needles are looked up.
const START: usize = 6;
/// Shorter needles would be met by chance in what has no separators.
const BARE_MIN: usize = 8;

/// Needles, by how they begin.
#[derive(Debug, Default)]
pub(super) struct Index {
    plain: HashMap<[u8; START], Vec<(usize, String)>>,
    bare: HashMap<[u8; START], Vec<(usize, String)>>,
    /// Numbers as they lie in MessagePack.
    packed: HashMap<[u8; 8], usize>,
}

impl Index {
    /// Adds a needle under its number.
    pub fn add(&mut self, number: usize, needle: &str) {
        let (plain, bare) = (plain(needle), bare(needle));
        if let Some(start) = plain.as_bytes().first_chunk() {
            self.plain.entry(*start).or_default().push((number, plain.clone()));
        }
        if let Some(start) = bare.as_bytes().first_chunk().filter(|_| bare.len() >= BARE_MIN) {
            self.bare.entry(*start).or_default().push((number, bare.clone()));
        }
    }

    /// Adds a needle that was posted as a number.
    pub fn add_number(&mut self, number: usize, value: u64) {
        self.packed.insert(value.to_be_bytes(), number);
        self.packed.insert((value as f64).to_be_bytes(), number);
    }

    /// The numbers of the needles that stand in a text, cut into its cells.
    pub fn in_text(&self, text: &str) -> BTreeSet<usize> {
        let cells = text.split(['\t', '\n', '\u{FFFD}']).filter(|cell| uuid::Uuid::try_parse(cell).is_err());
        cells.flat_map(|cell| self.in_cell(cell)).collect()
    }

    /// The numbers of the needles that stand in packed bytes.
    pub fn in_bytes(&self, bytes: &[u8]) -> BTreeSet<usize> {
        let packed = bytes.windows(8).filter_map(|window| self.packed.get(window)).copied();
        let text = String::from_utf8_lossy(bytes);
        // lengths and types of MessagePack lie between its strings
        let between = |c: char| c == '\u{FFFD}' || c < '\u{9}';
        packed.chain(text.split(between).flat_map(|cell| self.in_cell(cell))).collect()
    }

    fn in_cell(&self, cell: &str) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        for (text, index, whole) in [(plain(cell), &self.plain, true), (bare(cell), &self.bare, false)] {
            for (at, start) in text.as_bytes().windows(START).enumerate() {
                for (number, needle) in index.get(start).into_iter().flatten() {
                    let rest = &text.as_bytes()[at..];
                    // a short one inside a longer run of digits is another number
                    let alone = !whole || needle.len() >= 12 || alone(text.as_bytes(), at, at + needle.len());
                    if alone && rest.starts_with(needle.as_bytes()) {
                        found.insert(*number);
                    }
                }
            }
        }
        found
    }
}

fn alone(text: &[u8], from: usize, to: usize) -> bool {
    let sign = |at: Option<usize>| at.and_then(|at| text.get(at)).is_some_and(u8::is_ascii_alphanumeric);
    !sign(from.checked_sub(1)) && !sign(Some(to))
}

/// A text with ASCII digits, in lower case, without what is not seen, and with blanks for line breaks.
pub(super) fn plain(text: &str) -> String {
    let mut text = text.to_owned();
    // a JSON text in a column of tabs has its escapes escaped
    for _ in 0..2 {
        if text.contains('\\') {
            text = text.replace("\\\\", "\\").replace("\\n", " ").replace("\\r", " ").replace("\\t", " ");
        }
    }
    let one = |c: char| match c {
        '\u{200B}'..='\u{200D}' | '\u{2060}' | '\u{FEFF}' | '\u{AD}' => None,
        '\n' | '\r' => Some(' '),
        '\u{FF10}'..='\u{FF19}' => char::from_digit(c as u32 - 0xFF10, 10),
        '\u{660}'..='\u{669}' => char::from_digit(c as u32 - 0x660, 10),
        _ => Some(c.to_ascii_lowercase()),
    };
    text.chars().filter_map(one).collect()
}

/// The letters and digits of it.
pub(super) fn bare(text: &str) -> String {
    plain(text).chars().filter(|c| c.is_alphanumeric()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_is_found_and_what_is_not_there_is_not() {
        let mut index = Index::default();
        for (number, needle) in ["4111 1111 1111 1111", "23/8/98", "jane@example.com"].into_iter().enumerate() {
            index.add(number, needle);
        }
        index.add_number(3, 5_555_555_555_554_444);
        for (text, expected) in [
            ("a\tcard 4111-1111-1111-1111.\tb", vec![0]),
            ("４１１１ 1111\\n1111\u{200B}1111", vec![0]),
            (r#"{"x":"4111 1111\\n1111 1111"}"#, vec![0]),
            ("born 23/8/98, JANE@example.com", vec![1, 2]),
            ("born 123/8/98 or 23/8/981; 23898; 4111 1111\t1111 1111", vec![]),
            ("[CARD] [EMAIL]", vec![]),
        ] {
            assert_eq!(index.in_text(text).into_iter().collect::<Vec<_>>(), expected, "{text}");
        }
        let packed = rmp_serde::to_vec(&(1, 5_555_555_555_554_444_u64, "jane@example.com")).expect("packs");
        assert_eq!(index.in_bytes(&packed).into_iter().collect::<Vec<_>>(), [2, 3]);
        let packed = rmp_serde::to_vec(&5_555_555_555_554_444_f64).expect("packs");
        assert_eq!(index.in_bytes(&packed).into_iter().collect::<Vec<_>>(), [3]);
    }
}
