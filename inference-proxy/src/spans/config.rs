//! The `[proxy.traces]` section: as typed, and as meant.

use std::time::Duration;

use host::client::{ClientSettings, RawNeighbour};
use host::config::Faults;
use serde::{Deserialize, Serialize};

/// Where traces go and which are kept, as typed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawTraces {
    /// Base URL of a receiver of OTLP over HTTP, as in `http://127.0.0.1:4318`; without it no traces are made.
    pub otlp_url: Option<String>,
    /// What the receiver asks for: a token, certificates.
    pub receiver: RawNeighbour,
    /// What this proxy is called in traces.
    pub service_name: String,
    /// Share of the ordinary requests whose traces are kept, 0 to 100; those that ended badly always are.
    pub percent: f64,
    /// Keep where the caller's trace says that it is kept there.
    pub follow_callers: bool,
    /// Keep where the request took longer than this.
    #[serde(with = "humantime_serde")]
    pub keep_slower_than: Option<Duration>,
    /// Traces that may wait; one more is dropped and counted.
    pub max_waiting: usize,
    /// Most traces in a post.
    pub batch_max_traces: usize,
    /// How long a trace waits for company.
    #[serde(with = "humantime_serde")]
    pub batch_max_delay: Duration,
    /// How long one post may take.
    #[serde(with = "humantime_serde")]
    pub post_timeout: Duration,
}

impl Default for RawTraces {
    fn default() -> Self {
        Self {
            otlp_url: None,
            receiver: RawNeighbour::default(),
            service_name: "driftline-proxy".to_owned(),
            percent: 1.0,
            follow_callers: true,
            keep_slower_than: Some(Duration::from_secs(1)),
            max_waiting: 4_096,
            batch_max_traces: 256,
            batch_max_delay: Duration::from_secs(1),
            post_timeout: Duration::from_secs(5),
        }
    }
}

/// Where traces go and which are kept.
#[derive(Clone, Debug)]
pub struct Config {
    pub(super) url: String,
    pub(super) receiver: ClientSettings,
    pub(super) service_name: String,
    pub(super) keeping: Keeping,
    pub(super) max_waiting: usize,
    pub(super) batch_max: usize,
    pub(super) batch_max_delay: Duration,
}

/// Which traces are kept.
#[derive(Clone, Copy, Debug)]
pub struct Keeping {
    /// Of ordinary requests, 0 to 1.
    pub share: f64,
    /// Those that are kept by who called.
    pub follow_callers: bool,
    /// Those that took so long.
    pub slower_than: Option<Duration>,
}

/// Traces that may wait, at most.
const MAX_WAITING: usize = 1 << 20;

impl RawTraces {
    /// What is meant; nothing where there is nowhere to send.
    pub(crate) fn check(self, faults: &mut Faults) -> Option<Config> {
        faults.check((0.0..=100.0).contains(&self.percent), "proxy.traces.percent", "must be from 0 to 100");
        for (n, most, key) in [
            (self.max_waiting, MAX_WAITING, "proxy.traces.max_waiting"),
            (self.batch_max_traces, 10_000, "proxy.traces.batch_max_traces"),
        ] {
            faults.check((1..=most).contains(&n), key, format!("must be from 1 to {most}"));
        }
        faults.check(!self.post_timeout.is_zero(), "proxy.traces.post_timeout", "must be longer than 0s");
        let base = self.otlp_url?.trim_end_matches('/').to_owned();
        let url = reqwest::Url::parse(&base).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let sentence = "must be an http:// or https:// URL without a password or a query, as in http://127.0.0.1:4318";
        // it stands in log lines
        let plain = |url: reqwest::Url| {
            url.has_host() && url.username().is_empty() && url.password().is_none() && url.query().is_none()
        };
        faults.check(url.is_some_and(plain), "proxy.traces.otlp_url", sentence);
        let receiver = self.receiver.check(&base, "proxy.traces.receiver", faults);
        Some(Config {
            url: format!("{base}/v1/traces"),
            receiver: ClientSettings { timeout: self.post_timeout, ..receiver },
            service_name: self.service_name,
            keeping: Keeping {
                share: self.percent / 100.0,
                follow_callers: self.follow_callers,
                slower_than: self.keep_slower_than,
            },
            max_waiting: self.max_waiting.clamp(1, MAX_WAITING),
            batch_max: self.batch_max_traces.max(1),
            batch_max_delay: self.batch_max_delay,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn off_by_default_and_every_fault_is_listed() {
        let mut faults = Faults::default();
        assert!(RawTraces::default().check(&mut faults).is_none());
        assert!(faults.result(()).is_ok());
        let raw: RawTraces = toml::from_str(
            "otlp_url = 'collector:4318'\npercent = 101\nmax_waiting = 0\nbatch_max_traces = 0\npost_timeout = '0s'",
        )
        .unwrap();
        let mut faults = Faults::default();
        let _ = raw.check(&mut faults);
        let told = faults.result(()).unwrap_err().to_string();
        assert_eq!(told.lines().count(), 5, "{told}");
    }
}
