//! The scan that every text goes through first: which kinds of bytes it holds, so that most texts go no further.
//!
//! The choice is byte classes, thirty-two bytes a step in a loop that compiles to vector instructions, rather than a
//! multi-pattern automaton: nearly every entity holds four digits, an at sign, two colons, an equals sign or a long run
//! without a blank, and ordinary prose holds none of these. The recognizers then look only around what was seen.

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

/// What one step of the scan saw.
struct Survey {
    special: bool,
    ascii: bool,
    long: bool,
}

/// Scans a text. The second value is whether it is ASCII.
pub(crate) fn of(text: &str) -> (Triggers, bool) {
    let bytes = text.as_bytes();
    let survey = survey(bytes);
    if !survey.special {
        return (Triggers { long: survey.long, ..Triggers::default() }, survey.ascii);
    }
    let count = |wanted: fn(u8) -> bool| bytes.iter().map(|b| usize::from(wanted(*b))).sum::<usize>();
    let triggers = Triggers {
        digits: count(|b| b.is_ascii_digit()) >= DIGITS_MIN,
        at: memchr::memchr2(b'@', b'%', bytes).is_some() || super::recognize::email::may_be_spelled_out(bytes),
        colons: count(|b| b == b':') >= 2,
        equals: memchr::memchr(b'=', bytes).is_some(),
        long: survey.long,
    };
    (triggers, survey.ascii)
}

fn survey(bytes: &[u8]) -> Survey {
    let (mut special, mut all, mut run, mut long) = (false, 0_u8, 0_usize, false);
    let (chunks, rest) = bytes.as_chunks::<32>();
    for chunk in chunks {
        let (mut here, mut or) = (0_u8, 0_u8);
        for &b in chunk {
            here |= is_special(b);
            or |= b;
        }
        special |= here != 0;
        all |= or;
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
        special |= is_special(b) != 0;
        all |= b;
        run = if b > b' ' { run + 1 } else { 0 };
        long |= run >= LONG_MIN;
    }
    Survey { special, ascii: all < 0x80, long }
}

/// Digits and the colon, the at sign, the equals sign, the percent sign, opening brackets of all kinds.
const fn is_special(b: u8) -> u8 {
    (b.wrapping_sub(b'0') <= 10) as u8
        | (b == b'@') as u8
        | (b == b'=') as u8
        | (b == b'%') as u8
        | (b == b'(') as u8
        | (b | 0x20 == b'{') as u8
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
            proptest::prop_assert_eq!(triggers.digits, text.bytes().filter(u8::is_ascii_digit).count() >= DIGITS_MIN);
            proptest::prop_assert_eq!(triggers.colons, text.matches(':').count() >= 2);
            proptest::prop_assert_eq!(triggers.equals, text.contains('='));
        }
    }
}
