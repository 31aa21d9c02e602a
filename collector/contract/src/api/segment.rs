//! Parts of the traffic judged apart, and which of them a drift comes from.
//!
//! | path | body |
//! |---|---|
//! | `GET /api/v1/models/{model}/segments?feature=…&limit=…` | [`Segments`] |

use serde::{Deserialize, Serialize};

use super::DriftState;

/// What a value of a segment adds to the shift of a feature, at the point where the shift is largest.
///
/// The shift is a difference of two shares of values, and the contributions of a segment's values add up to it
/// (Kitagawa 1955): `shift = sum of (within + mix)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cause {
    /// The segment, such as `text.language`.
    pub segment: String,
    /// Its value, such as `de`.
    pub value: String,
    /// What its own values moved: their mean weight times their own shift.
    pub within: f64,
    /// What it adds by being more or less frequent than it was.
    pub mix: f64,
    /// Its share of the reference.
    pub share_before: f64,
    /// Its share of the window.
    pub share_now: f64,
    /// Of its values in the reference, the share at the point; `None` where it had none.
    pub before: Option<f64>,
    /// Of its values in the window, the share at the point; `None` where it has none.
    pub now: Option<f64>,
}

impl Cause {
    /// Its part of the shift, signed: positive where more values are at the point than were.
    #[must_use]
    pub fn contribution(&self) -> f64 {
        self.within + self.mix
    }
}

/// The judgement of one feature among the items of one value of a segment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SegmentVerdict {
    /// The feature.
    pub feature: String,
    /// The segment.
    pub segment: String,
    /// Its value.
    pub value: String,
    /// The verdict.
    pub state: DriftState,
    /// Start of the judged span.
    pub window_start_ms: i64,
    /// End of the judged span.
    pub window_end_ms: i64,
    /// Values in the span.
    pub n: u64,
    /// Values needed for a verdict.
    pub needed: u64,
    /// Values in its reference.
    pub m: u64,
    /// Lower bound of the distance; for categories the largest difference of a share.
    pub ks_lower: Option<f64>,
    /// Upper bound of the distance.
    pub ks_upper: Option<f64>,
    /// Classical p-value of the lower bound.
    pub p_value: Option<f64>,
    /// Adjusted over all pairs of a feature and a value.
    pub q_value: Option<f64>,
    /// Evidence of more than the ignored shift since the last alarm, as a power of ten.
    pub evidence: Option<f64>,
    /// Whether it is on the list of discoveries over features and segments together (e-BH).
    pub discovery: bool,
    /// Smallest shift that its reference can show.
    pub visible: f64,
    /// Fingerprint of the baseline whose bins are counted.
    pub baseline: String,
    /// The verdict in one sentence.
    pub sentence: String,
}

/// The segments of a model after its last window.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Segments {
    /// Segments that the configuration names.
    pub named: Vec<String>,
    /// Those that have no reference yet.
    pub waiting: Vec<String>,
    /// Pairs of a feature and a value that are tested.
    pub tested: u64,
    /// Pairs that the bound on tests leaves out.
    pub untested: u64,
    /// Verdicts, loudest first.
    pub verdicts: Vec<SegmentVerdict>,
    /// What these verdicts promise, in words.
    pub guarantee: String,
}
