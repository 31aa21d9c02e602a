//! The verdict of one window on all features of a model, and how states follow each other.
//!
//! The gate: `D_lower - eps_m - eps_n > Delta`, with `eps_k = sqrt(ln(2 / delta) / (2 k))` (Dvoretzky, Kiefer, Wolfowitz with
//! Massart's constant) once for the finite reference and once for the window. If no feature moved by more than Delta, a window
//! calls any of them drifted with probability at most delta, given a reference within its own margin, which it is with
//! probability 1 - delta. Delta's share of chance is split evenly over the features. Benjamini-Hochberg on classical p-values
//! raises `watch`, never `drifted`.

use contract::api::DriftState;

use super::{
    bh,
    bounds::{self, Witness},
    kolmogorov, psi,
    reference::Reference,
    shares,
};

/// What the user decided about one model.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Policy {
    /// Delta: shift of the distribution function (for categories: of a share) to ignore.
    pub delta_ignore: f64,
    /// delta: chance of a false `drifted` in a window, over all features together.
    pub delta: f64,
    /// Level of the classical tests behind `watch`.
    pub alpha: f64,
    /// Values needed for a verdict.
    pub n_min: u64,
    /// A reference that cannot show a shift of this size is refused.
    pub detectable_min: f64,
    /// Windows without an alarm before a drift counts as over.
    pub resolve_windows: u32,
    /// c: windows that pass on average, at least, between two false alarms of a model, over `1 - delta`.
    pub false_alarm_windows: f64,
}

/// One feature's reference and the window's counts by cell.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The frozen reference.
    pub reference: &'a Reference,
    /// The window, see [`Reference::cells`].
    pub current: &'a [u64],
}

/// What the counts say about one feature, before any history.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Finding {
    /// Values in the window.
    pub n: u64,
    /// Values in the reference.
    pub m: u64,
    /// Lower bound of the distance; for categories the distance itself.
    pub lower: Option<f64>,
    /// Upper bound of the distance.
    pub upper: Option<f64>,
    /// Classical p-value.
    pub p: Option<f64>,
    /// Adjusted over features.
    pub q: Option<f64>,
    /// Population stability index.
    pub psi: Option<f64>,
    /// What `lower` has to exceed.
    pub threshold: Option<f64>,
    /// Smallest shift that the reference can show.
    pub visible: f64,
    /// Where the difference is largest: a cell and the shares before (numbers) or in it (categories).
    pub witness: Option<Witness>,
    /// What follows.
    pub call: Call,
}

/// What one window calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// The reference is too small ever to tell; it needs this many values.
    ReferenceTooSmall {
        /// Values a reference would need.
        needed: u64,
    },
    /// Too few values in the window.
    TooFew,
    /// Certified: moved by more than Delta.
    Certified,
    /// Classical tests point at a move beyond Delta.
    Suspicious,
    /// Agrees with a move of at most Delta.
    Inside,
}

