//! The rows of a log segment, one block a table, inserted exactly once.
//!
//! The choice: the bytes of a block are made once and kept until ClickHouse says yes. An insert has three outcomes: done,
//! definitely not done, unknown. After anything but the first try of a fresh segment the rows that carry the segment's id
//! are counted before the block is sent again, because the engine's own log of insert tokens can vanish or mislead
//! around a kill; and they are counted after every insert, because a yes alone proves nothing. A block is one insert of one partition and so one part: all of its rows are there, or none.

mod block;
mod rows;

use std::future::Future;

use clickhouse::Row;
use serde::Deserialize;

pub use block::{Block, Table};
pub use rows::{EncodedSegment, Heartbeat, SegmentBuilder};

use crate::cluster::Layout;
use crate::{Error, Store};

/// How a block came to be in its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// ClickHouse took it now.
    Now,
    /// An earlier try, of which the outcome was not known, had put it there.
    Before,
}

/// Tokens that are tried before a block that will not stay is left to a later try: each kill leaves one more without rows.
const TOKENS_MAX: u32 = 16;
/// A yes without rows that is said so often to one token is the engine's own, and no other's between honest counts.
const YESES_MAX: u32 = 3;
/// Rows that are compressed and sent at once: few enough that they stay in a processor's cache meanwhile.
const PIECE_BYTES: usize = 256 << 10;

/// What inserting exactly once needs of a database.
pub trait Tables: Send + Sync + 'static {
    /// Makes the tables where they are absent.
    fn prepare(&self) -> impl Future<Output = Result<(), Error>> + Send;

    /// The rows of the block's segment that are in its table.
    fn count(&self, block: &Block) -> impl Future<Output = Result<u64, Error>> + Send;

    /// Inserts the block, whole or not at all; does nothing, successfully, where the token was used before.
    fn put(&self, block: &Block, token: &str) -> impl Future<Output = Result<(), Error>> + Send;
}

#[derive(Row, Deserialize)]
struct Count {
    n: u64,
}

#[derive(Row, Deserialize)]
struct Difference {
    n: i64,
}

/// Inserts a block. `look_first` unless this is the first try ever for this segment and table.
///
/// # Errors
/// [`Error::Unavailable`] where nothing is known: try again with `look_first`. [`Error::Refused`] where ClickHouse said
/// no; [`Error::is_data_refused`] tells whether the data is the reason.
pub async fn write_block(tables: &impl Tables, block: &Block, look_first: bool) -> Result<Inserted, Error> {
    if look_first && holds(tables, block).await? {
        return Ok(Inserted::Before);
    }
    for number in 0..TOKENS_MAX {
        // always the same tokens in the same order: one whose insert is still under way must not be passed by another
        let token = token(block, number);
        for _ in 0..YESES_MAX {
            tables.put(block, &token).await?;
            // a yes is not believed: something else may answer in ClickHouse's place, and a count it cannot answer
            if holds(tables, block).await? {
                return Ok(Inserted::Now);
            }
        }
        // so the engine remembers the token without its rows, and swallows the block
        tracing::warn!(table = block.table().name(), segment = %block.segment(), number, "an insert left no rows; again");
    }
    let message = format!("it took segment {} {TOKENS_MAX} times and has no row of it", block.segment());
    Err(Error::Refused { code: None, message })
}

fn token(block: &Block, number: u32) -> String {
    let segment = block.segment();
    if number == 0 { segment.to_string() } else { format!("{segment}-again{number}") }
}

/// Whether rows of the block's segment are in its table.
async fn holds(tables: &impl Tables, block: &Block) -> Result<bool, Error> {
    let n = tables.count(block).await?;
    // fewer: the rest is past its time to live; more: somebody wrote past us, which a person must look at
    if n > block.rows() {
        let (table, segment) = (block.table().name(), block.segment());
        tracing::error!(table, %segment, n, expected = block.rows(), "a segment has more rows than were logged");
    }
    Ok(n > 0)
}

impl Store {
    /// [`write_block`] into this database.
    ///
    /// # Errors
    /// As there.
    pub async fn write_block(&self, block: &Block, look_first: bool) -> Result<Inserted, Error> {
        write_block(self, block, look_first).await
    }

    /// The rows of a segment of which those servers that answer have none. None is believed when every server has said
    /// so, or every shard by a replica that has all of it; where neither is, nothing is known.
    async fn none_or_more(&self, block: &Block) -> Result<u64, Error> {
        let everybody = self.rows_of_segment(block, false).await;
        let Some(sql) = self.layout().count_silent_shards(block.table().name()) else { return everybody };
        let Err(away) = everybody else { return everybody };
        // before and after the count: whoever spoke for a shard was there in between
        if self.silent_shards(&sql).await? > 0 {
            return Err(away);
        }
        match self.rows_of_segment(block, true).await? {
            0 if self.silent_shards(&sql).await? > 0 => Err(away),
            n => Ok(n),
        }
    }

    async fn silent_shards(&self, sql: &str) -> Result<i64, Error> {
        Ok(self.bounded("the replicas of a cluster", self.client().query(sql).fetch_one::<Difference>()).await?.n)
    }

    async fn rows_of_segment(&self, block: &Block, lenient: bool) -> Result<u64, Error> {
        let sql = self.layout().count_segment(block.table().name(), lenient);
        let query = self.client().query(&sql).bind(block.segment().to_string());
        Ok(self.bounded("the rows of a segment", query.fetch_one::<Count>()).await?.n)
    }
}

impl Tables for Store {
    async fn prepare(&self) -> Result<(), Error> {
        self.migrate().await.map(drop)
    }

    async fn count(&self, block: &Block) -> Result<u64, Error> {
        match self.rows_of_segment(block, true).await? {
            0 if *self.layout() != Layout::Single => self.none_or_more(block).await,
            n => Ok(n),
        }
    }

    async fn put(&self, block: &Block, token: &str) -> Result<(), Error> {
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
        self.bounded("an insert", async move {
            for piece in block.pieces(PIECE_BYTES) {
                insert.send(piece).await?;
            }
            insert.end().await
        })
        .await
    }
}
