//! Alerts about models: drift, confidence, versions that were refused, shadows that are judged.

use contract::api::{DriftState, ShadowVerdict};
use contract::metrics::analyzer::{DRIFT_KS_LOWER, DRIFT_STATE, LOW_CONFIDENCE, SHADOW_VERDICT};
use contract::metrics::proxy::{CHECK_FAILED, CHECK_PASSED, CONVERSION_CHECKS, LOAD_FAILURES};

use super::table::listed;
use crate::alert::{Alert, Expected, Input, RATIO, Scenario, Severity, label};
use crate::promql::{Scale, grown, quote, select};

/// Features drifted.
pub const DRIFT: &str = "DriftlineFeatureDrift";
/// The model is unsure of most answers.
pub const CONFIDENCE: &str = "DriftlineConfidenceCollapse";

/// A shadow is judged.
pub const SHADOW_READY: &str = "DriftlineShadowVerdictReady";

/// Share of low-confidence answers at which most of what is served is a guess.
const LOW_SHARE: f64 = 0.5;

/// `paged` are the models whose drift wakes somebody.
pub fn all(scale: Scale, paged: &[String]) -> Vec<Alert> {
    let mut all = vec![drift(scale, paged, false)];
    if !paged.is_empty() {
        all.push(drift(scale, paged, true));
    }
    all.extend([confidence(scale), load_failed(scale), conversion_failed(scale), shadow_ready(scale)]);
    all
}

/// Drifted features of the models whose drift pages, or of the others.
fn drifted_features(paged: &[String], pages: bool) -> String {
    let drifted = DriftState::Drifted.as_str();
    let names = quote(&paged.iter().map(|name| name.replace('.', "\\.")).collect::<Vec<_>>().join("|"));
    match (paged.is_empty(), pages) {
        (true, _) => select(DRIFT_STATE.name, &[("state", drifted)]),
        (_, true) => format!("{}{{state=\"{drifted}\", model=~{names}}}", DRIFT_STATE.name),
        (_, false) => format!("{}{{state=\"{drifted}\", model!~{names}}}", DRIFT_STATE.name),
    }
}

/// A template that lists the five drifted features whose distribution moved most.
fn worst_features() -> String {
    let drifted = select(DRIFT_STATE.name, &[("state", DriftState::Drifted.as_str())]);
    let distance = format!("{}{{model=%q, version=%q}}", DRIFT_KS_LOWER.name);
    let query = format!("topk(5, {distance} and on (model, version, feature) {drifted} == 1)");
    format!(
        "{{{{ range printf `{query}` $labels.model $labels.version | query }}}} {{{{ .Labels.feature }}}} \
         ({{{{ printf \"%.3f\" .Value }}}}){{{{ end }}}}"
    )
}

fn drift(scale: Scale, paged: &[String], pages: bool) -> Alert {
    let drifted = DriftState::Drifted.as_str();
    let expr = format!("sum by (model, version) ({}) > 0", drifted_features(paged, pages));
    let worst = worst_features();
    let name = if pages { paged[0].as_str() } else { "some-model" };
    let labels = [("model", name), ("version", "1"), ("feature", "text.chars")];
    let states = |values: &str| {
        let [model, version, feature] = labels;
        vec![
            Input::new(DRIFT_STATE.name, &[model, version, feature, ("state", drifted)], values),
            Input::new(DRIFT_KS_LOWER.name, &labels, "0.25x30"),
        ]
    };
    let moved = Expected::new(&[("model", name), ("version", "1")], 1.0).with(&worst, " text.chars (0.250)");
    let (model, version) = (label("model"), label("version"));
    let mut alert = listed(DRIFT, expr);
    if pages {
        alert.severity = Severity::Page;
    }
    alert
        .of_a_model()
        .timed(crate::promql::Span::ZERO, scale.interval(600))
        .says(
            format!("{model} {version} sees data that its reference does not know"),
            format!(
                "Features of {model} {version} moved by more than the shift that was declared harmless; the verdict's false-alarm \
                 rate is bounded, so this is no noise. Largest lower bounds of the KS distance:{worst}"
            ),
        )
        .proved_by(vec![
            Scenario::fires("a feature drifts", states("0x5 1x20"), 10, moved),
            Scenario::quiet("no feature drifts", states("0x30"), 20),
            Scenario::quiet("it is over", states("0x5 1x5 0x19"), 25),
        ])
}

