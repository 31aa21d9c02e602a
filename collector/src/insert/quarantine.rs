//! What ClickHouse refuses for what it holds is put aside, durably, with the reason beside it.
//!
//! A quarantined file is a segment like others, for one table, under an id that follows from the refused block. Moved
//! back to the log's folder, it is inserted at the next start of the collector; the other tables have these rows.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use masking::MaskedSample;
use store::Error;
use store::write::{Block, Tables};
use uuid::Uuid;

use super::segment::{self, Loaded};
use super::{GivenUp, Inserter};
use crate::log::disk::{Disk, write_whole};
use crate::log::{SEGMENT_SUFFIX, Sealed, whole};
use crate::record::{self, Batch, Record};

const REFUSED: &str = "refused";
const UNREADABLE: &str = "unreadable";

impl<T: Tables> Inserter<T> {
    /// Puts the refused blocks of one table aside: the observations or labels that their rows belong to.
    pub(super) async fn set_aside(&self, segment: &Sealed, refused: &[(Block, Error)]) -> Result<(), GivenUp> {
        let Some((first, error)) = refused.first() else { return Ok(()) };
        let table = first.table().name();
        let ids: HashSet<Uuid> = refused.iter().flat_map(|(block, _)| block.ids()).collect();
        tracing::error!(table, segment = %segment.id, refused = ids.len(), %error, "ClickHouse refuses rows; they are put aside");
        let sentence = format!("table {table}, from segment {}: {error}\n", segment.id);
        let (id, dir, most) = (id_of(first), self.quarantine.clone(), self.quarantine_max_bytes);
        let (disk, path, masker) = (self.disk.clone(), segment.path.clone(), self.masker.clone());
        let observations = ids.len() as u64;
        self.durably("refused rows cannot be put aside", move || {
            let mut payloads =
                vec![record::write(&Record::Only { table: table.to_owned() }).map_err(io::Error::other)?];
            let mut failed = None;
            segment::for_each(&*disk, &path, &masker, |record| {
                if let Some(those) = record.and_then(|record| those(&record, &ids)) {
                    match record::write(&those) {
                        Ok(packed) => payloads.push(packed),
                        Err(error) => failed = Some(io::Error::other(error)),
                    }
                }
            })?;
            failed.map_or(Ok(()), Err)?;
            let payloads: Vec<Vec<u8>> = payloads.into_iter().map(|packed| packed.payload).collect();
            let (path, bytes) = whole(&dir, id, &payloads);
            room(&*disk, &dir, bytes.len() + sentence.len(), most)?;
            write_whole(&*disk, &path.with_extension("reason"), sentence.as_bytes())?;
            write_whole(&*disk, &path, &bytes)
        })
        .await?;
        self.metrics.quarantined(REFUSED, observations);
        Ok(())
    }

    /// Says how full the folder is: somebody may have moved files away.
    pub(super) async fn look_at_quarantine(&self) {
        let (disk, dir) = (self.disk.clone(), self.quarantine.clone());
        // one that is not there yet is empty
        let taken = tokio::task::spawn_blocking(move || taken(&*disk, &dir).unwrap_or_default()).await;
        self.metrics.quarantine_used(taken.unwrap_or_default() as f64 / self.quarantine_max_bytes as f64);
    }

    /// Keeps a copy of a segment from which not everything could be read.
    pub(super) async fn set_aside_whole(&self, segment: &Sealed, loaded: &Loaded) -> Result<(), GivenUp> {
        let (disk, from, dir, most) =
            (self.disk.clone(), segment.path.clone(), self.quarantine.clone(), self.quarantine_max_bytes);
        let to = dir.join(format!("{}.{SEGMENT_SUFFIX}.damaged", segment.id));
        self.durably("a damaged segment cannot be put aside", move || {
            let bytes = disk.read(&from)?;
            room(&*disk, &dir, bytes.len(), most)?;
            write_whole(&*disk, &to, &bytes)
        })
        .await?;
        self.metrics.quarantined(UNREADABLE, loaded.unreadable as u64);
        Ok(())
    }
}

/// What a refused block is put aside under: one that was not halved has its segment's own id, as other tables' blocks have.
fn id_of(block: &Block) -> Uuid {
    use sha2::{Digest as _, Sha256};
    crate::pipeline::id_of(Sha256::new().chain_update(block.segment()).chain_update(block.table().name()))
}

/// Bytes in the folder.
fn taken(disk: &dyn Disk, dir: &Path) -> io::Result<u64> {
    Ok(disk.list(dir)?.iter().map(|path| disk.length(path).unwrap_or_default()).sum())
}

/// Makes the folder, and refuses what would take it past its bound: what was acknowledged is not thrown away, it waits
/// in the log until somebody has looked at what lies here.
fn room(disk: &dyn Disk, dir: &Path, bytes: usize, most: u64) -> io::Result<()> {
    disk.make_dir(dir)?;
    let taken = taken(disk, dir)?;
    if taken.saturating_add(bytes as u64) <= most {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::QuotaExceeded,
        format!(
            "{} holds {taken} bytes of {most} (collector.insert.quarantine_max_bytes); look at what is in it, then move it away",
            dir.display()
        ),
    ))
}

/// Those observations, labels, outcomes or events of a record that were refused.
fn those(record: &Record<MaskedSample>, ids: &HashSet<Uuid>) -> Option<Record<MaskedSample>> {
    match record {
        Record::Batch(batch) => {
            let observations: Vec<_> =
                batch.observations.iter().filter(|sample| ids.contains(&sample.id)).cloned().collect();
            // no heartbeat and no guard: the batch itself went in
            let batch = Batch { observations, heartbeat: false, single: None, ..batch.clone() };
            (!batch.observations.is_empty()).then_some(Record::Batch(batch))
        }
        Record::Labels { received_at_ms, labels, .. } => {
            let labels: Vec<_> = labels.iter().filter(|label| ids.contains(&label.id)).cloned().collect();
            (!labels.is_empty()).then_some(Record::Labels { received_at_ms: *received_at_ms, labels, key: None })
        }
        Record::Outcomes { received_at_ms, outcomes, .. } => {
            let outcomes: Vec<_> = outcomes.iter().filter(|feedback| ids.contains(&feedback.id)).cloned().collect();
            (!outcomes.is_empty()).then_some(Record::Outcomes { received_at_ms: *received_at_ms, outcomes, key: None })
        }
        Record::Events { received_at_ms, source, events, .. } => {
            let events: Vec<_> = events.iter().filter(|(id, _)| ids.contains(id)).cloned().collect();
            let (received_at_ms, source) = (*received_at_ms, source.clone());
            (!events.is_empty()).then_some(Record::Events { received_at_ms, source, events, key: None })
        }
        Record::Half(_) | Record::Settled { .. } | Record::Only { .. } => None,
    }
}
