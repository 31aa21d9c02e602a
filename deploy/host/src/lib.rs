//! The process and its edge: configuration, logs, metrics, health, signals, limits.
//!
//! What every role needs to be a good process, and nothing of what a role does. Nothing here is global: the
//! registry, the clock, the listener and the shutdown token are values that `main` makes and hands on.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod audit;
pub mod auth;
pub mod client;
pub mod clock;
pub mod config;
mod connection;
pub mod edge;
pub mod gate;
mod linger;
pub mod logs;
pub mod metrics;
pub mod openapi;
mod pace;
pub mod process;
pub mod rate;
pub mod serve;
pub mod signals;
pub mod tls;
