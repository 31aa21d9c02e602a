//! A file system in memory that keeps only what was synced.
//!
//! At a crash every write since a file's last sync survives whole, in sectors, or not at all, and every name since its
//! folder's last sync survives or not, each for itself. A sync that fails takes its writes with it: no later sync brings
//! them to the disk, as on Linux. It can be made to fail, to be full, and to crash at any of its steps.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::log::disk::{Disk, DiskFile};

/// What survives of a write survives in these.
const SECTOR_BYTES: usize = 64;

/// The file system. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    files: Vec<File>,
    names: HashMap<PathBuf, usize>,
    synced_names: HashMap<PathBuf, usize>,
    pending_names: Vec<NameChange>,
    random: u64,
    /// Steps until it crashes.
    crash_in: Option<u32>,
    crashed: bool,
    /// Steps that fail.
    failing: u32,
    /// Bytes that all files may have.
    room: Option<usize>,
}

#[derive(Clone, Debug, Default)]
struct File {
    bytes: Vec<u8>,
    synced: Vec<u8>,
    pending: Vec<Change>,
    /// Were pending when a sync failed.
    doomed: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Cut(usize),
}

#[derive(Clone, Debug)]
struct NameChange {
    gone: Option<PathBuf>,
    come: Option<(PathBuf, usize)>,
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(at, new) => {
                bytes.resize(bytes.len().max(at + new.len()), 0);
                bytes[*at..at + new.len()].copy_from_slice(new);
            }
            Self::Cut(length) => bytes.resize(*length, 0),
        }
    }
}

impl NameChange {
    fn apply(&self, names: &mut HashMap<PathBuf, usize>) {
        if let Some(gone) = &self.gone {
            names.remove(gone);
        }
        if let Some((path, file)) = &self.come {
            names.insert(path.clone(), *file);
        }
    }

    fn is_in(&self, dir: &Path) -> bool {
        let path = self.come.as_ref().map(|(path, _)| path).or(self.gone.as_ref());
        path.and_then(|path| path.parent()) == Some(dir)
    }
}

impl State {
    /// xorshift64*, see Vigna, "An experimental exploration of Marsaglia's xorshift generators".
    fn chance(&mut self) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32
    }

    /// One step of what changes something.
    fn step(&mut self) -> io::Result<()> {
        if let Some(left) = &mut self.crash_in {
            *left = left.saturating_sub(1);
            self.crashed |= *left == 0;
        }
        if self.crashed {
            return Err(io::Error::other("the machine is off"));
        }
        if self.failing > 0 {
            self.failing -= 1;
            return Err(io::Error::other("the disk fails"));
        }
        Ok(())
    }

    fn survives(&mut self, change: &Change, bytes: &mut Vec<u8>) {
        match (self.chance() % 3, change) {
            (0, _) => {}
            (1, Change::Write(at, new)) => {
                for (i, sector) in new.chunks(SECTOR_BYTES).enumerate() {
                    if self.chance().is_multiple_of(2) {
                        Change::Write(at + i * SECTOR_BYTES, sector.to_vec()).apply(bytes);
                    }
                }
            }
            _ => change.apply(bytes),
        }
    }
}

impl Memory {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is left when the power comes back; the old one is of no use any more.
    pub fn after_crash(&self, seed: u64) -> Self {
        let mut state = self.state();
        state.random = seed.wrapping_mul(2).wrapping_add(1);
        for i in 0..state.files.len() {
            let mut bytes = std::mem::take(&mut state.files[i].synced);
            let changes = [&state.files[i].doomed[..], &state.files[i].pending[..]].concat();
            changes.iter().for_each(|change| state.survives(change, &mut bytes));
            state.files[i] = File { synced: bytes.clone(), bytes, ..File::default() };
        }
        let mut names = std::mem::take(&mut state.synced_names);
        for change in std::mem::take(&mut state.pending_names) {
            if state.chance().is_multiple_of(2) {
                change.apply(&mut names);
            }
        }
        let fresh =
            State { files: std::mem::take(&mut state.files), synced_names: names.clone(), names, ..State::default() };
        // whoever still holds the old one writes into nothing
        state.crashed = true;
        Self(Arc::new(Mutex::new(fresh)))
    }

