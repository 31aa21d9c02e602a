//! What the page's single views ask: a model, its traffic, its heat map, its confidence, shadows and objectives.
//!
//! Each answer is bounded in rows whatever the range, and each question takes its turn at the database, so that people who look
//! cannot hold up the judging.

use std::cmp::Reverse;

use axum::{
    Json,
    extract::{Path, Query, State, rejection::QueryRejection},
};
use contract::api::{
    Event, FeatureVerdict, ModelOverview, SloStatus,
    page::{
        AgreementPoint, BudgetPoint, ConfidencePoint, ConfidenceRange, Disagreement, Heat, HeatCell, HeatRow,
        ModelPage, ReliabilityBin, ShadowPage, SloPage, TrafficRange,
    },
    quality::Quality,
};
use serde::Deserialize;
use store::read::{
    Reader, ShadowCounts, Window,
    page::{EventFilter, HeatCounts, Steps},
};
use tokio::sync::OwnedSemaphorePermit;

use super::{
    Api, Refusal, bad_query, busy, missing,
    range::{Asked, steps},
    snapshot,
    stream::states,
};
use crate::{
    cycle::{self, figures},
    judge::{
        agreement::{self, ShadowPolicy},
        burn,
    },
};

/// Steps of a line.
const POINTS: i64 = 120;
/// Steps of a heat map.
const HEAT_STEPS: i64 = 72;
/// Features of a heat map.
const HEAT_ROWS: u64 = 40;
/// Judgements of a feature.
const EVIDENCE_POINTS: i64 = 240;
/// Features of a model in one answer, at most.
const FEATURES_MAX: usize = 500;
const FEATURES: usize = 60;
/// Bins of a reliability diagram.
const RELIABILITY_BINS: u32 = 10;
/// Points of a budget.
const BUDGET_POINTS: i64 = 96;
/// The window whose burn is projected: long enough to be no accident, short enough to know of today.
const PROJECTED_FROM: &str = "6h";
/// Events drawn into a range.
const EVENTS: u64 = 50;
/// Shadows of one version that are looked among.
const SHADOWS: u64 = 64;
/// Disagreements shown.
const DISAGREEMENTS: u64 = 40;

type Ranged = Result<Query<Asked>, QueryRejection>;

fn range(api: &Api, asked: Ranged) -> Result<Window, Refusal> {
    let Query(asked) = asked.map_err(|error| bad_query(&error))?;
    asked.span((api.clock)())
}

