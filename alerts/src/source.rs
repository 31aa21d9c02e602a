//! Where the events of an objective come from, as PromQL over a window.
//!
//! Three sources, one shape: the number of events in a window without labels of its own, and finite whatever happened.
//! The proxy's and the analyzer's counters are born at 0; a user's query may find no failing series at all, which
//! counts as no failures as long as there are events.

use contract::metrics::{Metric, analyzer, proxy};
use contract::slo::{Counter, Sli, Slo};

use crate::promql::{Span, number, select};

/// Which events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// All that count.
    All,
    /// Those that spent budget.
    Bad,
}

/// What a query of the file has where the window's length goes; Sloth's word for it.
pub const WINDOW: &str = "{{.window}}";

/// The counter that holds the events; `None` where queries do.
pub fn counter(slo: &Slo, which: Which) -> Option<&'static Metric> {
    match (slo.sli.counter(), which) {
        (Counter::Proxy, Which::All) => Some(&proxy::SLI_EVENTS),
        (Counter::Proxy, Which::Bad) => Some(&proxy::SLI_BAD_EVENTS),
        (Counter::Analyzer, Which::All) => Some(&analyzer::SLI_EVENTS),
        (Counter::Analyzer, Which::Bad) => Some(&analyzer::SLI_BAD_EVENTS),
        (Counter::Queries, _) => None,
    }
}

/// Labels of every series that is recorded for an objective; a model that is none has no label.
pub fn labels(slo: &Slo) -> Vec<(&'static str, &str)> {
    [("slo", slo.name.as_str()), ("model", slo.model.as_str())].into_iter().filter(|(_, v)| !v.is_empty()).collect()
}

/// Events in a window.
pub fn count(slo: &Slo, which: Which, window: Span) -> String {
    match (&slo.sli, counter(slo, which)) {
        (_, Some(metric)) => {
            format!("sum by (slo, model) (increase({}[{window}]))", select(metric.name, &labels(slo)))
        }
        (Sli::Events { total, bad, good }, None) => {
            let total = asked(total, window);
            match (which, bad, good) {
                (Which::All, ..) => total,
                (Which::Bad, Some(bad), _) => or_none(bad, &total, window),
                (Which::Bad, None, good) => {
                    let good = good.as_deref().map_or_else(|| total.clone(), |good| or_none(good, &total, window));
                    format!("clamp_min({total} - ({good}), 0)")
                }
            }
        }
        (_, None) => unreachable!("only queries have no counter"),
    }
}

/// A query's answer, or 0 where it has none and the total has.
fn or_none(query: &str, total: &str, window: Span) -> String {
    format!("{}\nor {total} * 0", asked(query, window))
}

/// A query over a window, as a count: what is a rate by second is multiplied by the window's seconds. A count of
/// samples is a count whatever it counts.
fn asked(query: &str, window: Span) -> String {
    let inside = query.trim().replace(WINDOW, &window.to_string());
    let is_rate = inside.contains("rate(") && !inside.contains("count_over_time(");
    let times = if is_rate { format!(" * {}", number(window.as_seconds())) } else { String::new() };
    format!("(sum({inside}){times})")
}

/// True while nobody counts: the counter is gone, or the query for all events finds nothing.
pub fn absent(slo: &Slo, window: Span) -> String {
    match counter(slo, Which::All) {
        Some(metric) => format!("absent({})", select(metric.name, &labels(slo))),
        None => format!("absent({})", count(slo, Which::All, window)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(bad: Option<&str>, good: Option<&str>) -> Slo {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let total = "sum(rate(all[{{.window}}]))".to_owned();
        Slo::new("s", "", 99.0, Sli::Events { total, bad: owned(bad), good: owned(good) })
    }

    #[test]
    fn a_rate_becomes_a_count_and_no_failing_series_is_no_failure() {
        let slo = events(Some("increase(failed[{{.window}}])"), None);
        let window = Span::seconds(300);
        assert_eq!(count(&slo, Which::All, window), "(sum(sum(rate(all[5m]))) * 300)");
        assert_eq!(
            count(&slo, Which::Bad, window),
            "(sum(increase(failed[5m])))\nor (sum(sum(rate(all[5m]))) * 300) * 0"
        );
        let good = events(None, Some("increase(fine[{{.window}}])"));
        assert!(count(&good, Which::Bad, window).starts_with("clamp_min((sum(sum(rate(all[5m]))) * 300) - ("));
        assert_eq!(absent(&slo, window), "absent((sum(sum(rate(all[5m]))) * 300))");
    }

    #[test]
    fn our_own_events_are_counters() {
        let slo = Slo::new("s", "m", 99.0, Sli::DriftFree);
        let expr = count(&slo, Which::Bad, Span::seconds(300));
        assert_eq!(
            expr,
            r#"sum by (slo, model) (increase(driftline_analyzer_sli_bad_events_total{slo="s", model="m"}[5m]))"#
        );
    }
}
