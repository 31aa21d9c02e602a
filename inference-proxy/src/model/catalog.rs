//! All models by name: which version answers, which run beside it, and how they come and go.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use host::metrics::Registry;

use super::backend::Version;
use super::config::ModelsConfig;
use super::load::{self, Order, Refusal};
use super::metrics::Metrics;
use super::retire;
use super::runtime::Runtime;
use super::shelf::{self, Shelf};
use super::status::{Role, State};
use crate::upstream::{self, Upstream};

/// Why a name leads to no running version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// There is no such model (404).
    #[error("there is no model '{model}'")]
    UnknownModel {
        /// As asked.
        model: String,
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
}

/// All models. Clones share them.
#[derive(Clone, Debug)]
pub struct Catalog {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    config: Arc<ModelsConfig>,
    runtime: Runtime,
    metrics: Arc<Metrics>,
    upstreams: Arc<upstream::Metrics>,
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
        let (turn, stopping) = (tokio::sync::Mutex::new(()), AtomicBool::new(false));
        let shelf = RwLock::new(shelf);
        Ok(Self { inner: Arc::new(Inner { config, runtime, metrics, upstreams, shelf, turn, stopping }) })
    }

    /// Loads the primary of every model, then the shadows, one after another; failures are states, not errors.
    /// Returns whether every model has a primary that is ready.
    pub async fn load_all(&self) -> bool {
        let _turn = self.inner.turn().await;
        for model in self.models() {
            // What went wrong stands in the version's state and in the log.
            let _seen = self.inner.load_primary(&model).await;
        }
        for model in self.models() {
            let _seen = self.inner.load_shadows(&model).await;
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
    /// passes its checks) and the shadows. A version that is not a shadow becomes the primary; the old primary
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
            match version {
                Some(version) => inner.load_version(&model, &version).await,
                None => {
                    let primary = inner.load_primary(&model).await;
                    let shadows = inner.load_shadows(&model).await;
                    primary.and(shadows)
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
            for version in versions {
                inner.unload_version(&model, &version).await;
            }
        });
        // The task has no way to fail, and at a shutdown it has no one left to tell.
        let _ended = task.await;
        Ok(())
    }

    /// Stops accepting work, finishes what is queued, and joins the sessions' threads.
    pub async fn shutdown(&self) {
        self.inner.stopping.store(true, Ordering::Release);
        let _turn = self.inner.turn().await;
        let loaded = self.inner.shelf().loaded();
        for (model, version) in loaded {
            let removed = self.inner.shelf_mut().remove(&model, &version);
            if let Some(removed) = removed {
                retire::finish(removed).await;
                let role = self.inner.shelf().status(&model, &version).map_or(Role::Spare, |status| status.role());
                self.inner.shelf().set(&model, &version, role, State::Unloaded);
            }
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

    async fn rescan(&self, model: &str) {
        let (config, name) = (Arc::clone(&self.config), model.to_owned());
        let looking = tokio::task::spawn_blocking(move || shelf::on_disk(&config.models_dir, &name));
        if let Ok(found) = looking.await {
            self.shelf_mut().rescan(model, found);
        }
    }

    /// Loads the most wanted version. Where that is refused and nothing serves, the next best takes its place, and the
    /// refusal is told all the same.
    async fn load_primary(self: &Arc<Self>, model: &str) -> Result<(), LoadError> {
        let mut candidates = self.shelf().candidates(model)?.into_iter();
        let Some(wanted) = candidates.next() else {
            let why = format!("there is no folder {}/<version>", self.config.models_dir.join(model).display());
            return Err(LookupError::NotReady { model: model.to_owned(), version: None, why }.into());
        };
        let Err(refused) = self.load_version(model, &wanted).await else { return Ok(()) };
        for version in candidates {
            if self.shelf().primary(model).is_ok() {
                break;
            }
            // Why this one was refused, too, stands in its state.
            let _refused = self.load_version(model, &version).await;
        }
        Err(self.with_what_serves(refused))
    }

    fn with_what_serves(&self, refused: LoadError) -> LoadError {
        match refused {
            LoadError::Refused { model, version, why } => {
                let why = match self.shelf().primary(&model) {
                    Ok(serves) => format!("{why}; version '{}' serves", serves.version()),
                    Err(_) => why,
                };
                LoadError::Refused { model, version, why }
            }
            other => other,
        }
    }

    /// Loads all shadows; the error is the last one's.
    async fn load_shadows(self: &Arc<Self>, model: &str) -> Result<(), LoadError> {
        let shadows = self.shelf().config(model)?.shadows.clone();
        let mut result = Ok(());
        for shadow in shadows {
            let loaded = self.load_version(model, &shadow.version).await;
            result = loaded.and(result);
        }
        result
    }

    async fn load_version(self: &Arc<Self>, model: &str, version: &str) -> Result<(), LoadError> {
        if self.stopping.load(Ordering::Acquire) {
            return Err(LoadError::ShuttingDown);
        }
        let role = self.shelf().role(model, version)?;
        let kept = self.shelf().version(model, version).ok().filter(|kept| kept.role() == Role::Spare);
        let loaded = match kept {
            Some(kept) => kept,
            None => self.bring_up(model, version, role).await?,
        };
        let (displaced, demoted) = {
            let mut shelf = self.shelf_mut();
            let displaced = shelf.put(model, &loaded, role);
            (displaced, if role == Role::Primary { shelf.promote(model, version) } else { None })
        };
        drop(loaded);
        tracing::info!(model, version, %role, "serves");
        if let Some(displaced) = displaced {
            tokio::spawn(retire::displaced(displaced));
        }
        if let Some(demoted) = demoted {
            tokio::spawn(retire::demoted(Arc::clone(self), Arc::downgrade(&demoted)));
        }
        Ok(())
    }

    async fn bring_up(&self, model: &str, version: &str, role: Role) -> Result<Arc<Version>, LoadError> {
        let order = self.order(model, version, role)?;
        if self.shelf().version(model, version).is_err() {
            let shelf = self.shelf();
            shelf.set(model, version, shelf.role_unless_it_serves(model, version), State::Loading);
        }
        if let Some(remote) = self.remote(model, version, &order)? {
            remote.probe().await;
            return Ok(Arc::new(Version::Http(remote)));
        }
        let task = tokio::task::spawn_blocking(move || load::load(&order));
        let panicked = |_| Err(Refusal { reason: "panic", why: "the load panicked".to_owned() });
        match task.await.unwrap_or_else(panicked) {
            Ok(loaded) => Ok(Arc::new(Version::Onnx(Box::new(loaded)))),
            Err(Refusal { reason, why }) => {
                tracing::error!(model, version, reason, why, "a version was refused");
                self.metrics.load_failed(model, version, reason);
                self.shelf().fail(model, version, &why);
                Err(LoadError::Refused { model: model.to_owned(), version: version.to_owned(), why })
            }
        }
    }

    /// A version that another server serves. It is on the shelf whether or not that server is there at the moment:
    /// requests are told, and nothing has to be loaded when it comes back.
    fn remote(&self, model: &str, version: &str, order: &Order) -> Result<Option<Arc<Upstream>>, LookupError> {
        let shelf = self.shelf();
        let config = shelf.config(model)?.remotes.get(version).cloned();
        Ok(config.map(|config| {
            let place = upstream::Place { model: order.model.clone(), version: order.version.clone() };
            Upstream::start(config, place, Arc::clone(&order.status), &self.upstreams)
        }))
    }

    fn order(&self, model: &str, version: &str, role: Role) -> Result<Order, LookupError> {
        let shelf = self.shelf();
        let config = shelf.config(model)?;
        let shadow = config.shadows.iter().find(|shadow| role == Role::Shadow && shadow.version == version);
        Ok(Order {
            model: model.into(),
            version: version.into(),
            dir: self.config.models_dir.join(model).join(version),
            status: shelf.status(model, version)?,
            instances: shadow.map(|shadow| shadow.instances).or(config.instances).map(usize::from),
            intra_threads: config.intra_threads.map(usize::from),
            config: Arc::clone(&self.config),
            runtime: self.runtime.clone(),
            metrics: Arc::clone(&self.metrics),
        })
    }

    pub(crate) async fn unload_version(&self, model: &str, version: &str) {
        let removed = self.shelf_mut().remove(model, version);
        let Some(removed) = removed else { return };
        let role = removed.role();
        retire::displaced(removed).await;
        self.shelf().set(model, version, role, State::Unloaded);
        tracing::info!(model, version, "is unloaded");
    }
}
