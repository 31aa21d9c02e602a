//! What of an observation is gone over: everything that a person or a client can have written.

mod others;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use contract::faults::Faults;
use contract::feature;
use contract::wire::{Content, Feature, FeatureValue, Observation, Payload, Prediction};
use serde_json::Value;

use crate::config::{Checked, RawField};
use crate::entity::{Entity, Hits};
use crate::json::{self, Walk, Withhold, may_identify, number_entity};
use crate::names::Names;
use crate::naming::{self, Inquiry, Known, Memo, Naming, Scope, View};
use crate::recognize::Context;
use crate::text::{self, Given, Outcome, Rules, WITHHELD};
use crate::{MaskedSample, RawConfig, WITHHELD_ERROR, WITHHELD_LIMIT, WITHHELD_RULE};

/// Recognizes and replaces personal data, as configured.
#[derive(Clone, Debug)]
pub struct Masker {
    pub(crate) rules: Rules,
    fields: BTreeMap<String, RawField>,
    longest: usize,
    categories: BTreeMap<String, BTreeSet<String>>,
    naming: Arc<Naming>,
    max_payload_bytes: usize,
    max_payload_hits: u64,
}

/// A text, masked, and where what was replaced stood in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What it became.
    pub masked: String,
    /// What was replaced, in order.
    pub spans: Vec<Span>,
}

/// Something that was replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The entity, or the rule of the configuration.
    pub name: String,
    /// Where it stands in a JSON value, from `input`; empty for a text.
    pub path: String,
    /// Its first character, counted from 0, in the text (in a JSON value, in the text or key at `path`).
    pub start: usize,
    /// The character behind its last.
    pub end: usize,
}

