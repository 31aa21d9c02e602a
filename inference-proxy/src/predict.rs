//! `POST /v1/models/{model}/predict`: texts in, labels, entities or vectors out, for people with curl.
//!
//! The body and the answers of each task are described in `docs/predict.md`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::encoding::Coding;
use crate::error::ApiError;
use crate::features;
use crate::handle::{self, Asked, Deadline, Edge, Named};
use crate::model::{Answer, Classes, Entity, Input, Served, Task};
use crate::observe::record::answer_bytes;
use crate::observe::{Arrived, Notes, ObservationId};
use crate::oip;
use crate::oip::encode::tensor_json;
use crate::oip::parameters::Parameters;
use crate::tensor::Tensor;

/// One text or several, or pairs of them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    text_pair: Option<String>,
    #[serde(default)]
    texts: Option<Texts>,
    /// Scores a text at most, best first; all without it.
    #[serde(default)]
    top_k: Option<usize>,
    /// What the client says about the request (a ticket number, a channel): kept with its content, and never read.
    #[serde(default)]
    parameters: Parameters,
}

/// The items, as many as any queue takes: sixteen million empty texts are a small body and a large list.
struct Texts(Vec<Item>);

/// A longer list is refused before it is built.
const MAX_TEXTS: usize = 1 << 16;

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Texts;
            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(to, "a list of at most {MAX_TEXTS} texts")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Texts, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    if items.len() == MAX_TEXTS {
                        return Err(de::Error::invalid_length(MAX_TEXTS + 1, &self));
                    }
                    items.push(item);
                }
                Ok(Texts(items))
            }
        }
        deserializer.deserialize_seq(List)
    }
}

/// An item of `texts`.
#[derive(Deserialize)]
#[serde(untagged, expecting = "an item of `texts` must be a text, [text, text] or {\"text\": …, \"text_pair\": …}")]
enum Item {
    Text(String),
    Pair(String, String),
    /// As Hugging Face's pipelines write it. A map, because serde reads a struct from a list too.
    Named(BTreeMap<Key, String>),
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Key {
    Text,
    TextPair,
}

/// A body that has been read.
struct Question {
    input: Input,
    top_k: usize,
    parameters: Map<String, Value>,
}

/// The answer.
#[derive(Serialize)]
pub struct Predictions {
    /// The observation's id: post labels under it.
    id: Uuid,
    model: String,
    /// The version that answered; `rule` where a rule did.
    version: String,
    /// The same as `model/version`.
    model_used: String,
    /// Whether it had been given before and nothing was run.
    from_cache: bool,
    /// What went wrong first, where a fallback answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    fallback: Option<Fallback>,
    task: &'static str,
    /// One an item; empty for a model of tensors that takes text and classifies nothing.
    predictions: Vec<Prediction>,
    /// What such a model gives, as the Open Inference Protocol writes it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    outputs: Vec<Value>,
    timing_ms: Timing,
}

#[derive(Serialize)]
struct Fallback {
    instead_of: String,
    reason: &'static str,
    error: String,
}

#[derive(Serialize)]
struct Prediction {
    #[serde(flatten)]
    found: Found,
    truncated: bool,
}

/// What a model says of one item; its shape is the task's.
#[derive(Serialize)]
#[serde(untagged)]
enum Found {
    Label {
        label: String,
        confidence: f64,
        /// All that hold, where several may at once.
        #[serde(skip_serializing_if = "Option::is_none")]
        labels: Option<Vec<String>>,
        scores: Ranking,
    },
    Entities {
        entities: Vec<Entity>,
    },
    Embedding {
        embedding: Vec<f32>,
    },
    Values {
        values: Vec<f32>,
    },
}

/// Labels with their probabilities, best first.
struct Ranking(Vec<(String, f32)>);

impl Serialize for Ranking {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        self.0.iter().try_for_each(|(label, score)| map.serialize_entry(label, score))?;
        map.end()
    }
}

#[derive(Serialize)]
struct Timing {
    total: f64,
    tokenize: f64,
    queue: f64,
    infer: f64,
}

/// The handler.
pub async fn predict(
    State(edge): State<Arc<Edge>>,
    Extension(notes): Extension<Notes>,
    Extension(deadline): Extension<Deadline>,
    Extension(Arrived(arrived)): Extension<Arrived>,
    Extension(ObservationId(id)): Extension<ObservationId>,
    named: Named,
    request: Request,
) -> Result<Response, ApiError> {
    let coding = Coding::accepted(request.headers());
    let version = handle::find(&edge, &notes, &named)?;
    let body = handle::body(request, edge.max_body_bytes).await?;
    if !version.metadata().takes_text {
        let model = version.name();
        let sentence = format!("model '{model}' takes tensors, not text; use /v2/models/{model}/infer");
        return Err(ApiError::invalid("takes_no_text", sentence));
    }
    let Question { input, top_k, parameters } = handle::off_thread(body.len(), move || read(&body)).await?;
    let asked = Asked { version: &version, input, parameters, urgency: deadline.into() };
    let served = handle::run(&edge, &notes, asked).await?;
    let bytes = answer_bytes(&served.answer);
    let predictions = respond(id, &served, top_k, arrived.elapsed().as_secs_f64() * 1e3);
    oip::respond::json(predictions, bytes, coding).await
}

