//! From gRPC's message to an inference request. Every mistake is answered with what is wrong and where, in the words of
//! the JSON decoder where it is the same mistake.

use serde_json::{Map, Value};

use super::message::{Choice, Contents, ModelInferRequest, Parameters, Requested, WireTensor};
use crate::error::ApiError;
use crate::oip::binary::{self, UNKNOWN_DATATYPE};
use crate::oip::request::{InferRequest, MAX_TENSORS, Wanted, refuse_extensions};
use crate::tensor::{Data, Tensor};

/// Most dimensions of a tensor; ONNX Runtime knows no model with more.
const MAX_DIMENSIONS: usize = 64;

/// Reads a message.
///
/// # Errors
/// 400 with one sentence.
pub fn read(message: ModelInferRequest) -> Result<InferRequest, ApiError> {
    let ModelInferRequest { id, parameters, inputs, outputs, raw_input_contents: raw, .. } = message;
    if inputs.len() > MAX_TENSORS || outputs.len() > MAX_TENSORS {
        let sentence = format!("more than {MAX_TENSORS} inputs or outputs are named");
        return Err(ApiError::invalid("too_many_tensors", sentence));
    }
    let parameters = values(parameters);
    refuse_extensions("the request", &parameters)?;
    if !raw.is_empty() && raw.len() != inputs.len() {
        let sentence =
            format!("there are {} raw contents for {} inputs; send one an input, or none", raw.len(), inputs.len());
        return Err(ApiError::invalid("bad_tensor", sentence));
    }
    let mut raw = raw.into_iter();
    let inputs = inputs.into_iter().map(|input| tensor(input, raw.next())).collect::<Result<_, _>>()?;
    let outputs = outputs.into_iter().map(wanted).collect::<Result<_, _>>()?;
    InferRequest::new((!id.is_empty()).then_some(id), inputs, outputs, parameters)
}

/// Bytes of values in a message, for the choice of the thread that reads it.
#[must_use]
pub fn bytes(message: &ModelInferRequest) -> usize {
    let raw: usize = message.raw_input_contents.iter().map(bytes::Bytes::len).sum();
    raw + message.inputs.iter().filter_map(|input| input.contents.as_ref()).map(contents_bytes).sum::<usize>()
}

fn contents_bytes(contents: &Contents) -> usize {
    let narrow = contents.int_contents.len() + contents.uint_contents.len() + contents.fp32_contents.len();
    let wide = contents.int64_contents.len() + contents.uint64_contents.len() + contents.fp64_contents.len();
    let texts: usize = contents.bytes_contents.iter().map(bytes::Bytes::len).sum();
    contents.bool_contents.len() + 4 * narrow + 8 * wide + texts
}

fn wanted(output: Requested) -> Result<Wanted, ApiError> {
    let Requested { name, parameters } = output;
    refuse_extensions(&format!("output '{name}'"), &values(parameters))?;
    Ok(Wanted { name, binary: None })
}

fn tensor(input: WireTensor, raw: Option<bytes::Bytes>) -> Result<Tensor, ApiError> {
    let WireTensor { name, datatype, shape, parameters, contents } = input;
    let bad = |what: String| ApiError::invalid("bad_tensor", format!("input '{name}' {what}"));
    refuse_extensions(&format!("input '{name}'"), &values(parameters))?;
    if shape.len() > MAX_DIMENSIONS {
        return Err(bad(format!("has {} dimensions, and no model takes more than {MAX_DIMENSIONS}", shape.len())));
    }
    let lengths: Option<Vec<usize>> = shape.iter().map(|&n| usize::try_from(n).ok().filter(|&n| n > 0)).collect();
    let shape = lengths.ok_or_else(|| bad(format!("has shape {shape:?}, which holds no values")))?;
    let contents = contents.filter(|contents| *contents != Contents::default());
    let data = match (raw, contents) {
        (Some(_), Some(_)) => Err("has both `contents` and raw contents; send one".to_owned()),
        (Some(raw), None) => binary::read(&datatype, &shape, &raw),
        (None, Some(contents)) => typed(contents, &datatype),
        (None, None) => Err("has no contents".to_owned()),
    };
    let data = data.map_err(bad)?;
    Tensor::new(name, shape, data).map_err(|error| ApiError::invalid("bad_tensor", format!("input {error}")))
}

