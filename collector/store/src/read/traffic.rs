//! Traffic, counted from observations by the time the request arrived.

use clickhouse::Row;
use contract::wire::Outcome;
use serde::{Deserialize, Serialize};

use super::{MS, Reader, Window, words};
use crate::Error;

/// Traffic of one span.
#[derive(Clone, Debug, PartialEq, Row, Serialize, Deserialize)]
pub struct TrafficCounts {
    /// Start of the span.
    pub start_ms: i64,
    /// Requests, however they ended.
    pub requests: u64,
    /// Those that count ([`Outcome::is_valid_event`]).
    pub counted: u64,
    /// Those of them that were bad ([`Outcome::is_bad`]).
    pub bad: u64,
    /// Median, 95th and 99th percentile of latency in microseconds over the counted; NaN without any.
    pub quantiles_us: Vec<f32>,
}

pub(super) fn counted() -> String {
    words(Outcome::ALL.iter().filter(|o| o.is_valid_event()).map(|o| o.as_str()))
}

pub(super) fn bad() -> String {
    words(Outcome::ALL.iter().filter(|o| o.is_bad()).map(|o| o.as_str()))
}

impl Reader {
    /// Traffic of a model in a span, cut into lengths (the span's own length gives one row); spans without requests are left
    /// out.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn traffic(&self, model: &str, span: Window, length_ms: i64) -> Result<Vec<TrafficCounts>, Error> {
        let (counted, bad) = (counted(), bad());
        let sql = format!(
            "SELECT toInt64(?) + intDiv(toUnixTimestamp64Milli(at) - toInt64(?), toInt64(?)) * toInt64(?) AS start_ms, \
               count() AS requests, countIf(outcome IN {counted}) AS counted, countIf(outcome IN {bad}) AS bad, \
               quantilesTDigestIf(0.5, 0.95, 0.99)(total_us, outcome IN {counted}) AS quantiles_us \
             FROM observations WHERE model = ? AND at >= {MS} AND at < {MS} GROUP BY start_ms ORDER BY start_ms"
        );
        let query =
            self.store.client().query(&sql).bind(span.start_ms).bind(span.start_ms).bind(length_ms).bind(length_ms);
        let query = query.bind(model).bind(span.start_ms).bind(span.end_ms);
        self.store.bounded("traffic", query.fetch_all()).await
    }
}
