//! `driftline check`: every fault of a configuration, in one go.

use std::io::Write as _;
use std::process::ExitCode;

use crate::cli::ConfigArgs;
use crate::config::Loaded;
use crate::exit::Usage;

/// Reads and checks; says what is wrong (exit code 64) or what it means.
///
/// # Errors
/// [`Usage`] with one line a fault.
pub fn run(args: &ConfigArgs) -> anyhow::Result<ExitCode> {
    let mut loaded = Loaded::read(args)?;
    crate::paths::missing(&loaded.raw, &mut loaded.faults);
    all(&loaded)?;
    let slos = loaded.slo.as_ref().map_or(0, |file| file.slos.len());
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}: no faults ({slos} SLOs)", args.config.display())?;
    Ok(ExitCode::SUCCESS)
}

/// Checks every section.
///
/// # Errors
/// [`Usage`] with one line a fault, of reading and of meaning.
pub fn all(loaded: &Loaded) -> anyhow::Result<()> {
    let (raw, mut faults) = (loaded.raw.clone(), loaded.faults.clone());
    let checked = [
        raw.proxy.check().err(),
        collector::config::Config::try_from(raw.collector).err(),
        store::Config::new(raw.store).err(),
        analyzer::config::Config::try_from(raw.analyzer).err(),
        masking::Masker::new(&raw.masking).err(),
        raw.silences.check().err(),
    ];
    checked.into_iter().flatten().for_each(|found| faults.extend(found));
    faults.result(()).map_err(|faults| Usage(faults.to_string()).into())
}