/// Judges one window of one model; findings come in the order of the inputs.
#[must_use]
pub fn judge(inputs: &[Input<'_>], policy: &Policy) -> Vec<Finding> {
    let delta = policy.delta / inputs.len().max(1) as f64;
    let mut findings: Vec<Finding> = inputs.iter().map(|input| find(input, delta, policy)).collect();
    let adjusted = bh::adjust(&findings.iter().map(|finding| finding.p).collect::<Vec<_>>());
    for (finding, q) in findings.iter_mut().zip(adjusted) {
        finding.q = q;
        finding.call = call(finding, delta, policy);
    }
    findings
}

fn find(input: &Input<'_>, delta: f64, policy: &Policy) -> Finding {
    let (m, n) = (input.reference.total(), input.current.iter().sum::<u64>());
    let measured = measure(input, m, n);
    let (eps_m, eps_n) = (margin(input.reference, m, delta), margin(input.reference, n, delta));
    Finding {
        n,
        m,
        lower: measured.map(|x| x.lower),
        upper: measured.map(|x| x.upper),
        p: measured.and_then(|x| x.p),
        q: None,
        psi: psi::psi(input.reference, input.current),
        threshold: (n > 0).then_some(policy.delta_ignore + eps_m + eps_n),
        visible: 2.0 * eps_m + policy.delta_ignore,
        witness: measured.map(|x| x.witness),
        call: Call::TooFew,
    }
}

#[derive(Clone, Copy)]
struct Measured {
    lower: f64,
    upper: f64,
    p: Option<f64>,
    witness: Witness,
}

fn measure(input: &Input<'_>, m: u64, n: u64) -> Option<Measured> {
    match input.reference {
        Reference::Numbers(numbers) => bounds::bounds(numbers, input.current).map(|found| Measured {
            lower: found.lower,
            upper: found.upper,
            p: Some(kolmogorov::tail(effective(m, n), found.lower).p),
            witness: found.witness,
        }),
        Reference::Categories(categories) => shares::largest(categories, input.current).map(|found| Measured {
            lower: found.difference,
            upper: found.difference,
            p: shares::g_test(&categories.counts, input.current),
            witness: Witness { cell: found.cell, reference: found.reference, current: found.current },
        }),
    }
}

/// Size of the one sample that two samples are worth: `m n / (m + n)`.
pub(crate) fn effective(m: u64, n: u64) -> u64 {
    let (m, n) = (m as f64, n as f64);
    (m * n / (m + n)).round_ties_even() as u64
}

/// By how much a sample of `k` may be off by chance, but with probability `delta`.
pub(crate) fn margin(reference: &Reference, k: u64, delta: f64) -> f64 {
    match reference {
        Reference::Numbers(_) => ((2.0 / delta).ln() / (2.0 * k as f64)).sqrt(),
        Reference::Categories(categories) => shares::margin(k, categories.counts.len(), delta),
    }
}

fn call(finding: &Finding, delta: f64, policy: &Policy) -> Call {
    if finding.visible > policy.detectable_min {
        return Call::ReferenceTooSmall { needed: reference_needed(finding, delta, policy) };
    }
    let (Some(lower), Some(threshold)) = (finding.lower, finding.threshold) else { return Call::TooFew };
    if finding.n < policy.n_min {
        return Call::TooFew;
    }
    if lower > threshold {
        return Call::Certified;
    }
    // The test of "moved by at most Delta": the distance beyond Delta against chance.
    let beyond = kolmogorov::tail(effective(finding.m, finding.n), (lower - policy.delta_ignore).max(0.0)).p;
    if finding.q.is_some_and(|q| q <= policy.alpha) && beyond <= policy.alpha {
        return Call::Suspicious;
    }
    Call::Inside
}

/// Values a reference needs so that a shift of `detectable_min` is visible. Margins fall with the root of the size.
fn reference_needed(finding: &Finding, delta: f64, policy: &Policy) -> u64 {
    let room = policy.detectable_min - policy.delta_ignore;
    if room <= 0.0 {
        return u64::MAX;
    }
    let now = (finding.visible - policy.delta_ignore).max((2.0 / delta).ln().sqrt() * f64::MIN_POSITIVE);
    (finding.m as f64 * (now / room).powi(2)).ceil() as u64
}

/// State of a feature over windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Track {
    /// The state shown.
    pub state: DriftState,
    /// Judged windows since the last alarm, while drifted or resolved.
    pub quiet_windows: u32,
}

impl Default for Track {
    fn default() -> Self {
        Self { state: DriftState::Insufficient, quiet_windows: 0 }
    }
}

impl Track {
    /// The state after one more window. Too little data never ends a drift.
    #[must_use]
    pub fn next(self, call: Call, resolve_windows: u32) -> Self {
        let quiet_windows = self.quiet_windows.saturating_add(1);
        let fresh = |state| Self { state, quiet_windows: 0 };
        match (call, self.state) {
            (Call::Certified, _) => fresh(DriftState::Drifted),
            (Call::TooFew | Call::ReferenceTooSmall { .. }, DriftState::Drifted) => self,
            (Call::TooFew | Call::ReferenceTooSmall { .. }, _) => fresh(DriftState::Insufficient),
            (Call::Inside, DriftState::Drifted) if quiet_windows >= resolve_windows => fresh(DriftState::Resolved),
            (_, DriftState::Drifted) => Self { state: DriftState::Drifted, quiet_windows },
            (Call::Suspicious, _) => fresh(DriftState::Watch),
            (Call::Inside, DriftState::Resolved) if quiet_windows < resolve_windows => {
                Self { state: DriftState::Resolved, quiet_windows }
            }
            (Call::Inside, _) => fresh(DriftState::Stable),
        }
    }
}

/// What the tests judge by.
#[cfg(test)]
pub(crate) const TEST_POLICY: Policy = Policy {
    delta_ignore: 0.05,
    delta: 0.01,
    alpha: 0.01,
    n_min: 200,
    detectable_min: 0.2,
    resolve_windows: 3,
    false_alarm_windows: 1e3,
};

#[cfg(test)]
mod tests {
    use super::{TEST_POLICY as POLICY, *};

    fn frozen(n: u32) -> Reference {
        Reference::numbers(&(0..n).map(f64::from).collect::<Vec<_>>(), 0, 256)
    }

    fn one(reference: &Reference, window: &[f64]) -> Finding {
        let Reference::Numbers(numbers) = reference else { unreachable!("numbers were given") };
        let current = reference.cells(window.iter().map(|x| (numbers.bin_of(*x), 1)));
        judge(&[Input { reference, current: &current }], &POLICY)[0]
    }

    fn spread(n: u32, from: f64, to: f64) -> Vec<f64> {
        (0..n).map(|i| from + (to - from) * (f64::from(i) + 0.5) / f64::from(n)).collect()
    }

