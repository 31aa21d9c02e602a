//! One supervisor a data folder: two would start two engines over the same files.
//!
//! The choice: an advisory lock on a file that says whose it is. It ends with the process, however that ended, so nothing is ever left
//! locked.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::Path;

use anyhow::Context as _;
use rustix::fs::{FlockOperation, flock};

/// The file's name.
const FILE: &str = "driftline.pid";

/// A data folder that nobody else runs in while this is held.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes a folder, which is made if it is absent.
    ///
    /// # Errors
    /// Where another process has it, with that one's id, or the folder cannot be written to.
    pub fn take(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join(FILE);
        let open = || {
            fs::create_dir_all(folder)?;
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)
        };
        let mut file = open().with_context(|| format!("cannot write {}", path.display()))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut pid = String::new();
                // a lock without a number is a moment old
                let _ = file.read_to_string(&mut pid);
                let folder = folder.display();
                anyhow::bail!(
                    "another driftline runs in {folder} (process {}); stop it, or give this one a `data_dir` of its own",
                    if pid.trim().is_empty() { "unknown" } else { pid.trim() }
                );
            }
            Err(error) => anyhow::bail!("cannot lock {}: {error}", path.display()),
        }
        let written = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        written.with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_taken_once_and_free_again_afterwards() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let folder = dir.path().join("data");
        let lock = Lock::take(&folder).expect("is free");
        let error = Lock::take(&folder).expect_err("is taken").to_string();
        assert!(error.contains(&format!("(process {})", std::process::id())), "{error}");
        drop(lock);
        Lock::take(&folder).expect("is free again");
    }
}
