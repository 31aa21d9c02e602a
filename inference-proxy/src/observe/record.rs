//! An ended request, and how it becomes an observation.
//!
//! On the serving path only facts are moved here. Everything that costs (features, JSON of the content) is done in
//! [`Record::observation`], which the mirror calls on its own thread.

use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use contract::headers::KEEP_CONTENT;
use contract::wire::weight::{self, HANDLE_BYTES};
use contract::wire::{Content, Observation, Outcome, Payload, Prediction, ShadowAnswer, Timings};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::sampling::{Case, Sampling};
use super::{Facts, Route};
use crate::features;
use crate::mirror::{Record, TooLarge};
use crate::model::{Answer, Input, Role};
use crate::oip::encode::tensor_json;
use crate::shadow::{Asks, Shadows};
use crate::tensor::{Data, Tensor};

/// What an observation may hold.
#[derive(Debug)]
pub struct Rules {
    /// Which content is kept.
    pub sampling: Sampling,
}

/// An ended request.
#[derive(Debug)]
pub struct Ended {
    /// Its id.
    pub id: Uuid,
    /// Its trace.
    pub trace_id: String,
    /// When it arrived, milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// How it came in.
    pub route: Route,
    /// Pseudonym of the client.
    pub client: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// HTTP status; 0 when none was given.
    pub code: u16,
    /// Why it ended badly.
    pub reason: Option<&'static str>,
    /// Time from arrival to answer.
    pub took: Duration,
    /// Where that time went.
    pub timings: Timings,
    /// What the handler learnt.
    pub facts: Facts,
    /// Shadow answers that have come.
    pub shadows: Vec<ShadowAnswer>,
    /// Shadows still to be asked.
    pub asks: Option<Asks>,
    /// What the observation may hold.
    pub rules: Arc<Rules>,
}

/// What an observation takes in memory beside its content.
const BASE_BYTES: usize = 1_024;
/// The client does not want its content kept.
const UNWANTED: &str = "not_wanted";

/// Why the content of a request is not kept, where its client says so.
#[must_use]
pub fn unwanted(headers: &HeaderMap) -> Option<&'static str> {
    let said = headers.get(KEEP_CONTENT)?;
    said.as_bytes().eq_ignore_ascii_case(b"no").then_some(UNWANTED)
}

impl Ended {
    /// Decides which shadows will be asked the same: those of a primary that answered.
    #[must_use]
    pub fn beside(mut self, shadows: &Arc<Shadows>) -> Self {
        if self.outcome == Outcome::Ok
            && self.facts.role == Role::Primary
            && let Some(input) = &self.facts.input
        {
            self.asks = shadows.draw(&self.facts.model, self.id, input);
        }
        self
    }

    /// Whether another server answered it.
    #[must_use]
    pub fn is_forwarded(&self) -> bool {
        self.facts.exchange.is_some() || self.facts.running.as_ref().is_some_and(|version| version.upstream().is_some())
    }

    fn predictions(&self) -> Vec<Prediction> {
        let classes = self.facts.answer.iter().flat_map(|answer| &answer.classes);
        classes.map(crate::model::Classes::prediction).collect()
    }

    /// A request that was never understood, or that was wrong, has no content worth keeping.
    fn content_input(&self) -> Option<&Arc<Input>> {
        self.facts.input.as_ref().filter(|_| self.outcome != Outcome::Invalid)
    }

    fn payload(&self, predictions: &[Prediction]) -> Payload {
        if let Some(reason) = self.facts.withheld.filter(|_| self.has_content()) {
            return Payload::Withheld(reason.into());
        }
        let Some(input) = self.content_input() else { return Payload::None };
        let (id, outcome, took) = (self.id, self.outcome, self.took);
        let case = Case { id, outcome, took, predictions, shadows: &self.shadows };
        let Some(inclusion_probability) = self.rules.sampling.keeps(&case) else { return Payload::SampledOut };
        if input_bytes(input) + self.parameter_bytes() + self.answer_bytes() > self.rules.sampling.max_content_bytes {
            return Payload::Withheld("too_large".into());
        }
        let output = self.facts.answer.as_deref().map_or(Value::Null, answer_json);
        let input = input_json(input, &self.facts.parameters);
        Payload::Kept(Content { input, output, inclusion_probability })
    }

