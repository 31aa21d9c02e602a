//! The configuration file of all roles: one TOML file, overridable key by key.
//!
//! Sections belong to the crates that read them. This file adds what is between them: the SLO file, the data folder,
//! the log, and that relative paths are relative to the configuration's folder, wherever the program was started.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use contract::slo::SloFile;
use host::config::{Faults, LoadError};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use store::Store;
use store::engine::EngineConfig;

use crate::cli::ConfigArgs;
use crate::exit::Usage;
use crate::paths;

/// The file as typed.
#[derive(Clone, Debug)]
pub struct RawConfig {
    /// Everything Driftline writes on this machine lies in this folder.
    pub data_dir: PathBuf,
    /// Service level objectives, YAML.
    pub slo_file: Option<PathBuf>,
    /// The form of logs.
    pub log: RawLog,
    /// The inference proxy.
    pub proxy: inference_proxy::config::RawConfig,
    /// The collector.
    pub collector: collector::config::RawConfig,
    /// The database.
    pub store: store::RawConfig,
    /// The analyzer.
    pub analyzer: analyzer::config::RawConfig,
    /// What is masked, in the proxy and again in the collector.
    pub masking: masking::RawConfig,
    /// What Alertmanager is told of rollouts.
    pub silences: alerts::rollout::RawConfig,
}

impl RawConfig {
    /// Reads section by section, so that a fault in one does not hide those in the next.
    fn from_table(mut table: toml::Table, faults: &mut Faults) -> Self {
        share_edge(&mut table, faults);
        let raw = Self {
            data_dir: section(&mut table, "data_dir", faults).unwrap_or_else(|| "data".into()),
            slo_file: section(&mut table, "slo_file", faults),
            log: section(&mut table, "log", faults).unwrap_or_default(),
            proxy: section(&mut table, "proxy", faults).unwrap_or_default(),
            collector: section(&mut table, "collector", faults).unwrap_or_default(),
            store: section(&mut table, "store", faults).unwrap_or_default(),
            analyzer: section(&mut table, "analyzer", faults).unwrap_or_default(),
            masking: section(&mut table, "masking", faults).unwrap_or_default(),
            silences: section(&mut table, "silences", faults).unwrap_or_default(),
        };
        for unknown in table.keys() {
            faults.push(unknown, "is no key of a Driftline configuration");
        }
        raw
    }
}

/// `[edge]` holds for every role; what a role's own `edge` says goes before it, key by key.
fn share_edge(table: &mut toml::Table, faults: &mut Faults) {
    let Some(shared) = table.remove("edge") else { return };
    if section::<host::gate::RawEdge>(&mut toml::Table::from_iter([("edge".into(), shared.clone())]), "edge", faults)
        .is_none()
    {
        return;
    }
    for role in ["proxy", "collector", "analyzer"] {
        let Some(section) = table.entry(role).or_insert_with(|| toml::Table::new().into()).as_table_mut() else {
            continue;
        };
        let own = section.remove("edge").unwrap_or_else(|| toml::Table::new().into());
        section.insert("edge".to_owned(), merged(shared.clone(), own));
    }
}

fn merged(under: toml::Value, over: toml::Value) -> toml::Value {
    match (under, over) {
        (toml::Value::Table(mut under), toml::Value::Table(over)) => {
            for (key, value) in over {
                let value = match under.remove(&key) {
                    Some(below) => merged(below, value),
                    None => value,
                };
                under.insert(key, value);
            }
            under.into()
        }
        (_, over) => over,
    }
}

fn section<T: DeserializeOwned>(table: &mut toml::Table, key: &str, faults: &mut Faults) -> Option<T> {
    let value = table.remove(key)?;
    let read: Result<T, serde_path_to_error::Error<toml::de::Error>> = serde_path_to_error::deserialize(value);
    let noted = read.map_err(|error| {
        let path = error.path().to_string();
        let path = path.trim_end_matches(['.', '?']);
        let key = if path.is_empty() { key.to_owned() } else { format!("{key}.{path}") };
        faults.push(key, error.inner().message().trim_end().replace('\n', ", "));
    });
    noted.ok()
}

/// The section that a key stands in.
fn section_of(key: &str) -> &str {
    key.split(['.', ':']).next().unwrap_or(key)
}

