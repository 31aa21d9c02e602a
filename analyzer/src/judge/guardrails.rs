//! What a shadow must not do beside disagreeing and failing: run slower, be less sure, be right less often, be unseen on a class.
//!
//! The choice: each is the mean of a bounded difference of the same pair (shadow's less primary's, so that more is worse), counted in
//! steps, and one engine ([`betting`](super::betting)) decides all of them. A promotion needs each proved within its limit at alpha
//! (all have to hold, so none pays for another); a rejection needs one proved beyond it at alpha over their number (Holm's first step).

use contract::api::shadow::{Guardrail, GuardrailName, GuardrailState};

use super::{
    agreement::{self, Pairs, ShadowPolicy},
    betting::Counts,
};

/// Run times are compared in octaves, at most this many up or down: one answer that hung says no more.
pub const OCTAVES: f64 = 3.0;
/// Classes with a smaller share of the answers need no pairs of their own.
const CLASS_SHARE_MIN: f64 = 0.01;
/// Classes named in a sentence.
const CLASSES_NAMED: usize = 3;

/// What is allowed. A limit that no pair can exceed asks nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Run time over the primary's, geometric mean over pairs; infinite where it is not asked.
    pub slowdown: f64,
    /// Fall of the mean confidence, 0 to 1.
    pub confidence_drop: f64,
    /// Fall of accuracy by labels, 0 to 1.
    pub accuracy_loss: f64,
    /// Rise of the Brier score by labels, 0 to 1.
    pub brier_rise: f64,
    /// Labelled pairs from which on a promotion asks what labels say.
    pub labelled_min: u64,
    /// Pairs of each class that makes up a hundredth of the answers.
    pub class_pairs_min: u64,
}

impl Limits {
    /// Asks nothing.
    pub const NONE: Self = Self {
        slowdown: f64::INFINITY,
        confidence_drop: 1.0,
        accuracy_loss: 1.0,
        brier_rise: 1.0,
        labelled_min: u64::MAX,
        class_pairs_min: 0,
    };
}

/// How often pairs differed by how much.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// Binary logarithm of the shadow's run time over the primary's.
    pub octaves: Vec<(f64, u64)>,
    /// Whether the shadow ran longer than the objective allows, less whether the primary did; with the share that may.
    pub slow: Option<Slow>,
    /// The primary's confidence less the shadow's.
    pub confidence: Vec<(f64, u64)>,
    /// Whether the primary was right by the label, less whether the shadow was.
    pub losses: Vec<(f64, u64)>,
    /// The shadow's Brier score less the primary's.
    pub brier: Vec<(f64, u64)>,
    /// Classes of the primary.
    pub classes: Vec<Class>,
}

/// Runs against an objective's latency.
#[derive(Clone, Debug, PartialEq)]
pub struct Slow {
    /// Milliseconds that a request may take.
    pub threshold_ms: f64,
    /// Share of the requests that may take longer.
    pub budget: f64,
    /// -1, 0 and 1.
    pub counts: Vec<(f64, u64)>,
}

/// A class and how well it was seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Class {
    /// The label.
    pub label: String,
    /// Pairs in which the primary said it.
    pub pairs: u64,
    /// Its share of the answers: of the pairs, or of the reference where that is more.
    pub share: f64,
}

/// One mean and its limit.
pub(super) struct Rail {
    name: GuardrailName,
    counts: Counts,
    limit: f64,
    /// Whether a promotion needs it.
    asked: bool,
}

