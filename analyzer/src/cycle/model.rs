//! One model: its reference, its windows, its verdicts.

mod references;

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use contract::api::{
    Concept, Distribution, DriftState, EmbeddingShift, FeatureVerdict, ReferenceReplay, ShadowStatus, ShadowVerdict,
    TrafficPoint,
};
use store::read::{BaselineSummary, DetectorState, DetectorsAt, Tolerance, VerdictRow, Window, WindowSeen};

use super::{
    changes::{self, Versions},
    concept,
    detect::{self, Detectors},
    embeddings::Embeddings,
    figures::{ConfidenceFigures, Counted},
    hours::{self, Hour},
    judging::Bench,
    paced::Paced,
    parts,
    replayed::Replayed,
    round::{Round, ceiling, floor, of_first_traffic, span_ms},
    segments::Segments,
    span::Recent,
    verdicts::{Basis, Evidence, Judged, plain, row, sort},
};
use crate::{
    baseline::{Baseline, BaselineError},
    config::Hours,
    judge::{
        display,
        gate::{Policy, Track},
        sentence,
        sequential::Detector,
        waiting::Lack,
        watch,
    },
};

/// Windows of one model judged in one cycle, so that catching up does not starve the others.
const WINDOWS_A_ROUND: u64 = 64;
/// No window of a model is begun in a round that took so long already, for the same reason.
const ROUND: Duration = Duration::from_secs(20);
/// Windows given up that are counted at most: more than fit in the time that observations are kept.
const SKIPPED_COUNTED: u64 = 1_000_000;

/// What is said of a feature that the reference somebody chose lacks.
const ADDED: &str =
    " Its reference is not the one that was chosen, which lacks it, but the first traffic after that was frozen.";

/// What is remembered of a model between two rounds. All of it can be read back from the database.
#[derive(Debug, Default)]
pub struct ModelState {
    restored: bool,
    baseline: Option<Baseline>,
    /// Whether the baseline's absent features were looked for already.
    completed: bool,
    /// Whether the event of its promotion is known to be there.
    said: bool,
    /// Observations that a provisional reference was found to need.
    wanted: u64,
    /// How far apart answers of its shadows may be, as written down.
    tolerance: Option<Tolerance>,
    /// Why there is no reference, where there is none.
    pub lack: Lack,
    judged_until_ms: Option<i64>,
    /// Event time up to which nothing is left to be judged: the watermark's, and not a window's, so that it says the same whatever a
    /// window's length.
    nothing_left_ms: Option<i64>,
    last_window: Option<Window>,
    version: String,
    recent: Recent,
    tracks: HashMap<String, Track>,
    detectors: Detectors,
    cells: HashMap<String, Vec<u64>>,
    verdicts: Vec<FeatureVerdict>,
    hour: Hour,
    segments: Segments,
    errors: concept::Watch,
    embeddings: Embeddings,
    replayed: Replayed,
    /// The last verdict on each shadow, to see it change.
    pub shadows: HashMap<String, ShadowVerdict>,
    /// Shadows as last counted.
    pub shadows_shown: Paced<Vec<ShadowStatus>>,
    /// Traffic by window as last counted.
    pub history: Paced<Vec<TrafficPoint>>,
    /// Confidence of the last window, so that it is counted once.
    pub confidence: Option<ConfidenceFigures>,
    /// What is shown beside the verdicts, as last counted.
    pub counted: Counted,
    /// Since counting failed; what took long before it failed is not tried again at once.
    pub resting: Paced<()>,
    /// Since judging failed, likewise.
    pub unjudged: Paced<()>,
    /// The round in which judging was tried last.
    pub tried: u64,
    /// That in which its figures were counted last.
    pub looked: u64,
}

/// What one window showed of everything that is judged.
struct All {
    features: Vec<Judged>,
    segments: Vec<parts::Judged>,
    errors: Vec<parts::Judged>,
}

impl ModelState {
    /// Replays the reference in force against itself, where that was not done.
    pub async fn replay_reference(&mut self, policy: &Policy) {
        self.replayed.turn(self.baseline.as_ref(), policy).await;
    }

    /// What that found.
    #[must_use]
    pub const fn reference_replay(&self) -> Option<ReferenceReplay> {
        self.replayed.found()
    }

