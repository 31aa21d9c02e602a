//! What is posted: observations as the proxy makes them for a text classifier, from a seed.

use std::time::{SystemTime, UNIX_EPOCH};

use contract::wire::{
    Batch, Content, Feature, FeatureValue, Ledger, Observation, Outcome, Payload, Prediction, Timings, WIRE_VERSION,
};
use uuid::Uuid;

/// Words of tickets; nothing in them is personal.
const WORDS: [&str; 24] = [
    "the",
    "invoice",
    "was",
    "charged",
    "twice",
    "and",
    "my",
    "account",
    "shows",
    "an",
    "error",
    "after",
    "login",
    "please",
    "check",
    "why",
    "export",
    "fails",
    "with",
    "large",
    "files",
    "since",
    "yesterday",
    "morning",
];

/// Numbers that look random and are the same for the same seed: xorshift64*, see Vigna, "An experimental exploration of
/// Marsaglia's xorshift generators".
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// From a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// The next number.
    pub const fn next_u64(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below `n`, which is not 0.
    pub const fn below(&mut self, n: u64) -> u64 {
        (self.next_u64() >> 32) % n
    }

    /// A number in [0, 1).
    pub fn unit(&mut self) -> f64 {
        self.below(1 << 30) as f64 / f64::from(1_u32 << 30)
    }
}

/// Milliseconds since the Unix epoch.
#[must_use]
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A text of so many bytes.
pub fn text(random: &mut Random, bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 16);
    while text.len() < bytes {
        text.push_str(WORDS[random.below(WORDS.len() as u64) as usize]);
        text.push(' ');
    }
    text.truncate(bytes);
    text
}

/// One classified text with its features, its prediction and its content.
pub fn observation(random: &mut Random, model: &str, bytes: usize) -> Observation {
    let feature = |name: &str, value| Feature { name: name.to_owned(), item: 0, value };
    let confidence = 0.5 + random.unit() / 2.0;
    let content = text(random, bytes);
    Observation {
        id: Uuid::now_v7(),
        trace_id: Some(format!("{:016x}{:016x}", random.next_u64() | 1, random.next_u64())),
        at_ms: now_ms(),
        model: model.to_owned(),
        version: "1".to_owned(),
        route: "predict".to_owned(),
        outcome: Outcome::Ok,
        code: 200,
        reason: None,
        client: None,
        timings: Timings {
            total_us: 1000 + random.below(9000),
            tokenize_us: random.below(100),
            queue_us: random.below(500),
            infer_us: random.below(5000),
            batch_size: 8,
            ..Timings::default()
        },
        items: 1,
        features: vec![
            feature("text.chars", FeatureValue::Number(bytes as f64)),
            feature("text.tokens", FeatureValue::Number((bytes / 5) as f64)),
            feature("output.confidence", FeatureValue::Number(confidence)),
            feature("output.label", FeatureValue::Category("billing".to_owned())),
        ],
        predictions: vec![Prediction { label: "billing".to_owned(), confidence, margin: 0.1, entropy: 0.3 }],
        shadows: Vec::new(),
        payload: Payload::Kept(Content {
            input: serde_json::json!({ "text": content }),
            output: serde_json::json!({ "label": "billing" }),
            inclusion_probability: 1.0,
        }),
    }
}

/// A numbered batch of them.
#[must_use]
pub fn batch(source: &str, epoch: u64, seq: u64, observations: Vec<Observation>) -> Batch {
    let delivered = observations.len() as u64;
    Batch {
        wire: WIRE_VERSION,
        source: source.to_owned(),
        epoch,
        seq,
        sent_at_ms: now_ms(),
        ledger: Ledger { observed: delivered, delivered, dropped: 0, in_flight: 0 },
        observations,
    }
}
