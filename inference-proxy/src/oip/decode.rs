//! From a body to an inference request. Every mistake is answered with what is wrong and where.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::flat::Flat;
use crate::error::ApiError;
use crate::tensor::Tensor;

/// A decoded inference request.
#[derive(Clone, Debug, PartialEq)]
pub struct InferRequest {
    /// Echoed in the answer.
    pub id: Option<String>,
    /// The inputs; at least one, names unique, each with at least one value.
    pub inputs: Vec<Tensor>,
    /// Names of the wanted outputs; empty for all.
    pub outputs: Vec<String>,
    /// The request's own parameters, kept with its content.
    pub parameters: Map<String, Value>,
}

/// The body as the protocol writes it. Unknown keys are passed over: clients of other servers send some.
#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    parameters: Option<Map<String, Value>>,
    inputs: Vec<Input>,
    #[serde(default)]
    outputs: Option<Vec<Output>>,
}

#[derive(Deserialize)]
struct Input {
    name: String,
    shape: Vec<usize>,
    datatype: String,
    #[serde(default)]
    parameters: Option<Map<String, Value>>,
    #[serde(default)]
    data: Option<Flat>,
}

#[derive(Deserialize)]
struct Output {
    name: String,
    #[serde(default)]
    parameters: Option<Map<String, Value>>,
}

/// Longest id that is echoed.
const MAX_ID_CHARS: usize = 256;
/// Most inputs and most outputs a request may name.
const MAX_TENSORS: usize = 256;

/// Decodes a JSON body.
///
/// # Errors
/// 400 with one sentence.
pub fn decode(body: &[u8]) -> Result<InferRequest, ApiError> {
    let Body { id, parameters, inputs, outputs } = super::json(body)?;
    let outputs = outputs.unwrap_or_default();
    if id.as_ref().is_some_and(|id| id.chars().count() > MAX_ID_CHARS) {
        return Err(ApiError::invalid("bad_id", format!("`id` is longer than {MAX_ID_CHARS} characters")));
    }
    if inputs.is_empty() {
        return Err(ApiError::invalid("no_inputs", "`inputs` is empty; name at least one tensor"));
    }
    if inputs.len() > MAX_TENSORS || outputs.len() > MAX_TENSORS {
        let sentence = format!("more than {MAX_TENSORS} inputs or outputs are named");
        return Err(ApiError::invalid("too_many_tensors", sentence));
    }
    no_extension("the request", parameters.as_ref())?;
    for output in &outputs {
        no_extension(&format!("output '{}'", output.name), output.parameters.as_ref())?;
    }
    let mut names = HashSet::new();
    if let Some(twice) = inputs.iter().find(|input| !names.insert(input.name.clone())) {
        return Err(ApiError::invalid("bad_tensor", format!("input '{}' is given twice", twice.name)));
    }
    Ok(InferRequest {
        id,
        inputs: inputs.into_iter().map(tensor).collect::<Result<_, _>>()?,
        outputs: outputs.into_iter().map(|output| output.name).collect(),
        parameters: parameters.unwrap_or_default(),
    })
}

fn tensor(input: Input) -> Result<Tensor, ApiError> {
    let Input { name, shape, datatype, parameters, data } = input;
    let bad = |what: String| ApiError::invalid("bad_tensor", format!("input '{name}' {what}"));
    no_extension(&format!("input '{name}'"), parameters.as_ref())?;
    let flat = data.ok_or_else(|| bad("has no `data`".into()))?;
    if let Some(nesting) = flat.nesting().filter(|nesting| *nesting != shape) {
        return Err(bad(format!("has shape {shape:?} but its data is nested as {nesting:?}")));
    }
    if shape.contains(&0) {
        return Err(bad(format!("has shape {shape:?}, which holds no values")));
    }
    let data = flat.into_data(&datatype).map_err(bad)?;
    Tensor::new(name, shape, data).map_err(|error| ApiError::invalid("bad_tensor", format!("input {error}")))
}

/// Parameters of the protocol's extensions that change what an answer is, and what they ask for.
const EXTENSIONS: [(&str, &str, &str); 5] = [
    ("binary_data_size", "binary_data", "binary tensor data, which is not taken; send `data` as JSON"),
    ("binary_data", "binary_data", "binary tensor data, which is not given; ask for JSON"),
    ("binary_data_output", "binary_data", "binary tensor data, which is not given; ask for JSON"),
    ("classification", "classification", "classification strings, which are not given; ask for the values"),
    ("shared_memory_region", "shared_memory", "shared memory, which is not used; send and ask for `data`"),
];

