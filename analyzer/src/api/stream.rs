//! The overview without its verdicts, once or as server-sent events: one a cycle, the first at once.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Json,
    extract::State,
    http::{HeaderValue, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use contract::api::{
    DriftState, FeatureVerdict, ModelOverview,
    page::{Glance, ModelGlance, ShadowGlance},
};

use super::{Api, Refusal, busy, snapshot};
use crate::cycle::Snapshot;

/// Loud features that are named.
const LOUDEST: usize = 3;
/// Events that are sent.
const EVENTS: usize = 12;
/// A browser asks again after this; then its key is looked at again.
const LONGEST: Duration = Duration::from_secs(3_600);
/// A comment keeps proxies from closing a stream that says nothing.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub(super) async fn glance(State(api): State<Api>) -> Result<Json<Glance>, Refusal> {
    Ok(Json(of(&*snapshot(&api)?, (api.clock)())))
}

pub(super) async fn stream(State(api): State<Api>) -> Result<Response, Refusal> {
    let place =
        api.limits.stream().ok_or_else(|| busy("as many streams are open as analyzer.page.max_streams allows"))?;
    let (snapshots, closing) = (api.shared.subscribe(), api.closing.clone());
    let until = tokio::time::Instant::now() + LONGEST;
    let events = futures_util::stream::unfold((snapshots, true), move |(mut snapshots, first)| {
        // the place is free again when the stream is dropped
        let _held = &place;
        let (closing, clock) = (closing.clone(), Arc::clone(&api.clock));
        async move {
            let ready = first && snapshots.borrow_and_update().is_some();
            if !ready {
                tokio::select! {
                    changed = snapshots.changed() => changed.ok()?,
                    () = closing.cancelled() => return None,
                    () = tokio::time::sleep_until(until) => return None,
                }
            }
            let now: Option<Arc<Snapshot>> = snapshots.borrow_and_update().clone();
            // Numbers, texts and options always serialise.
            let event = Event::default().event("glance").json_data(of(&*now?, clock())).unwrap_or_default();
            Some((Ok::<_, Infallible>(event), (snapshots, false)))
        }
    });
    let mut answer = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
    // nginx would hold events back to fill its buffer
    answer.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(answer)
}

/// The overview of a snapshot without its verdicts.
fn of(snapshot: &Snapshot, sent_ms: i64) -> Glance {
    let overview = &snapshot.overview;
    Glance {
        at_ms: overview.at_ms,
        sent_ms,
        watermark_ms: overview.watermark_ms,
        models: overview.models.iter().map(model).collect(),
        slos: overview.slos.clone(),
        events: overview.events.iter().take(EVENTS).cloned().collect(),
        pipeline: overview.pipeline.clone(),
    }
}

fn model(model: &ModelOverview) -> ModelGlance {
    let mut loud: Vec<&FeatureVerdict> = model.features.iter().filter(|one| one.state >= DriftState::Watch).collect();
    let distance = |one: &FeatureVerdict| one.ks_lower.unwrap_or(0.0);
    loud.sort_by(|a, b| b.state.cmp(&a.state).then_with(|| distance(b).total_cmp(&distance(a))));
    ModelGlance {
        model: model.model.clone(),
        version: model.version.clone(),
        state: model.state,
        states: states(&model.features),
        loudest: loud.iter().take(LOUDEST).map(|one| one.feature.clone()).collect(),
        traffic: model.traffic,
        requests: model.history.iter().map(|point| (point.traffic.requests_per_second * 1e3).round() / 1e3).collect(),
        confidence_mean: model.confidence_mean,
        shadows: model
            .shadows
            .iter()
            .map(|one| ShadowGlance {
                shadow: one.shadow.clone(),
                pairs: one.pairs,
                agreement: one.agreement,
                verdict: one.verdict,
            })
            .collect(),
        baseline: model.baseline.clone(),
        judged_ms: model.features.iter().map(|one| one.window_end_ms).max(),
        waiting: model.waiting.clone(),
    }
}

/// Features by state.
pub(super) fn states(features: &[FeatureVerdict]) -> BTreeMap<DriftState, u64> {
    let mut states = BTreeMap::new();
    features.iter().for_each(|one| *states.entry(one.state).or_insert(0) += 1);
    states
}
