//! Metrics of the analyzer.

use super::{LATENCY_BUCKETS, Metric};

/// Certified lower bound of the KS distance.
pub const DRIFT_KS_LOWER: Metric = Metric::gauge(
    "driftline_drift_ks_lower_ratio",
    "Largest difference of the two cumulative distributions over the reference's bins: a lower bound of the exact KS distance.",
    &["model", "version", "feature"],
);
/// Certified upper bound of the KS distance.
pub const DRIFT_KS_UPPER: Metric = Metric::gauge(
    "driftline_drift_ks_upper_ratio",
    "Upper bound of the exact KS distance of the last window to the reference.",
    &["model", "version", "feature"],
);
/// KS p-value.
pub const DRIFT_P_VALUE: Metric = Metric::gauge(
    "driftline_drift_ks_p_value",
    "Classical p-value of the last window's KS distance; not corrected for the number of looks.",
    &["model", "version", "feature"],
);
/// Benjamini-Hochberg adjusted p-value.
pub const DRIFT_Q_VALUE: Metric = Metric::gauge(
    "driftline_drift_bh_q_value",
    "The p-value adjusted over the model's features by Benjamini and Hochberg.",
    &["model", "version", "feature"],
);
/// Population stability index.
pub const DRIFT_PSI: Metric = Metric::gauge(
    "driftline_drift_psi_nats",
    "Population stability index over merged bins.",
    &["model", "version", "feature"],
);
/// Evidence of drift.
pub const DRIFT_EVIDENCE: Metric = Metric::gauge(
    "driftline_drift_evidence_log10",
    "Evidence, over all windows since the last alarm, that the feature moved by more than the ignored shift, as a power of ten.",
    &["model", "version", "feature"],
);
/// Evidence at which a model alarms.
pub const DRIFT_EVIDENCE_NEEDED: Metric = Metric::gauge(
    "driftline_drift_evidence_needed_log10",
    "Evidence, as a power of ten, that the mean over a model's features has to reach for an alarm.",
    &["model", "version"],
);
/// How independent the values are.
pub const DRIFT_VALUE_WORTH: Metric = Metric::gauge(
    "driftline_drift_value_worth_ratio",
    "Independent values that one value of the feature was worth, as measured over windows; the evidence assumes about 1.",
    &["model", "version", "feature"],
);
/// State of the drift verdict.
pub const DRIFT_STATE: Metric = Metric::gauge(
    "driftline_drift_state",
    "1 for the state of the feature's drift verdict (insufficient, stable, watch, drifted, resolved), 0 for the others.",
    &["model", "version", "feature", "state"],
);
/// Observations in the last window.
pub const DRIFT_WINDOW: Metric = Metric::gauge(
    "driftline_drift_window_observations",
    "Values of the feature in the last judged window.",
    &["model", "version", "feature"],
);
/// Visible drift.
pub const DRIFT_VISIBLE: Metric = Metric::gauge(
    "driftline_drift_smallest_visible_ratio",
    "Smallest CDF shift that this reference can show, 2 eps_m + Delta.",
    &["model", "version", "feature"],
);
/// Segments: pairs tested.
pub const SEGMENT_TESTED: Metric = Metric::gauge(
    "driftline_segment_tested_pairs",
    "Pairs of a feature and a value of the segment that were tested in the last window.",
    &["model", "segment"],
);
/// Segments: pairs that drifted.
pub const SEGMENT_DRIFTED: Metric = Metric::gauge(
    "driftline_segment_drifted_pairs",
    "Pairs of a feature and a value of the segment whose verdict is drifted; which ones is in the API and on the page.",
    &["model", "segment"],
);
/// Segments: the largest evidence.
pub const SEGMENT_EVIDENCE: Metric = Metric::gauge(
    "driftline_segment_evidence_log10",
    "Largest evidence, over the segment's values and all features, of more than the ignored shift, as a power of ten.",
    &["model", "segment"],
);
/// Segments: pairs beyond the bound.
pub const SEGMENT_UNTESTED: Metric = Metric::gauge(
    "driftline_segment_untested_pairs",
    "Pairs of a feature and a value of a segment that analyzer.segments.max_tests leaves out.",
    &["model"],
);
/// Confidence quantiles of the last window.
pub const CONFIDENCE: Metric =
    Metric::gauge("driftline_confidence_mean_ratio", "Mean confidence of the last window.", &["model", "version"]);