    fn parameter_bytes(&self) -> usize {
        self.facts.parameters.iter().map(|(key, value)| HANDLE_BYTES + key.len() + weight::json(value)).sum()
    }

    fn answer_bytes(&self) -> usize {
        self.facts.answer.as_deref().map_or(0, answer_bytes)
    }
}

impl Record for Ended {
    fn held_bytes(&self) -> usize {
        let input = self.facts.input.as_ref().map_or(0, |input| input_bytes(input));
        BASE_BYTES + input + self.parameter_bytes() + self.answer_bytes() + weight::shadows(&self.shadows)
    }

    fn has_content(&self) -> bool {
        self.content_input().is_some() || (self.facts.withheld.is_some() && self.outcome != Outcome::Invalid)
    }

    fn waits(&self) -> bool {
        self.asks.is_some()
    }

    async fn settle(&mut self) {
        if let Some(asks) = self.asks.take() {
            self.shadows = asks.answers(self.facts.answer.as_ref()).await;
        }
    }

    fn observation(self, max_bytes: usize) -> Result<Observation, TooLarge> {
        let predictions = self.predictions();
        // of what passed and was too long to be kept, the answer alone may be known
        let nothing = Input::Tensors(vec![]);
        let answered = self.facts.answer.is_some().then_some(&nothing);
        let features = match (self.content_input().map(AsRef::as_ref).or(answered), &self.facts.running) {
            (Some(input), Some(_)) if features::least_bytes(input) > max_bytes => return Err(TooLarge),
            (Some(input), Some(version)) => {
                version.count_violations(input);
                features::features(input, self.facts.answer.as_deref(), &version.metadata())
            }
            _ => vec![],
        };
        let items = self.facts.input.as_ref().map_or(predictions.len(), |input| features::items(input)).max(1);
        let payload = self.payload(&predictions);
        Ok(Observation {
            id: self.id,
            trace_id: Some(self.trace_id),
            at_ms: self.at_ms,
            model: self.facts.model,
            version: self.facts.version,
            route: self.route.as_str().to_owned(),
            outcome: self.outcome,
            code: self.code,
            reason: self.reason.map(str::to_owned),
            client: self.client,
            timings: self.timings,
            items: u32::try_from(items).unwrap_or(u32::MAX),
            features,
            predictions,
            shadows: self.shadows,
            payload,
        })
    }
}

/// What an answer takes in memory, its labels aside, which all answers of a version share.
pub(crate) fn answer_bytes(answer: &Answer) -> usize {
    let outputs: usize = answer.outputs.iter().map(tensor_bytes).sum();
    let classes: usize = answer.classes.iter().map(|c| HANDLE_BYTES + 4 * c.scores.len()).sum();
    let entities = answer.entities.iter().flatten().map(|e| 4 * HANDLE_BYTES + e.label.len() + e.text.len());
    outputs + classes + entities.sum::<usize>()
}

/// What an input takes in memory.
pub(crate) fn input_bytes(input: &Input) -> usize {
    match input {
        Input::Texts(texts) => texts.iter().map(|text| HANDLE_BYTES + text.len()).sum(),
        Input::Pairs(pairs) => pairs.iter().map(|(a, b)| 2 * HANDLE_BYTES + a.len() + b.len()).sum(),
        Input::Tensors(tensors) => tensors.iter().map(tensor_bytes).sum(),
    }
}

fn tensor_bytes(tensor: &Tensor) -> usize {
    let width = match tensor.data() {
        Data::Bool(_) | Data::Uint8(_) | Data::Int8(_) => 1,
        Data::Uint16(_) | Data::Int16(_) | Data::Fp16(_) | Data::Bf16(_) => 2,
        Data::Uint32(_) | Data::Int32(_) | Data::Fp32(_) => 4,
        Data::Uint64(_) | Data::Int64(_) | Data::Fp64(_) => 8,
        Data::Bytes(texts) => return texts.iter().map(|text| HANDLE_BYTES + text.len()).sum(),
    };
    tensor.data().len() * width
}

