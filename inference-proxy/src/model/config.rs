//! The configuration of models: what was typed, and what is meant.
//!
//! Everything has a default except what only the operator can know. Settings of one model override the general ones;
//! a model folder's `driftline.toml` stands between the two (see `docs/model-folder.md`).

mod batching;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use host::config::{ByteSize, Faults};
use serde::{Deserialize, Serialize};

pub(crate) use batching::{Batching, Tuning};
pub use batching::{Order, RawBatching, RawTuning};

use super::breaker::{self, RawBreaker};
use super::device::{Device, RawCuda, RawDevice};
use super::fallback::RawFallback;
use super::manifest::TrustedKey;
use super::memory::{self, RawMemory};
use super::price::{Prices, RawPrices};
use super::routing::{Canary, RawCanary};
use crate::upstream::{self, RawUpstream};

/// The models section as typed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawModelsConfig {
    /// Folder of models: `models_dir/<name>/<version>/`.
    pub models_dir: PathBuf,
    /// The ONNX Runtime library, `libonnxruntime.so`.
    pub onnxruntime: PathBuf,
    /// What differs for single models. A folder without an entry here is served with the defaults.
    pub models: BTreeMap<String, RawModel>,
    /// How requests are put together.
    pub batching: RawBatching,
    /// How the cost of runs is measured, and what is made of it.
    pub tuning: RawTuning,
    /// Bounds of each version's queue.
    pub queue: RawQueue,
    /// Characters past which a text is refused.
    pub max_chars: usize,
    /// Threads inside a session; default: the model folder's wish, or what is measured to be fastest.
    pub intra_threads: Option<usize>,
    /// How long a replaced version stays in memory for a rollback.
    #[serde(with = "humantime_serde")]
    pub standby_for: Duration,
    /// How long the sessions may take to end at a shutdown.
    #[serde(with = "humantime_serde")]
    pub stop_within: Duration,
    /// Public keys, 64 hexadecimal digits each, of which one must have signed every version's manifest; none asks for none.
    pub trusted_keys: Vec<String>,
    /// Memory that loads may take.
    pub memory: RawMemory,
    /// When a version is left alone.
    pub breaker: RawBreaker,
    /// What devices cost.
    pub prices: RawPrices,
    /// Sessions on a graphics card; without it all run on the processor.
    pub cuda: Option<RawCuda>,
}

impl Default for RawModelsConfig {
    fn default() -> Self {
        Self {
            models_dir: "models".into(),
            onnxruntime: ".deps/onnxruntime/libonnxruntime.so".into(),
            models: BTreeMap::new(),
            batching: RawBatching::default(),
            tuning: RawTuning::default(),
            queue: RawQueue::default(),
            max_chars: 10_000,
            intra_threads: None,
            standby_for: Duration::from_secs(600),
            stop_within: Duration::from_secs(10),
            trusted_keys: Vec::new(),
            memory: RawMemory::default(),
            breaker: RawBreaker::default(),
            prices: RawPrices::default(),
            cuda: None,
        }
    }
}

/// One model as typed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawModel {
    /// Who runs it: sessions of ours, or the server at `url`.
    pub backend: RawBackend,
    /// Base URL of a server that speaks the Open Inference Protocol, for `backend = "http"`.
    pub url: Option<String>,
    /// More about that server.
    pub upstream: Option<RawUpstream>,
    /// Single versions that another server serves, beside those in the model's folder.
    pub remote: BTreeMap<String, RawUpstream>,
    /// The version that answers; without it the highest-numbered version that is no shadow and passes its checks.
    pub primary: Option<String>,
    /// Versions that run beside it.
    pub shadows: Vec<RawShadow>,
    /// The version that answers a part of the clients.
    pub canary: Option<RawCanary>,
    /// What answers where the version that should cannot.
    pub fallback: Option<RawFallback>,
    /// Whether `POST /v1/models/{model}/verdict` may promote the canary or take it back.
    pub follow_verdicts: bool,
    /// Whether it may promote a shadow, which then answers everybody at once.
    pub promote_shadows: bool,
    /// Sessions of the primary; default: the model folder's wish, or what is measured to be fastest.
    pub instances: Option<usize>,
    /// Threads inside a session.
    pub intra_threads: Option<usize>,
    /// Where its sessions run; default: the card, if there is a `cuda` section.
    pub device: Option<RawDevice>,
}

/// Who runs a model, as typed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RawBackend {
    /// Sessions in this process, from a folder.
    #[default]
    Onnx,
    /// Another server, by the Open Inference Protocol over HTTP.
    Http,
}

