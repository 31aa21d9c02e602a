//! Who is asking, and what they may.
//!
//! A caller shows an API key or a JSON Web Token, as `Authorization: Bearer …` or as the password of
//! `Authorization: Basic …`, which is what browsers ask for. Each carries scopes; none implies another, so that a key
//! that leaks from a mirror can post and do nothing else.

pub mod jwt;
pub mod keys;

use std::fmt;
use std::sync::Arc;

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::rate::Quota;
use jwt::Tokens;
use keys::Keys;

/// What a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Ask models.
    Infer,
    /// Post observations and labels.
    Ingest,
    /// See the page, the API, metadata and metrics.
    Read,
    /// Change what runs: load and unload, roles, baselines.
    Admin,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Infer, Self::Ingest, Self::Read, Self::Admin];

    /// The word in keys, tokens and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Infer => "infer",
            Self::Ingest => "ingest",
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }

    /// The scope of this name.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == word)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whoever a request is from; in the request's extensions behind `Gate`, where keys are on.
#[derive(Clone, Debug, PartialEq)]
pub struct Caller {
    /// Name of the key, or the token's `sub`.
    pub name: Arc<str>,
    /// What it may do.
    pub scopes: Arc<[Scope]>,
    /// A rate of its own.
    pub(crate) rate: Option<Quota>,
}

/// Why a credential is not taken: the word of the metric, and what the caller may know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// There is none.
    #[error("a key is needed: send 'Authorization: Bearer <key>'")]
    Missing,
    /// The header cannot be read.
    #[error("the Authorization header is neither 'Bearer <key>' nor 'Basic <base64 of name:key>'")]
    Malformed,
    /// No key has this hash.
    #[error("the key is not known")]
    UnknownKey,
    /// A token that cannot be read, or has claims of the wrong kind.
    #[error("the token cannot be read")]
    BadToken,
    /// No key of ours fits the token's algorithm and `kid`.
    #[error("the token is signed with a key or an algorithm that is not taken here")]
    UnknownSigner,
    /// The signature is wrong.
    #[error("the token's signature is wrong")]
    BadSignature,
    /// `exp` has passed.
    #[error("the token has expired")]
    Expired,
    /// `nbf` has not come.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// `iss` is another.
    #[error("the token is of another issuer")]
    WrongIssuer,
    /// `aud` is another.
    #[error("the token is for another audience")]
    WrongAudience,
}

impl Denied {
    /// All reasons.
    pub const ALL: [Self; 10] = [
        Self::Missing,
        Self::Malformed,
        Self::UnknownKey,
        Self::BadToken,
        Self::UnknownSigner,
        Self::BadSignature,
        Self::Expired,
        Self::NotYetValid,
        Self::WrongIssuer,
        Self::WrongAudience,
    ];

    /// The word in metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::UnknownKey => "unknown_key",
            Self::BadToken => "bad_token",
            Self::UnknownSigner => "unknown_signer",
            Self::BadSignature => "bad_signature",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::WrongIssuer => "wrong_issuer",
            Self::WrongAudience => "wrong_audience",
        }
    }
}

/// A credential as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Credential {
    secret: String,
    /// Whether it came as `Basic`: a browser that was told it once sends it by itself.
    pub(crate) ambient: bool,
}

impl Credential {
    /// The credential of a request.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Denied> {
        let mut given = headers.get_all(header::AUTHORIZATION).iter();
        let value = given.next().ok_or(Denied::Missing)?;
        if given.next().is_some() {
            return Err(Denied::Malformed);
        }
        let (scheme, rest) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or(Denied::Malformed)?;
        let rest = rest.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return Ok(Self { secret: rest.to_owned(), ambient: false });
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return Err(Denied::Malformed);
        }
        let pair = STANDARD.decode(rest).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let (_, secret) = pair.as_deref().and_then(|pair| pair.split_once(':')).ok_or(Denied::Malformed)?;
        Ok(Self { secret: secret.to_owned(), ambient: true })
    }
}

/// Keys and token verifiers of a process: one reading of the files.
#[derive(Debug, Default)]
pub(crate) struct Authority {
    pub(crate) keys: Keys,
    pub(crate) tokens: Option<Tokens>,
}

impl Authority {
    /// Whoever this credential stands for.
    pub(crate) fn caller(&self, credential: &Credential, now_s: i64) -> Result<Caller, Denied> {
        // our keys have no dot, a compact token has two
        match &self.tokens {
            Some(tokens) if credential.secret.bytes().filter(|b| *b == b'.').count() == 2 => {
                tokens.caller(&credential.secret, now_s)
            }
            _ => self.keys.caller(&credential.secret).ok_or(Denied::UnknownKey),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credential(value: &str) -> Result<Credential, Denied> {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        Credential::of(&headers)
    }

    #[test]
    fn a_key_comes_as_a_bearer_or_as_a_password() {
        let of = |secret: &str, ambient| Ok(Credential { secret: secret.into(), ambient });
        assert_eq!(credential("Bearer abc"), of("abc", false));
        assert_eq!(credential("bearer  abc "), of("abc", false));
        // printf 'me:a:b' | base64
        assert_eq!(credential("Basic bWU6YTpi"), of("a:b", true));
    }

    #[test]
    fn what_is_no_credential_is_refused() {
        for value in ["Bearer", "abc", "Digest abc", "Basic bWU", "Basic ////", "Basic bWU="] {
            assert_eq!(credential(value), Err(Denied::Malformed), "{value}");
        }
        assert_eq!(Credential::of(&HeaderMap::new()), Err(Denied::Missing));
        let mut twice = HeaderMap::new();
        twice.append(header::AUTHORIZATION, "Bearer a".parse().unwrap());
        twice.append(header::AUTHORIZATION, "Bearer b".parse().unwrap());
        assert_eq!(Credential::of(&twice), Err(Denied::Malformed));
    }

    #[test]
    fn scopes_read_as_they_are_written() {
        for scope in Scope::ALL {
            assert_eq!(Scope::parse(scope.as_str()), Some(scope));
        }
        assert_eq!(Scope::parse("root"), None);
    }
}
