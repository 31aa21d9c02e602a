//! A reference replayed against itself: windows drawn from what was frozen go through the live detectors, and every alarm is a false one.
//!
//! The choice: draws from the frozen counts, seeded by the reference's fingerprint, so that every analyzer finds the same figure and
//! nothing has to be stored. What this finds is a fault of the configuration or of the detectors on this very data: its atoms, its rare
//! names, its size. It draws values one by one, so it finds nothing of traffic whose values depend on each other; what was measured
//! of that stands in each verdict (`autocorrelation`, `worth`).

use contract::api::ReferenceReplay;

use super::{
    agreement,
    gate::{Input, Policy},
    reference::Reference,
    sequential::Detector,
    watch,
};

/// Windows of features looked at: about a second of one core.
const LOOKS_MAX: usize = 20_000;
/// Windows replayed, whatever there is to look at.
const WINDOWS: std::ops::RangeInclusive<usize> = 20..=1_000;
/// Chance that the bound of the rate is too low.
const ALPHA: f64 = 0.05;

/// Replays the features of one model with `n` values a window.
#[must_use]
pub fn replay(references: &[&Reference], policy: &Policy, fingerprint: &str) -> ReferenceReplay {
    let windows = (LOOKS_MAX / references.len().max(1)).clamp(*WINDOWS.start(), *WINDOWS.end());
    let sums: Vec<Vec<u64>> = references.iter().map(|reference| running(reference.counts())).collect();
    let mut source = Source::seeded(fingerprint);
    let mut detectors = vec![Detector::default(); references.len()];
    let mut alarms = 0;
    for _ in 0..windows {
        let drawn: Vec<Vec<u64>> = sums.iter().map(|sums| source.window(sums, policy.n_min)).collect();
        let inputs = references.iter().zip(&drawn).map(|(reference, current)| Input { reference, current });
        let watched = watch::watch(&inputs.collect::<Vec<_>>(), detectors, policy);
        alarms += u64::from(watched.iter().any(|one| one.named));
        detectors = watched.into_iter().map(|one| one.detector).collect();
    }
    let windows = windows as u64;
    ReferenceReplay {
        windows,
        n: policy.n_min,
        alarms,
        rate_at_most: agreement::sequence(alarms, windows, ALPHA).map_or(1.0, |bounds| bounds.upper),
        promised: 1.0 / (policy.false_alarm_windows * (1.0 - policy.delta)),
    }
}

/// The same in words, to follow the guarantee.
#[must_use]
pub fn sentence(replay: &ReferenceReplay) -> String {
    let ReferenceReplay { windows, n, alarms, .. } = replay;
    format!(
        " Replayed against itself, the reference raised {alarms} false alarms in {windows} windows of {n} values drawn from it."
    )
}

fn running(counts: &[u64]) -> Vec<u64> {
    let add = |sum: &mut u64, count: &u64| {
        *sum += count;
        Some(*sum)
    };
    counts.iter().scan(0, add).collect()
}

/// Seeded draws: Splitmix64 (Steele, Lea and Flood 2014).
struct Source(u64);

impl Source {
    /// FNV-1a of the text: any two references have streams of their own.
    fn seeded(text: &str) -> Self {
        Self(
            text.bytes()
                .fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)),
        )
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// `n` values by cell; `sums` are the reference's running counts.
    fn window(&mut self, sums: &[u64], n: u64) -> Vec<u64> {
        let mut cells = vec![0; sums.len()];
        let Some(total) = sums.last().copied().filter(|total| *total > 0) else { return cells };
        for _ in 0..n {
            // the remainder is uneven by less than one in 2^40
            let at = self.next() % total;
            cells[sums.partition_point(|sum| *sum <= at)] += 1;
        }
        cells
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::gate::TEST_POLICY as POLICY;

    fn numbers(n: u32) -> Reference {
        // a third of the values is one atom
        let values: Vec<f64> = (0..n).map(|i| if i % 3 == 0 { 0.0 } else { f64::from(i * 7_919 % n) }).collect();
        Reference::numbers(&values, u64::from(n / 50), 256)
    }

    #[test]
    fn a_reference_does_not_alarm_on_itself_and_the_figure_is_the_same_everywhere() {
        let names = Reference::categories(vec![("a".into(), 900), ("b".into(), 90), ("c".into(), 10)], 0, 8);
        let (first, second) = (numbers(5_000), numbers(3_000));
        let found = replay(&[&first, &second, &names], &POLICY, "abc");
        assert_eq!((found.alarms, found.windows, found.n), (0, 1_000, 200));
        assert!(found.rate_at_most < 0.01 && found.rate_at_most > found.promised, "{found:?}");
        assert_eq!(found, replay(&[&first, &second, &names], &POLICY, "abc"));
        assert!(sentence(&found).contains("0 false alarms in 1000 windows of 200 values"));
    }

    #[test]
    fn a_configuration_that_asks_for_no_evidence_is_found_out() {
        let reference = numbers(5_000);
        let hasty = Policy { false_alarm_windows: 0.4, ..POLICY };
        assert!(replay(&[&reference], &hasty, "abc").alarms > 100);
    }

    #[test]
    fn windows_are_drawn_as_the_reference_is() {
        let mut source = Source::seeded("abc");
        let sums = running(&[700, 0, 200, 100]);
        let drawn = source.window(&sums, 100_000);
        assert_eq!((drawn.iter().sum::<u64>(), drawn[1]), (100_000, 0));
        // five standard deviations of 100,000 draws of .2 are 632
        assert!(drawn[2].abs_diff(20_000) < 632, "{drawn:?}");
        assert_eq!(source.window(&[], 5), [0; 0]);
    }
}
