//! A frozen reference of one feature: bins from the reference alone, and its counts in them.
//!
//! Numbers: edges at the reference's quantiles, half-open bins `[e_k, e_k+1)`. A value that alone holds more than one bin's
//! share is an *atom*: it gets a bin of its own, `[a, next double above a)`, so atoms need no special case anywhere, and
//! ClickHouse and Rust place a value by the same comparison. Under- and overflow, both infinities, NaN, missing and values
//! of another type have bins of their own: nothing is dropped. In the order `-inf < numbers < inf < NaN < missing < other`
//! every value has a place, so a column that turns to NaN is a shift like any other.
//!
//! Categories: one bin a name, one for names never seen.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use store::read::bin;

use super::order;

/// A reference: what [`bounds`](super::bounds) and the others compare a window's counts with.
///
/// Its JSON is the `bins` column of the `baselines` table, whose `kind`, `edges` and `names` the store's counting query reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Reference {
    /// Numbers in quantile bins.
    Numbers(Numbers),
    /// Categories by name.
    Categories(Categories),
}

/// Quantile bins. Counts are by cell: bins 0 to `edges.len() + 2`, then NaN, missing, other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Numbers {
    /// Finite edges, strictly increasing; [`bin::LEAST`] before and infinity after them are implied.
    pub edges: Vec<f64>,
    /// Values of the reference in each cell.
    pub counts: Vec<u64>,
}

/// One bin a name. Counts are by cell: the names, then never seen, missing, other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Categories {
    /// Names, most frequent first.
    pub names: Vec<String>,
    /// Values of the reference in each cell.
    pub counts: Vec<u64>,
}

/// Why a stored reference cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReferenceError {
    /// Not the JSON of a reference.
    #[error("the stored reference of {feature} is not readable ({source}); freeze the baseline again")]
    Json {
        /// Feature name.
        feature: String,
        /// The parser's account.
        source: serde_json::Error,
    },
    /// Edges out of order, or counts that do not fit them.
    #[error("the stored reference of {feature} contradicts itself ({what}); freeze the baseline again")]
    Shape {
        /// Feature name.
        feature: String,
        /// What is wrong.
        what: &'static str,
    },
}

/// Cells after the ordered bins of numbers: NaN, missing, other.
const SPECIAL_CELLS: usize = 3;

impl Reference {
    /// Freezes numbers: `values` may hold NaN and infinities, `missing` counts what had no value.
    #[must_use]
    pub fn numbers(values: &[f64], missing: u64, bins: usize) -> Self {
        let mut finite: Vec<u64> = values.iter().filter(|x| x.is_finite()).map(|x| order::key(*x)).collect();
        finite.sort_unstable();
        let edges = quantile_edges(&finite, bins.max(1));
        let mut numbers = Numbers { counts: vec![0; edges.len() + 3 + SPECIAL_CELLS], edges };
        for value in values {
            let cell = numbers.cell(numbers.bin_of(*value));
            numbers.counts[cell] += 1;
        }
        let cell = numbers.cell(bin::MISSING);
        numbers.counts[cell] = missing;
        Self::Numbers(numbers)
    }

    /// Freezes a sorted sample of keys (see [`order`](super::order)), NaN and missing values among them.
    #[must_use]
    pub fn of_sorted(sorted: &[u64], bins: usize) -> Self {
        let sorts = order::Sorts::of_sorted(sorted);
        let finite = &sorted[sorts.least as usize..(sorts.least + sorts.finite) as usize];
        let mut numbers = Numbers { edges: quantile_edges(finite, bins.max(1)), counts: Vec::new() };
        numbers.counts = numbers.cells_of_sorted(sorted);
        Self::Numbers(numbers)
    }

    /// Freezes categories, at most `names_max` of them by name; the rarer ones share the bin of the never seen.
    #[must_use]
    pub fn categories(mut counted: Vec<(String, u64)>, missing: u64, names_max: usize) -> Self {
        counted.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let rest: u64 = counted.iter().skip(names_max).map(|(_, n)| n).sum();
        counted.truncate(names_max);
        let (names, mut counts): (Vec<_>, Vec<_>) = counted.into_iter().unzip();
        counts.extend([rest, missing, 0]);
        Self::Categories(Categories { names, counts })
    }

