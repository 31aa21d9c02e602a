//! Which reference a model is judged against: the one in force, the first traffic where there is none, and what a chosen one lacks.
//!
//! The choice: nothing is remembered here that is not written down, so a restart changes nothing of what somebody chose.

use store::read::{Act, ActRow, BaselineSummary, DetectorsAt, Window};

use super::ModelState;
use crate::{
    baseline::{Baseline, BaselineError, told},
    cycle::{
        changes::event,
        detect::Detectors,
        first::{self, First},
        round::{Round, ceiling, of_first_traffic, reference_since, span_ms},
        span::Recent,
    },
};

/// Inputs named in an event.
const NAMED_MAX: usize = 3;
/// An event that has not been written by now will not be.
const SAID_MS: i64 = 60_000;

impl ModelState {
    /// Takes the baseline in force, if it is another than before, and the counts made over it.
    pub(super) async fn adopt(&mut self, round: &Round<'_>, summary: &BaselineSummary) -> Result<(), BaselineError> {
        if self.baseline.as_ref().is_some_and(|known| known.info.fingerprint == summary.fingerprint) {
            return Ok(());
        }
        let baseline = Baseline::load(round.reader, summary).await?;
        let restarted = self.baseline.is_none();
        self.recent = Recent::default();
        self.cells.clear();
        // What was found against another reference says nothing about this one: detectors and states start anew.
        self.detectors = Detectors::default();
        if !(restarted && self.verdicts.iter().any(|known| known.baseline == summary.fingerprint)) {
            self.tracks.clear();
        }
        if let Some(end_ms) = self.judged_until_ms {
            let at = DetectorsAt { model: round.model(), fingerprint: &summary.fingerprint, window_end_ms: end_ms };
            if restarted {
                self.detectors = Detectors::after(round.reader, at).await?;
            }
            let span = Window { start_ms: end_ms - span_ms(round), end_ms };
            self.recent.put(round.reader.bin_counts(round.model(), &summary.fingerprint, span).await?);
            for verdict in self.verdicts.iter().filter(|verdict| verdict.baseline == summary.fingerprint) {
                let Some(reference) = baseline.reference(&verdict.feature) else { continue };
                let taken =
                    self.recent.take(&verdict.feature, verdict.window_start_ms, verdict.window_end_ms, u64::MAX);
                self.cells.insert(verdict.feature.clone(), reference.cells(taken.bins));
            }
        }
        (self.completed, self.said, self.wanted) = (summary.completed, false, 0);
        self.baseline = Some(baseline);
        Ok(())
    }

    /// What is judged against never changes without an event, whatever failed between the act and it.
    pub(super) async fn mend(&mut self, round: &Round<'_>, summary: &BaselineSummary) -> Result<(), BaselineError> {
        if !self.said && round.now_ms - summary.since_ms >= SAID_MS {
            told::mend(round.reader, summary).await?;
            self.said = true;
        }
        Ok(())
    }

    /// With no baseline at all, the first good observations make one.
    pub(super) async fn provisional(&mut self, round: &Round<'_>) -> Result<(), BaselineError> {
        match first::freeze(round, round.kept_since(), &[], &mut self.wanted).await? {
            First::Lack(lack) => self.lack = lack,
            First::Frozen(frozen, span, n) => {
                let features = frozen.info.features;
                let text = format!("Provisional reference from the first {n} observations: {features} features.");
                self.put_in_force(round, *frozen, text).await?;
                // it is not judged against its own values
                self.judged_until_ms.get_or_insert(ceiling(span.end_ms, round.config.windows.length_ms));
            }
        }
        Ok(())
    }

    /// After a restart before the first verdict, the values of a provisional reference are found again rather than remembered, so
    /// that the same window is judged first.
    pub(super) async fn skip_own_values(&mut self, round: &Round<'_>) -> Result<(), BaselineError> {
        if self.judged_until_ms.is_none() && self.baseline.as_ref().is_some_and(of_first_traffic) {
            let found = first::freeze(round, round.kept_since(), &[], &mut self.wanted).await?;
            let First::Frozen(_, span, _) = found else { return Ok(()) };
            self.judged_until_ms = Some(ceiling(span.end_ms, round.config.windows.length_ms));
        }
        Ok(())
    }

    /// A baseline of a file or a chosen range may lack features that traffic has, outputs above all. The first good
    /// observations after it was frozen add a provisional reference for each; what was frozen stays as it is. Once and for all,
    /// which is written down: whoever goes back to the baseline as it was, or has new features since, keeps what was chosen.
    pub(super) async fn complete(&mut self, round: &Round<'_>) -> Result<(), BaselineError> {
        let Some(baseline) = &self.baseline else { return Ok(()) };
        let chosen = baseline.features.iter().all(|frozen| !frozen.provisional);
        if !chosen || self.completed {
            return Ok(());
        }
        let (since_ms, keep) = (reference_since(round, baseline), &baseline.features);
        let First::Frozen(whole, span, _) = first::freeze(round, since_ms, keep, &mut self.wanted).await? else {
            return Ok(());
        };
        let looked = ActRow {
            model: round.model().to_owned(),
            fingerprint: baseline.info.fingerprint.clone(),
            at: round.now_ms,
            act: Act::Completed.as_str().to_owned(),
            who: "analyzer".to_owned(),
        };
        let added = whole.features.len() - keep.len();
        if added > 0 {
            let own = [baseline.info.fingerprint.as_str()];
            let drifted = round.reader.inputs_drifted(round.model(), &own, span).await?;
            let text =
                format!("Provisional reference for {added} features that the chosen one lacks{}.", amid(&drifted));
            // before it is in force, as where it was frozen
            let (from, to) = (&baseline.info.fingerprint, &whole.info.fingerprint);
            round.reader.copy_hours(round.model(), from, to).await?;
            self.put_in_force(round, *whole, text).await?;
        }
        round.reader.insert_act(&looked).await?;
        self.completed = true;
        Ok(())
    }

    /// Boards count agreement over time by what the configuration says of it.
    pub(super) async fn note_tolerance(&mut self, round: &Round<'_>) -> Result<(), BaselineError> {
        let tolerance = round.settings().shadow.tolerance;
        if self.tolerance != Some(tolerance) {
            round.reader.insert_tolerance(round.model(), tolerance, round.now_ms).await?;
            self.tolerance = Some(tolerance);
        }
        Ok(())
    }

    async fn put_in_force(&mut self, round: &Round<'_>, frozen: Baseline, text: String) -> Result<(), BaselineError> {
        let event = event(round.now_ms, "baseline", round.model(), &frozen.info.version, text);
        frozen.save(round.reader, Act::Promoted, "analyzer").await?;
        round.reader.insert_events(&[event]).await?;
        self.baseline = Some(frozen);
        self.wanted = 0;
        self.recent = Recent::default();
        self.detectors = Detectors::default();
        Ok(())
    }
}

/// In what traffic features were added that a chosen reference lacks.
fn amid(drifted: &[(String, i64)]) -> String {
    let named: Vec<&str> = drifted.iter().take(NAMED_MAX).map(|(input, _)| input.as_str()).collect();
    match drifted.len() {
        0 => String::new(),
        n if n > NAMED_MAX => {
            format!(", from traffic in which {} and {} more drifted", named.join(", "), n - NAMED_MAX)
        }
        _ => format!(", from traffic in which {} drifted", named.join(", ")),
    }
}
