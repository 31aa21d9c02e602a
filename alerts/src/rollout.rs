//! Silences while a version changes: what a rollout does to a model's distributions is expected, for a while.
//!
//! A change opens a silence in Alertmanager (API v2) for that model's drift and shadow signals only, and never for a
//! page. It is short and renewed, so that whoever opened it may die: within minutes everything is heard again. When the
//! rollout has settled it is deleted. This is the only file that knows Alertmanager's API.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use contract::faults::Faults;
use contract::wire::EventKind;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::service;

/// Most models whose silences are kept at a time.
const MODELS_MAX: usize = 1_000;
/// A silence lasts this long unless it is renewed.
const LENGTH: Duration = Duration::from_secs(300);
/// It is renewed when this much of it is gone.
const RENEW_AFTER: Duration = Duration::from_secs(120);
/// A call that takes longer has failed.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// Who opened them, in Alertmanager's list.
const AUTHOR: &str = "driftline";

/// Alerts that a change of versions raises by itself.
pub const SILENCED: [&str; 3] = [service::DRIFT, service::CONFIDENCE, service::SHADOW_READY];

/// The section `[silences]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawConfig {
    /// Alertmanager's URL; without one nothing is silenced.
    pub alertmanager: Option<String>,
    /// A rollout has settled so long after its last change: long enough for a few windows of the new version.
    #[serde(with = "humantime_serde")]
    pub settle: Duration,
}

impl Default for RawConfig {
    fn default() -> Self {
        Self { alertmanager: None, settle: Duration::from_secs(1_800) }
    }
}

impl RawConfig {
    /// Where to, and how long; `None` where no Alertmanager is named.
    ///
    /// # Errors
    /// Every fault.
    pub fn check(&self) -> Result<Option<(String, Duration)>, Faults> {
        let mut faults = Faults::default();
        let is_url = |url: &String| url.starts_with("http://") || url.starts_with("https://");
        faults.check(
            self.alertmanager.as_ref().is_none_or(is_url),
            "silences.alertmanager",
            "write a URL, as in http://127.0.0.1:9093",
        );
        faults.check(
            (60..=86_400).contains(&self.settle.as_secs()),
            "silences.settle",
            "a rollout settles within a minute to a day",
        );
        faults.result(self.alertmanager.clone().map(|url| (url, self.settle)))
    }
}

/// Events that are such changes. Other roles (a shadow, a fallback, none) change no answer, so drift is to be heard.
pub const CHANGES: [EventKind; 3] = [EventKind::Switch, EventKind::Rollback, EventKind::Canary];

/// A change of a model's versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The model.
    pub model: String,
    /// The version.
    pub version: String,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: i64,
}

/// What one step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Silences opened or renewed.
    pub held: u64,
    /// Silences deleted.
    pub ended: u64,
    /// Calls that failed; they are made again with the next step.
    pub failed: u64,
}

/// Opens, renews and deletes.
#[derive(Debug)]
pub struct Silencer {
    alertmanager: String,
    client: reqwest::Client,
    settle_ms: i64,
    open: BTreeMap<String, Open>,
}

#[derive(Debug)]
struct Open {
    version: String,
    until_ms: i64,
    held: Option<Held>,
}

#[derive(Clone, Debug)]
struct Held {
    id: String,
    ends_ms: i64,
}

impl Open {
    /// When a silence that is posted now ends: soon, and not after the rollout.
    fn ends_ms(&self, now_ms: i64) -> i64 {
        now_ms.saturating_add(millis(LENGTH)).min(self.until_ms)
    }

