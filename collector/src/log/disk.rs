//! The file system under the log, as the few operations that the log needs of it.
//!
//! The choice: a trait as narrow as what must survive a loss of power, so that the model test can put a file system in
//! its place that forgets every byte and every name that was not synced. Folders are for their owner alone: what is in
//! them is masked, and still nobody else's.

use std::fmt::Debug;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// A file system.
pub(crate) trait Disk: Debug + Send + Sync {
    /// Makes a folder and those above it, durably; does nothing where it is.
    fn make_dir(&self, dir: &Path) -> io::Result<()>;
    /// The paths in a folder, in no order.
    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>>;
    /// Bytes in a file.
    fn length(&self, path: &Path) -> io::Result<u64>;
    /// All bytes of a file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// Makes an empty file; refuses where there is one.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file to write into it.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Gives a file another name; it takes the place of one that has it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Takes a file away; a file that is not there is away.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a folder durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// An open file.
pub(crate) trait DiskFile: Send {
    /// Writes all bytes at an offset.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Cuts the file at a length.
    fn cut(&mut self, length: u64) -> io::Result<()>;
    /// Makes the file's bytes durable; not its name.
    fn sync(&mut self) -> io::Result<()>;
}

/// Writes a whole file durably, bytes and name; it replaces one of the same name, and is never seen in part.
pub(crate) fn write_whole(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    disk.remove(&fresh)?;
    let mut file = disk.create(&fresh)?;
    file.write_at(0, bytes)?;
    file.sync()?;
    disk.rename(&fresh, path)?;
    path.parent().map_or(Ok(()), |dir| disk.sync_dir(dir))
}

/// The machine's own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Machine;

impl Disk for Machine {
    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        match fs::metadata(dir) {
            Ok(found) if found.is_dir() => return close_to_others(dir, found.permissions().mode()),
            Ok(_) => return Err(io::Error::new(io::ErrorKind::NotADirectory, dir.display().to_string())),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Err(_) => {}
        }
        let above = dir.parent().filter(|above| !above.as_os_str().is_empty());
        if let Some(above) = above.filter(|above| !above.exists()) {
            self.make_dir(above)?;
        }
        match DirBuilder::new().mode(0o700).create(dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        // the folder's own name is one more that a loss of power can take
        self.sync_dir(above.unwrap_or(Path::new(".")))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.path())).collect()
    }

    fn length(&self, path: &Path) -> io::Result<u64> {
        fs::metadata(path).map(|found| found.len())
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        Ok(Box::new(file))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OpenOptions::new().write(true).open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }
}

/// Others lose what rights they have; a group that was let in on purpose keeps them.
fn close_to_others(dir: &Path, mode: u32) -> io::Result<()> {
    if mode & 0o007 == 0 {
        return Ok(());
    }
    fs::set_permissions(dir, Permissions::from_mode(mode & 0o7770))
}

impl DiskFile for File {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, offset)?;
        self.flush()
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn sync(&mut self) -> io::Result<()> {
        // the length is part of what fdatasync makes durable
        self.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_else_can_look_into_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let deep = dir.path().join("a/b");
        Machine.make_dir(&deep).unwrap();
        assert_eq!((mode(&deep), mode(&dir.path().join("a"))), (0o700, 0o700));
        for (before, after) in [(0o755, 0o750), (0o777, 0o770), (0o750, 0o750)] {
            fs::set_permissions(&deep, Permissions::from_mode(before)).unwrap();
            Machine.make_dir(&deep).unwrap();
            assert_eq!(mode(&deep), after);
        }
        let file = deep.join("file");
        write_whole(&Machine, &file, b"one").unwrap();
        write_whole(&Machine, &file, b"two").unwrap();
        assert_eq!((fs::read(&file).unwrap(), mode(&file)), (b"two".to_vec(), 0o600));
        assert!(Machine.create(&file).is_err());
        assert_eq!(Machine.list(&deep).unwrap(), [file]);
    }
}
