//! A JSON value gone over: keys, texts and numbers, and what the configuration says of single fields.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};

use crate::config::RawField;
use crate::entity::{Entity, Hits};
use crate::naming::View;
use crate::operator::{self, Operator};
use crate::recognize::{self, Context, card};
use crate::text::{self, Outcome, Rules, Unsafe};
use crate::triggers::Triggers;

/// Deeper values are withheld; also what keeps the walk off the end of the stack.
pub(crate) const DEPTH_MAX: usize = 64;
/// The least number of as many digits as a card's number has.
const CARD_MIN: f64 = 1e11;
/// The word in a token of a field that is hashed as a whole.
const FIELD: &str = "FIELD";

/// Why a payload must be withheld.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Withhold {
    /// It passed a limit of the payload.
    Limit,
    /// A rule of the configuration passed its budget.
    Rule,
    /// A text that may hold names was not asked about or not answered for; the word says why.
    Names(&'static str),
}

impl From<Unsafe> for Withhold {
    fn from(why: Unsafe) -> Self {
        match why {
            Unsafe::Rounds => Self::Limit,
            Unsafe::Rule => Self::Rule,
        }
    }
}

/// What was found in a value of a payload, for whoever tries rules out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Traced {
    pub path: String,
    pub name: String,
    /// Characters of the value (or key) it was found in.
    pub start: usize,
    pub end: usize,
}

/// One payload's walk.
pub(crate) struct Walk<'a> {
    pub rules: &'a Rules,
    pub fields: &'a BTreeMap<String, RawField>,
    /// The length of the longest path in `fields`.
    pub longest: usize,
    pub bytes_left: usize,
    pub hits_max: u64,
    pub hits: Hits,
    /// What a model said of the texts, where one is asked.
    pub names: Option<&'a View<'a>>,
    pub trace: Option<Vec<Traced>>,
}

