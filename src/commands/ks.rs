//! `driftline ks`: the two-sample Kolmogorov-Smirnov test of two files.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;

use crate::cli::KsArgs;
use crate::exit::Usage;

/// Tests and prints.
///
/// # Errors
/// Where a file cannot be read, holds something other than numbers, or is empty.
pub fn run(args: &KsArgs) -> anyhow::Result<ExitCode> {
    let (reference, current) = (numbers(&args.reference)?, numbers(&args.current)?);
    let test = analyzer::judge::ks::two_sample(&reference, &current)?;
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&test)?)?;
    } else {
        writeln!(out, "D = {:.12}  p = {:.6e}  (n1 = {}, n2 = {})", test.d, test.p, reference.len(), current.len())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn numbers(path: &Path) -> anyhow::Result<Vec<f64>> {
    let name = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
    let parsed: Result<Vec<f64>, _> = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(i, line)| match line.trim().parse::<f64>() {
            Ok(x) if !x.is_nan() => Ok(x),
            _ => Err(Usage(format!("{name}, line {}: '{}' is not a number", i + 1, line.trim()))),
        })
        .collect();
    let found = parsed?;
    if found.is_empty() {
        return Err(Usage(format!("{name} holds no numbers")).into());
    }
    Ok(found)
}
