//! What the web page asks beside the overview: everything that has a time range, a filter or a limit.
//!
//! | path | body |
//! |---|---|
//! | `GET /api/v1/glance` | [`Glance`] |
//! | `GET /api/v1/stream` | the same as server-sent events named `glance`, one a cycle |
//! | `GET /api/v1/models/{model}?match=…&state=…&limit=…` | [`ModelPage`] |
//! | `GET /api/v1/models/{model}/traffic?from_ms=…&to_ms=…` | [`TrafficRange`] |
//! | `GET /api/v1/models/{model}/heat?from_ms=…&to_ms=…` | [`Heat`] |
//! | `GET /api/v1/models/{model}/evidence/{feature}?from_ms=…&to_ms=…` | list of [`super::FeatureVerdict`], oldest first |
//! | `GET /api/v1/models/{model}/confidence?from_ms=…&to_ms=…` | [`ConfidenceRange`] |
//! | `GET /api/v1/models/{model}/shadows/{shadow}` | [`ShadowPage`] |
//! | `GET /api/v1/slos/{slo}` | [`SloPage`] |
//! | `GET /api/v1/samples?model=…&outcome=…&label=…&match=…&confidence_max=…&before_ms=…&limit=…` | list of [`Sample`], newest first |
//! | `GET /api/v1/events?model=…&kind=…&from_ms=…&to_ms=…&limit=…` | list of [`super::Event`], newest first |
//!
//! A range is cut into at most a few hundred steps, however long it is; without one, the last hour is meant.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    BaselineInfo, DriftState, Event, ModelOverview, Pipeline, ShadowStatus, ShadowVerdict, SloStatus, Traffic,
    TrafficPoint,
};

/// All models in a few kilobytes, whatever they have of features: the overview without its verdicts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Glance {
    /// When this was put together: the last cycle that succeeded.
    pub at_ms: i64,
    /// When this was sent, by the same clock. Long after `at_ms`, cycles fail and everything here is old.
    pub sent_ms: i64,
    /// Event time up to which windows are closed.
    pub watermark_ms: Option<i64>,
    /// One entry a model.
    pub models: Vec<ModelGlance>,
    /// One entry an SLO.
    pub slos: Vec<SloStatus>,
    /// The newest events.
    pub events: Vec<Event>,
    /// Stored rows and sources.
    pub pipeline: Pipeline,
}

/// One model in the overview.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelGlance {
    /// Model name.
    pub model: String,
    /// Version that answers.
    pub version: String,
    /// Worst state over its features.
    pub state: DriftState,
    /// Features by state; states without any are left out.
    pub states: BTreeMap<DriftState, u64>,
    /// The loudest features, those that moved or are watched, most evidence first.
    pub loudest: Vec<String>,
    /// The last minute's traffic.
    pub traffic: Traffic,
    /// Requests a second by window, oldest first.
    pub requests: Vec<f64>,
    /// Mean confidence of the last window.
    pub confidence_mean: Option<f64>,
    /// Shadows of this model.
    pub shadows: Vec<ShadowGlance>,
    /// The reference in force.
    pub baseline: Option<BaselineInfo>,
    /// End of the last judged window.
    pub judged_ms: Option<i64>,
    /// See [`ModelOverview::waiting`].
    #[serde(default)]
    pub waiting: Option<String>,
}

/// A shadow in the overview.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShadowGlance {
    /// The shadow's version.
    pub shadow: String,
    /// Pairs in which both answered.
    pub pairs: u64,
    /// Observed agreement.
    pub agreement: Option<f64>,
    /// Promote, hold or reject.
    pub verdict: ShadowVerdict,
}

/// A model with those of its features that were asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelPage {
    /// The model; `features` holds the first that match.
    #[serde(flatten)]
    pub overview: ModelOverview,
    /// Features that match.
    pub matching: u64,
    /// All features by state.
    pub states: BTreeMap<DriftState, u64>,
}

/// Traffic of a range.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrafficRange {
    /// Length of a step.
    pub step_ms: i64,
    /// Every step of the range, oldest first; one without requests is at 0.
    pub points: Vec<TrafficPoint>,
    /// Deployments and other events of the model in the range, oldest first.
    pub events: Vec<Event>,
}

