//! `driftline model pin` and `keygen`: what a folder must be from now on, and who says so.

use std::fs;
use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use inference_proxy::model::{Pin, Pinned};

use super::verify::library;
use crate::cli::{KeygenArgs, PinArgs};
use crate::exit;

/// Checks a version's folder and writes its manifest.
///
/// # Errors
/// The check that fails, or the file that cannot be read or written.
pub fn run(args: &PinArgs) -> anyhow::Result<ExitCode> {
    if args.tolerance.is_some_and(|tolerance| !(0.0..=1.0).contains(&tolerance)) {
        return Err(exit::Usage("--tolerance must be from 0 to 1".to_owned()).into());
    }
    let read =
        |path: &std::path::PathBuf| fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()));
    let samples = args.samples.as_ref().map(read).transpose()?.unwrap_or_default();
    let samples: Vec<String> = samples.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect();
    let key = args.key.as_ref().map(read).transpose()?;
    let how = Pin { samples, tolerance: args.tolerance, key, anew: args.anew };
    let library = library(args.onnxruntime.as_ref(), &args.config)?;
    let Pinned { files, golden, kept, signed } = inference_proxy::model::pin(&args.folder, &library, &how)?;
    let signed = if signed { "signed" } else { "not signed" };
    let kept = if kept { " (those of the manifest before, which hold)" } else { "" };
    writeln!(std::io::stdout(), "pinned {files} files and {golden} golden samples{kept}, {signed}")?;
    Ok(ExitCode::SUCCESS)
}

/// Makes a key pair.
///
/// # Errors
/// Where the file is there already or cannot be written.
pub fn keygen(args: &KeygenArgs) -> anyhow::Result<ExitCode> {
    let public = inference_proxy::model::keygen(&args.file)?;
    writeln!(std::io::stdout(), "{public}")?;
    Ok(ExitCode::SUCCESS)
}
