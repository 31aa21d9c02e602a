//! `POST /v1/models/{model}/predict`: texts in, labels out, for people with curl.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Extension;
use axum::Json;
use axum::extract::{Request, State};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::error::ApiError;
use crate::handle::{self, Asked, Deadline, Edge, Named};
use crate::model::{Input, Served};
use crate::observe::{Arrived, Notes, ObservationId};
use crate::oip;
use crate::oip::encode::OnWire;
use crate::tensor::Tensor;

/// One text or several.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    texts: Option<Vec<String>>,
    /// What the client says about the request (a ticket number, a channel): kept with its content, and never read.
    #[serde(default)]
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
    /// What went wrong first, where a fallback answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    fallback: Option<Fallback>,
    /// One a text; empty for a model that classifies nothing.
    predictions: Vec<Prediction>,
    /// What a model gives that classifies nothing.
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
    label: String,
    confidence: f64,
    scores: BTreeMap<String, f32>,
    truncated: bool,
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
) -> Result<Json<Predictions>, ApiError> {
    let version = handle::find(&edge, &notes, &named)?;
    let body = handle::body(request, edge.max_body_bytes).await?;
    if !version.metadata().takes_text {
        let model = version.name();
        let sentence = format!("model '{model}' takes tensors, not text; use /v2/models/{model}/infer");
        return Err(ApiError::invalid("takes_no_text", sentence));
    }
    let (texts, parameters) = handle::off_thread(body.len(), move || texts(&body)).await?;
    let asked = Asked { version: &version, input: Input::Texts(texts), parameters, urgency: deadline.0.into() };
    let served = handle::run(&edge, &notes, asked).await?;
    Ok(Json(respond(id, &served, arrived.elapsed().as_secs_f64() * 1e3)))
}

fn texts(body: &[u8]) -> Result<(Vec<String>, Map<String, Value>), ApiError> {
    let Body { text, texts, parameters } = oip::json(body)?;
    match (text, texts) {
        (Some(text), None) => Ok((vec![text], parameters)),
        (None, Some(texts)) if texts.is_empty() => Err(ApiError::invalid("no_texts", "`texts` is empty")),
        (None, Some(texts)) => Ok((texts, parameters)),
        (None, None) => Err(ApiError::invalid("no_texts", "the body has neither `text` nor `texts`")),
        (Some(_), Some(_)) => Err(ApiError::invalid("two_texts", "the body has both `text` and `texts`; send one")),
    }
}

fn respond(id: Uuid, served: &Served, total: f64) -> Predictions {
    let answer = &served.answer;
    let predictions = answer.classes.iter().enumerate().map(|(n, classes)| {
        let winner = classes.prediction();
        Prediction {
            label: winner.label,
            confidence: winner.confidence,
            scores: classes.labels.iter().cloned().zip(classes.scores.iter().copied()).collect(),
            truncated: answer.texts.get(n).is_some_and(|text| text.truncated),
        }
    });
    let outputs: &[Tensor] = if answer.classes.is_empty() { &answer.outputs } else { &[] };
    #[expect(clippy::cast_precision_loss, reason = "microseconds of a request")]
    let ms = |us: u64| us as f64 / 1e3;
    let timings = &answer.timings;
    Predictions {
        id,
        model: served.version.name().to_owned(),
        version: served.version_name().to_owned(),
        model_used: served.model_used(),
        fallback: served.fallen.as_ref().map(|fallen| Fallback {
            instead_of: fallen.version.clone(),
            reason: fallen.reason,
            error: fallen.why.clone(),
        }),
        predictions: predictions.collect(),
        outputs: outputs.iter().filter_map(|tensor| serde_json::to_value(OnWire(tensor)).ok()).collect(),
        timing_ms: Timing {
            total,
            tokenize: ms(timings.tokenize_us),
            queue: ms(timings.queue_us),
            infer: ms(timings.infer_us),
        },
    }
}
