//! The marks on disk: two files, overwritten in turn, so that one of them is always whole.
//!
//! Overwriting in place needs no new room, and each file is kept at twice the length it needs: a disk that is full of
//! segments cannot keep them from being inserted. A file comes into being whole, so one that is there and cannot be read
//! was damaged; where that is so of both, what was stored before is not known, and [`Marks::doubt`] says what follows.

use std::io;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::disk::{self, Disk, DiskFile};
use super::frame::{self, Met, Reader};
use super::marks::Marks;

const NAMES: [&str; 2] = ["marks.0", "marks.1"];
/// Room that each file has from the first on.
const RESERVE_BYTES: usize = 256 << 10;

/// The two files.
pub(crate) struct Slots {
    files: [Box<dyn DiskFile>; 2],
    rooms: [usize; 2],
    generation: u64,
}

/// What was met where the marks should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recall {
    /// The folder is new.
    Fresh,
    /// At least one file was whole, and all is known.
    Known {
        /// The other was cut off in the writing, or damaged.
        torn: bool,
    },
    /// Neither file can be read.
    Damaged,
}

#[derive(Serialize)]
struct Written<'a> {
    generation: u64,
    marks: &'a Marks,
}

#[derive(Deserialize)]
struct Read {
    generation: u64,
    marks: Marks,
}

enum Slot {
    Absent,
    Damaged(Vec<u8>),
    Whole(Box<Read>, usize),
}

impl Slots {
    /// Opens or makes the files, and reads the newer whole one.
    pub fn open(
        disk: &Arc<dyn Disk>,
        dir: &Path,
        max_sources: usize,
        now_ms: i64,
    ) -> io::Result<(Self, Marks, Recall)> {
        let paths = NAMES.map(|name| dir.join(name));
        let slots = [read(&**disk, &paths[0])?, read(&**disk, &paths[1])?];
        let torn = slots.iter().any(|slot| matches!(slot, Slot::Damaged(_)));
        let whole = slots.iter().any(|slot| matches!(slot, Slot::Whole(..)));
        let recall = if whole {
            Recall::Known { torn }
        } else if torn {
            Recall::Damaged
        } else {
            Recall::Fresh
        };
        let (mut generation, mut marks) = (0, Marks::default());
        let mut rooms = [0; 2];
        for (slot, room) in slots.iter().zip(&mut rooms) {
            match slot {
                Slot::Whole(read, bytes) => {
                    *room = *bytes;
                    if read.generation >= generation {
                        (generation, marks) = (read.generation, read.marks.clone());
                    }
                }
                Slot::Damaged(bytes) => *room = bytes.len(),
                Slot::Absent => {}
            }
        }
        let mut marks = marks.recall(max_sources);
        if recall == Recall::Damaged {
            marks.doubt(now_ms);
            for (slot, path) in slots.iter().zip(&paths) {
                if let Slot::Damaged(bytes) = slot {
                    disk::write_whole(&**disk, &path.with_added_extension("damaged"), bytes)?;
                }
            }
        }
        for (i, (slot, path)) in slots.iter().zip(&paths).enumerate() {
            // in doubt the first is replaced at once: what is doubtful must outlive the next crash too
            if matches!(slot, Slot::Absent) || (recall == Recall::Damaged && i == 0) {
                let bytes = padded(written(generation, &marks)?, RESERVE_BYTES);
                disk::write_whole(&**disk, path, &bytes)?;
                rooms[i] = bytes.len();
            }
        }
        let files = [disk.open(&paths[0])?, disk.open(&paths[1])?];
        Ok((Self { files, rooms, generation }, marks, recall))
    }

    /// Writes the marks over the older file; durable when this returns.
    pub fn write(&mut self, marks: &Marks) -> io::Result<()> {
        let generation = self.generation + 1;
        let slot = usize::from(generation % 2 == 1);
        let bytes = written(generation, marks)?;
        let (file, room) = (&mut self.files[slot], &mut self.rooms[slot]);
        let scarce = bytes.len() * 2 > *room;
        let more = if scarce { bytes.len() * 4 } else { 0 };
        let bytes = padded(bytes, more);
        match file.write_at(0, &bytes) {
            Ok(()) => *room = (*room).max(bytes.len()),
            // more room is not to be had; what there is may do
            Err(_) if scarce => file.write_at(0, &bytes[..bytes.len() / 4])?,
            Err(error) => return Err(error),
        }
        file.sync()?;
        self.generation = generation;
        Ok(())
    }
}

