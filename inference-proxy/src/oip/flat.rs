//! The `data` of a JSON tensor: flat or nested, read in one pass into one compact column.
//!
//! JSON names the datatype beside the data and possibly after it, so values are first kept as JSON has them: whole
//! numbers, numbers, booleans or strings, all of one kind; the nesting is checked on the way. The second step,
//! [`Flat::into_data`], knows the datatype and checks every value against its range.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};

use super::binary::UNKNOWN_DATATYPE;
use crate::tensor::Data;

/// Deepest nesting of `data`: no model takes tensors of a higher rank.
const MAX_DEPTH: usize = 16;

/// Values in row-major order with the lengths of the arrays they stood in, outermost first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Flat {
    values: Values,
    /// Length of the arrays at each depth; one entry for flat data.
    lengths: Vec<usize>,
}

#[derive(Clone, Debug, Default, PartialEq)]
enum Values {
    #[default]
    Empty,
    Ints(Vec<i64>),
    /// Whole numbers of which one does not fit 64 bits with a sign.
    Wide(Vec<i128>),
    Floats(Vec<f64>),
    Bools(Vec<bool>),
    Strings(Vec<String>),
}

/// Whole numbers below this are exact as 64-bit floats.
const EXACT: f64 = 9_007_199_254_740_992.0;

impl Flat {
    /// The lengths of the nested arrays, where data was nested.
    #[must_use]
    pub fn nesting(&self) -> Option<&[usize]> {
        (self.lengths.len() > 1).then_some(&self.lengths)
    }

    /// The values as one datatype.
    ///
    /// # Errors
    /// A sentence's end that says which value does not fit, and why.
    pub fn into_data(self, datatype: &str) -> Result<Data, String> {
        let values = self.values;
        Ok(match datatype {
            "BOOL" => Data::Bool(values.bools()?),
            "UINT8" => Data::Uint8(values.whole(datatype)?),
            "UINT16" => Data::Uint16(values.whole(datatype)?),
            "UINT32" => Data::Uint32(values.whole(datatype)?),
            "UINT64" => Data::Uint64(values.whole(datatype)?),
            "INT8" => Data::Int8(values.whole(datatype)?),
            "INT16" => Data::Int16(values.whole(datatype)?),
            "INT32" => Data::Int32(values.whole(datatype)?),
            "INT64" => Data::Int64(values.whole(datatype)?),
            "FP32" => Data::Fp32(values.single()?),
            "FP64" => Data::Fp64(values.double()?),
            "BYTES" => Data::Bytes(values.strings()?),
            // as Triton: JSON has no 16-bit number, so rounding would be the server's guess
            "FP16" | "BF16" => {
                return Err(format!("has datatype {datatype}, which JSON cannot carry; send binary tensor data"));
            }
            _ => return Err(UNKNOWN_DATATYPE.to_owned()),
        })
    }
}

