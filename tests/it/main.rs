//! End-to-end tests with real processes, and the laws of the house. One binary, so that it links once.

mod commands;
mod edge;
mod errors;
mod grpc;
mod harness;
mod loss;
mod page;
mod privacy;
mod switch;
mod tidy;
mod whole;
