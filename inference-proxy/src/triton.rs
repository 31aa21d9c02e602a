//! Triton's metrics under Triton's names, for dashboards that exist: the statistics extension's counters, read when
//! somebody asks. Off unless `proxy.triton_metrics` is set.
//!
//! Names, units and what counts where are those of Triton's `docs/user_guide/metrics.md`. A version that another server
//! runs is left out: that server counts it.

use std::sync::{Arc, Mutex, PoisonError};

use contract::metrics::Metric;
use contract::metrics::triton as names;
use host::metrics::Registry;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{CounterVec, Opts};

use crate::model::{Catalog, Span, Statistics, Version};

/// Exports the aliases of everything in a catalog.
pub(crate) fn export(catalog: &Catalog, registry: &Registry) {
    let families = READINGS.map(|(metric, read)| {
        let options = Opts::new(metric.name, metric.help);
        let family = CounterVec::new(options, metric.labels).expect("the definitions in contract are well-formed");
        (family, read)
    });
    registry.attach(Box::new(Aliases { catalog: catalog.clone(), families, turn: Mutex::default() }));
}

struct Aliases {
    catalog: Catalog,
    /// Filled anew by every reading: what is counted is counted elsewhere.
    families: [(CounterVec, Read); READINGS.len()],
    /// One reading at a time.
    turn: Mutex<()>,
}

type Read = fn(&Statistics) -> f64;

/// One alias and where its value is.
type Reading = (&'static Metric, Read);

const READINGS: [Reading; 13] = [
    (&names::REQUEST_SUCCESS, |s| s.success.count as f64),
    (&names::REQUEST_FAILURE, |s| s.fail.count as f64),
    (&names::COUNT, |s| s.inferences as f64),
    (&names::EXEC_COUNT, |s| s.executions as f64),
    (&names::REQUEST_DURATION, |s| micros(s.success)),
    (&names::QUEUE_DURATION, |s| micros(s.queue)),
    (&names::COMPUTE_INPUT_DURATION, |s| micros(s.compute.input)),
    (&names::COMPUTE_INFER_DURATION, |s| micros(s.compute.infer)),
    (&names::COMPUTE_OUTPUT_DURATION, |s| micros(s.compute.output)),
    (&names::CACHE_HITS, |s| s.cache_hit.count as f64),
    (&names::CACHE_MISSES, |s| s.cache_miss.count as f64),
    (&names::CACHE_HIT_DURATION, |s| micros(s.cache_hit)),
    (&names::CACHE_MISS_DURATION, |s| micros(s.cache_miss)),
];

fn micros(span: Span) -> f64 {
    (span.ns / 1_000) as f64
}

impl Aliases {
    fn versions(&self) -> Vec<Arc<Version>> {
        let entries = self.catalog.states().into_iter();
        let loaded = entries.filter_map(|entry| self.catalog.version(&entry.model, &entry.version).ok());
        loaded.filter(|version| version.local().is_some()).collect()
    }
}

impl Collector for Aliases {
    fn desc(&self) -> Vec<&Desc> {
        self.families.iter().flat_map(|(family, _)| family.desc()).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let _alone = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let versions = self.versions();
        let counted: Vec<Statistics> = versions.iter().map(|version| version.statistics()).collect();
        let read = self.families.iter().flat_map(|(family, read)| {
            family.reset();
            for (version, statistics) in versions.iter().zip(&counted) {
                family.with_label_values(&[version.name(), version.version()]).inc_by(read(statistics));
            }
            family.collect()
        });
        read.collect()
    }
}