/// A turn at the database.
pub(super) async fn turn(api: &Api) -> Result<OwnedSemaphorePermit, Refusal> {
    api.limits
        .query()
        .await
        .ok_or_else(|| busy("the database is busy with other questions (analyzer.page.max_queries)"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FeaturesAsked {
    #[serde(rename = "match")]
    contains: String,
    state: String,
    limit: usize,
}

impl Default for FeaturesAsked {
    fn default() -> Self {
        Self { contains: String::new(), state: String::new(), limit: FEATURES }
    }
}

pub(super) async fn model(
    State(api): State<Api>,
    Path(name): Path<String>,
    asked: Result<Query<FeaturesAsked>, QueryRejection>,
) -> Result<Json<ModelPage>, Refusal> {
    let Query(asked) = asked.map_err(|error| bad_query(&error))?;
    let snapshot = snapshot(&api)?;
    let found = snapshot.overview.models.iter().find(|model| model.model == name);
    let whole = found.ok_or_else(|| missing(&format!("no model {name} was asked in the last day")))?;
    let wanted = asked.contains.to_lowercase();
    let matches = |one: &&FeatureVerdict| {
        one.feature.to_lowercase().contains(&wanted) && (asked.state.is_empty() || one.state.as_str() == asked.state)
    };
    let mut matching: Vec<&FeatureVerdict> = whole.features.iter().filter(matches).collect();
    let count = matching.len() as u64;
    // what moved first, and in each state the order in which features are judged: outputs, inputs, texts
    matching.sort_by_key(|one| Reverse(one.state));
    matching.truncate(asked.limit.min(FEATURES_MAX));
    let features: Vec<FeatureVerdict> = matching.into_iter().cloned().collect();
    // All but the features is small.
    let overview = ModelOverview {
        features,
        model: whole.model.clone(),
        version: whole.version.clone(),
        state: whole.state,
        traffic: whole.traffic,
        history: whole.history.clone(),
        confidence: whole.confidence.clone(),
        confidence_mean: whole.confidence_mean,
        classes: whole.classes.clone(),
        concept: whole.concept.clone(),
        embeddings: whole.embeddings.clone(),
        shadows: whole.shadows.clone(),
        baseline: whole.baseline.clone(),
        guarantee: whole.guarantee.clone(),
        reference_replay: whole.reference_replay,
        waiting: whole.waiting.clone(),
    };
    Ok(Json(ModelPage { overview, matching: count, states: states(&whole.features) }))
}

pub(super) async fn traffic(
    State(api): State<Api>,
    Path(model): Path<String>,
    asked: Ranged,
) -> Result<Json<TrafficRange>, Refusal> {
    let Steps { span, length_ms } = steps(range(&api, asked)?, POINTS, 1_000);
    let _turn = turn(&api).await?;
    let points = figures::traffic_points(&api.reader, &model, span, length_ms).await?;
    let filter = EventFilter { model, kind: String::new(), span, limit: EVENTS };
    let mut events: Vec<Event> = api.reader.events_of(&filter).await?.into_iter().map(cycle::event).collect();
    events.reverse();
    Ok(Json(TrafficRange { step_ms: length_ms, points, events }))
}

pub(super) async fn heat(
    State(api): State<Api>,
    Path(model): Path<String>,
    asked: Ranged,
) -> Result<Json<Heat>, Refusal> {
    let cut = steps(range(&api, asked)?, HEAT_STEPS, api.config.windows.length_ms);
    let _turn = turn(&api).await?;
    let rows = api.reader.heat(&model, cut, HEAT_ROWS).await?.into_iter().map(heat_row).collect();
    let count = (cut.span.end_ms - cut.span.start_ms) / cut.length_ms;
    let steps = u32::try_from(count).unwrap_or(u32::MAX);
    Ok(Json(Heat { from_ms: cut.span.start_ms, step_ms: cut.length_ms, steps, rows }))
}

fn heat_row(counts: HeatCounts) -> HeatRow {
    let columns = counts.steps.iter().zip(counts.states()).zip(&counts.ks_lower);
    let cells = columns.map(|((step, state), ks_lower)| HeatCell { step: *step, state, ks_lower: *ks_lower }).collect();
    HeatRow { feature: counts.feature, cells }
}

pub(super) async fn evidence(
    State(api): State<Api>,
    Path((model, feature)): Path<(String, String)>,
    asked: Ranged,
) -> Result<Json<Vec<FeatureVerdict>>, Refusal> {
    let cut = steps(range(&api, asked)?, EVIDENCE_POINTS, 1);
    let _turn = turn(&api).await?;
    let rows = api.reader.evidence(&model, &feature, cut).await?;
    let mut verdicts: Vec<FeatureVerdict> = rows.iter().filter_map(|text| serde_json::from_str(text).ok()).collect();
    verdicts.sort_by_key(|one| one.window_end_ms);
    Ok(Json(verdicts))
}

pub(super) async fn confidence(
    State(api): State<Api>,
    Path(model): Path<String>,
    asked: Ranged,
) -> Result<Json<ConfidenceRange>, Refusal> {
    let cut = steps(range(&api, asked)?, POINTS, 1_000);
    let floor = api.config.of(&model).low_confidence;
    let _turn = turn(&api).await?;
    let counted = api.reader.confidence_steps(&model, cut, floor).await?;
    let quantile = |of: &[f32], i: usize| of.get(i).map_or(f64::NAN, |q| f64::from(*q));
    let points = counted.iter().map(|step| ConfidencePoint {
        at_ms: step.start_ms,
        answers: step.answers,
        mean: step.mean,
        p05: quantile(&step.quantiles, 0),
        p50: quantile(&step.quantiles, 1),
        low: step.low as f64 / step.answers.max(1) as f64,
    });
    let points = points.filter(|point| point.p05.is_finite() && point.p50.is_finite()).collect();
    let counted = api.reader.reliability(&model, cut.span, RELIABILITY_BINS).await?;
    let reliability: Vec<ReliabilityBin> = counted
        .iter()
        .map(|bin| {
            let n = bin.n.max(1) as f64;
            ReliabilityBin { n: bin.n, confidence: bin.confidence / n, accuracy: bin.correct as f64 / n }
        })
        .collect();
    let labelled = counted.iter().map(|bin| bin.n).sum();
    let calibration_error = calibration_error(&reliability);
    Ok(Json(ConfidenceRange { step_ms: cut.length_ms, points, reliability, labelled, calibration_error }))
}

/// The mean gap between confidence and accuracy, each bin by its answers (Naeini et al. 2015).
fn calibration_error(bins: &[ReliabilityBin]) -> Option<f64> {
    let n: u64 = bins.iter().map(|bin| bin.n).sum();
    let gaps: f64 = bins.iter().map(|bin| bin.n as f64 * (bin.confidence - bin.accuracy).abs()).sum();
    (n > 0).then(|| gaps / n as f64)
}

pub(super) async fn quality(
    State(api): State<Api>,
    Path(model): Path<String>,
    asked: Ranged,
) -> Result<Json<Quality>, Refusal> {
    let span = range(&api, asked)?;
    let _turn = turn(&api).await?;
    Ok(Json(cycle::quality::of(&api.reader, &model, span).await?))
}

pub(super) async fn slo(State(api): State<Api>, Path(name): Path<String>) -> Result<Json<SloPage>, Refusal> {
    let snapshot = snapshot(&api)?;
    let status = snapshot.overview.slos.iter().find(|slo| slo.slo == name);
    let known = api.slo.as_deref().and_then(|file| Some((file, file.slos.iter().find(|slo| slo.name == name)?)));
    let (Some(status), Some((file, slo))) = (status, known) else {
        return Err(missing(&format!("no objective {name} is in the SLO file")));
    };
    let (now_ms, period_ms) = (snapshot.overview.at_ms, burn::period_millis(file));
    let start_ms = burn::period_start_ms(file, now_ms);
    let times: Vec<i64> = (0..=BUDGET_POINTS).map(|i| start_ms + (now_ms - start_ms) * i / BUDGET_POINTS).collect();
    let _turn = turn(&api).await?;
    let since = api.reader.slo_events(slo, api.config.of(&slo.model).shadow.tolerance, &times).await?;
    let mut since: Vec<burn::Events> = since.iter().map(|c| burn::Events { total: c.total, bad: c.bad }).collect();
    let status = as_drawn(status.clone(), &mut since, slo.budget());
    let projected = status.burn.iter().find(|one| one.window == PROJECTED_FROM);
    let rate = projected.and_then(|one| one.rate);
    let exhausted_ms = burn::exhausted_in(status.budget_remaining, rate, period_ms).map(|ms| now_ms + ms);
    Ok(Json(SloPage {
        period_ms,
        points: budget_points(&times, &since, slo.budget()),
        exhausted_ms,
        projected_from: projected.map(|one| one.window.clone()),
        status,
    }))
}

/// What is counted now in the place of what the last cycle counted, so that the figure and the line that ends at it agree: what
/// became known since belongs to the last time.
fn as_drawn(mut status: SloStatus, since: &mut [burn::Events], budget: f64) -> SloStatus {
    if let Some(whole) = since.first().filter(|whole| whole.total > 0) {
        (status.events, status.bad) = (whole.total, whole.bad);
        status.budget_remaining = burn::budget_remaining(*whole, budget);
    }
    if let Some(last) = since.last_mut() {
        *last = burn::Events::default();
    }
    status
}

/// From events since each time to the budget left at it; the time before the first event is left out.
fn budget_points(times: &[i64], since: &[burn::Events], budget: f64) -> Vec<BudgetPoint> {
    let Some(whole) = since.first().filter(|whole| whole.total > 0 && budget > 0.0) else { return Vec::new() };
    let allowed = whole.total as f64 * budget;
    let quiet = since.iter().take_while(|events| events.total == whole.total).count();
    let points = times.iter().zip(since).skip(quiet.saturating_sub(1));
    points
        .map(|(at_ms, events)| BudgetPoint {
            at_ms: *at_ms,
            remaining: 1.0 - whole.bad.saturating_sub(events.bad) as f64 / allowed,
        })
        .collect()
}

pub(super) async fn shadow(
    State(api): State<Api>,
    Path((model, shadow)): Path<(String, String)>,
) -> Result<Json<ShadowPage>, Refusal> {
    let snapshot = snapshot(&api)?;
    let known = snapshot.overview.models.iter().find(|one| one.model == model);
    let status = known.and_then(|one| one.shadows.iter().find(|one| one.shadow == shadow));
    let Some(status) = status else {
        return Err(missing(&format!("no shadow {shadow} of {model} was compared with its primary")));
    };
    let _turn = turn(&api).await?;
    let policy = &api.config.of(&model).shadow;
    let counts = api.reader.shadows(&model, policy.tolerance, SHADOWS).await?;
    let (points, disagreements) = match counts.iter().find(|one| one.shadow == shadow && one.version == status.primary)
    {
        None => (Vec::new(), Vec::new()),
        Some(counts) => (known_then(&api.reader, counts, policy).await?, disagreements(&api.reader, counts).await?),
    };
    Ok(Json(ShadowPage { status: status.clone(), agreement_min: policy.agreement_min, points, disagreements }))
}

/// The confidence sequence as it was after each step: valid at every look, so it may be drawn as a line.
async fn known_then(
    reader: &Reader,
    counts: &ShadowCounts,
    policy: &ShadowPolicy,
) -> Result<Vec<AgreementPoint>, store::Error> {
    let span = Window { start_ms: counts.first_ms, end_ms: counts.last_ms + 1 };
    let cut = steps(span, POINTS, 1_000);
    let (mut pairs, mut agreed) = (0, 0);
    let steps = reader.pairs_by_step(counts, policy.tolerance, cut).await?;
    let points = steps.into_iter().filter_map(|step| {
        pairs += step.pairs;
        agreed += step.agreed;
        let bounds = agreement::sequence(agreed, pairs, policy.alpha)?;
        let agreement = agreed as f64 / pairs as f64;
        Some(AgreementPoint { at_ms: step.at_ms, pairs, agreement, lower: bounds.lower, upper: bounds.upper })
    });
    Ok(points.collect())
}

async fn disagreements(reader: &Reader, counts: &ShadowCounts) -> Result<Vec<Disagreement>, store::Error> {
    let rows = reader.disagreements(counts, DISAGREEMENTS).await?;
    let disagreement = |row: store::read::page::DisagreementRow| Disagreement {
        id: row.id,
        at_ms: row.at_ms,
        primary: row.primary,
        shadow: row.shadow,
        primary_confidence: row.primary_confidence,
        shadow_confidence: row.shadow_confidence,
        input: row.input,
    };
    Ok(rows.into_iter().map(disagreement).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_burns_down_to_what_is_left_now() {
        let events = |total, bad| burn::Events { total, bad };
        let since = [events(1_000, 5), events(1_000, 5), events(600, 5), events(100, 2), events(0, 0)];
        let points = budget_points(&[0, 1, 2, 3, 4], &since, 0.01);
        let left: Vec<(i64, f64)> = points.iter().map(|point| (point.at_ms, point.remaining)).collect();
        assert_eq!(left, [(1, 1.0), (2, 1.0), (3, 0.7), (4, 0.5)]);
        let now = burn::budget_remaining(events(1_000, 5), 0.01).unwrap();
        assert!((points.last().unwrap().remaining - now).abs() < 1e-12);
        assert!(budget_points(&[0], &[events(0, 0)], 0.01).is_empty());
    }

    #[test]
    fn a_figure_and_the_line_that_ends_at_it_agree() {
        let events = |total, bad| burn::Events { total, bad };
        // seen at the last cycle: 2 of 900; six became known since, three of them after the line's last time
        let status = SloStatus {
            slo: "s".to_owned(),
            description: String::new(),
            model: "m".to_owned(),
            objective: 99.0,
            events: 900,
            bad: 2,
            budget_remaining: burn::budget_remaining(events(900, 2), 0.01),
            burn: Vec::new(),
        };
        let mut since = [events(1_000, 8), events(500, 6), events(10, 3)];
        let status = as_drawn(status, &mut since, 0.01);
        assert_eq!((status.events, status.bad), (1_000, 8));
        let points = budget_points(&[0, 1, 2], &since, 0.01);
        assert!((points.last().unwrap().remaining - status.budget_remaining.unwrap()).abs() < 1e-12, "{points:?}");
        let kept = as_drawn(status.clone(), &mut [events(0, 0)], 0.01);
        assert_eq!(kept, status, "where nothing stored tells, the last cycle does");
    }

    #[test]
    fn calibration_error_weighs_bins_by_their_answers() {
        let bin = |n, confidence, accuracy| ReliabilityBin { n, confidence, accuracy };
        let error = calibration_error(&[bin(30, 0.9, 0.8), bin(10, 0.5, 0.7)]).unwrap();
        assert!((error - 0.125).abs() < 1e-12);
        assert_eq!(calibration_error(&[]), None);
    }
}
