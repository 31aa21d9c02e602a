//! Reading tensors out of the bodies that pass: requests and answers, JSON and binary, plain and compressed.
//!
//! This reads for observing, not for running ([`Purpose::Observe`]): it is lenient about what a server may do, and strict
//! about what contradicts itself.

use std::io::Read as _;

use axum::http::{HeaderMap, header};
use contract::feature::TENSOR_NAME_BYTES_MAX;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::oip::parameters::Passing;
use crate::oip::raw::{Purpose, RawTensor};
use crate::tensor::Tensor;

/// Says where the JSON ends and the binary data begins.
pub const HEADER_LENGTH: &str = "inference-header-content-length";

/// What the headers say about a body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// `content-encoding`, where there is one.
    pub encoding: Option<String>,
    /// Length of the JSON before binary data.
    pub json: Option<usize>,
}

impl Head {
    /// Reads the headers.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let encoding = text(header::CONTENT_ENCODING.as_str()).map(|encoding| encoding.trim().to_ascii_lowercase());
        Self {
            encoding: encoding.filter(|encoding| encoding != "identity" && !encoding.is_empty()),
            json: text(HEADER_LENGTH).and_then(|length| length.trim().parse().ok()),
        }
    }
}

/// Why a body was not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// It is wrong.
    #[error("{0}")]
    Wrong(String),
    /// It is encoded in a way that is not read here, or it is longer than what is kept of one.
    #[error("the body cannot be read here: {0}")]
    Foreign(&'static str),
}

/// What a request asks.
#[derive(Debug, Default, PartialEq)]
pub struct Asked {
    /// Its inputs; of a body that was not kept whole those that were.
    pub inputs: Vec<Tensor>,
    /// Its parameters.
    pub parameters: Map<String, Value>,
}

/// What an answer gives.
#[derive(Debug, Default, PartialEq)]
pub struct Given {
    /// The version that answered.
    pub version: Option<String>,
    /// Its outputs.
    pub outputs: Vec<Tensor>,
}

#[derive(Deserialize)]
struct RawAsked {
    #[serde(default)]
    parameters: Passing,
    inputs: Vec<RawTensor>,
}

#[derive(Deserialize)]
struct RawGiven {
    #[serde(default)]
    model_version: Option<Value>,
    outputs: Vec<RawTensor>,
}

/// Reads a request. Of one that was cut off (`whole` is false) the inputs that are there are read, which binary data
/// allows for.
///
/// # Errors
/// [`Unread`].
pub fn asked(head: &Head, body: &[u8], whole: bool, limit: usize) -> Result<Asked, Unread> {
    if !whole && head.encoding.is_some() {
        return Err(Unread::Foreign("it is compressed and not whole"));
    }
    let plain = inflate(head, body, limit)?;
    let (json, mut binary) = split(head, &plain)?;
    let raw: RawAsked = parse(json)?;
    let mut inputs = Vec::with_capacity(raw.inputs.len());
    for tensor in raw.inputs {
        match read(tensor, &mut binary) {
            Err(_) if !whole => break,
            read => inputs.push(read?),
        }
    }
    Ok(Asked { inputs, parameters: raw.parameters.0 })
}

/// Reads an answer.
///
/// # Errors
/// [`Unread`].
pub fn given(head: &Head, body: &[u8], limit: usize) -> Result<Given, Unread> {
    let plain = inflate(head, body, limit)?;
    let (json, mut binary) = split(head, &plain)?;
    let raw: RawGiven = parse(json)?;
    let version = raw.model_version.and_then(|version| match version {
        Value::String(version) => Some(version),
        Value::Number(version) => Some(version.to_string()),
        _ => None,
    });
    let outputs = raw.outputs.into_iter().map(|tensor| read(tensor, &mut binary)).collect::<Result<_, _>>()?;
    if !binary.is_empty() {
        return Err(Unread::Wrong(format!("{} bytes are left over after the last tensor", binary.len())));
    }
    Ok(Given { version, outputs })
}

fn parse<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, Unread> {
    // serde's own sentence quotes what it found, and this one is logged
    let sentence = |error: serde_json::Error| {
        format!("it is not the JSON that is expected, at line {} column {}", error.line(), error.column())
    };
    serde_json::from_slice(json).map_err(|error| Unread::Wrong(sentence(error)))
}

/// The plain body: as it is, or inflated up to a limit, so that a small body cannot become a large one.
fn inflate<'a>(head: &Head, body: &'a [u8], limit: usize) -> Result<std::borrow::Cow<'a, [u8]>, Unread> {
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let mut plain = Vec::new();
    let read = match head.encoding.as_deref() {
        None => return Ok(body.into()),
        Some("gzip" | "x-gzip") => flate2::read::GzDecoder::new(body).take(most).read_to_end(&mut plain),
        Some("deflate") => flate2::read::ZlibDecoder::new(body).take(most).read_to_end(&mut plain),
        Some("zstd") => zstd::Decoder::new(body).and_then(|reader| reader.take(most).read_to_end(&mut plain)),
        Some(_) => return Err(Unread::Foreign("its content-encoding is not known")),
    };
    read.map_err(|error| Unread::Wrong(format!("it cannot be decompressed: {error}")))?;
    if plain.len() > limit {
        return Err(Unread::Foreign("it is too long once it is decompressed"));
    }
    Ok(plain.into())
}

/// The JSON and what follows it.
fn split<'a>(head: &Head, body: &'a [u8]) -> Result<(&'a [u8], &'a [u8]), Unread> {
    let Some(json) = head.json else { return Ok((body, &[])) };
    body.split_at_checked(json).ok_or_else(|| Unread::Wrong(format!("its JSON has {json} bytes, but it is shorter")))
}

