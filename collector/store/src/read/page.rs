//! What the page's single views ask: ranges cut into steps, and samples by filter.
//!
//! The choice: a range is cut into steps by ClickHouse, so that an answer has at most a few hundred rows, whatever the range and
//! the traffic. Samples are looked for among the newest [`SAMPLES_LOOKED_THROUGH`] of a time, so that a filter that
//! nothing matches costs no more than one that everything does.

mod comparisons;
mod samples;

use clickhouse::Row;
use contract::{api::DriftState, feature};
use serde::Deserialize;

pub use comparisons::{DisagreementRow, PairsAt};
pub use samples::{EventFilter, SAMPLES_LOOKED_THROUGH, SampleFilter, SampleRow};

use super::{MS, Reader, Window, has_label, words};
use crate::Error;

/// A range and the length of the steps it is cut into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    /// The range.
    pub span: Window,
    /// Length of a step in milliseconds, at least 1.
    pub length_ms: i64,
}

/// States from the one that says least to the worst: what a step with several verdicts shows.
const BY_LOUDNESS: [DriftState; 5] =
    [DriftState::Insufficient, DriftState::Stable, DriftState::Resolved, DriftState::Watch, DriftState::Drifted];

/// One feature of a heat map: three columns of the same length.
#[derive(Clone, Debug, PartialEq, Row, Deserialize)]
pub struct HeatCounts {
    /// The feature.
    pub feature: String,
    /// Numbers of the steps, rising.
    pub steps: Vec<u32>,
    loudness: Vec<u8>,
    /// Largest lower bound of each step.
    pub ks_lower: Vec<Option<f64>>,
}

impl HeatCounts {
    /// Worst state of each step.
    pub fn states(&self) -> impl Iterator<Item = DriftState> {
        self.loudness.iter().map(|rank| BY_LOUDNESS[usize::from(*rank).saturating_sub(1).min(BY_LOUDNESS.len() - 1)])
    }
}

/// Confidence of one step.
#[derive(Clone, Debug, PartialEq, Row, Deserialize)]
pub struct ConfidenceStep {
    /// Start of the step.
    pub start_ms: i64,
    /// Answers with a finite confidence.
    pub answers: u64,
    /// Those below the floor.
    pub low: u64,
    /// Mean.
    pub mean: f64,
    /// 5th percentile and median.
    pub quantiles: Vec<f32>,
}

/// Labelled answers of about the same confidence.
#[derive(Clone, Debug, PartialEq, Row, Deserialize)]
pub struct ReliabilityCounts {
    /// Number of the bin.
    pub bin: u32,
    /// Answers.
    pub n: u64,
    /// Sum of their confidences.
    pub confidence: f64,
    /// Those that were right.
    pub correct: u64,
}