fn confidence(scale: Scale) -> Alert {
    let series = |values: &str| vec![Input::new(LOW_CONFIDENCE.name, &[("model", "m"), ("version", "1")], values)];
    let (model, version) = (label("model"), label("version"));
    let expr = format!("max by (model, version) ({}) > {LOW_SHARE}", LOW_CONFIDENCE.name);
    listed(CONFIDENCE, expr)
        .of_a_model()
        .timed(scale.interval(300), scale.interval(600))
        .says(
            format!("{model} {version} is unsure of most of its answers"),
            format!("A share of {RATIO} of the last window's answers of {model} {version} is below the configured confidence floor."),
        )
        .proved_by(vec![
            Scenario::fires(
                "most answers are guesses",
                series("0.05x5 0.75x20"),
                15,
                Expected::new(&[("model", "m"), ("version", "1")], 0.75),
            ),
            Scenario::quiet("a third is unsure", series("0.3x30"), 20),
            Scenario::quiet("for two minutes only", series("0.05x5 0.75x1 0.05x20"), 15),
        ])
}

fn load_failed(scale: Scale) -> Alert {
    let (window, memory) = (scale.window(900), scale.window(3_600));
    let expr = format!("{} > 0", grown(&LOAD_FAILURES, &[], &["model", "version", "reason"], window, memory));
    let labels = [("model", "m"), ("version", "2"), ("reason", "pairing")];
    let series = |values: &str| vec![Input::new(LOAD_FAILURES.name, &labels, values)];
    listed("DriftlineModelLoadFailed", expr)
        .of_a_model()
        .timed(crate::promql::Span::ZERO, scale.interval(300))
        .says(
            format!("{} {} was refused at load: {}", label("model"), label("version"), label("reason")),
            format!(
                "The proxy did not take version {} of {} into service ({}). A version that served before goes on serving; where none \
                 does, DriftlineModelUnavailable fires too.",
                label("version"),
                label("model"),
                label("reason")
            ),
        )
        .proved_by(vec![
            Scenario::fires("the first failure there ever was", series("_x5 1x20"), 8, Expected::new(&labels, 1.0)),
            Scenario::quiet("an old failure", series("1x200"), 180),
            Scenario::quiet("none", vec![], 20),
        ])
}

fn conversion_failed(scale: Scale) -> Alert {
    let (window, memory) = (scale.window(900), scale.window(3_600));
    let failed = ("outcome", CHECK_FAILED);
    let expr = format!("{} > 0", grown(&CONVERSION_CHECKS, &[failed], &["model", "version"], window, memory));
    let labels = [("model", "m"), ("version", "2")];
    let series = |outcome: &str, values: &str| {
        vec![Input::new(CONVERSION_CHECKS.name, &[labels[0], labels[1], ("outcome", outcome)], values)]
    };
    listed("DriftlineConversionCheckFailed", expr)
        .of_a_model()
        .timed(crate::promql::Span::ZERO, scale.interval(300))
        .says(
            format!("{} {} failed a check at load", label("model"), label("version")),
            format!(
                "A hash, pairing or golden-sample check of {} {} failed at load: its files do not belong together, or the \
                 converted graph computes something else. The version is not served.",
                label("model"),
                label("version")
            ),
        )
        .proved_by(vec![
            Scenario::fires("a check fails", series(CHECK_FAILED, "_x5 1x20"), 8, Expected::new(&labels, 1.0)),
            Scenario::quiet("checks pass", series(CHECK_PASSED, "_x5 8x20"), 8),
        ])
}

fn shadow_ready(scale: Scale) -> Alert {
    let decided = format!("{}|{}", ShadowVerdict::Promote.as_str(), ShadowVerdict::Reject.as_str());
    let expr = format!("max by (model, version, state) ({}{{state=~\"{decided}\"}}) == 1", SHADOW_VERDICT.name);
    let series = |verdict: ShadowVerdict| {
        let labels = [("model", "m"), ("version", "2"), ("state", verdict.as_str())];
        vec![Input::new(SHADOW_VERDICT.name, &labels, "0x5 1x30")]
    };
    let rejected = Expected::new(&[("model", "m"), ("version", "2"), ("state", ShadowVerdict::Reject.as_str())], 1.0);
    listed(SHADOW_READY, expr)
        .of_a_model()
        .timed(scale.interval(300), scale.interval(600))
        .says(
            format!("Shadow {} of {}: {}", label("version"), label("model"), label("state")),
            format!(
                "Enough pairs are compared to decide: {} version {} of {}. The bounds behind the verdict are valid at every look.",
                label("state"),
                label("version"),
                label("model")
            ),
        )
        .proved_by(vec![
            Scenario::fires("a shadow is rejected", series(ShadowVerdict::Reject), 15, rejected),
            Scenario::quiet("a shadow is held", series(ShadowVerdict::Hold), 15),
        ])
}
