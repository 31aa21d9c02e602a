//! All models by name: which version answers, which run beside it, and how they come and go.

mod loading;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use contract::wire::Event;
use host::metrics::Registry;
use tokio::sync::mpsc;

use super::backend::Version;
use super::breaker::BreakerState;
use super::config::ModelsConfig;
use super::memory::Memory;
use super::metrics::Metrics;
use super::retire;
use super::routing::Asker;
use super::runtime::Runtime;
use super::shelf::{self, Shelf};
use super::status::{Role, State};
use crate::upstream;

/// Why a name leads to no running version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// There is no such model (404).
    #[error("there is no model '{model}'{}", there_are(known.as_deref()))]
    UnknownModel {
        /// As asked.
        model: String,
        /// Some of those there are, where that may be told.
        known: Option<Vec<String>>,
    },
    /// The model has no such version (404).
    #[error("model '{model}' has no version '{version}'")]
    UnknownVersion {
        /// As asked.
        model: String,
        /// As asked.
        version: String,
    },
    /// It exists and does not serve (503).
    #[error("model '{model}' is not ready: {why}")]
    NotReady {
        /// The model.
        model: String,
        /// The primary's or the asked version, where there is one.
        version: Option<String>,
        /// State, and the reason where it failed.
        why: String,
    },
}

impl LookupError {
    /// The same for somebody who may ask models and not see which there are.
    #[must_use]
    pub fn untold(self) -> Self {
        match self {
            Self::UnknownModel { model, .. } => Self::UnknownModel { model, known: None },
            other => other,
        }
    }
}

/// `; there are a, b`.
fn there_are(known: Option<&[String]>) -> String {
    match known {
        None => String::new(),
        Some([]) => "; there is none at all".to_owned(),
        Some(known) => format!("; there are {}", known.join(", ")),
    }
}

/// Why a version was not loaded or unloaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// No such model or version on disk (404).
    #[error(transparent)]
    Unknown(#[from] LookupError),
    /// It was refused: one sentence naming file or sample, expected and found (400). What served before still does.
    #[error("version '{version}' of model '{model}' was refused: {why}")]
    Refused {
        /// The model.
        model: String,
        /// The version.
        version: String,
        /// The sentence.
        why: String,
    },
    /// It does not fit into memory (507). What served before still does.
    #[error("version '{version}' of model '{model}' does not fit: {why}")]
    NoRoom {
        /// The model.
        model: String,
        /// The version.
        version: String,
        /// Needed and free.
        why: String,
    },
    /// There is nothing to do what was asked with: no canary, no version to go back to (409).
    #[error("{0}")]
    Nothing(String),
    /// The catalog is shutting down (503).
    #[error("the server is shutting down")]
    ShuttingDown,
}

/// Why there is no catalog at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct OpenError(pub(crate) String);

/// One line of the repository index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// Model.
    pub model: String,
    /// Version.
    pub version: String,
    /// What it is for.
    pub role: Role,
    /// Whether it serves.
    pub state: State,
    /// When that state began, milliseconds since the Unix epoch.
    pub since_ms: i64,
    /// State of its breaker, while it is in memory.
    pub breaker: Option<BreakerState>,
}

/// All models. Clones share them.
#[derive(Clone, Debug)]
pub struct Catalog {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(super) config: Arc<ModelsConfig>,
    runtime: Runtime,
    pub(super) metrics: Arc<Metrics>,
    upstreams: Arc<upstream::Metrics>,
    memory: Arc<Memory>,
    shelf: RwLock<Shelf>,
    turn: tokio::sync::Mutex<()>,
    stopping: AtomicBool,
}

