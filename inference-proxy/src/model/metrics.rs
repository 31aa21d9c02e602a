//! The metrics of models, each registered once; their names and meanings are in `contract::metrics::proxy`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use contract::metrics::{proxy, serving, versions};
use host::metrics::Registry;
use prometheus::{CounterVec, GaugeVec, HistogramVec, IntCounterVec, IntGaugeVec};

use super::audit::Journal;
use super::batch::Load;
use super::breaker::BreakerState;
use super::card::{self, Card};
use super::device::PROVIDERS;
use super::metadata::Metadata;
use super::pairing::{CheckResult, Report};
use super::price::Price;
use super::schema::Breach;
use super::status::{Role, Snapshot, State, Status};

/// The metric families of models.
#[derive(Debug)]
pub(crate) struct Metrics {
    stage: HistogramVec,
    queue_items: IntGaugeVec,
    queue_tokens: IntGaugeVec,
    batch_items: HistogramVec,
    batch_padding: HistogramVec,
    truncated: IntCounterVec,
    tokenize_errors: IntCounterVec,
    violations: IntCounterVec,
    state: IntGaugeVec,
    info: IntGaugeVec,
    load_seconds: GaugeVec,
    load_failures: IntCounterVec,
    checks: IntCounterVec,
    busy: CounterVec,
    cost: CounterVec,
    batch_difference: GaugeVec,
    batch_variant: IntGaugeVec,
    loads: IntCounterVec,
    model_bytes: IntGaugeVec,
    fingerprint: IntGaugeVec,
    golden_difference: GaugeVec,
    memory_bytes: IntGaugeVec,
    memory_free: IntGaugeVec,
    traffic: GaugeVec,
    breaker_state: IntGaugeVec,
    breaker_failures: IntCounterVec,
    fallbacks: IntCounterVec,
    restarts: IntCounterVec,
    pub(crate) journal: Journal,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Self {
        Self {
            stage: registry.histogram(&proxy::STAGE_SECONDS),
            queue_items: registry.int_gauge(&proxy::QUEUE_ITEMS),
            queue_tokens: registry.int_gauge(&proxy::QUEUE_TOKENS),
            batch_items: registry.histogram(&proxy::BATCH_ITEMS),
            batch_padding: registry.histogram(&proxy::BATCH_PADDING),
            truncated: registry.counter(&proxy::TRUNCATED),
            tokenize_errors: registry.counter(&proxy::TOKENIZE_ERRORS),
            violations: registry.counter(&proxy::SCHEMA_VIOLATIONS),
            state: registry.int_gauge(&proxy::VERSION_STATE),
            info: registry.int_gauge(&proxy::VERSION_INFO),
            load_seconds: registry.gauge(&proxy::LOAD_SECONDS),
            load_failures: registry.counter(&proxy::LOAD_FAILURES),
            checks: registry.counter(&proxy::CONVERSION_CHECKS),
            busy: registry.counter_f64(&proxy::BUSY_SECONDS),
            cost: registry.counter_f64(&serving::COST),
            batch_difference: registry.gauge(&proxy::BATCH_DIFFERENCE),
            batch_variant: registry.int_gauge(&proxy::BATCH_VARIANT),
            loads: registry.counter(&versions::LOADS),
            model_bytes: registry.int_gauge(&versions::MODEL_BYTES),
            fingerprint: registry.int_gauge(&versions::FILES_FINGERPRINT),
            golden_difference: registry.gauge(&versions::GOLDEN_DIFFERENCE),
            memory_bytes: registry.int_gauge(&versions::MEMORY_BYTES),
            memory_free: registry.int_gauge(&versions::MEMORY_FREE_BYTES),
            traffic: registry.gauge(&versions::TRAFFIC),
            breaker_state: registry.int_gauge(&versions::BREAKER_STATE),
            breaker_failures: registry.counter(&versions::BREAKER_FAILURES),
            fallbacks: registry.counter(&versions::FALLBACKS),
            restarts: registry.counter(&versions::SESSION_RESTARTS),
            journal: Journal::new(registry),
        }
    }

