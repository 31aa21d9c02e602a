//! Concept drift, named apart from input drift: whether answers err otherwise than they did, given what is true.

use serde::{Deserialize, Serialize};

use super::SegmentVerdict;

/// What changed: the inputs, what they mean, both, or neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConceptKind {
    /// Too few labels to say.
    Insufficient,
    /// Neither inputs nor errors moved.
    Stable,
    /// Inputs moved, and answers err as they did.
    Input,
    /// Answers err otherwise though inputs did not move: what an input means has changed.
    Concept,
    /// Inputs moved and answers err otherwise: the one may follow from the other.
    Both,
}

impl ConceptKind {
    /// All kinds.
    pub const ALL: [Self; 5] = [Self::Insufficient, Self::Stable, Self::Input, Self::Concept, Self::Both];

    /// The word in labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Insufficient => "insufficient",
            Self::Stable => "stable",
            Self::Input => "input",
            Self::Concept => "concept",
            Self::Both => "both",
        }
    }

    /// Whether answers err otherwise than they did.
    #[must_use]
    pub const fn is_of_errors(self) -> bool {
        matches!(self, Self::Concept | Self::Both)
    }
}

/// The verdict on a model's errors after its last window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Concept {
    /// What changed.
    pub kind: ConceptKind,
    /// Labelled answers that are the reference.
    pub reference: u64,
    /// Share of them that was wrong.
    pub error_before: Option<f64>,
    /// Labelled answers judged.
    pub labelled: u64,
    /// Share of them that was wrong.
    pub error_now: Option<f64>,
    /// The whole, and each class by what the label says: the error given the label does not move when classes only become more
    /// or less frequent.
    pub parts: Vec<SegmentVerdict>,
    /// The verdict in one sentence.
    pub sentence: String,
}