impl Catalog {
    /// Opens the ONNX Runtime library and looks at the model folders; loads nothing yet ([`Self::load_all`] does).
    /// Registers the metrics of models: version state and info, load, checks, tokenizer, queue, batch, stage, busy.
    ///
    /// # Errors
    /// Where the library or the folder cannot be opened; the sentence says which key of the configuration to set.
    pub fn open(config: ModelsConfig, registry: &Registry) -> Result<Self, OpenError> {
        let runtime = Runtime::load(&config.onnxruntime).map_err(|error| OpenError(error.to_string()))?;
        let metrics = Arc::new(Metrics::register(registry));
        let upstreams = Arc::new(upstream::Metrics::register(registry));
        let config = Arc::new(config);
        let shelf = Shelf::scan(Arc::clone(&config), Arc::clone(&metrics)).map_err(|error| {
            let dir = config.models_dir.display();
            OpenError(format!("cannot read the folder of models {dir}: {error}; set `models_dir`"))
        })?;
        let memory = Arc::new(Memory::new(config.memory));
        metrics.memory_free(memory.free());
        let (shelf, turn, stopping) = (RwLock::new(shelf), tokio::sync::Mutex::new(()), AtomicBool::new(false));
        Ok(Self { inner: Arc::new(Inner { config, runtime, metrics, upstreams, memory, shelf, turn, stopping }) })
    }

    /// Tells the collector of every change from now on, and counts in the result what became of it.
    pub(crate) fn tell(&self, way: mpsc::Sender<Event>) -> prometheus::IntCounterVec {
        self.inner.metrics.journal.attach(way);
        self.inner.metrics.journal.posts()
    }

    /// Loads the primary of every model, then what stands beside, one after another; failures are states, not errors.
    /// Returns whether every model has a primary that is ready.
    pub async fn load_all(&self) -> bool {
        let _turn = self.inner.turn().await;
        if self.models().is_empty() {
            let folder = self.inner.config.models_dir.display();
            tracing::warn!(%folder, "there is no model; put each into this folder as <name>/<version>/model.onnx, and load it");
        }
        for model in self.models() {
            // What went wrong stands in the version's state and in the log.
            let _seen = self.inner.load_primary(&model).await;
        }
        for model in self.models() {
            let _seen = self.inner.load_beside(&model).await;
        }
        self.ready()
    }

