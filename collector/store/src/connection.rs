//! Where the database is, and one client for it.
//!
//! The choice: without a `url` the embedded engine is meant, which leaves its address and password in its data folder
//! (mode 0600); so a role that is started by hand finds the engine that `driftline up` runs.

use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use contract::faults::Faults;
use serde::Deserialize;

use crate::Error;
use crate::cluster::Layout;
use crate::retention::{RawRetention, Retention};

/// The file in the engine's data folder that holds its URL while it runs.
pub(crate) const ADDRESS_FILE: &str = "address";
/// The file in the engine's data folder that holds the password of [`ENGINE_USER`].
pub(crate) const PASSWORD_FILE: &str = "password";
/// The user that the embedded engine knows.
pub(crate) const ENGINE_USER: &str = "driftline";

/// The `[store]` section, as typed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawConfig {
    /// A ClickHouse server's HTTP interface, as in `http://clickhouse:8123`; absent: the embedded engine.
    pub url: Option<String>,
    /// User name; absent: `default` for a server, the engine's own for the engine.
    pub user: Option<String>,
    /// Password.
    pub password: Option<String>,
    /// A file that holds the password, for those who keep it out of the configuration.
    pub password_file: Option<PathBuf>,
    /// Database; made if absent.
    pub database: String,
    /// The cluster that the tables are spread over, as the servers' `remote_servers` names it; absent: one server.
    pub cluster: Option<String>,
    /// The HTTP interface of each shard, for a cluster without Keeper; empty: statements go to `url`, `ON CLUSTER`.
    pub shards: Vec<String>,
    /// `libchdb.so` or a `clickhouse` binary: what the embedded engine runs.
    pub engine: Option<PathBuf>,
    /// Where the embedded engine keeps its data; relative to the top-level `data_dir`.
    pub data_dir: PathBuf,
    /// Limit of one request to ClickHouse.
    #[serde(with = "humantime_serde")]
    pub request_timeout: Duration,
    /// How long rows are kept, by table, as in `payloads = "7d"`; what is not named keeps its time.
    pub retention: RawRetention,
}

impl Default for RawConfig {
    fn default() -> Self {
        Self {
            url: None,
            user: None,
            password: None,
            password_file: None,
            database: "driftline".to_owned(),
            cluster: None,
            shards: Vec::new(),
            engine: None,
            data_dir: PathBuf::from("clickhouse"),
            request_timeout: Duration::from_secs(60),
            retention: RawRetention::new(),
        }
    }
}

/// The `[store]` section, checked.
#[derive(Clone, Debug)]
pub struct Config {
    endpoint: Endpoint,
    database: String,
    layout: Layout,
    shards: Vec<String>,
    request_timeout: Duration,
    retention: Arc<Retention>,
}

#[derive(Clone)]
enum Endpoint {
    Server { url: String, user: String, password: Password },
    Embedded { data_dir: PathBuf },
}

#[derive(Clone)]
enum Password {
    Given(String),
    File(PathBuf),
}

impl fmt::Debug for Endpoint {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server { url, user, .. } => write!(f, "{user}@{url}"),
            Self::Embedded { data_dir } => write!(f, "embedded in {}", data_dir.display()),
        }
    }
}

impl Config {
    /// Checks a section.
    ///
    /// # Errors
    /// All faults, by key.
    pub fn new(raw: RawConfig) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        let sentence = format!("'{}' is no database name; use letters, digits and underscores", raw.database);
        faults.check(is_identifier(&raw.database), "store.database", sentence);
        let sentence = "is under a second, which large inserts cannot keep";
        faults.check(raw.request_timeout >= Duration::from_secs(1), "store.request_timeout", sentence);
        let sentence = "is given together with store.password; keep one of the two";
        faults.check(raw.password.is_none() || raw.password_file.is_none(), "store.password_file", sentence);
        if let Some(sentence) = raw.url.as_deref().and_then(url_fault) {
            faults.push("store.url", sentence);
        }
        cluster_faults(&raw, &mut faults);
        let retention = Arc::new(Retention::new(&raw.retention, &mut faults));
        let RawConfig { url, user, password, password_file, database, data_dir, request_timeout, .. } = raw;
        let (shards, database_of) = (raw.shards, database.clone());
        let layout = raw.cluster.map_or(Layout::Single, |name| Layout::Cluster {
            name,
            database: database_of,
            keeper: shards.is_empty(),
        });
        let password = password_file.map_or_else(|| Password::Given(password.unwrap_or_default()), Password::File);
        let endpoint = match url {
            Some(url) => Endpoint::Server { url, user: user.unwrap_or_else(|| "default".to_owned()), password },
            None => Endpoint::Embedded { data_dir },
        };
        faults.result(Self { endpoint, database, layout, shards, request_timeout, retention })
    }
}

