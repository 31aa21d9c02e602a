//! Figures beside the drift verdicts: traffic, confidence, classes, shadows, SLOs.

use std::time::Instant;

use contract::{
    api::{
        ClassShare, Distribution, DriftState, ModelOverview, Segments, ShadowStatus, ShadowVerdict, SloStatus, Source,
        Traffic, TrafficPoint,
    },
    feature,
    slo::{Counter, SloFile},
    wire::{KSERVE_SOURCE, Ledger, SINGLE_SOURCE},
};
use store::read::{ModelSeen, Reader, ShadowCounts, SourceSeen, TrafficCounts, Window};

use super::{
    changes::event,
    model::ModelState,
    shadows::{against, said, word},
};
use crate::{
    config::Config,
    judge::{
        burn::{self, Events},
        display,
        reference::Reference,
        selfcheck, sentence,
        waiting::{self, Known},
    },
};

/// Span of "now" on the page.
const TRAFFIC_MS: i64 = 60_000;
/// Windows in a sparkline.
const HISTORY_WINDOWS: i64 = 60;
/// Bars of the confidence histogram, from 0 to 1.
const CONFIDENCE_BINS: u32 = 20;
/// Classes shown.
const CLASSES_MAX: usize = 20;
/// Classes looked at, so that the most frequent of the reference are among them.
const CLASSES_READ: u64 = 1_000;
/// Shadows of one primary shown.
pub(crate) const SHADOWS_MAX: u64 = 8;
/// A cycle is seconds; what was judged before this is no ground to promote on, or to go on.
pub(crate) const VERDICT_HOLDS_MS: i64 = 300_000;
/// So shadows are judged again after this, whatever that costs.
const SHADOWS_REST_MS: i64 = VERDICT_HOLDS_MS / 2;

/// Confidence and class mix of one window.
#[derive(Clone, Debug)]
pub struct ConfidenceFigures {
    window: Window,
    fingerprint: String,
    distribution: Option<Distribution>,
    mean: Option<f64>,
    /// Share of answers below the floor.
    pub low_share: Option<f64>,
    classes: Vec<ClassShare>,
}

/// Figures that are counted from many rows.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    /// When; `None` where they never were.
    pub at_ms: Option<i64>,
    traffic: Traffic,
    history: Vec<TrafficPoint>,
    shadows: Vec<ShadowStatus>,
}

/// What figures are made of.
pub struct Figures<'a> {
    /// The database.
    pub reader: &'a Reader,
    /// The configuration.
    pub config: &'a Config,
    /// The clock.
    pub now_ms: i64,
    /// Event time that is closed.
    pub watermark_ms: Option<i64>,
    /// The objectives.
    pub slo: Option<&'a SloFile>,
}

