//! Means and covariances of an embedding's projections.

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use super::windows::rows;
use super::{Reader, Window};
use crate::Error;

/// Means and covariances of some items.
#[derive(Clone, Debug, Default, PartialEq, Row, Serialize, Deserialize)]
pub struct Moments {
    /// Items that have every projection.
    pub n: u64,
    /// Means, by projection.
    pub means: Vec<f64>,
    /// Sample covariances, row by row.
    pub covariances: Vec<f64>,
}

/// The moments of one embedding's reference.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbeddingReference {
    /// Name of the embedding, without its projections.
    pub embedding: String,
    /// End of the span that it was made of.
    pub until_ms: i64,
    /// Its moments.
    pub moments: Moments,
}

#[derive(Row, Serialize, Deserialize)]
struct Stored {
    model: String,
    fingerprint: String,
    embedding: String,
    until: i64,
    n: u64,
    means: Vec<f64>,
    covariances: Vec<f64>,
}

impl Reader {
    /// Moments of the projections named, in the order of their names, over the items of a span that have them all; `None` of
    /// fewer than two items.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn moments(
        &self,
        model: &str,
        projections: &[String],
        span: Window,
        cut_ms: i64,
    ) -> Result<Option<Moments>, Error> {
        let columns: Vec<String> = (1..=projections.len()).map(|i| format!("v[{i}]")).collect();
        let sql = format!(
            "SELECT count() AS n, avgForEach(v) AS means, arrayFlatten(covarSampMatrix({columns})) AS covariances FROM ( \
               SELECT arrayMap(p -> p.2, arraySort(p -> p.1, groupArray((toString(feature), value)))) AS v FROM features \
               WHERE {rows} AND has(?, toString(feature)) AND NOT missing AND isFinite(value) \
               GROUP BY id, item HAVING length(v) = toUInt64(?)) \
             HAVING n > 1",
            columns = columns.join(", "),
            rows = rows(),
        );
        let query = self.store.client().query(&sql).bind(model).bind(span.start_ms).bind(span.end_ms).bind(cut_ms);
        let query = query.bind(projections).bind(projections.len() as u64);
        self.store.bounded("moments of an embedding", query.fetch_optional()).await
    }

    /// Writes the moments of a reference.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn insert_moments(
        &self,
        model: &str,
        fingerprint: &str,
        reference: &EmbeddingReference,
    ) -> Result<(), Error> {
        let EmbeddingReference { embedding, until_ms, moments } = reference.clone();
        let row = Stored {
            model: model.to_owned(),
            fingerprint: fingerprint.to_owned(),
            embedding,
            until: until_ms,
            n: moments.n,
            means: moments.means,
            covariances: moments.covariances,
        };
        let insert = async {
            let mut insert = self.store.client().insert::<Stored>("embedding_references").await?;
            insert.write(&row).await?;
            insert.end().await
        };
        self.store.bounded("writing an embedding's reference", insert).await
    }

    /// The references of a model's embeddings over one baseline.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn embedding_references(&self, model: &str, fingerprint: &str) -> Result<Vec<EmbeddingReference>, Error> {
        let sql = "SELECT toString(e.model) AS model, toString(e.fingerprint) AS fingerprint, \
                     toString(e.embedding) AS embedding, toUnixTimestamp64Milli(e.until) AS until, e.n AS n, \
                     e.means AS means, e.covariances AS covariances \
                   FROM embedding_references AS e FINAL WHERE e.model = ? AND e.fingerprint = ? ORDER BY e.embedding";
        let query = self.store.client().query(sql).bind(model).bind(fingerprint);
        let rows: Vec<Stored> = self.store.bounded("the references of embeddings", query.fetch_all()).await?;
        let read = |row: Stored| EmbeddingReference {
            embedding: row.embedding,
            until_ms: row.until,
            moments: Moments { n: row.n, means: row.means, covariances: row.covariances },
        };
        Ok(rows.into_iter().map(read).collect())
    }
}
