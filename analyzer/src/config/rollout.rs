//! Which proxies are told what was judged of a shadow; none unless named.

use std::time::Duration;

use host::client::{ClientSettings, RawNeighbour};
use host::config::Faults;
use serde::Deserialize;

/// Proxies that may be named.
const PROXIES_MAX: usize = 100;

/// Who is told of verdicts, as typed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawRollout {
    /// Base URLs of the proxies that are told; without any, verdicts are only shown.
    pub proxies: Vec<String>,
    /// What they ask for: a key of the scope `admin`, certificates.
    pub proxy: RawNeighbour,
    /// An answer is waited for no longer; a promotion loads the version first where it is not in memory.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// A verdict is told again after so long, though nothing is known to have changed.
    #[serde(with = "humantime_serde")]
    pub repeat: Duration,
}

impl Default for RawRollout {
    fn default() -> Self {
        let (timeout, repeat) = (Duration::from_secs(30), Duration::from_secs(3_600));
        Self { proxies: Vec::new(), proxy: RawNeighbour::default(), timeout, repeat }
    }
}

/// Who is told of verdicts, checked.
#[derive(Clone, Debug)]
pub struct RolloutConfig {
    /// Each proxy's base URL without a slash at its end, and how to reach it.
    pub(crate) proxies: Vec<(String, ClientSettings)>,
    /// Milliseconds after which a verdict is told again.
    pub(crate) repeat_ms: i64,
}

impl RawRollout {
    pub(super) fn check(&self, faults: &mut Faults) -> RolloutConfig {
        let Self { proxies, proxy, timeout, repeat } = self.clone();
        let few = proxies.len() <= PROXIES_MAX;
        faults.check(few, "analyzer.rollout.proxies", format!("has {}; name at most {PROXIES_MAX}", proxies.len()));
        for (key, value) in [("timeout", timeout), ("repeat", repeat)] {
            let within = (1..=86_400).contains(&value.as_secs());
            let sentence = format!("is {value:?}; write a time from a second to a day");
            faults.check(within, format!("analyzer.rollout.{key}"), sentence);
        }
        let reach = |(at, url): (usize, &String)| {
            let whole = url.parse::<axum::http::Uri>().is_ok_and(|url| {
                matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some_and(|host| !host.is_empty())
            });
            let sentence = "must be an http:// or https:// URL, as in http://127.0.0.1:8080";
            faults.check(whole, format!("analyzer.rollout.proxies[{at}]"), sentence);
            let client = proxy.clone().check(url, "analyzer.rollout.proxy", faults);
            (url.trim_end_matches('/').to_owned(), ClientSettings { timeout, ..client })
        };
        let proxies = proxies.iter().enumerate().map(reach).collect();
        RolloutConfig { proxies, repeat_ms: i64::try_from(repeat.as_millis()).unwrap_or(i64::MAX) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_told_unless_named() {
        let mut faults = Faults::default();
        assert!(RawRollout::default().check(&mut faults).proxies.is_empty());
        assert!(faults.is_empty(), "{faults}");
    }

    #[test]
    fn every_fault_is_listed() {
        let raw: RawRollout =
            serde_json::from_str(r#"{"proxies": ["127.0.0.1:8080", "https://a"], "timeout": "0s"}"#).unwrap();
        let mut faults = Faults::default();
        let _checked = raw.check(&mut faults);
        let faults = faults.to_string();
        for key in ["rollout.proxies[0]:", "rollout.timeout:", "rollout.proxy.ca_file:"] {
            assert!(faults.contains(key), "{key} is not in\n{faults}");
        }
    }
}
