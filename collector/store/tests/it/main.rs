//! Tests against the real engine.
#![allow(clippy::unwrap_used)]

mod cluster;
mod engine;
mod erase;
mod files;
mod house;
mod migrate;
mod shards;
mod views;
mod write;
