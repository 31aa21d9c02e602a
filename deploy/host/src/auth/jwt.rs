//! JSON Web Tokens: RFC 7519 claims in a compact RFC 7515 signature, HS256 and RS256.
//!
//! Written against `ring`, which TLS needs anyway: the well-known crates bring a second cryptographic library, one with
//! a C toolchain or one whose RSA has an open advisory. What is here is small because little is taken: a signer's key
//! decides its algorithm, and a token that names another is refused, so that a public key can never be used as an HMAC
//! secret and `none` is no algorithm at all. A claim of the wrong kind refuses the token; it is never skipped.

mod claims;
mod der;
mod jwks;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey};
use ring::{hmac, signature};
use serde::{Deserialize, Serialize};

use super::{Caller, Denied};
use crate::config::Faults;
use claims::{Claims, Header};

/// A longer token is not looked at.
const TOKEN_BYTES_MAX: usize = 16 << 10;
/// RFC 7518, 3.2: an HS256 secret has at least the size of the hash.
const SECRET_BYTES_MIN: usize = 32;
/// Clocks that differ by more are repaired, not put up with.
const LEEWAY_MAX: Duration = Duration::from_secs(600);

/// Tokens, as typed. One of `secret_file`, `public_key_file` and `jwks_file` says who signs them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawJwt {
    /// HS256: the shared secret, 32 bytes or more; a line end after it does not count.
    pub secret_file: Option<PathBuf>,
    /// RS256: the signer's public key, PEM (`BEGIN PUBLIC KEY` or `BEGIN RSA PUBLIC KEY`), 2048 bits or more.
    pub public_key_file: Option<PathBuf>,
    /// Both: a JSON Web Key Set (RFC 7517); tokens pick a key by `kid`.
    pub jwks_file: Option<PathBuf>,
    /// What `aud` must hold. Required: without it a token for another service would be good here.
    pub audience: String,
    /// What `iss` must be; without it any issuer that has the key will do.
    pub issuer: Option<String>,
    /// How far clocks may differ.
    #[serde(with = "humantime_serde")]
    pub leeway: Duration,
    /// The claim with the scopes: words with spaces between, or a list of words. Words that are no scope are ignored.
    pub scope_claim: String,
}

impl Default for RawJwt {
    fn default() -> Self {
        Self {
            secret_file: None,
            public_key_file: None,
            jwks_file: None,
            audience: String::new(),
            issuer: None,
            leeway: Duration::from_secs(30),
            scope_claim: "scope".to_owned(),
        }
    }
}

impl RawJwt {
    /// Files that this reads.
    pub fn files(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        [&mut self.secret_file, &mut self.public_key_file, &mut self.jwks_file].into_iter().flatten()
    }
}

/// Who may sign.
#[derive(Debug)]
struct Signer {
    /// Its name in a key set.
    kid: Option<String>,
    key: Key,
}

/// A key, which has one algorithm.
enum Key {
    Hs256(hmac::Key),
    /// PKCS#1 `RSAPublicKey`, DER.
    Rs256(Vec<u8>),
    /// Modulus and exponent, big-endian.
    Rs256Parts(RsaPublicKeyComponents<Vec<u8>>),
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.algorithm())
    }
}

impl Key {
    const fn algorithm(&self) -> &'static str {
        match self {
            Self::Hs256(_) => "HS256",
            Self::Rs256(_) | Self::Rs256Parts(_) => "RS256",
        }
    }

    fn secret(bytes: &[u8]) -> Option<Self> {
        (bytes.len() >= SECRET_BYTES_MIN).then(|| Self::Hs256(hmac::Key::new(hmac::HMAC_SHA256, bytes)))
    }

    fn verifies(&self, message: &[u8], mac: &[u8]) -> bool {
        let scheme: &'static signature::RsaParameters = &RSA_PKCS1_2048_8192_SHA256;
        match self {
            Self::Hs256(key) => hmac::verify(key, message, mac).is_ok(),
            Self::Rs256(der) => UnparsedPublicKey::new(scheme, der).verify(message, mac).is_ok(),
            Self::Rs256Parts(parts) => parts.verify(scheme, message, mac).is_ok(),
        }
    }
}

/// What tokens must be.
#[derive(Debug)]
pub(crate) struct Tokens {
    signers: Vec<Signer>,
    audience: String,
    issuer: Option<String>,
    leeway_s: i64,
    scope_claim: String,
}

