//! JSON web tokens (RFC 7519): base64url parts with dots, the first of which is a header with an algorithm.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::LazyLock;

use memchr::memmem;
use serde_json::{Map, Value};

use crate::entity::Entity;

/// A header longer than this holds a certificate chain; nobody sends those in a text.
const HEADER_BYTES_MAX: usize = 4096;

/// `{"` in Base64.
static OPENING: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(b"eyJ"));

/// Tokens in a run without blanks.
pub(crate) fn find(text: &str, run: Range<usize>, found: &mut Vec<(Range<usize>, Entity)>) {
    let bytes = text.as_bytes();
    let (mut from, mut header_end) = (0, 0);
    for start in OPENING.find_iter(&bytes[run.clone()]).map(|i| run.start + i) {
        if start < from || super::word_before(text, start) {
            continue;
        }
        // many may begin in one part, and all of them end where it does
        if header_end <= start {
            header_end = part_end(bytes, start);
        }
        if header_end - start > HEADER_BYTES_MAX || bytes.get(header_end) != Some(&b'.') {
            continue;
        }
        if names_algorithm(&bytes[start..header_end])
            && let Some(end) = end(bytes, header_end)
        {
            found.push((start..end, Entity::Jwt));
            from = end;
        }
    }
}

fn part_end(bytes: &[u8], from: usize) -> usize {
    from + bytes[from..].iter().take_while(|b| is_base64url(**b)).count()
}

/// The end of a token with such a header: three parts (signed; the last may be empty) or five (encrypted).
fn end(bytes: &[u8], header_end: usize) -> Option<usize> {
    let (mut end, mut dots) = (header_end, 0);
    while dots < 4 && bytes.get(end) == Some(&b'.') {
        dots += 1;
        end = part_end(bytes, end + 1);
    }
    // a full stop of the sentence is none of its dots, but an empty signature has one
    (dots >= 2).then_some(end)
}

const fn is_base64url(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')
}

/// Reads as far as it is JSON: of a thousand openings in one part each would otherwise be decoded to the part's end.
fn names_algorithm(header: &[u8]) -> bool {
    let json = serde_json::from_reader::<_, Map<String, Value>>(Decoded { text: header, bits: 0, count: 0 });
    json.is_ok_and(|header| header.get("alg").is_some_and(Value::is_string))
}

/// Base64url without padding (RFC 4648 section 5), decoded as it is read.
struct Decoded<'a> {
    text: &'a [u8],
    bits: u32,
    count: u32,
}

impl Read for Decoded<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut read = 0;
        while read < into.len()
            && let Some((b, rest)) = self.text.split_first()
        {
            self.text = rest;
            self.bits = self.bits << 6 | value(*b);
            self.count += 6;
            if self.count >= 8 {
                self.count -= 8;
                into[read] = (self.bits >> self.count) as u8;
                read += 1;
            }
        }
        Ok(read)
    }
}

const fn value(b: u8) -> u32 {
    match b {
        b'A'..=b'Z' => (b - b'A') as u32,
        b'a'..=b'z' => (b - b'a') as u32 + 26,
        b'0'..=b'9' => (b - b'0') as u32 + 52,
        b'-' => 62,
        _ => 63,
    }
}
