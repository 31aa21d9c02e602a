//! The bodies that KServe's logger passes on: Open Inference v2 (`inputs`, `outputs`, raw tensors behind the JSON
//! included) and v1 (`instances`, `predictions`), as rows of numbers and words.
//!
//! This reads for observing, not for running: numbers become 64-bit floats whatever their datatype, and what cannot be
//! read is `None`, since a request that was made is an observation also where its content says nothing. A name that is too
//! long is such: every value below it would get a copy of it.

use contract::feature::TENSOR_NAME_BYTES_MAX;
use serde_json::{Map, Value};

use super::features::FEATURES_MAX;

/// Deepest nesting of data: no model takes tensors of a higher rank.
const DEPTH_MAX: usize = 16;

/// What a body holds.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Body {
    pub tensors: Vec<Tensor>,
    /// Items, which the first axis of a tensor counts.
    pub items: usize,
    /// What may be kept as content.
    pub content: Value,
    /// `model_version`, of an answer.
    pub version: Option<String>,
}

/// A named tensor, or what one item of a v1 body holds under a name.
#[derive(Debug, PartialEq)]
pub(super) struct Tensor {
    pub name: String,
    pub shape: Vec<usize>,
    pub data: Data,
    /// The item that its first row is.
    pub first: usize,
}

/// Values in row-major order.
#[derive(Debug, PartialEq)]
pub(super) enum Data {
    /// `null` is NaN.
    Numbers(Vec<f64>),
    Words(Vec<String>),
    /// A `null` alone.
    Nothing,
}

impl Tensor {
    /// Items; none of one without values, whatever its shape says: `[4000000000, 0]` is a shape too.
    pub fn rows(&self) -> usize {
        if self.shape.contains(&0) { 0 } else { self.shape.first().copied().unwrap_or(1) }
    }

    pub fn columns(&self) -> usize {
        self.shape.iter().skip(1).fold(1, |columns, axis| columns.saturating_mul(*axis))
    }
}

/// Which half of an exchange a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Keys {
    v2: &'static str,
    v1: &'static str,
}

/// Of a request.
pub(super) const ASKED: Keys = Keys { v2: "inputs", v1: "instances" };
/// Of an answer.
pub(super) const GIVEN: Keys = Keys { v2: "outputs", v1: "predictions" };

/// Reads a body; `None` where it is neither of the two protocols.
pub(super) fn read(bytes: &[u8], keys: Keys) -> Option<Body> {
    let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<Value>();
    let Value::Object(mut object) = values.next()?.ok()? else { return None };
    let raw = &bytes[values.byte_offset()..];
    let version = object.remove("model_version").and_then(|version| version.as_str().map(str::to_owned));
    let mut body = match (object.remove(keys.v2), object.remove(keys.v1)) {
        (Some(Value::Array(tensors)), _) => v2(tensors, raw, keys.v2)?,
        (None, Some(Value::Array(items))) => v1(items, keys.v1)?,
        _ => return None,
    };
    // parameters stand beside the tensors, as the proxy's do, so that masking rules name them alike
    if let (Some(Value::Object(parameters)), Value::Object(content)) = (object.remove("parameters"), &mut body.content)
    {
        for (key, value) in parameters {
            content.entry(key).or_insert(value);
        }
    }
    Some(Body { version, ..body })
}

fn v2(tensors: Vec<Value>, raw: &[u8], key: &str) -> Option<Body> {
    let mut raw = raw;
    let mut read = Vec::with_capacity(tensors.len());
    let mut kept = Vec::with_capacity(tensors.len());
    for tensor in tensors {
        let Value::Object(mut tensor) = tensor else { return None };
        let name = tensor.get("name")?.as_str().filter(|name| name.len() <= TENSOR_NAME_BYTES_MAX)?.to_owned();
        let shape: Option<Vec<usize>> = tensor.get("shape")?.as_array()?.iter().map(size).collect();
        let (shape, datatype) = (shape?, tensor.get("datatype")?.as_str()?.to_owned());
        let data = match binary_bytes(&tensor) {
            Some(length) => {
                let (own, rest) = raw.split_at_checked(length)?;
                raw = rest;
                let data = binary(own, &datatype)?;
                tensor.remove("parameters");
                tensor.insert("data".to_owned(), json(&data));
                data
            }
            None => flat(tensor.get("data")?)?.0,
        };
        let expected = shape.iter().try_fold(1_usize, |product, n| product.checked_mul(*n))?;
        if length(&data) != expected {
            return None;
        }
        read.push(Tensor { name, shape, data, first: 0 });
        kept.push(Value::Object(tensor));
    }
    let items = read.first().map_or(0, Tensor::rows);
    Some(Body { tensors: read, items, content: content(key, kept), version: None })
}