/// A text or value that could not be made safe; the word is that of [`Payload::Withheld`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Withheld(pub &'static str);

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
        let Checked { operators, keys, rules, fields, naming } = config.check()?;
        let declared = config.categories.iter().map(|(name, values)| (name.clone(), values.iter().cloned().collect()));
        let &RawConfig { max_rule_matches, max_rule_bytes, .. } = config;
        Ok(Self {
            rules: Rules { operators, keys, rules, max_rule_matches, max_rule_bytes, names: Names::default() },
            longest: fields.keys().map(String::len).max().unwrap_or(0),
            fields,
            categories: declared.collect(),
            naming,
            max_payload_bytes: config.max_payload_bytes,
            max_payload_hits: config.max_payload_hits,
        })
    }

    /// Goes over an observation. A payload past a limit is withheld.
    #[must_use]
    pub fn mask(&self, plain: Observation) -> Masked {
        self.go_over(plain, None)
    }

    /// The same with what a model said of its texts. Where it was not asked or did not answer, the payload is withheld,
    /// and so is every other text that may hold a name.
    #[must_use]
    pub fn mask_named(&self, plain: Observation, names: &Known) -> Masked {
        let view = names.view(&self.scope(names.strangers), &self.naming, &plain);
        self.go_over(plain, Some(&view))
    }

    /// What a model that finds names is to be asked about observations.
    #[must_use]
    pub fn inquiry<'a>(&self, of: impl IntoIterator<Item = &'a Observation>, memo: &Memo) -> Inquiry {
        Inquiry::new(&self.naming, &self.scope(false), of, memo)
    }

    /// The same of observations that no proxy of ours has made: what they call classes, statistics and columns is asked
    /// about too, since a person may have written it.
    #[must_use]
    pub fn inquiry_of_strangers<'a>(&self, of: impl IntoIterator<Item = &'a Observation>, memo: &Memo) -> Inquiry {
        Inquiry::new(&self.naming, &self.scope(true), of, memo)
    }

    /// The same of texts that stand alone, but for words as programs write them.
    #[must_use]
    pub fn inquiry_of_texts<'a>(&self, of: impl IntoIterator<Item = &'a str>, memo: &Memo) -> Inquiry {
        Inquiry::of_texts(&self.naming, of, memo)
    }

    /// The same of a text or a JSON value that is looked at as the input of a payload.
    #[must_use]
    pub fn inquiry_of_input(&self, input: &Value, memo: &Memo) -> Inquiry {
        Inquiry::of_input(&self.naming, &self.scope(false), input, memo)
    }

    /// Whether any of a model's labels means a name: one without such a label finds none, whatever it is asked.
    #[must_use]
    pub fn knows_names(&self, labels: &[String]) -> bool {
        labels.iter().any(|label| self.naming.entity(label).is_some())
    }

    fn go_over(&self, plain: Observation, names: Option<&View<'_>>) -> Masked {
        let mut hits = Hits::default();
        let mut masked = plain;
        for name in [&mut masked.model, &mut masked.version, &mut masked.route] {
            self.name(name, &mut hits);
        }
        let trace_id = masked.trace_id.as_mut().filter(|id| !is_trace_id(id));
        for text in [trace_id, masked.reason.as_mut()].into_iter().flatten() {
            self.word(text, names, &mut hits);
        }
        masked.client.iter_mut().for_each(|client| self.client(client, names, &mut hits));
        masked.features.iter_mut().for_each(|feature| self.feature(feature, names, &mut hits));
        self.labels(&mut masked.predictions, names, &mut hits);
        for shadow in &mut masked.shadows {
            self.name(&mut shadow.version, &mut hits);
            shadow.reason.iter_mut().for_each(|reason| self.word(reason, names, &mut hits));
            self.labels(&mut shadow.predictions, names, &mut hits);
        }
        masked.payload = self.payload(masked.payload, names, &mut hits);
        Masked { sample: MaskedSample::new(masked), hits }
    }

    /// Goes over a text that stands alone.
    #[must_use]
    pub fn mask_text(&self, text: &str) -> (String, Hits) {
        self.mask_text_with(text, &[])
    }

    /// Goes over a text of which the caller has found something already (names by a model, say): that is masked too, and
    /// counted apart. Ranges are widened to whole characters.
    #[must_use]
    pub fn mask_text_with(&self, text: &str, given: &[Given]) -> (String, Hits) {
        let mut hits = Hits::default();
        match self.rules.mask(text, Context::default(), given) {
            Outcome::Clean => (text.to_owned(), hits),
            Outcome::Masked(masked, pieces) => {
                text::count(&pieces, &mut hits);
                (masked, hits)
            }
            Outcome::Withheld(_) => (WITHHELD.to_owned(), hits),
        }
    }

    /// Goes over a name: a class, a model, a version. Four dotted numbers are a version there, not an address.
    #[must_use]
    pub fn mask_name(&self, name: &str) -> (String, Hits) {
        let (mut masked, mut hits) = (name.to_owned(), Hits::default());
        self.name(&mut masked, &mut hits);
        (masked, hits)
    }

    /// Masks a text and says what stood where: how a rule is tried before it is trusted.
    ///
    /// # Errors
    /// Where the text cannot be made safe.
    pub fn find(&self, text: &str) -> Result<Found, Withheld> {
        self.find_beside(text, &[])
    }

    /// The same with what a model said of the text, which [`Self::inquiry_of_input`] asks about.
    ///
    /// # Errors
    /// As [`Self::find`], and where it may hold a name and there is no answer.
    pub fn find_named(&self, text: &str, names: &Known) -> Result<Found, Withheld> {
        let given = names.view_of(text, &self.naming).of_text(text).map_err(withheld)?;
        self.find_beside(text, &given)
    }

    fn find_beside(&self, text: &str, given: &[Given]) -> Result<Found, Withheld> {
        match self.rules.mask(text, Context::default(), given) {
            Outcome::Clean => Ok(Found { masked: text.to_owned(), spans: vec![] }),
            Outcome::Withheld(why) => Err(withheld(why.into())),
            Outcome::Masked(masked, pieces) => {
                let (mut at, mut chars) = (0, 0);
                let spans = pieces.iter().map(|piece| {
                    let start = chars + text[at..piece.range.start].chars().count();
                    let end = start + text[piece.range.clone()].chars().count();
                    (at, chars) = (piece.range.end, end);
                    Span { name: self.rules.name(piece.kind).to_owned(), path: String::new(), start, end }
                });
                let spans = spans.collect();
                Ok(Found { masked, spans })
            }
        }
    }

    /// Masks a JSON value as the input of a payload and says what stood where.
    ///
    /// # Errors
    /// Where the value cannot be made safe.
    pub fn find_json(&self, value: Value) -> Result<(Value, Vec<Span>), Withheld> {
        self.traced(value, None)
    }

    /// The same with what a model said of its texts, which [`Self::inquiry_of_input`] asks about.
    ///
    /// # Errors
    /// As [`Self::find_json`], and where a text may hold a name and there is no answer.
    pub fn find_json_named(&self, value: Value, names: &Known) -> Result<(Value, Vec<Span>), Withheld> {
        let view = names.view_of_input(&self.scope(false), &self.naming, &value);
        self.traced(value, Some(&view))
    }

    fn traced(&self, value: Value, names: Option<&View<'_>>) -> Result<(Value, Vec<Span>), Withheld> {
        let mut walk = Walk { trace: Some(vec![]), names, ..self.walk() };
        let masked = walk.value(value, "input", Context::default(), 0).map_err(withheld)?;
        if walk.hits.total() > self.max_payload_hits {
            return Err(withheld(Withhold::Limit));
        }
        let spans = walk.trace.into_iter().flatten();
        let spans = spans.map(|t| Span { name: t.name, path: t.path, start: t.start, end: t.end });
        Ok((masked, spans.collect()))
    }

    /// The tokens that a value has under every configured key: what to look for in tables, also after a rotation.
    #[must_use]
    pub fn tokens(&self, entity: Entity, value: &str) -> Vec<String> {
        self.rules.keys.tokens(entity.marker().trim_matches(['[', ']']), entity, value)
    }

    fn name(&self, name: &mut String, hits: &mut Hits) {
        settle(name, self.rules.mask_name(name, Context::NAME), hits);
    }

    /// Goes over a text of which a model may have been asked.
    fn named(&self, text: &mut String, given: Result<Vec<Given>, Withhold>, context: Context, hits: &mut Hits) {
        match given {
            Ok(given) => settle(text, self.rules.mask(text, context, &given), hits),
            Err(_) => WITHHELD.clone_into(text),
        }
    }

    /// Goes over a word of a program's, as a rule: a reason, a pseudonym.
    fn word(&self, text: &mut String, names: Option<&View<'_>>, hits: &mut Hits) {
        let given = names.map_or(Ok(vec![]), |names| names.of_key(text));
        self.named(text, given, Context::default(), hits);
    }

    fn scope(&self, strangers: bool) -> Scope<'_> {
        let Self { fields, longest, categories, .. } = self;
        Scope { fields, longest: *longest, categories, strangers }
    }

    fn labels(&self, predictions: &mut [Prediction], names: Option<&View<'_>>, hits: &mut Hits) {
        predictions.iter_mut().for_each(|prediction| self.class(&mut prediction.label, names, hits));
    }

    fn feature(&self, feature: &mut Feature, names: Option<&View<'_>>, hits: &mut Hits) {
        // by the name that it came with
        let (field, label) = (self.fields.get(&feature.name).copied(), feature::is_label(&feature.name));
        let open = naming::is_open(&feature.name);
        let declared = match &feature.value {
            FeatureValue::Category(value) => self.scope(false).declares(&feature.name, value),
            FeatureValue::Number(_) | FeatureValue::Missing => false,
        };
        self.feature_name(&mut feature.name, names, hits);
        match field {
            Some(RawField::Allow) => return,
            Some(field) => return self.whole_feature(feature, field),
            None => {}
        }
        match &mut feature.value {
            FeatureValue::Category(value) if label && !declared => self.class(value, names, hits),
            FeatureValue::Category(value) if label => self.name(value, hits),
            FeatureValue::Category(value) if !declared => {
                let names = names.filter(|names| names.strangers() || open);
                let found = names.map_or(Ok(vec![]), |names| names.of_text(value));
                self.named(value, found, self.rules.names.context(&feature.name), hits);
            }
            FeatureValue::Number(x) => {
                // what is computed is named for no identifier, whatever its name looks like
                let computed = feature::is_statistic(&feature.name);
                let context = if computed { Context::default() } else { self.rules.names.context(&feature.name) };
                if may_identify(Some(*x), context)
                    && let Some(entity) = number_entity(&self.rules, &x.to_string(), Some(*x), context)
                {
                    hits.add(entity);
                    feature.value = FeatureValue::Missing;
                }
            }
            FeatureValue::Category(_) | FeatureValue::Missing => {}
        }
    }

    /// A number has no place for stars or tokens.
    fn whole_feature(&self, feature: &mut Feature, field: RawField) {
        feature.value = match &feature.value {
            FeatureValue::Category(value) if field != RawField::Drop => {
                FeatureValue::Category(json::whole(&self.rules, field, value))
            }
            _ => FeatureValue::Missing,
        };
    }

    fn payload(&self, payload: Payload, names: Option<&View<'_>>, hits: &mut Hits) -> Payload {
        match payload {
            // a recognizer that panics must not let the payload pass, nor take its neighbours in the batch along
            Payload::Kept(content) => match catch_unwind(AssertUnwindSafe(|| self.content(content, names))) {
                Ok(Ok((content, found))) => {
                    hits.merge(&found);
                    Payload::Kept(content)
                }
                Ok(Err(why)) => Payload::Withheld(withheld(why).0.to_owned()),
                Err(_) => Payload::Withheld(WITHHELD_ERROR.to_owned()),
            },
            Payload::Withheld(mut reason) => {
                self.word(&mut reason, names, hits);
                Payload::Withheld(reason)
            }
            Payload::None | Payload::SampledOut => payload,
        }
    }

    fn content(&self, content: Content, names: Option<&View<'_>>) -> Result<(Content, Hits), Withhold> {
        let mut walk = Walk { names, ..self.walk() };
        let input = walk.value(content.input, "input", Context::default(), 0)?;
        let output = walk.value(content.output, "output", Context::default(), 0)?;
        if walk.hits.total() > self.max_payload_hits {
            return Err(Withhold::Limit);
        }
        Ok((Content { input, output, ..content }, walk.hits))
    }

    fn walk(&self) -> Walk<'_> {
        Walk {
            rules: &self.rules,
            fields: &self.fields,
            longest: self.longest,
            bytes_left: self.max_payload_bytes,
            hits_max: self.max_payload_hits,
            hits: Hits::default(),
            names: None,
            trace: None,
        }
    }
}

const fn withheld(why: Withhold) -> Withheld {
    Withheld(match why {
        Withhold::Limit => WITHHELD_LIMIT,
        Withhold::Rule => WITHHELD_RULE,
        Withhold::Names(why) => why,
    })
}

/// W3C: 32 lower-case hexadecimal digits. Long runs of digits in one are chance.
fn is_trace_id(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())
}

fn settle(text: &mut String, outcome: Outcome, hits: &mut Hits) {
    match outcome {
        Outcome::Clean => {}
        Outcome::Masked(masked, pieces) => {
            text::count(&pieces, hits);
            *text = masked;
        }
        Outcome::Withheld(_) => WITHHELD.clone_into(text),
    }
}