    /// Judges the windows that the watermark closed.
    ///
    /// # Errors
    /// When the database does not answer or what it holds is damaged; windows judged so far stay judged.
    pub async fn advance(&mut self, round: &Round<'_>, summary: Option<&BaselineSummary>) -> Result<(), BaselineError> {
        let all = self.judge_closed(round, summary).await?;
        self.nothing_left_ms = if all { Some(round.watermark_ms) } else { self.judged_until_ms };
        Ok(())
    }

    /// Notes that a round judged nothing: what was left stays so. Of a model that was never judged since the start, all after the last
    /// window that was judged before.
    pub fn stands(&mut self, watermark_ms: i64) {
        self.nothing_left_ms.get_or_insert(self.judged_until_ms.unwrap_or(watermark_ms));
    }

    /// Event time up to which nothing is left to be judged; `None` before the first round.
    #[must_use]
    pub const fn nothing_left_ms(&self) -> Option<i64> {
        self.nothing_left_ms
    }

    /// Whether nothing that is closed is left.
    async fn judge_closed(
        &mut self,
        round: &Round<'_>,
        summary: Option<&BaselineSummary>,
    ) -> Result<bool, BaselineError> {
        self.restore(round).await?;
        self.note_tolerance(round).await?;
        match summary {
            Some(summary) => {
                self.adopt(round, summary).await?;
                self.mend(round, summary).await?;
                self.complete(round).await?;
            }
            None => self.provisional(round).await?,
        }
        self.skip_own_values(round).await?;
        let Some(baseline) = self.baseline.clone() else { return Ok(true) };
        let counted = self.counted(round);
        self.segments.prepare(round, &baseline, counted).await?;
        self.errors.prepare(round, &baseline, self.judged_until_ms).await?;
        self.embeddings.prepare(round, &baseline).await?;
        let closed_ms = floor(round.watermark_ms, round.config.windows.length_ms);
        let windows = self.closed_windows(round, closed_ms).await?;
        let (began, mut judged) = (Instant::now(), 0);
        for window in windows.iter().take_while(|_| began.elapsed() < ROUND) {
            self.judge_window(round, &baseline, window).await?;
            judged += 1;
        }
        let all = judged == windows.len() && (judged as u64) < WINDOWS_A_ROUND;
        if all {
            self.judged_until_ms = self.judged_until_ms.max(Some(closed_ms));
        }
        Ok(all)
    }

    /// Verdicts of the last window: outputs first, then by state and evidence.
    #[must_use]
    pub fn verdicts(&self) -> &[FeatureVerdict] {
        &self.verdicts
    }

    /// Verdicts of the last window on parts of the traffic.
    #[must_use]
    pub(super) const fn segments(&self) -> &Segments {
        &self.segments
    }

    /// How far embeddings moved in the last window.
    #[must_use]
    pub fn embeddings(&self) -> &[EmbeddingShift] {
        self.embeddings.shifts()
    }

    /// What the last window says of errors and inputs; `None` before there were enough labels.
    #[must_use]
    pub fn concept(&self, policy: &Policy) -> Option<Concept> {
        self.errors.last(&self.verdicts, self.last_window?.end_ms, policy)
    }

    /// The reference in force.
    #[must_use]
    pub const fn baseline(&self) -> Option<&Baseline> {
        self.baseline.as_ref()
    }

    /// The last judged window.
    #[must_use]
    pub const fn last_window(&self) -> Option<Window> {
        self.last_window
    }

    /// Reference and judged values of each feature, for drawing.
    pub fn distributions(&self) -> impl Iterator<Item = (String, Distribution)> {
        self.baseline.iter().flat_map(|baseline| &baseline.features).filter_map(|frozen| {
            let cells = self.cells.get(&frozen.name)?;
            Some((frozen.name.clone(), display::distribution(&frozen.reference, cells)))
        })
    }

