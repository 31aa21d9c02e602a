//! Whom a replay asks: a proxy of its own in this process, with the two versions and no mirror, or one that runs.
//!
//! The choice: what is replayed is no traffic. A proxy of its own is built from the same configuration, listens on loopback, counts for
//! nobody and mirrors nothing, so the live one's windows, budgets and breakers know nothing of it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use analyzer::replay::{Reply, labels};
use anyhow::Context as _;
use contract::headers;
use host::metrics::Registry;
use inference_proxy::config::{RawConfig, RawMirror};
use inference_proxy::model::Answer;
use inference_proxy::model::config::RawShadow;
use inference_proxy::tensor::{Data, Tensor};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::config::Loaded;
use crate::exit::Usage;

/// Longest wait for both versions to be ready: a large model on a slow disk.
const LOAD_WITHIN: Duration = Duration::from_secs(600);
/// Longest wait for one answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// How often a request is sent that the proxy has no room for.
const TRIES: u32 = 6;
/// The longest wait between two tries, whatever the proxy says.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// How a request says whom it is from.
const CLIENT: &str = "driftline-replay";

/// Two versions of a model.
#[derive(Clone, Debug)]
pub struct Versions {
    /// The model.
    pub model: String,
    /// The version that is judged.
    pub version: String,
    /// The version that it is compared with.
    pub against: String,
}

/// What a version said.
pub struct Said {
    /// As the judge takes it.
    pub reply: Reply,
    /// Its outputs, where these are numbers and no classes.
    pub numbers: Answer,
}

impl Said {
    fn failed(why: &str) -> Self {
        Self { reply: Reply::Failed(why.to_owned()), numbers: Answer::default() }
    }

    /// Classes where there are any, or where `output` says that there must be; else the numbers, as a shadow's are compared.
    fn read(text: &str, output: Option<&str>, micros: u64) -> Self {
        let Ok(answer) = serde_json::from_str::<Value>(text) else { return Self::failed("broken answer") };
        if let Some(labels) = labels(&answer, output) {
            return Self { reply: Reply::Labels(labels, micros), numbers: Answer::default() };
        }
        let listed = answer["outputs"].as_array().map(Vec::as_slice).unwrap_or_default();
        let outputs: Vec<Tensor> = listed.iter().filter_map(tensor).collect();
        if output.is_some() || outputs.is_empty() {
            return Self::failed("neither classes nor numbers");
        }
        Self { reply: Reply::Numbers(micros), numbers: Answer { outputs, ..Answer::default() } }
    }
}

/// An output that holds numbers.
fn tensor(output: &Value) -> Option<Tensor> {
    let shape = output["shape"].as_array()?.iter().map(|side| usize::try_from(side.as_u64()?).ok());
    let data = output["data"].as_array()?.iter().map(Value::as_f64);
    let (shape, data) = (shape.collect::<Option<Vec<_>>>()?, data.collect::<Option<Vec<_>>>()?);
    Tensor::new(output["name"].as_str()?, shape, Data::Fp64(data)).ok()
}

/// A proxy that answers.
pub struct Proxy {
    http: reqwest::Client,
    url: String,
    token: Option<String>,
    own: Option<Own>,
}

/// A proxy of our own.
struct Own {
    stop: CancellationToken,
    served: tokio::task::JoinHandle<std::io::Result<()>>,
    folder: tempfile::TempDir,
}

