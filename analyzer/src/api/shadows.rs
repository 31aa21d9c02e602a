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
    judge::{
        agreement::{self, Pairs, ShadowPolicy},
        guardrails::Measured,
    },
};

/// Labels in one answer.
const LABELS: u64 = 64;
/// How far back answers are looked at for batch variance.
const VARIANCE_MS: i64 = 3_600_000;

pub(super) async fn verdict(
    State(api): State<Api>,
    Path((model, shadow)): Path<(String, String)>,
) -> Result<Json<VerdictAnswer>, Refusal> {
    let snapshot = snapshot(&api)?;
    let found = fresh(&snapshot, &model, &shadow, (api.clock)())?;
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
    let snapshot = snapshot(&api)?;
    let found = fresh(&snapshot, &model, &shadow, (api.clock)())?;
    let answer = answer(&found, &shadow, &api.config.of(&model).shadow);
    let open = gate.open(answer.verdict);
    let status = if open { StatusCode::OK } else { StatusCode::CONFLICT };
    let body = GateAnswer { gate, open, verdict: answer.verdict, sentence: answer.sentence };
    Ok((status, Json(body)).into_response())
}

/// A model and its shadow, unless nothing of the model was counted for minutes, or the shadow itself was not judged: figures are
/// counted in every cycle, while shadows with many pairs rest in between.
fn fresh<'a>(snapshot: &'a Snapshot, model: &str, shadow: &str, now_ms: i64) -> Result<Found<'a>, Refusal> {
    let counted_ms = snapshot.counted_ms.get(model).copied().unwrap_or(Some(snapshot.overview.at_ms));
    holds(counted_ms, now_ms)?;
    let found = find(snapshot, model, shadow)?;
    found.status.map_or(Ok(()), |status| holds(Some(status.judged_ms), now_ms))?;
    Ok(found)
}

fn holds(judged_ms: Option<i64>, now_ms: i64) -> Result<(), Refusal> {
    let age_ms = judged_ms.map(|judged_ms| now_ms - judged_ms);
    if age_ms.is_some_and(|age_ms| age_ms <= figures::VERDICT_HOLDS_MS) {
        return Ok(());
    }
    let time = age_ms.map_or_else(|| "yet".to_owned(), |age_ms| format!("for {} s", age_ms / 1_000));
    let what = format!("nothing was judged {time}; see why the cycles fail in the analyzer's log");
    Err(Refusal(StatusCode::SERVICE_UNAVAILABLE, what))
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
    let none = agreement::decide(&Pairs::default(), &Measured::default(), policy);
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
            needed: status.map_or_else(
                || agreement::pairs_needed(&Pairs::default(), &Measured::default(), policy),
                |status| status.pairs_needed,
            ),
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
        guardrails: status.map_or_else(
            || agreement::report(&Pairs::default(), &Measured::default(), policy),
            |status| status.guardrails.clone(),
        ),
        tests: status.map_or_else(Vec::new, |status| status.tests.clone()),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::tests::{snapshot, status};

    #[test]
    fn a_gate_does_not_open_on_a_verdict_of_long_ago_though_all_else_is_new() {
        let now_ms = 10 * figures::VERDICT_HOLDS_MS;
        let at = |judged_ms: i64| {
            let mut snapshot = snapshot(&[status("2", ShadowVerdict::Promote, judged_ms)], &[]);
            snapshot.overview.at_ms = now_ms;
            snapshot.counted_ms.insert("m".into(), Some(now_ms));
            snapshot
        };
        assert!(fresh(&at(now_ms - figures::VERDICT_HOLDS_MS), "m", "2", now_ms).is_ok());
        let refused = fresh(&at(now_ms - figures::VERDICT_HOLDS_MS - 1_000), "m", "2", now_ms).err().unwrap();
        assert_eq!(refused.0, StatusCode::SERVICE_UNAVAILABLE);
        assert!(refused.1.contains("nothing was judged for 301 s"), "{}", refused.1);
        // of one that was never compared nothing is old
        assert!(fresh(&at(0), "m", "3", now_ms).is_ok());
        let mut never = at(now_ms);
        never.counted_ms.insert("m".into(), None);
        assert!(fresh(&never, "m", "2", now_ms).is_err());
    }
}
