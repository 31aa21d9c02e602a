//! Roles given and taken while requests run: switch, canary, rollback, and what a verdict may do.
//!
//! Every change is one step under the catalog's turn: load what is not in memory, lead new requests there, let the old
//! one drain. A request holds its version from look-up to answer, so no step fails one.

use std::sync::Arc;

use contract::api::{ShadowVerdict, shadow::ToldVerdict};
use contract::wire::EventKind;
use serde::Serialize;

use super::answer::{Input, RunError, Urgency};
use super::backend::Version;
use super::catalog::{Catalog, Inner, LoadError, LookupError};
use super::fallback::{self, Served};
use super::folder;
use super::retire;
use super::routing::{Assignment, Canary, Roles};
use super::shelf::Shelf;
use super::status::Role;

/// A change of one version's role.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    version: String,
    assignment: Assignment,
    /// Whether a copy that has this role already is loaded anew.
    reload: bool,
    /// The version that it takes back, where it goes back and not on.
    back: Option<String>,
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

impl Step {
    pub(crate) fn new(version: &str, assignment: Assignment, why: &str) -> Self {
        Self { version: version.to_owned(), assignment, reload: false, back: None, why: why.to_owned() }
    }

    /// A load: a copy that has the role already is made anew.
    pub(crate) fn reload(version: &str, assignment: Assignment) -> Self {
        Self { reload: true, ..Self::new(version, assignment, "loaded") }
    }

    fn back(self, from: &str) -> Self {
        Self { back: Some(from.to_owned()), ..self }
    }

    fn kind(&self) -> EventKind {
        match self.assignment {
            _ if self.back.is_some() => EventKind::Rollback,
            Assignment::Primary => EventKind::Switch,
            Assignment::Canary(_) => EventKind::Canary,
            Assignment::Shadow { .. } | Assignment::Fallback | Assignment::Spare => EventKind::Role,
        }
    }

