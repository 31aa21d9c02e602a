//! From an HTTP body to an inference request. Every mistake is answered with what is wrong and where.

use bytes::Bytes;
use serde::Deserialize;

use super::parameters::{Parameters, TensorParameters};
use super::raw::{Purpose, RawTensor};
use super::request::{InferRequest, MAX_TENSORS, Wanted, flag, refuse_extensions};
use crate::error::ApiError;
use crate::tensor::Tensor;

/// The body as the protocol writes it. Unknown keys are passed over: clients of other servers send some.
#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    parameters: Parameters,
    inputs: Vec<RawTensor>,
    #[serde(default)]
    outputs: Option<Vec<Output>>,
}

#[derive(Deserialize)]
struct Output {
    name: String,
    #[serde(default)]
    parameters: TensorParameters,
}

/// Decodes a body: all of it JSON, or JSON of `json_bytes` and the raw bytes of tensors behind it.
///
/// # Errors
/// 400 with one sentence.
pub fn decode(body: &Bytes, json_bytes: Option<usize>) -> Result<InferRequest, ApiError> {
    let all = body.len();
    let json_bytes = json_bytes.unwrap_or(all);
    if json_bytes > all {
        let sentence = format!("inference-header-content-length is {json_bytes}, and the body has {all} bytes");
        return Err(ApiError::invalid("bad_header_length", sentence));
    }
    let Body { id, parameters: Parameters(parameters), inputs, outputs } = super::json(&body[..json_bytes])?;
    let outputs = outputs.unwrap_or_default();
    if inputs.len() > MAX_TENSORS || outputs.len() > MAX_TENSORS {
        let sentence = format!("more than {MAX_TENSORS} inputs or outputs are named");
        return Err(ApiError::invalid("too_many_tensors", sentence));
    }
    refuse_extensions("the request", &parameters)?;
    let mut raw = &body[json_bytes..];
    let inputs = inputs.into_iter().map(|input| tensor(input, &mut raw)).collect::<Result<_, _>>()?;
    if !raw.is_empty() {
        let sentence = format!("the body has {} bytes behind its last tensor", raw.len());
        return Err(ApiError::invalid("bad_tensor", sentence));
    }
    let outputs = outputs.into_iter().map(wanted).collect::<Result<_, _>>()?;
    InferRequest::new(id, inputs, outputs, parameters)
}

fn wanted(output: Output) -> Result<Wanted, ApiError> {
    let Output { name, parameters: TensorParameters(mut parameters) } = output;
    let whose = format!("output '{name}'");
    refuse_extensions(&whose, &parameters)?;
    let binary = flag(&whose, &mut parameters, "binary_data")?;
    Ok(Wanted { name, binary })
}