/// Logs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawLog {
    /// `text` or `json`.
    pub format: host::logs::Format,
    /// As in `info,inference_proxy=debug`.
    pub filter: String,
    /// Audit lines are appended to this file too, as JSON; relative to `data_dir`.
    pub audit_file: Option<PathBuf>,
}

impl Default for RawLog {
    fn default() -> Self {
        Self { format: host::logs::Format::default(), filter: "info,ort=warn".into(), audit_file: None }
    }
}

/// A file that was read, with its paths made absolute and its SLO file parsed.
#[derive(Debug)]
pub struct Loaded {
    /// The file.
    pub raw: RawConfig,
    /// The objectives.
    pub slo: Option<SloFile>,
    /// What could not be read; [`crate::commands`] adds what the sections' own checks find.
    pub faults: Faults,
    /// Sections of which something could not be read: what stands for them are defaults, which nobody typed.
    unread: BTreeSet<String>,
}

impl Loaded {
    /// Reads the configuration and the SLO file.
    ///
    /// # Errors
    /// [`Usage`] with what is wrong and where.
    pub fn read(args: &ConfigArgs) -> anyhow::Result<Self> {
        let table: toml::Table = host::config::load(&args.config).map_err(|error| match error {
            LoadError::Absent { path } => Usage(format!("there is no configuration {path}; give --config FILE")),
            other => Usage(other.to_string()),
        })?;
        Self::of_table(table, &args.overrides, &args.config)
    }

    /// Reads what stands in a configuration, as if it were this file.
    ///
    /// # Errors
    /// As [`Loaded::read`].
    pub fn of_table(mut table: toml::Table, overrides: &[String], file: &Path) -> anyhow::Result<Self> {
        for set in overrides {
            override_key(&mut table, set)?;
        }
        let mut faults = Faults::default();
        let mut raw = RawConfig::from_table(table, &mut faults);
        let unread = faults.iter().map(|fault| section_of(&fault.key).to_owned()).collect();
        let config = std::path::absolute(file)?;
        paths::resolve(&mut raw, config.parent().unwrap_or(Path::new("/")));
        let slo = raw.slo_file.as_deref().and_then(|path| read_slo_file(path, &mut faults));
        Ok(Self { raw, slo, faults, unread })
    }

    /// Notes what a check found, but for what it found in defaults that stand for a section that could not be read.
    pub fn note(&mut self, found: &Faults) {
        for fault in found.iter() {
            let shared = self.unread.contains("edge") && fault.key.split('.').nth(1) == Some("edge");
            if !shared && !self.unread.contains(section_of(&fault.key)) {
                self.faults.push(&fault.key, &fault.sentence);
            }
        }
    }

    /// The engine that `up` starts.
    ///
    /// # Errors
    /// Where neither `store.url` nor `store.engine` is given.
    pub fn engine(&self) -> anyhow::Result<EngineConfig> {
        let store = &self.raw.store;
        let library = store.engine.clone().ok_or_else(|| {
            Usage("store: give `url` of a ClickHouse server, or `engine`, the path of libchdb.so (`make deps` fetches it)".into())
        })?;
        Ok(EngineConfig {
            library,
            program: std::env::current_exe().context("cannot find this program's own file")?,
            data_dir: store.data_dir.clone(),
            http_port: 0,
            max_memory_bytes: EngineConfig::DEFAULT_MAX_MEMORY_BYTES,
        })
    }

    /// A connection to the database.
    ///
    /// # Errors
    /// Where the section is wrong, or the embedded engine does not run.
    pub fn store(&self) -> anyhow::Result<Store> {
        let config = store::Config::new(self.raw.store.clone()).map_err(|faults| Usage(faults.to_string()))?;
        Ok(Store::connect(&config)?)
    }

    /// User of the database, and the file with its password if there is one.
    pub fn store_credentials(&self) -> (String, Option<PathBuf>) {
        let store = &self.raw.store;
        match &store.url {
            Some(_) => (store.user.clone().unwrap_or_else(|| "default".into()), store.password_file.clone()),
            None => (
                store.user.clone().unwrap_or_else(|| "driftline".into()),
                Some(store::engine::password_file(&store.data_dir)),
            ),
        }
    }
}

