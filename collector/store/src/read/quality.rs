//! Answers beside their labels, in counts and sums: what figures of quality are made of.
//!
//! The newest label of an answer holds. Sums over equal bins of confidence keep the question to a few kilobytes whatever the
//! number of labels; means made of them are exact, an order of scores is as fine as the bins.

use clickhouse::Row;
use contract::feature::{OUTPUT_CONFIDENCE, OUTPUT_LABEL, OUTPUT_PREFIX};
use serde::{Deserialize, Serialize};

use super::{MS, Reader, Window, has_label};
use crate::Error;

/// Classes that are told apart.
const CLASSES_MAX: u64 = 10_000;
/// Kinds of answers by confidence that are told apart.
const KINDS_MAX: u64 = 100_000;

/// Labelled answers that have to do with one class, and how many there are of all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct ClassCount {
    /// The class.
    pub label: String,
    /// Labels that name it.
    pub support: u64,
    /// Labelled answers that name it.
    pub answers: u64,
    /// Both at once.
    pub hits: u64,
    /// Labelled answers of all classes, of those not told apart too.
    pub labelled: u64,
    /// Those that were right.
    pub right: u64,
}

/// Answers of one kind and about the same confidence, labelled or not.
#[derive(Clone, Debug, Default, PartialEq, Row, Serialize, Deserialize)]
pub struct AnsweredCount {
    /// What the model said.
    pub said: String,
    /// Number of the bin of confidence, from 0.
    pub bin: u32,
    /// Answers.
    pub n: u64,
    /// Sum of their confidence.
    pub confidence: f64,
}

/// Which labelled answers are asked for, and how finely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScoresAsked {
    /// Equal bins of confidence from 0 to 1.
    pub bins: u32,
    /// Whether by what was said too.
    pub by_answer: bool,
}

/// Labelled answers of about the same confidence; `c` is the confidence and `y` 1 where the answer was right, else 0.
#[derive(Clone, Debug, Default, PartialEq, Row, Serialize, Deserialize)]
pub struct ScoreCount {
    /// What the model said; empty where answers are not told apart.
    pub said: String,
    /// Number of the bin, from 0.
    pub bin: u32,
    /// Answers.
    pub n: u64,
    /// Those that were right.
    pub correct: u64,
    /// Sum of `c`.
    pub confidence: f64,
    /// Sum of `(c - y)^2`.
    pub squares: f64,
    /// Sum of `(c - y)^4`.
    pub squares2: f64,
    /// Sum of `-ln` of the probability given to what happened, clipped at 1e-15.
    pub logs: f64,
    /// Sum of its squares.
    pub logs2: f64,
}

/// Errors of numbers against their labels; `e` is the answer less the truth.
#[derive(Clone, Debug, Default, PartialEq, Row, Serialize, Deserialize)]
pub struct ErrorCounts {
    /// Labelled answers.
    pub n: u64,
    /// Sum of `e`.
    pub signed: f64,
    /// Sum of `|e|`.
    pub absolute: f64,
    /// Sum of `e^2`.
    pub squares: f64,
    /// Sum of `e^4`.
    pub squares2: f64,
    /// Quantiles of `e` at .05, .5 and .95.
    pub quantiles: Vec<f64>,
    /// Quantiles of `|e|` at .5 and .95.
    pub sizes: Vec<f64>,
}

/// Answers of a span and the newest label of each, model, start and end are bound.
fn answers_and_truths(span: Window) -> String {
    format!(
        "answers AS (SELECT id, item, toString(value) AS said FROM categories \
           WHERE model = ? AND feature = '{OUTPUT_LABEL}' AND at >= {MS} AND at < {MS} AND {}), \
         truths AS (SELECT id, item, argMax(toString(label), (at, received_at)) AS truth FROM labels \
           WHERE id IN (SELECT id FROM answers) GROUP BY id, item)",
        has_label(span)
    )
}

