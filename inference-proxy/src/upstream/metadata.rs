//! What another server says of a model, as far as observing it needs to know.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::Config;
use crate::model::{Metadata, Schema, Task, TensorSpec};

/// The protocol's metadata of a model.
#[derive(Deserialize)]
pub(super) struct Told {
    #[serde(default)]
    versions: Vec<String>,
    #[serde(default)]
    inputs: Vec<Spec>,
    #[serde(default)]
    outputs: Vec<Spec>,
    /// Not of the protocol: another Driftline says more here.
    #[serde(default)]
    parameters: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct Spec {
    name: String,
    datatype: String,
    #[serde(default)]
    shape: Vec<i64>,
}

/// Stands where a session of ours would name its execution provider.
pub(crate) const PROVIDER: &str = "http";

/// Reads the body of `GET /v2/models/{model}`.
pub(super) fn read(body: &[u8]) -> Option<Told> {
    serde_json::from_slice(body).ok()
}

impl Told {
    /// The version that answers where none is asked for: the highest number, or the last name.
    pub(super) fn latest(&self) -> Option<&str> {
        let number = |version: &String| version.parse::<u64>().ok();
        let highest = self.versions.iter().filter(|v| number(v).is_some()).max_by_key(|v| number(v));
        highest.or(self.versions.last()).map(String::as_str)
    }

    pub(super) fn metadata(self, config: &Config) -> Metadata {
        let labels = if config.labels.is_empty() { self.labels() } else { Arc::clone(&config.labels) };
        let inputs = specs(self.inputs);
        let only_text = matches!(inputs.as_slice(), [only] if only.datatype == "BYTES");
        let takes_text = only_text && config.text.unwrap_or(true);
        Metadata { labels, takes_text, inputs, outputs: specs(self.outputs), ..unknown(config) }
    }

    fn labels(&self) -> Arc<[String]> {
        let labels = self.parameters.as_ref().and_then(|parameters| parameters.get("labels"));
        let labels = labels.and_then(|labels| Vec::<String>::deserialize(labels).ok());
        labels.unwrap_or_default().into()
    }
}

fn specs(specs: Vec<Spec>) -> Vec<TensorSpec> {
    let spec = |spec: Spec| {
        let datatype = super::tensors::datatype(&spec.datatype)?;
        Some(TensorSpec { name: spec.name, datatype, shape: spec.shape, columns: vec![] })
    };
    specs.into_iter().filter_map(spec).collect()
}

/// What is known before the other server has been asked.
pub(super) fn unknown(config: &Config) -> Metadata {
    Metadata {
        task: Task::Tensor,
        inputs: vec![],
        schema: Schema::default(),
        outputs: vec![],
        labels: Arc::clone(&config.labels),
        max_tokens: None,
        takes_text: config.text.unwrap_or(false),
        provider: PROVIDER,
        provider_options: String::new(),
        precision: None,
        instances: 0,
        intra_threads: 0,
        files: BTreeMap::new(),
        bytes: 0,
        memory_bytes: 0,
        load_seconds: 0.0,
        checks_passed: 0,
        sessions_why: String::new(),
        batches: false,
        batches_why: "the other server decides".to_owned(),
        batch_difference: None,
        batch_variant: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::RawUpstream;

    /// Triton 24's answer for its `simple_string` example, and the shape of one of ours.
    #[test]
    fn what_servers_say_is_read() {
        let config = RawUpstream { url: Some("http://a".into()), ..RawUpstream::default() };
        let config = config.check("u", &mut host::config::Faults::default());
        let triton = br#"{"name":"s","versions":["2","10","9"],"platform":"onnxruntime_onnx","inputs":[
            {"name":"INPUT0","datatype":"BYTES","shape":[-1,16]}],"outputs":[{"name":"OUTPUT0","datatype":"FP16","shape":[-1,16]}]}"#;
        let told = read(triton).unwrap();
        assert_eq!(told.latest(), Some("10"));
        let metadata = told.metadata(&config);
        assert!(metadata.takes_text && metadata.labels.is_empty());
        assert_eq!(metadata.outputs[0].datatype, "FP16");
        let ours = br#"{"name":"r","versions":["a"],"inputs":[],"outputs":[],"parameters":{"labels":["x","y"]}}"#;
        assert_eq!(read(ours).unwrap().metadata(&config).labels[..], ["x", "y"]);
        assert!(read(b"<html>").is_none());
    }
}
