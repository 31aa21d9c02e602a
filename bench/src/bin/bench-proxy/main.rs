//! `make bench-proxy`: what the inference proxy promises of speed, memory and undisturbed serving.

mod client;
mod corpus;
mod fifo;
mod forward;
mod memory;
mod pairs;
mod peers;
mod server;
mod speed;
mod switch;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use bench::command::Options;
use bench::table::{Bound, Table};
use clap::Parser;

/// Every promise; ratios are measured in one run with equal thread budgets.
fn promises() -> Table {
    Table::default()
        .row(
            "raw-int8",
            "throughput at saturation, MiniLM INT8, mixed lengths, over the raw session loop",
            Bound::AtLeast(0.90),
        )
        .row(
            "raw-fp32",
            "throughput at saturation, MiniLM fp32, mixed lengths, over the raw session loop",
            Bound::AtLeast(0.90),
        )
        .row("latency", "p50 at concurrency 1 less the raw session run of the same input, ms", Bound::AtMost(0.3))
        .row(
            "fastapi-batcher",
            "throughput over FastAPI + onnxruntime with the usual asyncio batcher (8 / 100 ms)",
            Bound::AtLeast(4.0),
        )
        .row(
            "fastapi-best",
            "throughput over FastAPI + onnxruntime in its best form (two workers of one thread)",
            Bound::AtLeast(1.15),
        )
        .row("fifo", "p99 at 70 % load over FIFO token-budget batching", Bound::Below(1.0))
        .row(
            "mirror-throughput",
            "mirror on over off: throughput (lower 90 % bound of the pairs' median)",
            Bound::AtLeast(0.98),
        )
        .row("mirror-p99", "mirror on over off: p99 (lower 90 % bound of the pairs' median)", Bound::AtMost(1.05))
        .row(
            "shadow-hung",
            "shadow hung over no shadow: primary p99 (lower 90 % bound of the pairs' median)",
            Bound::AtMost(1.05),
        )
        .row(
            "stalled-memory",
            "collector stalled for 60 s at 2,000 observations a second: RSS growth over the byte cap",
            Bound::AtMost(1.10),
        )
        .row(
            "stalled-answers",
            "collector stalled for 60 s at 2,000 observations a second: answers not 2xx",
            Bound::Exactly(0.0),
        )
        .row(
            "lengths-memory",
            "10 min of variable lengths: RSS at the end over RSS after the first minute",
            Bound::AtMost(1.05),
        )
        .row(
            "forward",
            "another server behind the proxy: p50 through it less the same request directly, ms",
            Bound::Below(0.5),
        )
        .row("switch", "hot switch under load, 100 times: failed requests", Bound::Exactly(0.0))
}

/// Options of this command.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    options: Options,
    /// Shortens every experiment to about so many seconds, to try it out; such a run is never written down.
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<f64>,
}

/// What all experiments share.
struct Setting {
    /// The program under test.
    program: PathBuf,
    /// The repository.
    root: PathBuf,
    /// Threads that everybody gets.
    threads: usize,
    seconds: Option<f64>,
}

impl Setting {
    /// How long one of so many parts of an experiment takes: `full` seconds, or its share of a short run.
    fn part(&self, parts: f64, full: f64) -> Duration {
        Duration::from_secs_f64(self.seconds.map_or(full, |seconds| (seconds / parts).clamp(0.2, full)))
    }

    /// How many of `full` things an experiment takes: all, or a tenth of them in a short run.
    fn count(&self, full: usize) -> usize {
        if self.seconds.is_some() { full / 10 } else { full }
    }
}

/// A name for `--only`, and what fills its rows.
type Experiment = (&'static str, fn(&Setting, &mut Table) -> anyhow::Result<()>);

const EXPERIMENTS: [Experiment; 12] = [
    ("raw-int8", |setting, table| speed::throughput(setting, &speed::SUBJECTS[0], table)),
    ("raw-fp32", |setting, table| speed::throughput(setting, &speed::SUBJECTS[1], table)),
    ("latency", speed::latency),
    ("fastapi-batcher", |setting, table| peers::throughput(setting, &peers::PEERS[0], table)),
    ("fastapi-best", |setting, table| peers::throughput(setting, &peers::PEERS[1], table)),
    ("fifo", fifo::p99),
    ("mirror", pairs::mirror),
    ("shadow-hung", pairs::shadow),
    ("forward", forward::latency),
    ("switch", switch::under_load),
    ("stalled", memory::stalled),
    ("lengths-memory", memory::lengths),
];

fn main() -> anyhow::Result<ExitCode> {
    let Arguments { mut options, seconds } = Arguments::parse();
    if let Some(unknown) = options.only.iter().find(|only| EXPERIMENTS.iter().all(|(name, _)| name != only)) {
        let names: Vec<&str> = EXPERIMENTS.iter().map(|(name, _)| *name).collect();
        anyhow::bail!("there is no experiment '{unknown}'; there are {}", names.join(", "));
    }
    if seconds.is_some() || !options.only.is_empty() {
        // the page holds whole runs only
        options.write = None;
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let setting = Setting { program: options.driftline.clone(), root: std::env::current_dir()?, threads, seconds };
    let mut table = promises();
    for (name, experiment) in EXPERIMENTS.iter().filter(|(name, _)| options.wants(name)) {
        announce(name);
        experiment(&setting, &mut table).with_context(|| format!("experiment {name}"))?;
    }
    options.finish("bench-proxy", &table)
}

#[allow(clippy::print_stderr)] // a run of half an hour says where it is
fn announce(experiment: &str) {
    eprintln!("== {experiment}");
}
