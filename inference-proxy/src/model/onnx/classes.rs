//! The names of classes that a scikit-learn export keeps inside its graph, so that nobody has to write them down again.
//!
//! They stand in an attribute of the classifier (`classlabels_strings`, `classlabels_int64s`, `classlabels_ints`: the
//! `ai.onnx.ml` operators) or in the initializer from which an `ArrayFeatureExtractor` takes the winner. Field numbers
//! beside those of the parent: AttributeProto.name 1, ints 8, strings 9; TensorProto.data_type 2, int32_data 5,
//! string_data 6, int64_data 7, raw_data 9.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;

use super::{Value, Wire};

/// More classes than anybody names; also a bound on what is read.
const MAX_CLASSES: usize = 100_000;

/// The last list of `width` class names in the graph: what stands nearest to its outputs.
///
/// # Errors
/// Where the file cannot be read or is no protobuf.
pub(crate) fn class_labels(path: &Path, width: usize) -> io::Result<Option<Vec<String>>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut found = Found::default();
    let mut wire = Wire { inner: BufReader::new(file), at: 0 };
    wire.message(length, |wire, field, value| match (field, value) {
        (7, Value::Bytes(length)) => found.graph(wire, length),
        (_, value) => wire.skip(value),
    })?;
    // Initializers may stand behind the nodes that use them, so they are looked up at the end.
    let Found { lists, mut initializers } = found;
    let named = lists.into_iter().filter_map(|list| match list {
        List::Names(names) => Some(names),
        List::Initializer(name) => initializers.remove(&name),
    });
    Ok(named.filter(|names| names.len() == width).last())
}

#[derive(Default)]
struct Found {
    lists: Vec<List>,
    initializers: HashMap<String, Vec<String>>,
}

enum List {
    Names(Vec<String>),
    /// The initializer of this name holds them.
    Initializer(String),
}

impl Found {
    fn graph<R: Read + Seek>(&mut self, wire: &mut Wire<R>, length: u64) -> io::Result<()> {
        wire.message(length, |wire, field, value| match (field, value) {
            (1, Value::Bytes(length)) => self.node(wire, length),
            (5, Value::Bytes(length)) => {
                let (name, values) = initializer(wire, length)?;
                self.initializers.extend(values.map(|values| (name, values)));
                Ok(())
            }
            (_, value) => wire.skip(value),
        })
    }

    fn node<R: Read + Seek>(&mut self, wire: &mut Wire<R>, length: u64) -> io::Result<()> {
        let (mut first, mut operator) = (None, String::new());
        wire.message(length, |wire, field, value| {
            match (field, value) {
                (1, Value::Bytes(length)) => {
                    let name = wire.text(length)?;
                    first.get_or_insert(name);
                }
                (4, Value::Bytes(length)) => operator = wire.text(length)?,
                (5, Value::Bytes(length)) => self.lists.extend(attribute(wire, length)?.map(List::Names)),
                (_, value) => wire.skip(value)?,
            }
            Ok(())
        })?;
        if operator == "ArrayFeatureExtractor" {
            self.lists.extend(first.map(List::Initializer));
        }
        Ok(())
    }
}

fn attribute<R: Read + Seek>(wire: &mut Wire<R>, length: u64) -> io::Result<Option<Vec<String>>> {
    let (mut name, mut names) = (String::new(), Vec::new());
    wire.message(length, |wire, field, value| match (field, value) {
        (1, Value::Bytes(length)) => {
            name = wire.text(length)?;
            Ok(())
        }
        (9, Value::Bytes(length)) if name == "classlabels_strings" && names.len() < MAX_CLASSES => {
            names.push(wire.text(length)?);
            Ok(())
        }
        (8, value) if matches!(name.as_str(), "classlabels_int64s" | "classlabels_ints") => {
            integers(wire, value, &mut names)
        }
        (_, value) => wire.skip(value),
    })?;
    Ok(Some(names).filter(|names| !names.is_empty()))
}

/// Name and values of an initializer; no values where they are no names of classes.
fn initializer<R: Read + Seek>(wire: &mut Wire<R>, length: u64) -> io::Result<(String, Option<Vec<String>>)> {
    let (mut name, mut kind, mut values, mut raw) = (String::new(), 0, Vec::new(), Vec::new());
    wire.message(length, |wire, field, value| match (field, value) {
        (2, Value::Number(found)) => {
            kind = found;
            Ok(())
        }
        (5 | 7, value) => integers(wire, value, &mut values),
        (6, Value::Bytes(length)) if values.len() < MAX_CLASSES => {
            values.push(wire.text(length)?);
            Ok(())
        }
        (8, Value::Bytes(length)) => {
            name = wire.text(length)?;
            Ok(())
        }
        (9, Value::Bytes(length)) if matches!(kind, INT32 | INT64) && length <= 8 * MAX_CLASSES as u64 => {
            raw = wire.bytes(length)?;
            Ok(())
        }
        (_, value) => wire.skip(value),
    })?;
    match kind {
        INT32 => values.extend(raw.as_chunks().0.iter().map(|&b| i32::from_le_bytes(b).to_string())),
        INT64 => values.extend(raw.as_chunks().0.iter().map(|&b| i64::from_le_bytes(b).to_string())),
        STRING => {}
        _ => return Ok((name, None)),
    }
    Ok((name, Some(values)))
}

/// TensorProto.DataType.
const INT32: u64 = 6;
const INT64: u64 = 7;
const STRING: u64 = 8;

/// Integers of a repeated field, packed or not.
fn integers<R: Read + Seek>(wire: &mut Wire<R>, value: Value, into: &mut Vec<String>) -> io::Result<()> {
    match value {
        Value::Number(number) if into.len() < MAX_CLASSES => into.push(number.cast_signed().to_string()),
        Value::Bytes(length) if length <= 10 * MAX_CLASSES as u64 => {
            let end = wire.at.saturating_add(length);
            while wire.at < end {
                into.push(wire.varint()?.cast_signed().to_string());
            }
        }
        value => wire.skip(value)?,
    }
    Ok(())
}
