//! The overview: is it served, is it within its objectives, is it still the same data, is the shadow any good.

use contract::api::shadow::GuardrailState;
use contract::api::{DriftState, ShadowVerdict};
use contract::metrics::analyzer as a;
use contract::metrics::proxy as p;
use contract::slo::BURN_WINDOWS;
use contract::wire::Outcome;
use serde_json::Value;

use super::layout::{Row, row};
use super::panel::Panel;
use super::query::{gauge, gauge_where, quantile, rate, rate_where};
use super::{dashboard, sql};

/// The overview dashboard, with the burn lines of a period.
#[must_use]
pub fn overview(period_days: u32) -> Value {
    dashboard(
        "driftline-overview",
        "Driftline overview",
        "Traffic, objectives, drift, confidence and shadows of every model.",
        ("Pipeline", "driftline-pipeline"),
        vec![traffic(), errors(), objectives(period_days), drift(), confidence(), shadows(), rows()],
    )
}

/// Outcomes that spend budget, as a pattern.
pub(super) fn bad() -> String {
    Outcome::ALL.into_iter().filter(|o| o.is_bad()).map(Outcome::as_str).collect::<Vec<_>>().join("|")
}

/// Outcomes that count at all, as a pattern.
pub(super) fn counted() -> String {
    Outcome::ALL.into_iter().filter(|o| o.is_valid_event()).map(Outcome::as_str).collect::<Vec<_>>().join("|")
}

pub(super) fn traffic() -> Row {
    let q = |q| quantile(q, &p::REQUEST_SECONDS, &["model", "version"]);
    let latency = |title: &str, quantile: String| {
        Panel::lines(title, "From a request's arrival to its answer, estimated from the histogram's buckets.", "s")
            .series(quantile, "{{model}} {{version}}")
    };
    row(
        "Traffic and latency",
        vec![
            Panel::lines("Requests", "Requests started a second, by model and version.", "reqps")
                .series(rate(&p::REQUESTS, &["model", "version"]), "{{model}} {{version}}"),
            latency("p50 latency", q(0.5)),
            latency("p95 latency", q(0.95)),
            latency("p99 latency", q(0.99)),
            Panel::lines(
                "Time by stage, p95",
                "Where the time goes: tokenizing, waiting for a session, running, the rest.",
                "s",
            )
            .series(quantile(0.95, &p::STAGE_SECONDS, &["model", "role", "stage"]), "{{model}} {{role}} {{stage}}"),
            Panel::lines("Answers by status", "Answers given to clients a second, by route and HTTP status.", "reqps")
                .series(rate(&p::RESPONSES, &["route", "code"]), "{{route}} {{code}}")
                .stacked(),
        ],
    )
}

pub(super) fn errors() -> Row {
    let share = format!(
        "{} / {}",
        rate_where(&p::REQUESTS, &[("outcome", &bad())], &["model"]),
        rate_where(&p::REQUESTS, &[("outcome", &counted())], &["model"]),
    );
    row(
        "Errors",
        vec![
            Panel::lines(
                "Bad share",
                "Errors, timeouts and refusals over all requests that count. A client's mistake or departure does not.",
                "percentunit",
            )
            .series(share, "{{model}}")
            .sized(12, 8),
            Panel::lines("Requests by outcome", "How requests ended, a second.", "reqps")
                .series(rate(&p::REQUESTS, &["outcome"]), "{{outcome}}")
                .stacked()
                .sized(12, 8),
        ],
    )
}

