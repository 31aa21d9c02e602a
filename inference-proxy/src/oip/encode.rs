//! From tensors to the protocol's JSON: flat data in row-major order.

use std::sync::Arc;

use serde::ser::{SerializeSeq, SerializeStruct};
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::binary::Given;
use super::request::InferRequest;
use crate::error::ApiError;
use crate::model::{Answer, Metadata, Task, TensorSpec};
use crate::tensor::{Data, Tensor};

/// Name of the probabilities among the outputs of a text classifier.
pub const SCORES: &str = "scores";
/// Name of the winning labels among the outputs of a text classifier.
pub const LABEL: &str = "label";
/// Name of the entities among the outputs of a token classification: a JSON list an item.
pub const ENTITIES: &str = "entities";
/// Name of the output beside them that says of each item whether it was cut to the model's length.
pub const TRUNCATED: &str = "truncated";

/// A tensor as the protocol writes it.
pub struct OnWire<'a>(pub &'a Tensor);

impl Serialize for OnWire<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tensor = serializer.serialize_struct("Tensor", 4)?;
        tensor.serialize_field("name", self.0.name())?;
        tensor.serialize_field("shape", self.0.shape())?;
        tensor.serialize_field("datatype", self.0.data().datatype())?;
        tensor.serialize_field("data", &Values(self.0.data()))?;
        tensor.end()
    }
}

pub(super) struct Values<'a>(pub &'a Data);

impl Serialize for Values<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        fn all<S: Serializer, T: Serialize>(values: &[T], serializer: S) -> Result<S::Ok, S::Error> {
            let mut seq = serializer.serialize_seq(Some(values.len()))?;
            values.iter().try_for_each(|value| seq.serialize_element(value))?;
            seq.end()
        }
        match self.0 {
            Data::Bool(v) => all(v, serializer),
            Data::Uint8(v) => all(v, serializer),
            Data::Uint16(v) => all(v, serializer),
            Data::Uint32(v) => all(v, serializer),
            Data::Uint64(v) => all(v, serializer),
            Data::Int8(v) => all(v, serializer),
            Data::Int16(v) => all(v, serializer),
            Data::Int32(v) => all(v, serializer),
            Data::Int64(v) => all(v, serializer),
            Data::Fp16(v) => serializer.collect_seq(v.iter().map(|x| x.to_f32())),
            Data::Bf16(v) => serializer.collect_seq(v.iter().map(|x| x.to_f32())),
            Data::Fp32(v) => all(v, serializer),
            Data::Fp64(v) => all(v, serializer),
            Data::Bytes(v) => all(v, serializer),
        }
    }
}

/// A tensor as a JSON value, for stored content.
#[must_use]
pub fn tensor_json(tensor: &Tensor) -> Value {
    serde_json::to_value(OnWire(tensor)).unwrap_or(Value::Null)
}

/// What a version says it gives: the graph's outputs and, of a text classifier, probabilities and labels.
#[must_use]
pub fn output_specs(metadata: &Metadata) -> Vec<TensorSpec> {
    let mut specs = metadata.outputs.clone();
    if metadata.task == Task::TextClassification {
        let classes = i64::try_from(metadata.labels.len()).unwrap_or(-1);
        if classes > 0 {
            add_specs(&mut specs, &[(SCORES, "FP32", &[-1, classes]), (LABEL, "BYTES", &[-1])]);
        }
    }
    if metadata.task == Task::TokenClassification {
        add_specs(&mut specs, &[(ENTITIES, "BYTES", &[-1]), (TRUNCATED, "BOOL", &[-1])]);
    }
    specs
}

fn add_specs(specs: &mut Vec<TensorSpec>, more: &[(&str, &'static str, &[i64])]) {
    for &(name, datatype, shape) in more {
        if specs.iter().all(|spec| spec.name != name) {
            specs.push(TensorSpec { name: name.into(), datatype, shape: shape.to_vec(), columns: vec![] });
        }
    }
}

/// All outputs of an answer: the graph's, and those that are made from them.
///
/// # Errors
/// An output that cannot be made.
pub fn outputs(answer: &Arc<Answer>, metadata: &Metadata) -> Result<Vec<Given>, ApiError> {
    let mut available: Vec<Given> =
        (0..answer.outputs.len()).map(|index| Given::Graph(Arc::clone(answer), index)).collect();
    match metadata.task {
        Task::TextClassification if !metadata.labels.is_empty() => add_classes(answer, metadata, &mut available)?,
        Task::TokenClassification => add_entities(answer, &mut available)?,
        _ => {}
    }
    Ok(available)
}

/// Refuses, before the model runs for it, an answer that JSON cannot carry.
///
/// # Errors
/// 400 with one sentence.
pub fn check_json(request: &InferRequest, specs: &[TensorSpec]) -> Result<(), ApiError> {
    let wanted = |name: &str| request.outputs.is_empty() || request.outputs.iter().any(|wanted| wanted.name == name);
    let narrow = |spec: &&TensorSpec| matches!(spec.datatype, "FP16" | "BF16") && !request.is_binary(&spec.name);
    match specs.iter().filter(narrow).find(|spec| wanted(&spec.name)) {
        None => Ok(()),
        Some(TensorSpec { name, datatype, .. }) => {
            let sentence =
                format!("output '{name}' is {datatype}, which JSON cannot carry; ask for it with `binary_data`");
            Err(ApiError::invalid("json_carries_no_16_bit_floats", sentence))
        }
    }
}

fn add_classes(answer: &Answer, metadata: &Metadata, available: &mut Vec<Given>) -> Result<(), ApiError> {
    let items = answer.classes.len();
    let scores = answer.classes.iter().flat_map(|classes| classes.scores.iter().copied()).collect();
    let labels = answer.classes.iter().map(|classes| classes.prediction().label).collect();
    let composed = [
        Tensor::new(SCORES, vec![items, metadata.labels.len()], Data::Fp32(scores)),
        Tensor::new(LABEL, vec![items], Data::Bytes(labels)),
    ];
    for tensor in composed {
        let tensor = tensor.map_err(|error| ApiError::bad_output(error.to_string()))?;
        if available.iter().all(|other| other.tensor().name() != tensor.name()) {
            available.push(Given::Made(Arc::new(tensor)));
        }
    }
    Ok(())
}

fn add_entities(answer: &Answer, available: &mut Vec<Given>) -> Result<(), ApiError> {
    let lists: Result<Vec<String>, _> = answer.entities.iter().map(serde_json::to_string).collect();
    let lists = lists.map_err(|error| ApiError::bad_output(error.to_string()))?;
    let truncated: Vec<bool> = answer.texts.iter().map(|text| text.truncated).collect();
    for tensor in [
        Tensor::new(ENTITIES, vec![lists.len()], Data::Bytes(lists)),
        Tensor::new(TRUNCATED, vec![truncated.len()], Data::Bool(truncated)),
    ] {
        available.push(Given::Made(Arc::new(tensor.map_err(|error| ApiError::bad_output(error.to_string()))?)));
    }
    Ok(())
}

/// Whether there is no NaN and no infinity among the values: JSON has neither.
#[must_use]
pub fn is_finite(data: &Data) -> bool {
    match data {
        Data::Fp16(values) => values.iter().all(|x| x.is_finite()),
        Data::Bf16(values) => values.iter().all(|x| x.is_finite()),
        Data::Fp32(values) => values.iter().all(|x| x.is_finite()),
        Data::Fp64(values) => values.iter().all(|x| x.is_finite()),
        _ => true,
    }
}
