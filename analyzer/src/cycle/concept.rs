//! Errors of one model as its labels arrive: their reference, their counts, their verdicts.
//!
//! Whether an answer was right is known late: so it is judged by the detectors that judge features, as a part of the traffic a
//! class of the truth, and the whole. A label counts in the window in which it arrived, and so does one that corrects it. Each version has a reference of its
//! own, the first labels of its answers that arrived (of a baseline that somebody chose, the first after it was frozen): another
//! version that errs otherwise is not the world that changed, and its first labels say so once. Where labels come slowly, those
//! of some days will do.

use std::collections::BTreeMap;

use contract::{
    api::{Concept, DriftState, FeatureVerdict, SegmentVerdict},
    feature::{INPUT_PREFIX, OUTPUT_ERROR, TEXT_PREFIX},
    segment,
};
use store::read::{LabelErrors, SegmentCount, Window};

use super::{
    changes,
    judging::{Bench, Looked},
    parts::{Judged, Pair, bins, is_kept, key, sort},
    round::{Round, reference_since},
    span::Recent,
};
use crate::{
    baseline::{Baseline, BaselineError},
    judge::{
        concept::{self, Answers, Class, Errors, Inputs},
        errors::{self, Case},
        gate::Policy,
    },
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
    /// Of the baseline, with the version.
    fingerprint: String,
    version: String,
    until_ms: Option<i64>,
    tested: Vec<Tested>,
    recent: Recent,
    verdicts: Vec<SegmentVerdict>,
    /// Whether the mix of classes explained the errors of the last judged window.
    explained: bool,
    /// The fingerprint of what the detectors have seen.
    judged: String,
    counted_ms: Option<i64>,
    asked_ms: Option<i64>,
    /// Labels so far of those that become the reference.
    waiting: (u64, u64),
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
    pub fn restore(&mut self, (verdicts, explained): (Vec<SegmentVerdict>, bool), end_ms: i64) {
        self.judged = verdicts.first().map(|one| one.baseline.clone()).unwrap_or_default();
        let version = self.judged.split_once(OF_VERSION).map(|(_, version)| version.to_owned());
        self.version = version.unwrap_or_default();
        (self.verdicts, self.explained) = (verdicts, explained);
        self.counted_ms = Some(end_ms);
        sort(&mut self.verdicts);
    }

    /// Takes the reference beside the baseline in force, and makes it once enough labels arrived.
    pub async fn prepare(&mut self, round: &Round<'_>, baseline: &Baseline) -> Result<(), BaselineError> {
        let model = round.model();
        // A canary of half the traffic does not make the versions take turns: one is judged until it answers no more.
        if !stays(&self.version, &round.seen.answering) {
            self.version.clone_from(&round.seen.version);
        }
        let fingerprint = format!("{}{OF_VERSION}{}", baseline.info.fingerprint, self.version);
        if self.fingerprint != fingerprint {
            self.load(round, &baseline.info.fingerprint, fingerprint).await?;
        }
        let soon = self.asked_ms.is_some_and(|at| round.now_ms - at < round.config.windows.length_ms);
        if self.until_ms.is_some() || soon {
            return Ok(());
        }
        self.asked_ms = Some(round.now_ms);
        let (since_ms, limits) = (reference_since(round, baseline), &round.config.labels);
        let times = round.reader.label_times((model, &self.version), since_ms, limits.reference).await?;
        self.waiting = (times.len() as u64, limits.reference);
        let (Some(first), Some(last)) = (times.first(), times.last()) else { return Ok(()) };
        let waited = round.now_ms - first >= limits.patience_ms && times.len() as u64 >= limits.least;
        if times.len() as u64 != limits.reference && !waited {
            return Ok(());
        }
        // What arrived in the same millisecond belongs to it.
        let span = Window { start_ms: since_ms, end_ms: last + 1 };
        let errors = round.reader.label_errors((model, &self.version), span).await?;
        let counts = counts(&errors, &named(&errors, round.config.segments.values_max), span.end_ms);
        self.say_if_it_errs_otherwise(round, &errors, span.end_ms).await?;
        round.reader.insert_references(model, &self.fingerprint, &counts).await?;
        self.take(counts, &round.settings().policy);
        // Labels that arrived since its last one, in windows judged without it, are counted with the next.
        self.counted_ms = self.until_ms;
        Ok(())
    }

    async fn load(&mut self, round: &Round<'_>, baseline: &str, fingerprint: String) -> Result<(), store::Error> {
        let model = round.model();
        let counts = round.reader.segment_references(model, &fingerprint).await?;
        let starts = format!("{baseline}{OF_VERSION}");
        let whole = (segment::TRUTH, segment::ALL);
        let known = round.reader.references_of(model, &starts, whole).await?;
        let end_ms = self.counted_ms.unwrap_or(0);
        let span = Window { start_ms: (end_ms - LABELS_BACK_MS).max(0), end_ms };
        let recent = round.reader.counts_of_segment(model, &fingerprint, segment::TRUTH, span).await?;
        self.earlier = known.into_iter().find(|one| one.fingerprint != fingerprint).map(|one| {
            let errors = Errors { n: one.first + one.second, wrong: one.second };
            (one.fingerprint[starts.len()..].to_owned(), errors)
        });
        let counted = !recent.is_empty();
        self.recent = Recent::default();
        self.recent.put(bins(recent));
        self.asked_ms = None;
        self.fingerprint = fingerprint;
        self.take(counts, &round.settings().policy);
        // What nothing was counted of since is counted with the next window, as after the reference was made.
        if let (Some(until_ms), false) = (self.until_ms, counted) {
            self.counted_ms = Some(until_ms.max(span.start_ms));
        }
        Ok(())
    }

    /// Before the reference is there: so that it is said again, as the same event, where the writing fails in between.
    async fn say_if_it_errs_otherwise(
        &self,
        round: &Round<'_>,
        errors: &[LabelErrors],
        at_ms: i64,
    ) -> Result<(), store::Error> {
        let Some((earlier, before)) = &self.earlier else { return Ok(()) };
        let add =
            |sum: Errors, one: &LabelErrors| Errors { n: sum.n + one.right + one.wrong, wrong: sum.wrong + one.wrong };
        let now = errors.iter().fold(Errors::default(), add);
        let policy = &round.settings().policy;
        let (before, now) = ((earlier.as_str(), *before), (self.version.as_str(), now));
        let Some(text) = concept::versions(before, now, policy.delta, policy.delta_ignore) else { return Ok(()) };
        let event = changes::event(at_ms, "deployment", round.model(), &self.version, text);
        round.reader.insert_events(&[event]).await
    }

    fn take(&mut self, counts: Vec<SegmentCount>, policy: &Policy) {
        (self.tested, self.until_ms) = Default::default();
        let mut by_value: BTreeMap<String, [u64; 2]> = BTreeMap::new();
        for count in counts.into_iter().filter(|count| count.segment == segment::TRUTH) {
            self.until_ms = self.until_ms.max(Some(count.at_ms));
            by_value.entry(count.value).or_default()[usize::from(count.bin == BIN_WRONG)] += count.n;
        }
        by_value.retain(|_, [right, wrong]| *right + *wrong > 0);
        let delta = policy.delta / by_value.len().max(1) as f64;
        for (value, [right, wrong]) in by_value {
            let reference = Errors { n: right + wrong, wrong };
            let key = key(OUTPUT_ERROR, segment::TRUTH, &value);
            let pair = Pair { feature: OUTPUT_ERROR.into(), segment: segment::TRUTH.into(), value };
            let enough = errors::enough(reference, delta, policy);
            self.tested.push(Tested { pair, key, reference, enough });
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
        let errors = round.reader.label_errors((round.model(), &self.version), arrived).await?;
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
        // Evidence against another reference is none against this one.
        let goes_on = self.judged == self.fingerprint;
        let detectors =
            self.tested.iter().map(|one| if goes_on { bench.detectors.of(&one.key) } else { Default::default() });
        let spans: Vec<(i64, Case)> = self.tested.iter().map(|one| self.case(one, &bench)).collect();
        let cases: Vec<Case> = spans.iter().map(|(_, case)| *case).collect();
        let found = errors::judge(&cases, detectors.collect(), policy);
        let judged = self.tested.iter().zip(spans).zip(found).map(|((one, (start_ms, case)), mut found)| {
            let before = bench.tracks.get(&one.key).copied().filter(|_| goes_on).unwrap_or_default();
            let called = errors::call(&found, before.state, policy);
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
            one.pair.said(&bench, &self.fingerprint, &one.key, looked, said)
        });
        judged.collect()
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
        self.explained = judged.iter().any(|one| one.explained);
        self.counted_ms = Some(window.end_ms);
    }

    /// The verdict beside those on features, after the last window remembered; `None` before the first label.
    pub fn last(&self, features: &[FeatureVerdict], judged_ms: i64, policy: &Policy) -> Option<Concept> {
        self.verdict(features.iter(), self.verdicts.clone(), judged_ms, policy)
    }

    /// The verdict beside those on features of a window that is not remembered yet. What was judged takes along whether the mix
    /// explains it, for the window after.
    pub fn next<'a>(
        &self,
        features: impl Iterator<Item = &'a FeatureVerdict>,
        judged: &mut [Judged],
        judged_ms: i64,
        policy: &Policy,
    ) -> Option<Concept> {
        let found = self.verdict(features, shown(judged), judged_ms, policy);
        let explained = found.as_ref().is_some_and(concept::is_explained);
        judged.iter_mut().for_each(|one| one.explained = explained);
        found
    }

    fn verdict<'a>(
        &self,
        features: impl Iterator<Item = &'a FeatureVerdict>,
        parts: Vec<SegmentVerdict>,
        judged_ms: i64,
        policy: &Policy,
    ) -> Option<Concept> {
        let Some(whole) = self.tested.iter().find(|one| one.pair.value == segment::ALL) else {
            let earlier = self.earlier.as_ref().map(|(version, errors)| (version.as_str(), *errors));
            let none = self.waiting.0 == 0 && earlier.is_none();
            return (!none).then(|| concept::waiting(&self.version, self.waiting, earlier));
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
        let explained = self.explained && self.judged == self.fingerprint;
        let answers = Answers { whole, classes, delta_ignore: policy.delta_ignore, explained };
        let found = concept::verdict(&inputs(features), parts, &answers);
        Some(Concept { version: self.version.clone(), ..found })
    }
}

