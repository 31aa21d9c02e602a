//! How loud each alert beside error budgets is and whose business: the severity table, as data.
//!
//! A page is for what users feel now: a process that is away, a model that nobody serves, errors that stay, memory that
//! is gone. A model's quality pages nobody: it is not repaired at night. It pages where the SLO file says so, by an
//! objective or by `page_on_drift`. A shadow never pages.

use crate::alert::{Alert, Domain, Severity};
use Domain::{Model, Platform};
use Severity::{Info, Page, Ticket};

/// Every alert of the service.
pub const TABLE: &[(&str, Severity, Domain)] = &[
    ("DriftlineInstanceDown", Page, Platform),
    ("DriftlineModelUnavailable", Page, Platform),
    ("DriftlineSustainedErrors", Page, Platform),
    ("DriftlineOutOfMemory", Page, Platform),
    ("DriftlineQueueRejections", Ticket, Platform),
    ("DriftlineBreakerOpen", Ticket, Platform),
    ("DriftlineDeploymentErrors", Ticket, Model),
    ("DriftlineAuthFailures", Ticket, Platform),
    ("DriftlineInstancesDiffer", Ticket, Platform),
    ("DriftlineFeatureDrift", Ticket, Model),
    ("DriftlineConfidenceCollapse", Ticket, Model),
    ("DriftlineConceptDrift", Ticket, Model),
    ("DriftlineQualityDrop", Ticket, Model),
    ("DriftlineCalibrationOff", Ticket, Model),
    ("DriftlineSchemaViolations", Ticket, Model),
    ("DriftlineUnseenCategories", Ticket, Model),
    ("DriftlineModelLoadFailed", Ticket, Model),
    ("DriftlineConversionCheckFailed", Ticket, Model),
    ("DriftlineTokenizerMismatch", Ticket, Model),
    ("DriftlineShadowVerdictReady", Info, Model),
    ("DriftlineCostSpike", Ticket, Platform),
    ("DriftlineGpuMemory", Ticket, Platform),
    ("DriftlineSlowColdStart", Info, Platform),
    ("DriftlineMemoryGrowth", Info, Platform),
    ("DriftlineTokenizerBottleneck", Info, Platform),
    ("DriftlineMirrorLoss", Ticket, Platform),
    ("DriftlineSequenceGap", Ticket, Platform),
    ("DriftlineSecondPassMaskingHit", Ticket, Platform),
    ("DriftlineNamesUnavailable", Ticket, Platform),
    ("DriftlineCollectorBacklog", Ticket, Platform),
    ("DriftlineCollectorLogFull", Ticket, Platform),
    ("DriftlineClickHouseInsertsFailing", Ticket, Platform),
    ("DriftlineObservationsQuarantined", Ticket, Platform),
    ("DriftlineQuarantineFull", Ticket, Platform),
    ("DriftlineAnalyzerStale", Ticket, Platform),
    ("DriftlineVerdictsUnheard", Ticket, Platform),
    ("DriftlineModelUnjudged", Ticket, Platform),
    ("DriftlineWatermarkBehind", Ticket, Platform),
    ("DriftlineWindowsSkipped", Ticket, Platform),
];

/// An alert as loud as the table says.
///
/// # Panics
/// Where the table does not know it: every test of the rules would.
pub fn listed(name: &'static str, expr: String) -> Alert {
    let row = TABLE.iter().find(|(listed, ..)| *listed == name);
    let (_, severity, domain) = row.expect("every alert of the service has a row in its table");
    Alert::new(name, *severity, *domain, expr)
}
