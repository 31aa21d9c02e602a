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
    let given = [
        ("proxy.models.models_dir", Some(&models.models_dir)),
        ("proxy.models.onnxruntime", Some(&models.onnxruntime)),
    ];
    let optional =
        [("store.engine", raw.store.engine.as_ref()), ("store.password_file", raw.store.password_file.as_ref())];
    for (key, path) in given.into_iter().chain(optional) {
        let there = path.is_none_or(|path| path.exists());
        faults.check(
            there,
            key,
            format!("{} does not exist", path.map_or_else(String::new, |p| p.display().to_string())),
        );
    }
}
