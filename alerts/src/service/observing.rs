//! Alerts about the observation path: nothing on it may be lost in silence, and no verdict may be quietly old.

use contract::metrics::Metric;
use contract::metrics::analyzer::{LAST_CYCLE, VERDICTS_UNTOLD};
use contract::metrics::collector::{
    INSERTS, LOG_BACKLOGGED, LOG_FULL, LOG_STATE, QUARANTINE_USED, QUARANTINED, SECOND_PASS_HITS, SEQUENCE_GAPS,
    SOURCE_PROXY,
};
use contract::metrics::naming::{NAMES_FAILURES, UNAVAILABLE};
use contract::metrics::process::START;
use contract::metrics::proxy::MIRROR_DROPPED;

use super::table::listed;
use crate::alert::{Alert, Expected, Input, Scenario, VALUE, label};
use crate::prometheus::ANALYZER_JOB;
use crate::promql::{Scale, Span, grown, select};

/// The analyzer has not finished a cycle for long.
pub const STALE: &str = "DriftlineAnalyzerStale";

pub fn all(scale: Scale) -> Vec<Alert> {
    vec![
        mirror_loss(scale),
        sequence_gap(scale),
        second_pass_hit(scale),
        names_unavailable(scale),
        backlog(scale),
        log_full(scale),
        inserts_failing(scale),
        quarantined(scale),
        quarantine_full(scale),
        analyzer_stale(scale),
        verdicts_unheard(scale),
    ]
}

/// An alert on any growth of a labelled counter, proved on the first event there ever was, on none, and on an old one.
pub(super) fn any_growth(
    name: &'static str,
    metric: &Metric,
    matchers: &[(&str, &str)],
    by: &[(&str, &str)],
    scale: Scale,
) -> Alert {
    let window = scale.window(600);
    let labels: Vec<&str> = by.iter().map(|(label, _)| *label).collect();
    let expr = format!("{} > 0", grown(metric, matchers, &labels, window, scale.window(3_600)));
    let all: Vec<(&str, &str)> = matchers.iter().filter(|(k, _)| !labels.contains(k)).chain(by).copied().collect();
    let series = |values: &str| vec![Input::new(metric.name, &all, values)];
    listed(name, expr).timed(Span::ZERO, scale.interval(600)).proved_by(vec![
        Scenario::fires("the first there ever was", series("_x5 3x20"), 8, Expected::new(by, 3.0)),
        Scenario::fires("more of it", series("3x100 3+10x20"), 120, Expected::new(by, 100.0)),
        Scenario::quiet("an old one", series("3x200"), 180),
        Scenario::quiet("none", series("0x200"), 180),
    ])
}

fn mirror_loss(scale: Scale) -> Alert {
    any_growth("DriftlineMirrorLoss", &MIRROR_DROPPED, &[], &[("reason", "full")], scale).says(
        format!("The proxy drops observations: {}", label("reason")),
        format!(
            "{VALUE} observations were lost in ten minutes ({}). Serving is not touched, but verdicts, budgets from the \
             tables and shadow comparisons do not know these requests.",
            label("reason")
        ),
    )
}

fn sequence_gap(scale: Scale) -> Alert {
    any_growth("DriftlineSequenceGap", &SEQUENCE_GAPS, &[], &[("source", "proxy-1")], scale).says(
        format!("Batches of {} never arrived", label("source")),
        format!(
            "{} numbered {VALUE} batches that the collector never saw. Either the source died with batches in memory, or \
             something between it and the collector swallows posts.",
            label("source")
        ),
    )
}

fn second_pass_hit(scale: Scale) -> Alert {
    let proxy = ("source", SOURCE_PROXY);
    any_growth("DriftlineSecondPassMaskingHit", &SECOND_PASS_HITS, &[proxy], &[proxy, ("entity", "email")], scale).says(
        format!("Personal data left a proxy unmasked: {}", label("entity")),
        format!(
            "The collector's second masking pass replaced {VALUE} times {} in records that a proxy had already masked. \
             Nothing unmasked was stored, but it crossed the network: the proxy masks by older or other rules.",
            label("entity")
        ),
    )
}

fn names_unavailable(scale: Scale) -> Alert {
    any_growth("DriftlineNamesUnavailable", &NAMES_FAILURES, &[], &[("reason", UNAVAILABLE)], scale).says(
        format!("Texts are withheld, names cannot be looked for: {}", label("reason")),
        format!(
            "{VALUE} times in ten minutes the model that finds names did not answer ({}), and the texts that it was asked about \
             were not stored. Nothing unmasked was, and numbers and verdicts are not touched; samples are missing.",
            label("reason")
        ),
    )
}

fn quarantined(scale: Scale) -> Alert {
    any_growth("DriftlineObservationsQuarantined", &QUARANTINED, &[], &[("reason", "refused")], scale).says(
        format!("Observations were put aside: {}", label("reason")),
        format!(
            "{VALUE} were put aside ({}: refused, ClickHouse says no to them; unreadable, a place in the log is \
             damaged). They are on the collector's disk and in no table.",
            label("reason")
        ),
    )
}

fn quarantine_full(scale: Scale) -> Alert {
    let expr = format!("max by (instance) ({}) > 0.8", QUARANTINE_USED.name);
    let series = |values: &str| vec![Input::new(QUARANTINE_USED.name, &[("instance", "c:1")], values)];
    listed("DriftlineQuarantineFull", expr)
        .timed(scale.interval(60), scale.interval(300))
        .proved_by(vec![
            Scenario::fires("it stays so", series("0x5 0.9x20"), 20, Expected::new(&[("instance", "c:1")], 0.9)),
            Scenario::quiet("there is room", series("0.7x30"), 20),
            Scenario::quiet("somebody made room", series("0x5 0.9x7 0.1x20"), 30),
        ])
        .says(
            format!("The quarantine of {} is nearly full", label("instance")),
            "Rows that ClickHouse refuses have filled their folder on the collector's disk. When it is full, their \
             segments wait in the log, what comes after them waits too, and in the end observations are refused."
                .into(),
        )
}