pub(super) fn objectives(period_days: u32) -> Row {
    let budget = Panel::bars(
        "Error budget left",
        "Share of the period's error budget that is left, by objective; below 0 it is overspent.",
        "percentunit",
    )
    .series(gauge("min", &a::SLO_BUDGET, &["slo"]), "{{slo}}")
    .better_from(&[(0.0, "orange"), (0.25, "green")])
    .sized(12, 8);
    let events = Panel::lines(
        "Counted events",
        "Events that count for an objective, and those that spent its budget, a second.",
        "reqps",
    )
    .series(rate(&p::SLI_EVENTS, &["slo"]), "{{slo}} counted")
    .series(rate(&p::SLI_BAD_EVENTS, &["slo"]), "{{slo}} bad")
    .series(rate(&a::SLI_EVENTS, &["slo"]), "{{slo}} counted later")
    .series(rate(&a::SLI_BAD_EVENTS, &["slo"]), "{{slo}} bad, counted later")
    .sized(12, 8);
    let burns = BURN_WINDOWS.iter().map(|w| {
        let factor = (w.factor(period_days) * 1e3).round() / 1e3;
        let windows = format!("{}|{}", w.long_name, w.short_name);
        Panel::lines(
            &format!("Burn over {} and {} ({})", w.long_name, w.short_name, w.severity.as_str()),
            &format!(
                "Burn rate of the error budget; 1 spends it exactly in the period. A {} follows when both windows are above the \
                 dashed line at {factor} (for {period_days} days).",
                w.severity.as_str()
            ),
            "none",
        )
        .series(gauge_where("max", &a::SLO_BURN, &[("window", &windows)], &["slo", "window"]), "{{slo}} {{window}}")
        .from(&[(factor, "red")])
        .with_lines()
        .sized(6, 8)
    });
    row("Objectives", [budget, events].into_iter().chain(burns).collect())
}

pub(super) fn drift() -> Row {
    // A number a state, so that one line a feature shows which holds; a louder state is a larger number.
    let code = |state: DriftState| DriftState::ALL.iter().position(|s| *s == state).unwrap_or(0);
    let expr: Vec<String> = DriftState::ALL
        .into_iter()
        .map(|state| {
            let holds = gauge_where("max", &a::DRIFT_STATE, &[("state", state.as_str())], &["model", "feature"]);
            format!("({holds} == 1) * 0 + {}", code(state))
        })
        .collect();
    let colours = ["green", "blue", "text", "orange", "red"];
    let numbers: Vec<String> = DriftState::ALL.iter().map(|s| code(*s).to_string()).collect();
    let words: Vec<(&str, &str, &str)> = DriftState::ALL
        .iter()
        .zip(&numbers)
        .map(|(state, number)| (number.as_str(), state.as_str(), colours[code(*state)]))
        .collect();
    let lines =
        |title: &str, text: &str, expr: String| Panel::lines(title, text, "none").series(expr, "{{model}} {{feature}}");
    let of = |metric| format!("topk(12, {})", gauge("max", metric, &["model", "feature"]));
    row(
        "Drift",
        vec![
            Panel::states("State by feature", "The verdict of each feature, window by window.")
                .series(expr.join(" or "), "{{model}} {{feature}}")
                .named(&words)
                .sized(24, 10),
            lines(
                "Evidence of drift",
                "Over all windows since the last alarm, as a power of ten: the twelve largest, and the line that the mean has to reach.",
                of(&a::DRIFT_EVIDENCE),
            )
            .series(gauge("max", &a::DRIFT_EVIDENCE_NEEDED, &["model"]), "{{model}} needed"),
            lines(
                "KS distance, at least",
                "Lower bound of the KS distance: the twelve largest.",
                of(&a::DRIFT_KS_LOWER),
            ),
            lines(
                "KS distance, at most",
                "Upper bound of the KS distance: the twelve largest.",
                of(&a::DRIFT_KS_UPPER),
            ),
            lines("Population stability index", "Over merged bins: the twelve largest.", of(&a::DRIFT_PSI)),
            lines(
                "p-value",
                "Classical p of the last window: the twelve smallest. Not corrected for looking often.",
                format!("bottomk(12, {})", gauge("min", &a::DRIFT_P_VALUE, &["model", "feature"])),
            ),
            lines(
                "q-value",
                "p adjusted over the model's features: the twelve smallest.",
                format!("bottomk(12, {})", gauge("min", &a::DRIFT_Q_VALUE, &["model", "feature"])),
            ),
            Panel::lines(
                "Values in the window",
                "Values that the last verdict rests on, and the smallest shift the reference can show at all.",
                "none",
            )
            .series(gauge("min", &a::DRIFT_WINDOW, &["model"]), "{{model}} values, least")
            .series(gauge("max", &a::DRIFT_VISIBLE, &["model"]), "{{model}} smallest visible shift"),
            lines(
                "What a value is worth",
                "Independent values that one value was worth, the twelve least: well below 1, values come in bunches or waves, and false alarms come oftener than promised.",
                format!("bottomk(12, {})", gauge("min", &a::DRIFT_VALUE_WORTH, &["model", "feature"])),
            ),
        ],
    )
}

