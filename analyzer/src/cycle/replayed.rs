//! The reference in force replayed against itself, once each, beside the cycle: it takes a second of a core and holds up nobody.

use contract::api::ReferenceReplay;
use tokio::task::JoinHandle;

use crate::{
    baseline::Baseline,
    judge::{gate::Policy, reference::Reference, selfcheck},
};

/// What was found of the reference in force, or is being found.
#[derive(Debug, Default)]
pub struct Replayed {
    fingerprint: String,
    running: Option<JoinHandle<ReferenceReplay>>,
    found: Option<ReferenceReplay>,
}

impl Replayed {
    /// What was found of the reference in force.
    #[must_use]
    pub const fn found(&self) -> Option<ReferenceReplay> {
        self.found
    }

    /// Starts where the reference is another than before, and takes what has ended.
    pub async fn turn(&mut self, baseline: Option<&Baseline>, policy: &Policy) {
        let Some(baseline) = baseline else { return };
        if self.fingerprint != baseline.info.fingerprint {
            self.fingerprint.clone_from(&baseline.info.fingerprint);
            let references: Vec<Reference> = baseline.features.iter().map(|one| one.reference.clone()).collect();
            let (policy, seed) = (*policy, self.fingerprint.clone());
            self.found = None;
            // one of a reference that is no longer in force ends by itself
            self.running = Some(tokio::task::spawn_blocking(move || {
                selfcheck::replay(&references.iter().collect::<Vec<_>>(), &policy, &seed)
            }));
        }
        if let Some(ended) = self.running.take_if(|running| running.is_finished()) {
            self.found = ended.await.ok();
        }
    }
}
