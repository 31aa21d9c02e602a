//! Proxies are told what was judged of a version that may answer one day: promote, hold or reject, until each has heard it.
//!
//! The choice: a verdict is told, not carried out. What a proxy does about it is in its own configuration (`follow_verdicts`,
//! `promote_shadows`), so that whoever runs a model decides there and nowhere else what may move it. A verdict is told when it
//! changes, again when the model's versions changed (a version that became the canary after its verdict, a proxy that started
//! anew), and now and then, since what tells of such changes is best effort. One that is too old for a gate is not told.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{body::Bytes, http::header::CONTENT_TYPE};
use contract::{
    api::{Event, ShadowStatus, ShadowVerdict, shadow::ToldVerdict},
    wire::EventKind,
};
use host::{client::Neighbour, tls::TlsError};
use prometheus::{GaugeVec, IntCounterVec};
use serde::Deserialize;
use store::read::Reader;
use tokio_util::sync::CancellationToken;

use crate::{
    config::RolloutConfig,
    cycle::{Clock, Shared, Snapshot, changes, figures},
};

/// Time between two looks at what is to be told.
const EVERY: Duration = Duration::from_secs(1);
/// The rest after a failure, at first; it doubles.
const REST_MS: i64 = 2_000;
/// The longest rest.
const REST_MAX_MS: i64 = 300_000;
/// A sentence from a proxy is cut off after so many characters.
const DID_MAX: usize = 500;
/// Changes after which a verdict may mean more than it did.
const CHANGES: [EventKind; 5] =
    [EventKind::Switch, EventKind::Rollback, EventKind::Canary, EventKind::Role, EventKind::Ready];

/// How a telling ended; the word in the metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The proxy did something.
    Done,
    /// It heard it and changes nothing.
    Nothing,
    /// It does not know the model or the version.
    Unknown,
    /// It does not take our key.
    Refused,
    /// It is away, or could not do it.
    Failed,
}

impl Outcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Nothing => "nothing",
            Self::Unknown => "unknown",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }

    /// Whether it need not be told again.
    const fn is_heard(self) -> bool {
        matches!(self, Self::Done | Self::Nothing | Self::Unknown)
    }
}

/// Counters of the tellers.
#[derive(Clone, Debug)]
pub struct Counters {
    /// Tellings by model, verdict and outcome.
    pub told: IntCounterVec,
    /// Verdicts that are still to be heard, over all proxies.
    pub untold: GaugeVec,
}

/// Tells one proxy.
pub struct Teller {
    url: String,
    client: Neighbour,
    reader: Reader,
    counters: Counters,
    clock: Clock,
    ledger: Ledger,
}

/// One teller a proxy that is named.
///
/// # Errors
/// Where a certificate cannot be read.
pub fn tellers(
    config: &RolloutConfig,
    reader: &Reader,
    counters: &Counters,
    clock: &Clock,
) -> Result<Vec<Teller>, TlsError> {
    let teller = |(url, settings): &(String, host::client::ClientSettings)| {
        Ok(Teller {
            url: url.clone(),
            client: Neighbour::new(settings.clone())?,
            reader: reader.clone(),
            counters: counters.clone(),
            clock: Arc::clone(clock),
            ledger: Ledger::new(config.repeat_ms),
        })
    };
    config.proxies.iter().map(teller).collect()
}

impl Teller {
    /// Tells what is due until `stop`.
    pub async fn keep(mut self, shared: Shared, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let snapshot = shared.borrow().clone();
            let Some(snapshot) = snapshot else { continue };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.round(&snapshot) => {}
            }
        }
    }

    async fn round(&mut self, snapshot: &Snapshot) {
        for due in self.ledger.due(snapshot, (self.clock)()) {
            let (outcome, did) = self.tell(&due).await;
            let labels = [due.model.as_str(), due.told.verdict.as_str(), outcome.as_str()];
            self.counters.told.with_label_values(&labels).inc();
            let is_news = self.ledger.note(&due, outcome, (self.clock)());
            if outcome == Outcome::Done || is_news && outcome.is_heard() {
                self.write_down(&due, &did).await;
            }
            if is_news && !outcome.is_heard() {
                let (url, model, version) = (&self.url, &due.model, &due.told.version);
                tracing::warn!(url, model, version, did, "a proxy did not hear a verdict; it is told again");
            }
        }
        let none: &[&str] = &[];
        self.counters.untold.with_label_values(none).add(self.ledger.waiting_since_last());
    }

    async fn tell(&self, due: &Due) -> (Outcome, String) {
        let url = format!("{}/v1/models/{}/verdict", self.url, due.model);
        let Ok(body) = serde_json::to_vec(&due.told) else { return (Outcome::Failed, String::new()) };
        let posted = self.client.post(&url, &[(CONTENT_TYPE, "application/json")], Bytes::from(body)).await;
        match posted {
            Ok(answer) => heard(answer.status.as_u16(), &answer.body),
            Err(error) => (Outcome::Failed, error.to_string()),
        }
    }

    /// The event is best effort: the proxy has heard it all the same, and tells of what it did itself.
    async fn write_down(&self, due: &Due, did: &str) {
        let text = format!("The verdict '{}' was told to {}: {did}", due.told.verdict.as_str(), self.url);
        tracing::info!(model = due.model, version = due.told.version, text, "a verdict was told");
        let row = changes::event((self.clock)(), "rollout", &due.model, &due.told.version, text);
        if let Err(error) = self.reader.insert_events(&[row]).await {
            tracing::warn!(%error, "the event of a verdict that was told could not be stored");
        }
    }
}

