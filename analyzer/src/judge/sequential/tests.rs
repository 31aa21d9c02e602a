//! The detector by hand, by property and over stored state.

use proptest::prelude::*;

use super::*;
use crate::judge::reference::Reference;

/// Splitmix64 as uniform draws.
struct Uniform(u64);

impl Uniform {
    fn draw(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 * 2f64.powi(-53)
    }
}

fn reference() -> Reference {
    Reference::numbers(&(0..10_000).map(|i| f64::from(i) / 1e4).collect::<Vec<_>>(), 0, 1_024)
}

/// Evidence after windows of 200 uniform draws moved by `shift`, without the fast channel's help (`log_p = 0`).
fn after(windows: usize, shift: f64, allowance: f64) -> Detector {
    let reference = reference();
    let Reference::Numbers(numbers) = &reference else { unreachable!("numbers were frozen") };
    let (points, mut source, mut detector) = (points(&reference), Uniform(11), Detector::default());
    for _ in 0..windows {
        let cells = reference.cells((0..200).map(|_| (numbers.bin_of(source.draw() + shift), 1)));
        detector.look(&points, allowance, Look { cells: &cells, log_p: 0.0 });
    }
    detector
}

#[test]
fn a_quiet_stream_is_no_clock() {
    let detector = after(3_000, 0.0, 0.066);
    assert!(detector.page() < 3.0, "{}: a point that does not bet must not count windows", detector.page());
    assert!(detector.life() < 1.0);
}

#[test]
fn a_small_shift_gathers_evidence_and_a_pace() {
    let (early, late) = (after(10, 0.1, 0.02), after(40, 0.1, 0.02));
    assert!(late.page() > early.page() + 20.0 && late.page() > 50.0, "{} {}", early.page(), late.page());
    let points = points(&reference());
    assert!(late.pace(&points, 0.02, 200) > 1.0);
    assert_eq!(after(40, 0.0, 0.066).pace(&points, 0.066, 200), 0.0);
    // a shift inside the allowance gathers nothing
    assert!(after(400, 0.05, 0.08).page() < 3.0);
}

#[test]
fn an_alarm_restarts_the_clock_and_not_the_account() {
    let mut detector = after(40, 0.1, 0.02);
    let life = detector.life();
    detector.restart_page();
    assert_eq!(detector.page(), f64::NEG_INFINITY);
    assert_eq!(detector.life(), life);
}

/// A reference an hour, of as many points as it has values for, started the account of a lifetime every hour.
#[test]
fn another_reference_takes_the_memory_and_not_the_account() {
    let mut detector = after(40, 0.1, 0.02);
    let (page, life) = (detector.page(), detector.life());
    assert!(life > 10.0, "{life}");
    let other = Reference::numbers(&(0..40).map(|i| f64::from(i) / 40.0).collect::<Vec<_>>(), 0, 8);
    let points = points(&other);
    let cells: Vec<u64> = other.counts().to_vec();
    let mut forgetful = detector.clone();
    forgetful.forget();
    assert_eq!((forgetful.page(), forgetful.life()), (page, life));
    forgetful.look(&points, 0.02, Look { cells: &cells, log_p: 0.0 });
    detector.look(&points, 0.02, Look { cells: &cells, log_p: 0.0 });
    assert_eq!(forgetful.memories, detector.memories, "another number of points is another reference");
    assert!((detector.life() - life).abs() < 1.0 && (forgetful.life() - life).abs() < 1.0, "{}", detector.life());
    assert_eq!(forgetful.pace(&points, 0.02, 200), 0.0);
}

#[test]
fn a_window_without_values_changes_nothing() {
    let before = after(20, 0.1, 0.02);
    let mut detector = before.clone();
    detector.look(&points(&reference()), 0.02, Look { cells: &[0; 1_100], log_p: -50.0 });
    assert_eq!(detector, before);
}

#[test]
fn names_are_watched_like_cuts() {
    let reference = Reference::categories(vec![("a".into(), 5_000), ("b".into(), 5_000)], 0, 8);
    let (points, mut detector) = (points(&reference), Detector::default());
    for _ in 0..20 {
        detector.look(&points, 0.07, Look { cells: &[70, 100, 30, 0, 0], log_p: 0.0 });
    }
    assert!(detector.page() > 20.0, "15 % of names never seen: {}", detector.page());
}

