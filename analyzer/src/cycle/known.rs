//! What is known only after a request has ended: events of the objectives that the analyzer counts, and labelled answers.
//!
//! Counters for Prometheus have to grow by each event once. So they grow by the span between two watermarks: what
//! came before the watermark is in the tables, and what comes later than that is late for windows too. A span is
//! counted as a whole or, when the database fails in it, again as a whole.

use std::{collections::BTreeMap, time::Instant};

use contract::{
    api::quality::Quality,
    metrics::analyzer::QUALITY_WINDOWS,
    slo::{Counter, SloFile},
};
use store::read::{EventCounts, LabelledCounts, Reader, Window};

use super::{paced::Paced, quality};
use crate::{config::Config, publish::Metrics};

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
        (reader, config): (&Reader, &Config),
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
            counted.push((slo, reader.slo_events_in(slo, config.of(&slo.model).shadow.tolerance, span).await?));
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

/// Labelled answers of a model by window.
///
/// # Errors
/// When the database does not answer.
async fn quality_of(reader: &Reader, model: &str, now_ms: i64) -> Result<Vec<Labelled>, store::Error> {
    let mut known = Vec::with_capacity(QUALITY_WINDOWS.len());
    for (window, seconds) in QUALITY_WINDOWS {
        let span = Window { start_ms: now_ms - seconds * 1_000, end_ms: now_ms };
        let arrived = reader.labelled(model, span.start_ms).await?;
        // What was never labelled has no figures to be drawn, and a model without labels costs one question.
        let labelled = arrived.labelled > 0 || reader.number_answered(model, span).await?.is_some();
        let given = if labelled { quality::of(reader, model, span).await? } else { Quality::default() };
        known.push(Labelled { model: model.to_owned(), window, arrived, given });
    }
    Ok(known)
}

/// What labels say of every model, each counted when it is due: one whose question is slow or fails keeps what it had, rests in
/// proportion, and holds up no other.
#[derive(Debug, Default)]
pub struct Qualities(BTreeMap<String, Paced<Vec<Labelled>>>);

impl Qualities {
    /// Counts the models that are due, none more often than `rest_ms`; returns what failed, by model.
    pub async fn count(
        &mut self,
        reader: &Reader,
        models: &[String],
        now_ms: i64,
        rest_ms: i64,
    ) -> Vec<(String, store::Error)> {
        self.0.retain(|model, _| models.contains(model));
        let mut failed = Vec::new();
        for model in models {
            let known = self.0.entry(model.clone()).or_default();
            if known.fresh(now_ms).is_some() {
                continue;
            }
            let began = Instant::now();
            let counted = match quality_of(reader, model, now_ms).await {
                Ok(counted) => counted,
                Err(error) => {
                    failed.push((model.clone(), error));
                    known.last().cloned().unwrap_or_default()
                }
            };
            known.put(counted, now_ms, rest_ms, began.elapsed());
        }
        failed
    }

    /// As last counted.
    pub fn all(&self) -> impl Iterator<Item = &Labelled> {
        self.0.values().filter_map(Paced::last).flatten()
    }
}
