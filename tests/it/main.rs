//! End-to-end tests with real processes, and the laws of the house. One binary, so that it links once.

mod baselines;
mod boards;
mod commands;
mod doors;
mod edge;
mod errors;
mod grpc;
mod harness;
mod loss;
mod monitoring;
mod names;
mod page;
mod privacy;
mod rollouts;
mod runbooks;
mod silences;
mod switch;
mod tidy;
mod whole;
