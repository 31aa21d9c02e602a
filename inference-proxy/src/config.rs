//! The proxy's configuration: what was typed ([`RawConfig`], the only place with defaults), and what is meant.

mod naming;
mod shadowing;
mod source;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use host::client::RawNeighbour;
use host::config::{ByteSize, Faults};
use host::gate::{EdgeConfig, RawEdge};
use serde::{Deserialize, Serialize};

use crate::cache::{self, RawCache};
use crate::mirror;
use crate::model::{ModelsConfig, RawModelsConfig};
use crate::observe::sampling::Sampling;
use crate::room;
use crate::spans::{self, RawTraces};
pub use naming::RawNames;
pub use shadowing::{RawShadowing, Shadowing};
use source::{SOURCE_RULE, host_name, is_source};

/// The `[proxy]` section as typed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawConfig {
    /// Address to listen on; port 0 takes a free one.
    #[serde(deserialize_with = "host::config::listen")]
    pub listen: SocketAddr,
    /// Address to speak gRPC on, behind the same `edge`; without it gRPC is off.
    #[serde(deserialize_with = "host::config::listen_maybe")]
    pub grpc: Option<SocketAddr>,
    /// A request that has no answer by then gets 504.
    #[serde(with = "humantime_serde")]
    pub request_timeout: Duration,
    /// A larger request body gets 413.
    pub max_body_bytes: ByteSize,
    /// Bytes of all request bodies that are open at one time; a request past it gets 429. A compressed one counts as
    /// `max_body_bytes`.
    pub max_open_body_bytes: ByteSize,
    /// Requests beyond this number at one time get 429.
    pub max_concurrent_requests: usize,
    /// A stream of gRPC on which nothing comes for so long is ended.
    #[serde(with = "humantime_serde")]
    pub max_stream_idle: Duration,
    /// Threads that read requests and write answers; half of the processors without it. Every one that is woken for
    /// nothing takes a processor from the sessions.
    pub request_threads: Option<usize>,
    /// How long open requests may go on after the signal to stop.
    #[serde(with = "humantime_serde")]
    pub drain: Duration,
    /// Key of client pseudonyms; without it nothing about clients is kept.
    pub client_key: Option<String>,
    /// Share of the requests that ended well which leave a line in the log, 0 to 100; those that did not always do.
    pub access_log_percent: f64,
    /// Whether `/metrics` has Triton's names too (`nv_inference_*`, `nv_cache_*`).
    pub triton_metrics: bool,
    /// Connections, keys, TLS, rates.
    pub edge: RawEdge,
    /// Models and how they run.
    pub models: RawModelsConfig,
    /// Answers that are given again.
    pub cache: RawCache,
    /// How shadows run.
    pub shadow: RawShadowing,
    /// Which content is kept.
    pub sampling: RawSampling,
    /// Which model finds the names that are masked.
    pub names: RawNames,
    /// Where observations go.
    pub mirror: RawMirror,
    /// Where traces go.
    pub traces: RawTraces,
}

impl Default for RawConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8000)),
            grpc: None,
            request_timeout: Duration::from_secs(10),
            max_body_bytes: ByteSize::mib(16),
            max_open_body_bytes: ByteSize::mib(1_024),
            max_concurrent_requests: 1_024,
            max_stream_idle: Duration::from_secs(600),
            request_threads: None,
            drain: Duration::from_secs(15),
            client_key: None,
            access_log_percent: 0.0,
            triton_metrics: false,
            edge: RawEdge::default(),
            models: RawModelsConfig::default(),
            cache: RawCache::default(),
            shadow: RawShadowing::default(),
            sampling: RawSampling::default(),
            names: RawNames::default(),
            mirror: RawMirror::default(),
            traces: RawTraces::default(),
        }
    }
}

/// Which content is kept, as typed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawSampling {
    /// Share of ordinary requests whose content is kept, 0 to 100.
    pub percent: f64,
    /// Keep the content of every request that ended badly.
    pub keep_errors: bool,
    /// Keep where some item's confidence is below this; 0 for never.
    pub keep_confidence_below: f64,
    /// Keep where a shadow gave another label.
    pub keep_disagreements: bool,
    /// Keep where the request took longer than this.
    #[serde(with = "humantime_serde")]
    pub keep_slower_than: Option<Duration>,
    /// Content larger than this is withheld.
    pub max_content_bytes: ByteSize,
}

impl Default for RawSampling {
    fn default() -> Self {
        Self {
            percent: 100.0,
            keep_errors: true,
            keep_confidence_below: 0.5,
            keep_disagreements: true,
            keep_slower_than: None,
            max_content_bytes: ByteSize::mib(1),
        }
    }
}

