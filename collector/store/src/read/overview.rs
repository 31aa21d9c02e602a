//! Sizes of tables.

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use super::Reader;
use crate::Error;

/// Rows stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct RowCounts {
    /// In `observations`.
    pub observations: u64,
    /// In `payloads`.
    pub payloads: u64,
    /// In `labels`.
    pub labels: u64,
}

impl Reader {
    /// Rows of the tables that people ask about; ClickHouse knows them without reading.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn row_counts(&self) -> Result<RowCounts, Error> {
        let sql = "SELECT assumeNotNull((SELECT count() FROM observations)) AS observations, \
                   assumeNotNull((SELECT count() FROM payloads)) AS payloads, \
                   assumeNotNull((SELECT count() FROM labels)) AS labels";
        self.store.bounded("row counts", self.store.client().query(sql).fetch_one()).await
    }
}
