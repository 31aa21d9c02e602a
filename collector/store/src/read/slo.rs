//! Events of service level objectives, counted from stored rows.
//!
//! Each kind of SLI is one subquery with two columns, when an event counts (`at`) and whether it spent budget (`bad`);
//! everything else is the same for all. An event counts from the time it is known: a label when it arrives, a verdict
//! when it is given, everything else when its request arrived.

use clickhouse::Row;
use contract::feature::{OUTPUT_CONFIDENCE, QUALITY_VIOLATIONS};
use contract::slo::{Sli, Slo};
use contract::wire::Outcome;
use serde::{Deserialize, Serialize};

use super::labelled::{Arrived, labelled};
use super::shadows::{PAIRED, Tolerance};
use super::traffic::{bad, counted};
use super::{MS, Reader, Window};
use crate::Error;

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

/// Pairs of answers, and failures of shadows. A failure says nothing of what was to be compared; that the model's answers can be,
/// others of its own do: of one without labels or gaps nothing is counted. The time is bound three times.
fn agreement(refused: &str, tolerance: Tolerance) -> String {
    format!(
        "WITH ? AS asked SELECT at, NOT (answered AND {agrees}) AS bad FROM comparisons \
         WHERE model = asked AND at >= {MS} AND outcome != '{refused}' AND ({PAIRED} OR NOT answered AND \
           ((SELECT count() FROM observations WHERE model = asked AND at >= {MS} AND label != '') > 0 \
            OR (SELECT count() FROM comparisons WHERE model = asked AND at >= {MS} AND compared != '') > 0))",
        agrees = tolerance.agrees()
    )
}

/// What gives the events of an SLI since a time, and how often that is bound in it after the model; `None` where nothing that is
/// stored tells. Of labels, what was known when the span ended.
fn events(slo: &Slo, tolerance: Tolerance, arrived: Arrived) -> Option<(String, usize)> {
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
        Sli::ShadowAgreement => return Some((agreement(refused, tolerance), 3)),
        Sli::LabelAccuracy => return Some((labelled("known_at AS at, said != truth AS bad", arrived), 0)),
        Sli::Events { .. } => return None,
    };
    Some((sql, 1))
}

impl Reader {
    /// Events of an objective since each of several times, in their order; zeros where nothing that is stored tells. The model's
    /// tolerance says which answers of a shadow agree.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn slo_events(
        &self,
        slo: &Slo,
        tolerance: Tolerance,
        since_ms: &[i64],
    ) -> Result<Vec<EventCounts>, Error> {
        #[derive(Row, Deserialize)]
        struct Counts {
            totals: Vec<u64>,
            bads: Vec<u64>,
        }
        let none = || vec![EventCounts::default(); since_ms.len()];
        let Some(oldest) = since_ms.iter().min() else { return Ok(none()) };
        let Some((events, times)) = events(slo, tolerance, Arrived::since(*oldest)) else { return Ok(none()) };
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
    pub async fn slo_events_in(&self, slo: &Slo, tolerance: Tolerance, span: Window) -> Result<EventCounts, Error> {
        #[derive(Row, Deserialize)]
        struct Counts {
            total: u64,
            // an alias `bad` would be read inside the aggregate
            spent: u64,
        }
        let Some((events, times)) = events(slo, tolerance, Arrived::within(span)) else {
            return Ok(EventCounts::default());
        };
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
        let arrived = Arrived::since(since_ms);
        let columns = "answers.id AS id, answers.item AS item, said = truth AS is_correct";
        let sql = format!(
            "SELECT count() AS labelled, countIf(is_correct) AS correct, \
               avgIf(value, is_known = 1 AND isFinite(value)) AS confidence FROM ({}) AS known \
             LEFT JOIN (SELECT id, item, value, 1 AS is_known FROM features WHERE model = ? AND feature = '{OUTPUT_CONFIDENCE}' \
               AND id IN ({})) AS sure \
             ON known.id = sure.id AND known.item = sure.item",
            labelled(columns, arrived),
            arrived.ids()
        );
        let query = self.store.client().query(&sql).bind(model).bind(model);
        self.store.bounded("labelled answers", query.fetch_one()).await
    }
}
