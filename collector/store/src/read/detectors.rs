//! What detectors knew after a window.

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use super::{MS, Reader};
use crate::Error;

/// A detector after a window, as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DetectorState {
    /// The feature.
    pub feature: String,
    /// The detector.
    pub state: String,
}

/// Which detectors: those of a model over one reference, after the window that ends at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DetectorsAt<'a> {
    /// Model name.
    pub model: &'a str,
    /// Fingerprint of the reference.
    pub fingerprint: &'a str,
    /// End of the window.
    pub window_end_ms: i64,
}

#[derive(Row, Serialize)]
struct Stored<'a> {
    model: &'a str,
    feature: &'a str,
    fingerprint: &'a str,
    window_end: i64,
    judged_at: i64,
    state: &'a str,
}

#[derive(Row, Deserialize)]
struct Found {
    feature: String,
    state: String,
}

impl Reader {
    /// Writes the detectors of one window; again replaces what was written.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn insert_detectors(
        &self,
        at: DetectorsAt<'_>,
        judged_at_ms: i64,
        states: &[DetectorState],
    ) -> Result<(), Error> {
        let insert = async {
            let mut insert = self.store.client().insert::<Stored<'_>>("detector_state").await?;
            for DetectorState { feature, state } in states {
                let row = Stored {
                    model: at.model,
                    feature,
                    fingerprint: at.fingerprint,
                    window_end: at.window_end_ms,
                    judged_at: judged_at_ms,
                    state,
                };
                insert.write(&row).await?;
            }
            insert.end().await
        };
        self.store.bounded("writing detectors", insert).await
    }

    /// The detectors after a window; none where that window was not judged over this reference.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn detectors(&self, at: DetectorsAt<'_>) -> Result<Vec<DetectorState>, Error> {
        let sql = format!(
            "SELECT toString(feature) AS feature, state FROM detector_state FINAL \
             WHERE model = ? AND fingerprint = ? AND window_end = {MS}"
        );
        let query = self.store.client().query(&sql).bind(at.model).bind(at.fingerprint).bind(at.window_end_ms);
        let found: Vec<Found> = self.store.bounded("the detectors", query.fetch_all()).await?;
        Ok(found.into_iter().map(|Found { feature, state }| DetectorState { feature, state }).collect())
    }
}
