//! The detectors of a model's features, one window further, and the call that follows for each.

use contract::api::DriftState;

use super::{
    bounds,
    gate::{self, Call, Input, Policy},
    kolmogorov,
    reference::Reference,
    sequential::{self, Detector, Look, Measured},
    shares,
};

/// An alarm that the last windows' pace would raise within this many windows says that a drift goes on.
const SOON_WINDOWS: f64 = 100.0;

/// One feature after a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Watched {
    /// What the next window needs.
    pub detector: Detector,
    /// Natural logarithm of the page evidence, as it stood before an alarm restarted it.
    pub evidence: f64,
    /// Natural logarithm of the e-value since the detector's start.
    pub life: f64,
    /// Whether it carries an alarm of the model.
    pub named: bool,
    /// Whether it is on the list of discoveries (e-BH at the policy's alpha).
    pub listed: bool,
    /// Whether the last windows point at an alarm to come.
    pub ongoing: bool,
    /// What was measured of independence.
    pub dependence: Option<Measured>,
}

/// Takes one window of all features; `inputs` hold that window's own values, `before` the detectors in the same order.
#[must_use]
pub fn watch(inputs: &[Input<'_>], before: Vec<Detector>, policy: &Policy) -> Vec<Watched> {
    let delta = policy.delta / inputs.len().max(1) as f64;
    let mut watched: Vec<Watched> =
        inputs.iter().zip(before).map(|(input, detector)| look(input, detector, delta, policy)).collect();
    together(&mut watched, policy);
    watched
}

/// Raises the alarm of a family, and lists its discoveries.
pub(super) fn together(watched: &mut [Watched], policy: &Policy) {
    let pages: Vec<f64> = watched.iter().map(|one| one.evidence).collect();
    for named in sequential::alarm(&pages, policy.false_alarm_windows.ln()).named {
        watched[named].named = true;
        watched[named].detector.restart_page();
    }
    let lives: Vec<f64> = watched.iter().map(|one| one.life).collect();
    for listed in sequential::discoveries(&lives, policy.alpha) {
        watched[listed].listed = true;
    }
}

impl Watched {
    /// What a detector says after a window, before the others of its family are known; `pace` is what it would gain in another
    /// such window.
    pub(super) fn of(detector: Detector, pace: f64, policy: &Policy) -> Self {
        Self {
            evidence: detector.page(),
            life: detector.life(),
            named: false,
            listed: false,
            ongoing: pace * SOON_WINDOWS > policy.false_alarm_windows.ln(),
            dependence: detector.dependence(),
            detector,
        }
    }
}

/// Lists discoveries over a larger family than was watched together, such as features with their segments (e-BH). What was
/// listed before no longer counts.
pub fn list_together<'a>(family: impl Iterator<Item = &'a mut Watched>, alpha: f64) {
    let mut family: Vec<&mut Watched> = family.collect();
    let lives: Vec<f64> = family.iter().map(|one| one.life).collect();
    family.iter_mut().for_each(|one| one.listed = false);
    for at in sequential::discoveries(&lives, alpha) {
        family[at].listed = true;
    }
}

fn look(input: &Input<'_>, mut detector: Detector, delta: f64, policy: &Policy) -> Watched {
    let points = sequential::points(input.reference);
    let allowance = gate::margin(input.reference, input.reference.total(), delta) + policy.delta_ignore;
    detector.look(&points, allowance, Look { cells: input.current, log_p: log_p_beyond(input, allowance) });
    let pace = detector.pace(&points, allowance, input.current.iter().sum());
    Watched::of(detector, pace, policy)
}

/// Logarithm of a p-value for "moved by at most the allowance", from one window: for numbers the law of the one-sample
/// statistic at the lower bound of the distance, for categories Hoeffding's bound on every cell.
fn log_p_beyond(input: &Input<'_>, allowance: f64) -> f64 {
    let n: u64 = input.current.iter().sum();
    match input.reference {
        Reference::Numbers(numbers) => bounds::bounds(numbers, input.current)
            .map_or(0.0, |found| kolmogorov::tail(n, (found.lower - allowance).max(0.0)).log_p),
        Reference::Categories(categories) => shares::largest(categories, input.current).map_or(0.0, |found| {
            let beyond = (found.difference - allowance).max(0.0);
            ((2.0 * categories.counts.len() as f64).ln() - 2.0 * n as f64 * beyond * beyond).min(0.0)
        }),
    }
}

