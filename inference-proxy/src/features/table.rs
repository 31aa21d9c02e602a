//! Features of tensors: a column each, or four statistics of an image, and where a declared schema is broken.

use contract::feature as names;
use contract::wire::FeatureValue;

use super::{Sink, columns, is_wide, number, row, rows};
use crate::model::{Metadata, TensorSpec, Violation};
use crate::tensor::{Data, Tensor};

/// The features of all items of one input.
pub(super) fn of(tensor: &Tensor, spec: Option<&TensorSpec>, out: &mut Sink) {
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

/// The number of violations of each item, and each with its column; nothing where no schema is declared.
pub(super) fn quality(tensors: &[Tensor], metadata: &Metadata, out: &mut Sink) {
    if metadata.schema.is_empty() {
        return;
    }
    let mut counts = vec![0_u32; tensors.first().map_or(0, rows)];
    for Violation { item, column, breach } in tensors.iter().flat_map(|tensor| metadata.schema.violations(tensor)) {
        out.category(breach.feature(), item, column);
        if let Some(count) = counts.get_mut(item) {
            *count += 1;
        }
    }
    for (item, count) in counts.into_iter().enumerate() {
        out.number(names::QUALITY_VIOLATIONS, item, count.into());
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
    for item in 0..rows(tensor) {
        let Some(Summary { mean, deviation, least, largest }) = Summary::of(row(tensor, item)) else { continue };
        for (what, x) in [("mean", mean), ("std", deviation), ("min", least), ("max", largest)] {
            out.number(format!("{}{}.{what}", names::INPUT_PREFIX, tensor.name()), item, x);
        }
    }
}

struct Summary {
    mean: f64,
    deviation: f64,
    least: f64,
    largest: f64,
}

impl Summary {
    /// In one pass over a picture's many numbers. Squares are of the distance to the first number, which keeps their
    /// difference exact where the mean is far from 0 (Chan, Golub, LeVeque 1983).
    fn of(numbers: impl Iterator<Item = f64>) -> Option<Self> {
        let mut numbers = numbers.peekable();
        let first = *numbers.peek()?;
        let (mut n, mut sum, mut squares) = (0.0, 0.0, 0.0);
        let (mut least, mut largest) = (f64::INFINITY, f64::NEG_INFINITY);
        for x in numbers {
            let distance = x - first;
            n += 1.0;
            sum += distance;
            squares += distance * distance;
            least = least.min(x);
            largest = largest.max(x);
        }
        let mean = sum / n;
        // of equal numbers rounding may leave a little less than 0; `max` would turn a NaN into 0
        let variance = squares / n - mean * mean;
        let deviation = if variance < 0.0 { 0.0 } else { variance.sqrt() };
        Some(Self { mean: first + mean, deviation, least, largest })
    }
}

fn value(data: &Data, index: usize) -> FeatureValue {
    match data {
        Data::Bytes(values) => values
            .get(index)
            .map_or(FeatureValue::Missing, |category| FeatureValue::Category(names::category(category).to_owned())),
        numbers => number(numbers, index).map_or(FeatureValue::Missing, FeatureValue::Number),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, check_category, value as found};
    use super::*;

    #[test]
    fn columns_are_named_by_the_model_or_by_number() {
        let tensor = Tensor::new("x", vec![2, 2], Data::Fp32(vec![1.0, 2.0, f32::NAN, 4.0])).unwrap();
        let mut out = Sink::default();
        of(&tensor, None, &mut out);
        check(&out, "input.x_1", 0, 2.0);
        assert!(matches!(found(&out, "input.x_0", 1), Some(FeatureValue::Number(x)) if x.is_nan()));
        let spec = TensorSpec {
            name: "x".into(),
            datatype: "FP32",
            shape: vec![-1, 2],
            columns: vec!["age".into(), "height".into()],
        };
        let mut out = Sink::default();
        of(&tensor, Some(&spec), &mut out);
        check(&out, "input.height", 1, 4.0);
    }

    #[test]
    fn one_column_a_tensor_takes_the_tensors_name() {
        let tensor = Tensor::new("colour", vec![1, 1], Data::Bytes(vec!["red".into()])).unwrap();
        let mut out = Sink::default();
        of(&tensor, None, &mut out);
        check_category(&out, "input.colour", 0, "red");
    }

    #[test]
    fn images_and_long_rows_are_summarised() {
        let image = Tensor::new("img", vec![2, 2, 2], Data::Uint8(vec![0, 2, 4, 6, 1, 1, 1, 1])).unwrap();
        let mut out = Sink::default();
        of(&image, None, &mut out);
        check(&out, "input.img.mean", 0, 3.0);
        check(&out, "input.img.std", 0, 5.0_f64.sqrt());
        check(&out, "input.img.min", 0, 0.0);
        check(&out, "input.img.max", 0, 6.0);
        check(&out, "input.img.std", 1, 0.0);
        assert_eq!(out.0.len(), 8);
        let far = Data::Fp64(vec![1e9 + 1.0, 1e9 + 3.0]);
        let mut out = Sink::default();
        of(&Tensor::new("far", vec![1, 1, 2], far).unwrap(), None, &mut out);
        check(&out, "input.far.std", 0, 1.0);
    }
}
