//! References by the hour: the counts of a baseline's rows over its own bins, hour of the day or of the week by hour.
//!
//! They stand among the references of segments, under names that no segment has: a part of the reference's values, by its time.

use super::windows::{binned, frozen};
use super::{MS, Reader, SegmentCount, Window};
use crate::Error;

/// How such names begin.
pub(super) const PREFIX: &str = "(hour";
/// The 24 hours of the day, UTC.
pub const HOUR_OF_DAY: &str = "(hour of the day)";
/// The 168 hours of the week from Monday, UTC.
pub const HOUR_OF_WEEK: &str = "(hour of the week)";

/// The number of a row's hour.
fn hour(name: &str) -> &'static str {
    if name == HOUR_OF_WEEK { "(toDayOfWeek(at) - 1) * 24 + toHour(at)" } else { "toHour(at)" }
}

impl Reader {
    /// Counts the rows of a span, as far as they were received by a time, over the bins of a stored baseline, by the hour; again gives the
    /// same rows.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn count_hours(
        &self,
        (model, fingerprint): (&str, &str),
        span: Window,
        cut_ms: i64,
        name: &str,
    ) -> Result<(), Error> {
        let sql = format!(
            "INSERT INTO segment_references (model, fingerprint, until, segment, value, feature, bin, n) \
             WITH frozen AS ({frozen} GROUP BY feature) \
             SELECT ?, ?, {MS}, ?, toString({hour}) AS named, feature, bin, count() FROM ({values}) GROUP BY named, feature, bin",
            frozen = frozen(),
            hour = hour(name),
            values = binned("at, "),
        );
        let query = self.store.client().query(&sql).bind(model).bind(fingerprint);
        let query = query.bind(model).bind(fingerprint).bind(span.end_ms).bind(name);
        let query = query.bind(model).bind(span.start_ms).bind(span.end_ms).bind(cut_ms);
        let query = query.bind(model).bind(span.start_ms).bind(span.end_ms).bind(cut_ms);
        self.store.bounded("counting a reference by the hour", query.execute()).await
    }

    /// Gives the hours of one baseline to another that holds the same bins and more; again gives the same rows.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn copy_hours(&self, model: &str, from: &str, to: &str) -> Result<(), Error> {
        let sql = "INSERT INTO segment_references (model, fingerprint, until, segment, value, feature, bin, n) \
                   SELECT model, ?, until, segment, value, feature, bin, n FROM segment_references FINAL \
                   WHERE model = ? AND fingerprint = ? AND startsWith(segment, ?)";
        let query = self.store.client().query(sql).bind(to).bind(model).bind(from).bind(PREFIX);
        self.store.bounded("copying a reference by the hour", query.execute()).await
    }

    /// The counts of one hour; none where the baseline was frozen without hours.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn hour_references(
        &self,
        (model, fingerprint): (&str, &str),
        name: &str,
        hour: u32,
    ) -> Result<Vec<SegmentCount>, Error> {
        let sql = "SELECT toUnixTimestamp64Milli(until) AS at_ms, toString(segment) AS segment, value, \
                     toString(feature) AS feature, bin, n \
                   FROM segment_references FINAL WHERE model = ? AND fingerprint = ? AND segment = ? AND value = ? \
                   ORDER BY feature, bin";
        let query = self.store.client().query(sql).bind(model).bind(fingerprint).bind(name).bind(hour.to_string());
        self.store.bounded("the reference of an hour", query.fetch_all()).await
    }
}
