//! From a request and its answer to the numbers and categories that drift is judged on.
//!
//! Names come from [`contract::feature`]. An item is a text or a row. Narrow tensors give one feature a column;
//! images and wide rows give four statistics, because a thousand features a row would drown the judgement and the
//! collector. Values are taken as they are: NaN and infinities are values too.

use contract::feature as names;
use contract::wire::{Feature, FeatureValue};

use crate::model::{Answer, Input, Metadata, TensorSpec, TextStats};
use crate::tensor::{Data, Tensor};

/// A row with more columns than this is summarised.
const MAX_COLUMNS: usize = 256;
/// Longer categories are cut: a category is a word, and a longer one would be content.
const MAX_CATEGORY_CHARS: usize = 64;
/// At least so many bytes a feature takes on the wire: three keys, an item, a value.
const LEAST_WIRE_BYTES: usize = 32;

/// The texts of a request to a model that takes text, in whichever form they came.
#[must_use]
pub fn texts<'a>(input: &'a Input, metadata: &Metadata) -> Option<&'a [String]> {
    match input {
        Input::Texts(texts) => Some(texts),
        Input::Tensors(tensors) => match tensors.as_slice() {
            [only] if metadata.takes_text => match only.data() {
                Data::Bytes(texts) => Some(texts),
                _ => None,
            },
            _ => None,
        },
    }
}

/// Items in a request: texts, or the length of the first axis.
#[must_use]
pub fn items(input: &Input) -> usize {
    match input {
        Input::Texts(texts) => texts.len(),
        Input::Tensors(tensors) => tensors.first().map_or(0, rows),
    }
}

/// A lower bound on the bytes that the input's features take on the wire, known without building them.
#[must_use]
pub fn least_bytes(input: &Input) -> usize {
    let features: usize = match input {
        Input::Texts(texts) => texts.len(),
        Input::Tensors(tensors) => tensors.iter().map(|t| rows(t) * if is_wide(t) { 4 } else { columns(t) }).sum(),
    };
    features.saturating_mul(LEAST_WIRE_BYTES)
}

