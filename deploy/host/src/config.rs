//! From a TOML file to a checked configuration that lists all of its faults, not only the first.
//!
//! A service's `RawConfig` is what was typed; its `Config` is what is meant. On the way every fault is pushed to
//! [`Faults`] under the dotted name of its key.

use std::path::Path;

pub use contract::faults::{Fault, Faults};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Why a file is no configuration at all.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot be read.
    #[error("cannot read the configuration {path}: {source}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is not the TOML that is expected.
    #[error("{path} is not a valid configuration: {source}")]
    Invalid {
        /// The file.
        path: String,
        /// Line, column and what is wrong.
        source: Box<toml::de::Error>,
    },
}

/// Reads a TOML file.
///
/// # Errors
/// [`LoadError`] with the file's name, and line and column of what is wrong.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<T, LoadError> {
    let name = || path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|source| LoadError::Unreadable { path: name(), source })?;
    toml::from_str(&text).map_err(|source| LoadError::Invalid { path: name(), source: Box::new(source) })
}

/// A number of bytes, written as an integer or as `64KiB`, `64MiB`, `2GiB`, `10KB`, `10MB`, `1GB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(u64);

impl ByteSize {
    /// So many bytes.
    #[must_use]
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// So many mebibytes.
    #[must_use]
    pub const fn mib(mebibytes: u64) -> Self {
        Self(mebibytes * 1024 * 1024)
    }

    /// The number of bytes; `usize::MAX` where it does not fit.
    #[must_use]
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    fn parse(text: &str) -> Option<Self> {
        const UNITS: [(&str, u64); 7] = [
            ("KiB", 1 << 10),
            ("MiB", 1 << 20),
            ("GiB", 1 << 30),
            ("KB", 1_000),
            ("MB", 1_000_000),
            ("GB", 1_000_000_000),
            ("B", 1),
        ];
        let text = text.trim();
        let (digits, unit) =
            UNITS.iter().find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, *unit))).unwrap_or((text, 1));
        digits.trim().parse::<u64>().ok()?.checked_mul(unit).map(Self)
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Typed {
            Number(u64),
            Text(String),
        }
        match Typed::deserialize(deserializer)? {
            Typed::Number(bytes) => Ok(Self(bytes)),
            Typed::Text(text) => Self::parse(&text).ok_or_else(|| {
                de::Error::custom(format!("'{text}' is not a size; write 65536, \"64KiB\" or \"64MiB\""))
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_people_write_them() {
        for (text, bytes) in [("64KiB", 65_536), ("10KB", 10_000), ("2 GiB", 2 << 30), ("7", 7), ("7B", 7)] {
            assert_eq!(ByteSize::parse(text), Some(ByteSize(bytes)), "{text}");
        }
        for text in ["", "MiB", "1.5MiB", "-1", "99999999999GiB"] {
            assert_eq!(ByteSize::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_broken_file_says_where() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("driftline.toml");
        std::fs::write(&path, "a = 1\nb = [\n").unwrap();
        let error = load::<toml::Table>(&path).unwrap_err().to_string();
        assert!(error.contains("driftline.toml") && error.contains("line"), "{error}");
    }
}
