//! One model: its reference, its windows, its verdicts.

use std::collections::HashMap;

use contract::api::{Distribution, DriftState, FeatureVerdict, ShadowStatus, ShadowVerdict, TrafficPoint};
use store::read::{BaselineSummary, DetectorState, DetectorsAt, ModelSeen, Reader, VerdictRow, Window, WindowSeen};

use super::{
    changes::{self, Versions, event},
    detect::{self, Detectors},
    figures::ConfidenceFigures,
    paced::Paced,
    span::{Recent, Taken},
    verdicts::{Evidence, Judged, row, sort, verdict},
};
use crate::{
    baseline::{self, Baseline, BaselineError},
    config::{Config, ModelConfig},
    judge::{
        display,
        gate::{self, Input, Track},
        sentence, watch,
    },
    publish::Metrics,
};

/// How far back the first observations of a model are looked for: as long as features are kept.
const PROVISIONAL_LOOK_BACK_MS: i64 = 30 * 86_400_000;
/// Windows of one model judged in one cycle, so that catching up does not starve the others.
const WINDOWS_A_ROUND: u64 = 64;
/// Windows given up that are counted at most: more than fit in the time that observations are kept.
const SKIPPED_COUNTED: u64 = 1_000_000;

/// What one round works with.
pub struct Round<'a> {
    /// The database.
    pub reader: &'a Reader,
    /// The configuration.
    pub config: &'a Config,
    /// The counters.
    pub metrics: &'a Metrics,
    /// The model.
    pub seen: &'a ModelSeen,
    /// Event time that is closed.
    pub watermark_ms: i64,
    /// The clock.
    pub now_ms: i64,
}

impl Round<'_> {
    fn model(&self) -> &str {
        &self.seen.model
    }

    fn settings(&self) -> &ModelConfig {
        self.config.of(self.model())
    }
}

/// What is remembered of a model between two rounds. All of it can be read back from the database.
#[derive(Debug, Default)]
pub struct ModelState {
    restored: bool,
    baseline: Option<Baseline>,
    /// Fingerprint of the baseline whose absent features were already looked for.
    completed: String,
    judged_until_ms: Option<i64>,
    last_window: Option<Window>,
    version: String,
    recent: Recent,
    tracks: HashMap<String, Track>,
    detectors: Detectors,
    cells: HashMap<String, Vec<u64>>,
    verdicts: Vec<FeatureVerdict>,
    /// The last verdict on each shadow, to see it change.
    pub shadows: HashMap<String, ShadowVerdict>,
    /// Shadows of a primary version as last counted.
    pub shadows_shown: Paced<(String, Vec<ShadowStatus>)>,
    /// Traffic by window as last counted.
    pub history: Paced<Vec<TrafficPoint>>,
    /// Confidence of the last window, so that it is counted once.
    pub confidence: Option<ConfidenceFigures>,
}

impl ModelState {
    /// Judges the windows that the watermark closed.
    ///
    /// # Errors
    /// When the database does not answer or what it holds is damaged; windows judged so far stay judged.
    pub async fn advance(&mut self, round: &Round<'_>, summary: Option<&BaselineSummary>) -> Result<(), BaselineError> {
        self.restore(round).await?;
        match summary {
            Some(summary) => {
                self.adopt(round, summary).await?;
                self.complete(round).await?;
            }
            None => self.provisional(round).await?,
        }
        self.skip_own_values(round).await?;
        let Some(baseline) = self.baseline.clone() else { return Ok(()) };
        let closed_ms = floor(round.watermark_ms, round.config.windows.length_ms);
        let windows = self.closed_windows(round, closed_ms).await?;
        for window in &windows {
            self.judge_window(round, &baseline, window).await?;
        }
        if (windows.len() as u64) < WINDOWS_A_ROUND {
            self.judged_until_ms = self.judged_until_ms.max(Some(closed_ms));
        }
        Ok(())
    }

