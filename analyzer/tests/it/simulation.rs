//! Gate and detector in simulation, seeded: no alarm on equal and on inside-Delta streams, shifts within the windows that
//! docs/STATISTICS.md promises, and the naive test beside them.

use analyzer::judge::{
    gate::{Call, Input, Policy, judge},
    kolmogorov,
    reference::{Numbers, Reference},
    sequential::Detector,
    watch::watch,
};

const POLICY: Policy = Policy {
    delta_ignore: 0.05,
    delta: 0.01,
    alpha: 0.01,
    n_min: 200,
    detectable_min: 0.2,
    resolve_windows: 3,
    false_alarm_windows: 1e3,
};
const REFERENCE_ROWS: usize = 5_000;
const WINDOW_ROWS: usize = 400;
const STREAMS: u64 = 12;
const WINDOWS: usize = 150;

/// Splitmix64 and Box-Muller.
struct Normal(u64);

impl Normal {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (((z ^ (z >> 31)) >> 11) as f64 + 0.5) * 2f64.powi(-53)
    }

    fn draw(&mut self, shift: f64) -> f64 {
        let (u, v) = (self.uniform(), self.uniform());
        shift + (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }

    fn rows(&mut self, n: usize, shift: f64) -> Vec<f64> {
        (0..n).map(|_| self.draw(shift)).collect()
    }
}

fn numbers(reference: &Reference) -> &Numbers {
    match reference {
        Reference::Numbers(numbers) => numbers,
        Reference::Categories(_) => unreachable!("numbers were frozen"),
    }
}

/// Calls of each window, and how many of them a bare p < .05 would have alarmed on.
fn stream(seed: u64, shift: f64, windows: usize) -> (Vec<Call>, usize) {
    let mut source = Normal(seed);
    let reference = Reference::numbers(&source.rows(REFERENCE_ROWS, 0.0), 0, 1_024);
    let mut naive = 0;
    let calls = (0..windows)
        .map(|_| {
            let rows = source.rows(WINDOW_ROWS, shift);
            let current = reference.cells(rows.iter().map(|x| (numbers(&reference).bin_of(*x), 1)));
            let found = judge(&[Input { reference: &reference, current: &current }], &POLICY)[0];
            naive += usize::from(found.p.is_some_and(|p| p < 0.05));
            found.call
        })
        .collect();
    (calls, naive)
}

#[test]
fn an_unchanged_stream_never_alarms_and_a_bare_p_value_does() {
    let mut naive_streams = 0;
    for seed in 0..STREAMS {
        let (calls, naive) = stream(seed, 0.0, WINDOWS);
        assert!(!calls.contains(&Call::Certified), "seed {seed}");
        naive_streams += u64::from(naive > 0);
    }
    assert_eq!(naive_streams, STREAMS, "a bare p < .05 alarms on every one of them");
}

#[test]
fn a_shift_inside_delta_never_alarms() {
    // A shift of .12 standard deviations moves the normal distribution function by at most .048.
    for seed in 100..100 + STREAMS {
        assert!(!stream(seed, 0.12, WINDOWS).0.contains(&Call::Certified), "seed {seed}");
    }
}

#[test]
fn a_clear_shift_is_caught_in_the_first_window() {
    for seed in 200..200 + STREAMS {
        assert_eq!(stream(seed, 1.0, 1).0, [Call::Certified], "seed {seed}");
    }
}

#[test]
fn the_threshold_is_what_the_data_say() {
    // The same figures by hand: both margins at delta = .01 for one feature.
    let (calls, _) = stream(7, 0.0, 1);
    assert_eq!(calls, [Call::Inside]);
    let margin = |n: f64| (200f64.ln() / (2.0 * n)).sqrt();
    let threshold = 0.05 + margin(REFERENCE_ROWS as f64) + margin(WINDOW_ROWS as f64);
    let reference = Reference::numbers(&Normal(7).rows(REFERENCE_ROWS, 0.0), 0, 1_024);
    let current = reference.cells([(numbers(&reference).bin_of(0.0), WINDOW_ROWS as u64)]);
    let found = judge(&[Input { reference: &reference, current: &current }], &POLICY)[0];
    assert!((found.threshold.unwrap() - threshold).abs() < 1e-12);
    let lower = found.lower.unwrap();
    let n = (REFERENCE_ROWS * WINDOW_ROWS) as f64 / (REFERENCE_ROWS + WINDOW_ROWS) as f64;
    assert_eq!(found.p, Some(kolmogorov::tail(n.round() as u64, lower).p));
}

/// Windows until the detector alarms on a stream that moves by `shift`, in at most `windows`; `None` without an alarm.
fn alarm(seed: u64, delta_ignore: f64, shift: f64, windows: usize) -> Option<usize> {
    let policy = Policy { delta_ignore, ..POLICY };
    let mut source = Normal(seed);
    let reference = Reference::numbers(&source.rows(10_000, 0.0), 0, 1_024);
    let mut detector = Detector::default();
    (1..=windows).find(|_| {
        let rows = source.rows(200, shift);
        let current = reference.cells(rows.iter().map(|x| (numbers(&reference).bin_of(*x), 1)));
        let input = Input { reference: &reference, current: &current };
        let watched = watch(&[input], vec![std::mem::take(&mut detector)], &policy).remove(0);
        detector = watched.detector;
        watched.named
    })
}

/// The small form of `make simulate`.
#[test]
fn the_detector_is_quiet_inside_delta_and_quick_outside() {
    for seed in 0..6 {
        assert_eq!(alarm(seed, 0.05, 0.0, 300), None, "seed {seed}: nothing moved");
        assert_eq!(alarm(seed, 0.05, 0.12, 300), None, "seed {seed}: moved by less than Delta");
    }
    let median = |delta: f64, shift: f64| {
        let mut delays: Vec<usize> = (300..309).map(|seed| alarm(seed, delta, shift, 400).unwrap_or(401)).collect();
        delays.sort_unstable();
        delays[4]
    };
    for (delta, shift, most) in [(0.0, 0.1, 40), (0.0, 0.25, 5), (0.0, 0.5, 1), (0.05, 0.25, 36), (0.05, 0.5, 3)] {
        assert!(median(delta, shift) <= most, "Delta {delta}, shift {shift}: {} windows", median(delta, shift));
    }
}
