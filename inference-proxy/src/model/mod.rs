//! From a folder on disk to a session that answers.
//!
//! This is what the edge sees of models: a [`Catalog`] by name, a [`Version`] that runs, [`Input`] in, [`Answer`] or
//! [`RunError`] out. A [`Version`] exists only for a folder that passed its pairing checks, so whoever holds one
//! can ask it for its metadata and run it; what is loading, failed or unloaded is known to the catalog alone.

mod answer;
mod audit;
mod backend;
mod batch;
mod breaker;
mod card;
mod catalog;
pub mod config;
mod cost;
mod device;
mod entities;
mod fallback;
mod folder;
mod golden;
mod graph;
mod head;
mod invariance;
mod labels;
mod load;
mod manifest;
mod memory;
mod metadata;
mod metrics;
mod onnx;
mod outputs;
mod pairing;
mod passages;
mod plan;
mod pool;
mod pooling;
mod price;
mod queue;
pub mod raw;
mod retire;
mod roles;
mod routing;
mod rows;
mod runtime;
mod schema;
mod sentence;
mod session;
mod shelf;
mod stats;
mod status;
mod task;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod text;
mod tune;
mod validate;
mod values;
mod version;
mod window;

pub use answer::{Answer, Classes, Input, RunError, TextStats, Urgency, Whose};
pub use backend::Version;
pub use breaker::{BreakerState, Pass};
pub use catalog::{Catalog, IndexEntry, LoadError, LookupError, OpenError};
pub use config::{ModelsConfig, RawModelsConfig};
pub use device::{Arena, OnFailure, RawCuda, RawDevice};
pub use entities::Entity;
pub use fallback::{Fallen, RULE, Served};
pub(crate) use graph::TEXT_PAIR;
pub use manifest::{Pin, PinError, Pinned, TrustedKey, keygen, pin};
pub use metadata::{Metadata, Task, TensorSpec};
pub use pairing::{Check, CheckResult, Report, verify, verify_signed};
pub use roles::Changed;
pub use routing::{Asker, Assignment, RawCanary};
pub(crate) use rows::bytes as data_bytes;
pub use runtime::library_build;
pub use schema::{Breach, Schema, Violation};
pub use stats::{Parts as RunParts, Span, Statistics};
pub(crate) use status::Status;
pub use status::{Role, State};
pub(crate) use version::Local;