    #[test]
    fn each_call_from_its_data() {
        let reference = frozen(5_000);
        assert_eq!(one(&reference, &spread(100, 0.0, 5e3)).call, Call::TooFew);
        assert_eq!(one(&reference, &[]).call, Call::TooFew);
        assert_eq!(one(&reference, &spread(400, 0.0, 5e3)).call, Call::Inside);
        assert_eq!(one(&reference, &spread(400, 2e3, 7e3)).call, Call::Certified);
        // A shift of .15: beyond Delta and significant, but less than Delta and both margins.
        assert_eq!(one(&reference, &spread(400, 750.0, 5_750.0)).call, Call::Suspicious);
        let small = one(&frozen(100), &spread(400, 0.0, 100.0));
        let Call::ReferenceTooSmall { needed } = small.call else { panic!("{small:?}") };
        assert!(one(&frozen(needed as u32), &spread(400, 0.0, 100.0)).visible <= POLICY.detectable_min);
        assert!(one(&frozen(needed as u32 - 2), &spread(400, 0.0, 100.0)).visible > POLICY.detectable_min);
    }

    #[test]
    fn a_huge_window_does_not_alarm_on_a_tiny_shift() {
        let found = one(&frozen(100_000), &spread(1_000_000, 300.0, 100_300.0));
        assert!(found.p.unwrap_or(1.0) < 0.5, "significant or nearly: {found:?}");
        assert_eq!(found.call, Call::Inside);
    }

    #[test]
    fn more_features_need_more_evidence() {
        let reference = frozen(5_000);
        let Reference::Numbers(numbers) = &reference else { unreachable!("numbers were given") };
        let current = reference.cells(spread(400, 1e3, 6e3).iter().map(|x| (numbers.bin_of(*x), 1)));
        let input = Input { reference: &reference, current: &current };
        let threshold = |k: usize| judge(&vec![input; k], &POLICY)[0].threshold.unwrap();
        assert!(threshold(64) > threshold(1) + 0.02);
    }

    #[test]
    fn a_new_category_is_certified() {
        let reference = Reference::categories(vec![("a".into(), 2_500), ("b".into(), 2_500)], 0, 8);
        let current = reference.cells([(0, 150), (1, 150), (store::read::bin::NEVER_SEEN, 200)]);
        let found = judge(&[Input { reference: &reference, current: &current }], &POLICY)[0];
        assert_eq!(found.call, Call::Certified);
        assert_eq!(found.witness.map(|w| w.cell), Some(2));
    }

    /// A reference of 1,000 draws from 2,000 equal names leaves out three fifths of them: that a window of the same law has
    /// names never seen is no drift.
    #[test]
    fn names_that_the_reference_could_not_know_are_no_drift() {
        let draw = |i: u64| {
            let z = i.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            (z ^ (z >> 31)) % 2_000
        };
        let mut counted = std::collections::BTreeMap::<String, u64>::new();
        (0..1_000).for_each(|i| *counted.entry(draw(i).to_string()).or_default() += 1);
        let reference = Reference::categories(counted.into_iter().collect(), 0, 4_096);
        let Reference::Categories(categories) = &reference else { unreachable!("categories were given") };
        let bin = |name: String| categories.names.iter().position(|known| *known == name);
        let seen = (5_000..5_500).map(|i| bin(draw(i).to_string()).map_or(store::read::bin::NEVER_SEEN, |b| b as i32));
        let current = reference.cells(seen.map(|bin| (bin, 1)));
        assert!(current[categories.names.len()] > 200, "{}", current[categories.names.len()]);
        let policy = Policy { detectable_min: 0.3, ..POLICY };
        let found = judge(&[Input { reference: &reference, current: &current }], &policy)[0];
        assert_eq!(found.call, Call::Inside, "{found:?}");
        // A name never seen that takes over is one, here as in a column of few names.
        let taken = reference.cells([(0, 10), (store::read::bin::NEVER_SEEN, 490)]);
        assert_eq!(judge(&[Input { reference: &reference, current: &taken }], &policy)[0].call, Call::Certified);
    }

    #[test]
    fn states_follow_each_other() {
        use Call::{Certified as C, Inside as I, Suspicious as S, TooFew as F};
        let run = |calls: &[Call]| {
            calls
                .iter()
                .scan(Track::default(), |track, call| {
                    *track = track.next(*call, 3);
                    Some(track.state.as_str())
                })
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(run(&[F, I, S, I]), "insufficient stable watch stable");
        assert_eq!(run(&[C, I, I, I, I, I, I, I]), "drifted drifted drifted resolved resolved resolved stable stable");
        assert_eq!(run(&[C, I, C, I, I, S, I]), "drifted drifted drifted drifted drifted drifted resolved");
        assert_eq!(run(&[C, F, F, F, F, I]), "drifted drifted drifted drifted drifted drifted");
        assert_eq!(run(&[C, I, I, I, S, C]), "drifted drifted drifted resolved watch drifted");
    }
}
