//! `make bench-analyzer`: how long judging takes, live and offline, and how much memory.

mod judging;
mod offline;
mod stored;

use std::process::ExitCode;

use bench::command::Options;
use bench::table::{Bound, Table};
use clap::Parser as _;

fn promises() -> Table {
    Table::default()
        .row(
            "drift-time",
            "`driftline drift` on 1e6 x 20 float columns against 1e6, Parquet, the whole process with exact KS of every \
             column, over scipy's `ks_2samp` loop on arrays in memory",
            Bound::AtMost(0.33),
        )
        .row("drift-same", "the same: columns whose distance differs from scipy's by more than 1e-12", Bound::Exactly(0.0))
        .row("drift-memory", "the same: peak memory of the process and its engine, GiB", Bound::AtMost(1.0))
        .row(
            "cycle-7",
            "analysis cycle that judges one window, 1e7 stored feature rows over 1e5: wall time",
            Bound::Below(1.5),
        )
        .row(
            "cycle-8",
            "analysis cycle that judges one window, 1e8 stored feature rows over 1e5: wall time",
            Bound::Below(1.5),
        )
        .row("judge", "one window of 1,000 features of 1,024 bins judged on one core, ms", Bound::Below(50.0))
}

fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    let mut table = promises();
    let runtime = tokio::runtime::Runtime::new()?;
    if options.wants("judge") {
        judging::one_window(&mut table);
    }
    if options.wants("drift") {
        runtime.block_on(offline::against_scipy(&options, &mut table))?;
    }
    if options.wants("cycle") {
        runtime.block_on(stored::growth(&options, &mut table))?;
    }
    options.finish("bench-analyzer", &table)
}
