//! `driftline model verify`: every check that a load makes, without loading it into a proxy.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use inference_proxy::model::TrustedKey;

use crate::cli::{ConfigArgs, VerifyArgs};
use crate::config::Loaded;
use crate::exit;

/// Checks a version's folder and lists each check with its result; exit code 1 where one fails.
///
/// # Errors
/// Where ONNX Runtime's library is not to be found.
pub fn run(args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let library = library(args.onnxruntime.as_ref(), &args.config)?;
    let keys = args.trusted_keys.iter().map(|key| {
        let read = TrustedKey::read(key);
        read.ok_or_else(|| exit::Usage(format!("--trusted-key: '{key}' is no public key of 64 hexadecimal digits")))
    });
    let keys = keys.collect::<Result<Vec<_>, _>>()?;
    let report = inference_proxy::model::verify_signed(&args.folder, &library, &keys)?;
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        write!(out, "{report}")?;
    }
    Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::from(exit::FOUND) })
}

/// ONNX Runtime's library: the one given, or the configuration's.
///
/// # Errors
/// Where there is neither.
pub fn library(given: Option<&PathBuf>, config: &ConfigArgs) -> anyhow::Result<PathBuf> {
    match given {
        Some(path) => Ok(path.clone()),
        None => {
            let loaded = Loaded::read(config).context("give --onnxruntime, or --config of a file that names it")?;
            Ok(loaded.raw.proxy.models.onnxruntime)
        }
    }
}
