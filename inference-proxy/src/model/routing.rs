//! Who does what among a model's versions, and which of them answers a request.
//!
//! A canary's share is drawn by a hash of the client's key, not by chance a request: whoever met the canary meets it
//! again, and a larger share only adds keys. The hash is salted with the version, so that the next canary has others
//! to bear it.

use std::collections::BTreeSet;

use axum::http::{HeaderMap, HeaderName};
use host::config::Faults;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::config::{NAME_RULE, Shadow, is_name};
use super::status::Role;

/// What of a request decides who answers it.
#[derive(Clone, Debug, Default)]
pub struct Asker {
    /// The request's own key, for those that name no client.
    pub id: Vec<u8>,
    /// Its headers.
    pub headers: HeaderMap,
}

/// A canary as typed, in the configuration and in a request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawCanary {
    /// The version.
    pub version: String,
    /// Share of the keys that it answers, 0 to 100.
    pub percent: f64,
    /// `name: value` of a header that leads to it whatever the share is.
    pub header: Option<String>,
    /// Name of the header with the key; a request without it is drawn by itself.
    pub key_header: Option<String>,
}

/// A canary, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Canary {
    pub(crate) version: String,
    pub(crate) percent: f64,
    pub(crate) rule: Option<(HeaderName, String)>,
    pub(crate) key_header: HeaderName,
}

/// What a version is to become.
#[derive(Clone, Debug, PartialEq)]
pub enum Assignment {
    /// Answers; the one before stands by.
    Primary,
    /// Answers a part; the version in it is this one.
    Canary(Canary),
    /// Runs beside, on this share of the requests (0 to 100).
    Shadow {
        /// The share.
        percent: f64,
    },
    /// Steps in.
    Fallback,
    /// Nothing: it stands by, then leaves.
    Spare,
}

impl Assignment {
    pub(crate) const fn role(&self) -> Role {
        match self {
            Self::Primary => Role::Primary,
            Self::Canary(_) => Role::Canary,
            Self::Shadow { .. } => Role::Shadow,
            Self::Fallback => Role::Fallback,
            Self::Spare => Role::Spare,
        }
    }
}

impl RawCanary {
    /// What is meant; faults are pushed under dotted names that start with `key`.
    #[must_use]
    pub fn check(self, key: &str, faults: &mut Faults) -> Canary {
        let at = |name: &str| format!("{key}.{name}");
        faults.check(is_name(&self.version), at("version"), NAME_RULE);
        faults.check((0.0..=100.0).contains(&self.percent), at("percent"), "must be from 0 to 100");
        let rule = self.header.as_deref().map(rule_of);
        faults.check(rule != Some(None), at("header"), "must be 'name: value', as in 'x-canary: yes'");
        let named = self.key_header.as_deref().unwrap_or(contract::headers::CLIENT);
        let key_header = named.parse::<HeaderName>();
        faults.check(key_header.is_ok(), at("key_header"), "must be the name of a header");
        let key_header = key_header.unwrap_or(HeaderName::from_static(contract::headers::CLIENT));
        Canary { version: self.version, percent: self.percent, rule: rule.flatten(), key_header }
    }
}

fn rule_of(text: &str) -> Option<(HeaderName, String)> {
    let (name, value) = text.split_once(':')?;
    Some((name.trim().parse().ok()?, value.trim().to_owned()))
}

impl Canary {
    /// Whether this request is the canary's.
    fn takes(&self, asker: &Asker) -> bool {
        let ruled = |(name, value): &(HeaderName, String)| {
            asker.headers.get_all(name).iter().any(|found| found.as_bytes() == value.as_bytes())
        };
        if self.rule.as_ref().is_some_and(ruled) {
            return true;
        }
        let key = asker.headers.get(&self.key_header).map_or(asker.id.as_slice(), |value| value.as_bytes());
        place(&self.version, key) * 100.0 < self.percent
    }

    pub(crate) fn describe(&self) -> String {
        match &self.rule {
            Some((name, value)) => format!("{} % of the keys and where {name} is '{value}'", self.percent),
            None => format!("{} % of the keys", self.percent),
        }
    }
}

