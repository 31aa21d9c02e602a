//! Numbers of the United States, Canada and Brazil. Each function takes the digits alone.

use super::check::{luhn, number, value, weighted};

/// Social security number, by "Social Security Number Randomization" (SSA, 2011): area not 000, 666 or 9xx, group not
/// 00, serial not 0000.
pub(crate) fn is_ssn(digits: &[u8]) -> bool {
    digits.len() == 9
        && !matches!(&digits[..3], b"000" | b"666")
        && digits[0] != b'9'
        && &digits[3..5] != b"00"
        && &digits[5..] != b"0000"
}

/// Individual taxpayer identification number, by IRS Publication 1915: 9xx, group 50-65, 70-88, 90-92 or 94-99.
pub(crate) fn is_itin(digits: &[u8]) -> bool {
    digits.len() == 9
        && digits[0] == b'9'
        && matches!(number(&digits[3..5]), 50..=65 | 70..=88 | 90..=92 | 94..=99)
        && &digits[5..] != b"0000"
}

/// Employer identification number: the prefixes in "How EINs are assigned and valid EIN prefixes" (IRS).
pub(crate) fn is_ein(digits: &[u8]) -> bool {
    let prefix = number(&digits[..2]);
    digits.len() == 9
        && matches!(prefix, 1..=6 | 10..=16 | 20..=27 | 30..=48 | 50..=68 | 71..=77 | 80..=88 | 90..=95 | 98 | 99)
        && &digits[2..] != b"0000000"
}

/// National provider identifier, by 45 CFR 162.406: ten digits from 1 or 2, the Luhn digit with 80840 before them.
pub(crate) fn is_npi(digits: &[u8]) -> bool {
    let prefixed: Vec<u8> = b"80840".iter().chain(digits).copied().collect();
    digits.len() == 10 && matches!(digits[0], b'1' | b'2') && luhn(&prefixed)
}

/// Routing number, by the ABA's policy: Federal Reserve prefixes, weights 3 7 1, the sum ends in 0.
pub(crate) fn is_aba(digits: &[u8]) -> bool {
    digits.len() == 9
        && matches!(number(&digits[..2]), 0..=12 | 21..=32 | 61..=72 | 80)
        && digits.iter().any(|d| *d != b'0')
        && weighted(digits, &[3, 7, 1, 3, 7, 1, 3, 7, 1]).is_multiple_of(10)
}

/// Social insurance number (Canada): the Luhn digit; numbers from 0 and 8 are not issued to persons.
pub(crate) fn is_sin(digits: &[u8]) -> bool {
    digits.len() == 9 && !matches!(digits[0], b'0' | b'8') && luhn(digits)
}

/// Cadastro de Pessoas Físicas (Receita Federal): two digits by modulus 11; all the same digit is none.
pub(crate) fn is_cpf(digits: &[u8]) -> bool {
    let check = |n: usize| {
        let weights: Vec<u32> = (2..=n as u32 + 1).rev().collect();
        let rest = weighted(&digits[..n], &weights) * 10 % 11 % 10;
        rest == value(digits[n])
    };
    digits.len() == 11 && digits.iter().any(|d| *d != digits[0]) && check(9) && check(10)
}