fn typed(contents: Contents, datatype: &str) -> Result<Data, String> {
    Ok(match datatype {
        "BOOL" => Data::Bool(contents.bool_contents),
        "UINT8" => Data::Uint8(narrow(&contents.uint_contents, datatype)?),
        "UINT16" => Data::Uint16(narrow(&contents.uint_contents, datatype)?),
        "UINT32" => Data::Uint32(contents.uint_contents),
        "UINT64" => Data::Uint64(contents.uint64_contents),
        "INT8" => Data::Int8(narrow(&contents.int_contents, datatype)?),
        "INT16" => Data::Int16(narrow(&contents.int_contents, datatype)?),
        "INT32" => Data::Int32(contents.int_contents),
        "INT64" => Data::Int64(contents.int64_contents),
        "FP32" => Data::Fp32(contents.fp32_contents),
        "FP64" => Data::Fp64(contents.fp64_contents),
        "BYTES" => Data::Bytes(texts(&contents.bytes_contents)?),
        "FP16" | "BF16" => {
            return Err(format!("has datatype {datatype}, which has no typed contents; send raw contents"));
        }
        _ => return Err(UNKNOWN_DATATYPE.to_owned()),
    })
}

fn narrow<T: TryFrom<W>, W: Copy + std::fmt::Display>(values: &[W], datatype: &str) -> Result<Vec<T>, String> {
    let fit = |(n, &value): (usize, &W)| {
        T::try_from(value).map_err(|_| format!("holds {value} at {n}, which is no {datatype}"))
    };
    values.iter().enumerate().map(fit).collect()
}

fn texts(values: &[bytes::Bytes]) -> Result<Vec<String>, String> {
    let text = |(n, value): (usize, &bytes::Bytes)| {
        let text = std::str::from_utf8(value).map_err(|_| format!("holds an element ({n}) that is not UTF-8"))?;
        Ok(text.to_owned())
    };
    values.iter().enumerate().map(text).collect()
}