pub(super) fn confidence() -> Row {
    let of = &["model", "window"];
    row(
        "Confidence",
        vec![
            Panel::lines("Mean confidence", "Mean confidence of the winning class in the last window.", "percentunit")
                .series(gauge("min", &a::CONFIDENCE, &["model", "version"]), "{{model}} {{version}}")
                .a_share()
                .sized(12, 8),
            Panel::lines(
                "Unsure answers",
                "Share of the last window's answers below the configured floor.",
                "percentunit",
            )
            .series(gauge("max", &a::LOW_CONFIDENCE, &["model", "version"]), "{{model}} {{version}}")
            .a_share()
            .sized(12, 8),
            Panel::lines(
                "Accuracy by labels",
                "Share of the answers labelled within a day, and within thirty, that were right.",
                "percentunit",
            )
            .series(
                format!("{} / {}", gauge("max", &a::QUALITY_CORRECT, of), gauge("max", &a::QUALITY_LABELLED, of)),
                "{{model}} over {{window}}",
            )
            .a_share()
            .sized(12, 8),
            Panel::lines(
                "Confidence beside accuracy",
                "Mean confidence of the labelled answers less their accuracy: above 0 the model is surer than right.",
                "percentunit",
            )
            .series(
                format!(
                    "{} - {} / {}",
                    gauge("max", &a::QUALITY_CONFIDENCE, of),
                    gauge("max", &a::QUALITY_CORRECT, of),
                    gauge("max", &a::QUALITY_LABELLED, of)
                ),
                "{{model}} over {{window}}",
            )
            .sized(12, 8),
        ],
    )
}

