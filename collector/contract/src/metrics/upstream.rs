//! Metrics of models that other servers run behind the proxy.

use super::{LATENCY_BUCKETS, Metric};

/// Whether the other server says that the model is ready.
pub const UP: Metric = Metric::gauge(
    "driftline_proxy_upstream_up",
    "1 while the server behind this version says that the model is ready, else 0.",
    &["model", "version"],
);
/// What the other server took.
pub const SECONDS: Metric = Metric::histogram(
    "driftline_proxy_upstream_seconds",
    "Time at the server behind a version, from the first byte sent to the last byte received, by outcome: answered, or what went wrong.",
    &["model", "version", "outcome"],
    LATENCY_BUCKETS,
);

/// All metrics of this subsystem.
pub const ALL: &[Metric] = &[UP, SECONDS];
