//! How a version that another server serves is configured: what was typed, and what is meant.

use std::sync::Arc;
use std::time::Duration;

use axum::http::Uri;
use host::config::{ByteSize, Faults};
use serde::{Deserialize, Serialize};

/// A version behind another server, as typed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawUpstream {
    /// Base URL of the other server, without `/v2`.
    pub url: Option<String>,
    /// The model's name there; default: its name here.
    pub model: Option<String>,
    /// The version there; without it the other server chooses, and its answers say which.
    pub version: Option<String>,
    /// Longest time for an answer; the proxy's own `request_timeout` bounds it too.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// Longest time for a connection to be made.
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// Requests that may be open there at one time; one more gets 429.
    pub max_requests: usize,
    /// Connections that are kept open between requests.
    pub idle_connections: usize,
    /// How long. Below the other server's own limit, so that it never closes what a request is being written to.
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Duration,
    /// How often the other server is asked whether the model is ready, and what it is.
    #[serde(with = "humantime_serde")]
    pub probe_every: Duration,
    /// Bytes of a request and of an answer that are kept until the observation is made; what is longer streams
    /// through all the same, and its content is withheld.
    pub max_copy_bytes: ByteSize,
    /// Whether clients' `Authorization` goes on to the other server: their keys for us, unless it asks for the same ones.
    pub forward_authorization: bool,
    /// Whether the model's only input, `BYTES`, is text; default: yes where it has just one input and that is `BYTES`.
    pub text: Option<bool>,
    /// Labels of the classes, in order.
    pub labels: Vec<String>,
    /// The output that holds class probabilities, items by classes.
    pub probabilities: Option<String>,
    /// The output that holds class scores before the softmax, items by classes.
    pub logits: Option<String>,
}

impl Default for RawUpstream {
    fn default() -> Self {
        Self {
            url: None,
            model: None,
            version: None,
            timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(1),
            max_requests: 512,
            idle_connections: 64,
            idle_timeout: Duration::from_secs(4),
            probe_every: Duration::from_secs(5),
            max_copy_bytes: ByteSize::mib(1),
            forward_authorization: false,
            text: None,
            labels: vec![],
            probabilities: None,
            logits: None,
        }
    }
}

/// A version behind another server, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Scheme and authority.
    pub(crate) origin: String,
    /// Path before `/v2`, without a slash at its end.
    pub(crate) prefix: String,
    /// The model there; the name here where there is none.
    pub(crate) model: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) max_requests: usize,
    pub(crate) idle_connections: usize,
    pub(crate) idle_timeout: Duration,
    pub(crate) probe_every: Duration,
    pub(crate) max_copy_bytes: usize,
    pub(crate) forward_authorization: bool,
    pub(crate) text: Option<bool>,
    pub(crate) labels: Arc<[String]>,
    pub(crate) scores: Option<Scores>,
}

/// Which output classes are read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scores {
    pub(crate) output: String,
    /// Whether a softmax is still to be taken.
    pub(crate) logits: bool,
}

/// A semaphore of tokio holds no more permits than this.
const MAX_REQUESTS: usize = 1 << 20;

impl RawUpstream {
    /// What is meant; faults are pushed under names that start with `key`.
    pub(crate) fn check(self, key: &str, faults: &mut Faults) -> Config {
        let at = |name: &str| format!("{key}.{name}");
        let url = self.url.as_deref().and_then(parse);
        faults.check(url.is_some(), at("url"), "must be an http:// URL, as in http://triton:8000");
        for (name, text) in [("model", &self.model), ("version", &self.version)] {
            let plain = text.as_deref().is_none_or(is_segment);
            faults.check(plain, at(name), "must be 1 to 128 characters that need no escape in a URL, and no '/'");
        }
        for (name, time) in [
            ("timeout", self.timeout),
            ("connect_timeout", self.connect_timeout),
            ("idle_timeout", self.idle_timeout),
            ("probe_every", self.probe_every),
        ] {
            faults.check(!time.is_zero(), at(name), "must be longer than 0s");
        }
        let places = (1..=MAX_REQUESTS).contains(&self.max_requests);
        faults.check(places, at("max_requests"), format!("must be from 1 to {MAX_REQUESTS}"));
        let both = self.probabilities.is_some() && self.logits.is_some();
        faults.check(!both, at("logits"), "cannot stand beside `probabilities`: classes are read from one output");
        let (origin, prefix) = url.unwrap_or_default();
        let scores = self.probabilities.map(|output| Scores { output, logits: false });
        Config {
            origin,
            prefix,
            model: self.model,
            version: self.version,
            timeout: self.timeout,
            connect_timeout: self.connect_timeout,
            max_requests: self.max_requests.clamp(1, MAX_REQUESTS),
            idle_connections: self.idle_connections,
            idle_timeout: self.idle_timeout,
            probe_every: self.probe_every,
            max_copy_bytes: self.max_copy_bytes.bytes(),
            forward_authorization: self.forward_authorization,
            text: self.text,
            labels: self.labels.into(),
            scores: scores.or(self.logits.map(|output| Scores { output, logits: true })),
        }
    }
}

/// Origin and path of an `http` URL that has neither a query nor a user.
fn parse(url: &str) -> Option<(String, String)> {
    let uri: Uri = url.parse().ok()?;
    let authority = uri.authority()?;
    let good = uri.scheme_str() == Some("http") && uri.query().is_none() && !authority.as_str().contains('@');
    good.then(|| (format!("http://{authority}"), uri.path().trim_end_matches('/').to_owned()))
}

/// Whether a name can stand in a path as it is.
pub(crate) fn is_segment(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~:@!$&'()*+,;=".contains(&b);
    (1..=128).contains(&name.len()) && !matches!(name, "." | "..") && name.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_an_origin_and_a_prefix() {
        let both = |a: &str, b: &str| Some((a.to_owned(), b.to_owned()));
        assert_eq!(parse("http://triton:8000"), both("http://triton:8000", ""));
        assert_eq!(parse("http://gate/kserve/"), both("http://gate", "/kserve"));
        for bad in ["", "triton:8000", "https://triton", "http://a?b", "http://u:p@h", "/v2"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn every_fault_is_listed() {
        let raw: RawUpstream = toml::from_str(
            r#"
            url = "https://triton"
            model = "a/b"
            timeout = "0s"
            max_requests = 0
            probabilities = "p"
            logits = "l"
            "#,
        )
        .unwrap();
        let mut faults = Faults::default();
        let _config = raw.check("u", &mut faults);
        let text = faults.to_string();
        for key in ["u.url:", "u.model:", "u.timeout:", "u.max_requests:", "u.logits:"] {
            assert!(text.contains(key), "{key} is not in:\n{text}");
        }
        assert_eq!(faults.len(), 5, "{text}");
    }
}
