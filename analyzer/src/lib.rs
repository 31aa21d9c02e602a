//! Turns stored observations into drift verdicts, distributions, burn rates and shadow verdicts.
//!
//! [`cycle`] is the file to read first: window, judge, publish. [`judge`] is pure: numbers and time come in, verdicts go out.
//! ClickHouse counts, this crate decides; it knows no SQL.
//!
//! | module | what |
//! |---|---|
//! | [`config`] | the `[analyzer]` section |
//! | [`service`] | what the binary builds and runs |
//! | [`cycle`] | the data path |
//! | [`baseline`] | references frozen from stored rows or files |
//! | [`judge`] | statistics and verdicts, without I/O |
//! | [`offline`] | two files compared, as a report |
//! | [`rollout`] | proxies told of shadows' verdicts |
//! | [`replay`] | another version asked what was asked before |
//! | [`publish`] | verdicts as metrics |
//! | [`api`] | JSON and the page's files |
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod api;
pub mod baseline;
pub mod config;
pub mod cycle;
pub mod judge;
pub mod offline;
pub mod publish;
pub mod replay;
pub mod rollout;
pub mod service;
