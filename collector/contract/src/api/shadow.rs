//! Shadows: how they are judged, and what a rollout controller reads of it.
//!
//! | path | body |
//! |---|---|
//! | `GET /api/v1/models/{model}/shadows/{shadow}/verdict` | [`VerdictAnswer`] |
//! | `POST /api/v1/models/{model}/shadows/{shadow}/gates/{gate}` | [`GateAnswer`]; the status is the answer: 200 or 409 |
//! | `POST /v1/models/{model}/verdict` at a proxy | [`ToldVerdict`]: the analyzer tells what it judged |
//!
//! Two forms, because controllers read two things: Argo Rollouts a value in a body, Flagger a status. Gates are
//! [`ShadowGate`]'s words. A version that was never compared is on `hold`: a controller may ask before the first pair.

use serde::{Deserialize, Serialize};

pub use super::guardrail::{Guardrail, GuardrailName, GuardrailState, PairedTest};

/// A shadow compared with its primary over all pairs so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShadowStatus {
    /// Model name.
    pub model: String,
    /// The primary's version.
    pub primary: String,
    /// The shadow's version.
    pub shadow: String,
    /// Pairs in which both answered.
    pub pairs: u64,
    /// Pairs that agree on the label.
    pub agreed: u64,
    /// Requests the shadow was offered and did not answer, errors and shed ones together.
    pub failed: u64,
    /// Of those the ones that were shed before the shadow saw them.
    #[serde(default)]
    pub shed: u64,
    /// Requests the shadow was offered.
    #[serde(default)]
    pub offered: u64,
    /// Pairs still needed for every guardrail to be proved, were the observed shares to stay; 0 where it is proved, `None`
    /// where more pairs alone will not prove it.
    #[serde(default)]
    pub pairs_needed: Option<u64>,
    /// Seconds between the first and the last comparison.
    #[serde(default)]
    pub seconds: u64,
    /// When this was counted; 0 from an older analyzer.
    #[serde(default)]
    pub judged_ms: i64,
    /// Observed agreement.
    pub agreement: Option<f64>,
    /// Wilson interval at 95 %, for display.
    pub wilson: Option<Interval>,
    /// Confidence sequence: valid at every look.
    pub sequence: Option<Interval>,
    /// Mean of shadow's run time over the primary's, for the same requests.
    pub latency_ratio: Option<f64>,
    /// Disagreements by label pair, most frequent first.
    pub flips: Vec<Flip>,
    /// Promote, hold or reject.
    pub verdict: ShadowVerdict,
    /// The verdict in one sentence.
    pub sentence: String,
    /// What is asked, one by one.
    #[serde(default)]
    pub guardrails: Vec<Guardrail>,
    /// Classical tests of the same pairs, as descriptions.
    #[serde(default)]
    pub tests: Vec<PairedTest>,
}

/// Two bounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower bound.
    pub lower: f64,
    /// Upper bound.
    pub upper: f64,
}

/// How often the primary said one thing and the shadow another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Flip {
    /// The primary's label.
    pub primary: String,
    /// The shadow's label.
    pub shadow: String,
    /// Pairs.
    pub pairs: u64,
}

/// What to do with a shadow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShadowVerdict {
    /// Every guardrail is proved.
    Promote,
    /// Not enough is known.
    Hold,
    /// Some guardrail is proved broken.
    Reject,
}

impl ShadowVerdict {
    /// All verdicts.
    pub const ALL: [Self; 3] = [Self::Promote, Self::Hold, Self::Reject];

    /// The word in labels and tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Promote => "promote",
            Self::Hold => "hold",
            Self::Reject => "reject",
        }
    }
}