    /// Whether every model has a primary that is ready; one that was unloaded on request is not waited for.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.inner.shelf().ready()
    }

    /// Names of all models, sorted.
    #[must_use]
    pub fn models(&self) -> Vec<String> {
        self.inner.shelf().models()
    }

    /// Versions of a model that are on disk or in memory, in the order of their numbers.
    ///
    /// # Errors
    /// [`LookupError::UnknownModel`].
    pub fn versions(&self, model: &str) -> Result<Vec<String>, LookupError> {
        self.inner.shelf().versions(model)
    }

    /// The version that answers.
    ///
    /// # Errors
    /// [`LookupError`].
    pub fn primary(&self, model: &str) -> Result<Arc<Version>, LookupError> {
        self.inner.shelf().primary(model)
    }

    /// The version that answers a request: the canary where the request is its own, else the primary.
    ///
    /// # Errors
    /// [`LookupError`].
    pub fn route(&self, model: &str, asker: &Asker) -> Result<Arc<Version>, LookupError> {
        self.inner.shelf().route(model, asker)
    }

    /// Whether any model has a canary, so that [`Self::route`] looks at more than the model's name.
    #[must_use]
    pub fn has_canary(&self) -> bool {
        self.inner.shelf().has_canary()
    }

    /// A version by name; it must be loaded, in whatever role.
    ///
    /// # Errors
    /// [`LookupError`].
    pub fn version(&self, model: &str, version: &str) -> Result<Arc<Version>, LookupError> {
        self.inner.shelf().version(model, version)
    }

    /// Versions that run beside the primary and are ready, each with the share of requests (0 to 100) it shall see.
    #[must_use]
    pub fn shadows(&self, model: &str) -> Vec<(Arc<Version>, f64)> {
        self.inner.shelf().shadows(model)
    }

    /// Every version of every model with its state: the repository index.
    #[must_use]
    pub fn states(&self) -> Vec<IndexEntry> {
        self.inner.shelf().states()
    }

    /// Loads a version, or loads it anew from disk. Without a version: the configured primary (or the highest that
    /// passes its checks) and what stands beside. A version without another role becomes the primary; the old primary
    /// drains and stays in memory for a rollback, which takes it back as it is. Resolves when the version serves.
    ///
    /// # Errors
    /// [`LoadError`]; what served before still does.
    pub async fn load(&self, model: &str, version: Option<&str>) -> Result<(), LoadError> {
        let (inner, model, version) = (Arc::clone(&self.inner), model.to_owned(), version.map(str::to_owned));
        // On a task of its own: a client that leaves must not leave a version half loaded.
        let task = tokio::spawn(async move {
            let _turn = inner.turn().await;
            inner.rescan(&model).await;
            inner.shelf_mut().let_go(&model, false);
            match version {
                Some(version) => inner.load_version(&model, &version).await,
                None => {
                    let primary = inner.load_primary(&model).await;
                    let beside = inner.load_beside(&model).await;
                    primary.and(beside)
                }
            }
        });
        task.await.unwrap_or(Err(LoadError::ShuttingDown))
    }

    /// Drains a version, or all of a model's, and frees its memory.
    ///
    /// # Errors
    /// [`LookupError`] where there is none.
    pub async fn unload(&self, model: &str, version: Option<&str>) -> Result<(), LookupError> {
        let whole = version.is_none();
        let versions = match version {
            Some(version) => {
                self.inner.shelf().status(model, version)?;
                vec![version.to_owned()]
            }
            None => self.versions(model)?,
        };
        let (inner, model) = (Arc::clone(&self.inner), model.to_owned());
        let task = tokio::spawn(async move {
            let _turn = inner.turn().await;
            if whole {
                inner.shelf_mut().let_go(&model, true);
            }
            for version in versions {
                inner.unload_version(&model, &version, "as asked").await;
            }
        });
        // The task has no way to fail, and at a shutdown it has no one left to tell.
        let _ended = task.await;
        Ok(())
    }

    /// Stops accepting work, finishes what is queued, and joins the sessions' threads; leaves those that take longer
    /// than `stop_within` to the end of the process.
    pub async fn shutdown(&self) {
        self.inner.stopping.store(true, Ordering::Release);
        let limit = self.inner.config.stop_within;
        if tokio::time::timeout(limit, self.stop()).await.is_err() {
            let left = self.inner.shelf().unfinished();
            tracing::error!(limit_seconds = limit.as_secs_f64(), left, "sessions did not end within the limit");
        }
    }

    async fn stop(&self) {
        let _turn = self.inner.turn().await;
        let loaded = self.inner.shelf().loaded();
        let taken = loaded.into_iter().filter_map(|(model, version)| {
            let removed = self.inner.shelf_mut().remove(&model, &version)?;
            Some((model, version, retire::finish(removed)))
        });
        // All begin to finish before the first is waited for.
        for (model, version, finished) in taken.collect::<Vec<_>>() {
            finished.await;
            let role = self.inner.shelf().status(&model, &version).map_or(Role::Spare, |status| status.role());
            self.inner.shelf().set(&model, &version, role, State::Unloaded);
        }
    }
}

impl Inner {
    pub(crate) fn shelf(&self) -> RwLockReadGuard<'_, Shelf> {
        self.shelf.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn shelf_mut(&self) -> RwLockWriteGuard<'_, Shelf> {
        self.shelf.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Held by whoever loads or unloads: sessions are made one at a time, and no two changes cross.
    pub(crate) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    pub(crate) fn standby_for(&self) -> std::time::Duration {
        self.config.standby_for
    }

    pub(crate) fn standby_bytes(&self) -> u64 {
        self.memory.standby()
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    pub(super) async fn rescan(&self, model: &str) {
        let (config, name) = (Arc::clone(&self.config), model.to_owned());
        let looking = tokio::task::spawn_blocking(move || shelf::on_disk(&config.models_dir, &name));
        if let Ok(found) = looking.await {
            self.shelf_mut().rescan(model, found);
        }
    }
}
