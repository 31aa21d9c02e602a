//! How shadows run: as typed, and as meant.

use std::time::Duration;

use host::config::Faults;
use serde::{Deserialize, Serialize};

use super::MAX_CONCURRENT;

/// How shadows run, as typed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawShadowing {
    /// A shadow that has not answered by then counts as timed out.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// Requests that may wait for one shadow; one more is shed.
    pub max_waiting: usize,
    /// Share of `max_concurrent_requests` in use, 0 to 1, from which every shadow run is shed.
    pub shed_above: f64,
}

impl Default for RawShadowing {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(5), max_waiting: 256, shed_above: 0.5 }
    }
}

/// How shadows run.
#[derive(Clone, Copy, Debug)]
pub struct Shadowing {
    pub(crate) timeout: Duration,
    pub(crate) max_waiting: usize,
    /// From so many open requests on, shadows are shed.
    pub(crate) shed_from: usize,
}

impl RawShadowing {
    pub(super) fn check(&self, max_concurrent: usize, faults: &mut Faults) -> Shadowing {
        let key = "proxy.shadow.max_waiting";
        faults.check((1..=MAX_CONCURRENT).contains(&self.max_waiting), key, format!("must be 1 to {MAX_CONCURRENT}"));
        faults.check(!self.timeout.is_zero(), "proxy.shadow.timeout", "must be longer than 0s");
        faults.check((0.0..=1.0).contains(&self.shed_above), "proxy.shadow.shed_above", "must be from 0 to 1");
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a small number"
        )]
        let shed_from = (max_concurrent as f64 * self.shed_above).ceil().max(1.0) as usize;
        Shadowing { timeout: self.timeout, max_waiting: self.max_waiting.clamp(1, MAX_CONCURRENT), shed_from }
    }
}