#[test]
fn stored_in_mid_stream_it_goes_on_to_the_same_bits() {
    let whole = after(30, 0.03, 0.02);
    let text = serde_json::to_string(&whole).unwrap();
    assert_eq!(serde_json::from_str::<Detector>(&text).unwrap(), whole);
}

#[test]
fn the_calibrator_integrates_to_one() {
    // int_0^1 e(p) dp = int_0^inf e(exp(-x)) exp(-x) dx, by the midpoint rule
    let step = 1e-3;
    let sum: f64 =
        (0..400_000).map(|i| (f64::from(i) + 0.5) * step).map(|x| (log_calibrated(-x) - x).exp() * step).sum();
    // the tail beyond 400 is 1 / 400
    assert!((sum + 1.0 / 400.0 - 1.0).abs() < 1e-5, "{sum}");
    assert_eq!(log_calibrated(0.0), 0.5f64.ln());
    let (series, closed) = (log_calibrated(-0.099_999_999), log_calibrated(-0.100_000_001));
    assert!((series - closed).abs() < 1e-8, "{series} {closed}");
    assert!(log_calibrated(-1e6).is_finite());
}

#[test]
fn a_model_alarms_on_the_mean_and_names_who_carries_it() {
    let c = 1_000f64.ln();
    let page = |value: f64| value.ln();
    assert_eq!(alarm(&[page(2_500.0), page(1.0), page(1.0)], c).named, Vec::<usize>::new(), "2,502 / 3 < 1,000");
    assert_eq!(alarm(&[page(2_500.0), page(1.0), page(1_200.0)], c).named, [0, 2]);
    assert_eq!(alarm(&[f64::NEG_INFINITY; 4], c).named, Vec::<usize>::new());
    assert_eq!(alarm(&[], c), Alarm { evidence: f64::NEG_INFINITY, named: vec![] });
}

#[test]
fn discoveries_are_the_largest_set_that_pays_its_price() {
    let e = |values: &[f64]| values.iter().map(|value| value.ln()).collect::<Vec<_>>();
    // d = 4, alpha = .05: 80 for the first, 40 for two, 26.7 for three, 20 for all
    assert_eq!(discoveries(&e(&[90.0, 1.0, 2.0, 0.5]), 0.05), [0]);
    assert_eq!(discoveries(&e(&[45.0, 1.0, 41.0, 0.5]), 0.05), [0, 2], "neither alone, both together");
    assert_eq!(discoveries(&e(&[25.0, 21.0, 30.0, 20.5]), 0.05), [0, 1, 2, 3]);
    assert_eq!(discoveries(&e(&[79.0, 1.0, 1.0, 1.0]), 0.05), Vec::<usize>::new());
    assert_eq!(discoveries(&[], 0.05), Vec::<usize>::new());
}

#[test]
fn a_rate_becomes_a_threshold() {
    let c = windows_to_false_alarm(300.0, 1.0, 0.01);
    assert!((c * 0.99 - 8_640.0).abs() < 1e-9, "{c}");
}

proptest! {
    /// The law behind everything: whatever the past chose, the mean payment is at most 1 where the null holds.
    #[test]
    fn no_bet_pays_on_average(share in 0.0f64..1.0, allowed in 0.0f64..1.0, truth in 0.0f64..1.0, n in 1u64..60) {
        prop_assume!(share > allowed && allowed > 1e-3 && share < 0.999);
        let bet = Bet { point: 0, above: true, share, allowed, growth: 0.0 };
        let theta = truth * allowed;
        let mut binomial = (1.0 - theta).powi(n as i32);
        let mut mean = 0.0;
        for k in 0..=n {
            mean += binomial * bet.paid(k, n).exp();
            binomial *= (n - k) as f64 / (k + 1) as f64 * theta / (1.0 - theta);
        }
        prop_assert!(mean <= 1.0 + 1e-9, "{mean}");
    }

    #[test]
    fn no_window_breaks_it(cells in prop::collection::vec(0u64..1_000_000, 1_030), log_p in -1e6f64..0.0) {
        let points = points(&reference());
        let mut detector = Detector::default();
        for _ in 0..3 {
            detector.look(&points, 0.05, Look { cells: &cells, log_p });
            prop_assert!(!detector.page().is_nan() && !detector.life().is_nan());
        }
    }
}
