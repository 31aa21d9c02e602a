//! A stored verdict computed again: each number beside the stored one.
//!
//! | path | body |
//! |---|---|
//! | `GET /api/v1/verdicts/{id}/explain` | [`Explanation`] |

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::DriftState;

/// A verdict's name: the end of its window, its model, its feature.
#[must_use]
pub fn verdict_id(window_end_ms: i64, model: &str, feature: &str) -> String {
    format!("{window_end_ms}@{model}@{feature}")
}

/// The end of the window in a verdict's name, and `model@feature`; `None` where it is no such name.
#[must_use]
pub fn parse_verdict_id(id: &str) -> Option<(i64, &str)> {
    let (end_ms, named) = id.split_once('@')?;
    let end_ms = end_ms.parse().ok().filter(|end_ms| (0..=4_102_444_800_000).contains(end_ms))?;
    named.contains('@').then_some((end_ms, named))
}

/// What came of computing a verdict again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The verdict's name, see [`verdict_id`].
    pub id: String,
    /// Model name.
    pub model: String,
    /// Feature name.
    pub feature: String,
    /// Start of the judged span.
    pub window_start_ms: i64,
    /// Its end.
    pub window_end_ms: i64,
    /// The stored verdict.
    pub state: DriftState,
    /// Fingerprint of the reference.
    pub baseline: String,
    /// Whether everything that could be computed again is equal, to the bit.
    pub equal: bool,
    /// What can no longer be computed, and why.
    pub gone: Vec<String>,
    /// Every number and word of the verdict.
    pub figures: Vec<Figure>,
}

/// One number or word of a verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// Its name, as in the API's verdicts.
    pub name: String,
    /// As it is stored.
    pub stored: Value,
    /// As it comes out now; `None` where what it is computed from is gone.
    pub computed: Option<Value>,
    /// Whether the two are the same.
    pub equal: Option<bool>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_what_was_judged() {
        let id = verdict_id(1_700_000_000_000, "m", "input.a@b");
        assert_eq!(parse_verdict_id(&id), Some((1_700_000_000_000, "m@input.a@b")));
        for wrong in ["", "m@f", "1@m", "-1@m@f", "9999999999999999@m@f"] {
            assert_eq!(parse_verdict_id(wrong), None, "{wrong}");
        }
    }
}
