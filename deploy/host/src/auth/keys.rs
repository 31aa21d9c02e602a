//! API keys: made here, kept as hashes.
//!
//! A key is 256 random bits, so that a plain SHA-256 protects it: slow hashes are for passwords, which can be guessed,
//! and would cost every request milliseconds. Hashes are compared in constant time, and all of them, so that time tells
//! nothing about which came close.

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};

use super::{Caller, Scope};
use crate::config::Faults;
use crate::rate::{Quota, RawQuota};

/// Every key begins so, for people and for scanners that look for leaked secrets.
const PREFIX: &str = "dl_";
/// Keys a process holds at most: each is compared with every request's.
const KEYS_MAX: usize = 1_000;

/// A key, as typed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawKey {
    /// Who it is for; in logs, audit lines and rate limits.
    pub name: String,
    /// SHA-256 of the key, hexadecimal.
    pub sha256: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// A rate of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<RawQuota>,
}

/// A file of keys.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyFile {
    /// The keys.
    #[serde(default)]
    pub keys: Vec<RawKey>,
}

/// A new key: shown once, and the line that knows it.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// What the caller sends.
    pub secret: String,
    /// What the configuration holds.
    pub known: RawKey,
}

/// Makes a key.
///
/// # Errors
/// Where the system gives no randomness.
pub fn generate(name: &str, scopes: &[Scope]) -> std::io::Result<NewKey> {
    let mut bytes = [0_u8; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| std::io::Error::other("the system gives no random numbers"))?;
    let secret = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
    let known = RawKey { name: name.into(), sha256: hash_hex(&secret), scopes: scopes.to_vec(), rate: None };
    Ok(NewKey { secret, known })
}

fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

fn hash_hex(secret: &str) -> String {
    hex::encode(hash(secret))
}

/// The keys of a process.
#[derive(Debug, Default)]
pub(crate) struct Keys(Vec<([u8; 32], Caller)>);

impl Keys {
    /// Keys as typed, and those of files; what is wrong is noted under `key`.
    pub(crate) fn check(raw: &[RawKey], files: &[impl AsRef<Path>], key: &str, faults: &mut Faults) -> Self {
        let mut all: Vec<([u8; 32], Caller)> = Vec::new();
        for one in raw {
            all.extend(check_one(one, &format!("{key}.keys"), faults));
        }
        for path in files {
            let at = format!("{key}.key_files: {}", path.as_ref().display());
            match crate::config::load::<KeyFile>(path.as_ref()) {
                Ok(file) => file.keys.iter().for_each(|one| all.extend(check_one(one, &at, faults))),
                Err(error) => faults.push(format!("{key}.key_files"), error.to_string().trim_end().replace('\n', " ")),
            }
        }
        faults.check(all.len() <= KEYS_MAX, format!("{key}.keys"), format!("are more than {KEYS_MAX}"));
        for (n, (hash, caller)) in all.iter().enumerate() {
            let earlier = all[..n].iter().find(|(known, other)| known == hash || other.name == caller.name);
            let sentence = format!("'{}' is there twice, by its name or by its hash", caller.name);
            faults.check(earlier.is_none(), format!("{key}.keys"), sentence);
        }
        Self(all)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whose key this is.
    pub(crate) fn caller(&self, secret: &str) -> Option<Caller> {
        let shown = hash(secret);
        let none = u64::MAX;
        let mut at = none;
        for (n, (known, _)) in (0_u64..).zip(&self.0) {
            let same: Choice = known.ct_eq(&shown);
            at.conditional_assign(&n, same);
        }
        self.0.get(usize::try_from(at).ok()?).map(|(_, caller)| caller.clone())
    }
}

fn check_one(raw: &RawKey, at: &str, faults: &mut Faults) -> Option<([u8; 32], Caller)> {
    let named = (1..=128).contains(&raw.name.len()) && raw.name.bytes().all(|b| b.is_ascii_graphic());
    faults.check(named, at, format!("'{}' is no name; write 1 to 128 letters, digits and signs", raw.name));
    let sentence = format!("'{}' has no scope; write some of infer, ingest, read, admin", raw.name);
    faults.check(!raw.scopes.is_empty(), at, sentence);
    let rate = raw.rate.as_ref().and_then(|rate| Quota::check(rate, &format!("{at}.rate"), faults));
    let mut bytes = [0_u8; 32];
    if hex::decode_to_slice(&raw.sha256, &mut bytes).is_err() {
        let sentence =
            format!("sha256 of '{}' is not 64 hexadecimal digits; `driftline key new` prints them", raw.name);
        faults.push(at, sentence);
        return None;
    }
    Some((bytes, Caller { name: Arc::from(raw.name.as_str()), scopes: Arc::from(raw.scopes.as_slice()), rate }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_FILES: [&str; 0] = [];

    #[test]
    fn a_new_key_is_known_by_its_line_and_no_other_is() {
        let new = generate("ci", &[Scope::Infer, Scope::Read]).unwrap();
        let other = generate("other", &[Scope::Admin]).unwrap();
        assert_ne!(new.secret, other.secret);
        assert!(new.secret.len() > 40 && new.secret.starts_with("dl_") && !new.secret.contains('.'));
        let mut faults = Faults::default();
        let keys = Keys::check(&[other.known, new.known.clone()], &NO_FILES, "auth", &mut faults);
        assert!(faults.result(()).is_ok());
        let caller = keys.caller(&new.secret).unwrap();
        assert_eq!((&*caller.name, &*caller.scopes), ("ci", [Scope::Infer, Scope::Read].as_slice()));
        for wrong in ["", "dl_", &new.secret[1..], &new.known.sha256, &new.secret.to_uppercase()] {
            assert_eq!(keys.caller(wrong), None, "{wrong}");
        }
    }

    /// `printf %s dl_test | sha256sum`
    #[test]
    fn the_hash_is_what_sha256sum_says() {
        assert_eq!(hash_hex("dl_test"), "aa6acab1ebf34c070e50633f8d3a94d1a9326b6d92530a3c8eb1468372230885");
    }

    #[test]
    fn faults_name_the_key_and_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys.toml");
        std::fs::write(&path, "[[keys]]\nname = 'a'\nsha256 = 'short'\nscopes = []\n").unwrap();
        let mut faults = Faults::default();
        let raw = RawKey { name: String::new(), sha256: "00".repeat(32), scopes: vec![Scope::Read], rate: None };
        Keys::check(&[raw.clone(), raw], &[path, dir.path().join("absent.toml")], "edge.auth", &mut faults);
        let text = faults.result(()).unwrap_err().to_string();
        for part in ["is no name", "sha256 of 'a'", "'a' has no scope", "keys.toml", "absent.toml", "twice"] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }
}
