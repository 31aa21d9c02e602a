//! Keys and tokens of clouds and APIs in the formats that their issuers publish for secret scanners, and private keys in
//! PEM (RFC 7468) or OpenPGP armour (RFC 9580).
//!
//! Where an issuer puts a checksum into a key, its formula is not part of the published format: prefix, alphabet and
//! length decide.

use std::ops::Range;
use std::sync::LazyLock;

use memchr::memmem;

use super::{Context, words};
use crate::entity::Entity;

/// The longest key of any issuer.
const BODY_BYTES_MAX: usize = 512;
const PRIVATE_KEY_BYTES_MAX: usize = 16 << 10;

#[derive(Clone, Copy)]
enum Signs {
    Alphanumeric,
    /// Letters, digits, hyphen and underscore.
    Word,
    /// And the dot.
    Dotted,
    /// Capitals and digits.
    Upper,
    Hex,
    Letters,
    /// Standard Base64.
    Base64,
}

impl Signs {
    const fn has(self, b: u8) -> bool {
        match self {
            Self::Alphanumeric => b.is_ascii_alphanumeric(),
            Self::Word => b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'),
            Self::Dotted => b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'),
            Self::Upper => b.is_ascii_uppercase() || b.is_ascii_digit(),
            Self::Hex => b.is_ascii_hexdigit(),
            Self::Letters => b.is_ascii_alphabetic(),
            Self::Base64 => b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='),
        }
    }
}

