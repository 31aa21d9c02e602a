//! A version's folder as it lies on disk: which files there are, what they say, and what they hash to.
//!
//! The layout and every key are described in `docs/model-folder.md`. Nothing here trusts the folder: names may not
//! leave it, and unknown keys are refused.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::golden::GoldenSample;
use super::manifest::{self, Manifest};
use super::metadata::Task;
use super::pooling::Pooling;
use super::sentence::{self, Sentence};

const SETTINGS: &str = "driftline.toml";
/// The manifest.
pub(crate) const MANIFEST: &str = "driftline.manifest.json";
/// Longest sequence where nothing says how long it is; BERT's.
const MAX_TOKENS: usize = 512;

/// `driftline.toml`, or its defaults.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    pub(crate) task: Option<Task>,
    pub(crate) logits: Option<String>,
    pub(crate) probabilities: Option<String>,
    pub(crate) labels: Option<Vec<String>>,
    pub(crate) problem_type: Option<Problem>,
    pub(crate) threshold: Option<f32>,
    pub(crate) embedding: Option<String>,
    pub(crate) pooling: Option<Pooling>,
    pub(crate) normalize: Option<bool>,
    pub(crate) strip_suspicious: bool,
    pub(crate) max_tokens: Option<usize>,
    pub(crate) instances: Option<usize>,
    pub(crate) intra_threads: Option<usize>,
    pub(crate) allow_non_finite: bool,
    pub(crate) batch: Option<bool>,
    pub(crate) vocabulary_gap: Option<f64>,
    pub(crate) tolerance: Option<f64>,
    pub(crate) golden: Option<String>,
    pub(crate) inputs: BTreeMap<String, InputSettings>,
}

/// What `driftline.toml` says of one input.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct InputSettings {
    pub(crate) columns: Vec<String>,
    /// Least and largest value of a column, both allowed.
    pub(crate) ranges: BTreeMap<String, [f64; 2]>,
    /// What a column may hold.
    pub(crate) categories: BTreeMap<String, BTreeSet<String>>,
}

/// How the numbers of a class output belong together, in the words of Hugging Face's `problem_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) enum Problem {
    /// Exactly one class holds: softmax.
    #[serde(rename = "single_label_classification")]
    Single,
    /// Each class holds or not: a sigmoid each.
    #[serde(rename = "multi_label_classification")]
    Multi,
    /// The numbers are the answer.
    #[serde(rename = "regression")]
    Regression,
}

/// What is read of Hugging Face's `config.json`; it has many more keys.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct HubConfig {
    #[serde(default)]
    id2label: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) architectures: Vec<String>,
    pub(crate) problem_type: Option<Problem>,
    max_position_embeddings: Option<u64>,
    pub(crate) vocab_size: Option<u64>,
    pad_token_id: Option<u64>,
    model_type: Option<String>,
}

/// What is read of `tokenizer_config.json`. The length is a float where nobody set it (1e30).
#[derive(Clone, Debug, Default, Deserialize)]
struct TokenizerConfig {
    model_max_length: Option<f64>,
}

/// A version's folder.
#[derive(Debug)]
pub(crate) struct Folder {
    /// The graph.
    pub(crate) model: PathBuf,
    /// `tokenizer.json`, of text models.
    pub(crate) tokenizer: Option<PathBuf>,
    pub(crate) settings: Settings,
    pub(crate) hub: HubConfig,
    pub(crate) golden: Vec<GoldenSample>,
    /// SHA-256 in hexadecimal, by path inside the folder.
    pub(crate) hashes: BTreeMap<String, String>,
    /// Bytes of the hashed files.
    pub(crate) bytes: u64,
    max_length: Option<f64>,
    sentence: Sentence,
    /// What the manifest says the hashes are.
    expected: Option<BTreeMap<String, String>>,
}

