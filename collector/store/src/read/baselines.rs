//! Frozen references: rows of `baselines`, and the raw values they are made of.

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use super::{MS, Reader, Window};
use crate::Error;

/// The reference of one feature as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaselineRow {
    /// Model name.
    pub model: String,
    /// Version whose observations it was made of; empty for a file.
    pub version: String,
    /// Feature name.
    pub feature: String,
    /// Fingerprint of the whole baseline.
    pub fingerprint: String,
    /// When it was frozen.
    pub frozen_at_ms: i64,
    /// Whether the first traffic made it, and nobody promoted it.
    pub provisional: bool,
    /// Values in it.
    pub m: u64,
    /// JSON of the bins. The counting query reads `kind` (`numbers` or `categories`), `edges` and `names`.
    pub bins: String,
}

#[derive(Row, Serialize, Deserialize)]
struct StoredBaseline {
    model: String,
    version: String,
    feature: String,
    fingerprint: String,
    frozen_at: i64,
    provisional: bool,
    m: u64,
    bins: String,
}

/// One baseline at a glance.
#[derive(Clone, Debug, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct BaselineSummary {
    /// Model name.
    pub model: String,
    /// Version whose observations it was made of.
    pub version: String,
    /// Its fingerprint.
    pub fingerprint: String,
    /// When it was frozen.
    pub frozen_at_ms: i64,
    /// Features in it.
    pub features: u64,
    /// Its largest count over features; over those that somebody chose, where there are any.
    pub observations: u64,
    /// Whether any of it is provisional.
    pub provisional: bool,
    /// So many of its features.
    pub provisional_features: u64,
    /// The word of the last act: `promoted`, `frozen` (a candidate) or `retired`.
    pub act: String,
    /// When that was.
    pub since_ms: i64,
    /// Whether it was looked through for features that traffic has beside it.
    pub completed: bool,
}

/// A feature in stored rows.
#[derive(Clone, Debug, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct FeatureSeen {
    /// Its name.
    pub feature: String,
    /// Rows with a number.
    pub numbers: u64,
    /// Rows with a category.
    pub categories: u64,
    /// Rows without a value.
    pub missing: u64,
}

/// Raw values of a numeric feature.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NumberSample {
    /// Values, NaN and infinities among them.
    pub values: Vec<f64>,
    /// Rows without a value.
    pub missing: u64,
}

/// Counts of a categorical feature by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CategoryCounts {
    /// The most frequent names with their counts, most frequent first.
    pub named: Vec<(String, u64)>,
    /// Values of all other names together.
    pub rest: u64,
}

