//! The service over HTTP: what the API, the metrics and the page say of what was judged.

use std::{
    sync::{Arc, atomic::AtomicI64},
    time::Duration,
};

use analyzer::{
    config::{Config, RawConfig},
    service::{Asset, Deps, build_with_clock},
};
use contract::{
    api::{BaselineInfo, DriftState, FeatureDetail, FeatureVerdict, Overview, ShadowVerdict},
    slo::{Sli, Slo, SloFile},
};
use host::metrics::Registry;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    cycle::{T0, WINDOW_MS, clock, raw, window},
    house::House,
};

/// An analyzer over six windows, the last one drifted, with a shadow that agrees in two of three.
pub struct Running {
    pub house: House,
    pub base: String,
    pub http: reqwest::Client,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Running {
    pub async fn start() -> Self {
        Self::start_with(raw(), &[]).await
    }

    /// With more rows, put in before the first cycle: the clock stands, so what is counted once is not counted again.
    pub async fn start_with(config: RawConfig, rows: &[String]) -> Self {
        let house = House::build().await;
        for index in 0..6 {
            window(&house, index, if index == 5 { 0.5 } else { 0.0 }).await;
        }
        house
            .ask(&format!(
                "INSERT INTO comparisons (* EXCEPT (compared, absolute_gap, relative_gap)) SELECT generateUUIDv4(), 0, generateUUIDv4(), now64(3), \
                   fromUnixTimestamp64Milli({T0} + number, 'UTC'), 'm', '1', '2', true, 'ok', '', 'a', \
                   if(number % 3 = 0, 'b', 'a'), 0.5, 0.5, 100, 50 FROM numbers(1200)"
            ))
            .await;
        for sql in rows {
            house.ask(sql).await;
        }
        let now = Arc::new(AtomicI64::new(T0 + 6 * WINDOW_MS + 2_000));
        let page = Asset { path: "/index.html", content_type: "text/html", bytes: b"<!doctype html>", policy: None };
        let deps =
            Deps { store: house.store.clone(), registry: Registry::new(), slo: Some(objectives()), assets: vec![page] };
        let service = build_with_clock(Config::try_from(config).unwrap(), deps, clock(&now)).await.unwrap();
        let base = format!("http://{}", service.local_addr());
        let stop = CancellationToken::new();
        let task = tokio::spawn(service.run(stop.clone()));
        let running = Self { house, base, http: reqwest::Client::new(), stop, task };
        while running.get("/health/ready").await.0 != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        running
    }

    /// Status and body; whatever a browser may show carries the content security policy.
    pub async fn get(&self, path: &str) -> (u16, String) {
        let answer = self.http.get(format!("{}{path}", self.base)).send().await.unwrap();
        let status = answer.status().as_u16();
        if !path.starts_with("/health") && path != "/metrics" {
            let policy = answer.headers()["content-security-policy"].to_str().unwrap();
            assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
        }
        (status, answer.text().await.unwrap())
    }

    pub async fn read<T: serde::de::DeserializeOwned>(&self, path: &str) -> T {
        let (status, body) = self.get(path).await;
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    async fn freeze(&self, body: &Value) -> (u16, String) {
        let answer = self.http.post(format!("{}/api/v1/baselines", self.base)).json(body).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}

fn objectives() -> SloFile {
    SloFile::new("demo", "platform", vec![Slo::new("m-available", "m", 98.0, Sli::Availability)])
}

#[tokio::test]
async fn the_overview_is_what_the_rows_say() {
    let running = Running::start().await;
    let overview: Overview = running.read("/api/v1/overview").await;
    let model = &overview.models[0];
    assert_eq!(model.state, DriftState::Drifted);
    assert_eq!(overview.pipeline.observations, 2_400);
    assert_eq!(overview.pipeline.sources[0].ledger.observed, 400);
    let slo = &overview.slos[0];
    assert_eq!((slo.events, slo.bad, slo.burn.len()), (2_400, 24, 7));
    assert!((slo.budget_remaining.unwrap() - 0.5).abs() < 1e-9 && (slo.burn[0].rate.unwrap() - 0.5).abs() < 1e-9);
    let shadow = &model.shadows[0];
    assert_eq!((shadow.pairs, shadow.agreed, shadow.verdict), (1_200, 800, ShadowVerdict::Reject));
    assert_eq!((shadow.latency_ratio, shadow.flips[0].pairs), (Some(0.5), 400));
    running.stop().await;
}

#[tokio::test]
async fn details_metrics_and_page_agree() {
    let running = Running::start().await;
    let detail: FeatureDetail = running.read("/api/v1/models/m/features/input.x").await;
    assert_eq!(detail.verdict.state, DriftState::Drifted);
    assert_eq!(detail.history.last(), Some(&detail.verdict));
    assert!((detail.distribution.current.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    let newest: Vec<FeatureVerdict> = running.read("/api/v1/verdicts?model=m&limit=2").await;
    assert_eq!(newest.len(), 2);
    let (_, text) = running.get("/metrics").await;
    for line in [
        "driftline_drift_state{feature=\"input.x\",model=\"m\",state=\"drifted\",version=\"1\"} 1",
        "driftline_slo_burn_rate{slo=\"m-available\",window=\"5m\"} 0.5",
        "driftline_shadow_verdict{model=\"m\",state=\"reject\",version=\"2\"} 1",
        "driftline_analyzer_windows_total{model=\"m\",version=\"1\"} 3",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert_eq!(running.get("/").await, (200, "<!doctype html>".to_owned()));
    for (path, status) in
        [("/api/v1/models/m/features/absent", 404), ("/api/v1/verdicts?limt=2", 400), ("/absent", 404)]
    {
        let (found, body) = running.get(path).await;
        assert_eq!(found, status, "{path}");
        assert!(serde_json::from_str::<Value>(&body).unwrap()["error"].is_string());
    }
    running.stop().await;
}

#[tokio::test]
async fn a_baseline_is_frozen_on_request_or_refused_with_a_reason() {
    let running = Running::start().await;
    let range = |from: i64, to: i64| json!({"model": "m", "from_ms": from, "to_ms": to});
    for (body, code, words) in [
        (range(5, 4), 400, "before to_ms"),
        (range(0, 1), 422, "no features of m"),
        (range(T0, T0 + 1_000), 422, "freeze at least"),
        (json!({"model": "m"}), 400, "from_ms"),
    ] {
        let (status, text) = running.freeze(&body).await;
        assert_eq!(status, code, "{text}");
        assert!(text.contains(words), "{text}");
    }
    let (status, body) = running.freeze(&range(T0, T0 + 5 * WINDOW_MS)).await;
    assert_eq!(status, 200, "{body}");
    let frozen: BaselineInfo = serde_json::from_str(&body).unwrap();
    assert_eq!((frozen.observations, frozen.provisional, frozen.features), (2_000, false, 4));
    let listed: Vec<BaselineInfo> = running.read("/api/v1/baselines").await;
    assert_eq!((listed.len(), &listed[0]), (2, &frozen));
    running.stop().await;
}
