//! The analyzer's JSON API: what the page, `make smoke` and people with curl read.
//!
//! | path | body |
//! |---|---|
//! | `GET /api/v1/overview` | [`Overview`] |
//! | `GET /api/v1/models/{model}/features/{feature}` | [`FeatureDetail`] |
//! | `GET /api/v1/verdicts?model=…&limit=…` | list of [`FeatureVerdict`], newest first |
//! | `GET /api/v1/baselines` | list of [`BaselineInfo`] |
//! | `POST /api/v1/baselines` | [`FreezeBaseline`] in, [`BaselineInfo`] out |
//!
//! The routes of the page's single views are in [`page`], those of segments in [`segment`], those for rollout controllers in
//! [`shadow`], those that manage references in [`baseline`], the one that computes a verdict again in [`explain`].
//! Times are milliseconds since the Unix epoch; ratios are 0 to 1; absent numbers are `null`, never NaN.

pub mod baseline;
pub mod concept;
pub mod explain;
pub mod guardrail;
pub mod page;
pub mod quality;
pub mod segment;
pub mod shadow;

use serde::{Deserialize, Serialize};

pub use baseline::{BaselineInfo, FreezeBaseline};
pub use concept::{Concept, ConceptKind};
pub use segment::{Cause, SegmentVerdict, Segments};
pub use shadow::{Flip, Interval, ShadowStatus, ShadowVerdict};

/// Everything the first page shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Overview {
    /// When this was put together.
    pub at_ms: i64,
    /// Event time up to which windows are closed; `None` before the first heartbeat.
    pub watermark_ms: Option<i64>,
    /// One entry a model.
    pub models: Vec<ModelOverview>,
    /// One entry an SLO.
    pub slos: Vec<SloStatus>,
    /// State changes and deployments, newest first.
    pub events: Vec<Event>,
    /// Stored rows and sources.
    pub pipeline: Pipeline,
}

/// One model at a glance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelOverview {
    /// Model name.
    pub model: String,
    /// Version that answers.
    pub version: String,
    /// Worst state over its features.
    pub state: DriftState,
    /// The last minute's traffic.
    pub traffic: Traffic,
    /// Traffic by window, oldest first, for a sparkline.
    pub history: Vec<TrafficPoint>,
    /// Verdicts of the last window, outputs first, then by evidence.
    pub features: Vec<FeatureVerdict>,
    /// Confidence of the last window against the reference.
    pub confidence: Option<Distribution>,
    /// Mean confidence of the last window.
    pub confidence_mean: Option<f64>,
    /// Class mix of the last window and of the reference.
    pub classes: Vec<ClassShare>,
    /// Whether answers err otherwise than they did, apart from whether inputs moved; `None` before the first labels.
    #[serde(default)]
    pub concept: Option<Concept>,
    /// How far each embedding moved in the last window, as a description.
    #[serde(default)]
    pub embeddings: Vec<EmbeddingShift>,
    /// Shadows of this model.
    pub shadows: Vec<ShadowStatus>,
    /// The reference in force.
    pub baseline: Option<BaselineInfo>,
    /// What the drift verdict promises and what it assumes, in words.
    pub guarantee: String,
    /// What was found when the reference was replayed against itself; `None` until that has ended.
    #[serde(default)]
    pub reference_replay: Option<ReferenceReplay>,
    /// What verdicts wait for, and whether waiting helps; `None` where every feature is judged.
    #[serde(default)]
    pub waiting: Option<String>,
}

/// Windows drawn from a reference and judged against it by the live configuration: every alarm is a false one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReferenceReplay {
    /// Windows.
    pub windows: u64,
    /// Values of each feature in each.
    pub n: u64,
    /// False alarms found.
    pub alarms: u64,
    /// Upper bound of false alarms a window, by this finding.
    pub rate_at_most: f64,
    /// Most false alarms a window that the guarantee allows on average.
    pub promised: f64,
}