fn read(body: &[u8]) -> Result<Question, ApiError> {
    let Body { text, text_pair, texts, top_k, parameters: Parameters(parameters) } = oip::json(body)?;
    let input = match (text, text_pair, texts) {
        (Some(text), None, None) => Input::Texts(vec![text]),
        (Some(text), Some(pair), None) => Input::Pairs(vec![(text, pair)]),
        (None, None, Some(Texts(texts))) => items(texts)?,
        (None, None, None) => {
            return Err(ApiError::invalid("no_texts", "the body has neither `text` nor `texts`"));
        }
        (None, Some(_), _) => {
            return Err(ApiError::invalid("no_texts", "the body has a `text_pair` and no `text` that it belongs to"));
        }
        (Some(_), _, Some(_)) => {
            return Err(ApiError::invalid("two_texts", "the body has both `text` and `texts`; send one"));
        }
    };
    if top_k == Some(0) {
        return Err(ApiError::invalid("bad_top_k", "`top_k` must be at least 1"));
    }
    Ok(Question { input, top_k: top_k.unwrap_or(usize::MAX), parameters })
}

fn items(texts: Vec<Item>) -> Result<Input, ApiError> {
    if texts.is_empty() {
        return Err(ApiError::invalid("no_texts", "`texts` is empty"));
    }
    let (mut singles, mut pairs) = (Vec::new(), Vec::new());
    for item in texts {
        match item {
            Item::Text(text) => singles.push(text),
            Item::Pair(text, pair) => pairs.push((text, pair)),
            Item::Named(mut named) => match (named.remove(&Key::Text), named.remove(&Key::TextPair)) {
                (Some(text), None) => singles.push(text),
                (Some(text), Some(pair)) => pairs.push((text, pair)),
                (None, _) => return Err(ApiError::invalid("no_texts", "an item of `texts` has no `text`")),
            },
        }
    }
    match (singles.is_empty(), pairs.is_empty()) {
        (false, true) => Ok(Input::Texts(singles)),
        (true, _) => Ok(Input::Pairs(pairs)),
        (false, false) => {
            Err(ApiError::invalid("mixed_texts", "`texts` holds single texts and pairs; send them in two requests"))
        }
    }
}

fn predictions(task: Task, answer: &Answer, top_k: usize) -> Vec<Prediction> {
    let numbers = || answer.outputs.first().map_or_else(Vec::new, rows);
    let found: Vec<Found> = match task {
        Task::TokenClassification => {
            answer.entities.iter().cloned().map(|entities| Found::Entities { entities }).collect()
        }
        Task::FeatureExtraction => numbers().into_iter().map(|embedding| Found::Embedding { embedding }).collect(),
        Task::TextClassification if answer.classes.is_empty() => {
            numbers().into_iter().map(|values| Found::Values { values }).collect()
        }
        _ => answer.classes.iter().map(|classes| label(classes, top_k)).collect(),
    };
    let truncated = |n: usize| answer.texts.get(n).is_some_and(|text| text.truncated);
    found.into_iter().enumerate().map(|(n, found)| Prediction { found, truncated: truncated(n) }).collect()
}

/// The numbers of each item; vectors are computed in 32 bits, so more digits would be noise.
fn rows(tensor: &Tensor) -> Vec<Vec<f32>> {
    let row = |row| features::row(tensor, row).map(|x| x as f32).collect();
    (0..features::rows(tensor)).map(row).collect()
}

fn label(classes: &Classes, top_k: usize) -> Found {
    let winner = classes.prediction();
    let holding = || classes.holding().into_iter().map(str::to_owned).collect();
    Found::Label {
        label: winner.label,
        confidence: winner.confidence,
        labels: classes.threshold.map(|_| holding()),
        scores: Ranking(classes.ranked().take(top_k).map(|(label, score)| (label.to_owned(), score)).collect()),
    }
}

fn respond(id: Uuid, served: &Served, top_k: usize, total: f64) -> Predictions {
    let answer = &served.answer;
    let task = served.version.metadata().task;
    let outputs: &[Tensor] = if task == Task::Tensor && answer.classes.is_empty() { &answer.outputs } else { &[] };
    #[expect(clippy::cast_precision_loss, reason = "microseconds of a request")]
    let ms = |us: u64| us as f64 / 1e3;
    let timings = served.timings();
    Predictions {
        id,
        model: served.version.name().to_owned(),
        version: served.version_name().to_owned(),
        model_used: served.model_used(),
        from_cache: served.from_cache,
        fallback: served.fallen.as_ref().map(|fallen| Fallback {
            instead_of: fallen.version.clone(),
            reason: fallen.reason,
            error: fallen.why.clone(),
        }),
        task: task.as_str(),
        predictions: predictions(task, answer, top_k),
        outputs: outputs.iter().map(tensor_json).collect(),
        timing_ms: Timing {
            total,
            tokenize: ms(timings.tokenize_us),
            queue: ms(timings.queue_us),
            infer: ms(timings.infer_us),
        },
    }
}
