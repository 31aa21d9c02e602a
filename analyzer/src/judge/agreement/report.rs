//! Every guardrail of a shadow as a reader sees it: what was observed, the bounds that hold at every look, how many pairs are missing.

use contract::api::shadow::{Guardrail, GuardrailName, GuardrailState};

use super::{
    Measured, Pairs, ShadowPolicy, disagreeing, failing, failures_need, guardrails, looked_at, offered, percent,
    sequence, to_go, to_prove,
};

/// Everything that is asked and what is known of it, agreement and failures first.
#[must_use]
pub fn report(pairs: &Pairs, measured: &Measured, policy: &ShadowPolicy) -> Vec<Guardrail> {
    let rails = guardrails::rails(measured, &policy.limits);
    let alpha = policy.alpha / looked_at(&rails) as f64;
    let mut told = vec![agreement_report(pairs, policy, alpha), failures_report(pairs, policy, alpha)];
    told.extend(rails.iter().map(|rail| rail.report(pairs, policy, looked_at(&rails))));
    told.extend(guardrails::support_report(measured, &policy.limits));
    told
}

fn agreement_report(pairs: &Pairs, policy: &ShadowPolicy, alpha: f64) -> Guardrail {
    let (n, asked) = (pairs.pairs, policy.agreement_min);
    let bounds = sequence(pairs.agreed, n, policy.alpha);
    let observed = (n > 0).then(|| pairs.agreed as f64 / n as f64);
    let (state, sentence) = match (disagreeing(pairs, policy, alpha), bounds) {
        (Some(why), _) => (GuardrailState::Broken, why),
        (None, Some(bounds)) if bounds.lower >= asked => {
            let sentence = format!("Agreement is at least {}, {} is asked.", percent(bounds.lower), percent(asked));
            (GuardrailState::Proved, sentence)
        }
        (None, Some(bounds)) => {
            let (lower, asked) = (percent(bounds.lower), percent(asked));
            let sentence =
                format!("Agreement is proved down to {lower} only, {asked} is asked; {}.", to_go(pairs, policy));
            (GuardrailState::Open, sentence)
        }
        (None, None) => (GuardrailState::Open, "No pairs yet.".to_owned()),
    };
    let (lower, upper) = (bounds.map(|bounds| bounds.lower), bounds.map(|bounds| bounds.upper));
    let (name, needed) = (GuardrailName::Agreement, to_prove(pairs.agreed, n, policy));
    Guardrail { name, state, n, observed, lower, upper, limit: asked, needed, sentence }
}

fn failures_report(pairs: &Pairs, policy: &ShadowPolicy, alpha: f64) -> Guardrail {
    let (n, failed, allowed) = (offered(pairs), pairs.errors + pairs.shed, policy.failure_max);
    let bounds = sequence(failed, n, policy.alpha);
    let (state, sentence) = match (failing(pairs, policy, alpha), bounds) {
        (Some(why), _) => (GuardrailState::Broken, why),
        (None, Some(bounds)) if bounds.upper <= allowed => {
            let sentence = format!("At most {} fail, {} are allowed.", percent(bounds.upper), percent(allowed));
            (GuardrailState::Proved, sentence)
        }
        (None, Some(bounds)) => {
            let (upper, allowed) = (percent(bounds.upper), percent(allowed));
            (
                GuardrailState::Open,
                format!("{failed} of {n} requests failed or were shed: up to {upper} may, {allowed} are allowed."),
            )
        }
        (None, None) => (GuardrailState::Open, "No requests yet.".to_owned()),
    };
    Guardrail {
        name: GuardrailName::Failures,
        state,
        n,
        observed: (n > 0).then(|| failed as f64 / n as f64),
        lower: bounds.map(|bounds| bounds.lower),
        upper: bounds.map(|bounds| bounds.upper),
        limit: allowed,
        needed: failures_need(pairs, policy),
        sentence,
    }
}
