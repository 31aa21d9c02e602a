//! Which bytes of a block are of a class: sixty-four bytes at once, a bit each.
//!
//! The choice is masks of bits, because what is asked of them (counts, runs and their edges, neighbours) is then a few
//! operations on a word for sixty-four bytes. On x86-64 they come from the sixteen-byte compares that every such
//! processor has, elsewhere from arithmetic on words of eight bytes; both say the same.

/// Bytes of a block.
pub(crate) const BLOCK: usize = 64;

/// Sixty-four bytes, the first of which is the lowest bit of a mask.
#[derive(Clone, Copy)]
pub(crate) struct Block<'a>(&'a [u8; BLOCK]);

/// Calls back for each block of a text, with the place where it begins and a mask of the bytes that belong to the text:
/// the last block is filled up with blanks.
#[inline]
pub(crate) fn blocks(bytes: &[u8], mut each: impl FnMut(usize, Block<'_>, u64)) {
    let (whole, rest) = bytes.as_chunks::<BLOCK>();
    for (i, block) in whole.iter().enumerate() {
        each(i * BLOCK, Block(block), u64::MAX);
    }
    if !rest.is_empty() {
        let mut padded = [b' '; BLOCK];
        padded[..rest.len()].copy_from_slice(rest);
        each(whole.len() * BLOCK, Block(&padded), (1 << rest.len()) - 1);
    }
}

/// The places of the bits of a mask, lowest first.
#[inline]
pub(crate) fn places(mut mask: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let at = (mask != 0).then(|| mask.trailing_zeros() as usize);
        mask &= mask.wrapping_sub(1);
        at
    })
}

impl Block<'_> {
    /// The bytes that are `b`.
    #[inline]
    pub fn equal(self, b: u8) -> u64 {
        lanes::any(self.0, [b])
    }

    /// The bytes that are one of `wanted`.
    #[inline]
    pub fn any<const N: usize>(self, wanted: [u8; N]) -> u64 {
        lanes::any(self.0, wanted)
    }

    /// The bytes below `bound`, which is 128 at most.
    #[inline]
    pub fn below(self, bound: u8) -> u64 {
        lanes::below(self.0, 0, bound)
    }

    /// ASCII digits: with the bits of `0` flipped they are 0 to 9, and nothing else is.
    #[inline]
    pub fn digits(self) -> u64 {
        lanes::below(self.0, b'0', 10)
    }

    /// The bytes of characters beyond ASCII.
    #[inline]
    pub fn beyond_ascii(self) -> u64 {
        lanes::highest(self.0)
    }
}

#[cfg(target_arch = "x86_64")]
mod lanes {
    #![expect(unsafe_code, reason = "SSE2 is part of x86-64: every processor that runs this has the instructions")]

    use std::arch::x86_64::{__m128i, _mm_cmpeq_epi8, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x};
    use std::arch::x86_64::{_mm_set1_epi8, _mm_setzero_si128, _mm_xor_si128};

    use super::BLOCK;

    #[inline]
    pub(super) fn any<const N: usize>(block: &[u8; BLOCK], wanted: [u8; N]) -> u64 {
        // SAFETY: it needs SSE2 and nothing else
        unsafe { any_sse2(block, wanted) }
    }

    #[inline]
    pub(super) fn below(block: &[u8; BLOCK], flip: u8, bound: u8) -> u64 {
        // SAFETY: it needs SSE2 and nothing else
        unsafe { below_sse2(block, flip, bound) }
    }