impl Figures<'_> {
    /// Counts a model's figures, unless they failed a moment ago: [`Self::overview`] goes on with the last ones.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn count(&self, seen: &ModelSeen, state: &mut ModelState) -> Result<(), store::Error> {
        if state.resting.fresh(self.now_ms).is_some() {
            return Ok(());
        }
        let began = Instant::now();
        let counted = self.counted(seen, state).await;
        state.counted = counted.inspect_err(|_| {
            state.resting.put((), self.now_ms, 0, began.elapsed());
        })?;
        Ok(())
    }

    /// A model at a glance.
    #[must_use]
    pub fn overview(&self, seen: &ModelSeen, state: &ModelState) -> ModelOverview {
        let confidence = state.confidence.as_ref();
        let settings = self.config.of(&seen.model);
        let features = state.baseline().map_or(0, |baseline| baseline.features.len());
        let replay = state.reference_replay();
        let Counted { traffic, history, shadows, .. } = state.counted.clone();
        let left_ms = self.watermark_ms.zip(state.nothing_left_ms()).map_or(0, |(closed, judged)| closed - judged);
        let behind = waiting::behind(left_ms);
        let waits = waiting::sentence(&Known {
            lack: state.baseline().is_none().then_some(state.lack),
            verdicts: state.verdicts(),
            policy: &settings.policy,
            windows: self.config.windows.span,
            rate: traffic.requests_per_second * (1.0 - traffic.bad_ratio.unwrap_or(0.0)),
        });
        ModelOverview {
            model: seen.model.clone(),
            version: seen.version.clone(),
            state: state.verdicts().iter().map(|verdict| verdict.state).max().unwrap_or(DriftState::Insufficient),
            traffic,
            history,
            features: state.verdicts().to_vec(),
            confidence: confidence.and_then(|figures| figures.distribution.clone()),
            confidence_mean: confidence.and_then(|figures| figures.mean),
            classes: confidence.map(|figures| figures.classes.clone()).unwrap_or_default(),
            concept: state.concept(&settings.policy),
            embeddings: state.embeddings().to_vec(),
            shadows,
            baseline: state.baseline().map(|baseline| baseline.info.clone()),
            guarantee: sentence::guarantee(&settings.policy, features, self.config.windows.length_ms)
                + &replay.as_ref().map(selfcheck::sentence).unwrap_or_default(),
            reference_replay: replay,
            // why there is no reference says more than that nothing is judged
            waiting: if state.baseline().is_some() { behind.or(waits) } else { waits.or(behind) },
        }
    }

    async fn counted(&self, seen: &ModelSeen, state: &mut ModelState) -> Result<Counted, store::Error> {
        self.confidence(seen, state).await?;
        let shadows = self.shadows(seen, state).await?;
        let history = self.history(&seen.model, state).await?;
        let traffic = self.traffic(&seen.model).await?;
        Ok(Counted { at_ms: Some(self.now_ms), traffic, history, shadows })
    }

    /// Parts of a model's traffic as the API shows them; `None` where none are named.
    #[must_use]
    pub fn segments(&self, model: &str, state: &ModelState) -> Option<Segments> {
        let named = self.config.segments.of(model);
        let policy = &self.config.of(model).policy;
        let promise = |pairs| sentence::segments_guarantee(policy, pairs, self.config.windows.length_ms);
        (!named.is_empty()).then(|| state.segments().shown(named, promise))
    }

    async fn traffic(&self, model: &str) -> Result<Traffic, store::Error> {
        let span = Window { start_ms: self.now_ms - TRAFFIC_MS, end_ms: self.now_ms };
        let counts = self.reader.traffic(model, span, TRAFFIC_MS).await?;
        Ok(counts.first().map(|counts| traffic(counts, TRAFFIC_MS)).unwrap_or_default())
    }

    async fn history(&self, model: &str, state: &mut ModelState) -> Result<Vec<TrafficPoint>, store::Error> {
        if let Some(shown) = state.history.fresh(self.now_ms) {
            return Ok(shown.clone());
        }
        let began = Instant::now();
        let length_ms = self.config.windows.length_ms;
        let end_ms = self.now_ms.div_euclid(length_ms) * length_ms;
        let span = Window { start_ms: end_ms - HISTORY_WINDOWS * length_ms, end_ms };
        let points = traffic_points(self.reader, model, span, length_ms).await?;
        Ok(state.history.put(points, self.now_ms, 0, began.elapsed()).clone())
    }

    /// Counted once a window and reference.
    async fn confidence(&self, seen: &ModelSeen, state: &mut ModelState) -> Result<(), store::Error> {
        let Some(window) = state.last_window().or_else(|| self.last_closed()) else { return Ok(()) };
        let fingerprint = state.baseline().map(|baseline| baseline.info.fingerprint.clone()).unwrap_or_default();
        let known = state.confidence.as_ref();
        if known.is_some_and(|figures| figures.window == window && figures.fingerprint == fingerprint) {
            return Ok(());
        }
        let low = self.config.of(&seen.model).low_confidence;
        let counts =
            self.reader.confidence(&seen.model, feature::OUTPUT_CONFIDENCE, window, low, CONFIDENCE_BINS).await?;
        let classes = self.reader.category_counts(&seen.model, feature::OUTPUT_LABEL, window, CLASSES_READ).await?;
        let reference = |name| state.baseline().and_then(|baseline| baseline.reference(name));
        let answers = counts.answers as f64;
        let edges: Vec<f64> = (0..=CONFIDENCE_BINS).map(|i| f64::from(i) / f64::from(CONFIDENCE_BINS)).collect();
        let distribution = (counts.answers > 0).then(|| Distribution {
            names: Vec::new(),
            reference: match reference(feature::OUTPUT_CONFIDENCE) {
                Some(Reference::Numbers(numbers)) => display::reference_over(numbers, &edges),
                _ => Vec::new(),
            },
            current: counts.histogram.iter().map(|n| *n as f64 / answers).collect(),
            edges,
        });
        let share = |n: f64| (counts.answers > 0).then(|| n / answers);
        let (mean, low_share) = (share(counts.sum), share(counts.low as f64));
        let classes = display::classes(reference(feature::OUTPUT_LABEL), &classes, CLASSES_MAX);
        state.confidence = Some(ConfidenceFigures { window, fingerprint, distribution, mean, low_share, classes });
        Ok(())
    }

    /// The newest closed window, where none was judged yet.
    fn last_closed(&self) -> Option<Window> {
        let length_ms = self.config.windows.length_ms;
        let end_ms = self.watermark_ms?.div_euclid(length_ms) * length_ms;
        Some(Window { start_ms: end_ms - length_ms, end_ms })
    }

    async fn shadows(&self, seen: &ModelSeen, state: &mut ModelState) -> Result<Vec<ShadowStatus>, store::Error> {
        if let Some(shown) = state.shadows_shown.fresh(self.now_ms) {
            return Ok(shown.clone());
        }
        let (began, mut shadows) = (Instant::now(), Vec::new());
        let tolerance = self.config.of(&seen.model).shadow.tolerance;
        let counted = self.reader.shadows(&seen.model, tolerance, SHADOWS_MAX).await?;
        for counts in counted.into_iter().filter(|counts| !is_promoted(seen, counts)) {
            let key = format!("{}/{}", counts.version, counts.shadow);
            let before = match state.shadows.get(&key) {
                Some(before) => *before,
                None => self.last_verdict(&counts).await?,
            };
            let status = self.shadow(&counts, before, state).await?;
            let asked = against(&counts.version, &self.config.of(&seen.model).shadow);
            if before != status.verdict {
                let text = format!("{}{} {}", word(status.verdict), asked, status.sentence);
                let row = event(self.now_ms, "shadow", &seen.model, &counts.shadow, text);
                self.reader.insert_events(&[row]).await?;
            }
            // after the event: one that could not be written is written by the next cycle
            state.shadows.insert(key, status.verdict);
            shadows.push(status);
        }
        Ok(state.shadows_shown.put_within(shadows, self.now_ms, SHADOWS_REST_MS, began.elapsed()).clone())
    }

    /// What was said last of a shadow against the same version under the same settings, before this process; before anything was, it
    /// is on hold.
    async fn last_verdict(&self, counts: &ShadowCounts) -> Result<ShadowVerdict, store::Error> {
        let text = self.reader.last_event(&counts.model, &counts.shadow, "shadow").await?.unwrap_or_default();
        Ok(said(&text, &against(&counts.version, &self.config.of(&counts.model).shadow)))
    }

    /// Budgets and burn rates of every objective.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn slos(&self, file: &SloFile) -> Result<Vec<SloStatus>, store::Error> {
        let windows = burn::windows(file);
        let mut since: Vec<i64> = windows.iter().map(|window| self.now_ms - window.millis).collect();
        since.push(burn::period_start_ms(file, self.now_ms));
        let mut statuses = Vec::with_capacity(file.slos.len());
        for slo in file.slos.iter().filter(|slo| slo.sli.counter() != Counter::Queries) {
            let counts = self.reader.slo_events(slo, self.config.of(&slo.model).shadow.tolerance, &since).await?;
            let mut events: Vec<Events> = counts.iter().map(|c| Events { total: c.total, bad: c.bad }).collect();
            let period = events.pop().unwrap_or_default();
            statuses.push(SloStatus {
                slo: slo.name.clone(),
                description: slo.description.clone(),
                model: slo.model.clone(),
                objective: slo.objective,
                events: period.total,
                bad: period.bad,
                budget_remaining: burn::budget_remaining(period, slo.budget()),
                burn: windows.iter().zip(events).map(|(window, e)| burn::burn(window, e, slo, file)).collect(),
            });
        }
        Ok(statuses)
    }
}

