//! Alerts about judging itself: a model whose verdicts stand still, a watermark that is held back, windows that were given up.
//!
//! A cycle that succeeds says nothing of one model in it, and a closed window nothing of those that do not close: each has a
//! figure of its own. What the configuration makes late is left out by the analyzer's own account, so that no rule has to know it.

use contract::metrics::analyzer::{JUDGED_UNTIL, WATERMARK_LAG, WATERMARK_LAG_ALLOWED, WINDOWS_SKIPPED};

use super::{observing::any_growth, table::listed};
use crate::alert::{Alert, Expected, Input, Scenario, VALUE, label};
use crate::promql::{Scale, Span};

/// A model could not be judged for long.
pub const UNJUDGED: &str = "DriftlineModelUnjudged";
/// The watermark does not move on.
pub const BEHIND: &str = "DriftlineWatermarkBehind";
/// The analyzer's cycle does not run faster in a demonstration, so limits have a floor.
const FLOOR: Span = Span::seconds(60);
/// What the configuration allows in the proofs, in seconds.
const ALLOWED: u64 = 10;

pub fn all(scale: Scale) -> Vec<Alert> {
    vec![unjudged(scale), behind(scale), skipped(scale)]
}

/// Steps in which a limit, and what is allowed beside it, is passed for long enough.
fn steps(limit: Span, scale: Scale) -> u64 {
    Span::seconds(limit.whole_seconds() + ALLOWED).steps_of(scale.window(60)) + 20
}

fn unjudged(scale: Scale) -> Alert {
    let limit = scale.window(900).max(FLOOR);
    let expr = format!(
        "time() - max by (model) ({})\n> scalar(max({})) + {}",
        JUDGED_UNTIL.name,
        WATERMARK_LAG_ALLOWED.name,
        limit.whole_seconds(),
    );
    let (step, steps) = (scale.window(60), steps(limit, scale));
    let now = step.times(steps).as_seconds();
    let case = |until: String| {
        let labels = [("instance", "z:1"), ("model", "m")];
        let allowed = Input::new(WATERMARK_LAG_ALLOWED.name, &labels[..1], format!("{ALLOWED}x{steps}"));
        vec![Input::new(JUDGED_UNTIL.name, &labels, until), allowed]
    };
    let stuck = Expected::new(&[("model", "m")], now - 1.0);
    listed(UNJUDGED, expr)
        .of_a_model()
        .timed(scale.interval(300), scale.interval(300))
        .says(
            format!("{} has not been judged for {VALUE} s", label("model")),
            format!(
                "{} is asked, and its windows close, but they are not judged: its states, confidence and concept drift show the \
                 past. Other models may be judged as ever.",
                label("model")
            ),
        )
        .proved_by(vec![
            Scenario::fires("judging fails", case(format!("1x{steps}")), steps, stuck),
            Scenario::quiet("it is judged", case(format!("0+{}x{steps}", step.as_seconds())), steps),
            Scenario::quiet("it fails for minutes", case(format!("1x{steps}")), 10),
        ])
}

fn behind(scale: Scale) -> Alert {
    let limit = scale.window(300).max(FLOOR);
    let expr = format!(
        "max by (instance) ({})\n> on (instance) max by (instance) ({}) + {}",
        WATERMARK_LAG.name,
        WATERMARK_LAG_ALLOWED.name,
        limit.whole_seconds(),
    );
    let labels = [("instance", "z:1")];
    let case = |lag: &str| {
        let allowed = Input::new(WATERMARK_LAG_ALLOWED.name, &labels, format!("{ALLOWED}x40"));
        vec![Input::new(WATERMARK_LAG.name, &labels, lag), allowed]
    };
    listed(BEHIND, expr)
        .timed(scale.interval(300), scale.interval(300))
        .says(
            format!("No window of {} closes: the watermark is {VALUE} s behind", label("instance")),
            "A source that sends heartbeats promises nothing newer than this, and a window closes only when all sources have \
             promised that nothing of it is still to come. Verdicts of all models are as old as that."
                .into(),
        )
        .proved_by(vec![
            Scenario::fires("a source's clock is an hour behind", case("5x5 3600x35"), 30, Expected::new(&labels, 3_600.0)),
            Scenario::quiet("as late as it may be", case("10x40"), 30),
            Scenario::quiet("it catches up", case("3600x3 5x37"), 30),
        ])
}

fn skipped(scale: Scale) -> Alert {
    any_growth("DriftlineWindowsSkipped", &WINDOWS_SKIPPED, &[], &[("model", "m")], scale).of_a_model().says(
        format!("Windows of {} were given up", label("model")),
        format!(
            "{VALUE} windows of {} were left out: the analyzer was away, or could not judge, for longer than \
             `analyzer.max_backlog_windows`. There is no verdict on that time, and there will be none.",
            label("model")
        ),
    )
}
