//! Burn rates of one SLO, recorded so that a gap in the data freezes them.
//!
//! Every ratio comes from counts (`increase(bad) / increase(all)`), summed over instances before they are divided:
//! an average of ratios would weigh an idle instance like a busy one. A ratio exists only where something was
//! counted. What alerts read is the held series, which repeats its last value while there is none: no data neither
//! raises an alert nor ends one, and earns no budget. That the counters are gone altogether is an alert of its own.

use contract::slo::{BAD_EVENTS_MIN, BURN_WINDOWS, FLOOR_Z, Slo, SloFile};

use crate::promql::{Scale, Span, number, select};
use crate::rules::Rule;
use crate::source::{Which, count, labels};

/// Events that count, in a window.
pub const EVENTS: &str = "driftline:slo_events:increase";
/// Events that spent budget, in a window.
pub const BAD_EVENTS: &str = "driftline:slo_bad_events:increase";
/// Bad events over events, where there were any.
pub const BAD_RATIO: &str = "driftline:slo_bad_ratio:fresh";
/// Burn rate (1 spends the budget exactly in the period), frozen while nothing is counted.
pub const BURN: &str = "driftline:slo_burn_rate:held";
/// What the burn rate is at least, given how little was counted; 0 below [`BAD_EVENTS_MIN`]; frozen likewise.
pub const BURN_FLOOR: &str = "driftline:slo_burn_rate_floor:held";

/// How far back a held series looks for its last value: as long as Prometheus itself may be away.
const HOLD_SECONDS: u64 = 86_400;

/// A recorded series of one SLO and window.
pub fn series(name: &str, slo: &Slo, window: &str) -> String {
    let mut matchers = labels(slo);
    matchers.push(("window", window));
    select(name, &matchers)
}

/// `fresh`, or while there is none the last value of the series that is being recorded.
pub fn held(fresh: &str, itself: &str, scale: Scale) -> String {
    let back: Span = scale.window(HOLD_SECONDS);
    format!("{fresh}\nor on (slo, model) last_over_time({itself}[{back}])")
}

/// All windows with their names, each once, shortest first.
fn windows() -> Vec<(&'static str, u64)> {
    let mut all: Vec<_> =
        BURN_WINDOWS.iter().flat_map(|w| [(w.short_name, w.short_seconds), (w.long_name, w.long_seconds)]).collect();
    all.sort_unstable_by_key(|(_, seconds)| *seconds);
    all.dedup();
    all
}

/// Recording rules of one SLO: counts, ratio and burn rate a window, and the floor for the windows that alerts gate on.
pub fn rules(file: &SloFile, slo: &Slo) -> Vec<Rule> {
    let scale = Scale::of(file);
    let mut rules = Vec::new();
    for (name, seconds) in windows() {
        rules.extend(window_rules(slo, name, seconds, scale));
        if BURN_WINDOWS.iter().any(|w| w.long_name == name) {
            rules.push(floor_rule(slo, name, scale));
        }
    }
    rules
}

fn window_rules(slo: &Slo, window: &'static str, seconds: u64, scale: Scale) -> [Rule; 4] {
    let span = scale.window(seconds);
    let of = |name| series(name, slo, window);
    let burn = format!("{} / {}", of(BAD_RATIO), number(slo.budget()));
    [
        Rule::record(EVENTS, count(slo, Which::All, span), slo, Some(window)),
        Rule::record(BAD_EVENTS, count(slo, Which::Bad, span), slo, Some(window)),
        Rule::record(BAD_RATIO, format!("{} / ({} > 0)", of(BAD_EVENTS), of(EVENTS)), slo, Some(window)),
        Rule::record(BURN, held(&burn, &of(BURN), scale), slo, Some(window)),
    ]
}

/// The lower end of Wilson's interval for the bad ratio, as a burn rate.
///
/// Wilson 1927: `(p + z^2/2n - z sqrt(p (1-p) / n + z^2/4n^2)) / (1 + z^2/n)`. At 99.9 % a single failure crosses the
/// fast page line below 69 requests an hour; its floor does not.
fn floor_rule(slo: &Slo, window: &'static str, scale: Scale) -> Rule {
    let n = series(EVENTS, slo, window);
    let p = format!("clamp_max({}, 1)", series(BAD_RATIO, slo, window));
    let z2 = FLOOR_Z * FLOOR_Z;
    let floor = format!(
        "(\n  {p} + {half} / {n}\n  - {z} * sqrt({p} * (1 - {p}) / {n} + {quarter} / {n} ^ 2)\n) / (1 + {full} / {n})\n\
         / {budget}\n* ({bad} >= bool {least})",
        z = number(FLOOR_Z),
        half = number(z2 / 2.0),
        quarter = number(z2 / 4.0),
        full = number(z2),
        budget = number(slo.budget()),
        bad = series(BAD_EVENTS, slo, window),
        least = BAD_EVENTS_MIN,
    );
    Rule::record(BURN_FLOOR, held(&floor, &series(BURN_FLOOR, slo, window), scale), slo, Some(window))
}