    /// Shows a version's new state and what it runs on, and takes back what stood under its old role.
    pub(crate) fn state(&self, [model, version, provider]: [&str; 3], before: &Snapshot, now: &Snapshot) {
        let loaded = |state: &State| matches!(state, State::Ready | State::Draining | State::Standby);
        let old = [model, version, before.role.as_str(), provider];
        if before.role != now.role {
            for word in State::WORDS {
                // It was never set where the version is new.
                let _absent = self.state.remove_label_values(&[model, version, before.role.as_str(), word]);
            }
            let _absent = self.queue_items.remove_label_values(&old[..3]);
            let _absent = self.queue_tokens.remove_label_values(&old[..3]);
        }
        if before.role != now.role || !loaded(&now.state) {
            let _absent = self.info.remove_label_values(&old);
        }
        // it may have run on another one before
        for other in PROVIDERS.into_iter().filter(|other| *other != provider) {
            let _absent = self.info.remove_label_values(&[model, version, before.role.as_str(), other]);
        }
        if loaded(&before.state) && !loaded(&now.state) {
            self.unloaded(model, version);
        }
        let role = now.role.as_str();
        for word in State::WORDS {
            let is = i64::from(word == now.state.as_str());
            self.state.with_label_values(&[model, version, role, word]).set(is);
        }
        if loaded(&now.state) {
            self.info.with_label_values(&[model, version, role, provider]).set(1);
        }
    }

    /// Counts the checks that were made.
    pub(crate) fn checks(&self, model: &str, version: &str, report: &Report) {
        for check in &report.checks {
            let outcome = match check.result {
                CheckResult::Passed(_) => proxy::CHECK_PASSED,
                CheckResult::Failed(_) => proxy::CHECK_FAILED,
                CheckResult::Skipped(_) => continue,
            };
            self.checks.with_label_values(&[model, version, outcome]).inc();
        }
    }

    /// A load has ended well.
    pub(crate) fn loaded(&self, model: &str, version: &str, metadata: &Metadata) {
        let of = [model, version];
        self.load_seconds.with_label_values(&of).set(metadata.load_seconds);
        self.loads.with_label_values(&of).inc();
        self.model_bytes.with_label_values(&of).set(metadata.bytes as i64);
        self.memory_bytes.with_label_values(&of).set(metadata.memory_bytes as i64);
        if let Some(fingerprint) = metadata.fingerprint() {
            self.fingerprint.with_label_values(&of).set(fingerprint);
        }
    }

    fn unloaded(&self, model: &str, version: &str) {
        let of = [model, version];
        let _absent = self.model_bytes.remove_label_values(&of);
        let _absent = self.memory_bytes.remove_label_values(&of);
        let _absent = self.fingerprint.remove_label_values(&of);
        let _absent = self.golden_difference.remove_label_values(&of);
        for state in BreakerState::ALL {
            let _absent = self.breaker_state.remove_label_values(&[model, version, state.as_str()]);
        }
    }

    pub(crate) fn memory_free(&self, bytes: u64) {
        self.memory_free.with_label_values::<&str>(&[]).set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Shows which share each version has; a version in `all` without one has none.
    pub(crate) fn traffic(&self, model: &str, all: &[String], shares: &[(&str, Role, f64)]) {
        for (version, role) in all.iter().flat_map(|version| Role::ALL.map(|role| (version, role))) {
            let _absent = self.traffic.remove_label_values(&[model, version, role.as_str()]);
        }
        for (version, role, share) in shares {
            self.traffic.with_label_values(&[model, version, role.as_str()]).set(*share);
        }
    }

    pub(crate) fn fell_back(&self, model: &str, version: &str, reason: &str) {
        self.fallbacks.with_label_values(&[model, version, reason]).inc();
    }

    /// Shows whether a version's answers depend on their batch.
    pub(crate) fn company(&self, model: &str, version: &str, difference: Option<f64>, variant: bool) {
        if let Some(difference) = difference {
            self.batch_difference.with_label_values(&[model, version]).set(difference);
        }
        self.batch_variant.with_label_values(&[model, version]).set(i64::from(variant));
    }

    pub(crate) fn golden(&self, model: &str, version: &str, difference: Option<f64>) {
        if let Some(difference) = difference {
            self.golden_difference.with_label_values(&[model, version]).set(difference);
        }
    }

    pub(crate) fn load_failed(&self, model: &str, version: &str, reason: &str) {
        self.load_failures.with_label_values(&[model, version, reason]).inc();
    }
}

/// The metrics of one version; its role may change while it runs.
#[derive(Clone, Debug)]
pub(crate) struct VersionMetrics {
    pub(crate) families: Arc<Metrics>,
    pub(crate) model: Arc<str>,
    pub(crate) version: Arc<str>,
    pub(crate) status: Arc<Status>,
    /// What a busy session costs.
    pub(crate) price: Option<Price>,
}

/// A session that runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begun {
    at: Instant,
    on_card: Option<card::Begun>,
}