fn written(generation: u64, marks: &Marks) -> io::Result<Vec<u8>> {
    let payload = rmp_serde::to_vec_named(&Written { generation, marks }).map_err(io::Error::other)?;
    let mut bytes = Vec::new();
    if frame::write(&payload, &mut bytes) { Ok(bytes) } else { Err(io::Error::other("the marks are too large")) }
}

fn padded(mut bytes: Vec<u8>, length: usize) -> Vec<u8> {
    bytes.resize(bytes.len().max(length), 0);
    bytes
}

fn read(disk: &dyn Disk, path: &Path) -> io::Result<Slot> {
    let bytes = match disk.read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Slot::Absent),
        Err(error) => return Err(error),
    };
    // what an earlier, longer writing left behind the frame is not looked at
    let read = match Reader::new(&bytes).next() {
        Some(Met::Frame(payload)) => rmp_serde::from_slice(payload).ok(),
        _ => None,
    };
    Ok(match read {
        Some(read) => Slot::Whole(Box::new(read), bytes.len()),
        None => Slot::Damaged(bytes),
    })
}

#[cfg(test)]
mod tests {
    use super::super::disk::Machine;
    use super::super::marks::{Guard, Seen};
    use super::*;

    fn open(dir: &Path) -> (Slots, Marks, Recall) {
        let disk: Arc<dyn Disk> = Arc::new(Machine);
        Slots::open(&disk, dir, 9, 5_000).unwrap()
    }

    fn guard(seq: u64) -> Guard {
        Guard::Numbered { source: "a".into(), epoch: 1, seq }
    }

    fn damage(path: &Path) {
        let mut bytes = std::fs::read(path).unwrap();
        bytes[20] ^= 1;
        std::fs::write(path, bytes).unwrap();
    }

    #[test]
    fn a_torn_writing_leaves_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let (mut slots, mut marks, recall) = open(dir.path());
        assert_eq!(recall, Recall::Fresh);
        for seq in 1..=3 {
            marks.note(&guard(seq), 0);
            slots.write(&marks).unwrap();
        }
        let (_, read, recall) = open(dir.path());
        assert_eq!((read.look(&guard(3), 0), recall), (Seen::Before, Recall::Known { torn: false }));
        // the third writing is in slot 1
        damage(&dir.path().join("marks.1"));
        let (mut slots, read, recall) = open(dir.path());
        assert_eq!(recall, Recall::Known { torn: true });
        assert_eq!(read.look(&guard(2), 0), Seen::Before);
        assert_eq!(read.look(&guard(3), 0), Seen::New);
        slots.write(&read).unwrap();
        assert_eq!(open(dir.path()).1.look(&guard(2), 0), Seen::Before);
    }

    #[test]
    fn two_damaged_files_are_kept_and_doubted_even_after_another_restart() {
        let dir = tempfile::tempdir().unwrap();
        let (mut slots, mut marks, _) = open(dir.path());
        for seq in 1..=3 {
            marks.note(&guard(seq), 0);
            slots.write(&marks).unwrap();
        }
        NAMES.iter().for_each(|name| damage(&dir.path().join(name)));
        let (_, _, recall) = open(dir.path());
        assert_eq!(recall, Recall::Damaged);
        assert!(dir.path().join("marks.0.damaged").exists() && dir.path().join("marks.1.damaged").exists());
        let (_, mut marks, recall) = open(dir.path());
        assert_eq!(recall, Recall::Known { torn: true });
        marks.meet(&guard(4), 0);
        assert_eq!(marks.look(&guard(4), 0), Seen::TooOld);
    }

    #[test]
    fn marks_that_grow_find_room_that_was_made_before() {
        let dir = tempfile::tempdir().unwrap();
        let (mut slots, mut marks, _) = open(dir.path());
        let length = || std::fs::metadata(dir.path().join("marks.1")).unwrap().len() as usize;
        assert_eq!(length(), RESERVE_BYTES);
        for id in 0..10_000 {
            marks.note(&Guard::Id(uuid::Uuid::from_u128(id)), 0);
        }
        let needed = written(1, &marks).unwrap().len();
        slots.write(&marks).unwrap();
        assert!(needed < RESERVE_BYTES && length() >= needed * 2, "{needed} of {}", length());
        assert_eq!(open(dir.path()).1.look(&Guard::Id(uuid::Uuid::from_u128(7)), 0), Seen::Before);
    }
}
