//! Stored samples and events, by filter.

use clickhouse::Row;
use serde::Deserialize;

use crate::{
    Error,
    read::{EventRow, MS, Reader, Window},
};

/// Samples that a filter is tried on: the newest before the time asked for.
pub const SAMPLES_LOOKED_THROUGH: u32 = 20_000;
/// Characters of an input or an output that are shown.
const CHARACTERS_MAX: u32 = 4_000;

/// Which samples; empty texts ask for nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SampleFilter {
    /// Model name.
    pub model: String,
    /// How they ended.
    pub outcome: String,
    /// The label.
    pub label: String,
    /// What input or output contains, case aside.
    pub contains: String,
    /// The most confidence; samples without a confidence are left out then.
    pub confidence_max: Option<f64>,
    /// Before this time.
    pub before_ms: i64,
    /// At most so many.
    pub limit: u64,
}

/// A stored sample with what its observation says.
#[derive(Clone, Debug, PartialEq, Row, Deserialize)]
pub struct SampleRow {
    /// The observation.
    pub id: String,
    /// When it arrived.
    pub at_ms: i64,
    /// Model name.
    pub model: String,
    /// Version that answered.
    pub version: String,
    /// How it ended.
    pub outcome: String,
    /// Why.
    pub reason: String,
    /// The label.
    pub label: String,
    /// Its confidence.
    pub confidence: Option<f64>,
    /// Wall time in milliseconds.
    pub total_ms: f64,
    /// The masked input.
    pub input: String,
    /// The masked output.
    pub output: String,
    /// Chance with which it was kept.
    pub inclusion_probability: f64,
}

/// Which events; empty texts ask for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventFilter {
    /// Model name; events of no model are among them.
    pub model: String,
    /// Kind.
    pub kind: String,
    /// When.
    pub span: Window,
    /// At most so many.
    pub limit: u64,
}

impl Reader {
    /// Samples that match, newest first.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn samples(&self, filter: &SampleFilter) -> Result<Vec<SampleRow>, Error> {
        let sql = format!(
            "WITH newest AS ( \
               SELECT id, at FROM payloads WHERE (? = '' OR model = ?) AND at < {MS} \
               ORDER BY at DESC, id LIMIT {SAMPLES_LOOKED_THROUGH}) \
             SELECT toString(p.id) AS id, toUnixTimestamp64Milli(p.at) AS at_ms, toString(p.model) AS model, \
               toString(p.version) AS version, toString(o.outcome) AS outcome, toString(o.reason) AS reason, \
               toString(o.label) AS label, o.confidence AS confidence, o.total_us / 1000 AS total_ms, \
               substringUTF8(p.input, 1, {CHARACTERS_MAX}) AS input, substringUTF8(p.output, 1, {CHARACTERS_MAX}) AS output, \
               p.inclusion_probability AS inclusion_probability \
             FROM payloads AS p INNER JOIN ( \
               SELECT id, outcome, reason, label, confidence, total_us FROM observations \
               WHERE at >= (SELECT min(at) FROM newest) AND at < {MS} AND id IN (SELECT id FROM newest) \
                 AND (? = '' OR outcome = ?) AND (? = '' OR label = ?) \
                 AND (toFloat64(?) > 1 OR ifNull(confidence <= toFloat64(?), false))) AS o ON o.id = p.id \
             WHERE p.at >= (SELECT min(at) FROM newest) AND p.at < {MS} AND p.id IN (SELECT id FROM newest) \
               AND (? = '' OR positionCaseInsensitiveUTF8(p.input, ?) > 0 OR positionCaseInsensitiveUTF8(p.output, ?) > 0) \
             ORDER BY p.at DESC, p.id LIMIT ?"
        );
        // Above 1 there is no bound.
        let most = filter.confidence_max.unwrap_or(2.0);
        let (before, contains) = (filter.before_ms, filter.contains.as_str());
        let query = self.store.client().query(&sql).bind(&filter.model).bind(&filter.model).bind(before).bind(before);
        let query = query.bind(&filter.outcome).bind(&filter.outcome).bind(&filter.label).bind(&filter.label);
        let query = query.bind(most).bind(most).bind(before).bind(contains).bind(contains).bind(contains);
        self.store.bounded("samples", query.bind(filter.limit).fetch_all()).await
    }

    /// Events that match, newest first.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn events_of(&self, filter: &EventFilter) -> Result<Vec<EventRow>, Error> {
        let sql = format!(
            "SELECT toUnixTimestamp64Milli(e.at) AS at, toString(e.kind) AS kind, toString(e.model) AS model, \
               toString(e.version) AS version, e.text AS text FROM events AS e \
             WHERE e.at >= {MS} AND e.at < {MS} AND (? = '' OR e.model = ? OR e.model = '') AND (? = '' OR e.kind = ?) \
             ORDER BY e.at DESC, e.text LIMIT ?"
        );
        let query = self.store.client().query(&sql).bind(filter.span.start_ms).bind(filter.span.end_ms);
        let query = query.bind(&filter.model).bind(&filter.model).bind(&filter.kind).bind(&filter.kind);
        self.store.bounded("events", query.bind(filter.limit).fetch_all()).await
    }
}
