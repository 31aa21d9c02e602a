//! `parameters` as clients send them. A few bytes of JSON can become a large tree in memory (an empty list is three bytes
//! on the wire and dozens decoded), so the values are counted while they are read, and of what is said about a tensor only
//! what is known is kept.

use std::cell::Cell;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Most values in the parameters of a request, those in lists and objects with them.
const MAX_VALUES: usize = 1_024;
/// Most in what is said about one tensor.
const MAX_OF_TENSOR: usize = 16;

/// What a client says about its request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parameters(pub Map<String, Value>);

/// The same of a request that another server has answered: what is too much for here is left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Passing(pub Map<String, Value>);

/// What is said about a tensor, of the protocol's and its extensions' words.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TensorParameters(pub Map<String, Value>);

/// Words about tensors that mean something here; others are passed over, as the protocol has it.
const OF_TENSORS: [&str; 4] = ["binary_data_size", "binary_data", "classification", "shared_memory_region"];

impl<'de> Deserialize<'de> for Parameters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_option(OrNull(Members::all(&Cell::new(MAX_VALUES)))).map(Self)
    }
}

impl<'de> Deserialize<'de> for Passing {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let left = Cell::new(MAX_VALUES);
        let members = Members { forgives: true, ..Members::all(&left) };
        deserializer.deserialize_option(OrNull(members)).map(Self)
    }
}

impl<'de> Deserialize<'de> for TensorParameters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let left = Cell::new(MAX_OF_TENSOR);
        let members = Members { most: MAX_OF_TENSOR, known: Some(&OF_TENSORS), ..Members::all(&left) };
        deserializer.deserialize_option(OrNull(members)).map(Self)
    }
}

/// An object, or nothing.
struct OrNull<'a>(Members<'a>);

impl<'de> Visitor<'de> for OrNull<'_> {
    type Value = Map<String, Value>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(to)
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Map::new())
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Map::new())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self.0)
    }
}

/// An object of counted values.
#[derive(Clone, Copy)]
struct Members<'a> {
    /// Values that may still come.
    left: &'a Cell<usize>,
    most: usize,
    /// The names that are kept, where not all are.
    known: Option<&'static [&'static str]>,
    /// Whether what comes after the last that may is left out, and not an error.
    forgives: bool,
}

impl<'a> Members<'a> {
    /// Of a request.
    const fn all(left: &'a Cell<usize>) -> Self {
        Self { left, most: MAX_VALUES, known: None, forgives: false }
    }

    /// Whether the next is to be left out.
    fn passes_over(&self) -> bool {
        self.forgives && self.left.get() == 0
    }

    fn count<E: Error>(&self) -> Result<(), E> {
        let left = self.left.get().checked_sub(1);
        let most = self.most;
        self.left.set(left.ok_or_else(|| E::custom(format_args!("`parameters` hold more than {most} values")))?);
        Ok(())
    }
}

impl<'de> Visitor<'de> for Members<'_> {
    type Value = Map<String, Value>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("an object of parameters")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut all = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            if self.passes_over() || self.known.is_some_and(|known| !known.contains(&key.as_str())) {
                let _passed_over: IgnoredAny = members.next_value()?;
                continue;
            }
            let value = members.next_value_seed(Counted(Members { known: None, ..self }))?;
            all.insert(key, value);
        }
        Ok(all)
    }
}

/// Any value, counted.
struct Counted<'a>(Members<'a>);

impl<'de> DeserializeSeed<'de> for Counted<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.0.count()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Counted<'_> {
    type Value = Value;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while !self.0.passes_over()
            && let Some(value) = list.next_element_seed(Counted(self.0))?
        {
            all.push(value);
        }
        if self.0.passes_over() {
            while let Some(IgnoredAny) = list.next_element()? {}
        }
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Value, A::Error> {
        self.0.visit_map(members).map(Value::Object)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_small_body_does_not_become_a_large_tree() {
        let read = |text: String| serde_json::from_str::<Parameters>(&text).map(|read| read.0);
        let list = |n: usize| format!("{{\"a\":[{}]}}", vec!["[]"; n].join(","));
        assert_eq!(read(list(MAX_VALUES - 1)).unwrap()["a"].as_array().unwrap().len(), MAX_VALUES - 1);
        let told = read(list(MAX_VALUES)).unwrap_err().to_string();
        assert!(told.contains("`parameters` hold more than 1024 values at line 1"), "{told}");
        let many: Vec<String> = (0..=MAX_VALUES).map(|n| format!("\"{n}\":0")).collect();
        assert!(read(format!("{{{}}}", many.join(","))).is_err());
        assert_eq!(read("null".into()).unwrap(), Map::new());
        assert!(read("[]".into()).is_err());
    }

    #[test]
    fn of_what_was_answered_elsewhere_too_much_is_left_out() {
        let read = |value: &Value| Value::Object(serde_json::from_str::<Passing>(&value.to_string()).unwrap().0);
        let said = json!({"a": {"b": [1, null]}, "c": "x"});
        assert_eq!(read(&said), said);
        // the list, its values, and nothing after them
        let kept = json!({"a": vec![7; MAX_VALUES - 1]});
        assert_eq!(read(&json!({"a": vec![7; MAX_VALUES + 5], "b": {"c": [1]}})), kept);
        assert_eq!(read(&json!({"a": vec![vec![(); 2]; MAX_VALUES]}))["a"].as_array().unwrap().len(), 341);
        assert_eq!(serde_json::from_str::<Passing>("null").unwrap().0, Map::new());
    }

    #[test]
    fn of_a_tensor_only_known_words_are_kept() {
        let said = json!({"binary_data_size": 4, "theirs": vec![0; 5_000], "classification": 2});
        let kept: TensorParameters = serde_json::from_str(&said.to_string()).unwrap();
        assert_eq!(Value::Object(kept.0), json!({"binary_data_size": 4, "classification": 2}));
        let nested = json!({"classification": vec![0; 20]}).to_string();
        assert!(serde_json::from_str::<TensorParameters>(&nested).is_err());
    }

    proptest! {
        #[test]
        fn what_is_small_is_read_as_it_is(keys in proptest::collection::btree_map(".{0,8}", any::<(i64, f64, bool, String)>(), 0..20)) {
            let value = |(a, b, c, d): &(i64, f64, bool, String)| json!([a, b, c, {"d": d, "e": null}]);
            let all: Map<String, Value> = keys.iter().map(|(key, parts)| (key.clone(), value(parts))).collect();
            let read: Parameters = serde_json::from_str(&Value::Object(all.clone()).to_string()).unwrap();
            prop_assert_eq!(read.0, all);
        }
    }
}
