//! The reference of errors: which labels make it, and when.
//!
//! The choice: it holds errors of answers whose inputs were as in the baseline. Labels of answers that were given while an input was
//! drifted are left out, or the end of that drift would look like answers that come to err otherwise; and only answers of judged
//! windows are taken, since of later ones that is not known. Where inputs stay drifted for as long as a reference is waited for, the
//! answers that there are will do.

use std::collections::BTreeMap;

use contract::{api::BaselineInfo, feature::OUTPUT_ERROR, segment};
use store::read::{Answered, LabelErrors, SegmentCount, Window};

use super::{
    super::{
        changes,
        parts::{Pair, bins, key},
        round::{Round, reference_since},
        span::Recent,
    },
    BIN_WRONG, LABELS_BACK_MS, OF_VERSION, Tested, Watch, counts,
};
use crate::{
    baseline::{Baseline, BaselineError},
    judge::{
        concept::{self, Errors, Gathered},
        errors,
        gate::Policy,
    },
};

/// Later than any label.
const FAR_MS: i64 = u32::MAX as i64 * 1_000;
/// Spans left out at most; above, the gaps between them are left out too, the shortest first.
const APART_MAX: usize = 1_000;

/// When labels were looked at, and what was to be seen then.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Asked {
    at_ms: i64,
    /// Labels of all models.
    labels: u64,
    /// Of this one's, those whose answers were not judged yet.
    later: u64,
    /// When fewer will do.
    patient_until_ms: Option<i64>,
}

impl Watch {
    /// Takes the reference beside the baseline in force, and makes it once enough labels arrived; of answers that were given in
    /// judged windows, whose end is given.
    pub async fn prepare(
        &mut self,
        round: &Round<'_>,
        baseline: &Baseline,
        judged_ms: Option<i64>,
    ) -> Result<(), BaselineError> {
        let model = round.model();
        // A canary of half the traffic does not make the versions take turns: one is judged until it answers no more.
        if !stays(&self.version, &round.seen.answering) {
            self.version.clone_from(&round.seen.version);
        }
        let fingerprint = format!("{}{OF_VERSION}{}", chosen(baseline), self.version);
        if self.fingerprint != fingerprint {
            self.load(round, baseline, fingerprint).await?;
        }
        if self.until_ms.is_some() {
            return Ok(());
        }
        let since_ms = self.frozen_ms.map_or_else(|| reference_since(round, baseline), |ms| ms.max(round.kept_since()));
        let limits = &round.config.labels;
        let Some(labels) = self.news(round, since_ms).await? else { return Ok(()) };
        let of = (model, self.version.as_str());
        let drifted = round.reader.spans_drifted(model, &judged_against(baseline), since_ms).await?;
        let apart = merged(&drifted);
        let mut answered = Answered { until_ms: judged_ms.unwrap_or(0), apart: &apart };
        let mut seen = round.reader.label_times(of, since_ms, limits.reference, &answered).await?;
        let waited = seen.first_ms > 0 && round.now_ms - seen.first_ms >= limits.patience_ms;
        if waited && seen.apart > 0 && (seen.times.len() as u64) < limits.least {
            // What has been drifted for so long is what there is.
            answered.apart = &[];
            seen = round.reader.label_times(of, since_ms, limits.reference, &answered).await?;
        }
        let n = seen.times.len() as u64;
        self.gathered = Gathered { labelled: n + seen.later, wanted: limits.reference, apart: seen.apart };
        let patient_until_ms = (seen.first_ms > 0).then(|| seen.first_ms + limits.patience_ms);
        self.asked = Some(Asked { at_ms: round.now_ms, labels, later: seen.later, patient_until_ms });
        let enough = n == limits.reference || (waited && n >= limits.least);
        let Some(last) = seen.times.last().filter(|_| enough) else { return Ok(()) };
        // What arrived in the same millisecond belongs to it.
        let span = Window { start_ms: since_ms, end_ms: last + 1 };
        let errors = round.reader.label_errors(of, span, &answered).await?;
        let counts = counts(&errors, &named(&errors, round.config.segments.values_max), span.end_ms);
        self.say_if_it_errs_otherwise(round, &errors, span.end_ms).await?;
        round.reader.insert_references(model, &self.fingerprint, &counts).await?;
        self.take(counts, &round.settings().policy);
        // Labels that arrived since its last one, in windows judged without it, are counted with the next.
        self.counted_ms = self.until_ms;
        Ok(())
    }

