//! Judgements and events, written down and read back.

use clickhouse::Row;
use contract::feature::{INPUT_PREFIX, TEXT_PREFIX};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{MS, Reader, Window};
use crate::Error;

/// How far back the newest judgements are looked for, in turn.
const NEWEST_MS: [i64; 3] = [86_400_000, 30 * 86_400_000, i64::MAX];

/// Which judgements over some references found an input drifted; model and fingerprints are bound.
fn drifted_inputs() -> String {
    let inputs = format!("(startsWith(feature, '{INPUT_PREFIX}') OR startsWith(feature, '{TEXT_PREFIX}'))");
    format!("model = ? AND has(?, toString(fingerprint)) AND state = 'drifted' AND {inputs}")
}

/// A judgement of one feature in one window, with the evidence as JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct VerdictRow {
    /// Model name.
    pub model: String,
    /// Version judged.
    pub version: String,
    /// Feature name.
    pub feature: String,
    /// Start of the judged span.
    pub window_start_ms: i64,
    /// Its end.
    pub window_end_ms: i64,
    /// The newest `received_at` that the judgement saw.
    pub cut_ms: i64,
    /// When it was judged.
    pub judged_at_ms: i64,
    /// The state's word.
    pub state: String,
    /// Values in the span.
    pub n: u64,
    /// Values in the reference.
    pub m: u64,
    /// Lower bound of the distance.
    pub ks_lower: Option<f64>,
    /// Upper bound of the distance.
    pub ks_upper: Option<f64>,
    /// Classical p-value.
    pub p_value: Option<f64>,
    /// Adjusted p-value.
    pub q_value: Option<f64>,
    /// Population stability index.
    pub psi: Option<f64>,
    /// Fingerprint of the reference.
    pub fingerprint: String,
    /// The verdict as the API gives it, as JSON.
    pub evidence: String,
}

#[derive(Row, Serialize)]
struct StoredVerdict<'a> {
    model: &'a str,
    version: &'a str,
    feature: &'a str,
    window_start: i64,
    window_end: i64,
    cut: i64,
    judged_at: i64,
    state: &'a str,
    n: u64,
    m: u64,
    ks_lower: Option<f64>,
    ks_upper: Option<f64>,
    p_value: Option<f64>,
    q_value: Option<f64>,
    psi: Option<f64>,
    fingerprint: &'a str,
    evidence: &'a str,
}

/// A change worth drawing on a time line.
#[derive(Clone, Debug, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct EventRow {
    /// When, milliseconds.
    pub at: i64,
    /// `drift`, `shadow`, `deployment`, `baseline`, …
    pub kind: String,
    /// Model name; empty when it concerns none.
    pub model: String,
    /// Version; empty when it concerns none.
    pub version: String,
    /// One sentence.
    pub text: String,
}

