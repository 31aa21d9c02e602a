//! `make bench-collector`: what collector, store and masking promise of speed, privacy and memory.

#![allow(clippy::print_stderr)] // progress

mod delivery;
mod planted;

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

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    let mut table = promises();
    if options.wants("masking") {
        masking::labelled(&mut table)?;
        masking::speed(&mut table)?;
    }
    if options.wants("planted") {
        planted::measure(&options.driftline, &mut table).await?;
    }
    delivery(&options, &mut table).await?;
    options.finish("bench-collector", &table)
}

/// The rows of speed and memory, which need a database.
async fn delivery(options: &Options, table: &mut Table) -> anyhow::Result<()> {
    let mut rate = None;
    if options.wants("throughput") || options.wants("ack-p99") {
        let speed = delivery::throughput(&options.driftline).await?;
        rate = Some(speed.through);
        if options.wants("throughput") {
            let note = format!(
                "{:.0} over {:.0} a second; {:.1} µs of the collector's processors each",
                speed.through, speed.direct, speed.collector_seconds
            );
            table.seen("throughput", speed.ratio, note);
        }
    }
    if let Some(rate) = rate.filter(|_| options.wants("ack-p99")) {
        let (p99, posts) = delivery::ack_p99(&options.driftline, rate / 2.0).await?;
        let note = format!("{posts} posts of 100 observations, {:.0} observations a second", rate / 2.0);
        table.seen("ack-p99", p99, note);
    }
    if options.wants("memory") {
        let seen = delivery::memory(&options.driftline).await?;
        let (most, allowed) = (seen.most_bytes >> 20, seen.allowed_bytes >> 20);
        let note = format!("{most} MiB of {allowed}; offered {:.0} times what was inserted", seen.times);
        // a database that was not slow enough shows nothing
        anyhow::ensure!(seen.times >= 10.0, "only {:.1} times the database's speed was offered", seen.times);
        table.seen("memory", seen.most_bytes as f64 / seen.allowed_bytes as f64, note);
    }
    Ok(())
}
