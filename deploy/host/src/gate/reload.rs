//! Keys and certificates as they are now: read at the start, and again when a file changes.
//!
//! A change is seen by size and time of modification, looked at every second: that works for editors, for `mv` and for
//! the mounted secrets of Kubernetes alike, and SIGHUP asks for a look at once. What cannot be read leaves the old in
//! place. Open connections keep what they began with.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use prometheus::IntCounterVec;
use tokio_rustls::rustls::ServerConfig;

use super::config::RawEdge;
use crate::auth::Authority;
use crate::config::Faults;

/// Time between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// What is read from files. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Reloaded {
    raw: Arc<RawEdge>,
    now: Arc<RwLock<Now>>,
    keys: Files,
    certificates: Files,
}

#[derive(Clone, Debug, Default)]
struct Now {
    authority: Option<Arc<Authority>>,
    tls: Option<Arc<ServerConfig>>,
}

/// Files, and what of each tells that it changed.
#[derive(Clone, Debug)]
struct Files(Vec<(PathBuf, Option<(SystemTime, u64)>)>);

impl Files {
    fn new(paths: impl Iterator<Item = PathBuf>) -> Self {
        Self(paths.map(|path| (path.clone(), stamp(&path))).collect())
    }

    /// Whether one has changed since the last look.
    fn look(&mut self) -> bool {
        let mut changed = false;
        for (path, known) in &mut self.0 {
            let now = stamp(path);
            changed |= *known != now;
            *known = now;
        }
        changed
    }
}

fn stamp(file: &Path) -> Option<(SystemTime, u64)> {
    let about = std::fs::metadata(file).ok()?;
    Some((about.modified().ok()?, about.len()))
}

impl Reloaded {
    /// Reads everything for the first time; faults are noted under `key`.
    pub(super) fn check(raw: &RawEdge, key: &str, faults: &mut Faults) -> Self {
        // looked at before they are read: a change in between is seen at the next look
        let (keys, certificates) = files(raw);
        let authority = raw.auth.is_on().then(|| Arc::new(raw.auth.read(&format!("{key}.auth"), faults)));
        let tls = raw.tls.as_ref().and_then(|tls| {
            crate::tls::server(tls).map_err(|error| faults.push(format!("{key}.tls"), error.to_string())).ok()
        });
        Self { raw: Arc::new(raw.clone()), now: Arc::new(RwLock::new(Now { authority, tls })), keys, certificates }
    }

    /// Who may come in; nobody is asked where there is none.
    pub(super) fn authority(&self) -> Option<Arc<Authority>> {
        self.now.read().unwrap_or_else(PoisonError::into_inner).authority.clone()
    }

    /// What new connections are shown; plain HTTP where there is none.
    pub(super) fn tls(&self) -> Option<Arc<ServerConfig>> {
        self.now.read().unwrap_or_else(PoisonError::into_inner).tls.clone()
    }

    /// Looks for changes until dropped.
    pub(super) async fn keep_up(&self, reloads: &IntCounterVec) {
        let (mut keys, mut certificates) = (self.keys.clone(), self.certificates.clone());
        let mut hangup = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).ok();
        loop {
            let asked = async {
                match &mut hangup {
                    Some(signal) => signal.recv().await,
                    None => std::future::pending().await,
                }
            };
            let asked = tokio::select! {
                _ = asked => true,
                () = tokio::time::sleep(LOOK) => false,
            };
            if keys.look() || asked {
                self.read_keys(reloads);
            }
            if certificates.look() || asked {
                self.read_certificates(reloads);
            }
        }
    }

    fn read_keys(&self, reloads: &IntCounterVec) {
        if !self.raw.auth.is_on() {
            return;
        }
        let mut faults = Faults::default();
        let authority = self.raw.auth.read("auth", &mut faults);
        let read = faults.result(Arc::new(authority)).map_err(|faults| faults.to_string());
        self.take("keys", reloads, read, |now, authority| now.authority = Some(authority));
    }

    fn read_certificates(&self, reloads: &IntCounterVec) {
        let Some(tls) = &self.raw.tls else { return };
        let read = crate::tls::server(tls).map_err(|error| error.to_string());
        self.take("certificate", reloads, read, |now, tls| now.tls = Some(tls));
    }

    fn take<T>(&self, kind: &str, reloads: &IntCounterVec, read: Result<T, String>, put: impl FnOnce(&mut Now, T)) {
        let outcome = match read {
            Ok(new) => {
                put(&mut self.now.write().unwrap_or_else(PoisonError::into_inner), new);
                tracing::info!(kind, "read again");
                "ok"
            }
            Err(error) => {
                tracing::error!(kind, error, "cannot be read again; the old goes on serving");
                "error"
            }
        };
        reloads.with_label_values(&[kind, outcome]).inc();
    }
}

/// The files of keys, and those of certificates.
fn files(raw: &RawEdge) -> (Files, Files) {
    let mut raw = raw.clone();
    let certificates = Files::new(raw.tls.iter_mut().flat_map(|tls| tls.files()).map(|file| file.clone()));
    raw.tls = None;
    (Files::new(raw.files().map(|file| file.clone())), certificates)
}