impl Proxy {
    /// One that runs somewhere and serves both versions.
    ///
    /// # Errors
    /// Where the key's file cannot be read, nobody answers there, or a version does not serve, with the reason.
    pub async fn running(url: &str, token_file: Option<&PathBuf>, versions: &Versions) -> anyhow::Result<Self> {
        let read =
            |path: &PathBuf| std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()));
        let token = token_file.map(read).transpose()?.map(|token| token.trim().to_owned());
        let proxy = Self { http: client()?, url: url.trim_end_matches('/').to_owned(), token, own: None };
        for version in [&versions.version, &versions.against] {
            proxy.serves(&versions.model, version).await?;
        }
        Ok(proxy)
    }

    /// One for this alone, with both versions loaded.
    ///
    /// # Errors
    /// Where the configuration is wrong or a version does not load, with the reason.
    pub async fn of_its_own(loaded: &Loaded, versions: &Versions) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a folder")?;
        let models_dir = loaded.raw.proxy.models.models_dir.clone();
        let raw = alone(loaded.raw.proxy.clone(), versions, folder.path())?;
        let config = raw.check().map_err(|faults| Usage(faults.to_string()))?;
        let deps =
            inference_proxy::Deps { registry: Registry::new(), masking: masking::RawConfig::default(), slos: None };
        let service = inference_proxy::build(config, deps).await?;
        let url = format!("http://{}", service.local_addr());
        let stop = CancellationToken::new();
        let served = tokio::spawn(service.run(stop.clone()));
        let own = Own { stop, served, folder };
        let proxy = Self { http: client()?, url, token: None, own: Some(own) };
        for version in [&versions.version, &versions.against] {
            if let Err(why) = proxy.wait_for(&versions.model, version).await {
                let linked = proxy.own.as_ref().map(|own| own.folder.path().join("models").display().to_string());
                proxy.end().await;
                // the folder that it looks into is ours and gone when this is read
                let told = linked.map(|linked| why.to_string().replace(&linked, &models_dir.display().to_string()));
                return Err(told.filter(|_| why.is::<Usage>()).map_or(why, |told| Usage(told).into()));
            }
        }
        Ok(proxy)
    }

    /// Makes sure that a version serves now: what does not answer is no evidence on a version.
    async fn serves(&self, model: &str, version: &str) -> anyhow::Result<()> {
        let status = self.ready(model, version).await?;
        if status.is_success() {
            return Ok(());
        }
        if matches!(status.as_u16(), 401 | 403) {
            anyhow::bail!(Usage(format!(
                "{} answers {status}; give --token-file with a key of the scope infer",
                self.url
            )));
        }
        let why = self.failure(model, version).await?.unwrap_or_else(|| "it is not ready".to_owned());
        anyhow::bail!(Usage(format!("version {version} of {model} does not serve at {}: {why}", self.url)))
    }

    async fn ready(&self, model: &str, version: &str) -> anyhow::Result<reqwest::StatusCode> {
        let ready = format!("{}/v2/models/{model}/versions/{version}/ready", self.url);
        let answer = self.signed(self.http.get(ready)).send().await;
        Ok(answer.with_context(|| format!("no proxy answers at {}", self.url))?.status())
    }

    fn signed(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        self.token.iter().fold(request, |request, token| request.bearer_auth(token))
    }

    /// Waits until a version serves.
    async fn wait_for(&self, model: &str, version: &str) -> anyhow::Result<()> {
        let since = Instant::now();
        loop {
            if self.ready(model, version).await?.is_success() {
                return Ok(());
            }
            if let Some(why) = self.failure(model, version).await? {
                anyhow::bail!(Usage(format!("version {version} of {model} does not serve: {why}")));
            }
            anyhow::ensure!(
                since.elapsed() < LOAD_WITHIN,
                "version {version} of {model} is not ready after {LOAD_WITHIN:?}"
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Why a version will never serve; `None` while it may.
    async fn failure(&self, model: &str, version: &str) -> anyhow::Result<Option<String>> {
        let index = self.signed(self.http.post(format!("{}/v2/repository/index", self.url))).body("{}").send().await?;
        let lines: Vec<Value> = serde_json::from_str(&index.text().await?).context("the proxy's index is no JSON")?;
        let of_it: Vec<&Value> = lines.iter().filter(|line| line["name"] == model).collect();
        let Some(line) = of_it.iter().find(|line| line["version"] == version) else {
            let known: Vec<&str> = of_it.iter().filter_map(|line| line["version"].as_str()).collect();
            let known = if known.is_empty() { "no versions of it".to_owned() } else { known.join(", ") };
            return Ok(Some(format!("there is none; there are {known}")));
        };
        let failed = line["state"].as_str().is_some_and(|state| state == "FAILED");
        Ok(failed.then(|| line["reason"].as_str().unwrap_or_default().to_owned()))
    }

    /// Asks a version; what it says, and how long that took. No room is our doing and not the version's: it is waited for, as long
    /// as the proxy says, and what still has no room is no answer.
    ///
    /// # Errors
    /// Where the proxy is gone, drains, no longer serves the version or does not take the key: that says nothing of the version.
    pub async fn ask(&self, model: &str, version: &str, body: &Value, output: Option<&str>) -> anyhow::Result<Said> {
        let mut wait = Duration::from_millis(50);
        for _ in 1..TRIES {
            match self.once(model, version, body, output).await? {
                Once::Said(said) => return Ok(said),
                Once::NoRoom(named) => tokio::time::sleep(named.unwrap_or(wait).min(WAIT_MAX)).await,
            }
            wait *= 2;
        }
        Ok(match self.once(model, version, body, output).await? {
            Once::Said(said) => said,
            Once::NoRoom(_) => Said { reply: Reply::NoRoom, numbers: Answer::default() },
        })
    }

    async fn once(&self, model: &str, version: &str, body: &Value, output: Option<&str>) -> anyhow::Result<Once> {
        let failed = |why: &str| Ok(Once::Said(Said::failed(why)));
        let url = format!("{}/v2/models/{model}/versions/{version}/infer", self.url);
        let since = Instant::now();
        let request = self.http.post(&url).header("content-type", "application/json").header(headers::CLIENT, CLIENT);
        let answer = match self.signed(request).body(body.to_string()).send().await {
            Ok(answer) => answer,
            Err(error) if error.is_timeout() => return failed("timeout"),
            Err(_) => {
                let alive = self.http.get(format!("{}/v2/health/live", self.url)).send().await;
                alive.with_context(|| format!("the proxy at {} went away", self.url))?;
                return failed("broken connection");
            }
        };
        let (status, named) = (answer.status().as_u16(), retry_after(&answer));
        let Ok(text) = answer.text().await else { return failed("broken answer") };
        match status {
            200 => {}
            429 => return Ok(Once::NoRoom(named)),
            401 | 403 => anyhow::bail!("{} answers {status} and does not take the key any more: {text}", self.url),
            503 => {
                let serves = self.ready(model, version).await?.is_success();
                anyhow::ensure!(serves, "version {version} of {model} is not served at {} any more: {text}", self.url);
                // too many connections are no answer of the version, which names itself or its breaker
                return if text.contains("too many connections") { Ok(Once::NoRoom(named)) } else { failed("503") };
            }
            other => return failed(&other.to_string()),
        }
        let micros = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
        Ok(Once::Said(Said::read(&text, output, micros)))
    }

    /// Ends our own in order.
    pub async fn end(self) {
        if let Some(Own { stop, served, folder }) = self.own {
            stop.cancel();
            // its folder goes after it
            let _ = served.await;
            drop(folder);
        }
    }
}

/// What came of asking once.
enum Once {
    Said(Said),
    /// It had no room, and may say for how long.
    NoRoom(Option<Duration>),
}

fn retry_after(answer: &reqwest::Response) -> Option<Duration> {
    let seconds = answer.headers().get("retry-after")?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn client() -> anyhow::Result<reqwest::Client> {
    reqwest::Client::builder().timeout(ANSWER_WITHIN).build().context("cannot make an HTTP client")
}

/// The configuration with this model's two versions alone, and nothing that reaches out.
fn alone(raw: RawConfig, versions: &Versions, folder: &Path) -> anyhow::Result<RawConfig> {
    let Versions { model, version, against } = versions;
    let mut raw = RawConfig {
        listen: ([127, 0, 0, 1], 0).into(),
        grpc: None,
        edge: host::gate::RawEdge::default(),
        cache: inference_proxy::cache::RawCache::default(),
        mirror: RawMirror::default(),
        traces: inference_proxy::spans::RawTraces::default(),
        client_key: None,
        triton_metrics: false,
        ..raw
    };
    let its_folder = raw.models.models_dir.join(model);
    let mut own = raw.models.models.remove(model).unwrap_or_default();
    own.primary = Some(against.clone());
    own.shadows = vec![RawShadow { version: version.clone(), percent: 0.0, instances: 1 }];
    (own.canary, own.fallback) = (None, None);
    (own.follow_verdicts, own.promote_shadows) = (false, false);
    raw.models.models = [(model.clone(), own)].into();
    let models = folder.join("models");
    std::fs::create_dir(&models).context("cannot make a folder")?;
    if its_folder.is_dir() {
        std::os::unix::fs::symlink(&its_folder, models.join(model)).context("cannot link to the model's folder")?;
    }
    raw.models.models_dir = models;
    Ok(raw)
}

#[cfg(test)]
mod tests {
    use contract::wire::Gap;
    use inference_proxy::features::gaps;
    use inference_proxy::handle::aside;

    use super::*;

    #[tokio::test]
    async fn classes_go_before_numbers_and_numbers_are_compared_as_a_shadows_are() {
        let answer = |name: &str, shape: &str, data: &str| {
            format!(r#"{{"outputs":[{{"name":"{name}","datatype":"FP32","shape":{shape},"data":{data}}}]}}"#)
        };
        let read = |text: &str, output| Said::read(text, output, 7);
        let classes = read(&answer("scores", "[1,2]", "[0.1,0.9]"), None);
        assert_eq!(classes.reply, Reply::Labels(vec!["class 1".into()], 7));
        let (before, now) = (read(&answer("y", "[2,1]", "[10,4]"), None), read(&answer("y", "[2,1]", "[10,3]"), None));
        assert_eq!((&before.reply, &now.reply), (&Reply::Numbers(7), &Reply::Numbers(7)));
        let number = |absolute, relative| Gap::Number { absolute, relative };
        let found = aside(move |aside| gaps(&before.numbers, &now.numbers, aside)).await;
        assert_eq!(found, [number(0.0, 0.0), number(1.0, 0.25)]);
        for (text, output) in [("{}", None), (&*answer("y", "[1,1]", "[1]"), Some("scores")), ("no", None)] {
            assert!(matches!(read(text, output).reply, Reply::Failed(_)), "{text}");
        }
        assert!(matches!(read(&answer("t", "[1]", "[\"a\"]"), None).reply, Reply::Failed(_)));
    }
}