fn read(raw: RawTensor, rest: &mut &[u8]) -> Result<Tensor, Unread> {
    // every row's feature gets a copy of it, and a collector refuses the batch that has one with a longer name
    if raw.name.len() > TENSOR_NAME_BYTES_MAX {
        return Err(Unread::Foreign("a tensor's name is too long"));
    }
    raw.read(rest, Purpose::Observe).map_err(Unread::Wrong)
}

/// The protocol's own spelling of a datatype.
pub(super) fn datatype(name: &str) -> Option<&'static str> {
    const ALL: [&str; 14] = [
        "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "BF16", "FP32",
        "FP64", "BYTES",
    ];
    ALL.into_iter().find(|known| *known == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Data;
    use proptest::prelude::*;
    use std::io::Write as _;

    const LIMIT: usize = 1 << 20;

    fn given_json(outputs: &str) -> Result<Given, Unread> {
        given(&Head::default(), format!(r#"{{"model_version":"3","outputs":[{outputs}]}}"#).as_bytes(), LIMIT)
    }

    #[test]
    fn shapes_that_contradict_themselves_are_wrong() {
        let good = r#"{"name":"y","datatype":"FP32","shape":[1,2],"data":[0.5,1]}"#;
        assert_eq!(given_json(good).unwrap().version.as_deref(), Some("3"));
        for bad in [
            r#"{"name":"y","datatype":"FP32","shape":[2,2],"data":[0.5,1]}"#,
            r#"{"name":"y","datatype":"FP32","shape":[1,2],"data":[[0.5],[1]]}"#,
            r#"{"name":"y","datatype":"INT8","shape":[1],"data":[300]}"#,
            r#"{"name":"y","datatype":"FP32","shape":[1]}"#,
            r#"{"name":"y","datatype":"FP32","shape":[1],"parameters":{"binary_data_size":4}}"#,
        ] {
            assert!(matches!(given_json(bad), Err(Unread::Wrong(_))), "{bad}");
        }
    }

    /// A server may take what our own models would not be asked with: its answer says that it did.
    #[test]
    fn what_a_server_took_is_read_as_far_as_it_goes() {
        let many: Vec<String> = (0..2_000).map(|n| format!("\"k{n:04}\":{n}")).collect();
        let input = r#"{"name":"x","datatype":"FP32","shape":[1],"data":[0.5],"parameters":{"binary_data_size":null}}"#;
        let body = format!(r#"{{"parameters":{{{}}},"inputs":[{input}]}}"#, many.join(","));
        let read = asked(&Head::default(), body.as_bytes(), true, LIMIT).unwrap();
        assert_eq!((read.inputs[0].data(), read.parameters.len()), (&Data::Fp32(vec![0.5]), 1_024));
    }

    #[test]
    fn a_name_that_is_no_name_is_not_copied_for_every_row() {
        for (bytes, is_read) in [(TENSOR_NAME_BYTES_MAX, true), (TENSOR_NAME_BYTES_MAX + 1, false)] {
            let name = "n".repeat(bytes);
            let tensor = format!(r#"{{"name":"{name}","datatype":"FP32","shape":[2,1],"data":[0.5,1]}}"#);
            assert_eq!(given_json(&tensor).is_ok(), is_read, "{bytes}");
            let body = format!(r#"{{"inputs":[{tensor}]}}"#);
            assert_eq!(asked(&Head::default(), body.as_bytes(), true, LIMIT).is_ok(), is_read, "{bytes}");
        }
    }

    /// Bytes made by `numpy.array([1.5, -2, 65504, 6e-8], dtype=numpy.float16).tobytes().hex()`, and by
    /// `struct.pack("<I5sI2s", 5, b"hello", 2, b"\xc3\xa9").hex()`.
    #[test]
    fn binary_data_is_read() {
        let json = br#"{"inputs":[{"name":"h","datatype":"FP16","shape":[4],"parameters":{"binary_data_size":8}},
            {"name":"s","datatype":"BYTES","shape":[2],"parameters":{"binary_data_size":15}}]}"#;
        let mut body = json.to_vec();
        body.extend(hex::decode("003e00c0ff7b0100").unwrap());
        body.extend(hex::decode("0500000068656c6c6f02000000c3a9").unwrap());
        let head = Head { json: Some(json.len()), encoding: None };
        let whole = asked(&head, &body, true, LIMIT).unwrap();
        let expected = [1.5, -2.0, 65504.0, 5.960_464_5e-8].map(half::f16::from_f32);
        assert_eq!(whole.inputs[0].data(), &Data::Fp16(expected.to_vec()));
        assert_eq!(whole.inputs[1].data(), &Data::Bytes(vec!["hello".into(), "é".into()]));
        body.truncate(body.len() - 1);
        assert!(asked(&head, &body, true, LIMIT).is_err());
        assert_eq!(asked(&head, &body, false, LIMIT).unwrap().inputs, whole.inputs[..1]);
    }

    #[test]
    fn a_small_body_does_not_become_a_large_one() {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packer.write_all(&vec![b' '; 10 * LIMIT]).unwrap();
        let head = Head { encoding: Some("gzip".into()), json: None };
        assert!(matches!(given(&head, &packer.finish().unwrap(), LIMIT), Err(Unread::Foreign(_))));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), json in 0_usize..300, kind in 0..4) {
            let encoding = ["", "gzip", "deflate", "zstd"][kind as usize];
            let head = Head { encoding: (!encoding.is_empty()).then(|| encoding.into()), json: Some(json) };
            let _ = given(&head, &bytes, LIMIT);
            let _ = asked(&head, &bytes, false, LIMIT);
        }
    }
}