    pub fn crash_in(&self, steps: u32) {
        self.state().crash_in = Some(steps);
    }

    pub fn crashed(&self) -> bool {
        self.state().crashed
    }

    pub fn fail(&self, steps: u32) {
        self.state().failing = steps;
    }

    /// Lets files grow by so many bytes more, or without end.
    pub fn limit(&self, more: Option<usize>) {
        let mut state = self.state();
        let taken: usize = state.files.iter().map(|file| file.bytes.len()).sum();
        state.room = more.map(|more| taken + more);
    }
}

impl Disk for Memory {
    fn make_dir(&self, _: &Path) -> io::Result<()> {
        self.state().step()
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        Ok(self.state().names.keys().filter(|path| path.parent() == Some(dir)).cloned().collect())
    }

    fn length(&self, path: &Path) -> io::Result<u64> {
        self.read(path).map(|bytes| bytes.len() as u64)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let state = self.state();
        let file = state.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(state.files[*file].bytes.clone())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        if state.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.step()?;
        let file = state.files.len();
        state.files.push(File::default());
        state.names.insert(path.to_owned(), file);
        state.pending_names.push(NameChange { gone: None, come: Some((path.to_owned(), file)) });
        Ok(Box::new(Opened { memory: self.clone(), file }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = *self.state().names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(Opened { memory: self.clone(), file }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.step()?;
        let file = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        let change = NameChange { gone: Some(from.to_owned()), come: Some((to.to_owned(), file)) };
        change.apply(&mut state.names);
        state.pending_names.push(change);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        if !state.names.contains_key(path) {
            return Ok(());
        }
        state.step()?;
        let change = NameChange { gone: Some(path.to_owned()), come: None };
        if let Some(file) = state.names.get(path).copied() {
            // its room is free again; what a crash brings back is brought back from what was synced
            state.files[file].bytes = Vec::new();
        }
        change.apply(&mut state.names);
        state.pending_names.push(change);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.step()?;
        let (done, rest) = std::mem::take(&mut state.pending_names).into_iter().partition(|change| change.is_in(dir));
        let done: Vec<NameChange> = done;
        done.iter().for_each(|change| change.apply(&mut state.synced_names));
        state.pending_names = rest;
        Ok(())
    }
}

struct Opened {
    memory: Memory,
    file: usize,
}

impl Opened {
    fn change(&self, state: &mut State, change: Change) {
        let file = &mut state.files[self.file];
        change.apply(&mut file.bytes);
        file.pending.push(change);
    }
}

impl DiskFile for Opened {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.memory.state();
        let at = offset as usize;
        let taken: usize = state.files.iter().map(|file| file.bytes.len()).sum();
        let grown = (at + bytes.len()).saturating_sub(state.files[self.file].bytes.len());
        let missing = state.room.map_or(0, |room| (taken + grown).saturating_sub(room)).min(grown);
        let fitting = bytes.len().saturating_sub(missing);
        let result = state.step();
        if result.is_ok() || state.crashed {
            self.change(&mut state, Change::Write(at, bytes[..fitting].to_vec()));
        }
        result?;
        if missing > 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        let mut state = self.memory.state();
        state.step()?;
        self.change(&mut state, Change::Cut(length as usize));
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.memory.state();
        let result = state.step();
        let crashed = state.crashed;
        let file = &mut state.files[self.file];
        if result.is_ok() {
            let pending = std::mem::take(&mut file.pending);
            pending.iter().for_each(|change| change.apply(&mut file.synced));
        } else if !crashed {
            let pending = std::mem::take(&mut file.pending);
            file.doomed.extend(pending);
        }
        result
    }
}
