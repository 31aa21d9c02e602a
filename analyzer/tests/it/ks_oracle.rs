//! D and p equal scipy's, for pairs with ties, unequal sizes and far scales, and for the one-sample law over a grid.

use analyzer::judge::{kolmogorov, ks};
use serde::Deserialize;

#[derive(Deserialize)]
struct Oracle {
    pairs: Vec<Pair>,
    tails: Vec<(u64, f64, f64)>,
}

#[derive(Debug, Deserialize)]
struct Pair {
    seed: u64,
    n1: usize,
    n2: usize,
    shift: f64,
    scale: f64,
    levels: u32,
    d: f64,
    p: f64,
}

/// Made by `make_ks.py` beside it, which says how.
fn oracle() -> Oracle {
    serde_json::from_str(include_str!("../oracle/ks.json")).unwrap()
}

/// The same numbers as `sample` in `make_ks.py`.
pub fn sample(seed: u64, n: usize, shift: f64, scale: f64, levels: u32) -> Vec<f64> {
    let mut state = seed;
    (0..n)
        .map(|_| {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            let mut u = ((z ^ (z >> 31)) >> 11) as f64 * 2f64.powi(-53);
            if levels > 0 {
                u = (u * f64::from(levels)).floor() / f64::from(levels);
            }
            (u + shift) * scale
        })
        .collect()
}

pub fn relative(a: f64, b: f64) -> f64 {
    (a - b).abs() / b.abs().max(f64::MIN_POSITIVE)
}

#[test]
fn pairs_equal_scipys() {
    let pairs = oracle().pairs;
    assert!(pairs.len() >= 50);
    for pair in &pairs {
        let first = sample(pair.seed, pair.n1, 0.0, pair.scale, pair.levels);
        let second = sample(pair.seed + 1, pair.n2, pair.shift, pair.scale, pair.levels);
        let found = ks::two_sample(&first, &second).unwrap();
        assert!((found.d - pair.d).abs() <= 1e-12, "{pair:?} {found:?}");
        assert!(relative(found.p, pair.p) <= 1e-9, "{pair:?} {found:?}");
        assert!((found.log_p - pair.p.ln()).abs() <= 1e-8, "{pair:?} {found:?}");
        assert!(found.p_ties.is_none_or(|p| p <= found.p), "{found:?}");
    }
}

#[test]
fn the_one_sample_law_equals_scipys() {
    let tails = oracle().tails;
    assert!(tails.len() > 300);
    for (n, x, p) in tails {
        let found = kolmogorov::tail(n, x);
        assert!(relative(found.p, p) <= 1e-9, "n = {n}, x = {x}: {} is not {p}", found.p);
        assert!((found.log_p - p.ln()).abs() <= 1e-9 * p.ln().abs().max(1.0), "n = {n}, x = {x}");
    }
}