impl Folder {
    /// Reads everything but the weights, and hashes all of it; the manifest too, if it is `pinned`.
    ///
    /// # Errors
    /// A sentence naming the file.
    pub(crate) fn read(dir: &Path, pinned: bool) -> Result<Self, String> {
        let names = ["model.onnx", "onnx/model.onnx"];
        let model = names.into_iter().find(|name| dir.join(name).is_file());
        let model = model.ok_or_else(|| match std::fs::read_dir(dir) {
            Ok(_) => format!("{} has neither model.onnx nor onnx/model.onnx", dir.display()),
            Err(error) => format!("cannot read {}: {error}", dir.display()),
        })?;
        let settings: Settings = read_optional(dir, SETTINGS, |text| toml::from_str(text).map_err(|e| e.to_string()))?;
        settings.check().map_err(|why| format!("{SETTINGS} is wrong: {why}"))?;
        let hub: HubConfig = read_optional(dir, "config.json", json)?;
        let tokenizer_config: TokenizerConfig = read_optional(dir, "tokenizer_config.json", json)?;
        let sentence = Sentence::read(dir)?;
        let manifest: Option<Manifest> = match pinned {
            true => read_optional(dir, MANIFEST, |text| json(text).map(Some))?,
            false => None,
        };
        let mut golden = Vec::new();
        if let Some(name) = &settings.golden {
            let name = inside(name)?;
            golden = read(dir, name, json::<Vec<GoldenSample>>)?;
        }
        let mut used: Vec<String> = [model].into_iter().map(str::to_owned).collect();
        let beside =
            ["tokenizer.json", "config.json", "tokenizer_config.json", SETTINGS].into_iter().chain(sentence::FILES);
        let beside = beside.map(str::to_owned);
        let weights = weights_beside(&dir.join(model));
        let weights = weights.iter().filter_map(|path| Some(path.strip_prefix(dir).ok()?.to_str()?.to_owned()));
        let optional = beside.chain(weights).chain(settings.golden.clone());
        used.extend(optional.filter(|name| dir.join(name).is_file()));
        let expected = manifest.map(|manifest| accept(manifest, &mut golden)).transpose()?;
        let mut hashes = BTreeMap::new();
        let mut bytes = 0;
        for name in used.iter().chain(expected.iter().flat_map(BTreeMap::keys)) {
            if !hashes.contains_key(name) {
                let (hash, length) =
                    sha256(&dir.join(inside(name)?)).map_err(|error| format!("cannot read {name}: {error}"))?;
                hashes.insert(name.clone(), hash);
                bytes += length;
            }
        }
        Ok(Self {
            model: dir.join(model),
            tokenizer: Some(dir.join("tokenizer.json")).filter(|path| path.is_file()),
            settings,
            hub,
            golden,
            hashes,
            bytes,
            max_length: tokenizer_config.model_max_length,
            sentence,
            expected,
        })
    }

    /// SHA-256 of the model file; empty where it has none.
    pub(crate) fn model_sha256(&self) -> &str {
        let model = self.hashes.iter().find(|(name, _)| name.ends_with("model.onnx"));
        model.map_or("", |(_, sha256)| sha256.as_str())
    }

    /// Compares the hashes with the manifest's; `None` without a manifest, else how many are equal.
    ///
    /// # Errors
    /// A sentence naming the first file that differs or is not listed.
    pub(crate) fn check_hashes(&self) -> Result<Option<usize>, String> {
        let Some(expected) = &self.expected else { return Ok(None) };
        for (name, found) in &self.hashes {
            match expected.get(name) {
                Some(hash) if hash.eq_ignore_ascii_case(found) => {}
                Some(hash) => return Err(format!("{name} has SHA-256 {found}, and {MANIFEST} expects {hash}")),
                None => return Err(format!("{name} is read and is not in {MANIFEST}")),
            }
        }
        Ok(Some(self.hashes.len()))
    }

    /// Whether it may turn out to take text once its graph is known.
    pub(crate) fn may_take_text(&self) -> bool {
        self.tokenizer.is_some() && self.settings.task != Some(Task::Tensor)
    }

