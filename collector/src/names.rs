//! Names in observations that no proxy of ours has masked: the proxy's model is asked for them over the Open Inference
//! Protocol before anything is written.
//!
//! The choice: it fails closed and does not refuse. Where the proxy is away, slow or busy, a post is stored without its
//! texts and counted, since most senders have nowhere to keep what is refused, and an outage of a masker must not grow
//! into one of the observations. What has nothing but its text (labels, feedback, events) is refused with 503 instead:
//! a label that is withheld is none, and its sender can send it later. The request asks that its content be kept nowhere.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use bytes::Bytes;
use contract::headers::KEEP_CONTENT;
use contract::metrics::naming as names;
use contract::wire::Observation;
use host::client::{Answer, ClientSettings, Neighbour, PostError, RawNeighbour};
use host::config::Faults;
use host::metrics::Registry;
use host::tls::TlsError;
use masking::{Answered, Finding, Inquiry, Known, Masker, Memo};
use prometheus::{Histogram, IntCounterVec};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

/// Whom to ask for names, as typed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawNames {
    /// Base URL of the proxy; without it nobody is asked.
    pub proxy_url: Option<String>,
    /// The token-classification model that it serves.
    pub model: Option<String>,
    /// What the proxy asks for: a key, certificates.
    pub proxy: RawNeighbour,
    /// An answer, for some of a post's texts, is waited for no longer; then the rest is withheld.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// A post waits no longer for all of its answers.
    #[serde(with = "humantime_serde")]
    pub post_timeout: Duration,
    /// Most posts that wait for it; the texts of more are withheld.
    pub max_waiting: usize,
    /// Ask also about numbered batches: those of proxies that have no `proxy.names` of their own.
    pub batches: bool,
}

impl Default for RawNames {
    fn default() -> Self {
        let (proxy_url, model, proxy) = (None, None, RawNeighbour::default());
        let (timeout, post_timeout) = (Duration::from_secs(2), Duration::from_secs(20));
        Self { proxy_url, model, proxy, timeout, post_timeout, max_waiting: 8, batches: false }
    }
}

/// Whom to ask for names, checked.
#[derive(Clone, Debug)]
pub struct NamesConfig {
    url: String,
    client: ClientSettings,
    post_timeout: Duration,
    max_waiting: usize,
    batches: bool,
}

impl RawNames {
    /// Whether it makes sense, and whom to ask; nobody where nobody is named.
    pub fn check(self, faults: &mut Faults) -> Option<NamesConfig> {
        let Self { proxy_url, model, proxy, timeout, post_timeout, max_waiting, batches } = self;
        faults.check(!timeout.is_zero(), "collector.names.timeout", "is 0; nothing would be answered in time");
        faults.check(post_timeout >= timeout, "collector.names.post_timeout", "is under collector.names.timeout");
        let few = (1..=10_000).contains(&max_waiting);
        faults.check(few, "collector.names.max_waiting", "is not between 1 and 10000");
        let together = proxy_url.is_some() == model.is_some();
        faults.check(together, "collector.names", "needs both proxy_url and model, or neither");
        let (proxy_url, model) = (proxy_url?.trim_end_matches('/').to_owned(), model?);
        let plain = model.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
        faults.check(plain && !model.is_empty(), "collector.names.model", "is no name of a model");
        let whole = proxy_url.parse::<axum::http::Uri>().is_ok_and(|url| {
            matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some_and(|host| !host.is_empty())
        });
        let sentence = "must be an http:// or https:// URL, as in http://127.0.0.1:8080";
        faults.check(whole, "collector.names.proxy_url", sentence);
        let client = proxy.check(&proxy_url, "collector.names.proxy", faults);
        let client = ClientSettings { timeout, idle_connections: max_waiting, ..client };
        let url = format!("{proxy_url}/v2/models/{model}");
        Some(NamesConfig { url, client, post_timeout, max_waiting: max_waiting.clamp(1, 10_000), batches })
    }
}

/// Asks for names. One for all posts.
pub struct Namer {
    client: Neighbour,
    /// Of the model.
    url: String,
    /// Of one answer, and of all that a post needs.
    post_timeout: Duration,
    batches: bool,
    places: Semaphore,
    memo: Memo,
    masker: Masker,
    /// The version that was seen to have words for names.
    fit: Mutex<Option<String>>,
    seconds: Histogram,
    failures: IntCounterVec,
}

/// The outputs that are asked for.
const ENTITIES: &str = "entities";
const TRUNCATED: &str = "truncated";
/// The last of the priorities that Triton's scheduler knows: behind every client's request.
const PRIORITY: u64 = 8;

/// The task of a model that finds names.
const TASK: &str = "token-classification";

/// What the proxy says of the model.
#[derive(Deserialize)]
struct Told {
    parameters: Parameters,
}

