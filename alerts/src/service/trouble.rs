//! Alerts about models that serve badly or not at all: nobody answers, errors that stay, memory that is gone, breakers,
//! deployments that went wrong, instances that differ.

use contract::metrics::proxy::{LOAD_FAILURES, REQUESTS, VERSION_INFO, VERSION_STATE};
use contract::metrics::versions::{BREAKER_STATE, EVENTS, FILES_FINGERPRINT, GOLDEN_DIFFERENCE};
use contract::wire::{EventKind, Outcome};

use super::table::listed;
use crate::alert::{Alert, Expected, Input, RATIO, Scenario, label};
use crate::promql::{Scale, Span, grown, select};

/// Share of failures that is an incident, whatever the objective says.
const ERROR_SHARE: f64 = 0.05;
/// Failures below which no share is looked at.
const ERRORS_MIN: u32 = 10;
/// Share of failures after a deployment that is worth a look, if it is this many times what it was before.
const DEPLOYED_SHARE: f64 = 0.02;
const DEPLOYED_TIMES: u32 = 3;

/// Distance of what instances of one version answer to the same golden samples at which they are not the same model: a
/// hundredth of a probability. Processors that multiply bytes otherwise (with and without VNNI) come to that, rounding does not.
const GOLDEN_APART: f64 = 0.01;

/// Nobody serves a model.
pub const UNAVAILABLE: &str = "DriftlineModelUnavailable";
/// A model keeps failing.
pub const ERRORS: &str = "DriftlineSustainedErrors";

pub fn all(scale: Scale) -> Vec<Alert> {
    vec![
        unavailable(scale),
        sustained_errors(scale),
        out_of_memory(scale),
        breaker_open(scale),
        deployment_errors(scale),
        instances_differ(scale),
    ]
}

fn unavailable(scale: Scale) -> Alert {
    let ready = [("role", "primary"), ("state", "ready")];
    let expr = format!("max by (model) ({}) == 0", select(VERSION_STATE.name, &ready));
    let states = |first: &str, second: &str| {
        let of = |instance, values: &str| {
            let labels = [("model", "m"), ("version", "1"), ready[0], ready[1], ("instance", instance)];
            Input::new(VERSION_STATE.name, &labels, values)
        };
        vec![of("a:1", first), of("b:1", second)]
    };
    listed(UNAVAILABLE, expr)
        .of_a_model()
        .timed(scale.interval(60), scale.interval(120))
        .says(
            format!("{} is served by nobody", label("model")),
            format!("No instance has a ready primary version of {}: requests to it fail.", label("model")),
        )
        .proved_by(vec![
            Scenario::fires(
                "nobody is ready",
                states("1x5 0x20", "1x3 0x20"),
                12,
                Expected::new(&[("model", "m")], 0.0),
            ),
            Scenario::quiet("one of two is ready", states("1x5 0x20", "1x30"), 20),
            Scenario::quiet("an idle, ready model", states("1x30", "1x30"), 20),
        ])
}

fn outcomes(of: impl Fn(Outcome) -> bool) -> String {
    Outcome::ALL.into_iter().filter(|o| of(*o)).map(Outcome::as_str).collect::<Vec<_>>().join("|")
}

/// Requests of each model in a window that ended so.
fn ended(outcomes: &str, window: Span, offset: &str) -> String {
    format!("sum by (model) (increase({}{{outcome=~\"{outcomes}\"}}[{window}]{offset}))", REQUESTS.name)
}

/// Share of errors and timeouts; a refusal is the queue's own alert.
fn error_share(window: Span, offset: &str) -> String {
    let failed = ended(&failed(), window, offset);
    format!("{failed}\n/ ({} > 0)", ended(&outcomes(Outcome::is_valid_event), window, offset))
}

fn failed() -> String {
    outcomes(|o| o.is_bad() && o != Outcome::Rejected)
}

fn requests(outcome: Outcome, values: &str) -> Input {
    let labels = [("model", "m"), ("version", "1"), ("role", "primary"), ("outcome", outcome.as_str())];
    Input::new(REQUESTS.name, &labels, values)
}

