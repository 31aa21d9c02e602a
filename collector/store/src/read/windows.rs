//! Windows in event time: where there is data, and its counts over a reference's bins.

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use super::{MS, Reader, bin};
use crate::Error;

/// A half-open span of event time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    /// First millisecond.
    pub start_ms: i64,
    /// First millisecond after it.
    pub end_ms: i64,
}

/// A window in which a model was asked.
#[derive(Clone, Debug, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct WindowSeen {
    /// Its start.
    pub start_ms: i64,
    /// The version that answered most.
    pub version: String,
    /// Observations in it.
    pub observations: u64,
    /// When the newest of them was received: what the judgement could see.
    pub cut_ms: i64,
}

/// Count of one bin of one feature in one window.
#[derive(Clone, Debug, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct BinCount {
    /// Start of the window.
    pub start_ms: i64,
    /// The feature.
    pub feature: String,
    /// Bin number, see [`bin`].
    pub bin: i32,
    /// Values.
    pub n: u64,
}

impl Reader {
    /// Windows of a model between two times that hold observations, oldest first, at most `limit`.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn windows(
        &self,
        model: &str,
        span: Window,
        length_ms: i64,
        limit: u64,
    ) -> Result<Vec<WindowSeen>, Error> {
        let sql = format!(
            "SELECT intDiv(toUnixTimestamp64Milli(at), toInt64(?)) * toInt64(?) AS start_ms, \
               toString(topK(1)(version)[1]) AS version, count() AS observations, \
               toUnixTimestamp64Milli(max(received_at)) AS cut_ms \
             FROM observations WHERE model = ? AND at >= {MS} AND at < {MS} \
             GROUP BY start_ms ORDER BY start_ms LIMIT ?"
        );
        let query = self.store.client().query(&sql).bind(length_ms).bind(length_ms);
        let query = query.bind(model).bind(span.start_ms).bind(span.end_ms).bind(limit);
        self.store.bounded("the windows with data", query.fetch_all()).await
    }

    /// Counts a window over the bins of a frozen reference and writes the counts to `bin_counts`; again gives the same rows.
    /// Rows received after the cut are left out.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn count_window(
        &self,
        model: &str,
        fingerprint: &str,
        window: Window,
        seen: &WindowSeen,
    ) -> Result<(), Error> {
        let sql = format!(
            "INSERT INTO bin_counts (model, version, feature, fingerprint, window_start, window_end, bin, n) \
             WITH frozen AS ({frozen} GROUP BY feature) \
             SELECT ?, ?, feature, ?, {MS}, {MS}, bin, count() FROM ({values}) GROUP BY feature, bin",
            frozen = frozen(),
            values = binned(""),
        );
        let query = self.store.client().query(&sql).bind(model).bind(fingerprint);
        let query = query.bind(model).bind(&seen.version).bind(fingerprint).bind(window.start_ms).bind(window.end_ms);
        let query = query.bind(model).bind(window.start_ms).bind(window.end_ms).bind(seen.cut_ms);
        let query = query.bind(model).bind(window.start_ms).bind(window.end_ms).bind(seen.cut_ms);
        self.store.bounded("counting a window", query.execute()).await
    }

    /// Counts of the windows that start in a span, over the bins of one baseline.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn bin_counts(&self, model: &str, fingerprint: &str, span: Window) -> Result<Vec<BinCount>, Error> {
        let sql = format!(
            "SELECT toUnixTimestamp64Milli(window_start) AS start_ms, toString(feature) AS feature, bin, n \
             FROM bin_counts FINAL \
             WHERE model = ? AND fingerprint = ? AND window_start >= {MS} AND window_start < {MS}"
        );
        let query = self.store.client().query(&sql).bind(model).bind(fingerprint).bind(span.start_ms).bind(span.end_ms);
        self.store.bounded("counts over bins", query.fetch_all()).await
    }
}

/// Rows of a model in a window that were there at its cut: model, start, end and cut are bound.
pub(super) fn rows() -> String {
    format!("model = ? AND at >= {MS} AND at < {MS} AND received_at <= {MS}")
}

/// The references of a baseline, to be grouped by feature: model and fingerprint are bound.
pub(super) fn frozen() -> String {
    format!(
        "SELECT toString(feature) AS feature, JSONExtractString(any(bins), 'kind') AS kind, \
           arrayConcat([{least:e}], JSONExtract(any(bins), 'edges', 'Array(Float64)'), [inf]) AS edges, \
           JSONExtract(any(bins), 'names', 'Array(String)') AS names \
         FROM baselines WHERE model = ? AND fingerprint = ?",
        least = bin::LEAST,
    )
}

/// Every value of the features in `frozen` with its bin, one row a value, and the columns `further` of its row (each with a comma
/// behind it): what [`rows`] binds is bound twice.
pub(super) fn binned(further: &str) -> String {
    let rows = rows();
    format!(
        "SELECT {further} f.feature AS feature, \
           multiIf(f.missing, toInt32({missing}), \
             f.feature IN (SELECT feature FROM frozen WHERE kind = 'categories'), toInt32({other}), \
             isNaN(f.value), toInt32({nan}), e.bin) AS bin \
         FROM (SELECT {further} toString(feature) AS feature, value, missing FROM features \
               WHERE {rows} AND feature IN (SELECT feature FROM frozen)) AS f \
         LEFT ASOF JOIN (SELECT feature, edge, toInt32(position) AS bin FROM frozen \
               ARRAY JOIN edges AS edge, arrayEnumerate(edges) AS position WHERE kind = 'numbers') AS e \
         ON f.feature = e.feature AND f.value >= e.edge \
         UNION ALL \
         SELECT {further} c.feature AS feature, \
           multiIf(c.feature IN (SELECT feature FROM frozen WHERE kind = 'numbers'), toInt32({other}), \
             k.position = 0, toInt32({never_seen}), toInt32(k.position) - 1) AS bin \
         FROM (SELECT {further} toString(feature) AS feature, toString(value) AS value FROM categories \
               WHERE {rows} AND feature IN (SELECT feature FROM frozen)) AS c \
         LEFT JOIN (SELECT feature, name, position FROM frozen \
               ARRAY JOIN names AS name, arrayEnumerate(names) AS position WHERE kind = 'categories') AS k \
         ON c.feature = k.feature AND c.value = k.name",
        missing = bin::MISSING,
        other = bin::OTHER,
        nan = bin::NAN,
        never_seen = bin::NEVER_SEEN,
    )
}