    /// The reference with `n` more values in a bin.
    #[must_use]
    pub fn plus(mut self, bin: i32, n: u64) -> Self {
        let (cell, counts) = match &mut self {
            Self::Numbers(numbers) => (numbers.cell(bin), &mut numbers.counts),
            Self::Categories(categories) => (categories.cell(bin), &mut categories.counts),
        };
        counts[cell] += n;
        self
    }

    /// A reference over the same bins with other counts by cell, such as those of a part of the traffic.
    #[must_use]
    pub fn counted(&self, cells: Vec<u64>) -> Self {
        match self {
            Self::Numbers(numbers) => Self::Numbers(Numbers { edges: numbers.edges.clone(), counts: cells }),
            Self::Categories(named) => Self::Categories(Categories { names: named.names.clone(), counts: cells }),
        }
    }

    /// Reads a stored reference and checks it.
    ///
    /// # Errors
    /// [`ReferenceError`] when the text is not a reference.
    pub fn parse(feature: &str, json: &str) -> Result<Self, ReferenceError> {
        let reference: Self = serde_json::from_str(json)
            .map_err(|source| ReferenceError::Json { feature: feature.to_owned(), source })?;
        match reference.fault() {
            Some(what) => Err(ReferenceError::Shape { feature: feature.to_owned(), what }),
            None => Ok(reference),
        }
    }

    fn fault(&self) -> Option<&'static str> {
        match self {
            Self::Numbers(n) if n.counts.len() != n.edges.len() + 3 + SPECIAL_CELLS => {
                Some("counts do not fit the edges")
            }
            Self::Numbers(n) if n.edges.iter().any(|e| !e.is_finite()) => Some("an edge is not finite"),
            Self::Numbers(n) if n.edges.windows(2).any(|pair| pair[0] >= pair[1]) => Some("edges do not increase"),
            Self::Categories(c) if c.counts.len() != c.names.len() + 3 => Some("counts do not fit the names"),
            _ if self.total() == 0 => Some("it counts no values"),
            _ => None,
        }
    }

    /// The stored form.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Values of the reference by cell.
    #[must_use]
    pub fn counts(&self) -> &[u64] {
        match self {
            Self::Numbers(n) => &n.counts,
            Self::Categories(c) => &c.counts,
        }
    }

    /// Values in the reference, whatever they are.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts().iter().sum()
    }

    /// A window's counts, given by bin number as the store has them, by cell. Bins that this reference does not have are
    /// counted as other.
    #[must_use]
    pub fn cells(&self, by_bin: impl IntoIterator<Item = (i32, u64)>) -> Vec<u64> {
        let mut cells = vec![0; self.counts().len()];
        for (bin, n) in by_bin {
            let cell = match self {
                Self::Numbers(numbers) => numbers.cell(bin),
                Self::Categories(categories) => categories.cell(bin),
            };
            cells[cell] += n;
        }
        cells
    }
}

impl Numbers {
    /// The store's bin number of a value.
    #[must_use]
    pub fn bin_of(&self, value: f64) -> i32 {
        if value.is_nan() {
            return bin::NAN;
        }
        if value < bin::LEAST {
            return 0;
        }
        if value == f64::INFINITY {
            return self.edges.len() as i32 + 2;
        }
        self.edges.partition_point(|edge| *edge <= value) as i32 + 1
    }

    /// A sorted sample of keys, counted by cell.
    #[must_use]
    pub fn cells_of_sorted(&self, sorted: &[u64]) -> Vec<u64> {
        let before = |key: u64| sorted.partition_point(|other| *other < key);
        let mut ends = vec![before(order::key(bin::LEAST))];
        ends.extend(self.edges.iter().map(|edge| before(order::key(*edge))));
        let numbers = order::numbers(sorted);
        ends.extend([before(order::key(f64::INFINITY)), numbers, before(order::MISSING), sorted.len(), sorted.len()]);
        let starts = std::iter::once(0).chain(ends.iter().copied());
        starts.zip(&ends).map(|(start, end)| (end - start) as u64).collect()
    }

