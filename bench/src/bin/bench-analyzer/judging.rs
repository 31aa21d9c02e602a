//! The pure part of a window: verdicts and detectors of many features from counts over bins.

use std::time::Instant;

use analyzer::judge::gate::{self, Input, Policy};
use analyzer::judge::reference::{Numbers, Reference};
use analyzer::judge::sequential::Detector;
use analyzer::judge::watch::watch;
use bench::median;
use bench::table::Table;

const FEATURES: usize = 1_000;
const BINS: usize = 1_024;
const REFERENCE: usize = 10_000;
const WINDOW: u64 = 2_000;
const WINDOWS: u64 = 40;
/// Windows until the detectors have all their witnesses.
const WARM: u64 = 10;

/// Milliseconds for one window of all features, on this thread.
pub fn one_window(table: &mut Table) {
    let values: Vec<f64> = (0..REFERENCE as u64).map(|i| normal(i, 0)).collect();
    let reference = Reference::numbers(&values, 0, BINS);
    let Reference::Numbers(bins) = &reference else { return };
    let policy = Policy {
        delta_ignore: 0.02,
        delta: 0.01,
        alpha: 0.05,
        n_min: 200,
        detectable_min: 0.2,
        resolve_windows: 3,
        false_alarm_windows: 1_000.0,
    };
    let mut detectors = vec![Detector::default(); FEATURES];
    let mut took = vec![];
    for window in 1..=WINDOWS {
        let cells: Vec<Vec<u64>> =
            (0..FEATURES as u64).map(|feature| counted(&reference, bins, window, feature)).collect();
        let inputs: Vec<Input<'_>> = cells.iter().map(|current| Input { reference: &reference, current }).collect();
        let began = Instant::now();
        let findings = gate::judge(&inputs, &policy);
        let watched = watch(&inputs, detectors, &policy);
        let ended = began.elapsed();
        assert_eq!((findings.len(), watched.len()), (FEATURES, FEATURES));
        detectors = watched.into_iter().map(|one| one.detector).collect();
        if window > WARM {
            took.push(ended.as_secs_f64() * 1e3);
        }
    }
    let windows = took.len();
    table.seen("judge", median(took), format!("median of {windows} windows of {WINDOW} values a feature"));
}

/// One window of one feature over the bins; a tenth of the features is shifted.
fn counted(reference: &Reference, bins: &Numbers, window: u64, feature: u64) -> Vec<u64> {
    let shift = if feature.is_multiple_of(10) { 0.05 } else { 0.0 };
    let seed = window * 1_000_003 + feature;
    reference.cells((0..WINDOW).map(|i| (bins.bin_of(normal(i, seed) + shift), 1)))
}

/// A draw from the normal law that depends on nothing but its number (splitmix64, Box and Muller).
fn normal(i: u64, seed: u64) -> f64 {
    let mix = |mut x: u64| {
        x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    };
    let first = mix(mix(seed) ^ i);
    let share = |x: u64| ((x >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    (-2.0 * share(first).ln()).sqrt() * (std::f64::consts::TAU * share(mix(first))).cos()
}
