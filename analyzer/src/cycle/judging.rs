//! One window of a list of features, against what was known before it: the same for whole features and for parts of the traffic.

use std::collections::HashMap;

use contract::api::DriftState;
use store::read::Window;

use super::{
    detect::Detectors,
    span::{Recent, Taken},
};
use crate::{
    baseline::Frozen,
    config::Hours,
    judge::{
        gate::{self, Finding, Input, Policy, Track},
        watch::{self, Watched},
    },
};

/// What a window is judged with.
#[derive(Clone, Copy)]
pub(super) struct Bench<'a> {
    /// Counts of recent windows.
    pub recent: &'a Recent,
    /// Detectors as the window before left them.
    pub detectors: &'a Detectors,
    /// States as the window before left them.
    pub tracks: &'a HashMap<String, Track>,
    /// What the user decided.
    pub policy: &'a Policy,
    /// The window.
    pub window: Window,
    /// Start of the oldest window that may be judged together with it.
    pub from_ms: i64,
    /// Which hours have references of their own.
    pub hours: Hours,
}

/// One feature after the window.
pub(super) struct Looked {
    pub finding: Finding,
    pub watched: Watched,
    pub before: Track,
    pub track: Track,
    pub cells: Vec<u64>,
    /// Start of the oldest window taken.
    pub start_ms: i64,
}

impl Bench<'_> {
    /// Judges features; what is found comes in their order.
    pub fn look(&self, features: &[Frozen]) -> Vec<Looked> {
        let (taken, cells): (Vec<Taken>, Vec<Vec<u64>>) = features.iter().map(|frozen| self.take(frozen)).unzip();
        let inputs: Vec<Input<'_>> = features
            .iter()
            .zip(&cells)
            .map(|(frozen, current)| Input { reference: &frozen.reference, current })
            .collect();
        let findings = gate::judge(&inputs, self.policy);
        let watched = self.detectors.look(features, self.recent, (self.window, self.hours), self.policy);
        let found = features.iter().zip(findings).zip(watched).zip(taken).zip(cells);
        found
            .map(|((((frozen, finding), watched), taken), cells)| {
                let (finding, before, track) = self.follow(frozen, finding, &watched);
                Looked { finding, watched, before, track, cells, start_ms: taken.start_ms }
            })
            .collect()
    }

    fn take(&self, frozen: &Frozen) -> (Taken, Vec<u64>) {
        let mut taken = self.recent.take(&frozen.name, self.from_ms, self.window.end_ms, self.policy.n_min);
        taken.start_ms = taken.start_ms.min(self.window.start_ms);
        let cells = frozen.reference.cells(std::mem::take(&mut taken.bins));
        (taken, cells)
    }

    /// The state that follows from what was found.
    fn follow(&self, frozen: &Frozen, mut finding: Finding, watched: &Watched) -> (Finding, Track, Track) {
        let before = self.tracks.get(&frozen.name).copied().unwrap_or_default();
        finding.call = watch::call(finding.call, watched, before.state, self.policy);
        // Values judged before are not evidence once more that a drift is over.
        let stale = !self.recent.holds(&frozen.name, self.window.start_ms) && before.state == DriftState::Drifted;
        let track = if stale { before } else { before.next(finding.call, self.policy.resolve_windows) };
        (finding, before, track)
    }
}
