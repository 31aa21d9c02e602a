//! A JSON value gone over: keys, texts and numbers, everything but the paths that are allowed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Number, Value};

use crate::entity::{Entity, Hits};
use crate::recognize::{Context, card, ssn};
use crate::text::{self, Outcome};

/// Deeper values are withheld; also what keeps the walk off the end of the stack.
const DEPTH_MAX: usize = 64;

/// A payload passed a limit and must be withheld.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PastLimit;

/// One payload's walk.
pub(crate) struct Walk<'a> {
    pub allow: &'a BTreeSet<String>,
    pub bytes_left: usize,
    pub hits_max: u64,
    pub hits: Hits,
}

impl Walk<'_> {
    /// Goes over a value that stands at `path`.
    pub fn value(&mut self, value: Value, path: &str, context: Context, depth: usize) -> Result<Value, PastLimit> {
        if self.allow.contains(path) {
            return Ok(value);
        }
        if depth > DEPTH_MAX || self.hits.total() > self.hits_max {
            return Err(PastLimit);
        }
        match value {
            Value::String(text) => self.text(text, context).map(Value::String),
            Value::Number(number) => Ok(self.number(number, context)),
            Value::Array(items) => {
                let items = items.into_iter().map(|item| self.value(item, path, context, depth + 1));
                items.collect::<Result<_, _>>().map(Value::Array)
            }
            Value::Object(object) => self.object(object, path, depth).map(Value::Object),
            other @ (Value::Null | Value::Bool(_)) => Ok(other),
        }
    }

    fn object(
        &mut self,
        object: Map<String, Value>,
        path: &str,
        depth: usize,
    ) -> Result<Map<String, Value>, PastLimit> {
        // a tensor's data also goes by the tensor's name
        let tensor = match (object.get("name"), object.get("data")) {
            (Some(Value::String(name)), Some(_)) => Some(self.text(name.clone(), Context::default())?),
            _ => None,
        };
        let root = path.split('.').next().unwrap_or_default();
        let allowed = tensor.as_ref().is_some_and(|name| self.allow.contains(&format!("{root}.{name}")));
        let mut masked = Map::with_capacity(object.len());
        let mut taken = BTreeMap::new();
        for (key, value) in object {
            // what a key tells is read after it is masked, so that a second pass reads the same
            let key = self.text(key, Context::default())?;
            let value = match &tensor {
                Some(_) if key == "data" && allowed => value,
                Some(name) if key == "data" => {
                    self.value(value, &self.below(path, "data"), Context::of_key(name), depth + 1)?
                }
                _ => self.value(value, &self.below(path, &key), Context::of_key(&key), depth + 1)?,
            };
            masked.insert(unused(&masked, &mut taken, key), value);
        }
        Ok(masked)
    }

    /// The path of a field. One that is longer than every allowed path is cut to what none can be (its parts are never
    /// empty), so that a long key is not copied for every value below it.
    fn below(&self, path: &str, key: &str) -> String {
        let length = path.len() + 1 + key.len();
        if self.allow.iter().any(|allowed| allowed.len() >= length) {
            return format!("{path}.{key}");
        }
        format!("{}.", path.split('.').next().unwrap_or_default())
    }

    /// Goes over a text.
    pub fn text(&mut self, text: String, context: Context) -> Result<String, PastLimit> {
        self.bytes_left = self.bytes_left.checked_sub(text.len()).ok_or(PastLimit)?;
        match text::mask(&text, context) {
            Outcome::Clean => Ok(text),
            Outcome::Masked(masked, hits) => {
                self.hits.merge(&hits);
                Ok(masked)
            }
            Outcome::Withheld => Err(PastLimit),
        }
    }

    fn number(&mut self, number: Number, context: Context) -> Value {
        match number_entity(&number.to_string(), number.as_f64(), context) {
            Some(entity) => {
                self.hits.add(entity);
                Value::String(entity.marker().to_owned())
            }
            None => Value::Number(number),
        }
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

/// What a number is, if it is an identifier: a card number by its check digit; a telephone or social security number
/// only where its field is named so.
pub(crate) fn number_entity(text: &str, value: Option<f64>, context: Context) -> Option<Entity> {
    let digits = match value {
        // 4111111111111111.0 and 4.111111111111111e15 are the same card; beyond 2^53 a float holds no identifier
        Some(x) if !text.bytes().all(|b| b.is_ascii_digit()) => {
            (x.fract() == 0.0 && (0.0..9e15).contains(&x)).then(|| format!("{x:.0}"))?
        }
        _ => text.to_owned(),
    };
    let values: Vec<u8> = digits.bytes().filter(u8::is_ascii_digit).map(|b| b - b'0').collect();
    if card::is_card(&values) {
        Some(Entity::Card)
    } else if context.ssn && ssn::is_ssn(&digits) {
        Some(Entity::UsSsn)
    } else if context.phone && (7..=15).contains(&digits.len()) {
        Some(Entity::Phone)
    } else {
        None
    }
}
