//! How far a shadow's answer lies from the primary's where there are no classes to agree on.

use serde::{Deserialize, Serialize};

/// How far two answers to one item are apart: differences alone, never the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Gap {
    /// Of numbers: the element that differs most.
    Number {
        /// `|a - b|`, in the unit of the answer.
        absolute: f64,
        /// `|a - b| / max(|a|, |b|)`, 0 to 2.
        relative: f64,
    },
    /// Of vectors in a space.
    Vector {
        /// One less the cosine, 0 to 2.
        distance: f64,
    },
    /// They cannot be compared: another shape, or no finite numbers.
    Shape,
}

impl Gap {
    /// What was compared, the absolute and the relative gap: as they are stored. What has another shape is farther than
    /// anything may be.
    #[must_use]
    pub const fn stored(self) -> (&'static str, f64, f64) {
        match self {
            Self::Number { absolute, relative } => ("number", absolute, relative),
            Self::Vector { distance } => ("vector", distance, distance),
            Self::Shape => ("shape", f64::MAX, f64::MAX),
        }
    }
}