/// Whether a shadow has taken the place of the version it was compared with. A canary of more than half, which leaves that
/// version some answers, has not: its verdict is still asked for.
fn is_promoted(seen: &ModelSeen, counts: &ShadowCounts) -> bool {
    counts.shadow == seen.version && !seen.answering.contains(&counts.version)
}

/// Traffic of a span by step. Every step has its point; one without requests is a point at 0.
///
/// # Errors
/// When the database does not answer.
pub async fn traffic_points(
    reader: &Reader,
    model: &str,
    span: Window,
    step_ms: i64,
) -> Result<Vec<TrafficPoint>, store::Error> {
    let counts = reader.traffic(model, span, step_ms).await?;
    let points = (0..(span.end_ms - span.start_ms) / step_ms).map(|i| span.start_ms + i * step_ms).map(|at_ms| {
        let found = counts.iter().find(|counts| counts.start_ms == at_ms);
        TrafficPoint { at_ms, traffic: found.map(|counts| traffic(counts, step_ms)).unwrap_or_default() }
    });
    Ok(points.collect())
}

fn traffic(counts: &TrafficCounts, length_ms: i64) -> Traffic {
    let quantile = |i: usize| {
        let us = counts.quantiles_us.get(i).copied().filter(|us| us.is_finite() && counts.counted > 0);
        us.map(|us| f64::from(us) / 1e3)
    };
    Traffic {
        requests_per_second: counts.requests as f64 * 1e3 / length_ms as f64,
        bad_ratio: (counts.counted > 0).then(|| counts.bad as f64 / counts.counted as f64),
        p50_ms: quantile(0),
        p95_ms: quantile(1),
        p99_ms: quantile(2),
    }
}

/// A sender as the API gives it.
#[must_use]
pub fn source(seen: &SourceSeen) -> Source {
    Source {
        source: seen.source.clone(),
        heartbeat_ms: seen.sent_at_ms,
        expected: seen.source != SINGLE_SOURCE && seen.source != KSERVE_SOURCE,
        ledger: Ledger {
            observed: seen.observed,
            delivered: seen.delivered,
            dropped: seen.dropped,
            in_flight: seen.in_flight,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shadow_is_promoted_when_what_it_was_compared_with_answers_no_more() {
        let counts = ShadowCounts { version: "1".into(), shadow: "2".into(), ..ShadowCounts::default() };
        let seen = |version: &str, answering: &[&str]| ModelSeen {
            model: "m".into(),
            version: version.into(),
            answering: answering.iter().map(|version| (*version).to_owned()).collect(),
            first_at_ms: 0,
            last_at_ms: 1,
        };
        assert!(!is_promoted(&seen("1", &["1"]), &counts));
        assert!(!is_promoted(&seen("2", &["2", "1"]), &counts), "a canary of more than half");
        assert!(is_promoted(&seen("2", &["2"]), &counts));
    }
}
