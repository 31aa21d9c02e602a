//! How much the page may ask at once: open event streams, and questions to the database.
//!
//! A wall of screens is a few streams; a script in a loop must not starve the cycle of the database.

use std::{sync::Arc, time::Duration};

use host::{config::Faults, gate::Gate};
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A question waits so long for its turn.
const PATIENCE: Duration = Duration::from_secs(5);

/// The `[analyzer.page]` section as typed.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawPage {
    /// Event streams open at once; one a browser tab.
    pub max_streams: u32,
    /// Questions to the database at once; more wait up to five seconds.
    pub max_queries: u32,
}

impl Default for RawPage {
    fn default() -> Self {
        Self { max_streams: 64, max_queries: 4 }
    }
}

/// The section, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageConfig {
    streams_max: usize,
    queries_max: usize,
}

impl RawPage {
    /// Checks it.
    #[must_use]
    pub fn check(self, key: &str, faults: &mut Faults) -> PageConfig {
        for (name, value) in [("max_streams", self.max_streams), ("max_queries", self.max_queries)] {
            let sentence = format!("is {value}; write a number from 1 to 10000");
            faults.check((1..=10_000).contains(&value), format!("{key}.{name}"), sentence);
        }
        PageConfig { streams_max: self.max_streams as usize, queries_max: self.max_queries as usize }
    }
}

/// Places that are free; refusals are counted at the gate, as all others.
#[derive(Clone, Debug)]
pub struct Limits {
    streams: Arc<Semaphore>,
    queries: Arc<Semaphore>,
    gate: Gate,
}

impl Limits {
    /// All places free.
    #[must_use]
    pub fn new(config: PageConfig, gate: Gate) -> Self {
        Self {
            streams: Arc::new(Semaphore::new(config.streams_max)),
            queries: Arc::new(Semaphore::new(config.queries_max)),
            gate,
        }
    }

    /// A place for a stream, if one is free.
    pub(super) fn stream(&self) -> Option<OwnedSemaphorePermit> {
        let place = Arc::clone(&self.streams).try_acquire_owned().ok();
        if place.is_none() {
            self.gate.count_refusal("page_streams");
        }
        place
    }

    /// A turn at the database, if one comes in time.
    pub(super) async fn query(&self) -> Option<OwnedSemaphorePermit> {
        let turn = tokio::time::timeout(PATIENCE, Arc::clone(&self.queries).acquire_owned()).await;
        let turn = turn.ok().and_then(Result::ok);
        if turn.is_none() {
            self.gate.count_refusal("page_queries");
        }
        turn
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use axum::{
        body::Body,
        http::{Request, StatusCode},
    };
    use contract::api::Distribution;
    use host::metrics::Registry;
    use serde_json::json;
    use tokio_util::sync::CancellationToken;
    use tower::ServiceExt as _;

    use super::{super::*, *};
    use crate::config::RawConfig;

    /// One model with one feature.
    fn snapshot() -> Snapshot {
        let verdict = json!({
            "model": "m", "version": "1", "feature": "x", "state": "stable", "window_start_ms": 0, "window_end_ms": 1, "n": 1, "needed": 1,
            "m": 1, "delta": 0.05, "visible": 0.1, "baseline": "", "sentence": "",
        });
        let model = json!({
            "model": "m", "version": "1", "state": "stable", "traffic": { "requests_per_second": 0.0 }, "history": [], "features": [verdict],
            "classes": [], "shadows": [], "guarantee": "",
        });
        let pipeline = contract::api::Pipeline::default();
        let overview = json!({ "at_ms": 0, "models": [model], "slos": [], "events": [], "pipeline": pipeline });
        let drawn = Distribution { edges: vec![], names: vec![], reference: vec![], current: vec![] };
        Snapshot {
            overview: serde_json::from_value(overview).unwrap(),
            distributions: HashMap::from([(("m".to_owned(), "x".to_owned()), drawn)]),
            low_shares: HashMap::new(),
            segments: BTreeMap::new(),
            counted_ms: HashMap::new(),
            judged_until_ms: HashMap::new(),
        }
    }

    /// An API whose database is away, with one turn.
    fn api() -> Api {
        let page = RawPage { max_queries: 1, ..RawPage::default() };
        let config = Arc::new(Config::try_from(RawConfig { page, ..RawConfig::default() }).unwrap());
        let away = store::RawConfig { url: Some("http://127.0.0.1:1".to_owned()), ..store::RawConfig::default() };
        let store = store::Store::connect(&store::Config::new(away).unwrap()).unwrap();
        let snapshot = snapshot();
        // a moment at which what was counted still holds
        let now_ms = snapshot.overview.at_ms;
        Api {
            shared: Shared::new(Some(Arc::new(snapshot))),
            reader: store.read(),
            limits: Limits::new(config.page, Gate::new(config.edge.clone(), &Registry::new())),
            config,
            clock: Arc::new(move || now_ms),
            slo: None,
            closing: CancellationToken::new(),
        }
    }

    async fn asked(api: &Api, path: &str) -> StatusCode {
        let request = Request::get(path).body(Body::empty()).unwrap();
        router(api.clone(), Vec::new()).oneshot(request).await.unwrap().status()
    }

    /// Three of them did not, and one of these read a year of verdicts.
    #[tokio::test(start_paused = true)]
    async fn nothing_asks_the_database_without_a_turn() {
        let api = api();
        assert_eq!(asked(&api, "/api/v1/verdicts").await, StatusCode::SERVICE_UNAVAILABLE, "the database is away");
        let turn = api.limits.query().await.unwrap();
        for operation in openapi::OPERATIONS.iter().filter(|operation| operation.method == "GET") {
            let names = [("{model}", "m"), ("{feature}", "x"), ("{shadow}", "2"), ("{slo}", "s"), ("{id}", "1@m@x")];
            let names = names.into_iter().chain([("{fingerprint}", "abcd"), ("{other}", "abce")]);
            let path = names.fold(operation.path.to_owned(), |path, (name, value)| path.replace(name, value));
            assert_ne!(asked(&api, &path).await, StatusCode::SERVICE_UNAVAILABLE, "{path} asked it");
        }
        for path in ["/api/v1/models/m/features/x", "/api/v1/verdicts", "/api/v1/baselines"] {
            assert_eq!(asked(&api, path).await, StatusCode::TOO_MANY_REQUESTS, "{path}");
        }
        drop(turn);
        assert_eq!(asked(&api, "/api/v1/baselines").await, StatusCode::SERVICE_UNAVAILABLE);
    }
}
