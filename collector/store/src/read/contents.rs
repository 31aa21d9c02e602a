//! Stored content, masked as it is, to be asked once more.

use clickhouse::Row;
use serde::Deserialize;

use super::{MS, Reader, Window};
use crate::Error;

/// Which content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentAsked<'a> {
    /// Model name.
    pub model: &'a str,
    /// The version that answered.
    pub version: &'a str,
    /// When.
    pub span: Window,
}

/// A request and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct ContentRow {
    /// The observation.
    pub id: String,
    /// When it arrived.
    pub at_ms: i64,
    /// The masked input, JSON.
    pub input: String,
    /// The masked answer, JSON.
    pub output: String,
}

impl Reader {
    /// The version of a model that answered the newest stored content in a span, one version aside.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn content_version(&self, model: &str, aside: &str, span: Window) -> Result<Option<String>, Error> {
        let sql = format!(
            "SELECT toString(version) AS version FROM payloads \
             WHERE model = ? AND version != ? AND at >= {MS} AND at < {MS} ORDER BY at DESC LIMIT 1"
        );
        let query = self.store.client().query(&sql).bind(model).bind(aside).bind(span.start_ms).bind(span.end_ms);
        self.store.bounded("the version with content", query.fetch_optional()).await
    }

    /// Ids of stored content that was answered well, oldest first: at most `limit`, chosen by a hash of the id, so that the choice is
    /// even over the span and the same each time.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn content_ids(&self, asked: ContentAsked<'_>, limit: u64) -> Result<Vec<String>, Error> {
        let rows = format!("model = ? AND version = ? AND at >= {MS} AND at < {MS}");
        let sql = format!(
            "SELECT toString(id) AS id FROM ( \
               SELECT id, at FROM payloads WHERE {rows} \
                 AND id IN (SELECT id FROM observations WHERE {rows} AND outcome = 'ok') \
               ORDER BY cityHash64(id) LIMIT ?) ORDER BY at, id"
        );
        let ContentAsked { model, version, span } = asked;
        let query = self.store.client().query(&sql).bind(model).bind(version).bind(span.start_ms).bind(span.end_ms);
        let query = query.bind(model).bind(version).bind(span.start_ms).bind(span.end_ms).bind(limit);
        self.store.bounded("ids of content", query.fetch_all()).await
    }

    /// Content by id, oldest first.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn contents(&self, asked: ContentAsked<'_>, ids: &[String]) -> Result<Vec<ContentRow>, Error> {
        let sql = format!(
            "SELECT toString(p.id) AS id, toUnixTimestamp64Milli(p.at) AS at_ms, p.input AS input, p.output AS output \
             FROM payloads AS p WHERE p.model = ? AND p.version = ? AND p.at >= {MS} AND p.at < {MS} AND toString(p.id) IN ? \
             ORDER BY p.at, p.id"
        );
        let ContentAsked { model, version, span } = asked;
        let query = self.store.client().query(&sql).bind(model).bind(version).bind(span.start_ms).bind(span.end_ms);
        self.store.bounded("stored content", query.bind(ids).fetch_all()).await
    }
}
