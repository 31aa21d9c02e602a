//! The pipeline: do observations add up, is personal data masked, do queues and the log keep up, who is up.

use contract::metrics::analyzer as a;
use contract::metrics::collector as c;
use contract::metrics::edge as e;
use contract::metrics::naming as n;
use contract::metrics::process as o;
use contract::metrics::proxy as p;
use serde_json::Value;

use super::dashboard;
use super::layout::{Row, row};
use super::panel::Panel;
use super::query::{gauge, gauge_where, increase, mean, quantile, rate, total};
use super::{serving, versions};

/// The pipeline dashboard.
#[must_use]
pub fn pipeline() -> Value {
    dashboard(
        "driftline-pipeline",
        "Driftline pipeline",
        "From the request to the verdict: ledgers, masking, log, tables, queues and processes.",
        ("Overview", "driftline-overview"),
        vec![
            ledger(),
            masking(),
            log(),
            batching(),
            serving::cost(),
            serving::kept(),
            serving::cards(),
            versions::loaded(),
            versions::trouble(),
            versions::behind(),
            analyzer(),
            edge(),
            processes(),
        ],
    )
}

fn ledger() -> Row {
    let in_flight = gauge("sum", &p::MIRROR_IN_FLIGHT, &[]);
    let balance = format!(
        "{} - {} - {} - {in_flight}",
        total(&p::MIRROR_OBSERVED),
        total(&p::MIRROR_DELIVERED),
        total(&p::MIRROR_DROPPED)
    );
    let now = |title: &str, text: &str, expr: String| Panel::number(title, text, "short").series(expr, "{{stage}}");
    row(
        "Ledger: observed = delivered + dropped + in flight",
        vec![
            now("Observed", "One a started request, since each proxy started.", total(&p::MIRROR_OBSERVED)),
            now("Delivered", "The collector acknowledged them as durable.", total(&p::MIRROR_DELIVERED)),
            now("Dropped", "Lost, and counted.", total(&p::MIRROR_DROPPED)).from(&[(1.0, "orange")]),
            now("In flight", "Counted where they wait, not derived.", in_flight),
            now(
                "Unaccounted for",
                "Observed less the other three. It may flicker by a scrape's requests and must not stay.",
                balance,
            )
            .from(&[(100.0, "red")]),
            Panel::number("Held", "Bytes that the mirror holds.", "bytes")
                .series(gauge("sum", &p::MIRROR_BYTES, &[]), "held"),
            Panel::lines("Observations", "Offered to the mirror, acknowledged and lost a second.", "cps")
                .series(rate(&p::MIRROR_OBSERVED, &[]), "observed")
                .series(rate(&p::MIRROR_DELIVERED, &[]), "delivered")
                .series(rate(&p::MIRROR_DROPPED, &["reason"]), "dropped {{reason}}"),
            Panel::lines("In flight by stage", "Where observations wait.", "short")
                .series(gauge("sum", &p::MIRROR_IN_FLIGHT, &["stage"]), "{{stage}}")
                .stacked(),
            Panel::lines("Posts to the collector", "By outcome, a second.", "cps")
                .series(rate(&p::MIRROR_POSTS, &["outcome"]), "{{outcome}}"),
            Panel::lines("On disk", "Bytes of masked batches that wait for the collector.", "bytes")
                .series(gauge("sum", &p::MIRROR_SPILL_BYTES, &[]), "spilled"),
            Panel::lines("Batches to and from disk", "By outcome, a second.", "cps")
                .series(rate(&p::MIRROR_SPILLED, &["outcome"]), "{{outcome}}"),
        ],
    )
}

