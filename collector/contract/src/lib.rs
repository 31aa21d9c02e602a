//! The wire, the names and the SLO file: what two or more services must agree on.
//!
//! Everything here is pure: types, constants and their serialisation. A type belongs here when it crosses
//! HTTP between two of our processes ([`wire`], [`api`]), names something outside a process ([`metrics`],
//! [`views`], [`feature`], [`segment`], [`headers`]) or is a file that several services read or check ([`slo`], [`faults`]). No
//! clock, no I/O, no async runtime.

pub mod api;
pub mod faults;
pub mod feature;
pub mod headers;
pub mod metrics;
pub mod segment;
pub mod slo;
pub mod views;
pub mod wire;
