//! Reference and window in a few bars, for the page. Decisions never look at these.

use contract::api::{ClassShare, Distribution};
use store::read::CategoryCounts;

use super::{
    reference::{Numbers, Reference},
    sentence,
};

/// Bars of a numeric feature.
const BARS: usize = 24;
/// Share of the reference cut off at each end, so that one far value does not squeeze the rest into one bar.
const CUT: f64 = 0.005;

/// Both distributions of a feature over the same bars. Values outside the bars are in the outermost ones; a fine bin that
/// crosses a boundary is split as if its values were spread evenly.
#[must_use]
pub fn distribution(reference: &Reference, current: &[u64]) -> Distribution {
    match reference {
        Reference::Numbers(numbers) => {
            if let Some(value) = only(numbers) {
                return beside(numbers, current, value);
            }
            let edges = bars(numbers);
            Distribution {
                names: Vec::new(),
                reference: rebin(numbers, &numbers.counts, &edges),
                current: rebin(numbers, current, &edges),
                edges,
            }
        }
        Reference::Categories(categories) => {
            let mut names = categories.names.clone();
            names.extend(["(never seen)", "(missing)", "(not a category)"].map(str::to_owned));
            let shown = Distribution {
                edges: Vec::new(),
                names,
                reference: shares(&categories.counts),
                current: shares(current),
            };
            without_empty(shown, categories.names.len())
        }
    }
}

/// Bars past the first `kept` are shown only where there is something to show.
fn without_empty(mut shown: Distribution, kept: usize) -> Distribution {
    for bar in (kept..shown.names.len()).rev() {
        if shown.reference[bar] == 0.0 && shown.current[bar] == 0.0 {
            shown.names.remove(bar);
            shown.reference.remove(bar);
            shown.current.remove(bar);
        }
    }
    shown
}

/// The one value that a reference holds, but for what is cut off at its ends: bars between its quantiles would have no width.
fn only(numbers: &Numbers) -> Option<f64> {
    let (first, last) = (quantile(numbers, CUT)?, quantile(numbers, 1.0 - CUT)?);
    (first.is_finite() && last <= first.next_up()).then_some(first)
}

/// That value, and what lies below and above it. How far is in no count: a window's values are counted over the reference's bins.
fn beside(numbers: &Numbers, current: &[u64], value: f64) -> Distribution {
    let (at, ordered) = (numbers.bin_of(value) as usize, numbers.edges.len() + 3);
    let parts = |counts: &[u64]| -> Vec<f64> {
        let sum = |cells: std::ops::Range<usize>| counts.get(cells).map_or(0, |cells| cells.iter().sum());
        let mut sums = vec![sum(1..at), counts[at], sum(at + 1..ordered - 1), counts[0], counts[ordered - 1]];
        sums.extend(&counts[ordered..]);
        shares(&sums)
    };
    let told = sentence::rounded(value);
    let mut names = vec![format!("below {told}"), told.clone(), format!("above {told}")];
    names
        .extend(["(minus infinity)", "(infinity)", "(not a number)", "(missing)", "(another type)"].map(str::to_owned));
    let (reference, current) = (parts(&numbers.counts), parts(current));
    without_empty(Distribution { edges: vec![value], names, reference, current }, 3)
}

/// The reference's shares over given bars.
#[must_use]
pub fn reference_over(numbers: &Numbers, edges: &[f64]) -> Vec<f64> {
    rebin(numbers, &numbers.counts, edges)
}

/// Class mix of reference and window, the most frequent first, at most `limit`.
#[must_use]
pub fn classes(reference: Option<&Reference>, counts: &CategoryCounts, limit: usize) -> Vec<ClassShare> {
    let current = &counts.named;
    let total: u64 = current.iter().map(|(_, n)| n).sum::<u64>() + counts.rest;
    let frozen: Vec<(&String, f64)> = match reference {
        Some(Reference::Categories(c)) => c.names.iter().zip(shares(&c.counts)).collect(),
        _ => Vec::new(),
    };
    let mut classes: Vec<ClassShare> = current
        .iter()
        .map(|(label, n)| ClassShare {
            label: label.clone(),
            reference: frozen.iter().find(|(name, _)| *name == label).map(|(_, share)| *share),
            current: Some(*n as f64 / total.max(1) as f64),
        })
        .collect();
    for (name, share) in frozen {
        if current.iter().all(|(label, _)| label != name) {
            // Among the rest it may be anything.
            let current = (total > 0 && counts.rest == 0).then_some(0.0);
            classes.push(ClassShare { label: name.clone(), reference: Some(share), current });
        }
    }
    classes.sort_by(|a, b| {
        let key = |class: &ClassShare| class.current.unwrap_or(0.0).max(class.reference.unwrap_or(0.0));
        key(b).total_cmp(&key(a)).then_with(|| a.label.cmp(&b.label))
    });
    classes.truncate(limit);
    classes
}