/// The place of a key on the way from 0 to 1, for ever the same for one version.
fn place(version: &str, key: &[u8]) -> f64 {
    let mut salted = Vec::with_capacity(version.len() + 1 + key.len());
    salted.extend_from_slice(version.as_bytes());
    salted.push(0);
    salted.extend_from_slice(key);
    // 53 bits are what a double holds exactly.
    (xxh3_64(&salted) >> 11) as f64 / (1_u64 << 53) as f64
}

/// Who does what.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Roles {
    /// The version that answers; it may be out of memory.
    pub(crate) primary: Option<String>,
    /// The primary before it: where a rollback leads. None after one: what was taken back is nothing to go back to.
    pub(crate) previous: Option<String>,
    /// What the newest step took back, until there is something newer to take back: a rollback that is sent twice must not
    /// take back one thing more.
    pub(crate) undone: Option<String>,
    /// Versions that answered everybody and were taken back.
    pub(crate) withdrawn: BTreeSet<String>,
    pub(crate) canary: Option<Canary>,
    pub(crate) shadows: Vec<Shadow>,
    pub(crate) fallback: Option<String>,
}

impl Roles {
    /// What a version is now.
    pub(crate) fn of(&self, version: &str) -> Role {
        if self.primary.as_deref() == Some(version) {
            Role::Primary
        } else {
            self.assignment(version).map_or(Role::Spare, |assignment| assignment.role())
        }
    }

    /// What a version that is not the primary was given to do.
    pub(crate) fn assignment(&self, version: &str) -> Option<Assignment> {
        if let Some(canary) = self.canary.as_ref().filter(|canary| canary.version == version) {
            return Some(Assignment::Canary(canary.clone()));
        }
        if let Some(shadow) = self.shadow(version) {
            return Some(Assignment::Shadow { percent: shadow.percent });
        }
        (self.fallback.as_deref() == Some(version)).then_some(Assignment::Fallback)
    }

    pub(crate) fn shadow(&self, version: &str) -> Option<&Shadow> {
        self.shadows.iter().find(|shadow| shadow.version == version)
    }

    /// Every version with something to do beside the primary, in the order in which they are loaded.
    pub(crate) fn beside(&self) -> Vec<String> {
        let canary = self.canary.iter().map(|canary| &canary.version);
        let shadows = self.shadows.iter().map(|shadow| &shadow.version);
        self.fallback.iter().chain(canary).chain(shadows).cloned().collect()
    }

    /// Gives a version something to do; returns those that have nothing to do any more.
    pub(crate) fn give(&mut self, version: &str, assignment: &Assignment) -> Vec<String> {
        let before = self.everyone();
        self.canary = self.canary.take().filter(|canary| canary.version != version);
        let shadow = self.shadow(version).cloned();
        self.shadows.retain(|shadow| shadow.version != version);
        self.fallback = self.fallback.take().filter(|fallback| fallback != version);
        match assignment {
            Assignment::Primary => {
                self.withdrawn.remove(version);
                let old = self.primary.replace(version.to_owned());
                if let Some(old) = old.filter(|old| old != version) {
                    self.previous = Some(old);
                    self.undone = None;
                }
            }
            Assignment::Canary(canary) => {
                self.canary = Some(canary.clone());
                self.undone = None;
            }
            Assignment::Shadow { percent } => {
                let shadow = shadow.unwrap_or_else(|| Shadow::new(version));
                self.shadows.push(Shadow { percent: *percent, ..shadow });
            }
            Assignment::Fallback => self.fallback = Some(version.to_owned()),
            Assignment::Spare => {}
        }
        before.into_iter().filter(|version| self.of(version) == Role::Spare).collect()
    }

    /// The step that was just taken went back, and took this version out of its role.
    pub(crate) fn took_back(&mut self, version: &str) {
        if self.previous.as_deref() == Some(version) {
            self.withdrawn.insert(version.to_owned());
        }
        self.previous = self.previous.take().filter(|previous| previous != version);
        self.undone = Some(version.to_owned());
    }

    fn everyone(&self) -> Vec<String> {
        self.primary.iter().cloned().chain(self.beside()).collect()
    }

    /// The canary, if this request is its own.
    pub(crate) fn canary_for(&self, asker: &Asker) -> Option<&str> {
        self.canary.as_ref().filter(|canary| canary.takes(asker)).map(|canary| canary.version.as_str())
    }