fn tensor(input: RawTensor, raw: &mut &[u8]) -> Result<Tensor, ApiError> {
    refuse_extensions(&format!("input '{}'", input.name), &input.parameters.0)?;
    input.read(raw, Purpose::Run).map_err(|what| ApiError::invalid("bad_tensor", what))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::oip::binary::Given;
    use crate::oip::encode::OnWire;
    use crate::tensor::Data;
    use axum::response::IntoResponse;
    use http_body_util::BodyExt;
    use proptest::prelude::*;
    use serde_json::Value;
    use serde_json::json;

    use super::testing::tensors;

    fn text(body: &str) -> Result<InferRequest, ApiError> {
        decode(&Bytes::copy_from_slice(body.as_bytes()), None)
    }

    fn sentence(error: ApiError) -> String {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let body = runtime.block_on(error.into_response().into_body().collect()).unwrap().to_bytes();
        serde_json::from_slice::<Value>(&body).unwrap()["error"].as_str().unwrap().to_owned()
    }

    #[test]
    fn nested_and_flat_data_give_the_same_request() {
        let body = |data: &str| {
            format!(r#"{{"id":"7","inputs":[{{"name":"x","shape":[2,2],"datatype":"FP32","data":{data}}}]}}"#)
        };
        let nested = text(&body("[[1,2],[3,4.5]]")).unwrap();
        assert_eq!(nested, text(&body("[1,2,3,4.5]")).unwrap());
        let expected = Tensor::new("x", vec![2, 2], Data::Fp32(vec![1.0, 2.0, 3.0, 4.5])).unwrap();
        assert_eq!(nested.inputs, [expected]);
        assert_eq!(nested.id.as_deref(), Some("7"));
    }

    #[test]
    fn a_mistake_is_answered_with_what_and_where() {
        let input = |rest: &str| format!(r#"{{"inputs":[{{"name":"x",{rest}}}]}}"#);
        let asking = |parameters: &str| {
            let x = r#"{"name":"x","shape":[1],"datatype":"FP32","data":[1]}"#;
            format!(r#"{{"inputs":[{x}],"outputs":[{{"name":"y","parameters":{{{parameters}}}}}]}}"#)
        };
        for (body, part) in [
            (String::new(), "EOF while parsing"),
            ("{".into(), "line 1 column 1"),
            ("[]".into(), "the body is not the JSON that is expected"),
            ("{}".into(), "missing field `inputs`"),
            (r#"{"inputs":[]}"#.into(), "`inputs` is empty"),
            (input(r#""shape":[1],"datatype":"FP32""#), "input 'x' has no `data`"),
            (input(r#""shape":[2],"datatype":"FP32","data":[1]"#), "of shape [2] needs 2 values but has 1"),
            (input(r#""shape":[4],"datatype":"FP32","data":[[1,2],[3,4]]"#), "nested as [2, 2]"),
            (input(r#""shape":[0],"datatype":"FP32","data":[]"#), "holds no values"),
            (input(r#""shape":[-1],"datatype":"FP32","data":[1]"#), "invalid value: integer `-1`"),
            (input(r#""shape":[1],"datatype":"FP32","data":[NaN]"#), "expected value at line 1 column"),
            (input(r#""shape":[1],"datatype":"INT8","data":[300]"#), "input 'x' holds 300 at 0, which is no INT8"),
            (input(r#""shape":[18446744073709551615,9],"datatype":"BOOL","data":[]"#), "needs"),
            (
                input(r#""shape":[1],"datatype":"FP32","parameters":{"binary_data_size":4}"#),
                "`binary_data_size` of 4, and 0 bytes are left behind the JSON",
            ),
            (
                input(r#""shape":[1],"datatype":"FP32","data":[1],"parameters":{"binary_data_size":4}"#),
                "has both `data` and a `binary_data_size`",
            ),
            (
                input(r#""shape":[1],"datatype":"FP32","parameters":{"binary_data_size":-4}"#),
                "of -4, which is no number of bytes",
            ),
            (
                input(r#""shape":[1],"datatype":"FP16","data":[1]"#),
                "input 'x' has datatype FP16, which JSON cannot carry",
            ),
            (asking(r#""binary_data":"yes""#), "output 'y' has a `binary_data` that is not true or false"),
            (asking(r#""classification":2"#), "output 'y' asks for classification strings"),
            (asking(r#""shared_memory_region":"r","shared_memory_byte_size":4"#), "output 'y' asks for shared memory"),
        ] {
            let error = sentence(text(&body).expect_err(&body));
            assert!(error.contains(part), "{body}\n{error}");
        }
        let twice = r#"{"inputs":[{"name":"x","shape":[1],"datatype":"BOOL","data":[true]},{"name":"x","shape":[1],"datatype":"BOOL","data":[true]}]}"#;
        assert!(sentence(text(twice).unwrap_err()).contains("given twice"));
        let error = sentence(decode(&Bytes::from_static(b"{\"inputs\":\"\xff\"}"), None).unwrap_err());
        assert!(error.contains("not UTF-8 at byte 11"), "{error}");
    }

    /// A body with its tensors' bytes behind the JSON, and where the JSON ends.
    fn binary(tensors: &[Tensor]) -> (Bytes, usize) {
        let raw = |tensor: &Tensor| Given::Made(Arc::new(tensor.clone())).raw().unwrap();
        let inputs: Vec<_> = tensors
            .iter()
            .map(|t| {
                let size = raw(t).len();
                json!({"name": t.name(), "shape": t.shape(), "datatype": t.data().datatype(),
                       "parameters": {"binary_data_size": size}})
            })
            .collect();
        let head = json!({"inputs": inputs, "parameters": {"binary_data_output": true}}).to_string().into_bytes();
        let length = head.len();
        (tensors.iter().fold(head, |body, tensor| [body, raw(tensor).to_vec()].concat()).into(), length)
    }

    #[test]
    fn lengths_must_add_up() {
        let x = Tensor::new("x", vec![2], Data::Fp32(vec![1.0, 2.0])).unwrap();
        let (body, head) = binary(&[x]);
        assert!(decode(&body, Some(head)).unwrap().binary_outputs);
        for (body, head, part) in [
            (body.slice(..body.len() - 1), Some(head), "`binary_data_size` of 8, and 7 bytes are left behind the JSON"),
            ([&body[..], b"!"].concat().into(), Some(head), "the body has 1 bytes behind its last tensor"),
            (body.clone(), Some(body.len() + 1), "inference-header-content-length is"),
            (body.clone(), Some(head - 1), "line 1 column"),
            (body.clone(), Some(0), "EOF"),
            (body.clone(), None, "not UTF-8 at byte"),
        ] {
            let error = sentence(decode(&body, head).unwrap_err());
            assert!(error.contains(part), "{error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(tensor in tensors()) {
            prop_assume!(!matches!(tensor.data(), Data::Fp16(_) | Data::Bf16(_)));
            let body = json!({"inputs": [OnWire(&tensor)], "outputs": [{"name": "y"}]}).to_string();
            let request = text(&body).unwrap();
            prop_assert_eq!(request.inputs, vec![tensor]);
            prop_assert_eq!(request.outputs, vec![Wanted { name: "y".to_owned(), binary: None }]);
        }

        #[test]
        fn raw_bytes_read_back(first in tensors(), second in tensors()) {
            prop_assume!(first.name() != second.name());
            let (body, head) = binary(&[first.clone(), second.clone()]);
            prop_assert_eq!(decode(&body, Some(head)).unwrap().inputs, vec![first, second]);
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), head in any::<Option<u8>>()) {
            let _ = decode(&bytes.into(), head.map(usize::from));
        }

        #[test]
        fn no_mutilated_request_panics(
            tensor in tensors(),
            cut in any::<prop::sample::Index>(),
            swap in any::<prop::sample::Index>(),
            byte in any::<u8>(),
            raw in any::<bool>(),
        ) {
            let (body, head) = binary(std::slice::from_ref(&tensor));
            let (mut body, head) = match raw {
                true => (body.to_vec(), Some(head)),
                false => (json!({"inputs": [OnWire(&tensor)]}).to_string().into_bytes(), None),
            };
            let place = swap.index(body.len());
            body[place] = byte;
            let _ = decode(&body.clone().into(), head);
            body.truncate(cut.index(body.len()));
            let _ = decode(&body.into(), head);
        }
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! Tensors of any datatype, for properties.

    use half::{bf16, f16};
    use proptest::collection::vec;
    use proptest::prelude::*;

    use crate::tensor::{Data, Tensor};

    pub(crate) fn tensors() -> impl Strategy<Value = Tensor> {
        let finite32 = any::<f32>().prop_filter("finite", |x| x.is_finite());
        let finite64 = any::<f64>().prop_filter("finite", |x| x.is_finite());
        let half = any::<u16>().prop_map(f16::from_bits).prop_filter("finite", |x| x.is_finite());
        let brain = any::<u16>().prop_map(bf16::from_bits).prop_filter("finite", |x| x.is_finite());
        let data = prop_oneof![
            vec(any::<bool>(), 1..20).prop_map(Data::Bool),
            vec(any::<u8>(), 1..20).prop_map(Data::Uint8),
            vec(any::<u16>(), 1..20).prop_map(Data::Uint16),
            vec(any::<u32>(), 1..20).prop_map(Data::Uint32),
            vec(any::<u64>(), 1..20).prop_map(Data::Uint64),
            vec(any::<i8>(), 1..20).prop_map(Data::Int8),
            vec(any::<i16>(), 1..20).prop_map(Data::Int16),
            vec(any::<i32>(), 1..20).prop_map(Data::Int32),
            vec(any::<i64>(), 1..20).prop_map(Data::Int64),
            vec(half, 1..20).prop_map(Data::Fp16),
            vec(brain, 1..20).prop_map(Data::Bf16),
            vec(finite32, 1..20).prop_map(Data::Fp32),
            vec(finite64, 1..20).prop_map(Data::Fp64),
            vec(any::<String>(), 1..20).prop_map(Data::Bytes),
        ];
        (any::<String>(), data).prop_map(|(name, data)| Tensor::new(name, vec![1, data.len()], data).unwrap())
    }
}
