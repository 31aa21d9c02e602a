//! One feature's judgement: as the API gives it, as a row, and in order.

use contract::api::FeatureVerdict;
use serde::{Deserialize, Serialize};
use store::read::{VerdictRow, Window};

use crate::judge::{
    gate::{self, Finding, Track},
    sequential::Detector,
    watch::Watched,
};

/// A verdict with what the next one needs, as JSON in the `evidence` column.
#[derive(Serialize, Deserialize)]
pub(super) struct Evidence {
    #[serde(flatten)]
    pub(super) verdict: FeatureVerdict,
    pub(super) quiet_windows: u32,
}

/// One feature's judgement before it is written down.
pub(super) struct Judged {
    pub(super) verdict: FeatureVerdict,
    pub(super) before: Track,
    pub(super) track: Track,
    pub(super) cells: Vec<u64>,
    pub(super) detector: Detector,
}

pub(super) fn verdict(
    (model, version, feature): (&str, &str, &str),
    span: Window,
    (finding, watched, track): (&Finding, &Watched, Track),
    policy: &gate::Policy,
    fingerprint: &str,
    sentence: String,
) -> FeatureVerdict {
    FeatureVerdict {
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

/// A natural logarithm as people read evidence; nothing yet is nothing.
pub(super) fn power_of_ten(log: f64) -> Option<f64> {
    log.is_finite().then_some(log / std::f64::consts::LN_10)
}

pub(super) fn row(judged: &Judged, now_ms: i64, cut_ms: i64) -> VerdictRow {
    let verdict = judged.verdict.clone();
    let evidence = Evidence { verdict: verdict.clone(), quiet_windows: judged.track.quiet_windows };
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
