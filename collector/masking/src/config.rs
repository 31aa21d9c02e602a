//! The `[masking]` section.

use std::collections::BTreeMap;
use std::sync::Arc;

use contract::faults::Faults;
use serde::Deserialize;

use crate::entity::{Entity, Strength};
use crate::naming::{Naming, RawNames};
use crate::operator::{KEY_ID_MAX, Keys, Operator};
use crate::rule::{self, Rule};

/// The `[masking]` section, as typed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawConfig {
    /// What passes unmasked: payload fields by path from `input` or `output` (`input.ticket`; lists add nothing to a
    /// path; a tensor's data is also `input.<its name>`) with everything below them, and features by name.
    pub allow: Vec<String>,
    /// What is done with a field as a whole, by the same paths: `allow`, `mask` (stars), `hash` (a token), `drop`.
    pub fields: BTreeMap<String, RawField>,
    /// What is done with personal data that is found, unless `entities` says otherwise.
    pub operator: RawOperator,
    /// What is done by entity, as in `email = "hash"`; `allow` leaves an entity in.
    pub entities: BTreeMap<String, RawOperator>,
    /// How many letters and digits the operator `mask` leaves at the end; never more than a quarter of them.
    pub keep_last: usize,
    /// The keys of tokens.
    pub keys: RawKeys,
    /// Patterns of your own.
    pub rules: Vec<RawRule>,
    /// What is done with the names that a model finds, where the proxy or the collector asks one.
    pub names: RawNames,
    /// Declared values by category feature: these pass unmasked, others are gone over.
    pub categories: BTreeMap<String, Vec<String>>,
    /// A payload with more text than this, in bytes, is withheld.
    pub max_payload_bytes: usize,
    /// A payload with more personal data than this is withheld: it is a list of people, not a request.
    pub max_payload_hits: u64,
    /// A text in which one of `rules` matches more often than this is withheld.
    pub max_rule_matches: usize,
    /// A text longer than this, in bytes, is withheld where there are `rules`: their patterns may be slow.
    pub max_rule_bytes: usize,
}

impl Default for RawConfig {
    fn default() -> Self {
        Self {
            allow: vec![],
            fields: BTreeMap::new(),
            operator: RawOperator::Replace,
            entities: BTreeMap::new(),
            keep_last: 4,
            keys: RawKeys::default(),
            rules: vec![],
            names: RawNames::default(),
            categories: BTreeMap::new(),
            max_payload_bytes: 4 << 20,
            max_payload_hits: 10_000,
            max_rule_matches: 1_000,
            max_rule_bytes: 1 << 20,
        }
    }
}

/// What is done with personal data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RawOperator {
    /// `[EMAIL]`.
    Replace,
    /// Stars, but for the last few letters and digits.
    Mask,
    /// Nothing.
    Redact,
    /// A keyed token: HMAC-SHA256, the same for the same value.
    Hash,
    /// It stays.
    Allow,
}

/// What is done with a field as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RawField {
    /// It passes unmasked, with everything below it.
    Allow,
    /// Every letter and digit becomes a star.
    Mask,
    /// It becomes a token.
    Hash,
    /// It becomes null.
    Drop,
}

/// The keys of tokens.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawKeys {
    /// The id of the key that tokens are made with.
    pub active: String,
    /// Secrets by id (lower-case letters): at least 32 signs, such as what `openssl rand -hex 32` prints. A key that is
    /// no longer active stays here as long as its tokens are to be found.
    pub secrets: BTreeMap<String, String>,
}

impl std::fmt::Debug for RawKeys {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.debug_struct("RawKeys").field("active", &self.active).field("ids", &self.secrets.keys()).finish()
    }
}

/// A pattern of your own.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawRule {
    /// Lower-case letters and underscores; the marker is this in capitals.
    pub name: String,
    /// A regular expression (no look-around, no back references: its time is bounded by the text's length).
    pub pattern: String,
    /// Words of which one must stand within 30 characters; none: always.
    pub context: Vec<String>,
    /// `luhn`, `mod97` or `verhoeff`: over the letters and digits of what the pattern matched.
    pub validator: Option<rule::Validator>,
    /// As in `entities`.
    pub operator: Option<RawOperator>,
}

/// The section, checked.
#[derive(Clone, Debug)]
pub(crate) struct Checked {
    pub operators: [Operator; Entity::ALL.len()],
    pub keys: Keys,
    pub rules: Vec<Rule>,
    pub fields: BTreeMap<String, RawField>,
    pub naming: Arc<Naming>,
}