/// Share of low-confidence answers.
pub const LOW_CONFIDENCE: Metric = Metric::gauge(
    "driftline_confidence_low_share_ratio",
    "Share of the last window's answers whose confidence is below the configured floor.",
    &["model", "version"],
);
/// SLO: remaining budget.
pub const SLO_BUDGET: Metric = Metric::gauge(
    "driftline_slo_budget_remaining_ratio",
    "Share of the SLO period's error budget that is left; negative when overspent.",
    &["slo"],
);
/// SLO: burn rate a window.
pub const SLO_BURN: Metric =
    Metric::gauge("driftline_slo_burn_rate", "Error budget burn rate over a window.", &["slo", "window"]);
/// Events of SLOs that the analyzer counts.
pub const SLI_EVENTS: Metric = Metric::counter(
    "driftline_analyzer_sli_events_total",
    "Events that count for an SLO about what is known after a request: schema, confidence, drift, shadows, labels.",
    &["slo", "model"],
);
/// Those that spent error budget.
pub const SLI_BAD_EVENTS: Metric = Metric::counter(
    "driftline_analyzer_sli_bad_events_total",
    "Events that spent the error budget of an SLO that the analyzer counts.",
    &["slo", "model"],
);
/// Labelled answers.
pub const QUALITY_LABELLED: Metric = Metric::gauge(
    "driftline_quality_labelled_answers",
    "Answers that were labelled within a window; a label counts when it arrives.",
    &["model", "window"],
);
/// Those that were right.
pub const QUALITY_CORRECT: Metric = Metric::gauge(
    "driftline_quality_correct_answers",
    "Answers that were labelled within a window and were what the label says.",
    &["model", "window"],
);
/// How sure the model was of them.
pub const QUALITY_CONFIDENCE: Metric = Metric::gauge(
    "driftline_quality_labelled_confidence_ratio",
    "Mean confidence of the answers that were labelled within a window.",
    &["model", "window"],
);
/// How much is known.
pub const QUALITY_COVERAGE: Metric = Metric::gauge(
    "driftline_quality_label_coverage_ratio",
    "Share of the answers given within a window that have a label.",
    &["model", "window"],
);
/// Precision and recall over classes.
pub const QUALITY_F1: Metric = Metric::gauge(
    "driftline_quality_macro_f1_ratio",
    "Mean over the labelled classes of F1, of the answers given within a window.",
    &["model", "window"],
);
/// Brier score.
pub const QUALITY_BRIER: Metric = Metric::gauge(
    "driftline_quality_brier_ratio",
    "Mean of the squared gap between the winning class's confidence and whether it was right, of the answers given within a window.",
    &["model", "window"],
);
/// Log loss.
pub const QUALITY_LOG_LOSS: Metric = Metric::gauge(
    "driftline_quality_log_loss_nats",
    "Mean logarithmic loss of the winning class's confidence, of the answers given within a window.",
    &["model", "window"],
);
/// Calibration.
pub const QUALITY_CALIBRATION: Metric = Metric::gauge(
    "driftline_quality_calibration_error_ratio",
    "Mean gap of confidence and accuracy over ten bins, of the answers given within a window.",
    &["model", "window"],
);
/// Ranking.
pub const QUALITY_AUROC: Metric = Metric::gauge(
    "driftline_quality_auroc_ratio",
    "Chance that a positive scores above a negative (more than two classes: a right answer above a wrong one), within a window.",
    &["model", "window"],
);
/// What is expected without labels.
pub const QUALITY_EXPECTED: Metric = Metric::gauge(
    "driftline_quality_expected_accuracy_ratio",
    "Accuracy expected of all answers given within a window, labelled or not, from confidence calibrated by labels.",
    &["model", "window"],
);
/// The same of F1.
pub const QUALITY_EXPECTED_F1: Metric = Metric::gauge(
    "driftline_quality_expected_macro_f1_ratio",
    "Mean F1 expected of all answers given within a window, of models with two classes, from calibrated confidence.",
    &["model", "window"],
);
/// The same of ranking.
pub const QUALITY_EXPECTED_AUROC: Metric = Metric::gauge(
    "driftline_quality_expected_auroc_ratio",
    "AUROC expected of all answers given within a window, from calibrated confidence.",
    &["model", "window"],
);
/// Errors of numbers.
pub const QUALITY_MAE: Metric = Metric::gauge(
    "driftline_quality_absolute_error_mean",
    "Mean absolute error of numbers answered within a window, in their own unit.",
    &["model", "window"],
);
/// Errors of numbers, large ones weighing more.
pub const QUALITY_RMSE: Metric = Metric::gauge(
    "driftline_quality_squared_error_root",
    "Root of the mean squared error of numbers answered within a window, in their own unit.",
    &["model", "window"],
);
/// What changed of errors and inputs.
pub const CONCEPT_STATE: Metric = Metric::gauge(
    "driftline_concept_state",
    "1 for what changed (insufficient, stable, input, mix, concept, both, errors), by labels that arrived and inputs that moved, 0 for the others.",
    &["model", "state"],
);
/// Windows of the quality metrics: name and length in seconds. The long one is what the short one is held against.
pub const QUALITY_WINDOWS: [(&str, i64); 2] = [("1d", 86_400), ("30d", 30 * 86_400)];
/// Shadow: pairs.
pub const SHADOW_PAIRS: Metric = Metric::gauge(
    "driftline_shadow_pairs",
    "Answer pairs of primary and shadow compared so far.",
    &["model", "version"],
);
/// Shadow: pairs to come.
pub const SHADOW_PAIRS_NEEDED: Metric = Metric::gauge(
    "driftline_shadow_pairs_needed",
    "Answer pairs still needed to prove every guardrail at the observed shares; absent where more alone will not.",
    &["model", "version"],
);
/// Shadow: agreement and its bounds.
pub const SHADOW_AGREEMENT: Metric = Metric::gauge(
    "driftline_shadow_agreement_ratio",
    "Share of pairs in which shadow and primary agree.",
    &["model", "version"],
);
/// Shadow: lower bound.
pub const SHADOW_AGREEMENT_LOWER: Metric = Metric::gauge(
    "driftline_shadow_agreement_lower_ratio",
    "Lower bound of the agreement, valid at every look.",
    &["model", "version"],
);
/// Shadow: upper bound.
pub const SHADOW_AGREEMENT_UPPER: Metric = Metric::gauge(
    "driftline_shadow_agreement_upper_ratio",
    "Upper bound of the agreement, valid at every look.",
    &["model", "version"],
);
/// Shadow: verdict.
pub const SHADOW_VERDICT: Metric = Metric::gauge(
    "driftline_shadow_verdict",
    "1 for the shadow's verdict (promote, hold, reject), 0 for the others.",
    &["model", "version", "state"],
);
/// Shadow: what is asked.
pub const SHADOW_GUARDRAIL: Metric = Metric::gauge(
    "driftline_shadow_guardrail",
    "1 for the state (proved, open, broken, unasked) of what is asked of a shadow (kind: agreement, failures, slowdown, slow_runs, confidence, accuracy, brier, classes), 0 for the others.",
    &["model", "version", "kind", "state"],
);
/// Verdicts told.
pub const VERDICTS_TOLD: Metric = Metric::counter(
    "driftline_analyzer_told_verdicts_total",
    "Shadows' verdicts told to proxies, by verdict and outcome (done, nothing, unknown, refused, failed).",
    &["model", "state", "outcome"],
);
/// Verdicts that nobody heard yet.
pub const VERDICTS_UNTOLD: Metric = Metric::gauge(
    "driftline_analyzer_untold_verdicts",
    "Shadows' verdicts that a proxy has not heard yet; they are told again.",
    &[],
);
/// Watermark lag.
pub const WATERMARK_LAG: Metric =
    Metric::gauge("driftline_analyzer_watermark_lag_seconds", "How far the watermark is behind the clock.", &[]);
