//! The `edge` section of a role: as typed, and as meant.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::reload::Reloaded;
use crate::auth::Authority;
use crate::auth::jwt::{RawJwt, Tokens};
use crate::auth::keys::{Keys, RawKey};
use crate::config::{ByteSize, Faults};
use crate::pace::Pace;
use crate::rate::{Quota, RawQuota};
use crate::tls::RawTls;

/// The `edge` section of a role, as typed. `[edge]` at the top of the file holds for all roles, `[proxy.edge]`,
/// `[collector.edge]` and `[analyzer.edge]` change it for one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawEdge {
    /// Whether others than this machine may connect without a key.
    pub allow_open: bool,
    /// Whether `/metrics` asks for no key; by default so on a loopback address, and where keys are off.
    pub metrics_open: Option<bool>,
    /// Connections beyond this number are closed.
    pub max_connections: usize,
    /// A request head with more bytes is answered 431.
    pub max_header_bytes: ByteSize,
    /// A request head with more lines is answered 431.
    pub max_headers: usize,
    /// A longer path with its query is answered 414.
    pub max_uri_bytes: ByteSize,
    /// A connection is closed that has sent no whole request head for so long, be it slow, idle or in a handshake.
    #[serde(with = "humantime_serde")]
    pub header_timeout: Duration,
    /// A request whose body stands still for so long is answered 408.
    #[serde(with = "humantime_serde")]
    pub body_timeout: Duration,
    /// The same after the first `body_timeout`, where fewer bytes a second came than this.
    pub body_min_bytes_per_second: ByteSize,
    /// Who may do what.
    pub auth: RawAuth,
    /// Requests a second a client; without it there is no limit.
    pub rate: Option<RawQuota>,
    /// Clients whose rates are remembered; past it the least recently seen is forgotten.
    pub rate_max_clients: u64,
    /// TLS; without it the role speaks plain HTTP.
    pub tls: Option<RawTls>,
}

impl Default for RawEdge {
    fn default() -> Self {
        Self {
            allow_open: false,
            metrics_open: None,
            max_connections: 4_096,
            max_header_bytes: ByteSize::new(64 << 10),
            max_headers: 100,
            max_uri_bytes: ByteSize::new(8 << 10),
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(10),
            body_min_bytes_per_second: ByteSize::new(1_024),
            auth: RawAuth::default(),
            rate: None,
            rate_max_clients: 10_000,
            tls: None,
        }
    }
}

/// Who may do what, as typed. Keys are on as soon as anything here is given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawAuth {
    /// Keys, by their hashes.
    pub keys: Vec<RawKey>,
    /// Files with more of them, read again when they change.
    pub key_files: Vec<PathBuf>,
    /// JSON Web Tokens.
    pub jwt: Option<RawJwt>,
}

impl RawAuth {
    /// Whether callers need a key.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.keys.is_empty() || !self.key_files.is_empty() || self.jwt.is_some()
    }

    pub(super) fn read(&self, key: &str, faults: &mut Faults) -> Authority {
        let keys = Keys::check(&self.keys, &self.key_files, key, faults);
        let tokens = self.jwt.as_ref().map(|jwt| Tokens::check(jwt, &format!("{key}.jwt"), faults));
        let sentence = "holds no key, so nobody could come in; make one with `driftline key new`";
        faults.check(!keys.is_empty() || tokens.is_some(), key, sentence);
        Authority { keys, tokens }
    }
}

/// The `edge` section of a role, checked, with its files read.
#[derive(Debug, Clone)]
pub struct EdgeConfig {
    pub(crate) max_connections: usize,
    pub(crate) max_header_bytes: usize,
    pub(crate) max_headers: usize,
    pub(crate) max_uri_bytes: usize,
    pub(crate) header_timeout: Duration,
    pub(super) pace: Pace,
    pub(super) metrics_open: bool,
    pub(super) files: Reloaded,
    pub(super) rate: Option<Quota>,
    pub(super) rate_max_clients: u64,
}

/// hyper reads at least so much before it judges a head.
const HEADER_BYTES_MIN: usize = 8 << 10;

impl RawEdge {
    /// Files that this reads, to make their paths absolute.
    pub fn files(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let auth = self.auth.key_files.iter_mut().chain(self.auth.jwt.iter_mut().flat_map(RawJwt::files));
        auth.chain(self.tls.iter_mut().flat_map(RawTls::files))
    }

    /// What is meant, for a role that listens there; faults are noted under `key`, as in `proxy.edge`.
    pub fn check(&self, key: &str, listen: SocketAddr, faults: &mut Faults) -> EdgeConfig {
        let at = |name: &str| format!("{key}.{name}");
        let (loopback, keys_on) = (listen.ip().is_loopback(), self.auth.is_on());
        let sentence = format!(
            "is off, and {listen} can be reached by others: give keys (edge.auth, `driftline key new` makes one), or \
             write edge.allow_open = true if something in front keeps others out"
        );
        faults.check(loopback || keys_on || self.allow_open, at("auth"), sentence);
        self.check_limits(key, faults);
        let rate = self.rate.as_ref().and_then(|rate| Quota::check(rate, &at("rate"), faults));
        EdgeConfig {
            max_connections: self.max_connections,
            max_header_bytes: self.max_header_bytes.bytes(),
            max_headers: self.max_headers,
            max_uri_bytes: self.max_uri_bytes.bytes(),
            header_timeout: self.header_timeout,
            pace: Pace { silence: self.body_timeout, bytes_per_second: self.body_min_bytes_per_second.bytes() as u64 },
            metrics_open: self.metrics_open.unwrap_or(loopback || !keys_on),
            files: Reloaded::check(self, key, faults),
            rate,
            rate_max_clients: self.rate_max_clients,
        }
    }

    fn check_limits(&self, key: &str, faults: &mut Faults) {
        let at = |name: &str| format!("{key}.{name}");
        faults.check((1..=1 << 20).contains(&self.max_connections), at("max_connections"), "must be 1 to 1048576");
        let head = self.max_header_bytes.bytes();
        faults.check((HEADER_BYTES_MIN..=16 << 20).contains(&head), at("max_header_bytes"), "must be 8KiB to 16MiB");
        faults.check((1..=10_000).contains(&self.max_headers), at("max_headers"), "must be 1 to 10000");
        let path = self.max_uri_bytes.bytes();
        faults.check((64..=65_534).contains(&path), at("max_uri_bytes"), "must be 64 to 65534");
        for (name, time) in [("header_timeout", self.header_timeout), ("body_timeout", self.body_timeout)] {
            faults.check(!time.is_zero(), at(name), "must be longer than 0s");
        }
        faults.check(self.rate_max_clients >= 1, at("rate_max_clients"), "must be at least 1");
    }
}