/// One shadow as typed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawShadow {
    /// The version.
    pub version: String,
    /// Share of the requests it sees, 0 to 100.
    #[serde(default = "all")]
    pub percent: f64,
    /// Sessions.
    #[serde(default = "one")]
    pub instances: usize,
}

fn all() -> f64 {
    100.0
}

fn one() -> usize {
    1
}

/// Bounds of a queue, as typed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawQueue {
    /// Items (texts, rows) that may wait.
    pub max_items: usize,
    /// Tokens (or tensor elements) that may wait.
    pub max_tokens: usize,
    /// Bytes that may wait.
    pub max_bytes: ByteSize,
}

impl Default for RawQueue {
    fn default() -> Self {
        Self { max_items: 1_024, max_tokens: 4 << 20, max_bytes: ByteSize::mib(64) }
    }
}

/// The models section, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelsConfig {
    pub(crate) models_dir: PathBuf,
    pub(crate) onnxruntime: PathBuf,
    pub(crate) models: BTreeMap<String, ModelConfig>,
    pub(crate) defaults: ModelConfig,
    pub(crate) batching: Batching,
    pub(crate) tuning: Tuning,
    pub(crate) queue: QueueLimits,
    pub(crate) max_chars: usize,
    pub(crate) standby_for: Duration,
    pub(crate) stop_within: Duration,
    pub(crate) trusted_keys: Vec<TrustedKey>,
    pub(crate) memory: memory::Bounds,
    pub(crate) breaker: breaker::Terms,
    pub(crate) prices: Prices,
}

/// One model, checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ModelConfig {
    /// Versions that another server serves.
    pub(crate) remotes: BTreeMap<String, upstream::Config>,
    pub(crate) primary: Option<String>,
    pub(crate) shadows: Vec<Shadow>,
    pub(crate) canary: Option<Canary>,
    pub(crate) fallback: Option<RawFallback>,
    pub(crate) follow_verdicts: bool,
    pub(crate) promote_shadows: bool,
    pub(crate) instances: Option<NonZeroUsize>,
    pub(crate) intra_threads: Option<NonZeroUsize>,
    pub(crate) device: Device,
}

/// One shadow, checked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Shadow {
    pub(crate) version: String,
    pub(crate) percent: f64,
    pub(crate) instances: NonZeroUsize,
}

/// Bounds of a queue; all of them above zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueueLimits {
    pub(crate) max_items: usize,
    pub(crate) max_tokens: usize,
    pub(crate) max_bytes: usize,
}

impl RawModelsConfig {
    /// What is meant. Faults are pushed under dotted names that start with `key` (`proxy.models`, say); the result
    /// may be used only if there are none.
    #[must_use]
    pub fn check(self, key: &str, faults: &mut Faults) -> ModelsConfig {
        let at = |name: &str| format!("{key}.{name}");
        let mut positive = |value: usize, name: &str| {
            faults.check(value > 0, at(name), "must be at least 1");
        };
        positive(self.batching.max_batch_tokens, "batching.max_batch_tokens");
        positive(self.batching.max_batch_elements, "batching.max_batch_elements");
        positive(self.batching.max_batch_items, "batching.max_batch_items");
        positive(self.queue.max_items, "queue.max_items");
        positive(self.queue.max_tokens, "queue.max_tokens");
        positive(self.queue.max_bytes.bytes(), "queue.max_bytes");
        positive(self.max_chars, "max_chars");
        positive(self.intra_threads.unwrap_or(1), "intra_threads");
        positive(self.tuning.threads.unwrap_or(1), "tuning.threads");
        positive(self.tuning.max_sessions, "tuning.max_sessions");
        let padding = self.batching.max_padding;
        faults.check((0.0..1.0).contains(&padding), at("batching.max_padding"), "must be at least 0 and below 1");
        let slow = self.batching.max_delay > Duration::from_secs(1);
        faults.check(!slow, at("batching.max_delay"), "must be at most 1s: every request waits for it");
        let step = self.batching.priority_step <= Duration::from_secs(60);
        faults.check(step, at("batching.priority_step"), "must be at most 60s: the least urgent wait so long");
        let difference = self.batching.max_difference;
        faults.check(difference >= 0.0, at("batching.max_difference"), "must be at least 0");
        let threads = self.intra_threads.and_then(NonZeroUsize::new);
        let device = self.cuda.map_or(Device::Cpu, |cuda| Device::Cuda(cuda.check(&at("cuda"), faults)));
        let models = self.models.into_iter().map(|(name, model)| {
            let key = format!("{key}.models.{name}");
            faults.check(is_name(&name), &key, NAME_RULE);
            (name, model.check(&key, threads, device, faults))
        });
        ModelsConfig {
            models: models.collect(),
            models_dir: self.models_dir,
            onnxruntime: self.onnxruntime,
            defaults: ModelConfig { intra_threads: threads, device, ..ModelConfig::default() },
            batching: self.batching.into(),
            tuning: self.tuning.into(),
            queue: self.queue.into(),
            max_chars: self.max_chars,
            standby_for: self.standby_for,
            stop_within: self.stop_within,
            trusted_keys: keys(&self.trusted_keys, &at("trusted_keys"), faults),
            memory: self.memory.check(&at("memory"), faults),
            breaker: self.breaker.check(&at("breaker"), faults),
            prices: self.prices.check(&at("prices"), faults),
        }
    }
}

