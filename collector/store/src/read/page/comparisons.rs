//! One shadow over time, and inputs on which it disagrees.

use clickhouse::Row;
use serde::Deserialize;

use super::{
    super::{ShadowCounts, Tolerance, shadows::PAIRED},
    Steps,
};
use crate::{
    Error,
    read::{MS, Reader},
};

/// Characters of an input that are shown.
const CHARACTERS_MAX: u32 = 2_000;

/// Pairs of one step.
#[derive(Clone, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct PairsAt {
    /// The newest comparison of the step.
    pub at_ms: i64,
    /// Pairs.
    pub pairs: u64,
    /// Those that agree.
    pub agreed: u64,
}

/// An item on which both answered with different labels.
#[derive(Clone, Debug, PartialEq, Row, Deserialize)]
pub struct DisagreementRow {
    /// The observation.
    pub id: String,
    /// When it arrived.
    pub at_ms: i64,
    /// The primary's label.
    pub primary: String,
    /// The shadow's label.
    pub shadow: String,
    /// The primary's confidence.
    pub primary_confidence: f64,
    /// The shadow's confidence.
    pub shadow_confidence: f64,
    /// The masked input; empty where none was stored.
    pub input: String,
}

impl Reader {
    /// Pairs of a shadow by step, oldest first; steps without any are left out.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn pairs_by_step(
        &self,
        of: &ShadowCounts,
        tolerance: Tolerance,
        steps: Steps,
    ) -> Result<Vec<PairsAt>, Error> {
        let sql = format!(
            "SELECT at_ms, pairs, agreed FROM ( \
               SELECT intDiv(toUnixTimestamp64Milli(c.at) - toInt64(?), toInt64(?)) AS step, \
                 toUnixTimestamp64Milli(max(c.at)) AS at_ms, count() AS pairs, countIf({}) AS agreed \
               FROM comparisons AS c WHERE c.model = ? AND c.version = ? AND c.shadow = ? AND c.answered \
                 AND {PAIRED} AND c.at >= {MS} AND c.at < {MS} GROUP BY step) ORDER BY at_ms",
            tolerance.agrees()
        );
        let Steps { span, length_ms } = steps;
        let query = self.store.client().query(&sql).bind(span.start_ms).bind(length_ms);
        let query = query.bind(&of.model).bind(&of.version).bind(&of.shadow).bind(span.start_ms).bind(span.end_ms);
        self.store.bounded("pairs by step", query.fetch_all()).await
    }

    /// The newest disagreements of a shadow with their masked inputs, those with an input first.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn disagreements(&self, of: &ShadowCounts, limit: u64) -> Result<Vec<DisagreementRow>, Error> {
        let differ = "SELECT id, at, primary_label, shadow_label, primary_confidence, shadow_confidence \
             FROM comparisons WHERE model = ? AND version = ? AND shadow = ? AND answered \
               AND primary_label != '' AND primary_label != shadow_label ORDER BY at DESC, id LIMIT 2000";
        let sql = format!(
            "SELECT toString(c.id) AS id, toUnixTimestamp64Milli(c.at) AS at_ms, toString(c.primary_label) AS primary, \
               toString(c.shadow_label) AS shadow, c.primary_confidence AS primary_confidence, \
               c.shadow_confidence AS shadow_confidence, substringUTF8(p.kept, 1, {CHARACTERS_MAX}) AS input \
             FROM ({differ}) AS c LEFT JOIN ( \
               SELECT id, any(input) AS kept FROM payloads WHERE model = ? AND id IN (SELECT id FROM ({differ})) GROUP BY id \
             ) AS p ON p.id = c.id \
             ORDER BY p.kept = '', c.at DESC, c.id LIMIT ?"
        );
        let query = self.store.client().query(&sql).bind(&of.model).bind(&of.version).bind(&of.shadow).bind(&of.model);
        let query = query.bind(&of.model).bind(&of.version).bind(&of.shadow).bind(limit);
        self.store.bounded("disagreements", query.fetch_all()).await
    }
}
