//! How the answers of a shadow differ from its primary's, pair by pair, counted by steps: what a judge needs and no more rows.

use clickhouse::Row;
use serde::Deserialize;

use super::{Reader, ShadowCounts};
use crate::Error;

/// Steps in an octave of run time.
pub const OCTAVE_STEPS: i32 = 8;
/// Octaves up and down beyond which run times are not told apart.
pub const OCTAVES_MAX: i32 = 3;
/// Steps in a difference of 1 of confidences and scores.
pub const UNIT_STEPS: i32 = 100;

/// What a step is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// Binary logarithm of the shadow's run time over the primary's.
    Octaves,
    /// Whether the shadow ran too long, less whether the primary did.
    Slow,
    /// The primary's confidence less the shadow's.
    Confidence,
}

/// Pairs whose difference is about so many steps.
#[derive(Clone, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct Differing {
    what: String,
    /// Steps.
    pub step: i32,
    /// Pairs.
    pub pairs: u64,
}

impl Differing {
    /// What it is of.
    #[must_use]
    pub fn what(&self) -> Option<Difference> {
        match self.what.as_str() {
            "octaves" => Some(Difference::Octaves),
            "slow" => Some(Difference::Slow),
            "confidence" => Some(Difference::Confidence),
            _ => None,
        }
    }
}

/// Labelled pairs by who was right, and by how their Brier scores differ.
#[derive(Clone, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct LabelledPairs {
    /// Whether the primary said the label.
    pub primary_right: bool,
    /// Whether the shadow did.
    pub shadow_right: bool,
    /// The shadow's Brier score less the primary's, in steps.
    pub brier: i32,
    /// Pairs.
    pub pairs: u64,
}

impl Reader {
    /// How run times and confidences of a shadow differ from its primary's. Run times of requests that both ran; `slow_us` is what an
    /// objective allows, 0 where none does.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn differences(&self, of: &ShadowCounts, slow_us: u64) -> Result<Vec<Differing>, Error> {
        let sql = format!(
            "SELECT toString(steps.1) AS what, steps.2 AS step, count() AS pairs FROM ( \
               SELECT arrayJoin(arrayFilter(one -> one.3, [ \
                 ('octaves', toInt32(round({OCTAVE_STEPS} * greatest(-{OCTAVES_MAX}, least({OCTAVES_MAX}, \
                   log2(greatest(shadow_infer_us, 1) / greatest(primary_infer_us, 1)))))), ran), \
                 ('slow', toInt32(toInt8(shadow_infer_us > limit_us) - toInt8(primary_infer_us > limit_us)), ran AND limit_us > 0), \
                 ('confidence', if(sure, toInt32(round({UNIT_STEPS} * (primary_confidence - shadow_confidence))), toInt32(0)), sure)])) AS steps \
               FROM (SELECT primary_infer_us, shadow_infer_us, primary_confidence, shadow_confidence, toUInt64(?) AS limit_us, \
                   item = 0 AND primary_infer_us > 0 AND shadow_infer_us > 0 AS ran, \
                   primary_label != '' AND isFinite(primary_confidence) AND isFinite(shadow_confidence) AS sure \
                 FROM comparisons WHERE model = ? AND version = ? AND shadow = ? AND answered)) \
             GROUP BY what, step ORDER BY what, step"
        );
        let query = self.store.client().query(&sql).bind(slow_us).bind(&of.model).bind(&of.version).bind(&of.shadow);
        self.store.bounded("how pairs differ", query.fetch_all()).await
    }

    /// Pairs of labels, the most frequent first.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn label_pairs(&self, of: &ShadowCounts, limit: u64) -> Result<Vec<super::FlipCount>, Error> {
        let sql = "SELECT toString(c.primary_label) AS primary, toString(c.shadow_label) AS shadow, count() AS pairs \
             FROM comparisons AS c WHERE c.model = ? AND c.version = ? AND c.shadow = ? AND c.answered AND c.primary_label != '' \
             GROUP BY c.primary_label, c.shadow_label ORDER BY pairs DESC, primary, shadow LIMIT ?";
        let query = self.store.client().query(sql).bind(&of.model).bind(&of.version).bind(&of.shadow).bind(limit);
        self.store.bounded("pairs of labels", query.fetch_all()).await
    }

    /// Pairs whose label is known, the newest truth of each.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn labelled_pairs(&self, of: &ShadowCounts) -> Result<Vec<LabelledPairs>, Error> {
        let pairs = "FROM comparisons WHERE model = ? AND version = ? AND shadow = ? AND answered AND primary_label != '' \
             AND isFinite(primary_confidence) AND isFinite(shadow_confidence) AND id IN (SELECT id FROM labels)";
        let brier = |whose: &str| format!("pow({whose}_confidence - ({whose}_label = truth), 2)");
        let sql = format!(
            "SELECT toBool(primary_label = truth) AS primary_right, toBool(shadow_label = truth) AS shadow_right, \
               toInt32(round({UNIT_STEPS} * greatest(-1, least(1, {} - {})))) AS brier, count() AS pairs \
             FROM (SELECT id, item, primary_label, shadow_label, primary_confidence, shadow_confidence {pairs}) AS said \
             INNER JOIN (SELECT id, item, argMax(label, (labels.at, received_at)) AS truth FROM labels \
               WHERE id IN (SELECT id {pairs}) GROUP BY id, item) AS known \
             ON said.id = known.id AND said.item = known.item \
             GROUP BY primary_right, shadow_right, brier ORDER BY primary_right, shadow_right, brier",
            brier("shadow"),
            brier("primary")
        );
        let mut query = self.store.client().query(&sql);
        for _ in 0..2 {
            query = query.bind(&of.model).bind(&of.version).bind(&of.shadow);
        }
        self.store.bounded("labelled pairs", query.fetch_all()).await
    }
}
