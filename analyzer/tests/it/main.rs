//! Tests of the analyzer as a whole: against scipy's figures, in simulation, and against the real engine.
#![allow(clippy::unwrap_used)]

mod api;
mod baselines;
mod cycle;
mod house;
mod ks_oracle;
mod labels;
mod openapi;
mod page;
mod references;
mod rollouts;
mod segments;
mod simulation;
mod store_read;
mod tests_oracle;
mod wide;