/// What the configuration makes of it.
pub const WATERMARK_LAG_ALLOWED: Metric = Metric::gauge(
    "driftline_analyzer_watermark_lag_allowed_seconds",
    "How far the watermark may be behind the clock: analyzer.lateness and analyzer.source_silence together.",
    &[],
);
/// How far each model is judged.
pub const JUDGED_UNTIL: Metric = Metric::gauge(
    "driftline_analyzer_judged_until_timestamp_seconds",
    "Event time, as Unix time, up to which nothing of the model is left to be judged; it stands still where judging fails or falls behind.",
    &["model"],
);
/// Windows judged.
pub const WINDOWS: Metric =
    Metric::counter("driftline_analyzer_windows_total", "Windows closed and judged.", &["model", "version"]);
/// Windows given up.
pub const WINDOWS_SKIPPED: Metric = Metric::counter(
    "driftline_analyzer_skipped_windows_total",
    "Windows left out because the analyzer was away for longer than its backlog bound.",
    &["model"],
);
/// Features without a verdict.
pub const UNJUDGED: Metric = Metric::gauge(
    "driftline_analyzer_unjudged_features",
    "Features seen in the last window that have no reference and so no verdict.",
    &["model"],
);
/// Cycle duration.
pub const CYCLE_SECONDS: Metric = Metric::histogram(
    "driftline_analyzer_cycle_seconds",
    "Time of one analysis cycle over all models.",
    &[],
    LATENCY_BUCKETS,
);
/// Failed cycles.
pub const CYCLE_FAILURES: Metric =
    Metric::counter("driftline_analyzer_cycle_failures_total", "Analysis cycles that failed, by reason.", &["reason"]);
