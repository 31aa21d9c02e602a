//! Alerts about what models are given and how good their answers turn out: schema, categories, tokenizers, labels.

use contract::api::ConceptKind;
use contract::metrics::analyzer::{CONCEPT_STATE, QUALITY_CONFIDENCE, QUALITY_CORRECT, QUALITY_LABELLED};
use contract::metrics::proxy::{LOAD_FAILURES, REQUESTS, SCHEMA_VIOLATIONS};

use super::table::listed;
use crate::alert::{Alert, Expected, Input, RATIO, Scenario, label};
use crate::promql::{Scale, Span, grown, number, select};

/// Values break the declared schema.
pub const SCHEMA: &str = "DriftlineSchemaViolations";

/// How a value may break the schema: the one that is a new word, and is told apart.
const UNSEEN: &str = "unseen_category";

/// Violations for each request from which on it is no single caller's slip.
const VIOLATIONS_SHARE: f64 = 0.01;
/// Accuracy that may be lost against the last thirty days before it counts as a drop.
const DROP_MIN: f64 = 0.02;
/// Distance of confidence and accuracy that may be.
const CALIBRATION_MAX: f64 = 0.05;
/// Labels of a day without which nothing is said.
const LABELS_MIN: u32 = 30;
/// Two-sided 95 % quantile of the normal law.
const Z: f64 = 1.96;

pub fn all(scale: Scale) -> Vec<Alert> {
    vec![violations(scale), unseen(scale), tokenizer(scale), concept(scale), quality_drop(scale), calibration(scale)]
}

fn broken(name: &'static str, matcher: &str, reason: &'static str, scale: Scale) -> Alert {
    let window = scale.window(600);
    let values = format!("sum by (model, reason) (increase({}{{{matcher}}}[{window}]))", SCHEMA_VIOLATIONS.name);
    let asked = format!("(sum by (model) (increase({}[{window}])) > 0)", REQUESTS.name);
    let expr = format!("{values}\n/ on (model) group_left () {asked}\n> {VIOLATIONS_SHARE}\nand {values} >= 3");
    let case = |reason, values: &str| {
        let request = [("model", "m"), ("version", "1"), ("role", "primary"), ("outcome", "ok")];
        let broken = [("model", "m"), ("version", "1"), ("feature", "age"), ("reason", reason)];
        vec![Input::new(REQUESTS.name, &request, "0+100x40"), Input::new(SCHEMA_VIOLATIONS.name, &broken, values)]
    };
    let other = if reason == UNSEEN { "missing" } else { UNSEEN };
    let fires = Expected::new(&[("model", "m"), ("reason", reason)], 0.05);
    listed(name, expr).of_a_model().timed(scale.interval(300), scale.interval(600)).proved_by(vec![
        Scenario::fires("five in a hundred", case(reason, "0+5x40"), 30, fires),
        Scenario::quiet("one in a thousand", case(reason, "0+0.1x40"), 30),
        Scenario::quiet("of the other kind", case(other, "0+5x40"), 30),
        Scenario::quiet("no schema is declared", case(reason, "_x40"), 30),
    ])
}

fn violations(scale: Scale) -> Alert {
    broken(SCHEMA, &format!("reason!=\"{UNSEEN}\""), "out_of_range", scale).says(
        format!("Inputs of {} break its schema: {}", label("model"), label("reason")),
        format!(
            "{RATIO} values for each request to {} are not what the model's folder declares ({}). They are answered all \
             the same; what the answers are worth is another question. Drift that follows from it is not told apart.",
            label("model"),
            label("reason")
        ),
    )
}

fn unseen(scale: Scale) -> Alert {
    broken("DriftlineUnseenCategories", &format!("reason=\"{UNSEEN}\""), UNSEEN, scale).says(
        format!("{} is given categories it was not trained on", label("model")),
        format!(
            "{RATIO} values for each request to {} are categories that its folder does not declare. The model treats them \
             as whatever its encoding makes of the unknown.",
            label("model")
        ),
    )
}

fn tokenizer(scale: Scale) -> Alert {
    let (window, memory) = (scale.window(900), scale.window(3_600));
    let reason = ("reason", "vocabulary");
    let expr = format!("{} > 0", grown(&LOAD_FAILURES, &[reason], &["model", "version"], window, memory));
    let labels = [("model", "m"), ("version", "2")];
    let series = |reason, values: &str| {
        vec![Input::new(LOAD_FAILURES.name, &[labels[0], labels[1], ("reason", reason)], values)]
    };
    listed("DriftlineTokenizerMismatch", expr)
        .of_a_model()
        .timed(Span::ZERO, scale.interval(300))
        .says(
            format!("The tokenizer of {} {} is not its model's", label("model"), label("version")),
            format!(
                "The vocabulary in tokenizer.json does not fit the embedding rows of {} {}: with it, every text would be read \
                 as other words. The version is not served; the one before goes on serving.",
                label("model"),
                label("version")
            ),
        )
        .proved_by(vec![
            Scenario::fires("a foreign tokenizer", series("vocabulary", "_x5 1x20"), 8, Expected::new(&labels, 1.0)),
            Scenario::quiet("another check fails", series("golden", "_x5 1x20"), 8),
            Scenario::quiet("an old one", series("vocabulary", "1x200"), 180),
        ])
}

/// A quality metric by model, of a window.
fn of(name: &str, window: &str) -> String {
    format!("max by (model) ({})", select(name, &[("window", window)]))
}

