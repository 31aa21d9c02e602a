//! Concept drift, named apart from input drift: whether answers err otherwise than they did, given what is true.

use serde::{Deserialize, Serialize};

use super::SegmentVerdict;

/// What changed: the inputs, what they mean, the mix of classes, several of these, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConceptKind {
    /// Too few labels to say.
    Insufficient,
    /// No input is seen to move, and answers err as they did.
    Stable,
    /// Inputs moved, and answers err as they did.
    Input,
    /// Classes came to be more or less frequent, which moves the error of the whole; each errs as it did.
    Mix,
    /// Answers err otherwise though inputs did not move: what an input means has changed.
    Concept,
    /// Inputs moved and answers err otherwise: the one may follow from the other.
    Both,
    /// Answers err otherwise, and whether inputs moved is not known: too little data of them, or none are judged.
    Errors,
}

impl ConceptKind {
    /// All kinds; boards number them in this order.
    pub const ALL: [Self; 7] =
        [Self::Insufficient, Self::Stable, Self::Input, Self::Concept, Self::Both, Self::Mix, Self::Errors];

    /// The word in labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Insufficient => "insufficient",
            Self::Stable => "stable",
            Self::Input => "input",
            Self::Mix => "mix",
            Self::Concept => "concept",
            Self::Both => "both",
            Self::Errors => "errors",
        }
    }

    /// Whether answers err otherwise than they did.
    #[must_use]
    pub const fn is_of_errors(self) -> bool {
        matches!(self, Self::Concept | Self::Both | Self::Errors)
    }
}

/// The verdict on a model's errors after its last window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Concept {
    /// What changed.
    pub kind: ConceptKind,
    /// The version whose answers are judged; another version is held against labels of its own.
    #[serde(default)]
    pub version: String,
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