    /// After a start: the last window judged, and the states it left.
    async fn restore(&mut self, round: &Round<'_>) -> Result<(), BaselineError> {
        if self.restored {
            return Ok(());
        }
        self.judged_until_ms = round.reader.last_judged(round.model()).await?;
        if let Some(end_ms) = self.judged_until_ms {
            // Both before anything is taken: what is read again after a failure is not taken twice.
            let texts = round.reader.verdicts_at(round.model(), end_ms).await?;
            let stored = parts::read(round.reader, round.model(), end_ms).await?;
            self.last_window = Some(Window { start_ms: end_ms - round.config.windows.length_ms, end_ms });
            for text in texts {
                // A row of another version's making is no reason to stop: its feature starts afresh.
                let Ok(evidence) = serde_json::from_str::<Evidence>(&text) else { continue };
                let Evidence { verdict, quiet_windows, .. } = evidence;
                self.tracks.insert(verdict.feature.clone(), Track { state: verdict.state, quiet_windows });
                self.version.clone_from(&verdict.version);
                self.verdicts.push(verdict);
            }
            sort(&mut self.verdicts);
            let (errors, segments) =
                stored.verdicts.into_iter().partition(|one| one.segment == contract::segment::TRUTH);
            self.tracks.extend(stored.tracks);
            self.segments.restore(segments);
            self.errors.restore((errors, stored.left), end_ms);
        }
        self.restored = true;
        Ok(())
    }

    /// The span whose counts may still be judged with the next window.
    fn counted(&self, round: &Round<'_>) -> Window {
        let end_ms = self.judged_until_ms.unwrap_or(0);
        Window { start_ms: end_ms - span_ms(round), end_ms }
    }

    /// Closed windows with data that were not judged yet.
    async fn closed_windows(&mut self, round: &Round<'_>, closed_ms: i64) -> Result<Vec<WindowSeen>, BaselineError> {
        let length_ms = round.config.windows.length_ms;
        let oldest_ms = closed_ms - round.config.windows.backlog * length_ms;
        let first_ms = floor(round.seen.first_at_ms, length_ms).max(oldest_ms);
        let from_ms = self.judged_until_ms.map_or(first_ms, |end| ceiling(end, length_ms));
        if from_ms < oldest_ms {
            let missed = Window { start_ms: from_ms, end_ms: oldest_ms };
            let missed = round.reader.windows(round.model(), missed, length_ms, SKIPPED_COUNTED).await?.len() as u64;
            if missed > 0 {
                round.metrics.skipped(round.model(), missed);
            }
            self.judged_until_ms = Some(oldest_ms);
        }
        let span = Window { start_ms: from_ms.max(oldest_ms), end_ms: closed_ms };
        if span.start_ms >= span.end_ms {
            return Ok(Vec::new());
        }
        Ok(round.reader.windows(round.model(), span, length_ms, WINDOWS_A_ROUND).await?)
    }

    /// Count, judge, write down. Memory changes last, so that a failure anywhere leaves a window to be judged again, with the
    /// same rows as outcome.
    async fn judge_window(
        &mut self,
        round: &Round<'_>,
        baseline: &Baseline,
        seen: &WindowSeen,
    ) -> Result<(), BaselineError> {
        let (model, fingerprint) = (round.model(), &baseline.info.fingerprint);
        let window = Window { start_ms: seen.start_ms, end_ms: seen.start_ms + round.config.windows.length_ms };
        round.reader.count_window(model, fingerprint, window, seen).await?;
        self.recent.put(round.reader.bin_counts(model, fingerprint, window).await?);
        self.recent.forget_before(window.end_ms - span_ms(round));
        self.segments.count(round, window, seen, window.end_ms - span_ms(round)).await?;
        self.errors.count(round, window).await?;
        let settings = round.settings();
        let policy = hours::split(&settings.policy, settings.hours);
        self.hour.prepare(round.reader, baseline, (settings.hours, window.start_ms), &policy).await?;
        self.embeddings.look(round, window, seen).await?;
        let All { features: judged, segments, mut errors } = self.judge_all(round, baseline, window, seen);
        let versions = Versions { before: &self.version, now: &seen.version };
        let mut changes = changes::of(window.end_ms, model, versions, &judged, &segments);
        let (policy, features) = (&round.settings().policy, || judged.iter().map(|one| &one.verdict));
        let moved = self.errors.moved(round, features(), &errors, (window, baseline)).await?;
        let now = self.errors.next(features(), (&mut errors, moved), window.end_ms, policy);
        let concept = changes::of_concept(window.end_ms, model, &seen.version, self.concept(policy), now);
        changes.extend(concept);
        // Before the rows that say that the window is judged: a window judged again writes the same events, which the table
        // takes once.
        round.reader.insert_events(&changes).await?;
        let states = judged.iter().map(|one| detect::state(&one.verdict.feature, &one.detector));
        let parts = || segments.iter().chain(&errors);
        let of_parts = parts().map(|one| detect::state(&one.key, &one.looked.watched.detector));
        let states: Vec<DetectorState> = states.chain(of_parts).collect();
        let at = DetectorsAt { model, fingerprint, window_end_ms: window.end_ms };
        round.reader.insert_detectors(at, round.now_ms, &states).await?;
        // Last the rows that say that the window is judged.
        round.reader.insert_segment_verdicts(&parts::rows(parts(), model, round.now_ms)).await?;
        let rows: Vec<VerdictRow> = judged.iter().map(|one| row(one, round.now_ms, seen.cut_ms)).collect();
        round.reader.insert_verdicts(&rows).await?;
        let unjudged = round.reader.features_seen(model, window).await?;
        let unjudged = unjudged.iter().filter(|feature| baseline.reference(&feature.feature).is_none()).count();
        round.metrics.judged(model, &seen.version, unjudged);
        self.remember(All { features: judged, segments, errors }, window, seen);
        Ok(())
    }

