//! JSON web tokens (RFC 7519): base64url parts with dots, the first of which is a header with an algorithm.

use std::ops::Range;
use std::sync::LazyLock;

use memchr::memmem;

use crate::entity::Entity;

/// A header longer than this holds a certificate chain; nobody sends those in a text.
const HEADER_BYTES_MAX: usize = 4096;

/// `{"` in Base64.
static OPENING: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(b"eyJ"));

/// Tokens in a run without blanks.
pub(crate) fn find(text: &str, run: Range<usize>, found: &mut Vec<(Range<usize>, Entity)>) {
    let bytes = text.as_bytes();
    let mut from = 0;
    for start in OPENING.find_iter(&bytes[run.clone()]).map(|i| run.start + i) {
        if start < from || super::word_before(text, start) {
            continue;
        }
        if let Some(end) = end(&bytes[start..]).map(|length| start + length) {
            found.push((start..end, Entity::Jwt));
            from = end;
        }
    }
}

/// The length of a token: three parts (signed; the last may be empty) or five (encrypted).
fn end(bytes: &[u8]) -> Option<usize> {
    let part = |from: usize| bytes[from..].iter().take_while(|b| is_base64url(**b)).count();
    let header = part(0);
    if header > HEADER_BYTES_MAX || !names_algorithm(&bytes[..header]) {
        return None;
    }
    let (mut end, mut dots) = (header, 0);
    while dots < 4 && bytes.get(end) == Some(&b'.') {
        dots += 1;
        end += 1 + part(end + 1);
    }
    // a full stop of the sentence is none of its dots, but an empty signature has one
    (dots >= 2).then_some(end)
}

const fn is_base64url(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')
}

fn names_algorithm(header: &[u8]) -> bool {
    let decoded = decode(header);
    let json: Result<serde_json::Map<String, serde_json::Value>, _> = serde_json::from_slice(&decoded);
    json.is_ok_and(|header| header.get("alg").is_some_and(serde_json::Value::is_string))
}

/// Base64url without padding (RFC 4648 section 5).
fn decode(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let (mut bits, mut count) = (0_u32, 0);
    for b in text {
        let value = match b {
            b'A'..=b'Z' => b - b'A',
            b'a'..=b'z' => b - b'a' + 26,
            b'0'..=b'9' => b - b'0' + 52,
            b'-' => 62,
            _ => 63,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    bytes
}