/// What an answer means, and what it says.
fn heard(status: u16, body: &[u8]) -> (Outcome, String) {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Said {
        did: String,
        error: String,
    }
    let said: Said = serde_json::from_slice(body).unwrap_or_default();
    let text = if said.error.is_empty() { said.did } else { said.error };
    let text: String = text.chars().take(DID_MAX).collect();
    match status {
        200..300 if text.starts_with("nothing") => (Outcome::Nothing, text),
        200..300 => (Outcome::Done, text),
        404 => (Outcome::Unknown, text),
        401 | 403 => (Outcome::Refused, format!("{status}, its key needs the scope admin: {text}")),
        _ => (Outcome::Failed, format!("{status}: {text}")),
    }
}

/// Something to tell.
#[derive(Clone, Debug, PartialEq)]
struct Due {
    model: String,
    told: ToldVerdict,
    /// The newest change of the model's versions that is known.
    change_ms: i64,
}

/// What a proxy has heard, by model and version.
#[derive(Debug)]
struct Ledger {
    repeat_ms: i64,
    entries: BTreeMap<(String, String), Entry>,
    /// Verdicts that waited when they were counted last.
    waited: usize,
}

#[derive(Clone, Debug, Default)]
struct Entry {
    heard: Option<Heard>,
    /// Failures since then.
    failures: u32,
    /// It is told no sooner.
    rests_until_ms: i64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Heard {
    verdict: ShadowVerdict,
    at_ms: i64,
    change_ms: i64,
}

impl Ledger {
    const fn new(repeat_ms: i64) -> Self {
        Self { repeat_ms, entries: BTreeMap::new(), waited: 0 }
    }

    /// What is to be told now. What is not judged any more is forgotten, so that the next verdict on it is news.
    fn due(&mut self, snapshot: &Snapshot, now_ms: i64) -> Vec<Due> {
        let models = &snapshot.overview.models;
        let judged = || models.iter().flat_map(|model| &model.shadows);
        let key = |status: &ShadowStatus| (status.model.clone(), status.shadow.clone());
        self.entries.retain(|known, _| judged().any(|status| key(status) == *known));
        let fresh = judged().filter(|status| now_ms - status.judged_ms <= figures::VERDICT_HOLDS_MS);
        fresh
            .filter(|status| is_plain(&status.model) && is_plain(&status.shadow))
            .filter_map(|status| {
                let change_ms = last_change(&snapshot.overview.events, &status.model);
                let entry = self.entries.entry(key(status)).or_default();
                let due = entry.is_due(status.verdict, change_ms, now_ms, self.repeat_ms);
                due.then(|| Due { model: status.model.clone(), told: told(status), change_ms })
            })
            .collect()
    }

    /// Keeps how a telling ended; whether that is news, and not one more of the same.
    fn note(&mut self, due: &Due, outcome: Outcome, now_ms: i64) -> bool {
        let entry = self.entries.entry((due.model.clone(), due.told.version.clone())).or_default();
        let verdict = due.told.verdict;
        if outcome.is_heard() {
            let is_news = entry.heard.is_none_or(|heard| heard.verdict != verdict);
            let heard = Some(Heard { verdict, at_ms: now_ms, change_ms: due.change_ms });
            *entry = Entry { heard, ..Entry::default() };
            return is_news;
        }
        let rest_ms = REST_MS.saturating_mul(1 << entry.failures.min(16)).min(REST_MAX_MS);
        entry.failures = entry.failures.saturating_add(1);
        entry.rests_until_ms = now_ms + rest_ms;
        entry.failures == 1
    }

    /// How many more verdicts wait to be heard than when this was asked last.
    fn waiting_since_last(&mut self) -> f64 {
        let waiting = self.entries.values().filter(|entry| entry.failures > 0).count();
        let before = std::mem::replace(&mut self.waited, waiting);
        waiting as f64 - before as f64
    }
}

impl Entry {
    fn is_due(&self, verdict: ShadowVerdict, change_ms: i64, now_ms: i64, repeat_ms: i64) -> bool {
        // a clock that went back must not make it rest for as long
        let rests = (1..=REST_MAX_MS).contains(&(self.rests_until_ms - now_ms));
        let decided = verdict != ShadowVerdict::Hold;
        let due = match self.heard {
            None => decided,
            Some(heard) if heard.verdict != verdict => true,
            Some(heard) => decided && (change_ms > heard.change_ms || now_ms - heard.at_ms >= repeat_ms),
        };
        due && !rests
    }
}

fn told(status: &ShadowStatus) -> ToldVerdict {
    ToldVerdict {
        version: status.shadow.clone(),
        verdict: status.verdict,
        against: Some(status.primary.clone()),
        reason: Some(status.sentence.clone()),
    }
}

/// When the model's versions changed last, as far as the newest events tell; 0 where they tell of no change.
fn last_change(events: &[Event], model: &str) -> i64 {
    let changes = |event: &&Event| event.model == model && CHANGES.iter().any(|kind| kind.as_str() == event.kind);
    events.iter().filter(changes).map(|event| event.at_ms).max().unwrap_or(0)
}

/// Whether a name can be one of a proxy's (its models are folders) and stands in a path as it is.
fn is_plain(name: &str) -> bool {
    !name.starts_with('.') && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

#[cfg(test)]
pub(crate) mod tests;
