//! What people do with references: list, show, freeze, compare, promote, retire. One place for the command line and the API.
//!
//! The choice: nothing is ever changed or deleted. An act is a row of its own, the newest of a baseline holds, and each is an event
//! beside it, so that whoever wonders later what was judged against finds who decided it. The analyzer reads the acts in its next cycle.

use contract::{
    api::{
        BaselineInfo,
        baseline::{
            BaselineComparison, BaselineRecord, BaselineShown, FeatureDistance, FreezeRequest, FrozenFeature, Standing,
        },
    },
    feature,
};
use store::read::{Act, ActRow, BaselineSummary, EventRow, Reader, Window};

use super::{Baseline, BaselineError, Frozen, from_rows, info, visible};
use crate::{
    config::Config,
    cycle::{first::GROWN_MAX, hours},
    judge::{
        between, display,
        gate::{self, Policy},
        reference::Reference,
    },
};

/// Kind of the events.
pub(super) const KIND: &str = "baseline";
/// Digits of a fingerprint in sentences, and the fewest that are looked up.
const SHORT: usize = 12;
const DIGITS_MIN: usize = 4;
/// What is frozen of the newest observations where nobody says how many and none make a provisional reference.
const NEWEST: u64 = 1_000;

/// Who acts, and with what.
#[derive(Clone, Copy, Debug)]
pub struct Desk<'a> {
    /// The database.
    pub reader: &'a Reader,
    /// The configuration.
    pub config: &'a Config,
    /// Name of the key or of the command.
    pub who: &'a str,
    /// The clock.
    pub now_ms: i64,
}

