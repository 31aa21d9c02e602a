//! Passport and driving licence numbers: signs and digits of the length that such documents have, where a word or the
//! field's name says which. Weaker: the countries' formats have little in common and no public check digit outside the
//! machine-readable zone (ICAO 9303).

use std::ops::Range;

use super::birth;
use super::groups::Groups;
use super::shape::{stands_free_after, stands_free_before};
use super::words::{self, Named};
use super::{Context, is_word};
use crate::entity::Entity;

/// Letters and digits, and digits at least, of a passport number: `C01X00T47`, `L898902C3`, `123456789`.
const PASSPORT: (usize, usize, usize) = (7, 9, 5);
/// The same of a licence: `MORGA657054SM9IJ`, `D123-4567-8901`, `I1234562`.
const LICENCE: (usize, usize, usize) = (6, 18, 4);

pub(crate) fn find(groups: &Groups<'_>, context: Context, found: &mut Vec<(Range<usize>, Entity)>) {
    let mut from = 0;
    for run in 0..groups.len() {
        let digits = groups.range(run);
        if digits.start < from || is_short(groups.text.as_bytes(), &digits) || birth::is_date(groups, run) {
            continue;
        }
        let span = around(groups.text.as_bytes(), digits.start);
        from = span.end;
        if let Some(entity) = of(groups.text, &span, context) {
            found.push((span, entity));
        }
    }
}

/// Whether digits are a word of their own, and too few: most numbers are told apart by this.
fn is_short(bytes: &[u8], digits: &Range<usize>) -> bool {
    let joins = |b: &u8| b.is_ascii_alphanumeric() || *b == b'-';
    let before = digits.start.checked_sub(1).is_some_and(|i| joins(&bytes[i]));
    digits.len() < PASSPORT.2.min(LICENCE.2) && !before && !bytes.get(digits.end).is_some_and(joins)
}

/// The word around a digit: letters, digits and single hyphens; a prefix of one or two capitals may stand apart.
fn around(bytes: &[u8], at: usize) -> Range<usize> {
    const WORD_MAX: usize = 24;
    let sign = |i: usize| {
        let hyphen = bytes[i] == b'-' && i > 0 && bytes[i - 1].is_ascii_alphanumeric();
        bytes[i].is_ascii_alphanumeric() || hyphen && bytes.get(i + 1).is_some_and(u8::is_ascii_alphanumeric)
    };
    let mut start = at;
    while start > 0 && at - start <= WORD_MAX && sign(start - 1) {
        start -= 1;
    }
    let mut end = at;
    while end < bytes.len() && end - start <= WORD_MAX && sign(end) {
        end += 1;
    }
    let capitals = bytes[..start].iter().rev().skip(1).take(3).take_while(|b| b.is_ascii_uppercase()).count();
    let apart = start > capitals && bytes[start - 1] == b' ' && bytes[start].is_ascii_digit();
    if apart && matches!(capitals, 1 | 2) {
        let prefix = start - 1 - capitals;
        if prefix == 0 || !is_word(bytes[prefix - 1]) && bytes[prefix - 1] < 0x80 {
            return prefix..end;
        }
    }
    start..end
}

fn of(text: &str, span: &Range<usize>, context: Context) -> Option<Entity> {
    let word = &text.as_bytes()[span.clone()];
    if word.len() < LICENCE.0.min(PASSPORT.0) {
        return None;
    }
    let signs = word.iter().filter(|b| b.is_ascii_alphanumeric()).count();
    let digits = word.iter().filter(|b| b.is_ascii_digit()).count();
    let fits = |(least, most, with): (usize, usize, usize)| (least..=most).contains(&signs) && digits >= with;
    let passport = fits(PASSPORT) && !word.contains(&b'-');
    if !(passport || fits(LICENCE)) || !stands_free_before(text, span.start) || !stands_free_after(text, span.end) {
        return None;
    }
    let mut near: Option<Named> = None;
    let mut named =
        |entity| context.named.has(entity) || near.get_or_insert_with(|| words::near(text, span)).has(entity);
    if passport && named(Entity::Passport) {
        Some(Entity::Passport)
    } else if fits(LICENCE) && named(Entity::DrivingLicence) {
        Some(Entity::DrivingLicence)
    } else {
        None
    }
}
