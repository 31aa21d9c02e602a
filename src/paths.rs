//! Where relative paths of a configuration point: what is read, from the configuration's folder; what is written,
//! from `data_dir` in it. An absolute path stays what it is.

use std::path::{Path, PathBuf};

use host::config::Faults;

use crate::config::RawConfig;

/// Makes every path of the configuration absolute.
pub fn resolve(raw: &mut RawConfig, folder: &Path) {
    let from = |base: &Path, path: &mut PathBuf| *path = base.join(&*path);
    from(folder, &mut raw.data_dir);
    from(folder, &mut raw.proxy.models.models_dir);
    from(folder, &mut raw.proxy.models.onnxruntime);
    from(&raw.data_dir, raw.proxy.models.tuning.dir.get_or_insert_with(|| "cost".into()));
    for edge in [&mut raw.proxy.edge, &mut raw.collector.edge, &mut raw.analyzer.edge] {
        edge.files().for_each(|path| from(folder, path));
    }
    raw.collector.names.proxy.files().for_each(|path| from(folder, path));
    raw.analyzer.rollout.proxy.files().for_each(|path| from(folder, path));
    raw.proxy.mirror.collector.files().for_each(|path| from(folder, path));
    raw.proxy.traces.receiver.files().for_each(|path| from(folder, path));
    let read = [&mut raw.slo_file, &mut raw.store.engine, &mut raw.store.password_file];
    read.into_iter().flatten().for_each(|path| from(folder, path));
    for baseline in raw.analyzer.baselines.values_mut() {
        from(folder, &mut baseline.file);
    }
    raw.log.audit_file.iter_mut().for_each(|path| from(&raw.data_dir, path));
    from(&raw.data_dir, &mut raw.store.data_dir);
    from(&raw.data_dir, &mut raw.collector.log.dir);
}

/// Notes what is to be read and is not there.
pub fn missing(raw: &RawConfig, faults: &mut Faults) {
    let models = &raw.proxy.models;
    let models_dir = "make it, and put each model into it as <name>/<version>/model.onnx";
    let onnxruntime = "give the path of libonnxruntime.so (`make deps` fetches it to .deps/onnxruntime)";
    let engine = "give the path of libchdb.so (`make deps` fetches it to .deps/chdb)";
    let given = [
        ("proxy.models.models_dir", Some(&models.models_dir), models_dir),
        ("proxy.models.onnxruntime", Some(&models.onnxruntime), onnxruntime),
        ("store.engine", raw.store.engine.as_ref(), engine),
        ("store.password_file", raw.store.password_file.as_ref(), "write the password into it"),
    ];
    for (key, path, remedy) in given {
        if let Some(path) = path.filter(|path| !path.exists()) {
            faults.push(key, format!("{} does not exist; {remedy}", path.display()));
        }
    }
}
