//! The precision of a graph: the datatype that most of its weights have.
//!
//! Numbers of datatypes are those of `TensorProto.DataType` in `onnx.proto3`; fields beside those of the parent:
//! TensorProto.data_type 2. Whole numbers of 16 bits and more are indices and shapes, not weights, and do not count.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;

use super::{Value, Wire};

/// `fp32`, `fp16`, `bf16`, `int8`, …: what most elements of the weights are; `None` for a graph without weights, as trees are.
///
/// # Errors
/// Where the file cannot be read or is no protobuf.
pub(crate) fn precision(path: &Path) -> io::Result<Option<&'static str>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut elements: BTreeMap<&'static str, u64> = BTreeMap::new();
    let mut wire = Wire { inner: BufReader::new(file), at: 0 };
    wire.message(length, |wire, field, value| match (field, value) {
        (7, Value::Bytes(length)) => wire.message(length, |wire, field, value| match (field, value) {
            (5, Value::Bytes(length)) => {
                let (datatype, size) = head(wire, length)?;
                if let Some(name) = name(datatype) {
                    let all = elements.entry(name).or_default();
                    *all = all.saturating_add(size);
                }
                Ok(())
            }
            (_, value) => wire.skip(value),
        }),
        (_, value) => wire.skip(value),
    })?;
    Ok(elements.into_iter().max_by_key(|(_, elements)| *elements).map(|(name, _)| name))
}

/// A tensor's datatype and its number of elements.
fn head<R: Read + Seek>(wire: &mut Wire<R>, length: u64) -> io::Result<(u64, u64)> {
    let (mut datatype, mut size) = (0, 1_u64);
    wire.message(length, |wire, field, value| {
        match (field, value) {
            (1, Value::Number(dim)) => size = size.saturating_mul(dim),
            (1, Value::Bytes(length)) => {
                let end = wire.at.saturating_add(length);
                while wire.at < end {
                    size = size.saturating_mul(wire.varint()?);
                }
            }
            (2, Value::Number(number)) => datatype = number,
            (_, value) => wire.skip(value)?,
        }
        Ok(())
    })?;
    Ok((datatype, size))
}

const fn name(datatype: u64) -> Option<&'static str> {
    Some(match datatype {
        1 => "fp32",
        2 | 3 => "int8",
        10 => "fp16",
        11 => "fp64",
        16 => "bf16",
        17..=20 => "fp8",
        21 | 22 => "int4",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A protobuf field of bytes.
    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat()
    }

    #[test]
    fn most_weights_decide() {
        // `{1: dims, 2: data_type}` of three initializers: 6 of FLOAT, 60 of INT8, 100 of INT64
        let tensors = [([2_u8, 3], 1_u8), ([20, 3], 3), ([10, 10], 7)];
        let graph: Vec<u8> = tensors
            .iter()
            .flat_map(|(dims, datatype)| field(5, &[field(1, dims), vec![2 << 3, *datatype]].concat()))
            .collect();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.onnx");
        let check = |graph: &[u8], expected| {
            std::fs::write(&path, field(7, graph)).unwrap();
            assert_eq!(precision(&path).unwrap(), expected);
        };
        check(&graph, Some("int8"));
        check(&graph[..graph.len() / 3], Some("fp32"));
        check(&[], None);
        let router = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models/router/1/model.onnx");
        assert_eq!(precision(&router).unwrap(), Some("fp32"));
    }
}
