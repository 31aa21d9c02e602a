//! The data path: window, judge, publish. The file to read first.
//!
//! A cycle moves the watermark, judges every window that it closed, and puts together what the API shows. It holds only what
//! it can read back: after a restart the next window follows the last one judged, with the states it had.

pub mod changes;
mod concept;
mod detect;
mod embeddings;
pub mod explain;
pub mod figures;
pub(crate) mod first;
pub(crate) mod hours;
mod judging;
pub mod known;
pub mod model;
pub mod paced;
mod parts;
pub mod quality;
mod replayed;
pub mod round;
mod seen;
mod segments;
mod shadows;
pub mod span;
mod verdicts;
pub mod watermark;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use contract::{
    api::{Distribution, Event, Overview, Pipeline, Segments, SloStatus},
    slo::SloFile,
};
use store::read::{Act, BaselineSummary, EventRow, ModelSeen, Reader, SourceSeen};
use tokio::sync::watch;

use crate::{
    baseline::{self, BaselineError},
    config::Config,
    judge::{self, burn},
    publish::Metrics,
};
use model::ModelState;
use paced::Paced;
use seen::{LOOK_BACK_MS, Seen};

/// A reference file that could not be used is tried again no sooner.
const FILES_REST_MS: i64 = 60_000;
/// Labelled answers are counted no more often.
const LABELS_REST_MS: i64 = 60_000;
/// No further model is judged, and none counted, in a cycle that took so long with them already: those left out come first in the next.
const TURNS: Duration = Duration::from_secs(60);
/// Events shown.
const EVENTS_SHOWN: u64 = 50;

/// What the API shows, replaced as a whole after every cycle.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The first page.
    pub overview: Overview,
    /// Reference and window of each (model, feature).
    pub distributions: HashMap<(String, String), Distribution>,
    /// Share of low-confidence answers by model.
    pub low_shares: HashMap<String, f64>,
    /// Parts of the traffic by model, of models that name any.
    pub segments: BTreeMap<String, Segments>,
    /// When each model's figures were counted, its shadows among them; `None` where they never could be.
    pub counted_ms: HashMap<String, Option<i64>>,
    /// Event time up to which nothing of a model is left to be judged.
    pub judged_until_ms: HashMap<String, i64>,
}

/// The snapshot of the last cycle; `None` before the first.
pub type Shared = watch::Sender<Option<Arc<Snapshot>>>;

/// Milliseconds since the Unix epoch.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The analyzer's loop body and what it remembers between two rounds.
pub struct Cycle {
    reader: Reader,
    config: Arc<Config>,
    slo: Option<SloFile>,
    slos: Paced<Vec<SloStatus>>,
    known: known::Known,
    labelled: known::Qualities,
    clock: Clock,
    metrics: Metrics,
    shared: Shared,
    watermark_ms: Option<i64>,
    /// Models whose reference file is not taken yet.
    unread: Vec<String>,
    files: Paced<()>,
    seen: Seen,
    models: BTreeMap<String, ModelState>,
    rounds: u64,
}

impl Cycle {
    /// A cycle that has seen nothing yet.
    #[must_use]
    pub fn new(reader: Reader, config: Arc<Config>, slo: Option<SloFile>, clock: Clock, metrics: Metrics) -> Self {
        metrics.allow_lag(config.windows.lateness_ms + config.windows.silence_ms);
        Self {
            unread: config.files.keys().cloned().collect(),
            files: Paced::default(),
            reader,
            config,
            slo,
            slos: Paced::default(),
            known: known::Known::default(),
            labelled: known::Qualities::default(),
            clock,
            metrics,
            shared: Shared::new(None),
            watermark_ms: None,
            seen: Seen::default(),
            models: BTreeMap::new(),
            rounds: 0,
        }
    }

    /// Where the snapshots appear.
    #[must_use]
    pub fn shared(&self) -> Shared {
        self.shared.clone()
    }

    /// One round.
    ///
    /// # Errors
    /// When the database does not answer; nothing is lost, the next round goes on where this one stopped. A single model's
    /// trouble is counted and logged, and the others go on.
    pub async fn tick(&mut self) -> Result<(), BaselineError> {
        let (began, now_ms) = (Instant::now(), (self.clock)());
        // Files first: a baseline named in the configuration is in force before the first window is judged.
        self.load_files(now_ms).await?;
        let sources = self.reader.sources(now_ms - LOOK_BACK_MS).await?;
        let seen = self.seen.models(&self.reader, now_ms, self.config.models_max).await?;
        // Window: the watermark never goes back, so a closed window stays closed.
        let moved = watermark::of(&sources, !seen.is_empty(), now_ms, &self.config.windows);
        self.watermark_ms = self.watermark_ms.max(moved);
        // Judge: each model by its own reference, those first that waited longest.
        let in_force = self.reader.baselines(false).await?;
        self.rounds += 1;
        let judging = Instant::now();
        for model in self.in_turn(&seen, |state| state.tried).into_iter().take_while(|_| judging.elapsed() < TURNS) {
            self.judge(model, &in_force, now_ms).await;
        }
        // A model that is no longer asked is forgotten here; the database remembers it, should it come back.
        self.models.retain(|name, _| seen.iter().any(|model| model.model == *name));
        // Publish: one snapshot for API and metrics, so that they cannot disagree.
        let snapshot = self.snapshot(&seen, &sources, now_ms).await?;
        self.metrics.publish(&snapshot);
        self.metrics.cycle_done(began.elapsed(), now_ms);
        self.shared.send_replace(Some(Arc::new(snapshot)));
        Ok(())
    }

