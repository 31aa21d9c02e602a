//! What a loaded version says of itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use contract::wire::Provider;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::device::Device;
use super::schema::Schema;

/// What a model does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Text, or a pair of texts, in; the probability of each class out.
    TextClassification,
    /// Text in; entities with their place in it out.
    TokenClassification,
    /// Text, or a pair of texts, in; one vector out.
    FeatureExtraction,
    /// Tensors in, tensors out; with labels also a classification.
    Tensor,
}

impl Task {
    /// The word in `driftline.toml`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TextClassification => "text-classification",
            Self::TokenClassification => "token-classification",
            Self::FeatureExtraction => "feature-extraction",
            Self::Tensor => "tensor",
        }
    }

    /// Whether it takes text.
    #[must_use]
    pub const fn takes_text(self) -> bool {
        !matches!(self, Self::Tensor)
    }
}

/// A model's input or output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// Name in the graph; `text` for the text input of a model with a tokenizer.
    pub name: String,
    /// The protocol's name of the datatype.
    pub datatype: &'static str,
    /// Sizes, outermost first; -1 where any size will do.
    pub shape: Vec<i64>,
    /// Names of the columns along the last axis, from `driftline.toml`; empty where none are given.
    pub columns: Vec<String>,
}

impl Metadata {
    /// What runs its requests, as observations say it.
    #[must_use]
    pub fn ran_by(&self) -> Provider {
        match self.provider {
            cpu if cpu == Device::Cpu.provider() => Provider::Cpu,
            http if http == crate::upstream::PROVIDER => Provider::Http,
            _ => Provider::Cuda,
        }
    }
}

/// What a loaded version says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Metadata {
    /// What it does.
    pub task: Task,
    /// What it takes.
    pub inputs: Vec<TensorSpec>,
    /// What its columns may hold.
    pub schema: Schema,
    /// What it gives.
    pub outputs: Vec<TensorSpec>,
    /// Labels of the classes, in order; empty if the task is not a classification.
    pub labels: Arc<[String]>,
    /// Tokens past which a text is truncated; absent for tensors.
    pub max_tokens: Option<usize>,
    /// Whether it takes [`super::Input::Texts`].
    pub takes_text: bool,
    /// The execution provider that really runs.
    pub provider: &'static str,
    /// The options that it was given.
    pub provider_options: String,
    /// What most of its weights are (`fp32`, `fp16`, `int8`, …); absent for a graph without weights.
    pub precision: Option<&'static str>,
    /// Sessions, each with a thread of its own.
    pub instances: usize,
    /// Why so many, of so many threads.
    pub sessions_why: String,
    /// Threads inside a session.
    pub intra_threads: usize,
    /// SHA-256 of each file, hexadecimal, by path inside the version's folder.
    pub files: BTreeMap<String, String>,
    /// Bytes of those files.
    pub bytes: u64,
    /// Memory that it is estimated to hold: weights and arena of all sessions.
    pub memory_bytes: u64,
    /// Seconds the load took, checks and warm-up included.
    pub load_seconds: f64,
    /// Checks made at load that passed.
    pub checks_passed: usize,
    /// Whether requests are run together.
    pub batches: bool,
    /// Why, or why not.
    pub batches_why: String,
    /// Largest difference that padding and company made to the answers of the samples: of a probability, or relative to
    /// the largest output. Absent where it could not be measured.
    pub batch_difference: Option<f64>,
    /// Whether that is past the tolerance: an answer depends on what else is in its batch.
    pub batch_variant: bool,
}

impl Metadata {
    /// A number that is the same where the files are the same: the first 48 bits of the SHA-256 over their names and hashes, which
    /// a double holds exactly. `None` where another server has the files.
    pub(crate) fn fingerprint(&self) -> Option<i64> {
        fingerprint(&self.files)
    }
}

fn fingerprint(files: &BTreeMap<String, String>) -> Option<i64> {
    let mut hasher = Sha256::new();
    for (name, sha256) in files {
        hasher.update(format!("{sha256}  {name}\n"));
    }
    let digest = hasher.finalize();
    let bits = digest.iter().take(6).fold(0, |bits, byte| (bits << 8) | i64::from(*byte));
    (!files.is_empty()).then_some(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_tells_files_apart_and_fits_a_double() {
        // { echo 'aa  config.json'; echo 'bb  model.onnx'; } | sha256sum | cut -c1-12
        let of = |files: &[(&str, &str)]| {
            let files: BTreeMap<String, String> =
                files.iter().map(|(name, hash)| ((*name).to_owned(), (*hash).to_owned())).collect();
            fingerprint(&files)
        };
        let known = of(&[("model.onnx", "bb"), ("config.json", "aa")]);
        assert_eq!(known, Some(0x8310_ebcb_f0fc));
        assert_eq!(of(&[("config.json", "aa"), ("model.onnx", "bb")]), known);
        assert_ne!(of(&[("config.json", "bb"), ("model.onnx", "aa")]), known, "two files changed places");
        assert_eq!(of(&[]), None);
        assert!(known.is_some_and(|bits| bits < 1 << 48));
    }
}
