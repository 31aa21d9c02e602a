//! Confidence of a window: mean, share of low ones, histogram.

use clickhouse::Row;
use serde::Deserialize;

use super::{MS, Reader, Window};
use crate::Error;

/// Confidence of one span.
#[derive(Clone, Debug, Default, PartialEq, Row, Deserialize)]
pub struct ConfidenceCounts {
    /// Answers with a finite confidence.
    pub answers: u64,
    /// Those below the floor.
    pub low: u64,
    /// Sum of confidences.
    pub sum: f64,
    /// Answers in equal bins from 0 to 1; the last one holds 1 too.
    pub histogram: Vec<u64>,
}

impl Reader {
    /// Counts a feature that lies between 0 and 1, such as `output.confidence`.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn confidence(
        &self,
        model: &str,
        feature: &str,
        span: Window,
        low: f64,
        bins: u32,
    ) -> Result<ConfidenceCounts, Error> {
        let counts: Vec<String> = (0..bins).map(|bin| format!("countIf(bin = {bin})")).collect();
        let sql = format!(
            "SELECT count() AS answers, countIf(value < {low}) AS low, sum(value) AS sum, [{counts}] AS histogram FROM ( \
               SELECT value, least(greatest(toInt64(floor(value * {bins})), 0), {bins} - 1) AS bin FROM features \
               WHERE model = ? AND feature = ? AND at >= {MS} AND at < {MS} AND NOT missing AND isFinite(value))",
            counts = counts.join(", ")
        );
        let query = self.store.client().query(&sql).bind(model).bind(feature).bind(span.start_ms).bind(span.end_ms);
        self.store.bounded("confidence", query.fetch_one()).await
    }
}
