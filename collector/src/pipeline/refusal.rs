//! Why a post is not stored: a sentence for its sender, one variant per next action.

use crate::log::AppendError;

/// Why a post was not stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// It cannot be read: repair the sender.
    #[error("{0}")]
    Malformed(String),
    /// It is well-formed and says what cannot be: repair the sender.
    #[error("{0}")]
    Invalid(String),
    /// It is in a form that is not read: repair the sender.
    #[error("{0}")]
    Unsupported(String),
    /// Send it in parts.
    #[error("{0}")]
    TooLarge(String),
    /// It is too late for this batch: count it as lost.
    #[error("{0}")]
    TooOld(String),
    /// Send it again later.
    #[error("{reason}")]
    Later {
        /// Why not now.
        reason: String,
        /// When to try again.
        after_seconds: u32,
    },
}

impl Refusal {
    /// Not now, and why.
    pub(super) fn later(reason: impl Into<String>, after_seconds: u32) -> Self {
        Self::Later { reason: reason.into(), after_seconds }
    }
}

impl From<AppendError> for Refusal {
    fn from(error: AppendError) -> Self {
        let sentence = error.to_string();
        match error {
            AppendError::TooOld { .. } => Self::TooOld(sentence),
            AppendError::TooLarge => Self::TooLarge(sentence),
            AppendError::Busy => Self::later(sentence, 1),
            AppendError::Full(_) | AppendError::Disk(_) | AppendError::Stopping => Self::later(sentence, 5),
            AppendError::TooManySources => Self::later(sentence, 60),
        }
    }
}
