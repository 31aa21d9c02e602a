//! The `[collector]` section: as typed, and as meant.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use host::config::{ByteSize, Faults};
use host::gate::{EdgeConfig, RawEdge};
use serde::Deserialize;

pub use crate::kserve::config::{KserveConfig, RawKserve, RawModel};
use crate::log::Kept;
pub use crate::names::{NamesConfig, RawNames};

/// The `[collector]` section, as typed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawConfig {
    /// Where posts, metrics and health are served; port 0 picks one.
    pub listen: String,
    /// Connections, keys, TLS, rates.
    pub edge: RawEdge,
    /// The log between acknowledgement and ClickHouse.
    pub log: RawLog,
    /// From the log into ClickHouse.
    pub insert: RawInsert,
    /// What a post may be.
    pub limits: RawLimits,
    /// What KServe's payload loggers send.
    pub kserve: RawKserve,
    /// Who finds the names that are masked.
    pub names: RawNames,
    /// How long open posts and the last segments may take at the stop; what is left stays in the log.
    #[serde(with = "humantime_serde")]
    pub drain: Duration,
}

impl Default for RawConfig {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8090".to_owned(),
            edge: RawEdge::default(),
            log: RawLog::default(),
            insert: RawInsert::default(),
            limits: RawLimits::default(),
            kserve: RawKserve::default(),
            names: RawNames::default(),
            drain: Duration::from_secs(10),
        }
    }
}

/// The log, as typed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawLog {
    /// Its folder, on a disk of this machine; relative to `data_dir`.
    pub dir: PathBuf,
    /// More than this is refused with 503, until ClickHouse has taken a tenth.
    pub max_bytes: ByteSize,
    /// A segment of this size, before compression, is closed and inserted.
    pub segment_max_bytes: ByteSize,
    /// A segment of this age is closed and inserted: how late a row shows.
    #[serde(with = "humantime_serde")]
    pub segment_max_age: Duration,
    /// A segment of this many rows in one table is closed and inserted.
    pub segment_max_rows: u64,
    /// A segment that waits for ClickHouse for this long makes the log `backlogged`.
    #[serde(with = "humantime_serde")]
    pub backlog_after: Duration,
}

impl Default for RawLog {
    fn default() -> Self {
        Self {
            dir: "collector".into(),
            max_bytes: ByteSize::mib(2048),
            segment_max_bytes: ByteSize::mib(32),
            segment_max_age: Duration::from_secs(1),
            segment_max_rows: 500_000,
            backlog_after: Duration::from_secs(30),
        }
    }
}

/// From the log into ClickHouse, as typed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawInsert {
    /// Segments that are built and inserted at once; each holds some times `log.segment_max_bytes`.
    pub segments: usize,
    /// What rows that ClickHouse refuses may take on disk; past it their segment waits, until somebody has made room.
    pub quarantine_max_bytes: ByteSize,
    /// Memory for rows that are ready before their segment is inserted; the segments of more are read back from the log.
    pub ready_max_bytes: ByteSize,
}

impl Default for RawInsert {
    fn default() -> Self {
        Self { segments: 2, quarantine_max_bytes: ByteSize::mib(1024), ready_max_bytes: ByteSize::mib(256) }
    }
}

/// What a post may be, as typed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawLimits {
    /// Bytes of a body as it comes; more is answered 413.
    pub max_body_bytes: ByteSize,
    /// Bytes that a body takes in memory, decompressed and read; more is answered 413.
    pub max_decoded_bytes: ByteSize,
    /// Bytes that all open posts may hold together; a post that finds nothing left is answered 503.
    pub max_posts_bytes: ByteSize,
    /// Observations or labels in a post; more is answered 413.
    pub max_items: usize,
    /// Posts at once; more are answered 503 with `Retry-After`.
    pub max_posts: usize,
    /// Sources whose numbers are remembered; a new one takes the place of one that was silent for an hour.
    pub max_sources: usize,
    /// An observation older than this is refused: its rows would pass their time to live at once.
    #[serde(with = "humantime_serde")]
    pub max_age: Duration,
    /// An observation from further ahead than this is refused: its sender's clock is wrong.
    #[serde(with = "humantime_serde")]
    pub max_ahead: Duration,
    /// A post that takes longer is answered 408.
    #[serde(with = "humantime_serde")]
    pub request_timeout: Duration,
}

