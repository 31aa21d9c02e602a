//! Tensors as the protocol and the sessions both understand them: a name, a shape and flat data in row-major order.

use half::{bf16, f16};

/// A named tensor. `data.len()` equals the product of `shape`: [`Tensor::new`] is the only way to make one.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    name: String,
    shape: Vec<usize>,
    data: Data,
}

/// Flat data of one datatype.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each variant is the protocol's datatype of that name")]
pub enum Data {
    Bool(Vec<bool>),
    Uint8(Vec<u8>),
    Uint16(Vec<u16>),
    Uint32(Vec<u32>),
    Uint64(Vec<u64>),
    Int8(Vec<i8>),
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Fp16(Vec<f16>),
    Bf16(Vec<bf16>),
    Fp32(Vec<f32>),
    Fp64(Vec<f64>),
    /// UTF-8 strings; the protocol's `BYTES`.
    Bytes(Vec<String>),
}

/// Why a tensor cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("tensor '{name}' of shape {shape:?} needs {expected} values but has {found}")]
pub struct ShapeError {
    name: String,
    shape: Vec<usize>,
    expected: usize,
    found: usize,
}

impl Tensor {
    /// A tensor whose data fills its shape.
    ///
    /// # Errors
    /// [`ShapeError`] where the number of values is not the product of the shape.
    pub fn new(name: impl Into<String>, shape: Vec<usize>, data: Data) -> Result<Self, ShapeError> {
        let name = name.into();
        let expected = shape.iter().try_fold(1_usize, |product, &n| product.checked_mul(n)).unwrap_or(usize::MAX);
        let found = data.len();
        if expected == found {
            Ok(Self { name, shape, data })
        } else {
            Err(ShapeError { name, shape, expected, found })
        }
    }

    /// Name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Shape, outermost dimension first.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The values.
    #[must_use]
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// The parts, for a session that takes the values without copying.
    #[must_use]
    pub fn into_parts(self) -> (String, Vec<usize>, Data) {
        (self.name, self.shape, self.data)
    }
}

impl Data {
    /// Number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Bool(v) => v.len(),
            Self::Uint8(v) => v.len(),
            Self::Uint16(v) => v.len(),
            Self::Uint32(v) => v.len(),
            Self::Uint64(v) => v.len(),
            Self::Int8(v) => v.len(),
            Self::Int16(v) => v.len(),
            Self::Int32(v) => v.len(),
            Self::Int64(v) => v.len(),
            Self::Fp16(v) => v.len(),
            Self::Bf16(v) => v.len(),
            Self::Fp32(v) => v.len(),
            Self::Fp64(v) => v.len(),
            Self::Bytes(v) => v.len(),
        }
    }

    /// The values as they lie in memory; nothing of strings, which do not lie together.
    #[must_use]
    pub fn as_raw(&self) -> &[u8] {
        match self {
            Self::Bool(v) => bytemuck::cast_slice(v),
            Self::Uint8(v) => v,
            Self::Uint16(v) => bytemuck::cast_slice(v),
            Self::Uint32(v) => bytemuck::cast_slice(v),
            Self::Uint64(v) => bytemuck::cast_slice(v),
            Self::Int8(v) => bytemuck::cast_slice(v),
            Self::Int16(v) => bytemuck::cast_slice(v),
            Self::Int32(v) => bytemuck::cast_slice(v),
            Self::Int64(v) => bytemuck::cast_slice(v),
            Self::Fp16(v) => bytemuck::cast_slice(v),
            Self::Bf16(v) => bytemuck::cast_slice(v),
            Self::Fp32(v) => bytemuck::cast_slice(v),
            Self::Fp64(v) => bytemuck::cast_slice(v),
            Self::Bytes(_) => &[],
        }
    }

    /// Whether there are no values.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The protocol's name of the datatype.
    #[must_use]
    pub const fn datatype(&self) -> &'static str {
        match self {
            Self::Bool(_) => "BOOL",
            Self::Uint8(_) => "UINT8",
            Self::Uint16(_) => "UINT16",
            Self::Uint32(_) => "UINT32",
            Self::Uint64(_) => "UINT64",
            Self::Int8(_) => "INT8",
            Self::Int16(_) => "INT16",
            Self::Int32(_) => "INT32",
            Self::Int64(_) => "INT64",
            Self::Fp16(_) => "FP16",
            Self::Bf16(_) => "BF16",
            Self::Fp32(_) => "FP32",
            Self::Fp64(_) => "FP64",
            Self::Bytes(_) => "BYTES",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tensor_fills_its_shape() {
        assert!(Tensor::new("x", vec![2, 3], Data::Fp32(vec![0.0; 6])).is_ok());
        let error = Tensor::new("x", vec![2, 3], Data::Fp32(vec![0.0; 5])).unwrap_err();
        assert_eq!(error.to_string(), "tensor 'x' of shape [2, 3] needs 6 values but has 5");
    }

    #[test]
    fn a_shape_past_the_address_space_is_an_error() {
        assert!(Tensor::new("x", vec![usize::MAX, 2], Data::Bool(vec![])).is_err());
    }
}