    /// How many labels there are, where it is time to look at them: once a window, and only when some came or others that there
    /// were may be taken by now. Most models have none for most of their time.
    async fn news(&mut self, round: &Round<'_>, since_ms: i64) -> Result<Option<u64>, store::Error> {
        let now_ms = round.now_ms;
        if self.asked.is_some_and(|asked| now_ms - asked.at_ms < round.config.windows.length_ms) {
            return Ok(None);
        }
        let labels = round.reader.labels_in(Window { start_ms: since_ms, end_ms: FAR_MS }).await?;
        let asked = self.asked.unwrap_or_default();
        // What was seen is kept only once all of it was.
        self.asked = Some(Asked { at_ms: now_ms, ..asked });
        let patient = asked.patient_until_ms.is_some_and(|at_ms| asked.at_ms < at_ms && at_ms <= now_ms);
        Ok((labels != asked.labels || asked.later > 0 || patient).then_some(labels))
    }

    async fn load(&mut self, round: &Round<'_>, baseline: &Baseline, fingerprint: String) -> Result<(), store::Error> {
        let (model, baseline) = (round.model(), chosen(baseline));
        let frozen = round.reader.baselines(true).await?;
        let frozen = frozen.into_iter().find(|known| known.model == model && known.fingerprint == baseline);
        self.frozen_ms = frozen.filter(|known| !known.provisional).map(|known| known.frozen_at_ms);
        let counts = round.reader.segment_references(model, &fingerprint).await?;
        let starts = format!("{baseline}{OF_VERSION}");
        let whole = (segment::TRUTH, segment::ALL);
        let known = round.reader.references_of(model, &starts, whole).await?;
        let end_ms = self.counted_ms.unwrap_or(0);
        let span = Window { start_ms: (end_ms - LABELS_BACK_MS).max(0), end_ms };
        let recent = round.reader.counts_of_segment(model, &fingerprint, segment::TRUTH, span).await?;
        self.earlier = known.into_iter().find(|one| one.fingerprint != fingerprint).map(|one| {
            let errors = Errors { n: one.first + one.second, wrong: one.second };
            (one.fingerprint[starts.len()..].to_owned(), errors)
        });
        let counted = !recent.is_empty();
        self.recent = Recent::default();
        self.recent.put(bins(recent));
        self.asked = None;
        self.fingerprint = fingerprint;
        self.take(counts, &round.settings().policy);
        // What nothing was counted of since is counted with the next window, as after the reference was made.
        if let (Some(until_ms), false) = (self.until_ms, counted) {
            self.counted_ms = Some(until_ms.max(span.start_ms));
        }
        Ok(())
    }

    /// Before the reference is there: so that it is said again, as the same event, where the writing fails in between.
    async fn say_if_it_errs_otherwise(
        &self,
        round: &Round<'_>,
        errors: &[LabelErrors],
        at_ms: i64,
    ) -> Result<(), store::Error> {
        let Some((earlier, before)) = &self.earlier else { return Ok(()) };
        let add =
            |sum: Errors, one: &LabelErrors| Errors { n: sum.n + one.right + one.wrong, wrong: sum.wrong + one.wrong };
        let now = errors.iter().fold(Errors::default(), add);
        let policy = &round.settings().policy;
        let (before, now) = ((earlier.as_str(), *before), (self.version.as_str(), now));
        let Some(text) = concept::versions(before, now, policy.delta, policy.delta_ignore) else { return Ok(()) };
        let event = changes::event(at_ms, "deployment", round.model(), &self.version, text);
        round.reader.insert_events(&[event]).await
    }

