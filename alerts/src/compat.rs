//! The series that Sloth records, under its names, so that its public dashboards work (`--compat sloth`).
//!
//! Names and labels as in Sloth's `prometheus/v1` generator. They are made from our own: the ratios are those of counts,
//! and a window without events has none, where Sloth's has NaN.

use std::collections::BTreeMap;

use contract::slo::{Slo, SloFile};

use crate::promql::{number, select};
use crate::rules::Rule;
use crate::source::labels;
use crate::{budget, burn};

/// What the series say of their maker.
const MODE: &str = "driftline";

/// Sloth's recording rules for one objective.
pub fn sloth(file: &SloFile, slo: &Slo) -> Vec<Rule> {
    let rule = |record: &'static str, expr: String, more: &[(&str, &str)]| Rule::Record {
        record,
        expr,
        labels: named(file, slo, more),
    };
    let mut rules: Vec<Rule> = RATIOS
        .iter()
        .map(|(record, window)| {
            let ratio = format!("sum without (slo, model, window) ({})", burn::series(burn::BAD_RATIO, slo, window));
            rule(record, ratio, &[("sloth_window", window)])
        })
        .collect();
    let days = format!("{}d", file.period_days);
    let remaining = select(budget::REMAINING, &labels(slo));
    let period = format!("sum without (slo, model) (1 - {remaining}) * {}", number(slo.budget()));
    rules.push(rule(PERIOD_RATIO, period, &[("sloth_window", &days)]));
    let id = format!("{{sloth_id=\"{}-{}\"}}", file.service, slo.name);
    let over = |ratio: &str| {
        format!("{ratio}{id}\n/ on (sloth_id, sloth_slo, sloth_service) group_left () slo:error_budget:ratio{id}")
    };
    let objective = number(slo.objective / 100.0);
    rules.extend([
        rule("slo:objective:ratio", format!("vector({objective})"), &[]),
        rule("slo:error_budget:ratio", format!("vector(1 - {objective})"), &[]),
        rule("slo:time_period:days", format!("vector({})", file.period_days), &[]),
        rule("slo:current_burn_rate:ratio", over(RATIOS[0].0), &[]),
        rule("slo:period_burn_rate:ratio", over(PERIOD_RATIO), &[]),
        rule("slo:period_error_budget_remaining:ratio", format!("1 - slo:period_burn_rate:ratio{id}"), &[]),
        rule(
            "sloth_slo_info",
            "vector(1)".into(),
            &[
                ("sloth_version", env!("CARGO_PKG_VERSION")),
                ("sloth_mode", MODE),
                ("sloth_spec", "prometheus/v1"),
                ("sloth_objective", &number(slo.objective)),
            ],
        ),
    ]);
    rules
}

/// The ratio series, a name a window.
const RATIOS: [(&str, &str); 7] = [
    ("slo:sli_error:ratio_rate5m", "5m"),
    ("slo:sli_error:ratio_rate30m", "30m"),
    ("slo:sli_error:ratio_rate1h", "1h"),
    ("slo:sli_error:ratio_rate2h", "2h"),
    ("slo:sli_error:ratio_rate6h", "6h"),
    ("slo:sli_error:ratio_rate1d", "1d"),
    ("slo:sli_error:ratio_rate3d", "3d"),
];
/// The period's ratio; Sloth puts the period into the name, and its dashboards read thirty days.
const PERIOD_RATIO: &str = "slo:sli_error:ratio_rate30d";

fn named(file: &SloFile, slo: &Slo, more: &[(&str, &str)]) -> BTreeMap<String, String> {
    let id = format!("{}-{}", file.service, slo.name);
    let own = [("sloth_id", id.as_str()), ("sloth_service", &file.service), ("sloth_slo", &slo.name)];
    let given = file.labels.iter().chain(&slo.labels).map(|(k, v)| (k.clone(), v.clone()));
    given.chain(own.iter().chain(more).map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))).collect()
}
