//! Views that dashboards read in ClickHouse: names and columns. `store` migrates them, Grafana panels select from them.

/// A view and its columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// Name in the database.
    pub name: &'static str,
    /// Columns that a dashboard may use.
    pub columns: &'static [&'static str],
}

/// Requests a minute: counts by outcome and latency quantiles.
pub const TRAFFIC: View = View {
    name: "dash_traffic",
    columns: &["at", "model", "version", "outcome", "requests", "p50_ms", "p95_ms", "p99_ms"],
};
/// Drift verdicts, one row a feature and window.
pub const DRIFT: View = View {
    name: "dash_drift",
    columns: &[
        "at",
        "model",
        "version",
        "feature",
        "state",
        "ks_lower",
        "ks_upper",
        "p_value",
        "q_value",
        "psi",
        "observations",
    ],
};
/// Confidence a minute.
pub const CONFIDENCE: View =
    View { name: "dash_confidence", columns: &["at", "model", "version", "label", "answers", "mean", "p05", "p50"] };
/// Agreement of shadows a minute.
pub const SHADOW: View =
    View { name: "dash_shadow", columns: &["at", "model", "version", "shadow", "pairs", "agreed", "failed"] };
/// The newest bad requests.
pub const FAILURES: View =
    View { name: "dash_failures", columns: &["at", "id", "model", "version", "outcome", "code", "reason", "total_ms"] };
/// Deployments, drift changes and other events.
pub const EVENTS: View = View { name: "dash_events", columns: &["at", "kind", "model", "version", "text"] };

/// Labelled items an hour of arrival: how many, how many were corrected, how many have no observation.
pub const LABELS: View = View { name: "dash_labels", columns: &["at", "labels", "corrected", "unknown"] };
/// Feedback an hour: how much of each name, and its mean (of booleans, the share of yes).
pub const OUTCOMES: View =
    View { name: "dash_outcomes", columns: &["at", "model", "version", "name", "outcomes", "mean"] };
/// Where the time of each request went.
pub const STAGES: View = View {
    name: "dash_stages",
    columns: &["at", "id", "model", "version", "outcome", "tokenize_ms", "queue_ms", "infer_ms", "rest_ms", "total_ms"],
};
/// Each window beside its reference: one row a part, those without values too. `kind` is `range`, `atom`, `category`, `below`,
/// `above`, `infinite`, `NaN`, `missing`, `never seen` or `other type`; `reference` a share, `current` a count.
pub const BINS: View = View {
    name: "dash_bins",
    columns: &["at", "model", "version", "feature", "part", "label", "kind", "reference", "current"],
};

/// All views.
pub const ALL: &[View] = &[TRAFFIC, DRIFT, CONFIDENCE, SHADOW, FAILURES, EVENTS, LABELS, OUTCOMES, STAGES, BINS];
