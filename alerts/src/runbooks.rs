//! The runbooks, one an alert: part of the program, so that `runbook_url` can lead to a page that it serves itself.

/// What somebody reads who was woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Runbook {
    /// Name of the alert.
    pub alert: &'static str,
    /// Where it is served: `/runbooks/<alert>.md`.
    pub path: &'static str,
    /// Markdown.
    pub text: &'static str,
}

/// Media type to serve them with.
pub const CONTENT_TYPE: &str = "text/markdown; charset=utf-8";

macro_rules! runbooks {
    ($($alert:literal),* $(,)?) => {
        &[$(Runbook {
            alert: $alert,
            path: concat!("/runbooks/", $alert, ".md"),
            text: include_str!(concat!("../../docs/runbooks/", $alert, ".md")),
        }),*]
    };
}

/// All runbooks, by name.
pub const ALL: &[Runbook] = runbooks![
    "DriftlineAnalyzerStale",
    "DriftlineAuthFailures",
    "DriftlineBreakerOpen",
    "DriftlineCalibrationOff",
    "DriftlineClickHouseInsertsFailing",
    "DriftlineCollectorBacklog",
    "DriftlineCollectorLogFull",
    "DriftlineConceptDrift",
    "DriftlineConfidenceCollapse",
    "DriftlineConversionCheckFailed",
    "DriftlineCostSpike",
    "DriftlineDeploymentErrors",
    "DriftlineFeatureDrift",
    "DriftlineGpuMemory",
    "DriftlineInstanceDown",
    "DriftlineInstancesDiffer",
    "DriftlineMemoryGrowth",
    "DriftlineMirrorLoss",
    "DriftlineModelLoadFailed",
    "DriftlineModelUnavailable",
    "DriftlineModelUnjudged",
    "DriftlineNamesUnavailable",
    "DriftlineObservationsQuarantined",
    "DriftlineOutOfMemory",
    "DriftlineQualityDrop",
    "DriftlineQuarantineFull",
    "DriftlineQueueRejections",
    "DriftlineSchemaViolations",
    "DriftlineSecondPassMaskingHit",
    "DriftlineSequenceGap",
    "DriftlineShadowVerdictReady",
    "DriftlineSloBurnPage",
    "DriftlineSloBurnTicket",
    "DriftlineSloSeriesMissing",
    "DriftlineSlowColdStart",
    "DriftlineSustainedErrors",
    "DriftlineTokenizerBottleneck",
    "DriftlineTokenizerMismatch",
    "DriftlineUnseenCategories",
    "DriftlineVerdictsUnheard",
    "DriftlineWatermarkBehind",
    "DriftlineWindowsSkipped",
];
