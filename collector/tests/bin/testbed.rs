//! What this crate's tests start and kill: the engine's child, and a collector in a process of its own.
//!
//! `collect LISTEN LOG_DIR ENGINE_DATA_DIR` runs a collector until standard input ends, and says where it listens.

use std::io::Write as _;
use std::process::ExitCode;

use collector::{Config, Deps, RawConfig};
use host::metrics::Registry;
use masking::Masker;
use store::Store;
use tokio_util::sync::CancellationToken;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next() {
        Some(word) if word == "engine" => store::engine::run_child(&arguments.collect::<Vec<_>>()),
        Some(word) if word == "collect" => {
            let words: Vec<String> = arguments.map(|word| word.to_string_lossy().into_owned()).collect();
            let [listen, log, engine] = words.as_slice() else { return ExitCode::from(64) };
            let outcome = collect(listen, log, engine);
            let failed = outcome.inspect_err(|error| drop(writeln!(std::io::stderr(), "{error}"))).is_err();
            ExitCode::from(u8::from(failed))
        }
        _ => ExitCode::from(64),
    }
}

#[tokio::main]
async fn collect(listen: &str, log: &str, engine: &str) -> Result<(), Box<dyn std::error::Error>> {
    let mut raw = RawConfig { listen: listen.to_owned(), ..RawConfig::default() };
    raw.log.dir = log.into();
    raw.log.segment_max_age = std::time::Duration::from_millis(100);
    let store = store::RawConfig { data_dir: engine.into(), ..store::RawConfig::default() };
    let deps = Deps {
        store: Store::connect(&store::Config::new(store)?)?,
        masker: Masker::new(&masking::RawConfig::default())?,
        registry: Registry::new(),
    };
    let service = collector::build(Config::try_from(raw)?, deps).await?;
    writeln!(std::io::stdout(), "{}", service.local_addr())?;
    let shutdown = CancellationToken::new();
    let cancel = shutdown.clone();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        cancel.cancel();
    });
    Ok(service.run(shutdown).await?)
}
