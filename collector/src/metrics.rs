//! The collector's metrics, every known series born at 0.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use contract::metrics::collector as names;
use host::metrics::Registry;
use masking::{Entity, Hits, WITHHELD_ERROR, WITHHELD_LIMIT, WITHHELD_NAMES, WITHHELD_NAMES_LIMIT, WITHHELD_RULE};
use prometheus::{Gauge, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};
use store::write::Table;

use crate::log::{Counts, Level};

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BatchOutcome {
    Stored,
    Repeated,
    /// The sender's fault.
    Invalid,
    /// Not now.
    Refused,
}

impl BatchOutcome {
    const ALL: [Self; 4] = [Self::Stored, Self::Repeated, Self::Invalid, Self::Refused];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Repeated => "repeated",
            Self::Invalid => "invalid",
            Self::Refused => "refused",
        }
    }
}

/// What became of halves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PairOutcome {
    Joined,
    NoResponse,
    NoRequest,
    /// Stored alone before the window had passed.
    Squeezed,
    /// Larger together than a record may be.
    Lost,
    /// A half that was answered 503.
    Refused,
}

impl PairOutcome {
    const ALL: [Self; 6] = [Self::Joined, Self::NoResponse, Self::NoRequest, Self::Squeezed, Self::Lost, Self::Refused];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Joined => "joined",
            Self::NoResponse => "no_response",
            Self::NoRequest => "no_request",
            Self::Squeezed => "squeezed",
            Self::Lost => "lost",
            Self::Refused => "refused",
        }
    }
}

/// What became of an insert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InsertOutcome {
    Ok,
    /// ClickHouse said no.
    Failed,
    /// Nobody knows.
    Unknown,
    /// An earlier insert of unknown outcome had worked.
    Found,
}

impl InsertOutcome {
    const ALL: [Self; 4] = [Self::Ok, Self::Failed, Self::Unknown, Self::Found];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Found => "found",
        }
    }
}

/// Source kind of records that did not come from a proxy of ours.
pub(crate) const SOURCE_HTTP: &str = "http";
/// Source kind of what KServe's loggers send.
pub(crate) const SOURCE_KSERVE: &str = "kserve";

/// The families.
pub(crate) struct Metrics {
    batches: IntCounterVec,
    observations: IntCounter,
    labels: IntCounter,
    outcomes: IntCounter,
    events: IntCounter,
    pairs: IntCounterVec,
    halves: IntGauge,
    inserted: IntCounter,
    backlog: IntGauge,
    quarantined: IntCounterVec,
    quarantine_used: Gauge,
    log_bytes: IntGauge,
    log_state: IntGaugeVec,
    inserts: IntCounterVec,
    insert_seconds: HistogramVec,
    read_back: IntCounter,
    ack_seconds: Histogram,
    hits: IntCounterVec,
    masked_names: IntCounterVec,
    withheld: IntCounterVec,
    left_out: IntCounter,
    gaps: IntCounterVec,
    /// Sources that have a series of their own: pods come and go, series stay.
    gap_sources: Mutex<HashSet<String>>,
    repairs: IntCounterVec,
}

const NONE: &[&str] = &[];
/// Sources with a series of their own; the others' gaps are counted under `other`.
const GAP_SOURCES_MAX: usize = 100;

impl Metrics {
    /// Registers the families.
    pub fn new(registry: &Registry) -> Self {
        let metrics = Self {
            batches: registry.counter(&names::BATCHES),
            observations: registry.counter(&names::OBSERVATIONS).with_label_values(NONE),
            labels: registry.counter(&names::LABELS_STORED).with_label_values(NONE),
            outcomes: registry.counter(&names::OUTCOMES_STORED).with_label_values(NONE),
            events: registry.counter(&names::EVENTS_STORED).with_label_values(NONE),
            pairs: registry.counter(&names::PAIRS),
            halves: registry.int_gauge(&names::HALVES).with_label_values(NONE),
            inserted: registry.counter(&names::INSERTED).with_label_values(NONE),
            backlog: registry.int_gauge(&names::BACKLOG).with_label_values(NONE),
            quarantined: registry.counter(&names::QUARANTINED),
            quarantine_used: registry.gauge(&names::QUARANTINE_USED).with_label_values(NONE),
            log_bytes: registry.int_gauge(&names::LOG_BYTES).with_label_values(NONE),
            log_state: registry.int_gauge(&names::LOG_STATE),
            inserts: registry.counter(&names::INSERTS),
            insert_seconds: registry.histogram(&names::INSERT_SECONDS),
            read_back: registry.counter(&names::SEGMENTS_READ_BACK).with_label_values(NONE),
            ack_seconds: registry.histogram(&names::ACK_SECONDS).with_label_values(NONE),
            hits: registry.counter(&names::SECOND_PASS_HITS),
            masked_names: registry.counter(&names::MASKED_NAMES),
            withheld: registry.counter(&names::WITHHELD),
            left_out: registry.counter(&names::FIELDS_LEFT_OUT).with_label_values(NONE),
            gaps: registry.counter(&names::SEQUENCE_GAPS),
            gap_sources: Mutex::default(),
            repairs: registry.counter(&names::LOG_REPAIRS),
        };
        metrics.bear();
        metrics
    }