fn masking() -> Row {
    row(
        "Payloads and masking",
        vec![
            Panel::lines("Payloads", "Content that could have been kept, and what became of it, a second.", "cps")
                .series(rate(&p::PAYLOADS_ELIGIBLE, &[]), "eligible")
                .series(rate(&p::PAYLOADS, &["state", "reason"]), "{{state}} {{reason}}"),
            Panel::bars("Masked at the proxy", "Personal data replaced before bytes left, by kind, over the time range.", "short")
                .series(increase(&p::MASKED_ENTITIES, &["entity"]), "{{entity}}"),
            Panel::bars(
                "Second pass hits",
                "What the collector's pass still found, by source. 0 for proxies: anything else means that the two mask by different rules.",
                "short",
            )
            .series(increase(&c::SECOND_PASS_HITS, &["source", "entity"]), "{{source}} {{entity}}")
            .from(&[(1.0, "red")]),
            Panel::bars("Names masked by the collector", "What the model of names found in other sources' records, over the time range.", "short")
                .series(increase(&c::MASKED_NAMES, &["source", "entity"]), "{{source}} {{entity}}"),
            Panel::bars(
                "Withheld by the collector",
                "Payloads of other sources that were stored without their content, because it could not be made safe, by reason.",
                "short",
            )
            .series(increase(&c::WITHHELD, &["reason"]), "{{reason}}"),
            Panel::lines("Time to find names, p95", "Of the model that is asked for names, where one is configured.", "s")
                .series(quantile(0.95, &n::NAMES_SECONDS, &[]), "answer"),
            Panel::bars("Names not looked for", "Texts withheld because that model did not answer, by reason, over the time range.", "short")
                .series(increase(&n::NAMES_FAILURES, &["reason"]), "{{reason}}")
                .from(&[(1.0, "orange")]),
        ],
    )
}

fn log() -> Row {
    let seconds = |metric, labels: &[&str]| quantile(0.95, metric, labels);
    row(
        "Collector and tables",
        vec![
            Panel::lines("Batches", "Received a second, by what became of them.", "cps")
                .series(rate(&c::BATCHES, &["outcome"]), "{{outcome}}"),
            Panel::lines("Logged and inserted", "Observations fsynced and confirmed by ClickHouse, labels, outcomes and events, a second.", "cps")
                .series(rate(&c::OBSERVATIONS, &[]), "logged")
                .series(rate(&c::INSERTED, &[]), "inserted")
                .series(rate(&c::LABELS_STORED, &[]), "labels")
                .series(rate(&c::OUTCOMES_STORED, &[]), "outcomes")
                .series(rate(&c::EVENTS_STORED, &[]), "events"),
            Panel::lines("Backlog", "Observations that are durable and not yet in ClickHouse.", "short")
                .series(gauge("sum", &c::BACKLOG, &[]), "observations"),
            Panel::lines("Log", "Bytes in the log's segments.", "bytes").series(gauge("sum", &c::LOG_BYTES, &[]), "bytes"),
            Panel::states("Log state", "Normal, backlogged or full.")
                .series(format!("{} == 1", gauge("max", &c::LOG_STATE, &["state"])), "{{state}}")
                .named(&[("1", "holds", "blue")]),
            Panel::lines("Inserts", "Segment inserts a second, by table and outcome, and segments whose rows were not in memory any more.", "cps")
                .series(rate(&c::INSERTS, &["table", "outcome"]), "{{table}} {{outcome}}")
                .series(rate(&c::SEGMENTS_READ_BACK, &[]), "read back from the log"),
            Panel::lines("Time to durable, p95", "From a batch's arrival to its acknowledgement.", "s")
                .series(seconds(&c::ACK_SECONDS, &[]), "acknowledgement"),
            Panel::lines("Insert time, p95", "Of a segment into one table.", "s")
                .series(seconds(&c::INSERT_SECONDS, &["table"]), "{{table}}"),
            Panel::lines("Joined pairs", "Requests and responses of KServe's loggers a second, by what became of them, and halves that wait.", "none")
                .series(rate(&c::PAIRS, &["outcome"]), "{{outcome}}")
                .series(gauge("sum", &c::HALVES, &[]), "waiting"),
            Panel::number("Quarantine", "How full the folder of refused rows is; full, their segments wait in the log.", "percentunit")
                .series(gauge("max", &c::QUARANTINE_USED, &[]), "used")
                .from(&[(0.5, "orange"), (0.8, "red")]),
            Panel::lines("Trouble", "Quarantined observations, batches that never came, repaired frames, fields of senders that are newer than the collector, a second. All lines should be absent or 0.", "cps")
                .series(rate(&c::QUARANTINED, &["reason"]), "quarantined {{reason}}")
                .series(rate(&c::SEQUENCE_GAPS, &["source"]), "gap from {{source}}")
                .series(rate(&c::LOG_REPAIRS, &["reason"]), "repaired {{reason}}")
                .series(rate(&c::FIELDS_LEFT_OUT, &[]), "fields left out"),
        ],
    )
}

