//! Paired answers of primaries and shadows.

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use super::{MS, Reader};
use crate::Error;

/// Counts of one shadow against one primary, over all comparisons stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct ShadowCounts {
    /// Model name.
    pub model: String,
    /// The primary's version.
    pub version: String,
    /// The shadow's version.
    pub shadow: String,
    /// Items that both labelled, or answered with numbers or vectors.
    pub pairs: u64,
    /// Those with the same label, or no farther apart than is tolerated.
    pub agreed: u64,
    /// What the newest pair without a label compared: `number`, `vector` or `shape`; empty where all have labels.
    pub compared: String,
    /// Requests that the shadow answered.
    pub answered: u64,
    /// Requests on which it failed.
    pub errors: u64,
    /// Requests that were shed before it saw them.
    pub shed: u64,
    /// The first comparison.
    pub first_ms: i64,
    /// The newest.
    pub last_ms: i64,
    /// The primary's run time over the answered requests that it ran, microseconds: what its cache answered took it none.
    pub primary_us: u64,
    /// The shadow's, over the same requests.
    pub shadow_us: u64,
}

/// How far apart two answers without labels may be and agree.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tolerance {
    /// Numbers: the difference, in their unit; this or the next.
    pub absolute: f64,
    /// Numbers: the difference as a share of the larger.
    pub relative: f64,
    /// Vectors: one less the cosine.
    pub vector: f64,
}

/// Whether an answered comparison is a pair, as SQL.
pub(super) const PAIRED: &str = "(primary_label != '' OR compared != '')";

impl Tolerance {
    /// Whether the two answers of a pair agree, as SQL: the same for the verdict, its course and its objective.
    pub(super) fn agrees(&self) -> String {
        let Self { absolute, relative, vector } = self;
        format!(
            "multiIf(compared = 'number', absolute_gap <= {absolute:e} OR relative_gap <= {relative:e}, \
             compared = 'vector', relative_gap <= {vector:e}, primary_label != '' AND primary_label = shadow_label)"
        )
    }
}

#[derive(Row, Serialize)]
struct StoredTolerance<'a> {
    model: &'a str,
    at: i64,
    absolute: f64,
    relative: f64,
    vector: f64,
}

/// Pairs in which the primary said one label.
#[derive(Clone, Debug, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct LabelPairs {
    /// The primary's label.
    pub label: String,
    /// Pairs.
    pub pairs: u64,
    /// Those with the same label.
    pub agreed: u64,
}

/// How often one label met another.
#[derive(Clone, Debug, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct FlipCount {
    /// The primary's label.
    pub primary: String,
    /// The shadow's.
    pub shadow: String,
    /// Pairs.
    pub pairs: u64,
}

impl Reader {
    /// Shadows of a model's primary, those compared last first, at most `limit`. The primary is whom the newest comparison names:
    /// only a primary's answers are compared, while a canary, a fallback or a pinned version may have answered since.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn shadows(&self, model: &str, tolerance: Tolerance, limit: u64) -> Result<Vec<ShadowCounts>, Error> {
        // `answered` names a column, so the count of answered requests is renamed outside.
        let agrees = tolerance.agrees();
        let sql = format!(
            "SELECT model, version, shadow, pairs, agreed, gaps AS compared, requests AS answered, errors, shed, first_ms, last_ms, \
               primary_us, shadow_us FROM ( \
             SELECT toString(model) AS model, toString(version) AS version, toString(shadow) AS shadow, \
               countIf(answered AND {PAIRED}) AS pairs, countIf(answered AND {agrees}) AS agreed, \
               toString(argMaxIf(compared, at, compared != '')) AS gaps, \
               countIf(answered AND item = 0) AS requests, \
               countIf(NOT answered AND outcome != 'rejected') AS errors, \
               countIf(NOT answered AND outcome = 'rejected') AS shed, \
               toUnixTimestamp64Milli(min(at)) AS first_ms, toUnixTimestamp64Milli(max(at)) AS last_ms, \
               sumIf(primary_infer_us, answered AND item = 0 AND primary_infer_us > 0) AS primary_us, \
               sumIf(shadow_infer_us, answered AND item = 0 AND primary_infer_us > 0) AS shadow_us \
             FROM comparisons WHERE model = ? AND version = ( \
               SELECT argMax(c.version, (c.at, c.received_at)) FROM comparisons AS c WHERE c.model = ?) \
             GROUP BY model, version, shadow) \
             ORDER BY last_ms DESC, shadow LIMIT ?"
        );
        let query = self.store.client().query(&sql).bind(model).bind(model).bind(limit);
        self.store.bounded("the shadows", query.fetch_all()).await
    }

    /// Writes down how far apart answers of a model may be, for `dash_shadow`.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn insert_tolerance(&self, model: &str, tolerance: Tolerance, at_ms: i64) -> Result<(), Error> {
        let Tolerance { absolute, relative, vector } = tolerance;
        let insert = async {
            let mut insert = self.store.client().insert::<StoredTolerance<'_>>("shadow_tolerances").await?;
            insert.write(&StoredTolerance { model, at: at_ms, absolute, relative, vector }).await?;
            insert.end().await
        };
        self.store.bounded("writing down how far apart answers may be", insert).await
    }

    /// Disagreements by label pair, most frequent first.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn flips(&self, model: &str, version: &str, shadow: &str, limit: u64) -> Result<Vec<FlipCount>, Error> {
        let sql = "SELECT toString(c.primary_label) AS primary, toString(c.shadow_label) AS shadow, count() AS pairs \
             FROM comparisons AS c WHERE c.model = ? AND c.version = ? AND c.shadow = ? AND c.answered \
               AND c.primary_label != '' AND c.primary_label != c.shadow_label \
             GROUP BY c.primary_label, c.shadow_label ORDER BY pairs DESC, primary, shadow LIMIT ?";
        let query = self.store.client().query(sql).bind(model).bind(version).bind(shadow).bind(limit);
        self.store.bounded("the flips", query.fetch_all()).await
    }

    /// Pairs by the primary's label, most frequent first.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn pairs_by_label(
        &self,
        (model, version, shadow): (&str, &str, &str),
        limit: u64,
    ) -> Result<Vec<LabelPairs>, Error> {
        let sql = "SELECT toString(c.primary_label) AS label, count() AS pairs, \
               countIf(c.primary_label = c.shadow_label) AS agreed \
             FROM comparisons AS c WHERE c.model = ? AND c.version = ? AND c.shadow = ? AND c.answered \
               AND c.primary_label != '' GROUP BY c.primary_label ORDER BY pairs DESC, label LIMIT ?";
        let query = self.store.client().query(sql).bind(model).bind(version).bind(shadow).bind(limit);
        self.store.bounded("pairs by label", query.fetch_all()).await
    }

    /// Whether some answer of a version since `since_ms` may depend on the others in its batch; `None` without answers.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn batch_variant(&self, model: &str, version: &str, since_ms: i64) -> Result<Option<bool>, Error> {
        let sql = format!(
            "SELECT count(), countIf(batch_variant) FROM observations WHERE model = ? AND version = ? AND at >= {MS}"
        );
        let query = self.store.client().query(&sql).bind(model).bind(version).bind(since_ms);
        let (answers, variant): (u64, u64) = self.store.bounded("batch variance", query.fetch_one()).await?;
        Ok((answers > 0).then_some(variant > 0))
    }
}
