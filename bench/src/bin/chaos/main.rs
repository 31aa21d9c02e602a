//! `make chaos`: what is promised to survive kill -9, a full disk and a database that goes away.

#![allow(clippy::print_stderr)] // progress

mod disk;
mod kills;

use std::process::ExitCode;

use bench::command::Options;
use bench::house::House;
use bench::table::{Bound, Table};
use clap::Parser as _;
use kills::Victim;

/// Small segments, so that a kill meets every state that a segment can be in.
const SECTION: &str = "[collector.log]\nsegment_max_age = \"60ms\"\nsegment_max_bytes = \"256KiB\"";

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

/// How often, and from which seed.
#[derive(Debug, clap::Parser)]
struct Arguments {
    #[command(flatten)]
    options: Options,
    /// Kills of the collector; of the engine and of both it is a tenth, at least one.
    #[arg(long, default_value_t = 500)]
    kills: u64,
    /// What all moments are drawn from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let Arguments { options, kills, seed } = Arguments::parse();
    let mut table = promises();
    let mut unbalanced = None;
    for (key, victim, kills) in [
        ("collector", Victim::Collector, kills),
        ("engine", Victim::Engine, (kills / 10).max(1)),
        ("both", Victim::Both, (kills / 10).max(1)),
    ] {
        if !options.wants(key) {
            continue;
        }
        let mut house = House::build(&options.driftline, SECTION).await?;
        let seen = kills::run(&mut house, victim, kills, seed).await?;
        let note = format!("{} kills, {} observations acknowledged, seed {seed}", seen.runs, seen.acknowledged);
        table.seen(key, seen.wrong as f64, note);
        let (bad, runs) = unbalanced.unwrap_or((0, 0));
        unbalanced = Some((bad + seen.unbalanced, runs + seen.runs));
    }
    if let Some((bad, runs)) = unbalanced {
        table.seen("conservation", bad as f64, format!("of {runs} runs"));
    }
    if options.wants("disk") {
        let seen = disk::run(&options.driftline, seed).await?;
        table.seen("disk-refused", seen.wrong_answers as f64, format!("{} times 503", seen.refused));
        table.seen("disk-lost", seen.wrong as f64, format!("{} observations acknowledged", seen.acknowledged));
        table.seen("disk-resumed", seen.resumed_seconds, "the longer of two: another's file removed; ClickHouse back");
    }
    options.finish("chaos", &table)
}