    /// The cell of a bin number.
    fn cell(&self, bin: i32) -> usize {
        let ordered = self.edges.len() + 3;
        match bin {
            bin::NAN => ordered,
            bin::MISSING => ordered + 1,
            bin if (0..ordered as i32).contains(&bin) => bin as usize,
            _ => ordered + 2,
        }
    }

    /// The edge at which a cell ends; `None` where none does (infinity and the cells after it).
    #[must_use]
    pub fn end_of(&self, cell: usize) -> Option<f64> {
        match cell {
            0 => Some(bin::LEAST),
            cell => self.edges.get(cell - 1).copied(),
        }
    }

    /// Whether a cell holds one single value, so that nothing can move inside it.
    #[must_use]
    pub fn is_atom(&self, cell: usize) -> bool {
        if cell == 0 || cell > self.edges.len() + 1 {
            return true;
        }
        match (cell.checked_sub(2).and_then(|i| self.edges.get(i)), self.edges.get(cell - 1)) {
            (Some(start), Some(end)) => start.next_up() == *end,
            _ => false,
        }
    }
}

impl Categories {
    /// Names that came once: their share of the reference estimates that of all names never seen (Good 1953).
    #[must_use]
    pub fn once(&self) -> u64 {
        self.counts.iter().take(self.names.len()).filter(|count| **count == 1).count() as u64
    }

    fn cell(&self, bin: i32) -> usize {
        let names = self.names.len();
        match bin {
            bin::NEVER_SEEN => names,
            bin::MISSING => names + 1,
            bin if (0..names as i32).contains(&bin) => bin as usize,
            _ => names + 2,
        }
    }
}

/// Edges at the quantiles of sorted finite values, given by their keys, atoms set apart, the last one just above the largest value.
/// A value that is more than a bin's share stands at one of the quantiles.
fn quantile_edges(finite: &[u64], bins: usize) -> Vec<f64> {
    let Some(largest) = finite.last() else { return Vec::new() };
    let mut quantiles: Vec<u64> = (0..bins).map(|i| finite[i * finite.len() / bins]).collect();
    quantiles.dedup();
    let mut edges = Vec::with_capacity(2 * quantiles.len() + 1);
    for key in quantiles {
        let value = order::value(key);
        edges.push(value);
        let from = finite.partition_point(|other| *other < key);
        if finite[from..].partition_point(|other| *other <= key) * bins > finite.len() {
            edges.push(value.next_up());
        }
    }
    edges.push(order::value(*largest).next_up());
    edges.dedup();
    edges.retain(|edge| edge.is_finite());
    edges
}

