//! Answers that were given before: one bounded memory in front of all versions, off unless the configuration turns it on.
//!
//! What is kept is the version's whole answer, before a transport cuts out the outputs, the best classes or the encoding
//! that a client asked for. So those are no part of the key, and one answer serves all of them; what is part of it is all
//! that the answer was computed from: the model's name, the version's, the load (the same files loaded again are another:
//! nobody can know all the files that ONNX Runtime reads), and the input. A version is never answered for by another.
//!
//! Not kept are answers of a fallback, of another server (nobody tells when its model changes), of a batch-variant version
//! that ran in company (another batch would have changed them), and those that are too large.

use std::sync::Arc;
use std::time::{Duration, Instant};

use contract::metrics::serving as names;
use host::config::{ByteSize, Faults};
use host::metrics::Registry;
use moka::notification::RemovalCause;
use moka::sync::Cache as Memory;
use prometheus::{IntCounterVec, IntGaugeVec};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::handle::off_thread;
use crate::model::{Answer, Catalog, Input, RunError, Served, Urgency, Version};
use crate::observe::record::{answer_bytes, input_bytes};
use crate::tensor::{Data, Tensor};

/// The memory of answers, as typed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawCache {
    /// Whether answers are kept at all. Only for models whose answer depends on nothing but their input.
    pub enabled: bool,
    /// Bytes that all kept answers may hold.
    pub max_bytes: ByteSize,
    /// A larger answer is not kept.
    pub max_answer_bytes: ByteSize,
    /// How long an answer is given again.
    #[serde(with = "humantime_serde")]
    pub ttl: Duration,
}

impl Default for RawCache {
    fn default() -> Self {
        Self {
            enabled: false,
            max_bytes: ByteSize::mib(64),
            max_answer_bytes: ByteSize::mib(1),
            ttl: Duration::from_secs(600),
        }
    }
}

/// The memory of answers, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    max_bytes: usize,
    max_answer_bytes: usize,
    ttl: Duration,
}

/// A longer life than this is refused: `moka` counts no further than a thousand years, and nobody means it.
const TTL_MAX: Duration = Duration::from_secs(365 * 86_400);

impl RawCache {
    /// What is meant; `None` where it is off. Faults are pushed under dotted names that start with `key`.
    pub(crate) fn check(self, key: &str, faults: &mut Faults) -> Option<Config> {
        let at = |name: &str| format!("{key}.{name}");
        let (max_bytes, max_answer_bytes) = (self.max_bytes.bytes(), self.max_answer_bytes.bytes());
        faults.check(max_bytes > 0, at("max_bytes"), "must be at least 1; to keep nothing, set `enabled = false`");
        let fits = (1..=max_bytes.max(1)).contains(&max_answer_bytes);
        faults.check(fits, at("max_answer_bytes"), "must be at least 1 and at most max_bytes");
        let life = !self.ttl.is_zero() && self.ttl <= TTL_MAX;
        faults.check(life, at("ttl"), "must be longer than 0s and at most 365 days");
        self.enabled.then_some(Config { max_bytes, max_answer_bytes, ttl: self.ttl })
    }
}

/// What an answer was computed from.
type Key = [u8; 32];

/// Kept answers, and the counters of what became of them.
#[derive(Debug)]
pub struct Cache {
    answers: Memory<Key, Arc<Answer>>,
    max_answer_bytes: usize,
    lookups: IntCounterVec,
    refused: IntCounterVec,
    held_bytes: IntGaugeVec,
    held: IntGaugeVec,
}

const HIT: &str = "hit";
const MISS: &str = "miss";
/// Reasons for which an answer is not kept.
const TOO_LARGE: &str = "too_large";
const BATCH_VARIANT: &str = "batch_variant";
/// Reasons for which one that was kept is no more.
const EVICTIONS: [&str; 2] = ["size", "expired"];

/// What an entry takes beside its answer: key, pointers, and the order in which entries go.
const ENTRY_BYTES: usize = 256;
/// From this size on an answer is weighed at once. `moka` weighs new entries in batches of at most 64, so that smaller ones
/// can be past the bound by 1 MiB for a moment, and no more.
const WEIGHED_AT_ONCE: usize = 16 << 10;

impl Cache {
    pub(crate) fn new(config: Config, registry: &Registry) -> Self {
        let evictions = registry.counter(&names::CACHE_EVICTIONS);
        EVICTIONS.iter().for_each(|reason| drop(evictions.with_label_values(&[*reason])));
        let gone = move |_: Arc<Key>, _: Arc<Answer>, cause: RemovalCause| {
            let reason = match cause {
                RemovalCause::Size => EVICTIONS[0],
                RemovalCause::Expired => EVICTIONS[1],
                RemovalCause::Explicit | RemovalCause::Replaced => return,
            };
            evictions.with_label_values(&[reason]).inc();
        };
        let weigh = |_: &Key, answer: &Arc<Answer>| u32::try_from(weight(answer)).unwrap_or(u32::MAX);
        Self {
            answers: Memory::builder()
                .name("answers")
                .max_capacity(config.max_bytes as u64)
                .weigher(weigh)
                .time_to_live(config.ttl)
                .eviction_listener(gone)
                .build(),
            max_answer_bytes: config.max_answer_bytes,
            lookups: registry.counter(&names::CACHE_LOOKUPS),
            refused: registry.counter(&names::CACHE_REFUSED),
            held_bytes: registry.int_gauge(&names::CACHE_BYTES),
            held: registry.int_gauge(&names::CACHE_ANSWERS),
        }
    }

