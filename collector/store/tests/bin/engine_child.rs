//! The engine's child for this crate's tests, and a parent to kill.
//!
//! `parent LIBRARY DATA_DIR` starts an engine, says its process id, and waits to be killed.

use std::io::Write as _;
use std::process::ExitCode;

use store::engine::{Engine, EngineConfig};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next() {
        Some(word) if word == "engine" => store::engine::run_child(&arguments.collect::<Vec<_>>()),
        Some(word) if word == "parent" => {
            let (Some(library), Some(data_dir)) = (arguments.next(), arguments.next()) else {
                return ExitCode::from(64);
            };
            let outcome = parent(library.into(), data_dir.into());
            let failed = outcome.inspect_err(|error| drop(writeln!(std::io::stderr(), "{error}"))).is_err();
            ExitCode::from(u8::from(failed))
        }
        _ => ExitCode::from(64),
    }
}

#[tokio::main]
async fn parent(library: std::path::PathBuf, data_dir: std::path::PathBuf) -> Result<(), Box<dyn std::error::Error>> {
    let config = EngineConfig {
        library,
        program: std::env::current_exe()?,
        data_dir,
        http_port: 0,
        max_memory_bytes: EngineConfig::DEFAULT_MAX_MEMORY_BYTES,
    };
    let mut engine = Engine::start(config).await?;
    writeln!(std::io::stdout(), "{}", engine.pid().unwrap_or_default())?;
    engine.wait().await?;
    Ok(())
}
