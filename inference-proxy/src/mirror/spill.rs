//! Batches on disk, while the collector is away: masked, packed and numbered as they would have been posted.
//!
//! Files of frames (length, CRC-32C, head, body) in a folder that only its owner can read, replayed in order and
//! deleted as they are done with. How far a file has been replayed is not written down: after a restart it is
//! replayed from its start, under the numbers it was first posted under, and the collector tells repeats from news.

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::tally::Tally;

/// Where batches go, and how many bytes of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The folder.
    pub dir: PathBuf,
    /// Bytes of all files together.
    pub max_bytes: u64,
}

/// What a frame says of its body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Number of the batch.
    pub seq: u64,
    /// When it was closed.
    pub closed_at_ms: i64,
    /// What the batch holds.
    pub tally: Tally,
}

/// The files, oldest first.
#[derive(Debug)]
pub struct Spill {
    config: Config,
    files: VecDeque<Segment>,
    next: u64,
    /// Held as long as this process uses the folder.
    _lock: File,
}

/// One file.
#[derive(Debug)]
struct Segment {
    path: PathBuf,
    file: File,
    bytes: u64,
    /// Where the oldest frame begins that is not done with.
    front: u64,
    /// Frames from there on.
    left: usize,
}

/// A file that has reached this size takes no more frames.
const SEGMENT_BYTES: u64 = 8 << 20;
/// Two lengths and a checksum.
const PREFIX: usize = 12;
/// No batch is as long: a longer length is damage.
const FRAME_BYTES_MAX: u32 = 1 << 30;

impl Spill {
    /// Opens the folder and reads what an earlier process left there; a torn or damaged tail of a file is cut off.
    ///
    /// # Errors
    /// Where the folder cannot be made, read or locked.
    pub fn open(config: Config) -> io::Result<(Self, Vec<Head>)> {
        DirBuilder::new().recursive(true).mode(0o700).create(&config.dir)?;
        fs::set_permissions(&config.dir, fs::Permissions::from_mode(0o700))?;
        let lock = OpenOptions::new().write(true).create(true).truncate(false).open(config.dir.join("lock"))?;
        lock.try_lock().map_err(|error| io::Error::other(format!("another process uses it: {error}")))?;
        let mut names: Vec<u64> = fs::read_dir(&config.dir)?.filter_map(|entry| number(&entry.ok()?.path())).collect();
        names.sort_unstable();
        let next = names.last().map_or(1, |last| last + 1);
        let (mut files, mut heads) = (VecDeque::new(), vec![]);
        for name in names {
            let (segment, found) = recover(path(&config.dir, name))?;
            if found.is_empty() {
                fs::remove_file(&segment.path)?;
            } else {
                heads.extend(found);
                files.push_back(segment);
            }
        }
        Ok((Self { config, files, next, _lock: lock }, heads))
    }