impl Reader {
    /// Writes judgements; one of the same feature and window replaces the older.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn insert_verdicts(&self, rows: &[VerdictRow]) -> Result<(), Error> {
        let insert = async {
            let mut insert = self.store.client().insert::<StoredVerdict<'_>>("verdicts").await?;
            for row in rows {
                insert.write(&stored(row)).await?;
            }
            insert.end().await
        };
        self.store.bounded("writing verdicts", insert).await
    }

    /// End of the newest judged window of a model.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn last_judged(&self, model: &str) -> Result<Option<i64>, Error> {
        let sql = "SELECT toUnixTimestamp64Milli(max(window_end)) AS end_ms FROM verdicts WHERE model = ?";
        let end: i64 =
            self.store.bounded("the last judgement", self.store.client().query(sql).bind(model).fetch_one()).await?;
        Ok((end > 0).then_some(end))
    }

    /// Evidence of a model's judgements of the window that ends at a time.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn verdicts_at(&self, model: &str, end_ms: i64) -> Result<Vec<String>, Error> {
        let sql = format!("SELECT evidence FROM verdicts FINAL WHERE model = ? AND window_end = {MS}");
        let query = self.store.client().query(&sql).bind(model).bind(end_ms);
        self.store.bounded("the last verdicts", query.fetch_all()).await
    }

    /// Inputs that were drifted in a window that ended in a span, and the end of the last such window; by feature.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn inputs_drifted(
        &self,
        model: &str,
        fingerprints: &[&str],
        ended: Window,
    ) -> Result<Vec<(String, i64)>, Error> {
        let sql = format!(
            "SELECT toString(feature) AS name, toUnixTimestamp64Milli(max(window_end)) AS until_ms FROM verdicts FINAL \
             WHERE {} AND window_end > {MS} AND window_end < {MS} GROUP BY name ORDER BY name",
            drifted_inputs()
        );
        let query =
            self.store.client().query(&sql).bind(model).bind(fingerprints).bind(ended.start_ms).bind(ended.end_ms);
        self.store.bounded("inputs that were drifted", query.fetch_all()).await
    }

    /// Spans that ended after a time and were judged with some input drifted, by their start.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn spans_drifted(&self, model: &str, fingerprints: &[&str], since_ms: i64) -> Result<Vec<Window>, Error> {
        let sql = format!(
            "SELECT DISTINCT toUnixTimestamp64Milli(window_start) AS start_ms, toUnixTimestamp64Milli(window_end) AS end_ms \
             FROM verdicts FINAL WHERE {} AND window_end > {MS} ORDER BY start_ms, end_ms",
            drifted_inputs()
        );
        let query = self.store.client().query(&sql).bind(model).bind(fingerprints).bind(since_ms);
        let found: Vec<(i64, i64)> = self.store.bounded("spans with drifted inputs", query.fetch_all()).await?;
        Ok(found.into_iter().map(|(start_ms, end_ms)| Window { start_ms, end_ms }).collect())
    }

    /// Evidence of the judgement of `model@feature` in the window that ends at a time.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn verdict_of(&self, end_ms: i64, named: &str) -> Result<Option<String>, Error> {
        let sql = format!(
            "SELECT evidence FROM verdicts FINAL WHERE window_end = {MS} AND concat(model, '@', feature) = ? LIMIT 1"
        );
        let query = self.store.client().query(&sql).bind(end_ms).bind(named);
        self.store.bounded("a verdict", query.fetch_optional()).await
    }

    /// Evidence of judgements, newest first; an empty model or feature means all. The day before `now_ms` is looked at first, and what is older
    /// only where that has fewer: judgements are kept for a year, in no order of time, and nobody wants more of them than the newest.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn verdicts(&self, model: &str, feature: &str, now_ms: i64, limit: u64) -> Result<Vec<String>, Error> {
        let mut found = Vec::new();
        for back_ms in NEWEST_MS {
            found = self.verdicts_since(model, feature, now_ms.saturating_sub(back_ms).max(0), limit).await?;
            if found.len() as u64 >= limit {
                break;
            }
        }
        Ok(found)
    }

    async fn verdicts_since(
        &self,
        model: &str,
        feature: &str,
        since_ms: i64,
        limit: u64,
    ) -> Result<Vec<String>, Error> {
        let sql = format!(
            "SELECT evidence FROM verdicts FINAL \
             WHERE (? = '' OR model = ?) AND (? = '' OR feature = ?) AND window_end >= {MS} \
             ORDER BY window_end DESC, model, feature LIMIT ?"
        );
        let query = self.store.client().query(&sql).bind(model).bind(model).bind(feature).bind(feature);
        self.store.bounded("verdicts", query.bind(since_ms).bind(limit).fetch_all()).await
    }

    /// Writes events. The same ones again, as after a failure in between, are taken once.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn insert_events(&self, rows: &[EventRow]) -> Result<(), Error> {
        if rows.is_empty() {
            return Ok(());
        }
        let insert = async {
            let insert = self.store.client().insert::<EventRow>("events").await?;
            let mut insert = insert.with_setting("insert_deduplication_token", token(rows));
            for row in rows {
                insert.write(row).await?;
            }
            insert.end().await
        };
        self.store.bounded("writing events", insert).await
    }

    /// Whether an event of a kind and a moment is written down.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn has_event(&self, model: &str, kind: &str, at_ms: i64) -> Result<bool, Error> {
        let sql = format!("SELECT count() FROM events WHERE at = {MS} AND kind = ? AND model = ?");
        let query = self.store.client().query(&sql).bind(at_ms).bind(kind).bind(model);
        let found: u64 = self.store.bounded("an event", query.fetch_one()).await?;
        Ok(found > 0)
    }

    /// The newest event of a kind on a model's version.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn last_event(&self, model: &str, version: &str, kind: &str) -> Result<Option<String>, Error> {
        let sql = "SELECT text FROM events WHERE kind = ? AND model = ? AND version = ? ORDER BY at DESC LIMIT 1";
        let query = self.store.client().query(sql).bind(kind).bind(model).bind(version);
        self.store.bounded("the last event", query.fetch_optional()).await
    }

    /// The newest events.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn events(&self, limit: u64) -> Result<Vec<EventRow>, Error> {
        let sql = "SELECT toUnixTimestamp64Milli(e.at) AS at, toString(e.kind) AS kind, toString(e.model) AS model, \
                   toString(e.version) AS version, e.text AS text FROM events AS e ORDER BY e.at DESC, e.text LIMIT ?";
        self.store.bounded("events", self.store.client().query(sql).bind(limit).fetch_all()).await
    }

    /// The newest events of some kinds, at most `each` of a model, newest first: however much else happens, and to whichever
    /// models, none is crowded out.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn events_of_kinds(&self, kinds: &[&str], each: u64) -> Result<Vec<EventRow>, Error> {
        let sql = "SELECT toUnixTimestamp64Milli(e.at) AS at, toString(e.kind) AS kind, toString(e.model) AS model, \
                   toString(e.version) AS version, e.text AS text FROM events AS e WHERE toString(e.kind) IN ? \
                   ORDER BY e.at DESC, e.text LIMIT ? BY e.model";
        let query = self.store.client().query(sql).bind(kinds).bind(each);
        self.store.bounded("events of some kinds", query.fetch_all()).await
    }
}

/// What the rows say, in 64 digits.
fn token(rows: &[EventRow]) -> String {
    let mut hash = Sha256::new();
    for EventRow { at, kind, model, version, text } in rows {
        for field in [&at.to_string(), kind, model, version, text] {
            hash.update(field.len().to_le_bytes());
            hash.update(field);
        }
    }
    hex::encode(hash.finalize())
}

fn stored(row: &VerdictRow) -> StoredVerdict<'_> {
    StoredVerdict {
        model: &row.model,
        version: &row.version,
        feature: &row.feature,
        window_start: row.window_start_ms,
        window_end: row.window_end_ms,
        cut: row.cut_ms,
        judged_at: row.judged_at_ms,
        state: &row.state,
        n: row.n,
        m: row.m,
        ks_lower: row.ks_lower,
        ks_upper: row.ks_upper,
        p_value: row.p_value,
        q_value: row.q_value,
        psi: row.psi,
        fingerprint: &row.fingerprint,
        evidence: &row.evidence,
    }
}
