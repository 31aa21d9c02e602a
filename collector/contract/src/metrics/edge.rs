//! Metrics of every role's edge: connections, credentials, limits.

use super::Metric;

/// Open connections.
pub const CONNECTIONS: Metric = Metric::gauge("driftline_edge_connections", "Connections that are open.", &[]);
/// Connections that were closed on the client.
pub const CONNECTIONS_REFUSED: Metric = Metric::counter(
    "driftline_edge_refused_connections_total",
    "Connections that were closed on the client, by reason: too many, handshake, slow or large request head.",
    &["reason"],
);
/// Requests without a good credential.
pub const AUTH_FAILURES: Metric = Metric::counter(
    "driftline_edge_auth_failures_total",
    "Requests refused for their credential, by reason: missing, unknown, expired, a scope that is lacking.",
    &["reason"],
);
/// Requests over a limit.
pub const REFUSED: Metric = Metric::counter(
    "driftline_edge_refused_requests_total",
    "Requests refused by a limit of the edge, by reason: rate, slow or large body, long path, a stream that idles or is not read, or too many streams and questions of the page.",
    &["reason"],
);
/// Files that were read anew.
pub const RELOADS: Metric = Metric::counter(
    "driftline_edge_reloads_total",
    "Changed keys and certificates that were read anew, by outcome; after a failure the old ones go on serving.",
    &["kind", "outcome"],
);

/// All metrics of this subsystem.
pub const ALL: &[Metric] = &[CONNECTIONS, CONNECTIONS_REFUSED, AUTH_FAILURES, REFUSED, RELOADS];
