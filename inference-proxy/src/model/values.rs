//! Our tensors as ONNX Runtime's values and back, and what a graph takes and gives.

use ort::session::Session;
use ort::value::{DynValue, Outlet, Tensor as OrtTensor, TensorElementType, ValueType};

use crate::tensor::{Data, Tensor};

use super::metadata::TensorSpec;

/// The protocol's name of a datatype; `None` for those that are not served (8-bit floats, 4-bit and complex numbers).
fn datatype(kind: TensorElementType) -> Option<&'static str> {
    Some(match kind {
        TensorElementType::Bool => "BOOL",
        TensorElementType::Uint8 => "UINT8",
        TensorElementType::Uint16 => "UINT16",
        TensorElementType::Uint32 => "UINT32",
        TensorElementType::Uint64 => "UINT64",
        TensorElementType::Int8 => "INT8",
        TensorElementType::Int16 => "INT16",
        TensorElementType::Int32 => "INT32",
        TensorElementType::Int64 => "INT64",
        TensorElementType::Float16 => "FP16",
        TensorElementType::Bfloat16 => "BF16",
        TensorElementType::Float32 => "FP32",
        TensorElementType::Float64 => "FP64",
        TensorElementType::String => "BYTES",
        _ => return None,
    })
}

/// Inputs and outputs of a session.
///
/// # Errors
/// A sentence naming the first that cannot be served.
pub(crate) fn specs(session: &Session) -> Result<(Vec<TensorSpec>, Vec<TensorSpec>), String> {
    let all = |outlets: &[Outlet], what: &str| outlets.iter().map(|outlet| spec(outlet, what)).collect();
    let inputs: Result<_, String> = all(session.inputs(), "input");
    Ok((inputs?, all(session.outputs(), "output")?))
}

fn spec(outlet: &Outlet, what: &str) -> Result<TensorSpec, String> {
    let name = outlet.name();
    match outlet.dtype() {
        ValueType::Tensor { ty, shape, .. } => match datatype(*ty) {
            Some(datatype) => {
                Ok(TensorSpec { name: name.to_owned(), datatype, shape: shape.to_vec(), columns: Vec::new() })
            }
            None => {
                Err(format!("{what} '{name}' has datatype {ty}, which is not served: export it with 32-bit floats"))
            }
        },
        ValueType::Sequence(inner) if matches!(**inner, ValueType::Map { .. }) => Err(format!(
            "{what} '{name}' is a sequence of maps: export the classifier with options={{\"zipmap\": False}}"
        )),
        other => Err(format!("{what} '{name}' is {other}, and only tensors are served")),
    }
}

/// A value that a session takes; the numbers are moved, not copied.
///
/// # Errors
/// What ONNX Runtime said.
pub(crate) fn to_value(tensor: Tensor) -> Result<DynValue, String> {
    let (_, shape, data) = tensor.into_parts();
    let made = match data {
        Data::Bool(v) => OrtTensor::from_array((shape, v)).map(OrtTensor::into_dyn),
        Data::Uint8(v) => OrtTensor::from_array((shape, v)).map(OrtTensor::into_dyn),
        Data::Uint16(v) => OrtTensor::from_array((shape, v)).map(OrtTensor::into_dyn),
        Data::Uint32(v) => OrtTensor::from_array((shape, v)).map(OrtTensor::into_dyn),
        Data::Uint64(v) => OrtTensor::from_array((shape, v)).map(OrtTensor::into_dyn),
        Data::Int8(v) => OrtTensor::from_array((shape, v)).map(OrtTensor::into_dyn),
        Data::Int16(v) => OrtTensor::from_array((shape, v)).map(OrtTensor::into_dyn),
        Data::Int32(v) => OrtTensor::from_array((shape, v)).map(OrtTensor::into_dyn),
        Data::Int64(v) => OrtTensor::from_array((shape, v)).map(OrtTensor::into_dyn),
        Data::Fp16(v) => OrtTensor::from_array((shape, v)).map(OrtTensor::into_dyn),
        Data::Bf16(v) => OrtTensor::from_array((shape, v)).map(OrtTensor::into_dyn),
        Data::Fp32(v) => OrtTensor::from_array((shape, v)).map(OrtTensor::into_dyn),
        Data::Fp64(v) => OrtTensor::from_array((shape, v)).map(OrtTensor::into_dyn),
        Data::Bytes(v) => OrtTensor::from_string_array((shape, v.as_slice())).map(OrtTensor::into_dyn),
    };
    made.map_err(|error| error.to_string())
}

/// A tensor with the numbers of a session's output.
///
/// # Errors
/// A sentence, where it is not a tensor that is served.
pub(crate) fn from_value(name: &str, value: &DynValue) -> Result<Tensor, String> {
    macro_rules! copy {
        ($variant:ident, $kind:ty) => {{
            let (shape, values) = value.try_extract_tensor::<$kind>().map_err(|error| error.to_string())?;
            (shape.to_vec(), Data::$variant(values.to_vec()))
        }};
    }
    let ValueType::Tensor { ty, .. } = value.dtype() else { return Err(format!("output '{name}' is no tensor")) };
    let (shape, data) = match ty {
        TensorElementType::Bool => copy!(Bool, bool),
        TensorElementType::Uint8 => copy!(Uint8, u8),
        TensorElementType::Uint16 => copy!(Uint16, u16),
        TensorElementType::Uint32 => copy!(Uint32, u32),
        TensorElementType::Uint64 => copy!(Uint64, u64),
        TensorElementType::Int8 => copy!(Int8, i8),
        TensorElementType::Int16 => copy!(Int16, i16),
        TensorElementType::Int32 => copy!(Int32, i32),
        TensorElementType::Int64 => copy!(Int64, i64),
        TensorElementType::Float16 => copy!(Fp16, half::f16),
        TensorElementType::Bfloat16 => copy!(Bf16, half::bf16),
        TensorElementType::Float32 => copy!(Fp32, f32),
        TensorElementType::Float64 => copy!(Fp64, f64),
        TensorElementType::String => {
            let (shape, values) = value.try_extract_strings().map_err(|error| error.to_string())?;
            (shape.to_vec(), Data::Bytes(values))
        }
        other => return Err(format!("output '{name}' has datatype {other}, which is not served")),
    };
    let shape: Result<Vec<usize>, _> = shape.into_iter().map(usize::try_from).collect();
    let shape = shape.map_err(|_| format!("output '{name}' has a negative dimension"))?;
    Tensor::new(name, shape, data).map_err(|error| error.to_string())
}
