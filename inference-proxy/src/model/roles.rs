//! Roles given and taken while requests run: switch, canary, rollback, and what a verdict may do.
//!
//! Every change is one step under the catalog's turn: load what is not in memory, lead new requests there, let the old
//! one drain. A request holds its version from look-up to answer, so no step fails one.

use std::sync::Arc;

use contract::wire::EventKind;
use serde::{Deserialize, Serialize};

use super::answer::{Input, RunError, Urgency};
use super::backend::Version;
use super::catalog::{Catalog, Inner, LoadError, LookupError};
use super::fallback::{self, Served};
use super::folder;
use super::retire;
use super::routing::{Assignment, Canary, Roles};
use super::status::Role;

/// A change of one version's role.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    version: String,
    assignment: Assignment,
    /// Whether a copy that has this role already is loaded anew.
    reload: bool,
    /// Whether it goes back, and not on.
    back: bool,
    /// Why, for the journal.
    why: String,
}

/// Who does what after a change.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Changed {
    /// The model.
    pub model: String,
    /// What was done, one sentence.
    pub did: String,
    /// The version that answers.
    pub primary: Option<String>,
    /// Where a rollback leads.
    pub previous: Option<String>,
    /// The version that answers a part.
    pub canary: Option<CanaryNow>,
    /// Versions that run beside.
    pub shadows: Vec<ShadowNow>,
    /// The version that steps in.
    pub fallback: Option<String>,
}

/// A canary at this moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CanaryNow {
    /// The version.
    pub version: String,
    /// Share of the keys, 0 to 100.
    pub percent: f64,
    /// `name: value` of the header that leads to it.
    pub header: Option<String>,
}

/// A shadow at this moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ShadowNow {
    /// The version.
    pub version: String,
    /// Share of the requests that it sees, 0 to 100.
    pub percent: f64,
}

/// What the analyzer says of a canary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It may answer everybody.
    Promote,
    /// Nothing is certain yet.
    Hold,
    /// It must not answer anybody.
    Reject,
}

impl Step {
    pub(crate) fn new(version: &str, assignment: Assignment, why: &str) -> Self {
        Self { version: version.to_owned(), assignment, reload: false, back: false, why: why.to_owned() }
    }

    /// A load: a copy that has the role already is made anew.
    pub(crate) fn reload(version: &str, assignment: Assignment) -> Self {
        Self { reload: true, ..Self::new(version, assignment, "loaded") }
    }

    fn back(self) -> Self {
        Self { back: true, ..self }
    }

    fn kind(&self) -> EventKind {
        match self.assignment {
            _ if self.back => EventKind::Rollback,
            Assignment::Primary => EventKind::Switch,
            Assignment::Canary(_) => EventKind::Canary,
            Assignment::Shadow { .. } | Assignment::Fallback | Assignment::Spare => EventKind::Role,
        }
    }

    fn describe(&self) -> String {
        let Self { version, why, .. } = self;
        match &self.assignment {
            Assignment::Primary => format!("version '{version}' answers: {why}"),
            Assignment::Canary(canary) => format!("version '{version}' is the canary of {}: {why}", canary.describe()),
            Assignment::Shadow { percent } => {
                format!("version '{version}' is a shadow of {percent} % of the requests: {why}")
            }
            Assignment::Fallback => format!("version '{version}' is the fallback: {why}"),
            Assignment::Spare => format!("version '{version}' has no role any more: {why}"),
        }
    }
}

impl Catalog {
    /// Gives a version a role, loading it first where it is not in memory. Resolves when it has it.
    ///
    /// # Errors
    /// [`LoadError`]; who answered before still does.
    pub async fn assign(
        &self,
        model: &str,
        version: &str,
        assignment: Assignment,
        why: &str,
    ) -> Result<Changed, LoadError> {
        let step = Step::new(version, assignment, why);
        self.change(model, |_| Ok(step)).await
    }

