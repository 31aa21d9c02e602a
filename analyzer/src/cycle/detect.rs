//! The detectors of one model: taken up where the last window left them, one window further, and written down.

use std::collections::HashMap;

use store::read::{DetectorState, DetectorsAt, Reader, Window};

use super::span::Recent;
use crate::{
    baseline::Frozen,
    config::Hours,
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
    /// down is judged again. Where hours have references of their own, the first window of another hour takes up nothing of what
    /// was remembered of the last one's; a feature that the first traffic made has one reference for all.
    #[must_use]
    pub fn look(
        &self,
        features: &[Frozen],
        recent: &Recent,
        (window, hours): (Window, Hours),
        policy: &Policy,
    ) -> Vec<Watched> {
        let own = |name: &str| recent.take(name, window.start_ms, window.end_ms, u64::MAX).bins;
        let cells: Vec<Vec<u64>> = features.iter().map(|frozen| frozen.reference.cells(own(&frozen.name))).collect();
        let inputs: Vec<Input<'_>> = features
            .iter()
            .zip(&cells)
            .map(|(frozen, current)| Input { reference: &frozen.reference, current })
            .collect();
        let changed = self.after_ms.is_some_and(|end_ms| hours.of(end_ms - 1) != hours.of(window.start_ms));
        let before = |frozen: &Frozen| {
            let mut detector = self.of(&frozen.name);
            if changed && !frozen.provisional {
                detector.forget();
            }
            detector
        };
        watch::watch(&inputs, features.iter().map(before).collect(), policy)
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

#[cfg(test)]
mod tests {
    use store::read::BinCount;

    use super::*;
    use crate::judge::gate::TEST_POLICY as POLICY;
    use crate::judge::{reference::Reference, sequential::Look};

    const HOUR_MS: i64 = 3_600_000;

    /// What was remembered of one hour's reference was bet on against the next one's.
    #[test]
    fn another_hour_takes_up_the_account_and_not_the_memory() {
        let reference = Reference::categories(vec![("a".into(), 5_000), ("b".into(), 5_000)], 0, 8);
        let frozen = |name: &str, provisional| Frozen { name: name.into(), reference: reference.clone(), provisional };
        let features = [frozen("chosen", false), frozen("first", true)];
        let points = crate::judge::sequential::points(&reference);
        let mut known = Detector::default();
        (0..20).for_each(|_| known.look(&points, 0.07, Look { cells: &[180, 20, 0, 0, 0], log_p: 0.0 }));
        let mut detectors = Detectors::default();
        detectors.keep(HOUR_MS, ["chosen", "first"].map(|name| (name.to_owned(), known.clone())));
        let after = |hours: Hours, start_ms: i64| {
            let mut recent = Recent::default();
            let count = |feature: &str, bin, n| BinCount { start_ms, feature: feature.to_owned(), bin, n };
            recent.put(["chosen", "first"].iter().flat_map(|name| [count(name, 0, 180), count(name, 1, 20)]).collect());
            let window = Window { start_ms, end_ms: start_ms + 60_000 };
            detectors.look(&features, &recent, (window, hours), &POLICY)
        };
        let (next, plain) = (after(Hours::Day, HOUR_MS), after(Hours::Off, HOUR_MS));
        let life = known.life();
        assert!(plain[0].life > life + 1.0, "what is remembered is bet on: {} {life}", plain[0].life);
        assert!((next[0].life - life).abs() < 1.0, "no bet, no loss: {} {life}", next[0].life);
        assert_eq!(next[1].life, plain[1].life, "one reference for all hours");
        let same = after(Hours::Day, 24 * HOUR_MS);
        assert_eq!(same[0].life, plain[0].life, "the same hour of another day");
    }
}
