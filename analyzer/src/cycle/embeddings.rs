//! Embeddings of one model: how far the cloud of their projections moved, as a description beside the verdicts.

use contract::api::EmbeddingShift;
use store::read::{EmbeddingReference, Moments, Window, WindowSeen};

use super::round::{Round, first_span, reference_since};
use crate::{
    baseline::{Baseline, BaselineError},
    judge::frechet,
};

/// What ends the name of an embedding's first projection.
const FIRST: &str = ".p0";

/// An embedding: its name, the names of its projections, its reference once there is one.
#[derive(Debug)]
struct Embedding {
    name: String,
    projections: Vec<String>,
    reference: Option<EmbeddingReference>,
}

/// The embeddings of a model over one baseline. Their references can be read back from the database.
#[derive(Debug, Default)]
pub(super) struct Embeddings {
    fingerprint: String,
    embeddings: Vec<Embedding>,
    shifts: Vec<EmbeddingShift>,
    asked_ms: Option<i64>,
}

impl Embeddings {
    /// Takes the references beside the baseline in force, and makes those that are missing once there is enough traffic.
    pub async fn prepare(&mut self, round: &Round<'_>, baseline: &Baseline) -> Result<(), BaselineError> {
        let (model, fingerprint) = (round.model(), &baseline.info.fingerprint);
        if self.fingerprint != *fingerprint {
            self.embeddings = named(baseline);
            if !self.embeddings.is_empty() {
                for found in round.reader.embedding_references(model, fingerprint).await? {
                    let known = self.embeddings.iter_mut().find(|one| one.name == found.embedding);
                    known.into_iter().for_each(|one| one.reference = Some(found.clone()));
                }
            }
            self.shifts.clear();
            self.fingerprint.clone_from(fingerprint);
        }
        let soon = self.asked_ms.is_some_and(|at| round.now_ms - at < round.config.windows.length_ms);
        if soon || self.embeddings.iter().all(|one| one.reference.is_some()) {
            return Ok(());
        }
        self.asked_ms = Some(round.now_ms);
        let wanted = round.config.segments.reference;
        let Some(span) = first_span(round, reference_since(round, baseline), wanted).await? else { return Ok(()) };
        for one in self.embeddings.iter_mut().filter(|one| one.reference.is_none()) {
            let Some(moments) = round.reader.moments(model, &one.projections, span, round.now_ms).await? else {
                continue;
            };
            let reference = EmbeddingReference { embedding: one.name.clone(), until_ms: span.end_ms, moments };
            round.reader.insert_moments(model, fingerprint, &reference).await?;
            one.reference = Some(reference);
        }
        Ok(())
    }

    /// Measures a window; one without embeddings leaves what was.
    pub async fn look(&mut self, round: &Round<'_>, window: Window, seen: &WindowSeen) -> Result<(), store::Error> {
        let mut shifts = Vec::new();
        for one in &self.embeddings {
            let Some(reference) = one.reference.as_ref().filter(|known| window.start_ms >= known.until_ms) else {
                continue;
            };
            let found = round.reader.moments(round.model(), &one.projections, window, seen.cut_ms).await?;
            shifts.extend(found.and_then(|now| shift(&one.name, &reference.moments, &now)));
        }
        if !shifts.is_empty() {
            self.shifts = shifts;
        }
        Ok(())
    }

    /// Shifts of the last window that had any.
    pub fn shifts(&self) -> &[EmbeddingShift] {
        &self.shifts
    }

    /// What is to be said beside the verdict on a part of an embedding; empty for other features.
    pub fn sentence(&self, feature: &str) -> String {
        let own =
            |shift: &&EmbeddingShift| feature.strip_prefix(&shift.embedding).is_some_and(|rest| rest.starts_with('.'));
        self.shifts.iter().find(own).map(|shift| format!(" {}", shift.sentence)).unwrap_or_default()
    }
}

/// Embeddings whose projections a baseline holds.
fn named(baseline: &Baseline) -> Vec<Embedding> {
    let names = || baseline.features.iter().map(|frozen| frozen.name.as_str());
    let of = |name: &str| {
        let is_projection = |other: &&str| {
            let rest = other.strip_prefix(name).and_then(|rest| rest.strip_prefix(".p"));
            rest.is_some_and(|digits| digits.len() == 1 && digits.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let mut projections: Vec<String> = names().filter(is_projection).map(str::to_owned).collect();
        projections.sort_unstable();
        Embedding { name: name.to_owned(), projections, reference: None }
    };
    names().filter_map(|name| name.strip_suffix(FIRST)).map(of).filter(|one| one.projections.len() > 1).collect()
}

fn shift(name: &str, before: &Moments, now: &Moments) -> Option<EmbeddingShift> {
    let found = frechet::distance(before, now)?;
    let sentence = format!(
        "The cloud of {name} is at a Fréchet distance of {:.3} from the reference: its centre moved by {:.3}, where chance alone moves it by \
         about {:.3} ({} items).",
        found.distance,
        found.means.sqrt(),
        found.means_by_chance.sqrt(),
        now.n
    );
    Some(EmbeddingShift {
        embedding: name.to_owned(),
        n: now.n,
        m: before.n,
        distance: found.distance,
        means: found.means,
        covariances: found.covariances,
        means_by_chance: found.means_by_chance,
        sentence,
    })
}