impl Values {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Empty => "nothing",
            Self::Ints(_) | Self::Wide(_) | Self::Floats(_) => "numbers",
            Self::Bools(_) => "booleans",
            Self::Strings(_) => "strings",
        }
    }

    fn bools(self) -> Result<Vec<bool>, String> {
        match self {
            Self::Empty => Ok(vec![]),
            Self::Bools(values) => Ok(values),
            other => Err(format!("has datatype BOOL but holds {}", other.kind())),
        }
    }

    fn strings(self) -> Result<Vec<String>, String> {
        match self {
            Self::Empty => Ok(vec![]),
            Self::Strings(values) => Ok(values),
            other => Err(format!("has datatype BYTES but holds {}", other.kind())),
        }
    }

    fn whole<T: TryFrom<i64> + TryFrom<i128>>(self, datatype: &str) -> Result<Vec<T>, String> {
        let misfit = |n: usize, value: &dyn fmt::Display| format!("holds {value} at {n}, which is no {datatype}");
        match self {
            Self::Empty => Ok(vec![]),
            Self::Ints(values) => {
                let fit = |(n, v): (usize, i64)| T::try_from(v).map_err(|_| misfit(n, &v));
                values.into_iter().enumerate().map(fit).collect()
            }
            Self::Wide(values) => {
                let fit = |(n, v): (usize, i128)| T::try_from(v).map_err(|_| misfit(n, &v));
                values.into_iter().enumerate().map(fit).collect()
            }
            Self::Floats(values) => {
                #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and exact")]
                let fit = |(n, v): (usize, f64)| {
                    let exact = v.fract() == 0.0 && v.abs() < EXACT;
                    exact.then_some(v as i64).and_then(|v| T::try_from(v).ok()).ok_or_else(|| misfit(n, &v))
                };
                values.into_iter().enumerate().map(fit).collect()
            }
            other => Err(format!("has datatype {datatype} but holds {}", other.kind())),
        }
    }

    fn double(self) -> Result<Vec<f64>, String> {
        #[expect(clippy::cast_precision_loss, reason = "what a client writes as a number is meant as one")]
        match self {
            Self::Empty => Ok(vec![]),
            Self::Floats(values) => Ok(values),
            Self::Ints(values) => Ok(values.into_iter().map(|v| v as f64).collect()),
            Self::Wide(values) => Ok(values.into_iter().map(|v| v as f64).collect()),
            other => Err(format!("has datatype FP64 but holds {}", other.kind())),
        }
    }

    fn single(self) -> Result<Vec<f32>, String> {
        if !matches!(self, Self::Empty | Self::Ints(_) | Self::Wide(_) | Self::Floats(_)) {
            return Err(format!("has datatype FP32 but holds {}", self.kind()));
        }
        #[expect(clippy::cast_possible_truncation, reason = "rounding is the datatype's, overflow is checked")]
        let fit = |(n, v): (usize, f64)| match v as f32 {
            single if single.is_finite() => Ok(single),
            _ => Err(format!("holds {v} at {n}, which is no FP32")),
        };
        self.double()?.into_iter().enumerate().map(fit).collect()
    }

    fn push_int(&mut self, value: i64) -> Result<(), &'static str> {
        match self {
            Self::Empty => *self = Self::Ints(vec![value]),
            Self::Ints(values) => values.push(value),
            Self::Wide(values) => values.push(value.into()),
            #[expect(clippy::cast_precision_loss, reason = "it stands among floats")]
            Self::Floats(values) => values.push(value as f64),
            other => return Err(other.kind()),
        }
        Ok(())
    }

    fn push_wide(&mut self, value: u64) -> Result<(), &'static str> {
        match self {
            Self::Empty => *self = Self::Wide(vec![value.into()]),
            Self::Ints(values) => {
                let widened = values.iter().map(|&v| v.into()).chain([value.into()]);
                *self = Self::Wide(widened.collect());
            }
            Self::Wide(values) => values.push(value.into()),
            #[expect(clippy::cast_precision_loss, reason = "it stands among floats")]
            Self::Floats(values) => values.push(value as f64),
            other => return Err(other.kind()),
        }
        Ok(())
    }

    #[expect(clippy::cast_precision_loss, reason = "it stands among floats")]
    fn push_float(&mut self, value: f64) -> Result<(), &'static str> {
        match self {
            Self::Empty => *self = Self::Floats(vec![value]),
            Self::Ints(values) => *self = Self::Floats(values.iter().map(|&v| v as f64).chain([value]).collect()),
            Self::Wide(values) => *self = Self::Floats(values.iter().map(|&v| v as f64).chain([value]).collect()),
            Self::Floats(values) => values.push(value),
            other => return Err(other.kind()),
        }
        Ok(())
    }

    fn push_bool(&mut self, value: bool) -> Result<(), &'static str> {
        match self {
            Self::Empty => *self = Self::Bools(vec![value]),
            Self::Bools(values) => values.push(value),
            other => return Err(other.kind()),
        }
        Ok(())
    }

    fn push_string(&mut self, value: String) -> Result<(), &'static str> {
        match self {
            Self::Empty => *self = Self::Strings(vec![value]),
            Self::Strings(values) => values.push(value),
            other => return Err(other.kind()),
        }
        Ok(())
    }
}

impl<'de> serde::Deserialize<'de> for Flat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut reader = Reader::default();
        Element { depth: 0, reader: &mut reader }.deserialize(deserializer)?;
        if reader.lengths.is_empty() {
            return Err(D::Error::custom("`data` must be an array"));
        }
        let lengths = reader.lengths.into_iter().map(Option::unwrap_or_default).collect();
        Ok(Self { values: reader.values, lengths })
    }
}

#[derive(Default)]
struct Reader {
    values: Values,
    /// `None` while the first array of its depth is open.
    lengths: Vec<Option<usize>>,
    /// Depth at which values stand.
    leaves: Option<usize>,
}

impl Reader {
    fn leaf<E: Error>(&mut self, depth: usize, pushed: Result<(), &'static str>, found: &str) -> Result<(), E> {
        if depth == 0 {
            return Err(E::custom("`data` must be an array"));
        }
        pushed.map_err(|before| E::custom(format_args!("`data` mixes {found} with {before}")))?;
        match self.leaves.replace(depth) {
            Some(before) if before != depth => Err(E::custom("`data` mixes values and arrays at one depth")),
            _ => Ok(()),
        }
    }

    fn open<E: Error>(&mut self, depth: usize) -> Result<(), E> {
        if depth >= MAX_DEPTH {
            return Err(E::custom(format_args!("`data` is nested deeper than {MAX_DEPTH} arrays")));
        }
        if self.lengths.len() == depth {
            self.lengths.push(None);
        }
        Ok(())
    }

    fn close<E: Error>(&mut self, depth: usize, length: usize) -> Result<(), E> {
        match self.lengths[depth].replace(length) {
            Some(before) if before != length => Err(E::custom(format_args!(
                "`data` is ragged: arrays at depth {} have {before} and {length} elements",
                depth + 1
            ))),
            _ => Ok(()),
        }
    }
}

/// One element of `data`: a value, or an array of elements.
struct Element<'a> {
    depth: usize,
    reader: &'a mut Reader,
}