    /// How vectors of tokens become one: as `driftline.toml` or sentence-transformers' files say, or their mean.
    ///
    /// # Errors
    /// Where the files ask for what is not served.
    pub(crate) fn pooling(&self) -> Result<Pooling, String> {
        match self.settings.pooling {
            Some(pooling) => Ok(pooling),
            None => Ok(self.sentence.pooling()?.unwrap_or(Pooling::Mean)),
        }
    }

    /// Whether vectors are scaled to length 1: as `driftline.toml` says, or where sentence-transformers would.
    pub(crate) fn normalizes(&self) -> bool {
        self.settings.normalize.unwrap_or_else(|| self.sentence.normalizes())
    }

    /// How class scores belong together, if the folder says so.
    pub(crate) fn problem(&self) -> Option<Problem> {
        self.settings.problem_type.or(self.hub.problem_type)
    }

    /// Labels in order, if the folder names any.
    ///
    /// # Errors
    /// Where `id2label` has gaps.
    pub(crate) fn labels(&self) -> Result<Option<Vec<String>>, String> {
        if let Some(labels) = &self.settings.labels {
            return Ok(Some(labels.clone()));
        }
        let count = self.hub.id2label.len();
        let labels: Option<Vec<String>> = (0..count).map(|i| self.hub.id2label.get(&i.to_string()).cloned()).collect();
        let labels =
            labels.ok_or_else(|| format!("id2label of config.json does not name the classes 0 to {}", count - 1))?;
        Ok(Some(labels).filter(|labels| !labels.is_empty()))
    }

    /// Tokens past which a text is truncated: as `driftline.toml` says, or the least length that the files claim.
    pub(crate) fn max_tokens(&self) -> usize {
        let positions =
            self.hub.max_position_embeddings.map(|positions| positions - self.hub.position_offset(positions));
        // Tokenizers of unlimited models say 1e30.
        let length = self.max_length.filter(|length| (1.0..1e9).contains(length)).map(|length| length as u64);
        let claimed = positions
            .into_iter()
            .chain(length)
            .chain(self.sentence.max_tokens())
            .min()
            .and_then(|length| usize::try_from(length).ok());
        self.settings.max_tokens.or(claimed).unwrap_or(MAX_TOKENS)
    }

    /// The id that fills up a batch, where the tokenizer names none.
    pub(crate) fn padding_id(&self) -> u32 {
        self.hub.pad_token_id.and_then(|id| u32::try_from(id).ok()).unwrap_or_default()
    }
}

impl Settings {
    fn check(&self) -> Result<(), String> {
        let range = |value: Option<f64>| value.is_none_or(|value| (0.0..=1.0).contains(&value));
        let rules = [
            (self.logits.is_none() || self.probabilities.is_none(), "give logits or probabilities, not both"),
            (self.max_tokens != Some(0), "max_tokens must be at least 1"),
            (self.instances != Some(0), "instances must be at least 1"),
            (self.intra_threads != Some(0), "intra_threads must be at least 1"),
            (range(self.vocabulary_gap), "vocabulary_gap must be from 0 to 1"),
            (range(self.tolerance), "tolerance must be from 0 to 1"),
            (self.threshold.is_none_or(|t| (0.0..=1.0).contains(&t)), "threshold must be from 0 to 1"),
            (self.labels.as_ref().is_none_or(|labels| !labels.is_empty()), "labels must not be empty"),
        ];
        rules.into_iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, why)| Err(why.to_owned()))?;
        self.inputs.iter().try_for_each(|(name, input)| input.check(name))
    }
}

impl InputSettings {
    fn check(&self, name: &str) -> Result<(), String> {
        if let Some((column, [low, high])) =
            self.ranges.iter().find(|(_, [low, high])| low.partial_cmp(high).is_none_or(|o| o.is_gt()))
        {
            return Err(format!("inputs.{name}.ranges.{column} is from {low} to {high}, which is no range"));
        }
        let empty = self.categories.iter().find(|(_, allowed)| allowed.is_empty());
        empty.map_or(Ok(()), |(column, _)| Err(format!("inputs.{name}.categories.{column} allows nothing")))
    }
}