impl TryFrom<RawConfig> for Config {
    type Error = Faults;

    fn try_from(raw: RawConfig) -> Result<Self, Faults> {
        Self::new(raw)
    }
}

fn cluster_faults(raw: &RawConfig, faults: &mut Faults) {
    if let Some(name) = &raw.cluster {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-.".contains(&b);
        let sentence = format!("'{name}' is no name of a cluster; use letters, digits and any of _ - .");
        faults.check(!name.is_empty() && name.len() <= 64 && name.bytes().all(plain), "store.cluster", sentence);
        let sentence = "needs store.url: the embedded engine is one server";
        faults.check(raw.url.is_some(), "store.cluster", sentence);
    }
    let sentence = "needs store.cluster, the name under which the servers know each other";
    faults.check(raw.shards.is_empty() || raw.cluster.is_some(), "store.shards", sentence);
    for (i, shard) in raw.shards.iter().enumerate() {
        if let Some(sentence) = url_fault(shard) {
            faults.push(format!("store.shards[{i}]"), sentence);
        }
        let sentence = format!("'{shard}' is given twice");
        faults.check(!raw.shards[..i].contains(shard), format!("store.shards[{i}]"), sentence);
    }
}

fn is_identifier(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && name.len() <= 64
}

fn url_fault(url: &str) -> Option<String> {
    match reqwest::Url::parse(url) {
        Err(error) => Some(format!("'{url}' is no URL ({error}); write http://host:8123")),
        Ok(parsed) if parsed.scheme() == "https" => {
            Some("https is not spoken to ClickHouse; put a local TLS proxy between, or use http".to_owned())
        }
        Ok(parsed) if parsed.scheme() != "http" => {
            Some(format!("'{url}' is not the HTTP interface; write http://host:8123 (not the native port 9000)"))
        }
        Ok(parsed) if !parsed.username().is_empty() || parsed.password().is_some() => {
            Some("holds a user or password, which would be logged; use store.user and store.password_file".to_owned())
        }
        Ok(_) => None,
    }
}

/// A connection to one database. Clones share one pool of HTTP connections.
#[derive(Clone)]
pub struct Store {
    client: clickhouse::Client,
    url: String,
    database: String,
    layout: Arc<Layout>,
    /// Of a cluster without Keeper, each shard.
    shards: Arc<[Self]>,
    request_timeout: Duration,
    retention: Arc<Retention>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({}, {})", self.url, self.database)
    }
}

impl Store {
    /// Makes a client; nothing is asked of the server yet.
    ///
    /// # Errors
    /// [`Error::NoEngine`] or [`Error::File`] where the address or the password cannot be read.
    pub fn connect(config: &Config) -> Result<Self, Error> {
        let (url, user, password) = match &config.endpoint {
            Endpoint::Server { url, user, password: Password::Given(word) } => {
                (url.clone(), user.clone(), word.clone())
            }
            Endpoint::Server { url, user, password: Password::File(path) } => {
                (url.clone(), user.clone(), read_word(path)?)
            }
            Endpoint::Embedded { data_dir } => {
                let address = data_dir.join(ADDRESS_FILE);
                if !address.exists() {
                    return Err(Error::NoEngine { path: address });
                }
                (read_word(&address)?, ENGINE_USER.to_owned(), read_word(&data_dir.join(PASSWORD_FILE))?)
            }
        };
        let mut client = clickhouse::Client::default()
            .with_user(user)
            .with_password(password)
            .with_database(&config.database)
            .with_product_info("driftline", env!("CARGO_PKG_VERSION"));
        for (setting, value) in config.layout.settings() {
            client = client.with_setting(setting, value);
        }
        if !config.layout.on().is_empty() {
            // it ends before we stop waiting for it
            let seconds = config.request_timeout.as_secs().saturating_sub(1).max(1);
            client = client.with_setting("distributed_ddl_task_timeout", seconds.to_string());
        }
        let Config { database, layout, request_timeout, retention, .. } = config.clone();
        let layout = Arc::new(layout);
        let at = |url: &str, shards| Self {
            client: client.clone().with_url(url),
            url: url.to_owned(),
            database: database.clone(),
            layout: layout.clone(),
            shards,
            request_timeout,
            retention: retention.clone(),
        };
        let shards = config.shards.iter().map(|url| at(url, [].into())).collect();
        Ok(at(&url, shards))
    }

