//! Whether tensors are what a graph takes. Every refusal names the input, what was expected and what was found.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::tensor::{Data, Tensor};

use super::metadata::TensorSpec;
use super::rows;

/// The tensors in the order of the graph's inputs.
///
/// # Errors
/// One sentence for the client.
pub(crate) fn tensors(
    specs: &[TensorSpec],
    given: Vec<Tensor>,
    items_first: bool,
    allow_non_finite: bool,
) -> Result<Vec<Tensor>, String> {
    let mut slots: Vec<Option<Tensor>> = specs.iter().map(|_| None).collect();
    for tensor in given {
        let Some(at) = specs.iter().position(|spec| spec.name == tensor.name()) else {
            let names: Vec<String> = specs.iter().map(|spec| format!("'{}'", spec.name)).collect();
            return Err(format!("there is no input '{}'; the model takes {}", tensor.name(), names.join(", ")));
        };
        check(&specs[at], &tensor, allow_non_finite)?;
        if slots[at].replace(tensor).is_some() {
            return Err(format!("input '{}' was given twice", specs[at].name));
        }
    }
    let missing = |spec: &TensorSpec| format!("input '{}' ({} {:?}) is missing", spec.name, spec.datatype, spec.shape);
    let tensors: Result<Vec<Tensor>, String> =
        slots.into_iter().zip(specs).map(|(slot, spec)| slot.ok_or_else(|| missing(spec))).collect();
    let tensors = tensors?;
    if items_first {
        same_rows(&tensors)?;
    }
    Ok(tensors)
}

/// What requests must have in common to run together: everything but the number of items.
pub(crate) fn kind(tensors: &[Tensor]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for tensor in tensors {
        tensor.shape().get(1..).hash(&mut hasher);
    }
    hasher.finish()
}

fn check(spec: &TensorSpec, tensor: &Tensor, allow_non_finite: bool) -> Result<(), String> {
    let TensorSpec { name, datatype, shape: expected, .. } = spec;
    let found = tensor.data().datatype();
    if found != *datatype {
        return Err(format!("input '{name}' must be {datatype}, not {found}"));
    }
    let fits = |(&found, &expected): (&usize, &i64)| expected < 0 || i64::try_from(found) == Ok(expected);
    if tensor.shape().len() != expected.len() || !tensor.shape().iter().zip(expected).all(fits) {
        let shape = tensor.shape();
        return Err(format!("input '{name}' must have shape {expected:?} (-1 is any size), not {shape:?}"));
    }
    if tensor.data().is_empty() {
        return Err(format!("input '{name}' of shape {:?} holds no values", tensor.shape()));
    }
    if let Data::Bytes(texts) = tensor.data()
        && let Some(at) = texts.iter().position(|text| text.contains('\0'))
    {
        return Err(format!(
            "input '{name}' holds a string with a NUL character at index {at}, which a graph cannot take"
        ));
    }
    match rows::first_non_finite(tensor.data()) {
        Some((at, value)) if !allow_non_finite => Err(format!("input '{name}' holds {value} at index {at}")),
        _ => Ok(()),
    }
}

fn same_rows(tensors: &[Tensor]) -> Result<(), String> {
    let Some(first) = tensors.first() else { return Ok(()) };
    match tensors.iter().find(|tensor| tensor.shape().first() != first.shape().first()) {
        None => Ok(()),
        Some(other) => Err(format!(
            "input '{}' has {} items and input '{}' has {}: they must be equal",
            first.name(),
            first.shape()[0],
            other.name(),
            other.shape()[0]
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str, datatype: &'static str, shape: &[i64]) -> TensorSpec {
        TensorSpec { name: name.into(), datatype, shape: shape.to_vec(), columns: vec![] }
    }

    fn floats(name: &str, shape: &[usize]) -> Tensor {
        Tensor::new(name, shape.to_vec(), Data::Fp32(vec![0.5; shape.iter().product()])).unwrap()
    }

    #[test]
    fn every_mistake_is_named() {
        let specs = [spec("x", "FP32", &[-1, 2]), spec("n", "FP32", &[-1])];
        let check = |given: Vec<Tensor>, expected: &str| {
            assert_eq!(tensors(&specs, given, true, false).unwrap_err(), expected);
        };
        let bad = Tensor::new("x", vec![1, 2], Data::Fp32(vec![0.0, f32::NEG_INFINITY])).unwrap();
        let nul = Tensor::new("t", vec![2], Data::Bytes(vec!["a".into(), "b\0".into()])).unwrap();
        assert_eq!(
            tensors(&[spec("t", "BYTES", &[-1])], vec![nul], true, false).unwrap_err(),
            "input 't' holds a string with a NUL character at index 1, which a graph cannot take"
        );
        let integer = Tensor::new("x", vec![1, 2], Data::Int64(vec![0, 1])).unwrap();
        check(vec![floats("z", &[1])], "there is no input 'z'; the model takes 'x', 'n'");
        check(vec![floats("x", &[1, 2])], "input 'n' (FP32 [-1]) is missing");
        check(vec![floats("x", &[1, 2]), floats("x", &[1, 2])], "input 'x' was given twice");
        check(vec![floats("x", &[1, 3])], "input 'x' must have shape [-1, 2] (-1 is any size), not [1, 3]");
        check(vec![floats("x", &[2])], "input 'x' must have shape [-1, 2] (-1 is any size), not [2]");
        check(vec![floats("x", &[0, 2])], "input 'x' of shape [0, 2] holds no values");
        check(vec![integer], "input 'x' must be FP32, not INT64");
        check(vec![bad], "input 'x' holds -inf at index 1");
        check(
            vec![floats("x", &[1, 2]), floats("n", &[2])],
            "input 'x' has 1 items and input 'n' has 2: they must be equal",
        );
    }

    #[test]
    fn good_tensors_come_in_the_graphs_order() {
        let specs = [spec("x", "FP32", &[-1, 2]), spec("n", "FP32", &[-1])];
        let good = tensors(&specs, vec![floats("n", &[3]), floats("x", &[3, 2])], true, false).unwrap();
        assert_eq!(good[0].name(), "x");
        let nan = Tensor::new("n", vec![1], Data::Fp32(vec![f32::NAN])).unwrap();
        assert!(tensors(&specs[1..], vec![nan], true, true).is_ok());
    }

    #[test]
    fn only_the_number_of_items_may_differ_in_a_batch() {
        assert_eq!(kind(&[floats("x", &[1, 2])]), kind(&[floats("x", &[5, 2])]));
        assert_ne!(kind(&[floats("x", &[1, 2])]), kind(&[floats("x", &[1, 3])]));
    }
}