impl Tokens {
    /// Reads the files; what is wrong is noted under `key`.
    pub(crate) fn check(raw: &RawJwt, key: &str, faults: &mut Faults) -> Self {
        let at = |name: &str| format!("{key}.{name}");
        faults.check(!raw.audience.is_empty(), at("audience"), "is required: a token must say that it is for us");
        faults.check(raw.leeway <= LEEWAY_MAX, at("leeway"), "must be at most 10m");
        let leeway_s = i64::try_from(raw.leeway.as_secs()).unwrap_or(i64::MAX);
        Self {
            signers: signers(raw, key, faults),
            audience: raw.audience.clone(),
            issuer: raw.issuer.clone(),
            leeway_s,
            scope_claim: raw.scope_claim.clone(),
        }
    }

    /// Whoever a token stands for, at this second since the Unix epoch.
    pub(crate) fn caller(&self, token: &str, now_s: i64) -> Result<Caller, Denied> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Denied::BadToken);
        }
        let (message, mac) = token.rsplit_once('.').ok_or(Denied::BadToken)?;
        let (header, claims) = message.split_once('.').ok_or(Denied::BadToken)?;
        let bytes = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| Denied::BadToken);
        let (header, claims, mac) = (Header::read(&bytes(header)?)?, bytes(claims)?, bytes(mac)?);
        let mut fitting = self.signers.iter().filter(|signer| signer.fits(&header)).peekable();
        fitting.peek().ok_or(Denied::UnknownSigner)?;
        if !fitting.any(|signer| signer.key.verifies(message.as_bytes(), &mac)) {
            return Err(Denied::BadSignature);
        }
        // not a byte of the claims is read before the signature holds
        let claims = Claims::read(&claims, &self.scope_claim)?;
        self.holds(&claims, now_s)?;
        Ok(Caller { name: Arc::from(claims.subject), scopes: Arc::from(claims.scopes), rate: None })
    }

    fn holds(&self, claims: &Claims, now_s: i64) -> Result<(), Denied> {
        if now_s >= claims.expires_s.saturating_add(self.leeway_s) {
            return Err(Denied::Expired);
        }
        if claims.not_before_s.is_some_and(|from| now_s < from.saturating_sub(self.leeway_s)) {
            return Err(Denied::NotYetValid);
        }
        if self.issuer.is_some() && self.issuer != claims.issuer {
            return Err(Denied::WrongIssuer);
        }
        if !claims.audience.contains(&self.audience) {
            return Err(Denied::WrongAudience);
        }
        Ok(())
    }
}

impl Signer {
    fn fits(&self, header: &Header) -> bool {
        let named = header.kid.is_none() || self.kid.is_none() || header.kid == self.kid;
        named && header.alg == self.key.algorithm()
    }
}

fn signers(raw: &RawJwt, key: &str, faults: &mut Faults) -> Vec<Signer> {
    let at = |name: &str| format!("{key}.{name}");
    let given = [&raw.secret_file, &raw.public_key_file, &raw.jwks_file].into_iter().flatten().count();
    let sentence = "give exactly one of secret_file, public_key_file and jwks_file";
    faults.check(given == 1, key, sentence);
    let mut all = Vec::new();
    if let Some(text) = raw.secret_file.as_deref().and_then(|path| read(path, &at("secret_file"), faults)) {
        let secret = Key::secret(text.trim_end_matches(['\n', '\r']).as_bytes());
        faults.check(secret.is_some(), at("secret_file"), format!("holds less than {SECRET_BYTES_MIN} bytes"));
        all.extend(secret.map(|key| Signer { kid: None, key }));
    }
    if let Some(text) = raw.public_key_file.as_deref().and_then(|path| read(path, &at("public_key_file"), faults)) {
        let key = der::rsa_public_key(&text).map(Key::Rs256);
        faults.check(key.is_some(), at("public_key_file"), "holds no RSA public key in PEM");
        all.extend(key.map(|key| Signer { kid: None, key }));
    }
    if let Some(text) = raw.jwks_file.as_deref().and_then(|path| read(path, &at("jwks_file"), faults)) {
        match jwks::read(&text) {
            Ok(signers) => all.extend(signers),
            Err(sentence) => faults.push(at("jwks_file"), sentence),
        }
    }
    all
}

fn read(path: &Path, key: &str, faults: &mut Faults) -> Option<String> {
    std::fs::read_to_string(path)
        .map_err(|error| faults.push(key, format!("{} cannot be read: {error}", path.display())))
        .ok()
}

#[cfg(test)]
mod tests;
