//! The segments of one model: their references, their counts, their verdicts, and which of them a drift comes from.
//!
//! A pair of a feature and a value of a segment is judged as a feature is, by the same tests over the same bins, against the
//! same part of the traffic as it was in the reference: the first good observations (of a baseline that somebody chose, the
//! first after it was frozen). Values told apart are the most frequent of that reference, frozen with it; so what is tested never
//! depends on what the window holds. Pairs are a family of their own for alarms, and one family with the features for the
//! list of discoveries.

use std::collections::{BTreeMap, HashMap};

use contract::{
    api::{Cause, SegmentVerdict, Segments as Shown},
    segment,
};
use store::read::{BinCount, SegmentCount, SegmentSpan, Window, WindowSeen};

use super::{
    judging::Bench,
    parts::{Judged, Pair, bins, is_kept, key, sort},
    round::{Round, first_span, reference_since},
    span::Recent,
};
use crate::{
    baseline::{Baseline, BaselineError, Frozen},
    judge::causes::{self, Group},
};

/// Causes named in a verdict.
const CAUSES_MAX: usize = 5;
/// Share of the shift that a cause carries at least.
const CAUSE_LEAST: f64 = 0.1;

/// A segment that has its reference.
#[derive(Debug)]
struct Segment {
    name: String,
    /// Windows that start before this are, or may be, in the reference.
    until_ms: i64,
    /// Values told apart.
    values: Vec<String>,
    /// Features counted.
    features: Vec<String>,
}

/// The segments of a model over one baseline. All of it can be read back from the database.
#[derive(Debug, Default)]
pub(super) struct Segments {
    fingerprint: String,
    segments: Vec<Segment>,
    /// Reference counts by cell of every pair that is counted.
    references: HashMap<String, Vec<u64>>,
    tested: Vec<Frozen>,
    pairs: Vec<Pair>,
    untested: u64,
    recent: Recent,
    verdicts: Vec<SegmentVerdict>,
    asked_ms: Option<i64>,
}

impl Segments {
    /// Shows the verdicts of the last judged window, after a start.
    pub fn restore(&mut self, verdicts: Vec<SegmentVerdict>) {
        self.verdicts = verdicts;
        sort(&mut self.verdicts);
    }

    /// Takes the references over the baseline in force, and makes those that are missing once there is enough traffic.
    pub async fn prepare(
        &mut self,
        round: &Round<'_>,
        baseline: &Baseline,
        counted: Window,
    ) -> Result<(), BaselineError> {
        let named = round.config.segments.of(round.model());
        if named.is_empty() {
            return Ok(());
        }
        if self.fingerprint != baseline.info.fingerprint {
            self.load(round, baseline).await?;
            self.recent = Recent::default();
            self.recent.put(self.read(round, counted).await?);
        }
        let missing: Vec<&String> =
            named.iter().filter(|name| self.segments.iter().all(|s| s.name != **name)).collect();
        let soon = self.asked_ms.is_some_and(|at| round.now_ms - at < round.config.windows.length_ms);
        if missing.is_empty() || soon {
            return Ok(());
        }
        self.asked_ms = Some(round.now_ms);
        let since_ms = reference_since(round, baseline);
        let Some(span) = first_span(round, since_ms, round.config.segments.reference).await? else { return Ok(()) };
        for name in missing {
            freeze(round, baseline, span, name).await?;
        }
        self.load(round, baseline).await
    }

    async fn load(&mut self, round: &Round<'_>, baseline: &Baseline) -> Result<(), BaselineError> {
        let (model, fingerprint) = (round.model(), &baseline.info.fingerprint);
        let counts = round.reader.segment_references(model, fingerprint).await?;
        self.fingerprint.clone_from(fingerprint);
        self.take(counts, baseline, round.config.segments.of(model), round.config.segments.tests_max);
        Ok(())
    }

