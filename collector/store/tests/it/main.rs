//! Tests against the real engine.
#![allow(clippy::unwrap_used)]

mod engine;
mod house;
mod views;
mod write;
