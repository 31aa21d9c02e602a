//! The step `mask`: what patterns find, and the names that a model finds where one is asked.

use contract::metrics::collector::SOURCE_PROXY;
use contract::wire::{Observation, Payload};
use masking::{Hits, Known, MaskedSample};

use super::Shared;

impl Shared {
    /// What a model finds in observations, where one is to be asked. Blocks: posts are worked on by threads of their own.
    pub(super) fn names(&self, source: &str, of: &[&Observation]) -> Option<Known> {
        // a proxy of ours has masked names where it was told to
        let namer = self.namer.as_ref().filter(|namer| source != SOURCE_PROXY || namer.asks_of_batches())?;
        Some(tokio::runtime::Handle::current().block_on(namer.ask(&self.masker, of)))
    }

    /// Masks an observation; a payload that it cannot make safe is counted.
    pub(super) fn masked(&self, plain: Observation, names: Option<&Known>, hits: &mut Hits) -> MaskedSample {
        let kept = matches!(plain.payload, Payload::Kept(_));
        let done = match names {
            Some(names) => self.masker.mask_named(plain, names),
            None => self.masker.mask(plain),
        };
        hits.merge(&done.hits);
        if let (true, Payload::Withheld(reason)) = (kept, &done.sample.payload) {
            self.metrics.withheld(reason);
        }
        done.sample
    }
}
