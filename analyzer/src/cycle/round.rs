//! One round of one model: what it works with, and the spans of time it looks at.

use store::read::{ModelSeen, Reader, Window};

use crate::{
    baseline::Baseline,
    config::{Config, ModelConfig},
    publish::Metrics,
};

/// How long features are kept where the store does not say.
const KEPT_MS: i64 = 30 * 86_400_000;
/// Part of that time at whose end rows may be leaving already.
const LEAVING: i64 = 50;

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
    pub(super) fn model(&self) -> &str {
        &self.seen.model
    }

    /// Since when the features of observations are there. Observations themselves are kept longer: the first of them may be
    /// without a feature by now, and would never make a reference of any.
    pub(super) fn kept_since(&self) -> i64 {
        let kept = |table| self.reader.kept_ms(table).unwrap_or(KEPT_MS);
        let kept_ms = kept("features").min(kept("categories")).min(kept("observations"));
        self.now_ms - (kept_ms - kept_ms / LEAVING)
    }

    pub(super) fn settings(&self) -> &ModelConfig {
        self.config.of(self.model())
    }
}

/// Whether a baseline was made of the first traffic alone.
pub(super) fn of_first_traffic(baseline: &Baseline) -> bool {
    baseline.features.iter().all(|frozen| frozen.provisional)
}

/// Since when the first observations are taken that stand beside a baseline: with it where the first traffic made it, and
/// after somebody chose it; of those whose features are still there.
pub(super) fn reference_since(round: &Round<'_>, baseline: &Baseline) -> i64 {
    let since_ms = round.kept_since();
    if of_first_traffic(baseline) { since_ms } else { baseline.info.frozen_at_ms.max(since_ms) }
}

/// The span of a model's first good observations since a time, as many as wanted, once all of them are closed by the watermark.
pub(super) async fn first_span(round: &Round<'_>, since_ms: i64, wanted: u64) -> Result<Option<Window>, store::Error> {
    if wanted == 0 {
        return Ok(None);
    }
    let times = round.reader.first_observations(round.model(), since_ms, wanted).await?;
    let (Some(first), Some(last)) = (times.first(), times.last()) else { return Ok(None) };
    let complete = times.len() as u64 == wanted && *last < round.watermark_ms;
    Ok(complete.then_some(Window { start_ms: *first, end_ms: *last + 1 }))
}

pub(super) fn span_ms(round: &Round<'_>) -> i64 {
    round.config.windows.span * round.config.windows.length_ms
}

pub(super) fn floor(at_ms: i64, length_ms: i64) -> i64 {
    at_ms.div_euclid(length_ms) * length_ms
}

pub(super) fn ceiling(at_ms: i64, length_ms: i64) -> i64 {
    floor(at_ms + length_ms - 1, length_ms)
}