pub(super) fn batching() -> Row {
    let of = ["model", "version", "role"];
    let legend = "{{model}} {{version}} {{role}}";
    row(
        "Queue and batching",
        vec![
            Panel::lines("Items waiting", "For a session.", "short").series(gauge("sum", &p::QUEUE_ITEMS, &of), legend),
            Panel::lines("Tokens waiting", "Padded tokens, or tensor elements.", "short")
                .series(gauge("sum", &p::QUEUE_TOKENS, &of), legend),
            Panel::lines("Busy sessions", "Sessions that are running a batch, on average.", "none")
                .series(rate(&p::BUSY_SECONDS, &of), legend),
            Panel::lines(
                "Items a batch, mean",
                "Larger under load is right: batches form while sessions are busy.",
                "none",
            )
            .series(mean(&p::BATCH_ITEMS, &of), legend),
            Panel::lines("Padding, mean", "Share of a batch's tokens that are padding: wasted work.", "percentunit")
                .series(mean(&p::BATCH_PADDING, &of), legend)
                .a_share(),
            Panel::bars(
                "What company does to answers",
                "Largest difference by padding and batch companions at load; versions marked variant are not batched.",
                "percentunit",
            )
            .series(gauge("max", &p::BATCH_DIFFERENCE, &["model", "version"]), "{{model}} {{version}}")
            .series(
                format!("{} == 1", gauge("max", &p::BATCH_VARIANT, &["model", "version"])),
                "{{model}} {{version}} is variant",
            ),
            Panel::lines(
                "Texts cut or refused",
                "Longer than the model's sequence, or refused by the tokenizer, a second.",
                "cps",
            )
            .series(rate(&p::TRUNCATED, &["model", "version"]), "{{model}} {{version}} truncated")
            .series(rate(&p::TOKENIZE_ERRORS, &["model", "version"]), "{{model}} {{version}} refused"),
            Panel::lines(
                "Schema violations",
                "Values outside what the model's folder declares: out of range, an unseen category, or missing.",
                "cps",
            )
            .series(rate(&p::SCHEMA_VIOLATIONS, &["model", "feature", "reason"]), "{{model}} {{feature}} {{reason}}"),
        ],
    )
}

fn analyzer() -> Row {
    row(
        "Analyzer",
        vec![
            Panel::lines(
                "Watermark lag",
                "How far event time is behind the clock: the newest window that can be judged.",
                "s",
            )
            .series(gauge("max", &a::WATERMARK_LAG, &[]), "lag")
            .series(gauge("max", &a::WATERMARK_LAG_ALLOWED, &[]), "allowed"),
            Panel::lines(
                "Not judged since",
                "How far behind the clock each model is judged: a line that rises is a model that cannot be judged.",
                "s",
            )
            .series(format!("time() - {}", gauge("max", &a::JUDGED_UNTIL, &["model"])), "{{model}}"),
            Panel::lines("Windows judged", "A second, by model.", "cps")
                .series(rate(&a::WINDOWS, &["model"]), "{{model}}"),
            Panel::lines("Cycle time, p95", "Of one analysis cycle over all models.", "s")
                .series(quantile(0.95, &a::CYCLE_SECONDS, &[]), "cycle"),
            Panel::number("Since the last cycle", "Seconds since a cycle succeeded.", "s")
                .series(format!("time() - {}", gauge("max", &a::LAST_CYCLE, &[])), "since")
                .from(&[(60.0, "orange"), (300.0, "red")])
                .sized(8, 8),
            Panel::lines("Failed cycles", "A second, by reason.", "cps")
                .series(rate(&a::CYCLE_FAILURES, &["reason"]), "{{reason}}"),
            Panel::lines(
                "Not judged",
                "Windows given up a second after a long absence, and features without a reference.",
                "none",
            )
            .series(rate(&a::WINDOWS_SKIPPED, &["model"]), "{{model}} windows skipped")
            .series(gauge("max", &a::UNJUDGED, &["model"]), "{{model}} features without a reference"),
        ],
    )
}

