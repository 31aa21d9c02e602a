//! `make simulate`: how often verdicts are wrong, and how late they are right, on streams of which the truth is known.
//!
//! Everything is seeded: the same program prints the same table.

mod burn;
mod random;
mod shadows;
mod streams;

use std::process::ExitCode;

use bench::command::Options;
use bench::table::{Bound, Table};
use clap::Parser as _;

/// Every promise. Normal data, a reference of 10,000, windows of 200, c = 1,000, delta = .01, alpha = .05.
fn promises() -> Table {
    pages(verdicts(Table::default()))
}

/// Of drift and of shadows.
fn verdicts(table: Table) -> Table {
    table
        .row(
            "null-alarm",
            "null streams, 200 of 2,000 windows: lower bound of the mean windows to a false alarm",
            Bound::AtLeast(1000.0),
        )
        .row(
            "inside-alarm",
            "inside-Delta streams, 200 of 2,000 windows: lower bound of the mean windows to a false alarm",
            Bound::AtLeast(1000.0),
        )
        .row(
            "null-life",
            "null streams: share with a lifetime alarm at alpha = .05 (alpha + delta + 2 standard errors)",
            Bound::AtMost(0.0936),
        )
        .row("inside-life", "inside-Delta streams: share with a lifetime alarm at alpha = .05", Bound::AtMost(0.0936))
        .row("naive", "naive KS p < .05 on the null streams: share that alarms within 500 windows", Bound::Printed)
        .row("delay-10-0", "Delta = 0, shift .1 from the start: median windows to the alarm", Bound::AtMost(40.0))
        .row("delay-10-300", "Delta = 0, shift .1 at window 300: median windows to the alarm", Bound::AtMost(40.0))
        .row("delay-25-0", "Delta = 0, shift .25 from the start: median windows to the alarm", Bound::AtMost(5.0))
        .row("delay-25-300", "Delta = 0, shift .25 at window 300: median windows to the alarm", Bound::AtMost(5.0))
        .row("delay-50-0", "Delta = 0, shift .5 from the start: median windows to the alarm", Bound::AtMost(1.0))
        .row("delay-50-300", "Delta = 0, shift .5 at window 300: median windows to the alarm", Bound::AtMost(1.0))
        .row("delta-25-0", "Delta = .05, shift .25 from the start: median windows to the alarm", Bound::AtMost(36.0))
        .row("delta-25-300", "Delta = .05, shift .25 at window 300: median windows to the alarm", Bound::AtMost(36.0))
        .row("delta-50-0", "Delta = .05, shift .5 from the start: median windows to the alarm", Bound::AtMost(3.0))
        .row("delta-50-300", "Delta = .05, shift .5 at window 300: median windows to the alarm", Bound::AtMost(3.0))
        .row("missed", "shifts not alarmed on within 400 windows, all of the above", Bound::Exactly(0.0))
        .row(
            "same-reject",
            "shadow equal to its primary, a look after every pair, 2,000 runs: share of wrong REJECT",
            Bound::AtMost(0.05),
        )
        .row(
            "margin-promote",
            "shadow exactly at the margin, a look after every pair, 2,000 runs: share of wrong PROMOTE",
            Bound::AtMost(0.05),
        )
        .row(
            "margin-reject",
            "shadow exactly at the margin, a look after every pair, 2,000 runs: share of wrong REJECT",
            Bound::AtMost(0.05),
        )
        .row(
            "guard-promote",
            "run time, confidence or accuracy exactly at its margin, a look after every pair, 2,000 runs each: most wrong PROMOTE",
            Bound::AtMost(0.05),
        )
        .row("guard-reject", "the same: most wrong REJECT", Bound::AtMost(0.05))
        .row("outlier", "5,000 shifted rows and one outlier of 1e6: windows to the alarm", Bound::AtMost(1.0))
        .row("small-50", "50 undrifted rows against 5,000: share of 1,000 runs that alarm", Bound::AtMost(0.001))
        .row("small-100", "100 undrifted rows against 5,000: share of 1,000 runs that alarm", Bound::AtMost(0.001))
        .row("small-200", "200 undrifted rows against 5,000: share of 1,000 runs that alarm", Bound::AtMost(0.001))
        .row(
            "scale",
            "true D = .535 at scale 1e-9: verdicts that differ from those at scale 1, 100 windows",
            Bound::Exactly(0.0),
        )
}

/// Of an SLO's pages at low traffic.
fn pages(table: Table) -> Table {
    table
        .row(
            "burn-10-bare",
            "healthy at 99.9 %, 10 requests an hour: pages a month without the evidence gate",
            Bound::Printed,
        )
        .row("burn-10-gated", "the same with the gate", Bound::AtMost(0.05))
        .row(
            "burn-10-delay",
            "an outage at 10 requests an hour: median minutes to the page, with the gate",
            Bound::AtMost(30.0),
        )
        .row("burn-100-bare", "healthy at 99.9 %, 100 requests an hour: pages a month without the gate", Bound::Printed)
        .row("burn-100-gated", "the same with the gate", Bound::AtMost(0.05))
        .row(
            "burn-100-delay",
            "an outage at 100 requests an hour: median minutes to the page, with the gate",
            Bound::AtMost(6.0),
        )
        .row(
            "burn-1000-bare",
            "healthy at 99.9 %, 1,000 requests an hour: pages a month without the gate",
            Bound::Printed,
        )
        .row("burn-1000-gated", "the same with the gate", Bound::AtMost(0.05))
        .row(
            "burn-1000-delay",
            "an outage at 1,000 requests an hour: median minutes to the page, with the gate",
            Bound::AtMost(3.0),
        )
}

fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    let mut table = promises();
    if options.wants("null") {
        streams::false_alarms(&mut table);
    }
    if options.wants("delay") {
        streams::delays(&mut table);
    }
    if options.wants("shadow") {
        shadows::wrong_verdicts(&mut table);
    }
    if options.wants("edge") {
        streams::edges(&mut table);
    }
    if options.wants("burn") {
        burn::pages(&mut table);
    }
    options.finish("simulate", &table)
}
