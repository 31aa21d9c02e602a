//! A real engine in a folder of its own, and a migrated store on it.

use std::path::PathBuf;

use store::engine::{Engine, EngineConfig};
use store::{Config, RawConfig, Store};

/// An engine and the folder that it lives in.
pub struct House {
    pub engine: Option<Engine>,
    pub dir: tempfile::TempDir,
}

impl House {
    pub async fn build() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let engine = Some(Engine::start(config(dir.path().join("engine"), 0)).await.unwrap());
        Self { engine, dir }
    }

    pub fn engine(&self) -> &Engine {
        self.engine.as_ref().unwrap()
    }

    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("engine")
    }

    pub fn store(&self) -> Store {
        let raw = RawConfig { data_dir: self.data_dir(), ..RawConfig::default() };
        Store::connect(&Config::new(raw).unwrap()).unwrap()
    }

    pub async fn migrated() -> (Self, Store) {
        let house = Self::build().await;
        let store = house.store();
        store.migrate().await.unwrap();
        (house, store)
    }

    /// Rows of a query as tab-separated lines, asked as a person would ask.
    pub async fn ask(&self, sql: &str) -> String {
        let password = std::fs::read_to_string(self.engine().password_file()).unwrap();
        let answer = reqwest::Client::new()
            .post(format!("{}/?database=driftline", self.engine().url()))
            .header("X-ClickHouse-User", "driftline")
            .header("X-ClickHouse-Key", password.trim())
            .body(sql.to_owned())
            .send()
            .await
            .unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{sql}: {text}");
        text.trim_end().to_owned()
    }
}

pub fn config(data_dir: PathBuf, http_port: u16) -> EngineConfig {
    EngineConfig {
        library: library(),
        program: env!("CARGO_BIN_EXE_engine-child").into(),
        data_dir,
        http_port,
        max_memory_bytes: EngineConfig::DEFAULT_MAX_MEMORY_BYTES,
    }
}

/// The engine's library, which these tests do not go without.
pub fn library() -> PathBuf {
    let in_workspace = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.deps/chdb/libchdb.so");
    let path = std::env::var_os("DRIFTLINE_CHDB").map_or_else(|| PathBuf::from(in_workspace), PathBuf::from);
    assert!(path.exists(), "{} is absent: run `make deps`", path.display());
    path
}
