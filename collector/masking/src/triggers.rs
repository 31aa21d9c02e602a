//! The scan that every text goes through first: which kinds of bytes it holds, so that most texts go no further.
//!
//! The choice is byte classes, sixty-four bytes a step ([`crate::scan`]), rather than a multi-pattern automaton: nearly
//! every entity holds four digits, an at sign, two colons, an equals sign or a long run without a blank, and ordinary prose
//! holds none of these. The recognizers then look only around what was seen.

use std::ops::Range;

use crate::fold::may_part;
use crate::recognize::{email, mac};
use crate::scan::{BLOCK, Block, blocks, places};

/// Least digits of anything that digits alone give away: `1.1.1.1`, `1.2.90`, `ABCDE1234F`.
const DIGITS_MIN: usize = 4;
/// Least length of a key, a token or an address of a crypto currency.
pub(crate) const LONG_MIN: usize = 20;

/// What a text holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Triggers {
    /// Four digits or more.
    pub digits: bool,
    /// Fewer digits, and signs that stand as in a hardware address: it needs only one (`AB-CD-EF-AB-CD-E1`).
    pub pairs: bool,
    /// An at sign, or what may stand for one.
    pub at: bool,
    /// Two colons or more.
    pub colons: bool,
    /// An equals sign.
    pub equals: bool,
    /// A run of [`LONG_MIN`] bytes without a blank.
    pub long: bool,
}

impl Triggers {
    /// Whether there is nothing to look at.
    pub fn none(self) -> bool {
        self == Self::default()
    }
}

/// What one pass over a text tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Survey {
    /// What a recognizer may find.
    pub triggers: Triggers,
    /// Whether there is nothing beyond ASCII.
    pub ascii: bool,
    /// Whether folding would change nothing: printed ASCII with single blanks and no percent sign.
    pub plain: bool,
}

/// Scans a text.
pub(crate) fn of(text: &str) -> Survey {
    let bytes = text.as_bytes();
    let mut tally = Tally::default();
    blocks(bytes, |_, block, within| tally.take(block, within));
    // a second look, at the few texts that have a digit and not many
    let few = (1..DIGITS_MIN as u32).contains(&tally.digits);
    let triggers = Triggers {
        digits: tally.digits >= DIGITS_MIN as u32,
        pairs: few && (mac::may_stand(bytes) || tally.beyond && may_part(text)),
        at: tally.at || tally.brackets && email::may_be_spelled_out(bytes),
        colons: tally.colons >= 2,
        equals: tally.equals,
        long: tally.runs.long,
    };
    Survey { triggers, ascii: !tally.beyond, plain: !(tally.beyond || tally.uneven) }
}

#[derive(Default)]
struct Tally {
    digits: u32,
    colons: u32,
    at: bool,
    equals: bool,
    brackets: bool,
    beyond: bool,
    uneven: bool,
    runs: Runs,
    /// Whether the block before ended in a blank.
    blank_before: u64,
}

impl Tally {
    #[inline]
    fn take(&mut self, block: Block<'_>, within: u64) {
        let percent = block.equal(b'%');
        self.digits += block.digits().count_ones();
        self.colons += block.equal(b':').count_ones();
        // the percent sign may write an at sign
        self.at |= percent | block.equal(b'@') != 0;
        self.equals |= block.equal(b'=') != 0;
        self.brackets |= block.any([b'(', b'[', b'{']) != 0;
        self.beyond |= block.beyond_ascii() != 0;
        let (control, blanks) = (block.below(b' ') | block.equal(0x7f), block.below(b' ' + 1));
        let blank = blanks & within;
        let twice = blank & (blank << 1 | self.blank_before);
        self.uneven |= percent | control | twice != 0;
        self.blank_before = blank >> (BLOCK - 1);
        self.runs.take(blanks);
    }
}

/// Runs without a blank.
#[derive(Default)]
struct Runs {
    /// Whether one had [`LONG_MIN`] bytes.
    long: bool,
    /// The length of the one that the last block ended in.
    open: u32,
}

impl Runs {
    #[inline]
    fn take(&mut self, blanks: u64) {
        self.long |= holds_long(!blanks) || self.open + blanks.trailing_zeros() >= LONG_MIN as u32;
        self.open = if blanks == 0 { self.open + BLOCK as u32 } else { blanks.leading_zeros() };
        // longer ones need not be counted
        self.open = self.open.min(LONG_MIN as u32);
    }
}

/// Whether a mask has [`LONG_MIN`] bits in a row.
#[inline]
fn holds_long(filled: u64) -> bool {
    // two, four, eight, sixteen, and four more
    const { assert!(LONG_MIN == 20) };
    let two = filled & filled >> 1;
    let four = two & two >> 2;
    let eight = four & four >> 4;
    eight & eight >> 8 & four >> 16 != 0
}

/// Calls back for each run of [`LONG_MIN`] bytes or more without a blank.
pub(crate) fn long_runs(bytes: &[u8], mut found: impl FnMut(Range<usize>)) {
    let mut start = 0;
    let mut end_at = |start: &mut usize, blank: usize| {
        if blank - *start >= LONG_MIN {
            found(*start..blank);
        }
        *start = blank + 1;
    };
    blocks(bytes, |at, block, within| {
        let blanks = block.below(b' ' + 1) & within;
        if holds_long(!blanks) {
            places(blanks).for_each(|i| end_at(&mut start, at + i));
        } else {
            // only the first can end a long one, which began before
            end_at(&mut start, at + blanks.trailing_zeros() as usize);
            start = at + BLOCK - blanks.leading_zeros() as usize;
        }
    });
    end_at(&mut start, bytes.len());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_triggers_nothing() {
        for text in ["", "Hello, could you help me with my order? It came in 3 parts.", "naïve café, isn’t it – 😀"]
        {
            assert!(of(text).triggers.none(), "{text}");
        }
        assert!(of("it's ascii").ascii && !of("it’s not").ascii);
    }

    proptest::proptest! {
        #[test]
        fn the_fast_scan_says_what_a_slow_one_says(text in "[ -~é\\n]{0,80}( |[a-z0-9/]{1,50}){0,8}[ %\\x7f]?") {
            let Survey { triggers, ascii, plain } = of(&text);
            proptest::prop_assert_eq!(ascii, text.is_ascii());
            let longest = text.split(|c: char| c <= ' ').map(str::len).max().unwrap_or(0);
            proptest::prop_assert_eq!(triggers.long, longest >= LONG_MIN);
            let mut runs = 0;
            long_runs(text.as_bytes(), |run| runs += usize::from(!text[run].contains(|c: char| c <= ' ')));
            let long = text.split(|c: char| c <= ' ').filter(|run| run.len() >= LONG_MIN).count();
            proptest::prop_assert_eq!(runs, long);
            proptest::prop_assert_eq!(triggers.digits, text.bytes().filter(u8::is_ascii_digit).count() >= DIGITS_MIN);
            proptest::prop_assert_eq!(triggers.colons, text.matches(':').count() >= 2);
            proptest::prop_assert_eq!(triggers.equals, text.contains('='));
            let even = text.bytes().all(|b| matches!(b, b' '..=b'~') && b != b'%') && !text.contains("  ");
            proptest::prop_assert_eq!(plain, even);
        }
    }
}
