//! Whether answers err as often as they did: one share against another, at any number of looks.
//!
//! The choice: a share has an exact interval (Clopper and Pearson 1934), and where few answers are wrong it is several times narrower than
//! the margin for any distribution function (Dvoretzky, Kiefer, Wolfowitz), which asks for some 800 labels a class before it
//! says anything. So the same detectors as for features bet here, against the share that the reference's interval and Delta leave:
//! above `upper + Delta` or below `lower - Delta`, valid for every reference size. A reference too small to show
//! `detectable_min` makes a class insufficient, with the labels it lacks; evidence that is there all the same is an alarm.

use contract::api::DriftState;
use statrs::function::beta::beta_reg;

use super::{
    bh,
    gate::{Call, Finding, Policy, Track},
    sequential::{Detector, Look, Point},
    shares,
    watch::{self, Watched},
};

/// Halvings in which an end of an interval is found: below the grain of a double.
const HALVINGS: u32 = 60;
/// Labels looked for at most, where a size is asked.
const SIZE_MAX: u64 = 1 << 32;
/// Smallest p-value told apart from nothing.
const P_LEAST: f64 = 1e-300;

/// Right and wrong answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Errors {
    /// Answers.
    pub n: u64,
    /// Those that were wrong.
    pub wrong: u64,
}

impl Errors {
    /// Share of wrong ones; `None` of nothing.
    #[must_use]
    pub fn share(self) -> Option<f64> {
        (self.n > 0).then(|| self.wrong as f64 / self.n as f64)
    }

    /// The exact interval of the share that these were drawn with, each end missed with probability `delta / 2` at most.
    #[must_use]
    pub fn interval(self, delta: f64) -> (f64, f64) {
        let (k, n) = (self.wrong.min(self.n) as f64, self.n as f64);
        let lower = if k == 0.0 { 0.0 } else { root(|p| beta_reg(k, n - k + 1.0, p) < delta / 2.0) };
        let upper = if k == n { 1.0 } else { root(|p| beta_reg(k + 1.0, n - k, p) < 1.0 - delta / 2.0) };
        (lower, upper)
    }

    /// By cell, in the order of `[right, wrong]`.
    const fn cells(self) -> [u64; 2] {
        [self.n.saturating_sub(self.wrong), self.wrong]
    }
}

/// Where a condition that holds from 0 on ceases to.
fn root(holds: impl Fn(f64) -> bool) -> f64 {
    let (mut least, mut most) = (0.0, 1.0);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(least, most);
        if holds(middle) { least = middle } else { most = middle }
    }
    f64::midpoint(least, most)
}

/// One class, or the whole: its reference, what the last window brought, and the newest windows that hold enough of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Case {
    /// Labelled answers of the reference.
    pub reference: Errors,
    /// Those whose labels arrived in the window.
    pub window: Errors,
    /// Those of the newest windows together.
    pub recent: Errors,
    /// What [`enough`] says of the reference.
    pub enough: u64,
}

/// What is known of a case after a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// What the counts say.
    pub finding: Finding,
    /// What the detector says.
    pub watched: Watched,
    /// What they would say were the reference large enough: by that an alarm ends which a small one raised.
    pub by_counts: Call,
    /// Labels that the newest windows need for a verdict.
    pub needed: u64,
}

/// Smallest change that so many labels can show, and be certain of it: what their interval leaves open, and Delta.
fn visible(errors: Errors, delta: f64, policy: &Policy) -> f64 {
    let (lower, upper) = errors.interval(delta);
    upper - lower + policy.delta_ignore
}

/// The fewest labels that can show a change of `detectable_min`, were as large a share of them wrong.
#[must_use]
pub fn enough(errors: Errors, delta: f64, policy: &Policy) -> u64 {
    let share = errors.share().unwrap_or(0.5);
    let shows = |n: u64| {
        let of = Errors { n, wrong: (share * n as f64).round() as u64 };
        visible(of, delta, policy) <= policy.detectable_min
    };
    let mut most = 1;
    while !shows(most) {
        if most >= SIZE_MAX {
            return u64::MAX;
        }
        most *= 2;
    }
    let mut least = most / 2;
    while most - least > 1 {
        let middle = least.midpoint(most);
        if shows(middle) { most = middle } else { least = middle }
    }
    most
}

