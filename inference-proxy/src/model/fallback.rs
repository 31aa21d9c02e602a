//! Who answers where the version that should cannot: another version of the model, or a rule.
//!
//! A fallback steps in where a breaker is open, and where a run failed in a way that is the version's own: an error
//! of its session, an answer that is none, no session at all. It does not for a client's mistake, for a full queue (the
//! fallback would carry the overload to the next version) or past the deadline (nobody waits any more).

use std::sync::Arc;

use contract::wire::Timings;
use host::config::Faults;
use serde::{Deserialize, Serialize};

use super::answer::{Answer, Classes, Input, RunError, Urgency};
use super::backend::Version;
use super::catalog::Catalog;
use super::config::{NAME_RULE, is_name};
use super::metadata::Task;
use crate::features::items;
use crate::tensor::Data;

/// A fallback as typed. With both, the version is asked first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawFallback {
    /// Another version of the model, smaller as a rule: any folder beside the others.
    pub version: Option<String>,
    /// A label that is the answer to everything, with confidence 1; for models that classify text.
    pub label: Option<String>,
}

impl RawFallback {
    pub(crate) fn check(&self, key: &str, primary: Option<&str>, faults: &mut Faults) {
        let some = self.version.is_some() || self.label.is_some();
        faults.check(some, key, "must have a version, a label, or both");
        if let Some(version) = &self.version {
            let at = format!("{key}.version");
            faults.check(is_name(version), &at, NAME_RULE);
            faults.check(primary != Some(version.as_str()), at, "is the primary, which cannot step in for itself");
        }
    }
}

/// Stands for the version where a rule answered.
pub const RULE: &str = "rule";

/// An answer, and who gave it.
#[derive(Clone, Debug)]
pub struct Served {
    /// The version whose outputs these are; with a rule, the one that did not answer.
    pub version: Arc<Version>,
    /// The answer.
    pub answer: Arc<Answer>,
    /// What went wrong first.
    pub fallen: Option<Fallen>,
    /// Whether it had been given before and nothing was run.
    pub from_cache: bool,
}

/// What went wrong before a fallback stepped in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallen {
    /// The version that should have answered.
    pub version: String,
    /// The word of what was wrong with it.
    pub reason: &'static str,
    /// The same in one sentence.
    pub why: String,
    /// Whether a rule answered, and no version at all.
    pub by_rule: bool,
}

impl Served {
    /// What a version answered that was asked.
    fn by(version: &Arc<Version>, answer: Answer) -> Self {
        Self { version: Arc::clone(version), answer: Arc::new(answer), fallen: None, from_cache: false }
    }

    /// Where the time of this request went: nowhere, if the answer was there already.
    #[must_use]
    pub fn timings(&self) -> Timings {
        if self.from_cache { Timings::cached() } else { self.answer.timings }
    }

    /// The version that answered, as clients are told: [`RULE`] for a rule.
    #[must_use]
    pub fn version_name(&self) -> &str {
        if self.fallen.as_ref().is_some_and(|fallen| fallen.by_rule) { RULE } else { self.version.version() }
    }

    /// `model/version`, as clients are told.
    #[must_use]
    pub fn model_used(&self) -> String {
        format!("{}/{}", self.version.name(), self.version_name())
    }
}

/// Whether another may answer in this one's place.
fn can_fall_back(error: &RunError) -> bool {
    match error {
        RunError::BreakerOpen { .. } | RunError::Failed(_) | RunError::BadOutput(_) | RunError::Unavailable(_) => true,
        RunError::Invalid(_)
        | RunError::QueueFull { .. }
        | RunError::Deadline
        | RunError::Impatient
        | RunError::LateBody => false,
    }
}

/// Runs a request on a version, behind its breaker, and on what steps in for it.
///
/// # Errors
/// What was wrong with the version, where nothing stepped in.
pub(crate) async fn run(
    catalog: &Catalog,
    version: &Arc<Version>,
    input: &Input,
    urgency: Urgency,
) -> Result<Served, RunError> {
    let error = match version.run_guarded(input.clone(), urgency).await {
        Ok(answer) => return Ok(Served::by(version, answer)),
        Err(error) => error,
    };
    if !can_fall_back(&error) {
        return Err(error);
    }
    // A run that failed may have failed on its input: it says nothing about the one that steps in, so it may not open that
    // one's breaker as well.
    let blame = matches!(error, RunError::BreakerOpen { .. } | RunError::Unavailable(_));
    let stepped_in = step_in(catalog, version, input, urgency, blame).await;
    let Some((by, answer, by_rule)) = stepped_in else { return Err(error) };
    let reason = error.reason();
    catalog.fell_back(version, reason);
    let fallen = Fallen { version: version.version().to_owned(), reason, why: error.to_string(), by_rule };
    Ok(Served { fallen: Some(fallen), ..Served::by(&by, answer) })
}

async fn step_in(
    catalog: &Catalog,
    version: &Arc<Version>,
    input: &Input,
    urgency: Urgency,
    blame: bool,
) -> Option<(Arc<Version>, Answer, bool)> {
    let (other, label) = catalog.fallback(version.name());
    if let Some(other) = other.filter(|other| other.version() != version.version() && other.is_passable()) {
        let answered = match blame {
            true => other.run_guarded(input.clone(), urgency).await,
            false => other.run(input.clone(), urgency).await,
        };
        if let Ok(answer) = answered {
            return Some((other, answer, false));
        }
    }
    let answer = by_rule(&label?, version, input)?;
    Some((Arc::clone(version), answer, true))
}

/// The same label for every text, if the version has it.
fn by_rule(label: &str, version: &Version, input: &Input) -> Option<Answer> {
    let metadata = version.metadata();
    let at = metadata.labels.iter().position(|known| known == label)?;
    if metadata.task != Task::TextClassification {
        return None;
    }
    if let Input::Tensors(tensors) = input
        && !tensors.iter().all(|tensor| matches!(tensor.data(), Data::Bytes(_)))
    {
        return None;
    }
    let scores: Vec<f32> = (0..metadata.labels.len()).map(|i| if i == at { 1.0 } else { 0.0 }).collect();
    let classes = Classes { labels: Arc::clone(&metadata.labels), scores, threshold: None };
    Some(Answer { classes: vec![classes; items(input)], ..Answer::default() })
}