impl Default for RawLimits {
    fn default() -> Self {
        Self {
            max_body_bytes: ByteSize::mib(16),
            max_decoded_bytes: ByteSize::mib(128),
            max_posts_bytes: ByteSize::mib(512),
            max_items: 10_000,
            max_posts: 32,
            max_sources: 1_000,
            max_age: Duration::from_secs(28 * 24 * 3600),
            max_ahead: Duration::from_secs(3600),
            request_timeout: Duration::from_secs(30),
        }
    }
}

/// The `[collector]` section, checked.
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) edge: EdgeConfig,
    pub(crate) log: LogConfig,
    pub(crate) insert: InsertConfig,
    pub(crate) limits: Limits,
    pub(crate) kserve: KserveConfig,
    pub(crate) names: Option<NamesConfig>,
    pub(crate) drain: Duration,
}

/// The log, checked.
#[derive(Clone, Debug)]
pub struct LogConfig {
    pub(crate) kept: Kept,
    pub(crate) dir: PathBuf,
    pub(crate) max_bytes: u64,
    pub(crate) segment_max_bytes: u64,
    pub(crate) segment_max_age: Duration,
    pub(crate) segment_max_rows: u64,
    pub(crate) backlog_after: Duration,
    pub(crate) max_sources: usize,
    /// The end of `max_bytes` that only urgent entries may use.
    pub(crate) spare_bytes: u64,
    /// Memory that ready rows may take.
    pub(crate) ready_max_bytes: usize,
}

impl LogConfig {
    /// The log of halves, in a folder of this one.
    pub(crate) fn of_halves(&self, kserve: &KserveConfig) -> Self {
        Self {
            kept: Kept::Halves,
            dir: self.dir.join("halves"),
            max_bytes: kserve.max_bytes,
            segment_max_bytes: (kserve.max_bytes / 8).min(8 << 20),
            spare_bytes: kserve.max_bytes / 8,
            // halves make no rows
            ready_max_bytes: 0,
            ..self.clone()
        }
    }
}

/// From the log into ClickHouse, checked.
#[derive(Clone, Debug)]
pub struct InsertConfig {
    pub(crate) segments: usize,
    pub(crate) quarantine_max_bytes: u64,
}

/// What a post may be, checked.
#[derive(Clone, Debug)]
pub struct Limits {
    pub(crate) max_body_bytes: usize,
    pub(crate) max_decoded_bytes: usize,
    pub(crate) max_posts_bytes: usize,
    pub(crate) max_items: usize,
    pub(crate) max_posts: usize,
    pub(crate) max_age: Duration,
    pub(crate) max_ahead: Duration,
    pub(crate) request_timeout: Duration,
}

impl TryFrom<RawConfig> for Config {
    type Error = Faults;

    fn try_from(raw: RawConfig) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        let listen = host::config::address(&raw.listen).unwrap_or_else(|sentence| {
            faults.push("collector.listen", sentence);
            SocketAddr::from(([127, 0, 0, 1], 0))
        });
        let edge = raw.edge.check("collector.edge", listen, &mut faults);
        let log = log(raw.log, raw.limits.max_sources, raw.insert.ready_max_bytes.bytes(), &mut faults);
        let insert = insert(&raw.insert, &mut faults);
        let limits = limits(&raw.limits, &mut faults);
        let kserve = raw.kserve.check(&mut faults);
        let names = raw.names.check(&mut faults);
        faults.check(
            limits.max_decoded_bytes as u64 <= log.max_bytes / 2,
            "collector.log.max_bytes",
            "is under twice limits.max_decoded_bytes, so that one post could fill the log",
        );
        faults.result(Self { listen, edge, log, insert, limits, kserve, names, drain: raw.drain })
    }
}

