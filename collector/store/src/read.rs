//! What the analyzer asks, and what it writes down: all of its SQL, as typed methods.
//!
//! The choice: ClickHouse counts, the analyzer judges. [`Reader::count_window`] counts a window over the bins of a frozen
//! reference in one `INSERT SELECT`, so kilobytes move whatever the traffic. Times are milliseconds since the Unix epoch.

mod acts;
mod baselines;
mod confidence;
mod contents;
mod detectors;
mod embeddings;
mod errors;
pub mod hours;
mod labelled;
mod overview;
pub mod page;
pub mod pairs;
mod quality;
mod segments;
mod shadows;
mod slo;
mod sources;
mod traffic;
mod verdicts;
mod windows;

pub use acts::{Act, ActRow};
pub use baselines::{BaselineRow, BaselineSummary, CategoryCounts, FeatureSeen, NumberSample};
pub use confidence::ConfidenceCounts;
pub use contents::{ContentAsked, ContentRow};
pub use detectors::{DetectorState, DetectorsAt};
pub use embeddings::{EmbeddingReference, Moments};
pub use errors::{Answered, LabelErrors, LabelTimes, TwoBins};
pub use overview::RowCounts;
pub use quality::{AnsweredCount, ClassCount, ErrorCounts, ScoreCount, ScoresAsked};
pub use segments::{SegmentCount, SegmentSpan, SegmentVerdictRow};
pub use shadows::{FlipCount, LabelPairs, ShadowCounts, Tolerance};
pub use slo::{EventCounts, LabelledCounts};
pub use sources::{ModelSeen, SourceSeen};
pub use traffic::TrafficCounts;
pub use verdicts::{EventRow, VerdictRow};
pub use windows::{BinCount, Window, WindowSeen};

use crate::Store;

/// Numbers of the bins that have no place among the ordered ones. The ordered bins of numbers are 0 (minus infinity), 1 (below
/// the first edge) and so on: the count of edges at or below the value, [`LEAST`] and infinity being edges too. The bins of
/// categories are the position of the name, from 0.
pub mod bin {
    /// Not a number.
    pub const NAN: i32 = -1;
    /// No value was given.
    pub const MISSING: i32 = -2;
    /// A number where categories are expected, or the reverse.
    pub const OTHER: i32 = -3;
    /// A category that the reference does not name.
    pub const NEVER_SEEN: i32 = -4;
    /// The least finite number: the edge before all others.
    pub const LEAST: f64 = f64::MIN;
}

/// Asks one database.
#[derive(Clone, Debug)]
pub struct Reader {
    store: Store,
}

impl Store {
    /// What the analyzer asks and writes.
    #[must_use]
    pub fn read(&self) -> Reader {
        Reader { store: self.clone() }
    }
}

impl Reader {
    /// How long a table's rows are kept, in milliseconds, as the configuration says; `None` of a table that rows do not leave
    /// by age.
    #[must_use]
    pub fn kept_ms(&self, table: &str) -> Option<i64> {
        self.store.retention().kept(table).map(|kept| i64::try_from(kept.as_millis()).unwrap_or(i64::MAX))
    }
}

/// A bound time, as SQL.
const MS: &str = "fromUnixTimestamp64Milli(toInt64(?), 'UTC')";
/// How far an answer's own clock may be ahead of the collector's, by which labels arrive.
const CLOCKS_MS: i64 = 86_400_000;

/// Whether an answer of a span has a label, as SQL. A label comes after its answer, so that of a year's labels only those that
/// came since are looked up and held in memory.
fn has_label(span: Window) -> String {
    let since_ms = span.start_ms.saturating_sub(CLOCKS_MS);
    format!("id IN (SELECT id FROM labels WHERE received_at >= fromUnixTimestamp64Milli(toInt64({since_ms}), 'UTC'))")
}

/// A list of words as SQL. Only for words of ours: nothing is escaped.
fn words<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = words.map(|word| format!("'{word}'")).collect();
    format!("({})", quoted.join(", "))
}
