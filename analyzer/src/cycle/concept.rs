//! Errors of one model as its labels arrive: their reference, their counts, their verdicts.
//!
//! Whether an answer was right is known late: so it is judged by the detectors that judge features, as a part of the traffic a
//! class of the truth, and the whole. A label counts in the window in which it arrived, and so does one that corrects it. Each version has a reference of its
//! own, the first labels of its answers that arrived (of a baseline that somebody chose, the first after it was frozen): another
//! version that errs otherwise is not the world that changed, and its first labels say so once. Where labels come slowly, those
//! of some days will do. Errors are set beside the inputs of the time when the answers were given (`concept/inputs.rs`).

mod inputs;
mod reference;

use std::collections::BTreeMap;

use contract::{
    api::{Concept, DriftState, FeatureVerdict, SegmentVerdict},
    feature::OUTPUT_ERROR,
    segment,
};
use store::read::{Answered, LabelErrors, SegmentCount, Window};

use super::{
    judging::{Bench, Looked},
    parts::{Judged, Left, Pair, bins, is_kept, sort},
    round::Round,
    span::Recent,
};
use crate::judge::{
    concept::{self, Answers, Class, Errors, Gathered, Moved},
    errors::{self, Case},
    gate::{Call, Policy},
};

/// Labels come slowly: the newest windows are taken together until they hold enough of them, but no further back.
const LABELS_BACK_MS: i64 = 7 * 86_400_000;
/// Between the fingerprint of a baseline and the version whose errors a reference holds; in no fingerprint.
const OF_VERSION: char = '@';

/// Bins of [`OUTPUT_ERROR`].
const BIN_RIGHT: i32 = 0;
const BIN_WRONG: i32 = 1;

/// The errors of a model's version over one baseline. All of it can be read back from the database.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Of the baseline that somebody chose, or the first traffic made, with the version.
    fingerprint: String,
    version: String,
    /// When that was frozen; `None` of one that the first traffic made.
    frozen_ms: Option<i64>,
    until_ms: Option<i64>,
    tested: Vec<Tested>,
    recent: Recent,
    verdicts: Vec<SegmentVerdict>,
    /// What the last judged window left to the next one.
    left: Left,
    /// The fingerprint of what the detectors have seen.
    judged: String,
    counted_ms: Option<i64>,
    asked: Option<reference::Asked>,
    /// Labels so far of those that become the reference.
    gathered: Gathered,
    /// How the version before this one erred.
    earlier: Option<(String, Errors)>,
}

/// A class, the others, or the whole.
#[derive(Debug)]
struct Tested {
    pair: Pair,
    key: String,
    reference: Errors,
    enough: u64,
}

impl Watch {
    /// Shows the verdicts of the last judged window, after a start.
    pub fn restore(&mut self, (verdicts, left): (Vec<SegmentVerdict>, Left), end_ms: i64) {
        self.judged = verdicts.first().map(|one| one.baseline.clone()).unwrap_or_default();
        let version = self.judged.split_once(OF_VERSION).map(|(_, version)| version.to_owned());
        self.version = version.unwrap_or_default();
        (self.verdicts, self.left) = (verdicts, left);
        self.counted_ms = Some(end_ms);
        sort(&mut self.verdicts);
    }

    /// Counts labels that arrived since the window before, until the end of this one.
    pub async fn count(&mut self, round: &Round<'_>, window: Window) -> Result<(), store::Error> {
        let Some(until_ms) = self.until_ms else { return Ok(()) };
        let start_ms = self.counted_ms.unwrap_or(window.start_ms).max(until_ms);
        if start_ms >= window.end_ms {
            return Ok(());
        }
        let arrived = Window { start_ms, end_ms: window.end_ms };
        let errors = round.reader.label_errors((round.model(), &self.version), arrived, &Answered::ALL).await?;
        if errors.is_empty() {
            return Ok(());
        }
        let named: Vec<String> = self.tested.iter().map(|one| one.pair.value.clone()).collect();
        let counts = counts(&errors, &named, window.start_ms);
        round.reader.insert_counts(round.model(), &self.fingerprint, window, &counts).await?;
        self.recent.put(bins(counts));
        self.recent.forget_before(window.end_ms - LABELS_BACK_MS);
        Ok(())
    }

    /// Judges the errors; `bench` is that of the features, whose detectors and states hold these too.
    pub fn judge(&self, bench: &Bench<'_>) -> Vec<Judged> {
        let bench = Bench { from_ms: bench.window.end_ms - LABELS_BACK_MS, ..*bench };
        let (window, policy) = (bench.window, bench.policy);
        let goes_on = self.goes_on();
        let detectors =
            self.tested.iter().map(|one| if goes_on { bench.detectors.of(&one.key) } else { Default::default() });
        let spans: Vec<(i64, Case)> = self.tested.iter().map(|one| self.case(one, &bench)).collect();
        let cases: Vec<Case> = spans.iter().map(|(_, case)| *case).collect();
        let found = errors::judge(&cases, detectors.collect(), policy);
        let judged = self.tested.iter().zip(spans).zip(found).map(|((one, (start_ms, case)), mut found)| {
            let before = bench.tracks.get(&one.key).copied().filter(|_| goes_on).unwrap_or_default();
            let called = errors::call(&found, before.state, policy);
            let alone = found.by_counts == Call::Certified;
            // Labels judged before are not evidence once more that a drift is over.
            let stale = case.window.n == 0 && before.state == DriftState::Drifted;
            let track = if stale { before } else { before.next(called, policy.resolve_windows) };
            let said = (found.needed, errors::sentence(&case, &found, called, track, policy));
            found.finding.call = called;
            let looked = Looked {
                finding: found.finding,
                watched: found.watched,
                before,
                track,
                cells: Vec::new(),
                start_ms: start_ms.min(window.start_ms),
            };
            Judged { alone, ..one.pair.said(&bench, &self.fingerprint, &one.key, looked, said) }
        });
        judged.collect()
    }

