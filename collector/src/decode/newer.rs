//! Batches of a proxy that is newer than this collector: fields that are not known are left out, and the rest is read.
//!
//! The choice: who is upgraded first must not matter, and a batch that is refused is lost. A field that came later is one
//! more column of a newer collector, so without it the rest still holds; a new word where one of a list belongs may be
//! anything, and is refused as ever. Only MessagePack is read so: JSON is what people write, and there a field that is not
//! known is a typing error.
//!
//! Each struct of the contract refuses fields that it does not know. Here it never sees them: whoever reads a struct says
//! its fields, and what stands between it and the bytes takes the others out.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;

use contract::wire::Batch;
use serde::Deserialize as _;
use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, Deserializer, EnumAccess, IgnoredAny, MapAccess, SeqAccess, VariantAccess, Visitor};

/// Names that are told of one batch.
const NAMES_MAX: usize = 16;

/// Fields that were not read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LeftOut {
    /// How many, in all observations together.
    pub count: u64,
    /// What they are called.
    pub names: BTreeSet<String>,
}

/// Reads a batch, but for the fields that this collector does not know.
pub(super) fn batch(body: &[u8]) -> Option<(Batch, LeftOut)> {
    let left_out = RefCell::default();
    let mut reader = super::packed(body);
    let batch = Batch::deserialize(Known { inner: &mut reader, fields: None, left_out: &left_out }).ok()?;
    super::is_at_end(&mut reader).then(|| (batch, left_out.into_inner()))
}

/// Lets pass what the reader knows. `fields` are those of the struct that is being read; `None` of anything else.
struct Known<'s, T> {
    inner: T,
    fields: Option<&'static [&'static str]>,
    left_out: &'s RefCell<LeftOut>,
}

