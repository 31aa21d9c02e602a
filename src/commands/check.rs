//! `driftline check`: every fault of a configuration, in one go.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;

use host::config::Faults;

use crate::cli::ConfigArgs;
use crate::config::{Loaded, RawConfig};
use crate::exit::Usage;

/// Reads and checks; says what is wrong (exit code 64) or what it means.
///
/// # Errors
/// [`Usage`] with one line a fault.
pub fn run(args: &ConfigArgs) -> anyhow::Result<ExitCode> {
    let mut loaded = Loaded::read(args)?;
    let mut missing = Faults::default();
    crate::paths::missing(&loaded.raw, &mut missing);
    loaded.note(&missing);
    on_one_machine(&mut loaded)?;
    let slos = loaded.slo.as_ref().map_or(0, |file| file.slos.len());
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}: no faults ({slos} SLOs)", args.config.display())?;
    Ok(ExitCode::SUCCESS)
}

/// Checks every section, and that all roles can run beside each other.
///
/// # Errors
/// As [`all`].
pub fn on_one_machine(loaded: &mut Loaded) -> anyhow::Result<()> {
    loaded.note(&doors(&loaded.raw));
    all(loaded)
}

/// Checks every section.
///
/// # Errors
/// [`Usage`] with one line a fault, of reading and of meaning.
pub fn all(loaded: &mut Loaded) -> anyhow::Result<()> {
    let raw = loaded.raw.clone();
    let checked = [
        raw.proxy.check().err(),
        collector::config::Config::try_from(raw.collector).err(),
        store::Config::new(raw.store).err(),
        analyzer::config::Config::try_from(raw.analyzer).err(),
        masking::Masker::new(&raw.masking).err(),
        raw.silences.check().err(),
    ];
    checked.iter().flatten().for_each(|found| loaded.note(found));
    let faults = std::mem::take(&mut loaded.faults);
    faults.result(()).map_err(|faults| Usage(faults.to_string()).into())
}

/// Notes each address that an earlier one has already.
fn doors(raw: &RawConfig) -> Faults {
    let collector = host::config::address(&raw.collector.listen).ok();
    let doors = [
        ("proxy.listen", Some(raw.proxy.listen)),
        ("proxy.grpc", raw.proxy.grpc),
        ("collector.listen", collector),
        ("analyzer.listen", Some(raw.analyzer.listen)),
    ];
    let doors: Vec<_> = doors.into_iter().filter_map(|(key, address)| Some((key, address?))).collect();
    let mut faults = Faults::default();
    for (at, (key, address)) in doors.iter().enumerate() {
        let meets = |(_, other): &&(&str, SocketAddr)| {
            let everywhere = other.ip().is_unspecified() || address.ip().is_unspecified();
            address.port() != 0 && other.port() == address.port() && (everywhere || other.ip() == address.ip())
        };
        if let Some((other, _)) = doors[..at].iter().find(meets) {
            faults.push(*key, format!("is {address}, where {other} listens; give each a port of its own"));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(toml: &str) -> String {
        let table = toml.parse().expect("is TOML");
        let loaded = Loaded::of_table(table, &[], std::path::Path::new("/x.toml")).expect("can be read");
        doors(&loaded.raw).to_string()
    }

    #[test]
    fn two_roles_cannot_have_one_port() {
        assert_eq!(found(""), "", "the defaults can run beside each other");
        let same = "[proxy]\nlisten = \"127.0.0.1:9000\"\n[analyzer]\nlisten = \"0.0.0.0:9000\"\n";
        assert_eq!(
            found(same),
            "analyzer.listen: is 0.0.0.0:9000, where proxy.listen listens; give each a port of its own"
        );
        assert_eq!(found("[proxy]\nlisten = \"127.0.0.1:0\"\ngrpc = \"127.0.0.1:0\"\n"), "", "any free ones");
        assert_eq!(found("[proxy]\nlisten = \"127.0.0.2:9\"\n[collector]\nlisten = \"127.0.0.1:9\"\n"), "");
    }
}
