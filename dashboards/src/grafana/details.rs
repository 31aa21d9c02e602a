//! What only one board shows: the heat map of evidence, a feature beside its reference, requests stage by stage.

use contract::metrics::analyzer as a;

use super::layout::{Row, row};
use super::panel::Panel;
use super::query::gauge;
use super::sql;

/// A line a feature, its colour the evidence.
pub fn evidence() -> Row {
    row(
        "Evidence by feature and time",
        vec![
            Panel::heat(
                "Heat of evidence",
                "Evidence that a feature moved beyond what is ignored, as a power of ten: green is none, red a thousand to one and more.",
                "none",
                (0.0, 3.0),
            )
            .series(gauge("max", &a::DRIFT_EVIDENCE, &["model", "feature"]), "{{model}} {{feature}}"),
        ],
    )
}

/// The distribution of a feature beside its reference's, and the values that are no ordinary ones.
pub fn distributions() -> Row {
    row(
        "Reference against current",
        vec![
            Panel::bars_of_rows(
                "The feature that moved most",
                "Shares of its values in the reference and in the time range, of the chosen features that with the largest distance: \
                 twentieths of the reference, single values that hold one alone, categories, and what is no ordinary value.",
                "percentunit",
                "label",
                &sql::parts(),
            ),
            Panel::rows(
                "Atoms and quality",
                "Single values that hold a twentieth of the reference, and values below, above, infinite, NaN, missing, never seen or of \
                 another type: their shares in the reference and in the time range, the largest differences first.",
                "percentunit",
                &sql::unusual_parts(),
            )
            .sized(12, 9),
            Panel::lines_of_rows(
                "Out of place",
                "Share of values outside of what the reference holds, window by window: the twelve features that moved most.",
                "percentunit",
                &sql::quality(),
            )
            .sized(12, 9),
        ],
    )
}

/// Where the time of single requests went.
pub fn waterfalls() -> Row {
    let stages = |title: &str, text: &str, query: &str| Panel::stacks_of_rows(title, text, "ms", "request", query);
    row(
        "Requests, stage by stage",
        vec![
            stages(
                "Slowest requests",
                "Good answers that took longest: waiting for a session, tokenizing, running, the rest.",
                &sql::slowest(),
            ),
            stages(
                "Failed requests",
                "The newest that spent budget, and where their time went.",
                &sql::failed_stages(),
            ),
        ],
    )
}
