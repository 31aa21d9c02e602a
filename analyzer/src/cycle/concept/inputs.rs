//! The inputs that errors are set beside.
//!
//! The choice: labels come late, so what inputs do in the window in which labels arrive says nothing of the answers labelled. Those
//! that were drifted in a window since these answers were given count as moved, until when is said. The database is
//! asked, so a restart forgets none, and only while answers err otherwise.

use contract::{
    api::{DriftState, FeatureVerdict},
    feature::{INPUT_PREFIX, TEXT_PREFIX},
};
use store::read::Window;

use super::{
    super::{parts::Judged, round::Round},
    Watch,
    reference::judged_against,
};
use crate::{
    baseline::Baseline,
    judge::concept::{self, Inputs, Moved},
};

impl Watch {
    /// Inputs that had moved when the answers were given that make errors drifted in a window; `features` are its verdicts. A share of
    /// the answers that may have been given earlier is the shift that is ignored: so many cannot make a drift.
    pub async fn moved<'a>(
        &self,
        round: &Round<'_>,
        features: impl Iterator<Item = &'a FeatureVerdict>,
        judged: &[Judged],
        (window, baseline): (Window, &Baseline),
    ) -> Result<Vec<Moved>, store::Error> {
        let erring = || judged.iter().filter(|one| one.verdict.state == DriftState::Drifted);
        let Some(start_ms) = erring().map(|one| one.verdict.window_start_ms).min() else { return Ok(Vec::new()) };
        let drifted = features.filter(|one| is_input(one) && one.state == DriftState::Drifted);
        let mut now: Vec<Moved> =
            drifted.map(|one| Moved { input: one.feature.clone(), until_ms: window.end_ms }).collect();
        let arrived = Window { start_ms, end_ms: window.end_ms };
        let (of, ignored) = ((round.model(), self.version.as_str()), round.settings().policy.delta_ignore);
        if let Some(start_ms) = round.reader.answered_since(of, arrived, ignored).await? {
            let ended = Window { start_ms, end_ms: window.end_ms };
            let then = round.reader.inputs_drifted(round.model(), &judged_against(baseline), ended).await?;
            let then = then.into_iter().filter(|(input, _)| now.iter().all(|one| one.input != *input));
            let then: Vec<Moved> = then.map(|(input, until_ms)| Moved { input, until_ms }).collect();
            now.extend(then);
        }
        let before = if self.goes_on() { self.left.moved.as_slice() } else { &[] };
        Ok(concept::moved_then(before, now, erring().any(|one| one.alone)))
    }
}

/// What verdicts say of the inputs of a window, beside those that had moved before.
pub(super) fn known<'b, 'a: 'b>(features: impl Iterator<Item = &'a FeatureVerdict>, then: &'b [Moved]) -> Inputs<'b> {
    let mut inputs = Inputs { then, ..Inputs::default() };
    for one in features.filter(|one| is_input(one)) {
        inputs.judged += 1;
        match one.state {
            DriftState::Drifted => inputs.moved.push(&one.feature),
            DriftState::Insufficient => inputs.unknown += 1,
            _ => {}
        }
    }
    inputs
}

fn is_input(verdict: &FeatureVerdict) -> bool {
    verdict.feature.starts_with(INPUT_PREFIX) || verdict.feature.starts_with(TEXT_PREFIX)
}
