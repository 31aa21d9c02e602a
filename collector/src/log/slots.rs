//! The marks on disk: two files, overwritten in turn, so that one of them is always whole.
//!
//! Overwriting in place needs no new room, so that a disk that is full cannot keep segments from being inserted.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::frame::{self, Met, Reader};
use super::marks::Marks;

const NAMES: [&str; 2] = ["marks.0", "marks.1"];

/// The two files.
pub(super) struct Slots {
    files: [File; 2],
    generation: u64,
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

impl Slots {
    /// Opens or makes the files, and reads the newer whole one.
    pub fn open(dir: &Path, max_sources: usize) -> io::Result<(Self, Marks)> {
        let newest = NAMES.iter().filter_map(|name| read(&dir.join(name))).max_by_key(|read| read.generation);
        let (generation, marks) = newest.map_or_else(Default::default, |read| (read.generation, read.marks));
        let file = |name| OpenOptions::new().create(true).truncate(false).write(true).open(dir.join(name));
        let files = [file(NAMES[0])?, file(NAMES[1])?];
        super::sync_dir(dir)?;
        Ok((Self { files, generation }, marks.recall(max_sources)))
    }

    /// Writes the marks over the older file; durable when this returns.
    pub fn write(&mut self, marks: &Marks) -> io::Result<()> {
        let generation = self.generation + 1;
        let payload = rmp_serde::to_vec_named(&Written { generation, marks }).map_err(io::Error::other)?;
        let mut bytes = Vec::new();
        if !frame::write(&payload, &mut bytes) {
            return Err(io::Error::other("the marks are too large"));
        }
        let file = &mut self.files[usize::from(generation % 2 == 1)];
        file.rewind()?;
        file.write_all(&bytes)?;
        file.sync_data()?;
        self.generation = generation;
        Ok(())
    }
}

fn read(path: &Path) -> Option<Read> {
    let bytes = std::fs::read(path).ok()?;
    // what an earlier, longer writing left behind the frame is not looked at
    match Reader::new(&bytes).next()? {
        Met::Frame(payload) => rmp_serde::from_slice(payload).ok(),
        Met::Corrupt { .. } | Met::Torn { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::marks::{Guard, Seen};
    use super::*;

    #[test]
    fn a_torn_writing_leaves_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let guard = |seq| Guard::Numbered { source: "a".into(), epoch: 1, seq };
        let (mut slots, mut marks) = Slots::open(dir.path(), 9).unwrap();
        for seq in 1..=3 {
            marks.note(&guard(seq), 0);
            slots.write(&marks).unwrap();
        }
        let (_, read) = Slots::open(dir.path(), 9).unwrap();
        assert_eq!(read.look(&guard(3), 0), Seen::Before);
        // the third writing is in slot 1
        let path = dir.path().join("marks.1");
        let mut bytes = std::fs::read(&path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let (mut slots, read) = Slots::open(dir.path(), 9).unwrap();
        assert_eq!(read.look(&guard(2), 0), Seen::Before);
        assert_eq!(read.look(&guard(3), 0), Seen::New);
        slots.write(&read).unwrap();
        assert_eq!(Slots::open(dir.path(), 9).unwrap().1.look(&guard(2), 0), Seen::Before);
    }
}
