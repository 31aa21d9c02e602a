//! What tests of models share: the real library, the small real models, a catalog over a copy of them.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use host::config::Faults;
use host::metrics::Registry;

use super::{Catalog, Input, RawModelsConfig};

/// The ONNX Runtime library: `DRIFTLINE_ONNXRUNTIME`, or what `make deps` fetched. A missing one fails the test.
pub(crate) fn onnxruntime() -> PathBuf {
    if let Some(path) = std::env::var_os("DRIFTLINE_ONNXRUNTIME") {
        return path.into();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.deps/onnxruntime/libonnxruntime.so");
    assert!(path.exists(), "there is no ONNX Runtime library at {}: run `make deps`", path.display());
    path
}

/// The folder of the small models.
pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models")
}

/// A catalog over a copy of some of the models, so that a test may spoil them.
pub(crate) struct House {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) registry: Registry,
    pub(crate) catalog: Catalog,
}

impl House {
    /// Copies the models named (`router/1`, say) and opens a catalog with these settings; nothing is loaded yet.
    pub(crate) fn open(models: &[&str], settings: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for model in models {
            // `make.py` writes to one folder, `make_tasks.py` to the other
            let folders = [fixtures(), fixtures().join("../tasks")];
            let from = folders.iter().map(|folder| folder.join(model)).find(|path| path.is_dir()).unwrap();
            copy(&from, &dir.path().join(model));
        }
        let mut raw: RawModelsConfig = toml::from_str(settings).unwrap();
        raw.models_dir = dir.path().to_path_buf();
        raw.onnxruntime = onnxruntime();
        let mut faults = Faults::default();
        let config = raw.check("models", &mut faults);
        assert!(faults.is_empty(), "{faults}");
        let registry = Registry::new();
        let catalog = Catalog::open(config, &registry).unwrap();
        Self { dir, registry, catalog }
    }

    /// [`Self::open`], and everything loaded.
    pub(crate) async fn ready(models: &[&str], settings: &str) -> Self {
        let house = Self::open(models, settings);
        assert!(house.catalog.load_all().await, "{:?}", house.catalog.states());
        house
    }

    /// A file of the copy.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Replaces a text in a file of the copy.
    pub(crate) fn edit(&self, name: &str, from: &str, to: &str) {
        let path = self.path(name);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{name} does not have '{from}'");
        std::fs::write(path, text.replacen(from, to, 1)).unwrap();
    }

    /// A line of the metrics.
    pub(crate) fn has_metric(&self, line: &str) -> bool {
        self.registry.render().lines().any(|found| found == line)
    }
}

/// Texts of a request.
pub(crate) fn texts(texts: &[&str]) -> Input {
    Input::Texts(texts.iter().map(|&text| text.to_owned()).collect())
}

/// A deadline that no test reaches.
pub(crate) fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

/// Copies a folder with all that is in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