    /// Evidence against another reference is none against this one.
    fn goes_on(&self) -> bool {
        self.judged == self.fingerprint
    }

    fn case(&self, one: &Tested, bench: &Bench<'_>) -> (i64, Case) {
        let (window, needed) = (bench.window, one.enough.min(bench.policy.n_min));
        let taken = self.recent.take(&one.key, bench.from_ms, window.end_ms, needed);
        let own = self.recent.take(&one.key, window.start_ms, window.end_ms, u64::MAX);
        let (window, recent) = (sum(&own.bins), sum(&taken.bins));
        (taken.start_ms, Case { reference: one.reference, window, recent, enough: one.enough })
    }

    /// Keeps what a judged window left.
    pub fn remember(&mut self, judged: &[Judged], window: Window) {
        if !self.tested.is_empty() {
            self.judged.clone_from(&self.fingerprint);
        }
        self.verdicts = shown(judged);
        self.left = judged.first().map(|one| one.left.clone()).unwrap_or_default();
        self.counted_ms = Some(window.end_ms);
    }

    /// The verdict beside those on features, after the last window remembered; `None` before the first label.
    pub fn last(&self, features: &[FeatureVerdict], judged_ms: i64, policy: &Policy) -> Option<Concept> {
        self.verdict(features.iter(), (self.verdicts.clone(), &self.left.moved), judged_ms, policy)
    }

    /// The verdict beside those on features of a window that is not remembered yet, and inputs that had [`moved`](Self::moved). What
    /// was judged takes these along, and whether the mix explains it, for the window after.
    pub fn next<'a>(
        &self,
        features: impl Iterator<Item = &'a FeatureVerdict>,
        (judged, moved): (&mut [Judged], Vec<Moved>),
        judged_ms: i64,
        policy: &Policy,
    ) -> Option<Concept> {
        let found = self.verdict(features, (shown(judged), &moved), judged_ms, policy);
        let left = Left { explained: found.as_ref().is_some_and(concept::is_explained), moved };
        judged.iter_mut().for_each(|one| one.left = left.clone());
        found
    }

    fn verdict<'a>(
        &self,
        features: impl Iterator<Item = &'a FeatureVerdict>,
        (parts, moved): (Vec<SegmentVerdict>, &[Moved]),
        judged_ms: i64,
        policy: &Policy,
    ) -> Option<Concept> {
        let Some(whole) = self.tested.iter().find(|one| one.pair.value == segment::ALL) else {
            let earlier = self.earlier.as_ref().map(|(version, errors)| (version.as_str(), *errors));
            let none = self.gathered.labelled + self.gathered.apart == 0 && earlier.is_none();
            return (!none).then(|| concept::waiting(&self.version, self.gathered, earlier));
        };
        let of = |part: &&SegmentVerdict| part.value == segment::ALL;
        let start_ms = parts.iter().find(of).map_or(judged_ms - LABELS_BACK_MS, |part| part.window_start_ms);
        let class = |one: &Tested| {
            let now = sum(&self.recent.take(&one.key, start_ms, judged_ms, u64::MAX).bins);
            Class { before: one.reference, now }
        };
        let classes = self.tested.iter().filter(|one| one.pair.value != segment::ALL).map(class);
        let (whole, mut classes) = (class(whole), classes.collect::<Vec<_>>());
        let told = classes.iter().fold((0, 0), |sum, one| (sum.0 + one.now.n, sum.1 + one.now.wrong));
        // those that the reference had none of
        let now =
            Errors { n: whole.now.n - told.0.min(whole.now.n), wrong: whole.now.wrong - told.1.min(whole.now.wrong) };
        classes.push(Class { before: Errors::default(), now });
        let explained = self.left.explained && self.goes_on();
        let answers = Answers { whole, classes, delta_ignore: policy.delta_ignore, explained };
        let found = concept::verdict(&inputs::known(features, moved), parts, &answers);
        Some(Concept { version: self.version.clone(), ..found })
    }
}

fn shown(judged: &[Judged]) -> Vec<SegmentVerdict> {
    let mut verdicts: Vec<SegmentVerdict> =
        judged.iter().filter(|one| is_kept(one)).map(|one| one.verdict.clone()).collect();
    sort(&mut verdicts);
    verdicts
}

fn sum(bins: &[(i32, u64)]) -> Errors {
    let of = |wanted: i32| bins.iter().filter(|(bin, _)| *bin == wanted).map(|(_, n)| n).sum::<u64>();
    Errors { n: of(BIN_RIGHT) + of(BIN_WRONG), wrong: of(BIN_WRONG) }
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
