//! `make chaos`: what is promised to survive kill -9, a full disk and a database that goes away.

use std::process::ExitCode;

use bench::command::Options;
use bench::table::{Bound, Table};
use clap::Parser as _;

/// Every promise.
fn promises() -> Table {
    Table::default()
        .row(
            "collector",
            "kill -9 of the collector at 500 random moments: acknowledged and not stored, or stored twice",
            Bound::Exactly(0.0),
        )
        .row(
            "engine",
            "kill -9 of ClickHouse at 50 random moments: acknowledged and not stored, or stored twice",
            Bound::Exactly(0.0),
        )
        .row(
            "both",
            "kill -9 of both at 50 random moments: acknowledged and not stored, or stored twice",
            Bound::Exactly(0.0),
        )
        .row("conservation", "runs whose ledger did not balance", Bound::Exactly(0.0))
        .row("disk-refused", "disk full: answers other than 503 to what could not be kept", Bound::Exactly(0.0))
        .row("disk-lost", "disk full, then space again: acknowledged and not stored", Bound::Exactly(0.0))
        .row("disk-resumed", "disk full, then space again: seconds until posts are taken again", Bound::AtMost(30.0))
}

fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    let table = promises();
    options.finish("chaos", &table)
}
