//! Events of service level objectives, counted from stored rows.
//!
//! Each kind of SLI is one subquery with two columns, when an event counts (`at`) and whether it spent budget (`bad`);
//! everything else is the same for all. An event counts from the time it is known: a label when it arrives, a verdict
//! when it is given, everything else when its request arrived.

use clickhouse::Row;
use contract::feature::{OUTPUT_CONFIDENCE, OUTPUT_LABEL, QUALITY_VIOLATIONS};
use contract::slo::{Sli, Slo};
use contract::wire::Outcome;
use serde::{Deserialize, Serialize};

use super::traffic::{bad, counted};
use super::{MS, Reader, Window};
use crate::Error;

/// How often [`labelled`] binds its time.
pub(super) const LABELLED_TIMES: usize = 3;

/// Counted and bad events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventCounts {
    /// Counted events.
    pub total: u64,
    /// Bad ones.
    pub bad: u64,
}

/// Answers of a model that were labelled in a span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Row, Serialize, Deserialize)]
pub struct LabelledCounts {
    /// Labelled answers.
    pub labelled: u64,
    /// Those that were what the label says.
    pub correct: u64,
    /// Mean confidence of the labelled answers; NaN without any.
    pub confidence: f64,
}

/// The label that holds of each item that was labelled since a time, beside what the model had said and its version. A label may
/// come again, corrected: the later truth holds, whichever came before the time or after it, and it is known since it was first
/// said; the same label once more is no event. The time is bound [`LABELLED_TIMES`] times.
pub(super) fn labelled(columns: &str) -> String {
    format!(
        "SELECT {columns} FROM ( \
           SELECT id, item, any(value) AS said, any(version) AS answered_by FROM categories \
           WHERE model = ? AND feature = '{OUTPUT_LABEL}' AND id IN (SELECT id FROM labels WHERE received_at >= {MS}) \
           GROUP BY id, item) AS answers \
         INNER JOIN ( \
           SELECT id, item, truth, arrayMin(arrayMap(one -> one.2, arrayFilter(one -> one.1 = truth, given))) AS known_at FROM ( \
             SELECT id, item, argMax(label, (labels.at, received_at)) AS truth, groupArray((label, received_at)) AS given \
             FROM labels WHERE id IN (SELECT id FROM labels WHERE received_at >= {MS}) GROUP BY id, item) \
           WHERE known_at >= {MS}) AS truths \
         ON answers.id = truths.id AND answers.item = truths.item"
    )
}

/// Pairs of answers, and failures of shadows. A failure says nothing of labels; that the model gives any, its own answers do:
/// of one without labels nothing is counted. The time is bound twice.
fn agreement(refused: &str) -> String {
    format!(
        "WITH ? AS asked SELECT at, NOT (answered AND primary_label = shadow_label) AS bad FROM comparisons \
         WHERE model = asked AND at >= {MS} AND outcome != '{refused}' AND (primary_label != '' OR NOT answered AND \
           (SELECT count() FROM observations WHERE model = asked AND at >= {MS} AND label != '') > 0)"
    )
}

/// What gives the events of an SLI since a time, and how often model and time are bound in it; `None` where nothing
/// that is stored tells.
fn events(slo: &Slo) -> Option<(String, usize)> {
    let of_items = |feature: &str, is_bad: &str| {
        format!("SELECT at, {is_bad} AS bad FROM features WHERE model = ? AND feature = '{feature}' AND at >= {MS}")
    };
    let refused = Outcome::Rejected.as_str();
    let counts = if slo.count_refusals { counted() } else { format!("{} AND outcome != '{refused}'", counted()) };
    let of_requests = |is_bad: &str| {
        format!("SELECT at, {is_bad} AS bad FROM observations WHERE model = ? AND at >= {MS} AND outcome IN {counts}")
    };
    let sql = match &slo.sli {
        Sli::Availability => of_requests(&format!("outcome IN {}", bad())),
        Sli::Latency { threshold_ms } => {
            of_requests(&format!("(outcome IN {} OR total_us / 1000 > {threshold_ms})", bad()))
        }
        Sli::SchemaValid => of_items(QUALITY_VIOLATIONS, "value > 0"),
        Sli::ConfidenceFloor { floor } => of_items(OUTPUT_CONFIDENCE, &format!("NOT value >= {floor}")),
        Sli::DriftFree => format!(
            "SELECT max(judged_at) AS at, max(state = 'drifted') AS bad FROM verdicts FINAL \
             WHERE model = ? AND state != 'insufficient' AND judged_at >= {MS} GROUP BY window_end"
        ),
        Sli::ShadowAgreement => return Some((agreement(refused), 2)),
        Sli::LabelAccuracy => return Some((labelled("known_at AS at, said != truth AS bad"), LABELLED_TIMES)),
        Sli::Events { .. } => return None,
    };
    Some((sql, 1))
}