fn edge() -> Row {
    let each = ["job", "instance"];
    row(
        "Edge",
        vec![
            Panel::lines("Connections", "Open, by role and instance.", "short")
                .series(gauge("sum", &e::CONNECTIONS, &each), "{{job}} {{instance}}"),
            Panel::lines("Credentials refused", "Requests without a good key or scope a second, by reason.", "cps")
                .series(rate(&e::AUTH_FAILURES, &["job", "reason"]), "{{job}} {{reason}}"),
            Panel::lines("Limits", "Requests refused a second: rate, slow or large body, long path.", "cps")
                .series(rate(&e::REFUSED, &["job", "reason"]), "{{job}} {{reason}}"),
            Panel::lines(
                "Connections refused",
                "Closed a second: too many, failed handshakes, slow or malformed request heads; and answers dropped because \
                 their client did not read them.",
                "cps",
            )
            .series(rate(&e::CONNECTIONS_REFUSED, &["job", "reason"]), "{{job}} {{reason}}")
            .series(rate(&p::UNREAD_ANSWERS, &[]), "answers not read"),
            Panel::bars(
                "Keys and certificates read again",
                "Over the time range. After an error the old ones go on serving.",
                "none",
            )
            .series(increase(&e::RELOADS, &["kind", "outcome"]), "{{kind}} {{outcome}}"),
            Panel::bars("Traces", "Kept ones, over the time range, by what became of them.", "short")
                .series(increase(&p::TRACES, &["state"]), "{{state}}"),
        ],
    )
}

pub(super) fn processes() -> Row {
    let each = ["job", "instance"];
    let legend = "{{job}} {{instance}}";
    row(
        "Processes",
        vec![
            Panel::states("Ready", "Whether each process reports ready.")
                .series(gauge("max", &o::READY, &each), legend)
                .named(&[("0", "not ready", "red"), ("1", "ready", "green")]),
            Panel::lines("Memory", "Resident.", "bytes").series(gauge("max", &o::RESIDENT, &each), legend),
            Panel::lines("CPU", "Processors in use.", "none").series(rate(&o::CPU_SECONDS, &each), legend),
            Panel::lines("Descriptors", "Files and connections that each process holds.", "short")
                .series(gauge("max", &o::OPEN_FDS, &each), legend),
            Panel::lines("Threads", "Sessions have one each, and those inside them.", "short")
                .series(gauge("max", &o::THREADS, &each), legend),
            Panel::lines("Time since start", "A fall is a restart.", "s")
                .series(format!("time() - {}", gauge("max", &o::START, &each)), legend)
                .sized(12, 8),
            Panel::bars(
                "Builds",
                "Instances by version of Driftline; more than one outside a rollout is a mistake.",
                "none",
            )
            .series(format!("count by (job, version) ({})", info()), "{{job}} {{version}}")
            .sized(12, 8),
        ],
    )
}

/// Build information of every instance. `version` is Driftline's here, not a model's, so the variable must not filter it.
fn info() -> String {
    gauge_where("max", &contract::metrics::Metric { labels: &[], ..o::INFO }, &[], &["job", "instance", "version"])
}
