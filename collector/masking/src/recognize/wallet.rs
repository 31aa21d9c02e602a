//! Addresses of crypto currencies, each by the checksum in it: Base58Check (Bitcoin and its relatives, Tron, XRP),
//! Bech32 (BIP 173 and 350), mixed-case hexadecimal (EIP-55).
//!
//! Monero and Solana are not here: the first checks by a scheme of its own, the second not at all.

use std::ops::Range;

use sha2::{Digest as _, Sha256};
use sha3::Keccak256;

use crate::entity::Entity;

static BITCOIN: [u8; 256] = digits(b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz");
static XRP: [u8; 256] = digits(b"rpshnaf39wBUDNEGHJKLM4PQRST7VWXYZ2bcdeCg65jkm8oFqi1tuvAxyz");
/// The parts before the separator of Bech32 addresses that are looked for.
const BECH32: &[&str] = &["bc", "tb", "ltc", "tltc", "addr", "cosmos", "osmo"];
const LENGTH_MAX: usize = 110;

/// Addresses among the words of a run without blanks.
pub(crate) fn find(text: &str, run: Range<usize>, found: &mut Vec<(Range<usize>, Entity)>) {
    let bytes = text.as_bytes();
    let mut at = run.start;
    while at < run.end {
        let word = |b: &&u8| b.is_ascii_alphanumeric();
        let length = bytes[at..run.end].iter().take_while(word).count();
        let span = at..at + length;
        if (25..=LENGTH_MAX).contains(&length)
            && !super::word_before(text, span.start)
            && !super::word_at(text, span.end)
            && is_address(&text[span.clone()])
        {
            found.push((span, Entity::CryptoWallet));
        }
        at += length.max(1);
    }
}

fn is_address(word: &str) -> bool {
    match word.as_bytes() {
        [b'0', b'x' | b'X', hex @ ..] => is_ethereum(hex),
        [b'r', ..] if word.len() <= 36 && decoded(word, &XRP).is_some_and(|number| checks(&number, &[&[0]], 25)) => {
            true
        }
        _ => is_base58(word) || is_bech32(word),
    }
}

fn is_base58(word: &str) -> bool {
    // version bytes by the chains' parameters: Bitcoin 0 and 5, Litecoin 48 and 50, Dogecoin 30 and 22, Dash 76 and 16,
    // Tron 65, Zcash 1cb8 and 1cbd; private keys (WIF) 128, 176
    const SHORT: &[&[u8]] = &[&[0], &[5], &[48], &[50], &[30], &[22], &[76], &[16], &[65]];
    const ZCASH: &[&[u8]] = &[&[0x1c, 0xb8], &[0x1c, 0xbd]];
    const PRIVATE: &[&[u8]] = &[&[128], &[176]];
    if !matches!(word.len(), 25..=36 | 51 | 52) {
        return false;
    }
    let Some(number) = decoded(word, &BITCOIN) else { return false };
    match word.len() {
        51 => checks(&number, PRIVATE, 37),
        52 => checks(&number, PRIVATE, 38),
        _ => checks(&number, SHORT, 25) || checks(&number, ZCASH, 26),
    }
}

/// What stands for no digit of an alphabet.
const NONE: u8 = u8::MAX;

/// The digit that each byte writes in an alphabet.
const fn digits(alphabet: &[u8; 58]) -> [u8; 256] {
    let mut digits = [NONE; 256];
    let mut i = 0;
    while i < alphabet.len() {
        digits[alphabet[i] as usize] = i as u8;
        i += 1;
    }
    digits
}

/// Bytes of the largest number that 52 digits to the base 58 write, and a little.
const NUMBER_BYTES: usize = 40;

/// The number that at most 52 digits to the base 58 write.
fn decoded(word: &str, digits: &[u8; 256]) -> Option<[u8; NUMBER_BYTES]> {
    let mut limbs = [0_u32; NUMBER_BYTES / 4];
    for sign in word.bytes() {
        let digit = digits[usize::from(sign)];
        if digit == NONE {
            return None;
        }
        let mut carry = u64::from(digit);
        for limb in limbs.iter_mut().rev() {
            carry += u64::from(*limb) * 58;
            *limb = carry as u32;
            carry >>= 32;
        }
    }
    let mut number = [0; NUMBER_BYTES];
    for (bytes, limb) in number.chunks_exact_mut(4).zip(limbs) {
        bytes.copy_from_slice(&limb.to_be_bytes());
    }
    Some(number)
}

/// Base58Check: a version, a payload, four bytes of a double SHA-256, `length` bytes in all.
fn checks(number: &[u8; NUMBER_BYTES], versions: &[&[u8]], length: usize) -> bool {
    let (above, bytes) = number.split_at(NUMBER_BYTES - length);
    let (payload, check) = bytes.split_at(length - 4);
    above.iter().all(|b| *b == 0)
        && versions.iter().any(|version| payload.starts_with(version))
        && Sha256::digest(Sha256::digest(payload)).starts_with(check)
}

/// BIP 173: the polynomial checksum is 1, or (BIP 350) the constant of Bech32m.
fn is_bech32(word: &str) -> bool {
    const SIGNS: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    let Some((human, data)) = word.rsplit_once('1') else { return false };
    let known = BECH32.iter().any(|prefix| human.eq_ignore_ascii_case(prefix));
    let mixed = word.bytes().any(|b| b.is_ascii_lowercase()) && word.bytes().any(|b| b.is_ascii_uppercase());
    if !known || mixed || data.len() < 6 {
        return false;
    }
    let human = human.to_ascii_lowercase();
    let expanded = human.bytes().map(|b| u32::from(b >> 5)).chain([0]).chain(human.bytes().map(|b| u32::from(b & 31)));
    let mut check = 1_u32;
    let mut step = |value: u32| {
        let top = check >> 25;
        check = (check & 0x01ff_ffff) << 5 ^ value;
        GENERATOR.iter().enumerate().filter(|(i, _)| top >> i & 1 == 1).for_each(|(_, g)| check ^= g);
    };
    expanded.for_each(&mut step);
    for sign in data.bytes() {
        let Some(value) = SIGNS.iter().position(|s| *s == sign.to_ascii_lowercase()) else { return false };
        step(value as u32);
    }
    check == 1 || check == 0x2bc8_30a3
}

/// EIP-55: forty hexadecimal digits; where letters of both cases occur, they are the checksum.
fn is_ethereum(hex: &[u8]) -> bool {
    if hex.len() != 40 || !hex.iter().all(u8::is_ascii_hexdigit) {
        return false;
    }
    let (lower, upper) = (hex.iter().any(u8::is_ascii_lowercase), hex.iter().any(u8::is_ascii_uppercase));
    if !(lower && upper) {
        return hex.iter().any(|b| *b != b'0');
    }
    let hash = Keccak256::digest(hex.to_ascii_lowercase());
    hex.iter().enumerate().all(|(i, sign)| {
        let nibble = hash[i / 2] >> (4 * (1 - i % 2)) & 15;
        sign.is_ascii_digit() || sign.is_ascii_uppercase() == (nibble >= 8)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_examples_and_slips_of_the_pen() {
        for address in [
            // Bitcoin wiki, BIP 173, BIP 350
            "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2",
            "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy",
            "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
            "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4",
            "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
            // Bitcoin wiki, "Wallet import format"
            "5HueCGU8rMjxEXxiPuD5BDku4MkFqeZyd4dZ1jvhTVqvbTLvyTJ",
            // EIP-55
            "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
            "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
            "0xde709f2102306220921060314715629080e2fb77",
            // XRP Ledger's genesis account
            "rHb9CJAWyB4rj91VRWn96DkukG4bwdtyTh",
            // Tron's USDT contract
            "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t",
        ] {
            assert!(is_address(address), "{address}");
            let last = address.len() - 1;
            let slip = if address.ends_with('4') { 'q' } else { '4' };
            let wrong = format!("{}{slip}", &address[..last]);
            let unchecked = address == address.to_ascii_lowercase() && address.starts_with("0x");
            assert_eq!(is_address(&wrong), unchecked, "{wrong}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_number_to_the_base_58_is_the_sum_of_its_digits(word in "[1-9A-HJ-NP-Za-km-z]{1,52}") {
            let number = decoded(&word, &BITCOIN).unwrap();
            // back again: the remainders by 58, the last first
            let mut rest = number.to_vec();
            for sign in word.bytes().rev() {
                let remainder = rest.iter_mut().fold(0_u32, |carry, byte| {
                    let now = carry << 8 | u32::from(*byte);
                    *byte = (now / 58) as u8;
                    now % 58
                });
                proptest::prop_assert_eq!(remainder, u32::from(BITCOIN[usize::from(sign)]));
            }
            proptest::prop_assert!(rest.iter().all(|byte| *byte == 0));
            proptest::prop_assert_eq!(decoded(&format!("{word}0"), &BITCOIN), None);
        }
    }
}
