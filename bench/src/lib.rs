//! The evidence commands: what was promised beside what was measured, in one table a command.
//!
//! Each program in `src/bin/` declares its rows first, then runs experiments that fill them. A row that nothing filled
//! is red, so a promise cannot be forgotten. The exit code is 0 only if every row holds.

pub mod command;
pub mod house;
pub mod load;
pub mod machine;
pub mod table;

/// The middle one, of an even number the upper of the two; not a number of none.
#[must_use]
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