/// Where observations go, as typed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawMirror {
    /// Base URL of the collector; without it requests are answered and counted, and nothing is mirrored.
    pub collector_url: Option<String>,
    /// What the collector asks for: a key, certificates.
    pub collector: RawNeighbour,
    /// Who sends, stable over restarts; default: this host's name.
    pub source: Option<String>,
    /// Bytes that waiting observations may hold; past it new ones are dropped and counted.
    pub max_bytes: ByteSize,
    /// Bytes one observation may hold.
    pub max_observation_bytes: ByteSize,
    /// Most observations in a post.
    pub batch_max_observations: usize,
    /// Most bytes in a post, before compression.
    pub batch_max_bytes: ByteSize,
    /// How long an observation waits for company.
    #[serde(with = "humantime_serde")]
    pub batch_max_delay: Duration,
    /// An idle mirror posts an empty batch this often.
    #[serde(with = "humantime_serde")]
    pub heartbeat: Duration,
    /// Threads that compute features and mask.
    pub masking_threads: usize,
    /// Most posts on their way at one time.
    pub max_posts: usize,
    /// Masked batches go to disk while the collector is away.
    pub spill: RawSpill,
    /// How long one post may take before its outcome is called unknown.
    #[serde(with = "humantime_serde")]
    pub post_timeout: Duration,
    /// First wait between posts of one batch; doubles.
    #[serde(with = "humantime_serde")]
    pub retry_min: Duration,
    /// Longest wait between posts of one batch.
    #[serde(with = "humantime_serde")]
    pub retry_max: Duration,
    /// How long the mirror may go on delivering after the last request; what is then left is dropped and counted.
    #[serde(with = "humantime_serde")]
    pub drain: Duration,
}

impl Default for RawMirror {
    fn default() -> Self {
        Self {
            collector_url: None,
            collector: RawNeighbour::default(),
            source: None,
            max_bytes: ByteSize::mib(64),
            max_observation_bytes: ByteSize::mib(4),
            batch_max_observations: 500,
            batch_max_bytes: ByteSize::mib(4),
            batch_max_delay: Duration::from_millis(200),
            heartbeat: Duration::from_secs(1),
            masking_threads: 2,
            max_posts: 4,
            spill: RawSpill::default(),
            post_timeout: Duration::from_secs(10),
            retry_min: Duration::from_millis(100),
            retry_max: Duration::from_secs(5),
            drain: Duration::from_secs(10),
        }
    }
}

/// Where masked batches go while the collector is away, as typed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawSpill {
    /// A folder of its own, on a disk that outlives the process; without it batches wait in memory.
    pub dir: Option<PathBuf>,
    /// Bytes of all its files.
    pub max_bytes: ByteSize,
}

impl Default for RawSpill {
    fn default() -> Self {
        Self { dir: None, max_bytes: ByteSize::mib(1_024) }
    }
}

/// The proxy's configuration, checked.
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) grpc: Option<SocketAddr>,
    pub(crate) limits: Limits,
    pub(crate) drain: Duration,
    pub(crate) client_key: Option<Vec<u8>>,
    pub(crate) access_log_share: f64,
    pub(crate) triton_metrics: bool,
    pub(crate) edge: EdgeConfig,
    pub(crate) models: ModelsConfig,
    pub(crate) cache: Option<cache::Config>,
    pub(crate) shadow: Shadowing,
    pub(crate) sampling: Sampling,
    pub(crate) names: Option<mirror::naming::Config>,
    pub(crate) mirror: Option<mirror::Config>,
    pub(crate) traces: Option<spans::Config>,
    pub(crate) mirror_drain: Duration,
}

/// Limits of the edge.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub(crate) request_timeout: Duration,
    pub(crate) max_body_bytes: usize,
    /// At least the largest body.
    pub(crate) max_open_body_bytes: usize,
    pub(crate) max_concurrent_requests: usize,
    pub(crate) max_stream_idle: Duration,
}

/// A semaphore of tokio holds no more permits than this.
const MAX_CONCURRENT: usize = 1 << 20;

/// More threads than this are a typing error.
const MAX_THREADS: usize = 1_024;
/// Nor this, in units of [`room::UNIT`]: 256 GiB.
const MAX_ROOM: usize = 1 << 28;
/// A shorter key can be guessed.
const MIN_KEY_BYTES: usize = 16;

