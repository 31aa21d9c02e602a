//! Receives observations, masks them again, logs them durably and inserts them exactly once.
//!
//! Read [`pipeline`] first: decode, mask, append, fsync, acknowledge. Then `insert`, which carries segments of the log
//! into ClickHouse and deletes them.
//!
//! | module | what |
//! |---|---|
//! | [`pipeline`] | one post from bytes to acknowledgement |
//! | `receive` | HTTP: media types, statuses, sentences |
//! | `budget` | the memory of all open posts together |
//! | `decode` | bytes to a batch, and what is wrong with them |
//! | `check` | what a batch may hold |
//! | `record` | what a frame of the log holds |
//! | [`names`] | names of people, places and organisations, asked of a model |
//! | [`log`] | segments, group commit, high-water marks |
//! | `kserve` | requests and responses that are logged apart, and how they are joined |
//! | `insert` | segments into ClickHouse, quarantine |
//! | [`erase`] | a subject's records out of what lies on disk |
//! | [`service`] | put together and run |
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod budget;
mod check;
pub mod config;
mod decode;
pub mod erase;
#[doc(hidden)]
pub mod fuzzing;
mod insert;
mod kserve;
pub mod log;
mod metrics;
#[cfg(test)]
mod model;
pub mod names;
pub mod pipeline;
mod receive;
mod record;
pub mod service;

pub use config::{Config, RawConfig};
pub use service::{Deps, Service, build};
