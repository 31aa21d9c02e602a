//! Versions that another server serves: Triton, KServe, MLServer, another Driftline, anything that speaks the Open
//! Inference Protocol over HTTP. Observing a model must not require moving it.
//!
//! Two ways lead here. A client's request is passed on as it is ([`forward`]): its body and the answer's stream through
//! while a bounded copy is kept, and only when the client has its answer the copies are read ([`exchange`]). Where we
//! ask ourselves (a shadow, `/v1/…/predict`), [`Upstream::run`] writes and reads JSON tensors ([`tensors`]).
//!
//! The client is `hyper-util`'s: the body of an answer arrives as the server's own buffers, connections are kept open
//! and reused, and nothing is decoded that nobody asked for.

mod classes;
mod client;
mod config;
pub mod exchange;
mod fault;
pub mod forward;
mod metadata;
mod metrics;
mod tee;
pub mod tensors;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{HeaderValue, Method, StatusCode};
use contract::wire::{Provider, Timings};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::model::config::{FLOATING, is_name};
use crate::model::{Answer, Input, Metadata, RunError, Status, TEXT_PAIR};
use crate::oip::encode::OnWire;
use crate::tensor::{Data, Tensor};
use client::{Client, Due};
pub use config::{Config, RawUpstream};
pub use fault::Fault;
pub(crate) use metadata::PROVIDER;
pub use metrics::Metrics;
use metrics::Series;

tokio::task_local! {
    /// The `traceparent` of the request within which another server is asked; a shadow is asked within none.
    pub(crate) static ASKED_WITHIN: Option<HeaderValue>;
}

/// Which version of which model is served elsewhere.
#[derive(Clone, Debug)]
pub struct Place {
    /// The model's name here.
    pub model: Arc<str>,
    /// The version's name here.
    pub version: Arc<str>,
}

/// A version behind another server.
#[derive(Debug)]
pub struct Upstream {
    config: Config,
    place: Place,
    status: Arc<Status>,
    client: Client,
    places: Arc<Semaphore>,
    series: Series,
    known: RwLock<Known>,
    names: Mutex<Names>,
    stop: CancellationToken,
    _probing: DropGuard,
}

/// What is known of the model there.
#[derive(Debug)]
struct Known {
    metadata: Arc<Metadata>,
    /// Whether the other server said it.
    told: bool,
}

/// What the other server calls its versions, where it chooses.
#[derive(Debug, Default)]
struct Names {
    latest: Option<String>,
    seen: BTreeSet<String>,
}

/// More names of versions than this are not believed: they become labels.
const MAX_NAMES: usize = 32;

impl Upstream {
    /// Makes the client and starts asking the other server how it is. Needs a runtime.
    pub(crate) fn start(config: Config, place: Place, status: Arc<Status>, metrics: &Arc<Metrics>) -> Arc<Self> {
        let stop = CancellationToken::new();
        let upstream = Arc::new(Self {
            client: Client::new(&config),
            places: Arc::new(Semaphore::new(config.max_requests)),
            series: metrics.series(&place),
            known: RwLock::new(Known { metadata: Arc::new(metadata::unknown(&config)), told: false }),
            names: Mutex::default(),
            _probing: stop.clone().drop_guard(),
            stop,
            config,
            place,
            status,
        });
        tokio::spawn(keep_probing(Arc::downgrade(&upstream), upstream.stop.clone(), upstream.config.probe_every));
        upstream
    }

