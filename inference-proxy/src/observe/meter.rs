//! Counters and histograms of the edge, and the events that service level objectives count.

use contract::metrics::proxy as names;
use contract::slo::{Counter, Event, Slo, SloFile};
use contract::wire::Outcome;
use host::metrics::Registry;
use prometheus::{HistogramVec, IntCounter, IntCounterVec};

use super::record::Ended;
use super::{Route, UNKNOWN};
use crate::model::{Catalog, Role};

/// The edge's metrics.
#[derive(Debug)]
pub struct Meter {
    requests: IntCounterVec,
    responses: IntCounterVec,
    seconds: HistogramVec,
    objectives: Vec<Objective>,
}

/// One SLO's two counters.
#[derive(Debug)]
struct Objective {
    slo: Slo,
    events: IntCounter,
    bad: IntCounter,
}

impl Meter {
    /// Registers the families; the series of every SLO are born at 0, so that a first bad event is a step that
    /// `increase()` sees.
    #[must_use]
    pub fn new(registry: &Registry, slos: Option<&SloFile>) -> Self {
        let (events, bad) = (registry.counter(&names::SLI_EVENTS), registry.counter(&names::SLI_BAD_EVENTS));
        let counted = slos.into_iter().flat_map(|file| &file.slos).filter(|slo| slo.sli.counter() == Counter::Proxy);
        let objectives = counted.map(|slo| {
            let labels = [slo.name.as_str(), slo.model.as_str()];
            Objective {
                slo: slo.clone(),
                events: events.with_label_values(&labels),
                bad: bad.with_label_values(&labels),
            }
        });
        Self {
            objectives: objectives.collect(),
            requests: registry.counter(&names::REQUESTS),
            responses: registry.counter(&names::RESPONSES),
            seconds: registry.histogram(&names::REQUEST_SECONDS),
        }
    }

    /// Makes the series of every loaded version, each outcome at 0.
    pub fn expect(&self, catalog: &Catalog) {
        for entry in catalog.states() {
            for outcome in Outcome::ALL {
                let labels = [entry.model.as_str(), entry.version.as_str(), entry.role.as_str(), outcome.as_str()];
                if matches!(entry.role, Role::Primary | Role::Canary | Role::Fallback) {
                    let _ = self.requests.with_label_values(&labels);
                }
            }
            for route in [Route::Infer, Route::Grpc, Route::Predict] {
                let _ = self.responses.with_label_values(&[entry.model.as_str(), route.as_str(), "200"]);
            }
        }
        for outcome in Outcome::ALL {
            let labels = [UNKNOWN, UNKNOWN, Role::Primary.as_str(), outcome.as_str()];
            let _ = self.requests.with_label_values(&labels);
        }
    }

    /// Counts a request that has ended.
    pub fn count(&self, ended: &Ended) {
        let (model, version) = (ended.facts.model.as_str(), ended.facts.version.as_str());
        let outcome = ended.outcome.as_str();
        self.requests.with_label_values(&[model, version, ended.facts.role.as_str(), outcome]).inc();
        self.seconds.with_label_values(&[model, version, outcome]).observe(ended.took.as_secs_f64());
        if ended.code != 0 {
            let code = ended.code.to_string();
            self.responses.with_label_values(&[model, ended.route.as_str(), code.as_str()]).inc();
        }
        let event = Event { outcome: ended.outcome, total_seconds: ended.took.as_secs_f64() };
        for objective in self.objectives.iter().filter(|o| o.slo.model == model) {
            if let Some(bad) = objective.slo.is_bad(event) {
                objective.events.inc();
                objective.bad.inc_by(bad.into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::record::tests::ended;
    use contract::slo::Sli;
    use std::time::Duration;

    fn slo(name: &str, sli: Sli) -> Slo {
        Slo::new(name, "m", 99.0, sli)
    }

    #[test]
    fn objectives_are_born_at_zero_and_count_what_counts() {
        let slos = vec![
            slo("up", Sli::Availability),
            slo("fast", Sli::Latency { threshold_ms: 100.0 }),
            slo("same-data", Sli::DriftFree),
        ];
        let file = SloFile::new("s", "o", slos);
        let registry = Registry::new();
        let meter = Meter::new(&registry, Some(&file));
        assert!(registry.render().contains("driftline_proxy_sli_bad_events_total{model=\"m\",slo=\"up\"} 0"));
        for (outcome, code, millis) in [
            (Outcome::Ok, 200, 50),
            (Outcome::Ok, 200, 150),
            (Outcome::Error, 500, 1),
            (Outcome::Invalid, 400, 1),
            (Outcome::Cancelled, 0, 1),
        ] {
            meter.count(&Ended { code, took: Duration::from_millis(millis), ..ended("m", outcome) });
        }
        meter.count(&ended("another", Outcome::Error));
        let text = registry.render();
        for line in [
            "driftline_proxy_sli_events_total{model=\"m\",slo=\"up\"} 3",
            "driftline_proxy_sli_bad_events_total{model=\"m\",slo=\"up\"} 1",
            "driftline_proxy_sli_bad_events_total{model=\"m\",slo=\"fast\"} 2",
            "driftline_proxy_requests_total{model=\"m\",outcome=\"cancelled\",role=\"primary\",version=\"1\"} 1",
            "driftline_proxy_responses_total{code=\"200\",model=\"m\",route=\"infer\"} 2",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("same-data"), "the analyzer counts those");
        assert!(!text.contains("code=\"0\""), "a cancelled request was given no answer");
    }
}
