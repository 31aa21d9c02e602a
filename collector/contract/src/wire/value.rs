//! A feature's value and its shape on the wire. It is read by hand, in one pass: most of what is posted is features, and
//! an untagged enum tries its shapes one after another on a copy.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A feature's value. NaN and infinities are values like others: they are counted, never dropped. JSON has no
/// numbers for them, so there they are the strings `NaN`, `Infinity` and `-Infinity` under the key `number`.
#[derive(Clone, Debug, PartialEq)]
pub enum FeatureValue {
    /// A number, possibly not finite.
    Number(f64),
    /// A category.
    Category(String),
    /// Nothing was given.
    Missing,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
enum NotFinite {
    NaN,
    Infinity,
    #[serde(rename = "-Infinity")]
    NegativeInfinity,
}

/// A number that JSON has no word for, as it stands on the wire.
#[derive(Serialize, Deserialize)]
struct Named {
    number: NotFinite,
}

/// On the wire: a number, a string, `null`, or `{"number": "NaN"}`.
impl Serialize for FeatureValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let number = match self {
            Self::Number(x) if x.is_finite() => return serializer.serialize_f64(*x),
            Self::Category(c) => return serializer.serialize_str(c),
            Self::Missing => return serializer.serialize_unit(),
            Self::Number(x) if x.is_nan() => NotFinite::NaN,
            Self::Number(x) if *x > 0.0 => NotFinite::Infinity,
            Self::Number(_) => NotFinite::NegativeInfinity,
        };
        Named { number }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for FeatureValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyFeatureValue)
    }
}

struct AnyFeatureValue;

impl<'de> Visitor<'de> for AnyFeatureValue {
    type Value = FeatureValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, a string, null or {\"number\": \"NaN\"}")
    }

    fn visit_f64<E>(self, x: f64) -> Result<FeatureValue, E> {
        Ok(FeatureValue::Number(x))
    }

    #[expect(clippy::cast_precision_loss, reason = "a feature is a 64-bit float, also of a 64-bit integer")]
    fn visit_u64<E>(self, x: u64) -> Result<FeatureValue, E> {
        Ok(FeatureValue::Number(x as f64))
    }

    #[expect(clippy::cast_precision_loss, reason = "a feature is a 64-bit float, also of a 64-bit integer")]
    fn visit_i64<E>(self, x: i64) -> Result<FeatureValue, E> {
        Ok(FeatureValue::Number(x as f64))
    }

    fn visit_str<E>(self, category: &str) -> Result<FeatureValue, E> {
        Ok(FeatureValue::Category(category.to_owned()))
    }

    fn visit_string<E>(self, category: String) -> Result<FeatureValue, E> {
        Ok(FeatureValue::Category(category))
    }

    fn visit_unit<E>(self) -> Result<FeatureValue, E> {
        Ok(FeatureValue::Missing)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<FeatureValue, A::Error> {
        let Named { number } = Named::deserialize(MapAccessDeserializer::new(map))?;
        Ok(FeatureValue::Number(match number {
            NotFinite::NaN => f64::NAN,
            NotFinite::Infinity => f64::INFINITY,
            NotFinite::NegativeInfinity => f64::NEG_INFINITY,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both_ways(value: &FeatureValue, json: &str) {
        let text = serde_json::to_string(value).expect("serialises");
        assert_eq!(text, json);
        for back in [
            serde_json::from_str(&text).expect("JSON reads back"),
            rmp_serde::from_slice(&rmp_serde::to_vec_named(value).expect("packs")).expect("msgpack reads back"),
        ] {
            match (value, &back) {
                (FeatureValue::Number(a), FeatureValue::Number(b)) if a.is_nan() => {
                    assert!(b.is_nan());
                }
                _ => assert_eq!(value, &back),
            }
        }
    }

    #[test]
    fn values_that_json_cannot_say_survive_it() {
        both_ways(&FeatureValue::Number(0.25), "0.25");
        both_ways(&FeatureValue::Number(f64::NAN), r#"{"number":"NaN"}"#);
        both_ways(&FeatureValue::Number(f64::INFINITY), r#"{"number":"Infinity"}"#);
        both_ways(&FeatureValue::Number(f64::NEG_INFINITY), r#"{"number":"-Infinity"}"#);
        both_ways(&FeatureValue::Category("NaN".into()), r#""NaN""#);
        both_ways(&FeatureValue::Missing, "null");
    }

    #[test]
    fn an_integer_is_a_number() {
        let value: FeatureValue = serde_json::from_str("3").expect("reads");
        assert_eq!(value, FeatureValue::Number(3.0));
        for packed in [rmp_serde::to_vec(&-3_i64).expect("packs"), rmp_serde::to_vec(&-3.0_f32).expect("packs")] {
            assert_eq!(rmp_serde::from_slice::<FeatureValue>(&packed).expect("reads"), FeatureValue::Number(-3.0));
        }
    }

    #[test]
    fn what_is_no_value_is_refused_with_what_would_be_one() {
        for wrong in ["true", "[1]", "{}", r#"{"number":"many"}"#, r#"{"number":1}"#] {
            assert!(serde_json::from_str::<FeatureValue>(wrong).is_err(), "{wrong}");
        }
        let sentence = serde_json::from_str::<FeatureValue>("true").expect_err("must refuse").to_string();
        assert!(sentence.contains("expected a number, a string, null or"), "{sentence}");
    }
}
