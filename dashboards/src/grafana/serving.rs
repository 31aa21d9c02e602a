//! What answering takes and saves, on the pipeline dashboard: money, answers that were kept, and cards.

use contract::metrics::proxy as p;
use contract::metrics::serving as s;

use super::layout::{Row, row};
use super::panel::Panel;
use super::query::{gauge, increase, rate, rate_where, total_rate};

/// What runs cost, by the prices in the configuration.
pub fn cost() -> Row {
    let of = ["model", "version", "role"];
    let legend = "{{model}} {{version}} {{role}}";
    let cost = rate(&s::COST, &of);
    let busy = rate(&p::BUSY_SECONDS, &of);
    row(
        "Cost",
        vec![
            Panel::lines(
                "Cost an hour",
                "Of busy sessions, in the currency of proxy.models.prices; empty without prices. Idle time costs nobody here.",
                "none",
            )
            .series(format!("{cost} * 3600"), legend),
            Panel::lines("Cost of 1,000 inferences", "Cost over the items that sessions ran.", "none")
                .series(format!("1000 * {cost} / {}", total_rate(&p::BATCH_ITEMS, &of)), legend),
            Panel::bars("Cost over the time range", "By device.", "none")
                .series(increase(&s::COST, &["model", "version", "device"]), "{{model}} {{version}} on {{device}}"),
            Panel::lines("Busy milliseconds an item", "What a price is multiplied with.", "ms")
                .series(format!("1000 * {busy} / {}", total_rate(&p::BATCH_ITEMS, &of)), legend),
        ],
    )
}

/// Graphics cards; empty where there is none.
pub fn cards() -> Row {
    let each = ["instance", "device"];
    let legend = "{{instance}} {{device}}";
    row(
        "Graphics cards",
        vec![
            Panel::lines(
                "Utilisation",
                "Share of time in which a card computes: below 60 % it is paid for and idle, above 90 % queues grow.",
                "percentunit",
            )
            .series(gauge("max", &s::GPU_UTILIZATION, &each), legend)
            .a_share()
            .band(0.6, 0.9),
            Panel::lines("Memory of cards", "In use by all processes, and what there is.", "bytes")
                .series(gauge("max", &s::GPU_MEMORY_USED, &each), "{{instance}} {{device}} used")
                .series(gauge("max", &s::GPU_MEMORY_TOTAL, &each), "{{instance}} {{device}} total"),
            Panel::lines("Temperature", "Of the card.", "celsius")
                .series(gauge("max", &s::GPU_TEMPERATURE, &each), legend),
            Panel::lines("Power", "That the card draws.", "watt").series(gauge("max", &s::GPU_POWER, &each), legend),
        ],
    )
}

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