/// Whether a version is judged further. Where nothing answers it has not been replaced: after a silence it goes on.
fn stays(version: &str, answering: &[String]) -> bool {
    !version.is_empty() && (answering.is_empty() || answering.iter().any(|one| one == version))
}

fn inputs<'a>(features: impl Iterator<Item = &'a FeatureVerdict>) -> Inputs<'a> {
    let mut inputs = Inputs::default();
    for one in features.filter(|one| one.feature.starts_with(INPUT_PREFIX) || one.feature.starts_with(TEXT_PREFIX)) {
        inputs.judged += 1;
        match one.state {
            DriftState::Drifted => inputs.moved.push(&one.feature),
            DriftState::Insufficient => inputs.unknown += 1,
            _ => {}
        }
    }
    inputs
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

/// Classes told apart: those with most labels, which come first.
fn named(errors: &[LabelErrors], values_max: u64) -> Vec<String> {
    errors.iter().take(values_max as usize).map(|one| one.truth.clone()).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Five silent minutes handed the errors to the canary that answered first after them.
    #[test]
    fn a_version_is_judged_until_another_answers_in_its_place() {
        let answering = |versions: &[&str]| versions.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
        assert!(stays("1", &answering(&["2", "1"])) && stays("1", &[]));
        assert!(!stays("1", &answering(&["2"])) && !stays("", &[]) && !stays("", &answering(&["1"])));
    }
}
