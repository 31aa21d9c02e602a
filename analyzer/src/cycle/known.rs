//! What is known only after a request has ended: events of the objectives that the analyzer counts, and labelled answers.
//!
//! Counters for Prometheus have to grow by each event once. So they grow by the span between two watermarks: what
//! came before the watermark is in the tables, and what comes later than that is late for windows too. A span is
//! counted as a whole or, when the database fails in it, again as a whole.

use contract::{
    api::quality::Quality,
    metrics::analyzer::QUALITY_WINDOWS,
    slo::{Counter, SloFile},
};
use store::read::{EventCounts, LabelledCounts, Reader, Window};

use super::quality;
use crate::publish::Metrics;

/// Up to where events are counted.
#[derive(Debug, Default)]
pub struct Known {
    until_ms: Option<i64>,
}

impl Known {
    /// Counts what came before the watermark since the last time; the first time, nothing: a counter begins at 0.
    ///
    /// # Errors
    /// When the database does not answer; nothing is counted then.
    pub async fn count(
        &mut self,
        reader: &Reader,
        file: &SloFile,
        watermark_ms: Option<i64>,
        metrics: &Metrics,
    ) -> Result<(), store::Error> {
        let ours = || file.slos.iter().filter(|slo| slo.sli.counter() == Counter::Analyzer);
        let span = match (self.until_ms, watermark_ms) {
            (Some(start_ms), Some(end_ms)) if end_ms > start_ms => Window { start_ms, end_ms },
            (None, until_ms) => {
                ours().for_each(|slo| metrics.sli(slo, EventCounts::default()));
                self.until_ms = until_ms;
                return Ok(());
            }
            _ => return Ok(()),
        };
        let mut counted = Vec::new();
        for slo in ours() {
            counted.push((slo, reader.slo_events_in(slo, span).await?));
        }
        counted.into_iter().for_each(|(slo, counts)| metrics.sli(slo, counts));
        self.until_ms = Some(span.end_ms);
        Ok(())
    }
}

/// What labels say of one model in one window.
#[derive(Clone, Debug)]
pub struct Labelled {
    /// Model name.
    pub model: String,
    /// Name of the window.
    pub window: &'static str,
    /// Answers whose labels came in it.
    pub arrived: LabelledCounts,
    /// Answers given in it.
    pub given: Quality,
}

/// Labelled answers of each model and window.
///
/// # Errors
/// When the database does not answer.
pub async fn quality(reader: &Reader, models: &[String], now_ms: i64) -> Result<Vec<Labelled>, store::Error> {
    let mut known = Vec::new();
    for model in models {
        for (window, seconds) in QUALITY_WINDOWS {
            let span = Window { start_ms: now_ms - seconds * 1_000, end_ms: now_ms };
            let arrived = reader.labelled(model, span.start_ms).await?;
            // What was never labelled has no figures to be drawn, and a model without labels costs one question.
            let labelled = arrived.labelled > 0 || reader.number_answered(model, span).await?.is_some();
            let given = if labelled { quality::of(reader, model, span).await? } else { Quality::default() };
            known.push(Labelled { model: model.clone(), window, arrived, given });
        }
    }
    Ok(known)
}