fn keys(texts: &[String], key: &str, faults: &mut Faults) -> Vec<TrustedKey> {
    let read = |(i, text): (usize, &String)| {
        let read = TrustedKey::read(text);
        let rule = "must be a public key of 64 hexadecimal digits, as `driftline model keygen` prints it";
        faults.check(read.is_some(), format!("{key}[{i}]"), rule);
        read
    };
    texts.iter().enumerate().filter_map(read).collect()
}

impl RawModel {
    fn check(mut self, key: &str, threads: Option<NonZeroUsize>, device: Device, faults: &mut Faults) -> ModelConfig {
        let no_card = self.device == Some(RawDevice::Cuda) && device == Device::Cpu;
        faults.check(!no_card, format!("{key}.device"), "is cuda, and there is no section [proxy.models.cuda]");
        let remotes = self.remotes(key, faults);
        for (value, name) in [(self.instances, "instances"), (self.intra_threads, "intra_threads")] {
            faults.check(value != Some(0), format!("{key}.{name}"), "must be at least 1");
        }
        if let Some(primary) = &self.primary {
            faults.check(is_name(primary), format!("{key}.primary"), NAME_RULE);
        }
        let mut seen = BTreeSet::new();
        for (i, shadow) in self.shadows.iter().enumerate() {
            let at = |name: &str| format!("{key}.shadows[{i}].{name}");
            faults.check(is_name(&shadow.version), at("version"), NAME_RULE);
            let twice = !seen.insert(shadow.version.clone()) || self.primary.as_ref() == Some(&shadow.version);
            faults.check(!twice, at("version"), "is the primary or another shadow already");
            faults.check((0.0..=100.0).contains(&shadow.percent), at("percent"), "must be from 0 to 100");
            faults.check(shadow.instances > 0, at("instances"), "must be at least 1");
        }
        let canary = self.canary.map(|canary| {
            let twice = !seen.insert(canary.version.clone()) || self.primary.as_ref() == Some(&canary.version);
            faults.check(!twice, format!("{key}.canary.version"), "is the primary or a shadow already");
            canary.check(&format!("{key}.canary"), faults)
        });
        if let Some(fallback) = &self.fallback {
            let twice = fallback.version.as_ref().is_some_and(|version| seen.contains(version));
            faults.check(!twice, format!("{key}.fallback.version"), "is a shadow or the canary already");
            fallback.check(&format!("{key}.fallback"), self.primary.as_deref(), faults);
        }
        ModelConfig {
            remotes,
            canary,
            fallback: self.fallback,
            follow_verdicts: self.follow_verdicts,
            promote_shadows: self.promote_shadows,
            primary: self.primary,
            shadows: self.shadows.into_iter().map(Shadow::from).collect(),
            instances: self.instances.and_then(NonZeroUsize::new),
            intra_threads: self.intra_threads.and_then(NonZeroUsize::new).or(threads),
            device: if self.device == Some(RawDevice::Cpu) { Device::Cpu } else { device },
        }
    }
}

/// The version under which a server is known that chooses its version itself.
pub(crate) const FLOATING: &str = "upstream";

impl RawModel {
    /// Versions behind other servers. With `backend = "http"` one of them is the model, and answers unless told
    /// otherwise.
    fn remotes(&mut self, key: &str, faults: &mut Faults) -> BTreeMap<String, upstream::Config> {
        let mut raw = std::mem::take(&mut self.remote);
        let http = self.backend == RawBackend::Http;
        let stray = !http && (self.url.is_some() || self.upstream.is_some());
        faults.check(!stray, format!("{key}.url"), "is only read with backend = \"http\"");
        let named = self.upstream.take().unwrap_or_default();
        let twice = named.url.is_some();
        faults.check(!twice, format!("{key}.upstream.url"), "stands at the model itself, as `url`");
        if http {
            let version = named.version.clone().unwrap_or_else(|| FLOATING.to_owned());
            self.primary.get_or_insert_with(|| version.clone());
            raw.insert(version, RawUpstream { url: self.url.take(), ..named });
        }
        let checked = raw.into_iter().map(|(version, raw)| {
            let key = format!("{key}.remote.{version}");
            faults.check(is_name(&version), &key, NAME_RULE);
            (version, raw.check(&key, faults))
        });
        checked.collect()
    }
}

