//! The metrics of other servers; their names and meanings are in `contract::metrics::upstream`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use contract::metrics::upstream as names;
use host::metrics::Registry;
use prometheus::{HistogramVec, IntGauge, IntGaugeVec};

use super::{Fault, Place};

/// The families.
#[derive(Debug)]
pub struct Metrics {
    up: IntGaugeVec,
    seconds: HistogramVec,
}

impl Metrics {
    /// Registers them.
    pub(crate) fn register(registry: &Registry) -> Self {
        Self { up: registry.int_gauge(&names::UP), seconds: registry.histogram(&names::SECONDS) }
    }

    pub(super) fn series(&self, place: &Place) -> Series {
        let labels = [&*place.model, &*place.version];
        let series = Series {
            up: self.up.with_label_values(&labels),
            was_up: AtomicBool::new(false),
            seconds: self.seconds.clone(),
            labels: labels.map(str::to_owned),
        };
        for word in Fault::WORDS.into_iter().chain([ANSWERED]) {
            let _ = series.seconds.with_label_values(&[labels[0], labels[1], word]);
        }
        series
    }
}

/// Outcome of a request that was answered, whatever the answer says.
const ANSWERED: &str = "answered";

/// The metrics of one version.
#[derive(Debug)]
pub(super) struct Series {
    up: IntGauge,
    was_up: AtomicBool,
    seconds: HistogramVec,
    labels: [String; 2],
}

impl Series {
    /// Shows whether it is up, and gives whether it was.
    pub(super) fn up(&self, up: bool) -> bool {
        self.up.set(up.into());
        self.was_up.swap(up, Ordering::Relaxed)
    }

    /// Counts a request there and how long it took, from the first byte sent to the last byte received.
    pub(super) fn answered(&self, fault: Option<&Fault>, took: Duration) {
        let outcome = fault.map_or(ANSWERED, Fault::reason);
        let [model, version] = &self.labels;
        self.seconds.with_label_values(&[model.as_str(), version.as_str(), outcome]).observe(took.as_secs_f64());
    }
}
