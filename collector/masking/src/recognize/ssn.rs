//! United States social security numbers: area, group and serial as the Social Security Administration assigns them.
//!
//! Written with hyphens they need no context; with spaces or as nine digits they do, or every ninth number would go.

use std::ops::Range;

use super::Context;
use super::groups::Groups;

const LEAD_BYTES: usize = 40;

pub(crate) fn find(groups: &Groups<'_>, context: Context) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for first in 0..groups.len() {
        let lengths = |n: usize| (first..first + n).map(|i| groups.range(i).len());
        if first + 2 < groups.len() && lengths(3).eq([3, 2, 4]) {
            let last = first + 2;
            let digits = [groups.digits(first), groups.digits(first + 1), groups.digits(last)].concat();
            let gaps = (groups.gap(first), groups.gap(first + 1));
            let joined = match gaps {
                (Some("-"), Some("-")) => true,
                (Some(" "), Some(" ")) | (Some("."), Some(".")) => named(groups, first, context),
                _ => false,
            };
            if joined && is_ssn(&digits) && groups.stands_alone(first, last) {
                found.push(groups.span(first, last));
            }
        }
        let digits = groups.digits(first);
        if is_ssn(digits) && groups.stands_alone(first, first) && named(groups, first, context) {
            found.push(groups.range(first));
        }
    }
    found
}

/// Whether nine digits can be a social security number: area not 000, 666 or 9xx, group not 00, serial not 0000.
pub(crate) fn is_ssn(digits: &str) -> bool {
    digits.len() == 9
        && digits.bytes().all(|b| b.is_ascii_digit())
        && !matches!(&digits[..3], "000" | "666")
        && !digits.starts_with('9')
        && &digits[3..5] != "00"
        && &digits[5..] != "0000"
}

fn named(groups: &Groups<'_>, first: usize, context: Context) -> bool {
    let lead = groups.lead(first, LEAD_BYTES);
    context.ssn || ["ssn", "social security", "soc sec", "social-security"].iter().any(|word| lead.contains(word))
}