    /// Freezes the files of the configuration, each content once: what was promoted since stays in force. One that cannot be used is
    /// tried again, and stops no other.
    async fn load_files(&mut self, now_ms: i64) -> Result<(), BaselineError> {
        if self.unread.is_empty() || self.files.fresh(now_ms).is_some() {
            return Ok(());
        }
        let (began, known) = (Instant::now(), self.reader.baselines(true).await?);
        for model in std::mem::take(&mut self.unread) {
            if let Err(error) = self.load_file(&model, &known, now_ms).await {
                failed(&self.metrics, &error, &format!("the reference file of {model} could not be taken"));
                self.unread.push(model);
            }
        }
        self.files.put((), now_ms, FILES_REST_MS, began.elapsed());
        Ok(())
    }

    async fn load_file(&self, model: &str, known: &[BaselineSummary], now_ms: i64) -> Result<(), BaselineError> {
        let Some(file) = self.config.files.get(model) else { return Ok(()) };
        let frozen = baseline::from_file(model, file, &self.config.freezing, now_ms).await?;
        let fingerprint = &frozen.info.fingerprint;
        if known.iter().any(|old| old.model == model && old.fingerprint == *fingerprint) {
            return Ok(());
        }
        let desk = baseline::desk::Desk { reader: &self.reader, config: &self.config, who: "configuration", now_ms };
        // a model may be asked more tomorrow than it was today: the file was chosen, and is taken
        match desk.strangers(&frozen).await {
            Ok(None) => {}
            Ok(Some(said)) | Err(BaselineError::Asked(said)) => tracing::warn!(file = %file.file.display(), "{said}"),
            Err(other) => return Err(other),
        }
        let text = format!("Reference frozen from {}: {} features.", file.file.display(), frozen.info.features);
        frozen.save(&self.reader, Act::Promoted, "configuration").await?;
        self.reader.insert_events(&[changes::event(now_ms, "baseline", model, "", text)]).await?;
        Ok(())
    }

