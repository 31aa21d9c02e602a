//! Frozen references over the API: what there is, what is in one, how far two are apart.
//!
//! | path | body |
//! |---|---|
//! | `GET /api/v1/models/{model}/baselines` | list of [`BaselineRecord`], the last touched first |
//! | `POST /api/v1/models/{model}/baselines` | [`FreezeRequest`] in, [`BaselineRecord`] out |
//! | `GET /api/v1/models/{model}/baselines/{fingerprint}` | [`BaselineShown`] |
//! | `GET /api/v1/models/{model}/baselines/{fingerprint}/compare/{other}` | [`BaselineComparison`] |
//! | `POST /api/v1/models/{model}/baselines/{fingerprint}/promote` | [`BaselineRecord`] |
//! | `POST /api/v1/models/{model}/baselines/{fingerprint}/retire` | [`BaselineRecord`] |
//!
//! A fingerprint may be shortened to its first digits, four at least, as long as they name one.

use serde::{Deserialize, Serialize};

use super::Distribution;

/// A frozen reference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaselineInfo {
    /// Model name.
    pub model: String,
    /// Version whose observations it was frozen from.
    pub version: String,
    /// SHA-256 over its contents, hex.
    pub fingerprint: String,
    /// When it was frozen.
    pub frozen_at_ms: i64,
    /// Features in it.
    pub features: u64,
    /// Observations it was frozen from (the largest count over features; of those that somebody chose, where there are any).
    pub observations: u64,
    /// Whether the first traffic made any of it.
    pub provisional: bool,
    /// So many of its features.
    #[serde(default)]
    pub provisional_features: u64,
    /// Fingerprint of the reference that somebody chose and that the first traffic added those features to; else empty.
    #[serde(default)]
    pub completes: String,
}

/// Freeze a reference from stored observations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FreezeBaseline {
    /// Model name.
    pub model: String,
    /// Start of the time range, inclusive.
    pub from_ms: i64,
    /// End of the time range, exclusive.
    pub to_ms: i64,
}

/// Where a baseline stands among those of its model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Windows are judged against it.
    InForce,
    /// Frozen and not promoted yet.
    Candidate,
    /// Was in force until another was promoted.
    Replaced,
    /// Put away by somebody.
    Retired,
}

impl Standing {
    /// The word in tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InForce => "in force",
            Self::Candidate => "candidate",
            Self::Replaced => "replaced",
            Self::Retired => "retired",
        }
    }
}

/// A baseline and where it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BaselineRecord {
    /// At a glance.
    #[serde(flatten)]
    pub info: BaselineInfo,
    /// Where it stands.
    pub standing: Standing,
    /// Since when.
    pub since_ms: i64,
    /// Smallest shift of a distribution function that it can show, over all its features; what it was not frozen for stays unseen.
    pub visible: f64,
}

/// A baseline in full.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BaselineShown {
    /// The baseline.
    #[serde(flatten)]
    pub record: BaselineRecord,
    /// Its features, outputs first.
    pub contents: Vec<FrozenFeature>,
}

/// The reference of one feature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FrozenFeature {
    /// Its name.
    pub feature: String,
    /// `numbers` or `categories`.
    pub kind: String,
    /// Values in it, missing ones and those that are no number included.
    pub values: u64,
    /// Of these without a value.
    pub missing: u64,
    /// Bins or names.
    pub bins: u64,
    /// Whether the first traffic made it, rather than somebody's choice.
    pub provisional: bool,
    /// Smallest shift that it can show.
    pub visible: f64,
    /// Drawn in a few bars; `current` is empty.
    pub distribution: Distribution,
}

/// Freeze stored observations: those of a time range, or the newest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FreezeRequest {
    /// Start of the range, inclusive.
    pub from_ms: Option<i64>,
    /// End of the range, exclusive.
    pub to_ms: Option<i64>,
    /// So many of the newest good observations; 0 stands for as many as make a provisional reference.
    pub newest: Option<u64>,
    /// Whether it is in force at once; else it is a candidate.
    pub promote: bool,
}

/// Two baselines of a model, feature by feature, the farthest apart first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BaselineComparison {
    /// Model name.
    pub model: String,
    /// Fingerprint of the first.
    pub first: String,
    /// Fingerprint of the second.
    pub second: String,
    /// Chance that any of `apart` is wrong.
    pub chance: f64,
    /// One entry a feature of either.
    pub features: Vec<FeatureDistance>,
}

/// How far two references of one feature are apart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeatureDistance {
    /// Its name.
    pub feature: String,
    /// The KS distance of the frozen samples is at least this (for categories the largest difference of a share); `None` where only one
    /// has the feature.
    pub lower: Option<f64>,
    /// And at most this.
    pub upper: Option<f64>,
    /// What the two samples may differ by chance.
    pub by_chance: Option<f64>,
    /// Whether they are of different distributions, beyond chance, or the second lacks it. What only the second has is new, and not apart.
    pub apart: bool,
    /// Where they differ most, in words.
    pub sentence: String,
}
