//! What of an observation is gone over: everything that a person or a client can have written.

use std::collections::{BTreeMap, BTreeSet};

use contract::faults::Faults;
use contract::feature;
use contract::wire::{Content, Feature, FeatureValue, Observation, Payload, Prediction};

use crate::entity::Hits;
use crate::json::{PastLimit, Walk, number_entity};
use crate::recognize::Context;
use crate::text::{self, Outcome, WITHHELD};
use crate::{MaskedSample, RawConfig, WITHHELD_LIMIT};

/// Recognizes and replaces personal data, as configured.
#[derive(Clone, Debug)]
pub struct Masker {
    allow: BTreeSet<String>,
    categories: BTreeMap<String, BTreeSet<String>>,
    max_payload_bytes: usize,
    max_payload_hits: u64,
}

/// A sample that may be stored, and what was replaced in it.
#[derive(Clone, Debug)]
pub struct Masked {
    /// The proof.
    pub sample: MaskedSample,
    /// What was replaced.
    pub hits: Hits,
}

impl Masker {
    /// Checks a configuration.
    ///
    /// # Errors
    /// All its faults.
    pub fn new(config: &RawConfig) -> Result<Self, Faults> {
        config.check()?;
        let declared = config.categories.iter().map(|(name, values)| (name.clone(), values.iter().cloned().collect()));
        Ok(Self {
            allow: config.allow.iter().cloned().collect(),
            categories: declared.collect(),
            max_payload_bytes: config.max_payload_bytes,
            max_payload_hits: config.max_payload_hits,
        })
    }

    /// Goes over an observation. A payload past a limit is withheld.
    #[must_use]
    pub fn mask(&self, plain: Observation) -> Masked {
        let mut hits = Hits::default();
        let mut masked = plain;
        for name in [&mut masked.model, &mut masked.version, &mut masked.route] {
            replace(name, Context::NAME, &mut hits);
        }
        masked.trace_id.as_mut().filter(|id| !is_trace_id(id)).into_iter().for_each(|id| replace_text(id, &mut hits));
        [&mut masked.reason, &mut masked.client].into_iter().flatten().for_each(|text| replace_text(text, &mut hits));
        masked.features.iter_mut().for_each(|feature| self.feature(feature, &mut hits));
        labels(&mut masked.predictions, &mut hits);
        for shadow in &mut masked.shadows {
            replace(&mut shadow.version, Context::NAME, &mut hits);
            shadow.reason.iter_mut().for_each(|reason| replace_text(reason, &mut hits));
            labels(&mut shadow.predictions, &mut hits);
        }
        masked.payload = self.payload(masked.payload, &mut hits);
        Masked { sample: MaskedSample::new(masked), hits }
    }

    /// Goes over a text that stands alone.
    #[must_use]
    pub fn mask_text(&self, text: &str) -> (String, Hits) {
        one(text, Context::default())
    }

    /// Goes over a name: a class, a model, a version. Four dotted numbers are a version there, not an address.
    #[must_use]
    pub fn mask_name(&self, name: &str) -> (String, Hits) {
        one(name, Context::NAME)
    }

    fn feature(&self, feature: &mut Feature, hits: &mut Hits) {
        let given = feature.name.clone();
        replace(&mut feature.name, Context::NAME, hits);
        let declared = |value: &str| self.categories.get(&given).is_some_and(|values| values.contains(value));
        let allowed = self.allow.contains(&given);
        let context = Context::of_key(&feature.name);
        match &mut feature.value {
            FeatureValue::Category(value) if feature.name == feature::OUTPUT_LABEL => {
                replace(value, Context::NAME, hits);
            }
            FeatureValue::Category(value) if !allowed && !declared(value) => replace(value, context, hits),
            // statistics of ours are no identifiers, whatever they look like
            FeatureValue::Number(x) if !allowed && !is_statistic(&feature.name) => {
                if let Some(entity) = number_entity(&x.to_string(), Some(*x), context) {
                    hits.add(entity);
                    feature.value = FeatureValue::Missing;
                }
            }
            FeatureValue::Category(_) | FeatureValue::Number(_) | FeatureValue::Missing => {}
        }
    }

    fn payload(&self, payload: Payload, hits: &mut Hits) -> Payload {
        match payload {
            Payload::Kept(content) => match self.content(content) {
                Ok((content, found)) => {
                    hits.merge(&found);
                    Payload::Kept(content)
                }
                Err(PastLimit) => Payload::Withheld(WITHHELD_LIMIT.to_owned()),
            },
            Payload::Withheld(mut reason) => {
                replace_text(&mut reason, hits);
                Payload::Withheld(reason)
            }
            Payload::None | Payload::SampledOut => payload,
        }
    }

    fn content(&self, content: Content) -> Result<(Content, Hits), PastLimit> {
        let mut walk = Walk {
            allow: &self.allow,
            bytes_left: self.max_payload_bytes,
            hits_max: self.max_payload_hits,
            hits: Hits::default(),
        };
        let input = walk.value(content.input, "input", Context::default(), 0)?;
        let output = walk.value(content.output, "output", Context::default(), 0)?;
        if walk.hits.total() > self.max_payload_hits {
            return Err(PastLimit);
        }
        Ok((Content { input, output, ..content }, walk.hits))
    }
}

fn labels(predictions: &mut [Prediction], hits: &mut Hits) {
    predictions.iter_mut().for_each(|prediction| replace(&mut prediction.label, Context::NAME, hits));
}

fn is_statistic(feature: &str) -> bool {
    feature.starts_with(feature::TEXT_PREFIX) || feature.starts_with(feature::OUTPUT_PREFIX)
}

/// W3C: 32 lower-case hexadecimal digits. Long runs of digits in one are chance.
fn is_trace_id(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())
}

fn one(text: &str, context: Context) -> (String, Hits) {
    let (mut masked, mut hits) = (text.to_owned(), Hits::default());
    replace(&mut masked, context, &mut hits);
    (masked, hits)
}

fn replace_text(text: &mut String, hits: &mut Hits) {
    replace(text, Context::default(), hits);
}

fn replace(text: &mut String, context: Context, hits: &mut Hits) {
    match text::mask(text, context) {
        Outcome::Clean => {}
        Outcome::Masked(masked, found) => {
            *text = masked;
            hits.merge(&found);
        }
        Outcome::Withheld => WITHHELD.clone_into(text),
    }
}
