//! The models and their versions as the catalog keeps them: who is primary, who is shadow, what is in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::backend::Version;
use super::catalog::{IndexEntry, LookupError};
use super::config::{ModelConfig, ModelsConfig, Shadow, is_name};
use super::metrics::Metrics;
use super::routing::{Asker, Assignment, Roles};
use super::status::{Role, State, Status};
use crate::upstream;

/// All models.
#[derive(Debug)]
pub(crate) struct Shelf {
    config: Arc<ModelsConfig>,
    metrics: Arc<Metrics>,
    models: BTreeMap<String, Entry>,
}

/// One model.
#[derive(Debug, Default)]
struct Entry {
    config: ModelConfig,
    roles: Roles,
    slots: BTreeMap<String, Slot>,
    /// Unloaded as a whole, on request: nobody waits for it, whatever it failed of before.
    is_let_go: bool,
}

impl Entry {
    /// A model as it is configured, with nothing loaded.
    fn new(config: ModelConfig) -> Self {
        let fallback = config.fallback.as_ref().and_then(|fallback| fallback.version.clone());
        let (canary, shadows) = (config.canary.clone(), config.shadows.clone());
        let roles = Roles { canary, shadows, fallback, ..Roles::default() };
        Self { config, roles, ..Self::default() }
    }
}

/// One version.
#[derive(Debug)]
struct Slot {
    status: Arc<Status>,
    version: Option<Arc<Version>>,
}

impl Slot {
    fn new() -> Self {
        Self { status: Arc::new(Status::new(Role::Spare, State::Unloaded)), version: None }
    }

    /// Whether it was served and nobody wants that any more.
    fn is_let_go(&self) -> bool {
        matches!(self.status.get().state, State::Draining | State::Unloaded)
    }

    fn describe(&self, version: &str) -> String {
        match self.status.get().state {
            State::Failed { why } => format!("version '{version}' was refused: {why}"),
            state => format!("version '{version}' is {}", state.as_str()),
        }
    }
}

/// Models that are named to whoever asks for one that is not there.
const KNOWN_MAX: usize = 20;

/// What is wrong with a model whose folder has files and no folder of a version.
pub(super) fn no_version(model: &str) -> String {
    format!(
        "it has no version: put its files into {model}/1/ in the folder of models (proxy.models.models_dir), then load it"
    )
}

impl Shelf {
    /// Looks at the folders of all models.
    ///
    /// # Errors
    /// Where the folder of models cannot be read.
    pub(crate) fn scan(config: Arc<ModelsConfig>, metrics: Arc<Metrics>) -> io::Result<Self> {
        let mut names = folders(&config.models_dir)?;
        names.extend(config.models.keys().cloned());
        let mut shelf = Self { config, metrics, models: BTreeMap::new() };
        for name in names {
            let config = shelf.config.models.get(&name).unwrap_or(&shelf.config.defaults).clone();
            shelf.models.insert(name.clone(), Entry::new(config));
            let found = on_disk(&shelf.config.models_dir, &name);
            shelf.rescan(&name, found);
        }
        Ok(shelf)
    }

    /// Takes up what [`on_disk`] found of a model, also one that is new there.
    pub(crate) fn rescan(&mut self, model: &str, found: BTreeSet<String>) {
        if !found.is_empty() && !self.models.contains_key(model) {
            let config = self.config.defaults.clone();
            self.models.insert(model.to_owned(), Entry::new(config));
        }
        let Some(entry) = self.models.get_mut(model) else { return };
        let wanted = entry.config.primary.iter().cloned().chain(entry.roles.beside());
        let listed = found.into_iter().chain(wanted).chain(entry.config.remotes.keys().cloned());
        let listed: BTreeSet<String> = listed.collect();
        let primary = entry.roles.primary.clone();
        entry.slots.retain(|version, slot| {
            slot.version.is_some() || primary.as_ref() == Some(version) || listed.contains(version)
        });
        for version in listed {
            entry.slots.entry(version).or_insert_with(Slot::new);
        }
    }