impl Walk<'_> {
    /// Goes over a value that stands at `path`.
    pub fn value(&mut self, value: Value, path: &str, context: Context, depth: usize) -> Result<Value, Withhold> {
        if let Some(field) = self.fields.get(path) {
            return self.field(value, *field, path, depth);
        }
        if depth > DEPTH_MAX || self.hits.total() > self.hits_max {
            return Err(Withhold::Limit);
        }
        match value {
            Value::String(text) => self.text(text, path, context).map(Value::String),
            Value::Number(number) => Ok(self.number(number, path, context)),
            Value::Array(items) => {
                let items = items.into_iter().map(|item| self.value(item, path, context, depth + 1));
                items.collect::<Result<_, _>>().map(Value::Array)
            }
            Value::Object(object) => self.object(object, path, depth).map(Value::Object),
            other @ (Value::Null | Value::Bool(_)) => Ok(other),
        }
    }

    /// Does to a field what the configuration says of it.
    fn field(&mut self, value: Value, field: RawField, path: &str, depth: usize) -> Result<Value, Withhold> {
        if depth > DEPTH_MAX {
            return Err(Withhold::Limit);
        }
        Ok(match (field, value) {
            (RawField::Allow, value) => value,
            (RawField::Drop, _) | (_, Value::Null) => Value::Null,
            (_, Value::Array(items)) => {
                let items = items.into_iter().map(|item| self.field(item, field, path, depth + 1));
                Value::Array(items.collect::<Result<_, _>>()?)
            }
            (_, Value::Object(object)) => {
                let mut masked = Map::with_capacity(object.len());
                let mut taken = BTreeMap::new();
                for (key, value) in object {
                    let (key, _) = self.key(key, path)?;
                    let value = self.field(value, field, path, depth + 1)?;
                    masked.insert(unused(&masked, &mut taken, key), value);
                }
                Value::Object(masked)
            }
            (_, Value::String(text)) => {
                self.spend(text.len())?;
                Value::String(whole(self.rules, field, &text))
            }
            (_, other) => Value::String(whole(self.rules, field, &other.to_string())),
        })
    }

    fn object(&mut self, object: Map<String, Value>, path: &str, depth: usize) -> Result<Map<String, Value>, Withhold> {
        let mut object = object;
        // a tensor's data also goes by the tensor's name
        let tensor = match (object.get("name"), object.get("data")) {
            (Some(Value::String(name)), Some(_)) => Some(self.told(name)),
            _ => None,
        };
        let root = path.split('.').next().unwrap_or_default();
        let field = tensor.as_ref().and_then(|name| self.fields.get(&format!("{root}.{name}")).copied());
        if tensor.is_none() && self.pays_for_keys_that_stay(&object) {
            for (key, value) in &mut object {
                let (below, context) = (self.below(path, key), self.rules.names.context(key));
                *value = self.value(value.take(), &below, context, depth + 1)?;
            }
            return Ok(object);
        }
        let mut masked = Map::with_capacity(object.len());
        let mut taken = BTreeMap::new();
        for (key, value) in object {
            let (key, told) = self.key(key, path)?;
            let told = told.as_deref().unwrap_or(&key);
            let value = match (&tensor, field) {
                (Some(_), Some(field)) if told == "data" => self.field(value, field, path, depth + 1)?,
                (Some(name), None) if told == "data" => {
                    self.value(value, &self.below(path, "data"), self.rules.names.context(name), depth + 1)?
                }
                _ => self.value(value, &self.below(path, told), self.rules.names.context(told), depth + 1)?,
            };
            masked.insert(unused(&masked, &mut taken, key), value);
        }
        Ok(masked)
    }

    /// The path of a field, which matters where fields are configured; a trace shows them whole.
    fn below<'p>(&self, path: &'p str, key: &str) -> Cow<'p, str> {
        match &self.trace {
            None if self.fields.is_empty() => Cow::Borrowed(path),
            None => Cow::Owned(below(self.longest, path, key)),
            Some(_) => Cow::Owned(below(usize::MAX, path, key)),
        }
    }

    /// Whether every key stays as it is, as most do; then they are paid for, and the object need not be made anew. Where
    /// anything else is the case nothing has happened yet.
    fn pays_for_keys_that_stay(&mut self, object: &Map<String, Value>) -> bool {
        let stays = |key: &String| {
            let unnamed = self.names.is_none_or(|names| names.of_key(key).is_ok_and(|given| given.is_empty()));
            unnamed && matches!(self.rules.mask_name(key, Context::default()), Outcome::Clean)
        };
        object.keys().all(stays) && self.spend(object.keys().map(String::len).sum()).is_ok()
    }

    fn spend(&mut self, bytes: usize) -> Result<(), Withhold> {
        self.bytes_left = self.bytes_left.checked_sub(bytes).ok_or(Withhold::Limit)?;
        Ok(())
    }

    /// A key, or the name of a tensor, by which the rules of fields and the words beside a value are looked up: masked by
    /// patterns alone, so that a second pass reads the same, and a model that takes `SSN` for a name does not hide what its
    /// value is.
    fn told(&self, key: &str) -> String {
        match self.rules.mask_name(key, Context::default()) {
            Outcome::Clean => key.to_owned(),
            Outcome::Masked(masked, _) => masked,
            Outcome::Withheld(_) => text::WITHHELD.to_owned(),
        }
    }

    /// Goes over a key: what it becomes, and what it tells where that is something else.
    fn key(&mut self, key: String, path: &str) -> Result<(String, Option<String>), Withhold> {
        self.spend(key.len())?;
        let given = self.names.map_or(Ok(vec![]), |names| names.of_key(&key))?;
        if given.is_empty() {
            let outcome = self.rules.mask_name(&key, Context::default());
            return Ok((self.outcome(key, path, outcome)?, None));
        }
        let told = self.told(&key);
        let outcome = self.rules.mask(&key, Context::default(), &given);
        Ok((self.outcome(key, path, outcome)?, Some(told)))
    }

    /// Goes over a text.
    fn text(&mut self, text: String, path: &str, context: Context) -> Result<String, Withhold> {
        self.spend(text.len())?;
        let given = self.names.map_or(Ok(vec![]), |names| names.of_text(&text))?;
        let outcome = self.rules.mask(&text, context, &given);
        self.outcome(text, path, outcome)
    }

    fn outcome(&mut self, text: String, path: &str, outcome: Outcome) -> Result<String, Withhold> {
        match outcome {
            Outcome::Clean => Ok(text),
            Outcome::Masked(masked, pieces) => {
                text::count(&pieces, &mut self.hits);
                if let Some(trace) = &mut self.trace {
                    trace.extend(pieces.iter().map(|piece| {
                        let start = text[..piece.range.start].chars().count();
                        let end = start + text[piece.range.clone()].chars().count();
                        Traced { path: path.to_owned(), name: self.rules.name(piece.kind).to_owned(), start, end }
                    }));
                }
                Ok(masked)
            }
            Outcome::Withheld(why) => Err(why.into()),
        }
    }

    fn number(&mut self, number: Number, path: &str, context: Context) -> Value {
        if !may_identify(number.as_f64(), context) {
            return Value::Number(number);
        }
        let text = number.to_string();
        let Some(entity) = number_entity(self.rules, &text, number.as_f64(), context) else {
            return Value::Number(number);
        };
        self.hits.add(entity);
        if let Some(trace) = &mut self.trace {
            let name = entity.as_str().to_owned();
            trace.push(Traced { path: path.to_owned(), name, start: 0, end: text.chars().count() });
        }
        let digits = integer(&text, number.as_f64()).unwrap_or(text);
        let standing = self.rules.apply(entity, &digits);
        // what is left of a number may be one again: `****1234` is none, but a short one might be
        let masked = number_entity(self.rules, &standing, None, context).is_none();
        Value::String(if masked { standing.into_owned() } else { entity.marker().to_owned() })
    }
}

