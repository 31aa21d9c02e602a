//! Segments: counts over a reference's bins by the value of a segment, and what was judged on them.
//!
//! One `INSERT SELECT` a segment and window, over the raw rows of that window: the cost is that of counting the window once
//! more, whatever is stored, and nothing is paid where no segment is named.

use clickhouse::Row;
use clickhouse::query::Query;
use contract::feature::TEXT_CHARS;
use contract::segment;
use serde::{Deserialize, Serialize};

use super::hours::PREFIX;
use super::windows::{binned, frozen, rows};
use super::{MS, Reader, Window};
use crate::Error;

/// Count of one bin of one feature among the items of a segment's value.
#[derive(Clone, Debug, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct SegmentCount {
    /// Start of the window; of a reference, the end of the span that it was made of.
    pub at_ms: i64,
    /// The segment.
    pub segment: String,
    /// Its value.
    pub value: String,
    /// The feature.
    pub feature: String,
    /// Bin number, see [`bin`](super::bin).
    pub bin: i32,
    /// Values.
    pub n: u64,
}

/// What is counted: features of a model over one baseline, in a span up to a cut, by the values of one segment.
#[derive(Clone, Copy, Debug)]
pub struct SegmentSpan<'a> {
    /// Model name.
    pub model: &'a str,
    /// Fingerprint of the baseline whose bins are counted.
    pub fingerprint: &'a str,
    /// The span of event time.
    pub window: Window,
    /// Rows received later are left out.
    pub cut_ms: i64,
    /// The segment.
    pub segment: &'a str,
    /// Values told apart.
    pub values: &'a [String],
    /// Features counted.
    pub features: &'a [String],
}

/// A judgement of one feature in one segment and window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentVerdictRow {
    /// Model name.
    pub model: String,
    /// Feature name.
    pub feature: String,
    /// The segment.
    pub segment: String,
    /// Its value.
    pub value: String,
    /// End of the judged span.
    pub window_end_ms: i64,
    /// When it was judged.
    pub judged_at_ms: i64,
    /// The state's word.
    pub state: String,
    /// Fingerprint of the baseline.
    pub fingerprint: String,
    /// The verdict as the API gives it, as JSON.
    pub evidence: String,
}

#[derive(Row, Serialize)]
struct Stored<'a> {
    model: &'a str,
    feature: &'a str,
    segment: &'a str,
    value: &'a str,
    window_end: i64,
    judged_at: i64,
    state: &'a str,
    fingerprint: &'a str,
    evidence: &'a str,
}

/// Which value of a segment each item (or request) has: model, start, end and cut are bound, and after them the segment where it
/// is a feature.
fn members(segment: &str) -> String {
    let rows = rows();
    match segment {
        // By a hash: verdicts and events outlive a client that is erased, and must not name it.
        segment::CLIENT => format!(
            "SELECT id, if(client = '', '', lower(substring(hex(SHA256(client)), 1, 12))) AS value FROM observations WHERE {rows}"
        ),
        segment::LENGTH => {
            let names = segment::length_buckets();
            let cases: Vec<String> = segment::LENGTH_ENDS
                .iter()
                .zip(&names)
                .map(|(end, name)| format!("any(f.value) < {end}, '{name}', "))
                .collect();
            let last = names.last().map_or("", String::as_str);
            format!(
                "SELECT f.id AS id, f.item AS item, multiIf({cases}'{last}') AS value FROM features AS f \
                 WHERE {rows} AND f.feature = '{TEXT_CHARS}' AND NOT f.missing GROUP BY id, item",
                cases = cases.concat()
            )
        }
        // Of a feature with several values an item, the first by name: a segment has one value an item.
        _ => format!(
            "SELECT c.id AS id, c.item AS item, min(toString(c.value)) AS value FROM categories AS c \
             WHERE {rows} AND c.feature = ? GROUP BY id, item"
        ),
    }
}

fn bind_members(query: Query, span: &SegmentSpan<'_>) -> Query {
    let query = bind_rows(query, span);
    if [segment::CLIENT, segment::LENGTH].contains(&span.segment) { query } else { query.bind(span.segment) }
}

fn bind_rows(query: Query, span: &SegmentSpan<'_>) -> Query {
    query.bind(span.model).bind(span.window.start_ms).bind(span.window.end_ms).bind(span.cut_ms)
}

/// Counts of a span, with `first` before them as columns.
fn counting(target: &str, first: &str, segment: &str) -> String {
    let on = if segment == segment::CLIENT { "b.id = s.id" } else { "b.id = s.id AND b.item = s.item" };
    format!(
        "INSERT INTO {target} \
         WITH frozen AS ({frozen} AND has(?, toString(feature)) GROUP BY feature), members AS ({members}) \
         SELECT {first}, ?, named, feature, bin, count() FROM ( \
           SELECT b.feature AS feature, b.bin AS bin, \
             multiIf(s.value = '', '{none}', has(arrayConcat([''], ?), s.value), s.value, '{other}') AS named \
           FROM ({values}) AS b LEFT JOIN members AS s ON {on}) \
         GROUP BY named, feature, bin",
        frozen = frozen(),
        members = members(segment),
        none = segment::NONE,
        other = segment::OTHER,
        values = binned("id, item, "),
    )
}

