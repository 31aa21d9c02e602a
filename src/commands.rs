//! From what was typed to what runs.

use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::cli::{Cli, Command, ConfigArgs, KeyCommand, ModelCommand, RoleArgs, StoreCommand};
use crate::config::Loaded;
use crate::{exit, roles, up};

mod baseline;
mod check;
mod drift;
mod explain;
mod key;
mod ks;
mod mask;
mod pin;
mod render;
mod replay;
mod store;
mod verify;

/// Carries out the command line.
///
/// # Errors
/// What a user is told, with its causes.
pub fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Up(args) => up(&args),
        Command::Proxy(args) => role(&args, |loaded| Some(loaded.raw.proxy.request_threads()), roles::proxy),
        Command::Collect(args) => role(&args, |_| None, roles::collect),
        Command::Analyze(args) => role(&args, |_| None, roles::analyze),
        Command::Check(args) => check::run(&args),
        Command::Model(ModelCommand::Verify(args)) => verify::run(&args),
        Command::Model(ModelCommand::Pin(args)) => pin::run(&args),
        Command::Model(ModelCommand::Keygen(args)) => pin::keygen(&args),
        Command::Key(KeyCommand::New(args)) => key::new(&args),
        Command::Store(StoreCommand::Migrate(args)) => runtime()?.block_on(store::migrate(&args)),
        Command::Store(StoreCommand::Status(args)) => runtime()?.block_on(store::status(&args)),
        Command::Store(StoreCommand::Export(args)) => runtime()?.block_on(store::export(&args)),
        Command::Store(StoreCommand::Forget(args)) => runtime()?.block_on(store::forget(&args)),
        Command::Baseline(command) => runtime()?.block_on(baseline::run(&command)),
        Command::Explain(args) => runtime()?.block_on(explain::run(&args)),
        Command::Replay(args) => runtime()?.block_on(replay::run(&args)),
        Command::Render(args) => render::run(&args),
        Command::Drift(args) => drift::run(&args),
        Command::Ks(args) => ks::run(&args),
        Command::Mask(args) => mask::run(&args),
        Command::Engine(args) => Ok(::store::engine::run_child(&args.arguments)),
    }
}

fn up(args: &ConfigArgs) -> anyhow::Result<ExitCode> {
    let mut loaded = Loaded::read(args)?;
    check::on_one_machine(&mut loaded)?;
    start_log(&loaded)?;
    runtime()?.block_on(async {
        let shutdown = host::signals::shutdown()?;
        up::run(args, &loaded, shutdown).await
    })?;
    Ok(ExitCode::SUCCESS)
}

/// How long work that a role left behind on threads for blocking work may take before the process ends without it.
const LEFT_BEHIND: Duration = Duration::from_secs(10);

/// Runs a role on so many threads; on one a processor where it does not say.
fn role<F, R>(args: &RoleArgs, threads: fn(&Loaded) -> Option<usize>, run: F) -> anyhow::Result<ExitCode>
where
    F: FnOnce(Loaded, CancellationToken) -> R,
    R: Future<Output = anyhow::Result<()>>,
{
    let mut loaded = Loaded::read(&args.config)?;
    check::all(&mut loaded)?;
    start_log(&loaded)?;
    let runtime = runtime_on(threads(&loaded))?;
    let ran = runtime.block_on(async {
        let shutdown = host::signals::shutdown()?;
        if args.stop_with_stdin {
            cancel_with_stdin(shutdown.clone());
        }
        run(loaded, shutdown).await
    });
    // what nobody waits for any more, the load of a model say, has no other limit
    runtime.shutdown_timeout(LEFT_BEHIND);
    ran.map(|()| ExitCode::SUCCESS)
}

fn start_log(loaded: &Loaded) -> anyhow::Result<()> {
    let log = &loaded.raw.log;
    host::logs::init(log.format, &log.filter, log.audit_file.as_deref())
        .map_err(|error| exit::Usage(format!("log: {error}")).into())
}

/// The log of a command that leaves an audit line. Where that goes to a file, it is not shown as well.
fn start_audit(loaded: &Loaded) -> anyhow::Result<()> {
    let log = &loaded.raw.log;
    let filter = if log.audit_file.is_some() { format!("{},audit=off", log.filter) } else { log.filter.clone() };
    host::logs::init(log.format, &filter, log.audit_file.as_deref())
        .map_err(|error| exit::Usage(format!("log: {error}")).into())
}

/// Why something failed, for its audit line: nothing where that line and what the command says go to one stream.
fn audited(loaded: &Loaded, error: &anyhow::Error) -> String {
    if loaded.raw.log.audit_file.is_some() { exit::told(error) } else { String::new() }
}

fn runtime() -> anyhow::Result<Runtime> {
    runtime_on(None)
}

fn runtime_on(threads: Option<usize>) -> anyhow::Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    threads.iter().for_each(|&threads| _ = builder.worker_threads(threads));
    builder.enable_all().build().context("cannot start the async runtime")
}

/// The supervisor holds the other end of standard input: when that ends, so do we.
fn cancel_with_stdin(shutdown: CancellationToken) {
    // a thread of its own: a blocking read on the runtime would hold up its end
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        shutdown.cancel();
    });
}