pub(super) fn shadows() -> Row {
    let of = |metric| gauge("max", metric, &["model", "version"]);
    let verdict: Vec<String> = ShadowVerdict::ALL
        .into_iter()
        .enumerate()
        .map(|(code, verdict)| {
            let holds = gauge_where("max", &a::SHADOW_VERDICT, &[("state", verdict.as_str())], &["model", "version"]);
            format!("({holds} == 1) * 0 + {code}")
        })
        .collect();
    let guardrails = GuardrailState::ALL.into_iter().enumerate().map(|(code, state)| {
        let by = ["model", "version", "kind"];
        let holds = gauge_where("max", &a::SHADOW_GUARDRAIL, &[("state", state.as_str())], &by);
        format!("({holds} == 1) * 0 + {code}")
    });
    let guardrails: Vec<String> = guardrails.collect();
    row(
        "Shadows",
        vec![
            Panel::lines(
                "Agreement and its bounds",
                "Share of pairs that agree, between bounds that hold at every look.",
                "percentunit",
            )
            .series(of(&a::SHADOW_AGREEMENT_UPPER), "{{model}} {{version}} at most")
            .series(of(&a::SHADOW_AGREEMENT), "{{model}} {{version}}")
            .series(of(&a::SHADOW_AGREEMENT_LOWER), "{{model}} {{version}} at least")
            .sized(9, 8),
            Panel::states("Verdict", "Promote, hold or reject. Nothing happens by itself, unless a proxy is told and follows.")
                .series(verdict.join(" or "), "{{model}} {{version}}")
                .named(&[("0", "promote", "green"), ("1", "hold", "blue"), ("2", "reject", "red")])
                .sized(9, 8),
            Panel::number(
                "Pairs",
                "Answer pairs compared so far, and about how many more would prove every guardrail at the observed shares \
                 (nothing where more alone will not).",
                "short",
            )
            .series(of(&a::SHADOW_PAIRS), "{{model}} {{version}}")
            .series(of(&a::SHADOW_PAIRS_NEEDED), "{{model}} {{version}} to go")
            .sized(6, 8),
            Panel::lines(
                "Shadow runs",
                "Requests offered to a shadow a second, by how they ended; it is shed first.",
                "reqps",
            )
            .series(rate(&p::SHADOW_RUNS, &["model", "version", "outcome"]), "{{model}} {{version}} {{outcome}}")
            .sized(12, 8),
            Panel::states("Guardrails", "What is asked of a shadow: proved, open, broken, or not asked for want of labels.")
                .series(guardrails.join(" or "), "{{model}} {{version}} {{kind}}")
                .named(&[("0", "proved", "green"), ("1", "open", "blue"), ("2", "broken", "red"), ("3", "unasked", "gray")])
                .sized(12, 8),
            Panel::lines(
                "Verdicts told to proxies",
                "A second, by what the proxy did; and how many it has not heard yet.",
                "none",
            )
            .series(rate(&a::VERDICTS_TOLD, &["model", "state", "outcome"]), "{{model}} {{state}}: {{outcome}}")
            .series(gauge("max", &a::VERDICTS_UNTOLD, &[]), "not heard yet")
            .sized(12, 8),
            Panel::lines_of_rows(
                "Agreement by minute",
                "From the stored pairs, minute by minute.",
                "percentunit",
                &sql::agreement(),
            )
            .a_share()
            .sized(12, 8),
        ],
    )
}

fn rows() -> Row {
    row(
        "Rows",
        vec![
            Panel::rows("Recent failures", "The newest requests that spent budget.", "short", &sql::failures()),
            Panel::rows(
                "Recent drift",
                "The newest verdicts that are not stable, with their evidence.",
                "short",
                &sql::drifts(),
            ),
            Panel::lines_of_rows(
                "Labels",
                "Ground truth that arrived, an hour: all, corrected ones, and those of answers that nobody has stored.",
                "short",
                &sql::labels(),
            )
            .sized(12, 8),
            Panel::lines_of_rows("Feedback", "Mean of each named outcome, an hour.", "none", &sql::outcomes())
                .sized(12, 8),
            Panel::rows(
                "Traffic by outcome",
                "Stored requests; latencies are the worst minute's.",
                "short",
                &sql::traffic(),
            )
            .sized(12, 9),
            Panel::rows(
                "Confidence by class",
                "Stored answers by class; p05 is the worst minute's.",
                "short",
                &sql::confidence(),
            )
            .sized(12, 9),
        ],
    )
}

/// The newest failures.
pub(super) fn failures() -> Row {
    row(
        "Failures",
        vec![Panel::rows("Newest failures", "The newest requests that spent budget.", "short", &sql::failures())],
    )
}

/// The newest verdicts that are not stable.
pub(super) fn drift_rows() -> Row {
    let text = "The newest verdicts that are not stable, with their evidence.";
    row("Verdicts", vec![Panel::rows("Newest verdicts", text, "short", &sql::drifts())])
}

/// Confidence by class, and labels.
pub(super) fn confidence_rows() -> Row {
    row(
        "Classes and labels",
        vec![
            Panel::rows("Classes", "Stored answers by class; p05 is the worst minute's.", "short", &sql::confidence())
                .sized(12, 9),
            Panel::lines_of_rows(
                "Labels by hour",
                "Ground truth that arrived: all, corrected, unknown.",
                "short",
                &sql::labels(),
            )
            .sized(12, 9),
        ],
    )
}
