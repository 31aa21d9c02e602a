//! The step `mask`: what patterns find, and the names that a model finds where one is asked.

use contract::metrics::collector::SOURCE_PROXY;
use contract::wire::{Observation, Payload};
use masking::{Hits, Known, MaskedSample, WITHHELD_NAMES_LIMIT, Withheld};

use super::{Found, Refusal, Shared};

/// What a model said of a post's texts.
pub(super) struct NamesIn {
    known: Known,
    /// Whether it answered; then what it did not answer for it never will.
    answered: bool,
}

impl NamesIn {
    fn refusal(&self, why: Withheld) -> Refusal {
        if self.answered || why == Withheld(WITHHELD_NAMES_LIMIT) {
            let sentence = "a text cannot be looked through for names (masking.names.max_bytes, or the model's own \
                            limits), so nothing was stored; send it shorter";
            return Refusal::TooLarge(sentence.to_owned());
        }
        Refusal::later("the model that finds names (collector.names) does not answer; nothing was stored", 5)
    }
}

impl Shared {
    /// What a model finds in observations, where one is to be asked. Blocks: posts are worked on by threads of their own.
    pub(super) fn names(&self, source: &str, of: &[&Observation]) -> Option<Known> {
        // a proxy of ours has masked names where it was told to
        let namer = self.namer.as_ref().filter(|namer| source != SOURCE_PROXY || namer.asks_of_batches())?;
        Some(tokio::runtime::Handle::current().block_on(namer.of_observations(of, source == SOURCE_PROXY)))
    }

    /// The same of texts that stand alone. They are all that their post says, so without an answer it is refused.
    pub(super) fn names_in<'a>(&self, of: impl IntoIterator<Item = &'a str>) -> Option<NamesIn> {
        let namer = self.namer.as_ref()?;
        let (known, answered) = tokio::runtime::Handle::current().block_on(namer.of_texts(of));
        Some(NamesIn { known, answered })
    }

    /// Masks a name: a class, a kind.
    pub(super) fn name(&self, name: &mut String, names: Option<&NamesIn>, hits: &mut Hits) -> Result<(), Refusal> {
        let (masked, found) = match names {
            Some(names) => self.masker.mask_name_named(name, &names.known).map_err(|why| names.refusal(why))?,
            None => self.masker.mask_name(name),
        };
        hits.merge(&found);
        *name = masked;
        Ok(())
    }

    /// Masks a text.
    pub(super) fn text(&self, text: &mut String, names: Option<&NamesIn>, hits: &mut Hits) -> Result<(), Refusal> {
        let (masked, found) = match names {
            Some(names) => self.masker.mask_text_named(text, &names.known).map_err(|why| names.refusal(why))?,
            None => self.masker.mask_text(text),
        };
        hits.merge(&found);
        *text = masked;
        Ok(())
    }

    /// Masks an observation; a payload that it cannot make safe is noted.
    pub(super) fn masked(&self, plain: Observation, names: Option<&Known>, found: &mut Found) -> MaskedSample {
        let kept = matches!(plain.payload, Payload::Kept(_));
        let done = match names {
            Some(names) => self.masker.mask_named(plain, names),
            None => self.masker.mask(plain),
        };
        found.hits.merge(&done.hits);
        if let (true, Payload::Withheld(reason)) = (kept, &done.sample.payload) {
            *found.withheld.entry(reason.clone()).or_default() += 1;
        }
        done.sample
    }
}
