//! Verdicts as metrics. Series that are no longer shown are removed: a feature that left must not stand at its last value.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use contract::{
    api::{
        ConceptKind, DriftState, FeatureVerdict, Segments, ShadowStatus, ShadowVerdict,
        quality::{Classification, Estimate, Figure},
        shadow::GuardrailState,
    },
    metrics::{Metric, analyzer as names},
    slo::Slo,
};
use host::metrics::Registry;
use prometheus::{GaugeVec, HistogramVec, IntCounterVec};
use store::read::EventCounts;

use crate::{
    cycle::{Snapshot, known::Labelled},
    rollout::Counters,
};

/// The analyzer's metrics.
pub struct Metrics {
    families: HashMap<&'static str, Family>,
    windows: IntCounterVec,
    skipped: IntCounterVec,
    unjudged: GaugeVec,
    sli_events: IntCounterVec,
    sli_bad_events: IntCounterVec,
    quality: HashMap<&'static str, Family>,
    cycle_seconds: HistogramVec,
    failures: IntCounterVec,
    last_cycle: GaugeVec,
    rollout: Counters,
    lag_allowed: GaugeVec,
}

/// A gauge and the label values it showed last.
struct Family {
    gauge: GaugeVec,
    shown: HashSet<Vec<String>>,
}

/// Gauges that are set from a snapshot.
const FROM_SNAPSHOT: [&Metric; 29] = [
    &names::DRIFT_KS_LOWER,
    &names::DRIFT_KS_UPPER,
    &names::DRIFT_P_VALUE,
    &names::DRIFT_Q_VALUE,
    &names::DRIFT_PSI,
    &names::DRIFT_EVIDENCE,
    &names::DRIFT_EVIDENCE_NEEDED,
    &names::DRIFT_VALUE_WORTH,
    &names::DRIFT_STATE,
    &names::DRIFT_WINDOW,
    &names::DRIFT_VISIBLE,
    &names::SEGMENT_TESTED,
    &names::SEGMENT_DRIFTED,
    &names::SEGMENT_EVIDENCE,
    &names::SEGMENT_UNTESTED,
    &names::CONCEPT_STATE,
    &names::CONFIDENCE,
    &names::LOW_CONFIDENCE,
    &names::SLO_BUDGET,
    &names::SLO_BURN,
    &names::SHADOW_PAIRS,
    &names::SHADOW_PAIRS_NEEDED,
    &names::SHADOW_AGREEMENT,
    &names::SHADOW_AGREEMENT_LOWER,
    &names::SHADOW_AGREEMENT_UPPER,
    &names::SHADOW_VERDICT,
    &names::SHADOW_GUARDRAIL,
    &names::WATERMARK_LAG,
    &names::JUDGED_UNTIL,
];

/// Gauges that are set from labels.
const FROM_LABELS: [&Metric; 14] = [
    &names::QUALITY_LABELLED,
    &names::QUALITY_CORRECT,
    &names::QUALITY_CONFIDENCE,
    &names::QUALITY_COVERAGE,
    &names::QUALITY_F1,
    &names::QUALITY_BRIER,
    &names::QUALITY_LOG_LOSS,
    &names::QUALITY_CALIBRATION,
    &names::QUALITY_AUROC,
    &names::QUALITY_EXPECTED,
    &names::QUALITY_EXPECTED_F1,
    &names::QUALITY_EXPECTED_AUROC,
    &names::QUALITY_MAE,
    &names::QUALITY_RMSE,
];

