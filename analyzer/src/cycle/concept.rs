//! Errors of one model as its labels arrive: their reference, their counts, their verdicts.
//!
//! Whether an answer was right is a category like any other, known late: so it is judged by the detectors that judge features, as
//! a part of the traffic a class of the truth, and the whole. A label counts in the window in which it arrived; the reference
//! is the first labels that arrived (of a baseline that somebody chose, the first after it was frozen).

use std::collections::BTreeMap;

use contract::{
    api::{Concept, DriftState, FeatureVerdict, SegmentVerdict},
    feature::{INPUT_PREFIX, OUTPUT_ERROR, RIGHT, TEXT_PREFIX, WRONG},
    segment,
};
use store::read::{LabelErrors, SegmentCount, Window};

use super::{
    judging::Bench,
    parts::{Judged, Pair, bins, is_kept, key, sort},
    round::{Round, reference_since},
    span::Recent,
};
use crate::{
    baseline::{Baseline, BaselineError, Frozen},
    judge::{
        concept::{self, Errors},
        reference::Reference,
    },
};

/// Labels come slowly: the newest windows are taken together until they hold enough of them, but no further back.
const LABELS_BACK_MS: i64 = 7 * 86_400_000;

/// Bins of [`OUTPUT_ERROR`].
const BIN_RIGHT: i32 = 0;
const BIN_WRONG: i32 = 1;

/// The errors of a model over one baseline. All of it can be read back from the database.
#[derive(Debug, Default)]
pub(super) struct Watch {
    fingerprint: String,
    until_ms: Option<i64>,
    tested: Vec<Frozen>,
    pairs: Vec<Pair>,
    recent: Recent,
    verdicts: Vec<SegmentVerdict>,
    counted_ms: Option<i64>,
    asked_ms: Option<i64>,
}

impl Watch {
    /// Shows the verdicts of the last judged window, after a start.
    pub fn restore(&mut self, verdicts: Vec<SegmentVerdict>, end_ms: i64) {
        self.verdicts = verdicts;
        self.counted_ms = Some(end_ms);
        sort(&mut self.verdicts);
    }

    /// Takes the reference beside the baseline in force, and makes it once enough labels arrived.
    pub async fn prepare(&mut self, round: &Round<'_>, baseline: &Baseline) -> Result<(), BaselineError> {
        let (model, fingerprint) = (round.model(), &baseline.info.fingerprint);
        if self.fingerprint != *fingerprint {
            let counts = round.reader.segment_references(model, fingerprint).await?;
            self.take(counts, fingerprint);
            let end_ms = self.counted_ms.unwrap_or(0);
            let span = Window { start_ms: (end_ms - LABELS_BACK_MS).max(0), end_ms };
            let counts = round.reader.counts_of_segment(model, fingerprint, segment::TRUTH, span).await?;
            self.recent = Recent::default();
            self.recent.put(bins(counts));
        }
        let soon = self.asked_ms.is_some_and(|at| round.now_ms - at < round.config.windows.length_ms);
        if self.until_ms.is_some() || soon {
            return Ok(());
        }
        self.asked_ms = Some(round.now_ms);
        let (since_ms, wanted) = (reference_since(round, baseline), round.config.label_reference);
        let times = round.reader.label_times(model, since_ms, wanted).await?;
        let Some(last) = times.last().filter(|_| times.len() as u64 == wanted) else { return Ok(()) };
        // What arrived in the same millisecond belongs to it.
        let span = Window { start_ms: since_ms, end_ms: last + 1 };
        let errors = round.reader.label_errors(model, span).await?;
        let counts = counts(&errors, &named(&errors, round.config.segments.values_max), span.end_ms);
        round.reader.insert_references(model, fingerprint, &counts).await?;
        self.take(counts, fingerprint);
        Ok(())
    }

    fn take(&mut self, counts: Vec<SegmentCount>, fingerprint: &str) {
        (self.tested, self.pairs, self.until_ms) = Default::default();
        fingerprint.clone_into(&mut self.fingerprint);
        let mut by_value: BTreeMap<String, [u64; 2]> = BTreeMap::new();
        for count in counts.into_iter().filter(|count| count.segment == segment::TRUTH) {
            self.until_ms = self.until_ms.max(Some(count.at_ms));
            by_value.entry(count.value).or_default()[usize::from(count.bin == BIN_WRONG)] += count.n;
        }
        for (value, [right, wrong]) in by_value.into_iter().filter(|(_, n)| n[0] + n[1] > 0) {
            self.tested.push(frozen(&value, right, wrong));
            self.pairs.push(Pair { feature: OUTPUT_ERROR.into(), segment: segment::TRUTH.into(), value });
        }
    }

