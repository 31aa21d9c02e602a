//! Feedback on answers: what a person or a system did with one, by the request's id, possibly weeks later.
//!
//! `POST /v1/outcomes` carries [`Outcomes`], or a single [`Feedback`] on one curl line. A click, an accepted draft, an
//! escalation, a complaint, a rating: named by whoever sends, true or false or a number.

use serde::{Deserialize, Serialize};

/// Where feedback is posted.
pub const OUTCOMES_PATH: &str = "/v1/outcomes";

/// What came of one answer; a later one for the same (id, item, name) corrects the earlier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feedback {
    /// The observation's id.
    pub id: uuid::Uuid,
    /// Which item of the request, from 0.
    #[serde(default)]
    pub item: u32,
    /// What it is: `click`, `accept`, `escalate`, `complaint`, `rating`.
    pub name: String,
    /// Whether, or how much.
    pub value: FeedbackValue,
    /// When it happened, milliseconds since the Unix epoch; the time of arrival when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_ms: Option<i64>,
}

/// Whether, or how much.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FeedbackValue {
    /// It happened, or did not.
    Boolean(bool),
    /// A finite number.
    Number(f64),
}

impl FeedbackValue {
    /// As a number: false is 0 and true is 1, so that a mean of them is a rate.
    #[must_use]
    pub fn number(self) -> f64 {
        match self {
            Self::Boolean(yes) => f64::from(u8::from(yes)),
            Self::Number(x) => x,
        }
    }
}

/// The body of `POST /v1/outcomes`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcomes {
    /// The feedback.
    pub outcomes: Vec<Feedback>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans_and_numbers_stay_apart_in_both_forms() {
        let line =
            |value: &str| format!(r#"{{"id":"01890000-0000-7000-8000-000000000001","name":"click","value":{value}}}"#);
        for (value, expected) in [
            ("true", FeedbackValue::Boolean(true)),
            ("1", FeedbackValue::Number(1.0)),
            ("-2.5", FeedbackValue::Number(-2.5)),
        ] {
            let read: Feedback = serde_json::from_str(&line(value)).expect("reads");
            let packed = rmp_serde::to_vec_named(&read).expect("packs");
            for read in [rmp_serde::from_slice(&packed).expect("unpacks"), read] {
                assert_eq!(read.value, expected);
            }
        }
        assert!(serde_json::from_str::<Feedback>(&line("\"yes\"")).is_err());
    }
}