/// A prefix, the alphabet of what follows, its least and greatest length.
struct Format(&'static str, Signs, usize, usize);

#[rustfmt::skip]
const FORMATS: &[Format] = &[
    // Amazon Web Services: IAM user guide, "unique identifiers"
    Format("AKIA", Signs::Upper, 16, 16), Format("ASIA", Signs::Upper, 16, 16),
    Format("ABIA", Signs::Upper, 16, 16), Format("ACCA", Signs::Upper, 16, 16),
    // GitHub: "authentication token formats"; the short ones end in a checksum
    Format("ghp_", Signs::Alphanumeric, 36, 251), Format("gho_", Signs::Alphanumeric, 36, 251),
    Format("ghu_", Signs::Alphanumeric, 36, 251), Format("ghs_", Signs::Alphanumeric, 36, 251),
    Format("ghr_", Signs::Alphanumeric, 36, 251), Format("github_pat_", Signs::Word, 80, 100),
    // GitLab: "token overview"
    Format("glpat-", Signs::Dotted, 20, 300), Format("gldt-", Signs::Word, 20, 64), Format("glrt-", Signs::Dotted, 20, 300),
    Format("glptt-", Signs::Word, 40, 64),
    // Slack: "token types"
    Format("xoxb-", Signs::Word, 20, 255), Format("xoxp-", Signs::Word, 20, 255), Format("xoxa-", Signs::Word, 20, 255),
    Format("xoxr-", Signs::Word, 20, 255), Format("xoxs-", Signs::Word, 20, 255), Format("xapp-", Signs::Word, 20, 255),
    // Stripe: "API keys"
    Format("sk_live_", Signs::Alphanumeric, 16, 255), Format("sk_test_", Signs::Alphanumeric, 16, 255),
    Format("rk_live_", Signs::Alphanumeric, 16, 255), Format("rk_test_", Signs::Alphanumeric, 16, 255),
    Format("pk_live_", Signs::Alphanumeric, 16, 255), Format("whsec_", Signs::Base64, 24, 128),
    // Google: API keys, OAuth client secrets and access tokens
    Format("AIza", Signs::Word, 35, 35), Format("GOCSPX-", Signs::Word, 28, 28), Format("ya29.", Signs::Dotted, 20, 512),
    // OpenAI, Anthropic, OpenRouter, Hugging Face, Replicate, Groq
    Format("sk-proj-", Signs::Word, 40, 255), Format("sk-svcacct-", Signs::Word, 40, 255),
    Format("sk-admin-", Signs::Word, 40, 255), Format("sk-", Signs::Alphanumeric, 40, 64),
    Format("sk-ant-", Signs::Word, 40, 255), Format("sk-or-v1-", Signs::Hex, 64, 64),
    Format("hf_", Signs::Letters, 34, 34), Format("r8_", Signs::Alphanumeric, 37, 37), Format("gsk_", Signs::Alphanumeric, 52, 52),
    // package registries: npm, PyPI, crates.io, RubyGems, Docker Hub
    Format("npm_", Signs::Alphanumeric, 36, 36), Format("pypi-AgEIcHlwaS5vcmc", Signs::Word, 50, 400),
    Format("cio", Signs::Alphanumeric, 32, 32), Format("rubygems_", Signs::Hex, 48, 48), Format("dckr_pat_", Signs::Word, 27, 27),
    // SendGrid, Twilio, Mailgun, Mailchimp's Mandrill, Postmark
    Format("SG.", Signs::Dotted, 66, 66), Format("AC", Signs::Hex, 32, 32), Format("SK", Signs::Hex, 32, 32),
    Format("key-", Signs::Hex, 32, 32),
    // clouds: DigitalOcean, Databricks, Doppler, Heroku, Fly.io, Linode's Vault, Terraform
    Format("dop_v1_", Signs::Hex, 64, 64), Format("doo_v1_", Signs::Hex, 64, 64), Format("dapi", Signs::Hex, 32, 32),
    Format("dp.pt.", Signs::Alphanumeric, 40, 44), Format("HRKU-", Signs::Word, 36, 64), Format("hvs.", Signs::Word, 24, 255),
    Format("hvb.", Signs::Word, 24, 255), Format("sbp_", Signs::Hex, 40, 40), Format("fo1_", Signs::Word, 43, 43),
    // shops and payments: Shopify, Square, PayPal's Braintree
    Format("shpat_", Signs::Hex, 32, 32), Format("shpss_", Signs::Hex, 32, 32), Format("shpca_", Signs::Hex, 32, 32),
    Format("shppa_", Signs::Hex, 32, 32), Format("sq0atp-", Signs::Word, 22, 22), Format("sq0csp-", Signs::Word, 43, 43),
    Format("access_token$production$", Signs::Alphanumeric, 40, 60),
    // developers' tools: Atlassian, Grafana, Linear, New Relic, Notion, Postman, Sentry, Sourcegraph, Figma, age
    Format("ATATT3", Signs::Base64, 100, 255), Format("glsa_", Signs::Word, 41, 41), Format("glc_", Signs::Base64, 32, 400),
    Format("lin_api_", Signs::Alphanumeric, 40, 40), Format("NRAK-", Signs::Upper, 27, 27),
    Format("ntn_", Signs::Alphanumeric, 40, 50), Format("secret_", Signs::Alphanumeric, 43, 43),
    Format("PMAK-", Signs::Word, 59, 59), Format("sntrys_", Signs::Base64, 40, 400), Format("sgp_", Signs::Word, 40, 64),
    Format("figd_", Signs::Word, 40, 50), Format("AGE-SECRET-KEY-1", Signs::Upper, 58, 58),
    // Azure: the key in a storage account's connection string
    Format("AccountKey=", Signs::Base64, 88, 88),
];

/// The formats by the first byte of their prefix, which is ASCII.
static BY_FIRST: LazyLock<[Vec<&'static Format>; 128]> = LazyLock::new(|| {
    let begins = |b: usize| FORMATS.iter().filter(|format| usize::from(format.0.as_bytes()[0]) == b).collect();
    std::array::from_fn(begins)
});
/// How a private key begins.
static ARMOUR: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(b"-----BEGIN "));

/// Keys in a run without blanks.
pub(crate) fn find(text: &str, run: Range<usize>, context: Context, found: &mut Vec<(Range<usize>, Entity)>) {
    let (bytes, formats) = (text.as_bytes(), &*BY_FIRST);
    for start in run.clone() {
        let begun = formats.get(usize::from(bytes[start])).filter(|begun| !begun.is_empty());
        // a key begins where a word does
        let Some(begun) = begun.filter(|_| !super::word_before(text, start)) else { continue };
        for format in begun.iter().filter(|format| bytes[start..run.end].starts_with(format.0.as_bytes())) {
            found.extend(end(text, start, run.end, format).map(|end| (start..end, Entity::ApiKey)));
        }
    }
    named(text, run, context, found);
}

