//! What ClickHouse refuses for what it holds is put aside, durably, with the reason beside it.
//!
//! A quarantined file is a segment like others, for one table, under an id that follows from the refused block. Moved
//! back to the log's folder, it is inserted at the next start of the collector; the other tables have these rows.

use std::collections::HashSet;
use std::path::PathBuf;

use masking::MaskedSample;
use store::Error;
use store::write::Block;
use uuid::Uuid;

use super::segment::Loaded;
use super::{GivenUp, Inserter, RETRY_MIN};
use crate::log::{self, SEGMENT_SUFFIX, Sealed};
use crate::record::{self, Batch, Record};

const REFUSED: &str = "refused";
const UNREADABLE: &str = "unreadable";

impl Inserter {
    /// Puts the refused blocks of one table aside; each holds the rows of one observation or label.
    pub(super) async fn set_aside(
        &self,
        segment: &Sealed,
        loaded: &Loaded,
        refused: &[(Block, Error)],
    ) -> Result<(), GivenUp> {
        let Some((first, error)) = refused.first() else { return Ok(()) };
        let table = first.table().name();
        let ids: HashSet<Uuid> = refused.iter().filter_map(|(block, _)| block.first_id()).collect();
        tracing::error!(table, segment = %segment.id, refused = refused.len(), %error, "ClickHouse refuses rows; they are put aside");
        let mut payloads = vec![Record::Only { table: table.to_owned() }];
        payloads.extend(loaded.records.iter().filter_map(|record| those(record, &ids)));
        let observations = payloads.iter().map(Record::observations).sum();
        let payloads: Vec<Vec<u8>> = payloads.iter().filter_map(|record| record::write(record).ok()).collect();
        let (id, sentence) = (first.segment(), format!("table {table}, from segment {}: {error}\n", segment.id));
        let dir = self.quarantine.clone();
        self.durably(move || {
            std::fs::create_dir_all(&dir)?;
            let path = log::write_new(&dir, id, &payloads)?;
            std::fs::write(path.with_extension("reason"), &sentence)
        })
        .await?;
        self.metrics.quarantined(REFUSED, observations);
        Ok(())
    }

    /// Keeps a copy of a segment from which not everything could be read.
    pub(super) async fn set_aside_whole(&self, segment: &Sealed, loaded: &Loaded) -> Result<(), GivenUp> {
        let (from, dir) = (segment.path.clone(), self.quarantine.clone());
        let to: PathBuf = dir.join(format!("{}.{SEGMENT_SUFFIX}.damaged", segment.id));
        self.durably(move || {
            std::fs::create_dir_all(&dir)?;
            std::fs::copy(&from, &to)?;
            std::fs::File::open(&to)?.sync_all()?;
            log::sync_dir(&dir)
        })
        .await?;
        self.metrics.quarantined(UNREADABLE, loaded.unreadable as u64);
        Ok(())
    }

    async fn durably(&self, write: impl Fn() -> std::io::Result<()> + Clone + Send + 'static) -> Result<(), GivenUp> {
        let mut retry = RETRY_MIN;
        loop {
            match tokio::task::spawn_blocking(write.clone()).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => tracing::error!(%error, "the quarantine cannot be written; the segment waits"),
                Err(error) => tracing::error!(%error, "the quarantine cannot be written; the segment waits"),
            }
            self.pause(&mut retry).await?;
        }
    }
}

/// Those observations or labels of a record that were refused.
fn those(record: &Record<MaskedSample>, ids: &HashSet<Uuid>) -> Option<Record<MaskedSample>> {
    match record {
        Record::Batch(batch) => {
            let observations: Vec<_> =
                batch.observations.iter().filter(|sample| ids.contains(&sample.id)).cloned().collect();
            // no heartbeat and no guard: the batch itself went in
            let batch = Batch { observations, heartbeat: false, single: None, ..batch.clone() };
            (!batch.observations.is_empty()).then_some(Record::Batch(batch))
        }
        Record::Labels { received_at_ms, labels } => {
            let labels: Vec<_> = labels.iter().filter(|label| ids.contains(&label.id)).cloned().collect();
            (!labels.is_empty()).then_some(Record::Labels { received_at_ms: *received_at_ms, labels })
        }
        Record::Only { .. } => None,
    }
}
