//! Who sends, and which models are seen.

use clickhouse::Row;
use contract::wire::{Outcome, UNNAMED};
use serde::{Deserialize, Serialize};

use super::{MS, Reader};
use crate::Error;

/// A sender's newest heartbeat.
#[derive(Clone, Debug, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct SourceSeen {
    /// Its name.
    pub source: String,
    /// When it closed its newest batch.
    pub sent_at_ms: i64,
    /// When the collector had it.
    pub received_at_ms: i64,
    /// Requests started since its epoch.
    pub observed: u64,
    /// Observations acknowledged.
    pub delivered: u64,
    /// Observations lost.
    pub dropped: u64,
    /// Observations under way.
    pub in_flight: u64,
}

/// A model that was asked lately.
#[derive(Clone, Debug, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct ModelSeen {
    /// Its name.
    pub model: String,
    /// The version that gave most of the latest answers; without any, the one asked last.
    pub version: String,
    /// All versions that gave some of them.
    pub answering: Vec<String>,
    /// The oldest of the observations looked at.
    pub first_at_ms: i64,
    /// The newest.
    pub last_at_ms: i64,
}

impl Reader {
    /// The newest heartbeat of every source that was received since a time.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn sources(&self, since_ms: i64) -> Result<Vec<SourceSeen>, Error> {
        let sql = format!(
            "SELECT toString(source) AS source, \
               toUnixTimestamp64Milli(max(sent_at)) AS sent_at_ms, \
               toUnixTimestamp64Milli(max(received_at)) AS received_at_ms, \
               argMax(observed, (epoch, seq)) AS observed, argMax(delivered, (epoch, seq)) AS delivered, \
               argMax(dropped, (epoch, seq)) AS dropped, argMax(in_flight, (epoch, seq)) AS in_flight \
             FROM heartbeats WHERE received_at >= {MS} GROUP BY source ORDER BY source"
        );
        let query = self.store.client().query(&sql).bind(since_ms);
        self.store.bounded("the sources", query.fetch_all()).await
    }

    /// Models with observations since a time, at most `limit`, busiest first; requests that named none are of none. Answers since `lately_ms` say which version
    /// answers: one request may be led to another by a canary, a fallback or its own wish, or ask for one that does not exist.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn models(&self, since_ms: i64, lately_ms: i64, limit: u64) -> Result<Vec<ModelSeen>, Error> {
        let sql = format!(
            "SELECT toString(model) AS model, toString(argMax(one, (lately, answered, newest))) AS version, \
               groupArrayIf(toString(one), lately > 0) AS answering, \
               toUnixTimestamp64Milli(min(oldest)) AS first_at_ms, toUnixTimestamp64Milli(max(newest)) AS last_at_ms FROM ( \
               SELECT o.model AS model, o.version AS one, count() AS asked, min(o.at) AS oldest, max(o.at) AS newest, \
                 countIf(o.outcome = '{ok}' AND o.at >= {MS}) AS lately, maxIf(o.at, o.outcome = '{ok}') AS answered \
               FROM observations AS o WHERE o.at >= {MS} AND NOT (o.model = '{UNNAMED}' AND o.version = '{UNNAMED}') GROUP BY model, one) \
             GROUP BY model ORDER BY sum(asked) DESC, model LIMIT ?",
            ok = Outcome::Ok.as_str()
        );
        let query = self.store.client().query(&sql).bind(lately_ms).bind(since_ms).bind(limit);
        self.store.bounded("the models", query.fetch_all()).await
    }

    /// Requests since a time that named no model that exists.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn unnamed(&self, since_ms: i64) -> Result<u64, Error> {
        let sql = format!(
            "SELECT count() FROM observations WHERE model = '{UNNAMED}' AND version = '{UNNAMED}' AND at >= {MS}"
        );
        let query = self.store.client().query(&sql).bind(since_ms);
        self.store.bounded("the requests that named no model", query.fetch_one()).await
    }
}