    #[inline]
    pub(super) fn highest(block: &[u8; BLOCK]) -> u64 {
        // SAFETY: it needs SSE2 and nothing else
        unsafe { mask(block, |v| v) }
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn any_sse2<const N: usize>(block: &[u8; BLOCK], wanted: [u8; N]) -> u64 {
        mask(block, |v| {
            let equal = wanted.map(|b| _mm_cmpeq_epi8(v, _mm_set1_epi8(b as i8)));
            equal.into_iter().fold(_mm_setzero_si128(), |any, equal| _mm_or_si128(any, equal))
        })
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn below_sse2(block: &[u8; BLOCK], flip: u8, bound: u8) -> u64 {
        mask(block, |v| {
            let flipped = _mm_xor_si128(v, _mm_set1_epi8(flip as i8));
            _mm_cmpeq_epi8(_mm_min_epu8(flipped, _mm_set1_epi8((bound - 1) as i8)), flipped)
        })
    }

    /// One bit a byte of what a compare gives for each sixteen.
    #[inline]
    #[target_feature(enable = "sse2")]
    fn mask(block: &[u8; BLOCK], compare: impl Fn(__m128i) -> __m128i) -> u64 {
        let mut mask = 0;
        for (i, bytes) in block.as_chunks::<16>().0.iter().enumerate() {
            let words = bytes.as_chunks::<8>().0;
            let [low, high] = [words[0], words[1]].map(i64::from_le_bytes);
            let bits = _mm_movemask_epi8(compare(_mm_set_epi64x(high, low))) as u32;
            mask |= u64::from(bits) << (16 * i);
        }
        mask
    }
}

#[cfg(any(test, not(target_arch = "x86_64")))]
mod words {
    use super::BLOCK;

    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x80 * ONES;

    /// One bit a byte of what a compare gives in the highest bits of eight.
    #[inline]
    fn mask(block: &[u8; BLOCK], compare: impl Fn(u64) -> u64) -> u64 {
        block.as_chunks::<8>().0.iter().enumerate().fold(0, |mask, (i, word)| {
            let bits = (compare(u64::from_le_bytes(*word)) & HIGH) >> 7;
            // brings the lowest bit of each byte together in the highest byte
            mask | (bits.wrapping_mul(0x0102_0408_1020_4080) >> 56) << (8 * i)
        })
    }

    #[inline]
    pub(super) fn any<const N: usize>(block: &[u8; BLOCK], wanted: [u8; N]) -> u64 {
        wanted.into_iter().fold(0, |any, b| any | below(block, b, 1))
    }

    #[inline]
    pub(super) fn highest(block: &[u8; BLOCK]) -> u64 {
        mask(block, |word| word)
    }

    #[inline]
    pub(super) fn below(block: &[u8; BLOCK], flip: u8, bound: u8) -> u64 {
        let (flip, lift) = (u64::from(flip) * ONES, u64::from(0x80 - bound) * ONES);
        mask(block, |word| {
            let flipped = word ^ flip;
            // what reaches the bound carries into the highest bit; what has it already is above
            !(((flipped & !HIGH) + lift) | flipped)
        })
    }
}

#[cfg(not(target_arch = "x86_64"))]
use words as lanes;

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn a_mask_has_the_bits_of_the_bytes_that_are_meant(
            bytes in proptest::collection::vec(proptest::num::u8::ANY, BLOCK),
            b in proptest::num::u8::ANY,
            bound in 1_u8..=128,
        ) {
            let block: &[u8; BLOCK] = bytes.as_slice().try_into().unwrap();
            let slow = |wanted: &dyn Fn(u8) -> bool| {
                bytes.iter().enumerate().map(|(i, b)| u64::from(wanted(*b)) << i).sum::<u64>()
            };
            let (same, lower) = (slow(&|x| x == b), slow(&|x| x ^ b < bound));
            proptest::prop_assert_eq!(lanes::any(block, [b]), same);
            proptest::prop_assert_eq!(words::any(block, [b]), same);
            let (either, high) = (slow(&|x| x == b || x == bound), slow(&|x| x >= 0x80));
            proptest::prop_assert_eq!(lanes::any(block, [b, bound]), either);
            proptest::prop_assert_eq!(words::any(block, [b, bound]), either);
            proptest::prop_assert_eq!(lanes::highest(block), high);
            proptest::prop_assert_eq!(words::highest(block), high);
            proptest::prop_assert_eq!(lanes::below(block, b, bound), lower);
            proptest::prop_assert_eq!(words::below(block, b, bound), lower);
            proptest::prop_assert_eq!(Block(block).digits(), slow(&|x| x.is_ascii_digit()));
        }

        #[test]
        fn blocks_hold_the_text_and_blanks(text in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let mut seen: Vec<u8> = Vec::new();
            blocks(&text, |at, block, within| {
                assert_eq!(at, seen.len());
                let count = within.trailing_ones() as usize;
                seen.extend(&block.0[..count]);
                assert!(block.0[count..].iter().all(|b| *b == b' '));
            });
            proptest::prop_assert_eq!(seen, text);
        }
    }
}