    fn take(&mut self, counts: Vec<SegmentCount>, policy: &Policy) {
        (self.tested, self.until_ms) = Default::default();
        let mut by_value: BTreeMap<String, [u64; 2]> = BTreeMap::new();
        for count in counts.into_iter().filter(|count| count.segment == segment::TRUTH) {
            self.until_ms = self.until_ms.max(Some(count.at_ms));
            by_value.entry(count.value).or_default()[usize::from(count.bin == BIN_WRONG)] += count.n;
        }
        by_value.retain(|_, [right, wrong]| *right + *wrong > 0);
        let delta = policy.delta / by_value.len().max(1) as f64;
        for (value, [right, wrong]) in by_value {
            let reference = Errors { n: right + wrong, wrong };
            let key = key(OUTPUT_ERROR, segment::TRUTH, &value);
            let pair = Pair { feature: OUTPUT_ERROR.into(), segment: segment::TRUTH.into(), value };
            let enough = errors::enough(reference, delta, policy);
            self.tested.push(Tested { pair, key, reference, enough });
        }
    }
}

/// The baseline that a reference of errors stands beside: what traffic adds to a chosen one changes nothing of the errors.
fn chosen(baseline: &Baseline) -> &str {
    let BaselineInfo { completes, fingerprint, .. } = &baseline.info;
    if completes.is_empty() { fingerprint } else { completes }
}

/// Fingerprints under which inputs were judged against it.
pub(super) fn judged_against(baseline: &Baseline) -> [&str; 2] {
    [chosen(baseline), &baseline.info.fingerprint]
}

/// Spans in order of their start as few that do not touch.
fn merged(spans: &[Window]) -> Vec<Window> {
    let within = |gap_ms: i64| {
        let mut merged: Vec<Window> = Vec::new();
        for span in spans {
            match merged.last_mut().filter(|last| span.start_ms <= last.end_ms.saturating_add(gap_ms)) {
                Some(last) => last.end_ms = last.end_ms.max(span.end_ms),
                None => merged.push(*span),
            }
        }
        merged
    };
    let mut gap_ms = 0;
    loop {
        let found = within(gap_ms);
        if found.len() <= APART_MAX {
            return found;
        }
        gap_ms = gap_ms.max(500) * 2;
    }
}

/// Whether a version is judged further. Where nothing answers it has not been replaced: after a silence it goes on.
fn stays(version: &str, answering: &[String]) -> bool {
    !version.is_empty() && (answering.is_empty() || answering.iter().any(|one| one == version))
}

/// Classes told apart: those with most labels, which come first.
fn named(errors: &[LabelErrors], values_max: u64) -> Vec<String> {
    errors.iter().take(values_max as usize).map(|one| one.truth.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Five silent minutes handed the errors to the canary that answered first after them.
    #[test]
    fn a_version_is_judged_until_another_answers_in_its_place() {
        let answering = |versions: &[&str]| versions.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
        assert!(stays("1", &answering(&["2", "1"])) && stays("1", &[]));
        assert!(!stays("1", &answering(&["2"])) && !stays("", &[]) && !stays("", &answering(&["1"])));
    }

    #[test]
    fn spans_left_out_are_few() {
        let span = |start_ms, end_ms| Window { start_ms, end_ms };
        assert_eq!(merged(&[span(0, 10), span(5, 20), span(20, 30), span(40, 50)]), [span(0, 30), span(40, 50)]);
        assert_eq!(merged(&[]), []);
        let many: Vec<Window> = (0..5_000).map(|i| span(i * 20_000, i * 20_000 + 10_000)).collect();
        assert_eq!(merged(&many), [span(0, 4_999 * 20_000 + 10_000)]);
    }
}
