//! How versions come up and go: which is wanted, whether it fits, what is said where it is refused.

use std::sync::Arc;

use contract::wire::EventKind;

use super::{Inner, LoadError, LookupError};
use crate::model::backend::{Backend, Version};
use crate::model::breaker::Breaker;
use crate::model::load::{self, Order, Refusal};
use crate::model::memory::{self, Evicted, Shortage};
use crate::model::metrics::VersionMetrics;
use crate::model::retire;
use crate::model::roles::Step;
use crate::model::shelf;
use crate::model::status::{Role, State};
use crate::upstream::{self, Upstream};

impl Inner {
    /// Loads the most wanted version. Where that is refused and nothing serves, the next best takes its place, and the
    /// refusal is told all the same.
    pub(super) async fn load_primary(self: &Arc<Self>, model: &str) -> Result<(), LoadError> {
        let mut candidates = self.shelf().candidates(model)?.into_iter();
        let Some(wanted) = candidates.next() else {
            let why = shelf::no_version(model);
            let folder = self.config.models_dir.join(model);
            tracing::error!(model, folder = %folder.display(), why, "a model cannot be served");
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

    /// Loads fallback, canary and shadows; the error is the last one's.
    pub(super) async fn load_beside(self: &Arc<Self>, model: &str) -> Result<(), LoadError> {
        let beside = self.shelf().roles(model)?.beside();
        let mut result = Ok(());
        for version in beside {
            let loaded = self.load_version(model, &version).await;
            result = loaded.and(result);
        }
        result
    }

    pub(super) async fn load_version(self: &Arc<Self>, model: &str, version: &str) -> Result<(), LoadError> {
        let assignment = self.shelf().assignment(model, version)?;
        self.take(model, &Step::reload(version, assignment)).await
    }

    /// Loads a version for a role; it is not led to yet.
    pub(in crate::model) async fn bring_up(
        self: &Arc<Self>,
        model: &str,
        version: &str,
        role: Role,
    ) -> Result<Arc<Version>, LoadError> {
        let order = self.order(model, version, role)?;
        if self.shelf().version(model, version).is_err() {
            let shelf = self.shelf();
            shelf.set(model, version, shelf.role_unless_it_serves(model, version), State::Loading);
        }
        let journal = &self.metrics.journal;
        journal.record(EventKind::Load, model, version, format!("for the role {role}"));
        let families = Arc::clone(&self.metrics);
        let status = Arc::clone(&order.status);
        let metrics = VersionMetrics { families, model: model.into(), version: version.into(), status, price: None };
        let breaker = || Breaker::new(self.config.breaker, metrics);
        if let Some(remote) = self.remote(model, version, &order)? {
            remote.probe().await;
            journal.record(EventKind::Ready, model, version, "behind another server");
            return Ok(Arc::new(Version::new(Backend::Http(remote)).behind(breaker())));
        }
        if let Err(shortage) = self.make_room(&order).await {
            self.refused(model, version, "memory", &shortage.to_string());
            let (model, version) = (model.to_owned(), version.to_owned());
            return Err(LoadError::NoRoom { model, version, why: shortage.to_string() });
        }
        let task = tokio::task::spawn_blocking(move || load::load(&order));
        let panicked = |_| Err(Refusal { reason: "panic", why: "the load panicked".to_owned() });
        let loaded = task.await.unwrap_or_else(panicked);
        self.metrics.memory_free(self.memory.free());
        match loaded {
            Ok(loaded) => {
                let seconds = loaded.metadata().load_seconds;
                journal.record(EventKind::Ready, model, version, format!("after {seconds:.3} s"));
                Ok(Arc::new(Version::new(Backend::Onnx(Box::new(loaded))).behind(breaker())))
            }
            Err(Refusal { reason, why }) => {
                self.refused(model, version, reason, &why);
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

    fn refused(&self, model: &str, version: &str, reason: &str, why: &str) {
        tracing::error!(model, version, reason, why, "a version was refused");
        self.metrics.load_failed(model, version, reason);
        self.metrics.journal.record(EventKind::Failed, model, version, why);
        self.shelf().fail(model, version, why);
    }

    /// Lets versions that stand by leave, the oldest first, until the ordered one fits.
    async fn make_room(&self, order: &Order) -> Result<(), Shortage> {
        let (needed, mut evicted) = (order.needed_bytes(), Evicted::none(self.memory.free()));
        loop {
            let Err(shortage) = self.memory.fits(needed, evicted) else { return Ok(()) };
            let standing_by = self.shelf().standing_by();
            let mut others = standing_by
                .into_iter()
                .filter(|(model, version, _)| (model.as_str(), version.as_str()) != (&*order.model, &*order.version));
            let Some((model, version, _)) = others.next() else { return Err(shortage) };
            let sessions = self.shelf().version(&model, &version).map_or(0, |version| version.metadata().instances);
            let weights = memory::weights(&self.config.models_dir.join(&model).join(&version));
            self.unload_version(&model, &version, "to make room for a load").await;
            evicted = evicted.and(weights, sessions);
        }
    }

    pub(in crate::model) fn order(&self, model: &str, version: &str, role: Role) -> Result<Order, LookupError> {
        let shelf = self.shelf();
        let config = shelf.config(model)?;
        let shadow = shelf.roles(model)?.shadow(version).map_or(1, |shadow| shadow.instances.get());
        let instances = if role == Role::Shadow { Some(shadow) } else { config.instances.map(usize::from) };
        Ok(Order {
            model: model.into(),
            version: version.into(),
            dir: self.config.models_dir.join(model).join(version),
            status: shelf.status(model, version)?,
            instances,
            intra_threads: config.intra_threads.map(usize::from),
            device: config.device,
            config: Arc::clone(&self.config),
            runtime: self.runtime.clone(),
            metrics: Arc::clone(&self.metrics),
            memory: Arc::clone(&self.memory),
        })
    }

    pub(crate) async fn unload_version(&self, model: &str, version: &str, why: &str) {
        let removed = self.shelf_mut().remove(model, version);
        let Some(removed) = removed else { return };
        let role = removed.role();
        retire::displaced(removed).await;
        self.shelf().set(model, version, role, State::Unloaded);
        self.metrics.journal.record(EventKind::Unload, model, version, why);
    }
}
