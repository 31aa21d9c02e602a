//! The key that the proxy's mirror shows to the collector: made anew at each start, where the collector asks for one.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use host::auth::Scope;
use host::auth::keys::{self, KeyFile};

use crate::config::Loaded;

/// Its name in the collector's log and limits.
const NAME: &str = "driftline-up-mirror";

/// A key in two files: the secret for the one side, its hash for the other.
pub struct PrivateKey {
    token: PathBuf,
    known: PathBuf,
}

impl PrivateKey {
    /// Makes it, unless the collector is open or the configuration names a key for the mirror.
    ///
    /// # Errors
    /// Where the files cannot be written.
    pub fn make(loaded: &Loaded) -> anyhow::Result<Option<Self>> {
        let raw = &loaded.raw;
        if !raw.collector.edge.auth.is_on() || raw.proxy.mirror.collector.token_file.is_some() {
            return Ok(None);
        }
        let key = keys::generate(NAME, &[Scope::Ingest])?;
        let folder = raw.data_dir.join("keys");
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let this = Self { token: folder.join("mirror.token"), known: folder.join("mirror.toml") };
        write(&this.token, &key.secret)?;
        write(&this.known, &toml::to_string(&KeyFile { keys: vec![key.known] })?)?;
        Ok(Some(this))
    }

    /// The value of `token_file`.
    pub fn token_file(&self) -> String {
        quoted(&self.token)
    }

    /// The collector's key files with this one among them.
    pub fn known_in(&self, loaded: &Loaded) -> String {
        let files = loaded.raw.collector.edge.auth.key_files.iter().chain([&self.known]);
        let files: Vec<toml::Value> = files.map(|file| file.to_string_lossy().into_owned().into()).collect();
        toml::Value::from(files).to_string()
    }
}

/// A path as the value of `--set`.
pub fn quoted(path: &Path) -> String {
    toml::Value::from(path.to_string_lossy().as_ref()).to_string()
}

/// Writes a file that only its owner may read.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut open = std::fs::OpenOptions::new();
    open.write(true).create(true).truncate(true).mode(0o600);
    let written = open.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.with_context(|| format!("cannot write {}", path.display()))
}
