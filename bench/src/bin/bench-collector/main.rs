//! `make bench-collector`: what collector, store and masking promise of speed, privacy and memory.

use std::process::ExitCode;

use bench::command::Options;
use bench::table::{Bound, Table};
use clap::Parser as _;

mod masking;

/// Every promise.
fn promises() -> Table {
    Table::default()
        .row(
            "planted",
            "planted identifiers (5,000: all entities, keys and values, Unicode tricks) found anywhere",
            Bound::Exactly(0.0),
        )
        .row("allowed", "share of control identifiers under `allow` found where they must be", Bound::Exactly(1.0))
        .row("recall", "masking on the labelled set (>= 3,000 cases): least recall of an entity", Bound::AtLeast(0.98))
        .row("precision", "masking on the labelled set: least precision of an entity", Bound::AtLeast(0.98))
        .row("clean", "masking clean chat text, 5 % of messages with non-ASCII, one core, MB/s", Bound::AtLeast(300.0))
        .row(
            "dense",
            "masking text with an identifier every 200 bytes, all entities, one core, MB/s",
            Bound::AtLeast(60.0),
        )
        .row(
            "throughput",
            "observations a second, masked, fsynced, in ClickHouse, over inserting the ready rows alone",
            Bound::AtLeast(0.6),
        )
        .row("ack-p99", "ack latency p99 at half of that rate, ms", Bound::Printed)
        .row("memory", "memory at 10 x the database's speed for 60 s over what the config allows", Bound::AtMost(1.0))
}

fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    let mut table = promises();
    if options.wants("masking") {
        masking::labelled(&mut table)?;
        masking::speed(&mut table)?;
    }
    options.finish("bench-collector", &table)
}