    pub(crate) fn models(&self) -> Vec<String> {
        self.models.keys().cloned().collect()
    }

    /// Whether every model's primary is in memory, but for those that were unloaded on request.
    pub(crate) fn ready(&self) -> bool {
        self.models.values().all(|entry| {
            let primary = entry.roles.primary.as_ref().and_then(|primary| entry.slots.get(primary));
            entry.is_let_go || primary.is_some_and(|slot| slot.version.is_some() || slot.is_let_go())
        })
    }

    /// Notes whether anybody waits for a model.
    pub(crate) fn let_go(&mut self, model: &str, is_let_go: bool) {
        self.models.get_mut(model).into_iter().for_each(|entry| entry.is_let_go = is_let_go);
    }

    pub(crate) fn versions(&self, model: &str) -> Result<Vec<String>, LookupError> {
        let mut versions: Vec<String> = self.entry(model)?.slots.keys().cloned().collect();
        versions.sort_by_key(|version| order(version));
        Ok(versions)
    }

    pub(crate) fn primary(&self, model: &str) -> Result<Arc<Version>, LookupError> {
        let entry = self.entry(model)?;
        if let Some(primary) = &entry.roles.primary {
            return self.version(model, primary);
        }
        let why: Vec<String> = entry
            .slots
            .iter()
            .filter(|(version, slot)| {
                entry.roles.assignment(version).is_none() && slot.status.get().state != State::Unloaded
            })
            .map(|(version, slot)| slot.describe(version))
            .collect();
        let why = match why.is_empty() {
            true if entry.slots.is_empty() => no_version(model),
            true => "none of its versions is loaded".to_owned(),
            false => why.join("; "),
        };
        Err(LookupError::NotReady { model: model.to_owned(), version: entry.config.primary.clone(), why })
    }

    pub(crate) fn version(&self, model: &str, version: &str) -> Result<Arc<Version>, LookupError> {
        let slot = self.slot(model, version)?;
        slot.version.clone().ok_or_else(|| LookupError::NotReady {
            model: model.to_owned(),
            version: Some(version.to_owned()),
            why: slot.describe(version),
        })
    }

    pub(crate) fn shadows(&self, model: &str) -> Vec<(Arc<Version>, f64)> {
        let Ok(entry) = self.entry(model) else { return Vec::new() };
        let loaded = |shadow: &Shadow| Some((entry.slots.get(&shadow.version)?.version.clone()?, shadow.percent));
        entry.roles.shadows.iter().filter_map(loaded).collect()
    }

    pub(crate) fn states(&self) -> Vec<IndexEntry> {
        let mut index = Vec::new();
        for (model, entry) in &self.models {
            if entry.slots.is_empty() {
                // it is served by nobody, and who looks for it has to find out why
                index.push(IndexEntry {
                    model: model.clone(),
                    version: String::new(),
                    role: Role::Spare,
                    state: State::Failed { why: no_version(model) },
                    since_ms: 0,
                    breaker: None,
                });
            }
            let mut slots: Vec<_> = entry.slots.iter().collect();
            slots.sort_by_key(|(version, _)| order(version));
            index.extend(slots.into_iter().map(|(version, slot)| {
                let status = slot.status.get();
                let (model, version) = (model.clone(), version.clone());
                let breaker = slot.version.as_ref().map(|version| version.breaker());
                IndexEntry {
                    model,
                    version,
                    role: status.role,
                    state: status.state,
                    since_ms: status.since_ms,
                    breaker,
                }
            }));
        }
        index
    }

    /// The configuration of a model.
    pub(crate) fn config(&self, model: &str) -> Result<&ModelConfig, LookupError> {
        Ok(&self.entry(model)?.config)
    }

