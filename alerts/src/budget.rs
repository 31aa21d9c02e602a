//! What is left of one SLO's error budget in its period.
//!
//! `increase(…[30d])` would read every sample of a month at each evaluation. Instead the events of each interval are
//! counted once, at the end of it, and the period is the sum of those counts: weighted by traffic, finite without
//! any. (Counting five minutes every thirty seconds would count each event ten times.)
//!
//! PromQL has no month. With a calendar period each count carries the month it was taken in as a label, and the sum is
//! over the counts of this one.

use contract::slo::{Period, Slo, SloFile};

use crate::burn::held;
use crate::promql::{Scale, Span, number, select};
use crate::rules::Rule;
use crate::source::{Which, count, labels};

/// Events that count, one sample an interval.
pub const EVENTS: &str = "driftline:slo_events:count";
/// Events that spent budget, one sample an interval.
pub const BAD_EVENTS: &str = "driftline:slo_bad_events:count";
/// Share of the period's budget that is left; negative when overspent; frozen while nothing is counted.
pub const REMAINING: &str = "driftline:slo_budget_remaining:held";

/// Seconds between counts, before scaling. The group that holds these rules is evaluated once in each.
pub const INTERVAL_SECONDS: u64 = 300;

/// One series of value 1 whose label `calendar` is the month in UTC, as in `202611`: the one in which the interval that
/// ends now began.
fn this_month(interval: Span) -> String {
    let began = format!("vector(time() - {})", number(interval.as_seconds()));
    format!("count_values(\"calendar\", year({began}) * 100 + month({began}))")
}

/// A month has no more days.
const MONTH_DAYS_MAX: u64 = 31;

/// Recording rules of one SLO.
pub fn rules(file: &SloFile, slo: &Slo) -> Vec<Rule> {
    let scale = Scale::of(file);
    let interval = scale.window(INTERVAL_SECONDS);
    let counted = |which| match file.period {
        Period::Rolling => count(slo, which, interval),
        Period::CalendarMonth => {
            format!("({}) * on () group_left (calendar) {}", count(slo, which, interval), this_month(interval))
        }
    };
    let sum = |name| summed(file, &select(name, &labels(slo)), scale);
    let remaining = format!("1 - {} / ({} > 0) / {}", sum(BAD_EVENTS), sum(EVENTS), number(slo.budget()));
    vec![
        Rule::record(EVENTS, counted(Which::All), slo, None),
        Rule::record(BAD_EVENTS, counted(Which::Bad), slo, None),
        Rule::record(REMAINING, held(&remaining, &select(REMAINING, &labels(slo)), scale), slo, None),
    ]
}

/// The counts of the period, added up.
fn summed(file: &SloFile, series: &str, scale: Scale) -> String {
    let over = |span: Span| format!("sum_over_time({series}[{span}])");
    match file.period {
        Period::Rolling => over(scale.window(u64::from(file.period_days) * 86_400)),
        Period::CalendarMonth => {
            let month = over(Span::seconds(MONTH_DAYS_MAX * 86_400));
            format!(
                "sum by (slo, model) ({month} * on (calendar) group_left () {})",
                this_month(scale.window(INTERVAL_SECONDS))
            )
        }
    }
}
