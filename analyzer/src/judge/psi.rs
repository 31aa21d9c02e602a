//! Population stability index: `sum (c - r) ln(c / r)` over shares of reference and window.
//!
//! Numbers are merged into ten bins of about equal reference mass, of categories the most frequent keep theirs and the rest share
//! one: on 1,024 bins the index of two equal distributions is .38 at n = 200, on at most twenty it is small. The bins come from the reference alone; binning both together lets one
//! outlier hide a drift. Every bin gets the pseudo-count [`PSEUDO_COUNT`]; a bin empty on both sides is left out.

use super::reference::Reference;

/// Bins after merging.
const MERGED_BINS: u64 = 10;
/// Categories with a bin of their own; with the rest and the special cells that makes twenty.
const NAMED_CATEGORIES: usize = 16;
/// Added to each merged bin's count, so that an empty one stays finite.
pub const PSEUDO_COUNT: f64 = 0.5;
/// Cells at the end that are merged with no other: NaN, missing, other (never seen, missing, other for categories).
const SPECIAL_CELLS: usize = 3;

/// The index in nats. `None` when reference or window holds nothing.
#[must_use]
pub fn psi(reference: &Reference, current: &[u64]) -> Option<f64> {
    of_counts(&merged(reference, current))
}

/// Counts over the merged bins; bins empty on both sides are left out.
#[must_use]
pub fn merged(reference: &Reference, current: &[u64]) -> Vec<(u64, u64)> {
    let merged: Vec<(u64, u64)> = match reference {
        Reference::Numbers(numbers) => merge(&numbers.counts, current),
        Reference::Categories(categories) => join_rare(&categories.counts, current),
    };
    merged.into_iter().filter(|(r, c)| r + c > 0).collect()
}

/// The index over pairs of counts that are merged already.
#[must_use]
pub fn of_counts(pairs: &[(u64, u64)]) -> Option<f64> {
    let merged: Vec<(u64, u64)> = pairs.iter().copied().filter(|(r, c)| r + c > 0).collect();
    let (m, n): (u64, u64) = merged.iter().fold((0, 0), |(m, n), (r, c)| (m + r, n + c));
    if m == 0 || n == 0 {
        return None;
    }
    let added = PSEUDO_COUNT * merged.len() as f64;
    let sum = merged.iter().map(|(r, c)| {
        let r = (*r as f64 + PSEUDO_COUNT) / (m as f64 + added);
        let c = (*c as f64 + PSEUDO_COUNT) / (n as f64 + added);
        (c - r) * (c / r).ln()
    });
    Some(sum.sum())
}

/// Neighbouring cells joined until each holds a tenth of the reference; the special cells stay apart.
fn merge(reference: &[u64], current: &[u64]) -> Vec<(u64, u64)> {
    let ordered = reference.len().saturating_sub(SPECIAL_CELLS);
    let total: u64 = reference[..ordered].iter().sum();
    let mut merged: Vec<(u64, u64)> = Vec::new();
    let (mut group, mut seen) = ((0, 0), 0u64);
    for (r, c) in reference[..ordered].iter().zip(current) {
        group = (group.0 + r, group.1 + c);
        seen += r;
        let done = merged.len() as u64 + 1;
        if group.0 > 0 && seen * MERGED_BINS >= done * total && done < MERGED_BINS {
            merged.push(group);
            group = (0, 0);
        }
    }
    merged.push(group);
    merged.extend(reference[ordered..].iter().copied().zip(current[ordered..].iter().copied()));
    merged
}

/// Categories past the most frequent joined; names come most frequent first.
fn join_rare(reference: &[u64], current: &[u64]) -> Vec<(u64, u64)> {
    let names = reference.len().saturating_sub(SPECIAL_CELLS);
    let pairs = || reference.iter().copied().zip(current.iter().copied());
    let rare = pairs().take(names).skip(NAMED_CATEGORIES).fold((0, 0), |(r, c), (r1, c1)| (r + r1, c + c1));
    let mut joined: Vec<(u64, u64)> = pairs().take(names.min(NAMED_CATEGORIES)).collect();
    joined.push(rare);
    joined.extend(pairs().skip(names));
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(reference: &[f64], window: &[f64]) -> f64 {
        let frozen = Reference::numbers(reference, 0, 1024);
        let Reference::Numbers(numbers) = &frozen else { unreachable!("numbers were given") };
        psi(&frozen, &frozen.cells(window.iter().map(|x| (numbers.bin_of(*x), 1)))).unwrap()
    }

    #[test]
    fn ten_bins_by_hand() {
        // Reference 0..1000 in ten equal bins; the window has all its values in the first one.
        let reference: Vec<f64> = (0..1_000).map(f64::from).collect();
        let window: Vec<f64> = (0..100).map(f64::from).collect();
        let (r, c1, c0) = (100.5 / 1_005.0, 100.5 / 105.0, 0.5 / 105.0);
        let expected = (c1 - r) * f64::ln(c1 / r) + 9.0 * (c0 - r) * f64::ln(c0 / r);
        assert!((of(&reference, &window) - expected).abs() < 1e-12);
    }

    #[test]
    fn equal_distributions_have_a_small_index() {
        let reference: Vec<f64> = (0..5_000).map(|i| f64::from(i * 7_919 % 5_000)).collect();
        let window: Vec<f64> = (0..200).map(|i| f64::from(i * 25 + 3)).collect();
        assert!(of(&reference, &window) < 0.02);
    }

    #[test]
    fn many_categories_do_not_inflate_the_index() {
        let names = |n: u64| (0..500).map(move |i| (format!("name {i:03}"), n)).collect();
        let frozen = Reference::categories(names(20), 0, 1_024);
        // 200 values of one law, each of another name: over 503 cells the index would be above 1.
        let same = psi(&frozen, &frozen.cells((0..400).step_by(2).map(|bin| (bin, 1)))).unwrap();
        assert!(same < 0.2, "{same}");
    }

    #[test]
    fn categories_count_what_was_never_seen() {
        let frozen = Reference::categories(vec![("a".into(), 50), ("b".into(), 50)], 0, 8);
        let same = psi(&frozen, &frozen.cells([(0, 10), (1, 10)])).unwrap();
        let moved = psi(&frozen, &frozen.cells([(store::read::bin::NEVER_SEEN, 20)])).unwrap();
        assert!(same < 1e-3 && moved > 1.0, "{same} {moved}");
        assert_eq!(psi(&frozen, &frozen.cells([])), None);
    }
}