impl Reader {
    /// The loudest features of a range, at most `limit`: by step the worst state and the largest distance.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn heat(&self, model: &str, steps: Steps, limit: u64) -> Result<Vec<HeatCounts>, Error> {
        let rank = rank();
        let sql = format!(
            "SELECT feature, arrayMap(c -> c.1, cells) AS steps, arrayMap(c -> c.2, cells) AS loudness, \
               arrayMap(c -> c.3, cells) AS ks_lower FROM ( \
               SELECT feature, arraySort(c -> c.1, groupArray((step, worst, distance))) AS cells, \
                 max(worst) AS loudest, max(ifNull(distance, 0)) AS furthest FROM ( \
                 SELECT toString(v.feature) AS feature, \
                   toUInt32(intDiv(toUnixTimestamp64Milli(v.window_end) - 1 - toInt64(?), toInt64(?))) AS step, \
                   max({rank}) AS worst, max(v.ks_lower) AS distance \
                 FROM verdicts AS v FINAL WHERE v.model = ? AND v.window_end > {MS} AND v.window_end <= {MS} \
                 GROUP BY feature, step) \
               GROUP BY feature) \
             ORDER BY loudest DESC, furthest DESC, feature LIMIT ?"
        );
        let Steps { span, length_ms } = steps;
        let query = self.store.client().query(&sql).bind(span.start_ms).bind(length_ms).bind(model);
        let query = query.bind(span.start_ms).bind(span.end_ms).bind(limit);
        self.store.bounded("the heat map", query.fetch_all()).await
    }

    /// Evidence of one feature in a range, oldest first: of each step the worst judgement.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn evidence(&self, model: &str, feature: &str, steps: Steps) -> Result<Vec<String>, Error> {
        let rank = rank();
        let sql = format!(
            "SELECT v.evidence FROM verdicts AS v FINAL \
             WHERE v.model = ? AND v.feature = ? AND v.window_end > {MS} AND v.window_end <= {MS} \
             ORDER BY intDiv(toUnixTimestamp64Milli(v.window_end) - 1 - toInt64(?), toInt64(?)), \
               {rank} DESC, v.ks_lower DESC, v.window_end DESC \
             LIMIT 1 BY intDiv(toUnixTimestamp64Milli(v.window_end) - 1 - toInt64(?), toInt64(?))"
        );
        let Steps { span, length_ms } = steps;
        let query = self.store.client().query(&sql).bind(model).bind(feature).bind(span.start_ms).bind(span.end_ms);
        let query = query.bind(span.start_ms).bind(length_ms).bind(span.start_ms).bind(length_ms);
        self.store.bounded("the evidence of a feature", query.fetch_all()).await
    }

    /// Confidence of a range by step; steps without answers are left out.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn confidence_steps(&self, model: &str, steps: Steps, low: f64) -> Result<Vec<ConfidenceStep>, Error> {
        let sql = format!(
            "SELECT toInt64(?) + intDiv(toUnixTimestamp64Milli(f.at) - toInt64(?), toInt64(?)) * toInt64(?) AS start_ms, \
               count() AS answers, countIf(f.value < toFloat64(?)) AS low, avg(f.value) AS mean, \
               quantilesTDigest(0.05, 0.5)(toFloat32(f.value)) AS quantiles \
             FROM features AS f WHERE f.model = ? AND f.feature = '{confidence}' AND f.at >= {MS} AND f.at < {MS} \
               AND NOT f.missing AND isFinite(f.value) \
             GROUP BY start_ms ORDER BY start_ms",
            confidence = feature::OUTPUT_CONFIDENCE
        );
        let Steps { span, length_ms } = steps;
        let query = self.store.client().query(&sql).bind(span.start_ms).bind(span.start_ms);
        let query = query.bind(length_ms).bind(length_ms).bind(low).bind(model).bind(span.start_ms).bind(span.end_ms);
        self.store.bounded("confidence by step", query.fetch_all()).await
    }

    /// Confidence against truth over equal bins from 0 to 1, of a range's answers that have a label; the newest label
    /// of an answer holds.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn reliability(&self, model: &str, span: Window, bins: u32) -> Result<Vec<ReliabilityCounts>, Error> {
        let of = |table: &str, feature: &str| {
            format!(
                "SELECT id, item, value FROM {table} WHERE model = ? AND feature = '{feature}' AND at >= {MS} AND at < {MS} \
                   AND {}",
                has_label(span)
            )
        };
        let (confidences, answers) =
            (of("features", feature::OUTPUT_CONFIDENCE), of("categories", feature::OUTPUT_LABEL));
        let sql = format!(
            "SELECT toUInt32(least(greatest(floor(c.value * {bins}), 0), {bins} - 1)) AS bin, count() AS n, \
               sum(c.value) AS confidence, countIf(toString(a.value) = t.truth) AS correct \
             FROM ({confidences} AND NOT missing AND isFinite(value)) AS c \
             INNER JOIN ({answers}) AS a ON a.id = c.id AND a.item = c.item \
             INNER JOIN (SELECT id, item, argMax(toString(label), (labels.at, received_at)) AS truth FROM labels \
               WHERE id IN (SELECT id FROM ({answers})) GROUP BY id, item) AS t \
               ON t.id = c.id AND t.item = c.item \
             GROUP BY bin ORDER BY bin"
        );
        let mut query = self.store.client().query(&sql);
        for _ in 0..3 {
            query = query.bind(model).bind(span.start_ms).bind(span.end_ms);
        }
        self.store.bounded("calibration", query.fetch_all()).await
    }
}

/// The loudness of a verdict as SQL, from 1.
fn rank() -> String {
    format!("toUInt8(indexOf([{}], toString(v.state)))", {
        let list = words(BY_LOUDNESS.iter().map(|state| state.as_str()));
        list.trim_matches(['(', ')']).to_owned()
    })
}
