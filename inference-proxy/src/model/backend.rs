//! A version that serves, wherever it runs: in this process, or behind another server.
//!
//! Everything above (the catalog, shadows, canaries, both protocols) sees this one type and need not know. The one
//! exception is a forwarded request, whose body is never decoded on its way: [`Version::upstream`].

use std::sync::Arc;
use std::time::Duration;

use super::answer::{Answer, Input, RunError, Urgency};
use super::breaker::{Breaker, BreakerState, Pass};
use super::metadata::Metadata;
use super::stats::Statistics;
use super::status::{Role, State};
use super::version::Local;
use crate::upstream::Upstream;

/// A version that serves. It can be run as long as it is held and not unloaded, also while it drains.
#[derive(Debug)]
pub struct Version {
    backend: Backend,
    breaker: Option<Breaker>,
}

/// Where it runs.
#[derive(Debug)]
pub(crate) enum Backend {
    /// Sessions of ours.
    Onnx(Box<Local>),
    /// Another server.
    Http(Arc<Upstream>),
}

impl Version {
    /// A version without a breaker.
    pub(crate) const fn new(backend: Backend) -> Self {
        Self { backend, breaker: None }
    }

    /// The same behind a breaker.
    pub(crate) fn behind(self, breaker: Breaker) -> Self {
        Self { breaker: Some(breaker), ..self }
    }

    /// State of its breaker.
    #[must_use]
    pub fn breaker(&self) -> BreakerState {
        self.breaker.as_ref().map_or(BreakerState::Closed, Breaker::state)
    }

    /// Whether its breaker would let the next request through.
    #[must_use]
    pub fn is_passable(&self) -> bool {
        self.breaker.as_ref().is_none_or(Breaker::is_passable)
    }

    /// Leave to run from the breaker, which wants to hear how it went.
    ///
    /// # Errors
    /// [`RunError::BreakerOpen`].
    pub fn enter(&self) -> Result<Option<Pass<'_>>, RunError> {
        self.breaker.as_ref().map(Breaker::enter).transpose()
    }

    /// Runs one request as [`Self::run`] does, if the breaker lets it through, and tells the breaker how that went.
    pub(crate) async fn run_guarded(&self, input: Input, urgency: Urgency) -> Result<Answer, RunError> {
        let pass = self.enter()?;
        let result = self.run(input, urgency).await;
        if let Some(pass) = pass {
            pass.ended(&result);
        }
        result
    }

    /// The model's name.
    #[must_use]
    pub fn name(&self) -> &str {
        match &self.backend {
            Backend::Onnx(local) => local.name(),
            Backend::Http(upstream) => upstream.name(),
        }
    }

    /// The version, as its folder is called or as the configuration names it.
    #[must_use]
    pub fn version(&self) -> &str {
        match &self.backend {
            Backend::Onnx(local) => local.version(),
            Backend::Http(upstream) => upstream.version(),
        }
    }

    /// What it is for at this moment.
    #[must_use]
    pub fn role(&self) -> Role {
        match &self.backend {
            Backend::Onnx(local) => local.role(),
            Backend::Http(upstream) => upstream.status().role(),
        }
    }

    /// Whether it serves at this moment.
    #[must_use]
    pub fn state(&self) -> State {
        match &self.backend {
            Backend::Onnx(local) => local.state(),
            Backend::Http(upstream) => upstream.status().get().state,
        }
    }

    /// What it says of itself; of another server what is known now, and may be another thing later.
    #[must_use]
    pub fn metadata(&self) -> Arc<Metadata> {
        match &self.backend {
            Backend::Onnx(local) => Arc::clone(local.metadata()),
            Backend::Http(upstream) => upstream.metadata(),
        }
    }

    /// The server that answers, where that is another one: a request to it is best passed on as it is.
    #[must_use]
    pub fn upstream(&self) -> Option<&Arc<Upstream>> {
        match &self.backend {
            Backend::Onnx(_) => None,
            Backend::Http(upstream) => Some(upstream),
        }
    }

    /// The sessions, where they are ours.
    #[must_use]
    pub(crate) fn local(&self) -> Option<&Local> {
        match &self.backend {
            Backend::Onnx(local) => Some(local),
            Backend::Http(_) => None,
        }
    }

    /// What it has done since it was loaded; nothing where another server answers, which counts itself.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        match &self.backend {
            Backend::Onnx(local) => local.statistics(),
            Backend::Http(_) => Statistics::default(),
        }
    }

    /// Counts a request that was answered with what it had answered before, and how long finding that took.
    pub(crate) fn answered_from_cache(&self, took: Duration) {
        if let Some(local) = self.local() {
            local.answered_from_cache(took);
        }
    }

    /// Counts an answer that was looked for and not there, and how long that and keeping the new one took.
    pub(crate) fn missed_in_cache(&self, took: Duration) {
        if let Some(local) = self.local() {
            local.missed_in_cache(took);
        }
    }

    /// Counts what of a request breaks the schema of its inputs. Called beside the serving path.
    pub fn count_violations(&self, input: &Input) {
        if let Some(local) = self.local() {
            local.count_violations(input);
        }
    }

    /// What runs of it cost at this moment: (rows, length, seconds) each; `None` where nothing was measured.
    #[must_use]
    pub fn cost(&self) -> Option<Vec<(usize, usize, f64)>> {
        match &self.backend {
            Backend::Onnx(local) => local.cost(),
            Backend::Http(_) => None,
        }
    }

    /// How long a request that comes now would wait for those before it; a second where nobody can tell.
    #[must_use]
    pub fn time_to_drain(&self) -> Duration {
        match &self.backend {
            Backend::Onnx(local) => local.time_to_drain(),
            Backend::Http(_) => Duration::from_secs(1),
        }
    }

    /// Runs one request and waits for its answer, at the latest until its deadline. Dropping the future cancels what
    /// is still queued.
    ///
    /// # Errors
    /// [`RunError`], with a sentence for the client.
    pub async fn run(&self, input: Input, urgency: impl Into<Urgency>) -> Result<Answer, RunError> {
        let urgency = urgency.into();
        let ran = match &self.backend {
            Backend::Onnx(local) => local.run(input, urgency).await,
            Backend::Http(upstream) => upstream.run(input, urgency.deadline).await,
        };
        ran.map_err(|error| urgency.blame(error))
    }

    /// When its state last changed, milliseconds since the Unix epoch.
    pub(crate) fn since_ms(&self) -> i64 {
        match &self.backend {
            Backend::Onnx(local) => local.since_ms(),
            Backend::Http(upstream) => upstream.status().get().since_ms,
        }
    }

    /// Takes no more work, finishes what is queued, and ends its threads; blocks.
    pub(crate) fn finish(&self) {
        match &self.backend {
            Backend::Onnx(local) => local.finish(),
            Backend::Http(upstream) => upstream.finish(),
        }
    }

    /// Whether nothing waits and nothing runs.
    pub(crate) fn is_idle(&self) -> bool {
        match &self.backend {
            Backend::Onnx(local) => local.is_idle(),
            Backend::Http(upstream) => upstream.is_idle(),
        }
    }
}
