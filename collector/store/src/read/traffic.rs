//! Traffic and SLO events, counted from observations by the time the request arrived.

use clickhouse::Row;
use contract::slo::Sli;
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

/// Counted and bad events since a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventCounts {
    /// Counted events.
    pub total: u64,
    /// Bad ones.
    pub bad: u64,
}

fn counted() -> String {
    words(Outcome::ALL.iter().filter(|o| o.is_valid_event()).map(|o| o.as_str()))
}

fn bad() -> String {
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

    /// Events of an SLI since each of several times, in their order.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn slo_events(&self, model: &str, sli: &Sli, since_ms: &[i64]) -> Result<Vec<EventCounts>, Error> {
        #[derive(Row, Deserialize)]
        struct Counts {
            totals: Vec<u64>,
            bads: Vec<u64>,
        }
        let Some(oldest) = since_ms.iter().min() else { return Ok(Vec::new()) };
        let spent = match sli {
            Sli::Availability => format!("outcome IN {}", bad()),
            Sli::Latency { threshold_ms } => {
                format!("(outcome IN {} OR total_us / 1000 > {threshold_ms})", bad())
            }
        };
        let since = |ms: &i64| format!("at >= fromUnixTimestamp64Milli(toInt64({ms}), 'UTC')");
        let totals: Vec<String> = since_ms.iter().map(|ms| format!("countIf({})", since(ms))).collect();
        let bads: Vec<String> = since_ms.iter().map(|ms| format!("countIf({} AND {spent})", since(ms))).collect();
        let sql = format!(
            "SELECT [{}] AS totals, [{}] AS bads FROM observations WHERE model = ? AND at >= {MS} AND outcome IN {}",
            totals.join(", "),
            bads.join(", "),
            counted()
        );
        let query = self.store.client().query(&sql).bind(model).bind(*oldest);
        let row: Counts = self.store.bounded("SLO events", query.fetch_one()).await?;
        Ok(row.totals.into_iter().zip(row.bads).map(|(total, bad)| EventCounts { total, bad }).collect())
    }
}
