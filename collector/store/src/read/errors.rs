//! Right and wrong answers by what is true, as their labels arrive, and the same as counts of a segment.

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use super::slo::{LABELLED_TIMES, labelled};
use super::{MS, Reader, SegmentCount, Window};
use crate::Error;

/// Classes told apart in one answer.
const CLASSES_MAX: u64 = 1_000;

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
    /// When the first labels of a version's answers arrived since a time, oldest first, at most `n`.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn label_times(&self, of: (&str, &str), since_ms: i64, n: u64) -> Result<Vec<i64>, Error> {
        if self.labels_in(Window { start_ms: since_ms, end_ms: i64::from(u32::MAX) * 1_000 }).await? == 0 {
            return Ok(Vec::new());
        }
        let sql = format!(
            "SELECT toUnixTimestamp64Milli(known_at) AS at_ms FROM ({}) WHERE answered_by = ? ORDER BY at_ms LIMIT ?",
            labelled("known_at, answered_by")
        );
        let query = self.store.client().query(&sql).bind(of.0);
        let query = (0..LABELLED_TIMES).fold(query, |query, _| query.bind(since_ms));
        self.store.bounded("when labels arrived", query.bind(of.1).bind(n).fetch_all()).await
    }

    /// Right and wrong answers of a model's version by class, of labels that arrived in a span; the class with most labels
    /// first.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn label_errors(&self, of: (&str, &str), span: Window) -> Result<Vec<LabelErrors>, Error> {
        // Most windows bring none, and then the answers are not looked at.
        if self.labels_in(span).await? == 0 {
            return Ok(Vec::new());
        }
        let sql = format!(
            "SELECT toString(truth) AS truth, countIf(is_right) AS right, countIf(NOT is_right) AS wrong FROM ({}) \
             WHERE known_at < {MS} AND answered_by = ? GROUP BY truth ORDER BY count() DESC, truth LIMIT {CLASSES_MAX}",
            labelled("known_at, answered_by, truth, said = truth AS is_right")
        );
        let query = self.store.client().query(&sql).bind(of.0);
        let query = (0..LABELLED_TIMES).fold(query, |query, _| query.bind(span.start_ms));
        self.store.bounded("labelled answers by class", query.bind(span.end_ms).bind(of.1).fetch_all()).await
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

    async fn labels_in(&self, span: Window) -> Result<u64, Error> {
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