    /// Changes the roles; returns those in memory that have nothing to do any more.
    fn give(&self, shelf: &mut Shelf, model: &str) -> Vec<Arc<Version>> {
        let idle = shelf.give(model, &self.version, &self.assignment);
        if let Some(from) = &self.back {
            shelf.took_back(model, from);
        }
        idle
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

    /// Undoes the newest step: ends the canary where there is one, else brings the previous primary back. `from` names the
    /// version that must go; without it a second rollback in a row is refused, so that one that is sent twice is taken once.
    ///
    /// # Errors
    /// [`LoadError`]; who answered before still does.
    pub async fn rollback(&self, model: &str, from: Option<&str>, why: &str) -> Result<Changed, LoadError> {
        let (from, why) = (from.map(str::to_owned), why.to_owned());
        self.change(model, move |roles| way_back(roles, from.as_deref(), &why)).await
    }

    /// Follows the analyzer's verdict, as far as the model's configuration says so: `follow_verdicts` promotes the canary or
    /// takes it back, `promote_shadows` promotes a shadow. Any other verdict is noted and changes nothing.
    ///
    /// # Errors
    /// [`LoadError`]; who answered before still does.
    pub async fn follow(&self, model: &str, told: &ToldVerdict) -> Result<Changed, LoadError> {
        let told = told.clone();
        let (may, now) = {
            let shelf = self.inner.shelf();
            let config = shelf.config(model)?;
            let may = May { canary: config.follow_verdicts, shadow: config.promote_shadows };
            (may, meant(shelf.roles(model)?, may, &told))
        };
        // most verdicts change nothing, and need not wait for a load
        if let Err(nothing) = now {
            return Ok(self.roles(model, nothing.to_owned())?);
        }
        // while it waited for its turn an operator may have decided otherwise
        self.change_if(model, move |roles| Ok(meant(roles, may, &told))).await
    }

    /// Who does what now.
    ///
    /// # Errors
    /// [`LookupError::UnknownModel`].
    pub fn roles(&self, model: &str, did: String) -> Result<Changed, LookupError> {
        let shelf = self.inner.shelf();
        let Roles { primary, previous, canary, shadows, fallback, .. } = shelf.roles(model)?.clone();
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
        self.change_if(model, move |roles| decide(roles).map(Ok)).await
    }

    /// The same where there may be nothing to do; then the sentence that is decided says why.
    async fn change_if(
        &self,
        model: &str,
        decide: impl FnOnce(&Roles) -> Result<Result<Step, &'static str>, LoadError> + Send + 'static,
    ) -> Result<Changed, LoadError> {
        let (catalog, model) = (self.clone(), model.to_owned());
        let task = tokio::spawn(async move {
            let inner = &catalog.inner;
            let _turn = inner.turn().await;
            inner.rescan(&model).await;
            let decided = decide(inner.shelf().roles(&model)?)?;
            let did = match decided {
                Ok(step) => {
                    inner.take(&model, &step).await?;
                    step.describe()
                }
                Err(nothing) => nothing.to_owned(),
            };
            Ok(catalog.roles(&model, did)?)
        });
        task.await.unwrap_or(Err(LoadError::ShuttingDown))
    }
}

/// What a verdict may move, by the model's configuration.
#[derive(Clone, Copy, Debug)]
struct May {
    canary: bool,
    shadow: bool,
}

/// The step that a verdict means, or why it means none. A version that answered before and was taken back is promoted by people
/// only: what was known of it then did not suffice.
fn meant(roles: &Roles, may: May, told: &ToldVerdict) -> Result<Step, &'static str> {
    let ToldVerdict { version, verdict, against, reason } = told;
    let why = reason.as_deref().unwrap_or("no reason was given");
    let why = format!("the verdict was '{}': {why}", verdict.as_str());
    let moved = against.as_ref().is_some_and(|against| roles.primary.as_ref() != Some(against));
    match (roles.of(version), verdict) {
        (Role::Primary, _) => Err("nothing: the version answers already"),
        (Role::Fallback | Role::Spare, _) => Err("nothing: the version is not the canary, and no shadow"),
        (Role::Canary, _) if !may.canary => Err("nothing: follow_verdicts is not set for this model"),
        (Role::Canary, ShadowVerdict::Hold) => Err("nothing: the canary stays as it is"),
        (Role::Canary, ShadowVerdict::Reject) => Ok(Step::new(version, Assignment::Spare, &why).back(version)),
        (Role::Shadow, ShadowVerdict::Hold | ShadowVerdict::Reject) => Err("nothing: the shadow stays as it is"),
        (Role::Shadow, _) if !may.shadow => Err("nothing: promote_shadows is not set for this model"),
        (Role::Shadow, _) if roles.canary.is_some() => Err("nothing: the model has a canary, whose rollout ends first"),
        _ if moved => Err("nothing: it was compared with a version that answers no more"),
        _ if roles.withdrawn.contains(version) => Err("nothing: the version answered before and was taken back"),
        (Role::Canary | Role::Shadow, ShadowVerdict::Promote) => Ok(Step::new(version, Assignment::Primary, &why)),
    }
}

/// The step that takes back the version named, or the newest that can be taken back.
fn way_back(roles: &Roles, from: Option<&str>, why: &str) -> Result<Step, LoadError> {
    if let (None, Some(undone)) = (from, &roles.undone) {
        let next = roles.canary.as_ref().map(|canary| &canary.version);
        let next = next.or(roles.primary.as_ref().filter(|_| roles.previous.is_some()));
        let more = next.map_or_else(
            || "there is nothing more to take back".to_owned(),
            |next| format!("to take version '{next}' back too, name it in `from`"),
        );
        return Err(LoadError::Nothing(format!("version '{undone}' was taken back already: {more}")));
    }
    let canary = roles.canary.as_ref().filter(|canary| from.is_none_or(|from| from == canary.version));
    if let Some(canary) = canary {
        return Ok(Step::new(&canary.version, Assignment::Spare, why).back(&canary.version));
    }
    match (from, &roles.primary, &roles.previous) {
        (Some(from), Some(primary), _) if from != primary => {
            Err(LoadError::Nothing(format!("version '{from}' is neither the canary nor the version that answers")))
        }
        (_, Some(primary), Some(previous)) => Ok(Step::new(previous, Assignment::Primary, why).back(primary)),
        _ => Err(LoadError::Nothing("there is neither a canary nor a primary before this one".to_owned())),
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
            self.let_go(model, step)?;
        } else {
            let kept = self.reusable(model, step)?;
            let loaded = match kept {
                Some(kept) => kept,
                None => self.bring_up(model, version, role).await?,
            };
            self.put(model, &loaded, step);
        }
        let changed = before.of(version) != role || matches!(assignment, Assignment::Canary(_)) && !step.reload;
        if changed {
            self.metrics.journal.record(step.kind(), model, version, step.describe());
        }
        Ok(())
    }

    fn let_go(self: &Arc<Self>, model: &str, step: &Step) -> Result<(), LoadError> {
        self.shelf().status(model, &step.version)?;
        let idle = step.give(&mut self.shelf_mut(), model);
        self.drain(idle);
        Ok(())
    }

    fn put(self: &Arc<Self>, model: &str, loaded: &Arc<Version>, step: &Step) {
        let (displaced, idle) = {
            let mut shelf = self.shelf_mut();
            let displaced = shelf.put(model, loaded, step.assignment.role());
            (displaced, step.give(&mut shelf, model))
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
        let enough = match order.instances.or(folder::wishes(&order.dir).0) {
            _ if kept.upstream().is_some() => true,
            Some(wanted) => kept.metadata().instances >= wanted,
            None => kept.role() != Role::Shadow,
        };
        Ok(Some(kept).filter(|_| enough))
    }
}

