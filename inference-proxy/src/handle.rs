//! What the handlers of both protocols share: names to a version, a body within its limit, a run with its notes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::Request;
use axum::http::header;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::{Map, Value};
use tokio::sync::Semaphore;

use crate::cache::Cache;
use crate::encoding::Coding;
use crate::error::ApiError;
use crate::model::config::is_name;
use crate::model::{Catalog, Input, Served, Urgency, Version, Whose};
use crate::observe::{Notes, Observer};
use crate::offload;
use crate::room::Room;
use crate::waiting::Waiting;

/// What the edge holds; one for all requests.
#[derive(Debug)]
pub struct Edge {
    /// The models.
    pub catalog: Catalog,
    /// Answers that are given again, where that is turned on.
    pub cache: Option<Cache>,
    /// Who watches.
    pub observer: Arc<Observer>,
    /// Places for open requests.
    pub admission: Arc<Semaphore>,
    /// Room for the bodies of open requests.
    pub room: Room,
    /// The same in bytes, as configured.
    pub max_open_body_bytes: usize,
    /// Turns of threads that decode and inflate for them.
    pub turns: Arc<Semaphore>,
    /// Number of those places.
    pub max_concurrent_requests: usize,
    /// Largest body.
    pub max_body_bytes: usize,
    /// Longest time a request may take.
    pub request_timeout: Duration,
}

impl Edge {
    /// Makes the series of what is loaded, at 0.
    pub fn expect(&self) {
        self.observer.expect(&self.catalog);
        if let Some(cache) = &self.cache {
            cache.expect(&self.catalog);
        }
    }
}

/// A model and perhaps a version, as named in a path.
#[derive(Clone, Debug)]
pub struct Named {
    /// The model.
    pub model: String,
    /// The version; without one the primary is meant.
    pub version: Option<String>,
}

/// When a request must be answered.
#[derive(Clone, Debug)]
pub struct Deadline {
    /// The moment.
    pub at: Instant,
    /// How long that was when the request arrived.
    pub limit: Duration,
    /// Whether the client set it itself, shorter than the server's limit: then its passing is the client's doing.
    pub own: bool,
    /// How long the body is waited for, which may be the client's doing too.
    pub body: Waiting,
}

impl Deadline {
    /// Whose doing it is if it passes, as far as that is known now.
    #[must_use]
    pub fn whose(&self) -> Whose {
        match self.own {
            true => Whose::Client,
            false if self.body.took_most_of(self.limit) => Whose::LateBody,
            false => Whose::Server,
        }
    }
}

impl From<Deadline> for Urgency {
    fn from(deadline: Deadline) -> Self {
        Self { whose: deadline.whose(), ..deadline.at.into() }
    }
}

/// A request that has been read.
pub struct Asked<'a> {
    /// Whom.
    pub version: &'a Arc<Version>,
    /// What.
    pub input: Input,
    /// What the client says about it; kept with the content, and never read.
    pub parameters: Map<String, Value>,
    /// Until when, and before whom.
    pub urgency: Urgency,
}

/// The version that answers: the one a path names, else the primary, or the canary where the request is its own; noted,
/// be it found or not.
pub fn find(edge: &Edge, notes: &Notes, named: &Named) -> Result<Arc<Version>, ApiError> {
    let found = match &named.version {
        Some(_) => lookup(&edge.catalog, named),
        None => edge.catalog.route(&named.model, &notes.asker()),
    };
    match &found {
        Ok(version) => notes.found(version),
        Err(error) => notes.not_found(error),
    }
    // which models there are is for those who may see an index
    Ok(found.map_err(|error| if notes.may_read() { error } else { error.untold() })?)
}

/// The version that a path names.
pub fn lookup(catalog: &Catalog, named: &Named) -> Result<Arc<Version>, crate::model::LookupError> {
    match &named.version {
        Some(version) => catalog.version(&named.model, version).or_else(|unknown| {
            // a server that chooses its versions knows them better than we do
            let chooses = |primary: &Arc<Version>| primary.upstream().is_some_and(|upstream| upstream.floats());
            let primary = catalog.primary(&named.model).ok().filter(chooses).filter(|_| is_name(version));
            primary.ok_or(unknown)
        }),
        None => catalog.primary(&named.model),
    }
}

/// Reads the body, as far as it may go; a compressed one as it was before, to the same limit.
pub async fn body(request: Request, limit: usize) -> Result<Bytes, ApiError> {
    let coding = Coding::of(request.headers())?;
    let body = read(request, limit).await?;
    match coding {
        None => Ok(body),
        Some(coding) => {
            let work = body.len().saturating_mul(INFLATION);
            off_thread(work, move || coding.unpack(&body, limit)).await.map(Bytes::from)
        }
    }
}

async fn read(request: Request, limit: usize) -> Result<Bytes, ApiError> {
    let headers = request.headers();
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(ApiError::body_too_large(limit));
    }
    match Limited::new(request.into_body(), limit).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ApiError::body_too_large(limit)),
        Err(_) => Err(ApiError::invalid("broken_body", "the body broke off before its end")),
    }
}

/// How many times its size a body may be once inflated, for the choice of the thread: deflate goes up to 1,032.
const INFLATION: usize = 64;

/// Bodies larger than this are decoded on a thread for blocking work, so that they hold up nobody else's request.
const LARGE: usize = 64 << 10;

/// Runs work whose time grows with `bytes` where it does no harm.
pub async fn off_thread<T: Send + 'static>(bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> T {
    if bytes <= LARGE {
        return work();
    }
    blocking(work).await
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match offload::blocking(move |_| work()).await {
        Ok(done) => done,
        // a panic goes on in the request that caused it; the task is never cancelled
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Proof that whoever has it is on no thread that reads requests and writes answers.
#[derive(Debug)]
pub struct Aside(());

impl Aside {
    /// For tests of what asks for it: nobody's request waits there.
    #[cfg(test)]
    pub(crate) const IN_A_TEST: Self = Self(());
}

/// Runs work that no client waits for, and that no client is to wait behind, however small it is.
pub async fn aside<T: Send + 'static>(work: impl FnOnce(&Aside) -> T + Send + 'static) -> T {
    blocking(move || work(&Aside(()))).await
}

/// Answers a request: with what was answered before, by a run behind the version's breaker, or by what steps in for it.
/// What was asked and answered is noted.
pub async fn run(edge: &Edge, notes: &Notes, asked: Asked<'_>) -> Result<Served, ApiError> {
    let Asked { version, input, parameters, urgency } = asked;
    let input = Arc::new(input);
    notes.asked(&input, parameters);
    let served = match &edge.cache {
        Some(cache) => cache.run(&edge.catalog, version, &input, urgency).await?,
        None => edge.catalog.run(version, &input, urgency).await?,
    };
    notes.served(&served);
    Ok(served)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// There is one thread that reads requests here: what is put aside is not done by it.
    #[tokio::test(flavor = "current_thread")]
    async fn what_is_put_aside_is_done_on_another_thread() {
        let here = std::thread::current().id();
        assert_ne!(aside(|_| std::thread::current().id()).await, here);
        assert_eq!(off_thread(LARGE, || std::thread::current().id()).await, here, "a request's own work, while small");
        assert_ne!(off_thread(LARGE + 1, || std::thread::current().id()).await, here);
    }
}
