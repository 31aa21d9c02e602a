//! A version that serves, wherever it runs: in this process, or behind another server.
//!
//! Everything above (the catalog, shadows, canaries, both protocols) sees this one type and need not know. The one
//! exception is a forwarded request, whose body is never decoded on its way: [`Version::upstream`].

use std::sync::Arc;
use std::time::Duration;

use super::answer::{Answer, Input, RunError, Urgency};
use super::metadata::Metadata;
use super::stats::Statistics;
use super::status::{Role, State};
use super::version::Local;
use crate::upstream::Upstream;

/// A version that serves. It can be run as long as it is held and not unloaded, also while it drains.
#[derive(Debug)]
pub enum Version {
    /// Sessions of ours.
    #[expect(private_interfaces, reason = "only `load` makes one, from a folder that passed its checks")]
    Onnx(Box<Local>),
    /// Another server.
    Http(Arc<Upstream>),
}

impl Version {
    /// The model's name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Onnx(local) => local.name(),
            Self::Http(upstream) => upstream.name(),
        }
    }

    /// The version, as its folder is called or as the configuration names it.
    #[must_use]
    pub fn version(&self) -> &str {
        match self {
            Self::Onnx(local) => local.version(),
            Self::Http(upstream) => upstream.version(),
        }
    }

    /// What it is for at this moment.
    #[must_use]
    pub fn role(&self) -> Role {
        match self {
            Self::Onnx(local) => local.role(),
            Self::Http(upstream) => upstream.status().role(),
        }
    }

    /// Whether it serves at this moment.
    #[must_use]
    pub fn state(&self) -> State {
        match self {
            Self::Onnx(local) => local.state(),
            Self::Http(upstream) => upstream.status().get().state,
        }
    }

    /// What it says of itself; of another server what is known so far.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        match self {
            Self::Onnx(local) => local.metadata(),
            Self::Http(upstream) => upstream.metadata(),
        }
    }

    /// The server that answers, where that is another one: a request to it is best passed on as it is.
    #[must_use]
    pub fn upstream(&self) -> Option<&Arc<Upstream>> {
        match self {
            Self::Onnx(_) => None,
            Self::Http(upstream) => Some(upstream),
        }
    }

    /// What it has done since it was loaded; nothing where another server answers, which counts itself.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        match self {
            Self::Onnx(local) => local.statistics(),
            Self::Http(_) => Statistics::default(),
        }
    }

    /// What runs of it cost at this moment: (rows, length, seconds) each; `None` where nothing was measured.
    #[must_use]
    pub fn cost(&self) -> Option<Vec<(usize, usize, f64)>> {
        match self {
            Self::Onnx(local) => local.cost(),
            Self::Http(_) => None,
        }
    }

    /// How long a request that comes now would wait for those before it; a second where nobody can tell.
    #[must_use]
    pub fn time_to_drain(&self) -> Duration {
        match self {
            Self::Onnx(local) => local.time_to_drain(),
            Self::Http(_) => Duration::from_secs(1),
        }
    }

    /// Runs one request and waits for its answer, at the latest until its deadline. Dropping the future cancels what
    /// is still queued.
    ///
    /// # Errors
    /// [`RunError`], with a sentence for the client.
    pub async fn run(&self, input: Input, urgency: impl Into<Urgency>) -> Result<Answer, RunError> {
        match self {
            Self::Onnx(local) => local.run(input, urgency).await,
            Self::Http(upstream) => upstream.run(input, urgency.into().deadline).await,
        }
    }

    /// When its state last changed, milliseconds since the Unix epoch.
    pub(crate) fn since_ms(&self) -> i64 {
        match self {
            Self::Onnx(local) => local.since_ms(),
            Self::Http(upstream) => upstream.status().get().since_ms,
        }
    }

    /// Takes no more work, finishes what is queued, and ends its threads; blocks.
    pub(crate) fn finish(&self) {
        match self {
            Self::Onnx(local) => local.finish(),
            Self::Http(upstream) => upstream.finish(),
        }
    }

    /// Whether nothing waits and nothing runs.
    pub(crate) fn is_idle(&self) -> bool {
        match self {
            Self::Onnx(local) => local.is_idle(),
            Self::Http(upstream) => upstream.is_idle(),
        }
    }
}