/// All features of a request; without an answer those of the input alone.
#[must_use]
pub fn features(input: &Input, answer: Option<&Answer>, metadata: &Metadata) -> Vec<Feature> {
    let mut out = Sink::default();
    if let Some(answer) = answer {
        outputs(answer, &mut out);
    }
    match (texts(input, metadata), input) {
        (Some(texts), _) => {
            for (item, text) in texts.iter().enumerate() {
                of_text(item, text, answer.and_then(|a| a.texts.get(item)), &mut out);
            }
        }
        (None, Input::Tensors(tensors)) => tensors.iter().for_each(|tensor| {
            let spec = metadata.inputs.iter().find(|spec| spec.name == tensor.name());
            of_tensor(tensor, spec, &mut out);
        }),
        (None, Input::Texts(_)) => {}
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
}

fn of_text(item: usize, text: &str, stats: Option<&TextStats>, out: &mut Sink) {
    let (mut chars, mut digits, mut beyond_ascii) = (0_u32, 0_u32, 0_u32);
    for c in text.chars() {
        chars += 1;
        digits += u32::from(c.is_ascii_digit());
        beyond_ascii += u32::from(!c.is_ascii());
    }
    let share = |n: u32| f64::from(n) / f64::from(chars.max(1));
    out.number(names::TEXT_CHARS, item, chars.into());
    out.number(names::TEXT_DIGIT_RATE, item, share(digits));
    out.number(names::TEXT_NON_ASCII_RATE, item, share(beyond_ascii));
    if let Some(stats) = stats {
        out.number(names::TEXT_TOKENS, item, stats.tokens.into());
        out.number(names::TEXT_UNKNOWN_RATE, item, stats.unknown_rate);
        out.number(names::TEXT_TRUNCATED, item, f64::from(u8::from(stats.truncated)));
    }
}

fn outputs(answer: &Answer, out: &mut Sink) {
    for (item, classes) in answer.classes.iter().enumerate() {
        let prediction = classes.prediction();
        out.put(names::OUTPUT_LABEL, item, FeatureValue::Category(prediction.label));
        out.number(names::OUTPUT_CONFIDENCE, item, prediction.confidence);
        out.number(names::OUTPUT_MARGIN, item, prediction.margin);
        out.number(names::OUTPUT_ENTROPY, item, prediction.entropy);
    }
    if answer.classes.is_empty() {
        answer.outputs.iter().for_each(|tensor| of_output(tensor, out));
    }
}

/// A regression's number, or an embedding's length.
fn of_output(tensor: &Tensor, out: &mut Sink) {
    let (rows, width) = (rows(tensor), columns(tensor));
    for row in 0..rows {
        let numbers = || (row * width..(row + 1) * width).filter_map(|i| number(tensor.data(), i));
        match width {
            1 => numbers().for_each(|x| out.number(output_name(tensor, ""), row, x)),
            _ => out.number(output_name(tensor, ".norm"), row, numbers().map(|x| x * x).sum::<f64>().sqrt()),
        }
    }
}

fn output_name(tensor: &Tensor, suffix: &str) -> String {
    format!("{}{}{suffix}", names::OUTPUT_PREFIX, tensor.name())
}

fn of_tensor(tensor: &Tensor, spec: Option<&TensorSpec>, out: &mut Sink) {
    if is_wide(tensor) {
        statistics(tensor, out);
        return;
    }
    let width = columns(tensor);
    let column_names: Vec<String> = (0..width).map(|c| column_name(tensor, spec, width, c)).collect();
    for row in 0..rows(tensor) {
        for (c, name) in column_names.iter().enumerate() {
            out.put(name.as_str(), row, value(tensor.data(), row * width + c));
        }
    }
}

fn column_name(tensor: &Tensor, spec: Option<&TensorSpec>, width: usize, column: usize) -> String {
    let declared = spec.filter(|s| s.columns.len() == width).map(|s| s.columns[column].as_str());
    match declared {
        Some(name) => format!("{}{name}", names::INPUT_PREFIX),
        None if width == 1 => format!("{}{}", names::INPUT_PREFIX, tensor.name()),
        None => format!("{}{}_{column}", names::INPUT_PREFIX, tensor.name()),
    }
}

/// Mean, standard deviation (population), least and largest value of each item.
fn statistics(tensor: &Tensor, out: &mut Sink) {
    let width = columns(tensor);
    for row in 0..rows(tensor) {
        let numbers = || (row * width..(row + 1) * width).filter_map(|i| number(tensor.data(), i));
        #[expect(clippy::cast_precision_loss, reason = "tensors have far fewer than 2^53 values")]
        let n = width as f64;
        if numbers().next().is_none() {
            continue;
        }
        let mean = numbers().sum::<f64>() / n;
        let deviation = (numbers().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
        let (least, largest) =
            numbers().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
        for (what, x) in [("mean", mean), ("std", deviation), ("min", least), ("max", largest)] {
            out.number(format!("{}{}.{what}", names::INPUT_PREFIX, tensor.name()), row, x);
        }
    }
}

/// Whether items are summarised: images (rank 3 and up) and long rows.
fn is_wide(tensor: &Tensor) -> bool {
    tensor.shape().len() > 2 || columns(tensor) > MAX_COLUMNS
}

fn rows(tensor: &Tensor) -> usize {
    tensor.shape().first().copied().unwrap_or(1)
}

fn columns(tensor: &Tensor) -> usize {
    tensor.shape().iter().skip(1).product()
}

fn value(data: &Data, index: usize) -> FeatureValue {
    match data {
        Data::Bytes(values) => values.get(index).map_or(FeatureValue::Missing, |category| {
            FeatureValue::Category(category.chars().take(MAX_CATEGORY_CHARS).collect())
        }),
        numbers => number(numbers, index).map_or(FeatureValue::Missing, FeatureValue::Number),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a feature is a 64-bit float, also of a 64-bit integer")]
fn number(data: &Data, index: usize) -> Option<f64> {
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
mod tests {
    use super::*;

    fn by_name(out: &Sink, name: &str, item: u32) -> Option<FeatureValue> {
        out.0.iter().find(|f| f.name == name && f.item == item).map(|f| f.value.clone())
    }

    #[track_caller]
    fn check(out: &Sink, name: &str, item: u32, expected: f64) {
        match by_name(out, name, item) {
            Some(FeatureValue::Number(x)) => assert!((x - expected).abs() < 1e-9, "{name} is {x}, not {expected}"),
            other => panic!("{name} is {other:?} in {:?}", out.0),
        }
    }

    #[test]
    fn a_text_is_counted_in_characters() {
        let mut out = Sink::default();
        let stats = TextStats { tokens: 7, unknown_rate: 0.5, truncated: true };
        of_text(3, "é12x", Some(&stats), &mut out);
        check(&out, names::TEXT_CHARS, 3, 4.0);
        check(&out, names::TEXT_DIGIT_RATE, 3, 0.5);
        check(&out, names::TEXT_NON_ASCII_RATE, 3, 0.25);
        check(&out, names::TEXT_TOKENS, 3, 7.0);
        check(&out, names::TEXT_TRUNCATED, 3, 1.0);
        of_text(4, "", None, &mut out);
        check(&out, names::TEXT_DIGIT_RATE, 4, 0.0);
        assert_eq!(by_name(&out, names::TEXT_TOKENS, 4), None);
    }

    #[test]
    fn columns_are_named_by_the_model_or_by_number() {
        let tensor = Tensor::new("x", vec![2, 2], Data::Fp32(vec![1.0, 2.0, f32::NAN, 4.0])).unwrap();
        let mut out = Sink::default();
        of_tensor(&tensor, None, &mut out);
        check(&out, "input.x_1", 0, 2.0);
        assert!(matches!(by_name(&out, "input.x_0", 1), Some(FeatureValue::Number(x)) if x.is_nan()));
        let spec = TensorSpec {
            name: "x".into(),
            datatype: "FP32",
            shape: vec![-1, 2],
            columns: vec!["age".into(), "height".into()],
        };
        let mut out = Sink::default();
        of_tensor(&tensor, Some(&spec), &mut out);
        check(&out, "input.height", 1, 4.0);
    }

    #[test]
    fn one_column_a_tensor_takes_the_tensors_name() {
        let tensor = Tensor::new("colour", vec![1, 1], Data::Bytes(vec!["red".into()])).unwrap();
        let mut out = Sink::default();
        of_tensor(&tensor, None, &mut out);
        assert_eq!(by_name(&out, "input.colour", 0), Some(FeatureValue::Category("red".into())));
    }

    #[test]
    fn images_and_long_rows_are_summarised() {
        let image = Tensor::new("img", vec![2, 2, 2], Data::Uint8(vec![0, 2, 4, 6, 1, 1, 1, 1])).unwrap();
        let mut out = Sink::default();
        of_tensor(&image, None, &mut out);
        check(&out, "input.img.mean", 0, 3.0);
        check(&out, "input.img.std", 0, 5.0_f64.sqrt());
        check(&out, "input.img.min", 0, 0.0);
        check(&out, "input.img.max", 0, 6.0);
        check(&out, "input.img.std", 1, 0.0);
        assert_eq!(out.0.len(), 8);
        let long = Tensor::new("row", vec![1, 300], Data::Fp32(vec![1.0; 300])).unwrap();
        assert_eq!(least_bytes(&Input::Tensors(vec![long])), 4 * LEAST_WIRE_BYTES);
    }

    #[test]
    fn a_regression_gives_its_number_and_an_embedding_its_length() {
        let mut out = Sink::default();
        of_output(&Tensor::new("y", vec![2, 1], Data::Fp64(vec![0.5, 1.5])).unwrap(), &mut out);
        of_output(&Tensor::new("e", vec![1, 2], Data::Fp32(vec![3.0, 4.0])).unwrap(), &mut out);
        check(&out, "output.y", 1, 1.5);
        check(&out, "output.e.norm", 0, 5.0);
    }
}
