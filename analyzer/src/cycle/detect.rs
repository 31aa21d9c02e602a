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
pub struct Detectors {
    known: HashMap<String, Detector>,
    /// End of the window that left them so; `None` where they start anew.
    after_ms: Option<i64>,
}

impl Detectors {
    /// What was known after a window; nothing where that was judged over another reference.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn after(reader: &Reader, at: DetectorsAt<'_>) -> Result<Self, store::Error> {
        let stored = reader.detectors(at).await?;
        // A row of another version's making is no reason to stop: its feature starts afresh.
        let read = |DetectorState { feature, state }| Some((feature, serde_json::from_str(&state).ok()?));
        let after_ms = (!stored.is_empty()).then_some(at.window_end_ms);
        Ok(Self { known: stored.into_iter().filter_map(read).collect(), after_ms })
    }

    /// End of the window that left them so; `None` where they start anew.
    #[must_use]
    pub const fn after_ms(&self) -> Option<i64> {
        self.after_ms
    }

    /// The detector of one feature.
    #[must_use]
    pub fn of(&self, name: &str) -> Detector {
        self.known.get(name).cloned().unwrap_or_default()
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
        let before = features.iter().map(|frozen| self.of(&frozen.name)).collect();
        watch::watch(&inputs, before, policy)
    }

    /// Keeps what the window that ends at a time left.
    pub fn keep(&mut self, end_ms: i64, detectors: impl IntoIterator<Item = (String, Detector)>) {
        *self = Self { known: detectors.into_iter().collect(), after_ms: Some(end_ms) };
    }
}

/// A detector as it is written down.
#[must_use]
pub fn state(feature: &str, detector: &Detector) -> DetectorState {
    // Numbers and lists of numbers always serialise.
    DetectorState { feature: feature.to_owned(), state: serde_json::to_string(detector).unwrap_or_default() }
}