    /// Puts references together from their counts; segments that are no longer named are left out.
    fn take(&mut self, counts: Vec<SegmentCount>, baseline: &Baseline, named: &[String], tests_max: usize) {
        let mut by_pair = ByPair::new();
        for SegmentCount { at_ms, segment, value, feature, bin, n } in counts {
            if named.contains(&segment) {
                let pair = by_pair.entry((segment, value, feature)).or_default();
                pair.0 = pair.0.max(at_ms);
                pair.1.push((bin, n));
            }
        }
        self.segments = named.iter().filter_map(|name| segment_of(name, &by_pair)).collect();
        (self.references, self.tested, self.pairs) = Default::default();
        for frozen in &baseline.features {
            for ((segment, value, feature), (_, bins)) in by_pair.iter().filter(|((_, _, f), _)| *f == frozen.name) {
                let (key, cells) = (key(feature, segment, value), frozen.reference.cells(bins.iter().copied()));
                // One value is the whole, and those without a value have nothing in common.
                let alone = self.segments.iter().any(|s| s.name == *segment && s.values.len() < 2);
                if !alone && value != segment::NONE {
                    let reference = frozen.reference.counted(cells.clone());
                    self.tested.push(Frozen { name: key.clone(), reference, provisional: true });
                    self.pairs.push(Pair { feature: feature.clone(), segment: segment.clone(), value: value.clone() });
                }
                self.references.insert(key, cells);
            }
        }
        let beyond = self.tested.len().saturating_sub(tests_max);
        self.tested.truncate(tests_max);
        self.pairs.truncate(tests_max);
        let uncounted = |s: &Segment, name: &String| *name != s.name && !s.features.contains(name);
        let left_out =
            |s: &Segment| s.values.len() * baseline.features.iter().filter(|frozen| uncounted(s, &frozen.name)).count();
        self.untested = (beyond + self.segments.iter().map(left_out).sum::<usize>()) as u64;
    }

    async fn read(&self, round: &Round<'_>, span: Window) -> Result<Vec<BinCount>, store::Error> {
        let counts = round.reader.segment_counts(round.model(), &self.fingerprint, span).await?;
        Ok(bins(counts))
    }

    /// Counts a window; older ones than may be judged with it are forgotten.
    pub async fn count(
        &mut self,
        round: &Round<'_>,
        window: Window,
        seen: &WindowSeen,
        from_ms: i64,
    ) -> Result<(), store::Error> {
        let ready: Vec<&Segment> = self.segments.iter().filter(|s| window.start_ms >= s.until_ms).collect();
        if ready.is_empty() {
            return Ok(());
        }
        for segment in &ready {
            let span = SegmentSpan {
                model: round.model(),
                fingerprint: &self.fingerprint,
                window,
                cut_ms: seen.cut_ms,
                segment: &segment.name,
                values: &segment.values,
                features: &segment.features,
            };
            round.reader.count_segment(&span).await?;
        }
        let counts = self.read(round, window).await?;
        self.recent.put(counts);
        self.recent.forget_before(from_ms);
        Ok(())
    }

    /// Judges the pairs; `bench` is that of the features, whose detectors and states hold the pairs' too.
    pub fn judge(&self, bench: &Bench<'_>) -> Vec<Judged> {
        let looked = Bench { recent: &self.recent, ..*bench }.look(&self.tested);
        let judged = self.pairs.iter().zip(&self.tested).zip(looked);
        judged.map(|((pair, frozen), looked)| pair.judged(bench, &self.fingerprint, frozen, looked)).collect()
    }