/// An extension is announced in parameters; passed over, the request would be answered wrongly, so it is refused.
fn no_extension(whose: &str, parameters: Option<&Map<String, Value>>) -> Result<(), ApiError> {
    let Some(parameters) = parameters else { return Ok(()) };
    let on = |key: &str| parameters.get(key).is_some_and(|v| *v != Value::Bool(false) && v.as_u64() != Some(0));
    match EXTENSIONS.into_iter().find(|(key, ..)| on(key)) {
        None => Ok(()),
        Some((_, reason, what)) => Err(ApiError::invalid(reason, format!("{whose} asks for {what}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oip::encode::OnWire;
    use crate::tensor::Data;
    use axum::response::IntoResponse;
    use http_body_util::BodyExt;
    use proptest::prelude::*;

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
        let nested = decode(body("[[1,2],[3,4.5]]").as_bytes()).unwrap();
        assert_eq!(nested, decode(body("[1,2,3,4.5]").as_bytes()).unwrap());
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
            (input(r#""shape":[1],"datatype":"FP32","parameters":{"binary_data_size":4}"#), "binary tensor data"),
            (asking(r#""binary_data":true"#), "output 'y' asks for binary tensor data"),
            (asking(r#""classification":2"#), "output 'y' asks for classification strings"),
            (asking(r#""shared_memory_region":"r","shared_memory_byte_size":4"#), "output 'y' asks for shared memory"),
        ] {
            let error = sentence(decode(body.as_bytes()).expect_err(&body));
            assert!(error.contains(part), "{body}\n{error}");
        }
        let twice = r#"{"inputs":[{"name":"x","shape":[1],"datatype":"BOOL","data":[true]},{"name":"x","shape":[1],"datatype":"BOOL","data":[true]}]}"#;
        assert!(sentence(decode(twice.as_bytes()).unwrap_err()).contains("given twice"));
        let error = sentence(decode(b"{\"inputs\":\"\xff\"}").unwrap_err());
        assert!(error.contains("not UTF-8 at byte 11"), "{error}");
    }

    fn tensors() -> impl Strategy<Value = Tensor> {
        let finite32 = any::<f32>().prop_filter("finite", |x| x.is_finite());
        let finite64 = any::<f64>().prop_filter("finite", |x| x.is_finite());
        let data = prop_oneof![
            proptest::collection::vec(any::<bool>(), 1..20).prop_map(Data::Bool),
            proptest::collection::vec(any::<u8>(), 1..20).prop_map(Data::Uint8),
            proptest::collection::vec(any::<u16>(), 1..20).prop_map(Data::Uint16),
            proptest::collection::vec(any::<u32>(), 1..20).prop_map(Data::Uint32),
            proptest::collection::vec(any::<u64>(), 1..20).prop_map(Data::Uint64),
            proptest::collection::vec(any::<i8>(), 1..20).prop_map(Data::Int8),
            proptest::collection::vec(any::<i16>(), 1..20).prop_map(Data::Int16),
            proptest::collection::vec(any::<i32>(), 1..20).prop_map(Data::Int32),
            proptest::collection::vec(any::<i64>(), 1..20).prop_map(Data::Int64),
            proptest::collection::vec(finite32, 1..20).prop_map(Data::Fp32),
            proptest::collection::vec(finite64, 1..20).prop_map(Data::Fp64),
            proptest::collection::vec(any::<String>(), 1..20).prop_map(Data::Bytes),
        ];
        (any::<String>(), data).prop_map(|(name, data)| Tensor::new(name, vec![1, data.len()], data).unwrap())
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(tensor in tensors()) {
            let body = serde_json::json!({"inputs": [OnWire(&tensor)], "outputs": [{"name": "y"}]}).to_string();
            let request = decode(body.as_bytes()).unwrap();
            prop_assert_eq!(request.inputs, vec![tensor]);
            prop_assert_eq!(request.outputs, vec!["y".to_owned()]);
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }

        #[test]
        fn no_mutilated_request_panics(
            tensor in tensors(),
            cut in any::<prop::sample::Index>(),
            swap in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let mut body = serde_json::json!({"inputs": [OnWire(&tensor)]}).to_string().into_bytes();
            let place = swap.index(body.len());
            body[place] = byte;
            let _ = decode(&body);
            body.truncate(cut.index(body.len()));
            let _ = decode(&body);
        }
    }
}