#[derive(Deserialize)]
struct Parameters {
    version: String,
    task: String,
    labels: Vec<String>,
}

/// An answer of the protocol.
#[derive(Deserialize)]
struct Inferred {
    #[serde(default)]
    model_version: String,
    outputs: Vec<Output>,
}

#[derive(Deserialize)]
struct Output {
    name: String,
    data: Vec<Value>,
}

/// What [`ENTITIES`] holds for each text.
#[derive(Deserialize)]
struct Entity {
    label: String,
    score: f64,
    start: usize,
    end: usize,
}

impl Namer {
    /// With a client that keeps its connections; every reason born at 0.
    ///
    /// # Errors
    /// Where a certificate cannot be read.
    pub fn new(config: NamesConfig, masker: Masker, registry: &Registry) -> Result<Self, TlsError> {
        let NamesConfig { url, client, post_timeout, max_waiting, batches } = config;
        let seconds = registry.histogram(&names::NAMES_SECONDS).with_label_values(&[] as &[&str]);
        let failures = registry.counter(&names::NAMES_FAILURES);
        for reason in names::REASONS {
            let _ = failures.with_label_values(&[reason]);
        }
        let (client, places) = (Neighbour::new(client)?, Semaphore::new(max_waiting));
        let (memo, fit) = (Memo::default(), Mutex::default());
        Ok(Self { client, url, post_timeout, batches, places, memo, masker, fit, seconds, failures })
    }

    /// Whether numbered batches are asked about.
    pub(crate) const fn asks_of_batches(&self) -> bool {
        self.batches
    }

    /// What the model finds in observations, as far as it answers in time. What a proxy of ours calls classes, statistics
    /// and columns is believed to be such.
    pub(crate) async fn of_observations(&self, of: &[&Observation], ours: bool) -> Known {
        let of = of.iter().copied();
        let inquiry = match ours {
            true => self.masker.inquiry(of, &self.memo),
            false => self.masker.inquiry_of_strangers(of, &self.memo),
        };
        self.ask(inquiry).await.0
    }

    /// The same of texts that stand alone, and whether it answered for all that it can read.
    pub(crate) async fn of_texts<'a>(&self, of: impl IntoIterator<Item = &'a str>) -> (Known, bool) {
        let (known, answered) = self.ask(self.masker.inquiry_of_texts(of, &self.memo)).await;
        (known, answered.is_ok())
    }

    /// The same of a text or a JSON value that is looked at as the input of a payload; or why not all of it was answered, in
    /// a word.
    pub async fn of_input(&self, input: &Value) -> (Known, Result<(), &'static str>) {
        self.ask(self.masker.inquiry_of_input(input, &self.memo)).await
    }

    async fn ask(&self, mut inquiry: Inquiry) -> (Known, Result<(), &'static str>) {
        if inquiry.is_done() {
            return (inquiry.known(), Ok(()));
        }
        let started = Instant::now();
        let answered = match self.places.try_acquire() {
            Ok(_place) => {
                tokio::time::timeout(self.post_timeout, self.answer(&mut inquiry)).await.unwrap_or(Err(names::TIMEOUT))
            }
            Err(_) => Err(names::OVERLOADED),
        };
        match answered {
            Ok(()) => self.seconds.observe(started.elapsed().as_secs_f64()),
            Err(reason) => self.failures.with_label_values(&[reason]).inc(),
        }
        (inquiry.known(), answered)
    }

    async fn answer(&self, inquiry: &mut Inquiry) -> Result<(), &'static str> {
        while !inquiry.is_done() {
            let texts = inquiry.batch();
            let body = json!({
                "inputs": [{"name": "text", "shape": [texts.len()], "datatype": "BYTES", "data": texts}],
                "outputs": [{"name": ENTITIES}, {"name": TRUNCATED}],
                "parameters": {"priority": PRIORITY},
            });
            let inferred = self.post(Bytes::from(body.to_string())).await?;
            self.check(&inferred.model_version).await?;
            self.memo.of_model(&inferred.model_version);
            inquiry.answered(read(&inferred, texts.len()).ok_or(names::FAILED)?);
        }
        Ok(())
    }

    async fn post(&self, body: Bytes) -> Result<Inferred, &'static str> {
        let headers = [(CONTENT_TYPE, "application/json"), (axum::http::HeaderName::from_static(KEEP_CONTENT), "no")];
        let url = format!("{}/infer", self.url);
        self.read(&url, self.client.post(&url, &headers, body).await)
    }

    /// Whether a version is one that has words for names: another would find none in any text.
    async fn check(&self, version: &str) -> Result<(), &'static str> {
        let seen = || self.fit.lock().unwrap_or_else(PoisonError::into_inner);
        if seen().as_deref() == Some(version) {
            return Ok(());
        }
        let told: Told = self.read(&self.url, self.client.get(&self.url).await)?;
        let Parameters { version: told_version, task, labels } = told.parameters;
        if task != TASK || !self.masker.knows_names(&labels) {
            let url = &self.url;
            tracing::warn!(
                url,
                task,
                "the model of collector.names has no label that means a name; texts are withheld"
            );
            return Err(names::UNAVAILABLE);
        }
        // another one has taken its place meanwhile: the next answer is its
        if told_version != version {
            return Err(names::UNAVAILABLE);
        }
        *seen() = Some(version.to_owned());
        Ok(())
    }

    fn read<T: DeserializeOwned>(&self, url: &str, answer: Result<Answer, PostError>) -> Result<T, &'static str> {
        let answer = answer.map_err(|error| {
            tracing::warn!(%error, "the model that finds names cannot be asked");
            if matches!(error, PostError::Timeout) { names::TIMEOUT } else { names::UNAVAILABLE }
        })?;
        match answer.status {
            StatusCode::OK => serde_json::from_slice(&answer.body).map_err(|_| names::FAILED),
            StatusCode::TOO_MANY_REQUESTS => Err(names::OVERLOADED),
            StatusCode::GATEWAY_TIMEOUT | StatusCode::REQUEST_TIMEOUT => Err(names::TIMEOUT),
            status => {
                tracing::warn!(%status, url, "the model that finds names did not answer");
                let away = matches!(status, StatusCode::NOT_FOUND | StatusCode::SERVICE_UNAVAILABLE);
                Err(if away { names::UNAVAILABLE } else { names::FAILED })
            }
        }
    }
}