    /// The database's name.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.database
    }

    /// Where the database is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Asks the server to add one and one, with the user and the password but without the database, which may not exist yet.
    ///
    /// # Errors
    /// What it or the network says.
    pub async fn ping(&self) -> Result<(), Error> {
        let query = self.client.clone().with_database("system").query("SELECT toUInt8(1 + 1)");
        self.bounded("a ping", query.fetch_one::<u8>()).await.map(drop)
    }

    /// How its tables lie.
    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Those that a statement about tables is sent to, each for itself.
    pub(crate) fn servers(&self) -> &[Self] {
        if self.shards.is_empty() { std::slice::from_ref(self) } else { &self.shards }
    }

    /// The client, pinned to the database.
    pub(crate) const fn client(&self) -> &clickhouse::Client {
        &self.client
    }

    /// The limit of one request.
    pub(crate) const fn request_timeout(&self) -> Duration {
        self.request_timeout
    }

    /// What every table's time to live is to be.
    pub(crate) fn retention(&self) -> &Retention {
        &self.retention
    }

    /// Waits for an answer within the request's limit and reads the client's errors; `asked` names the question.
    pub(crate) async fn bounded<T>(
        &self,
        asked: &str,
        answer: impl Future<Output = clickhouse::error::Result<T>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout(self.request_timeout, answer).await {
            Ok(answer) => {
                answer.map_err(|error| self.layout.judged(Error::from_client(&error, &self.url, asked), &self.url))
            }
            Err(_) => Err(Error::Unavailable {
                url: self.url.clone(),
                reason: format!("no answer to {asked} within {:?} (store.request_timeout)", self.request_timeout),
            }),
        }
    }
}

/// The first line of a file, trimmed.
fn read_word(path: &Path) -> Result<String, Error> {
    let file = |reason: String| Error::File { path: path.to_owned(), reason };
    let text = std::fs::read_to_string(path).map_err(|error| file(error.to_string()))?;
    let word = text.lines().next().unwrap_or_default().trim();
    if word.is_empty() { Err(file("it is empty".to_owned())) } else { Ok(word.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(raw: RawConfig) -> Vec<String> {
        Config::new(raw).map_or_else(|faults| faults.iter().map(|fault| fault.key.clone()).collect(), |_| vec![])
    }

    #[test]
    fn every_fault_is_listed() {
        assert_eq!(keys(RawConfig::default()), Vec::<String>::new());
        let raw = RawConfig {
            url: Some("tcp://db:9000".into()),
            database: "drop table".into(),
            request_timeout: Duration::ZERO,
            password: Some("a".into()),
            password_file: Some("b".into()),
            ..RawConfig::default()
        };
        assert_eq!(keys(raw), ["store.database", "store.request_timeout", "store.password_file", "store.url"]);
    }

    #[test]
    fn a_cluster_needs_servers() {
        let url = Some("http://db:8123".to_owned());
        let named = |name: &str| RawConfig { cluster: Some(name.to_owned()), ..RawConfig::default() };
        assert_eq!(keys(RawConfig { url: url.clone(), ..named("main-1") }), Vec::<String>::new());
        assert_eq!(keys(named("main-1")), ["store.cluster"]);
        assert_eq!(keys(RawConfig { url: url.clone(), ..named("it's") }), ["store.cluster"]);
        let shards = vec!["http://a:8123".to_owned(), "a:9000".to_owned(), "http://a:8123".to_owned()];
        let alone = RawConfig { url: url.clone(), shards: shards[..1].to_vec(), ..RawConfig::default() };
        assert_eq!(keys(alone), ["store.shards"]);
        assert_eq!(keys(RawConfig { url, shards, ..named("main") }), ["store.shards[1]", "store.shards[2]"]);
    }

    #[test]
    fn a_password_is_never_shown() {
        let raw =
            RawConfig { url: Some("http://db:8123".into()), password: Some("s3cret".into()), ..RawConfig::default() };
        let config = Config::new(raw).unwrap();
        let store = Store::connect(&config).unwrap();
        assert!(!format!("{config:?}{store:?}").contains("s3cret"));
        let raw = RawConfig { url: Some("http://me:s3cret@db:8123".into()), ..RawConfig::default() };
        assert_eq!(keys(raw), ["store.url"]);
    }

    #[test]
    fn an_engine_that_does_not_run_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let raw = RawConfig { data_dir: dir.path().to_owned(), ..RawConfig::default() };
        let error = Store::connect(&Config::new(raw).unwrap()).unwrap_err();
        assert!(matches!(&error, Error::NoEngine { .. }), "{error}");
    }
}
