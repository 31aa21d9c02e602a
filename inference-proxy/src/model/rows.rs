//! Tensors put together along their first axis, and taken apart again.

use std::borrow::Cow;
use std::ops::Range;

use crate::tensor::{Data, Tensor};

/// Tensors of one datatype and one shape but for the first axis, as one; the name is the first's. `None` where they
/// do not fit together or there is none.
pub(crate) fn stack(parts: &[&Tensor]) -> Option<Tensor> {
    let (first, rest) = parts.split_first()?;
    let inner = first.shape().get(1..)?;
    let mut data = first.data().clone();
    let mut rows = *first.shape().first()?;
    for part in rest {
        if part.shape().get(1..)? != inner {
            return None;
        }
        rows += part.shape().first()?;
        append(&mut data, part.data())?;
    }
    let shape = std::iter::once(rows).chain(inner.iter().copied()).collect();
    Tensor::new(first.name(), shape, data).ok()
}

/// Rows of a tensor, as a tensor; `None` where it has fewer.
pub(crate) fn slice(tensor: &Tensor, rows: Range<usize>) -> Option<Tensor> {
    let (&count, inner) = tensor.shape().split_first()?;
    if rows.end > count || rows.start > rows.end {
        return None;
    }
    let width: usize = inner.iter().product();
    let shape = std::iter::once(rows.len()).chain(inner.iter().copied()).collect();
    let data = cut(tensor.data(), rows.start * width..rows.end * width);
    Tensor::new(tensor.name(), shape, data).ok()
}

/// Calls a macro with every datatype.
macro_rules! each_datatype {
    ($($variant:ident),*) => {
        fn append(data: &mut Data, more: &Data) -> Option<()> {
            match (data, more) {
                $((Data::$variant(data), Data::$variant(more)) => data.extend_from_slice(more),)*
                _ => return None,
            }
            Some(())
        }

        fn cut(data: &Data, range: Range<usize>) -> Data {
            match data {
                $(Data::$variant(data) => Data::$variant(data[range].to_vec()),)*
            }
        }

        /// As many zeros, empty strings, or falses, of the datatype with this name.
        pub(crate) fn zeros(datatype: &str, count: usize) -> Option<Data> {
            $(if Data::$variant(Vec::new()).datatype() == datatype {
                return Some(Data::$variant(vec![Default::default(); count]));
            })*
            None
        }
    };
}
each_datatype!(Bool, Uint8, Uint16, Uint32, Uint64, Int8, Int16, Int32, Int64, Fp16, Bf16, Fp32, Fp64, Bytes);

/// Some of the values as 32-bit floats; `None` where they are no floats or not that many.
pub(crate) fn floats(data: &Data, range: Range<usize>) -> Option<Cow<'_, [f32]>> {
    match data {
        Data::Fp32(v) => v.get(range).map(Cow::Borrowed),
        Data::Fp64(v) => v.get(range).map(|v| v.iter().map(|&x| x as f32).collect()),
        Data::Fp16(v) => v.get(range).map(|v| v.iter().map(|x| x.to_f32()).collect()),
        Data::Bf16(v) => v.get(range).map(|v| v.iter().map(|x| x.to_f32()).collect()),
        _ => None,
    }
}

/// Bytes that the values hold.
pub(crate) fn bytes(data: &Data) -> usize {
    match data {
        Data::Bool(v) => v.len(),
        Data::Uint8(v) => v.len(),
        Data::Int8(v) => v.len(),
        Data::Uint16(v) => 2 * v.len(),
        Data::Int16(v) => 2 * v.len(),
        Data::Fp16(v) => 2 * v.len(),
        Data::Bf16(v) => 2 * v.len(),
        Data::Uint32(v) => 4 * v.len(),
        Data::Int32(v) => 4 * v.len(),
        Data::Fp32(v) => 4 * v.len(),
        Data::Uint64(v) => 8 * v.len(),
        Data::Int64(v) => 8 * v.len(),
        Data::Fp64(v) => 8 * v.len(),
        Data::Bytes(v) => v.iter().map(|text| text.len() + size_of::<String>()).sum(),
    }
}

/// The largest magnitude; NaN where there is one, 0 of nothing.
pub(crate) fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |most, x| if x.is_nan() || most.is_nan() { f64::NAN } else { most.max(x.abs()) })
}

/// Position of the first value that is NaN or infinite, with how it reads.
pub(crate) fn first_non_finite(data: &Data) -> Option<(usize, f64)> {
    match data {
        Data::Fp16(v) => v.iter().position(|x| !x.is_finite()).map(|i| (i, f64::from(v[i]))),
        Data::Bf16(v) => v.iter().position(|x| !x.is_finite()).map(|i| (i, f64::from(v[i]))),
        Data::Fp32(v) => v.iter().position(|x| !x.is_finite()).map(|i| (i, f64::from(v[i]))),
        Data::Fp64(v) => v.iter().position(|x| !x.is_finite()).map(|i| (i, v[i])),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(shape: &[usize], values: &[i64]) -> Tensor {
        Tensor::new("x", shape.to_vec(), Data::Int64(values.to_vec())).unwrap()
    }

    #[test]
    fn what_is_stacked_can_be_sliced() {
        let (a, b) = (tensor(&[1, 2], &[1, 2]), tensor(&[2, 2], &[3, 4, 5, 6]));
        let both = stack(&[&a, &b]).unwrap();
        assert_eq!(both, tensor(&[3, 2], &[1, 2, 3, 4, 5, 6]));
        assert_eq!(slice(&both, 0..1), Some(a));
        assert_eq!(slice(&both, 1..3), Some(b));
        assert_eq!(slice(&both, 1..4), None);
    }

    #[test]
    fn what_does_not_fit_is_not_stacked() {
        let text = Tensor::new("x", vec![1, 2], Data::Bytes(vec!["a".into(), "b".into()])).unwrap();
        for (a, b) in [
            (tensor(&[1, 2], &[1, 2]), tensor(&[1, 3], &[1, 2, 3])),
            (tensor(&[1, 2], &[1, 2]), text),
            (tensor(&[], &[1]), tensor(&[], &[1])),
        ] {
            assert_eq!(stack(&[&a, &b]), None);
        }
    }

    #[test]
    fn non_finite_values_are_found() {
        assert_eq!(first_non_finite(&Data::Fp32(vec![1.0, f32::INFINITY])), Some((1, f64::INFINITY)));
        assert!(first_non_finite(&Data::Fp64(vec![0.0, f64::NAN])).unwrap().1.is_nan());
        assert_eq!(first_non_finite(&Data::Int64(vec![1])), None);
    }
}