impl Reader {
    /// Events of an objective since each of several times, in their order; zeros where nothing that is stored tells.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn slo_events(&self, slo: &Slo, since_ms: &[i64]) -> Result<Vec<EventCounts>, Error> {
        #[derive(Row, Deserialize)]
        struct Counts {
            totals: Vec<u64>,
            bads: Vec<u64>,
        }
        let (Some(oldest), Some((events, times))) = (since_ms.iter().min(), events(slo)) else {
            return Ok(vec![EventCounts::default(); since_ms.len()]);
        };
        let since = |ms: &i64| format!("at >= fromUnixTimestamp64Milli(toInt64({ms}), 'UTC')");
        let totals: Vec<String> = since_ms.iter().map(|ms| format!("countIf({})", since(ms))).collect();
        let bads: Vec<String> = since_ms.iter().map(|ms| format!("countIf({} AND bad)", since(ms))).collect();
        let sql = format!("SELECT [{}] AS totals, [{}] AS bads FROM ({events})", totals.join(", "), bads.join(", "));
        let query = self.store.client().query(&sql).bind(&slo.model);
        let query = (0..times).fold(query, |query, _| query.bind(*oldest));
        let row: Counts = self.store.bounded("SLO events", query.fetch_one()).await?;
        Ok(row.totals.into_iter().zip(row.bads).map(|(total, bad)| EventCounts { total, bad }).collect())
    }

    /// Events of an objective in a span, its end left out.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn slo_events_in(&self, slo: &Slo, span: Window) -> Result<EventCounts, Error> {
        #[derive(Row, Deserialize)]
        struct Counts {
            total: u64,
            // an alias `bad` would be read inside the aggregate
            spent: u64,
        }
        let Some((events, times)) = events(slo) else { return Ok(EventCounts::default()) };
        let sql = format!("SELECT count() AS total, countIf(bad) AS spent FROM ({events}) WHERE at < {MS}");
        let query = self.store.client().query(&sql).bind(&slo.model);
        let query = (0..times).fold(query, |query, _| query.bind(span.start_ms));
        let row: Counts = self.store.bounded("SLO events", query.bind(span.end_ms).fetch_one()).await?;
        Ok(EventCounts { total: row.total, bad: row.spent })
    }

    /// Answers of a model that were labelled since a time.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn labelled(&self, model: &str, since_ms: i64) -> Result<LabelledCounts, Error> {
        let columns = "answers.id AS id, answers.item AS item, said = truth AS is_correct";
        let sql = format!(
            "SELECT count() AS labelled, countIf(is_correct) AS correct, \
               avgIf(value, is_known = 1 AND isFinite(value)) AS confidence FROM ({}) AS known \
             LEFT JOIN (SELECT id, item, value, 1 AS is_known FROM features WHERE model = ? AND feature = '{OUTPUT_CONFIDENCE}' \
               AND id IN (SELECT id FROM labels WHERE received_at >= {MS})) AS sure \
             ON known.id = sure.id AND known.item = sure.item",
            labelled(columns)
        );
        let query = self.store.client().query(&sql).bind(model);
        let query = (0..LABELLED_TIMES).fold(query, |query, _| query.bind(since_ms));
        self.store.bounded("labelled answers", query.bind(model).bind(since_ms).fetch_one()).await
    }
}