fn log(raw: RawLog, max_sources: usize, ready_max_bytes: usize, faults: &mut Faults) -> LogConfig {
    let config = LogConfig {
        kept: Kept::Observations,
        dir: raw.dir,
        max_bytes: raw.max_bytes.bytes() as u64,
        segment_max_bytes: raw.segment_max_bytes.bytes() as u64,
        segment_max_age: raw.segment_max_age,
        segment_max_rows: raw.segment_max_rows,
        backlog_after: raw.backlog_after,
        max_sources,
        spare_bytes: 0,
        ready_max_bytes,
    };
    let mut check = |holds, key: &str, sentence| faults.check(holds, format!("collector.log.{key}"), sentence);
    check(!config.dir.as_os_str().is_empty(), "dir", "is empty; name a folder");
    check(config.segment_max_bytes >= 4096, "segment_max_bytes", "is under 4KiB, which is a segment a post");
    check(
        config.max_bytes >= config.segment_max_bytes.saturating_mul(4),
        "max_bytes",
        "is under four segments, so that the log is full before ClickHouse has one",
    );
    check(
        (Duration::from_millis(10)..=Duration::from_secs(3600)).contains(&config.segment_max_age),
        "segment_max_age",
        "is not between 10ms and 1h",
    );
    check(
        (1..=1_000_000).contains(&config.segment_max_rows),
        "segment_max_rows",
        "is not between 1 and 1000000, the rows that ClickHouse takes as one block",
    );
    check(!config.backlog_after.is_zero(), "backlog_after", "is 0; every segment would be late");
    config
}

fn insert(raw: &RawInsert, faults: &mut Faults) -> InsertConfig {
    let config = InsertConfig { segments: raw.segments, quarantine_max_bytes: raw.quarantine_max_bytes.bytes() as u64 };
    let mut check = |holds, key: &str, sentence| faults.check(holds, format!("collector.insert.{key}"), sentence);
    check((1..=64).contains(&config.segments), "segments", "is not between 1 and 64");
    check(config.quarantine_max_bytes > 0, "quarantine_max_bytes", "is 0; the first refused row would stop everything");
    config
}

fn limits(raw: &RawLimits, faults: &mut Faults) -> Limits {
    let config = Limits {
        max_body_bytes: raw.max_body_bytes.bytes(),
        max_decoded_bytes: raw.max_decoded_bytes.bytes(),
        max_posts_bytes: raw.max_posts_bytes.bytes(),
        max_items: raw.max_items,
        max_posts: raw.max_posts,
        max_age: raw.max_age,
        max_ahead: raw.max_ahead,
        request_timeout: raw.request_timeout,
    };
    let mut check = |holds, key: &str, sentence| faults.check(holds, format!("collector.limits.{key}"), sentence);
    check(config.max_body_bytes > 0, "max_body_bytes", "is 0; nothing could be posted");
    check(
        config.max_decoded_bytes >= config.max_body_bytes,
        "max_decoded_bytes",
        "is under limits.max_body_bytes, so that plain bodies would be refused",
    );
    check(
        config.max_posts_bytes >= config.max_decoded_bytes.saturating_mul(2).saturating_add(config.max_body_bytes),
        "max_posts_bytes",
        "is under limits.max_body_bytes and twice limits.max_decoded_bytes, so that one post could never be taken",
    );
    check(config.max_items > 0, "max_items", "is 0; nothing could be posted");
    check(config.max_posts > 0, "max_posts", "is 0; nothing could be posted");
    check(raw.max_sources > 0, "max_sources", "is 0; nobody could post");
    check(!config.max_age.is_zero(), "max_age", "is 0; every observation would be too old");
    check(!config.request_timeout.is_zero(), "request_timeout", "is 0; every post would be late");
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_hold_and_every_fault_is_listed() {
        Config::try_from(RawConfig::default()).unwrap();
        let mut raw = RawConfig { listen: "here".into(), ..RawConfig::default() };
        raw.log.max_bytes = ByteSize::mib(1);
        raw.limits.max_items = 0;
        raw.limits.max_posts_bytes = ByteSize::mib(100);
        raw.insert.segments = 0;
        let faults = Config::try_from(raw).unwrap_err();
        assert_eq!(faults.len(), 6, "{faults}");
        let text = faults.to_string();
        assert!(text.contains("collector.listen: 'here'") && text.contains("collector.limits.max_items"), "{text}");
    }
}
