//! Who changed what, when and with what outcome: one structured line an action, under the log target `audit`.
//!
//! The lines go where the process's log goes and, where `log.audit_file` names one, to a file of their own that no log
//! filter thins out. They name callers by the name of their key, never by a secret, and hold no content.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

/// The log target of audit lines.
pub const TARGET: &str = "audit";

/// How an action ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Done,
    /// Whoever asked may not, or asked for something that cannot be.
    Refused,
    /// It was tried and did not work.
    Failed,
}

impl Outcome {
    /// The word in the line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }

    /// What an HTTP status says of it.
    #[must_use]
    pub const fn of_status(status: u16) -> Self {
        match status {
            0..400 => Self::Done,
            400..500 => Self::Refused,
            _ => Self::Failed,
        }
    }
}

/// One action.
#[derive(Clone, Copy, Debug)]
pub struct Action<'a> {
    /// Name of the key or token that asked; `anonymous` where keys are off; the part of the program that acted by itself.
    pub who: &'a str,
    /// The action in a word or two, as in `load` or `promote`.
    pub what: &'a str,
    /// What it was done to, as in `support-router/2`.
    pub target: &'a str,
    /// How it ended.
    pub outcome: Outcome,
    /// What else a reader needs; may be empty.
    pub detail: &'a str,
}

/// Writes the line of an action.
pub fn record(action: Action<'_>) {
    let Action { who, what, target, outcome, detail } = action;
    let (at_ms, outcome) = (crate::clock::now_ms(), outcome.as_str());
    tracing::info!(target: TARGET, at_ms, who, what, on = target, outcome, detail, "audit");
}

/// Opens a file that lines are appended to, and makes its folder; readable by its owner alone.
///
/// # Errors
/// What the system said, with the file's name.
pub fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| io::Error::new(error.kind(), format!("cannot write to {}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_how_an_action_ended() {
        for (status, outcome) in [(200, "done"), (303, "done"), (401, "refused"), (404, "refused"), (503, "failed")] {
            assert_eq!(Outcome::of_status(status).as_str(), outcome, "{status}");
        }
    }

    #[test]
    fn a_line_says_who_what_on_what_and_how_it_ended() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("logs/audit.jsonl");
        let log = crate::logs::subscriber(crate::logs::Format::Text, "error", Some(&path)).unwrap();
        tracing::subscriber::with_default(log, || {
            let (target, outcome) = ("m/2", Outcome::Done);
            record(Action { who: "ci", what: "promote", target, outcome, detail: "was 1" });
            tracing::info!("no audit line");
        });
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        for part in
            [r#""who":"ci""#, r#""what":"promote""#, r#""on":"m/2""#, r#""outcome":"done""#, r#""detail":"was 1""#]
        {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }
}