    /// Bytes on disk.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|segment| segment.bytes).sum()
    }

    /// Writes a batch behind the others and syncs it; `false` where it would be past the bound.
    ///
    /// # Errors
    /// Where the disk refuses; what was written of it is cut off.
    pub fn push(&mut self, head: &Head, body: &[u8]) -> io::Result<bool> {
        let frame = frame(head, body)?;
        let length = frame.len() as u64;
        if self.bytes() + length > self.config.max_bytes {
            return Ok(false);
        }
        if self.files.back().is_none_or(|last| last.bytes >= SEGMENT_BYTES) {
            let path = path(&self.config.dir, self.next);
            let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
            self.next += 1;
            self.files.push_back(Segment { path, file, bytes: 0, front: 0, left: 0 });
        }
        let Some(last) = self.files.back_mut() else { return Ok(false) };
        let written = last.file.write_all_at(&frame, last.bytes).and_then(|()| last.file.sync_data());
        if let Err(error) = written {
            last.file.set_len(last.bytes)?;
            return Err(error);
        }
        last.bytes += length;
        last.left += 1;
        Ok(true)
    }

    /// The oldest batch that is not done with.
    ///
    /// # Errors
    /// Where the disk does not give back what was written.
    pub fn front(&self) -> io::Result<Option<(Head, Bytes)>> {
        let Some(first) = self.files.front() else { return Ok(None) };
        let read = read(&first.file, first.front)?;
        let (head, body, _) = read.ok_or_else(|| io::Error::other(format!("{} is damaged", first.path.display())))?;
        Ok(Some((head, body.into())))
    }

    /// The oldest batch is done with; and with it, where it cannot be read, the rest of its file. Gives how many were.
    pub fn pop(&mut self) -> usize {
        let Some(first) = self.files.front_mut() else { return 0 };
        let end = read(&first.file, first.front).ok().flatten().map(|(_, _, end)| end);
        let done = if end.is_some() { 1 } else { first.left };
        first.left -= done;
        first.front = end.unwrap_or(first.bytes);
        if first.left == 0 {
            if let Err(error) = fs::remove_file(&first.path) {
                tracing::error!(%error, "a spilled file cannot be deleted; it will be replayed after a restart");
            }
            self.files.pop_front();
        }
        done
    }
}

fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:012}.spill"))
}

fn number(path: &Path) -> Option<u64> {
    path.extension().filter(|extension| *extension == "spill")?;
    path.file_stem()?.to_str()?.parse().ok()
}

/// Length of the head, length of the body, checksum of both lengths and all that follows.
fn frame(head: &Head, body: &[u8]) -> io::Result<Vec<u8>> {
    let head = rmp_serde::to_vec(head).map_err(io::Error::other)?;
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(io::Error::other);
    let mut frame = Vec::with_capacity(PREFIX + head.len() + body.len());
    frame.extend(length(&head)?.to_le_bytes());
    frame.extend(length(body)?.to_le_bytes());
    let checksum = crc32c::crc32c_append(crc32c::crc32c_append(crc32c::crc32c(&frame), &head), body);
    frame.extend(checksum.to_le_bytes());
    frame.extend(head);
    frame.extend(body);
    Ok(frame)
}

/// The frame at a place, and where it ends; `None` where there is no sound one.
fn read(file: &File, at: u64) -> io::Result<Option<(Head, Vec<u8>, u64)>> {
    let mut prefix = [0; PREFIX];
    let room = file.metadata()?.len().saturating_sub(at);
    if room < PREFIX as u64 {
        return Ok(None);
    }
    file.read_exact_at(&mut prefix, at)?;
    let number = |n: usize| u32::from_le_bytes([prefix[n], prefix[n + 1], prefix[n + 2], prefix[n + 3]]);
    let (head, body, checksum) = (number(0), number(4), number(8));
    let length = u64::from(head) + u64::from(body);
    if head > FRAME_BYTES_MAX || body > FRAME_BYTES_MAX || room < PREFIX as u64 + length {
        return Ok(None);
    }
    let mut rest = Vec::new();
    let mut from = file;
    from.seek(SeekFrom::Start(at + PREFIX as u64))?;
    from.take(length).read_to_end(&mut rest)?;
    if crc32c::crc32c_append(crc32c::crc32c(&prefix[..8]), &rest) != checksum {
        return Ok(None);
    }
    let body = rest.split_off(head as usize);
    let head = rmp_serde::from_slice(&rest).ok();
    Ok(head.map(|head| (head, body, at + PREFIX as u64 + length)))
}

