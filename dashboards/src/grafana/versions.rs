//! Versions on the pipeline dashboard: what is loaded, who gets the traffic, what breaks and who steps in.

use contract::metrics::proxy as p;
use contract::metrics::upstream as u;
use contract::metrics::versions as v;

use super::layout::{Row, row};
use super::panel::Panel;
use super::query::{gauge, increase, passed, quantile, rate};

/// What is loaded, on what, how large.
pub fn loaded() -> Row {
    let of = ["model", "version"];
    row(
        "Versions",
        vec![
            Panel::states("State of versions", "The state that each version is in.")
                .series(
                    format!("{} == 1", gauge("max", &p::VERSION_STATE, &["model", "version", "role", "state"])),
                    "{{model}} {{version}} {{role}} {{state}}",
                )
                .named(&[("1", "holds", "blue")]),
            Panel::bars("Provider", "What each loaded version really runs on.", "none").series(
                gauge("max", &p::VERSION_INFO, &["model", "version", "role", "provider"]),
                "{{model}} {{version}} {{role}} on {{provider}}",
            ),
            Panel::bars("Last load", "Checks and warm-up included.", "s")
                .series(gauge("max", &p::LOAD_SECONDS, &of), "{{model}} {{version}}")
                .from(&[(30.0, "orange")]),
            Panel::bars("Memory of versions", "Estimated, by version: weights and arena of all sessions.", "bytes")
                .series(gauge("sum", &v::MEMORY_BYTES, &of), "{{model}} {{version}}"),
            Panel::bars("Files of versions", "Bytes on disk, by version.", "bytes")
                .series(gauge("max", &v::MODEL_BYTES, &of), "{{model}} {{version}}"),
            Panel::states("Files of instances", "Whether all instances hold the same files under a version's name.")
                .series(
                    format!(
                        "{} != bool {}",
                        gauge("max", &v::FILES_FINGERPRINT, &of),
                        gauge("min", &v::FILES_FINGERPRINT, &of)
                    ),
                    "{{model}} {{version}}",
                )
                .named(&[("0", "the same", "green"), ("1", "different", "red")]),
            Panel::bars(
                "Golden samples",
                "Largest difference of a score from what the golden samples expect, at the last load, of the best and the worst instance.",
                "none",
            )
            .series(gauge("max", &v::GOLDEN_DIFFERENCE, &of), "{{model}} {{version}} at most")
            .series(gauge("min", &v::GOLDEN_DIFFERENCE, &of), "{{model}} {{version}} at least"),
            Panel::lines("Room for loads", "Free memory at the last look, the reserve left out.", "bytes")
                .series(gauge("min", &v::MEMORY_FREE_BYTES, &[]), "free"),
            Panel::bars("Cold starts", "Loads over the time range.", "short")
                .series(increase(&v::LOADS, &of), "{{model}} {{version}}"),
            Panel::bars("Failed loads", "Over the time range, by reason.", "short")
                .series(
                    increase(&p::LOAD_FAILURES, &["model", "version", "reason"]),
                    "{{model}} {{version}} {{reason}}",
                )
                .from(&[(1.0, "red")])
                .sized(12, 8),
            Panel::bars(
                "Conversion checks",
                "Pairing, hash and golden-sample checks over the time range, by result.",
                "short",
            )
            .series(
                increase(&p::CONVERSION_CHECKS, &["model", "version", "outcome"]),
                "{{model}} {{version}} {{outcome}}",
            )
            .sized(12, 8),
        ],
    )
}

/// Who gets the traffic, what breaks, who steps in, and what was changed.
pub fn trouble() -> Row {
    row(
        "Canaries, breakers and fallbacks",
        vec![
            Panel::lines(
                "Traffic by version",
                "Share of a model's requests; a shadow's share runs beside.",
                "percentunit",
            )
            .series(gauge("max", &v::TRAFFIC, &["model", "version", "role"]), "{{model}} {{version}} {{role}}")
            .a_share(),
            Panel::states("Breakers", "Open: the version answers nobody for a while. Half open: trial requests only.")
                .series(
                    format!("{} == 1", gauge("max", &v::BREAKER_STATE, &["model", "version", "state"])),
                    "{{model}} {{version}} {{state}}",
                )
                .named(&[("1", "holds", "blue")]),
            Panel::lines("Failures that count", "Against a version's breaker, a second, by reason.", "cps").series(
                rate(&v::BREAKER_FAILURES, &["model", "version", "reason"]),
                "{{model}} {{version}} {{reason}}",
            ),
            Panel::lines("Fallback answers", "Given in a version's place, a second, by what was wrong with it.", "cps")
                .series(rate(&v::FALLBACKS, &["model", "version", "reason"]), "{{model}} {{version}} {{reason}}"),
            Panel::bars("Session restarts", "Over the time range.", "short")
                .series(
                    increase(&v::SESSION_RESTARTS, &["model", "version", "outcome"]),
                    "{{model}} {{version}} {{outcome}}",
                )
                .from(&[(1.0, "orange")]),
            Panel::bars("Changes", "Over the time range, by kind.", "short")
                .series(increase(&v::EVENTS, &["model", "version", "kind"]), "{{model}} {{version}} {{kind}}"),
            Panel::bars("Events for the collector", "Over the time range, by what became of them.", "short")
                .series(increase(&v::EVENT_POSTS, &["outcome"]), "{{outcome}}"),
        ],
    )
}

/// Models that other servers run.
pub fn behind() -> Row {
    row(
        "Behind other servers",
        vec![
            Panel::states("Servers", "Whether the server behind a version says that the model is ready.")
                .series(gauge("max", &u::UP, &["model", "version"]), "{{model}} {{version}}")
                .named(&[("1", "up", "green"), ("0", "down", "red")]),
            Panel::lines("Time at the server", "99th percentile, from the first byte sent to the last received.", "s")
                .series(quantile(0.99, &u::SECONDS, &["model", "version"]), "{{model}} {{version}}"),
            Panel::lines("Requests passed on", "A second, by what came of them.", "cps")
                .series(passed(&u::SECONDS, &["model", "version", "outcome"]), "{{model}} {{version}} {{outcome}}"),
        ],
    )
}