/// Parameters as JSON has them, which is how they are kept with the content.
fn values(parameters: Parameters) -> Map<String, Value> {
    let value = |choice| match choice {
        None => Value::Null,
        Some(Choice::Bool(value)) => value.into(),
        Some(Choice::Int64(value)) => value.into(),
        Some(Choice::Uint64(value)) => value.into(),
        Some(Choice::Double(value)) => value.into(),
        Some(Choice::String(value)) => value.into(),
    };
    parameters.into_iter().map(|(key, parameter)| (key, value(parameter.choice))).collect()
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::grpc::codec::decode;

    /// Made by the protocol's own client, tritonclient 2.73.0 with protobuf 7.36.2:
    /// ```python
    /// from tritonclient.grpc import service_pb2 as s
    /// r = s.ModelInferRequest(model_name="m", model_version="2", id="7")
    /// r.parameters["ticket"].string_param = "T-1"; r.parameters["priority"].uint64_param = 3
    /// r.parameters["timeout"].int64_param = 5000; r.parameters["ratio"].double_param = 0.5
    /// r.parameters["dry"].bool_param = True
    /// for n, k, c in [("a", "INT8", dict(int_contents=[-128, 127])), ("b", "UINT16", dict(uint_contents=[0, 65535])),
    ///                 ("c", "FP32", dict(fp32_contents=[1.5, -2])), ("d", "BYTES", dict(bytes_contents=[b"", "ü".encode()])),
    ///                 ("e", "BOOL", dict(bool_contents=[True, False])), ("f", "INT64", dict(int64_contents=[-1, 2**62])),
    ///                 ("g", "UINT64", dict(uint64_contents=[0, 2**64 - 1])), ("h", "FP64", dict(fp64_contents=[0.1, 5e-324]))]:
    ///     r.inputs.add(name=n, datatype=k, shape=[1, 2], contents=s.InferTensorContents(**c))
    /// r.outputs.add(name="y")
    /// print(r.SerializeToString(deterministic=True).hex())
    /// ```
    const TYPED: &str = "0a016d1201321a013722090a0364727912020801220e0a087072696f726974791202280322120a05726174696f1209210000\
        00000000e03f220f0a067469636b657412051a03542d31220e0a0774696d656f757412031088272a1c0a01611204494e5438\
        1a0201022a0d120b80ffffffffffffffff017f2a170a0162120655494e5431361a0201022a06220400ffff032a190a016312\
        04465033321a0201022a0a32080000c03f000000c02a160a0164120542595445531a0201022a0642004202c3bc2a130a0165\
        1204424f4f4c1a0201022a040a0201002a250a01661205494e5436341a0201022a151a13ffffffffffffffffff0180808080\
        80808080402a1e0a0167120655494e5436341a0201022a0d2a0b00ffffffffffffffffff012a210a01681204465036341a02\
        01022a123a109a9999999999b93f010000000000000032030a0179";

    fn typed_request() -> ModelInferRequest {
        decode(hex::decode(TYPED).unwrap().into()).unwrap()
    }

    #[test]
    fn what_the_protocols_client_writes_is_read() {
        let message = typed_request();
        assert_eq!((message.model_name.as_str(), message.model_version.as_str()), ("m", "2"));
        let request = read(message).unwrap();
        assert_eq!((request.id.as_deref(), request.priority), (Some("7"), 3));
        assert_eq!(request.timeout, Some(std::time::Duration::from_millis(5)));
        let kept = serde_json::json!({"dry": true, "ratio": 0.5, "ticket": "T-1"});
        assert_eq!(Value::Object(request.parameters), kept);
        let data: Vec<_> = request.inputs.iter().map(|tensor| tensor.data().clone()).collect();
        assert_eq!(
            data,
            [
                Data::Int8(vec![-128, 127]),
                Data::Uint16(vec![0, 65_535]),
                Data::Fp32(vec![1.5, -2.0]),
                Data::Bytes(vec![String::new(), "ü".into()]),
                Data::Bool(vec![true, false]),
                Data::Int64(vec![-1, 1 << 62]),
                Data::Uint64(vec![0, u64::MAX]),
                Data::Fp64(vec![0.1, 5e-324]),
            ]
        );
        assert_eq!(request.outputs, [Wanted { name: "y".into(), binary: None }]);
    }

    fn asked(change: impl FnOnce(&mut ModelInferRequest)) -> String {
        let contents = Contents { int_contents: vec![1, 2], ..Contents::default() };
        let x = WireTensor {
            name: "x".into(),
            datatype: "INT8".into(),
            shape: vec![2],
            contents: Some(contents),
            ..WireTensor::default()
        };
        let mut message = ModelInferRequest { inputs: vec![x], ..ModelInferRequest::default() };
        change(&mut message);
        read(message).unwrap_err().sentence().to_owned()
    }

    #[test]
    fn a_mistake_is_answered_with_what_and_where() {
        let on = |value| crate::grpc::message::Parameter { choice: Some(value) };
        for (told, part) in [
            (asked(|m| m.inputs.clear()), "`inputs` is empty"),
            (asked(|m| m.inputs[0].shape = vec![0]), "input 'x' has shape [0], which holds no values"),
            (asked(|m| m.inputs[0].shape = vec![-1]), "has shape [-1]"),
            (asked(|m| m.inputs[0].shape = vec![3]), "of shape [3] needs 3 values but has 2"),
            (asked(|m| m.inputs[0].shape = vec![i64::MAX, 4]), "needs"),
            (
                asked(|m| m.inputs[0].contents.as_mut().unwrap().int_contents[1] = 300),
                "holds 300 at 1, which is no INT8",
            ),
            (asked(|m| m.inputs[0].contents = None), "input 'x' has no contents"),
            (asked(|m| m.inputs[0].datatype = "FP16".into()), "FP16, which has no typed contents"),
            (asked(|m| m.inputs[0].datatype = "FLOAT".into()), "unknown datatype"),
            (asked(|m| m.raw_input_contents = vec!["ab".into()]), "has both `contents` and raw contents"),
            (asked(|m| m.raw_input_contents = vec!["a".into(), "b".into()]), "2 raw contents for 1 inputs"),
            (asked(|m| m.inputs.push(m.inputs[0].clone())), "input 'x' is given twice"),
            (asked(|m| m.inputs = vec![WireTensor::default(); 257]), "more than 256 inputs"),
            (
                asked(|m| {
                    m.outputs = vec![Requested {
                        name: "y".into(),
                        parameters: [("classification".into(), on(Choice::Int64(2)))].into(),
                    }];
                }),
                "output 'y' asks for classification strings",
            ),
            (
                asked(|m| drop(m.parameters.insert("priority".into(), on(Choice::Int64(-1))))),
                "`priority` must be a whole number",
            ),
        ] {
            assert!(told.contains(part), "{told}");
        }
    }

    #[test]
    fn a_small_message_does_not_become_a_large_one() {
        // two bytes an empty input: a body of 16 MiB would decode to gigabytes
        let bomb = [0x2a, 0].repeat(2_000);
        let error = decode::<ModelInferRequest>(bomb.into()).unwrap_err();
        assert!(error.contains("more than 1024 fields"), "{error}");
        let again = typed_request().encode_to_vec();
        assert_eq!(decode::<ModelInferRequest>(again.into()).unwrap(), typed_request());
    }
}