impl VersionMetrics {
    fn labels(&self) -> [&str; 3] {
        [&self.model, &self.version, self.status.role().as_str()]
    }

    pub(crate) fn stage(&self, stage: &str, seconds: f64) {
        let [model, version, role] = self.labels();
        self.families.stage.with_label_values(&[model, version, role, stage]).observe(seconds);
    }

    pub(crate) fn waiting(&self, load: Load) {
        let labels = self.labels();
        self.families.queue_items.with_label_values(&labels).set(load.items as i64);
        self.families.queue_tokens.with_label_values(&labels).set(load.tokens as i64);
    }

    pub(crate) fn batch(&self, items: usize, padding: f64) {
        let labels = self.labels();
        self.families.batch_items.with_label_values(&labels).observe(items as f64);
        self.families.batch_padding.with_label_values(&labels).observe(padding);
    }

    /// A session begins to run something.
    pub(crate) fn begins(&self) -> Begun {
        let now = Instant::now();
        Begun { at: now, on_card: self.card().map(|card| card.begin(now)) }
    }

    /// It is done; how long it took. On a card that others used meanwhile it pays for its share.
    pub(crate) fn busy(&self, begun: Begun) -> Duration {
        let [model, version, role] = self.labels();
        let (now, Begun { at, on_card }) = (Instant::now(), begun);
        let took = now.saturating_duration_since(at);
        self.families.busy.with_label_values(&[model, version, role]).inc_by(took.as_secs_f64());
        if let Some(Price { device, per_second, card }) = &self.price {
            let share = card.as_ref().zip(on_card).map_or(took, |(card, begun)| card.end(begun, now));
            let cost = share.as_secs_f64() * per_second;
            self.families.cost.with_label_values(&[model, version, role, device]).inc_by(cost);
        }
        took
    }

    fn card(&self) -> Option<&Card> {
        self.price.as_ref().and_then(|price| price.card.as_deref())
    }

    /// A session was made anew, or could not be.
    pub(crate) fn restarted(&self, outcome: &str) {
        self.families.restarts.with_label_values(&[&self.model, &self.version, outcome]).inc();
    }

    pub(crate) fn breaker(&self, now: BreakerState) {
        for state in BreakerState::ALL {
            let labels = [&*self.model, &*self.version, state.as_str()];
            self.families.breaker_state.with_label_values(&labels).set(i64::from(state == now));
        }
    }

    pub(crate) fn breaker_failure(&self, reason: &str) {
        self.families.breaker_failures.with_label_values(&[&*self.model, &*self.version, reason]).inc();
    }

    pub(crate) fn truncated(&self, texts: usize) {
        self.families.truncated.with_label_values(&[&self.model, &self.version]).inc_by(texts as u64);
    }

    /// Counts values that break the schema; 0 makes the series.
    pub(crate) fn violations(&self, column: &str, breach: Breach, values: u64) {
        let labels = [&self.model, &self.version, column, breach.as_str()];
        self.families.violations.with_label_values(&labels).inc_by(values);
    }

    pub(crate) fn tokenize_error(&self) {
        self.families.tokenize_errors.with_label_values(&[&self.model, &self.version]).inc();
    }
}
