//! Pages at low traffic: how often a healthy service wakes somebody, with the evidence gate and without, and how soon an
//! outage does.
//!
//! The rules of an SLO of 99.9 % over 30 days, minute by minute: both pairs of windows that page, each window's last rate
//! held while it is empty, the gate as in the rendered rules (at least three failures, and Wilson's lower bound,
//! z = 1.645, above the threshold). Requests are Poisson; a healthy service fails half as often as it may.

use bench::table::Table;
use contract::slo::{BURN_WINDOWS, Severity};

use crate::{random::Source, streams::each};

const BUDGET: f64 = 0.001;
const FAILING: f64 = BUDGET / 2.0;
const PERIOD_DAYS: u32 = 30;
const MONTH: usize = 30 * 24 * 60;
const MONTHS: u64 = 100;
const OUTAGES: u64 = 200;
/// Minutes of health before an outage, and for which one is waited for.
const BEFORE: usize = 3 * 24 * 60;
const WAIT: usize = 12 * 60;
/// An alert that fires again within so many minutes is the same one.
const KEEP: usize = 5;
const Z: f64 = 1.645;
const BAD_MIN: f64 = 3.0;

/// Requests an hour, and the keys of their rows: false pages without and with the gate, minutes to a page.
const RATES: [(f64, [&str; 3]); 3] = [
    (10.0, ["burn-10-bare", "burn-10-gated", "burn-10-delay"]),
    (100.0, ["burn-100-bare", "burn-100-gated", "burn-100-delay"]),
    (1_000.0, ["burn-1000-bare", "burn-1000-gated", "burn-1000-delay"]),
];

pub fn pages(table: &mut Table) {
    for (an_hour, [bare, gated, delay]) in RATES {
        let months = each(0..MONTHS, |seed| {
            let mut source = Source::new(seed);
            let minutes = (0..MONTH).map(|_| minute(&mut source, an_hour, FAILING)).collect::<Vec<_>>();
            (count(&minutes, false), count(&minutes, true))
        });
        let mean = |of: fn(&(u32, u32)) -> u32| months.iter().map(|m| f64::from(of(m))).sum::<f64>() / MONTHS as f64;
        table.seen(bare, mean(|m| m.0), "");
        table.seen(gated, mean(|m| m.1), "");
        let mut waited = each(0..OUTAGES, |seed| outage(seed, an_hour));
        waited.sort_unstable();
        table.seen(delay, waited[waited.len() / 2] as f64, "");
    }
}

/// Requests and failures of a minute.
fn minute(source: &mut Source, an_hour: f64, failing: f64) -> (f64, f64) {
    let requests = poisson(source, an_hour / 60.0);
    let failed = (0..requests).filter(|_| source.uniform() < failing).count();
    (f64::from(requests), failed as f64)
}

/// Knuth's product of uniforms: rates here are below 20 a minute.
fn poisson(source: &mut Source, mean: f64) -> u32 {
    let (floor, mut product, mut n) = ((-mean).exp(), source.uniform(), 0);
    while product > floor {
        product *= source.uniform();
        n += 1;
    }
    n
}

/// Pages in a month, each counted once.
fn count(minutes: &[(f64, f64)], gated: bool) -> u32 {
    let (mut pages, mut last) = (0, None::<usize>);
    for at in firing(minutes, gated) {
        pages += u32::from(last.is_none_or(|last| at - last > KEEP));
        last = Some(at);
    }
    pages
}

/// Minutes from the begin of an outage, in which everything fails, to its page.
fn outage(seed: u64, an_hour: f64) -> usize {
    let mut source = Source::new(seed + 1_000_000);
    let mut minutes: Vec<_> = (0..BEFORE).map(|_| minute(&mut source, an_hour, FAILING)).collect();
    minutes.extend((0..WAIT).map(|_| minute(&mut source, an_hour, 1.0)));
    firing(&minutes, true).find(|at| *at >= BEFORE).map_or(WAIT, |at| at - BEFORE + 1)
}

/// The minutes at whose end the page fires.
fn firing(minutes: &[(f64, f64)], gated: bool) -> impl Iterator<Item = usize> {
    let mut sums = vec![(0.0, 0.0)];
    for (n, bad) in minutes {
        let (all_n, all_bad) = sums[sums.len() - 1];
        sums.push((all_n + n, all_bad + bad));
    }
    let mut held = [[0.0; 3]; 2];
    let pages = BURN_WINDOWS.iter().filter(|w| w.severity == Severity::Page).collect::<Vec<_>>();
    (0..minutes.len()).filter(move |at| {
        pages.iter().zip(&mut held).fold(false, |fires, (window, [long, short, floor])| {
            let of = |seconds: u64| {
                let from = (at + 1).saturating_sub(seconds as usize / 60);
                (sums[at + 1].0 - sums[from].0, sums[at + 1].1 - sums[from].1)
            };
            let (n, bad) = of(window.long_seconds);
            if n > 0.0 {
                *long = bad / n / BUDGET;
                *floor = if bad >= BAD_MIN { wilson(bad / n, n) / BUDGET } else { 0.0 };
            }
            let (n, bad) = of(window.short_seconds);
            if n > 0.0 {
                *short = bad / n / BUDGET;
            }
            let factor = window.factor(PERIOD_DAYS);
            fires | (*long > factor && *short > factor && (!gated || *floor > factor))
        })
    })
}

/// The lower end of Wilson's interval (1927).
fn wilson(p: f64, n: f64) -> f64 {
    let z2 = Z * Z;
    (p + z2 / (2.0 * n) - Z * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt()) / (1.0 + z2 / n)
}
