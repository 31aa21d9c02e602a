//! A registry whose families are made from the definitions in [`contract::metrics`]: no name is typed twice.

use std::sync::Arc;

use contract::metrics::{Kind, Metric};
use prometheus::{
    CounterVec, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, TextEncoder, core::Collector,
};

/// A process's metrics. Clones share the same families.
#[derive(Clone, Default)]
pub struct Registry {
    inner: Arc<prometheus::Registry>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}

/// The media type of [`Registry::render`].
pub const TEXT_FORMAT: &str = prometheus::TEXT_FORMAT;

impl Registry {
    /// An empty registry.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A counter of whole things.
    ///
    /// # Panics
    /// Where the definition is not a counter or is registered already: a fault of the program, found by its first test.
    #[must_use]
    pub fn counter(&self, metric: &Metric) -> IntCounterVec {
        assert_eq!(metric.kind, Kind::Counter, "{} is no counter", metric.name);
        self.register(metric, IntCounterVec::new(options(metric), metric.labels))
    }

    /// A counter of fractions (seconds).
    ///
    /// # Panics
    /// As [`Self::counter`].
    #[must_use]
    pub fn counter_f64(&self, metric: &Metric) -> CounterVec {
        assert_eq!(metric.kind, Kind::Counter, "{} is no counter", metric.name);
        self.register(metric, CounterVec::new(options(metric), metric.labels))
    }

    /// A gauge of fractions.
    ///
    /// # Panics
    /// As [`Self::counter`].
    #[must_use]
    pub fn gauge(&self, metric: &Metric) -> GaugeVec {
        assert_eq!(metric.kind, Kind::Gauge, "{} is no gauge", metric.name);
        self.register(metric, GaugeVec::new(options(metric), metric.labels))
    }

    /// A gauge of whole things.
    ///
    /// # Panics
    /// As [`Self::counter`].
    #[must_use]
    pub fn int_gauge(&self, metric: &Metric) -> IntGaugeVec {
        assert_eq!(metric.kind, Kind::Gauge, "{} is no gauge", metric.name);
        self.register(metric, IntGaugeVec::new(options(metric), metric.labels))
    }

    /// A histogram.
    ///
    /// # Panics
    /// As [`Self::counter`].
    #[must_use]
    pub fn histogram(&self, metric: &Metric) -> HistogramVec {
        let Kind::Histogram(buckets) = metric.kind else { panic!("{} is no histogram", metric.name) };
        let options = HistogramOpts::from(options(metric)).buckets(buckets.to_vec());
        self.register(metric, HistogramVec::new(options, metric.labels))
    }

    /// All families in Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        if let Err(error) = TextEncoder::new().encode_utf8(&self.inner.gather(), &mut text) {
            tracing::error!(%error, "metrics cannot be rendered");
        }
        text
    }

    /// Registers a collector that computes its families when asked.
    ///
    /// # Panics
    /// Where it is registered already: a fault of the program.
    pub fn attach(&self, collector: Box<dyn Collector>) {
        self.inner.register(collector).expect("a process registers its own collector once");
    }

    fn register<C: Collector + Clone + 'static>(&self, metric: &Metric, family: prometheus::Result<C>) -> C {
        let family = family.unwrap_or_else(|error| panic!("{} is ill-defined: {error}", metric.name));
        if let Err(error) = self.inner.register(Box::new(family.clone())) {
            panic!("{} cannot be registered: {error}", metric.name);
        }
        family
    }
}

fn options(metric: &Metric) -> Opts {
    Opts::new(metric.name, metric.help)
}

#[cfg(test)]
mod tests {
    use super::*;
    use contract::metrics::{all, proxy};

    #[test]
    fn every_definition_can_be_registered() {
        let registry = Registry::new();
        for metric in all() {
            match metric.kind {
                Kind::Counter => drop(registry.counter(metric)),
                Kind::Gauge => drop(registry.gauge(metric)),
                Kind::Histogram(_) => drop(registry.histogram(metric)),
            }
        }
    }

    #[test]
    fn what_is_counted_is_rendered() {
        let registry = Registry::new();
        let dropped = registry.counter(&proxy::MIRROR_DROPPED);
        dropped.with_label_values(&["full"]).inc_by(3);
        assert!(registry.render().contains("driftline_mirror_dropped_observations_total{reason=\"full\"} 3"));
    }
}
