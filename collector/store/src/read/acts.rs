//! What was done with frozen references, written down so that it can be looked up who did what.

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use super::Reader;
use crate::Error;

/// What was done with a baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Frozen as a candidate, which is not judged against.
    Frozen,
    /// Put in force.
    Promoted,
    /// Put away.
    Retired,
    /// Looked through for features that traffic has beside it, once and for all. It says nothing of where the baseline stands.
    Completed,
}

impl Act {
    /// The word in the table. In one millisecond the later word of the alphabet holds, which is the order of a life.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Frozen => "frozen",
            Self::Promoted => "promoted",
            Self::Retired => "retired",
            Self::Completed => "completed",
        }
    }
}

/// An act as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct ActRow {
    /// Model name.
    pub model: String,
    /// Fingerprint of the baseline.
    pub fingerprint: String,
    /// When, milliseconds.
    pub at: i64,
    /// The word of an [`Act`].
    pub act: String,
    /// Name of the key or the part of the program that did it.
    pub who: String,
}

impl Reader {
    /// Writes an act down.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn insert_act(&self, row: &ActRow) -> Result<(), Error> {
        let insert = async {
            let mut insert = self.store.client().insert::<ActRow>("baseline_acts").await?;
            insert.write(row).await?;
            insert.end().await
        };
        self.store.bounded("writing down an act on a baseline", insert).await
    }
}