/// `a.b=value`: the value is TOML where it reads as TOML, else text.
fn override_key(table: &mut toml::Table, set: &str) -> anyhow::Result<()> {
    let (key, value) =
        set.split_once('=').ok_or_else(|| Usage(format!("'--set {set}' has no '='; write --set key=value")))?;
    let value = toml::from_str::<toml::Table>(&format!("v = {value}"))
        .ok()
        .and_then(|mut t| t.remove("v"))
        .unwrap_or_else(|| toml::Value::String(value.to_owned()));
    let mut path: Vec<&str> = key.split('.').collect();
    let last = path.pop().unwrap_or(key);
    let mut at = table;
    for step in path {
        at = at
            .entry(step)
            .or_insert_with(|| toml::Table::new().into())
            .as_table_mut()
            .ok_or_else(|| Usage(format!("'--set {set}': '{step}' is no section")))?;
    }
    at.insert(last.to_owned(), value);
    Ok(())
}

fn read_slo_file(path: &Path, faults: &mut Faults) -> Option<SloFile> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            faults.push("slo_file", format!("{} cannot be read: {error}", path.display()));
            return None;
        }
    };
    match alerts::slo_file::parse(&text) {
        Ok(file) => Some(file),
        Err(found) => {
            for fault in found.iter() {
                faults.push("slo_file", fault.to_string());
            }
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overridden(set: &str) -> toml::Table {
        let mut table: toml::Table = toml::from_str("[proxy]\nlisten = \"127.0.0.1:1\"\n").expect("is TOML");
        override_key(&mut table, set).expect("can be set");
        table
    }

    #[test]
    fn an_override_is_toml_or_text() {
        assert_eq!(overridden("proxy.listen=0.0.0.0:8080")["proxy"]["listen"].as_str(), Some("0.0.0.0:8080"));
        assert_eq!(
            overridden("proxy.batching.max_batch_tokens=7")["proxy"]["batching"]["max_batch_tokens"].as_integer(),
            Some(7)
        );
        assert_eq!(overridden("analyzer.window=\"10s\"")["analyzer"]["window"].as_str(), Some("10s"));
    }

    #[test]
    fn what_is_said_of_every_edge_holds_unless_a_role_says_otherwise() {
        let table = "[edge]\nmax_connections = 7\nmax_headers = 9\n[proxy.edge]\nmax_connections = 8\n[collector]\n";
        let mut faults = Faults::default();
        let raw = RawConfig::from_table(table.parse().expect("is TOML"), &mut faults);
        assert!(faults.is_empty(), "{faults}");
        assert_eq!((raw.proxy.edge.max_connections, raw.proxy.edge.max_headers), (8, 9));
        assert_eq!((raw.collector.edge.max_connections, raw.analyzer.edge.max_headers), (7, 9));
        RawConfig::from_table("[edge]\nnonsense = 1\n".parse().expect("is TOML"), &mut faults);
        assert!(faults.to_string().contains("unknown field `nonsense`"), "{faults}");
        assert!(faults.to_string().starts_with("edge"), "{faults}");
    }

    #[test]
    fn what_stands_for_an_unread_section_has_no_faults() {
        let table = "[proxy]\nlisten = \"here\"\n[collector.limits]\nmax_items = \"many\"\n";
        let mut loaded =
            Loaded::of_table(table.parse().expect("is TOML"), &[], Path::new("/x.toml")).expect("can be read");
        let keys: Vec<&str> = loaded.faults.iter().map(|fault| fault.key.as_str()).collect();
        assert_eq!(keys, ["proxy.listen", "collector.limits.max_items"]);
        let mut found = Faults::default();
        found.push("proxy.models.models_dir", "does not exist");
        found.push("store.url", "has no host");
        loaded.note(&found);
        let text = loaded.faults.to_string();
        assert!(text.contains("store.url") && !text.contains("models_dir"), "{text}");
        assert!(text.contains("'here' is no address to listen on; write it as in 127.0.0.1:8080"), "{text}");
    }

    #[test]
    fn an_override_of_a_value_as_if_it_were_a_section_is_refused() {
        let mut table: toml::Table = toml::from_str("data_dir = \"x\"").expect("is TOML");
        assert!(override_key(&mut table, "data_dir.deep=1").is_err());
        assert!(override_key(&mut table, "data_dir").is_err());
    }
}
