//! Lists that are read with a filter: stored samples, events.

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
    http::StatusCode,
};
use contract::api::{Event, page::Sample};
use serde::Deserialize;
use store::read::page::{EventFilter, SampleFilter, SampleRow};

use super::{Api, Refusal, bad_query, range::Asked, views::turn};
use crate::cycle;

/// Samples in one answer, and unless asked otherwise.
const SAMPLES_MAX: u64 = 200;
const SAMPLES: u64 = 50;
/// Events in one answer.
const EVENTS_MAX: u64 = 500;
/// Characters of a text to look for.
const CONTAINS_MAX: usize = 200;
/// A sender's clock may be ahead by this much.
const AHEAD_MS: i64 = 86_400_000;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SamplesAsked {
    model: String,
    outcome: String,
    label: String,
    #[serde(rename = "match")]
    contains: String,
    confidence_max: Option<f64>,
    before_ms: Option<i64>,
    limit: Option<u64>,
}

pub(super) async fn samples(
    State(api): State<Api>,
    asked: Result<Query<SamplesAsked>, QueryRejection>,
) -> Result<Json<Vec<Sample>>, Refusal> {
    let Query(asked) = asked.map_err(|error| bad_query(&error))?;
    let bad = |what: &str| Err(Refusal(StatusCode::BAD_REQUEST, what.to_owned()));
    if asked.contains.len() > CONTAINS_MAX {
        return bad("match is longer than 200 bytes; look for less");
    }
    if asked.confidence_max.is_some_and(|most| !(0.0..=1.0).contains(&most)) {
        return bad("confidence_max has to be a number from 0 to 1");
    }
    let before_ms = asked.before_ms.unwrap_or_else(|| (api.clock)() + AHEAD_MS);
    if !(0..=4_102_444_800_000).contains(&before_ms) {
        return bad("before_ms has to be a time in milliseconds since 1970, before the year 2100");
    }
    let filter = SampleFilter {
        model: asked.model,
        outcome: asked.outcome,
        label: asked.label,
        contains: asked.contains,
        confidence_max: asked.confidence_max,
        before_ms,
        limit: asked.limit.unwrap_or(SAMPLES).clamp(1, SAMPLES_MAX),
    };
    let _turn = turn(&api).await?;
    Ok(Json(api.reader.samples(&filter).await?.into_iter().map(sample).collect()))
}

fn sample(row: SampleRow) -> Sample {
    Sample {
        id: row.id,
        at_ms: row.at_ms,
        model: row.model,
        version: row.version,
        outcome: row.outcome,
        reason: row.reason,
        label: row.label,
        confidence: row.confidence.filter(|value| value.is_finite()),
        total_ms: row.total_ms,
        input: row.input,
        output: row.output,
        inclusion_probability: row.inclusion_probability,
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct EventsAsked {
    model: String,
    kind: String,
    from_ms: Option<i64>,
    to_ms: Option<i64>,
    limit: Option<u64>,
}

pub(super) async fn events(
    State(api): State<Api>,
    asked: Result<Query<EventsAsked>, QueryRejection>,
) -> Result<Json<Vec<Event>>, Refusal> {
    let Query(asked) = asked.map_err(|error| bad_query(&error))?;
    let now_ms = (api.clock)();
    let mut span = Asked { from_ms: asked.from_ms, to_ms: asked.to_ms }.span(now_ms)?;
    if asked.to_ms.is_none() {
        // what a clock ahead of this one wrote down has happened too
        span.end_ms += AHEAD_MS;
    }
    let limit = asked.limit.unwrap_or(EVENTS_MAX).clamp(1, EVENTS_MAX);
    let filter = EventFilter { model: asked.model, kind: asked.kind, span, limit };
    let _turn = turn(&api).await?;
    Ok(Json(api.reader.events_of(&filter).await?.into_iter().map(cycle::event).collect()))
}
