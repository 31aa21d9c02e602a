//! Recognizes and replaces personal data; the only maker of a [`MaskedSample`]. Pure: no clock, no I/O.
//!
//! Reading order: `observation.rs` (what of an observation is gone over), `text.rs` (what is done to a text),
//! `triggers.rs` (the scan that most texts end with; `scan.rs` below it), then `recognize/` (a file a family;
//! `national.rs` is the table of countries' identifiers, `words.rs` that of the words beside weak ones), and `naming.rs`
//! (names, which only a model finds). The choices:
//!
//! * Rules with validators (checksums, structure, issuer and country tables, context words), no model: what is masked
//!   can be explained, costs microseconds, and is the same in proxy and collector.
//! * A text is folded before it is searched (full-width forms, other scripts' digits, zero-width characters, line
//!   breaks), and what is found is replaced in the original.
//! * A text is gone over until nothing more is found, so masking the output of the masker finds nothing.
//! * Whatever passes a limit is withheld whole: the masker fails closed.
//!
//! A sample that was not masked cannot be made, not even from bytes, so it cannot be stored:
//!
//! ```compile_fail,E0277
//! let sample: masking::MaskedSample = serde_json::from_str("{}").unwrap();
//! ```
//!
//! ```compile_fail,E0423
//! fn store(_: masking::MaskedSample) {}
//! fn smuggle(plain: contract::wire::Observation) {
//!     store(masking::MaskedSample(plain));
//! }
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod config;
mod entity;
mod fold;
mod json;
mod names;
mod naming;
mod observation;
mod operator;
mod recognize;
mod rule;
mod sample;
mod scan;
mod text;
mod triggers;

pub use config::{RawConfig, RawField, RawKeys, RawOperator, RawRule};
pub use entity::{Entity, Hits, Strength};
pub use naming::{Answered, Finding, Inquiry, Known, Memo, RawNamed, RawNames};
pub use observation::{Found, Masked, Masker, Span, Withheld};
pub use rule::Validator;
pub use sample::MaskedSample;
pub use text::Given;

/// The word in [`contract::wire::Payload::Withheld`] when a payload passed one of the masker's limits.
pub const WITHHELD_LIMIT: &str = "masking_limit";
/// The same when a rule of the configuration passed its budget of bytes or matches.
pub const WITHHELD_RULE: &str = "masking_rule";
/// The same when a recognizer failed.
pub const WITHHELD_ERROR: &str = "masking_error";
/// The same when a text that may hold names was not answered for by the model that finds them.
pub const WITHHELD_NAMES: &str = "names_unavailable";
/// The same when there is more text than that model may be asked about.
pub const WITHHELD_NAMES_LIMIT: &str = "names_limit";
