//! The engine's data folder: its password, its two configuration files, its address.
//!
//! clickhouse-local insists on a user `default` without a password for its own session. So that user gets nothing
//! but what the session needs, and the HTTP interface answers only requests that name user `driftline` in their
//! headers, which ClickHouse then holds to that user's password: `default` cannot come in over the network.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::EngineConfig;
use crate::connection::{ADDRESS_FILE, ENGINE_USER, PASSWORD_FILE};

/// What the engine is started with.
pub(super) struct Files {
    pub server: PathBuf,
    pub tables: PathBuf,
}

/// Makes the folder and writes both configuration files anew; the password is made once. Errors are sentences.
pub(super) fn prepare(config: &EngineConfig) -> Result<Files, String> {
    let dir = &config.data_dir;
    let say = |what: &str, path: &Path| {
        let (what, path) = (what.to_owned(), path.display().to_string());
        move |error: io::Error| format!("cannot {what} {path}: {error}")
    };
    fs::create_dir_all(dir).map_err(say("make", dir))?;
    fs::set_permissions(dir, Permissions::from_mode(0o700)).map_err(say("protect", dir))?;
    let dir = &fs::canonicalize(dir).map_err(say("find", dir))?;
    let password = password(&dir.join(PASSWORD_FILE)).map_err(say("keep a password in", dir))?;
    let (server, users, tables) = (dir.join("engine.xml"), dir.join("users.xml"), dir.join("tables"));
    fs::create_dir_all(&tables).map_err(say("make", &tables))?;
    write_private(&users, &users_xml(&password)).map_err(say("write", &users))?;
    write_private(&server, &server_xml(&users, &tables, config.max_memory_bytes)).map_err(say("write", &server))?;
    Ok(Files { server, tables })
}

/// Leaves the URL where a role that is started by hand looks for it.
pub(super) fn write_address(dir: &Path, url: &str) -> Result<(), String> {
    let path = dir.join(ADDRESS_FILE);
    write_private(&path, &format!("{url}\n")).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// Takes the URL away again; a failure leaves a stale address, which a reader notices when it connects.
pub(super) fn remove_address(dir: &Path) {
    if let Err(error) = fs::remove_file(dir.join(ADDRESS_FILE)) {
        tracing::debug!(%error, "the engine's address file could not be removed");
    }
}

/// The password in the file, made there if absent: 256 random bits from the system.
fn password(path: &Path) -> io::Result<String> {
    match fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
        Ok(_) => make_password(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => make_password(path),
        Err(error) => Err(error),
    }
}

fn make_password(path: &Path) -> io::Result<String> {
    let mut random = [0; 32];
    fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
    let word = hex::encode(random);
    write_private(path, &format!("{word}\n"))?;
    Ok(word)
}

/// Writes a file that only we can read, whole or not at all.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let _ = fs::remove_file(&fresh);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, path)
}

fn users_xml(password: &str) -> String {
    let hash = hex::encode(Sha256::digest(password.as_bytes()));
    format!(
        "<clickhouse>
  <profiles><default/></profiles>
  <quotas><default/></quotas>
  <users>
    <default>
      <no_password/>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
      <grants>
        <query>GRANT SYSTEM LISTEN ON *.*</query>
        <query>GRANT CREATE TEMPORARY TABLE ON *.*</query>
        <query>GRANT READ ON FILE</query>
      </grants>
    </default>
    <{ENGINE_USER}>
      <password_sha256_hex>{hash}</password_sha256_hex>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
    </{ENGINE_USER}>
  </users>
</clickhouse>
"
    )
}

/// Small caches and pools: the defaults are for a machine of its own.
fn server_xml(users: &Path, tables: &Path, max_memory_bytes: u64) -> String {
    let (users, tables) = (xml(users), xml(tables));
    format!(
        "<clickhouse>
  <users_config>{users}</users_config>
  <tmp_path>{tables}/tmp/</tmp_path>
  <max_server_memory_usage>{max_memory_bytes}</max_server_memory_usage>
  <mark_cache_size>67108864</mark_cache_size>
  <index_mark_cache_size>16777216</index_mark_cache_size>
  <uncompressed_cache_size>0</uncompressed_cache_size>
  <background_pool_size>2</background_pool_size>
  <background_schedule_pool_size>8</background_schedule_pool_size>
  <max_concurrent_queries>64</max_concurrent_queries>
  <http_handlers>
    <rule>
      <headers><X-ClickHouse-User>{ENGINE_USER}</X-ClickHouse-User></headers>
      <handler><type>dynamic_query_handler</type><query_param_name>query</query_param_name></handler>
    </rule>
  </http_handlers>
</clickhouse>
"
    )
}

fn xml(path: &Path) -> String {
    path.display().to_string().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
