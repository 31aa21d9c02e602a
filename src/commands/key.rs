//! `driftline key new`: a key for somebody, printed once; what is kept of it is its hash.

use std::io::Write as _;
use std::process::ExitCode;

use host::auth::keys::{self, KeyFile};

use crate::cli::NewKeyArgs;

/// Makes a key and prints it on the first line, and what a key file holds on those after it.
///
/// # Errors
/// Where the system gives no randomness, or standard output is closed.
pub fn new(args: &NewKeyArgs) -> anyhow::Result<ExitCode> {
    let key = keys::generate(&args.name, &args.scopes)?;
    let known = toml::to_string(&KeyFile { keys: vec![key.known] })?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}\n", key.secret)?;
    writeln!(
        out,
        "# Give the line above to {}; it is shown this once. Put these into a file of edge.auth.key_files:",
        args.name
    )?;
    write!(out, "{known}")?;
    Ok(ExitCode::SUCCESS)
}
