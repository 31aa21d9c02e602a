//! Certified bounds on the exact KS distance, from bin counts alone.
//!
//! At a bin's edge both distribution functions are known, so the largest difference over edges is a lower bound. Inside a bin
//! that starts with difference `d`, the difference lies between `d - current mass` and `d + reference mass`: the largest of
//! these is an upper bound. An atom has no inside. Deciding on the lower bound keeps every guarantee against false alarms.

use super::reference::Numbers;

/// Past the numbers a cut that shows this share of the difference is the witness: what is lost there shows first among the numbers.
const AS_FAR: f64 = 0.98;

/// Two bounds on the distance and where the lower one is reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// The exact distance is at least this.
    pub lower: f64,
    /// The exact distance is at most this.
    pub upper: f64,
    /// Where the two functions are farthest apart, or nearly so and past the last number.
    pub witness: Witness,
}

/// The cut at which reference and window differ most: shares of values before it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Witness {
    /// The cell that ends there.
    pub cell: usize,
    /// Share of the reference before the cut.
    pub reference: f64,
    /// Share of the window before the cut.
    pub current: f64,
}

/// Bounds of the distance between the reference and a window's counts by cell. `None` when either holds nothing.
#[must_use]
pub fn bounds(reference: &Numbers, current: &[u64]) -> Option<Bounds> {
    let (m, n) = (total(&reference.counts)?, total(current)?);
    let mut found = Bounds { lower: 0.0, upper: 0.0, witness: Witness::default() };
    let (mut before, mut now) = (0u64, 0u64);
    let mut difference = 0.0f64;
    let mut lost: Option<(f64, Witness)> = None;
    for (cell, (r, c)) in reference.counts.iter().zip(current).enumerate() {
        if !reference.is_atom(cell) {
            let (up, down) = (difference + *r as f64 / m, difference - *c as f64 / n);
            found.upper = found.upper.max(up.abs()).max(down.abs());
        }
        before += r;
        now += c;
        let (reference_share, current_share) = (before as f64 / m, now as f64 / n);
        difference = reference_share - current_share;
        let witness = Witness { cell, reference: reference_share, current: current_share };
        if difference.abs() > found.lower {
            (found.lower, found.witness) = (difference.abs(), witness);
        }
        // of equal ones the last: where values are missing, that they are numbers or not differs as much
        if cell > reference.edges.len() && lost.is_none_or(|(most, _)| difference.abs() >= most) {
            lost = Some((difference.abs(), witness));
        }
    }
    if let Some((_, witness)) = lost.filter(|(most, _)| *most > 0.0 && *most >= AS_FAR * found.lower) {
        found.witness = witness;
    }
    found.upper = found.upper.max(found.lower).min(1.0);
    Some(found)
}

fn total(counts: &[u64]) -> Option<f64> {
    let sum: u64 = counts.iter().sum();
    (sum > 0).then_some(sum as f64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::judge::{ks, reference::Reference};

    fn compare(reference: &[f64], window: &[f64], bins: usize) -> Bounds {
        let Reference::Numbers(frozen) = Reference::numbers(reference, 0, bins) else {
            unreachable!("numbers were given")
        };
        let current = Reference::Numbers(frozen.clone()).cells(window.iter().map(|x| (frozen.bin_of(*x), 1)));
        bounds(&frozen, &current).unwrap()
    }

    #[test]
    fn zeros_do_not_blow_up_the_upper_bound() {
        let mut values = vec![0.0; 600];
        values.extend((1..=400).map(f64::from));
        let same = compare(&values, &values, 64);
        assert_eq!(same.lower, 0.0);
        assert!(same.upper < 0.02, "{same:?}");
    }

    #[test]
    fn a_window_of_nothing_but_missing_is_far_away() {
        let reference = Reference::numbers(&[1.0, 2.0, 3.0], 0, 8);
        let cells = reference.cells([(store::read::bin::MISSING, 50)]);
        let Reference::Numbers(frozen) = &reference else { unreachable!("numbers were given") };
        assert_eq!(bounds(frozen, &cells).unwrap().lower, 1.0);
        assert_eq!(bounds(frozen, &reference.cells([])), None);
    }

    #[test]
    fn what_is_lost_is_not_told_as_a_value_that_moved() {
        let values: Vec<f64> = (0..1_000).map(f64::from).collect();
        let reference = Reference::numbers(&values, 0, 64);
        let Reference::Numbers(frozen) = &reference else { unreachable!("numbers were given") };
        let last = frozen.edges.len();
        use store::read::bin::{MISSING, NAN, OTHER};
        for (lost, cell) in
            [(NAN, last + 2), (MISSING, last + 3), (OTHER, last + 4), (frozen.bin_of(f64::INFINITY), last + 1)]
        {
            // by chance the sample's largest values are a few too many, so that the difference is largest before the last number
            let kept = (0..700).map(|i| (frozen.bin_of(if i < 681 { f64::from(i) / 0.7 } else { 999.0 }), 1));
            let found = bounds(frozen, &reference.cells(kept.chain([(lost, 300)]))).unwrap();
            assert!(found.lower > 0.3 && found.lower < 0.305, "{found:?}");
            assert_eq!((found.witness.cell, found.witness.reference, found.witness.current), (cell, 1.0, 0.7));
        }
        let larger = values.iter().map(|x| (frozen.bin_of(x + 300.0), 1));
        assert!(bounds(frozen, &reference.cells(larger)).unwrap().witness.cell <= last);
    }

    #[test]
    fn one_outlier_hides_nothing() {
        let reference: Vec<f64> = (0..5_000).map(|i| f64::from(i) / 5_000.0).collect();
        let mut window: Vec<f64> = reference.iter().map(|x| x + 0.3).collect();
        window.push(1e6);
        assert!(compare(&reference, &window, 1024).lower > 0.29);
    }

    proptest! {
        #[test]
        fn the_exact_distance_lies_between(
            reference in prop::collection::vec((-60i32..60).prop_map(|k| f64::from(k) / 7.0), 1..250),
            window in prop::collection::vec((-70i32..70).prop_map(|k| f64::from(k) / 7.0), 1..250),
            bins in 1usize..80,
        ) {
            let found = compare(&reference, &window, bins);
            let exact = ks::two_sample(&reference, &window).unwrap().d;
            prop_assert!(found.lower <= exact + 1e-12, "{found:?} {exact}");
            prop_assert!(exact <= found.upper + 1e-12, "{found:?} {exact}");
        }
    }
}
