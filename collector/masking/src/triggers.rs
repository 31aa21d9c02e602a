//! The scan that every text goes through first: which kinds of bytes it holds, so that most texts go no further.
//!
//! The choice is byte classes, thirty-two bytes a step in a loop that compiles to vector instructions, rather than a
//! multi-pattern automaton: nearly every entity holds four digits, an at sign, two colons, an equals sign or a long run
//! without a blank, and ordinary prose holds none of these. The recognizers then look only around what was seen.

use std::ops::Range;

/// Least digits of anything that digits alone give away: `1.1.1.1`, `1.2.90`, `ABCDE1234F`.
const DIGITS_MIN: usize = 4;
/// Least length of a key, a token or an address of a crypto currency.
pub(crate) const LONG_MIN: usize = 20;

/// What a text holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Triggers {
    /// Four digits or more.
    pub digits: bool,
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

/// The classes of bytes, a bit each, so that one pass tells all of them.
const DIGIT: u8 = 1;
const COLON: u8 = 1 << 1;
/// The at sign, and the percent sign that may write one.
const AT: u8 = 1 << 2;
const EQUALS: u8 = 1 << 3;
const BRACKET: u8 = 1 << 4;
const BEYOND_ASCII: u8 = 1 << 7;

/// Scans a text. The second value is whether it is ASCII.
pub(crate) fn of(text: &str) -> (Triggers, bool) {
    let bytes = text.as_bytes();
    let (classes, long) = survey(bytes);
    let has = |class: u8| classes & class != 0;
    let count = |wanted: fn(u8) -> bool| bytes.iter().map(|b| usize::from(wanted(*b))).sum::<usize>();
    let triggers = Triggers {
        digits: has(DIGIT) && count(|b| b.is_ascii_digit()) >= DIGITS_MIN,
        at: has(AT) || has(BRACKET) && super::recognize::email::may_be_spelled_out(bytes),
        colons: has(COLON) && count(|b| b == b':') >= 2,
        equals: has(EQUALS),
        long,
    };
    (triggers, !has(BEYOND_ASCII))
}

/// The classes that occur, and whether a long run does.
fn survey(bytes: &[u8]) -> (u8, bool) {
    let (mut classes, mut run, mut long) = (0_u8, 0_usize, false);
    let (chunks, rest) = bytes.as_chunks::<32>();
    for chunk in chunks {
        for &b in chunk {
            classes |= class(b);
        }
        for word in chunk.as_chunks::<8>().0 {
            let blanks = blanks(u64::from_le_bytes(*word));
            if blanks == 0 {
                run += 8;
            } else {
                long |= run + blanks.trailing_zeros() as usize / 8 >= LONG_MIN;
                run = blanks.leading_zeros() as usize / 8;
            }
            long |= run >= LONG_MIN;
        }
    }
    for &b in rest {
        classes |= class(b);
        run = if b > b' ' { run + 1 } else { 0 };
        long |= run >= LONG_MIN;
    }
    (classes, long)
}

/// The class of a byte, without a branch.
const fn class(b: u8) -> u8 {
    (DIGIT * (b.wrapping_sub(b'0') < 10) as u8)
        | (COLON * (b == b':') as u8)
        | (AT * ((b == b'@') as u8 | (b == b'%') as u8))
        | (EQUALS * (b == b'=') as u8)
        | (BRACKET * ((b == b'(') as u8 | (b | 0x20 == b'{') as u8))
        | (b & BEYOND_ASCII)
}

/// Calls back for each run of [`LONG_MIN`] bytes or more without a blank.
pub(crate) fn long_runs(bytes: &[u8], mut found: impl FnMut(Range<usize>)) {
    let (mut start, mut at) = (0, 0);
    let mut end_at = |blank: usize| {
        if blank - start >= LONG_MIN {
            found(start..blank);
        }
        start = blank + 1;
    };
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        let mut blanks = blanks(u64::from_le_bytes(*word));
        while blanks != 0 {
            end_at(at + blanks.trailing_zeros() as usize / 8);
            blanks &= blanks - 1;
        }
        at += 8;
    }
    for (i, _) in rest.iter().enumerate().filter(|(_, b)| **b <= b' ') {
        end_at(at + i);
    }
    end_at(bytes.len());
}

/// The highest bit of each byte that is a blank or a control character.
const fn blanks(word: u64) -> u64 {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let above = (word & !HIGH) + 0x5F5F_5F5F_5F5F_5F5F;
    !(above | word) & HIGH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_triggers_nothing() {
        for text in ["", "Hello, could you help me with my order? It came in 3 parts.", "naïve café, isn’t it – 😀"]
        {
            assert!(of(text).0.none(), "{text}");
        }
        assert!(of("it's ascii").1 && !of("it’s not").1);
    }

    proptest::proptest! {
        #[test]
        fn the_fast_scan_says_what_a_slow_one_says(text in "[ -~é\\n]{0,80}( |[a-z0-9/]{1,50}){0,4}") {
            let (triggers, ascii) = of(&text);
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
        }
    }
}