    /// Share of the requests, 0 to 1, of every version with a role.
    pub(crate) fn shares(&self) -> Vec<(&str, Role, f64)> {
        let canary = self.canary.as_ref().map_or(0.0, |canary| canary.percent / 100.0);
        let primary = self.primary.iter().map(|version| (version.as_str(), Role::Primary, 1.0 - canary));
        let canaries = self.canary.iter().map(|canary| (canary.version.as_str(), Role::Canary, canary.percent / 100.0));
        let shadows = self.shadows.iter().map(|s| (s.version.as_str(), Role::Shadow, s.percent / 100.0));
        primary.chain(canaries).chain(shadows).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn canary(percent: f64) -> Canary {
        let raw = RawCanary { version: "2".into(), percent, header: Some("X-Canary: yes".into()), key_header: None };
        let mut faults = Faults::default();
        let canary = raw.check("c", &mut faults);
        assert!(faults.is_empty(), "{faults}");
        canary
    }

    fn asker(key: &str) -> Asker {
        let mut headers = HeaderMap::new();
        headers.insert(contract::headers::CLIENT, key.parse().unwrap());
        Asker { id: Vec::new(), headers }
    }

    proptest! {
        /// Nobody who has met the canary is taken back from it by a larger share.
        #[test]
        fn a_larger_share_only_adds_keys(key in "[a-z0-9]{1,20}", a in 0.0..100.0, b in 0.0..100.0) {
            let (small, large) = if a < b { (a, b) } else { (b, a) };
            prop_assert!(!canary(small).takes(&asker(&key)) || canary(large).takes(&asker(&key)));
        }
    }

    #[test]
    fn the_share_is_what_was_asked_for_and_stays_with_the_client() {
        let canary = canary(20.0);
        let taken = (0..20_000).filter(|n| canary.takes(&asker(&format!("client-{n}")))).count();
        // 5 standard deviations of 20,000 draws of .2 are 283
        assert!((3_717..=4_283).contains(&taken), "{taken} of 20000 keys");
        let same = canary.takes(&asker("client-7"));
        assert!((0..100).all(|_| canary.takes(&asker("client-7")) == same));
        let anonymous = |n: u32| Asker { id: n.to_le_bytes().to_vec(), headers: HeaderMap::new() };
        let taken = (0..20_000).filter(|&n| canary.takes(&anonymous(n))).count();
        assert!((3_717..=4_283).contains(&taken), "{taken} of 20000 requests without a client");
    }

    #[test]
    fn a_header_leads_to_the_canary_whatever_the_share() {
        let with = |value: &str| {
            let mut asker = asker("client");
            asker.headers.insert("x-canary", value.parse().unwrap());
            canary(0.0).takes(&asker)
        };
        assert!(with("yes"));
        assert!(!with("no"));
        assert!(!canary(0.0).takes(&asker("client")));
        assert!(canary(100.0).takes(&asker("client")));
    }

    #[test]
    fn a_version_has_one_role_and_those_without_one_are_told() {
        let mut roles = Roles { primary: Some("1".into()), ..Roles::default() };
        assert_eq!(roles.give("2", &Assignment::Shadow { percent: 10.0 }), [""; 0]);
        assert_eq!(roles.of("2"), Role::Shadow);
        assert_eq!(roles.give("2", &Assignment::Canary(canary(5.0))), [""; 0]);
        assert_eq!((roles.of("2"), roles.shadows.len()), (Role::Canary, 0));
        assert_eq!(roles.give("2", &Assignment::Primary), ["1"]);
        assert_eq!((roles.of("2"), roles.of("1"), roles.previous.as_deref()), (Role::Primary, Role::Spare, Some("1")));
        assert_eq!(roles.canary, None);
        assert_eq!(roles.give("3", &Assignment::Fallback), [""; 0]);
        assert_eq!(roles.give("3", &Assignment::Spare), ["3"]);
    }

    #[test]
    fn a_rule_that_is_none_is_a_fault() {
        let mut faults = Faults::default();
        let raw = RawCanary {
            version: "../2".into(),
            percent: 101.0,
            header: Some("x-canary".into()),
            key_header: Some("a b".into()),
        };
        let _canary = raw.check("c", &mut faults);
        assert_eq!(faults.len(), 4, "{faults}");
    }
}