/// Traffic of a span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Traffic {
    /// Requests a second.
    pub requests_per_second: f64,
    /// Share of counted requests that were bad.
    pub bad_ratio: Option<f64>,
    /// Median latency in milliseconds.
    pub p50_ms: Option<f64>,
    /// 95th percentile in milliseconds.
    pub p95_ms: Option<f64>,
    /// 99th percentile in milliseconds.
    pub p99_ms: Option<f64>,
}

/// Traffic of one window.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrafficPoint {
    /// Start of the window.
    pub at_ms: i64,
    /// Its traffic.
    #[serde(flatten)]
    pub traffic: Traffic,
}

/// State of a drift verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DriftState {
    /// No drift beyond what the user ignores.
    Stable,
    /// Was drifted, is no more.
    Resolved,
    /// Too little data to say anything.
    Insufficient,
    /// Classical tests point at a change; the guarantee does not cover it yet.
    Watch,
    /// Drifted by more than the user ignores.
    Drifted,
}

impl DriftState {
    /// All states.
    pub const ALL: [Self; 5] = [Self::Stable, Self::Resolved, Self::Insufficient, Self::Watch, Self::Drifted];

    /// The word in labels and tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Resolved => "resolved",
            Self::Insufficient => "insufficient",
            Self::Watch => "watch",
            Self::Drifted => "drifted",
        }
    }

    /// Reads the word back.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == word)
    }
}

/// The judgement of one feature in one window, with its evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeatureVerdict {
    /// Its name, see [`explain::verdict_id`].
    #[serde(default)]
    pub id: String,
    /// Model name.
    pub model: String,
    /// Version judged.
    pub version: String,
    /// Feature name.
    pub feature: String,
    /// The verdict.
    pub state: DriftState,
    /// Start of the judged window.
    pub window_start_ms: i64,
    /// End of the judged window.
    pub window_end_ms: i64,
    /// Values in the window.
    pub n: u64,
    /// Values needed for a verdict.
    pub needed: u64,
    /// Values in the reference.
    pub m: u64,
    /// Lower bound of the exact KS distance (for categories: largest difference of a share).
    pub ks_lower: Option<f64>,
    /// Upper bound of the exact KS distance.
    pub ks_upper: Option<f64>,
    /// Classical p-value of the lower bound.
    pub p_value: Option<f64>,
    /// Adjusted over the model's features (Benjamini-Hochberg).
    pub q_value: Option<f64>,
    /// Population stability index over merged bins.
    pub psi: Option<f64>,
    /// Evidence against "moved by at most `delta`" over all windows since the last alarm, as a power of ten.
    #[serde(default)]
    pub evidence: Option<f64>,
    /// The evidence at which an alarm is raised, as a power of ten: the mean over the model's features has to reach it.
    #[serde(default)]
    pub evidence_needed: Option<f64>,
    /// Whether the feature is a discovery since the reference was frozen (e-BH, as a share of false ones at any time).
    #[serde(default)]
    pub discovery: bool,
    /// Lag-1 autocorrelation of windows, as measured; the evidence assumes about 0.
    #[serde(default)]
    pub autocorrelation: Option<f64>,
    /// Independent values that one value was worth, as measured; the evidence assumes about 1.
    #[serde(default)]
    pub worth: Option<f64>,
    /// CDF shift that the user ignores.
    pub delta: f64,
    /// What the lower bound has to exceed for a `drifted` verdict from this window alone.
    pub threshold: Option<f64>,
    /// Smallest CDF shift that this reference can show.
    pub visible: f64,
    /// Fingerprint of the reference.
    pub baseline: String,
    /// Values that are none (missing, not a number, of another type, never seen) with their shares, where there are any.
    #[serde(default)]
    pub unusual: Vec<Unusual>,
    /// Values of segments that the shift comes from, most first; empty where nothing moved or no segment is named.
    #[serde(default)]
    pub causes: Vec<Cause>,
    /// The verdict in one sentence.
    pub sentence: String,
}

