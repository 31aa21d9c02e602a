//! Shadow verdicts from paired answers: promote, hold or reject, valid at every look.
//!
//! Same inputs, so never a two-sample test. Agreement is a share of pairs; decisions use the beta-binomial confidence sequence
//! `{ theta : B(a + S, b + F) / (B(a, b) theta^S (1 - theta)^F) < 1 / alpha }`, `a = b = 1/2` (Robbins 1970; Howard et al. 2021),
//! which holds for all sample sizes at once, so that looking after every pair is free. The Wilson interval is for display only.

mod report;

use contract::api::{Interval, ShadowVerdict};
use contract::wire::Gap;
use statrs::function::beta::ln_beta;
use store::read::Tolerance;

use super::guardrails::{self, Limits, Measured, Rail};

pub use report::report;

/// What the user asks of a shadow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShadowPolicy {
    /// Agreement that has to be proved, 0 to 1.
    pub agreement_min: f64,
    /// Largest share of failed requests, 0 to 1.
    pub failure_max: f64,
    /// Chance of a wrong verdict.
    pub alpha: f64,
    /// Pairs before any promotion.
    pub pairs_min: u64,
    /// Seconds between the first and the last pair before any promotion.
    pub seconds_min: u64,
    /// How far apart answers without labels may be and agree.
    pub tolerance: Tolerance,
    /// What is asked beside agreement and failures.
    pub limits: Limits,
}

/// What agreement means where there are no labels, to follow a verdict's sentence; empty where there are.
#[must_use]
pub fn meaning(compared: &str, tolerance: Tolerance) -> String {
    let Tolerance { absolute, relative, vector } = tolerance;
    match compared {
        "number" => format!(" Numbers agree within {} or {absolute}.", percent(relative)),
        "vector" => format!(" Vectors agree at a cosine of at least {}.", 1.0 - vector),
        "shape" => " The newest answers are of different shapes, which never agree.".to_owned(),
        _ => String::new(),
    }
}

/// Whether answers without labels that are so far apart agree.
#[must_use]
pub fn agrees(gap: Gap, tolerance: Tolerance) -> bool {
    match gap {
        Gap::Number { absolute, relative } => absolute <= tolerance.absolute || relative <= tolerance.relative,
        Gap::Vector { distance } => distance <= tolerance.vector,
        Gap::Shape => false,
    }
}

/// Counts of a shadow's comparisons so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pairs {
    /// Pairs in which both answered.
    pub pairs: u64,
    /// Pairs with the same label.
    pub agreed: u64,
    /// Requests the shadow answered.
    pub answered: u64,
    /// Requests on which it failed.
    pub errors: u64,
    /// Requests that it was offered and shed.
    pub shed: u64,
    /// Seconds between the first and the last comparison.
    pub seconds: u64,
}

/// A verdict and its reason.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The verdict.
    pub verdict: ShadowVerdict,
    /// Agreement's confidence sequence; `None` without pairs.
    pub sequence: Option<Interval>,
    /// One sentence.
    pub sentence: String,
}

/// Two-sided 95 % quantile of the normal distribution.
const Z_95: f64 = 1.959_963_984_540_054;

/// Wilson's score interval at 95 % for `successes` of `n`; `None` for `n = 0`.
#[must_use]
pub fn wilson(successes: u64, n: u64) -> Option<Interval> {
    if n == 0 {
        return None;
    }
    let (size, share) = (n as f64, successes as f64 / n as f64);
    let z2 = Z_95 * Z_95;
    let centre = (share + z2 / (2.0 * size)) / (1.0 + z2 / size);
    let half = Z_95 / (1.0 + z2 / size) * (share * (1.0 - share) / size + z2 / (4.0 * size * size)).sqrt();
    Some(Interval { lower: (centre - half).max(0.0), upper: (centre + half).min(1.0) })
}

