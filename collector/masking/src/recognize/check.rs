//! Published checksums, each over ASCII digits (and letters, where the standard has them).

/// ISO/IEC 7812-1 annex B: doubling every second digit from the right, the sum ends in 0.
pub(crate) fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(i, &d)| match (i % 2, value(d) * 2) {
            (0, _) => value(d),
            (_, twice) => twice / 10 + twice % 10,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// The value of an ASCII digit.
pub(crate) const fn value(digit: u8) -> u32 {
    digit.wrapping_sub(b'0') as u32
}

/// The number that some digits write; at most eighteen of them.
pub(crate) fn number(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |n, d| n * 10 + u64::from(value(*d)))
}

/// The sum of digits times weights.
pub(crate) fn weighted(digits: &[u8], weights: &[u32]) -> u32 {
    digits.iter().zip(weights).map(|(d, weight)| value(*d) * weight).sum()
}

/// ISO 7064 mod 97-10: the remainder of digits, and letters as 10 to 35.
pub(crate) fn remainder_97(signs: impl Iterator<Item = u8>) -> u32 {
    signs.fold(0, |rest, sign| match sign {
        b'0'..=b'9' => (rest * 10 + value(sign)) % 97,
        letter => (rest * 100 + u32::from(letter.wrapping_sub(b'A')) + 10) % 97,
    })
}

/// ISO 7064 mod 11,10: whether the last digit is the check digit of those before it.
pub(crate) fn mod_11_10(digits: &[u8]) -> bool {
    let Some((check, before)) = digits.split_last() else { return false };
    let product = before.iter().fold(10, |product, d| {
        let sum = (value(*d) + product) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    (11 - product) % 10 == value(*check)
}

/// Verhoeff, "Error Detecting Decimal Codes" (1969): the dihedral group of order ten, a permutation a place.
pub(crate) fn verhoeff(digits: &[u8]) -> bool {
    const PERMUTATION: [u8; 10] = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];
    let check = digits.iter().rev().enumerate().fold(0, |check, (place, d)| {
        let permuted = (0..place % 8).fold(d.wrapping_sub(b'0'), |d, _| PERMUTATION[usize::from(d % 10)]);
        dihedral(check, permuted)
    });
    check == 0
}

/// Multiplication in the dihedral group: 0 to 4 are rotations, 5 to 9 reflections.
const fn dihedral(a: u8, b: u8) -> u8 {
    match (a < 5, b < 5) {
        (true, true) => (a + b) % 5,
        (true, false) => (a + b - 5) % 5 + 5,
        (false, true) => (a - b) % 5 + 5,
        (false, false) => (a + 5 - b) % 5,
    }
}

/// Whether a day exists (Gregorian).
pub(crate) const fn is_day(year: u32, month: u32, day: u32) -> bool {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 0,
    };
    1 <= day && day <= days
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_vectors() {
        assert!(luhn(b"79927398713") && !luhn(b"79927398710"));
        assert!(verhoeff(b"2363") && verhoeff(b"123451") && !verhoeff(b"2364"));
        // ISO 7064's own example of mod 11,10
        assert!(mod_11_10(b"07945") && !mod_11_10(b"07946"));
        assert_eq!(remainder_97(b"WEST12345698765432GB82".iter().copied()), 1);
        assert!(is_day(2000, 2, 29) && !is_day(1900, 2, 29) && !is_day(2001, 4, 31) && !is_day(2001, 13, 1));
    }

    #[test]
    fn verhoeff_finds_every_wrong_digit_and_every_swap_of_neighbours() {
        let right = *b"234123412346";
        assert!(verhoeff(&right));
        for at in 0..right.len() {
            for wrong in b'0'..=b'9' {
                let mut digits = right;
                digits[at] = wrong;
                assert_eq!(verhoeff(&digits), wrong == right[at]);
            }
            if at > 0 && right[at] != right[at - 1] {
                let mut digits = right;
                digits.swap(at, at - 1);
                assert!(!verhoeff(&digits));
            }
        }
    }
}
