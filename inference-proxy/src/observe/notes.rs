//! What is known of a request so far: a page that its layers and its handler write to, and whoever ends it reads.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde_json::{Map, Value};

use super::UNKNOWN;
use crate::model::{Answer, Asker, Fallen, Input, LookupError, Role, Served, Version};
use crate::spans::Moments;
use crate::upstream::exchange::Exchange;

/// What is known of a request so far. Clones write to the same page.
#[derive(Clone, Debug)]
pub struct Notes(Arc<Mutex<Facts>>);

/// What the handler learnt.
#[derive(Debug)]
pub struct Facts {
    /// The model, or [`UNKNOWN`].
    pub model: String,
    /// Its version, or [`UNKNOWN`].
    pub version: String,
    /// What the version is for.
    pub role: Role,
    /// The version itself, once it was found.
    pub running: Option<Arc<Version>>,
    /// What was asked, once it could be read.
    pub input: Option<Arc<Input>>,
    /// What the client said about it.
    pub parameters: Map<String, Value>,
    /// What was answered.
    pub answer: Option<Arc<Answer>>,
    /// The request and its answer as they passed, where another server answers; read when it is over.
    pub exchange: Option<Arc<Exchange>>,
    /// Why its content cannot be kept, where it passed and was not or could not be read as a whole.
    pub withheld: Option<&'static str>,
    /// What went wrong before a fallback answered.
    pub fallen: Option<Fallen>,
    /// Whether the answer had been given before.
    pub from_cache: bool,
    /// When it got how far.
    pub moments: Moments,
    /// What of the request decides who answers it.
    pub(super) asker: Asker,
    /// Whether the caller may see which models there are.
    pub(super) may_read: bool,
}

impl Default for Facts {
    fn default() -> Self {
        let (model, version) = (UNKNOWN.to_owned(), UNKNOWN.to_owned());
        Self {
            model,
            version,
            role: Role::Primary,
            running: None,
            input: None,
            parameters: Map::new(),
            answer: None,
            exchange: None,
            withheld: None,
            fallen: None,
            from_cache: false,
            moments: Moments::default(),
            asker: Asker::default(),
            may_read: false,
        }
    }
}

impl Notes {
    pub(super) fn new(asker: Asker, withheld: Option<&'static str>, may_read: bool) -> Self {
        Self(Arc::new(Mutex::new(Facts { asker, withheld, may_read, ..Facts::default() })))
    }

    /// Whether the caller may see which models there are.
    #[must_use]
    pub fn may_read(&self) -> bool {
        self.lock().may_read
    }

    /// What of the request decides who answers it; asked once.
    #[must_use]
    pub fn asker(&self) -> Asker {
        std::mem::take(&mut self.lock().asker)
    }

    /// The request has a place among the open ones.
    pub fn admitted(&self) {
        self.lock().moments.admitted = Some(Instant::now());
    }

    /// The version was found.
    pub fn found(&self, version: &Arc<Version>) {
        let mut facts = self.lock();
        facts.model = version.name().to_owned();
        facts.version = version.version().to_owned();
        facts.role = version.role();
        facts.running = Some(Arc::clone(version));
    }

    /// It was not, and this is as far as the name led.
    pub fn not_found(&self, error: &LookupError) {
        let mut facts = self.lock();
        match error {
            LookupError::UnknownModel { .. } => {}
            LookupError::UnknownVersion { model, .. } => facts.model.clone_from(model),
            LookupError::NotReady { model, version, .. } => {
                facts.model.clone_from(model);
                facts.version = version.clone().unwrap_or_else(|| UNKNOWN.to_owned());
            }
        }
    }

    /// The request could be read.
    pub fn asked(&self, input: &Arc<Input>, parameters: Map<String, Value>) {
        let mut facts = self.lock();
        facts.moments.asked = Some(Instant::now());
        facts.input = Some(Arc::clone(input));
        facts.parameters = parameters;
    }

    /// The request is passed on to another server, which calls its version so.
    pub fn forwarded(&self, exchange: &Arc<Exchange>, version: String) {
        let mut facts = self.lock();
        facts.moments.asked = Some(Instant::now());
        facts.exchange = Some(Arc::clone(exchange));
        facts.version = version;
    }

    /// The model answered, or what stepped in for it.
    pub fn served(&self, served: &Served) {
        let mut facts = self.lock();
        facts.answer = Some(Arc::clone(&served.answer));
        facts.from_cache = served.from_cache;
        if let Some(fallen) = &served.fallen {
            served.version_name().clone_into(&mut facts.version);
            facts.role = Role::Fallback;
            facts.running = Some(Arc::clone(&served.version));
            facts.fallen = Some(fallen.clone());
        }
    }

    /// The version as it is known so far, what it stepped in for, and what passes, where another server answers.
    pub(super) fn named(&self) -> (String, Option<String>, Option<Arc<Exchange>>) {
        let facts = self.lock();
        let fallen = facts.fallen.as_ref().map(|fallen| format!("{}; {}", fallen.version, fallen.reason));
        (facts.version.clone(), fallen, facts.exchange.clone())
    }

    pub(super) fn take(&self) -> Facts {
        std::mem::take(&mut self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Facts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
