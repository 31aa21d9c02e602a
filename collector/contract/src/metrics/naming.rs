//! Metrics of whoever asks the model that finds names: the proxy's mirror, and the collector for other sources.

use super::{LATENCY_BUCKETS, Metric};

/// Time of an inquiry that was answered.
pub const NAMES_SECONDS: Metric = Metric::histogram(
    "driftline_masking_names_seconds",
    "Time in which the model that finds names answered for the texts of an observation or post.",
    &[],
    LATENCY_BUCKETS,
);
/// Inquiries without an answer.
pub const NAMES_FAILURES: Metric = Metric::counter(
    "driftline_masking_names_failures_total",
    "Observations or posts whose texts were withheld because the model that finds names did not answer, by reason: overloaded, \
     unavailable, timeout, failed.",
    &["reason"],
);

/// Reason of [`NAMES_FAILURES`]: too many wait for it, here or at the model.
pub const OVERLOADED: &str = "overloaded";
/// Reason of [`NAMES_FAILURES`]: the model is not served, or does not find names.
pub const UNAVAILABLE: &str = "unavailable";
/// Reason of [`NAMES_FAILURES`]: it did not answer in time.
pub const TIMEOUT: &str = "timeout";
/// Reason of [`NAMES_FAILURES`]: it answered with an error, or what is no answer.
pub const FAILED: &str = "failed";
/// All reasons of [`NAMES_FAILURES`].
pub const REASONS: [&str; 4] = [OVERLOADED, UNAVAILABLE, TIMEOUT, FAILED];

/// All metrics of this subsystem.
pub const ALL: &[Metric] = &[NAMES_SECONDS, NAMES_FAILURES];
