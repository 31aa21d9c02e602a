//! What answering takes and saves, on the pipeline dashboard: answers that were kept.

use contract::metrics::serving as s;

use super::layout::{Row, row};
use super::panel::Panel;
use super::query::{gauge, rate, rate_where};

/// Answers that are given again.
pub fn kept() -> Row {
    let of = ["model", "version"];
    let hits = rate_where(&s::CACHE_LOOKUPS, &[("outcome", "hit")], &of);
    row(
        "Answers given again",
        vec![
            Panel::lines(
                "Hit ratio",
                "Share of the requests whose answer had been given before; empty where the cache is off.",
                "percentunit",
            )
            .series(format!("{hits} / {}", rate(&s::CACHE_LOOKUPS, &of)), "{{model}} {{version}}")
            .a_share(),
            Panel::lines("Look-ups", "A second, by whether there was an answer.", "cps")
                .series(rate(&s::CACHE_LOOKUPS, &["model", "version", "outcome"]), "{{model}} {{version}} {{outcome}}"),
            Panel::lines("Bytes of kept answers", "Bounded by proxy.cache.max_bytes.", "bytes")
                .series(gauge("sum", &s::CACHE_BYTES, &[]), "held"),
            Panel::lines("Kept answers", "And those that went or were not kept, a second, by reason.", "short")
                .series(gauge("sum", &s::CACHE_ANSWERS, &[]), "kept")
                .series(rate(&s::CACHE_EVICTIONS, &["reason"]), "went: {{reason}}")
                .series(rate(&s::CACHE_REFUSED, &["reason"]), "not kept: {{reason}}"),
        ],
    )
}