    /// The features, and the pairs of segments beside them.
    fn judge_all(&self, round: &Round<'_>, baseline: &Baseline, window: Window, seen: &WindowSeen) -> All {
        let (policy, hours) = (&round.settings().policy, round.settings().hours);
        let bench = Bench {
            recent: &self.recent,
            detectors: &self.detectors,
            tracks: &self.tracks,
            policy,
            window,
            from_ms: window.end_ms - span_ms(round),
            hours: Hours::Off,
        };
        let (mut parts, errors) = (self.segments.judge(&bench), self.errors.judge(&bench));
        let references = if hours == Hours::Off { &baseline.features[..] } else { self.hour.features() };
        let (policy, from_ms) = (&hours::split(policy, hours), bench.from_ms.max(hours.since(window.start_ms)));
        let bench = Bench { policy, from_ms, hours, ..bench };
        let mut found = bench.look(references);
        if !parts.is_empty() {
            let of_parts = parts.iter_mut().map(|part| &mut part.looked.watched);
            watch::list_together(found.iter_mut().map(|one| &mut one.watched).chain(of_parts), policy.alpha);
            parts.iter_mut().for_each(|part| part.verdict.discovery = part.looked.watched.listed);
        }
        let chosen = !of_first_traffic(baseline);
        let judged = references.iter().zip(found).enumerate().map(|(at, (frozen, one))| {
            let names = (round.model(), seen.version.as_str());
            let mut verdict = plain(names, frozen, &one, &bench, &baseline.info.fingerprint);
            let (mut tail, span) =
                (self.hour.said(at).to_owned(), Window { start_ms: one.start_ms, end_ms: window.end_ms });
            if frozen.provisional && chosen {
                tail += ADDED;
            }
            if one.track.state >= DriftState::Watch {
                verdict.causes = self.segments.causes(frozen, span);
                tail += &(sentence::of_causes(&verdict.causes) + &self.embeddings.sentence(&frozen.name));
            }
            verdict.sentence.push_str(&tail);
            let basis = Basis::of(&bench, one.before, (tail, hours), !parts.is_empty());
            let (before, track, cells, detector) = (one.before, one.track, one.cells, one.watched.detector);
            Judged { verdict, before, track, cells, detector, basis }
        });
        All { features: judged.collect(), segments: parts, errors }
    }

    fn remember(&mut self, all: All, window: Window, seen: &WindowSeen) {
        let All { features: judged, segments, errors } = all;
        let parts = || segments.iter().chain(&errors);
        self.tracks = judged.iter().map(|one| (one.verdict.feature.clone(), one.track)).collect();
        self.tracks.extend(parts().map(|one| (one.key.clone(), one.looked.track)));
        self.cells.clear();
        self.verdicts.clear();
        let of_parts = parts().map(|one| (one.key.clone(), one.looked.watched.detector.clone()));
        let mut detectors: Vec<(String, Detector)> = of_parts.collect();
        for one in judged {
            detectors.push((one.verdict.feature.clone(), one.detector));
            self.cells.insert(one.verdict.feature.clone(), one.cells);
            self.verdicts.push(one.verdict);
        }
        sort(&mut self.verdicts);
        self.segments.remember(segments);
        self.errors.remember(&errors, window);
        self.detectors.keep(window.end_ms, detectors);
        self.version.clone_from(&seen.version);
        self.last_window = Some(window);
        self.judged_until_ms = Some(window.end_ms);
    }
}