fn recover(path: PathBuf) -> io::Result<(Segment, Vec<Head>)> {
    let file = OpenOptions::new().read(true).write(true).open(&path)?;
    let (mut bytes, mut heads) = (0, vec![]);
    while let Some((head, _, end)) = read(&file, bytes)? {
        heads.push(head);
        bytes = end;
    }
    let lost = file.metadata()?.len() - bytes;
    if lost > 0 {
        tracing::warn!(file = %path.display(), bytes = lost, "the end of a spilled file is torn and is cut off");
        file.set_len(bytes)?;
    }
    Ok((Segment { path, file, bytes, front: 0, left: heads.len() }, heads))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn head(seq: u64) -> Head {
        Head { seq, closed_at_ms: 5, tally: Tally { observations: seq, ..Tally::default() } }
    }

    fn config(dir: &Path, max_bytes: u64) -> Config {
        Config { dir: dir.join("spill"), max_bytes }
    }

    fn all(spill: &mut Spill) -> Vec<(u64, Vec<u8>)> {
        let mut found = vec![];
        while let Some((head, body)) = spill.front().unwrap() {
            found.push((head.seq, body.to_vec()));
            spill.pop();
        }
        found
    }

    #[test]
    fn what_goes_in_comes_out_in_order_also_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let body = vec![7; 3 << 20];
        let (mut spill, left) = Spill::open(config(folder.path(), 1 << 30)).unwrap();
        assert_eq!(left, []);
        for seq in 1..=8 {
            assert!(spill.push(&head(seq), &body).unwrap());
        }
        assert!(spill.files.len() > 2, "files are of a bounded size");
        assert!(Spill::open(config(folder.path(), 1)).unwrap_err().to_string().contains("another process"));
        assert_eq!(spill.front().unwrap().unwrap().0, head(1));
        spill.pop();
        drop(spill);
        let (mut spill, left) = Spill::open(config(folder.path(), 1 << 30)).unwrap();
        assert_eq!(left, (1..=8).map(head).collect::<Vec<_>>(), "the first file is replayed from its start");
        assert!(spill.push(&head(9), b"new").unwrap());
        let found = all(&mut spill);
        assert_eq!(found.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), (1..=9).collect::<Vec<_>>());
        assert_eq!((found[7].1.len(), found[8].1.as_slice(), spill.bytes()), (body.len(), &b"new"[..], 0));
        let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(folder.path().join("spill")), 0o700);
    }

    #[test]
    fn the_bound_is_a_bound() {
        let folder = tempfile::tempdir().unwrap();
        let (mut spill, _) = Spill::open(config(folder.path(), 2_500)).unwrap();
        assert!(spill.push(&head(1), &[1; 1_000]).unwrap() && spill.push(&head(2), &[2; 1_000]).unwrap());
        assert!(!spill.push(&head(3), &[3; 1_000]).unwrap());
        assert!(spill.bytes() <= 2_500);
        assert_eq!(all(&mut spill).len(), 2);
        assert!(spill.push(&head(4), &[4; 1_000]).unwrap(), "room comes back");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Whatever a kill or a disk does to the end of a file, the batches before it are there, and none that was not.
        #[test]
        fn a_damaged_tail_costs_no_more_than_itself(cut in 0_usize..3_000, flip in any::<prop::sample::Index>()) {
            let folder = tempfile::tempdir().unwrap();
            let (mut spill, _) = Spill::open(config(folder.path(), 1 << 20)).unwrap();
            for seq in 1..=5 {
                spill.push(&head(seq), &vec![u8::try_from(seq).unwrap(); 500]).unwrap();
            }
            let file = spill.files[0].path.clone();
            drop(spill);
            let mut bytes = fs::read(&file).unwrap();
            bytes.truncate(bytes.len().saturating_sub(cut).max(1));
            let place = flip.index(bytes.len());
            bytes[place] ^= 0x40;
            fs::write(&file, &bytes).unwrap();
            let (mut spill, left) = Spill::open(config(folder.path(), 1 << 20)).unwrap();
            prop_assert_eq!(&left, &(1..=left.len() as u64).map(head).collect::<Vec<_>>());
            prop_assert!(left.len() < 5);
            for (seq, body) in all(&mut spill) {
                prop_assert_eq!(body, vec![u8::try_from(seq).unwrap(); 500]);
            }
        }
    }
}