impl RawConfig {
    /// What is meant.
    ///
    /// # Errors
    /// All faults, each under the name of its key in the file.
    pub fn check(self) -> Result<Config, Faults> {
        let mut faults = Faults::default();
        let Self { max_concurrent_requests, request_timeout, .. } = self;
        faults.check(!request_timeout.is_zero(), "proxy.request_timeout", "must be longer than 0s");
        faults.check(!self.max_stream_idle.is_zero(), "proxy.max_stream_idle", "must be longer than 0s");
        faults.check(self.max_body_bytes.bytes() > 0, "proxy.max_body_bytes", "must be at least 1");
        let (body, open) = (self.max_body_bytes.bytes(), self.max_open_body_bytes.bytes());
        let holds = open >= body && open / room::UNIT <= MAX_ROOM;
        faults.check(holds, "proxy.max_open_body_bytes", "must be at least max_body_bytes, and at most 256 GiB");
        faults.check(
            (1..=MAX_CONCURRENT).contains(&max_concurrent_requests),
            "proxy.max_concurrent_requests",
            format!("must be from 1 to {MAX_CONCURRENT}"),
        );
        let threads = (1..=MAX_THREADS).contains(&self.request_threads());
        faults.check(threads, "proxy.request_threads", format!("must be from 1 to {MAX_THREADS}"));
        let short = self.client_key.as_ref().is_some_and(|key| key.len() < MIN_KEY_BYTES);
        faults.check(!short, "proxy.client_key", format!("must have at least {MIN_KEY_BYTES} bytes"));
        let percent = self.access_log_percent;
        faults.check((0.0..=100.0).contains(&percent), "proxy.access_log_percent", "must be from 0 to 100");
        let mirror_drain = self.mirror.drain;
        // judged by the address of the two that more can reach
        let exposed = self.grpc.filter(|grpc| !grpc.ip().is_loopback()).unwrap_or(self.listen);
        let config = Config {
            listen: self.listen,
            grpc: self.grpc,
            limits: Limits {
                request_timeout,
                max_body_bytes: body,
                max_open_body_bytes: open.clamp(1, MAX_ROOM * room::UNIT),
                max_concurrent_requests: max_concurrent_requests.clamp(1, MAX_CONCURRENT),
                max_stream_idle: self.max_stream_idle,
            },
            drain: self.drain,
            client_key: self.client_key.map(String::into_bytes),
            access_log_share: self.access_log_percent / 100.0,
            triton_metrics: self.triton_metrics,
            edge: self.edge.check("proxy.edge", exposed, &mut faults),
            models: self.models.check("proxy.models", &mut faults),
            cache: self.cache.check("proxy.cache", &mut faults),
            shadow: self.shadow.check(max_concurrent_requests, &mut faults),
            sampling: self.sampling.check(&mut faults),
            names: self.names.check(&mut faults),
            mirror: self.mirror.check(&mut faults),
            traces: self.traces.check(&mut faults),
            mirror_drain,
        };
        faults.result(config)
    }
}

impl RawConfig {
    /// Threads that read requests and write answers.
    #[must_use]
    pub fn request_threads(&self) -> usize {
        let half = || std::thread::available_parallelism().map_or(1, |all| (all.get() / 2).clamp(1, MAX_THREADS));
        self.request_threads.unwrap_or_else(half)
    }
}

impl RawSampling {
    fn check(&self, faults: &mut Faults) -> Sampling {
        faults.check((0.0..=100.0).contains(&self.percent), "proxy.sampling.percent", "must be from 0 to 100");
        let below = self.keep_confidence_below;
        faults.check((0.0..=1.0).contains(&below), "proxy.sampling.keep_confidence_below", "must be from 0 to 1");
        Sampling {
            share: self.percent / 100.0,
            errors: self.keep_errors,
            confidence_below: below,
            disagreements: self.keep_disagreements,
            slower_than: self.keep_slower_than,
            max_content_bytes: self.max_content_bytes.bytes(),
        }
    }
}

