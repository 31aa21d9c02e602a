//! The detectors of one model: taken up where the last window left them, one window further, and written down.

use std::collections::HashMap;

use store::read::{DetectorState, DetectorsAt, Reader, Window};

use super::span::Recent;
use crate::{
    baseline::Frozen,
    judge::{
        gate::{Input, Policy},
        sequential::Detector,
        watch::{self, Watched},
    },
};

/// Detectors by feature. A feature without one starts with nothing known.
#[derive(Debug, Default)]
pub struct Detectors(HashMap<String, Detector>);

impl Detectors {
    /// What was known after a window; nothing where that was judged over another reference.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn after(reader: &Reader, at: DetectorsAt<'_>) -> Result<Self, store::Error> {
        let stored = reader.detectors(at).await?;
        // A row of another version's making is no reason to stop: its feature starts afresh.
        let read = |DetectorState { feature, state }| Some((feature, serde_json::from_str(&state).ok()?));
        Ok(Self(stored.into_iter().filter_map(read).collect()))
    }

    /// Every feature, in the order given, one window further. The detectors themselves stay: a window that cannot be written
    /// down is judged again.
    #[must_use]
    pub fn look(&self, features: &[Frozen], recent: &Recent, window: Window, policy: &Policy) -> Vec<Watched> {
        let own = |name: &str| recent.take(name, window.start_ms, window.end_ms, u64::MAX).bins;
        let cells: Vec<Vec<u64>> = features.iter().map(|frozen| frozen.reference.cells(own(&frozen.name))).collect();
        let inputs: Vec<Input<'_>> = features
            .iter()
            .zip(&cells)
            .map(|(frozen, current)| Input { reference: &frozen.reference, current })
            .collect();
        let before = features.iter().map(|frozen| self.0.get(&frozen.name).cloned().unwrap_or_default()).collect();
        watch::watch(&inputs, before, policy)
    }

    /// Keeps what a judged window left.
    pub fn keep(&mut self, detectors: impl IntoIterator<Item = (String, Detector)>) {
        self.0 = detectors.into_iter().collect();
    }
}

/// A detector as it is written down.
#[must_use]
pub fn state(feature: &str, detector: &Detector) -> DetectorState {
    // Numbers and lists of numbers always serialise.
    DetectorState { feature: feature.to_owned(), state: serde_json::to_string(detector).unwrap_or_default() }
}
