//! What is put in the place of personal data: a marker, stars, nothing, or a keyed token.
//!
//! A token is HMAC-SHA256 (RFC 2104) over the entity's name and the value in its canonical form, so that the same card
//! written in two ways has one token and tables can be joined by it. It names its key, so that keys can be rotated:
//! `[CARD:spring:aebgnopd…]`. It is written in sixteen letters and no digits, so that no recognizer finds anything in
//! it, and the masker leaves whatever has its form alone.

use std::borrow::Cow;
use std::collections::BTreeMap;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::entity::Entity;
use crate::fold::fold;

/// Bytes of the HMAC that a token shows: 128 bits, two letters a byte.
const TOKEN_BYTES: usize = 16;
/// Nibbles as letters.
const LETTERS: &[u8; 16] = b"abcdefghijklmnop";
/// The longest id of a key.
pub(crate) const KEY_ID_MAX: usize = 16;

/// What is done with what was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Operator {
    /// `[EMAIL]`.
    #[default]
    Replace,
    /// Letters and digits become stars, but for the last few.
    Mask {
        /// How many stay; never more than a quarter of them.
        keep_last: usize,
    },
    /// It vanishes.
    Redact,
    /// A keyed token.
    Hash,
    /// It stays: the entity is not looked for.
    Allow,
}

/// The keys of tokens.
#[derive(Clone, Default)]
pub(crate) struct Keys {
    /// The id of the key that new tokens are made with.
    pub active: String,
    /// Secrets by id; those that are not active only find older tokens.
    pub secrets: BTreeMap<String, Vec<u8>>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // never the secrets
        to.debug_struct("Keys").field("active", &self.active).field("ids", &self.secrets.keys()).finish()
    }
}

impl Keys {
    /// The token of a value under the active key; `None` without one.
    pub fn token(&self, name: &str, entity: Entity, value: &str) -> Option<String> {
        self.secrets.get(&self.active).map(|secret| token(name, &self.active, secret, entity, value))
    }

    /// The tokens of a value under every key: what to look for after a rotation.
    pub fn tokens(&self, name: &str, entity: Entity, value: &str) -> Vec<String> {
        self.secrets.iter().map(|(id, secret)| token(name, id, secret, entity, value)).collect()
    }
}

fn token(name: &str, id: &str, secret: &[u8], entity: Entity, value: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(name.as_bytes());
    mac.update(b"\0");
    mac.update(canonical(entity, value).as_bytes());
    let digest = mac.finalize().into_bytes();
    let mut text = format!("[{name}:{id}:");
    for byte in digest.iter().take(TOKEN_BYTES) {
        text.push(char::from(LETTERS[usize::from(byte >> 4)]));
        text.push(char::from(LETTERS[usize::from(byte & 15)]));
    }
    text.push(']');
    text
}

/// A value as it is joined by: without what varies from one way of writing it to another.
fn canonical(entity: Entity, value: &str) -> String {
    let folded = fold(value).text;
    match entity {
        Entity::Phone => folded.chars().filter(char::is_ascii_digit).collect(),
        Entity::Email | Entity::Ipv6 | Entity::Person | Entity::Place | Entity::Organisation => folded.to_lowercase(),
        // case tells keys, tokens and addresses of wallets apart
        Entity::PrivateKey
        | Entity::Jwt
        | Entity::UrlCredentials
        | Entity::UrlSecret
        | Entity::ApiKey
        | Entity::CryptoWallet
        | Entity::Ipv4
        | Entity::Custom => folded,
        _ => folded.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect(),
    }
}

/// What stands in the place of `value`. `name` is the marker's word.
pub(crate) fn apply(operator: Operator, keys: &Keys, name: &str, entity: Entity, value: &str) -> Cow<'static, str> {
    match operator {
        Operator::Redact => Cow::Borrowed(""),
        Operator::Mask { keep_last } => Cow::Owned(stars(value, keep_last)),
        // without a key nothing may pass; the configuration is checked for one
        Operator::Hash => keys.token(name, entity, value).map_or_else(|| plain(name, entity), Cow::Owned),
        Operator::Replace | Operator::Allow => plain(name, entity),
    }
}

/// The marker.
pub(crate) fn plain(name: &str, entity: Entity) -> Cow<'static, str> {
    if entity == Entity::Custom { Cow::Owned(format!("[{name}]")) } else { Cow::Borrowed(entity.marker()) }
}

