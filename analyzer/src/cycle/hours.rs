//! A window beside the same hour of its reference: what changes with the hour or the day of the week is no drift.
//!
//! The choice: the bins stay those of the whole reference, so windows are counted once, and only the shares that they are held
//! against are the hour's. Each hour is a reference of its own that may mislead, so the chance of that is split over all of them. An
//! hour with too few values to show anything falls back to the whole, feature by feature, and says so.

use std::collections::HashMap;

use store::read::Reader;

use crate::{
    baseline::{Baseline, Frozen},
    config::Hours,
    judge::gate::{self, Policy},
};

/// The references of one hour, in the order of a baseline's.
#[derive(Debug, Default)]
pub(super) struct Hour {
    of: Option<(String, u32)>,
    features: Vec<Frozen>,
    /// What each verdict says of it.
    said: Vec<String>,
}

impl Hour {
    /// Takes the hour that a moment is in; `policy` is [`split`] already.
    pub async fn prepare(
        &mut self,
        reader: &Reader,
        baseline: &Baseline,
        (hours, at_ms): (Hours, i64),
        policy: &Policy,
    ) -> Result<(), store::Error> {
        let (fingerprint, hour) = (&baseline.info.fingerprint, hours.of(at_ms));
        if self.of.as_ref().is_some_and(|(known, at)| known == fingerprint && *at == hour) {
            return Ok(());
        }
        let Some(name) = hours.name() else { return Ok(()) };
        let counts = reader.hour_references((&baseline.info.model, fingerprint), name, hour).await?;
        let mut by_feature: HashMap<String, Vec<(i32, u64)>> = HashMap::new();
        for count in counts {
            by_feature.entry(count.feature).or_default().push((count.bin, count.n));
        }
        let delta = policy.delta / baseline.features.len().max(1) as f64;
        let of = |frozen: &Frozen| matched(frozen, by_feature.get(&frozen.name), name, delta, policy);
        (self.features, self.said) = baseline.features.iter().map(of).unzip();
        self.of = Some((fingerprint.clone(), hour));
        Ok(())
    }

    /// The references to judge against.
    pub fn features(&self) -> &[Frozen] {
        &self.features
    }

    /// What is to be said of the feature at a place; nothing where hours are not matched.
    pub fn said(&self, at: usize) -> &str {
        self.said.get(at).map_or("", String::as_str)
    }
}

/// The policy of a family whose references are many: by it windows are judged, and by it references are large enough.
pub(crate) fn split(policy: &Policy, hours: Hours) -> Policy {
    Policy { delta: policy.delta / f64::from(hours.count()), ..*policy }
}

fn matched(
    frozen: &Frozen,
    bins: Option<&Vec<(i32, u64)>>,
    name: &str,
    delta: f64,
    policy: &Policy,
) -> (Frozen, String) {
    let whole = |why: String| (frozen.clone(), format!(" Judged against the whole reference: {why}."));
    let Some(bins) = bins else {
        let why = if frozen.provisional { "the first traffic made it" } else { "none of its hours are frozen here" };
        return whole(why.to_owned());
    };
    let reference = frozen.reference.counted(frozen.reference.cells(bins.iter().copied()));
    let (n, room) = (reference.total(), policy.detectable_min - policy.delta_ignore);
    let open = 2.0 * gate::margin(&reference, n.max(1), delta);
    if open > room {
        let needed = (n.max(1) as f64 * (open / room).powi(2)).ceil();
        let why = format!("this {} has {n} values and needs about {needed}", name.trim_matches(['(', ')']));
        return whole(why);
    }
    let said = format!(" Judged against the same {} of the reference.", name.trim_matches(['(', ')']));
    (Frozen { name: frozen.name.clone(), reference, provisional: frozen.provisional }, said)
}
