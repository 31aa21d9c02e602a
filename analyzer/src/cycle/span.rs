//! How many windows are judged together.
//!
//! At low traffic one window holds too few values. Then the newest windows are taken together, as few as give enough, within a
//! bound. How many depends on counts alone and never on values, so the verdict keeps its guarantee.

use std::collections::{BTreeMap, HashMap};

use store::read::BinCount;

/// Counts by feature and bin of one window.
pub type WindowCounts = HashMap<String, Vec<(i32, u64)>>;

/// Counts of recent windows, by their start.
#[derive(Clone, Debug, Default)]
pub struct Recent(BTreeMap<i64, WindowCounts>);

/// The counts that a feature is judged on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Start of the oldest window taken.
    pub start_ms: i64,
    /// Counts by bin.
    pub bins: Vec<(i32, u64)>,
}

impl Recent {
    /// Takes counts as they come from the database; a window that is there already is replaced.
    pub fn put(&mut self, counts: Vec<BinCount>) {
        let mut fresh: BTreeMap<i64, WindowCounts> = BTreeMap::new();
        for count in counts {
            let window = fresh.entry(count.start_ms).or_default();
            window.entry(count.feature).or_default().push((count.bin, count.n));
        }
        self.0.append(&mut fresh);
    }

    /// Forgets windows that start before a time.
    pub fn forget_before(&mut self, start_ms: i64) {
        self.0 = self.0.split_off(&start_ms);
    }

    /// Start of the oldest window there is.
    #[must_use]
    pub fn first_ms(&self) -> Option<i64> {
        self.0.keys().next().copied()
    }

    /// Whether a window brought values of a feature.
    #[must_use]
    pub fn holds(&self, feature: &str, start_ms: i64) -> bool {
        self.0.get(&start_ms).is_some_and(|window| window.contains_key(feature))
    }

    /// Counts of a feature over the newest windows that start in `from_ms..end_ms`, until there are `enough` values.
    #[must_use]
    pub fn take(&self, feature: &str, from_ms: i64, end_ms: i64, enough: u64) -> Taken {
        let mut taken = Taken { start_ms: end_ms, bins: Vec::new() };
        let mut n = 0;
        for (start_ms, window) in self.0.range(from_ms..end_ms).rev() {
            if n >= enough && taken.start_ms < end_ms {
                break;
            }
            let counts = window.get(feature).map(Vec::as_slice).unwrap_or_default();
            n += counts.iter().map(|(_, n)| n).sum::<u64>();
            taken.bins.extend_from_slice(counts);
            taken.start_ms = *start_ms;
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recent(counts: &[(i64, u64)]) -> Recent {
        let mut recent = Recent::default();
        recent.put(
            counts
                .iter()
                .map(|(start_ms, n)| BinCount { start_ms: *start_ms, feature: "f".into(), bin: 1, n: *n })
                .collect(),
        );
        recent
    }

    #[test]
    fn as_few_windows_as_give_enough() {
        let recent = recent(&[(0, 50), (10, 30), (20, 10), (30, 100)]);
        let check = |end, enough, start_ms, n: &[u64]| {
            let taken = recent.take("f", 0, end, enough);
            assert_eq!((taken.start_ms, taken.bins.iter().map(|b| b.1).collect::<Vec<_>>().as_slice()), (start_ms, n));
        };
        check(40, 80, 30, &[100]);
        check(30, 35, 10, &[10, 30]);
        check(30, 900, 0, &[10, 30, 50]);
        assert_eq!(recent.take("f", 10, 30, 900).start_ms, 10);
        assert_eq!(recent.take("g", 0, 40, 1).bins, []);
    }
}
