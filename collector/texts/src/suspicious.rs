//! What in a text looks like an attempt at something: control characters, script tags, long runs of white space.
//!
//! Seen for every text as the feature `text.suspicious`; taken out before the tokenizer only where a model's folder says
//! `strip_suspicious = true`. One pass over the text, no pattern engine: it runs for every request.

use std::borrow::Cow;

/// White space of this many characters on end is a run: more than any indentation or paragraph has.
const RUN: usize = 20;

/// Whether there is anything of it in a text.
#[must_use]
pub fn is_suspicious(text: &str) -> bool {
    let mut run = 0;
    text.char_indices().any(|(at, c)| {
        run = if c.is_whitespace() { run + 1 } else { 0 };
        run >= RUN || is_control(c) || (c == '<' && script_tag(&text[at..]).is_some())
    })
}

/// The text without it: control characters are spaces, script tags are gone (what stands between them is text), a run of
/// white space is one space.
#[must_use]
pub fn strip(text: &str) -> Cow<'_, str> {
    if !is_suspicious(text) {
        return Cow::Borrowed(text);
    }
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let blank = rest.find(|c: char| !c.is_whitespace()).unwrap_or(rest.len());
        let taken = if blank > 0 {
            let run = rest[..blank].chars().count() >= RUN;
            kept.push_str(if run { " " } else { &rest[..blank] });
            blank
        } else if let Some(tag) = script_tag(rest) {
            tag
        } else {
            kept.push(if is_control(c) { ' ' } else { c });
            c.len_utf8()
        };
        rest = &rest[taken..];
    }
    Cow::Owned(kept)
}

/// Control characters aside from the usual breaks, and those that turn the direction of writing (Trojan Source,
/// CVE-2021-42574).
fn is_control(c: char) -> bool {
    (c.is_control() && !matches!(c, '\t' | '\n' | '\r'))
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Bytes of the script tag that a text begins with.
fn script_tag(text: &str) -> Option<usize> {
    let name = text.strip_prefix("</").or_else(|| text.strip_prefix('<'))?;
    let (word, after) = name.as_bytes().split_at_checked("script".len())?;
    let ends = after.first().is_none_or(|byte| !byte.is_ascii_alphanumeric() && *byte != b'-');
    let is_tag = ends && word.eq_ignore_ascii_case(b"script");
    is_tag.then(|| text.find('>').map_or(text.len(), |at| at + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, stripped: &str) {
        assert_eq!(strip(text), stripped, "{text:?}");
        assert_eq!(is_suspicious(text), text != stripped, "{text:?}");
    }

    #[test]
    fn what_is_suspicious_goes_and_the_rest_stays() {
        check("a plain text,\n\twith a tab", "a plain text,\n\twith a tab");
        check("nul\0 and bell\u{7}", "nul  and bell ");
        check("turned \u{202e}round", "turned  round");
        check("<SCRIPT src='x'>alert(1)</script >!", "alert(1)!");
        check("an <em>emphasis</em> and a <scripture>", "an <em>emphasis</em> and a <scripture>");
        check("cut off <script", "cut off ");
        check(&format!("far{}apart", " ".repeat(20)), "far apart");
        let indented = format!("near{}by", " ".repeat(19));
        check(&indented, &indented);
    }

    proptest! {
        #[test]
        fn nothing_panics_and_two_texts_in_one_stay_apart(text in "[<>/scriptSCRIPT \\t\u{0}é]{0,80}") {
            let once = strip(&text).into_owned();
            prop_assert!(once.chars().count() <= text.chars().count());
            prop_assert!(!once.chars().any(is_control));
        }
    }
}