    /// Lets a version answer everybody: the one named, or the canary.
    ///
    /// # Errors
    /// [`LoadError`]; who answered before still does.
    pub async fn promote(&self, model: &str, version: Option<&str>, why: &str) -> Result<Changed, LoadError> {
        let (version, why) = (version.map(str::to_owned), why.to_owned());
        self.change(model, move |roles| {
            let canary = || roles.canary.as_ref().map(|canary| canary.version.clone());
            let version = version.or_else(canary).ok_or_else(|| {
                LoadError::Nothing("the model has no canary: name the version to promote in `version`".to_owned())
            })?;
            Ok(Step::new(&version, Assignment::Primary, &why))
        })
        .await
    }

    /// Undoes the newest step: ends the canary where there is one, else brings the previous primary back.
    ///
    /// # Errors
    /// [`LoadError`]; who answered before still does.
    pub async fn rollback(&self, model: &str, why: &str) -> Result<Changed, LoadError> {
        let why = why.to_owned();
        self.change(model, move |roles| match (&roles.canary, &roles.previous) {
            (Some(canary), _) => Ok(Step::new(&canary.version, Assignment::Spare, &why).back()),
            (None, Some(previous)) => Ok(Step::new(previous, Assignment::Primary, &why).back()),
            (None, None) => {
                Err(LoadError::Nothing("there is neither a canary nor a primary before this one".to_owned()))
            }
        })
        .await
    }

    /// Follows the analyzer's verdict on the canary, if the model's configuration says so: promotes it, or takes it
    /// back. A verdict on any other version is noted and changes nothing.
    ///
    /// # Errors
    /// [`LoadError`]; who answered before still does.
    pub async fn follow(&self, model: &str, version: &str, verdict: Verdict, why: &str) -> Result<Changed, LoadError> {
        let nothing = |did: &str| self.roles(model, did.to_owned());
        let (follows, canary) = {
            let shelf = self.inner.shelf();
            let canary = shelf.roles(model)?.canary.as_ref().is_some_and(|canary| canary.version == version);
            (shelf.config(model)?.follow_verdicts, canary)
        };
        let why = format!("the verdict was '{}': {why}", verdict.as_str());
        match verdict {
            _ if !follows => Ok(nothing("nothing: follow_verdicts is not set for this model")?),
            _ if !canary => Ok(nothing("nothing: the version is not the canary")?),
            Verdict::Hold => Ok(nothing("nothing: the canary stays as it is")?),
            Verdict::Promote => self.promote(model, Some(version), &why).await,
            Verdict::Reject => {
                let step = Step::new(version, Assignment::Spare, &why).back();
                self.change(model, |_| Ok(step)).await
            }
        }
    }

    /// Who does what now.
    ///
    /// # Errors
    /// [`LookupError::UnknownModel`].
    pub fn roles(&self, model: &str, did: String) -> Result<Changed, LookupError> {
        let shelf = self.inner.shelf();
        let Roles { primary, previous, canary, shadows, fallback } = shelf.roles(model)?.clone();
        let canary = canary.map(|Canary { version, percent, rule, .. }| {
            let header = rule.map(|(name, value)| format!("{name}: {value}"));
            CanaryNow { version, percent, header }
        });
        let shadows = shadows.into_iter().map(|s| ShadowNow { version: s.version, percent: s.percent }).collect();
        Ok(Changed { model: model.to_owned(), did, primary, previous, canary, shadows, fallback })
    }

    /// Runs a request on a version, behind its breaker, and on what steps in where the version cannot.
    ///
    /// # Errors
    /// What was wrong with the version, where nothing stepped in.
    pub async fn run(&self, version: &Arc<Version>, input: &Input, urgency: Urgency) -> Result<Served, RunError> {
        fallback::run(self, version, input, urgency).await
    }

    /// What steps in for a model's versions: one that is in memory, and a label.
    pub(crate) fn fallback(&self, model: &str) -> (Option<Arc<Version>>, Option<String>) {
        let shelf = self.inner.shelf();
        let version = shelf.roles(model).ok().and_then(|roles| roles.fallback.as_deref());
        let label = shelf.config(model).ok().and_then(|config| config.fallback.as_ref()?.label.clone());
        (version.and_then(|version| shelf.version(model, version).ok()), label)
    }