/// The confidence sequence for a share: with probability `1 - alpha` the truth lies inside at all times at once. Each side
/// alone is wrong with at most `alpha` too. `None` for `n = 0`.
#[must_use]
pub fn sequence(successes: u64, n: u64, alpha: f64) -> Option<Interval> {
    if n == 0 {
        return None;
    }
    let (s, f) = (successes.min(n) as f64, n.saturating_sub(successes) as f64);
    let limit = ln_beta(0.5 + s, 0.5 + f) - ln_beta(0.5, 0.5) + alpha.ln();
    // The likelihood rises up to the observed share and falls after it: one root on each side.
    let likelihood = |theta: f64| x_ln_y(s, theta) + x_ln_y(f, 1.0 - theta);
    let observed = s / (s + f);
    let root = |outside: f64| {
        let (mut out, mut inside) = (outside, observed);
        if likelihood(out) > limit {
            return out;
        }
        // a double has 53 bits: halving ends when the two are neighbours
        loop {
            let middle = f64::midpoint(out, inside);
            if middle == out || middle == inside {
                break;
            }
            if likelihood(middle) > limit {
                inside = middle;
            } else {
                out = middle;
            }
        }
        inside
    };
    Some(Interval { lower: root(0.0), upper: root(1.0) })
}

fn x_ln_y(x: f64, y: f64) -> f64 {
    if x == 0.0 { 0.0 } else { x * y.ln() }
}

/// Decides on a shadow. Promotion needs every guardrail proved (intersection-union, no penalty for several); rejection needs one
/// proved broken at alpha over their number; everything else, no data included, is hold.
#[must_use]
pub fn decide(pairs: &Pairs, measured: &Measured, policy: &ShadowPolicy) -> Decision {
    let agreement = sequence(pairs.agreed, pairs.pairs, policy.alpha);
    let rails = guardrails::rails(measured, &policy.limits);
    let (verdict, sentence) = broken(pairs, &rails, policy)
        .map(|why| (ShadowVerdict::Reject, why))
        .or_else(|| limiting(pairs, measured, &rails, agreement, policy).map(|why| (ShadowVerdict::Hold, why)))
        .unwrap_or_else(|| {
            let lower = agreement.map_or(0.0, |interval| interval.lower);
            let others = if rails.is_empty() { "" } else { ", and so is all else that is asked" };
            let why = format!(
                "Agreement is at least {} after {} pairs, {} is asked; failures are within {}{others}.",
                percent(lower),
                pairs.pairs,
                percent(policy.agreement_min),
                percent(policy.failure_max)
            );
            (ShadowVerdict::Promote, why)
        });
    Decision { verdict, sequence: agreement, sentence }
}

/// How many times the chance of a wrong verdict has to be allowed before a proof counts as gone.
const GONE: f64 = 4.0;

/// Decides on a shadow that had a verdict before. A confidence sequence holds at all looks at once, so what was proved at one look
/// stays proved while the shadow is what it was; a share that wanders about its bound turns no verdict to and fro. What was proved
/// is taken back when it cannot be proved any more though a wrong verdict be four times as likely: then the shadow, or
/// what it is asked, is not what it was.
#[must_use]
pub fn decide_after(before: ShadowVerdict, pairs: &Pairs, measured: &Measured, policy: &ShadowPolicy) -> Decision {
    let now = decide(pairs, measured, policy);
    if now.verdict == before || before == ShadowVerdict::Hold || now.verdict != ShadowVerdict::Hold {
        return now;
    }
    let looser = decide(pairs, measured, &ShadowPolicy { alpha: (policy.alpha * GONE).min(0.5), ..*policy });
    if looser.verdict != before {
        return now;
    }
    let sentence = format!("It was proved before and is not refuted since, at the bound now: {}", now.sentence);
    Decision { verdict: before, sequence: now.sequence, sentence }
}

/// Guardrails that a rejection may rest on: agreement, failures and the others.
const fn looked_at(rails: &[Rail]) -> usize {
    rails.len() + 2
}