fn shares(counts: &[u64]) -> Vec<f64> {
    let total = counts.iter().sum::<u64>().max(1) as f64;
    counts.iter().map(|n| *n as f64 / total).collect()
}

/// Equal widths between the reference's outer quantiles.
fn bars(numbers: &Numbers) -> Vec<f64> {
    let (Some(first), Some(last)) = (quantile(numbers, CUT), quantile(numbers, 1.0 - CUT)) else {
        return vec![0.0, 1.0];
    };
    if !(last - first).is_finite() {
        let half = (first.abs() * 0.5).max(0.5);
        return vec![(first - half).max(f64::MIN), (first + half).min(f64::MAX)];
    }
    (0..=BARS).map(|i| first + (last - first) * i as f64 / BARS as f64).collect()
}

/// The end of the bin in which the share is reached, from below for the lower half and from above for the upper.
fn quantile(numbers: &Numbers, share: f64) -> Option<f64> {
    let finite = 1..numbers.edges.len() + 2;
    let total: u64 = finite.clone().map(|cell| numbers.counts[cell]).sum();
    let mut seen = 0u64;
    for cell in finite {
        seen += numbers.counts[cell];
        if seen as f64 > share * total as f64 {
            let start = cell.checked_sub(2).and_then(|i| numbers.edges.get(i)).copied();
            let end = numbers.end_of(cell);
            return if share < 0.5 { start.or(end) } else { end.or(start) };
        }
    }
    numbers.edges.last().copied()
}

fn rebin(numbers: &Numbers, counts: &[u64], edges: &[f64]) -> Vec<f64> {
    let bars = edges.len().saturating_sub(1);
    let total = counts.iter().sum::<u64>().max(1) as f64;
    let mut heights = vec![0.0; bars];
    let ordered = numbers.edges.len() + 3;
    for (cell, n) in counts.iter().enumerate().take(ordered).filter(|(_, n)| **n > 0) {
        let outside = if cell < 2 { f64::NEG_INFINITY } else { f64::INFINITY };
        let start = cell.checked_sub(2).and_then(|i| numbers.edges.get(i)).copied().unwrap_or(outside);
        let end = if cell == 0 { f64::NEG_INFINITY } else { numbers.end_of(cell).unwrap_or(f64::INFINITY) };
        spread(&mut heights, edges, (start, end), *n as f64 / total);
    }
    heights
}

/// Adds `share`, spread evenly over `start..end`, to the bars it covers.
fn spread(heights: &mut [f64], edges: &[f64], (start, end): (f64, f64), share: f64) {
    let last = heights.len() - 1;
    let bar_of = |x: f64| edges[1..last + 1].partition_point(|edge| *edge <= x);
    if is_unbounded(start, end) {
        heights[if start == f64::NEG_INFINITY { 0 } else { last }] += share;
        return;
    }
    let (from, to) = (bar_of(start), bar_of(end.next_down()));
    if from == to {
        heights[from] += share;
        return;
    }
    for (bar, height) in heights.iter_mut().enumerate().take(to + 1).skip(from) {
        let low = if bar == from { start } else { edges[bar] };
        let high = if bar == to { end } else { edges[bar + 1] };
        *height += share * (high - low) / (end - start);
    }
}

