//! What URLs carry that is nobody else's business: user and password before the host (RFC 3986), secrets in the query.

use std::ops::Range;

use crate::entity::Entity;
use crate::operator::marker_end;

/// The longest user and password.
const USERINFO_BYTES_MAX: usize = 512;
const VALUE_BYTES_MAX: usize = 8192;

/// User and password: `https://user:password@host`.
pub(crate) fn credentials(text: &str, found: &mut Vec<(Range<usize>, Entity)>) {
    let bytes = text.as_bytes();
    for at in memchr::memchr_iter(b'@', bytes) {
        let Some(start) = userinfo_start(bytes, at) else { continue };
        let info = &bytes[start..at];
        // a user alone is an address or a name; stars are what masking left
        let password = info.iter().position(|b| *b == b':').map(|colon| &info[colon + 1..]);
        if password.is_some_and(|p| p.iter().any(|b| b.is_ascii_alphanumeric() || *b >= 0x80)) && info[0] != b'[' {
            found.push((start..at, Entity::UrlCredentials));
        }
    }
}

/// Whether an at sign ends the user and password of a URL.
pub(crate) fn holds_credentials(text: &str, at: usize) -> bool {
    let bytes = text.as_bytes();
    userinfo_start(bytes, at).is_some_and(|start| bytes[start..at].contains(&b':'))
}

/// Where what stands between `://` and an at sign begins.
fn userinfo_start(bytes: &[u8], at: usize) -> Option<usize> {
    let from = at.saturating_sub(USERINFO_BYTES_MAX);
    let stops = |b: &u8| *b <= b' ' || matches!(b, b'/' | b'"' | b'<' | b'>' | b'?' | b'#');
    let stop = from + bytes[from..at].iter().rposition(stops)?;
    (stop + 1 < at && bytes[..=stop].ends_with(b"://")).then_some(stop + 1)
}

/// Names of query parameters that hold a secret, without hyphens and underscores, and the least length of one.
const SECRETS: &[(&str, usize)] = &[
    ("accesstoken", 1),
    ("apikey", 1),
    ("apitoken", 1),
    ("auth", 6),
    ("authtoken", 1),
    ("awsaccesskeyid", 1),
    ("clientsecret", 1),
    ("code", 16),
    ("credential", 1),
    ("idtoken", 1),
    ("jwt", 6),
    ("key", 16),
    ("passphrase", 1),
    ("passwd", 1),
    ("password", 1),
    ("privatekey", 1),
    ("pwd", 1),
    ("refreshtoken", 1),
    ("secret", 1),
    ("secretkey", 1),
    ("session", 8),
    ("sessionid", 6),
    ("sessiontoken", 1),
    ("sid", 16),
    ("sig", 8),
    ("signature", 8),
    ("subscriptionkey", 1),
    ("token", 4),
    ("xamzcredential", 1),
    ("xamzsecuritytoken", 1),
    ("xamzsignature", 1),
    ("xapikey", 1),
    ("xgoogcredential", 1),
    ("xgoogsignature", 1),
];

/// Secrets in a query or a fragment: `?api_key=…`, `&token=…`, `#access_token=…`.
pub(crate) fn secrets(text: &str, found: &mut Vec<(Range<usize>, Entity)>) {
    let (bytes, mut end) = (text.as_bytes(), 0);
    for equals in memchr::memchr_iter(b'=', bytes) {
        let Some(least) = secret_before(bytes, equals) else { continue };
        let start = equals + 1;
        let ends =
            |b: &u8| *b <= b' ' || matches!(b, b'&' | b'#' | b';' | b'"' | b'\'' | b'<' | b'>' | b'`' | b'|' | b'\\');
        // a value with others in it ends where they do
        if end < start {
            end = bytes[start..].iter().position(ends).map_or(bytes.len(), |length| start + length);
        }
        let cut = text.floor_char_boundary(end.min(start + VALUE_BYTES_MAX));
        let value = text[start..cut].trim_end_matches(['.', ',', ')', '!']);
        let told = value.bytes().any(|b| b.is_ascii_alphanumeric() || b >= 0x80);
        let masked = marker_end(bytes, start).is_some_and(|end| end >= start + value.len());
        if value.len() >= least && told && !masked {
            found.push((start..start + value.len(), Entity::UrlSecret));
        }
    }
}

/// The least length of the secret that follows, if the parameter before an equals sign names one.
fn secret_before(bytes: &[u8], equals: usize) -> Option<usize> {
    const NAME_MAX: usize = 32;
    let named = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    let length = bytes[..equals].iter().rev().take(NAME_MAX).take_while(|b| named(b)).count();
    let start = equals - length;
    if length == 0 || !matches!(bytes[..start].last(), Some(b'?' | b'&' | b'#' | b';')) {
        return None;
    }
    let mut name = [0; NAME_MAX];
    let mut count = 0;
    for b in bytes[start..equals].iter().filter(|b| b.is_ascii_alphanumeric()) {
        name[count] = b.to_ascii_lowercase();
        count += 1;
    }
    SECRETS.iter().find(|(secret, _)| secret.as_bytes() == &name[..count]).map(|(_, least)| *least)
}