impl RawConfig {
    /// Whether it makes sense, and what it means.
    pub(crate) fn check(&self) -> Result<Checked, Faults> {
        let mut faults = Faults::default();
        let paths = self.allow.iter().map(|path| ("masking.allow", path));
        for (key, path) in paths.chain(self.fields.keys().map(|path| ("masking.fields", path))) {
            let named = !path.is_empty() && !path.split('.').any(str::is_empty);
            faults.check(named, key, format!("'{path}' is no path; write input.ticket"));
            let field = path != "input" && path != "output";
            let sentence = format!("'{path}' would be every payload; name its fields");
            faults.check(field, key, sentence);
        }
        for path in self.allow.iter().filter(|path| self.fields.contains_key(*path)) {
            faults.push("masking.fields", format!("'{path}' is also in masking.allow; keep one"));
        }
        let nothing = "is 0, which would withhold every payload";
        faults.check(self.max_payload_bytes > 0, "masking.max_payload_bytes", nothing);
        faults.check(self.max_payload_hits > 0, "masking.max_payload_hits", nothing);
        faults.check(self.max_rule_bytes > 0, "masking.max_rule_bytes", nothing);
        faults.check(self.max_rule_matches > 0, "masking.max_rule_matches", "is 0, so no rule could match");
        let operators = self.operators(&mut faults);
        let naming = self.names.check(&mut faults);
        let keys = self.keys(&mut faults);
        let rules = rule::check(&self.rules, |given| self.operator_of(given.unwrap_or(self.operator)), &mut faults);
        let mut fields = self.fields.clone();
        fields.extend(self.allow.iter().map(|path| (path.clone(), RawField::Allow)));
        faults.result(Checked { operators, keys, rules, fields, naming })
    }

    fn operators(&self, faults: &mut Faults) -> [Operator; Entity::ALL.len()] {
        let allow = self.operator != RawOperator::Allow;
        faults.check(allow, "masking.operator", "'allow' would let everything pass; allow single entities");
        let mut operators = [self.operator_of(self.operator); Entity::ALL.len()];
        for (label, raw) in &self.entities {
            match Entity::named(label).filter(|entity| *entity != Entity::Custom) {
                Some(entity) => operators[entity as usize] = self.operator_of(*raw),
                None => faults.push(
                    format!("masking.entities.{label}"),
                    format!("there is no such entity; there are {}", known_entities()),
                ),
            }
        }
        operators
    }

    const fn operator_of(&self, raw: RawOperator) -> Operator {
        match raw {
            RawOperator::Replace => Operator::Replace,
            RawOperator::Mask => Operator::Mask { keep_last: self.keep_last },
            RawOperator::Redact => Operator::Redact,
            RawOperator::Hash => Operator::Hash,
            RawOperator::Allow => Operator::Allow,
        }
    }

    fn keys(&self, faults: &mut Faults) -> Keys {
        let hashes = self.operator == RawOperator::Hash
            || self.entities.values().any(|operator| *operator == RawOperator::Hash)
            || self.rules.iter().any(|rule| rule.operator == Some(RawOperator::Hash))
            || self.fields.values().any(|field| *field == RawField::Hash);
        let RawKeys { active, secrets } = &self.keys;
        let known = secrets.contains_key(active);
        if hashes && !known {
            let what = "'hash' needs a key: name one of masking.keys.secrets";
            faults.push("masking.keys.active", what);
        } else {
            faults.check(active.is_empty() || known, "masking.keys.active", "names none of masking.keys.secrets");
        }
        for (id, secret) in secrets {
            let key = format!("masking.keys.secrets.{id}");
            let lower = (1..=KEY_ID_MAX).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_lowercase());
            faults.check(lower, &key, "an id is 1 to 16 lower-case letters: it stands in every token");
            faults.check(secret.len() >= 32, &key, "is short; take what `openssl rand -hex 32` prints");
        }
        let secrets = secrets.iter().map(|(id, secret)| (id.clone(), secret.clone().into_bytes())).collect();
        Keys { active: active.clone(), secrets }
    }
}

fn known_entities() -> String {
    let labels: Vec<_> = Entity::ALL
        .into_iter()
        .filter(|e| *e != Entity::Custom && (e.strength() != Strength::Given || *e <= Entity::Organisation))
        .map(Entity::as_str)
        .collect();
    labels.join(", ")
}