    /// Makes the series of every version that runs here, at 0.
    pub(crate) fn expect(&self, catalog: &Catalog) {
        for entry in catalog.states() {
            let of = [entry.model.as_str(), entry.version.as_str()];
            let local = catalog.version(of[0], of[1]).is_ok_and(|version| version.local().is_some());
            for outcome in [HIT, MISS].into_iter().filter(|_| local) {
                let _ = self.lookups.with_label_values(&[of[0], of[1], outcome]);
            }
        }
    }

    /// Shows what is held; called when somebody asks.
    pub(crate) fn publish(&self) {
        self.answers.run_pending_tasks();
        let whole = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        self.held_bytes.with_label_values::<&str>(&[]).set(whole(self.answers.weighted_size()));
        self.held.with_label_values::<&str>(&[]).set(whole(self.answers.entry_count()));
    }

    /// Gives the answer that was given before, or runs the request as the catalog does and keeps what it gives.
    ///
    /// A known answer needs no session, so it is given although the version's breaker is open.
    pub(crate) async fn run(
        &self,
        catalog: &Catalog,
        version: &Arc<Version>,
        input: &Arc<Input>,
        urgency: Urgency,
    ) -> Result<Served, RunError> {
        if version.local().is_none() {
            return catalog.run(version, input, urgency).await;
        }
        let began = Instant::now();
        let key = {
            let (version, input) = (Arc::clone(version), Arc::clone(input));
            off_thread(input_bytes(&input), move || key(&version, &input)).await
        };
        if let Some(answer) = self.answers.get(&key) {
            self.count(version, HIT);
            version.answered_from_cache(began.elapsed());
            return Ok(Served { version: Arc::clone(version), answer, fallen: None, from_cache: true });
        }
        let looked = began.elapsed();
        self.count(version, MISS);
        let served = catalog.run(version, input, urgency).await;
        let done = Instant::now();
        if let Ok(served) = &served {
            self.keep(key, served);
        }
        version.missed_in_cache(looked + done.elapsed());
        served
    }

    fn count(&self, version: &Version, outcome: &str) {
        self.lookups.with_label_values(&[version.name(), version.version(), outcome]).inc();
    }

    fn keep(&self, key: Key, served: &Served) {
        let Served { version, answer, fallen, .. } = served;
        if fallen.is_some() {
            return;
        }
        let bytes = weight(answer);
        let refused = match bytes > self.max_answer_bytes {
            true => Some(TOO_LARGE),
            false => answer.timings.batch_variant.then_some(BATCH_VARIANT),
        };
        if let Some(reason) = refused {
            self.refused.with_label_values(&[version.name(), version.version(), reason]).inc();
            return;
        }
        self.answers.insert(key, Arc::clone(answer));
        if bytes >= WEIGHED_AT_ONCE {
            self.answers.run_pending_tasks();
        }
    }
}

fn weight(answer: &Answer) -> usize {
    ENTRY_BYTES + answer_bytes(answer) + size_of_val(answer.texts.as_slice())
}

/// The key of an input to a version.
fn key(version: &Version, input: &Input) -> Key {
    let mut hash = Sha256::new();
    text(&mut hash, version.name());
    text(&mut hash, version.version());
    // a version that is loaded again may be another model, whatever its files are called and which of them are hashed
    hash.update(version.local().map(|local| local.load().into_bytes()).unwrap_or_default());
    add_input(&mut hash, input);
    hash.finalize().into()
}

/// Everything is written with its length or its number before it, so that no two inputs read alike. The order of named
/// tensors says nothing and is left out; how they were sent (nested, flat, raw, compressed) is gone already.
fn add_input(hash: &mut Sha256, input: &Input) {
    match input {
        Input::Texts(texts) => {
            hash.update([0]);
            number(hash, texts.len());
            texts.iter().for_each(|one| text(hash, one));
        }
        Input::Pairs(pairs) => {
            hash.update([1]);
            number(hash, pairs.len());
            pairs.iter().flat_map(|(one, other)| [one, other]).for_each(|one| text(hash, one));
        }
        Input::Tensors(tensors) => {
            hash.update([2]);
            number(hash, tensors.len());
            let mut sorted: Vec<&Tensor> = tensors.iter().collect();
            sorted.sort_by_key(|tensor| tensor.name());
            sorted.into_iter().for_each(|tensor| add_tensor(hash, tensor));
        }
    }
}