/// The rails that are asked, or that a shadow can break.
pub(super) fn rails(measured: &Measured, limits: &Limits) -> Vec<Rail> {
    use GuardrailName::{Accuracy, Brier, Confidence, SlowRuns, Slowdown};
    let of = |name, (low, high): (f64, f64), values: &[(f64, u64)], limit: f64, asked| {
        (limit < high && (asked || !values.is_empty())).then(|| Rail {
            name,
            counts: Counts::new(low, high, values.iter().copied()),
            limit,
            asked,
        })
    };
    let (difference, labelled) = ((-1.0, 1.0), measured.losses.iter().map(|(_, n)| n).sum::<u64>());
    let by_labels = labelled >= limits.labelled_min;
    let slow = measured.slow.as_ref();
    [
        of(Slowdown, (-OCTAVES, OCTAVES), &measured.octaves, limits.slowdown.log2(), true),
        slow.and_then(|slow| of(SlowRuns, difference, &slow.counts, slow.budget, !slow.counts.is_empty())),
        of(Confidence, difference, &measured.confidence, limits.confidence_drop, !measured.confidence.is_empty()),
        of(Accuracy, difference, &measured.losses, limits.accuracy_loss, by_labels),
        of(Brier, difference, &measured.brier, limits.brier_rise, by_labels),
    ]
    .into_iter()
    .flatten()
    .collect()
}

impl Rail {
    pub(super) fn is_broken(&self, alpha: f64) -> bool {
        self.counts.above(self.limit) >= -alpha.ln()
    }

    pub(super) fn is_proved(&self, pairs: &Pairs, alpha: f64) -> bool {
        !self.asked || self.counts.below(self.limit) >= -alpha.ln() || self.is_certain(pairs, alpha)
    }

    /// No label can speak against a shadow that is proved to say what the primary says nearly always.
    fn is_certain(&self, pairs: &Pairs, alpha: f64) -> bool {
        self.name == GuardrailName::Accuracy
            && agreement::sequence(pairs.agreed, pairs.pairs, alpha).is_some_and(|one| 1.0 - one.lower <= self.limit)
    }

    /// About how many more observations would prove it, were the observed shares to stay; `None` where more alone will not.
    pub(super) fn needed(&self, pairs: &Pairs, alpha: f64) -> Option<u64> {
        if self.is_proved(pairs, alpha) {
            return Some(0);
        }
        let n = self.counts.n();
        self.counts.mean().filter(|mean| *mean < self.limit)?;
        let enough = agreement::least(n, |at| self.counts.scaled_to(at).below(self.limit) >= -alpha.ln())?;
        Some(enough - n)
    }

    /// Why it is broken.
    pub(super) fn broken_words(&self, alpha: f64) -> String {
        let lower = self.counts.bounds(alpha).map_or(self.limit, |bounds| bounds.lower);
        let (subject, n, show) = (self.subject(), self.counts.n(), |value| self.shown(value));
        format!("{subject} is at least {} after {n} pairs, {} is allowed.", show(lower), show(self.limit))
    }

    /// Why it does not let a promotion pass yet.
    pub(super) fn open_words(&self, pairs: &Pairs, alpha: f64) -> String {
        let (subject, limit) = (self.subject(), self.shown(self.limit));
        let Some((mean, bounds)) = self.counts.mean().zip(self.counts.bounds(alpha)) else {
            return format!("{subject} was not measured in any pair, at most {limit} is asked.");
        };
        let (mean, upper) = (self.shown(mean), self.shown(bounds.upper));
        let to_go = match self.needed(pairs, alpha) {
            Some(more) => format!("about {more} more pairs at {mean} would prove it"),
            None => format!("observed is {mean}, so more pairs alone will not prove it"),
        };
        format!("{subject} is proved to be at most {upper} only, {limit} is allowed; {to_go}.")
    }