    /// The model's name here.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.place.model
    }

    /// The version's name here.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.place.version
    }

    /// The server: scheme, host and port.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.config.origin
    }

    /// Whether the other server chooses the version.
    #[must_use]
    pub fn floats(&self) -> bool {
        self.config.version.is_none()
    }

    /// What is known of the model: what the last probe was told.
    #[must_use]
    pub fn metadata(&self) -> Arc<Metadata> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner).metadata)
    }

    fn is_told(&self) -> bool {
        self.known.read().unwrap_or_else(PoisonError::into_inner).told
    }

    pub(crate) fn status(&self) -> &Status {
        &self.status
    }

    /// The name under which an answer is observed: what it told, where the other server chooses and the name can be
    /// one; else the last that was told; else the version's name here.
    #[must_use]
    pub fn named(&self, told: Option<&str>) -> String {
        if !self.floats() || *self.place.version != *FLOATING {
            return self.version().to_owned();
        }
        let mut names = self.names();
        if let Some(told) = told.filter(|told| is_name(told)) {
            let believed = names.seen.contains(told) || names.seen.len() < MAX_NAMES;
            // one too many is nobody's: not that of the last that was believed
            names.latest = believed.then(|| told.to_owned());
            if believed {
                names.seen.insert(told.to_owned());
            }
        }
        names.latest.clone().unwrap_or_else(|| self.version().to_owned())
    }

    /// Asks whether the model is ready and, as long as that is not known or may change, what it is.
    pub async fn probe(&self) {
        let due = Due::of(None, self.config.timeout);
        let up = match self.fetch(Method::GET, &self.path(None, "/ready"), None, &due).await {
            Ok((status, _)) => status.is_success(),
            Err(_) => false,
        };
        let changed = self.series.up(up) != up;
        if changed {
            let (model, version, url) = (self.name(), self.version(), &self.config.origin);
            tracing::info!(model, version, url, up, "the server behind a model changed");
        }
        // one that was away may be another when it is back
        if up && (self.floats() || changed || !self.is_told()) {
            self.learn(&due).await;
        }
    }

    async fn learn(&self, due: &Due) {
        let Ok((StatusCode::OK, body)) = self.fetch(Method::GET, &self.path(None, ""), None, due).await else {
            return;
        };
        let Some(told) = metadata::read(&body) else {
            tracing::warn!(model = self.name(), "the server behind this model describes it in a way that is not read");
            return;
        };
        if let Some(latest) = told.latest() {
            let _named = self.named(Some(latest));
        }
        let known = Known { metadata: Arc::new(told.metadata(&self.config)), told: true };
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
    }

    /// Runs one request as JSON tensors and reads its answer.
    ///
    /// # Errors
    /// [`RunError`], with a sentence for the client.
    pub async fn run(&self, input: Input, deadline: Instant) -> Result<Answer, RunError> {
        let tensors = match input {
            Input::Tensors(tensors) => tensors,
            Input::Texts(texts) => vec![self.text(texts)?],
            Input::Pairs(pairs) => {
                // as ours takes them; another server says what it makes of it
                let (texts, others): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
                let others = Tensor::new(TEXT_PAIR, vec![others.len()], Data::Bytes(others));
                vec![self.text(texts)?, others.map_err(|error| RunError::Invalid(error.to_string()))?]
            }
        };
        let inputs: Vec<_> = tensors.iter().map(OnWire).collect();
        let body = serde_json::to_vec(&json!({ "inputs": inputs })).map_err(|e| RunError::Failed(e.to_string()))?;
        let _place = self.place()?;
        let (started, due) = (Instant::now(), Due::by(deadline, self.config.timeout));
        let fetched = self.fetch(Method::POST, &self.path(None, "/infer"), Some(body.into()), &due).await;
        let took = started.elapsed();
        self.series.answered(fetched.as_ref().err(), took);
        let (status, body) = fetched?;
        if !status.is_success() {
            return Err(refusal(status, &body));
        }
        let head = tensors::Head::default();
        let read = tensors::given(&head, &body, self.config.max_copy_bytes)
            .map_err(|unread| RunError::BadOutput(unread.to_string()))?;
        self.answer(read.outputs, took).map_err(RunError::BadOutput)
    }

    /// An answer from its outputs: finite, and with classes where the configuration says which output holds them.
    ///
    /// # Errors
    /// One sentence where an output cannot be an answer.
    pub(crate) fn answer(&self, outputs: Vec<Tensor>, took: Duration) -> Result<Answer, String> {
        if let Some(bad) = outputs.iter().find(|tensor| !crate::oip::encode::is_finite(tensor.data())) {
            return Err(format!("output '{}' holds values that are not finite", bad.name()));
        }
        let classes = classes::classes(&outputs, &self.metadata(), self.config.scores.as_ref())?;
        let infer_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let timings = Timings { infer_us, provider: Provider::Http, ..Timings::default() };
        Ok(Answer { outputs, classes, timings, ..Answer::default() })
    }

    fn text(&self, texts: Vec<String>) -> Result<Tensor, RunError> {
        let metadata = self.metadata();
        let (Some(spec), true) = (metadata.inputs.first(), metadata.takes_text) else {
            return Err(RunError::Invalid(format!("model '{}' takes tensors, not text", self.name())));
        };
        let n = texts.len();
        let shape = if spec.shape.len() == 2 { vec![n, 1] } else { vec![n] };
        Tensor::new(&spec.name, shape, Data::Bytes(texts)).map_err(|error| RunError::Invalid(error.to_string()))
    }

    /// The address of something of this model's there.
    fn path(&self, version: Option<&str>, tail: &str) -> String {
        let Config { origin, prefix, .. } = &self.config;
        let model = self.config.model.as_deref().unwrap_or(&self.place.model);
        match version.or(self.config.version.as_deref()) {
            Some(version) => format!("{origin}{prefix}/v2/models/{model}/versions/{version}{tail}"),
            None => format!("{origin}{prefix}/v2/models/{model}{tail}"),
        }
    }

    /// Asks the other server something small of this model's: its status and body.
    async fn fetch(
        &self,
        method: Method,
        path: &str,
        body: Option<Body>,
        due: &Due,
    ) -> Result<(StatusCode, bytes::Bytes), Fault> {
        self.client.fetch(method, path, body, due, self.config.max_copy_bytes).await
    }

    /// A place at the other server.
    fn place(&self) -> Result<OwnedSemaphorePermit, Fault> {
        Arc::clone(&self.places).try_acquire_owned().map_err(|_| Fault::Busy(self.config.max_requests))
    }

    /// Stops asking how the other server is.
    pub(crate) fn finish(&self) {
        self.stop.cancel();
    }

    /// Whether no request is open there.
    pub(crate) fn is_idle(&self) -> bool {
        self.places.available_permits() == self.config.max_requests
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn keep_probing(upstream: Weak<Upstream>, stop: CancellationToken, every: Duration) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = stop.cancelled() => return,
        }
        let Some(upstream) = upstream.upgrade() else { return };
        upstream.probe().await;
    }
}

/// What an answer that is none means to the one who asked.
fn refusal(status: StatusCode, body: &[u8]) -> RunError {
    #[derive(serde::Deserialize)]
    struct Said {
        error: String,
    }
    let said = serde_json::from_slice(body).map_or_else(|_| format!("it answered {status}"), |said: Said| said.error);
    let why = format!("the server behind this model refused: {}", said.chars().take(300).collect::<String>());
    match status {
        StatusCode::TOO_MANY_REQUESTS => RunError::QueueFull { retry_after: Duration::from_secs(1) },
        StatusCode::GATEWAY_TIMEOUT => RunError::Deadline,
        StatusCode::SERVICE_UNAVAILABLE => RunError::Unavailable(why),
        status if status.is_client_error() => RunError::Invalid(why),
        _ => RunError::Failed(why),
    }
}
