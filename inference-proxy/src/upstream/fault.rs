//! How asking another server can go wrong; a variant for each thing that is told to the client.

use std::time::Duration;

use crate::model::RunError;

/// Why there is no answer, or not all of it. The sentences are for clients and name no address; the log does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No connection (503).
    #[error("the server behind this model cannot be reached")]
    Down,
    /// No answer, or not all of it, in time (504).
    #[error("the server behind this model did not answer within {} ms", .0.as_millis())]
    Slow(Duration),
    /// The client's own limit passed (408).
    #[error("the client's own time limit passed before the server behind this model answered")]
    Impatient,
    /// The client's body came so late that too little of the time was left (408).
    #[error("the body took most of the time that a request may take, and the rest was too short for an answer")]
    LateBody,
    /// As many requests are open there as may be (429).
    #[error("{0} requests are open at the server behind this model, which is the limit; try again in a second")]
    Busy(usize),
    /// It answered something that is not HTTP (502).
    #[error("the server behind this model answered something that is not HTTP")]
    Gibberish,
    /// It hung up before the end of its answer (502).
    #[error("the server behind this model hung up before the end of its answer")]
    Cut,
    /// Its answer is longer than what is read of one (502).
    #[error("the server behind this model answered more than {0} bytes")]
    TooLong(usize),
    /// The client's body is larger than the limit (413).
    #[error("the body is larger than {0} bytes; send fewer items, or raise proxy.max_body_bytes")]
    TooLarge(usize),
    /// The client's body broke off (400).
    #[error("the body broke off before its end")]
    BrokenBody,
}

impl Fault {
    /// The words of all faults that are the other server's.
    pub const WORDS: [&'static str; 6] =
        ["upstream_down", "upstream_slow", "upstream_busy", "upstream_gibberish", "upstream_cut", "upstream_too_long"];

    /// The word in metrics, logs and observations.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Down => "upstream_down",
            Self::Slow(_) => "upstream_slow",
            Self::Impatient => "client_timeout",
            Self::LateBody => "late_body",
            Self::Busy(_) => "upstream_busy",
            Self::Gibberish => "upstream_gibberish",
            Self::Cut => "upstream_cut",
            Self::TooLong(_) => "upstream_too_long",
            Self::TooLarge(_) => "body_too_large",
            Self::BrokenBody => "broken_body",
        }
    }
}

impl From<Fault> for RunError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Slow(_) => Self::Deadline,
            Fault::Impatient => Self::Impatient,
            Fault::LateBody => Self::LateBody,
            Fault::Busy(_) => Self::QueueFull { retry_after: Duration::from_secs(1) },
            Fault::Down => Self::Unavailable(fault.to_string()),
            _ => Self::Failed(fault.to_string()),
        }
    }
}