impl RawMirror {
    fn check(self, faults: &mut Faults) -> Option<mirror::Config> {
        for (bytes, key) in [
            (self.max_bytes, "proxy.mirror.max_bytes"),
            (self.max_observation_bytes, "proxy.mirror.max_observation_bytes"),
            (self.batch_max_bytes, "proxy.mirror.batch_max_bytes"),
            (self.spill.max_bytes, "proxy.mirror.spill.max_bytes"),
        ] {
            faults.check(bytes.bytes() > 0, key, "must be at least 1");
        }
        let count = self.batch_max_observations;
        faults.check((1..=100_000).contains(&count), "proxy.mirror.batch_max_observations", "must be 1 to 100000");
        for (time, key) in [
            (self.heartbeat, "proxy.mirror.heartbeat"),
            (self.post_timeout, "proxy.mirror.post_timeout"),
            (self.retry_min, "proxy.mirror.retry_min"),
        ] {
            faults.check(!time.is_zero(), key, "must be longer than 0s");
        }
        faults.check(self.retry_min <= self.retry_max, "proxy.mirror.retry_max", "must not be below retry_min");
        let few = |n: usize, most: usize| (1..=most).contains(&n);
        faults.check(few(self.masking_threads, 64), "proxy.mirror.masking_threads", "must be from 1 to 64");
        // the collector takes what lags further behind for lost
        faults.check(few(self.max_posts, 8), "proxy.mirror.max_posts", "must be from 1 to 8");
        let source = self.source.unwrap_or_else(host_name);
        faults.check(is_source(&source), "proxy.mirror.source", SOURCE_RULE);
        let collector_url = self.collector_url?.trim_end_matches('/').to_owned();
        let url = reqwest::Url::parse(&collector_url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let sentence = "must be an http:// or https:// URL, as in http://127.0.0.1:8100";
        faults.check(url.is_some_and(|url| url.has_host()), "proxy.mirror.collector_url", sentence);
        let collector = self.collector.check(&collector_url, "proxy.mirror.collector", faults);
        Some(mirror::Config {
            collector_url,
            collector,
            source,
            max_bytes: self.max_bytes.bytes(),
            max_observation_bytes: self.max_observation_bytes.bytes(),
            batch_max_observations: count.max(1),
            batch_max_bytes: self.batch_max_bytes.bytes(),
            batch_max_delay: self.batch_max_delay,
            heartbeat: self.heartbeat,
            masking_threads: self.masking_threads,
            max_posts: self.max_posts,
            spill: self
                .spill
                .dir
                .map(|dir| mirror::spill::Config { dir, max_bytes: self.spill.max_bytes.bytes() as u64 }),
            post_timeout: self.post_timeout,
            retry_min: self.retry_min,
            retry_max: self.retry_max.max(self.retry_min),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_have_no_fault_and_mirror_nothing() {
        let config = RawConfig::default().check().unwrap();
        assert!(config.mirror.is_none());
        assert_eq!(config.shadow.shed_from, 512);
    }

    #[test]
    fn a_file_reads_as_people_write_it() {
        let raw: RawConfig = toml::from_str(
            r#"
            listen = "127.0.0.1:0"
            request_timeout = "250ms"
            max_body_bytes = "1MiB"
            [models]
            models_dir = "models"
            [mirror]
            collector_url = "http://127.0.0.1:8100/"
            source = "proxy-1"
            [sampling]
            keep_slower_than = "1s"
            "#,
        )
        .unwrap();
        let config = raw.check().unwrap();
        let mirror = config.mirror.unwrap();
        assert_eq!((mirror.collector_url.as_str(), mirror.source.as_str()), ("http://127.0.0.1:8100", "proxy-1"));
        assert_eq!(config.limits.max_body_bytes, 1 << 20);
        assert_eq!(config.sampling.slower_than, Some(Duration::from_secs(1)));
    }

    #[test]
    fn a_grpc_address_that_others_can_reach_needs_keys() {
        let raw: RawConfig = toml::from_str("grpc = '0.0.0.0:8001'").unwrap();
        let told = raw.check().unwrap_err().to_string();
        assert!(told.contains("proxy.edge.auth") && told.contains("0.0.0.0:8001 can be reached by others"), "{told}");
        assert!(toml::from_str::<RawConfig>("grpc = '127.0.0.1:0'").unwrap().check().is_ok());
    }

    #[test]
    fn every_fault_is_listed() {
        let raw: RawConfig = toml::from_str(
            r#"
            request_timeout = "0s"
            max_concurrent_requests = 0
            request_threads = 0
            client_key = "short"
            [shadow]
            shed_above = 2
            [sampling]
            percent = 101
            [mirror]
            collector_url = "ftp://collector"
            source = "two words"
            batch_max_observations = 0
            retry_min = "9s"
            "#,
        )
        .unwrap();
        let text = raw.check().unwrap_err().to_string();
        for key in [
            "proxy.request_timeout:",
            "proxy.max_concurrent_requests:",
            "proxy.request_threads:",
            "proxy.client_key:",
            "proxy.shadow.shed_above:",
            "proxy.sampling.percent:",
            "proxy.mirror.collector_url:",
            "proxy.mirror.source:",
            "proxy.mirror.batch_max_observations:",
            "proxy.mirror.retry_max:",
        ] {
            assert!(text.contains(key), "{key} is not in:\n{text}");
        }
        assert_eq!(text.lines().count(), 10, "{text}");
    }

    #[test]
    fn a_mistyped_key_is_refused() {
        let error = toml::from_str::<RawConfig>("[mirror]\ncolector_url = 'x'").unwrap_err().to_string();
        assert!(error.contains("colector_url"), "{error}");
    }
}
