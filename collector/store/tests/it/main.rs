//! Tests against the real engine.
#![allow(clippy::unwrap_used)]

mod engine;
mod house;
mod migrate;
mod views;
mod write;