impl Reader {
    /// Writes a baseline; [`Self::insert_act`] says what becomes of it.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn insert_baseline(&self, rows: &[BaselineRow]) -> Result<(), Error> {
        let insert = async {
            let mut insert = self.store.client().insert::<StoredBaseline>("baselines").await?;
            for row in rows {
                insert.write(&StoredBaseline::from(row)).await?;
            }
            insert.end().await
        };
        self.store.bounded("writing a baseline", insert).await
    }

    /// The baseline in force for each model, or with `all` every baseline, the last touched first; of two promoted in one
    /// millisecond the one that somebody chose.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn baselines(&self, all: bool) -> Result<Vec<BaselineSummary>, Error> {
        let sql = format!(
            "SELECT b.model AS model, b.version AS version, b.fingerprint AS fingerprint, b.frozen_at_ms AS frozen_at_ms, \
               b.features AS features, b.observations AS observations, b.provisional AS provisional, \
               b.provisional_features AS provisional_features, \
               if(a.last_act = '', 'promoted', a.last_act) AS act, if(a.last_act = '', b.frozen_at_ms, a.acted_at_ms) AS since_ms, \
               toBool(a.looks > 0) AS completed \
             FROM ( \
               SELECT toString(model) AS model, toString(any(version)) AS version, toString(fingerprint) AS fingerprint, \
                 toUnixTimestamp64Milli(max(frozen_at)) AS frozen_at_ms, uniqExact(r.feature) AS features, \
                 if(countIf(NOT r.provisional) > 0, maxIf(r.m, NOT r.provisional), max(r.m)) AS observations, \
                 max(r.provisional) AS provisional, uniqExactIf(r.feature, r.provisional) AS provisional_features \
               FROM baselines AS r GROUP BY model, fingerprint) AS b \
             LEFT JOIN ( \
               SELECT toString(model) AS model, toString(fingerprint) AS fingerprint, \
                 toString(argMaxIf(act, (at, act), act != 'completed')) AS last_act, \
                 toUnixTimestamp64Milli(maxIf(at, act != 'completed')) AS acted_at_ms, countIf(act = 'completed') AS looks \
               FROM baseline_acts GROUP BY model, fingerprint) AS a \
             ON a.model = b.model AND a.fingerprint = b.fingerprint \
             {} ORDER BY since_ms DESC, provisional, model, fingerprint {}",
            if all { "" } else { "WHERE a.last_act IN ('', 'promoted')" },
            if all { "" } else { "LIMIT 1 BY model" }
        );
        self.store.bounded("the baselines", self.store.client().query(&sql).fetch_all()).await
    }

    /// The rows of one baseline, one a feature.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn baseline(&self, model: &str, fingerprint: &str) -> Result<Vec<BaselineRow>, Error> {
        let sql = "SELECT toString(b.model) AS model, toString(b.version) AS version, toString(b.feature) AS feature, \
               toString(b.fingerprint) AS fingerprint, toUnixTimestamp64Milli(b.frozen_at) AS frozen_at, \
               b.provisional AS provisional, b.m AS m, b.bins AS bins \
             FROM baselines AS b WHERE b.model = ? AND b.fingerprint = ? \
             ORDER BY b.feature, b.frozen_at DESC LIMIT 1 BY b.feature";
        let query = self.store.client().query(sql).bind(model).bind(fingerprint);
        let rows: Vec<StoredBaseline> = self.store.bounded("a baseline", query.fetch_all()).await?;
        Ok(rows.into_iter().map(BaselineRow::from).collect())
    }

    /// Event times of a model's first `n` good observations since a time, oldest first.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn first_observations(&self, model: &str, since_ms: i64, n: u64) -> Result<Vec<i64>, Error> {
        let sql = format!(
            "SELECT toUnixTimestamp64Milli(at) AS at_ms FROM observations \
             WHERE model = ? AND at >= {MS} AND outcome = 'ok' ORDER BY at LIMIT ?"
        );
        let query = self.store.client().query(&sql).bind(model).bind(since_ms).bind(n);
        self.store.bounded("the first observations", query.fetch_all()).await
    }

    /// The span of a model's newest `n` good observations before a time, and how many there are.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn newest_observations(&self, model: &str, before_ms: i64, n: u64) -> Result<(Window, u64), Error> {
        let sql = format!(
            "SELECT toUnixTimestamp64Milli(min(at)) AS first_ms, toUnixTimestamp64Milli(max(at)) AS last_ms, count() AS found \
             FROM (SELECT at FROM observations WHERE model = ? AND at < {MS} AND outcome = 'ok' ORDER BY at DESC LIMIT ?)"
        );
        let query = self.store.client().query(&sql).bind(model).bind(before_ms).bind(n);
        let (start_ms, last_ms, found): (i64, i64, u64) =
            self.store.bounded("the newest observations", query.fetch_one()).await?;
        Ok((Window { start_ms, end_ms: last_ms + 1 }, found))
    }

    /// Features in a span of a model's rows.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn features_seen(&self, model: &str, span: Window) -> Result<Vec<FeatureSeen>, Error> {
        let rows = format!("model = ? AND at >= {MS} AND at < {MS}");
        let sql = format!(
            "SELECT feature, sum(a) AS numbers, sum(b) AS categories, sum(c) AS missing FROM ( \
               SELECT toString(feature) AS feature, countIf(NOT missing) AS a, toUInt64(0) AS b, countIf(missing) AS c \
               FROM features WHERE {rows} GROUP BY feature \
               UNION ALL \
               SELECT toString(feature) AS feature, toUInt64(0) AS a, count() AS b, toUInt64(0) AS c \
               FROM categories WHERE {rows} GROUP BY feature) \
             GROUP BY feature ORDER BY feature"
        );
        let query = self.store.client().query(&sql).bind(model).bind(span.start_ms).bind(span.end_ms);
        let query = query.bind(model).bind(span.start_ms).bind(span.end_ms);
        self.store.bounded("the features seen", query.fetch_all()).await
    }

    /// Numbers of one feature in a span: at most `limit` rows, chosen by a hash of the observation, so that the choice is even
    /// over the span and the same each time.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn numbers(&self, model: &str, feature: &str, span: Window, limit: u64) -> Result<NumberSample, Error> {
        #[derive(Row, Deserialize)]
        struct Value {
            value: f64,
            missing: bool,
        }
        let sql = format!(
            "SELECT value, missing FROM features WHERE model = ? AND feature = ? AND at >= {MS} AND at < {MS} \
             ORDER BY cityHash64(id, item) LIMIT ?"
        );
        let query = self.store.client().query(&sql).bind(model).bind(feature);
        let query = query.bind(span.start_ms).bind(span.end_ms).bind(limit);
        let rows: Vec<Value> = self.store.bounded("values of a feature", query.fetch_all()).await?;
        let missing = rows.iter().filter(|row| row.missing).count() as u64;
        let values = rows.into_iter().filter(|row| !row.missing).map(|row| row.value).collect();
        Ok(NumberSample { values, missing })
    }

    /// Categories of one feature in a span with their counts: at most `limit` of them by name, the others together.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn category_counts(
        &self,
        model: &str,
        feature: &str,
        span: Window,
        limit: u64,
    ) -> Result<CategoryCounts, Error> {
        #[derive(Row, Deserialize)]
        struct Count {
            name: String,
            n: u64,
            total: u64,
        }
        let sql = format!(
            "SELECT name, n, sum(n) OVER () AS total FROM ( \
               SELECT toString(value) AS name, count() AS n FROM categories \
               WHERE model = ? AND feature = ? AND at >= {MS} AND at < {MS} GROUP BY value) \
             ORDER BY n DESC, name LIMIT ?"
        );
        let query = self.store.client().query(&sql).bind(model).bind(feature);
        let query = query.bind(span.start_ms).bind(span.end_ms).bind(limit);
        let rows: Vec<Count> = self.store.bounded("categories of a feature", query.fetch_all()).await?;
        let total = rows.first().map_or(0, |row| row.total);
        let named: Vec<(String, u64)> = rows.into_iter().map(|row| (row.name, row.n)).collect();
        let rest = total - named.iter().map(|(_, n)| n).sum::<u64>();
        Ok(CategoryCounts { named, rest })
    }
}

impl From<&BaselineRow> for StoredBaseline {
    fn from(row: &BaselineRow) -> Self {
        let BaselineRow { model, version, feature, fingerprint, frozen_at_ms, provisional, m, bins } = row.clone();
        Self { model, version, feature, fingerprint, frozen_at: frozen_at_ms, provisional, m, bins }
    }
}

impl From<StoredBaseline> for BaselineRow {
    fn from(row: StoredBaseline) -> Self {
        let StoredBaseline { model, version, feature, fingerprint, frozen_at, provisional, m, bins } = row;
        Self { model, version, feature, fingerprint, frozen_at_ms: frozen_at, provisional, m, bins }
    }
}