/// SHA-256 over the names and contents of a baseline's references, hex: equal contents have equal fingerprints.
#[must_use]
pub fn fingerprint<'a>(references: impl IntoIterator<Item = (&'a str, &'a Reference)>) -> String {
    let mut lines: Vec<String> =
        references.into_iter().map(|(name, reference)| format!("{name}\t{}\n", reference.to_json())).collect();
    lines.sort_unstable();
    let mut hash = Sha256::new();
    for line in lines {
        hash.update(line.as_bytes());
    }
    hex::encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn numbers(values: &[f64], bins: usize) -> Numbers {
        match Reference::numbers(values, 0, bins) {
            Reference::Numbers(numbers) => numbers,
            Reference::Categories(_) => unreachable!("numbers were given"),
        }
    }

    #[test]
    fn an_atom_has_a_bin_of_its_own() {
        let mut values = vec![0.0; 60];
        values.extend((1..=40).map(f64::from));
        let frozen = numbers(&values, 10);
        let zero = frozen.bin_of(0.0) as usize;
        assert!(frozen.is_atom(zero));
        assert_eq!(frozen.counts[zero], 60);
        assert_eq!(frozen.bin_of(-0.0) as usize, zero);
        assert_ne!(frozen.bin_of(f64::MIN_POSITIVE) as usize, zero);
    }

    #[test]
    fn nothing_is_dropped() {
        let values = [1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 2.0, 3.0];
        let reference = Reference::numbers(&values, 4, 1024);
        assert_eq!(reference.total(), 10);
        let Reference::Numbers(frozen) = &reference else { unreachable!("numbers were given") };
        assert_eq!(frozen.bin_of(f64::NEG_INFINITY), 0);
        assert_eq!(frozen.bin_of(0.5), 1, "underflow");
        assert_eq!(frozen.bin_of(-f64::MAX), 1);
        assert_eq!(frozen.bin_of(9.0), frozen.edges.len() as i32 + 1, "overflow");
        assert_eq!(frozen.bin_of(f64::INFINITY), frozen.edges.len() as i32 + 2);
        let window = reference.cells([(bin::NAN, 1), (bin::MISSING, 2), (bin::OTHER, 3), (9_999, 4), (0, 5)]);
        assert_eq!(window.iter().sum::<u64>(), 15);
        assert_eq!(window[window.len() - 3..], [1, 2, 7]);
    }

    #[test]
    fn rare_names_share_the_bin_of_the_never_seen() {
        let counted = vec![("c".to_owned(), 1), ("a".to_owned(), 5), ("b".to_owned(), 3)];
        let Reference::Categories(frozen) = Reference::categories(counted, 2, 2) else { unreachable!("categories") };
        assert_eq!(frozen.names, ["a", "b"]);
        assert_eq!(frozen.counts, [5, 3, 1, 2, 0]);
    }

    #[test]
    fn a_damaged_reference_is_refused() {
        for (json, word) in [
            ("{", "not readable"),
            (r#"{"kind":"numbers","edges":[2.0,1.0],"counts":[0,0,1,0,0,0,0,0]}"#, "edges do not increase"),
            (r#"{"kind":"numbers","edges":[1.0],"counts":[1]}"#, "counts do not fit"),
            (r#"{"kind":"categories","names":["a"],"counts":[0,0,0,0]}"#, "counts no values"),
        ] {
            let error = Reference::parse("f", json).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn the_fingerprint_is_of_the_contents() {
        let (a, b) = (Reference::numbers(&[1.0, 2.0], 0, 8), Reference::numbers(&[1.0, 3.0], 0, 8));
        assert_eq!(fingerprint([("x", &a), ("y", &b)]), fingerprint([("y", &b), ("x", &a)]));
        assert_ne!(fingerprint([("x", &a)]), fingerprint([("x", &b)]));
        assert_ne!(fingerprint([("x", &a)]), fingerprint([("y", &a)]));
    }

    proptest! {
        #[test]
        fn survives_its_json(values in prop::collection::vec(any::<f64>(), 1..200), missing in 0u64..9) {
            let reference = Reference::numbers(&values, missing, 16);
            prop_assert_eq!(Reference::parse("f", &reference.to_json()).unwrap(), reference);
        }

        #[test]
        fn sorted_keys_freeze_to_the_same(
            values in prop::collection::vec(prop_oneof![any::<f64>(), (-9i32..9).prop_map(f64::from)], 1..200),
            missing in 0u64..9,
            bins in 1usize..40,
        ) {
            let mut keys: Vec<u64> = values.iter().map(|x| order::key(*x)).collect();
            keys.extend((0..missing).map(|_| order::MISSING));
            keys.sort_unstable();
            prop_assert_eq!(Reference::of_sorted(&keys, bins), Reference::numbers(&values, missing, bins));
        }

        #[test]
        fn every_value_lies_in_its_bin(values in prop::collection::vec(-1e3f64..1e3, 1..300), x in -2e3f64..2e3) {
            let frozen = numbers(&values, 32);
            let cell = frozen.bin_of(x) as usize;
            prop_assert!(frozen.end_of(cell).is_none_or(|end| x < end));
            prop_assert!(cell == 0 || frozen.end_of(cell - 1).is_none_or(|start| start <= x));
            // A bin that is no atom holds at most its share of the reference, and what ties at its edge.
            prop_assert_eq!(frozen.counts.iter().sum::<u64>(), values.len() as u64);
        }
    }
}
