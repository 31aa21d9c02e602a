//! Numbers of India and Australia. Each function takes letters in capitals and digits alone.

use super::check::{verhoeff, weighted};

/// Aadhaar (UIDAI): twelve digits from 2 to 9, the Verhoeff digit last.
pub(crate) fn is_aadhaar(digits: &[u8]) -> bool {
    digits.len() == 12 && digits[0] >= b'2' && verhoeff(digits)
}

/// Permanent account number (Income Tax Department): the fourth letter says what kind of holder, the number is not 0.
/// Its check letter's formula is not published.
pub(crate) fn is_pan(signs: &[u8]) -> bool {
    signs.len() == 10 && b"ABCFGHJLPT".contains(&signs[3]) && &signs[5..9] != b"0000"
}

/// Tax file number (ATO): nine digits by weights, or eight of the older kind; the sum is a multiple of eleven.
pub(crate) fn is_tfn(digits: &[u8]) -> bool {
    let weights: &[u32] = match digits.len() {
        9 => &[1, 4, 3, 7, 5, 8, 6, 9, 10],
        8 => &[10, 7, 8, 4, 6, 3, 5, 1],
        _ => return false,
    };
    digits.iter().any(|d| *d != b'0') && weighted(digits, weights).is_multiple_of(11)
}
