//! The rows of a log segment, one block a table, inserted exactly once.
//!
//! The choice: the bytes of a block are made once and kept until ClickHouse says yes. An insert has three outcomes: done,
//! definitely not done, unknown. After anything but the first try of a fresh segment the rows that carry the segment's id
//! are counted before the block is sent again, because the engine's own log of insert tokens can vanish or mislead
//! around a kill. A block is one insert of one partition and so one part: all of its rows are there, or none.

mod block;
mod rows;

use clickhouse::Row;
use serde::Deserialize;

pub use block::{Block, Table};
pub use rows::{EncodedSegment, Heartbeat, SegmentBuilder};

use crate::{Error, Store};

/// How a block came to be in its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// ClickHouse took it now.
    Now,
    /// An earlier try, of which the outcome was not known, had put it there.
    Before,
}

/// Tokens that may have lost their rows to kills before rows that vanish must have passed their time to live.
const AGAIN_MAX: u32 = 4;
/// A chunk of a request's body.
const CHUNK_BYTES: usize = 1 << 20;

#[derive(Row, Deserialize)]
struct Count {
    n: u64,
}

impl Store {
    /// Inserts a block. `look_first` unless this is the first try ever for this segment and table.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where nothing is known: try again with `look_first`. [`Error::Refused`] where ClickHouse said
    /// no; [`Error::is_data_refused`] tells whether the data is the reason.
    pub async fn write_block(&self, block: &Block, look_first: bool) -> Result<Inserted, Error> {
        if look_first && self.holds(block).await? {
            return Ok(Inserted::Before);
        }
        let token = block.segment().to_string();
        self.insert(block, &token).await?;
        // a token that the engine remembers without its rows would swallow the block
        for again in 1..=AGAIN_MAX {
            if !look_first || self.holds(block).await? {
                break;
            }
            // each kill can leave one more token without rows, so the next token is not trusted either
            tracing::warn!(table = block.table().name(), segment = %block.segment(), again, "an insert was swallowed; again");
            self.insert(block, &format!("{token}-again{again}")).await?;
        }
        Ok(Inserted::Now)
    }

    /// Whether rows of the block's segment are in its table.
    async fn holds(&self, block: &Block) -> Result<bool, Error> {
        let (table, segment) = (block.table().name(), block.segment());
        let sql = format!("SELECT count() AS n FROM {table} WHERE segment = toUUID(?)");
        let query = self.client().query(&sql).bind(segment.to_string());
        let n = self.bounded("the rows of a segment", query.fetch_one::<Count>()).await?.n;
        // fewer: the rest is past its time to live; more: somebody wrote past us, which a person must look at
        if n > block.rows() {
            tracing::error!(table, %segment, n, expected = block.rows(), "a segment has more rows than were logged");
        }
        Ok(n > 0)
    }

    async fn insert(&self, block: &Block, token: &str) -> Result<(), Error> {
        let sql = format!("INSERT INTO {} ({}) FORMAT RowBinary", block.table().name(), block.table().columns());
        let limit = Some(self.request_timeout());
        let mut insert = self
            .client()
            .insert_formatted_with(sql)
            .with_setting("insert_deduplication_token", token)
            .with_setting("async_insert", "0")
            // one block, whatever its size: a block is what is inserted whole
            .with_setting("input_format_parallel_parsing", "0")
            .with_setting("max_insert_block_size", u64::MAX.to_string())
            .with_setting("min_insert_block_size_rows", u64::MAX.to_string())
            .with_setting("min_insert_block_size_bytes", u64::MAX.to_string())
            .with_setting("max_insert_threads", "1")
            .with_timeouts(limit, limit);
        let mut rest = block.bytes();
        self.bounded("an insert", async move {
            while !rest.is_empty() {
                insert.send(rest.split_to(rest.len().min(CHUNK_BYTES))).await?;
            }
            insert.end().await
        })
        .await
    }
}
