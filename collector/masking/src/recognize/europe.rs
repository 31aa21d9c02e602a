//! Numbers of European countries. Each function takes letters in capitals and digits alone.

use super::check::{is_day, mod_11_10, number, value, weighted};

/// National insurance number, by HMRC's manual NIM39110: the letters that are used, prefixes that are not, suffix A-D.
pub(crate) fn is_nino(signs: &[u8]) -> bool {
    let [first, second] = [signs[0], signs[1]];
    signs.len() == 9
        && !b"DFIQUV".contains(&first)
        && !b"DFIOQUV".contains(&second)
        && !matches!(&signs[..2], b"BG" | b"GB" | b"KN" | b"NK" | b"NT" | b"TN" | b"ZZ")
        && (b'A'..=b'D').contains(&signs[8])
}

/// NHS number, by the NHS data dictionary: weights 10 to 2, eleven less the remainder.
pub(crate) fn is_nhs(digits: &[u8]) -> bool {
    let sum = weighted(digits, &[10, 9, 8, 7, 6, 5, 4, 3, 2]);
    digits.len() == 10 && digits.iter().any(|d| *d != b'0') && (11 - sum % 11) % 11 == value(digits[9])
}

/// Steuer-Identifikationsnummer, by the BZSt's description: ISO 7064 mod 11,10; of the first ten digits one occurs twice
/// or three times, the others once at most.
pub(crate) fn is_de_tax_id(digits: &[u8]) -> bool {
    let mut counts = [0; 10];
    digits.iter().take(10).for_each(|d| counts[value(*d) as usize % 10] += 1);
    let repeated: Vec<u32> = counts.into_iter().filter(|n| *n > 1).collect();
    digits.len() == 11 && digits[0] != b'0' && matches!(repeated[..], [2 | 3]) && mod_11_10(digits)
}

/// Umsatzsteuer-Identifikationsnummer, by the BZSt: nine digits after DE, ISO 7064 mod 11,10.
pub(crate) fn is_de_vat(signs: &[u8]) -> bool {
    signs.len() == 11 && signs[2] != b'0' && mod_11_10(&signs[2..])
}

/// Numéro d'inscription au répertoire, by INSEE: sex, year, month, department (2A and 2B in Corsica), and a key of 97
/// less the remainder.
pub(crate) fn is_nir(signs: &[u8]) -> bool {
    if signs.len() != 15 {
        return false;
    }
    let mut digits = [0; 15];
    digits.copy_from_slice(signs);
    // Corsica: 2A counts as 19, 2B as 18
    match &signs[5..7] {
        b"2A" => digits[5..7].copy_from_slice(b"19"),
        b"2B" => digits[5..7].copy_from_slice(b"18"),
        _ if signs[6].is_ascii_digit() => {}
        _ => return false,
    }
    let month = number(&digits[3..5]);
    matches!(digits[0], b'1'..=b'4' | b'7' | b'8')
        && matches!(month, 1..=12 | 20..=42 | 50..=99)
        && &digits[5..7] != b"00"
        && 97 - number(&digits[..13]) % 97 == number(&digits[13..])
}

const DNI_LETTERS: &[u8; 23] = b"TRWAGMYFPDXBNJZSQVHLCKE";

/// Documento nacional de identidad, by the Ministerio del Interior: a letter by the remainder of 23.
pub(crate) fn is_dni(signs: &[u8]) -> bool {
    signs.len() == 9 && DNI_LETTERS[(number(&signs[..8]) % 23) as usize] == signs[8]
}

/// Número de identidad de extranjero, by Orden INT/2058/2008: X, Y, Z stand for 0, 1, 2.
pub(crate) fn is_nie(signs: &[u8]) -> bool {
    let lead = match signs[0] {
        b'X' => 0,
        b'Y' => 1,
        b'Z' => 2,
        _ => return false,
    };
    signs.len() == 9 && DNI_LETTERS[((lead * 10_000_000 + number(&signs[1..8])) % 23) as usize] == signs[8]
}

/// Codice fiscale, by the Decreto ministeriale 23/12/1976: month letter, day (from 41 for women), check letter; digits
/// may be replaced by letters where two persons would share a code (omocodia).
pub(crate) fn is_fiscal_code(signs: &[u8]) -> bool {
    if signs.len() != 16 {
        return false;
    }
    let digit = |at: usize| match signs[at] {
        d @ b'0'..=b'9' => Some(value(d)),
        letter => b"LMNPQRSTUV".iter().position(|l| *l == letter).map(|i| i as u32),
    };
    let digits = [6, 7, 9, 10, 12, 13, 14].map(digit);
    let [Some(_), Some(_), Some(tens), Some(ones), Some(_), Some(_), Some(_)] = digits else { return false };
    let day = tens * 10 + ones;
    let sum: u32 = signs[..15].iter().enumerate().map(|(i, sign)| fiscal_value(*sign, i % 2 == 0)).sum();
    b"ABCDEHLMPRST".contains(&signs[8]) && matches!(day, 1..=31 | 41..=71) && u32::from(signs[15] - b'A') == sum % 26
}

/// The value of a sign at an odd place (counted from one), or at an even one.
fn fiscal_value(sign: u8, odd: bool) -> u32 {
    const ODD: [u32; 26] =
        [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23];
    let plain = if sign.is_ascii_digit() { value(sign) } else { u32::from(sign - b'A') };
    if odd { ODD[plain as usize % 26] } else { plain }
}

/// PESEL, by the Polish ministry of digital affairs: weights 1 3 7 9, and a date of birth whose month tells the century.
pub(crate) fn is_pesel(digits: &[u8]) -> bool {
    if digits.len() != 11 {
        return false;
    }
    let sum = weighted(digits, &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3]);
    let (year, month, day) = (number(&digits[..2]), number(&digits[2..4]), number(&digits[4..6]));
    let century = [1900, 2000, 2100, 2200, 1800][(month / 20) as usize % 5];
    (10 - sum % 10) % 10 == value(digits[10]) && is_day((century + year) as u32, (month % 20) as u32, day as u32)
}
