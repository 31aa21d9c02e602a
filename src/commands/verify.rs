//! `driftline model verify`: every check that a load makes, without loading it into a proxy.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;

use crate::cli::VerifyArgs;
use crate::config::Loaded;
use crate::exit;

/// Checks a version's folder and lists each check with its result; exit code 1 where one fails.
///
/// # Errors
/// Where ONNX Runtime's library is not to be found.
pub fn run(args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let library = match &args.onnxruntime {
        Some(path) => path.clone(),
        None => {
            let loaded =
                Loaded::read(&args.config).context("give --onnxruntime, or --config of a file that names it")?;
            loaded.raw.proxy.models.onnxruntime
        }
    };
    let report = inference_proxy::model::verify(&args.folder, &library)?;
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        write!(out, "{report}")?;
    }
    Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::from(exit::FOUND) })
}