fn add_tensor(hash: &mut Sha256, tensor: &Tensor) {
    text(hash, tensor.name());
    text(hash, tensor.data().datatype());
    number(hash, tensor.shape().len());
    tensor.shape().iter().for_each(|&size| number(hash, size));
    match tensor.data() {
        Data::Bytes(texts) => texts.iter().for_each(|one| text(hash, one)),
        // its length is the shape's
        numbers => hash.update(numbers.as_raw()),
    }
}

fn text(hash: &mut Sha256, text: &str) {
    number(hash, text.len());
    hash.update(text.as_bytes());
}

fn number(hash: &mut Sha256, number: usize) {
    hash.update((number as u64).to_le_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::oip::decode::testing::tensors;

    fn hashed(input: &Input) -> Key {
        let mut hash = Sha256::new();
        add_input(&mut hash, input);
        hash.finalize().into()
    }

    fn strings() -> impl Strategy<Value = Vec<String>> {
        proptest::collection::vec("[ab]{0,2}", 0..4)
    }

    proptest! {
        /// Texts of two letters, so that what reads alike when it is put together is likely: `["a", "b"]` and `["ab"]`.
        #[test]
        fn texts_share_a_key_only_if_they_are_the_same(one in strings(), other in strings()) {
            let (a, b) = (Input::Texts(one.clone()), Input::Texts(other.clone()));
            prop_assert_eq!(hashed(&a) == hashed(&b), one == other);
            let pairs = |texts: Vec<String>| Input::Pairs(texts.chunks(2).filter(|c| c.len() == 2).map(|c| (c[0].clone(), c[1].clone())).collect());
            let (pairs_a, pairs_b) = (pairs(one), pairs(other));
            prop_assert_eq!(hashed(&pairs_a) == hashed(&pairs_b), pairs_a == pairs_b);
            prop_assert!(hashed(&pairs_a) != hashed(&b));
        }

        #[test]
        fn tensors_share_a_key_only_if_they_are_the_same(one in tensors(), other in tensors()) {
            let same = |a: &Tensor, b: &Tensor| {
                let bytes = |t: &Tensor| match t.data() {
                    Data::Bytes(texts) => format!("{texts:?}").into_bytes(),
                    numbers => numbers.as_raw().to_vec(),
                };
                // by their bits: NaN is the same input as itself
                a.name() == b.name() && a.shape() == b.shape() && a.data().datatype() == b.data().datatype() && bytes(a) == bytes(b)
            };
            let of = |tensors: &[&Tensor]| hashed(&Input::Tensors(tensors.iter().map(|&t| t.clone()).collect()));
            prop_assert_eq!(of(&[&one]) == of(&[&other]), same(&one, &other));
            prop_assert!(of(&[&one]) != of(&[&one, &other]));
            if one.name() != other.name() {
                prop_assert_eq!(of(&[&one, &other]), of(&[&other, &one]));
            }
        }
    }

    #[test]
    fn the_same_numbers_in_another_shape_or_datatype_are_another_input() {
        let of = |shape: &[usize], data: Data| {
            hashed(&Input::Tensors(vec![Tensor::new("x", shape.to_vec(), data).unwrap()]))
        };
        let floats = || Data::Fp32(vec![0.0; 4]);
        let keys = [
            of(&[4], floats()),
            of(&[2, 2], floats()),
            of(&[4, 1], floats()),
            of(&[4], Data::Int32(vec![0; 4])),
            of(&[2], Data::Fp64(vec![0.0; 2])),
            of(&[4], Data::Fp32(vec![-0.0, 0.0, 0.0, 0.0])),
        ];
        let different: std::collections::BTreeSet<_> = keys.iter().collect();
        assert_eq!(different.len(), keys.len());
    }

    #[test]
    fn the_bound_holds_whatever_is_put_in() {
        let config = Config { max_bytes: 64 << 10, max_answer_bytes: 32 << 10, ttl: Duration::from_secs(60) };
        let registry = Registry::new();
        let cache = Cache::new(config, &registry);
        let output = Tensor::new("y", vec![5_000], Data::Fp32(vec![0.0; 5_000])).unwrap();
        let answer = Arc::new(Answer { outputs: vec![output], ..Answer::default() });
        for n in 0..100_u8 {
            cache.answers.insert([n; 32], Arc::clone(&answer));
            cache.publish();
            assert!(cache.answers.weighted_size() <= 64 << 10, "{} bytes", cache.answers.weighted_size());
        }
        let text = registry.render();
        assert!(text.contains("driftline_proxy_cache_answers 3"), "{text}");
        assert!(text.contains("driftline_proxy_cache_evictions_total{reason=\"size\"} 97"), "{text}");
    }

    #[test]
    fn faults_are_named() {
        let raw: RawCache =
            toml::from_str("enabled = true\nmax_bytes = 10\nmax_answer_bytes = 11\nttl = '0s'").unwrap();
        let mut faults = Faults::default();
        let _config = raw.check("proxy.cache", &mut faults);
        let text = faults.to_string();
        assert!(text.contains("proxy.cache.max_answer_bytes:") && text.contains("proxy.cache.ttl:"), "{text}");
        assert_eq!(RawCache::default().check("proxy.cache", &mut Faults::default()), None, "off unless turned on");
    }
}
