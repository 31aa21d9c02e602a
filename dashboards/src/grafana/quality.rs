//! How good the answers turned out, where labels say: by class, by confidence, as a ranking, and beside what was expected.

use contract::api::ConceptKind;
use contract::metrics::analyzer as a;

use super::layout::{Row, row};
use super::panel::Panel;
use super::query::{gauge, gauge_where};

/// Figures by labels, by model and window.
pub(super) fn quality() -> Row {
    let of = |metric| gauge("max", metric, &["model", "window"]);
    let share = |title: &str, text: &str, metric| {
        Panel::lines(title, text, "percentunit").series(of(metric), "{{model}} over {{window}}").a_share()
    };
    let number = |title: &str, text: &str, metric| {
        Panel::lines(title, text, "none").series(of(metric), "{{model}} over {{window}}")
    };
    row(
        "Quality by labels",
        vec![
            concept(),
            share(
                "Labelled",
                "Share of the answers that have a label: the other figures speak of these.",
                &a::QUALITY_COVERAGE,
            ),
            share(
                "Expected accuracy",
                "Of all answers, from confidence calibrated by earlier labels; it assumes that answers are as right as they were.",
                &a::QUALITY_EXPECTED,
            ),
            share("F1", "Mean over the classes that have labels; of two classes, beside what is expected.", &a::QUALITY_F1)
                .series(of(&a::QUALITY_EXPECTED_F1), "{{model}} over {{window}}, expected"),
            share(
                "Ranking (AUROC)",
                "Chance that a positive scores above a negative; with more than two classes, a right answer above a wrong one.",
                &a::QUALITY_AUROC,
            )
            .series(of(&a::QUALITY_EXPECTED_AUROC), "{{model}} over {{window}}, expected"),
            share("Calibration error", "Mean gap of confidence and accuracy over ten bins.", &a::QUALITY_CALIBRATION),
            number("Brier score", "Of the winning class; lower is better.", &a::QUALITY_BRIER),
            number("Log loss", "Of the winning class, in nats; lower is better.", &a::QUALITY_LOG_LOSS),
            number("Absolute error", "Mean, of models that answer with a number, in its unit.", &a::QUALITY_MAE),
            number(
                "Squared error",
                "Root of the mean, of models that answer with a number, in its unit.",
                &a::QUALITY_RMSE,
            ),
        ],
    )
}

/// A number a kind, so that one line a model shows which holds.
fn concept() -> Panel {
    let kinds = ConceptKind::ALL.into_iter().enumerate();
    let holds = |kind: ConceptKind| gauge_where("max", &a::CONCEPT_STATE, &[("state", kind.as_str())], &["model"]);
    let expr: Vec<String> = kinds.map(|(code, kind)| format!("({} == 1) * 0 + {code}", holds(kind))).collect();
    Panel::states(
        "Concept drift",
        "Whether inputs moved, what they mean (answers err otherwise than they did), both, or only the mix of classes.",
    )
    .series(expr.join(" or "), "{{model}}")
    .named(&[
        ("0", "too few labels", "text"),
        ("1", "neither", "green"),
        ("2", "inputs alone", "orange"),
        ("3", "concept drift", "red"),
        ("4", "both", "red"),
        ("5", "mix of classes", "orange"),
        ("6", "errors, inputs unknown", "red"),
    ])
    .sized(24, 6)
}