/// Rows of numbers or words are one tensor that is named like the list; objects are a tensor a name and item.
fn v1(items: Vec<Value>, key: &str) -> Option<Body> {
    let count = items.len();
    let mut tensors = Vec::new();
    if items.iter().all(Value::is_object) {
        for (first, item) in items.iter().enumerate() {
            named(item, "", 0, first, &mut tensors)?;
        }
    } else {
        let list = Value::Array(items);
        let (data, shape) = flat(&list)?;
        tensors.push(Tensor { name: key.to_owned(), shape, data, first: 0 });
        let Value::Array(items) = list else { return None };
        return Some(Body { tensors, items: count, content: content(key, items), version: None });
    }
    Some(Body { tensors, items: count, content: content(key, items), version: None })
}

/// What an object holds under its names, of objects in it under the names of both: `who.age`. Of more than may be it leaves
/// one too many, by which the body is refused.
fn named(object: &Value, within: &str, depth: usize, first: usize, tensors: &mut Vec<Tensor>) -> Option<()> {
    for (name, value) in object.as_object().into_iter().flatten() {
        if tensors.len() > FEATURES_MAX {
            break;
        }
        // a picture or a sound: nothing to count
        if name == "b64" {
            continue;
        }
        if within.len() + 1 + name.len() > TENSOR_NAME_BYTES_MAX {
            return None;
        }
        let name = if within.is_empty() { name.clone() } else { format!("{within}.{name}") };
        if value.is_object() {
            if depth == DEPTH_MAX {
                return None;
            }
            named(value, &name, depth + 1, first, tensors)?;
            continue;
        }
        let (data, lengths) = if value.is_null() { (Data::Nothing, vec![]) } else { flat(value)? };
        let shape = std::iter::once(1).chain(lengths).collect();
        tensors.push(Tensor { name, shape, data, first });
    }
    Some(())
}

fn content(key: &str, values: Vec<Value>) -> Value {
    Value::Object(Map::from_iter([(key.to_owned(), Value::Array(values))]))
}

fn size(value: &Value) -> Option<usize> {
    usize::try_from(value.as_u64()?).ok()
}

fn length(data: &Data) -> usize {
    match data {
        Data::Numbers(numbers) => numbers.len(),
        Data::Words(words) => words.len(),
        Data::Nothing => 0,
    }
}