impl HubConfig {
    /// Positions that are never used: RoBERTa and its kin count positions from the padding id + 1.
    fn position_offset(&self, positions: u64) -> u64 {
        let kin = ["roberta", "xlm-roberta", "camembert", "mpnet", "longformer"];
        let offset = match &self.model_type {
            Some(kind) if kin.contains(&kind.as_str()) => self.pad_token_id.unwrap_or(1).saturating_add(1),
            _ => 0,
        };
        offset.min(positions.saturating_sub(1))
    }
}

/// The number of sessions and of threads in each that a folder asks for, before anything else of it is read; what is wrong
/// with the file the load will say.
pub(crate) fn wishes(dir: &Path) -> (Option<usize>, Option<usize>) {
    let settings = std::fs::read_to_string(dir.join(SETTINGS)).ok();
    let settings = settings.and_then(|settings| toml::from_str::<Settings>(&settings).ok());
    settings.map_or((None, None), |settings| (settings.instances, settings.intra_threads))
}

/// The files that hold a graph's weights outside of it, by the names that exporters give them: the graph's own with an
/// ending more (`model.onnx_data`, `model.onnx.data`, `model.onnx_data_1`).
pub(crate) fn weights_beside(graph: &Path) -> Vec<PathBuf> {
    let (Some(folder), Some(name)) = (graph.parent(), graph.file_name().and_then(|name| name.to_str())) else {
        return Vec::new();
    };
    let longer = |found: &str| found.strip_prefix(name).is_some_and(|more| more.starts_with(['_', '.']));
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> =
        entries.filter(|entry| entry.file_name().to_str().is_some_and(longer)).map(|entry| entry.path()).collect();
    found.sort();
    found
}

fn accept(manifest: Manifest, golden: &mut Vec<GoldenSample>) -> Result<BTreeMap<String, String>, String> {
    let known = manifest::VERSION;
    if manifest.manifest != known {
        return Err(format!("{MANIFEST} is of version {}, and this server reads version {known}", manifest.manifest));
    }
    golden.extend(manifest.golden);
    Ok(manifest.files.into_iter().map(|(name, entry)| (name, entry.sha256().to_owned())).collect())
}

/// A relative path that stays inside the folder.
fn inside(name: &str) -> Result<&str, String> {
    let plain = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    if plain && !name.is_empty() { Ok(name) } else { Err(format!("'{name}' is no path inside the model's folder")) }
}

pub(crate) fn json<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

