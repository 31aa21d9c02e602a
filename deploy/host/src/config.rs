//! From a TOML file to a checked configuration that lists all of its faults, not only the first.
//!
//! A service's `RawConfig` is what was typed; its `Config` is what is meant. On the way every fault is pushed to
//! [`Faults`] under the dotted name of its key.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::Path;

pub use contract::faults::{Fault, Faults};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Why a file is no configuration at all.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It is not there.
    #[error("there is no file {path}")]
    Absent {
        /// The file.
        path: String,
    },
    /// It cannot be read.
    #[error("cannot read the configuration {path}: {source}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is not the TOML that is expected.
    #[error("{path}, line {line}, column {column}: {what}")]
    Invalid {
        /// The file.
        path: String,
        /// From 1.
        line: usize,
        /// In characters, from 1.
        column: usize,
        /// What is wrong there.
        what: String,
    },
}

/// Reads a TOML file.
///
/// # Errors
/// [`LoadError`] with the file's name, and line and column of what is wrong.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<T, LoadError> {
    let name = || path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => LoadError::Absent { path: name() },
        _ => LoadError::Unreadable { path: name(), source },
    })?;
    toml::from_str(&text).map_err(|error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line_before = before.rsplit('\n').next().unwrap_or_default();
        let what = error.message().replace('\n', ", ");
        let (line, column) = (before.matches('\n').count() + 1, line_before.chars().count() + 1);
        LoadError::Invalid { path: name(), line, column, what }
    })
}

/// An address to listen on, as typed: `127.0.0.1:8080`, `[::1]:8080`, or with a name of this machine, of whose addresses
/// the first of IPv4 is taken.
///
/// # Errors
/// One sentence with what was typed and what to write.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let wrong = || format!("'{text}' is no address to listen on; write it as in 127.0.0.1:8080 or localhost:8080");
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let named = !host.is_empty() && !host.contains(['/', ':', '[', ' ']);
    if !named || port.parse::<u16>().is_err() {
        return Err(wrong());
    }
    let unknown = |error| format!("'{text}' is no address to listen on: the name {host} is not known ({error})");
    let found: Vec<SocketAddr> = text.to_socket_addrs().map_err(unknown)?.collect();
    found.iter().find(|address| address.is_ipv4()).or(found.first()).copied().ok_or_else(wrong)
}

/// Reads an [`address`]; for `#[serde(deserialize_with)]`.
///
/// # Errors
/// Its sentence.
pub fn listen<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    address(&String::deserialize(deserializer)?).map_err(de::Error::custom)
}

/// The same where there may be none.
///
/// # Errors
/// As [`listen`].
pub fn listen_maybe<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| address(&text)).transpose().map_err(de::Error::custom)
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
        assert!(error.contains("driftline.toml, line ") && error.lines().count() == 1, "{error}");
        let error = load::<toml::Table>(&dir.path().join("no.toml")).unwrap_err().to_string();
        assert!(error.starts_with("there is no file ") && error.ends_with("no.toml"), "{error}");
    }

    #[test]
    fn an_address_may_have_a_name_and_a_wrong_one_says_what_to_write() {
        assert_eq!(address("[::1]:80"), Ok("[::1]:80".parse().unwrap()));
        let local = address("localhost:8080").unwrap();
        assert!(local.ip().is_loopback() && local.port() == 8080, "{local}");
        for text in ["", "here", "8080", ":8080", "127.0.0.1", "127.0.0.1:x", "localhost:99999", "http://localhost:80"]
        {
            let sentence = address(text).unwrap_err();
            assert!(
                sentence.contains(&format!("'{text}' is no address")) && sentence.contains("127.0.0.1:8080"),
                "{sentence}"
            );
        }
    }
}