    /// Touches every series that is known beforehand.
    fn bear(&self) {
        BatchOutcome::ALL.iter().for_each(|o| drop(self.batches.with_label_values(&[o.as_str()])));
        for table in Table::ALL {
            InsertOutcome::ALL.iter().for_each(|o| drop(self.inserts.with_label_values(&[table.name(), o.as_str()])));
        }
        PairOutcome::ALL.iter().for_each(|o| drop(self.pairs.with_label_values(&[o.as_str()])));
        for source in [names::SOURCE_PROXY, SOURCE_HTTP, SOURCE_KSERVE] {
            Entity::ALL.iter().for_each(|e| drop(self.hits.with_label_values(&[source, e.as_str()])));
            [Entity::Person, Entity::Place, Entity::Organisation]
                .iter()
                .for_each(|e| drop(self.masked_names.with_label_values(&[source, e.as_str()])));
        }
        [WITHHELD_LIMIT, WITHHELD_RULE, WITHHELD_ERROR, WITHHELD_NAMES, WITHHELD_NAMES_LIMIT]
            .iter()
            .for_each(|reason| drop(self.withheld.with_label_values(&[*reason])));
        ["torn", "corrupt", "unreadable", "marks"]
            .iter()
            .for_each(|reason| drop(self.repairs.with_label_values(&[*reason])));
        ["refused", "unreadable"].iter().for_each(|reason| drop(self.quarantined.with_label_values(&[*reason])));
    }

    pub fn batch(&self, outcome: BatchOutcome) {
        self.batches.with_label_values(&[outcome.as_str()]).inc();
    }

    pub fn acknowledged(&self, after: Duration) {
        self.ack_seconds.observe(after.as_secs_f64());
    }

    pub fn logged(&self, counts: Counts) {
        self.observations.inc_by(counts.observations);
        self.labels.inc_by(counts.labels);
        self.outcomes.inc_by(counts.outcomes);
        self.events.inc_by(counts.events);
    }

    pub fn hits(&self, source: &str, hits: &Hits) {
        for (entity, count) in &hits.by_entity {
            self.hits.with_label_values(&[source, entity.as_str()]).inc_by(*count);
        }
        // what the proxy's own pass could not have found is no sign that it masks by other rules
        for (entity, count) in &hits.given {
            self.masked_names.with_label_values(&[source, entity.as_str()]).inc_by(*count);
        }
    }

    /// So many payloads that came with content go on without it.
    pub fn withheld(&self, reason: &str, count: u64) {
        self.withheld.with_label_values(&[reason]).inc_by(count);
    }

    /// So many fields of a newer sender were not stored.
    pub fn left_out(&self, fields: u64) {
        self.left_out.inc_by(fields);
    }

    pub fn gaps(&self, source: &str, gaps: u64) {
        let mut named = self.gap_sources.lock().unwrap_or_else(PoisonError::into_inner);
        let known = named.contains(source) || (named.len() < GAP_SOURCES_MAX && named.insert(source.to_owned()));
        self.gaps.with_label_values(&[if known { source } else { "other" }]).inc_by(gaps);
    }

    pub fn pair(&self, outcome: PairOutcome) {
        self.pairs.with_label_values(&[outcome.as_str()]).inc();
    }

    pub fn halves(&self, waiting: usize) {
        self.halves.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }

    pub fn repaired(&self, reason: &str) {
        self.repairs.with_label_values(&[reason]).inc();
    }

    pub fn log(&self, bytes: u64, observations: u64, level: Level) {
        self.log_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        self.backlog.set(i64::try_from(observations).unwrap_or(i64::MAX));
        for state in Level::ALL {
            self.log_state.with_label_values(&[state.as_str()]).set(i64::from(state == level));
        }
    }

    pub fn insert(&self, table: Table, outcome: InsertOutcome, took: Duration) {
        self.inserts.with_label_values(&[table.name(), outcome.as_str()]).inc();
        self.insert_seconds.with_label_values(&[table.name()]).observe(took.as_secs_f64());
    }

    pub fn read_back(&self) {
        self.read_back.inc();
    }

    pub fn inserted(&self, observations: u64) {
        self.inserted.inc_by(observations);
    }

    pub fn quarantine_used(&self, share: f64) {
        self.quarantine_used.set(share);
    }

    pub fn quarantined(&self, reason: &str, observations: u64) {
        self.quarantined.with_label_values(&[reason]).inc_by(observations);
    }
}