fn sustained_errors(scale: Scale) -> Alert {
    let window = scale.window(600);
    let enough = format!("{} >= {ERRORS_MIN}", ended(&failed(), window, ""));
    let expr = format!("{} > {ERROR_SHARE}\nand {enough}", error_share(window, ""));
    let case = |ok: &str, errors: &str| vec![requests(Outcome::Ok, ok), requests(Outcome::Error, errors)];
    listed(ERRORS, expr)
        .of_a_model()
        .timed(scale.interval(300), scale.interval(300))
        .says(
            format!("{} keeps failing", label("model")),
            format!(
                "A share of {RATIO} of the requests to {} ended in an error or a timeout over ten minutes, and it stays so. \
                 This pages whether or not an objective is written for the model.",
                label("model")
            ),
        )
        .proved_by(vec![
            Scenario::fires("a tenth fails", case("0+90x40", "0+10x40"), 30, Expected::new(&[("model", "m")], 0.1)),
            Scenario::quiet("one in a hundred fails", case("0+99x40", "0+1x40"), 30),
            Scenario::quiet("three of four in a quiet night fail", case("0x20 1x20", "0x20 3x20"), 30),
            Scenario::quiet("a burst that is over", case("0+90x60", "0+30x5 150x55"), 40),
        ])
}

fn out_of_memory(scale: Scale) -> Alert {
    let (window, memory) = (scale.window(900), scale.window(3_600));
    let reason = ("reason", "memory");
    let expr = format!("{} > 0", grown(&LOAD_FAILURES, &[reason], &["model", "version"], window, memory));
    let labels = [("model", "m"), ("version", "2")];
    let series = |reason, values: &str| {
        vec![Input::new(LOAD_FAILURES.name, &[labels[0], labels[1], ("reason", reason)], values)]
    };
    listed("DriftlineOutOfMemory", expr)
        .of_a_model()
        .timed(Span::ZERO, scale.interval(600))
        .says(
            format!("No memory for {} {}", label("model"), label("version")),
            format!(
                "A load of {} {} was refused because its sessions would not fit beside what is loaded, even after versions on \
                 standby had left. A restart of this instance may not come up with all its models.",
                label("model"),
                label("version")
            ),
        )
        .proved_by(vec![
            Scenario::fires("a load does not fit", series("memory", "_x5 1x20"), 8, Expected::new(&labels, 1.0)),
            Scenario::quiet("a load fails for another reason", series("golden", "_x5 1x20"), 8),
            Scenario::quiet("an old one", series("memory", "1x200"), 180),
        ])
}

fn breaker_open(scale: Scale) -> Alert {
    let window = scale.window(120);
    let open = |state| [("model", "m"), ("version", "1"), ("state", state)];
    let expr = format!(
        "max by (model, version) (max_over_time({}[{window}])) == 1",
        select(BREAKER_STATE.name, &[("state", "open")])
    );
    let series = |values: &str| vec![Input::new(BREAKER_STATE.name, &open("open"), values)];
    listed("DriftlineBreakerOpen", expr)
        .of_a_model()
        .timed(scale.interval(120), scale.interval(300))
        .says(
            format!("{} {} answers nobody: its breaker is open", label("model"), label("version")),
            format!(
                "Runs of {} {} failed so often that its breaker opened. Its requests are answered by the fallback where there \
                 is one, and fail where there is none.",
                label("model"),
                label("version")
            ),
        )
        .proved_by(vec![
            Scenario::fires("it opens and closes", series("0x5 1x3 0 1x3 0 1x9"), 14, Expected::new(&open("open")[..2], 1.0)),
            Scenario::quiet("closed", series("0x30"), 20),
            Scenario::quiet("open for a moment", series("0x5 1 0x30"), 25),
        ])
}