    /// Whether one is to be posted: there is none, or it ends soon and the rollout later.
    fn is_due(&self, now_ms: i64) -> bool {
        self.held.as_ref().is_none_or(|held| {
            held.ends_ms < self.ends_ms(now_ms) && held.ends_ms - now_ms <= millis(LENGTH - RENEW_AFTER)
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Posted {
    #[serde(rename = "silenceID")]
    silence_id: String,
}

impl Silencer {
    /// For an Alertmanager (`http://host:port`); a rollout has settled so long after its last change.
    ///
    /// # Errors
    /// Where no HTTP client can be made.
    pub fn new(alertmanager: &str, settle: Duration) -> Result<Self, reqwest::Error> {
        Ok(Self {
            alertmanager: alertmanager.trim_end_matches('/').to_owned(),
            client: reqwest::Client::builder().timeout(CALL_TIMEOUT).build()?,
            settle_ms: millis(settle),
            open: BTreeMap::new(),
        })
    }

    /// Takes note of changes, old ones included, and does what is due. Changes that have settled open nothing.
    pub async fn step(&mut self, changes: &[Change], now_ms: i64) -> Step {
        self.note(changes, now_ms);
        let (mut step, models) = (Step::default(), self.open.keys().cloned().collect::<Vec<_>>());
        for model in models {
            let Some(open) = self.open.get(&model) else { continue };
            let done = if now_ms >= open.until_ms {
                // none was given a later end, so one that cannot be deleted has ended by itself, or does in this moment
                let _ended = self.delete(open.held.as_ref()).await;
                self.open.remove(&model);
                step.ended += 1;
                Ok(())
            } else if open.is_due(now_ms) {
                let posted = self.post(&model, open, now_ms).await;
                let held = match &posted {
                    Ok(held) => Some(held.clone()),
                    // a restart without its storage: there is nothing to renew, the next step opens another
                    Err(error) if error.status() == Some(reqwest::StatusCode::NOT_FOUND) => None,
                    Err(_) => open.held.clone(),
                };
                step.held += u64::from(posted.is_ok());
                self.open.entry(model).and_modify(|open| open.held = held);
                posted.map(drop)
            } else {
                Ok(())
            };
            step.failed += u64::from(done.is_err());
        }
        step
    }

    /// Deletes what is open, as far as Alertmanager answers: what is left ends by itself.
    pub async fn end(&mut self) {
        for open in std::mem::take(&mut self.open).into_values() {
            let _ = self.delete(open.held.as_ref()).await;
        }
    }

    fn note(&mut self, changes: &[Change], now_ms: i64) {
        for change in changes {
            let until_ms = change.at_ms.saturating_add(self.settle_ms);
            let room = self.open.len() < MODELS_MAX || self.open.contains_key(&change.model);
            // a clock that is ahead must not silence for longer than one that is right
            let until_ms = until_ms.min(now_ms.saturating_add(self.settle_ms));
            if until_ms > now_ms && room {
                let version = || change.version.clone();
                let fresh = || Open { version: version(), until_ms, held: None };
                let open = self.open.entry(change.model.clone()).or_insert_with(fresh);
                if until_ms > open.until_ms {
                    (open.until_ms, open.version) = (until_ms, version());
                }
            }
        }
    }

    async fn post(&self, model: &str, open: &Open, now_ms: i64) -> Result<Held, reqwest::Error> {
        let ends_ms = open.ends_ms(now_ms);
        let body = silence(model, open, now_ms, ends_ms);
        let url = format!("{}/api/v2/silences", self.alertmanager);
        let answer = self.client.post(url).json(&body).send().await?.error_for_status()?;
        Ok(Held { id: answer.json::<Posted>().await?.silence_id, ends_ms })
    }

    /// One that Alertmanager does not know any more is deleted already.
    async fn delete(&self, held: Option<&Held>) -> Result<(), reqwest::Error> {
        let Some(Held { id, .. }) = held else { return Ok(()) };
        let url = format!("{}/api/v2/silence/{id}", self.alertmanager);
        let answer = self.client.delete(url).send().await?;
        if answer.status().as_u16() == 404 { Ok(()) } else { answer.error_for_status().map(|_| ()) }
    }
}

fn silence(model: &str, open: &Open, now_ms: i64, ends_ms: i64) -> Value {
    let matcher = |name: &str, value: &str, is_regex: bool, is_equal: bool| json!({ "name": name, "value": value, "isRegex": is_regex, "isEqual": is_equal });
    let mut body = json!({
        "matchers": [
            matcher("model", model, false, true),
            matcher("alertname", &SILENCED.join("|"), true, true),
            matcher("severity", "page", false, false),
        ],
        "startsAt": rfc3339(now_ms),
        "endsAt": rfc3339(ends_ms),
        "createdBy": AUTHOR,
        "comment": format!("A version of {model} changes ({}): its distributions may move until it has settled.", open.version),
    });
    if let Some(held) = &open.held {
        body["id"] = json!(held.id);
    }
    body
}

fn rfc3339(ms: i64) -> String {
    let since = Duration::from_millis(u64::try_from(ms).unwrap_or_default());
    humantime::format_rfc3339_millis(SystemTime::UNIX_EPOCH + since).to_string()
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// A real Alertmanager on a port of its own.
    struct Alertmanager {
        child: Child,
        url: String,
        _folder: tempfile::TempDir,
    }

    impl Drop for Alertmanager {
        fn drop(&mut self) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }

    impl Alertmanager {
        fn start() -> Self {
            Self::start_on("127.0.0.1:0")
        }

        fn start_on(listen: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let config = folder.path().join("alertmanager.yml");
            std::fs::write(&config, "route: { receiver: none }\nreceivers: [{ name: none }]\n").unwrap();
            let mut child = Command::new("prometheus-alertmanager")
                .arg(format!("--config.file={}", config.display()))
                .arg(format!("--storage.path={}", folder.path().display()))
                .arg(format!("--web.listen-address={listen}"))
                .arg("--cluster.listen-address=")
                .stderr(Stdio::piped())
                .spawn()
                .unwrap_or_else(|error| panic!("prometheus-alertmanager: {error}: run `make deps`"));
            let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
            let address = lines.find_map(|line| {
                let rest = line.split("address=").nth(1).filter(|_| line.to_lowercase().contains("listening"))?;
                Some(rest.split_whitespace().next()?.to_owned())
            });
            let url = format!("http://{}", address.expect("it says where it listens"));
            std::thread::spawn(move || lines.for_each(drop));
            Self { child, url, _folder: folder }
        }

        async fn get(&self, path: &str) -> Value {
            let client = reqwest::Client::new();
            for _ in 0..600 {
                if let Ok(answer) = client.get(format!("{}{path}", self.url)).send().await
                    && answer.status().is_success()
                {
                    return answer.json().await.unwrap();
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            panic!("Alertmanager does not answer");
        }

        async fn raise(&self, alerts: &[[(&str, &str); 3]]) {
            let alerts: Vec<Value> = alerts
                .iter()
                .map(|labels| json!({ "labels": labels.iter().map(|(k, v)| ((*k).to_owned(), json!(v))).collect::<serde_json::Map<_, _>>() }))
                .collect();
            let client = reqwest::Client::new();
            let answer = client.post(format!("{}/api/v2/alerts", self.url)).json(&alerts).send().await.unwrap();
            assert!(answer.status().is_success());
        }

        /// Names, models and severities of the alerts that are silenced.
        async fn silenced(&self) -> Vec<String> {
            let alerts = self.get("/api/v2/alerts").await;
            let mut found: Vec<String> = alerts
                .as_array()
                .unwrap()
                .iter()
                .filter(|a| !a["status"]["silencedBy"].as_array().unwrap().is_empty())
                .map(|a| {
                    let label = |key: &str| a["labels"][key].as_str().unwrap().to_owned();
                    format!("{} {} {}", label("alertname"), label("model"), label("severity"))
                })
                .collect();
            found.sort();
            found
        }
    }

    fn now_ms() -> i64 {
        millis(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap())
    }

    #[tokio::test]
    async fn a_rollout_silences_its_models_drift_and_no_page_and_is_heard_again() {
        let manager = Alertmanager::start();
        manager.get("/api/v2/status").await;
        let alert = |name, model, severity| [("alertname", name), ("model", model), ("severity", severity)];
        manager
            .raise(&[
                alert(service::DRIFT, "m", "ticket"),
                alert(service::SHADOW_READY, "m", "info"),
                alert(service::DRIFT, "m", "page"),
                alert(service::DRIFT, "other", "ticket"),
                alert("DriftlineSloBurnPage", "m", "page"),
                alert("DriftlineSloBurnTicket", "m", "ticket"),
            ])
            .await;
        let (settle, now) = (Duration::from_secs(1_800), now_ms());
        let mut silencer = Silencer::new(&format!("{}/", manager.url), settle).unwrap();
        let change = |model: &str, at_ms| Change { model: model.into(), version: "2".into(), at_ms };
        let changes = [change("m", now), change("other", now - millis(settle) - 1)];

        let opened = silencer.step(&changes, now).await;
        assert_eq!(opened, Step { held: 1, ..Step::default() });
        let ours = ["DriftlineFeatureDrift m ticket", "DriftlineShadowVerdictReady m info"];
        assert_eq!(manager.silenced().await, ours);
        let list = manager.get("/api/v2/silences").await;
        let (starts, ends) = (list[0]["startsAt"].as_str().unwrap(), list[0]["endsAt"].as_str().unwrap());
        let at = |text: &str| {
            millis(humantime::parse_rfc3339(text).unwrap().duration_since(SystemTime::UNIX_EPOCH).unwrap())
        };
        assert!(at(ends) - at(starts) <= millis(LENGTH), "{starts} to {ends}");

        // seen again: neither doubled nor renewed before its time, then renewed in place
        assert_eq!(silencer.step(&changes, now + 1_000).await, Step::default());
        assert_eq!(silencer.step(&changes, now + millis(RENEW_AFTER)).await, opened);
        let active = manager.get("/api/v2/silences").await;
        let active = active.as_array().unwrap().iter().filter(|s| s["status"]["state"] != "expired").count();
        assert_eq!(active, 1);

        let settled = silencer.step(&changes, now + millis(settle)).await;
        assert_eq!(settled, Step { ended: 1, ..Step::default() });
        assert_eq!(manager.silenced().await, [""; 0]);
    }

    /// A second change lets the rollout end later than the silence that is held.
    #[tokio::test]
    async fn a_change_upon_a_change_leaves_no_gap() {
        let manager = Alertmanager::start();
        manager.get("/api/v2/status").await;
        let (settle, now) = (Duration::from_secs(60), now_ms());
        let mut silencer = Silencer::new(&manager.url, settle).unwrap();
        let change = |at_ms| Change { model: "m".into(), version: "2".into(), at_ms };
        let held = Step { held: 1, ..Step::default() };
        assert_eq!(silencer.step(&[change(now)], now).await, held);
        let changes = [change(now), change(now + 30_000)];
        assert_eq!(silencer.step(&changes, now + 30_000).await, held);
        assert_eq!(silencer.step(&changes, now + 31_000).await, Step::default());
        let list = manager.get("/api/v2/silences").await;
        let ends = list.as_array().unwrap().iter().filter(|s| s["status"]["state"] != "expired");
        let ends: Vec<&str> = ends.map(|s| s["endsAt"].as_str().unwrap()).collect();
        assert_eq!(ends, [rfc3339(now + 90_000)]);
        assert_eq!(silencer.step(&changes, now + 90_000).await, Step { ended: 1, ..Step::default() });
    }

    #[tokio::test]
    async fn an_alertmanager_that_lost_its_silences_gets_them_again() {
        let manager = Alertmanager::start();
        let url = manager.url.clone();
        manager.get("/api/v2/status").await;
        let mut silencer = Silencer::new(&url, Duration::from_secs(1_800)).unwrap();
        let now = now_ms();
        let change = [Change { model: "m".into(), version: "2".into(), at_ms: now }];
        let opened = Step { held: 1, ..Step::default() };
        assert_eq!(silencer.step(&change, now).await, opened);
        // it comes back on the same address, and its storage does not
        drop(manager);
        let manager = Alertmanager::start_on(url.trim_start_matches("http://"));
        manager.get("/api/v2/status").await;
        let later = now + millis(RENEW_AFTER);
        assert_eq!(silencer.step(&change, later).await, Step { failed: 1, ..Step::default() });
        assert_eq!(silencer.step(&change, later).await, opened);
        let list = manager.get("/api/v2/silences").await;
        assert_eq!(list.as_array().unwrap().len(), 1, "{list}");
        assert_eq!(silencer.step(&change, later + 1_000).await, Step::default());
    }

    #[tokio::test]
    async fn an_alertmanager_that_is_away_is_asked_again() {
        let manager = Alertmanager::start();
        let url = manager.url.clone();
        drop(manager);
        let mut silencer = Silencer::new(&url, Duration::from_secs(60)).unwrap();
        let change = [Change { model: "m".into(), version: "2".into(), at_ms: 1_000 }];
        for now in [1_000, 2_000] {
            assert_eq!(silencer.step(&change, now).await, Step { failed: 1, ..Step::default() });
        }
        // nothing was opened, so nothing is left to delete
        assert_eq!(silencer.step(&change, 61_000).await, Step { ended: 1, ..Step::default() });
    }

    #[tokio::test]
    async fn a_clock_that_is_ahead_silences_no_longer() {
        let mut silencer = Silencer::new("http://127.0.0.1:1", Duration::from_secs(60)).unwrap();
        silencer.note(&[Change { model: "m".into(), version: "2".into(), at_ms: i64::MAX }], 5_000);
        assert_eq!(silencer.open["m"].until_ms, 65_000);
    }
}
