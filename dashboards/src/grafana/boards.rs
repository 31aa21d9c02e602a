//! Dashboards for one question each, put together from the rows of the overview and the pipeline: what it is worth, what
//! is wrong now, why, what drifted, how sure, and is the shadow any good.

use contract::metrics::analyzer as a;
use contract::metrics::proxy as p;
use contract::metrics::serving as s;
use serde_json::Value;

use super::layout::{Row, row};
use super::overview::{
    bad, confidence, confidence_rows, counted, drift, drift_rows, errors, failures, objectives, shadows, traffic,
};
use super::panel::Panel;
use super::pipeline::{batching, processes};
use super::quality::quality;
use super::query::{gauge, quantile, rate, rate_where};
use super::segments::segments;
use super::{dashboard, details, serving, versions};

/// All of them, each with the name of its file; burn lines are those of a period.
pub fn boards(period_days: u32) -> Vec<(&'static str, Value)> {
    let board =
        |name, uid, title, text, rows| (name, dashboard(uid, title, text, ("Overview", "driftline-overview"), rows));
    vec![
        board(
            "executive",
            "driftline-executive",
            "Driftline executive",
            "Is it used, does it keep its promises, is it any good, what does it cost.",
            vec![worth()],
        ),
        board(
            "on-call",
            "driftline-on-call",
            "Driftline on call",
            "What is wrong now: rate, latency, errors, burn against its lines, versions, devices, processes.",
            vec![traffic(), errors(), objectives(period_days), versions::trouble(), serving::cards(), processes()],
        ),
        board(
            "debug",
            "driftline-debug",
            "Driftline debug",
            "Why: stages, slow and failed requests one by one, batches and padding, memory, loads, checks, servers behind the proxy.",
            vec![
                traffic(),
                details::waterfalls(),
                batching(),
                versions::loaded(),
                versions::trouble(),
                versions::behind(),
                failures(),
                processes(),
                serving::cards(),
            ],
        ),
        board(
            "drift",
            "driftline-drift",
            "Driftline drift",
            "What moved against the reference, since when, on what evidence.",
            vec![details::evidence(), details::distributions(), drift(), segments(), drift_rows()],
        ),
        board(
            "confidence",
            "driftline-confidence",
            "Driftline confidence",
            "How sure the answers are, and how right, where labels say.",
            vec![confidence(), quality(), confidence_rows()],
        ),
        board(
            "shadow",
            "driftline-shadow",
            "Driftline shadow",
            "How a shadow answers beside its primary, with bounds that hold at every look.",
            vec![shadows()],
        ),
    ]
}

fn worth() -> Row {
    let good = format!(
        "1 - {} / {}",
        rate_where(&p::REQUESTS, &[("outcome", &bad())], &["model"]),
        rate_where(&p::REQUESTS, &[("outcome", &counted())], &["model"]),
    );
    let each = format!("{} / {}", rate(&s::COST, &["model"]), rate(&p::REQUESTS, &["model"]));
    let right = format!(
        "{} / {}",
        gauge("max", &a::QUALITY_CORRECT, &["model", "window"]),
        gauge("max", &a::QUALITY_LABELLED, &["model", "window"])
    );
    row(
        "What it is worth",
        vec![
            Panel::lines("Adoption", "Requests a second, by model.", "reqps")
                .series(rate(&p::REQUESTS, &["model"]), "{{model}}")
                .stacked(),
            Panel::lines("Availability", "Share of the requests that count which did not fail.", "percentunit")
                .series(good, "{{model}}")
                .a_share(),
            Panel::lines(
                "p95 with its target",
                "Nineteen of twenty answers arrive within this; the common target is 300 ms.",
                "s",
            )
            .series(quantile(0.95, &p::REQUEST_SECONDS, &["model"]), "{{model}}")
            .from(&[(0.3, "red")])
            .with_lines(),
            Panel::lines(
                "Quality",
                "Share of labelled answers that were right, over a day and over thirty.",
                "percentunit",
            )
            .series(right, "{{model}} over {{window}}")
            .a_share(),
            Panel::bars("Budget left", "Share of the period's error budget; below 0 it is overspent.", "percentunit")
                .series(gauge("min", &a::SLO_BUDGET, &["slo"]), "{{slo}}")
                .better_from(&[(0.0, "orange"), (0.25, "green")]),
            Panel::lines("Cost of a request", "In the currency of the configured prices.", "none")
                .series(each, "{{model}}"),
        ],
    )
}
