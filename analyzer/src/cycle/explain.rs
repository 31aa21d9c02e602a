//! A stored verdict, computed again from the stored counts, the frozen reference and the detectors before it.
//!
//! The choice: nothing is computed in another way than live; the same function is given what is in the tables. So two figures that
//! differ mean that a table was changed, or that the program was, and a figure whose grounds have left by age is named, not guessed.

use std::collections::HashMap;

use contract::api::{
    FeatureVerdict,
    explain::{Explanation, Figure, parse_verdict_id},
};
use serde_json::{Map, Value};
use store::read::{BaselineSummary, DetectorsAt, Reader, Window};

use super::{
    detect::Detectors,
    hours::Hour,
    judging::Bench,
    span::Recent,
    verdicts::{Basis, Evidence, plain},
};
use crate::{
    baseline::{Baseline, BaselineError},
    config::Hours,
};

/// Figures that rest on what windows before left.
const OF_DETECTORS: [&str; 6] = ["state", "evidence", "discovery", "autocorrelation", "worth", "sentence"];

/// What can no longer be computed.
#[derive(Default)]
struct Gone {
    figures: Vec<&'static str>,
    why: Vec<String>,
}

/// Why a verdict cannot be explained.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// Not the name of a verdict.
    #[error(
        "'{0}' is no verdict's id; it is as in 1700000000000@model@input.x, the `id` of each entry of /api/v1/verdicts"
    )]
    NoId(String),
    /// None of that name is stored.
    #[error("no verdict {0} is stored; verdicts are kept for store.retention.verdicts (365 days)")]
    Unknown(String),
    /// Of another program's making.
    #[error("the verdict {0} was written by another version of the program and cannot be read")]
    Unreadable(String),
    /// The database or the reference.
    #[error(transparent)]
    Baseline(#[from] BaselineError),
}

impl From<store::Error> for ExplainError {
    fn from(error: store::Error) -> Self {
        Self::Baseline(error.into())
    }
}

/// Computes a verdict again.
///
/// # Errors
/// [`ExplainError`].
pub async fn explain(reader: &Reader, id: &str) -> Result<Explanation, ExplainError> {
    let (end_ms, named) = parse_verdict_id(id).ok_or_else(|| ExplainError::NoId(id.to_owned()))?;
    let found = reader.verdict_of(end_ms, named).await?;
    let text = found.ok_or_else(|| ExplainError::Unknown(id.to_owned()))?;
    let unreadable = |_| ExplainError::Unreadable(id.to_owned());
    let Evidence { mut verdict, basis, .. } = serde_json::from_str(&text).map_err(unreadable)?;
    // rows of older programs do not hold their own name
    id.clone_into(&mut verdict.id);
    let mut gone = Gone::default();
    let computed = match basis {
        Some(basis) => again(reader, &verdict, basis, &mut gone).await?,
        None => {
            gone.why.push("everything: it was judged by a version that did not write down by what policy".to_owned());
            None
        }
    };
    let figures = compare(&verdict, computed.as_ref(), &gone.figures);
    Ok(Explanation {
        id: id.to_owned(),
        equal: figures.iter().all(|figure| figure.equal != Some(false)),
        model: verdict.model,
        feature: verdict.feature,
        window_start_ms: verdict.window_start_ms,
        window_end_ms: verdict.window_end_ms,
        state: verdict.state,
        baseline: verdict.baseline,
        gone: gone.why,
        figures,
    })
}

/// The verdict as it comes out now; `None` where its counts or its reference are gone.
async fn again(
    reader: &Reader,
    stored: &FeatureVerdict,
    basis: Basis,
    gone: &mut Gone,
) -> Result<Option<FeatureVerdict>, ExplainError> {
    let (model, fingerprint) = (stored.model.as_str(), stored.baseline.as_str());
    let known = reader.baselines(true).await?;
    let of_it = |known: &BaselineSummary| known.model == model && known.fingerprint == fingerprint;
    let Some(summary) = known.into_iter().find(of_it) else {
        gone.why.push(format!("everything: the reference {fingerprint} is not stored any more"));
        return Ok(None);
    };
    let baseline = Baseline::load(reader, &summary).await?;
    let window = Window { start_ms: basis.start_ms, end_ms: stored.window_end_ms };
    let mut recent = Recent::default();
    let span = Window { start_ms: basis.from_ms, end_ms: window.end_ms };
    recent.put(reader.bin_counts(model, fingerprint, span).await?);
    if recent.first_ms().is_none() && stored.n > 0 {
        gone.why.push("everything: the counts of its windows have left (store.retention.bin_counts)".to_owned());
        return Ok(None);
    }
    let mut detectors = Detectors::default();
    if let Some(window_end_ms) = basis.detectors_ms {
        detectors = Detectors::after(reader, DetectorsAt { model, fingerprint, window_end_ms }).await?;
        if detectors.after_ms().is_none() {
            let names = OF_DETECTORS.join(", ");
            gone.figures.extend(OF_DETECTORS);
            gone.why.push(format!(
                "{names}: the detectors of the window before have left (store.retention.detector_state)"
            ));
        }
    }
    let tracks = HashMap::from([(stored.feature.clone(), basis.before)]);
    let (policy, from_ms) = (&basis.policy, basis.from_ms);
    let bench =
        Bench { recent: &recent, detectors: &detectors, tracks: &tracks, policy, window, from_ms, hours: basis.hours };
    let mut hour = Hour::default();
    hour.prepare(reader, &baseline, (basis.hours, basis.start_ms), policy).await?;
    let references = if basis.hours == Hours::Off { &baseline.features[..] } else { hour.features() };
    let mut found = references.iter().zip(bench.look(references));
    let Some((frozen, one)) = found.find(|(frozen, _)| frozen.name == stored.feature) else { return Ok(None) };
    let mut verdict = plain((model, &stored.version), frozen, &one, &bench, fingerprint);
    verdict.sentence.push_str(&basis.tail);
    if !stored.causes.is_empty() {
        gone.figures.push("causes");
        gone.why.push("causes: they rest on the counts of segments, which are not looked at here".to_owned());
    }
    if basis.beside {
        gone.figures.push("discovery");
        gone.why.push("discovery: segments were judged beside it, and share the chance of a false one".to_owned());
    }
    Ok(Some(verdict))
}

/// Every field of a verdict beside the one computed. JSON writes a double with the digits that lead back to its bits, so
/// texts that are equal are numbers that are equal to the bit.
fn compare(stored: &FeatureVerdict, computed: Option<&FeatureVerdict>, unknown: &[&str]) -> Vec<Figure> {
    let stored = fields(stored);
    let computed = computed.map(fields);
    let figure = |(name, stored): (String, Value)| {
        let known = !unknown.contains(&name.as_str());
        let computed = computed.as_ref().filter(|_| known).and_then(|fields| fields.get(&name)).cloned();
        let equal = computed.as_ref().map(|computed| digits(computed) == digits(&stored));
        Figure { name, stored, computed, equal }
    };
    stored.into_iter().map(figure).collect()
}

/// A value as it is written: minus zero is not zero.
fn digits(value: &Value) -> String {
    value.to_string()
}

fn fields(verdict: &FeatureVerdict) -> Map<String, Value> {
    match serde_json::to_value(verdict) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}