/// The input under `texts` or `inputs`, the parameters beside it under their own names: the masking rules name both
/// by path (`input.ticket`).
fn input_json(input: &Input, parameters: &Map<String, Value>) -> Value {
    let (key, value) = match input {
        Input::Texts(texts) => ("texts", json!(texts)),
        Input::Pairs(pairs) => ("texts", json!(pairs)),
        Input::Tensors(tensors) => ("inputs", tensors.iter().map(tensor_json).collect()),
    };
    let mut all = parameters.clone();
    all.insert(key.to_owned(), value);
    Value::Object(all)
}

fn answer_json(answer: &Answer) -> Value {
    let outputs: Vec<_> = answer.outputs.iter().map(tensor_json).collect();
    if !answer.entities.is_empty() {
        return json!({ "outputs": outputs, "entities": answer.entities });
    }
    if answer.classes.is_empty() {
        return json!({ "outputs": outputs });
    }
    let labels: Vec<_> = answer.classes.iter().map(|classes| classes.prediction().label).collect();
    json!({ "outputs": outputs, "labels": labels })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An ended request of a model's version 1, without anything in it.
    pub(crate) fn ended(model: &str, outcome: Outcome) -> Ended {
        let facts = Facts { model: model.into(), version: "1".into(), ..Facts::default() };
        Ended {
            id: Uuid::from_u128(1),
            trace_id: "t".into(),
            at_ms: 5,
            route: Route::Infer,
            client: None,
            outcome,
            code: 200,
            reason: None,
            took: Duration::from_millis(1),
            timings: Timings::default(),
            facts,
            shadows: vec![],
            asks: None,
            rules: rules(100),
        }
    }

    fn rules(max_content_bytes: usize) -> Arc<Rules> {
        let (share, confidence_below, slower_than) = (1.0, 0.0, None);
        let sampling =
            Sampling { share, errors: true, confidence_below, disagreements: true, slower_than, max_content_bytes };
        Arc::new(Rules { sampling })
    }

    fn asked(outcome: Outcome, text: &str) -> Ended {
        let mut ended = ended("m", outcome);
        ended.facts.input = Some(Arc::new(Input::Texts(vec![text.into()])));
        ended
    }

    #[test]
    fn content_is_kept_withheld_or_not_there() {
        let payload = |ended: Ended| ended.observation(1_000_000).unwrap().payload;
        assert_eq!(payload(ended("m", Outcome::Error)), Payload::None);
        assert_eq!(payload(asked(Outcome::Invalid, "x")), Payload::None);
        assert_eq!(payload(asked(Outcome::Ok, &"x".repeat(200))), Payload::Withheld("too_large".into()));
        let Payload::Kept(content) = payload(asked(Outcome::Ok, "x")) else { panic!("must be kept") };
        assert_eq!(content.input, json!({"texts": ["x"]}));
        let mut spoken = asked(Outcome::Ok, "x");
        spoken.facts.parameters = Map::from_iter([("ticket".into(), json!("T-1")), ("texts".into(), json!("y"))]);
        let Payload::Kept(content) = payload(Ended { rules: rules(1_000), ..spoken }) else { panic!("must be kept") };
        assert_eq!(content.input, json!({"texts": ["x"], "ticket": "T-1"}));
        let Payload::Kept(content) = payload(asked(Outcome::Ok, "x")) else { panic!("must be kept") };
        assert_eq!(content.output, Value::Null);
    }

    #[test]
    fn content_that_its_client_wants_forgotten_is_not_kept() {
        let said =
            |value: &str| unwanted(&HeaderMap::from_iter([(KEEP_CONTENT.parse().unwrap(), value.parse().unwrap())]));
        assert_eq!((unwanted(&HeaderMap::new()), said("yes"), said("No")), (None, None, Some(UNWANTED)));
        let mut ended = asked(Outcome::Ok, "x");
        ended.facts.withheld = said("no");
        assert!(ended.has_content(), "it is counted as withheld");
        let observation = ended.observation(1_000_000).unwrap();
        assert_eq!(observation.payload, Payload::Withheld("not_wanted".into()));
    }

    #[test]
    fn what_is_held_grows_with_the_content() {
        let (short, long) = (asked(Outcome::Ok, "x"), asked(Outcome::Ok, &"x".repeat(500)));
        assert_eq!(long.held_bytes() - short.held_bytes(), 499);
        assert!(long.has_content() && !asked(Outcome::Invalid, "x").has_content());
    }
}
