//! Reads from an ONNX file the one thing that ONNX Runtime does not tell: how many rows the word embedding has.
//!
//! A tokenizer that gives ids past those rows belongs to another model. The file is protobuf; this walks its fields
//! and seeks over weights, so it needs neither a schema compiler nor memory for the model. Field numbers are those of
//! `onnx.proto3` (github.com/onnx/onnx): ModelProto.graph 7; GraphProto.node 1, initializer 5; NodeProto.input 1,
//! output 2, op_type 4, attribute 5; AttributeProto.t 5; TensorProto.dims 1, name 8.

mod classes;
mod precision;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;

pub(crate) use classes::class_labels;
pub(crate) use precision::precision;

/// A table of word embeddings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Embedding {
    /// Name of the initializer.
    pub(crate) name: String,
    /// Its first dimension: ids from 0 to `rows - 1` are valid.
    pub(crate) rows: u64,
}

/// Operators that hand ids, or rows, on as they are.
const CARRIERS: [&str; 7] =
    ["Identity", "Cast", "Reshape", "Squeeze", "Unsqueeze", "DequantizeLinear", "DequantizeBFP"];

/// The embedding that `ids` (a graph input) looks up, or `None` where the graph does it in no way known here.
///
/// # Errors
/// Where the file cannot be read or is no protobuf.
pub(crate) fn word_embedding(path: &Path, ids: &str) -> io::Result<Option<Embedding>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut graph = Graph::default();
    let mut wire = Wire { inner: BufReader::new(file), at: 0 };
    wire.message(length, |wire, field, value| match (field, value) {
        (7, Value::Bytes(length)) => graph.read(wire, length),
        (_, value) => wire.skip(value),
    })?;
    Ok(graph.embedding(ids))
}

#[derive(Default)]
struct Graph {
    nodes: Vec<Node>,
    /// First dimension of each initializer.
    rows: HashMap<String, u64>,
}

#[derive(Default)]
struct Node {
    operator: String,
    inputs: Vec<String>,
    outputs: Vec<String>,
    constant: Option<TensorHead>,
}

#[derive(Default)]
struct TensorHead {
    name: String,
    rows: Option<u64>,
}

impl Graph {
    fn read<R: Read + Seek>(&mut self, wire: &mut Wire<R>, length: u64) -> io::Result<()> {
        wire.message(length, |wire, field, value| match (field, value) {
            (1, Value::Bytes(length)) => {
                let node = Node::read(wire, length)?;
                if let (Some(rows), Some(name)) = (node.constant.as_ref().and_then(|c| c.rows), node.outputs.first()) {
                    self.rows.insert(name.clone(), rows);
                }
                self.nodes.push(node);
                Ok(())
            }
            (5, Value::Bytes(length)) => {
                let tensor = TensorHead::read(wire, length)?;
                self.rows.extend(tensor.rows.map(|rows| (tensor.name, rows)));
                Ok(())
            }
            (_, value) => wire.skip(value),
        })
    }

    /// Follows the ids forward to the look-up, and its table back to an initializer. Nodes come in the order in
    /// which they run, so one pass sees every carrier before what it feeds.
    fn embedding(&self, ids: &str) -> Option<Embedding> {
        let mut carried = HashSet::from([ids]);
        for node in &self.nodes {
            let input = |i: usize| node.inputs.get(i).map(String::as_str);
            let carries = |i: usize| input(i).is_some_and(|name| carried.contains(name));
            let table = match node.operator.as_str() {
                "Gather" | "GatherBlockQuantized" if carries(1) => input(0),
                "EmbedLayerNormalization" | "QEmbedLayerNormalization" if carries(0) => input(2),
                operator if CARRIERS.contains(&operator) && carries(0) => {
                    carried.extend(node.outputs.iter().map(String::as_str));
                    None
                }
                _ => None,
            };
            if let Some(found) = table.and_then(|table| self.initializer(table)) {
                return Some(found);
            }
        }
        None
    }

    fn initializer(&self, name: &str) -> Option<Embedding> {
        let mut name = name;
        for _ in 0..8 {
            if let Some(&rows) = self.rows.get(name) {
                return Some(Embedding { name: name.to_owned(), rows });
            }
            let maker = self.nodes.iter().find(|node| node.outputs.iter().any(|output| output == name))?;
            if !CARRIERS.contains(&maker.operator.as_str()) {
                return None;
            }
            name = maker.inputs.first()?;
        }
        None
    }
}

impl Node {
    fn read<R: Read + Seek>(wire: &mut Wire<R>, length: u64) -> io::Result<Self> {
        let mut node = Self::default();
        wire.message(length, |wire, field, value| {
            match (field, value) {
                (1, Value::Bytes(length)) => node.inputs.push(wire.text(length)?),
                (2, Value::Bytes(length)) => node.outputs.push(wire.text(length)?),
                (4, Value::Bytes(length)) => node.operator = wire.text(length)?,
                (5, Value::Bytes(length)) => wire.message(length, |wire, field, value| match (field, value) {
                    (5, Value::Bytes(length)) => {
                        node.constant = Some(TensorHead::read(wire, length)?);
                        Ok(())
                    }
                    (_, value) => wire.skip(value),
                })?,
                (_, value) => wire.skip(value)?,
            }
            Ok(())
        })?;
        if node.operator != "Constant" {
            node.constant = None;
        }
        Ok(node)
    }
}

