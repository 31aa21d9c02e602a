//! Serves ONNX models over the Open Inference Protocol, or fronts a server that does, and mirrors every request.
//!
//! Read `stack.rs` first: the way of a request, one layer a line. Then `model/`: from a folder on disk to a
//! session that answers. Then `mirror/`: from an answer to a batch that the collector has acknowledged.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod admin;
pub mod cache;
pub mod config;
pub mod encoding;
pub mod error;
pub mod features;
pub mod fuzzing;
pub mod gpu;
pub mod grpc;
pub mod handle;
pub mod mirror;
pub mod model;
pub mod observe;
pub mod offload;
pub mod oip;
pub mod openapi;
pub mod outcome;
pub mod overview;
pub mod page;
pub mod predict;
pub mod pseudonym;
pub mod room;
pub mod service;
pub mod shadow;
pub mod spans;
pub mod stack;
pub mod tensor;
pub mod trace;
mod triton;
pub mod upstream;
pub mod waiting;

pub use config::{Config, RawConfig};
pub use service::{BuildError, Deps, Service, build};