    /// Versions that may become primary, the most wanted first: the configured one, or those with a number from the highest
    /// down, or where none has a number the last by name.
    pub(crate) fn candidates(&self, model: &str) -> Result<Vec<String>, LookupError> {
        let entry = self.entry(model)?;
        if let Some(primary) = &entry.config.primary {
            return Ok(vec![primary.clone()]);
        }
        let taken = |version: &String| entry.roles.assignment(version).is_some();
        let mut versions: Vec<String> = entry.slots.keys().filter(|version| !taken(version)).cloned().collect();
        versions.sort_by_key(|version| std::cmp::Reverse(order(version)));
        if versions.iter().any(|version| version.parse::<u64>().is_ok()) {
            versions.retain(|version| version.parse::<u64>().is_ok());
        }
        Ok(versions)
    }

    /// What a version would be given to do by a load: what it was given before, or to answer.
    pub(crate) fn assignment(&self, model: &str, version: &str) -> Result<Assignment, LookupError> {
        Ok(self.entry(model)?.roles.assignment(version).unwrap_or(Assignment::Primary))
    }

    /// Who does what.
    pub(crate) fn roles(&self, model: &str) -> Result<&Roles, LookupError> {
        Ok(&self.entry(model)?.roles)
    }

    /// The version that answers this request: the canary where it is its own and the canary can, else the primary.
    pub(crate) fn route(&self, model: &str, asker: &Asker) -> Result<Arc<Version>, LookupError> {
        let canary = self.entry(model)?.roles.canary_for(asker);
        let loaded = canary.and_then(|canary| self.version(model, canary).ok());
        match loaded.filter(|version| version.is_passable()) {
            Some(canary) => Ok(canary),
            None => self.primary(model),
        }
    }

    /// Whether any model has a canary, so that requests have to be looked at.
    pub(crate) fn has_canary(&self) -> bool {
        self.models.values().any(|entry| entry.roles.canary.is_some())
    }

    pub(crate) fn status(&self, model: &str, version: &str) -> Result<Arc<Status>, LookupError> {
        Ok(Arc::clone(&self.slot(model, version)?.status))
    }

    /// Changes a version's role and state.
    pub(crate) fn set(&self, model: &str, version: &str, role: Role, state: State) {
        let Ok(slot) = self.slot(model, version) else { return };
        let before = slot.status.set(role, state);
        let remote = self.config(model).is_ok_and(|config| config.remotes.contains_key(version));
        let provider = if remote { upstream::PROVIDER } else { slot.status.provider() };
        self.metrics.state([model, version, provider], &before, &slot.status.get());
    }

    /// Marks a load that failed, unless an older copy goes on serving.
    pub(crate) fn fail(&self, model: &str, version: &str, why: &str) {
        if let Ok(slot) = self.slot(model, version)
            && slot.version.is_none()
        {
            let role = self.role_unless_it_serves(model, version);
            self.set(model, version, role, State::Failed { why: why.to_owned() });
        }
    }

    /// The role of a version that does not serve: primary only where it answers once it does, and nobody else may.
    pub(crate) fn role_unless_it_serves(&self, model: &str, version: &str) -> Role {
        let Ok(entry) = self.entry(model) else { return Role::Spare };
        let first = entry.roles.primary.as_ref().or(entry.config.primary.as_ref());
        match entry.roles.assignment(version) {
            Some(assignment) => assignment.role(),
            None if first.is_some_and(|first| first == version) => Role::Primary,
            None => Role::Spare,
        }
    }

    /// Puts a loaded version in its place. Returns what it displaced: an older copy of itself.
    pub(crate) fn put(&mut self, model: &str, version: &Arc<Version>, role: Role) -> Option<Arc<Version>> {
        let name = version.version().to_owned();
        let slot = self.models.get_mut(model)?.slots.get_mut(&name)?;
        let displaced = slot.version.replace(Arc::clone(version)).filter(|old| !Arc::ptr_eq(old, version));
        self.set(model, &name, role, State::Ready);
        displaced
    }

