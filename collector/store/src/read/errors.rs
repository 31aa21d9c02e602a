//! Right and wrong answers by what is true, as their labels arrive, and the same as counts of a segment.

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use super::labelled::{Arrived, labelled};
use super::{MS, Reader, SegmentCount, Window};
use crate::Error;

/// Classes told apart in one answer.
const CLASSES_MAX: u64 = 1_000;
/// When a label was known and its answer given, and by whom.
const TIMES: &str =
    "toUnixTimestamp64Milli(known_at) AS at_ms, toUnixTimestamp64Milli(answered_at) AS answered_ms, answered_by";

/// Answers that were labelled as one class.
#[derive(Clone, Debug, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct LabelErrors {
    /// What the labels say.
    pub truth: String,
    /// Answers that said the same.
    pub right: u64,
    /// The others.
    pub wrong: u64,
}

/// Which answers are taken, by when they were given.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'a> {
    /// Those before.
    pub until_ms: i64,
    /// Of those the ones in none of these spans.
    pub apart: &'a [Window],
}

impl Answered<'_> {
    /// All.
    pub const ALL: Self = Self { until_ms: i64::MAX, apart: &[] };

    /// Whether a time is in one of the spans, as SQL.
    fn apart_in(&self, column: &str) -> String {
        if self.apart.is_empty() {
            return "false".to_owned();
        }
        let spans: Vec<String> = self.apart.iter().map(|one| format!("({}, {})", one.start_ms, one.end_ms)).collect();
        format!("arrayExists(one -> {column} >= one.1 AND {column} < one.2, [{}])", spans.join(", "))
    }
}

/// When labels arrived.
#[derive(Clone, Debug, Default, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct LabelTimes {
    /// The first of the answers taken, oldest first.
    pub times: Vec<i64>,
    /// Labels of answers that were given in the spans left out.
    pub apart: u64,
    /// Labels of answers that were given after the end.
    pub later: u64,
    /// When the first of all arrived; 0 of none.
    pub first_ms: i64,
}

/// A reference of a feature with two bins.
#[derive(Clone, Debug, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct TwoBins {
    /// Its fingerprint.
    pub fingerprint: String,
    /// Values in bin 0.
    pub first: u64,
    /// Values in bin 1.
    pub second: u64,
}

#[derive(Row, Serialize)]
struct StoredReference<'a> {
    model: &'a str,
    fingerprint: &'a str,
    segment: &'a str,
    value: &'a str,
    feature: &'a str,
    bin: i32,
    until: i64,
    n: u64,
}

#[derive(Row, Serialize)]
struct StoredCount<'a> {
    model: &'a str,
    fingerprint: &'a str,
    window_start: i64,
    window_end: i64,
    segment: &'a str,
    value: &'a str,
    feature: &'a str,
    bin: i32,
    n: u64,
}

