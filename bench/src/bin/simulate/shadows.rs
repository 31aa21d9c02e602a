//! Shadow verdicts with a look after every pair: the worst that an impatient reader can do.

use analyzer::judge::{
    agreement::{Pairs, ShadowPolicy, decide},
    guardrails::{Limits, Measured},
};
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
    limits: Limits::NONE,
};

pub fn wrong_verdicts(table: &mut Table) {
    // a shadow equal to its primary differs by its own noise only: 1 % of the pairs
    let (rejected, _) = shares(0.99);
    table.seen("same-reject", rejected, "");
    let (rejected, promoted) = shares(AGREEMENT);
    table.seen("margin-reject", rejected, "");
    table.seen("margin-promote", promoted, "");
    let (mut rejected, mut promoted) = (0.0_f64, 0.0_f64);
    for rail in [Rail::Slowdown, Rail::Confidence, Rail::Accuracy] {
        let found = at_margin(rail);
        (rejected, promoted) = (rejected.max(found.0), promoted.max(found.1));
    }
    table.seen("guard-reject", rejected, "");
    table.seen("guard-promote", promoted, "");
}

/// A guardrail whose mean is exactly at its limit, while all answers agree.
#[derive(Clone, Copy)]
enum Rail {
    /// Twice the primary's run time, give or take half an octave.
    Slowdown,
    /// A confidence that falls by a tenth, give or take a tenth.
    Confidence,
    /// Wrong where the primary was right in 6 %, right where it was wrong in 4 %.
    Accuracy,
}

const GUARDED: ShadowPolicy = ShadowPolicy {
    limits: Limits { slowdown: 2.0, confidence_drop: 0.1, accuracy_loss: 0.02, labelled_min: 1, ..Limits::NONE },
    ..POLICY
};

impl Rail {
    /// The policy that asks of this one alone.
    const fn policy(self) -> ShadowPolicy {
        let (none, all) = (Limits::NONE, GUARDED.limits);
        let limits = match self {
            Self::Slowdown => Limits { slowdown: all.slowdown, ..none },
            Self::Confidence => Limits { confidence_drop: all.confidence_drop, ..none },
            Self::Accuracy => Limits { accuracy_loss: all.accuracy_loss, labelled_min: all.labelled_min, ..none },
        };
        ShadowPolicy { limits, ..GUARDED }
    }

    fn draw(self, source: &mut Source) -> f64 {
        match self {
            Self::Slowdown => (1.0 + (source.normal() * 4.0).round() / 8.0).clamp(-1.0, 3.0),
            Self::Confidence => (source.uniform() * 20.0).round() / 100.0,
            Self::Accuracy => match source.uniform() {
                u if u < 0.06 => 1.0,
                u if u < 0.10 => -1.0,
                _ => 0.0,
            },
        }
    }

    fn of(self, measured: &mut Measured) -> &mut Vec<(f64, u64)> {
        match self {
            Self::Slowdown => &mut measured.octaves,
            Self::Confidence => &mut measured.confidence,
            Self::Accuracy => &mut measured.losses,
        }
    }
}

fn at_margin(rail: Rail) -> (f64, f64) {
    let policy = rail.policy();
    let ever = each(0..RUNS, |seed| {
        let (mut source, mut pairs, mut measured) = (Source::new(seed), Pairs::default(), Measured::default());
        let (mut rejected, mut promoted) = (false, false);
        for second in 0..PAIRS {
            (pairs.pairs, pairs.answered, pairs.agreed) = (pairs.pairs + 1, pairs.answered + 1, pairs.agreed + 1);
            pairs.seconds = second;
            let drawn = rail.draw(&mut source);
            let counts = rail.of(&mut measured);
            match counts.iter_mut().find(|(value, _)| *value == drawn) {
                Some((_, n)) => *n += 1,
                None => counts.push((drawn, 1)),
            }
            match decide(&pairs, &measured, &policy).verdict {
                ShadowVerdict::Reject => rejected = true,
                ShadowVerdict::Promote => promoted = true,
                ShadowVerdict::Hold => {}
            }
            if rejected && promoted {
                break;
            }
        }
        (rejected, promoted)
    });
    let share = |of: fn(&(bool, bool)) -> bool| ever.iter().filter(|run| of(run)).count() as f64 / RUNS as f64;
    (share(|run| run.0), share(|run| run.1))
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
        match decide(&pairs, &Measured::default(), &POLICY).verdict {
            ShadowVerdict::Reject => rejected = true,
            ShadowVerdict::Promote => promoted = true,
            ShadowVerdict::Hold => {}
        }
    }
    (rejected, promoted)
}