/// What was found in each text; `None` where the answer is not one a text.
fn read(inferred: &Inferred, asked: usize) -> Option<Vec<Answered>> {
    let output = |name: &str| {
        let output = inferred.outputs.iter().find(|output| output.name == name)?;
        (output.data.len() == asked).then_some(&output.data)
    };
    let each = output(ENTITIES)?.iter().zip(output(TRUNCATED)?).map(|(list, truncated)| {
        let entities: Vec<Entity> = serde_json::from_str(list.as_str()?).ok()?;
        let finding = |Entity { label, score, start, end }| Finding { label, score, start, end };
        Some(Answered { findings: entities.into_iter().map(finding).collect(), truncated: truncated.as_bool()? })
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_one_list_a_text_or_is_none() {
        let read_json =
            |outputs: Value, asked| read(&serde_json::from_value(json!({ "outputs": outputs })).unwrap(), asked);
        let entities = r#"[{"label": "PER", "score": 0.5, "start": 0, "end": 3, "text": "Ann"}]"#;
        let good =
            json!([{"name": "truncated", "data": [false, true]}, {"name": "entities", "data": [entities, "[]"]}]);
        let answers = read_json(good.clone(), 2).unwrap();
        assert_eq!(answers[0].findings, [Finding { label: "PER".into(), score: 0.5, start: 0, end: 3 }]);
        assert!(answers[1].findings.is_empty() && answers[1].truncated && !answers[0].truncated);
        assert_eq!(read_json(good, 3), None);
        for wrong in [
            json!([{"name": "entities", "data": ["[]"]}]),
            json!([{"name": "entities", "data": [[]]}, {"name": "truncated", "data": [false]}]),
            json!([{"name": "entities", "data": ["[{}]"]}, {"name": "truncated", "data": [false]}]),
            json!([{"name": "entities", "data": ["[]"]}, {"name": "truncated", "data": ["no"]}]),
        ] {
            assert_eq!(read_json(wrong.clone(), 1), None, "{wrong}");
        }
    }

    #[test]
    fn it_is_off_until_it_is_said_whom_to_ask_and_what() {
        let check = |text: &str| {
            let raw: RawNames = serde_json::from_str(text).unwrap();
            let mut faults = Faults::default();
            let config = raw.check(&mut faults);
            faults.result(config).map_err(|faults| faults.to_string())
        };
        assert!(check("{}").unwrap().is_none());
        let config = check(r#"{"proxy_url": "http://proxy:8080/", "model": "ner"}"#).unwrap().unwrap();
        assert_eq!(config.url, "http://proxy:8080/v2/models/ner");
        assert!(check(r#"{"model": "ner"}"#).unwrap_err().contains("needs both proxy_url and model"));
        let faults = check(r#"{"proxy_url": "proxy", "model": "a/b", "timeout": "0s", "max_waiting": 0}"#).unwrap_err();
        for key in ["proxy_url", "model", "timeout", "max_waiting"] {
            assert!(faults.contains(&format!("collector.names.{key}")), "{faults}");
        }
    }
}
