//! ClickHouse, embedded or by URL: migrations, typed writes, typed reads.
//!
//! Only this crate knows SQL text and the `clickhouse` crate. It speaks in domain types: a writer takes
//! [`masking::MaskedSample`]s and nothing else, so storing an unmasked sample does not compile.
//!
//! | module | what |
//! |---|---|
//! | [`connection`] | where the database is, and one client for it |
//! | `cluster` | how the same tables lie on a cluster |
//! | `migrate` | numbered SQL files, applied once, checked by hash |
//! | [`engine`] | the embedded engine: libchdb in a child process that listens on loopback |
//! | [`files`] | tables in files: CSV, Parquet, JSON lines |
//! | [`write`] | rows of a log segment, one block a table, inserted once |
//! | `read` | what the analyzer asks |
//! | [`retention`], [`status`], [`erase`] | how long rows are kept, what there is, a subject's rows given out and deleted |
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod cluster;
pub mod connection;
pub mod engine;
pub mod erase;
pub mod error;
pub mod files;
mod migrate;
pub mod read;
pub mod retention;
pub mod status;
pub mod write;

pub use connection::{Config, RawConfig, Store};
pub use error::Error;
