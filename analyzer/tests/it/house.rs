//! A real engine in a folder of its own, a migrated store on it, and rows put in by plain SQL.

use std::path::PathBuf;

use store::{
    Config, RawConfig, Store,
    engine::{Engine, EngineConfig},
};

pub struct House {
    engine: Engine,
    pub store: Store,
    _folder: tempfile::TempDir,
}

impl House {
    pub async fn build() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().join("engine");
        let config = EngineConfig {
            library: library(),
            program: env!("CARGO_BIN_EXE_analyzer-engine-child").into(),
            data_dir: data_dir.clone(),
            http_port: 0,
            max_memory_bytes: EngineConfig::DEFAULT_MAX_MEMORY_BYTES,
        };
        let engine = Engine::start(config).await.unwrap();
        let store = Store::connect(&Config::new(RawConfig { data_dir, ..RawConfig::default() }).unwrap()).unwrap();
        store.migrate().await.unwrap();
        Self { engine, store, _folder: folder }
    }

    /// Runs a statement as a person would; its answer as text.
    pub async fn ask(&self, sql: &str) -> String {
        let password = std::fs::read_to_string(self.engine.password_file()).unwrap();
        let answer = reqwest::Client::new()
            .post(format!("{}/?database=driftline", self.engine.url()))
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

fn library() -> PathBuf {
    let in_workspace = concat!(env!("CARGO_MANIFEST_DIR"), "/../.deps/chdb/libchdb.so");
    let path = std::env::var_os("DRIFTLINE_CHDB").map_or_else(|| PathBuf::from(in_workspace), PathBuf::from);
    assert!(path.exists(), "{} is absent: run `make deps`", path.display());
    path
}