/// Why the shadow is proved to break a guardrail. Shed requests are the host's doing, not the shadow's.
fn broken(pairs: &Pairs, rails: &[Rail], policy: &ShadowPolicy) -> Option<String> {
    let alpha = policy.alpha / looked_at(rails) as f64;
    let rail = || rails.iter().find(|rail| rail.is_broken(alpha)).map(|rail| rail.broken_words(alpha));
    disagreeing(pairs, policy, alpha).or_else(|| failing(pairs, policy, alpha)).or_else(rail)
}

fn disagreeing(pairs: &Pairs, policy: &ShadowPolicy, alpha: f64) -> Option<String> {
    let upper = sequence(pairs.agreed, pairs.pairs, alpha)?.upper;
    (upper < policy.agreement_min).then(|| {
        format!(
            "Agreement is at most {} after {} pairs, below the {} asked.",
            percent(upper),
            pairs.pairs,
            percent(policy.agreement_min)
        )
    })
}

/// Of the requests that reached it: shed ones would dilute its failures.
fn failing(pairs: &Pairs, policy: &ShadowPolicy, alpha: f64) -> Option<String> {
    let reached = pairs.answered + pairs.errors;
    let lower = sequence(pairs.errors, reached, alpha)?.lower;
    (lower > policy.failure_max).then(|| {
        format!(
            "It fails on at least {} of {reached} requests, {} are allowed.",
            percent(lower),
            percent(policy.failure_max)
        )
    })
}

/// The guardrail that is not proved yet.
fn limiting(
    pairs: &Pairs,
    measured: &Measured,
    rails: &[Rail],
    agreement: Option<Interval>,
    policy: &ShadowPolicy,
) -> Option<String> {
    let offered = offered(pairs);
    let Some(agreement) = agreement else {
        return Some(match offered {
            0 => "No pairs yet.".to_owned(),
            _ if pairs.answered > 0 => format!("Its answers to {} requests have no labels to compare.", pairs.answered),
            _ => format!("The shadow answered none of {offered} requests."),
        });
    };
    if agreement.lower < policy.agreement_min {
        return Some(format!(
            "Agreement is proved down to {} only, {} is asked; {}.",
            percent(agreement.lower),
            percent(policy.agreement_min),
            to_go(pairs, policy)
        ));
    }
    let failures = sequence(pairs.errors + pairs.shed, offered, policy.alpha)?;
    if failures.upper > policy.failure_max {
        return Some(format!(
            "{} failed and {} shed of {offered} requests: up to {} may fail, {} are allowed.",
            pairs.errors,
            pairs.shed,
            percent(failures.upper),
            percent(policy.failure_max)
        ));
    }
    let open = rails.iter().find(|rail| !rail.is_proved(pairs, policy.alpha));
    if let Some(why) = open.map(|rail| rail.open_words(pairs, policy.alpha)) {
        return Some(why);
    }
    if let Some(why) = guardrails::support(measured, &policy.limits) {
        return Some(why);
    }
    if pairs.pairs < policy.pairs_min {
        return Some(format!("{} of at least {} pairs.", pairs.pairs, policy.pairs_min));
    }
    (pairs.seconds < policy.seconds_min)
        .then(|| format!("Watched for {} s of at least {} s.", pairs.seconds, policy.seconds_min))
}

const fn offered(pairs: &Pairs) -> u64 {
    pairs.answered + pairs.errors + pairs.shed
}

/// About how many more pairs would prove the agreement, were the observed share to stay.
fn to_go(pairs: &Pairs, policy: &ShadowPolicy) -> String {
    let share = pairs.agreed as f64 / pairs.pairs as f64;
    if share <= policy.agreement_min {
        return format!("observed is {}, so more pairs alone will not prove it", percent(share));
    }
    match to_prove(pairs.agreed, pairs.pairs, policy) {
        None => "it is too close to call with any number of pairs".to_owned(),
        Some(more) => format!("about {more} more pairs at {} would prove it", percent(share)),
    }
}

