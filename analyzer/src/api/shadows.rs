//! What a rollout controller asks of a shadow: its verdict as a body, and as a status.
//!
//! The choice: a gate's request body is not read. Controllers send their own names and phases and add to them with every release of
//! theirs; the path says all that is asked, and an answer changes nothing. What is too old to go by is no answer at all.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use contract::api::{
    ModelOverview, ShadowStatus, ShadowVerdict,
    shadow::{Agreement, ClassAgreement, Failures, GateAnswer, PairsSeen, ShadowGate, VerdictAnswer, Watched},
};
use store::read::{LabelPairs, Reader};

use super::{Api, Refusal, missing, snapshot, views::turn};
use crate::{
    cycle::{Snapshot, figures},
    judge::agreement::{self, Pairs, ShadowPolicy},
};

/// Labels in one answer.
const LABELS: u64 = 64;
/// How far back answers are looked at for batch variance.
const VARIANCE_MS: i64 = 3_600_000;
/// A cycle is seconds; what was judged before this is no ground to promote on, or to go on.
const STALE_MS: i64 = 300_000;

pub(super) async fn verdict(
    State(api): State<Api>,
    Path((model, shadow)): Path<(String, String)>,
) -> Result<Json<VerdictAnswer>, Refusal> {
    let snapshot = fresh(&api, &model)?;
    let found = find(&snapshot, &model, &shadow)?;
    let policy = &api.config.of(&model).shadow;
    let primary = found.primary();
    let _turn = turn(&api).await?;
    let since_ms = (api.clock)() - VARIANCE_MS;
    let of_primary = api.reader.batch_variant(&model, primary, since_ms).await?;
    let of_shadow = api.reader.batch_variant(&model, &shadow, since_ms).await?;
    let classes = classes(&api.reader, (&model, primary, &shadow), policy).await?;
    let mut answer = answer(&found, &shadow, policy);
    (answer.batch_variant, answer.primary_batch_variant, answer.classes) = (of_shadow, of_primary, classes);
    Ok(Json(answer))
}

pub(super) async fn gate(
    State(api): State<Api>,
    Path((model, shadow, gate)): Path<(String, String, String)>,
) -> Result<Response, Refusal> {
    let gate = ShadowGate::parse(&gate).ok_or_else(|| {
        let known = ShadowGate::ALL.map(ShadowGate::as_str).join(", ");
        missing(&format!("there is no gate {gate}; ask one of {known}"))
    })?;
    let snapshot = fresh(&api, &model)?;
    let found = find(&snapshot, &model, &shadow)?;
    let answer = answer(&found, &shadow, &api.config.of(&model).shadow);
    let open = gate.open(answer.verdict);
    let status = if open { StatusCode::OK } else { StatusCode::CONFLICT };
    let body = GateAnswer { gate, open, verdict: answer.verdict, sentence: answer.sentence };
    Ok((status, Json(body)).into_response())
}

/// The last snapshot, unless nothing was judged for minutes, or nothing of this model.
fn fresh(api: &Api, model: &str) -> Result<std::sync::Arc<Snapshot>, Refusal> {
    let snapshot = snapshot(api)?;
    let counted_ms = snapshot.counted_ms.get(model).copied().unwrap_or(Some(snapshot.overview.at_ms));
    let age_ms = counted_ms.map(|counted_ms| (api.clock)() - counted_ms);
    if age_ms.is_none_or(|age_ms| age_ms > STALE_MS) {
        let time = age_ms.map_or_else(|| "yet".to_owned(), |age_ms| format!("for {} s", age_ms / 1_000));
        let what = format!("nothing was judged {time}; see why the cycles fail in the analyzer's log");
        return Err(Refusal(StatusCode::SERVICE_UNAVAILABLE, what));
    }
    Ok(snapshot)
}

/// A model, and its shadow if it was compared.
struct Found<'a> {
    model: &'a ModelOverview,
    status: Option<&'a ShadowStatus>,
}

impl Found<'_> {
    /// The version it was compared with: which one answers at the moment may be the canary itself.
    fn primary(&self) -> &str {
        self.status.map_or(&self.model.version, |status| &status.primary)
    }
}

fn find<'a>(snapshot: &'a Snapshot, model: &str, shadow: &str) -> Result<Found<'a>, Refusal> {
    let known = snapshot.overview.models.iter().find(|one| one.model == model);
    let known = known.ok_or_else(|| missing(&format!("no answers of a model {model} are stored")))?;
    let status = known.shadows.iter().find(|one| one.shadow == shadow);
    if status.is_none() && known.version == shadow {
        return Err(missing(&format!(
            "version {shadow} of {model} is the one that answers; there is no verdict on it"
        )));
    }
    // A full list may have left it out: then nothing is known, rather than that there are no pairs.
    if status.is_none() && known.shadows.len() as u64 >= figures::SHADOWS_MAX {
        let what = format!("shadow {shadow} of {model} is not among the {} compared last", figures::SHADOWS_MAX);
        return Err(missing(&what));
    }
    Ok(Found { model: known, status })
}

/// All but what the database is asked for.
fn answer(found: &Found<'_>, shadow: &str, policy: &ShadowPolicy) -> VerdictAnswer {
    let status = found.status;
    let none = agreement::decide(&Pairs::default(), policy);
    let verdict = status.map_or(none.verdict, |status| status.verdict);
    let (offered, failed) = status.map_or((0, 0), |status| (status.offered, status.failed));
    let shed = status.map_or(0, |status| status.shed);
    let bounds = status.and_then(|status| status.sequence);
    VerdictAnswer {
        model: found.model.model.clone(),
        version: shadow.to_owned(),
        primary: found.primary().to_owned(),
        verdict,
        promote: verdict == ShadowVerdict::Promote,
        reject: verdict == ShadowVerdict::Reject,
        sentence: status.map_or(none.sentence, |status| status.sentence.clone()),
        judged_ms: status.map(|status| status.judged_ms),
        agreement: Agreement {
            observed: status.and_then(|status| status.agreement),
            lower: bounds.map(|bounds| bounds.lower),
            upper: bounds.map(|bounds| bounds.upper),
            required: policy.agreement_min,
            alpha: policy.alpha,
        },
        pairs: PairsSeen {
            seen: status.map_or(0, |status| status.pairs),
            needed: status
                .map_or_else(|| agreement::pairs_needed(&Pairs::default(), policy), |status| status.pairs_needed),
            minimum: policy.pairs_min,
        },
        failures: Failures {
            offered,
            errors: failed.saturating_sub(shed),
            shed,
            ratio: (offered > 0).then(|| failed as f64 / offered as f64),
            allowed: policy.failure_max,
        },
        watched: Watched { seconds: status.map_or(0, |status| status.seconds), minimum: policy.seconds_min },
        run_time_ratio: status.and_then(|status| status.latency_ratio),
        batch_variant: None,
        primary_batch_variant: None,
        classes: Vec::new(),
    }
}

async fn classes(
    reader: &Reader,
    of: (&str, &str, &str),
    policy: &ShadowPolicy,
) -> Result<Vec<ClassAgreement>, store::Error> {
    let class = |counted: LabelPairs| {
        let bounds = agreement::sequence(counted.agreed, counted.pairs, policy.alpha);
        ClassAgreement {
            needed: agreement::to_prove(counted.agreed, counted.pairs, policy),
            label: counted.label,
            pairs: counted.pairs,
            lower: bounds.map(|bounds| bounds.lower),
            upper: bounds.map(|bounds| bounds.upper),
        }
    };
    Ok(reader.pairs_by_label(of, LABELS).await?.into_iter().map(class).collect())
}