impl TensorHead {
    fn read<R: Read + Seek>(wire: &mut Wire<R>, length: u64) -> io::Result<Self> {
        let mut tensor = Self::default();
        wire.message(length, |wire, field, value| {
            match (field, value) {
                (1, Value::Number(dim)) => tensor.rows = tensor.rows.or(Some(dim)),
                (1, Value::Bytes(length)) => {
                    let end = wire.at.saturating_add(length);
                    while wire.at < end {
                        let dim = wire.varint()?;
                        tensor.rows = tensor.rows.or(Some(dim));
                    }
                }
                (8, Value::Bytes(length)) => tensor.name = wire.text(length)?,
                (_, value) => wire.skip(value)?,
            }
            Ok(())
        })?;
        Ok(tensor)
    }
}

/// A protobuf field's value; of bytes only their number, the reader stands before them.
#[derive(Clone, Copy)]
enum Value {
    Number(u64),
    Fixed(u64),
    Bytes(u64),
}

struct Wire<R> {
    inner: R,
    at: u64,
}

impl<R: Read + Seek> Wire<R> {
    /// Longest name that is read; real ones are below 300 bytes.
    const TEXT_BYTES_MAX: u64 = 64 * 1024;

    /// Calls `each` for the fields of a message of `length` bytes; `each` must consume the value.
    fn message(
        &mut self,
        length: u64,
        mut each: impl FnMut(&mut Self, u64, Value) -> io::Result<()>,
    ) -> io::Result<()> {
        let end = self.at.checked_add(length).ok_or_else(|| broken("a length past the end"))?;
        while self.at < end {
            let key = self.varint()?;
            let value = match key & 7 {
                0 => Value::Number(self.varint()?),
                1 => Value::Fixed(8),
                2 => Value::Bytes(self.varint()?),
                5 => Value::Fixed(4),
                kind => return Err(broken(&format!("a field of wire type {kind}"))),
            };
            if let Value::Fixed(bytes) | Value::Bytes(bytes) = value
                && bytes > end.saturating_sub(self.at)
            {
                return Err(broken("a field longer than its message"));
            }
            each(self, key >> 3, value)?;
        }
        if self.at == end { Ok(()) } else { Err(broken("a message that ends inside a field")) }
    }

    fn skip(&mut self, value: Value) -> io::Result<()> {
        match value {
            Value::Number(_) => Ok(()),
            Value::Fixed(bytes) | Value::Bytes(bytes) => {
                self.at += bytes;
                self.inner.seek_relative(i64::try_from(bytes).map_err(|_| broken("a field past 2^63 bytes"))?)
            }
        }
    }

    /// The caller has bounded the length.
    fn bytes(&mut self, length: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.inner.by_ref().take(length).read_to_end(&mut bytes)?;
        self.at += length;
        Ok(bytes)
    }

    fn text(&mut self, length: u64) -> io::Result<String> {
        if length > Self::TEXT_BYTES_MAX {
            return Err(broken("a name longer than 64 KiB"));
        }
        String::from_utf8(self.bytes(length)?).map_err(|_| broken("a name that is not UTF-8"))
    }

    fn varint(&mut self) -> io::Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let mut byte = [0];
            self.inner.read_exact(&mut byte)?;
            self.at += 1;
            value |= u64::from(byte[0] & 0x7f) << shift;
            if byte[0] & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(broken("a number of more than ten bytes"))
    }
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("it is no ONNX file: {what}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fixture(name: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models").join(name)
    }

    #[test]
    fn the_word_embedding_is_found() {
        let found = word_embedding(&fixture("router/1/model.onnx"), "input_ids").unwrap();
        assert_eq!(found, Some(Embedding { name: "embeddings".into(), rows: 26 }));
        assert_eq!(word_embedding(&fixture("router/1/model.onnx"), "attention_mask").unwrap(), None);
        assert_eq!(word_embedding(&fixture("flowers/1/model.onnx"), "input").unwrap(), None);
    }

    #[test]
    fn a_cut_file_is_an_error() {
        let whole = std::fs::read(fixture("router/1/model.onnx")).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.onnx");
        std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        assert!(word_embedding(&path, "input_ids").is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512), cut in 0_usize..1_000, flip in any::<u8>()) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("model.onnx");
            std::fs::write(&path, &bytes).unwrap();
            let _ = word_embedding(&path, "input_ids");
            let _ = class_labels(&path, 2);
            let mut whole = std::fs::read(fixture("router/1/model.onnx")).unwrap();
            let at = cut % whole.len();
            whole[at] ^= flip;
            std::fs::write(&path, &whole).unwrap();
            let _ = word_embedding(&path, "input_ids");
            let _ = class_labels(&path, 2);
        }
    }
}
