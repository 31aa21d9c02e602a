//! From a request and its answer to the numbers and categories that drift is judged on.
//!
//! Names come from [`contract::feature`]. An item is a text, a pair or a row. Narrow tensors give one feature a column;
//! images and wide rows give four statistics, because a thousand features a row would drown the judgement and the
//! collector. Values are taken as they are: NaN and infinities are values too. All of it runs on the mirror's thread,
//! beside the serving path.

mod gaps;
mod outputs;
mod table;
mod text;

pub use gaps::{gaps, may_have_gaps};

use contract::wire::{Feature, FeatureValue};

use crate::model::{Answer, Input, Metadata};
use crate::tensor::{Data, Tensor};

/// A row with more columns than this is summarised.
const MAX_COLUMNS: usize = 256;
/// At least so many bytes a feature takes on the wire: three keys, an item, a value.
const LEAST_WIRE_BYTES: usize = 32;

/// Items in a request: texts, pairs, or the length of the first axis.
#[must_use]
pub fn items(input: &Input) -> usize {
    match input {
        Input::Texts(texts) => texts.len(),
        Input::Pairs(pairs) => pairs.len(),
        Input::Tensors(tensors) => tensors.first().map_or(0, rows),
    }
}

/// A lower bound on the bytes that the input's features take on the wire, known without building them.
#[must_use]
pub fn least_bytes(input: &Input) -> usize {
    let features: usize = match input {
        Input::Texts(texts) => texts.len(),
        Input::Pairs(pairs) => pairs.len(),
        Input::Tensors(tensors) => {
            tensors.iter().map(|t| rows(t).saturating_mul(if is_wide(t) { 4 } else { columns(t) })).sum()
        }
    };
    features.saturating_mul(LEAST_WIRE_BYTES)
}

/// All features of a request; without an answer those of the input alone.
#[must_use]
pub fn features(input: &Input, answer: Option<&Answer>, metadata: &Metadata) -> Vec<Feature> {
    let mut out = Sink::default();
    if let Some(answer) = answer {
        outputs::of(answer, &mut out);
    }
    match (text::passages(input, metadata), input) {
        (Some(passages), _) => {
            for (item, passage) in passages.iter().enumerate() {
                text::of(item, passage, answer.and_then(|a| a.texts.get(item)), &mut out);
            }
        }
        (None, Input::Tensors(tensors)) => {
            for tensor in tensors {
                let spec = metadata.inputs.iter().find(|spec| spec.name == tensor.name());
                table::of(tensor, spec, &mut out);
            }
            table::quality(tensors, metadata, &mut out);
        }
        (None, Input::Texts(_) | Input::Pairs(_)) => {}
    }
    out.0
}

#[derive(Default)]
struct Sink(Vec<Feature>);

impl Sink {
    fn put(&mut self, name: impl Into<String>, item: usize, value: FeatureValue) {
        let item = u32::try_from(item).unwrap_or(u32::MAX);
        self.0.push(Feature { name: name.into(), item, value });
    }

    fn number(&mut self, name: impl Into<String>, item: usize, value: f64) {
        self.put(name, item, FeatureValue::Number(value));
    }

    fn category(&mut self, name: impl Into<String>, item: usize, value: &str) {
        self.put(name, item, FeatureValue::Category(value.to_owned()));
    }
}

/// Whether items are summarised: images (rank 3 and up) and long rows.
fn is_wide(tensor: &Tensor) -> bool {
    tensor.shape().len() > 2 || columns(tensor) > MAX_COLUMNS
}

/// Items of a tensor; none of one without values, whatever its shape says: `[4611686018427387904, 0]` is a shape too.
#[must_use]
pub fn rows(tensor: &Tensor) -> usize {
    if tensor.data().is_empty() {
        return 0;
    }
    tensor.shape().first().copied().unwrap_or(1)
}

fn columns(tensor: &Tensor) -> usize {
    tensor.shape().iter().skip(1).fold(1, |columns, &axis| columns.saturating_mul(axis))
}

/// The numbers of one row, in its order; none where the tensor holds strings.
pub fn row(tensor: &Tensor, row: usize) -> impl Iterator<Item = f64> + Clone {
    let width = columns(tensor);
    (row * width..(row + 1) * width).filter_map(|at| number(tensor.data(), at))
}

/// A value as a number; `None` of a string and past the end.
#[expect(clippy::cast_precision_loss, reason = "a feature is a 64-bit float, also of a 64-bit integer")]
#[must_use]
pub fn number(data: &Data, index: usize) -> Option<f64> {
    match data {
        Data::Bool(v) => v.get(index).map(|&x| f64::from(u8::from(x))),
        Data::Uint8(v) => v.get(index).map(|&x| x.into()),
        Data::Uint16(v) => v.get(index).map(|&x| x.into()),
        Data::Uint32(v) => v.get(index).map(|&x| x.into()),
        Data::Uint64(v) => v.get(index).map(|&x| x as f64),
        Data::Int8(v) => v.get(index).map(|&x| x.into()),
        Data::Int16(v) => v.get(index).map(|&x| x.into()),
        Data::Int32(v) => v.get(index).map(|&x| x.into()),
        Data::Int64(v) => v.get(index).map(|&x| x as f64),
        Data::Fp16(v) => v.get(index).map(|&x| x.into()),
        Data::Bf16(v) => v.get(index).map(|&x| x.into()),
        Data::Fp32(v) => v.get(index).map(|&x| x.into()),
        Data::Fp64(v) => v.get(index).copied(),
        Data::Bytes(_) => None,
    }
}

#[cfg(test)]
mod testing {
    use super::*;

    pub(super) fn value(out: &Sink, name: &str, item: u32) -> Option<FeatureValue> {
        out.0.iter().find(|f| f.name == name && f.item == item).map(|f| f.value.clone())
    }

    #[track_caller]
    pub(super) fn check(out: &Sink, name: &str, item: u32, expected: f64) {
        match value(out, name, item) {
            Some(FeatureValue::Number(x)) => assert!((x - expected).abs() < 1e-9, "{name} is {x}, not {expected}"),
            other => panic!("{name} is {other:?} in {:?}", out.0),
        }
    }

    #[track_caller]
    pub(super) fn check_category(out: &Sink, name: &str, item: u32, expected: &str) {
        assert_eq!(value(out, name, item), Some(FeatureValue::Category(expected.into())), "{name} in {:?}", out.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_rows_are_few_features() {
        let long = Tensor::new("row", vec![1, 300], Data::Fp32(vec![1.0; 300])).unwrap();
        assert_eq!(least_bytes(&Input::Tensors(vec![long])), 4 * LEAST_WIRE_BYTES);
        assert_eq!(least_bytes(&Input::Pairs(vec![("a".into(), "b".into())])), LEAST_WIRE_BYTES);
    }

    #[test]
    fn a_shape_without_values_has_no_items_however_many_it_names() {
        for shape in [vec![1 << 62, 0], vec![1 << 62, 0, 1], vec![0, 1 << 62, 4], vec![3, 0]] {
            let empty = Tensor::new("x", shape, Data::Fp32(vec![])).unwrap();
            let input = Input::Tensors(vec![empty]);
            assert_eq!((items(&input), least_bytes(&input)), (0, 0));
            let mut out = Sink::default();
            if let Input::Tensors(tensors) = &input {
                table::of(&tensors[0], None, &mut out);
            }
            assert!(out.0.is_empty(), "{:?}", out.0);
        }
    }
}
