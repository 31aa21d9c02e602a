//! How many labels are the reference of errors, and how long they are waited for.

use std::time::Duration;

use host::config::Faults;

use super::RawConfig;

/// The reference of errors, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabelsConfig {
    /// Labelled answers of a version, the first to arrive.
    pub reference: u64,
    /// Fewer will do, at least so many, where the first of them arrived [`Self::patience_ms`] ago.
    pub least: u64,
    /// Milliseconds.
    pub patience_ms: i64,
}

pub(super) fn check(raw: &RawConfig, faults: &mut Faults) -> LabelsConfig {
    let (most, least, time) = (raw.label_reference, raw.min_label_reference, raw.label_reference_time);
    let sentence = format!("is {least}; write a number from 1 to label_reference ({most})");
    faults.check((1..=most.max(1)).contains(&least), "analyzer.min_label_reference", sentence);
    let year = Duration::from_secs(366 * 86_400);
    let sentence = format!("is {time:?}; write a time up to a year");
    faults.check(time <= year, "analyzer.label_reference_time", sentence);
    let patience_ms = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    LabelsConfig { reference: most, least, patience_ms }
}
