//! Shadows: other versions that are asked what the primary was asked, after it has answered.
//!
//! A shadow never touches the primary's request: it is drawn by a hash of the id when that request is over, waits in
//! a queue of its own, and is shed first, be it because its queue is full or because the proxy is busy. Its answer,
//! or how it failed, goes into the observation.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use contract::metrics::proxy as names;
use contract::wire::{Gap, Outcome, ShadowAnswer, Timings};
use host::metrics::Registry;
use prometheus::IntCounterVec;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

use crate::config::Shadowing;
use crate::features;
use crate::handle::aside;
use crate::model::{Answer, Catalog, Classes, Input, Role, RunError, Version};
use crate::observe::sampling::fraction;
use crate::outcome;

/// Who may run beside primaries.
#[derive(Debug)]
pub struct Shadows {
    catalog: Catalog,
    config: Shadowing,
    /// The edge's admission: its free permits tell how busy the proxy is.
    admission: Arc<Semaphore>,
    max_concurrent: usize,
    lanes: Mutex<HashMap<(String, String), Arc<Semaphore>>>,
    runs: IntCounterVec,
}

/// Shadows that were drawn for one request.
#[derive(Debug)]
pub struct Asks {
    shadows: Arc<Shadows>,
    versions: Vec<Arc<Version>>,
    input: Arc<Input>,
}

impl Shadows {
    /// Registers the counter of runs.
    #[must_use]
    pub fn new(
        catalog: Catalog,
        config: Shadowing,
        admission: Arc<Semaphore>,
        max_concurrent: usize,
        registry: &Registry,
    ) -> Self {
        let runs = registry.counter(&names::SHADOW_RUNS);
        Self { catalog, config, admission, max_concurrent, lanes: Mutex::default(), runs }
    }

    /// Whether any model has a canary.
    #[must_use]
    pub fn has_canary(&self) -> bool {
        self.catalog.has_canary()
    }

    /// Makes the series of every shadow, each outcome at 0.
    pub fn expect(&self) {
        for entry in self.catalog.states().iter().filter(|entry| entry.role == Role::Shadow) {
            for outcome in Outcome::ALL {
                let _ = self.runs.with_label_values(&[&entry.model, &entry.version, outcome.as_str()]);
            }
        }
    }

    /// Draws the shadows that shall see this request; `None` for none.
    #[must_use]
    pub fn draw(self: &Arc<Self>, model: &str, id: Uuid, input: &Arc<Input>) -> Option<Asks> {
        let drawn =
            |version: &Version, percent: f64| fraction(id, xxh3_64(version.version().as_bytes())) * 100.0 < percent;
        let versions: Vec<_> = self
            .catalog
            .shadows(model)
            .into_iter()
            .filter_map(|(version, percent)| drawn(&version, percent).then_some(version))
            .collect();
        let some = !versions.is_empty();
        some.then(|| Asks { shadows: Arc::clone(self), versions, input: Arc::clone(input) })
    }

    async fn ask(&self, version: &Version, input: Arc<Input>, primary: Option<Arc<Answer>>) -> ShadowAnswer {
        let started = Instant::now();
        let answered = match self.enter(version) {
            Some(_place) => run(version, &input, primary, started + self.config.timeout).await,
            None => Err((Outcome::Rejected, "shed")),
        };
        let (outcome, reason, mut timings, predictions, gaps) = match answered {
            Ok((timings, predictions, gaps)) => (Outcome::Ok, None, timings, predictions, gaps),
            Err((outcome, reason)) => (outcome, Some(reason.to_owned()), Timings::default(), vec![], vec![]),
        };
        timings.total_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.runs.with_label_values(&[version.name(), version.version(), outcome.as_str()]).inc();
        ShadowAnswer { version: version.version().to_owned(), outcome, reason, timings, predictions, gaps }
    }

    /// A place in the shadow's queue, unless that is full or the proxy is busy.
    fn enter(&self, version: &Version) -> Option<OwnedSemaphorePermit> {
        let open = self.max_concurrent.saturating_sub(self.admission.available_permits());
        if open >= self.config.shed_from {
            return None;
        }
        let key = (version.name().to_owned(), version.version().to_owned());
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let lane = lanes.entry(key).or_insert_with(|| Arc::new(Semaphore::new(self.config.max_waiting)));
        Arc::clone(lane).try_acquire_owned().ok()
    }
}

type Answered = (Timings, Vec<contract::wire::Prediction>, Vec<Gap>);

async fn run(
    version: &Version,
    input: &Input,
    primary: Option<Arc<Answer>>,
    deadline: Instant,
) -> Result<Answered, (Outcome, &'static str)> {
    // a model may notice its deadline late; the observation waits no longer than this
    let patience = deadline.saturating_duration_since(Instant::now()) + Duration::from_millis(100);
    let answer = tokio::time::timeout(patience, version.run(input.clone(), deadline))
        .await
        .unwrap_or(Err(RunError::Deadline))
        .map_err(|error| (outcome::of_run(&error), error.reason()))?;
    let (timings, predictions) = (answer.timings, answer.classes.iter().map(Classes::prediction).collect());
    let gaps = match primary.filter(|primary| features::may_have_gaps(primary)) {
        Some(primary) => aside(move |aside| features::gaps(&primary, &answer, aside)).await,
        None => Vec::new(),
    };
    Ok((timings, predictions, gaps))
}

impl Asks {
    /// All shadows' answers beside the primary's, side by side, at the latest when the slowest has timed out.
    pub async fn answers(self, primary: Option<&Arc<Answer>>) -> Vec<ShadowAnswer> {
        let mut running = JoinSet::new();
        for version in self.versions {
            let (shadows, input, primary) = (Arc::clone(&self.shadows), Arc::clone(&self.input), primary.cloned());
            running.spawn(async move { shadows.ask(&version, input, primary).await });
        }
        let mut answers = Vec::with_capacity(running.len());
        while let Some(answer) = running.join_next().await {
            match answer {
                Ok(answer) => answers.push(answer),
                Err(error) => tracing::error!(%error, "a shadow run died"),
            }
        }
        answers.sort_by(|a, b| a.version.cmp(&b.version));
        answers
    }
}