    /// What a feature's shift over a span comes from, most first.
    pub fn causes(&self, frozen: &Frozen, span: Window) -> Vec<Cause> {
        let mut causes = Vec::new();
        for segment in self.segments.iter().filter(|s| s.features.contains(&frozen.name) && span.start_ms >= s.until_ms)
        {
            let values = segment.values.iter().map(String::as_str).chain([segment::OTHER, segment::NONE]);
            let cells: Vec<(&str, Vec<u64>, Vec<u64>)> = values
                .map(|value| {
                    let key = key(&frozen.name, &segment.name, value);
                    let now = self.recent.take(&key, span.start_ms, span.end_ms, u64::MAX).bins;
                    let before = self.references.get(&key).cloned().unwrap_or_default();
                    (value, before, frozen.reference.cells(now))
                })
                .collect();
            let groups: Vec<Group<'_>> = cells.iter().map(|(_, before, now)| Group { before, now }).collect();
            let Some(found) = causes::parts(&frozen.reference, &groups) else { continue };
            let carries =
                |part: &causes::Part| (part.within + part.mix) * found.shift >= CAUSE_LEAST * found.shift.powi(2);
            let parts = cells.iter().zip(&found.parts).filter(|(_, part)| found.shift != 0.0 && carries(part));
            causes.extend(parts.map(|((value, ..), part)| cause(&segment.name, value, part)));
        }
        causes.sort_by(|a, b| b.contribution().abs().total_cmp(&a.contribution().abs()));
        causes.truncate(CAUSES_MAX);
        causes
    }

    /// Keeps what a judged window left.
    pub fn remember(&mut self, judged: Vec<Judged>) {
        self.verdicts = judged.into_iter().filter(is_kept).map(|one| one.verdict).collect();
        sort(&mut self.verdicts);
    }

    /// As the API shows them.
    pub fn shown(&self, named: &[String], guarantee: impl FnOnce(usize) -> String) -> Shown {
        Shown {
            named: named.to_vec(),
            waiting: named.iter().filter(|name| self.segments.iter().all(|s| s.name != **name)).cloned().collect(),
            tested: self.tested.len() as u64,
            untested: self.untested,
            verdicts: self.verdicts.clone(),
            guarantee: guarantee(self.tested.len()),
        }
    }
}

async fn freeze(round: &Round<'_>, baseline: &Baseline, span: Window, name: &str) -> Result<(), store::Error> {
    let limits = &round.config.segments;
    // As many features as leave room for every value of every segment, in the order in which they are judged.
    let room = limits.tests_max / (limits.of(round.model()).len().max(1) * (limits.values_max as usize + 1));
    let names = baseline.features.iter().map(|frozen| frozen.name.clone()).filter(|feature| feature != name);
    let features: Vec<String> = names.take(room.max(1)).collect();
    let mut of = SegmentSpan {
        model: round.model(),
        fingerprint: &baseline.info.fingerprint,
        window: span,
        cut_ms: round.now_ms,
        segment: name,
        values: &[],
        features: &features,
    };
    let values = round.reader.segment_values(&of, limits.values_max).await?;
    of.values = &values;
    round.reader.freeze_segment(&of).await
}

/// End of the reference's span and counts by bin, by segment, value and feature.
type ByPair = BTreeMap<(String, String, String), (i64, Vec<(i32, u64)>)>;

fn segment_of(name: &str, by_pair: &ByPair) -> Option<Segment> {
    let of = || by_pair.iter().filter(|((segment, ..), _)| segment == name);
    let until_ms = of().map(|(_, (until_ms, _))| *until_ms).max()?;
    let mut values: Vec<String> = of().map(|((_, value, _), _)| value.clone()).collect();
    values.dedup();
    values.retain(|value| value != segment::OTHER && value != segment::NONE);
    let mut features: Vec<String> = of().map(|((.., feature), _)| feature.clone()).collect();
    features.sort_unstable();
    features.dedup();
    Some(Segment { name: name.to_owned(), until_ms, values, features })
}

fn cause(segment: &str, value: &str, part: &causes::Part) -> Cause {
    Cause {
        segment: segment.to_owned(),
        value: value.to_owned(),
        within: part.within,
        mix: part.mix,
        share_before: part.share_before,
        share_now: part.share_now,
        before: part.before,
        now: part.now,
    }
}