/// Takes one window of all cases; `before` holds their detectors, in the same order.
#[must_use]
pub fn judge(cases: &[Case], before: Vec<Detector>, policy: &Policy) -> Vec<Found> {
    let delta = policy.delta / cases.len().max(1) as f64;
    let mut watched: Vec<Watched> =
        cases.iter().zip(before).map(|(case, detector)| look(case, detector, delta, policy)).collect();
    watch::together(&mut watched, policy);
    let p = cases.iter().map(|case| shares::g_test(&case.reference.cells(), &case.recent.cells()));
    let q = bh::adjust(&p.clone().collect::<Vec<_>>());
    let found = cases.iter().zip(watched).zip(p.zip(q));
    found.map(|((case, watched), (p, q))| find(case, watched, (p, q), delta, policy)).collect()
}

fn look(case: &Case, mut detector: Detector, delta: f64, policy: &Policy) -> Watched {
    let (lower, upper) = case.reference.interval(delta);
    let points = [Point::new(1..2, lower, upper)];
    let (allowance, cells) = (policy.delta_ignore, case.window.cells());
    let log_p = log_p_beyond(case.window, (lower - allowance).max(0.0), (upper + allowance).min(1.0));
    detector.look(&points, allowance, Look { cells: &cells, log_p });
    let pace = detector.pace(&points, allowance, case.window.n);
    Watched::of(detector, pace, policy)
}

/// Logarithm of the exact two-sided p-value of a share within `least..most`: twice the smaller of two binomial tails.
fn log_p_beyond(window: Errors, least: f64, most: f64) -> f64 {
    let (k, n) = (window.wrong as f64, window.n as f64);
    let more = if k == 0.0 { 1.0 } else { beta_reg(k, n - k + 1.0, most) };
    let fewer = if k == n { 1.0 } else { beta_reg(n - k, k + 1.0, 1.0 - least) };
    (2.0 * more.min(fewer)).clamp(P_LEAST, 1.0).ln()
}

fn find(case: &Case, watched: Watched, (p, q): (Option<f64>, Option<f64>), delta: f64, policy: &Policy) -> Found {
    let Case { reference, recent, .. } = *case;
    let apart = reference.share().zip(recent.share()).map(|(before, now)| (now - before).abs());
    let needed = case.enough.min(policy.n_min);
    let visible = visible(reference, delta, policy);
    let (lower, upper) = reference.interval(delta);
    let window = recent.interval(delta);
    let beyond = window.0 > upper + policy.delta_ignore || window.1 < lower - policy.delta_ignore;
    let by_counts = if recent.n < needed {
        Call::TooFew
    } else if beyond {
        Call::Certified
    } else if q.is_some_and(|q| q <= policy.alpha) && apart.is_some_and(|apart| apart > policy.delta_ignore) {
        Call::Suspicious
    } else {
        Call::Inside
    };
    let too_small = visible > policy.detectable_min;
    let call = if too_small { Call::ReferenceTooSmall { needed: case.enough } } else { by_counts };
    let finding = Finding {
        n: recent.n,
        m: reference.n,
        lower: apart,
        upper: apart,
        p,
        q,
        psi: None,
        threshold: (recent.n > 0).then_some(policy.delta_ignore + (upper - lower) / 2.0 + (window.1 - window.0) / 2.0),
        visible,
        witness: None,
        call,
    };
    Found { finding, watched, by_counts, needed }
}

/// What follows once the evidence of all windows is known: an alarm is one however small the reference, whose interval it is
/// beyond. What such an alarm found ends as every drift does: too small a reference says that of nothing else.
#[must_use]
pub fn call(found: &Found, before: DriftState, policy: &Policy) -> Call {
    if found.watched.named {
        return Call::Certified;
    }
    let own = if before == DriftState::Drifted { found.by_counts } else { found.finding.call };
    watch::call(own, &found.watched, before, policy)
}