/// What a window calls for once the evidence of all windows is known: an alarm is the detector's alone; what one window
/// shows by itself is worth watching, no more.
#[must_use]
pub fn call(by_window: Call, watched: &Watched, before: DriftState, policy: &Policy) -> Call {
    match by_window {
        Call::ReferenceTooSmall { .. } => by_window,
        _ if watched.named => Call::Certified,
        Call::TooFew => Call::TooFew,
        Call::Certified => Call::Suspicious,
        Call::Inside if watched.evidence >= policy.false_alarm_windows.ln() => Call::Suspicious,
        Call::Inside if before == DriftState::Drifted && watched.ongoing => Call::Suspicious,
        Call::Suspicious | Call::Inside => by_window,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::gate::TEST_POLICY as POLICY;

    fn spread(reference: &Reference, from: f64, to: f64) -> Vec<u64> {
        let Reference::Numbers(numbers) = reference else { unreachable!("numbers were frozen") };
        reference.cells((0..400).map(|i| (numbers.bin_of(from + (to - from) * (f64::from(i) + 0.5) / 400.0), 1)))
    }

    /// Windows until the first alarm, and who is named in it, when one of `features` moves by `shift`.
    fn first_alarm(features: usize, shift: f64) -> Option<(usize, Vec<usize>)> {
        let reference = Reference::numbers(&(0..5_000).map(|i| f64::from(i) / 5e3).collect::<Vec<_>>(), 0, 256);
        let (still, moved) = (spread(&reference, 0.0, 1.0), spread(&reference, shift, 1.0 + shift));
        let mut detectors = vec![Detector::default(); features];
        (1..=200).find_map(|window| {
            let inputs: Vec<Input<'_>> = (0..features)
                .map(|at| Input { reference: &reference, current: if at == 1 { &moved } else { &still } })
                .collect();
            let watched = watch(&inputs, std::mem::take(&mut detectors), &POLICY);
            let named: Vec<usize> = (0..features).filter(|at| watched[*at].named).collect();
            detectors = watched.into_iter().map(|one| one.detector).collect();
            (!named.is_empty()).then_some((window, named))
        })
    }

    #[test]
    fn the_feature_that_moved_is_named() {
        assert_eq!(first_alarm(3, 0.5), Some((1, vec![1])));
        let (windows, named) = first_alarm(3, 0.15).expect("a shift of .15 is seen");
        assert!(windows > 1 && named == [1], "{windows} {named:?}");
        assert_eq!(first_alarm(3, 0.04), None, "inside Delta");
    }

    #[test]
    fn more_features_ask_for_more_evidence_and_still_see() {
        let (few, many) = (first_alarm(2, 0.12).unwrap().0, first_alarm(60, 0.12).unwrap().0);
        assert!(many > few && many < 60, "{few} {many}");
    }

    #[test]
    fn segments_make_the_list_longer_to_get_on() {
        let of = |life: f64| Watched {
            detector: Detector::default(),
            evidence: 0.0,
            life,
            named: false,
            listed: false,
            ongoing: false,
            dependence: None,
        };
        // e-BH at .01: of 2 the largest has to reach 200, of 6 it has to reach 600, or two of them 300.
        let listed = |lives: &[f64], others: &[f64]| {
            let mut features: Vec<Watched> = lives.iter().map(|e| of(f64::ln(*e))).collect();
            let mut segments: Vec<Watched> = others.iter().map(|e| of(f64::ln(*e))).collect();
            list_together(features.iter_mut().chain(&mut segments), 0.01);
            (features.iter().filter(|one| one.listed).count(), segments.iter().filter(|one| one.listed).count())
        };
        assert_eq!(listed(&[250.0, 1.0], &[]), (1, 0));
        assert_eq!(listed(&[250.0, 1.0], &[1.0, 1.0, 1.0, 1.0]), (0, 0));
        assert_eq!(listed(&[310.0, 1.0], &[320.0, 1.0, 1.0, 1.0]), (1, 1));
    }

    #[test]
    fn one_window_alone_is_watched_and_too_few_values_can_still_alarm() {
        let calm = Watched {
            detector: Detector::default(),
            evidence: 0.0,
            life: 0.0,
            named: false,
            listed: false,
            ongoing: false,
            dependence: None,
        };
        let named = Watched { named: true, ..calm.clone() };
        let ongoing = Watched { ongoing: true, ..calm.clone() };
        let risen = Watched { evidence: 1_001f64.ln(), ..calm.clone() };
        use Call::{Certified as C, Inside as I, Suspicious as S, TooFew as F};
        use DriftState::{Drifted, Stable};
        for (by_window, watched, before, expected) in [
            (C, &calm, Stable, S),
            (F, &named, Stable, C),
            (I, &named, Drifted, C),
            (I, &ongoing, Stable, I),
            (I, &ongoing, Drifted, S),
            (I, &risen, Stable, S),
            (F, &risen, Stable, F),
        ] {
            assert_eq!(call(by_window, watched, before, &POLICY), expected, "{by_window:?} {before:?}");
        }
    }
}