/// Values of one snapshot by metric name.
#[derive(Default)]
struct Values(HashMap<&'static str, Vec<(Vec<String>, f64)>>);

impl Values {
    /// A missing value sets no series.
    fn put<const N: usize>(&mut self, metric: &Metric, labels: [&str; N], value: impl Into<Option<f64>>) {
        if let Some(value) = value.into() {
            let labels = labels.map(str::to_owned).to_vec();
            self.0.entry(metric.name).or_default().push((labels, value));
        }
    }

    fn drift(&mut self, verdict: &FeatureVerdict) {
        let labels = [verdict.model.as_str(), verdict.version.as_str(), verdict.feature.as_str()];
        self.put(&names::DRIFT_KS_LOWER, labels, verdict.ks_lower);
        self.put(&names::DRIFT_KS_UPPER, labels, verdict.ks_upper);
        self.put(&names::DRIFT_P_VALUE, labels, verdict.p_value);
        self.put(&names::DRIFT_Q_VALUE, labels, verdict.q_value);
        self.put(&names::DRIFT_PSI, labels, verdict.psi);
        self.put(&names::DRIFT_EVIDENCE, labels, verdict.evidence);
        self.put(&names::DRIFT_VALUE_WORTH, labels, verdict.worth);
        self.put(&names::DRIFT_WINDOW, labels, verdict.n as f64);
        self.put(&names::DRIFT_VISIBLE, labels, verdict.visible);
        for state in DriftState::ALL {
            let labels = [labels[0], labels[1], labels[2], state.as_str()];
            self.put(&names::DRIFT_STATE, labels, f64::from(u8::from(state == verdict.state)));
        }
    }

    /// By segment and never by value: a value may be a user's.
    fn segments(&mut self, model: &str, segments: &Segments) {
        self.put(&names::SEGMENT_UNTESTED, [model], segments.untested as f64);
        for name in segments.named.iter().filter(|name| !segments.waiting.contains(name)) {
            let of = || segments.verdicts.iter().filter(|verdict| verdict.segment == *name);
            let drifted = of().filter(|verdict| verdict.state == DriftState::Drifted).count();
            let labels = [model, name.as_str()];
            self.put(&names::SEGMENT_TESTED, labels, of().count() as f64);
            self.put(&names::SEGMENT_DRIFTED, labels, drifted as f64);
            self.put(&names::SEGMENT_EVIDENCE, labels, of().filter_map(|verdict| verdict.evidence).reduce(f64::max));
        }
    }

    fn labelled(&mut self, Labelled { model, window, arrived, given }: &Labelled) {
        let labels = [model.as_str(), window];
        if arrived.labelled > 0 {
            self.put(&names::QUALITY_LABELLED, labels, arrived.labelled as f64);
            self.put(&names::QUALITY_CORRECT, labels, arrived.correct as f64);
            self.put(&names::QUALITY_CONFIDENCE, labels, Some(arrived.confidence).filter(|c| c.is_finite()));
        }
        if given.labelled == 0 {
            return;
        }
        let classes = given.classes.as_ref();
        let of_classes = |figure: fn(&Classification) -> Option<Figure>| classes.and_then(figure).map(|one| one.value);
        self.put(&names::QUALITY_COVERAGE, labels, given.coverage);
        self.put(&names::QUALITY_F1, labels, classes.and_then(|one| one.macro_f1));
        self.put(&names::QUALITY_BRIER, labels, of_classes(|one| one.brier));
        self.put(&names::QUALITY_LOG_LOSS, labels, of_classes(|one| one.log_loss));
        self.put(&names::QUALITY_CALIBRATION, labels, classes.and_then(|one| one.calibration_error));
        self.put(&names::QUALITY_AUROC, labels, of_classes(|one| one.auroc));
        let expected = given.estimate.as_ref();
        let of_expected = |figure: fn(&Estimate) -> Option<Figure>| expected.and_then(figure).map(|one| one.value);
        self.put(&names::QUALITY_EXPECTED, labels, of_expected(|one| Some(one.accuracy)));
        self.put(&names::QUALITY_EXPECTED_F1, labels, of_expected(|one| one.macro_f1));
        self.put(&names::QUALITY_EXPECTED_AUROC, labels, of_expected(|one| one.auroc));
        self.put(&names::QUALITY_MAE, labels, given.numbers.as_ref().map(|one| one.mae.value));
        self.put(&names::QUALITY_RMSE, labels, given.numbers.as_ref().map(|one| one.rmse.value));
    }

    fn shadow(&mut self, shadow: &ShadowStatus) {
        let labels = [shadow.model.as_str(), shadow.shadow.as_str()];
        self.put(&names::SHADOW_PAIRS, labels, shadow.pairs as f64);
        self.put(&names::SHADOW_PAIRS_NEEDED, labels, shadow.pairs_needed.map(|pairs| pairs as f64));
        self.put(&names::SHADOW_AGREEMENT, labels, shadow.agreement);
        self.put(&names::SHADOW_AGREEMENT_LOWER, labels, shadow.sequence.map(|interval| interval.lower));
        self.put(&names::SHADOW_AGREEMENT_UPPER, labels, shadow.sequence.map(|interval| interval.upper));
        for (rail, state) in shadow.guardrails.iter().flat_map(|rail| GuardrailState::ALL.map(|state| (rail, state))) {
            let labels = [labels[0], labels[1], rail.name.as_str(), state.as_str()];
            self.put(&names::SHADOW_GUARDRAIL, labels, f64::from(u8::from(state == rail.state)));
        }
        for verdict in ShadowVerdict::ALL {
            let labels = [labels[0], labels[1], verdict.as_str()];
            self.put(&names::SHADOW_VERDICT, labels, f64::from(u8::from(verdict == shadow.verdict)));
        }
    }
}

impl Metrics {
    /// Registers them.
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        let family = |metric: &Metric| Family { gauge: registry.gauge(metric), shown: HashSet::new() };
        Self {
            families: FROM_SNAPSHOT.into_iter().map(|metric| (metric.name, family(metric))).collect(),
            windows: registry.counter(&names::WINDOWS),
            skipped: registry.counter(&names::WINDOWS_SKIPPED),
            unjudged: registry.gauge(&names::UNJUDGED),
            sli_events: registry.counter(&names::SLI_EVENTS),
            sli_bad_events: registry.counter(&names::SLI_BAD_EVENTS),
            quality: FROM_LABELS.into_iter().map(|metric| (metric.name, family(metric))).collect(),
            cycle_seconds: registry.histogram(&names::CYCLE_SECONDS),
            failures: registry.counter(&names::CYCLE_FAILURES),
            last_cycle: registry.gauge(&names::LAST_CYCLE),
            rollout: Counters {
                told: registry.counter(&names::VERDICTS_TOLD),
                untold: registry.gauge(&names::VERDICTS_UNTOLD),
            },
            lag_allowed: registry.gauge(&names::WATERMARK_LAG_ALLOWED),
        }
    }

    /// Shows a snapshot.
    pub fn publish(&mut self, snapshot: &Snapshot) {
        let (overview, low_shares) = (&snapshot.overview, &snapshot.low_shares);
        let mut values = Values::default();
        snapshot.segments.iter().for_each(|(model, segments)| values.segments(model, segments));
        for model in &overview.models {
            model.features.iter().for_each(|verdict| values.drift(verdict));
            model.shadows.iter().for_each(|shadow| values.shadow(shadow));
            for (concept, kind) in model.concept.iter().flat_map(|one| ConceptKind::ALL.map(|kind| (one, kind))) {
                let holds = f64::from(u8::from(concept.kind == kind));
                values.put(&names::CONCEPT_STATE, [model.model.as_str(), kind.as_str()], holds);
            }
            let labels = [model.model.as_str(), model.version.as_str()];
            let needed = model.features.first().and_then(|verdict| verdict.evidence_needed);
            values.put(&names::DRIFT_EVIDENCE_NEEDED, labels, needed);
            values.put(&names::CONFIDENCE, labels, model.confidence_mean);
            values.put(&names::LOW_CONFIDENCE, labels, low_shares.get(&model.model).copied());
        }
        for slo in &overview.slos {
            values.put(&names::SLO_BUDGET, [slo.slo.as_str()], slo.budget_remaining);
            for burn in &slo.burn {
                values.put(&names::SLO_BURN, [slo.slo.as_str(), burn.window.as_str()], burn.rate);
            }
        }
        let lag = overview.watermark_ms.map(|watermark| (overview.at_ms - watermark) as f64 / 1e3);
        values.put(&names::WATERMARK_LAG, [], lag);
        for (model, until_ms) in &snapshot.judged_until_ms {
            values.put(&names::JUDGED_UNTIL, [model.as_str()], *until_ms as f64 / 1e3);
        }
        for (name, family) in &mut self.families {
            family.replace(values.0.remove(name).unwrap_or_default());
        }
    }

    /// Says how far the watermark may be behind the clock, for the rule that compares them.
    pub fn allow_lag(&self, lag_ms: i64) {
        let none: &[&str] = &[];
        self.lag_allowed.with_label_values(none).set(lag_ms as f64 / 1e3);
    }

    /// Counts events of an objective; zeros make the series, so that a first bad event is a step that `increase()` sees.
    pub fn sli(&self, slo: &Slo, counts: EventCounts) {
        let labels = [slo.name.as_str(), slo.model.as_str()];
        self.sli_events.with_label_values(&labels).inc_by(counts.total);
        self.sli_bad_events.with_label_values(&labels).inc_by(counts.bad);
    }

    /// Shows what labels say by model and window.
    pub fn quality<'a>(&mut self, known: impl Iterator<Item = &'a Labelled>) {
        let mut values = Values::default();
        known.for_each(|one| values.labelled(one));
        for (name, family) in &mut self.quality {
            family.replace(values.0.remove(name).unwrap_or_default());
        }
    }

    /// Counts a judged window; `unjudged` features were seen and have no reference.
    pub fn judged(&self, model: &str, version: &str, unjudged: usize) {
        self.windows.with_label_values(&[model, version]).inc();
        self.unjudged.with_label_values(&[model]).set(unjudged as f64);
    }

    /// Counts windows given up.
    pub fn skipped(&self, model: &str, windows: u64) {
        self.skipped.with_label_values(&[model]).inc_by(windows);
    }

    /// Counts a failure.
    pub fn failed(&self, reason: &str) {
        self.failures.with_label_values(&[reason]).inc();
    }

    /// The counter of failures, for the loop around the cycles.
    #[must_use]
    pub fn failures(&self) -> IntCounterVec {
        self.failures.clone()
    }

    /// The counters of verdicts that proxies are told.
    #[must_use]
    pub fn rollout(&self) -> Counters {
        self.rollout.clone()
    }

    /// Notes a finished cycle.
    pub fn cycle_done(&self, took: Duration, now_ms: i64) {
        let none: &[&str] = &[];
        self.cycle_seconds.with_label_values(none).observe(took.as_secs_f64());
        self.last_cycle.with_label_values(none).set(now_ms as f64 / 1e3);
    }
}

impl Family {
    fn replace(&mut self, values: Vec<(Vec<String>, f64)>) {
        let mut shown = HashSet::with_capacity(values.len());
        for (labels, value) in values {
            self.gauge.with_label_values(&labels).set(value);
            shown.insert(labels);
        }
        for gone in self.shown.difference(&shown) {
            // It was set by the last snapshot, so it is there to be removed.
            let _ = self.gauge.remove_label_values(gone);
        }
        self.shown = shown;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_longer_shown_is_removed() {
        let registry = Registry::new();
        let mut family = Family { gauge: registry.gauge(&names::SLO_BUDGET), shown: HashSet::new() };
        family.replace(vec![(vec!["a".into()], 0.5), (vec!["b".into()], 0.25)]);
        family.replace(vec![(vec!["b".into()], 0.75)]);
        let text = registry.render();
        assert!(text.contains("{slo=\"b\"} 0.75") && !text.contains("slo=\"a\""), "{text}");
    }

    #[test]
    fn every_metric_of_the_analyzer_is_registered() {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry);
        let registered = metrics.families.len() + metrics.quality.len() + 11;
        assert_eq!(registered, names::ALL.len());
    }
}