impl Shadow {
    /// One that sees everything with one session.
    pub(crate) fn new(version: &str) -> Self {
        Self { version: version.to_owned(), percent: 100.0, instances: NonZeroUsize::MIN }
    }
}

impl From<RawShadow> for Shadow {
    fn from(raw: RawShadow) -> Self {
        let instances = NonZeroUsize::new(raw.instances).unwrap_or(NonZeroUsize::MIN);
        Self { version: raw.version, percent: raw.percent, instances }
    }
}

impl From<RawQueue> for QueueLimits {
    fn from(raw: RawQueue) -> Self {
        Self { max_items: raw.max_items, max_tokens: raw.max_tokens, max_bytes: raw.max_bytes.bytes() }
    }
}

/// The rule of [`is_name`], as a sentence.
pub(crate) const NAME_RULE: &str =
    "must be 1 to 128 letters, digits, '-', '_' or '.', and must not start with '.', because it names a folder";

/// Whether a model's or version's name can be a folder's, and nothing but one folder's.
pub(crate) fn is_name(name: &str) -> bool {
    (1..=128).contains(&name.len())
        && !name.starts_with('.')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_have_no_fault() {
        let mut faults = Faults::default();
        let config = RawModelsConfig::default().check("proxy.models", &mut faults);
        assert!(faults.is_empty(), "{faults}");
        assert_eq!(config.batching.max_batch_tokens, 512);
    }

    #[test]
    fn every_fault_is_listed() {
        let raw: RawModelsConfig = toml::from_str(
            r#"
            max_chars = 0
            batching.max_padding = 1.5
            [models."../secrets"]
            instances = 0
            primary = "1"
            shadows = [{ version = "1" }, { version = "2", percent = 101 }]
            "#,
        )
        .unwrap();
        let mut faults = Faults::default();
        let _config = raw.check("m", &mut faults);
        let text = faults.to_string();
        for key in [
            "m.max_chars:",
            "m.batching.max_padding:",
            "m.models.../secrets:",
            "m.models.../secrets.instances:",
            "m.models.../secrets.shadows[0].version:",
            "m.models.../secrets.shadows[1].percent:",
        ] {
            assert!(text.contains(key), "{key} is not in:\n{text}");
        }
        assert_eq!(faults.len(), 6, "{text}");
    }

    #[test]
    fn another_server_is_one_line_or_one_version() {
        let raw: RawModelsConfig = toml::from_str(
            r#"
            [models.resnet]
            backend = "http"
            url = "http://triton:8000"
            [models.router]
            primary = "1"
            shadows = [{ version = "2" }]
            remote.2 = { url = "http://kserve/v", model = "router-two" }
            [models.pinned]
            backend = "http"
            url = "http://mlserver:8080"
            upstream = { version = "7", labels = ["no", "yes"], logits = "y" }
            "#,
        )
        .unwrap();
        let mut faults = Faults::default();
        let config = raw.check("m", &mut faults);
        assert!(faults.is_empty(), "{faults}");
        assert_eq!(config.models["resnet"].primary.as_deref(), Some(FLOATING));
        assert_eq!(config.models["resnet"].remotes[FLOATING].origin, "http://triton:8000");
        assert_eq!(config.models["router"].remotes["2"].prefix, "/v");
        assert_eq!(config.models["pinned"].primary.as_deref(), Some("7"));
    }

    #[test]
    fn a_server_without_a_backend_is_a_fault() {
        for (text, key) in [
            ("url = 'http://a'", "m.models.x.url:"),
            ("backend = 'http'", "m.models.x.remote.upstream.url:"),
            ("backend = 'http'\nurl = 'http://a'\nupstream = { url = 'http://b' }", "m.models.x.upstream.url:"),
            ("remote.'..' = { url = 'http://a' }", "m.models.x.remote...:"),
        ] {
            let raw: RawModelsConfig = toml::from_str(&format!("[models.x]\n{text}")).unwrap();
            let mut faults = Faults::default();
            let _config = raw.check("m", &mut faults);
            assert!(faults.to_string().contains(key), "{faults}");
        }
    }

    #[test]
    fn a_name_is_one_folder() {
        for name in ["1", "support-router", "v1.2_b"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", ".", "..", "a/b", "a\\b", "a b", "é", ".git"] {
            assert!(!is_name(name), "{name}");
        }
    }
}