/// Whether a bin reaches to infinity, or so far that its width does.
fn is_unbounded(start: f64, end: f64) -> bool {
    !(end - start).is_finite()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_hold_everything_finite() {
        let values: Vec<f64> = (0..1_000).map(|i| f64::from(i) / 10.0).collect();
        let reference = Reference::numbers(&values, 0, 128);
        let Reference::Numbers(numbers) = &reference else { unreachable!("numbers were given") };
        let current = reference.cells([-1e9, 3.0, 50.0, 1e9].map(|x| (numbers.bin_of(x), 1)));
        let shown = distribution(&reference, &current);
        assert_eq!(shown.edges.len(), shown.reference.len() + 1);
        assert!((shown.reference.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!((shown.current.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!(shown.current[0] >= 0.25 && shown.current.last().copied() >= Some(0.25));
        // An even reference is drawn even.
        assert!(shown.reference[3..20].iter().all(|h| (h - 1.0 / 24.0).abs() < 0.01), "{:?}", shown.reference);
    }

    #[test]
    fn infinities_are_drawn_at_their_ends() {
        let values: Vec<f64> = (0..100).map(f64::from).collect();
        let reference = Reference::numbers(&values, 0, 16);
        let Reference::Numbers(numbers) = &reference else { unreachable!("numbers were given") };
        for (value, bar) in [(f64::INFINITY, BARS - 1), (f64::NEG_INFINITY, 0)] {
            let shown = distribution(&reference, &reference.cells([(numbers.bin_of(value), 5)]));
            assert_eq!(shown.current[bar], 1.0, "{value}: {:?}", shown.current);
        }
    }

    /// A pixel that was always black and now is not: its verdict says by how much, and its picture has to.
    #[test]
    fn what_moved_beside_a_constant_is_drawn_beside_it() {
        for values in [vec![0.0; 900], [vec![0.0; 997], vec![3.0, 4.0, 9.0]].concat()] {
            let reference = Reference::numbers(&values, 0, 1_024);
            let Reference::Numbers(numbers) = &reference else { unreachable!("numbers were given") };
            let moved = [(0.0, 51), (2.0, 30), (16.0, 18), (-1.0, 1)].map(|(value, n)| (numbers.bin_of(value), n));
            let shown = distribution(&reference, &reference.cells(moved));
            assert_eq!((shown.names.join("|"), shown.edges.as_slice()), ("below 0|0|above 0".to_owned(), &[0.0][..]));
            assert_eq!(shown.current, [0.01, 0.51, 0.48]);
            assert!(shown.reference[0] == 0.0 && shown.reference[1] > 0.99, "{:?}", shown.reference);
            assert!((shown.reference.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn what_is_no_number_any_more_is_drawn_beside_a_constant() {
        let reference = Reference::numbers(&[7.0; 50], 0, 16);
        let bins = [(store::read::bin::NAN, 3), (store::read::bin::MISSING, 1)];
        let shown = distribution(&reference, &reference.cells(bins));
        assert_eq!(shown.names.join("|"), "below 7|7|above 7|(not a number)|(missing)");
        assert_eq!(shown.current, [0.0, 0.0, 0.0, 0.75, 0.25]);
        let nothing = Reference::numbers(&[f64::NAN; 5], 0, 16);
        assert_eq!(distribution(&nothing, nothing.counts()).reference, [0.0]);
    }

    #[test]
    fn the_widest_column_is_drawn_in_finite_numbers() {
        for values in [vec![f64::MIN, f64::MAX, 0.0], vec![f64::MAX; 3], vec![f64::MIN; 3], vec![-1.7e308, 1.7e308]] {
            let reference = Reference::numbers(&values, 0, 4);
            let shown = distribution(&reference, reference.counts());
            let mut all = shown.edges.iter().chain(&shown.reference).chain(&shown.current);
            assert!(all.all(|x| x.is_finite()), "{values:?}: {shown:?}");
            assert!((shown.reference.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{values:?}: {shown:?}");
        }
    }

    #[test]
    fn classes_of_both_sides_are_shown() {
        let reference = Reference::categories(vec![("a".into(), 6), ("b".into(), 4)], 0, 8);
        let counts = |rest| CategoryCounts { named: vec![("c".into(), 3), ("a".into(), 1)], rest };
        let shown = classes(Some(&reference), &counts(0), 8);
        let row = |label: &str| shown.iter().find(|c| c.label == label).map(|c| (c.reference, c.current)).unwrap();
        assert_eq!(row("a"), (Some(0.6), Some(0.25)));
        assert_eq!(row("b"), (Some(0.4), Some(0.0)));
        assert_eq!(row("c"), (None, Some(0.75)));
        let shown = classes(Some(&reference), &counts(4), 8);
        assert_eq!(shown.iter().map(|class| class.current).sum::<Option<f64>>(), None, "`b` may be among the rest");
        assert_eq!(shown.iter().find(|class| class.label == "c").unwrap().current, Some(0.375));
    }
}