impl Desk<'_> {
    /// The baselines of a model, or of all, the last touched first.
    ///
    /// # Errors
    /// [`BaselineError`].
    pub async fn list(&self, model: Option<&str>) -> Result<Vec<BaselineRecord>, BaselineError> {
        let all = self.reader.baselines(true).await?;
        let ours = all.iter().filter(|one| model.is_none_or(|model| one.model == model));
        let mut records: Vec<BaselineRecord> = ours.map(|one| self.record(one, &all)).collect();
        // what somebody chose stays to be seen in what completes it
        for one in records.iter_mut().filter(|one| one.standing == Standing::InForce && is_completed(&one.info)) {
            let found =
                all.iter().find(|known| (&known.model, &known.fingerprint) == (&one.info.model, &one.info.fingerprint));
            if let Some(summary) = found {
                one.info.completes = Baseline::load(self.reader, summary).await?.info.completes;
            }
        }
        Ok(records)
    }

    /// One baseline in full.
    ///
    /// # Errors
    /// [`BaselineError`].
    pub async fn show(&self, model: &str, fingerprint: &str) -> Result<BaselineShown, BaselineError> {
        let (all, found) = self.find(model, fingerprint).await?;
        let baseline = Baseline::load(self.reader, &found).await?;
        let policy = self.policy(model);
        let delta = policy.delta / baseline.features.len().max(1) as f64;
        let content = |frozen: &Frozen| {
            let (reference, values) = (&frozen.reference, frozen.reference.total());
            let (kind, bins, missing) = match reference {
                Reference::Numbers(n) => ("numbers", n.edges.len() + 1, n.counts[n.counts.len() - 2]),
                Reference::Categories(c) => ("categories", c.names.len(), c.counts[c.counts.len() - 2]),
            };
            let mut distribution = display::distribution(reference, reference.counts());
            distribution.current.clear();
            FrozenFeature {
                feature: frozen.name.clone(),
                kind: kind.to_owned(),
                values,
                missing,
                bins: bins as u64,
                provisional: frozen.provisional,
                visible: 2.0 * gate::margin(reference, values, delta) + policy.delta_ignore,
                distribution,
            }
        };
        let mut record = self.record(&found, &all);
        record.info.completes.clone_from(&baseline.info.completes);
        Ok(BaselineShown { record, contents: baseline.features.iter().map(content).collect() })
    }

    /// Freezes stored observations.
    ///
    /// # Errors
    /// [`BaselineError`]; too few of them are refused with the smallest shift that they could show.
    pub async fn freeze(&self, model: &str, asked: &FreezeRequest) -> Result<BaselineRecord, BaselineError> {
        let (limits, settings, policy) = (&self.config.freezing, self.config.of(model), self.policy(model));
        let least = if settings.provisional_after > 0 { settings.provisional_after } else { NEWEST };
        let mut asked = asked.clone();
        let grows = asked.newest == Some(0);
        if grows {
            asked.newest = Some(least);
        }
        loop {
            let (span, of, found) = self.span(model, &asked).await?;
            let frozen = from_rows(self.reader, model, span, false, Vec::new(), limits, self.now_ms).await?;
            // with more observations more names are seen: what is enough grows with them, in steps and to an end
            let taken = asked.newest.unwrap_or(0);
            let enough = frozen.observations_needed(|_| true, taken, least * GROWN_MAX, &policy);
            if !grows || enough <= taken || found < taken {
                return self.keep_hours(frozen, &of, span, asked.promote).await;
            }
            asked.newest = Some(enough.next_multiple_of((least / 10).max(1)));
        }
    }

    /// Keeps what was frozen of stored rows, with its hours where they are matched.
    async fn keep_hours(
        &self,
        frozen: Baseline,
        of: &str,
        span: Window,
        promote: bool,
    ) -> Result<BaselineRecord, BaselineError> {
        let model = frozen.info.model.clone();
        let kept = self.keep(frozen, of, false).await?;
        let fingerprint = kept.info.fingerprint.clone();
        // before it is in force: the first window may be judged in the next cycle
        if let Some(name) = self.config.of(&model).hours.name() {
            self.reader.count_hours((&model, &fingerprint), span, self.now_ms, name).await?;
        }
        if promote { self.promote(&model, &fingerprint).await } else { Ok(kept) }
    }

    /// Writes down what was frozen, as a candidate or in force. The same contents again are the same baseline.
    ///
    /// # Errors
    /// [`BaselineError`].
    pub async fn keep(&self, frozen: Baseline, of: &str, promote: bool) -> Result<BaselineRecord, BaselineError> {
        let model = frozen.info.model.clone();
        frozen.check_size(&self.policy(&model))?;
        let all = self.reader.baselines(true).await?;
        let known = all.iter().find(|one| one.model == model && one.fingerprint == frozen.info.fingerprint);
        // what is or was judged against is not made a candidate by freezing it once more
        match known.filter(|known| known.act == Act::Promoted.as_str()) {
            Some(known) if promote => return self.promote(&model, &known.fingerprint).await,
            Some(known) => return Ok(self.record(known, &all)),
            None => frozen.save(self.reader, Act::Frozen, self.who).await?,
        }
        let (rows, features) = (frozen.info.observations, frozen.info.features);
        let name = short(&frozen.info.fingerprint);
        let text = format!("Reference {name} frozen from {of}: {rows} observations, {features} features.");
        self.note(&model, &frozen.info.version, text, self.now_ms).await?;
        if promote {
            return self.promote(&model, &frozen.info.fingerprint).await;
        }
        let (all, found) = self.find(&model, &frozen.info.fingerprint).await?;
        Ok(self.record(&found, &all))
    }

    /// Puts a baseline in force. Detectors and states start anew with it.
    ///
    /// # Errors
    /// [`BaselineError`].
    pub async fn promote(&self, model: &str, fingerprint: &str) -> Result<BaselineRecord, BaselineError> {
        let (all, found) = self.find(model, fingerprint).await?;
        let before = in_force(&all, model);
        let name = short(&found.fingerprint);
        if before.is_some_and(|before| before.fingerprint == found.fingerprint) {
            return Err(BaselineError::Conflict(format!("{model} is judged against {name} already")));
        }
        // two promotions in one millisecond must not leave it to chance which one holds
        let at = before.map_or(self.now_ms, |before| self.now_ms.max(before.since_ms + 1));
        self.act(&found, Act::Promoted, at).await?;
        let place =
            before.map_or("the first one".to_owned(), |before| format!("in place of {}", short(&before.fingerprint)));
        let text = format!(
            "Reference {name} is judged against from now on, {place} (by {}). Detectors and states start anew: evidence so far counts no more.",
            self.who
        );
        self.note(model, &found.version, text, at).await?;
        let (all, found) = self.find(model, &found.fingerprint).await?;
        Ok(self.record(&found, &all))
    }

    /// Puts a baseline away; what is in force stays until another is promoted.
    ///
    /// # Errors
    /// [`BaselineError`].
    pub async fn retire(&self, model: &str, fingerprint: &str) -> Result<BaselineRecord, BaselineError> {
        let (all, found) = self.find(model, fingerprint).await?;
        let name = short(&found.fingerprint);
        if in_force(&all, model).is_some_and(|one| one.fingerprint == found.fingerprint) {
            return Err(BaselineError::Conflict(format!(
                "{model} is judged against {name}; promote another one first"
            )));
        }
        if found.act == Act::Retired.as_str() {
            return Err(BaselineError::Conflict(format!("{name} of {model} is retired already")));
        }
        let at = self.now_ms.max(found.since_ms);
        self.act(&found, Act::Retired, at).await?;
        self.note(model, &found.version, format!("Reference {name} retired (by {}).", self.who), at).await?;
        let (all, found) = self.find(model, &found.fingerprint).await?;
        Ok(self.record(&found, &all))
    }

    /// How far two baselines of a model are apart.
    ///
    /// # Errors
    /// [`BaselineError`].
    pub async fn compare(&self, model: &str, first: &str, second: &str) -> Result<BaselineComparison, BaselineError> {
        let (all, first) = self.find(model, first).await?;
        let second = pick(&all, model, second)?;
        let (a, b) = (Baseline::load(self.reader, &first).await?, Baseline::load(self.reader, &second).await?);
        let chance = self.config.of(model).policy.delta;
        Ok(BaselineComparison {
            model: model.to_owned(),
            features: distances(&a, &b, chance),
            first: first.fingerprint,
            second: second.fingerprint,
            chance,
        })
    }

    /// The policy that a model's windows are judged by.
    fn policy(&self, model: &str) -> Policy {
        let settings = self.config.of(model);
        hours::split(&settings.policy, settings.hours)
    }

    /// What to freeze, in words too, and how many observations that are where a number was asked for.
    async fn span(&self, model: &str, asked: &FreezeRequest) -> Result<(Window, String, u64), BaselineError> {
        let wrong = |what: String| Err(BaselineError::Asked(what));
        match (asked.from_ms, asked.to_ms, asked.newest) {
            (Some(start_ms), Some(end_ms), None) if (0..end_ms).contains(&start_ms) => {
                Ok((Window { start_ms, end_ms }, "a range of stored rows".to_owned(), 0))
            }
            (Some(from), Some(to), None) => {
                wrong(format!("from_ms ({from}) has to be at least 0 and before to_ms ({to})"))
            }
            (None, None, Some(n)) => {
                // a clock of a sender may be a little ahead
                let before_ms = self.now_ms + 60_000;
                let (span, found) = self.reader.newest_observations(model, before_ms, n).await?;
                if found == 0 {
                    return Err(BaselineError::Empty { model: model.to_owned(), from_ms: 0, to_ms: before_ms });
                }
                Ok((span, format!("the newest {found} observations"), found))
            }
            _ => wrong(
                "give from_ms and to_ms (milliseconds since 1970), or newest (a number of observations)".to_owned(),
            ),
        }
    }

    async fn find(&self, model: &str, named: &str) -> Result<(Vec<BaselineSummary>, BaselineSummary), BaselineError> {
        let all = self.reader.baselines(true).await?;
        let found = pick(&all, model, named)?;
        Ok((all, found))
    }

    async fn act(&self, on: &BaselineSummary, act: Act, at: i64) -> Result<(), store::Error> {
        let row = ActRow {
            model: on.model.clone(),
            fingerprint: on.fingerprint.clone(),
            at,
            act: act.as_str().to_owned(),
            who: self.who.to_owned(),
        };
        self.reader.insert_act(&row).await
    }

    /// At the moment of the act, by which [`super::told::mend`] knows that it is there.
    async fn note(&self, model: &str, version: &str, text: String, at: i64) -> Result<(), store::Error> {
        let event = EventRow { at, kind: KIND.to_owned(), model: model.to_owned(), version: version.to_owned(), text };
        self.reader.insert_events(&[event]).await
    }

    fn record(&self, one: &BaselineSummary, all: &[BaselineSummary]) -> BaselineRecord {
        let judged = in_force(all, &one.model).is_some_and(|judged| judged.fingerprint == one.fingerprint);
        let standing = match one.act.as_str() {
            _ if judged => Standing::InForce,
            "frozen" => Standing::Candidate,
            "retired" => Standing::Retired,
            _ => Standing::Replaced,
        };
        let visible = visible(one.observations, one.features, &self.policy(&one.model));
        BaselineRecord { info: info(one), standing, since_ms: one.since_ms, visible }
    }
}

