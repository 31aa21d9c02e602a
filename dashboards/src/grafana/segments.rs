//! Parts of the traffic: how many were judged, how many drifted, on what evidence. Which ones is on the page: a value of a
//! segment may be a user's, and never becomes a label.

use contract::metrics::analyzer as a;

use super::layout::{Row, row};
use super::panel::Panel;
use super::query::gauge;

/// Segments by model.
pub(super) fn segments() -> Row {
    let of = &["model", "segment"];
    row(
        "Segments",
        vec![
            Panel::lines(
                "Parts that drifted",
                "Pairs of a feature and a value of the segment whose verdict is drifted; the page of the feature says which.",
                "none",
            )
            .series(gauge("max", &a::SEGMENT_DRIFTED, of), "{{model}} {{segment}}"),
            Panel::lines(
                "Evidence in a part",
                "The largest over the segment's values and all features, as a power of ten.",
                "none",
            )
            .series(gauge("max", &a::SEGMENT_EVIDENCE, of), "{{model}} {{segment}}"),
            Panel::lines(
                "Parts tested",
                "Pairs tested in the last window, and those that the bound on tests leaves out.",
                "none",
            )
            .series(gauge("max", &a::SEGMENT_TESTED, of), "{{model}} {{segment}}")
            .series(gauge("max", &a::SEGMENT_UNTESTED, &["model"]), "{{model}} left out"),
        ],
    )
}
