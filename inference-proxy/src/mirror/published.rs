//! The mirror's account as metric families.

use std::sync::{Mutex, MutexGuard, PoisonError};

use contract::metrics::proxy as names;
use host::metrics::Registry;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::ledger::{Counts, DropReason, Ledger, Stage};

/// The account as metric families. They change in [`Published::refresh`] only, which a scrape calls before it renders:
/// so one scrape shows one snapshot, and the sums hold in it to the last observation.
#[derive(Debug)]
pub struct Published {
    observed: IntCounter,
    delivered: IntCounter,
    dropped: IntCounterVec,
    in_flight: IntGaugeVec,
    held_bytes: IntGauge,
    eligible: IntCounter,
    payloads: IntCounterVec,
    last: Mutex<Counts>,
}

impl Published {
    /// Registers the families, every known series born at 0.
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        let alone = |metric| registry.counter(metric).with_label_values(&[] as &[&str]);
        let published = Self {
            observed: alone(&names::MIRROR_OBSERVED),
            delivered: alone(&names::MIRROR_DELIVERED),
            dropped: registry.counter(&names::MIRROR_DROPPED),
            in_flight: registry.int_gauge(&names::MIRROR_IN_FLIGHT),
            held_bytes: registry.int_gauge(&names::MIRROR_BYTES).with_label_values(&[] as &[&str]),
            eligible: alone(&names::PAYLOADS_ELIGIBLE),
            payloads: registry.counter(&names::PAYLOADS),
            last: Mutex::default(),
        };
        published.show(&mut published.lock(), Counts::default());
        published
    }

    /// Brings the families up to the account at this moment.
    pub fn refresh(&self, ledger: &Ledger) {
        // the snapshot is taken under the lock: an older one after a newer would count the difference twice
        let mut last = self.lock();
        self.show(&mut last, ledger.counts());
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, last: &mut Counts, now: Counts) {
        let gauge = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let step = |now: u64, last: u64| now.saturating_sub(last);
        self.observed.inc_by(step(now.observed, last.observed));
        self.delivered.inc_by(step(now.delivered, last.delivered));
        for reason in DropReason::ALL {
            let grown = step(now.dropped[reason as usize], last.dropped[reason as usize]);
            self.dropped.with_label_values(&[reason.as_str()]).inc_by(grown);
        }
        for stage in Stage::ALL {
            self.in_flight.with_label_values(&[stage.as_str()]).set(gauge(now.in_flight[stage as usize]));
        }
        self.held_bytes.set(i64::try_from(now.held_bytes).unwrap_or(i64::MAX));
        self.eligible.inc_by(step(now.eligible, last.eligible));
        self.payloads.with_label_values(&["stored", ""]).inc_by(step(now.stored, last.stored));
        self.payloads.with_label_values(&["sampled_out", ""]).inc_by(step(now.sampled_out, last.sampled_out));
        for (reason, n) in &now.withheld {
            let before = last.withheld.get(reason).copied().unwrap_or_default();
            self.payloads.with_label_values(&["withheld", reason]).inc_by(step(*n, before));
        }
        *last = now;
    }
}
