//! A JSON Web Key Set (RFC 7517) with the two kinds of keys that are taken; others in it are passed over.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::RsaPublicKeyComponents;
use serde::Deserialize;

use super::{Key, Signer};

/// A set of more keys is no set of ours.
const KEYS_MAX: usize = 64;

#[derive(Deserialize)]
struct Set {
    keys: Vec<Jwk>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    n: Option<String>,
    e: Option<String>,
    k: Option<String>,
}

/// The signers of a set.
///
/// # Errors
/// A sentence, where nothing in it can verify a token.
pub fn read(text: &str) -> Result<Vec<Signer>, String> {
    let set: Set = serde_json::from_str(text).map_err(|error| format!("holds no JSON Web Key Set: {error}"))?;
    if set.keys.len() > KEYS_MAX {
        return Err(format!("holds {} keys, more than {KEYS_MAX}", set.keys.len()));
    }
    let signers: Vec<Signer> = set.keys.into_iter().filter_map(signer).collect();
    if signers.is_empty() {
        return Err("holds no RSA key for RS256 and no secret of 32 bytes or more for HS256".to_owned());
    }
    Ok(signers)
}

fn signer(jwk: Jwk) -> Option<Signer> {
    if jwk.usage.as_deref().is_some_and(|usage| usage != "sig") {
        return None;
    }
    let bytes = |text: Option<String>| URL_SAFE_NO_PAD.decode(text?).ok();
    let key = match jwk.kty.as_str() {
        "RSA" => Key::Rs256Parts(RsaPublicKeyComponents { n: bytes(jwk.n)?, e: bytes(jwk.e)? }),
        "oct" => Key::secret(&bytes(jwk.k)?)?,
        _ => return None,
    };
    let fits = jwk.alg.is_none_or(|alg| alg == key.algorithm());
    fits.then_some(Signer { kid: jwk.kid, key })
}