/// Answers err otherwise than they did: the analyzer's verdict, whose evidence says how rare a false one is, so nothing is waited for.
fn concept(scale: Scale) -> Alert {
    let kinds = ConceptKind::ALL.into_iter().filter(|kind| kind.is_of_errors());
    let kinds: Vec<&str> = kinds.map(ConceptKind::as_str).collect();
    let states = kinds.join("|");
    let expr = format!("max by (model, state) ({}{{state=~\"{states}\"}}) == 1", CONCEPT_STATE.name);
    let case = |state: &str, value: u32| {
        let labels = [("model", "m"), ("state", state), ("instance", "z:1")];
        vec![Input::new(CONCEPT_STATE.name, &labels, format!("{value}x60"))]
    };
    let fires = |what, state: &'static str| {
        Scenario::fires(what, case(state, 1), 30, Expected::new(&[("model", "m"), ("state", state)], 1.0))
    };
    listed("DriftlineConceptDrift", expr)
        .of_a_model()
        .timed(Span::ZERO, scale.interval(600))
        .says(
            format!("Answers of {} err otherwise than they did ({})", label("model"), label("state")),
            format!(
                "By the labels that arrived, answers of {} err otherwise than those of the reference of the same version. The state says \
                 what of its inputs: `concept`, none moved, so what an input means has changed; `both`, inputs moved too; `errors`, \
                 that is not known. The page names the classes.",
                label("model")
            ),
        )
        .proved_by(vec![
            fires("concept drift alone", ConceptKind::Concept.as_str()),
            fires("with inputs that moved", ConceptKind::Both.as_str()),
            Scenario::quiet("not any more", case(ConceptKind::Concept.as_str(), 0), 30),
            Scenario::quiet("input drift alone", case(ConceptKind::Input.as_str(), 1), 30),
            Scenario::quiet("too few labels", case(ConceptKind::Insufficient.as_str(), 1), 30),
        ])
}

fn labelled(day: (u32, u32, f64), month: (u32, u32)) -> Vec<Input> {
    let gauge = |name: &str, window, value: String| {
        Input::new(name, &[("model", "m"), ("window", window), ("instance", "z:1")], format!("{value}x60"))
    };
    vec![
        gauge(QUALITY_LABELLED.name, "1d", day.0.to_string()),
        gauge(QUALITY_CORRECT.name, "1d", day.1.to_string()),
        gauge(QUALITY_CONFIDENCE.name, "1d", day.2.to_string()),
        gauge(QUALITY_LABELLED.name, "30d", month.0.to_string()),
        gauge(QUALITY_CORRECT.name, "30d", month.1.to_string()),
    ]
}

fn quality_drop(scale: Scale) -> Alert {
    let (n, right) = (of(QUALITY_LABELLED.name, "1d"), of(QUALITY_CORRECT.name, "1d"));
    let before = format!("{} / ({} > 0)", of(QUALITY_CORRECT.name, "30d"), of(QUALITY_LABELLED.name, "30d"));
    let (z2, share) = (Z * Z, format!("({right} / ({n} > 0))"));
    // Wilson 1927, the upper end: what the day's accuracy is at most
    let upper = format!(
        "({share} + {} / {n} + {} * sqrt({share} * (1 - {share}) / {n} + {} / {n} ^ 2)) / (1 + {} / {n})",
        number(z2 / 2.0),
        number(Z),
        number(z2 / 4.0),
        number(z2),
    );
    let expr = format!("{share}\nand (\n{upper}\n< {before} - {DROP_MIN})\nand {n} >= {LABELS_MIN}");
    listed("DriftlineQualityDrop", expr)
        .of_a_model()
        .timed(scale.interval(600), scale.interval(3_600))
        .says(
            format!("{} is right less often than it was", label("model")),
            format!(
                "Of the answers of {} that were labelled within a day a share of {RATIO} was right, provably less than over the \
                 last thirty days. Labels come late: the answers may be older than a day.",
                label("model")
            ),
        )
        .proved_by(vec![
            Scenario::fires(
                "ninety in a hundred became seventy",
                labelled((200, 140, 0.8), (5_000, 4_500)),
                30,
                Expected::new(&[("model", "m")], 0.7),
            ),
            Scenario::quiet("a little less", labelled((200, 175, 0.8), (5_000, 4_500)), 30),
            Scenario::quiet("a few labels, all wrong", labelled((10, 0, 0.8), (5_000, 4_500)), 30),
            Scenario::quiet("no labels", vec![], 30),
        ])
}

fn calibration(scale: Scale) -> Alert {
    let (n, right) = (of(QUALITY_LABELLED.name, "1d"), of(QUALITY_CORRECT.name, "1d"));
    let share = format!("({right} / ({n} > 0))");
    let distance = format!("abs({} - {share})", of(QUALITY_CONFIDENCE.name, "1d"));
    let noise = format!("{} * sqrt({share} * (1 - {share}) / {n})", number(Z));
    let expr = format!("{distance}\nand ({distance} - {noise} > {CALIBRATION_MAX})\nand {n} >= {LABELS_MIN}");
    listed("DriftlineCalibrationOff", expr)
        .of_a_model()
        .timed(scale.interval(600), scale.interval(3_600))
        .says(
            format!("The confidence of {} is not what it says", label("model")),
            format!(
                "Mean confidence and accuracy of the answers of {} that were labelled within a day lie {RATIO} apart. Floors and \
                 thresholds on its confidence do not mean what they did.",
                label("model")
            ),
        )
        .proved_by(vec![
            Scenario::fires(
                "sure of nine in ten, right in seven",
                labelled((200, 140, 0.9), (5_000, 3_500)),
                30,
                Expected::new(&[("model", "m")], 0.2),
            ),
            Scenario::quiet("as sure as right", labelled((200, 140, 0.72), (5_000, 3_500)), 30),
            Scenario::quiet("a few labels", labelled((10, 2, 0.9), (5_000, 3_500)), 30),
        ])
}
