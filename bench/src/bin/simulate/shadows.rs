//! Shadow verdicts with a look after every pair: the worst that an impatient reader can do.

use analyzer::judge::agreement::{Pairs, ShadowPolicy, decide};
use bench::table::Table;
use contract::api::ShadowVerdict;

use crate::{random::Source, streams::each};

const RUNS: u64 = 2_000;
const PAIRS: u64 = 2_000;
const AGREEMENT: f64 = 0.95;

const POLICY: ShadowPolicy = ShadowPolicy {
    agreement_min: AGREEMENT,
    failure_max: 0.02,
    alpha: 0.05,
    pairs_min: 1,
    seconds_min: 0,
    tolerance: store::read::Tolerance { absolute: 0.0, relative: 0.0, vector: 0.0 },
};

pub fn wrong_verdicts(table: &mut Table) {
    // a shadow equal to its primary differs by its own noise only: 1 % of the pairs
    let (rejected, _) = shares(0.99);
    table.seen("same-reject", rejected, "");
    let (rejected, promoted) = shares(AGREEMENT);
    table.seen("margin-reject", rejected, "");
    table.seen("margin-promote", promoted, "");
}

/// Shares of runs that were ever rejected and ever promoted.
fn shares(agreement: f64) -> (f64, f64) {
    let ever = each(0..RUNS, |seed| run(seed, agreement));
    let share = |of: fn(&(bool, bool)) -> bool| ever.iter().filter(|run| of(run)).count() as f64 / RUNS as f64;
    (share(|run| run.0), share(|run| run.1))
}

fn run(seed: u64, agreement: f64) -> (bool, bool) {
    let (mut source, mut pairs) = (Source::new(seed), Pairs::default());
    let (mut rejected, mut promoted) = (false, false);
    for second in 0..PAIRS {
        pairs.pairs += 1;
        pairs.answered += 1;
        pairs.agreed += u64::from(source.uniform() < agreement);
        pairs.seconds = second;
        if rejected && promoted {
            break;
        }
        match decide(&pairs, &POLICY).verdict {
            ShadowVerdict::Reject => rejected = true,
            ShadowVerdict::Promote => promoted = true,
            ShadowVerdict::Hold => {}
        }
    }
    (rejected, promoted)
}