    /// Counts an answer that was given in a version's place.
    pub(crate) fn fell_back(&self, version: &Version, reason: &str) {
        self.inner.metrics.fell_back(version.name(), version.version(), reason);
    }

    /// Decides and takes one step, on a task of its own: a client that leaves must not leave it half done.
    async fn change(
        &self,
        model: &str,
        decide: impl FnOnce(&Roles) -> Result<Step, LoadError> + Send + 'static,
    ) -> Result<Changed, LoadError> {
        let (catalog, model) = (self.clone(), model.to_owned());
        let task = tokio::spawn(async move {
            let inner = &catalog.inner;
            let _turn = inner.turn().await;
            inner.rescan(&model).await;
            let step = decide(inner.shelf().roles(&model)?)?;
            inner.take(&model, &step).await?;
            Ok(catalog.roles(&model, step.describe())?)
        });
        task.await.unwrap_or(Err(LoadError::ShuttingDown))
    }
}

impl Verdict {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Promote => "promote",
            Self::Hold => "hold",
            Self::Reject => "reject",
        }
    }
}

impl Inner {
    /// Takes one step; whoever calls holds the turn.
    pub(super) async fn take(self: &Arc<Self>, model: &str, step: &Step) -> Result<(), LoadError> {
        if self.is_stopping() {
            return Err(LoadError::ShuttingDown);
        }
        let Step { version, assignment, .. } = step;
        let role = assignment.role();
        let before = self.shelf().roles(model)?.clone();
        if role != Role::Primary && before.of(version) == Role::Primary {
            return Err(LoadError::Nothing(format!(
                "version '{version}' answers: promote another first, or unload it"
            )));
        }
        if role == Role::Spare {
            self.let_go(model, version)?;
        } else {
            let kept = self.reusable(model, step)?;
            let loaded = match kept {
                Some(kept) => kept,
                None => self.bring_up(model, version, role).await?,
            };
            self.put(model, &loaded, assignment);
        }
        let changed = before.of(version) != role || matches!(assignment, Assignment::Canary(_)) && !step.reload;
        if changed {
            self.metrics.journal.record(step.kind(), model, version, step.describe());
        }
        Ok(())
    }

    fn let_go(self: &Arc<Self>, model: &str, version: &str) -> Result<(), LoadError> {
        self.shelf().status(model, version)?;
        let idle = self.shelf_mut().give(model, version, &Assignment::Spare);
        self.drain(idle);
        Ok(())
    }

    fn put(self: &Arc<Self>, model: &str, loaded: &Arc<Version>, assignment: &Assignment) {
        let (displaced, idle) = {
            let mut shelf = self.shelf_mut();
            let displaced = shelf.put(model, loaded, assignment.role());
            (displaced, shelf.give(model, loaded.version(), assignment))
        };
        if let Some(displaced) = displaced {
            tokio::spawn(retire::displaced(displaced));
        }
        self.drain(idle);
    }

    fn drain(self: &Arc<Self>, idle: Vec<Arc<Version>>) {
        for version in idle {
            tokio::spawn(retire::demoted(Arc::clone(self), Arc::downgrade(&version)));
        }
    }

    /// The copy in memory, where it will do: a load makes what already has the role anew, and a version that ran with a
    /// shadow's sessions is too small to answer.
    fn reusable(&self, model: &str, step: &Step) -> Result<Option<Arc<Version>>, LookupError> {
        let kept = self.shelf().version(model, &step.version).ok();
        let Some(kept) = kept.filter(|kept| !step.reload || kept.role() == Role::Spare) else { return Ok(None) };
        let order = self.order(model, &step.version, step.assignment.role())?;
        let enough = match order.instances.or(folder::wished_instances(&order.dir)) {
            _ if kept.upstream().is_some() => true,
            Some(wanted) => kept.metadata().instances >= wanted,
            None => kept.role() != Role::Shadow,
        };
        Ok(Some(kept).filter(|_| enough))
    }
}