impl Reader {
    /// The most frequent values of a segment in a span, at most `limit`.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn segment_values(&self, span: &SegmentSpan<'_>, limit: u64) -> Result<Vec<String>, Error> {
        let sql = format!(
            "SELECT value FROM ({}) WHERE value != '' GROUP BY value ORDER BY count() DESC, value LIMIT ?",
            members(span.segment)
        );
        let query = bind_members(self.store.client().query(&sql), span).bind(limit);
        self.store.bounded("the values of a segment", query.fetch_all()).await
    }

    /// Counts a span as the reference of a segment; again gives the same rows.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn freeze_segment(&self, span: &SegmentSpan<'_>) -> Result<(), Error> {
        let target = "segment_references (model, fingerprint, until, segment, value, feature, bin, n)";
        let sql = counting(target, &format!("?, ?, {MS}"), span.segment);
        let query = self.store.client().query(&sql).bind(span.model).bind(span.fingerprint).bind(span.features);
        let query = bind_members(query, span).bind(span.model).bind(span.fingerprint).bind(span.window.end_ms);
        let query = bind_rows(bind_rows(query.bind(span.segment).bind(span.values), span), span);
        self.store.bounded("counting a segment's reference", query.execute()).await
    }

    /// Counts a window by the values of a segment; again gives the same rows.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn count_segment(&self, span: &SegmentSpan<'_>) -> Result<(), Error> {
        let target = "segment_counts (model, fingerprint, window_start, window_end, segment, value, feature, bin, n)";
        let sql = counting(target, &format!("?, ?, {MS}, {MS}"), span.segment);
        let query = self.store.client().query(&sql).bind(span.model).bind(span.fingerprint).bind(span.features);
        let query = bind_members(query, span).bind(span.model).bind(span.fingerprint);
        let query = query.bind(span.window.start_ms).bind(span.window.end_ms);
        let query = bind_rows(bind_rows(query.bind(span.segment).bind(span.values), span), span);
        self.store.bounded("counting a segment", query.execute()).await
    }

    /// The references of a model's segments over one baseline.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn segment_references(&self, model: &str, fingerprint: &str) -> Result<Vec<SegmentCount>, Error> {
        let sql = format!(
            "SELECT toUnixTimestamp64Milli(until) AS at_ms, toString(segment) AS segment, value, \
               toString(feature) AS feature, bin, n \
             FROM segment_references FINAL WHERE model = ? AND fingerprint = ? AND NOT startsWith(segment, '{PREFIX}') \
             ORDER BY segment, value, feature, bin"
        );
        let query = self.store.client().query(&sql).bind(model).bind(fingerprint);
        self.store.bounded("the references of segments", query.fetch_all()).await
    }

    /// Counts of the windows that start in a span, by segment; those by what labels say are left out.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn segment_counts(
        &self,
        model: &str,
        fingerprint: &str,
        span: Window,
    ) -> Result<Vec<SegmentCount>, Error> {
        let sql = format!(
            "SELECT toUnixTimestamp64Milli(window_start) AS at_ms, toString(segment) AS segment, value, \
               toString(feature) AS feature, bin, n \
             FROM segment_counts FINAL \
             WHERE model = ? AND fingerprint = ? AND window_start >= {MS} AND window_start < {MS} \
               AND segment != '{truth}' ORDER BY window_start, segment, value, feature, bin",
            truth = segment::TRUTH
        );
        let query = self.store.client().query(&sql).bind(model).bind(fingerprint).bind(span.start_ms).bind(span.end_ms);
        self.store.bounded("counts of segments", query.fetch_all()).await
    }

    /// Writes judgements of segments; one of the same pair and window replaces the older.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn insert_segment_verdicts(&self, rows: &[SegmentVerdictRow]) -> Result<(), Error> {
        if rows.is_empty() {
            return Ok(());
        }
        let insert = async {
            let mut insert = self.store.client().insert::<Stored<'_>>("segment_verdicts").await?;
            for row in rows {
                insert.write(&stored(row)).await?;
            }
            insert.end().await
        };
        self.store.bounded("writing verdicts of segments", insert).await
    }

    /// Evidence of the judgements of a model's segments in the window that ends at a time.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn segment_verdicts_at(&self, model: &str, end_ms: i64) -> Result<Vec<String>, Error> {
        let sql = format!(
            "SELECT evidence FROM segment_verdicts FINAL WHERE model = ? AND window_end = {MS} \
             ORDER BY segment, value, feature"
        );
        let query = self.store.client().query(&sql).bind(model).bind(end_ms);
        self.store.bounded("the last verdicts of segments", query.fetch_all()).await
    }
}

fn stored(row: &SegmentVerdictRow) -> Stored<'_> {
    Stored {
        model: &row.model,
        feature: &row.feature,
        segment: &row.segment,
        value: &row.value,
        window_end: row.window_end_ms,
        judged_at: row.judged_at_ms,
        state: &row.state,
        fingerprint: &row.fingerprint,
        evidence: &row.evidence,
    }
}
