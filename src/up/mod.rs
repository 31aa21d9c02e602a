//! The one-machine mode: a supervisor that starts the engine and each role as a child process, restarts what dies,
//! prefixes their logs, prints where everything is, and stops them in order.

mod child;
mod keeper;
mod lock;
mod part;
mod private_key;
mod supervisor;
mod waiting;

pub use child::Report;
pub use supervisor::run;