/// Fréchet distance of an embedding's stored projections to those of its reference, each taken as a normal law.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EmbeddingShift {
    /// The embedding, without its projections.
    pub embedding: String,
    /// Items in the window.
    pub n: u64,
    /// Items in the reference.
    pub m: u64,
    /// The distance, in the projections' unit.
    pub distance: f64,
    /// Its square's part of the means.
    pub means: f64,
    /// Its square's part of the covariances.
    pub covariances: f64,
    /// What the part of the means is on average where nothing moved.
    pub means_by_chance: f64,
    /// The description in one sentence.
    pub sentence: String,
}

/// A kind of values that are none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unusual {
    /// Which kind.
    pub what: String,
    /// Their share of the reference.
    pub before: f64,
    /// Their share of the window.
    pub now: f64,
}

/// A distribution in bins, of the reference and of the window.
///
/// Where nearly all of a reference is one number, there is no scale to draw bins to: then `edges` holds that number alone, and
/// `names` says what lies below it, at it and above it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    /// Bin boundaries, one more than bins; for categories empty.
    pub edges: Vec<f64>,
    /// Bin names; for numbers empty.
    pub names: Vec<String>,
    /// Share of the reference in each bin.
    pub reference: Vec<f64>,
    /// Share of the window in each bin.
    pub current: Vec<f64>,
}

/// One feature in full.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeatureDetail {
    /// The newest verdict.
    pub verdict: FeatureVerdict,
    /// Reference and window drawn over each other.
    pub distribution: Distribution,
    /// Earlier verdicts, oldest first.
    pub history: Vec<FeatureVerdict>,
    /// The same feature among the items of each value of the named segments, loudest first.
    #[serde(default)]
    pub segments: Vec<SegmentVerdict>,
    /// How far segments are judged; `None` where none are named for the model.
    #[serde(default)]
    pub parts: Option<Parts>,
}

/// How far a feature is judged by segment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parts {
    /// Verdicts on it there are; the first of them are in the answer.
    pub judged: u64,
    /// Segments whose reference is still gathered.
    pub waiting: Vec<String>,
}

/// Share of one class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassShare {
    /// The label.
    pub label: String,
    /// Share in the reference.
    pub reference: Option<f64>,
    /// Share in the last window.
    pub current: Option<f64>,
}

/// An SLO's budget and burn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SloStatus {
    /// Name in the SLO file.
    pub slo: String,
    /// What it promises.
    pub description: String,
    /// The model.
    pub model: String,
    /// Percent of good events promised.
    pub objective: f64,
    /// Events in the period.
    pub events: u64,
    /// Bad events in the period.
    pub bad: u64,
    /// Share of the budget that is left; `None` without events.
    pub budget_remaining: Option<f64>,
    /// Burn rates, one a window, shortest first.
    pub burn: Vec<Burn>,
}

/// Burn rate of one window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Burn {
    /// Window name (`1h`), before any scaling.
    pub window: String,
    /// Budget burn rate: 1 spends the budget exactly in the period. `None` without events.
    pub rate: Option<f64>,
    /// What the rate is at least, given how little was counted: the lower end of Wilson's interval, 0 below three bad
    /// events. An alert asks it of the long window. `None` without events.
    pub floor: Option<f64>,
    /// The factor at which it alerts.
    pub factor: f64,
}

/// A change worth drawing on a time line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at_ms: i64,
    /// `drift`, `shadow`, `deployment`, `baseline`, …
    pub kind: String,
    /// Model name; empty when it concerns none.
    pub model: String,
    /// Version; empty when it concerns none.
    pub version: String,
    /// One sentence.
    pub text: String,
}

/// What is stored and who sends.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pipeline {
    /// Rows in `observations`.
    pub observations: u64,
    /// Rows in `payloads`.
    pub payloads: u64,
    /// Labels stored.
    pub labels: u64,
    /// Requests of the last day that named no model that exists.
    #[serde(default)]
    pub unnamed: u64,
    /// Sources and their ledgers.
    pub sources: Vec<Source>,
}

/// One sender.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// Its name.
    pub source: String,
    /// Its last heartbeat.
    pub heartbeat_ms: i64,
    /// Whether it sends heartbeats, so that its silence is news; whoever posts single observations promises none.
    pub expected: bool,
    /// Its ledger as of then.
    pub ledger: crate::wire::Ledger,
}