/// Stars for letters and digits; what stands between them, and the last few, stay.
pub(crate) fn stars(value: &str, keep_last: usize) -> String {
    let count = value.chars().filter(|c| c.is_alphanumeric()).count();
    let hidden = count - keep_last.min(count / 4);
    let mut seen = 0;
    value
        .chars()
        .map(|c| {
            seen += usize::from(c.is_alphanumeric());
            if c.is_alphanumeric() && seen <= hidden { '*' } else { c }
        })
        .collect()
}

/// Where the marker or token that opens at `text[at]` ends, if one does: `[EMAIL]`, `[IPV4]`, `[CARD:spring:abcd…]`.
pub(crate) fn marker_end(text: &[u8], at: usize) -> Option<usize> {
    const NAME_MAX: usize = 64;
    if text.get(at) != Some(&b'[') {
        return None;
    }
    let rest = &text[at + 1..text.len().min(at + 2 + NAME_MAX + KEY_ID_MAX + 2 + 2 * TOKEN_BYTES)];
    let name = rest.iter().take_while(|b| b.is_ascii_uppercase() || matches!(b, b'_' | b'4' | b'6')).count();
    let named = (2..=NAME_MAX).contains(&name) && !rest[0].is_ascii_digit();
    match rest.get(name)? {
        b']' if named => Some(at + 1 + name + 1),
        b':' if named => {
            let id = rest[name + 1..].iter().take_while(|b| b.is_ascii_lowercase()).count();
            let letters = &rest[name + 1 + id..];
            let shown = letters.get(1..=2 * TOKEN_BYTES)?.iter().all(|b| LETTERS.contains(b));
            let framed = letters[0] == b':' && letters.get(1 + 2 * TOKEN_BYTES) == Some(&b']');
            (id > 0 && shown && framed).then_some(at + 1 + name + 1 + id + 2 + 2 * TOKEN_BYTES)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        let secrets = [("spring".to_owned(), vec![1; 32]), ("autumn".to_owned(), vec![2; 32])];
        Keys { active: "spring".into(), secrets: secrets.into() }
    }

    // python3 -c "import hmac,hashlib; d=hmac.new(bytes([1]*32), b'CARD\0' + b'4111111111111111', hashlib.sha256).digest();
    //   print(''.join('abcdefghijklmnop'[b>>4]+'abcdefghijklmnop'[b&15] for b in d[:16]))"
    const CARD_TOKEN: &str = "mobdekpanpenblgimjbdnomfojkaojkb";

    #[test]
    fn a_token_is_the_hmac_of_the_canonical_value() {
        for card in ["4111111111111111", "4111-1111 1111.1111", "４１１１111111111111"] {
            let token = keys().token("CARD", Entity::Card, card).unwrap();
            assert_eq!(token, format!("[CARD:spring:{CARD_TOKEN}]"));
            assert!(!token.bytes().any(|b| b.is_ascii_digit()));
        }
        let tokens = keys().tokens("CARD", Entity::Card, "4111111111111111");
        assert!(tokens.len() == 2 && tokens[0] != tokens[1]);
        let other = keys().token("IBAN", Entity::Iban, "4111111111111111").unwrap();
        assert!(!other.contains(CARD_TOKEN), "the same digits as another entity are another value");
    }

    #[test]
    fn secrets_are_not_printed() {
        assert!(!format!("{:?}", keys()).contains("[1, 1"));
    }

    #[test]
    fn stars_show_a_quarter_at_most() {
        assert_eq!(stars("4111-1111-1111-1234", 4), "****-****-****-1234");
        assert_eq!(stars("078-05-1120", 4), "***-**-**20");
        assert_eq!(stars("jane@x.org", 0), "****@*.***");
    }

    #[test]
    fn markers_and_tokens_are_known() {
        let token = keys().token("CARD", Entity::Card, "1").unwrap();
        for marker in ["[EMAIL]", "[IPV4]", "[US_SSN]", "[WITHHELD]", &token] {
            assert_eq!(marker_end(format!("x{marker}y").as_bytes(), 1), Some(1 + marker.len()), "{marker}");
        }
        for other in ["[email]", "[]", "[A", "[CARD:spring:abc]", "[CARD:k1:aaaa]", "EMAIL]", "[4]", "["] {
            assert_eq!(marker_end(other.as_bytes(), 0), None, "{other}");
        }
    }
}
