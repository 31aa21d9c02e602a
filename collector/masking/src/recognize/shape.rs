//! Identifiers of a fixed form: a table of forms, and a matcher that tries at each run of digits the few rows that can
//! begin there.
//!
//! A form is written as it looks: `#` is a digit, `@` a letter, `^` a capital, `*` a letter or a digit, `~` at most
//! one separator (blank, hyphen or dot), `_` exactly one, and a form with it is not part of more such groups; anything
//! else stands for itself.

use std::ops::Range;
use std::sync::LazyLock;

use super::groups::Groups;
use super::words::Named;
use super::{Context, national, words};
use crate::entity::Entity;

/// The longest identifier of the table, without its separators.
pub(crate) const SIGNS_MAX: usize = 20;
/// The least digits of a form that begins with one.
const DIGITS_MIN: usize = 8;
/// The longest run of digits that a form can begin with.
const LEAD_MAX: usize = 20;

/// One way of writing an entity.
pub(crate) struct Row {
    pub entity: Entity,
    pub form: &'static str,
    /// A word that names it must stand near: without one the form says too little.
    pub named: bool,
    /// Given the letters (in capitals) and digits, whether it is one.
    pub check: fn(&[u8]) -> bool,
}

/// Rows by how a candidate begins: with a letter, or with a run of so many digits.
struct Index {
    letter: [Vec<&'static Row>; 26],
    digits: [Vec<&'static Row>; LEAD_MAX],
}

static INDEX: LazyLock<Index> = LazyLock::new(|| {
    let mut index = Index { letter: std::array::from_fn(|_| Vec::new()), digits: std::array::from_fn(|_| Vec::new()) };
    for row in national::ROWS {
        let leads = leads(row.form);
        if leads.is_empty() {
            let letters = (b'A'..=b'Z').zip(&mut index.letter);
            letters.filter(|(letter, _)| may_begin(row.form, *letter)).for_each(|(_, rows)| rows.push(row));
        }
        leads.into_iter().filter(|n| *n < LEAD_MAX).for_each(|n| index.digits[n].push(row));
    }
    index
});

/// Whether a form that begins with a letter can begin with this one.
fn may_begin(form: &str, capital: u8) -> bool {
    matches!(form.as_bytes()[0], b'@' | b'^' | b'*') || form.as_bytes()[0].eq_ignore_ascii_case(&capital)
}

/// The lengths that the first run of digits can have; none where the form begins with a letter.
fn leads(form: &str) -> Vec<usize> {
    let (mut leads, mut count) = (Vec::new(), 0);
    for sign in form.bytes() {
        match sign {
            b'#' => count += 1,
            b'~' | b'*' if count > 0 => {
                leads.push(count);
                count += usize::from(sign == b'*');
            }
            _ => break,
        }
    }
    if count > 0 {
        leads.push(count);
    }
    leads.dedup();
    leads
}

/// Everything of a fixed form.
pub(crate) fn find(groups: &Groups<'_>, context: Context, found: &mut Vec<(Range<usize>, Entity)>) {
    let mut last = usize::MAX;
    for run in 0..groups.len() {
        let Range { start, end } = groups.range(run);
        let (begin, lettered) = token_start(groups.text.as_bytes(), start);
        if begin == last {
            continue;
        }
        last = begin;
        if begin == start && !groups.may_begin(run, DIGITS_MIN) {
            continue;
        }
        let rows = match (lettered, end - start) {
            (true, _) => &INDEX.letter[usize::from(groups.text.as_bytes()[begin].to_ascii_uppercase() - b'A')],
            (false, length) if length < LEAD_MAX => &INDEX.digits[length],
            _ => continue,
        };
        at(groups.text, begin, rows, context, found);
    }
}

/// Where the word begins that a run of digits belongs to, and whether with a letter: also `AB 12 34 56 C`.
fn token_start(text: &[u8], digits: usize) -> (usize, bool) {
    let letters_before =
        |end: usize, max: usize| text[..end].iter().rev().take(max).take_while(|b| b.is_ascii_alphanumeric()).count();
    let begin = digits - letters_before(digits, SIGNS_MAX);
    if begin < digits {
        return (begin, text[begin].is_ascii_alphabetic());
    }
    let separated = digits > 2 && matches!(text[digits - 1], b' ' | b'-' | b'.');
    let letters = if separated { letters_before(digits - 1, 3) } else { 0 };
    match letters {
        1 | 2 if text[digits - 1 - letters..digits - 1].iter().all(u8::is_ascii_uppercase) => {
            (digits - 1 - letters, true)
        }
        _ => (begin, false),
    }
}

fn at(text: &str, begin: usize, rows: &[&Row], context: Context, found: &mut Vec<(Range<usize>, Entity)>) {
    if rows.is_empty() || !stands_free_before(text, begin) {
        return;
    }
    let before = found.len();
    let mut near: Option<Named> = None;
    let mut signs = [0; SIGNS_MAX];
    for row in rows {
        let Some((end, count)) = matched(row.form.as_bytes(), text.as_bytes(), begin, &mut signs) else { continue };
        let grouped = row.form.contains('_') && goes_on(text.as_bytes(), begin, end);
        if grouped || !stands_free_after(text, end) || !(row.check)(&signs[..count]) {
            continue;
        }
        let span = begin..end;
        let named = !row.named
            || context.named.has(row.entity)
            || near.get_or_insert_with(|| words::near(text, &span)).has(row.entity);
        if named {
            found.push((span, row.entity));
        }
    }
    // `AB 12 …` may be a word and a number: try the number alone
    if found.len() == before && text.as_bytes()[begin].is_ascii_uppercase() {
        retry(text, begin, context, found);
    }
}

fn retry(text: &str, begin: usize, context: Context, found: &mut Vec<(Range<usize>, Entity)>) {
    let bytes = text.as_bytes();
    let letters = bytes[begin..].iter().take_while(|b| b.is_ascii_uppercase()).count();
    let digits = begin + letters + 1;
    if letters > 2 || !bytes.get(digits).is_some_and(u8::is_ascii_digit) || bytes[digits - 1].is_ascii_digit() {
        return;
    }
    let length = bytes[digits..].iter().take_while(|b| b.is_ascii_digit()).count();
    if length < LEAD_MAX {
        at(text, digits, &INDEX.digits[length], context, found);
    }
}

/// Whether more groups of digits stand before or behind: `1111 2222 3333 4444` is no number of three groups.
fn goes_on(text: &[u8], begin: usize, end: usize) -> bool {
    let before = begin >= 2 && text[begin - 1] == b' ' && text[begin - 2].is_ascii_digit();
    let behind = text.get(end) == Some(&b' ') && text.get(end + 1).is_some_and(u8::is_ascii_digit);
    before || behind
}

/// No letter, digit or sign that would tie it to something longer stands before.
pub(crate) fn stands_free_before(text: &str, at: usize) -> bool {
    !super::word_before(text, at) && !text[..at].ends_with(['-', '.', '/', '#', '_'])
}

/// Nor behind.
pub(crate) fn stands_free_after(text: &str, at: usize) -> bool {
    let bytes = text.as_bytes();
    let ties = bytes.get(at).is_some_and(|b| matches!(b, b'-' | b'.' | b'/' | b'#' | b'_'));
    !(super::word_at(text, at) || ties && super::word_at(text, at + 1))
}

/// The end of a form that begins at `begin`, and how many letters and digits it has, which are left in `signs`.
fn matched(form: &[u8], text: &[u8], begin: usize, signs: &mut [u8; SIGNS_MAX]) -> Option<(usize, usize)> {
    let (mut at, mut count) = (begin, 0);
    for sign in form {
        let b = text.get(at).copied().unwrap_or(0);
        let separator = matches!(b, b' ' | b'-' | b'.');
        let takes = match sign {
            b'#' => b.is_ascii_digit(),
            b'@' => b.is_ascii_alphabetic(),
            b'^' => b.is_ascii_uppercase(),
            b'*' => b.is_ascii_alphanumeric(),
            b'~' if !separator => continue,
            b'~' | b'_' => separator,
            other => b.eq_ignore_ascii_case(other),
        };
        if !takes {
            return None;
        }
        if b.is_ascii_alphanumeric() {
            *signs.get_mut(count)? = b.to_ascii_uppercase();
            count += 1;
        }
        at += 1;
    }
    Some((at, count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_that_begin_with_digits_have_so_many_close_together() {
        for row in national::ROWS.iter().filter(|row| !leads(row.form).is_empty()) {
            assert!(row.form.matches('#').count() >= DIGITS_MIN, "{}", row.form);
            // between two digits stand a letter and a separator at most, which is what `Groups::may_begin` looks past
            let apart = row.form.trim_end_matches(['~', '@']).split('#').map(str::len).max();
            assert!(apart <= Some(3), "{}", row.form);
        }
    }

    #[test]
    fn forms_begin_as_they_are_written() {
        assert_eq!(leads("###-##-####"), [3]);
        assert_eq!(leads("###~###~###"), [3, 6, 9]);
        assert_eq!(leads("#####*####"), [5, 10]);
        assert_eq!(leads("@@~##"), [] as [usize; 0]);
    }

    #[test]
    fn a_form_matches_what_it_looks_like() {
        let check = |form: &str, text: &str| {
            let mut signs = [0; SIGNS_MAX];
            matched(form.as_bytes(), text.as_bytes(), 0, &mut signs)
                .map(|(end, count)| (end, String::from_utf8(signs[..count].to_vec()).unwrap()))
        };
        assert_eq!(check("###-##", "123-45 x"), Some((6, "12345".into())));
        assert_eq!(check("@@~##", "ab12"), Some((4, "AB12".into())));
        assert_eq!(check("@@~##", "ab-12"), Some((5, "AB12".into())));
        assert_eq!(check("DE~#", "de 1"), Some((4, "DE1".into())));
        assert_eq!(check("^#", "a1"), None);
        assert_eq!(check("###", "12"), None);
    }
}