    /// Verdicts of the last window: outputs first, then by state and evidence.
    #[must_use]
    pub fn verdicts(&self) -> &[FeatureVerdict] {
        &self.verdicts
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
            self.last_window = Some(Window { start_ms: end_ms - round.config.windows.length_ms, end_ms });
            for text in round.reader.verdicts_at(round.model(), end_ms).await? {
                // A row of another version's making is no reason to stop: its feature starts afresh.
                let Ok(evidence) = serde_json::from_str::<Evidence>(&text) else { continue };
                let Evidence { verdict, quiet_windows } = evidence;
                self.tracks.insert(verdict.feature.clone(), Track { state: verdict.state, quiet_windows });
                self.version.clone_from(&verdict.version);
                self.verdicts.push(verdict);
            }
            sort(&mut self.verdicts);
        }
        self.restored = true;
        Ok(())
    }

    /// Takes the baseline in force, if it is another than before, and the counts made over it.
    async fn adopt(&mut self, round: &Round<'_>, summary: &BaselineSummary) -> Result<(), BaselineError> {
        if self.baseline.as_ref().is_some_and(|known| known.info.fingerprint == summary.fingerprint) {
            return Ok(());
        }
        let baseline = Baseline::load(round.reader, summary).await?;
        self.recent = Recent::default();
        self.cells.clear();
        self.detectors = Detectors::default();
        if let Some(end_ms) = self.judged_until_ms {
            let at = DetectorsAt { model: round.model(), fingerprint: &summary.fingerprint, window_end_ms: end_ms };
            self.detectors = Detectors::after(round.reader, at).await?;
            let span = Window { start_ms: end_ms - span_ms(round), end_ms };
            self.recent.put(round.reader.bin_counts(round.model(), &summary.fingerprint, span).await?);
            for verdict in self.verdicts.iter().filter(|verdict| verdict.baseline == summary.fingerprint) {
                let Some(reference) = baseline.reference(&verdict.feature) else { continue };
                let taken =
                    self.recent.take(&verdict.feature, verdict.window_start_ms, verdict.window_end_ms, u64::MAX);
                self.cells.insert(verdict.feature.clone(), reference.cells(taken.bins));
            }
        }
        self.baseline = Some(baseline);
        Ok(())
    }

    /// With no baseline at all, the first good observations make one.
    async fn provisional(&mut self, round: &Round<'_>) -> Result<(), BaselineError> {
        let Some(span) = first_span(round, round.now_ms - PROVISIONAL_LOOK_BACK_MS).await? else { return Ok(()) };
        let limits = &round.config.freezing;
        let frozen = baseline::from_rows(round.reader, round.model(), span, true, vec![], limits, round.now_ms).await;
        let frozen = match frozen {
            Err(BaselineError::Empty { .. }) => return Ok(()),
            frozen => frozen?,
        };
        let text = format!(
            "Provisional reference from the first {} observations: {} features.",
            round.settings().provisional_after,
            frozen.info.features
        );
        self.put_in_force(round, frozen, text).await
    }

    /// A provisional reference is not judged against its own values. They are found again rather than remembered, so that a
    /// restart before the first verdict starts at the same window.
    async fn skip_own_values(&mut self, round: &Round<'_>) -> Result<(), BaselineError> {
        let own = |baseline: &Baseline| baseline.features.iter().all(|frozen| frozen.provisional);
        if self.judged_until_ms.is_none() && self.baseline.as_ref().is_some_and(own) {
            let span = first_span(round, round.now_ms - PROVISIONAL_LOOK_BACK_MS).await?;
            self.judged_until_ms = span.map(|span| ceiling(span.end_ms, round.config.windows.length_ms));
        }
        Ok(())
    }

    /// A baseline of a file or a chosen range may lack features that traffic has, outputs above all. The first good
    /// observations after it was frozen add a provisional reference for each; what was frozen stays as it is.
    async fn complete(&mut self, round: &Round<'_>) -> Result<(), BaselineError> {
        let Some(baseline) = &self.baseline else { return Ok(()) };
        let chosen = baseline.features.iter().any(|frozen| !frozen.provisional);
        if !chosen || self.completed == baseline.info.fingerprint {
            return Ok(());
        }
        let Some(span) = first_span(round, baseline.info.frozen_at_ms).await? else { return Ok(()) };
        let (before, keep) = (baseline.features.len(), baseline.features.clone());
        let limits = &round.config.freezing;
        let whole = baseline::from_rows(round.reader, round.model(), span, true, keep, limits, round.now_ms).await?;
        let added = whole.features.len() - before;
        self.completed.clone_from(&whole.info.fingerprint);
        if added == 0 {
            return Ok(());
        }
        let text = format!("Provisional reference for {added} features that the chosen one lacks.");
        self.put_in_force(round, whole, text).await
    }

    async fn put_in_force(&mut self, round: &Round<'_>, frozen: Baseline, text: String) -> Result<(), BaselineError> {
        let event = event(round.now_ms, "baseline", round.model(), &frozen.info.version, text);
        frozen.save(round.reader).await?;
        round.reader.insert_events(&[event]).await?;
        self.baseline = Some(frozen);
        self.recent = Recent::default();
        self.detectors = Detectors::default();
        Ok(())
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
        let judged = self.judge_features(round, baseline, window, seen);
        let versions = Versions { before: &self.version, now: &seen.version };
        let changes = changes::of(window.end_ms, model, versions, &judged);
        if !changes.is_empty() {
            round.reader.insert_events(&changes).await?;
        }
        let states: Vec<DetectorState> =
            judged.iter().map(|one| detect::state(&one.verdict.feature, &one.detector)).collect();
        let at = DetectorsAt { model, fingerprint, window_end_ms: window.end_ms };
        round.reader.insert_detectors(at, round.now_ms, &states).await?;
        let rows: Vec<VerdictRow> = judged.iter().map(|one| row(one, round.now_ms, seen.cut_ms)).collect();
        round.reader.insert_verdicts(&rows).await?;
        let unjudged = round.reader.features_seen(model, window).await?;
        let unjudged = unjudged.iter().filter(|feature| baseline.reference(&feature.feature).is_none()).count();
        round.metrics.judged(model, &seen.version, unjudged);
        self.remember(judged, window, seen);
        Ok(())
    }

    fn judge_features(&self, round: &Round<'_>, baseline: &Baseline, window: Window, seen: &WindowSeen) -> Vec<Judged> {
        let policy = &round.settings().policy;
        let from_ms = window.end_ms - span_ms(round);
        let (taken, cells): (Vec<Taken>, Vec<Vec<u64>>) = baseline
            .features
            .iter()
            .map(|frozen| {
                let mut taken = self.recent.take(&frozen.name, from_ms, window.end_ms, policy.n_min);
                taken.start_ms = taken.start_ms.min(window.start_ms);
                let cells = frozen.reference.cells(std::mem::take(&mut taken.bins));
                (taken, cells)
            })
            .unzip();
        let inputs: Vec<Input<'_>> = baseline
            .features
            .iter()
            .zip(&cells)
            .map(|(frozen, current)| Input { reference: &frozen.reference, current })
            .collect();
        let findings = gate::judge(&inputs, policy);
        let watched = self.detectors.look(baseline, &self.recent, window, policy);
        let judged = baseline.features.iter().zip(findings).zip(watched).zip(taken).zip(cells);
        judged
            .map(|((((frozen, mut finding), watched), taken), cells)| {
                let before = self.tracks.get(&frozen.name).copied().unwrap_or_default();
                // Values judged before are not evidence once more that a drift is over.
                finding.call = watch::call(finding.call, &watched, before.state, policy);
                let stale = !self.recent.holds(&frozen.name, window.start_ms) && before.state == DriftState::Drifted;
                let track = if stale { before } else { before.next(finding.call, policy.resolve_windows) };
                let text = sentence::of_feature(&frozen.reference, &finding, &watched, track, policy);
                let span = Window { start_ms: taken.start_ms, end_ms: window.end_ms };
                let names = (round.model(), seen.version.as_str(), frozen.name.as_str());
                let shown = (&finding, &watched, track);
                let verdict = verdict(names, span, shown, policy, &baseline.info.fingerprint, text);
                Judged { verdict, before, track, cells, detector: watched.detector }
            })
            .collect()
    }

    fn remember(&mut self, judged: Vec<Judged>, window: Window, seen: &WindowSeen) {
        self.tracks = judged.iter().map(|one| (one.verdict.feature.clone(), one.track)).collect();
        self.cells.clear();
        self.verdicts.clear();
        let mut detectors = Vec::with_capacity(judged.len());
        for one in judged {
            detectors.push((one.verdict.feature.clone(), one.detector));
            self.cells.insert(one.verdict.feature.clone(), one.cells);
            self.verdicts.push(one.verdict);
        }
        sort(&mut self.verdicts);
        self.detectors.keep(detectors);
        self.version.clone_from(&seen.version);
        self.last_window = Some(window);
        self.judged_until_ms = Some(window.end_ms);
    }
}

/// The span of a model's first good observations since a time, once all of them are closed by the watermark.
async fn first_span(round: &Round<'_>, since_ms: i64) -> Result<Option<Window>, store::Error> {
    let wanted = round.settings().provisional_after;
    if wanted == 0 {
        return Ok(None);
    }
    let times = round.reader.first_observations(round.model(), since_ms, wanted).await?;
    let (Some(first), Some(last)) = (times.first(), times.last()) else { return Ok(None) };
    let complete = times.len() as u64 == wanted && *last < round.watermark_ms;
    Ok(complete.then_some(Window { start_ms: *first, end_ms: *last + 1 }))
}

fn span_ms(round: &Round<'_>) -> i64 {
    round.config.windows.span * round.config.windows.length_ms
}

fn floor(at_ms: i64, length_ms: i64) -> i64 {
    at_ms.div_euclid(length_ms) * length_ms
}

fn ceiling(at_ms: i64, length_ms: i64) -> i64 {
    floor(at_ms + length_ms - 1, length_ms)
}