/// An alert on a state of the collector's log.
fn log_state(name: &'static str, state: &str, hold_seconds: u64, scale: Scale) -> Alert {
    let expr = format!("max by (instance) ({}) == 1", select(LOG_STATE.name, &[("state", state)]));
    let series = |values: &str| vec![Input::new(LOG_STATE.name, &[("instance", "c:1"), ("state", state)], values)];
    listed(name, expr).timed(scale.interval(hold_seconds), scale.interval(300)).proved_by(vec![
        Scenario::fires("it stays so", series("0x5 1x20"), 20, Expected::new(&[("instance", "c:1")], 1.0)),
        Scenario::quiet("it never was so", series("0x30"), 20),
        Scenario::quiet("it is over", series("0x5 1x7 0x20"), 30),
    ])
}

fn backlog(scale: Scale) -> Alert {
    log_state("DriftlineCollectorBacklog", LOG_BACKLOGGED, 300, scale).says(
        format!("{} falls behind ClickHouse", label("instance")),
        "The collector's log grows: observations are durable, but not in the tables, so verdicts and pages are older than \
         they look. When the log's bound is reached, observations are refused."
            .into(),
    )
}

fn log_full(scale: Scale) -> Alert {
    log_state("DriftlineCollectorLogFull", LOG_FULL, 60, scale).says(
        format!("{} refuses observations: its log is full", label("instance")),
        "The collector answers 503 because its log reached its bound or the disk is full. Proxies hold what they can and \
         then drop and count. Serving is not touched."
            .into(),
    )
}

fn inserts_failing(scale: Scale) -> Alert {
    let window = scale.window(300);
    let failed = format!("{}{{outcome=~\"failed|unknown\"}}", INSERTS.name);
    let series = |values: &str| vec![Input::new(INSERTS.name, &[("table", "features"), ("outcome", "failed")], values)];
    let expected = Expected::new(&[("table", "features")], 5.0);
    listed("DriftlineClickHouseInsertsFailing", format!("sum by (table) (increase({failed}[{window}])) > 0"),
    )
    .timed(scale.interval(300), scale.interval(300))
    .says(
        format!("Inserts into {} fail", label("table")),
        format!(
            "For five minutes inserts into the table {} have failed or ended unknown. The collector keeps the segments and \
             retries without doubling a row.",
            label("table")
        ),
    )
    .proved_by(vec![
        Scenario::fires("every insert fails", series("0+1x40"), 20, expected),
        Scenario::quiet("one failure and a retry that works", series("0x10 1x30"), 20),
        Scenario::quiet("none", series("0x40"), 20),
    ])
}

fn verdicts_unheard(scale: Scale) -> Alert {
    let expr = format!("max by (instance) ({}) > 0", VERDICTS_UNTOLD.name);
    let labels = [("job", ANALYZER_JOB), ("instance", "z:1")];
    let series = |values: &str| vec![Input::new(VERDICTS_UNTOLD.name, &labels, values)];
    listed("DriftlineVerdictsUnheard", expr)
        .timed(scale.interval(600), scale.interval(60))
        .says(
            format!("{VALUE} verdicts on shadows were not heard by a proxy"),
            "The analyzer tells proxies its verdicts ([analyzer.rollout]), and some proxy did not hear one for ten minutes: a \
             rejected canary may still answer."
                .into(),
        )
        .proved_by(vec![
            Scenario::fires("a proxy is away", series("0x5 2x40"), 30, Expected::new(&[("instance", "z:1")], 2.0)),
            Scenario::quiet("a proxy starts anew", series("0x5 1x5 0x40"), 30),
            Scenario::quiet("nobody is told", series("0x40"), 30),
        ])
}

fn analyzer_stale(scale: Scale) -> Alert {
    // The analyzer's cycle does not run faster in a demonstration, so the limit has a floor.
    let limit = scale.window(300).max(Span::seconds(30));
    let step = scale.window(60);
    let started = select(START.name, &[("job", ANALYZER_JOB)]);
    let expr = format!(
        "time() - max by (instance) ({last} > 0 or on (instance) {started}) > {limit}",
        last = LAST_CYCLE.name,
        limit = limit.whole_seconds(),
    );
    let labels = [("job", ANALYZER_JOB), ("instance", "z:1")];
    let steps = limit.steps_of(step) + 20;
    let now = step.times(steps).as_seconds();
    let series = |last: String| {
        vec![Input::new(START.name, &labels, format!("1x{steps}")), Input::new(LAST_CYCLE.name, &labels, last)]
    };
    let stuck = |since: f64| Expected::new(&[("instance", "z:1")], now - since);
    listed(STALE, expr)
        .timed(scale.interval(60), scale.interval(60))
        .says(
            format!("The analyzer on {} has not judged anything for {VALUE} s", label("instance")),
            "No analysis cycle succeeded for minutes: drift, confidence, shadow verdicts and the page show the past. \
             Error budgets in Prometheus go on without it."
                .into(),
        )
        .proved_by(vec![
            Scenario::fires("it stopped", series(format!("2x{steps}")), steps, stuck(2.0)),
            Scenario::fires("it never finished a cycle", series(format!("0x{steps}")), steps, stuck(1.0)),
            Scenario::quiet("it works", series(format!("0+{}x{steps}", step.as_seconds())), steps),
        ])
}
