//! Tensor data as raw bytes: little-endian, row-major, without gaps; a string is its length as a 32-bit number and then
//! its UTF-8 bytes. The binary tensor extension puts it behind the JSON, and gRPC into `raw_*_contents`.
//!
//! Reading copies once, into memory aligned for the datatype; numbers are written out of the answer's own memory.

use std::sync::Arc;

use bytes::Bytes;

use crate::model::Answer;
use crate::tensor::{Data, Tensor};

// Numbers are sent as they lie in memory.
const _: () = assert!(cfg!(target_endian = "little"), "raw tensors are little-endian, and so must this machine be");

/// The values of a tensor of this shape.
///
/// # Errors
/// A sentence's end: what the bytes should be and are not.
pub fn read(datatype: &str, shape: &[usize], raw: &[u8]) -> Result<Data, String> {
    read_with(datatype, shape, raw, |text| std::str::from_utf8(text).ok().map(str::to_owned))
}

/// The same of a tensor that is looked at and not run: what is not UTF-8 in a string is replaced.
///
/// # Errors
/// As [`read`], of everything else.
pub fn read_leniently(datatype: &str, shape: &[usize], raw: &[u8]) -> Result<Data, String> {
    read_with(datatype, shape, raw, |text| Some(String::from_utf8_lossy(text).into_owned()))
}

/// A string of these bytes, if they can be one.
type Decode = fn(&[u8]) -> Option<String>;

fn read_with(datatype: &str, shape: &[usize], raw: &[u8], decode: Decode) -> Result<Data, String> {
    macro_rules! numbers {
        ($variant:ident, $kind:ty) => {
            Data::$variant(fixed(shape, raw, <$kind>::from_le_bytes)?)
        };
    }
    Ok(match datatype {
        "BOOL" => Data::Bool(bools(shape, raw)?),
        "UINT8" => numbers!(Uint8, u8),
        "UINT16" => numbers!(Uint16, u16),
        "UINT32" => numbers!(Uint32, u32),
        "UINT64" => numbers!(Uint64, u64),
        "INT8" => numbers!(Int8, i8),
        "INT16" => numbers!(Int16, i16),
        "INT32" => numbers!(Int32, i32),
        "INT64" => numbers!(Int64, i64),
        "FP16" => numbers!(Fp16, half::f16),
        "BF16" => numbers!(Bf16, half::bf16),
        "FP32" => numbers!(Fp32, f32),
        "FP64" => numbers!(Fp64, f64),
        "BYTES" => Data::Bytes(strings(raw, decode)?),
        _ => return Err(UNKNOWN_DATATYPE.to_owned()),
    })
}

/// The end of the sentence about a datatype that there is not.
pub(crate) const UNKNOWN_DATATYPE: &str =
    "has an unknown datatype; use BOOL, UINT8 to UINT64, INT8 to INT64, FP16, BF16, FP32, FP64 or BYTES";

fn fixed<T, const N: usize>(shape: &[usize], raw: &[u8], value: fn([u8; N]) -> T) -> Result<Vec<T>, String> {
    let needed = shape.iter().try_fold(N, |product, &n| product.checked_mul(n));
    if needed != Some(raw.len()) {
        let needed = needed.map_or_else(|| "more bytes than there are".to_owned(), |n| format!("{n} bytes"));
        return Err(format!("of shape {shape:?} needs {needed} and has {}", raw.len()));
    }
    Ok(raw.as_chunks::<N>().0.iter().map(|&bytes| value(bytes)).collect())
}

fn bools(shape: &[usize], raw: &[u8]) -> Result<Vec<bool>, String> {
    let bytes = fixed(shape, raw, u8::from_le_bytes)?;
    match bytes.iter().position(|&byte| byte > 1) {
        Some(at) => Err(format!("holds the byte {} at {at}, which is no BOOL", bytes[at])),
        None => Ok(bytes.into_iter().map(|byte| byte == 1).collect()),
    }
}

fn strings(mut raw: &[u8], decode: Decode) -> Result<Vec<String>, String> {
    let mut all = Vec::new();
    while !raw.is_empty() {
        let n = all.len();
        let Some((length, rest)) = raw.split_first_chunk() else {
            return Err(format!("ends inside the length of element {n}"));
        };
        let length = u32::from_le_bytes(*length);
        let split = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length));
        let Some((text, rest)) = split else {
            return Err(format!("gives element {n} a length of {length} bytes, and {} are left", rest.len()));
        };
        all.push(decode(text).ok_or_else(|| format!("holds an element ({n}) that is not UTF-8"))?);
        raw = rest;
    }
    Ok(all)
}