impl Reader {
    /// Items that a model answered in a span with a label of its own, labelled or not.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn answers(&self, model: &str, span: Window) -> Result<u64, Error> {
        self.values_of("categories", model, OUTPUT_LABEL, span).await
    }

    /// Rows of one number in a span.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn numbers_of(&self, model: &str, feature: &str, span: Window) -> Result<u64, Error> {
        self.values_of("features", model, feature, span).await
    }

    async fn values_of(&self, table: &str, model: &str, feature: &str, span: Window) -> Result<u64, Error> {
        let sql = format!("SELECT count() FROM {table} WHERE model = ? AND feature = ? AND at >= {MS} AND at < {MS}");
        let query = self.store.client().query(&sql).bind(model).bind(feature).bind(span.start_ms).bind(span.end_ms);
        self.store.bounded("answers", query.fetch_one()).await
    }

    /// Labelled answers of a span by class, the one with most labels first.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn classes(&self, model: &str, span: Window) -> Result<Vec<ClassCount>, Error> {
        // Each pair counts for the class that is true and for the one that was said, which may be one; totals are taken before the limit.
        let sql = format!(
            "WITH {} SELECT label, support, answers, hits, sum(support) OVER () AS labelled, sum(hits) OVER () AS right FROM ( \
               SELECT one.1 AS label, sum(one.2) AS support, sum(one.3) AS answers, sum(one.4) AS hits FROM ( \
                 SELECT arrayJoin([(t.truth, toUInt64(1), toUInt64(0), toUInt64(a.said = t.truth)), \
                   (a.said, toUInt64(0), toUInt64(1), toUInt64(0))]) AS one \
                 FROM answers AS a INNER JOIN truths AS t ON a.id = t.id AND a.item = t.item) \
               GROUP BY label) \
             ORDER BY support DESC, label LIMIT {CLASSES_MAX}",
            answers_and_truths(span)
        );
        let query = self.store.client().query(&sql).bind(model).bind(span.start_ms).bind(span.end_ms);
        self.store.bounded("answers beside labels", query.fetch_all()).await
    }

    /// Answers of a span, labelled or not, by what was said and by confidence: of one in `one_in` requests, by a hash of the id.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn answered(
        &self,
        model: &str,
        span: Window,
        bins: u32,
        one_in: u64,
    ) -> Result<Vec<AnsweredCount>, Error> {
        let rows = format!("at >= {MS} AND at < {MS} AND cityHash64(id) % {} = 0", one_in.max(1));
        let sql = format!(
            "SELECT a.said AS said, toUInt32(least(greatest(floor(f.value * {bins}), 0), {bins} - 1)) AS bin, \
               count() AS n, sum(f.value) AS confidence \
             FROM (SELECT id, item, toString(value) AS said FROM categories \
               WHERE model = ? AND feature = '{OUTPUT_LABEL}' AND {rows}) AS a \
             INNER JOIN (SELECT id, item, value FROM features WHERE model = ? AND feature = '{OUTPUT_CONFIDENCE}' \
               AND {rows} AND NOT missing AND isFinite(value)) AS f ON a.id = f.id AND a.item = f.item \
             GROUP BY said, bin ORDER BY said, bin LIMIT {KINDS_MAX}"
        );
        let query = self.store.client().query(&sql).bind(model).bind(span.start_ms).bind(span.end_ms);
        let query = query.bind(model).bind(span.start_ms).bind(span.end_ms);
        self.store.bounded("answers by confidence", query.fetch_all()).await
    }

    /// Labelled answers of a span by confidence.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn scores(&self, model: &str, span: Window, asked: ScoresAsked) -> Result<Vec<ScoreCount>, Error> {
        let ScoresAsked { bins, by_answer } = asked;
        let said = if by_answer { "a.said" } else { "''" };
        let sql = format!(
            "WITH {} SELECT word AS said, \
               toUInt32(least(greatest(floor(c * {bins}), 0), {bins} - 1)) AS bin, count() AS n, \
               toUInt64(sum(y)) AS correct, sum(c) AS confidence, sum(pow(c - y, 2)) AS squares, \
               sum(pow(c - y, 4)) AS squares2, sum(loss) AS logs, sum(loss * loss) AS logs2 FROM ( \
               SELECT {said} AS word, f.value AS c, toFloat64(a.said = t.truth) AS y, \
                 -log(least(greatest(if(a.said = t.truth, f.value, 1 - f.value), 1e-15), 1)) AS loss \
               FROM answers AS a \
               INNER JOIN truths AS t ON a.id = t.id AND a.item = t.item \
               INNER JOIN (SELECT id, item, value FROM features WHERE model = ? AND feature = '{OUTPUT_CONFIDENCE}' \
                 AND at >= {MS} AND at < {MS} AND NOT missing AND isFinite(value) AND id IN (SELECT id FROM answers)) AS f \
               ON a.id = f.id AND a.item = f.item) \
             GROUP BY said, bin ORDER BY said, bin",
            answers_and_truths(span)
        );
        let query = self.store.client().query(&sql).bind(model).bind(span.start_ms).bind(span.end_ms);
        let query = query.bind(model).bind(span.start_ms).bind(span.end_ms);
        self.store.bounded("scores of labelled answers", query.fetch_all()).await
    }

    /// When the labelled answers of a span were half over; `None` of none.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn middle_of_labelled(&self, model: &str, span: Window) -> Result<Option<i64>, Error> {
        let sql = format!(
            "SELECT quantileExact(0.5)(toUnixTimestamp64Milli(at)) AS middle FROM categories \
             WHERE model = ? AND feature = '{OUTPUT_LABEL}' AND at >= {MS} AND at < {MS} AND {} \
             HAVING count() > 0",
            has_label(span)
        );
        let query = self.store.client().query(&sql).bind(model).bind(span.start_ms).bind(span.end_ms);
        self.store.bounded("the middle of labelled answers", query.fetch_optional()).await
    }

    /// The number that a model without labels of its own answers with in a span: the most frequent of its outputs that is a
    /// number alone, not a part of a vector. `None` where there is none.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn number_answered(&self, model: &str, span: Window) -> Result<Option<String>, Error> {
        // One name after the prefix: parts of vectors have a second (`output.y.norm`), figures of classes are in the list.
        let sql = format!(
            "SELECT toString(feature) AS name FROM features WHERE model = ? AND at >= {MS} AND at < {MS} \
               AND startsWith(feature, '{OUTPUT_PREFIX}') AND NOT match(feature, '\\\\.(norm|p[0-9]+)$') \
               AND feature NOT IN ('output.confidence', 'output.margin', 'output.entropy', 'output.labels', 'output.entities') \
             GROUP BY name ORDER BY count() DESC, name LIMIT 1"
        );
        let query = self.store.client().query(&sql).bind(model).bind(span.start_ms).bind(span.end_ms);
        self.store.bounded("the number answered", query.fetch_optional()).await
    }

    /// Errors of a number against its labels in a span; labels that are no numbers are left out.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn number_errors(&self, model: &str, feature: &str, span: Window) -> Result<ErrorCounts, Error> {
        let sql = format!(
            "WITH answers AS (SELECT id, item, value FROM features WHERE model = ? AND feature = ? AND at >= {MS} AND at < {MS} \
               AND NOT missing AND isFinite(value) AND {}), \
             truths AS (SELECT id, item, toFloat64OrNull(argMax(toString(label), (at, received_at))) AS truth FROM labels \
               WHERE id IN (SELECT id FROM answers) GROUP BY id, item) \
             SELECT count() AS n, sum(e) AS signed, sum(abs(e)) AS absolute, sum(e * e) AS squares, \
               sum(pow(e, 4)) AS squares2, quantilesExactInclusive(0.05, 0.5, 0.95)(e) AS quantiles, \
               quantilesExactInclusive(0.5, 0.95)(abs(e)) AS sizes FROM ( \
               SELECT assumeNotNull(a.value - t.truth) AS e FROM answers AS a \
               INNER JOIN truths AS t ON a.id = t.id AND a.item = t.item \
               WHERE isNotNull(t.truth) AND isFinite(t.truth))",
            has_label(span)
        );
        let query = self.store.client().query(&sql).bind(model).bind(feature).bind(span.start_ms).bind(span.end_ms);
        self.store.bounded("errors of numbers", query.fetch_one()).await
    }
}