/// The end of a key that begins at `start`, in a run that ends at `past`.
fn end(text: &str, start: usize, past: usize, format: &Format) -> Option<usize> {
    let bytes = text.as_bytes();
    let Format(prefix, signs, least, most) = format;
    let body = start + prefix.len();
    let room = &bytes[body..past.min(body + BODY_BYTES_MAX)];
    let length = room.iter().take_while(|b| signs.has(**b)).count();
    // a full stop of the sentence is no part of a key
    let length = length - room[..length].iter().rev().take_while(|b| **b == b'.').count();
    ((*least..=*most).contains(&length) && !super::word_at(text, body + length)).then_some(body + length)
}

/// An AWS secret: forty signs of Base64 where a word says that a secret follows.
fn named(text: &str, run: Range<usize>, context: Context, found: &mut Vec<(Range<usize>, Entity)>) {
    const SECRET_BYTES: usize = 40;
    if run.len() < SECRET_BYTES {
        return;
    }
    let bytes = text.as_bytes();
    let is_sign = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    let mut at = run.start;
    while at < run.end {
        let length = bytes[at..run.end].iter().take_while(|b| is_sign(b)).count();
        let span = at..at + length;
        let has = |class: fn(&u8) -> bool| bytes[span.clone()].iter().any(class);
        if length == SECRET_BYTES
            && has(u8::is_ascii_digit)
            && has(u8::is_ascii_uppercase)
            && has(u8::is_ascii_lowercase)
            && (context.named.has(Entity::ApiKey) || words::near(text, &span).has(Entity::ApiKey))
        {
            found.push((span, Entity::ApiKey));
        }
        at += length + 1;
    }
}

/// `-----BEGIN … PRIVATE KEY-----` and all that belongs to it.
pub(crate) fn private_keys(bytes: &[u8], found: &mut Vec<(Range<usize>, Entity)>) {
    let mut from = 0;
    for start in ARMOUR.find_iter(bytes) {
        if start < from {
            continue;
        }
        let label = &bytes[start + 11..bytes.len().min(start + 75)];
        let Some(close) = memmem::find(label, b"-----").filter(|close| names_private_key(&label[..*close])) else {
            continue;
        };
        let body = start + 11 + close + 5;
        let end = private_key_end(bytes, body);
        found.push((start..end, Entity::PrivateKey));
        from = end;
    }
}

fn names_private_key(label: &[u8]) -> bool {
    memmem::find(label, b"PRIVATE KEY").is_some()
}

/// The end of its last line, or of what still looks like Base64 where the text was cut.
fn private_key_end(bytes: &[u8], body: usize) -> usize {
    let room = &bytes[body..bytes.len().min(body + PRIVATE_KEY_BYTES_MAX)];
    if let Some(end) = memmem::find(room, b"-----END ") {
        let close = memmem::find(&room[end + 9..room.len().min(end + 73)], b"-----");
        return body + close.map_or(end + 9, |close| end + 9 + close + 5);
    }
    let mut end = 0;
    while let Some(skip) = room[end..].iter().position(|b| *b > b' ') {
        let line = room[end + skip..].iter().take_while(|b| Signs::Base64.has(**b) || **b == b'\\').count();
        if line < 40 {
            break;
        }
        end += skip + line;
    }
    body + end
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn a_key_is_found_wherever_a_format_begins(text in "(AKIA|sk-|sk-proj-|ghp_|hf_|SG\\.|[A-Za-z0-9_.-]{1,40}|é|/){1,6}") {
            let (mut fast, mut slow) = (Vec::new(), Vec::new());
            find(&text, 0..text.len(), Context::default(), &mut fast);
            for (start, _) in text.char_indices().filter(|(start, _)| !crate::recognize::word_before(&text, *start)) {
                for format in FORMATS.iter().filter(|format| text[start..].starts_with(format.0)) {
                    slow.extend(end(&text, start, text.len(), format).map(|end| (start..end, Entity::ApiKey)));
                }
            }
            let sorted = |mut spans: Vec<(Range<usize>, Entity)>| {
                spans.sort_unstable_by_key(|(span, _)| (span.start, span.end));
                spans
            };
            proptest::prop_assert_eq!(sorted(fast), sorted(slow));
        }
    }
}