/// About how many more of `n` pairs would prove the agreement asked, were the observed share to stay (before the first pair: were
/// all to agree); `None` where more alone will not.
#[must_use]
pub fn to_prove(agreed: u64, n: u64, policy: &ShadowPolicy) -> Option<u64> {
    let share = if n == 0 { 1.0 } else { agreed as f64 / n as f64 };
    let proved = |at: u64| {
        let agreed = if at == n { agreed } else { (share * at as f64).round() as u64 };
        sequence(agreed, at, policy.alpha).is_some_and(|interval| interval.lower >= policy.agreement_min)
    };
    (share > policy.agreement_min).then(|| least(n, proved)).flatten().map(|enough| enough - n)
}

/// About how many more pairs would prove every guardrail that pairs can prove (not the time), were the observed shares to stay; 0
/// where all are proved, `None` where more pairs alone will not.
#[must_use]
pub fn pairs_needed(pairs: &Pairs, measured: &Measured, policy: &ShadowPolicy) -> Option<u64> {
    let mut needed = agreement_and_failures_need(pairs, policy)?.max(policy.pairs_min.saturating_sub(pairs.pairs));
    for rail in guardrails::rails(measured, &policy.limits) {
        // before the first pair nothing is known of what pairs will show
        needed = needed.max(if pairs.pairs == 0 { 0 } else { rail.needed(pairs, policy.alpha)? });
    }
    Some(needed.max(guardrails::support_needed(measured, &policy.limits)))
}

fn agreement_and_failures_need(pairs: &Pairs, policy: &ShadowPolicy) -> Option<u64> {
    if pairs.pairs == 0 && offered(pairs) > 0 {
        return None;
    }
    Some(to_prove(pairs.agreed, pairs.pairs, policy)?.max(failures_need(pairs, policy)?))
}

/// About how many more pairs would prove that it fails on few enough requests.
fn failures_need(pairs: &Pairs, policy: &ShadowPolicy) -> Option<u64> {
    let offered = offered(pairs);
    // requests with several items make more pairs than requests; before the first pair one of each is expected
    let (failed, each) = match offered {
        0 => (0.0, 1.0),
        _ => ((pairs.errors + pairs.shed) as f64 / offered as f64, offered as f64 / pairs.pairs.max(1) as f64),
    };
    let proved = |at: u64| {
        let (failed, of) = match at == pairs.pairs {
            true => (pairs.errors + pairs.shed, offered),
            false => ((failed * each * at as f64).round() as u64, (each * at as f64).round() as u64),
        };
        sequence(failed, of, policy.alpha).is_some_and(|interval| interval.upper <= policy.failure_max)
    };
    let enough = (failed < policy.failure_max).then(|| least(pairs.pairs, proved)).flatten()?;
    Some(enough - pairs.pairs)
}

/// The least number from `from` on that is enough, by doubling and halving; `None` beyond any traffic.
pub(super) fn least(from: u64, enough_at: impl Fn(u64) -> bool) -> Option<u64> {
    let (mut short, mut enough) = (from, from);
    if enough_at(from) {
        return Some(from);
    }
    while !enough_at(enough) {
        if enough > 1 << 40 {
            return None;
        }
        (short, enough) = (enough, (enough * 2).max(1));
    }
    while enough - short > 1 {
        let middle = short.midpoint(enough);
        if enough_at(middle) { enough = middle } else { short = middle }
    }
    Some(enough)
}

