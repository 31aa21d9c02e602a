//! E-mail addresses: the dot-atom of RFC 5322 with Unicode letters (RFC 6531) before the at sign, a host name with a
//! top-level domain, or an address in brackets, after it.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use crate::entity::Entity;

/// RFC 5321 gives the part before the at sign 64 bytes; longer ones occur and are masked too.
const LOCAL_BYTES_MAX: usize = 256;
/// RFC 1035.
const DOMAIN_BYTES_MAX: usize = 253;

pub(crate) fn find(text: &str, found: &mut Vec<(Range<usize>, Entity)>) {
    for at in memchr::memchr_iter(b'@', text.as_bytes()) {
        if !super::url::holds_credentials(text, at) {
            found.extend(around(text, at).map(|span| (span, Entity::Email)));
        }
    }
    if may_be_spelled_out(text.as_bytes()) {
        found.extend(SPELLED_OUT.find_iter(text).map(|m| (m.range(), Entity::Email)));
    }
}

/// Whether a bracketed `at` may be here: `jane (at) example (dot) org`.
pub(crate) fn may_be_spelled_out(bytes: &[u8]) -> bool {
    memchr::memchr3_iter(b'(', b'[', b'{', bytes)
        .any(|i| bytes[i + 1..].iter().take(4).any(|b| b.eq_ignore_ascii_case(&b'a')))
}

static SPELLED_OUT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?i)[\w.+-]{1,64} ?[(\[{] ?at ?[)\]}] ?[a-z0-9-]{1,63}(?: ?(?:\.|[(\[{] ?dot ?[)\]}]) ?[a-z0-9-]{1,63}){1,8}",
    )
    .expect("the pattern is a constant")
});

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
