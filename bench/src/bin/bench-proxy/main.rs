//! `make bench-proxy`: what the inference proxy promises of speed, memory and undisturbed serving.

use std::process::ExitCode;

use bench::command::Options;
use bench::table::{Bound, Table};
use clap::Parser as _;

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
        .row("switch", "hot switch under load, 100 times: failed requests", Bound::Exactly(0.0))
}

fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    let table = promises();
    options.finish("bench-proxy", &table)
}
