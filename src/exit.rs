//! Exit codes, after `sysexits.h` where it has one.

use std::io::{self, Write as _};
use std::process::ExitCode;

/// The command line or the configuration is wrong (`EX_USAGE`).
pub const USAGE: u8 = 64;
/// A check found what it looks for (a drift, a mismatch).
pub const FOUND: u8 = 1;
/// A judgement is held back for want of evidence.
pub const HELD: u8 = 3;
/// Something failed.
pub const FAILED: u8 = 2;
/// Whoever read our output went away, as in `| head`: what a shell makes of a program that SIGPIPE ended.
const UNREAD: u8 = 128 + 13;

/// A fault of whoever typed: reported as such, with [`USAGE`].
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// Help and version are no faults; the rest is [`USAGE`].
pub fn usage(error: &clap::Error) -> ExitCode {
    // a closed pipe is no reason to complain
    let _ = error.print();
    if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS }
}

/// Prints the error and its causes, each but once.
pub fn failure(error: &anyhow::Error) -> ExitCode {
    // of output only: errors of the network are of other types, with theirs inside
    if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
        return ExitCode::from(UNREAD);
    }
    let _ = writeln!(io::stderr(), "driftline: {}", told(error));
    ExitCode::from(if error.is::<Usage>() { USAGE } else { FAILED })
}

/// An error with its causes; many say what their cause says.
pub fn told(error: &anyhow::Error) -> String {
    error
        .chain()
        .skip(1)
        .map(ToString::to_string)
        .fold(error.to_string(), |said, cause| if said.contains(&cause) { said } else { format!("{said}: {cause}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_that_was_said_is_not_said_again() {
        let inner = io::Error::other("the port is in use");
        let error = anyhow::Error::new(inner).context("cannot listen: the port is in use").context("it does not start");
        assert_eq!(told(&error), "it does not start: cannot listen: the port is in use");
    }
}
