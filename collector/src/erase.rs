//! Erasure in what lies on the collector's disk: segments that wait for ClickHouse, halves, and what was put aside.
//!
//! The choice: a file is written anew without the subject's records, under its own name, or left as it is. Its id stays, so
//! that what had been inserted of it before is still found. A collector that runs holds its log: then only the quarantine
//! can be gone over, and the caller waits until the segments that lay there have been inserted.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use contract::wire::Observation;
use masking::{MaskedSample, Masker};
use rustix::fs::FlockOperation;
use store::erase::Subject;
use uuid::Uuid;

use crate::insert::for_each;
use crate::kserve::half::{NO_REQUEST, Side, half_id, of_whole};
use crate::log::disk::{Disk, Machine, write_whole};
use crate::log::{self, whole};
use crate::record::{self, Batch, Record};

/// What was done on the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Files from which something was taken.
    pub files: usize,
    /// Places that no record can be read from, and that hold nobody knows what.
    pub unreadable: usize,
}

/// A collector's folder.
#[derive(Debug)]
pub struct Folder {
    dir: PathBuf,
    /// Both logs are ours while this is held; `None`: a collector runs.
    locks: Option<Vec<std::fs::File>>,
}

impl Folder {
    /// Takes the folder where no collector has it.
    ///
    /// # Errors
    /// What the system said.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let mut locks = Vec::new();
        for log in [dir.to_owned(), dir.join("halves")] {
            if !log.join("lock").exists() {
                continue;
            }
            let file = std::fs::OpenOptions::new().write(true).open(log.join("lock"))?;
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => locks.push(file),
                Err(rustix::io::Errno::WOULDBLOCK) => return Ok(Self { dir: dir.to_owned(), locks: None }),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Self { dir: dir.to_owned(), locks: Some(locks) })
    }

    /// Whether a collector runs on it.
    #[must_use]
    pub const fn is_in_use(&self) -> bool {
        self.locks.is_none()
    }

    /// Segments that wait in the log of a collector that runs.
    ///
    /// # Errors
    /// What the system said.
    pub fn waiting(&self) -> io::Result<Vec<PathBuf>> {
        let mut all = list(&self.dir)?;
        all.extend(list(&self.dir.join("halves"))?);
        all.retain(|path| log::is_segment(path));
        Ok(all)
    }

    /// The ids under which a subject's requests lie in what may be gone over.
    ///
    /// # Errors
    /// What the system said.
    pub fn ids(&self, subject: &Subject, masker: &Masker) -> io::Result<Vec<Uuid>> {
        let is = |sample: &Observation| match subject {
            Subject::Client(names) => sample.client.as_ref().is_some_and(|client| names.contains(client)),
            Subject::Id(id) => {
                let lone = sample.reason.as_deref() == Some(NO_REQUEST);
                sample.id == *id || (lone && sample.trace_id.as_ref() == Some(&of_whole(*id)))
            }
        };
        let mut ids = Vec::new();
        for path in self.files()? {
            for_each(&Machine, &path, masker, |record| match record {
                Some(Record::Batch(batch)) => {
                    ids.extend(batch.observations.iter().filter(|sample| is(sample)).map(|sample| sample.id));
                }
                // its response lies under an id of its own
                Some(Record::Half(half)) if is(&half.observation) => {
                    ids.extend([half.observation.id, half_id(half.key, Side::Response)]);
                }
                _ => {}
            })?;
        }
        Ok(ids)
    }

    /// Takes the records of these requests out of every file that may be gone over.
    ///
    /// # Errors
    /// What the system said.
    pub fn erase(&self, ids: &HashSet<Uuid>, masker: &Masker) -> io::Result<Done> {
        let mut done = Done::default();
        for path in self.files()? {
            let (mut kept, mut found) = (Vec::new(), false);
            for_each(&Machine, &path, masker, |record| match record {
                Some(record) => {
                    let (left, changed) = without(record, ids);
                    found |= changed;
                    kept.extend(left);
                }
                None => done.unreadable += 1,
            })?;
            if found {
                done.files += 1;
                rewrite(&path, &kept)?;
            }
        }
        Ok(done)
    }

    fn files(&self) -> io::Result<Vec<PathBuf>> {
        let mut all = list(&self.dir.join("quarantine"))?;
        if !self.is_in_use() {
            all.extend(self.waiting()?);
        }
        all.retain(|path| is_ours(path));
        Ok(all)
    }
}

/// A segment, or the copy of a damaged one.
fn is_ours(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    log::is_segment(path) || name.ends_with(".segment.damaged")
}

/// A record without these requests, and whether it had any of them.
fn without(record: Record<MaskedSample>, ids: &HashSet<Uuid>) -> (Option<Record<MaskedSample>>, bool) {
    let (before, is_half) = (record.counts().total(), matches!(record, Record::Half(_)));
    let left = match record {
        Record::Batch(batch) => {
            let observations = batch.observations.into_iter().filter(|sample| !ids.contains(&sample.id)).collect();
            Record::Batch(Batch { observations, ..batch })
        }
        Record::Labels { received_at_ms, mut labels, key } => {
            labels.retain(|label| !ids.contains(&label.id));
            Record::Labels { received_at_ms, labels, key }
        }
        Record::Outcomes { received_at_ms, mut outcomes, key } => {
            outcomes.retain(|feedback| !ids.contains(&feedback.id));
            Record::Outcomes { received_at_ms, outcomes, key }
        }
        Record::Half(half) if ids.contains(&half.observation.id) => return (None, true),
        other => other,
    };
    let changed = !is_half && left.counts().total() != before;
    (Some(left), changed)
}

/// Writes a file anew; one with nothing left in it goes, with the reason beside it.
fn rewrite(path: &Path, kept: &[Record<MaskedSample>]) -> io::Result<()> {
    let nothing = |record: &Record<MaskedSample>| match record {
        Record::Batch(batch) => batch.observations.is_empty() && !batch.heartbeat,
        Record::Labels { labels, .. } => labels.is_empty(),
        Record::Outcomes { outcomes, .. } => outcomes.is_empty(),
        Record::Settled { halves } => halves.is_empty(),
        Record::Only { .. } => true,
        Record::Events { .. } | Record::Half(_) => false,
    };
    if kept.iter().all(nothing) {
        let _ = Machine.remove(&path.with_extension("reason"));
        return log::remove(&Machine, path);
    }
    let payloads: Result<Vec<Vec<u8>>, _> =
        kept.iter().map(|record| record::write(record).map(|p| p.payload)).collect();
    let (_, bytes) = whole(Path::new(""), Uuid::nil(), &payloads.map_err(io::Error::other)?);
    write_whole(&Machine, path, &bytes)
}

fn list(dir: &Path) -> io::Result<Vec<PathBuf>> {
    if dir.exists() { Machine.list(dir) } else { Ok(vec![]) }
}