impl Reader {
    /// When the first labels of a version's answers arrived since a time, at most `n`, and how many are none of these.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn label_times(
        &self,
        of: (&str, &str),
        since_ms: i64,
        n: u64,
        answered: &Answered<'_>,
    ) -> Result<LabelTimes, Error> {
        let sql = format!(
            "SELECT groupArraySortedIf({n})(at_ms, NOT is_apart AND answered_ms < {until}) AS times, \
               countIf(is_apart AND answered_ms < {until}) AS apart, countIf(answered_ms >= {until}) AS later, min(at_ms) AS first_ms \
             FROM (SELECT at_ms, answered_ms, {apart} AS is_apart FROM ({labelled}) WHERE answered_by = ?)",
            until = answered.until_ms,
            apart = answered.apart_in("answered_ms"),
            labelled = labelled(TIMES, Arrived::since(since_ms)),
        );
        let query = self.store.client().query(&sql).bind(of.0).bind(of.1);
        self.store.bounded("when labels arrived", query.fetch_one()).await
    }

    /// Right and wrong answers of a model's version by class, of labels that arrived in a span; the class with most labels
    /// first.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn label_errors(
        &self,
        of: (&str, &str),
        span: Window,
        answered: &Answered<'_>,
    ) -> Result<Vec<LabelErrors>, Error> {
        // Most windows bring none, and then the answers are not looked at.
        if self.labels_in(span).await? == 0 {
            return Ok(Vec::new());
        }
        let columns = format!("{TIMES}, truth, said = truth AS is_right");
        let sql = format!(
            "SELECT toString(truth) AS truth, countIf(is_right) AS right, countIf(NOT is_right) AS wrong FROM ({}) \
             WHERE answered_by = ? AND answered_ms < {} AND NOT {} \
             GROUP BY truth ORDER BY count() DESC, truth LIMIT {CLASSES_MAX}",
            labelled(&columns, Arrived::within(span)),
            answered.until_ms,
            answered.apart_in("answered_ms"),
        );
        let query = self.store.client().query(&sql).bind(of.0).bind(of.1);
        self.store.bounded("labelled answers by class", query.fetch_all()).await
    }

    /// Since when all but a share of the answers were given whose labels arrived in a span; `None` of none.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn answered_since(&self, of: (&str, &str), arrived: Window, share: f64) -> Result<Option<i64>, Error> {
        let sql = format!(
            "SELECT quantileExact({share})(answered_ms) AS since_ms FROM ({}) WHERE answered_by = ? HAVING count() > 0",
            labelled(TIMES, Arrived::within(arrived))
        );
        let query = self.store.client().query(&sql).bind(of.0).bind(of.1);
        self.store.bounded("when labelled answers were given", query.fetch_optional()).await
    }

    /// References of one value of a segment whose fingerprint starts with a text, in two bins each, the one that ended last first.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn references_of(
        &self,
        model: &str,
        starts: &str,
        (segment, value): (&str, &str),
    ) -> Result<Vec<TwoBins>, Error> {
        let sql = "SELECT toString(fingerprint) AS fingerprint, sumIf(n, bin = 0) AS first, sumIf(n, bin = 1) AS second \
             FROM segment_references FINAL WHERE model = ? AND startsWith(fingerprint, ?) AND segment = ? AND value = ? \
             GROUP BY fingerprint ORDER BY max(until) DESC, fingerprint";
        let query = self.store.client().query(sql).bind(model).bind(starts).bind(segment).bind(value);
        self.store.bounded("references of a segment", query.fetch_all()).await
    }

    /// Labels of all models that arrived in a span.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn labels_in(&self, span: Window) -> Result<u64, Error> {
        let sql = format!("SELECT count() FROM labels WHERE received_at >= {MS} AND received_at < {MS}");
        let query = self.store.client().query(&sql).bind(span.start_ms).bind(span.end_ms);
        self.store.bounded("labels that arrived", query.fetch_one()).await
    }

    /// Writes counts that are a segment's reference, where they are not counted by the database; their time is the end of their
    /// span. Again replaces what was written.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn insert_references(
        &self,
        model: &str,
        fingerprint: &str,
        counts: &[SegmentCount],
    ) -> Result<(), Error> {
        let insert = async {
            let mut insert = self.store.client().insert::<StoredReference<'_>>("segment_references").await?;
            for SegmentCount { at_ms, segment, value, feature, bin, n } in counts {
                let (until, bin, n) = (*at_ms, *bin, *n);
                insert.write(&StoredReference { model, fingerprint, segment, value, feature, bin, until, n }).await?;
            }
            insert.end().await
        };
        self.store.bounded("writing a segment's reference", insert).await
    }

    /// The same of a window.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn insert_counts(
        &self,
        model: &str,
        fingerprint: &str,
        window: Window,
        counts: &[SegmentCount],
    ) -> Result<(), Error> {
        let (window_start, window_end) = (window.start_ms, window.end_ms);
        let insert = async {
            let mut insert = self.store.client().insert::<StoredCount<'_>>("segment_counts").await?;
            for SegmentCount { segment, value, feature, bin, n, .. } in counts {
                let (bin, n) = (*bin, *n);
                let row = StoredCount { model, fingerprint, window_start, window_end, segment, value, feature, bin, n };
                insert.write(&row).await?;
            }
            insert.end().await
        };
        self.store.bounded("writing a segment's counts", insert).await
    }

    /// Counts of one segment in the windows that start in a span.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn counts_of_segment(
        &self,
        model: &str,
        fingerprint: &str,
        segment: &str,
        span: Window,
    ) -> Result<Vec<SegmentCount>, Error> {
        let sql = format!(
            "SELECT toUnixTimestamp64Milli(window_start) AS at_ms, toString(segment) AS segment, value, \
               toString(feature) AS feature, bin, n \
             FROM segment_counts FINAL WHERE model = ? AND fingerprint = ? AND segment = ? \
               AND window_start >= {MS} AND window_start < {MS} ORDER BY window_start, value, bin"
        );
        let query = self.store.client().query(&sql).bind(model).bind(fingerprint).bind(segment);
        let query = query.bind(span.start_ms).bind(span.end_ms);
        self.store.bounded("counts of a segment", query.fetch_all()).await
    }
}