fn read<T>(dir: &Path, name: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Result<T, String> {
    let text = std::fs::read_to_string(dir.join(name)).map_err(|error| format!("cannot read {name}: {error}"))?;
    parse(&text).map_err(|why| format!("{name} is wrong: {}", why.trim_end()))
}

pub(crate) fn read_optional<T: Default>(
    dir: &Path,
    name: &str,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, String> {
    match std::fs::symlink_metadata(dir.join(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(T::default()),
        _ => read(dir, name, parse),
    }
}

fn sha256(path: &Path) -> io::Result<(String, u64)> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut length = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((hex::encode(hasher.finalize()), length));
        }
        length += read as u64;
        hasher.update(&buffer[..read]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> Result<Folder, String> {
        let dir = tempfile::tempdir().unwrap();
        for (name, content) in files {
            std::fs::write(dir.path().join(name), content).unwrap();
        }
        Folder::read(dir.path(), true)
    }

    #[test]
    fn each_wrong_file_is_named() {
        let check = |files: &[(&str, &str)], expected: &str| {
            let error = folder(files).unwrap_err();
            assert!(error.contains(expected), "'{error}' does not say '{expected}'");
        };
        let model = ("model.onnx", "");
        check(&[], "neither model.onnx nor onnx/model.onnx");
        check(&[model, ("driftline.toml", "tsak = 'tensor'")], "driftline.toml is wrong:");
        check(&[model, ("driftline.toml", "logits = 'a'\nprobabilities = 'b'")], "not both");
        check(&[model, ("driftline.toml", "golden = '../secrets.json'")], "'../secrets.json' is no path inside");
        check(&[model, ("config.json", "{")], "config.json is wrong:");
        check(&[model, (MANIFEST, r#"{"manifest": 2, "files": {}}"#)], "of version 2");
        check(&[model, (MANIFEST, r#"{"manifest": 1, "files": {"/etc/passwd": ""}}"#)], "'/etc/passwd' is no path");
        check(&[model, (MANIFEST, r#"{"manifest": 1, "files": {"gone.bin": ""}}"#)], "cannot read gone.bin:");
    }

    #[test]
    fn a_file_that_is_read_must_be_in_the_manifest() {
        let model = ("model.onnx", "abc");
        let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let manifest = |hash: &str| format!(r#"{{"manifest": 1, "files": {{"model.onnx": "{hash}"}}}}"#);
        let good = manifest(hash);
        assert_eq!(folder(&[model, (MANIFEST, &good)]).unwrap().check_hashes(), Ok(Some(1)));
        let error = folder(&[model, (MANIFEST, &manifest("00"))]).unwrap().check_hashes().unwrap_err();
        assert_eq!(error, format!("model.onnx has SHA-256 {hash}, and {MANIFEST} expects 00"));
        let more = folder(&[model, ("config.json", "{}"), (MANIFEST, &good)]).unwrap();
        assert_eq!(more.check_hashes().unwrap_err(), format!("config.json is read and is not in {MANIFEST}"));
        assert_eq!(folder(&[model]).unwrap().check_hashes(), Ok(None));
    }

    #[test]
    fn weights_outside_the_graph_are_files_of_the_version() {
        let folder = folder(&[
            ("model.onnx", "abc"),
            ("model.onnx_data", "d"),
            ("model.onnx.data", "ef"),
            ("model.onnx_data_1", "g"),
            ("model.onnxx", "h"),
            ("notes.txt", "i"),
        ])
        .unwrap();
        let names: Vec<&str> = folder.hashes.keys().map(String::as_str).collect();
        assert_eq!(names, ["model.onnx", "model.onnx.data", "model.onnx_data", "model.onnx_data_1"]);
        assert_eq!(folder.bytes, 7);
    }

    #[test]
    fn the_least_claimed_length_counts() {
        let check = |files: &[(&str, &str)], expected: usize| {
            let files: Vec<_> = files.iter().copied().chain([("model.onnx", "")]).collect();
            assert_eq!(folder(&files).unwrap().max_tokens(), expected, "{files:?}");
        };
        let config = ("config.json", r#"{"max_position_embeddings": 512}"#);
        check(&[], 512);
        check(&[config, ("tokenizer_config.json", r#"{"model_max_length": 128}"#)], 128);
        check(&[config, ("tokenizer_config.json", r#"{"model_max_length": 1e30}"#)], 512);
        check(&[config, ("driftline.toml", "max_tokens = 64")], 64);
        let roberta = r#"{"max_position_embeddings": 514, "model_type": "roberta", "pad_token_id": 1}"#;
        check(&[("config.json", roberta)], 512);
    }

    #[test]
    fn labels_must_be_numbered_without_gaps() {
        let labels = |config: &str| folder(&[("model.onnx", ""), ("config.json", config)]).unwrap().labels();
        assert_eq!(labels(r#"{"id2label": {"1": "b", "0": "a"}}"#), Ok(Some(vec!["a".into(), "b".into()])));
        assert!(labels(r#"{"id2label": {"0": "a", "2": "c"}}"#).unwrap_err().contains("the classes 0 to 1"));
        assert_eq!(labels("{}"), Ok(None));
    }
}