impl<'s, T> Known<'s, T> {
    /// The same between something else and the bytes.
    const fn of<U>(left_out: &'s RefCell<LeftOut>, inner: U) -> Known<'s, U> {
        Known { inner, fields: None, left_out }
    }

    fn note(&self, name: String) {
        let mut left_out = self.left_out.borrow_mut();
        left_out.count += 1;
        if left_out.names.len() < NAMES_MAX {
            left_out.names.insert(name);
        }
    }
}

macro_rules! passed_on {
    ($($method:ident($($name:ident: $kind:ty),*))*) => {
        $(fn $method<V: Visitor<'de>>(self, $($name: $kind,)* visitor: V) -> Result<V::Value, D::Error> {
            self.inner.$method($($name,)* Self::of(self.left_out, visitor))
        })*
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Known<'_, D> {
    type Error = D::Error;

    passed_on! {
        deserialize_any() deserialize_bool() deserialize_i8() deserialize_i16() deserialize_i32() deserialize_i64()
        deserialize_i128() deserialize_u8() deserialize_u16() deserialize_u32() deserialize_u64() deserialize_u128()
        deserialize_f32() deserialize_f64() deserialize_char() deserialize_str() deserialize_string()
        deserialize_bytes() deserialize_byte_buf() deserialize_option() deserialize_unit() deserialize_seq()
        deserialize_map() deserialize_identifier() deserialize_ignored_any()
        deserialize_unit_struct(name: &'static str)
        deserialize_newtype_struct(name: &'static str)
        deserialize_tuple(length: usize)
        deserialize_tuple_struct(name: &'static str, length: usize)
        deserialize_enum(name: &'static str, variants: &'static [&'static str])
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let visitor = Known { inner: visitor, fields: Some(fields), left_out: self.left_out };
        self.inner.deserialize_struct(name, fields, visitor)
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

macro_rules! told {
    ($($method:ident($kind:ty))*) => {
        $(fn $method<E: serde::de::Error>(self, value: $kind) -> Result<V::Value, E> {
            self.inner.$method(value)
        })*
    };
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Known<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    told! {
        visit_bool(bool) visit_i8(i8) visit_i16(i16) visit_i32(i32) visit_i64(i64) visit_i128(i128) visit_u8(u8)
        visit_u16(u16) visit_u32(u32) visit_u64(u64) visit_u128(u128) visit_f32(f32) visit_f64(f64) visit_char(char)
        visit_str(&str) visit_borrowed_str(&'de str) visit_string(String) visit_bytes(&[u8])
        visit_borrowed_bytes(&'de [u8]) visit_byte_buf(Vec<u8>)
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.inner.visit_none()
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.inner.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.inner.visit_some(Self::of(self.left_out, inner))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.inner.visit_newtype_struct(Self::of(self.left_out, inner))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        self.inner.visit_seq(Self::of(self.left_out, inner))
    }

    fn visit_map<A: MapAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let Self { inner: visitor, fields, left_out } = self;
        visitor.visit_map(Known { inner, fields, left_out })
    }

    fn visit_enum<A: EnumAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        self.inner.visit_enum(Self::of(self.left_out, inner))
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Known<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<S::Value, D::Error> {
        self.inner.deserialize(Self::of(self.left_out, inner))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Known<'_, A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.inner.next_element_seed(Self::of(self.left_out, seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Known<'_, A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        let Some(fields) = self.fields else { return self.inner.next_key_seed(Self::of(self.left_out, seed)) };
        while let Some(name) = self.inner.next_key::<String>()? {
            if fields.contains(&name.as_str()) {
                return seed.deserialize(StrDeserializer::new(&name)).map(Some);
            }
            self.inner.next_value::<IgnoredAny>()?;
            self.note(name);
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.inner.next_value_seed(Self::of(self.left_out, seed))
    }
}

impl<'de, 's, A: EnumAccess<'de>> EnumAccess<'de> for Known<'s, A> {
    type Error = A::Error;
    type Variant = Known<'s, A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self::Variant), A::Error> {
        let (value, variant) = self.inner.variant_seed(Self::of(self.left_out, seed))?;
        Ok((value, Self::of(self.left_out, variant)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Known<'_, A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        self.inner.newtype_variant_seed(Self::of(self.left_out, seed))
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, A::Error> {
        self.inner.tuple_variant(length, Self::of(self.left_out, visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.inner.struct_variant(fields, Known { inner: visitor, fields: Some(fields), left_out: self.left_out })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Form, Posted, observations};
    use super::*;
    use contract::wire::{Gap, Payload};
    use serde_json::{Value, json};

    /// An observation with something of every shape that the contract has.
    fn value() -> Value {
        let gaps = json!([{"number": {"absolute": 0.5, "relative": 0.25}}, {"vector": {"distance": 0.1}}, "shape"]);
        json!({
            "wire": 1, "source": "proxy-1", "epoch": 1, "seq": 1, "sent_at_ms": 1,
            "ledger": {"observed": 1, "delivered": 1, "dropped": 0, "in_flight": 0},
            "observations": [{
                "id": uuid::Uuid::from_u128(7), "trace_id": "t", "at_ms": 1, "model": "m", "version": "1", "outcome": "ok",
                "timings": {"total_us": 5, "provider": "cpu"},
                "features": [{"name": "input.x", "value": 0.5}, {"name": "input.z", "value": null},
                             {"name": "input.y", "item": 1, "value": {"number": "NaN"}}],
                "predictions": [{"label": "a", "confidence": 0.75}],
                "shadows": [{"version": "2", "outcome": "ok", "gaps": gaps}],
                "payload": {"kept": {"input": {"text": "fine", "n": [1, null, {"later": true}]}}},
            }],
        })
    }

    /// As MessagePack writes it where programs read it: ids are bytes.
    fn packed(value: Value, more: bool) -> Vec<u8> {
        let batch: Batch = serde_json::from_value(value).unwrap();
        let mut tree = rmp_value(&rmp_serde::to_vec_named(&batch).unwrap());
        if more {
            grow(&mut tree, &[]);
        }
        let mut out = Vec::new();
        write(&tree, &mut out);
        out
    }

    /// MessagePack as a tree: maps apart from what else there is, of which the bytes are kept.
    #[derive(Clone, Debug)]
    enum Tree {
        Map(Vec<(String, Tree)>),
        List(Vec<Tree>),
        Leaf(Vec<u8>),
    }

    fn rmp_value(bytes: &[u8]) -> Tree {
        fn read(rest: &mut &[u8]) -> Tree {
            let marker = rest[0];
            let take = |rest: &mut &[u8], n: usize| {
                let (taken, after) = rest.split_at(n);
                *rest = after;
                taken.to_vec()
            };
            match marker {
                0x80..=0x8F => {
                    take(rest, 1);
                    let pair = |rest: &mut &[u8]| {
                        let Tree::Leaf(key) = read(rest) else { panic!("a key is a text") };
                        (String::from_utf8(key[1..].to_vec()).unwrap(), read(rest))
                    };
                    Tree::Map((0..marker & 0x0F).map(|_| pair(rest)).collect())
                }
                0x90..=0x9F => {
                    take(rest, 1);
                    Tree::List((0..marker & 0x0F).map(|_| read(rest)).collect())
                }
                0xA0..=0xBF => Tree::Leaf(take(rest, 1 + usize::from(marker & 0x1F))),
                0xC4 | 0xD9 => Tree::Leaf(take(rest, 2 + usize::from(rest[1]))),
                0xCB | 0xCF | 0xD3 => Tree::Leaf(take(rest, 9)),
                0xCC => Tree::Leaf(take(rest, 2)),
                0xCD => Tree::Leaf(take(rest, 3)),
                0xC0..=0xC3 | 0x00..=0x7F | 0xE0..=0xFF => Tree::Leaf(take(rest, 1)),
                other => panic!("marker {other:x}"),
            }
        }
        let mut rest = bytes;
        let tree = read(&mut rest);
        assert!(rest.is_empty());
        tree
    }

    /// A field that nobody knows, first in every struct; payloads are anybody's.
    fn grow(tree: &mut Tree, path: &[&str]) {
        match tree {
            Tree::Map(fields) => {
                for (name, field) in fields.iter_mut() {
                    if !["input", "output", "value"].contains(&name.as_str()) {
                        grow(field, &[path, &[name.as_str()]].concat());
                    }
                }
                // an enum's variant is a map of one, whose key is its name
                let is_variant = matches!(path.last(), Some(&("payload" | "gaps")));
                if !is_variant {
                    let nested = Tree::Map(vec![("deep".to_owned(), Tree::List(vec![Tree::Leaf(vec![0xC0])]))]);
                    fields.insert(0, ("from_later".to_owned(), nested));
                }
            }
            Tree::List(items) => items.iter_mut().for_each(|item| grow(item, path)),
            Tree::Leaf(_) => {}
        }
    }

    fn write(tree: &Tree, out: &mut Vec<u8>) {
        match tree {
            Tree::Map(fields) => {
                // a marker that holds any number
                out.push(0xDE);
                out.extend((fields.len() as u16).to_be_bytes());
                for (name, field) in fields {
                    out.extend(rmp_serde::to_vec(name).unwrap());
                    write(field, out);
                }
            }
            Tree::List(items) => {
                out.push(0xDC);
                out.extend((items.len() as u16).to_be_bytes());
                items.iter().for_each(|item| write(item, out));
            }
            Tree::Leaf(bytes) => out.extend(bytes),
        }
    }

    #[test]
    fn a_field_of_a_later_version_is_left_out_wherever_it_is_and_the_rest_is_read() {
        let body = packed(value(), true);
        let (read, left_out) = match observations(&body, Form::Msgpack, 5) {
            Ok(Posted::Newer(read, left_out)) => (read, left_out),
            other => panic!("{other:?}"),
        };
        let expected: Batch = serde_json::from_value(value()).unwrap();
        // what is no number is no equal of itself
        assert_eq!(format!("{read:?}"), format!("{expected:?}"));
        assert!(matches!(
            read.observations[0].shadows[0].gaps[..],
            [Gap::Number { .. }, Gap::Vector { .. }, Gap::Shape]
        ));
        assert!(matches!(read.observations[0].payload, Payload::Kept(_)));
        // batch, ledger, observation, timings, three features, prediction, shadow, its timings, two gaps, content
        assert_eq!(left_out, LeftOut { count: 13, names: ["from_later".to_owned()].into() });
    }

    #[test]
    fn what_this_collector_knows_wholly_is_no_later_version() {
        let body = packed(value(), false);
        assert!(matches!(observations(&body, Form::Msgpack, 5), Ok(Posted::Batch(_))));
        assert_eq!(batch(&body).map(|(_, left_out)| left_out), Some(LeftOut::default()));
        let longer = [body.as_slice(), &[0xC0]].concat();
        assert!(batch(&longer).is_none() && observations(&longer, Form::Msgpack, 5).is_err());
    }

    #[test]
    fn a_mistyped_field_of_a_person_is_refused_as_ever() {
        let mut typed = value();
        typed["observations"][0]["labels"] = json!([]);
        let refused = observations(typed.to_string().as_bytes(), Form::Json, 5).unwrap_err().to_string();
        assert!(refused.contains("observations[0]") && refused.contains("unknown field `labels`"), "{refused}");
        let one = typed["observations"][0].to_string();
        assert!(observations(one.as_bytes(), Form::Json, 5).is_err());
    }
}
