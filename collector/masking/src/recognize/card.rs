//! Payment card numbers: issuer prefix and length (ISO/IEC 7812 as the networks publish it), then the Luhn digit.

use std::ops::Range;

use super::check::{luhn, value};
use super::groups::Groups;
use crate::entity::Entity;

const DIGITS_MIN: usize = 12;
const DIGITS_MAX: usize = 19;

pub(crate) fn find(groups: &Groups<'_>, found: &mut Vec<(Range<usize>, Entity)>) {
    let mut next = 0;
    while next < groups.len() {
        match at(groups, next) {
            Some(last) => {
                found.push((groups.span(next, last), Entity::Card));
                next = last + 1;
            }
            None => next += 1,
        }
    }
}

/// The last run of the longest card number that begins with run `first`.
fn at(groups: &Groups<'_>, first: usize) -> Option<usize> {
    if !groups.may_begin(first, DIGITS_MIN) || groups.length(first) < 3 || groups.word_before(first) {
        return None;
    }
    let joins = |gap: &str| matches!(gap, " " | "-" | ".");
    groups
        .chain(first, DIGITS_MAX, joins)
        .filter(|&(last, total)| {
            // single digits in a row are a list of numbers, not a card
            let grouped = first == last || (first..=last).all(|i| groups.length(i) >= 3);
            total >= DIGITS_MIN && grouped && !groups.word_after(last) && {
                let mut digits = [0; DIGITS_MAX];
                let count = groups.copy_digits(first, last, &mut digits);
                is_card(&digits[..count])
            }
        })
        .map(|(last, _)| last)
        .last()
}

/// Whether digits are a card number.
pub(crate) fn is_card(digits: &[u8]) -> bool {
    (DIGITS_MIN..=DIGITS_MAX).contains(&digits.len()) && issuer_fits(digits) && luhn(digits)
}

/// First and last prefix of six digits, and the lengths that go with it.
struct Issuer(u32, u32, &'static [usize]);

const ISSUERS: &[Issuer] = &[
    Issuer(400_000, 499_999, &[13, 16, 19]),                     // Visa
    Issuer(510_000, 559_999, &[16]),                             // Mastercard
    Issuer(222_100, 272_099, &[16]),                             // Mastercard, second series
    Issuer(340_000, 349_999, &[15]),                             // American Express
    Issuer(370_000, 379_999, &[15]),                             // American Express
    Issuer(300_000, 305_999, &[14, 16, 17, 18, 19]),             // Diners Club
    Issuer(309_500, 309_599, &[14, 16, 17, 18, 19]),             // Diners Club
    Issuer(360_000, 369_999, &[14, 15, 16, 17, 18, 19]),         // Diners Club International
    Issuer(380_000, 399_999, &[14, 16, 17, 18, 19]),             // Diners Club
    Issuer(352_800, 358_999, &[16, 17, 18, 19]),                 // JCB
    Issuer(601_100, 601_199, &[16, 17, 18, 19]),                 // Discover
    Issuer(644_000, 659_999, &[16, 17, 18, 19]),                 // Discover
    Issuer(620_000, 629_999, &[16, 17, 18, 19]),                 // UnionPay
    Issuer(810_000, 817_199, &[16, 17, 18, 19]),                 // UnionPay
    Issuer(220_000, 220_499, &[16, 17, 18, 19]),                 // Mir
    Issuer(500_000, 509_999, &[12, 13, 14, 15, 16, 17, 18, 19]), // Maestro
    Issuer(560_000, 589_999, &[12, 13, 14, 15, 16, 17, 18, 19]), // Maestro
    Issuer(630_400, 630_499, &[12, 13, 14, 15, 16, 17, 18, 19]), // Maestro
    Issuer(675_900, 676_399, &[12, 13, 14, 15, 16, 17, 18, 19]), // Maestro
    Issuer(606_985, 607_984, &[16]),                             // RuPay
    Issuer(608_001, 608_500, &[16]),                             // RuPay
];

fn issuer_fits(digits: &[u8]) -> bool {
    let prefix = digits.iter().take(6).fold(0, |prefix, &d| prefix * 10 + value(d));
    ISSUERS.iter().any(|Issuer(from, to, lengths)| (*from..=*to).contains(&prefix) && lengths.contains(&digits.len()))
}