/// The first digits of a fingerprint.
#[must_use]
pub fn short(fingerprint: &str) -> &str {
    fingerprint.get(..SHORT).unwrap_or(fingerprint)
}

/// Whether the first traffic added features to what somebody chose.
const fn is_completed(info: &BaselineInfo) -> bool {
    info.provisional_features > 0 && info.provisional_features < info.features
}

/// The list comes with the one promoted last first.
fn in_force<'a>(all: &'a [BaselineSummary], model: &str) -> Option<&'a BaselineSummary> {
    all.iter().find(|one| one.model == model && one.act == Act::Promoted.as_str())
}

fn pick(all: &[BaselineSummary], model: &str, named: &str) -> Result<BaselineSummary, BaselineError> {
    let (model, fingerprint) = (model.to_owned(), named.to_owned());
    let named = named.to_ascii_lowercase();
    let found: Vec<&BaselineSummary> =
        all.iter().filter(|one| one.model == model && one.fingerprint.starts_with(&named)).collect();
    match found[..] {
        [one] if named.len() >= DIGITS_MIN => Ok(one.clone()),
        [] => Err(BaselineError::Unknown { model, fingerprint }),
        _ => Err(BaselineError::Ambiguous { model, fingerprint, found: found.len() }),
    }
}

/// Every feature of either, the farthest apart first; those that only one has come before all.
fn distances(first: &Baseline, second: &Baseline, chance: f64) -> Vec<FeatureDistance> {
    let names = first.features.iter().chain(&second.features).map(|frozen| frozen.name.as_str());
    let names: std::collections::BTreeSet<&str> = names.collect();
    let delta = chance / names.len().max(1) as f64;
    let one = |name: &str| distance(name, first.reference(name), second.reference(name), delta);
    let mut found: Vec<FeatureDistance> = names.into_iter().map(one).collect();
    let apart = |one: &FeatureDistance| one.lower.unwrap_or(2.0);
    found.sort_by(|a, b| {
        let order = apart(b).total_cmp(&apart(a));
        order.then_with(|| feature::priority(&a.feature).cmp(&feature::priority(&b.feature)))
    });
    found
}