/// Values in row-major order, and the lengths of the arrays they stood in; `None` where these differ, or kinds mix.
fn flat(value: &Value) -> Option<(Data, Vec<usize>)> {
    let (mut numbers, mut words, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
    let depth = walk(value, 0, &mut lengths, &mut numbers, &mut words)?;
    let regular = lengths.len() == depth && lengths.iter().product::<usize>() == numbers.len() + words.len();
    match (numbers.is_empty(), words.is_empty()) {
        _ if !regular => None,
        (_, true) => Some((Data::Numbers(numbers), lengths)),
        (true, false) => Some((Data::Words(words), lengths)),
        (false, false) => None,
    }
}

/// Collects the leaves; returns how deep they lie, which must be the same for all.
fn walk(
    value: &Value,
    depth: usize,
    lengths: &mut Vec<usize>,
    numbers: &mut Vec<f64>,
    words: &mut Vec<String>,
) -> Option<usize> {
    match value {
        Value::Number(number) => numbers.push(number.as_f64()?),
        Value::Bool(yes) => numbers.push(f64::from(u8::from(*yes))),
        Value::Null => numbers.push(f64::NAN),
        Value::String(word) => words.push(word.clone()),
        Value::Object(_) => return None,
        Value::Array(items) if depth < DEPTH_MAX => {
            match lengths.get(depth) {
                None => lengths.push(items.len()),
                Some(length) if *length == items.len() => {}
                Some(_) => return None,
            }
            let mut deep = depth + 1;
            for (i, item) in items.iter().enumerate() {
                let leaf = walk(item, depth + 1, lengths, numbers, words)?;
                if i > 0 && leaf != deep {
                    return None;
                }
                deep = leaf;
            }
            return Some(deep);
        }
        Value::Array(_) => return None,
    }
    Some(depth)
}

fn binary_bytes(tensor: &Map<String, Value>) -> Option<usize> {
    size(tensor.get("parameters")?.get("binary_data_size")?)
}

/// Raw little-endian values, as the protocol's binary extension has them; strings have their length before them.
fn binary(bytes: &[u8], datatype: &str) -> Option<Data> {
    macro_rules! numbers {
        ($type:ty) => {{
            let (values, rest) = bytes.as_chunks::<{ size_of::<$type>() }>();
            #[allow(clippy::cast_lossless, clippy::cast_precision_loss, reason = "a feature is a 64-bit float")]
            let numbers = values.iter().map(|value| <$type>::from_le_bytes(*value) as f64).collect();
            rest.is_empty().then_some(Data::Numbers(numbers))
        }};
    }
    match datatype {
        "BOOL" | "UINT8" => numbers!(u8),
        "UINT16" => numbers!(u16),
        "UINT32" => numbers!(u32),
        "UINT64" => numbers!(u64),
        "INT8" => numbers!(i8),
        "INT16" => numbers!(i16),
        "INT32" => numbers!(i32),
        "INT64" => numbers!(i64),
        "FP32" => numbers!(f32),
        "FP64" => numbers!(f64),
        "FP16" => halves(bytes, of_fp16),
        // the upper half of a 32-bit float
        "BF16" => halves(bytes, |bits| f32::from_bits(u32::from(bits) << 16).into()),
        "BYTES" => strings(bytes),
        _ => None,
    }
}

fn halves(bytes: &[u8], number: fn(u16) -> f64) -> Option<Data> {
    let (values, rest) = bytes.as_chunks::<2>();
    let numbers = values.iter().map(|value| number(u16::from_le_bytes(*value))).collect();
    rest.is_empty().then_some(Data::Numbers(numbers))
}

/// IEEE 754 binary16: a sign, five bits of exponent with a bias of 15, ten of fraction.
fn of_fp16(bits: u16) -> f64 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023) / 1024.0);
    sign * match exponent {
        0 => fraction * 2_f64.powi(-14),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction) * 2_f64.powi(exponent - 15),
    }
}

fn strings(bytes: &[u8]) -> Option<Data> {
    let (mut bytes, mut words) = (bytes, Vec::new());
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (own, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        words.push(String::from_utf8_lossy(own).into_owned());
        bytes = rest;
    }
    Some(Data::Words(words))
}