/// One sentence on a case.
#[must_use]
pub fn sentence(case: &Case, found: &Found, called: Call, track: Track, policy: &Policy) -> String {
    let Case { reference, recent, .. } = *case;
    let of = |errors: Errors| {
        let share = errors.share().map_or_else(|| "none".to_owned(), |share| format!("{:.1} %", share * 100.0));
        format!("{share} of {}", errors.n)
    };
    let rates = format!("{} labelled answers are wrong, {} in the reference", of(recent), of(reference));
    let drifted = track.state == DriftState::Drifted;
    let stays = if drifted { "; that does not end the drift found before" } else { "" };
    let powers = |log: f64| format!("10^{:.1}", log.max(0.0) / std::f64::consts::LN_10);
    let (evidence, needed) = (powers(found.watched.evidence), powers(policy.false_alarm_windows.ln()));
    match called {
        Call::ReferenceTooSmall { needed } => format!(
            "The reference has {} labels of it and needs about {needed} to show a change of {:.2}, {} more{stays}: {rates}.",
            reference.n,
            policy.detectable_min,
            needed.saturating_sub(reference.n)
        ),
        Call::TooFew => format!(
            "{} of the {} labels that a verdict needs, {} more{stays}.",
            recent.n,
            found.needed,
            found.needed.saturating_sub(recent.n)
        ),
        Call::Certified => format!(
            "{rates}: the evidence of a change beyond the ignored {:.2} is {evidence}, and {needed} is rarer than the false alarms you accept.",
            policy.delta_ignore
        ),
        _ if drifted => format!(
            "{rates}. It erred otherwise before; {} of {} windows without a new alarm.",
            track.quiet_windows.min(policy.resolve_windows),
            policy.resolve_windows
        ),
        Call::Suspicious => format!(
            "{rates}: that looks like a change, but its evidence is {evidence} of the {needed} that an alarm needs."
        ),
        Call::Inside if track.state == DriftState::Resolved => format!("It errs as it did again: {rates}."),
        Call::Inside => format!("{rates}, which agrees with chance and the ignored {:.2}.", policy.delta_ignore),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::gate::TEST_POLICY as POLICY;

    const fn errors(n: u64, wrong: u64) -> Errors {
        Errors { n, wrong }
    }

    #[test]
    fn intervals_equal_scipys() {
        // scipy.stats.binomtest(k, n).proportion_ci(confidence_level=1 - delta, method="exact")
        for (k, n, delta, lower, upper) in ORACLE {
            let found = errors(n, k).interval(delta);
            assert!((found.0 - lower).abs() < 1e-9 && (found.1 - upper).abs() < 1e-9, "{k} of {n}: {found:?}");
        }
    }

    /// By scipy 1.17.1: k, n, delta, lower, upper.
    const ORACLE: [(u64, u64, f64, f64, f64); 5] = [
        (10, 200, 0.0025, 0.01549146110791949, 0.11478708706053511),
        (0, 50, 0.01, 0.0, 0.1005450833748586),
        (50, 50, 0.01, 0.8994549166251414, 1.0),
        (5, 100, 0.00125, 0.006762294080481623, 0.16098605108534203),
        (300, 1000, 0.05, 0.27172111212914873, 0.32946167869736503),
    ];

    fn case_of(reference: Errors, window: Errors, cases: usize) -> Case {
        let enough = enough(reference, POLICY.delta / cases as f64, &POLICY);
        Case { reference, window, recent: window, enough }
    }

    /// Windows of `n` labels until the first alarm of any case, where the shares wrong are as given, and who is named.
    fn first_alarm(references: &[Errors], n: u64, shares: &[f64]) -> Option<(usize, Vec<usize>)> {
        let mut detectors = vec![Detector::default(); references.len()];
        let mut carried = vec![0.0; references.len()];
        (1..=300).find_map(|window| {
            let mut case = |at: usize| {
                // counts that keep to the share over windows, however few a window holds
                carried[at] += shares[at] * n as f64;
                let wrong = carried[at].floor();
                carried[at] -= wrong;
                let window = errors(n, wrong as u64);
                case_of(references[at], window, references.len())
            };
            let cases: Vec<Case> = (0..references.len()).map(&mut case).collect();
            let found = judge(&cases, std::mem::take(&mut detectors), &POLICY);
            let called = |at: &usize| call(&found[*at], DriftState::Stable, &POLICY) == Call::Certified;
            let named: Vec<usize> = (0..found.len()).filter(called).collect();
            detectors = found.into_iter().map(|one| one.watched.detector).collect();
            (!named.is_empty()).then_some((window, named))
        })
    }

    /// Three classes of 250, 100 and 60 labels, as people have them: the margin of distribution functions would ask for 800 each.
    #[test]
    fn a_class_of_a_hundred_labels_is_judged() {
        let references = [errors(250, 10), errors(100, 5), errors(60, 2)];
        let (windows, named) = first_alarm(&references, 20, &[0.04, 0.5, 0.03]).expect("half of a class is wrong");
        assert!(windows <= 12 && named == [1], "{windows} {named:?}");
        assert_eq!(
            first_alarm(&references, 20, &[0.05, 0.07, 0.05]),
            None,
            "inside Delta and what references leave open"
        );
    }

    #[test]
    fn an_alarm_that_a_small_reference_supports_is_not_swallowed() {
        let reference = errors(30, 3);
        let case = case_of(reference, errors(40, 39), 1);
        let found = judge(&[case], vec![Detector::default()], &POLICY).remove(0);
        assert!(matches!(found.finding.call, Call::ReferenceTooSmall { needed } if needed > 60), "{found:?}");
        assert_eq!(call(&found, DriftState::Stable, &POLICY), Call::Certified, "{found:?}");
        let still = Case { window: errors(40, 4), recent: errors(40, 4), ..case };
        let found = judge(&[still], vec![Detector::default()], &POLICY).remove(0);
        let called = call(&found, DriftState::Stable, &POLICY);
        let text = sentence(&still, &found, called, Track::default(), &POLICY);
        assert!(text.starts_with("The reference has 30 labels of it and needs about"), "{text}");
    }

    /// It stayed drifted for ever: each later window said that the reference is too small.
    #[test]
    fn an_alarm_against_a_small_reference_ends() {
        let (mut track, mut detector, mut states) = (Track::default(), Detector::default(), Vec::new());
        for wrong in [39, 39, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4] {
            let case = case_of(errors(30, 3), errors(40, wrong), 1);
            // enough labels of the newest windows, all as in this one
            let case = Case { recent: errors(400, wrong * 10), ..case };
            let found = judge(&[case], vec![detector], &POLICY).remove(0);
            track = track.next(call(&found, track.state, &POLICY), POLICY.resolve_windows);
            states.push(track.state);
            detector = found.watched.detector;
        }
        assert_eq!(states[1], DriftState::Drifted, "{states:?}");
        assert!(states.contains(&DriftState::Resolved), "{states:?}");
        assert_eq!(states.last(), Some(&DriftState::Insufficient), "as before the alarm: {states:?}");
    }

    #[test]
    fn evidence_of_fewer_errors_is_exact_however_small() {
        // scipy.stats.binom.logcdf(0, 400, .1) = 400 ln .9 = -42.14420626313051; 1 - sf is 0 there
        let found = log_p_beyond(errors(400, 0), 0.1, 0.3);
        assert!((found - (2.0f64.ln() - 42.144_206_263_130_51)).abs() < 1e-9, "{found}");
        assert!((log_p_beyond(errors(400, 400), 0.1, 0.9) - (2.0f64.ln() - 42.144_206_263_130_51)).abs() < 1e-9);
        assert_eq!(log_p_beyond(errors(400, 0), 0.0, 0.3), 0.0, "nothing is below none");
    }

    #[test]
    fn the_labels_that_are_asked_for_are_enough() {
        for (n, wrong) in [(40, 2), (40, 8), (40, 20), (1_000, 0), (0, 0)] {
            let needed = enough(errors(n, wrong), 0.0025, &POLICY);
            let share = errors(n, wrong).share().unwrap_or(0.5);
            let of = |n: u64| errors(n, (share * n as f64).round() as u64);
            assert!(visible(of(needed), 0.0025, &POLICY) <= 0.2, "{needed}");
        }
        assert!(enough(errors(100, 5), 0.0025, &POLICY) <= 130);
    }

    /// References of a hundred labels and windows of five, all of one law: an alarm within 100 windows has a chance of a tenth at
    /// most (a hundred windows of c = 1,000), and one of a hundredth that the reference misleads.
    #[test]
    fn streams_of_the_same_law_seldom_alarm() {
        let mut seed = 7u64;
        let mut draw = |n: u64, share: f64| {
            let one = |seed: &mut u64| {
                *seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
                let z = (*seed ^ (*seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
                let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
                ((z ^ (z >> 31)) >> 11) as f64 * 2f64.powi(-53) < share
            };
            errors(n, (0..n).filter(|_| one(&mut seed)).count() as u64)
        };
        let mut alarms = 0;
        for stream in 0..40 {
            let share = [0.02, 0.05, 0.2, 0.5][stream % 4];
            let (reference, mut detector) = (draw(100, share), Detector::default());
            alarms += u32::from((0..100).any(|_| {
                let window = draw(5, share);
                let case = Case { reference, window, recent: window, enough: 1 };
                let found = judge(&[case], vec![std::mem::take(&mut detector)], &POLICY).remove(0);
                detector = found.watched.detector;
                found.watched.named
            }));
        }
        assert!(alarms <= 6, "{alarms} of 40");
    }

    #[test]
    fn fewer_errors_are_a_change_too() {
        assert!(first_alarm(&[errors(400, 200)], 40, &[0.2]).is_some());
    }
}