    /// Gives a version something to do. Returns those in memory that have nothing to do any more, now draining.
    pub(crate) fn give(&mut self, model: &str, version: &str, assignment: &Assignment) -> Vec<Arc<Version>> {
        let Some(entry) = self.models.get_mut(model) else { return Vec::new() };
        let idle = entry.roles.give(version, assignment);
        let mut draining = Vec::new();
        for version in idle {
            let loaded = self.slot(model, &version).ok().and_then(|slot| slot.version.clone());
            let state = if loaded.is_some() { State::Draining } else { State::Unloaded };
            self.set(model, &version, Role::Spare, state);
            draining.extend(loaded);
        }
        self.show_traffic(model);
        draining
    }

    /// A step took this version back.
    pub(crate) fn took_back(&mut self, model: &str, version: &str) {
        if let Some(entry) = self.models.get_mut(model) {
            entry.roles.took_back(version);
        }
    }

    fn show_traffic(&self, model: &str) {
        if let Ok(entry) = self.entry(model) {
            let all: Vec<String> = entry.slots.keys().cloned().collect();
            self.metrics.traffic(model, &all, &entry.roles.shares());
        }
    }

    /// Versions that stand by, the oldest first, each with its memory.
    pub(crate) fn standing_by(&self) -> Vec<(String, String, u64)> {
        let mut found = Vec::new();
        for (model, entry) in &self.models {
            for (name, slot) in &entry.slots {
                let status = slot.status.get();
                if let Some(version) = slot.version.as_ref().filter(|_| status.state == State::Standby) {
                    found.push((status.since_ms, model.clone(), name.clone(), version.metadata().memory_bytes));
                }
            }
        }
        found.sort();
        found.into_iter().map(|(_, model, version, bytes)| (model, version, bytes)).collect()
    }

    /// Takes a version out of memory, if it is there; its state becomes draining until [`Self::set`] says otherwise.
    pub(crate) fn remove(&mut self, model: &str, version: &str) -> Option<Arc<Version>> {
        let removed = self.models.get_mut(model)?.slots.get_mut(version)?.version.take()?;
        self.set(model, version, removed.role(), State::Draining);
        Some(removed)
    }

    /// Versions that were taken out and have not ended.
    pub(crate) fn unfinished(&self) -> usize {
        let slots = self.models.values().flat_map(|entry| entry.slots.values());
        slots.filter(|slot| matches!(slot.status.get().state, State::Draining)).count()
    }

    /// Every version in memory.
    pub(crate) fn loaded(&self) -> Vec<(String, String)> {
        let entries = self.models.iter().flat_map(|(model, entry)| entry.slots.iter().map(move |slot| (model, slot)));
        let held = entries.filter(|(_, (_, slot))| slot.version.is_some());
        held.map(|(model, (version, _))| (model.clone(), version.clone())).collect()
    }

    fn entry(&self, model: &str) -> Result<&Entry, LookupError> {
        let known = || Some(self.models.keys().take(KNOWN_MAX).cloned().collect());
        self.models.get(model).ok_or_else(|| LookupError::UnknownModel { model: model.to_owned(), known: known() })
    }

    fn slot(&self, model: &str, version: &str) -> Result<&Slot, LookupError> {
        let unknown = || LookupError::UnknownVersion { model: model.to_owned(), version: version.to_owned() };
        self.entry(model)?.slots.get(version).ok_or_else(unknown)
    }
}

/// Numbers in their order, then names in theirs.
fn order(version: &str) -> (bool, u64, String) {
    match version.parse::<u64>() {
        Ok(number) => (false, number, version.to_owned()),
        Err(_) => (true, 0, version.to_owned()),
    }
}

/// The versions of a model on disk; what cannot be read has none, and loading one says why. Blocks as long as the disk
/// does, so nobody holds the shelf meanwhile: every request looks there.
pub(crate) fn on_disk(models_dir: &Path, model: &str) -> BTreeSet<String> {
    if is_name(model) { folders(&models_dir.join(model)).unwrap_or_default() } else { BTreeSet::new() }
}

/// Names of the folders in a folder that can be a model's or a version's.
fn folders(dir: &Path) -> io::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if let Ok(name) = entry.file_name().into_string()
            && is_name(&name)
            && entry.path().is_dir()
        {
            names.insert(name);
        }
    }
    Ok(names)
}