    const fn subject(&self) -> &'static str {
        match self.name {
            GuardrailName::Slowdown => "Run time over the primary's",
            GuardrailName::SlowRuns => "The share of runs beyond the objective's time, less the primary's,",
            GuardrailName::Confidence => "The fall of confidence",
            GuardrailName::Accuracy => "The fall of accuracy by labels",
            _ => "The rise of the Brier score by labels",
        }
    }

    fn shown(&self, value: f64) -> String {
        match self.name {
            GuardrailName::Slowdown => format!("{:.2} times", value.exp2()),
            GuardrailName::SlowRuns | GuardrailName::Accuracy => agreement::percent(value),
            _ => format!("{value:.3}"),
        }
    }

    /// As a reader sees it. Run times are given as factors.
    pub(super) fn report(&self, pairs: &Pairs, policy: &ShadowPolicy, rails: usize) -> Guardrail {
        let (alpha, bounds) = (policy.alpha, self.counts.bounds(policy.alpha));
        let value = |value: f64| if self.name == GuardrailName::Slowdown { value.exp2() } else { value };
        let broken = self.is_broken(alpha / rails as f64);
        let proved = self.is_proved(pairs, alpha);
        let (subject, n) = (self.subject(), self.counts.n());
        let (state, sentence) = match (broken, proved) {
            (true, _) => (GuardrailState::Broken, self.broken_words(alpha / rails as f64)),
            (false, false) => (GuardrailState::Open, self.open_words(pairs, alpha)),
            (false, true) if !self.asked => (GuardrailState::Unasked, format!("{subject} is not asked of {n} pairs.")),
            (false, true) => {
                let upper = bounds.map_or(self.limit, |bounds| bounds.upper.min(self.limit));
                let (upper, limit) = (self.shown(upper), self.shown(self.limit));
                (GuardrailState::Proved, format!("{subject} is at most {upper}, {limit} is allowed."))
            }
        };
        Guardrail {
            name: self.name,
            state,
            n,
            observed: self.counts.mean().map(value),
            lower: bounds.map(|bounds| value(bounds.lower)),
            upper: bounds.map(|bounds| value(bounds.upper)),
            limit: value(self.limit),
            needed: self.needed(pairs, alpha),
            sentence,
        }
    }
}

/// Classes that were seen too rarely for a promotion, the rarest first.
fn unseen<'a>(measured: &'a Measured, limits: &Limits) -> Vec<&'a Class> {
    let rare = |class: &&Class| class.share >= CLASS_SHARE_MIN && class.pairs < limits.class_pairs_min;
    let mut unseen: Vec<&Class> = measured.classes.iter().filter(rare).collect();
    unseen.sort_by(|a, b| a.pairs.cmp(&b.pairs).then_with(|| a.label.cmp(&b.label)));
    unseen
}

/// Why the classes do not let a promotion pass.
pub(super) fn support(measured: &Measured, limits: &Limits) -> Option<String> {
    let unseen = unseen(measured, limits);
    let named = unseen.iter().take(CLASSES_NAMED).map(|class| format!("{} of {}", class.pairs, class.label));
    let named: Vec<String> = named.collect();
    let more = unseen.len().saturating_sub(CLASSES_NAMED);
    let more = if more > 0 { format!(" and of {more} more classes too few") } else { String::new() };
    let least = limits.class_pairs_min;
    (!unseen.is_empty())
        .then(|| format!("Of each class at least {least} pairs are asked, seen are {}{more}.", named.join(", ")))
}

/// About how many more pairs would show each class often enough.
pub(super) fn support_needed(measured: &Measured, limits: &Limits) -> u64 {
    let more = |class: &Class| ((limits.class_pairs_min - class.pairs) as f64 / class.share).ceil() as u64;
    unseen(measured, limits).into_iter().map(more).max().unwrap_or(0)
}

/// The classes as a reader sees them; `None` where nothing is asked of them.
pub(super) fn support_report(measured: &Measured, limits: &Limits) -> Option<Guardrail> {
    let seen = measured.classes.iter().filter(|class| class.share >= CLASS_SHARE_MIN);
    let fewest = seen.map(|class| class.pairs).min()?;
    let (least, why) = (limits.class_pairs_min, support(measured, limits));
    (least > 0).then(|| Guardrail {
        name: GuardrailName::Classes,
        state: if why.is_some() { GuardrailState::Open } else { GuardrailState::Proved },
        n: fewest,
        observed: Some(fewest as f64),
        lower: None,
        upper: None,
        limit: least as f64,
        needed: Some(support_needed(measured, limits)),
        sentence: why.unwrap_or_else(|| format!("Each class was seen in at least {fewest} pairs, {least} are asked.")),
    })
}

#[cfg(test)]
mod tests;
