//! Segment files: `<id>.segment`, eight bytes that say so, then frames.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use uuid::Uuid;

use super::Sealed;
use super::disk::{Disk, DiskFile};
use super::frame::{self, Met, Reader};
use super::marks::Marks;
use super::ready::Held;
use crate::metrics::Metrics;
use crate::record::{self, Record};

/// What a segment's file name ends with.
pub(crate) const SEGMENT_SUFFIX: &str = "segment";
/// Begins every segment; the digit is the format's version.
const MAGIC: &[u8; 8] = b"DLsegm1\n";

/// The segment that takes entries.
pub(super) struct Open {
    pub id: Uuid,
    pub path: PathBuf,
    pub observations: u64,
    pub rows: u64,
    /// Bytes of its records before compression.
    pub plain: u64,
    pub begun: Instant,
    /// The rows of all that is in it, unless some are not in memory.
    pub ready: Option<Held>,
    file: Box<dyn DiskFile>,
    /// What is durable.
    good: u64,
    /// Whether bytes past `good` may be in the file.
    dirty: bool,
}

impl Open {
    /// Makes a segment under an id that is never used again; it and its name are durable when this returns.
    pub fn create(disk: &Arc<dyn Disk>, dir: &Path, ready: Held) -> io::Result<Self> {
        let id = Uuid::now_v7();
        let path = path_of(dir, id);
        let mut file = disk.create(&path)?;
        let written = file.write_at(0, MAGIC).and_then(|()| file.sync()).and_then(|()| disk.sync_dir(dir));
        if let Err(error) = written {
            // without a frame in it nobody misses it
            let _ = disk.remove(&path);
            return Err(error);
        }
        let good = MAGIC.len() as u64;
        let begun = Instant::now();
        Ok(Self { id, path, observations: 0, rows: 0, plain: 0, begun, ready: Some(ready), file, good, dirty: false })
    }

    pub fn bytes(&self) -> u64 {
        self.good
    }

    /// Writes frames; all of them are durable when this returns, or none will be read.
    pub fn commit(&mut self, frames: &[u8]) -> io::Result<()> {
        self.restore()?;
        self.dirty = true;
        self.file.write_at(self.good, frames)?;
        self.file.sync()?;
        self.good += frames.len() as u64;
        self.dirty = false;
        Ok(())
    }

    /// Takes away what a failed write may have left: its posts were not acknowledged and will come again.
    pub fn restore(&mut self) -> io::Result<()> {
        if self.dirty {
            self.file.cut(self.good)?;
            self.file.sync()?;
            self.dirty = false;
        }
        Ok(())
    }

    pub fn seal(self) -> Sealed {
        let Self { id, path, observations, good, ready, .. } = self;
        let ready = ready.map(Held::seal);
        Sealed { id, path, bytes: good, observations, recovered: false, since: Instant::now(), ready }
    }
}

fn path_of(dir: &Path, id: Uuid) -> PathBuf {
    dir.join(format!("{id}.{SEGMENT_SUFFIX}"))
}

/// The id in a segment's path; `None` of any other file.
fn id_of(path: &Path) -> Option<Uuid> {
    let id = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| Uuid::parse_str(stem).ok());
    id.filter(|_| path.extension().is_some_and(|e| e == SEGMENT_SUFFIX))
}

/// Whether a file is a segment by its name.
pub(crate) fn is_segment(path: &Path) -> bool {
    id_of(path).is_some()
}

/// Finds the segments that an earlier process left, oldest first: cuts torn tails off, counts damaged frames, and notes
/// what is in them. A file that is no segment of ours is left alone.
pub(super) fn recover(disk: &dyn Disk, dir: &Path, marks: &mut Marks, metrics: &Metrics) -> io::Result<Vec<Sealed>> {
    let mut found = Vec::new();
    for path in disk.list(dir)? {
        if let Some(id) = id_of(&path) {
            found.push((id, path));
        }
    }
    found.sort();
    let mut sealed = Vec::new();
    for (id, path) in found {
        let (bytes, observations) = recover_one(disk, &path, marks, metrics)?;
        if bytes <= MAGIC.len() as u64 {
            remove(disk, &path)?;
        } else {
            sealed.push(Sealed { id, path, bytes, observations, recovered: true, since: Instant::now(), ready: None });
        }
    }
    disk.sync_dir(dir)?;
    Ok(sealed)
}

/// Repairs one segment; its bytes and observations.
fn recover_one(disk: &dyn Disk, path: &Path, marks: &mut Marks, metrics: &Metrics) -> io::Result<(u64, u64)> {
    let bytes = disk.read(path)?;
    if bytes.len() > MAGIC.len() && !bytes.starts_with(MAGIC) {
        // the beginning is durable before any frame is: damaged, or of another version, and perhaps acknowledged
        let aside = path.with_extension("segment.unknown");
        tracing::error!(path = %aside.display(), "a segment of the log does not begin like one; it is kept under this name");
        metrics.repaired("unreadable");
        disk.rename(path, &aside)?;
        return Ok((0, 0));
    }
    let frames = bytes.strip_prefix(MAGIC).unwrap_or_default();
    let mut observations = 0;
    let mut length = bytes.len();
    for met in Reader::new(frames) {
        match met {
            Met::Frame(payload) => match record::read(payload) {
                Ok(record) => observations += note(&record, marks),
                // the inserter puts it aside with its reason
                Err(_) => metrics.repaired("unreadable"),
            },
            Met::Corrupt { bytes } => {
                tracing::error!(path = %path.display(), bytes, "a damaged frame in the log is skipped");
                metrics.repaired("corrupt");
            }
            Met::Torn { at } => {
                length = MAGIC.len() + at;
                tracing::info!(path = %path.display(), bytes = bytes.len() - length, "a torn write is cut off the log");
                metrics.repaired("torn");
            }
        }
    }
    if !bytes.starts_with(MAGIC) {
        length = 0;
        if !bytes.is_empty() {
            metrics.repaired("torn");
        }
    }
    if length < bytes.len() {
        let mut file = disk.open(path)?;
        file.cut(length as u64)?;
        file.sync()?;
    }
    Ok((length as u64, observations))
}

fn note(record: &Record<contract::wire::Observation>, marks: &mut Marks) -> u64 {
    marks.note(&record.guard(), record.received_at_ms());
    record.counts().observations
}

/// What is in a segment's file, whatever it is.
pub(crate) fn frames(bytes: &[u8]) -> Reader<'_> {
    Reader::new(bytes.strip_prefix(MAGIC).unwrap_or_default())
}

/// Deletes a segment for good.
pub(crate) fn remove(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    disk.remove(path)?;
    path.parent().map_or(Ok(()), |dir| disk.sync_dir(dir))
}

/// Where a whole segment goes in a folder, and its bytes.
pub(crate) fn whole(dir: &Path, id: Uuid, payloads: &[Vec<u8>]) -> (PathBuf, Vec<u8>) {
    let mut bytes = MAGIC.to_vec();
    for payload in payloads {
        frame::write(payload, &mut bytes);
    }
    (path_of(dir, id), bytes)
}
