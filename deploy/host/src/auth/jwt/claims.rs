//! What a token says, read strictly.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::auth::{Denied, Scope};

/// A longer subject is nobody's name.
const SUBJECT_BYTES_MAX: usize = 256;

/// The header of RFC 7515. Members that change how a token is read (`crit`, `b64`, `zip`) refuse it; `jwk`, `jku` and
/// `x5u` would let a token bring its own key, and are not looked at.
#[derive(Debug, Deserialize)]
pub struct Header {
    /// Algorithm.
    pub alg: String,
    /// Which key of a set.
    #[serde(default)]
    pub kid: Option<String>,
    #[serde(default)]
    crit: Option<Value>,
    #[serde(default)]
    b64: Option<Value>,
    #[serde(default)]
    zip: Option<Value>,
}

impl Header {
    pub fn read(bytes: &[u8]) -> Result<Self, Denied> {
        let header: Self = serde_json::from_slice(bytes).map_err(|_| Denied::BadToken)?;
        let plain = header.crit.is_none() && header.b64.is_none() && header.zip.is_none();
        plain.then_some(header).ok_or(Denied::BadToken)
    }
}

/// The claims that are looked at.
#[derive(Debug, PartialEq, Eq)]
pub struct Claims {
    pub subject: String,
    pub issuer: Option<String>,
    pub audience: Vec<String>,
    pub expires_s: i64,
    pub not_before_s: Option<i64>,
    pub scopes: Vec<Scope>,
}

impl Claims {
    /// Reads claims whose signature holds; `sub`, `aud` and `exp` are required.
    pub fn read(bytes: &[u8], scope_claim: &str) -> Result<Self, Denied> {
        let claims: Map<String, Value> = serde_json::from_slice(bytes).map_err(|_| Denied::BadToken)?;
        let subject = text(&claims, "sub")?.filter(|s| (1..=SUBJECT_BYTES_MAX).contains(&s.len()));
        let words = list(&claims, scope_claim)?;
        let words = words.iter().flat_map(|words| words.split(' '));
        Ok(Self {
            subject: subject.ok_or(Denied::BadToken)?,
            issuer: text(&claims, "iss")?,
            audience: list(&claims, "aud")?,
            expires_s: seconds(&claims, "exp")?.ok_or(Denied::BadToken)?,
            not_before_s: seconds(&claims, "nbf")?,
            scopes: words.filter_map(Scope::parse).collect(),
        })
    }
}

fn text(claims: &Map<String, Value>, name: &str) -> Result<Option<String>, Denied> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(Denied::BadToken),
    }
}

/// A text or a list of texts; nothing where there is none.
fn list(claims: &Map<String, Value>, name: &str) -> Result<Vec<String>, Denied> {
    match claims.get(name) {
        None => Ok(vec![]),
        Some(Value::String(text)) => Ok(vec![text.clone()]),
        Some(Value::Array(values)) => {
            let texts = values.iter().map(|value| value.as_str().map(str::to_owned));
            texts.collect::<Option<_>>().ok_or(Denied::BadToken)
        }
        Some(_) => Err(Denied::BadToken),
    }
}

/// A `NumericDate`: seconds since the Unix epoch, perhaps with a fraction.
fn seconds(claims: &Map<String, Value>, name: &str) -> Result<Option<i64>, Denied> {
    const SECONDS_MAX: f64 = 1e12;
    let Some(value) = claims.get(name) else { return Ok(None) };
    let number = value.as_f64().filter(|number| (0.0..=SECONDS_MAX).contains(number)).ok_or(Denied::BadToken)?;
    #[expect(clippy::cast_possible_truncation, reason = "checked to be small")]
    Ok(Some(number.floor() as i64))
}
