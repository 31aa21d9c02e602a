//! What is left of one SLO's error budget in its period.
//!
//! `increase(…[30d])` would read every sample of a month at each evaluation. Instead the events of each interval are
//! counted once, at the end of it, and the period is the sum of those counts: weighted by traffic, finite without
//! any. (Counting five minutes every thirty seconds would count each event ten times.)

use contract::metrics::proxy::{SLI_BAD_EVENTS, SLI_EVENTS};
use contract::slo::{Slo, SloFile};

use crate::burn::{held, matchers};
use crate::promql::{Scale, number, select};
use crate::rules::Rule;

/// Events that count, one sample an interval.
pub const EVENTS: &str = "driftline:slo_events:count";
/// Events that spent budget, one sample an interval.
pub const BAD_EVENTS: &str = "driftline:slo_bad_events:count";
/// Share of the period's budget that is left; negative when overspent; frozen while nothing is counted.
pub const REMAINING: &str = "driftline:slo_budget_remaining:held";

/// Seconds between counts, before scaling. The group that holds these rules is evaluated once in each.
pub const INTERVAL_SECONDS: u64 = 300;

/// Recording rules of one SLO.
pub fn rules(file: &SloFile, slo: &Slo) -> Vec<Rule> {
    let scale = Scale::of(file);
    let interval = scale.window(INTERVAL_SECONDS);
    let period = scale.window(u64::from(file.period_days) * 86_400);
    let count =
        |metric: &str| format!("sum by (slo, model) (increase({}[{interval}]))", select(metric, &matchers(slo)));
    let sum = |name| format!("sum_over_time({}[{period}])", select(name, &matchers(slo)));
    let remaining = format!("1 - {} / ({} > 0) / {}", sum(BAD_EVENTS), sum(EVENTS), number(slo.budget()));
    vec![
        Rule::record(EVENTS, count(SLI_EVENTS.name), None),
        Rule::record(BAD_EVENTS, count(SLI_BAD_EVENTS.name), None),
        Rule::record(REMAINING, held(&remaining, &select(REMAINING, &matchers(slo)), scale), None),
    ]
}
