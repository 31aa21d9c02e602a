//! KServe's payload logger: CloudEvents 1.0 in binary mode, a request and its response apart, joined here by their id.
//!
//! Read [`half`] for what one of them says, [`join`] for how they wait for each other, [`joiner`] for why nothing that was
//! acknowledged is lost on the way.

pub(crate) mod body;
pub mod config;
mod features;
pub(crate) mod half;
pub(crate) mod join;
pub(crate) mod joiner;