pub(super) fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: ShadowPolicy = ShadowPolicy {
        agreement_min: 0.95,
        failure_max: 0.02,
        alpha: 0.05,
        pairs_min: 500,
        seconds_min: 600,
        tolerance: Tolerance { absolute: 1e-9, relative: 0.01, vector: 0.01 },
        limits: Limits::NONE,
    };

    fn counts(pairs: u64, agreed: u64, errors: u64, shed: u64) -> Pairs {
        Pairs { pairs, agreed, answered: pairs, errors, shed, seconds: 3_600 }
    }

    fn decided(pairs: &Pairs) -> Decision {
        decide(pairs, &Measured::default(), &POLICY)
    }

    fn needed(pairs: &Pairs) -> Option<u64> {
        pairs_needed(pairs, &Measured::default(), &POLICY)
    }

    #[test]
    fn the_published_bounds() {
        let lower = |s, n| (sequence(s, n, 0.05).unwrap().lower * 1e4).round() / 1e4;
        assert_eq!(lower(995, 1_000), 0.9820);
        assert_eq!(lower(9_950, 10_000), 0.9917);
    }

    #[test]
    fn wilson_equals_scipys() {
        // scipy.stats.binomtest(995, 1000).proportion_ci(method="wilson"): .98833…, .99786…
        let found = wilson(995, 1_000).unwrap();
        assert!(
            (found.lower - 0.9883490446266248).abs() < 1e-12 && (found.upper - 0.9978624644726755).abs() < 1e-12,
            "{found:?}"
        );
        assert_eq!(wilson(0, 0), None);
    }

    #[test]
    fn the_sequence_contains_what_was_observed_and_closes_in() {
        for (s, n) in [(0, 1), (1, 1), (0, 50), (50, 50), (25, 50), (999_999, 1_000_000)] {
            let found = sequence(s, n, 0.05).unwrap();
            let share = s as f64 / n as f64;
            assert!(
                0.0 <= found.lower && found.lower <= share && share <= found.upper && found.upper <= 1.0,
                "{found:?}"
            );
        }
        let width = |n| sequence(n * 9 / 10, n, 0.05).map(|i| i.upper - i.lower).unwrap();
        assert!(width(100_000) < width(1_000) / 5.0);
    }

    #[test]
    fn verdicts() {
        let check = |pairs: Pairs, verdict, words: &str| {
            let decision = decided(&pairs);
            assert_eq!(decision.verdict, verdict, "{decision:?}");
            assert!(decision.sentence.contains(words), "{decision:?}");
        };
        check(counts(10_000, 9_950, 0, 0), ShadowVerdict::Promote, "at least 99.17 %");
        check(counts(1_000, 700, 0, 0), ShadowVerdict::Reject, "at most");
        check(counts(10_000, 9_950, 900, 0), ShadowVerdict::Reject, "fails on at least");
        check(counts(10_000, 9_950, 0, 9_000), ShadowVerdict::Hold, "9000 shed");
        check(counts(0, 0, 0, 0), ShadowVerdict::Hold, "No pairs yet");
        check(counts(0, 0, 0, 40), ShadowVerdict::Hold, "answered none of 40");
        let unlabelled = Pairs { answered: 40, ..counts(0, 0, 2, 0) };
        check(unlabelled, ShadowVerdict::Hold, "40 requests have no labels");
        // Failures are data: a shadow that never answers is not held for lack of pairs.
        check(counts(0, 0, 40, 0), ShadowVerdict::Reject, "fails on at least");
        // Shed requests never reached it, so they do not dilute its failures.
        check(counts(1_000, 1_000, 60, 9_000), ShadowVerdict::Reject, "of 1060 requests");
        check(counts(480, 480, 0, 0), ShadowVerdict::Hold, "480 of at least 500");
        check(counts(300, 299, 0, 0), ShadowVerdict::Hold, "up to 2.12 % may fail");
        check(counts(300, 290, 0, 0), ShadowVerdict::Hold, "more pairs");
        check(counts(1_000, 945, 0, 0), ShadowVerdict::Hold, "will not prove it");
        let early = Pairs { seconds: 5, ..counts(10_000, 9_950, 0, 0) };
        check(early, ShadowVerdict::Hold, "Watched for 5 s");
    }

    /// Around its bound the verdict turned with every few pairs, and each turn was an event.
    #[test]
    fn a_share_that_wanders_about_its_bound_turns_no_verdict_to_and_fro() {
        let turns = |decide: &dyn Fn(ShadowVerdict, &Pairs) -> ShadowVerdict| {
            let (mut verdict, mut turns, mut agreed) = (ShadowVerdict::Hold, 0, 2_000);
            for n in 2_000..12_000u64 {
                // as many disagreements as keep the lower bound at what is asked, in clumps of three
                let lower = sequence(agreed, n, POLICY.alpha).map_or(1.0, |interval| interval.lower);
                agreed += u64::from(lower < POLICY.agreement_min || n % 40 > 2);
                let next = decide(verdict, &counts(n + 1, agreed, 0, 0));
                turns += u32::from(next != verdict);
                verdict = next;
            }
            turns
        };
        let plain = turns(&|_, pairs| decided(pairs).verdict);
        let steady = turns(&|before, pairs| decide_after(before, pairs, &Measured::default(), &POLICY).verdict);
        assert!(plain > 2 && steady == 1, "{plain} {steady}");
        // A shadow that comes to disagree loses what it had, and one that is proved wrong is rejected at once.
        let lost = decide_after(ShadowVerdict::Promote, &counts(1_000, 950, 0, 0), &Measured::default(), &POLICY);
        assert_eq!(lost.verdict, ShadowVerdict::Hold, "{lost:?}");
        let wrong = decide_after(ShadowVerdict::Promote, &counts(1_000, 700, 0, 0), &Measured::default(), &POLICY);
        assert_eq!(wrong.verdict, ShadowVerdict::Reject);
    }

    #[test]
    fn about_so_many_more_pairs_is_enough() {
        let pairs = counts(300, 294, 0, 0);
        let sentence = decided(&pairs).sentence;
        let more: u64 = sentence.split("about ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        let n = 300 + more;
        let agreed = (0.98 * n as f64).round() as u64;
        assert!(sequence(agreed, n, 0.05).unwrap().lower >= 0.95, "{sentence}");
    }

    #[test]
    fn pairs_needed_says_when_the_verdict_would_turn() {
        let after = |pairs: &Pairs, more: u64| {
            let grown = 1.0 + more as f64 / pairs.pairs.max(1) as f64;
            let scaled = |count: u64| (count as f64 * grown).round() as u64;
            let [agreed, answered] = [pairs.agreed, pairs.answered].map(scaled);
            let [errors, shed] = [pairs.errors, pairs.shed].map(scaled);
            decided(&Pairs { pairs: pairs.pairs + more, agreed, answered, errors, shed, seconds: 3_600 }).verdict
        };
        for pairs in [counts(300, 294, 0, 0), counts(300, 299, 0, 0), counts(480, 480, 0, 0), counts(900, 890, 5, 5)] {
            let more = needed(&pairs).unwrap();
            assert_eq!(decided(&pairs).verdict, ShadowVerdict::Hold, "{pairs:?}");
            assert_eq!(after(&pairs, more), ShadowVerdict::Promote, "{pairs:?} and {more}");
            assert_eq!(after(&pairs, more * 9 / 10), ShadowVerdict::Hold, "{pairs:?} and a tenth less than {more}");
        }
        assert_eq!(needed(&counts(10_000, 9_950, 0, 0)), Some(0));
        // below what is asked, failing too often, or never answered: no number of pairs will do
        for pairs in [counts(1_000, 945, 0, 0), counts(1_000, 1_000, 60, 0), counts(0, 0, 40, 0)] {
            assert_eq!(needed(&pairs), None, "{pairs:?}");
        }
        // before the first pair: at least as many as are asked
        assert!(needed(&Pairs::default()).unwrap() >= POLICY.pairs_min);
    }
}