/// The path of a field. One that is longer than every configured path is cut to what none can be (its parts are never
/// empty), so that a long key is not copied for every value below it.
pub(crate) fn below(longest: usize, path: &str, key: &str) -> String {
    if longest > path.len() + key.len() {
        return format!("{path}.{key}");
    }
    format!("{}.", path.split('.').next().unwrap_or_default())
}

/// What becomes of a value whose field is masked or hashed as a whole. What it became stays as it is.
pub(crate) fn whole(rules: &Rules, field: RawField, text: &str) -> String {
    if text.is_empty() || operator::marker_end(text.as_bytes(), 0) == Some(text.len()) {
        return text.to_owned();
    }
    match field {
        RawField::Hash => {
            let token = rules.keys.token(FIELD, Entity::Custom, text);
            token.unwrap_or_else(|| format!("[{FIELD}]"))
        }
        _ => operator::stars(text, 0),
    }
}

/// Two masked keys may be equal: the later gets a number, so that no value is lost. `taken` says where to go on
/// counting, since an object of ten thousand addresses would be counted from 2 ten thousand times.
fn unused(object: &Map<String, Value>, taken: &mut BTreeMap<String, usize>, key: String) -> String {
    if !object.contains_key(&key) {
        return key;
    }
    let n = taken.entry(key.clone()).or_insert(1);
    loop {
        *n += 1;
        let numbered = format!("{key} {n}");
        if !object.contains_key(&numbered) {
            return numbered;
        }
    }
}

/// The digits of a number that is whole: 4111111111111111.0 and 4.111111111111111e15 are the same card; beyond 2^53 a
/// float holds no identifier.
fn integer(text: &str, value: Option<f64>) -> Option<String> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return Some(text.to_owned());
    }
    let x = value?;
    (x.fract() == 0.0 && (0.0..9e15).contains(&x)).then(|| format!("{x:.0}"))
}

/// Whether a number can be an identifier: where its field is not named for one only a card's number can, which is no small
/// one. Most numbers are told apart by this, before they are written out.
pub(crate) fn may_identify(value: Option<f64>, context: Context) -> bool {
    !context.named.is_empty() || value.is_none_or(|x| x >= CARD_MIN)
}

/// What a number is, if it is an identifier: a card number by its check digit; others only where their field is named
/// for them, since one order number in a hundred has somebody's check digits.
pub(crate) fn number_entity(rules: &Rules, text: &str, value: Option<f64>, context: Context) -> Option<Entity> {
    let digits = integer(text, value)?;
    let wanted = |entity: &Entity| rules.operators[*entity as usize] != Operator::Allow;
    if card::is_card(digits.as_bytes()) {
        return Some(Entity::Card).filter(wanted);
    }
    if context.named.is_empty() {
        return None;
    }
    let found = recognize::all(&digits, context, Triggers { digits: true, ..Triggers::default() });
    let named = found
        .into_iter()
        .filter(|(range, entity)| *range == (0..digits.len()) && context.named.has(*entity) && wanted(entity));
    named.map(|(_, entity)| entity).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::strategy::Strategy as _;

    use crate::recognize::words::Named;
    use crate::{Masker, RawConfig};

    #[test]
    fn the_name_of_a_tensor_is_one_hit() {
        let masker = Masker::new(&RawConfig::default()).unwrap();
        let tensor = serde_json::json!({"name": "of jane@example.com", "data": [1.5, 2.5]});
        let (masked, spans) = masker.find_json(tensor).unwrap();
        assert_eq!(masked, serde_json::json!({"name": "of [EMAIL]", "data": [1.5, 2.5]}));
        assert_eq!(spans.iter().map(|span| span.path.as_str()).collect::<Vec<_>>(), ["input.name"]);
    }

    proptest::proptest! {
        #[test]
        fn a_number_that_is_not_looked_at_is_no_identifier(
            x in proptest::prelude::prop_oneof![
                proptest::num::f64::ANY.prop_map(Value::from),
                proptest::num::i64::ANY.prop_map(Value::from),
                (10_u32..14, 0_u64..1_000).prop_map(|(digits, n)| Value::from(10_u64.pow(digits) - 500 + n)),
            ],
        ) {
            let masker = Masker::new(&RawConfig::default()).unwrap();
            let Value::Number(number) = x else { return Ok(()) };
            let found = number_entity(&masker.rules, &number.to_string(), number.as_f64(), Context::default());
            proptest::prop_assert!(found.is_none() || may_identify(number.as_f64(), Context::default()), "{number}");
            let named = Context { named: Named::of(Entity::Phone), name: false };
            proptest::prop_assert!(may_identify(number.as_f64(), named));
        }
    }
}
