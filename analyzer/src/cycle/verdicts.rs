//! One feature's judgement: as the API gives it, as a row, and in order.

use contract::api::{FeatureVerdict, explain::verdict_id};
use serde::{Deserialize, Serialize};
use store::read::{VerdictRow, Window};

use super::judging::{Bench, Looked};
use crate::{
    baseline::Frozen,
    config::Hours,
    judge::{
        gate::{self, Finding, Track},
        sentence,
        sequential::Detector,
        unusual,
        watch::Watched,
    },
};

/// A verdict with what the next one needs, as JSON in the `evidence` column.
#[derive(Serialize, Deserialize)]
pub(super) struct Evidence {
    #[serde(flatten)]
    pub(super) verdict: FeatureVerdict,
    pub(super) quiet_windows: u32,
    /// Absent in rows of older programs.
    #[serde(default)]
    pub(super) basis: Option<Basis>,
}

/// What a verdict was computed from beside counts and reference, so that it can be computed again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Basis {
    /// What the user had decided.
    pub(super) policy: gate::Policy,
    /// The state before.
    pub(super) before: Track,
    /// Start of the window; the span judged may begin earlier.
    pub(super) start_ms: i64,
    /// Start of the oldest window that was at hand.
    pub(super) from_ms: i64,
    /// End of the window whose detectors were taken up; `None` where they started anew.
    pub(super) detectors_ms: Option<i64>,
    /// What the sentence says of segments and embeddings.
    pub(super) tail: String,
    /// Whether segments were judged beside it, with which it shares the chance of false discoveries.
    pub(super) beside: bool,
    /// Which hours of the reference it was held against.
    #[serde(default)]
    pub(super) hours: Hours,
}

impl Basis {
    /// Of a window on the bench.
    pub(super) fn of(bench: &Bench<'_>, before: Track, (tail, hours): (String, Hours), beside: bool) -> Self {
        let start_ms = bench.window.start_ms;
        let from_ms = bench.recent.first_ms().map_or(start_ms, |first| first.clamp(bench.from_ms, start_ms));
        let detectors_ms = bench.detectors.after_ms();
        Self { policy: *bench.policy, before, start_ms, from_ms, detectors_ms, tail, beside, hours }
    }
}

/// One feature's judgement before it is written down.
pub(super) struct Judged {
    pub(super) verdict: FeatureVerdict,
    pub(super) before: Track,
    pub(super) track: Track,
    pub(super) cells: Vec<u64>,
    pub(super) detector: Detector,
    pub(super) basis: Basis,
}

fn verdict(
    (model, version, feature): (&str, &str, &str),
    span: Window,
    (finding, watched, track): (&Finding, &Watched, Track),
    policy: &gate::Policy,
    fingerprint: &str,
    sentence: String,
) -> FeatureVerdict {
    FeatureVerdict {
        id: verdict_id(span.end_ms, model, feature),
        model: model.to_owned(),
        version: version.to_owned(),
        feature: feature.to_owned(),
        state: track.state,
        window_start_ms: span.start_ms,
        window_end_ms: span.end_ms,
        n: finding.n,
        needed: policy.n_min,
        m: finding.m,
        ks_lower: finding.lower,
        ks_upper: finding.upper,
        p_value: finding.p,
        q_value: finding.q,
        psi: finding.psi,
        evidence: power_of_ten(watched.evidence),
        evidence_needed: power_of_ten(policy.false_alarm_windows.ln()),
        discovery: watched.listed,
        autocorrelation: watched.dependence.map(|measured| measured.autocorrelation),
        worth: watched.dependence.map(|measured| measured.worth),
        delta: policy.delta_ignore,
        threshold: finding.threshold,
        visible: finding.visible,
        baseline: fingerprint.to_owned(),
        unusual: Vec::new(),
        causes: Vec::new(),
        sentence,
    }
}

/// The verdict on a feature from its own counts: what segments and embeddings add is not in it.
pub(super) fn plain(
    (model, version): (&str, &str),
    frozen: &Frozen,
    one: &Looked,
    bench: &Bench<'_>,
    fingerprint: &str,
) -> FeatureVerdict {
    let text = sentence::of_feature(&frozen.reference, &one.finding, &one.watched, one.track, bench.policy);
    let span = Window { start_ms: one.start_ms, end_ms: bench.window.end_ms };
    let (names, shown) = ((model, version, frozen.name.as_str()), (&one.finding, &one.watched, one.track));
    let mut verdict = verdict(names, span, shown, bench.policy, fingerprint, text);
    verdict.unusual = unusual::of(&frozen.reference, &one.cells);
    verdict.sentence.push_str(&unusual::sentence(&verdict.unusual));
    verdict
}

/// A natural logarithm as people read evidence; nothing yet is nothing.
pub(super) fn power_of_ten(log: f64) -> Option<f64> {
    log.is_finite().then_some(log / std::f64::consts::LN_10)
}

pub(super) fn row(judged: &Judged, now_ms: i64, cut_ms: i64) -> VerdictRow {
    let verdict = judged.verdict.clone();
    let quiet_windows = judged.track.quiet_windows;
    let evidence = Evidence { verdict: verdict.clone(), quiet_windows, basis: Some(judged.basis.clone()) };
    VerdictRow {
        model: verdict.model,
        version: verdict.version,
        feature: verdict.feature,
        window_start_ms: verdict.window_start_ms,
        window_end_ms: verdict.window_end_ms,
        cut_ms,
        judged_at_ms: now_ms,
        state: verdict.state.as_str().to_owned(),
        n: verdict.n,
        m: verdict.m,
        ks_lower: verdict.ks_lower,
        ks_upper: verdict.ks_upper,
        p_value: verdict.p_value,
        q_value: verdict.q_value,
        psi: verdict.psi,
        fingerprint: verdict.baseline,
        // Numbers, texts and options always serialise.
        evidence: serde_json::to_string(&evidence).unwrap_or_default(),
    }
}

/// Outputs first, then inputs, then texts; in each by state, then by how far above the threshold.
pub(super) fn sort(verdicts: &mut [FeatureVerdict]) {
    let evidence = |v: &FeatureVerdict| v.ks_lower.unwrap_or(0.0) - v.threshold.unwrap_or(1.0);
    verdicts.sort_by(|a, b| {
        let priority = |v: &FeatureVerdict| contract::feature::priority(&v.feature);
        priority(a)
            .cmp(&priority(b))
            .then_with(|| b.state.cmp(&a.state))
            .then_with(|| evidence(b).total_cmp(&evidence(a)))
            .then_with(|| a.feature.cmp(&b.feature))
    });
}