fn deployment_errors(scale: Scale) -> Alert {
    let (window, memory) = (scale.window(300), scale.window(3_600));
    let before = format!(" offset {}", scale.window(1_800));
    let share = error_share(window, "");
    let changed: Vec<String> = [EventKind::Switch, EventKind::Canary, EventKind::Rollback]
        .iter()
        // each by itself: `or` would take the 0 of a switch of long ago for the answer
        .map(|kind| {
            let grown = grown(&EVENTS, &[("kind", kind.as_str())], &["model"], scale.window(900), memory);
            format!("({grown} > 0)")
        })
        .collect();
    let expr = format!(
        "({share} > {DEPLOYED_SHARE})\nunless {share} <= {DEPLOYED_TIMES} * ({})\nand {} >= 3\nand ({})",
        error_share(window, &before),
        ended(&failed(), window, ""),
        changed.join(" or "),
    );
    let case = |errors: &str, events: &str| {
        let labels = [("model", "m"), ("version", "2"), ("kind", EventKind::Switch.as_str())];
        vec![
            requests(Outcome::Ok, "0+90x80"),
            requests(Outcome::Error, errors),
            Input::new(EVENTS.name, &labels, events),
        ]
    };
    let errors_from_50 = "0x50 10+10x30";
    let canary = || {
        let labels = [("model", "m"), ("version", "3"), ("kind", EventKind::Canary.as_str())];
        let mut inputs = case(errors_from_50, "1x80");
        inputs.push(Input::new(EVENTS.name, &labels, "_x49 1x40"));
        inputs
    };
    listed("DriftlineDeploymentErrors", expr)
        .of_a_model()
        .timed(scale.interval(60), scale.interval(600))
        .says(
            format!("{} fails since its version changed", label("model")),
            format!(
                "A version of {} was switched or given traffic within the last quarter of an hour, and since then a share of \
                 {RATIO} of its requests fails, several times as many as before. Roll back first, look for the cause then.",
                label("model")
            ),
        )
        .proved_by(vec![
            Scenario::fires("errors begin with a switch", case(errors_from_50, "_x49 1x40"), 60, Expected::new(&[("model", "m")], 0.1)),
            Scenario::fires("a canary after a switch of long ago", canary(), 60, Expected::new(&[("model", "m")], 0.1)),
            Scenario::quiet("errors without a change", case(errors_from_50, "_x80"), 60),
            Scenario::quiet("a change without errors", case("0x80", "_x49 1x40"), 60),
            Scenario::quiet("it failed as much before", case("0+10x80", "_x49 1x40"), 60),
        ])
}

fn instances_differ(scale: Scale) -> Alert {
    let providers =
        format!("count by (model, version) (count by (model, version, provider) ({})) > 1", VERSION_INFO.name);
    let of = |f: &str, name: &str| format!("{f} by (model, version) ({name})");
    let (files, golden) = (FILES_FINGERPRINT.name, GOLDEN_DIFFERENCE.name);
    let differ = format!("{} != {}", of("max", files), of("min", files));
    let apart = format!("{} - {} > {GOLDEN_APART}", of("max", golden), of("min", golden));
    let expr = format!("({providers})\nor ({differ})\nor ({apart})");
    let info = |instance, provider| {
        let labels =
            [("model", "m"), ("version", "1"), ("role", "primary"), ("provider", provider), ("instance", instance)];
        Input::new(VERSION_INFO.name, &labels, "1x40")
    };
    let gauge = |name: &str, instance, value: &str| {
        Input::new(name, &[("model", "m"), ("version", "1"), ("instance", instance)], format!("{value}x40"))
    };
    let holds = |instance, fingerprint: &str| gauge(files, instance, fingerprint);
    let answers = |instance, difference: &str| gauge(golden, instance, difference);
    let expected = |value| Expected::new(&[("model", "m"), ("version", "1")], value);
    listed("DriftlineInstancesDiffer", expr)
        .of_a_model()
        .timed(scale.interval(600), scale.interval(600))
        .says(
            format!("Instances of {} {} are not the same", label("model"), label("version")),
            format!(
                "Instances that say they serve {} {} hold other files, run it on other execution providers, or answer the \
                 golden samples otherwise: the same request gets different answers, or answers at different speeds.",
                label("model"),
                label("version")
            ),
        )
        .proved_by(vec![
            Scenario::fires(
                "one fell back to the processor",
                vec![info("a:1", "cuda"), info("b:1", "cpu")],
                20,
                expected(2.0),
            ),
            Scenario::fires(
                "one has other files of the same size",
                vec![holds("a:1", "281474976710655"), holds("b:1", "281474976710654")],
                20,
                expected(281_474_976_710_655.0),
            ),
            Scenario::fires(
                "one answers otherwise",
                vec![answers("a:1", "0"), answers("b:1", "0.25")],
                20,
                expected(0.25),
            ),
            Scenario::quiet(
                "all are the same",
                vec![
                    info("a:1", "cpu"),
                    info("b:1", "cpu"),
                    holds("a:1", "100"),
                    holds("b:1", "100"),
                    answers("a:1", "0.001"),
                    answers("b:1", "0.003"),
                ],
                20,
            ),
        ])
}
