//! What a version is for and whether it serves.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use super::device::Device;

/// What a version is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Answers clients.
    Primary,
    /// Answers a part of the clients in the primary's place, to be promoted or taken back.
    Canary,
    /// Runs beside the primary on a share of the requests; its answers are compared, never given.
    Shadow,
    /// Answers where the one that should cannot.
    Fallback,
    /// None of these: on disk, or kept for a rollback.
    Spare,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 5] = [Self::Primary, Self::Canary, Self::Shadow, Self::Fallback, Self::Spare];

    /// The word in labels, tables and metadata.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Canary => "canary",
            Self::Shadow => "shadow",
            Self::Fallback => "fallback",
            Self::Spare => "spare",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a version serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// On disk, not in memory.
    Unloaded,
    /// Being checked and warmed up.
    Loading,
    /// Serving.
    Ready,
    /// Finishing what it had accepted.
    Draining,
    /// Drained and still in memory, so that a rollback is quick.
    Standby,
    /// Refused.
    Failed {
        /// One sentence: file or sample, expected, found.
        why: String,
    },
}

impl State {
    /// The words of all states.
    pub const WORDS: [&'static str; 6] = ["unloaded", "loading", "ready", "draining", "standby", "failed"];

    /// The word in labels and tables.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Unloaded => "unloaded",
            Self::Loading => "loading",
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::Standby => "standby",
            Self::Failed { .. } => "failed",
        }
    }
}

/// Role and state of one version, with the time of the last change; shared by the catalog and the loaded version.
#[derive(Debug)]
pub(crate) struct Status {
    now: Mutex<Snapshot>,
    /// What its sessions run on, since it was last loaded.
    provider: Mutex<&'static str>,
}

/// A [`Status`] at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) role: Role,
    pub(crate) state: State,
    /// Milliseconds since the Unix epoch.
    pub(crate) since_ms: i64,
}

impl Status {
    pub(crate) fn new(role: Role, state: State) -> Self {
        let now = Snapshot { role, state, since_ms: host::clock::now_ms() };
        Self { now: Mutex::new(now), provider: Mutex::new(Device::Cpu.provider()) }
    }

    pub(crate) fn get(&self) -> Snapshot {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn role(&self) -> Role {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).role
    }

    /// What it runs on: the processor, unless a load said otherwise.
    pub(crate) fn provider(&self) -> &'static str {
        *self.provider.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what its sessions run on.
    pub(crate) fn runs_on(&self, provider: &'static str) {
        *self.provider.lock().unwrap_or_else(PoisonError::into_inner) = provider;
    }

    /// Changes role and state and returns what was before.
    pub(crate) fn set(&self, role: Role, state: State) -> Snapshot {
        let now = Snapshot { role, state, since_ms: host::clock::now_ms() };
        std::mem::replace(&mut *self.now.lock().unwrap_or_else(PoisonError::into_inner), now)
    }
}
