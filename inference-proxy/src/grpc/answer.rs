//! From an answer to gRPC's message: raw contents for who sent raw contents, typed ones for who sent typed ones.

use super::message::{Choice, Contents, ModelInferResponse, Parameter, WireTensor};
use crate::error::ApiError;
use crate::oip::core::{InferAnswer, Output};
use crate::tensor::Data;

/// The answer as the protocol writes it; `raw` where the request came so.
///
/// # Errors
/// An output that cannot be written.
pub fn write(answer: InferAnswer, raw: bool) -> Result<ModelInferResponse, ApiError> {
    let said = answer.parameters().unwrap_or_default();
    let parameter = |(key, value): (&str, String)| (key.to_owned(), Parameter { choice: Some(Choice::String(value)) });
    let InferAnswer { served, id, outputs } = answer;
    // all of them or none: and 16-bit floats have no typed contents
    let raw = raw || outputs.iter().any(|output| output.binary || is_16_bit_float(output.given.tensor().data()));
    let mut response = ModelInferResponse {
        model_name: served.version.name().to_owned(),
        model_version: served.version_name().to_owned(),
        id: id.unwrap_or_default(),
        parameters: said.into_iter().map(parameter).collect(),
        ..ModelInferResponse::default()
    };
    for Output { given, .. } in outputs {
        let tensor = given.tensor();
        let shape = tensor.shape().iter().map(|&n| i64::try_from(n).unwrap_or(i64::MAX)).collect();
        let contents = (!raw).then(|| typed(tensor.data()));
        let (name, datatype) = (tensor.name().to_owned(), tensor.data().datatype().to_owned());
        response.outputs.push(WireTensor { name, datatype, shape, contents, ..WireTensor::default() });
        if raw {
            response.raw_output_contents.push(given.raw().map_err(ApiError::bad_output)?);
        }
    }
    Ok(response)
}

const fn is_16_bit_float(data: &Data) -> bool {
    matches!(data, Data::Fp16(_) | Data::Bf16(_))
}

fn typed(data: &Data) -> Contents {
    fn wide<T: Copy + Into<W>, W>(values: &[T]) -> Vec<W> {
        values.iter().map(|&value| value.into()).collect()
    }
    let mut contents = Contents::default();
    match data {
        Data::Bool(v) => contents.bool_contents.clone_from(v),
        Data::Uint8(v) => contents.uint_contents = wide(v),
        Data::Uint16(v) => contents.uint_contents = wide(v),
        Data::Uint32(v) => contents.uint_contents.clone_from(v),
        Data::Uint64(v) => contents.uint64_contents.clone_from(v),
        Data::Int8(v) => contents.int_contents = wide(v),
        Data::Int16(v) => contents.int_contents = wide(v),
        Data::Int32(v) => contents.int_contents.clone_from(v),
        Data::Int64(v) => contents.int64_contents.clone_from(v),
        Data::Fp32(v) => contents.fp32_contents.clone_from(v),
        Data::Fp64(v) => contents.fp64_contents.clone_from(v),
        Data::Bytes(v) => {
            contents.bytes_contents = v.iter().map(|text| bytes::Bytes::copy_from_slice(text.as_bytes())).collect();
        }
        // never typed: their answers are raw
        Data::Fp16(_) | Data::Bf16(_) => {}
    }
    contents
}