#[cfg(test)]
mod tests {
    use super::super::routing::RawCanary;
    use super::super::testing::House;
    use super::*;

    fn canary(version: &str) -> Assignment {
        let raw = RawCanary { version: version.into(), percent: 5.0, ..RawCanary::default() };
        Assignment::Canary(raw.check("canary", &mut host::config::Faults::default()))
    }

    fn after(steps: &[(&str, Assignment)]) -> Roles {
        let mut roles = Roles::default();
        for (version, assignment) in steps {
            roles.give(version, assignment);
        }
        roles
    }

    /// Takes the version back, or gives the sentence that says why not.
    fn back(roles: &mut Roles, from: Option<&str>) -> Result<String, String> {
        let step = way_back(roles, from, "a test").map_err(|error| error.to_string())?;
        roles.give(&step.version, &step.assignment);
        roles.took_back(step.back.as_deref().unwrap());
        Ok(step.back.unwrap())
    }

    #[test]
    fn a_rollback_that_is_sent_twice_is_taken_once() {
        use Assignment::Primary;
        let mut roles = after(&[("1", Primary), ("2", Primary)]);
        assert_eq!(back(&mut roles, None).as_deref(), Ok("2"));
        assert!(back(&mut roles, None).unwrap_err().contains("nothing more"), "it would bring the bad version back");
        assert!(back(&mut roles, Some("2")).unwrap_err().contains("neither the canary nor"));
        assert_eq!((roles.primary.as_deref(), roles.previous.as_deref()), (Some("1"), None));

        let mut roles = after(&[("1", Primary), ("2", Primary), ("3", canary("3"))]);
        assert_eq!(back(&mut roles, None).as_deref(), Ok("3"));
        let refused = back(&mut roles, None).unwrap_err();
        assert_eq!(refused, "version '3' was taken back already: to take version '2' back too, name it in `from`");
        assert_eq!(roles.primary.as_deref(), Some("2"), "a healthy primary goes on answering");
        assert_eq!(back(&mut roles, Some("2")).as_deref(), Ok("2"), "who means it can say so");
        assert_eq!(roles.primary.as_deref(), Some("1"));

        roles.give("4", &Primary);
        assert_eq!(back(&mut roles, None).as_deref(), Ok("4"), "what is newer can be taken back again");
        roles.give("4", &canary("4"));
        roles.give("5", &Assignment::Fallback);
        assert_eq!(back(&mut roles, None).as_deref(), Ok("4"));
    }

    /// A verdict that waits for its turn, behind a load or behind the operator, is about a canary that may be gone by then.
    #[tokio::test]
    async fn a_verdict_promotes_nobody_who_was_taken_back_meanwhile() {
        let settings =
            "[models.router]\nprimary = '1'\nfollow_verdicts = true\ncanary = { version = '2', percent = 5 }";
        let house = House::ready(&["router/1", "router/2"], settings).await;
        let inner = &house.catalog.inner;
        let turn = inner.turn().await;
        // the first look is taken before the operator's step, and the verdict's own turn comes after it
        let verdict = ShadowVerdict::Promote;
        let told = ToldVerdict { version: "2".into(), verdict, against: None, reason: Some("it agrees".into()) };
        let followed = house.catalog.follow("router", &told);
        let operator = async {
            let _idle = inner.shelf_mut().give("router", "2", &Assignment::Spare);
            drop(turn);
        };
        let (followed, ()) = tokio::join!(biased; followed, operator);
        let followed = followed.unwrap();
        assert_eq!(followed.did, "nothing: the version is not the canary, and no shadow");
        assert_eq!(followed.primary.as_deref(), Some("1"));
    }
}