/// An output: a tensor of a shared answer, or one made from it.
#[derive(Clone, Debug)]
pub enum Given {
    /// The graph's output with this number.
    Graph(Arc<Answer>, usize),
    /// Made from several.
    Made(Arc<Tensor>),
}

impl Given {
    /// The tensor.
    #[must_use]
    pub fn tensor(&self) -> &Tensor {
        match self {
            Self::Graph(answer, index) => &answer.outputs[*index],
            Self::Made(tensor) => tensor,
        }
    }

    /// The values as raw bytes; of numbers nothing is copied.
    ///
    /// # Errors
    /// A sentence, for a string longer than its length can say.
    pub fn raw(self) -> Result<Bytes, String> {
        match self.tensor().data() {
            Data::Bytes(texts) => write_strings(texts).map(Bytes::from),
            _ => Ok(Bytes::from_owner(Numbers(self))),
        }
    }
}

fn write_strings(texts: &[String]) -> Result<Vec<u8>, String> {
    let mut raw = Vec::with_capacity(texts.iter().map(|text| size_of::<u32>() + text.len()).sum());
    for text in texts {
        let length = u32::try_from(text.len()).map_err(|_| "an output string is longer than 4 GiB".to_owned())?;
        raw.extend_from_slice(&length.to_le_bytes());
        raw.extend_from_slice(text.as_bytes());
    }
    Ok(raw)
}

/// Numbers seen as bytes.
struct Numbers(Given);

impl AsRef<[u8]> for Numbers {
    fn as_ref(&self) -> &[u8] {
        self.0.tensor().data().as_raw()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::oip::decode::testing::tensors;

    #[test]
    fn what_the_bytes_are_not_is_said() {
        let hi = [2, 0, 0, 0, b'h', b'i'];
        for (datatype, shape, raw, part) in [
            ("FP32", &[2_usize, 2][..], &[0_u8; 12][..], "of shape [2, 2] needs 16 bytes and has 12"),
            ("FP16", &[usize::MAX], &[0; 2], "needs more bytes than there are"),
            ("BOOL", &[3], &[0, 1, 2], "holds the byte 2 at 2, which is no BOOL"),
            ("BYTES", &[1], &hi[..3], "ends inside the length of element 0"),
            ("BYTES", &[1], &hi[..5], "gives element 0 a length of 2 bytes, and 1 are left"),
            ("BYTES", &[1], &[0xff; 8], "gives element 0 a length of 4294967295 bytes"),
            ("BYTES", &[1], &[1, 0, 0, 0, 0xff], "element (0) that is not UTF-8"),
            ("FLOAT", &[1], &[0; 4], "unknown datatype"),
        ] {
            let error = read(datatype, shape, raw).unwrap_err();
            assert!(error.contains(part), "{datatype} {shape:?}: {error}");
        }
        assert_eq!(read("BYTES", &[1], &hi).unwrap(), Data::Bytes(vec!["hi".into()]));
        let replaced = read_leniently("BYTES", &[1], &[1, 0, 0, 0, 0xff]).unwrap();
        assert_eq!(replaced, Data::Bytes(vec!["\u{fffd}".into()]));
        assert!(read_leniently("BYTES", &[1], &hi[..5]).is_err(), "lenient with letters, not with lengths");
    }

    #[test]
    fn numbers_are_little_endian() {
        // struct.pack("<hef", -2, 1.5, 0.15625) in Python 3.11
        let raw = b"\xfe\xff\x00\x3e\x00\x00\x20\x3e";
        assert_eq!(read("INT16", &[1], &raw[..2]).unwrap(), Data::Int16(vec![-2]));
        assert_eq!(read("FP16", &[1], &raw[2..4]).unwrap(), Data::Fp16(vec![half::f16::from_f32(1.5)]));
        assert_eq!(read("FP32", &[1], &raw[4..]).unwrap(), Data::Fp32(vec![0.156_25]));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(tensor in tensors()) {
            let raw = Given::Made(Arc::new(tensor.clone())).raw().unwrap();
            let data = read(tensor.data().datatype(), tensor.shape(), &raw).unwrap();
            prop_assert_eq!(&data, tensor.data());
        }
    }
}
