//! How one role talks to another: a kept-alive connection, TLS where the address says so, a token from a file.
//!
//! The token is read at each request, so that a new one needs no restart. No proxy of the environment is asked and no
//! redirect is followed: where bytes go is in the configuration.

use std::path::PathBuf;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::{Deserialize, Serialize};

use crate::config::Faults;
use crate::tls::{ClientTls, TlsError};

/// An answer between roles is short; a longer one is not read.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// What a neighbour asks for, as typed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawNeighbour {
    /// A file with the key to show; read at each request.
    pub token_file: Option<PathBuf>,
    /// Authorities of its certificate, PEM; needed for an `https://` address.
    pub ca_file: Option<PathBuf>,
    /// A certificate of our own, where it asks for one, PEM.
    pub cert_file: Option<PathBuf>,
    /// The key of that certificate, PEM.
    pub key_file: Option<PathBuf>,
}

impl RawNeighbour {
    /// Files that this reads, to make their paths absolute.
    pub fn files(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        [&mut self.token_file, &mut self.ca_file, &mut self.cert_file, &mut self.key_file].into_iter().flatten()
    }

    /// What is meant for a neighbour at `url`; faults are noted under `key`.
    pub fn check(self, url: &str, key: &str, faults: &mut Faults) -> ClientSettings {
        let trusts = self.ca_file.is_some() || !url.starts_with("https://");
        faults.check(trusts, format!("{key}.ca_file"), "is needed for an https:// address: whom to trust");
        let both = self.cert_file.is_some() == self.key_file.is_some();
        faults.check(both, format!("{key}.cert_file"), "and key_file belong together; give both or none");
        let tls = ClientTls { ca_file: self.ca_file, identity: self.cert_file.zip(self.key_file) };
        if let Err(error) = crate::tls::client(&tls) {
            faults.push(key, error.to_string());
        }
        ClientSettings { token_file: self.token_file, tls, ..ClientSettings::default() }
    }
}

/// How to reach a neighbour.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientSettings {
    /// Longest time from a request to its whole answer.
    pub timeout: Duration,
    /// A file with the key to show.
    pub token_file: Option<PathBuf>,
    /// Whom to trust.
    pub tls: ClientTls,
    /// Idle connections that are kept.
    pub idle_connections: usize,
}

impl Default for ClientSettings {
    fn default() -> Self {
        let tls = ClientTls::default();
        Self { timeout: Duration::from_secs(10), token_file: None, tls, idle_connections: 1 }
    }
}

/// A neighbour's answer.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// The token's file.
    #[error("the token file {path} {sentence}")]
    Token {
        /// The file.
        path: String,
        /// What is wrong with it.
        sentence: String,
    },
    /// The address or a header is none.
    #[error("the request cannot be made: {0}")]
    Request(#[from] axum::http::Error),
    /// A certificate, the server's or ours.
    #[error("no TLS connection: {0}")]
    Tls(String),
    /// The way there.
    #[error("no answer: {0}")]
    Connection(String),
    /// The time.
    #[error("no answer in time")]
    Timeout,
}

/// A client of one neighbour.
#[derive(Clone, Debug)]
pub struct Neighbour {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    token_file: Option<PathBuf>,
    timeout: Duration,
}

impl Neighbour {
    /// A client that keeps its connection.
    ///
    /// # Errors
    /// Where a certificate cannot be read.
    pub fn new(settings: ClientSettings) -> Result<Self, TlsError> {
        let mut http = HttpConnector::new();
        http.set_nodelay(true);
        http.enforce_http(false);
        http.set_connect_timeout(Some(settings.timeout));
        let tls = crate::tls::client(&settings.tls)?;
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(http);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(settings.idle_connections)
            .build(connector);
        Ok(Self { client, token_file: settings.token_file, timeout: settings.timeout })
    }

    /// Posts a body.
    ///
    /// # Errors
    /// [`PostError`] where no whole answer came.
    pub async fn post(
        &self,
        url: &str,
        headers: &[(header::HeaderName, &str)],
        body: Bytes,
    ) -> Result<Answer, PostError> {
        let mut request = Request::post(url);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        self.ask(request, body).await
    }

    /// Gets what lies at an address.
    ///
    /// # Errors
    /// [`PostError`] where no whole answer came.
    pub async fn get(&self, url: &str) -> Result<Answer, PostError> {
        self.ask(Request::get(url), Bytes::new()).await
    }

    async fn ask(&self, request: axum::http::request::Builder, body: Bytes) -> Result<Answer, PostError> {
        let mut request = request;
        if let Some(token) = self.token()? {
            request = request.header(header::AUTHORIZATION, token);
        }
        let request = request.body(Full::new(body))?;
        tokio::time::timeout(self.timeout, self.send(request)).await.map_err(|_| PostError::Timeout)?
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Answer, PostError> {
        let answer = self.client.request(request).await.map_err(|error| {
            let text = chain(&error);
            if is_tls(&error) { PostError::Tls(text) } else { PostError::Connection(text) }
        })?;
        let (parts, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| PostError::Connection(error.to_string()))?.to_bytes();
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }

    fn token(&self) -> Result<Option<HeaderValue>, PostError> {
        let Some(path) = &self.token_file else { return Ok(None) };
        let wrong = |sentence: String| PostError::Token { path: path.display().to_string(), sentence };
        let text = std::fs::read_to_string(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
        let mut value = HeaderValue::try_from(format!("Bearer {}", text.trim()))
            .map_err(|_| wrong("holds more than one line of letters and digits".to_owned()))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

/// Whether a certificate is behind it. An I/O error's own cause is inside it, not its source.
fn is_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    let inside = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    let inside = inside.map(|inner| -> &(dyn std::error::Error + 'static) { inner });
    error.is::<tokio_rustls::rustls::Error>() || inside.or_else(|| error.source()).is_some_and(is_tls)
}

/// An error and its causes: the last one says what happened.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}