/// A shadow's verdict with all that it rests on, for a rollout controller.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VerdictAnswer {
    /// Model name.
    pub model: String,
    /// The shadow's version.
    pub version: String,
    /// The version that answers, with which it is compared.
    pub primary: String,
    /// Promote, hold or reject.
    pub verdict: ShadowVerdict,
    /// Whether every guardrail is proved: `verdict` is `promote`.
    pub promote: bool,
    /// Whether a guardrail is proved broken: `verdict` is `reject`.
    pub reject: bool,
    /// The verdict in one sentence.
    pub sentence: String,
    /// When it was judged; milliseconds since the Unix epoch. `None` where it never was.
    pub judged_ms: Option<i64>,
    /// Agreement on labels.
    pub agreement: Agreement,
    /// Pairs.
    pub pairs: PairsSeen,
    /// Requests without an answer of the shadow.
    pub failures: Failures,
    /// Seconds between the first and the last comparison, and the least for a promotion.
    pub watched: Watched,
    /// Mean of the shadow's run time over the primary's, for the same requests.
    pub run_time_ratio: Option<f64>,
    /// Whether some stored answer of this version may depend on the others in its batch; a difference may then be no fault of
    /// the weights. `None` where it has no answers of its own stored (a shadow's are stored in pairs only).
    pub batch_variant: Option<bool>,
    /// The same of the primary.
    pub primary_batch_variant: Option<bool>,
    /// What is asked, one by one.
    pub guardrails: Vec<Guardrail>,
    /// Classical tests of the same pairs, as descriptions.
    pub tests: Vec<PairedTest>,
    /// By the primary's label, most frequent first, at most 64. For a look: each row holds alone, none decides.
    pub classes: Vec<ClassAgreement>,
}

/// Agreement with its bounds and what is asked of it, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Share of pairs that agree.
    pub observed: Option<f64>,
    /// Lower bound, valid at every look.
    pub lower: Option<f64>,
    /// Upper bound, valid at every look.
    pub upper: Option<f64>,
    /// What the lower bound has to reach.
    pub required: f64,
    /// Chance that the bounds are wrong at any time.
    pub alpha: f64,
}

/// Pairs seen and to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairsSeen {
    /// Pairs in which both answered.
    pub seen: u64,
    /// About how many more would prove every guardrail, were the observed shares to stay; `None` where more pairs alone will not.
    pub needed: Option<u64>,
    /// The least before a promotion.
    pub minimum: u64,
}

/// Requests that the shadow was offered and did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failures {
    /// Requests offered.
    pub offered: u64,
    /// Those on which it failed.
    pub errors: u64,
    /// Those shed before it saw them.
    pub shed: u64,
    /// Share of `errors` and `shed` in `offered`.
    pub ratio: Option<f64>,
    /// The largest share allowed.
    pub allowed: f64,
}

/// How long a shadow was compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watched {
    /// Seconds between the first and the last comparison.
    pub seconds: u64,
    /// The least before a promotion.
    pub minimum: u64,
}

/// Agreement where the primary said one label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassAgreement {
    /// The primary's label.
    pub label: String,
    /// Pairs.
    pub pairs: u64,
    /// Lower bound of the agreement, valid at every look.
    pub lower: Option<f64>,
    /// Upper bound of the agreement, valid at every look.
    pub upper: Option<f64>,
    /// Pairs of this label still needed to prove the agreement that is asked of all; `None` where more alone will not.
    pub needed: Option<u64>,
}

/// What a proxy is told of a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToldVerdict {
    /// The version that was judged.
    pub version: String,
    /// The verdict.
    pub verdict: ShadowVerdict,
    /// The primary that it was compared with; where another answers now, the verdict promotes nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub against: Option<String>,
    /// Why, for the journal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What a controller asks by status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShadowGate {
    /// Is it not rejected? While traffic is shifted.
    Advance,
    /// Is every guardrail proved? Before a promotion.
    Promote,
    /// Is a guardrail proved broken? For hooks that roll back on a yes.
    Rollback,
}

impl ShadowGate {
    /// All gates.
    pub const ALL: [Self; 3] = [Self::Advance, Self::Promote, Self::Rollback];

    /// The word in paths.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Advance => "advance",
            Self::Promote => "promote",
            Self::Rollback => "rollback",
        }
    }

    /// Reads the word back.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|gate| gate.as_str() == word)
    }

    /// The answer to it.
    #[must_use]
    pub const fn open(self, verdict: ShadowVerdict) -> bool {
        match self {
            Self::Advance => !matches!(verdict, ShadowVerdict::Reject),
            Self::Promote => matches!(verdict, ShadowVerdict::Promote),
            Self::Rollback => matches!(verdict, ShadowVerdict::Reject),
        }
    }
}

/// What a gate says beside its status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateAnswer {
    /// Which gate.
    pub gate: ShadowGate,
    /// Whether it is open, as the status says.
    pub open: bool,
    /// The verdict.
    pub verdict: ShadowVerdict,
    /// Why, in one sentence; Flagger logs it.
    pub sentence: String,
}
