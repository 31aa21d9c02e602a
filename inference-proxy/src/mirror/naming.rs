//! The model that finds names, asked beside the serving path: a token classification that this proxy serves.
//!
//! The choice: a masking thread never waits for it. An observation with something to ask waits in a task of its own, a
//! bounded number of them a bounded time, in the model's own queue behind every client's request. Whatever goes wrong,
//! the observation goes on without its texts, and that is counted: what was not read is not sent.

use std::sync::Arc;
use std::time::{Duration, Instant};

use contract::metrics::naming as names;
use contract::wire::Observation;
use host::metrics::Registry;
use masking::{Answered, Finding, Inquiry, Known, Masker, Memo};
use prometheus::{Histogram, IntCounterVec};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::model::{Answer, Catalog, Input, RunError, Task, Urgency, Version, Whose};

/// A checked configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The model, by name; its primary answers.
    pub model: String,
    /// An observation waits no longer for it.
    pub timeout: Duration,
    /// Most observations that wait for it.
    pub max_waiting: usize,
}

/// Runs at once: with what they ask about, a quarter of a queue of the default size, so that clients of this very model
/// find room in it.
const RUNS_MAX: usize = 8;

/// Asks for names. One for all masking threads.
pub struct Namer {
    masker: Masker,
    catalog: Catalog,
    config: Config,
    places: Arc<Semaphore>,
    runs: Semaphore,
    memo: Memo,
    seconds: Histogram,
    failures: IntCounterVec,
}

/// What an observation needs.
pub enum Needed {
    /// Nothing more: there is nothing to ask, or nobody can be asked now.
    Known(Known),
    /// An answer.
    Answer(Inquiring),
}

/// Texts, and their place among those that wait.
pub struct Inquiring {
    inquiry: Inquiry,
    _place: OwnedSemaphorePermit,
}

impl Namer {
    /// Registers its metrics, every reason born at 0.
    #[must_use]
    pub fn new(config: Config, masker: Masker, catalog: Catalog, registry: &Registry) -> Self {
        let seconds = registry.histogram(&names::NAMES_SECONDS).with_label_values(&[] as &[&str]);
        let failures = registry.counter(&names::NAMES_FAILURES);
        for reason in names::REASONS {
            let _ = failures.with_label_values(&[reason]);
        }
        if !catalog.models().contains(&config.model) {
            tracing::warn!(
                model = config.model,
                "the model of proxy.names is not in the folder of models: until it is, texts are withheld"
            );
        }
        let places = Arc::new(Semaphore::new(config.max_waiting));
        let (memo, runs) = (Memo::default(), Semaphore::new(RUNS_MAX));
        Self { masker, catalog, config, places, runs, memo, seconds, failures }
    }

    /// What there is to ask about an observation, and a place to wait for the answer.
    pub fn begin(&self, plain: &Observation) -> Needed {
        if let Ok(version) = self.version() {
            self.memo.of_model(&load_of(&version));
        }
        let inquiry = self.masker.inquiry([plain], &self.memo);
        if inquiry.is_done() {
            return Needed::Known(inquiry.known());
        }
        match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => Needed::Answer(Inquiring { inquiry, _place: place }),
            Err(_) => {
                self.failed(names::OVERLOADED);
                Needed::Known(inquiry.known())
            }
        }
    }

    /// Asks, as far as the time goes; what has no answer then is not known.
    pub async fn ask(&self, inquiring: Inquiring) -> Known {
        let Inquiring { mut inquiry, _place } = inquiring;
        let started = Instant::now();
        match self.answer(&mut inquiry, started + self.config.timeout).await {
            Ok(()) => self.seconds.observe(started.elapsed().as_secs_f64()),
            Err(reason) => self.failed(reason),
        }
        inquiry.known()
    }

    async fn answer(&self, inquiry: &mut Inquiry, deadline: Instant) -> Result<(), &'static str> {
        let version = self.version()?;
        while !inquiry.is_done() {
            let turn = tokio::time::timeout_at(deadline.into(), self.runs.acquire()).await;
            let _turn = turn.map_err(|_| names::TIMEOUT)?;
            let texts = inquiry.batch();
            let asked = texts.len();
            // behind every client's request; that our patience ends is no failing of the version
            let urgency = Urgency { deadline, priority: u64::MAX, whose: Whose::Client };
            let answer = version.run_guarded(Input::Texts(texts), urgency).await.map_err(|error| {
                tracing::debug!(%error, "the model that finds names did not answer");
                reason(&error)
            })?;
            inquiry.answered(read(&answer, asked).ok_or(names::FAILED)?);
        }
        Ok(())
    }

    fn version(&self) -> Result<Arc<Version>, &'static str> {
        let version = self.catalog.primary(&self.config.model).map_err(|_| names::UNAVAILABLE)?;
        let metadata = version.metadata();
        // one that has no word for a name would find none in any text
        let fits = metadata.task == Task::TokenClassification && self.masker.knows_names(&metadata.labels);
        if fits { Ok(version) } else { Err(names::UNAVAILABLE) }
    }

    fn failed(&self, reason: &'static str) {
        self.failures.with_label_values(&[reason]).inc();
    }
}

/// What tells a load from every other.
fn load_of(version: &Version) -> String {
    version.local().map_or_else(|| version.version().to_owned(), |local| local.load().to_string())
}

const fn reason(error: &RunError) -> &'static str {
    match error {
        RunError::QueueFull { .. } => names::OVERLOADED,
        RunError::Deadline | RunError::Impatient | RunError::LateBody => names::TIMEOUT,
        RunError::Unavailable(_) | RunError::BreakerOpen { .. } => names::UNAVAILABLE,
        RunError::Invalid(_) | RunError::Failed(_) | RunError::BadOutput(_) => names::FAILED,
    }
}

/// What was found in each text; `None` where the answer is not one a text.
fn read(answer: &Answer, asked: usize) -> Option<Vec<Answered>> {
    let whole = answer.entities.len() == asked && answer.texts.len() == asked;
    let items = answer.entities.iter().zip(&answer.texts).map(|(entities, text)| {
        let finding = |entity: &crate::model::Entity| Finding {
            label: entity.label.clone(),
            score: entity.score,
            start: entity.start,
            end: entity.end,
        };
        Answered { findings: entities.iter().map(finding).collect(), truncated: text.truncated }
    });
    whole.then(|| items.collect())
}
