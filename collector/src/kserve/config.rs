//! `[collector.kserve]`: how halves are joined, and what is known of the models.

use std::collections::BTreeMap;
use std::time::Duration;

use host::config::{ByteSize, Faults};
use serde::Deserialize;

/// What KServe's payload loggers send, as typed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawKserve {
    /// How long one half of an exchange waits for the other before it is stored alone, and marked.
    #[serde(with = "humantime_serde")]
    pub window: Duration,
    /// Halves that may wait in memory; past it the oldest is stored alone.
    pub max_waiting: usize,
    /// Bytes of memory that waiting halves may take; past it the oldest is stored alone.
    pub max_waiting_bytes: ByteSize,
    /// Bytes on disk of halves that were acknowledged and are not settled; past it halves are answered 503.
    pub max_bytes: ByteSize,
    /// Whether a model is named `namespace/service`, where namespaces hold services of the same name.
    pub with_namespace: bool,
    /// Whether contents are kept, masked, or features only.
    pub payloads: bool,
    /// What is known of models, by the name of the inference service.
    pub models: BTreeMap<String, RawModel>,
}

impl Default for RawKserve {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(60),
            max_waiting: 100_000,
            max_waiting_bytes: ByteSize::mib(64),
            max_bytes: ByteSize::mib(256),
            with_namespace: false,
            payloads: true,
            models: BTreeMap::new(),
        }
    }
}

/// What is known of a model, as typed; the keys are those of a fronted version of the proxy.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawModel {
    /// Whether its only input of words is text; default: yes.
    pub text: Option<bool>,
    /// Inputs, or named values of `instances`, that are text where others stand beside them; two are a pair.
    pub texts: Vec<String>,
    /// Labels of the classes, in order.
    pub labels: Vec<String>,
    /// The output that holds class probabilities, items by classes (`predictions` of a v1 answer).
    pub probabilities: Option<String>,
    /// The output that holds class scores before the softmax, items by classes.
    pub logits: Option<String>,
}

/// The section, checked.
#[derive(Clone, Debug)]
pub struct KserveConfig {
    pub(crate) window: Duration,
    pub(crate) max_waiting: usize,
    pub(crate) max_waiting_bytes: u64,
    pub(crate) max_bytes: u64,
    pub(crate) with_namespace: bool,
    pub(crate) payloads: bool,
    pub(crate) models: BTreeMap<String, Model>,
}

/// What is known of a model, checked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub text: Option<bool>,
    pub texts: Vec<String>,
    pub labels: Vec<String>,
    pub scores: Option<Scores>,
}

/// Which output classes are read from.
#[derive(Clone, Debug)]
pub(crate) struct Scores {
    pub output: String,
    /// Whether a softmax is still to be taken.
    pub logits: bool,
}

impl RawKserve {
    /// What is meant; faults are pushed.
    pub(crate) fn check(self, faults: &mut Faults) -> KserveConfig {
        let mut check = |holds, key: &str, sentence| faults.check(holds, format!("collector.kserve.{key}"), sentence);
        let window = Duration::from_millis(100)..=Duration::from_secs(3600);
        check(window.contains(&self.window), "window", "is not between 100ms and 1h");
        check(self.max_waiting > 0, "max_waiting", "is 0; every half would be stored alone");
        check(self.max_waiting_bytes.bytes() > 0, "max_waiting_bytes", "is 0; every half would be stored alone");
        check(
            self.max_bytes.bytes() >= 1 << 20,
            "max_bytes",
            "is under 1MiB, so that the halves of a moment would fill it",
        );
        for (name, model) in &self.models {
            let both = model.probabilities.is_some() && model.logits.is_some();
            check(!both, &format!("models.{name}.logits"), "cannot stand beside `probabilities`");
            let scored = model.probabilities.is_some() || model.logits.is_some();
            check(!scored || !model.labels.is_empty(), &format!("models.{name}.labels"), "is empty; name the classes");
        }
        let model = |raw: RawModel| {
            let scores = raw.probabilities.map(|output| Scores { output, logits: false });
            let scores = scores.or(raw.logits.map(|output| Scores { output, logits: true }));
            Model { text: raw.text, texts: raw.texts, labels: raw.labels, scores }
        };
        KserveConfig {
            window: self.window,
            max_waiting: self.max_waiting,
            max_waiting_bytes: self.max_waiting_bytes.bytes() as u64,
            max_bytes: self.max_bytes.bytes() as u64,
            with_namespace: self.with_namespace,
            payloads: self.payloads,
            models: self.models.into_iter().map(|(name, raw)| (name, model(raw))).collect(),
        }
    }
}
