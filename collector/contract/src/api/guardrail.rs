//! What is asked of a shadow, one by one, and what is known of each: proved, open, broken, or not asked.

use serde::{Deserialize, Serialize};

/// What is asked of a shadow, one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuardrailName {
    /// Share of pairs that agree: at least.
    Agreement,
    /// Share of requests that it failed or shed: at most.
    Failures,
    /// Run time over the primary's, geometric mean: at most.
    Slowdown,
    /// Share of runs beyond an objective's time, less the primary's: at most.
    SlowRuns,
    /// Fall of the mean confidence: at most.
    Confidence,
    /// Fall of accuracy by labels: at most.
    Accuracy,
    /// Rise of the Brier score by labels: at most.
    Brier,
    /// Pairs of the class that was seen least: at least.
    Classes,
}

impl GuardrailName {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Agreement,
        Self::Failures,
        Self::Slowdown,
        Self::SlowRuns,
        Self::Confidence,
        Self::Accuracy,
        Self::Brier,
        Self::Classes,
    ];

    /// The word in labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Agreement => "agreement",
            Self::Failures => "failures",
            Self::Slowdown => "slowdown",
            Self::SlowRuns => "slow_runs",
            Self::Confidence => "confidence",
            Self::Accuracy => "accuracy",
            Self::Brier => "brier",
            Self::Classes => "classes",
        }
    }
}

/// What is known of a guardrail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuardrailState {
    /// Proved to hold.
    Proved,
    /// Neither; a promotion waits for it.
    Open,
    /// Proved not to hold: the shadow is rejected.
    Broken,
    /// There is too little of it to be asked (labels): only a rejection may rest on it.
    Unasked,
}

impl GuardrailState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Proved, Self::Open, Self::Broken, Self::Unasked];

    /// The word in labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Proved => "proved",
            Self::Open => "open",
            Self::Broken => "broken",
            Self::Unasked => "unasked",
        }
    }
}

/// One thing that is asked of a shadow, and what is known of it. Bounds hold at every look.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Guardrail {
    /// What is asked.
    pub name: GuardrailName,
    /// Whether it holds.
    pub state: GuardrailState,
    /// Pairs (of failures: requests) in which it was measured.
    pub n: u64,
    /// The mean over them.
    pub observed: Option<f64>,
    /// Lower bound.
    pub lower: Option<f64>,
    /// Upper bound.
    pub upper: Option<f64>,
    /// What it must not cross.
    pub limit: f64,
    /// About how many more pairs would prove it, were the observed shares to stay; `None` where more alone will not.
    pub needed: Option<u64>,
    /// The same in words.
    pub sentence: String,
}

/// A classical test beside the verdict, which rests on none of them: it holds at one look only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairedTest {
    /// `mcnemar`, `tango`, `stuart_maxwell`, `bowker`.
    pub test: String,
    /// The statistic: discordant pairs in the smaller corner, z, or chi-square.
    pub statistic: f64,
    /// Degrees of freedom of a chi-square, else `None`.
    pub freedom: Option<u32>,
    /// Its p-value.
    pub p_value: f64,
    /// What it asks, in words.
    pub sentence: String,
}