fn json(data: &Data) -> Value {
    match data {
        Data::Numbers(numbers) => numbers.iter().map(|x| Value::from(*x)).collect(),
        Data::Words(words) => words.iter().map(|word| Value::from(word.as_str())).collect(),
        Data::Nothing => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn asked(text: &str) -> Option<Body> {
        read(text.as_bytes(), ASKED)
    }

    #[test]
    fn both_protocols_are_read() {
        let v2 = r#"{"inputs":[{"name":"x","datatype":"FP32","shape":[2,2],"data":[[1,2],[3,null]]}],"parameters":{"ticket":"T"}}"#;
        let body = asked(v2).unwrap();
        assert_eq!((body.items, body.tensors[0].columns(), &body.content["ticket"]), (2, 2, &Value::from("T")));
        assert!(matches!(&body.tensors[0].data, Data::Numbers(x) if x[..3] == [1.0, 2.0, 3.0] && x[3].is_nan()));
        let rows = asked(r#"{"instances":[[6.8,2.8],[6.0,3.4]]}"#).unwrap();
        assert_eq!((rows.items, rows.tensors[0].shape.as_slice()), (2, &[2, 2][..]));
        let named = asked(r#"{"instances":[{"age":41,"job":"cook"},{"age":null,"job":"smith"}]}"#).unwrap();
        let age: Vec<_> = named.tensors.iter().filter(|t| t.name == "age").map(|t| (t.first, &t.data)).collect();
        assert_eq!(age, [(0, &Data::Numbers(vec![41.0])), (1, &Data::Nothing)]);
        let answer = read(br#"{"model_version":"3","predictions":["a","b"]}"#, GIVEN).unwrap();
        assert_eq!((answer.version.as_deref(), answer.items), (Some("3"), 2));
        assert_eq!(asked(r#"{"instances":[{"b64":"aGk="}]}"#).unwrap().items, 1);
    }

    /// Bytes made by `numpy.array([1.5, -2], dtype="float32").tobytes().hex()` and
    /// `struct.pack("<I5s", 5, b"hello").hex()`.
    #[test]
    fn raw_tensors_follow_the_json() {
        let mut body = br#"{"inputs":[{"name":"x","datatype":"FP32","shape":[2],"parameters":{"binary_data_size":8}},
            {"name":"s","datatype":"BYTES","shape":[1],"parameters":{"binary_data_size":9}}]}"#
            .to_vec();
        body.extend([0, 0, 0xC0, 0x3F, 0, 0, 0, 0xC0, 5, 0, 0, 0]);
        body.extend(b"hello");
        let whole = read(&body, ASKED).unwrap();
        assert_eq!(whole.tensors[0].data, Data::Numbers(vec![1.5, -2.0]));
        assert_eq!(whole.tensors[1].data, Data::Words(vec!["hello".into()]));
        assert_eq!(whole.content["inputs"][1]["data"][0], "hello", "what is masked is what is kept");
        body.pop();
        assert_eq!(read(&body, ASKED), None);
    }

    /// Python: `numpy.array([1.5, -2, 65504, 6e-8, inf], "float16").tobytes().hex()`; of bfloat16 the upper halves of
    /// `numpy.array([1.5, -2], "float32").tobytes().hex()`.
    #[test]
    fn floats_of_sixteen_bits_are_read() {
        let hex = [0x00, 0x3E, 0x00, 0xC0, 0xFF, 0x7B, 0x01, 0x00, 0x00, 0x7C];
        let least = 2_f64.powi(-24);
        assert_eq!(binary(&hex, "FP16"), Some(Data::Numbers(vec![1.5, -2.0, 65_504.0, least, f64::INFINITY])));
        assert!(of_fp16(0x7E00).is_nan());
        assert_eq!(binary(&[0xC0, 0x3F, 0x00, 0xC0], "BF16"), Some(Data::Numbers(vec![1.5, -2.0])));
        assert_eq!(binary(&[0], "BF16"), None);
    }

    #[test]
    fn what_contradicts_itself_is_not_read() {
        for text in [
            "",
            "[]",
            r#"{"inputs":3}"#,
            r#"{"instances":[[1,2],[3]]}"#,
            r#"{"instances":[[1],2]}"#,
            r#"{"instances":[[[]],[[],[]]]}"#,
            r#"{"instances":[1,"a"]}"#,
            r#"{"instances":[{"a":[{"b":1}]}]}"#,
            r#"{"inputs":[{"name":"x","datatype":"FP32","shape":[3],"data":[1,2]}]}"#,
            r#"{"inputs":[{"name":"x","datatype":"FP32","shape":[4294967296,4294967296],"data":[]}]}"#,
        ] {
            assert_eq!(asked(text), None, "{text}");
        }
    }

    #[test]
    fn a_shape_without_values_has_no_items_however_many_it_names() {
        for shape in ["[4000000000,0]", "[0,9000000000000000000,4]", "[3,0]"] {
            let text = format!(r#"{{"inputs":[{{"name":"x","datatype":"FP32","shape":{shape},"data":[]}}]}}"#);
            let body = asked(&text).unwrap();
            assert_eq!((body.items, body.tensors[0].rows()), (0, 0), "{shape}");
            assert!(
                super::super::features::asked(&body, &super::super::config::Model::default()).is_empty(),
                "{shape}"
            );
        }
    }

    /// Each of ten thousand values under a name of a megabyte would get a copy of it.
    #[test]
    fn a_name_that_is_no_name_makes_a_body_unreadable() {
        for (bytes, is_read) in [(200, true), (TENSOR_NAME_BYTES_MAX + 1, false)] {
            let name = "n".repeat(bytes);
            for text in [
                format!(r#"{{"inputs":[{{"name":"{name}","datatype":"FP32","shape":[2,1],"data":[1,2]}}]}}"#),
                format!(r#"{{"instances":[{{"{name}":1}}]}}"#),
                format!(r#"{{"instances":[{{"{name}":{{"a0":1,"a1":2}}}}]}}"#),
                format!(r#"{{"instances":[{{"{0}":{{"{1}":1}}}}]}}"#, &name[..bytes / 2], &name[bytes / 2..]),
            ] {
                assert_eq!(asked(&text).is_some(), is_read, "{bytes}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&bytes, ASKED);
            for datatype in ["INT64", "BYTES", "FP16"] {
                let _ = binary(&bytes, datatype);
            }
        }
    }
}