/// Verdicts of a range by feature and time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Heat {
    /// Start of the first step.
    pub from_ms: i64,
    /// Length of a step.
    pub step_ms: i64,
    /// Steps.
    pub steps: u32,
    /// The loudest features of the range, loudest first.
    pub rows: Vec<HeatRow>,
}

/// One feature of a heat map.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeatRow {
    /// The feature.
    pub feature: String,
    /// Steps with a verdict, oldest first.
    pub cells: Vec<HeatCell>,
}

/// The worst of one feature in one step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeatCell {
    /// Number of the step, from 0.
    pub step: u32,
    /// Its worst state.
    pub state: DriftState,
    /// Its largest lower bound of the distance.
    pub ks_lower: Option<f64>,
}

/// Confidence of a range, and how far it can be believed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConfidenceRange {
    /// Length of a step.
    pub step_ms: i64,
    /// Steps with answers, oldest first.
    pub points: Vec<ConfidencePoint>,
    /// Confidence against truth, of answers in the range that have a label; bins without any are left out.
    pub reliability: Vec<ReliabilityBin>,
    /// Answers with a label.
    pub labelled: u64,
    /// Expected calibration error over the bins (Naeini et al. 2015); `None` without labels.
    pub calibration_error: Option<f64>,
}

/// Confidence of one step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConfidencePoint {
    /// Start of the step.
    pub at_ms: i64,
    /// Answers with a confidence.
    pub answers: u64,
    /// Mean.
    pub mean: f64,
    /// 5th percentile.
    pub p05: f64,
    /// Median.
    pub p50: f64,
    /// Share below the model's floor.
    pub low: f64,
}

/// Answers of about the same confidence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityBin {
    /// Answers with a label.
    pub n: u64,
    /// Their mean confidence.
    pub confidence: f64,
    /// Share of them that were right.
    pub accuracy: f64,
}

/// An SLO over its period.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SloPage {
    /// As in the overview.
    pub status: SloStatus,
    /// Length of the period.
    pub period_ms: i64,
    /// What was left of the period's budget at each time, oldest first; empty without events.
    pub points: Vec<BudgetPoint>,
    /// When the budget ends if it goes on burning as in the window named; `None` where it does not burn, or is spent.
    pub exhausted_ms: Option<i64>,
    /// The window that the projection reads.
    pub projected_from: Option<String>,
}

/// A budget at a time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BudgetPoint {
    /// When.
    pub at_ms: i64,
    /// Share of the whole period's budget that was left.
    pub remaining: f64,
}

/// A shadow in full.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShadowPage {
    /// As in the overview.
    pub status: ShadowStatus,
    /// Agreement that has to be proved.
    pub agreement_min: f64,
    /// Agreement and its bounds as they were known at each time, oldest first.
    pub points: Vec<AgreementPoint>,
    /// Disagreements that were sampled, newest first, masked.
    pub disagreements: Vec<Disagreement>,
}

/// What was known of an agreement at a time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgreementPoint {
    /// When.
    pub at_ms: i64,
    /// Pairs until then.
    pub pairs: u64,
    /// Agreement until then.
    pub agreement: f64,
    /// Lower bound of the confidence sequence.
    pub lower: f64,
    /// Upper bound of the confidence sequence.
    pub upper: f64,
}

/// An input on which primary and shadow disagree.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Disagreement {
    /// The observation.
    pub id: String,
    /// When it arrived.
    pub at_ms: i64,
    /// The primary's label.
    pub primary: String,
    /// The shadow's label.
    pub shadow: String,
    /// The primary's confidence.
    pub primary_confidence: f64,
    /// The shadow's confidence.
    pub shadow_confidence: f64,
    /// The masked input; empty where none was stored.
    pub input: String,
}

/// A stored sample, masked before it was stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The observation.
    pub id: String,
    /// When it arrived.
    pub at_ms: i64,
    /// Model name.
    pub model: String,
    /// Version that answered.
    pub version: String,
    /// How it ended.
    pub outcome: String,
    /// Why it ended so; empty where it ended well.
    pub reason: String,
    /// The label; empty where there is none.
    pub label: String,
    /// Confidence in it.
    pub confidence: Option<f64>,
    /// Wall time in milliseconds.
    pub total_ms: f64,
    /// The masked input.
    pub input: String,
    /// The masked output.
    pub output: String,
    /// Chance with which it was kept.
    pub inclusion_probability: f64,
}