/// When the last cycle ended.
pub const LAST_CYCLE: Metric = Metric::gauge(
    "driftline_analyzer_last_cycle_timestamp_seconds",
    "Unix time at which the last analysis cycle succeeded.",
    &[],
);

/// All metrics of this subsystem.
pub const ALL: &[Metric] = &[
    DRIFT_KS_LOWER,
    DRIFT_KS_UPPER,
    DRIFT_P_VALUE,
    DRIFT_Q_VALUE,
    DRIFT_PSI,
    DRIFT_EVIDENCE,
    DRIFT_EVIDENCE_NEEDED,
    DRIFT_VALUE_WORTH,
    DRIFT_STATE,
    DRIFT_WINDOW,
    DRIFT_VISIBLE,
    SEGMENT_TESTED,
    SEGMENT_DRIFTED,
    SEGMENT_EVIDENCE,
    SEGMENT_UNTESTED,
    CONFIDENCE,
    LOW_CONFIDENCE,
    SLO_BUDGET,
    SLO_BURN,
    SLI_EVENTS,
    SLI_BAD_EVENTS,
    QUALITY_LABELLED,
    QUALITY_CORRECT,
    QUALITY_CONFIDENCE,
    QUALITY_COVERAGE,
    QUALITY_F1,
    QUALITY_BRIER,
    QUALITY_LOG_LOSS,
    QUALITY_CALIBRATION,
    QUALITY_AUROC,
    QUALITY_EXPECTED,
    QUALITY_EXPECTED_F1,
    QUALITY_EXPECTED_AUROC,
    QUALITY_MAE,
    QUALITY_RMSE,
    CONCEPT_STATE,
    SHADOW_PAIRS,
    SHADOW_PAIRS_NEEDED,
    SHADOW_AGREEMENT,
    SHADOW_AGREEMENT_LOWER,
    SHADOW_AGREEMENT_UPPER,
    SHADOW_VERDICT,
    SHADOW_GUARDRAIL,
    VERDICTS_TOLD,
    VERDICTS_UNTOLD,
    WATERMARK_LAG,
    WATERMARK_LAG_ALLOWED,
    JUDGED_UNTIL,
    WINDOWS,
    WINDOWS_SKIPPED,
    UNJUDGED,
    CYCLE_SECONDS,
    CYCLE_FAILURES,
    LAST_CYCLE,
];
