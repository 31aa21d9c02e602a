//! Who sends, and which models are seen.

use clickhouse::Row;
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
    /// The version that answered last.
    pub version: String,
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

    /// Models with observations since a time, at most `limit`, busiest first.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn models(&self, since_ms: i64, limit: u64) -> Result<Vec<ModelSeen>, Error> {
        let sql = format!(
            "SELECT toString(model) AS model, toString(argMax(version, at)) AS version, \
               toUnixTimestamp64Milli(min(at)) AS first_at_ms, toUnixTimestamp64Milli(max(at)) AS last_at_ms \
             FROM observations WHERE at >= {MS} GROUP BY model ORDER BY count() DESC, model LIMIT ?"
        );
        let query = self.store.client().query(&sql).bind(since_ms).bind(limit);
        self.store.bounded("the models", query.fetch_all()).await
    }
}