fn distance(name: &str, first: Option<&Reference>, second: Option<&Reference>, delta: f64) -> FeatureDistance {
    let said = |apart, sentence: &str| FeatureDistance {
        feature: name.to_owned(),
        lower: None,
        upper: None,
        by_chance: None,
        apart,
        sentence: sentence.to_owned(),
    };
    let (first, second) = match (first, second) {
        (Some(first), Some(second)) => (first, second),
        (Some(_), None) => return said(true, "Only the first has it."),
        // new, as a new column of a file is: there is nothing that it could differ from
        _ => return said(false, "Only the second has it."),
    };
    let Some(found) = between::between(first, second) else {
        let sentence = "One holds numbers, the other categories.";
        return FeatureDistance { lower: Some(1.0), upper: Some(1.0), ..said(true, sentence) };
    };
    // each frozen sample may be off by its own margin, at half of the chance
    let off = |reference: &Reference| gate::margin(reference, reference.total(), delta / 2.0);
    let by_chance = off(first) + off(second);
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    let sentence = match &found.at {
        None => "No difference.".to_owned(),
        Some(at) => {
            format!(
                "{} of values are {} in the first, {} in the second.",
                percent(at.first),
                at.what,
                percent(at.second)
            )
        }
    };
    FeatureDistance {
        lower: Some(found.lower),
        upper: Some(found.upper),
        by_chance: Some(by_chance),
        apart: found.lower > by_chance,
        sentence,
        ..said(false, "")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(model: &str, fingerprint: &str, act: Act) -> BaselineSummary {
        BaselineSummary {
            model: model.into(),
            version: String::new(),
            fingerprint: fingerprint.into(),
            frozen_at_ms: 1,
            features: 1,
            observations: 1_000,
            provisional: false,
            provisional_features: 0,
            act: act.as_str().into(),
            since_ms: 1,
            completed: false,
        }
    }

    #[test]
    fn a_few_digits_name_one_baseline_of_the_model() {
        let all = [
            summary("m", "abcd1", Act::Frozen),
            summary("m", "abcd2", Act::Promoted),
            summary("other", "abcd1", Act::Promoted),
        ];
        assert_eq!(pick(&all, "m", "ABCD2").unwrap(), all[1]);
        assert!(matches!(pick(&all, "m", "abcd"), Err(BaselineError::Ambiguous { found: 2, .. })));
        assert!(matches!(pick(&all, "other", "abc"), Err(BaselineError::Ambiguous { .. })), "too few digits");
        assert!(matches!(pick(&all, "m", "ffff"), Err(BaselineError::Unknown { .. })));
        assert_eq!(in_force(&all, "m"), Some(&all[1]), "a candidate is not judged against");
    }

    #[test]
    fn features_are_listed_by_distance_and_what_only_one_has_first() {
        let numbers =
            |from: f64| Reference::numbers(&(0..4_000).map(|i| from + f64::from(i) / 4e3).collect::<Vec<_>>(), 0, 64);
        let baseline = |features: &[(&str, f64)]| {
            let frozen = |(name, from): &(&str, f64)| Frozen {
                name: (*name).to_owned(),
                reference: numbers(*from),
                provisional: false,
            };
            Baseline::new("m", "1", 0, features.iter().map(frozen).collect())
        };
        let (a, b) =
            (baseline(&[("x", 0.0), ("y", 0.0), ("z", 0.0)]), baseline(&[("x", 0.01), ("y", 0.3), ("w", 0.0)]));
        let found = distances(&a, &b, 0.01);
        let shown: Vec<_> = found.iter().map(|one| (one.feature.as_str(), one.apart)).collect();
        assert_eq!(shown, [("w", false), ("z", true), ("y", true), ("x", false)]);
        assert!((found[2].lower.unwrap() - 0.3).abs() < 0.02, "{:?}", found[2]);
    }
}
