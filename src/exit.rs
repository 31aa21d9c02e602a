//! Exit codes, after `sysexits.h` where it has one.

use std::io::Write as _;
use std::process::ExitCode;

/// The command line or the configuration is wrong (`EX_USAGE`).
pub const USAGE: u8 = 64;
/// A check found what it looks for (a drift, a mismatch).
pub const FOUND: u8 = 1;
/// A judgement is held back for want of evidence.
pub const HELD: u8 = 3;
/// Something failed.
pub const FAILED: u8 = 2;

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

/// Prints the error and its causes, one line.
pub fn failure(error: &anyhow::Error) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "driftline: {error:#}");
    ExitCode::from(if error.is::<Usage>() { USAGE } else { FAILED })
}