    /// Counts labels that arrived since the window before, until the end of this one.
    pub async fn count(&mut self, round: &Round<'_>, window: Window) -> Result<(), store::Error> {
        let Some(until_ms) = self.until_ms else { return Ok(()) };
        let start_ms = self.counted_ms.unwrap_or(window.start_ms).max(until_ms);
        if start_ms >= window.end_ms {
            return Ok(());
        }
        let arrived = Window { start_ms, end_ms: window.end_ms };
        let errors = round.reader.label_errors(round.model(), arrived).await?;
        if errors.is_empty() {
            return Ok(());
        }
        let named: Vec<String> = self.pairs.iter().map(|pair| pair.value.clone()).collect();
        let counts = counts(&errors, &named, window.start_ms);
        round.reader.insert_counts(round.model(), &self.fingerprint, window, &counts).await?;
        self.recent.put(bins(counts));
        self.recent.forget_before(window.end_ms - LABELS_BACK_MS);
        Ok(())
    }

    /// Judges the errors; `bench` is that of the features, whose detectors and states hold these too.
    pub fn judge(&self, bench: &Bench<'_>) -> Vec<Judged> {
        let bench = Bench { recent: &self.recent, from_ms: bench.window.end_ms - LABELS_BACK_MS, ..*bench };
        let judged = self.pairs.iter().zip(&self.tested).zip(bench.look(&self.tested));
        judged.map(|((pair, frozen), looked)| pair.judged(&bench, &self.fingerprint, frozen, looked)).collect()
    }

    /// Keeps what a judged window left.
    pub fn remember(&mut self, judged: Vec<Judged>, window: Window) {
        self.verdicts = judged.into_iter().filter(is_kept).map(|one| one.verdict).collect();
        sort(&mut self.verdicts);
        self.counted_ms = Some(window.end_ms);
    }

    /// The verdict beside those on features; `None` before the first labels became a reference.
    pub fn verdict(&self, features: &[FeatureVerdict], judged_ms: i64) -> Option<Concept> {
        let whole = self.tested.iter().zip(&self.pairs).find(|(_, pair)| pair.value == segment::ALL)?.0;
        let now = self.recent.take(&whole.name, judged_ms - LABELS_BACK_MS, judged_ms, u64::MAX).bins;
        let is_input = |name: &str| name.starts_with(INPUT_PREFIX) || name.starts_with(TEXT_PREFIX);
        let moved = features.iter().filter(|one| one.state == DriftState::Drifted && is_input(&one.feature));
        let moved: Vec<&str> = moved.map(|one| one.feature.as_str()).collect();
        let before = errors(whole.reference.counts());
        Some(concept::verdict(&moved, self.verdicts.clone(), before, errors(&whole.reference.cells(now))))
    }
}

fn errors(cells: &[u64]) -> Errors {
    Errors { n: cells.iter().sum(), wrong: cells.get(BIN_WRONG as usize).copied().unwrap_or(0) }
}

/// Classes told apart: those with most labels, which come first.
fn named(errors: &[LabelErrors], values_max: u64) -> Vec<String> {
    errors.iter().take(values_max as usize).map(|one| one.truth.clone()).collect()
}

fn frozen(value: &str, right: u64, wrong: u64) -> Frozen {
    let name = key(OUTPUT_ERROR, segment::TRUTH, value);
    // In the order of the bins, whichever came oftener.
    let names = Reference::categories(vec![(RIGHT.to_owned(), 2), (WRONG.to_owned(), 1)], 0, 2);
    Frozen { name, reference: names.counted(vec![right, wrong, 0, 0, 0]), provisional: true }
}

/// Errors as counts of a segment: the classes that are told apart, the others, and all.
fn counts(errors: &[LabelErrors], named: &[String], at_ms: i64) -> Vec<SegmentCount> {
    let mut by_value: BTreeMap<&str, [u64; 2]> = BTreeMap::new();
    for one in errors {
        let value = if named.contains(&one.truth) { one.truth.as_str() } else { segment::OTHER };
        for value in [value, segment::ALL] {
            let of = by_value.entry(value).or_default();
            *of = [of[0] + one.right, of[1] + one.wrong];
        }
    }
    let count = |value: &str, bin: i32, n: u64| SegmentCount {
        at_ms,
        segment: segment::TRUTH.to_owned(),
        value: value.to_owned(),
        feature: OUTPUT_ERROR.to_owned(),
        bin,
        n,
    };
    let both =
        |(value, [right, wrong]): (&str, [u64; 2])| [count(value, BIN_RIGHT, right), count(value, BIN_WRONG, wrong)];
    by_value.into_iter().flat_map(both).collect()
}