impl<'de> DeserializeSeed<'de> for Element<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Element<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, a boolean, a string or an array of these")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let Self { depth, reader } = self;
        reader.open(depth)?;
        let mut length = 0;
        while elements.next_element_seed(Element { depth: depth + 1, reader: &mut *reader })?.is_some() {
            length += 1;
        }
        reader.close(depth, length)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        let pushed = self.reader.values.push_int(value);
        self.reader.leaf(self.depth, pushed, "numbers")
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        let values = &mut self.reader.values;
        let pushed = match i64::try_from(value) {
            Ok(value) => values.push_int(value),
            Err(_) => values.push_wide(value),
        };
        self.reader.leaf(self.depth, pushed, "numbers")
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        let pushed = self.reader.values.push_float(value);
        self.reader.leaf(self.depth, pushed, "numbers")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        let pushed = self.reader.values.push_bool(value);
        self.reader.leaf(self.depth, pushed, "booleans")
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        let pushed = self.reader.values.push_string(value.to_owned());
        self.reader.leaf(self.depth, pushed, "strings")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Flat, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    fn convert(json: &str, datatype: &str) -> Result<Data, String> {
        read(json)?.into_data(datatype)
    }

    #[test]
    fn flat_and_nested_are_the_same_values() {
        let nested = read("[[1, 2, 3], [4, 5, 6]]").unwrap();
        assert_eq!(nested.nesting(), Some([2, 3].as_slice()));
        let flat = read("[1, 2, 3, 4, 5, 6]").unwrap();
        assert_eq!(flat.nesting(), None);
        assert_eq!(nested.into_data("INT8"), flat.into_data("INT8"));
    }

    #[test]
    fn every_datatype_takes_its_extremes() {
        for (json, datatype, data) in [
            ("[true, false]", "BOOL", Data::Bool(vec![true, false])),
            ("[0, 255]", "UINT8", Data::Uint8(vec![0, 255])),
            ("[65535]", "UINT16", Data::Uint16(vec![u16::MAX])),
            ("[4294967295]", "UINT32", Data::Uint32(vec![u32::MAX])),
            ("[7, 18446744073709551615, 8]", "UINT64", Data::Uint64(vec![7, u64::MAX, 8])),
            ("[-128]", "INT8", Data::Int8(vec![i8::MIN])),
            ("[-32768]", "INT16", Data::Int16(vec![i16::MIN])),
            ("[-2147483648]", "INT32", Data::Int32(vec![i32::MIN])),
            ("[-9223372036854775808, 2.0]", "INT8", Data::Int8(vec![])),
            ("[-9223372036854775808]", "INT64", Data::Int64(vec![i64::MIN])),
            ("[1, 0.5, -0]", "FP32", Data::Fp32(vec![1.0, 0.5, -0.0])),
            ("[1, 18446744073709551615]", "FP64", Data::Fp64(vec![1.0, 18_446_744_073_709_551_615.0])),
            ("[3.0]", "INT64", Data::Int64(vec![3])),
            (r#"["é", ""]"#, "BYTES", Data::Bytes(vec!["é".into(), String::new()])),
            ("[]", "FP32", Data::Fp32(vec![])),
        ] {
            let converted = convert(json, datatype);
            if json.contains("-9223372036854775808, 2.0") {
                assert!(converted.is_err());
            } else {
                assert_eq!(converted, Ok(data), "{json}");
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        for (json, datatype, part) in [
            ("[1, 256]", "UINT8", "holds 256 at 1, which is no UINT8"),
            ("[-1]", "UINT64", "holds -1 at 0"),
            ("[1.5]", "INT64", "holds 1.5 at 0, which is no INT64"),
            ("[9007199254740993, 2.5]", "INT64", "which is no INT64"),
            ("[1e39]", "FP32", "which is no FP32"),
            ("[1e400]", "FP64", "out of range"),
            ("[NaN]", "FP32", "expected value at line 1 column 2"),
            ("[Infinity]", "FP32", "expected value"),
            (r#"["NaN"]"#, "FP32", "has datatype FP32 but holds strings"),
            ("[1]", "BOOL", "has datatype BOOL but holds numbers"),
            ("[true]", "INT8", "holds booleans"),
            ("[1, true]", "INT8", "mixes booleans with numbers"),
            ("[[1], 2]", "INT8", "mixes values and arrays"),
            ("[[1, 2], [3]]", "INT8", "ragged: arrays at depth 2 have 2 and 1 elements"),
            ("3", "INT8", "must be an array"),
            ("[null]", "INT8", "expected a number"),
            ("[{}]", "INT8", "expected a number"),
            ("[1]", "FP16", "send binary tensor data"),
            ("[1]", "FLOAT", "unknown datatype"),
        ] {
            let error = convert(json, datatype).expect_err(json);
            assert!(error.contains(part), "{json} as {datatype}: {error}");
        }
        let deep = format!("{}1{}", "[".repeat(17), "]".repeat(17));
        assert!(read(&deep).unwrap_err().contains("deeper than 16"));
        let deeper = "[".repeat(100_000);
        assert!(read(&deeper).unwrap_err().contains("deeper than 16"));
    }
}
