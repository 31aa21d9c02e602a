//! The ONNX Runtime library: loaded once a process, by path, with a typed error where it is missing.
//!
//! The library allows one environment a process, for ever (a second is refused even after the first is gone). That is
//! the one global of this crate; it holds no configuration but the path, and sessions ask for it by [`Runtime::load`].

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::Session;

use super::device::Device;

static LOADED: Mutex<Option<(PathBuf, Runtime)>> = Mutex::new(None);

/// A loaded ONNX Runtime library.
#[derive(Clone)]
pub(crate) struct Runtime {
    environment: Environment,
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").finish_non_exhaustive()
    }
}

/// Why the library cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RuntimeError {
    /// There is no such file.
    #[error(
        "there is no ONNX Runtime library at {0}: set `onnxruntime` to the path of libonnxruntime.so (`make deps` \
         fetches one to .deps/onnxruntime/libonnxruntime.so)"
    )]
    Missing(PathBuf),
    /// It is there and cannot be loaded.
    #[error(
        "the ONNX Runtime library at {path} cannot be loaded: {why}; set `onnxruntime` to a libonnxruntime.so of version 1.22 or later"
    )]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What the loader said.
        why: String,
    },
    /// Another one is in use.
    #[error("this process has loaded the ONNX Runtime library at {loaded} already and cannot load {asked} too")]
    Another {
        /// In use.
        loaded: PathBuf,
        /// Asked for.
        asked: PathBuf,
    },
}

/// How a session shall run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SessionOptions {
    /// Threads inside the session.
    pub(crate) intra_threads: usize,
    /// Whether to plan memory by shape: only where shapes repeat, or it grows with each new one.
    pub(crate) memory_pattern: bool,
    /// Where it runs.
    pub(crate) device: Device,
}

impl Runtime {
    /// The library at `path`.
    ///
    /// # Errors
    /// [`RuntimeError`], with what to set.
    pub(crate) fn load(path: &Path) -> Result<Self, RuntimeError> {
        let path = path.canonicalize().map_err(|_| RuntimeError::Missing(path.to_path_buf()))?;
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        match &*loaded {
            Some((at, runtime)) if *at == path => Ok(runtime.clone()),
            Some((at, _)) => Err(RuntimeError::Another { loaded: at.clone(), asked: path }),
            None => {
                let runtime = Self::open(&path).map_err(|why| RuntimeError::Unusable { path: path.clone(), why })?;
                *loaded = Some((path, runtime.clone()));
                Ok(runtime)
            }
        }
    }

    fn open(path: &Path) -> Result<Self, String> {
        let builder = ort::init_from(path).map_err(|error| error.to_string())?;
        let builder = builder.with_name("driftline").with_telemetry(false);
        let environment = builder.build().map_err(|error| error.to_string())?;
        environment.set_log_level(LogLevel::Error);
        Ok(Self { environment })
    }

    /// A session of the graph at `path`.
    ///
    /// # Errors
    /// What ONNX Runtime said.
    pub(crate) fn session(&self, path: &Path, options: SessionOptions) -> Result<Session, String> {
        self.try_session(path, options).map_err(|error| match options.device {
            Device::Cpu => error.to_string(),
            device @ Device::Cuda(_) => format!(
                "it shall run on {device}, and ONNX Runtime says: {error}; use a libonnxruntime.so that is built for CUDA \
                 on a machine with the card, set proxy.models.cuda.on_failure = \"cpu\", or remove [proxy.models.cuda]"
            ),
        })
    }

    fn try_session(&self, path: &Path, options: SessionOptions) -> ort::Result<Session> {
        let builder = Session::builder(&self.environment)?;
        // Spinning threads burn the core that another session needs.
        let builder = builder.with_intra_threads(options.intra_threads)?.with_intra_op_spinning(false)?;
        let builder = builder.with_inter_threads(1)?.with_inter_op_spinning(false)?;
        let builder = builder.with_memory_pattern(options.memory_pattern)?;
        let mut builder = match options.device.register() {
            Some(provider) => builder.with_execution_providers([provider])?,
            None => builder,
        };
        builder.commit_from_file(path)
    }
}

/// What the loaded library says of its own build: version, commit, flags.
#[must_use]
pub fn library_build() -> &'static str {
    ort::info()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_says_what_to_set() {
        let error = Runtime::load(Path::new("/nowhere/libonnxruntime.so")).unwrap_err().to_string();
        assert!(error.contains("/nowhere/libonnxruntime.so") && error.contains("set `onnxruntime`"), "{error}");
    }
}
