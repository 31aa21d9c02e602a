//! Statistics of the rank tests and of the distances over counts equal scipy's, and p-values where scipy's are exact.

use analyzer::judge::{
    distances, order,
    ranks::{self, RankTest, Walk},
    wasserstein,
};
use serde::Deserialize;

use crate::ks_oracle::{relative, sample};

#[derive(Deserialize)]
struct Oracle {
    pairs: Vec<Pair>,
    tables: Vec<Table>,
    limits: Vec<(String, f64, f64)>,
}

#[derive(Debug, Deserialize)]
struct Pair {
    seed: u64,
    n1: usize,
    n2: usize,
    shift: f64,
    levels: u32,
    cramer: (f64, Option<f64>),
    mann: (f64, f64),
    darling: f64,
    kuiper: f64,
    wasserstein: f64,
}

#[derive(Debug, Deserialize)]
struct Table {
    table: Vec<(u64, u64)>,
    chi: (f64, f64),
    g: (f64, f64),
    jensen_shannon: f64,
    hellinger: f64,
    total_variation: f64,
    l_infinity: f64,
    psi: f64,
}

/// Made by `make_tests.py` beside it, which says how.
fn oracle() -> Oracle {
    serde_json::from_str(include_str!("../oracle/tests.json")).unwrap()
}

fn keys(values: &[f64]) -> Vec<u64> {
    let mut keys: Vec<u64> = values.iter().map(|x| order::key(*x)).collect();
    keys.sort_unstable();
    keys
}

fn close(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= 1e-9 * expected.abs().max(1.0)
}

/// Statistic to 1e-9, and p to nine digits or to the `slack` that scipy's own p has.
fn same(found: RankTest, (statistic, p): (f64, f64), slack: f64) -> bool {
    let p_same = relative(found.p, p) <= 1e-9 || (found.p - p).abs() <= slack;
    let log_same = found.p == 0.0 && found.log_p < -700.0
        || (found.log_p - found.p.ln()).abs() < 1e-9 * found.log_p.abs().max(1.0);
    close(found.statistic, statistic) && p_same && log_same
}

#[test]
fn rank_tests_equal_scipys() {
    let pairs = oracle().pairs;
    assert!(pairs.len() >= 20);
    for pair in &pairs {
        let first = keys(&sample(pair.seed, pair.n1, 0.0, 1.0, pair.levels));
        let second = keys(&sample(pair.seed + 1, pair.n2, pair.shift, 1.0, pair.levels));
        let walk = Walk::over(&first, &second).unwrap();
        let cramer = ranks::cramer_von_mises(&walk);
        // scipy takes a sum from 1 that is good to 1e-10 at the usual sizes and to 1e-6 far out
        let (statistic, p) = pair.cramer;
        assert!(
            same(cramer, (statistic, p.unwrap_or(cramer.p)), if statistic < 10.0 { 1e-10 } else { 1e-6 }),
            "{pair:?} {cramer:?}"
        );
        let mann = ranks::mann_whitney(&walk);
        assert!(same(mann, pair.mann, 0.0), "{pair:?} {mann:?}");
        let darling = ranks::anderson_darling(&walk).unwrap();
        assert!(close(darling.statistic, pair.darling), "{pair:?} {darling:?}");
        assert!(close(ranks::kuiper(&walk).statistic, pair.kuiper), "{pair:?}");
        let moved = wasserstein::wasserstein(&first, &second).unwrap().distance;
        assert!(close(moved, pair.wasserstein), "{pair:?} {moved}");
    }
}

#[test]
fn distances_over_counts_equal_scipys() {
    for table in &oracle().tables {
        let found = distances::distances(&table.table).unwrap();
        for (what, found, expected) in [
            ("jensen-shannon", found.jensen_shannon, table.jensen_shannon),
            ("hellinger", found.hellinger, table.hellinger),
            ("total variation", found.total_variation, table.total_variation),
            ("l-infinity", found.l_infinity, table.l_infinity),
            ("psi", found.psi, table.psi),
        ] {
            assert!(close(found, expected), "{what} of {:?}: {found} is not {expected}", table.table);
        }
        for (found, expected) in
            [(distances::chi_square(&table.table).unwrap(), table.chi), (distances::g(&table.table).unwrap(), table.g)]
        {
            assert!(close(found.statistic, expected.0), "{table:?} {found:?}");
            assert!(
                relative(found.p, expected.1) <= 1e-9 || (found.p - expected.1).abs() < 1e-300,
                "{table:?} {found:?}"
            );
        }
    }
}

/// The tail of Anderson and Darling's law, through the public test: a walk whose statistic is moved to the point asked for is not
/// to be had, so the p-values of real samples are held against a line through the oracle's points in `ln p`.
#[test]
fn anderson_darlings_tail_lies_between_imhofs_points() {
    let oracle = oracle();
    let deviation = (2.0 * (std::f64::consts::PI.powi(2) - 9.0) / 3.0).sqrt();
    let points: Vec<(f64, f64)> =
        oracle.limits.iter().filter(|(law, ..)| law == "anderson_darling").map(|(_, w, p)| (*w, *p)).collect();
    let mut met = 0;
    for pair in &oracle.pairs {
        let first = keys(&sample(pair.seed, pair.n1, 0.0, 1.0, pair.levels));
        let second = keys(&sample(pair.seed + 1, pair.n2, pair.shift, 1.0, pair.levels));
        let found = ranks::anderson_darling(&Walk::over(&first, &second).unwrap()).unwrap();
        let w = 1.0 + found.statistic * deviation;
        let Some(ends) = points.windows(2).find(|ends| (ends[0].0..=ends[1].0).contains(&w)) else { continue };
        assert!(found.p <= ends[0].1 * 1.001 && found.p >= ends[1].1 * 0.999, "{w} {found:?} {ends:?}");
        met += 1;
    }
    assert!(met >= 8, "{met}");
}

#[test]
fn what_is_no_number_moves_like_any_other() {
    let reference = keys(&(0..500).map(f64::from).collect::<Vec<_>>());
    let mut current = reference.clone();
    current.iter_mut().skip(250).for_each(|key| *key = order::MISSING);
    let walk = Walk::over(&reference, &current).unwrap();
    for found in [ranks::cramer_von_mises(&walk), ranks::mann_whitney(&walk), ranks::kuiper(&walk)] {
        assert!(found.p < 1e-6, "{found:?}");
    }
    let same = Walk::over(&vec![order::MISSING; 30], &vec![order::MISSING; 40]).unwrap();
    assert_eq!(ranks::anderson_darling(&same), None);
    assert_eq!(
        (ranks::mann_whitney(&same).p, ranks::cramer_von_mises(&same).p, ranks::kuiper(&same).p),
        (1.0, 1.0, 1.0)
    );
}