    /// Models by when something was done for them last, oldest first; of the same time, busiest first, as they come.
    fn in_turn<'a>(&self, seen: &'a [ModelSeen], last: fn(&ModelState) -> u64) -> Vec<&'a ModelSeen> {
        let mut order: Vec<&ModelSeen> = seen.iter().collect();
        order.sort_by_key(|model| self.models.get(&model.model).map_or(0, last));
        order
    }

    async fn judge(&mut self, seen: &ModelSeen, in_force: &[BaselineSummary], now_ms: i64) {
        let Some(watermark_ms) = self.watermark_ms else { return };
        let state = self.models.entry(seen.model.clone()).or_default();
        state.tried = self.rounds;
        if state.unjudged.fresh(now_ms).is_some() {
            return;
        }
        let summary = in_force.iter().find(|summary| summary.model == seen.model);
        if summary.is_none() && self.unread.contains(&seen.model) {
            // its reference was chosen: traffic makes none in its place
            state.lack = judge::waiting::Lack::File;
            state.stands(watermark_ms);
            return;
        }
        let round = round::Round {
            reader: &self.reader,
            config: &self.config,
            metrics: &self.metrics,
            seen,
            watermark_ms,
            now_ms,
        };
        let began = Instant::now();
        if let Err(error) = state.advance(&round, summary).await {
            state.stands(watermark_ms);
            state.unjudged.put((), now_ms, 0, began.elapsed());
            failed(&self.metrics, &error, &format!("{} could not be judged", seen.model));
        }
    }

    async fn snapshot(
        &mut self,
        seen: &[ModelSeen],
        sources: &[SourceSeen],
        now_ms: i64,
    ) -> Result<Snapshot, BaselineError> {
        let figures = figures::Figures {
            reader: &self.reader,
            config: &self.config,
            now_ms,
            watermark_ms: self.watermark_ms,
            slo: self.slo.as_ref(),
        };
        let mut models = Vec::with_capacity(seen.len());
        let (mut distributions, mut low_shares) = (HashMap::new(), HashMap::new());
        let (mut segments, mut counted_ms, mut judged_until_ms) = (BTreeMap::new(), HashMap::new(), HashMap::new());
        let counting = Instant::now();
        for model in self.in_turn(seen, |state| state.looked).into_iter().take_while(|_| counting.elapsed() < TURNS) {
            let state = self.models.entry(model.model.clone()).or_default();
            state.looked = self.rounds;
            state.replay_reference(&self.config.of(&model.model).policy).await;
            if let Err(error) = figures.count(model, state).await {
                failed(&self.metrics, &error.into(), &format!("figures of {} could not be counted", model.model));
            }
        }
        for model in seen {
            let state = self.models.entry(model.model.clone()).or_default();
            models.push(figures.overview(model, state));
            counted_ms.insert(model.model.clone(), state.counted.at_ms);
            judged_until_ms.extend(state.nothing_left_ms().map(|until_ms| (model.model.clone(), until_ms)));
            let low_share = state.confidence.as_ref().and_then(|figures| figures.low_share);
            low_shares.extend(low_share.map(|share| (model.model.clone(), share)));
            segments.extend(figures.segments(&model.model, state).map(|shown| (model.model.clone(), shown)));
            distributions.extend(state.distributions().map(|(name, shown)| ((model.model.clone(), name), shown)));
        }
        models.sort_by(|a, b| a.model.cmp(&b.model));
        let slos = self.slos(now_ms).await;
        let rows = self.reader.row_counts().await?;
        let unnamed = self.seen.unnamed(&self.reader, now_ms).await?;
        if rows.labels > 0 {
            self.look_at_labels(seen, now_ms).await;
        }
        let events = self.reader.events(EVENTS_SHOWN).await?;
        let overview = Overview {
            at_ms: now_ms,
            watermark_ms: self.watermark_ms,
            models,
            slos,
            events: events.into_iter().map(event).collect(),
            pipeline: Pipeline {
                observations: rows.observations,
                payloads: rows.payloads,
                labels: rows.labels,
                unnamed,
                sources: sources.iter().map(figures::source).collect(),
            },
        };
        Ok(Snapshot { overview, distributions, low_shares, segments, counted_ms, judged_until_ms })
    }

    /// Budgets and burn rates; the last ones where they cannot be counted.
    async fn slos(&mut self, now_ms: i64) -> Vec<SloStatus> {
        let Some(file) = &self.slo else { return Vec::new() };
        if let Some(counted) = self.slos.fresh(now_ms) {
            return counted.clone();
        }
        let began = Instant::now();
        let figures =
            figures::Figures { reader: &self.reader, config: &self.config, now_ms, watermark_ms: None, slo: None };
        let mut counted = figures.slos(file).await;
        if counted.is_ok() {
            let known = self.known.count((&self.reader, &self.config), file, self.watermark_ms, &self.metrics).await;
            counted = known.and(counted);
        }
        let (counted, rest_ms) = match counted {
            // Burn rates are worth counting again only when the shortest window has moved a little.
            Ok(counted) => (counted, burn::recount_millis(file)),
            Err(error) => {
                failed(&self.metrics, &error.into(), "objectives could not be counted");
                (self.slos.last().cloned().unwrap_or_default(), 0)
            }
        };
        self.slos.put(counted, now_ms, rest_ms, began.elapsed()).clone()
    }

    /// Labels come for weeks, so they are looked at now and then only.
    async fn look_at_labels(&mut self, seen: &[ModelSeen], now_ms: i64) {
        let models: Vec<String> = seen.iter().map(|model| model.model.clone()).collect();
        let troubles = self.labelled.count(&self.reader, &models, now_ms, LABELS_REST_MS).await;
        for (model, error) in troubles {
            failed(&self.metrics, &error.into(), &format!("labelled answers of {model} could not be counted"));
        }
        self.metrics.quality(self.labelled.all());
    }
}

/// Counts and logs what stops one part and no other.
fn failed(metrics: &Metrics, error: &BaselineError, what: &str) {
    metrics.failed(error_reason(error));
    tracing::warn!(%error, "{what}; it is tried again");
}

/// An event as the API gives it.
#[must_use]
pub fn event(row: EventRow) -> Event {
    Event { at_ms: row.at, kind: row.kind, model: row.model, version: row.version, text: row.text }
}

/// The reason under which a failure is counted.
#[must_use]
pub fn error_reason(error: &BaselineError) -> &'static str {
    match error {
        BaselineError::Store(error) if error.is_unavailable() => "store_unavailable",
        BaselineError::Store(_) => "store_refused",
        BaselineError::File(_) => "baseline_file",
        BaselineError::Reference(_) => "baseline_damaged",
        BaselineError::Empty { .. } | BaselineError::TooSmall { .. } => "baseline_small",
        // what people ask for is answered to them
        BaselineError::Unknown { .. }
        | BaselineError::Ambiguous { .. }
        | BaselineError::Asked(_)
        | BaselineError::Conflict(_) => "baseline_asked",
    }
}
