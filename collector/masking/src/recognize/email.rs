//! E-mail addresses: the dot-atom of RFC 5322 with Unicode letters (RFC 6531) before the at sign, a host name with a
//! top-level domain, or an address in brackets, after it.

use std::ops::Range;

use crate::entity::Entity;

/// RFC 5321 gives the part before the at sign 64 bytes; longer ones occur and are masked too.
const LOCAL_BYTES_MAX: usize = 256;
/// The same of an address whose at sign is a word.
const SPELLED_CHARS_MAX: usize = 64;
/// RFC 1035.
const DOMAIN_BYTES_MAX: usize = 253;

pub(crate) fn find(text: &str, found: &mut Vec<(Range<usize>, Entity)>) {
    for at in memchr::memchr_iter(b'@', text.as_bytes()) {
        if !super::url::holds_credentials(text, at) {
            found.extend(around(text, at).map(|span| (span, Entity::Email)));
        }
    }
    let bytes = text.as_bytes();
    for open in memchr::memchr3_iter(b'(', b'[', b'{', bytes) {
        let spelled = bracketed(bytes, open, b"at").and_then(|past| spelled_out(text, open, past));
        found.extend(spelled.map(|span| (span, Entity::Email)));
    }
}

/// Whether a bracketed `at` is here: `jane (at) example (dot) org`.
pub(crate) fn may_be_spelled_out(bytes: &[u8]) -> bool {
    memchr::memchr3_iter(b'(', b'[', b'{', bytes).any(|open| bracketed(bytes, open, b"at").is_some())
}

/// The end of `(word)`, in brackets of any kind, blanks inside or not.
fn bracketed(bytes: &[u8], open: usize, word: &[u8]) -> Option<usize> {
    let blank = |at: usize| at + usize::from(bytes.get(at) == Some(&b' '));
    matches!(bytes.get(open)?, b'(' | b'[' | b'{').then_some(())?;
    let start = blank(open + 1);
    bytes.get(start..start + word.len())?.eq_ignore_ascii_case(word).then_some(())?;
    let close = blank(start + word.len());
    matches!(bytes.get(close)?, b')' | b']' | b'}').then_some(close + 1)
}

/// The address around a bracketed `at` that begins at `open` and ends before `past`.
fn spelled_out(text: &str, open: usize, past: usize) -> Option<Range<usize>> {
    const LABELS_MAX: usize = 9;
    let bytes = text.as_bytes();
    let blank = |at: usize| at + usize::from(bytes.get(at) == Some(&b' '));
    let before = text[..open].strip_suffix(' ').unwrap_or(&text[..open]);
    let sign = |c: &char| c.is_alphanumeric() || matches!(c, '.' | '_' | '+' | '-');
    let local: usize = before.chars().rev().take(SPELLED_CHARS_MAX).take_while(sign).map(char::len_utf8).sum();
    let label = |at: usize| {
        let signs = |b: &&u8| b.is_ascii_alphanumeric() || **b == b'-';
        at + bytes[at.min(bytes.len())..].iter().take(63).take_while(signs).count()
    };
    let first = blank(past);
    let (mut end, mut labels) = (label(first), 1);
    if local == 0 || end == first {
        return None;
    }
    while labels < LABELS_MAX {
        let dot = blank(end);
        let dotted = if bytes.get(dot) == Some(&b'.') { Some(dot + 1) } else { bracketed(bytes, dot, b"dot") };
        let Some(next) = dotted.map(blank).filter(|next| label(*next) > *next) else { break };
        end = label(next);
        labels += 1;
    }
    (labels > 1).then(|| before.len() - local..end)
}

/// The address around an at sign.
fn around(text: &str, at: usize) -> Option<Range<usize>> {
    let start = local_start(text, at)?;
    let end = domain_end(text, at + 1)?;
    Some(start..end)
}

/// RFC 5322 also allows `&`, `=`, `?` and `/`, which in practice belong to an address on the web around it.
fn local_start(text: &str, at: usize) -> Option<usize> {
    let mut start = at;
    for (i, c) in text[..at].char_indices().rev() {
        if at - i > LOCAL_BYTES_MAX || !(c.is_alphanumeric() || ".!#$%'*+^_`{|}~-".contains(c)) {
            break;
        }
        start = i;
    }
    // quotes and punctuation of the sentence are no part of it
    let local = text[start..at].trim_start_matches(|c: char| !c.is_alphanumeric() && c != '_');
    (!local.is_empty() && !local.ends_with('.')).then(|| at - local.len())
}

fn domain_end(text: &str, start: usize) -> Option<usize> {
    let rest = &text[start..];
    if let Some(literal) = rest.strip_prefix('[') {
        let close = literal.bytes().take(50).position(|b| b == b']')?;
        let address = literal[..close].trim_start_matches("IPv6:");
        return address.parse::<std::net::IpAddr>().is_ok().then_some(start + close + 2);
    }
    let length = rest.find(|c: char| !(c.is_alphanumeric() || c == '-' || c == '.')).unwrap_or(rest.len());
    let domain = rest[..length].trim_end_matches(['.', '-']);
    let (_, top) = domain.rsplit_once('.')?;
    let labels = domain.split('.').all(|label| {
        !label.is_empty() && label.chars().count() <= 63 && !label.starts_with('-') && !label.ends_with('-')
    });
    let named = top.starts_with("xn--") || (top.chars().count() >= 2 && top.chars().all(char::is_alphabetic));
    (labels && named && domain.len() <= DOMAIN_BYTES_MAX).then(|| start + domain.len())
}
