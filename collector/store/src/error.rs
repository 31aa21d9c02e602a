//! What can go wrong between us and ClickHouse, one variant per next action of the caller.

use std::path::PathBuf;

/// Why a request to ClickHouse gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No definite answer came: it may or may not have been done. Try again later, and look before repeating a write.
    #[error("ClickHouse at {url} gave no answer: {reason}; is it running?")]
    Unavailable {
        /// Where it was asked.
        url: String,
        /// What the network said.
        reason: String,
    },
    /// ClickHouse answered that it did not do it.
    #[error("ClickHouse refused (code {}): {message}", code.map_or_else(|| "unknown".to_owned(), |c| c.to_string()))]
    Refused {
        /// Its error code, see `system.errors`; `None` where it gave none.
        code: Option<u32>,
        /// Its sentence.
        message: String,
    },
    /// The answer is not of the shape that was asked for: a fault of ours or a foreign schema.
    #[error("ClickHouse's answer to {asked} cannot be read: {reason}")]
    Malformed {
        /// What was asked.
        asked: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// The embedded engine has left no address: it does not run.
    #[error("no embedded engine is running: {} is absent; start `driftline up`, or set store.url", path.display())]
    NoEngine {
        /// The file that a running engine writes.
        path: PathBuf,
    },
    /// A file that the connection needs cannot be used.
    #[error("{} cannot be read: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The tables of one server are asked for as those of a cluster, or the reverse: a person has to look.
    #[error("the tables were made {}; {}", if *made_single { "for one server" } else { "for a cluster" },
        if *made_single { "store.cluster needs another store.database, into which rows may be copied" }
        else { "set store.cluster, or use another store.database" })]
    Layout {
        /// Whether they are those of one server.
        made_single: bool,
    },
    /// The database was migrated by other files than ours: a person has to look.
    #[error("migration {number} ({name}) {problem}")]
    Migration {
        /// Its number.
        number: u32,
        /// Its name.
        name: String,
        /// What is wrong, and what to do.
        problem: String,
    },
}

/// Codes with which ClickHouse refuses the data itself: the same bytes will never be taken.
///
/// From `src/Common/ErrorCodes.cpp`: CANNOT_PARSE_TEXT 6, CANNOT_PARSE_QUOTED_STRING 26, INCORRECT_DATA 117,
/// ATTEMPT_TO_READ_AFTER_EOF 32, CANNOT_READ_ALL_DATA 33, CANNOT_PARSE_DATE 38, CANNOT_PARSE_DATETIME 41,
/// TYPE_MISMATCH 53, ARGUMENT_OUT_OF_BOUND 69, CANNOT_CONVERT_TYPE 70, CANNOT_PARSE_NUMBER 72,
/// TOO_LARGE_STRING_SIZE 131, CANNOT_PARSE_UUID 376, DECIMAL_OVERFLOW 407, VIOLATED_CONSTRAINT 469.
const DATA_CODES: [u32; 15] = [6, 26, 117, 32, 33, 38, 41, 53, 69, 70, 72, 131, 376, 407, 469];

impl Error {
    /// Whether the data itself was refused, so that sending it again cannot help.
    #[must_use]
    pub fn is_data_refused(&self) -> bool {
        matches!(self, Self::Refused { code: Some(code), .. } if DATA_CODES.contains(code))
    }

    /// Whether nothing is known of what happened.
    #[must_use]
    pub const fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// Reads the client's error: `url` and `asked` say where and what.
    pub(crate) fn from_client(error: &clickhouse::error::Error, url: &str, asked: &str) -> Self {
        use clickhouse::error::Error as E;
        match error {
            E::Network(reason) => Self::Unavailable { url: url.to_owned(), reason: chain(reason.as_ref()) },
            E::TimedOut => Self::Unavailable { url: url.to_owned(), reason: "the time limit passed".to_owned() },
            E::BadResponse(message) => Self::refused(message),
            other => Self::Malformed { asked: asked.to_owned(), reason: chain(other) },
        }
    }

    fn refused(message: &str) -> Self {
        Self::Refused { code: code_in(message), message: message.trim().to_owned() }
    }
}

/// The number in `Code: 469. DB::Exception: …`.
fn code_in(message: &str) -> Option<u32> {
    let rest = message.split_once("Code: ")?.1;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..digits].parse().ok()
}

/// An error with its sources, which `hyper` leaves out of its own sentence.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let sentence = inner.to_string();
        if !text.contains(&sentence) {
            text.push_str(": ");
            text.push_str(&sentence);
        }
        source = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_read_from_the_sentence() {
        let refused = Error::refused("Code: 469. DB::Exception: Constraint `x` is violated. (VIOLATED_CONSTRAINT)\n");
        assert!(refused.is_data_refused(), "{refused}");
        assert!(!Error::refused("Code: 241. DB::Exception: Memory limit exceeded").is_data_refused());
        assert!(!Error::refused("502 Bad Gateway").is_data_refused());
        assert_eq!(code_in("Code: 9"), Some(9));
    }
}
