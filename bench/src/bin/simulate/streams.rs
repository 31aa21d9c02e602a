//! Streams of windows through the detector of the live path: frozen bins, one feature.

use analyzer::judge::{
    bounds,
    gate::{Input, Policy},
    kolmogorov,
    reference::{Numbers, Reference},
    sequential::Detector,
    watch::{Watched, watch},
};
use bench::table::Table;

use crate::random::Source;

const REFERENCE: usize = 10_000;
const WINDOW: usize = 200;
const STREAMS: u64 = 200;
const C: f64 = 1_000.0;
const ALPHA: f64 = 0.05;
/// Windows within which a shift has to be seen.
const PATIENCE: usize = 400;

fn policy(delta_ignore: f64) -> Policy {
    Policy {
        delta_ignore,
        delta: 0.01,
        alpha: ALPHA,
        n_min: 1,
        detectable_min: 1.0,
        resolve_windows: 3,
        false_alarm_windows: C,
    }
}

/// A detector on a stream of normal draws.
struct Stream {
    source: Source,
    reference: Reference,
    detector: Detector,
    policy: Policy,
}

impl Stream {
    fn new(seed: u64, rows: usize, delta_ignore: f64) -> Self {
        let mut source = Source::new(seed);
        let values: Vec<f64> = (0..rows).map(|_| source.normal()).collect();
        let reference = Reference::numbers(&values, 0, 1_024);
        Self { source, reference, detector: Detector::default(), policy: policy(delta_ignore) }
    }

    fn numbers(&self) -> &Numbers {
        match &self.reference {
            Reference::Numbers(numbers) => numbers,
            Reference::Categories(_) => unreachable!("numbers were frozen"),
        }
    }

    fn window(&mut self, n: usize, shift: f64) -> Vec<u64> {
        let values: Vec<f64> = (0..n).map(|_| self.source.normal() + shift).collect();
        self.cells(&values)
    }

    fn cells(&self, values: &[f64]) -> Vec<u64> {
        self.reference.cells(values.iter().map(|value| (self.numbers().bin_of(*value), 1)))
    }

    fn look(&mut self, cells: &[u64]) -> Watched {
        let input = Input { reference: &self.reference, current: cells };
        let watched = watch(&[input], vec![std::mem::take(&mut self.detector)], &self.policy).remove(0);
        self.detector = watched.detector.clone();
        watched
    }

    /// Whether the bare test of one window, without any allowance, finds p < .05.
    fn naive(&self, cells: &[u64]) -> bool {
        let (m, n) = (REFERENCE as f64, cells.iter().sum::<u64>() as f64);
        let lower = bounds::bounds(self.numbers(), cells).map_or(0.0, |found| found.lower);
        kolmogorov::tail((m * n / (m + n)).round() as u64, lower).p < 0.05
    }
}

/// Runs seeds on both halves of the machine; results in the order of the seeds.
pub fn each<T: Send>(seeds: std::ops::Range<u64>, run: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let mut results: Vec<(u64, T)> = std::thread::scope(|scope| {
        let part = |of: u64| {
            let (run, seeds) = (&run, seeds.clone());
            scope.spawn(move || {
                seeds.filter(|seed| seed % threads == of).map(|seed| (seed, run(seed))).collect::<Vec<_>>()
            })
        };
        let parts: Vec<_> = (0..threads).map(part).collect();
        parts.into_iter().flat_map(|part| part.join().expect("a simulation does not panic")).collect()
    });
    results.sort_by_key(|(seed, _)| *seed);
    results.into_iter().map(|(_, result)| result).collect()
}

struct Quiet {
    alarms: u32,
    lifetime_alarm: bool,
    naive: bool,
}

pub fn false_alarms(table: &mut Table) {
    // a shift of .1253 standard deviations moves the normal distribution function by .05: the edge of Delta
    for (name, delta, shift) in [("null", 0.05, 0.0), ("inside", 0.05, 0.1253)] {
        let quiet = each(0..STREAMS, |seed| {
            let mut stream = Stream::new(seed, REFERENCE, delta);
            let mut found = Quiet { alarms: 0, lifetime_alarm: false, naive: false };
            for window in 0..2_000 {
                let cells = stream.window(WINDOW, shift);
                let watched = stream.look(&cells);
                found.alarms += u32::from(watched.named);
                found.lifetime_alarm |= watched.life >= -ALPHA.ln();
                found.naive |= window < 500 && stream.naive(&cells);
            }
            found
        });
        let alarms: u32 = quiet.iter().map(|stream| stream.alarms).sum();
        let alarmed = quiet.iter().filter(|stream| stream.alarms > 0).count();
        let windows = STREAMS as f64 * 2_000.0;
        let note = format!("{alarmed} of {STREAMS} streams alarmed, {alarms} alarms");
        table.seen(&format!("{name}-alarm"), windows / poisson_upper(alarms), note);
        let lifetime = quiet.iter().filter(|stream| stream.lifetime_alarm).count();
        table.seen(&format!("{name}-life"), lifetime as f64 / STREAMS as f64, "");
        if name == "null" {
            let naive = quiet.iter().filter(|stream| stream.naive).count();
            table.seen("naive", naive as f64 / STREAMS as f64, "");
        }
    }
}

/// The mean of a Poisson count of which `count` or fewer come with probability .05: its upper 95 % bound.
fn poisson_upper(count: u32) -> f64 {
    let below = |mean: f64| {
        let first = (-mean).exp();
        (1..=count).fold((first, first), |(sum, term), k| {
            let term = term * mean / f64::from(k);
            (sum + term, term)
        })
    };
    let (mut low, mut high) = (0.0, f64::from(count) * 2.0 + 20.0);
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        if below(middle).0 > 0.05 { low = middle } else { high = middle }
    }
    high
}

pub fn delays(table: &mut Table) {
    let mut missed = 0;
    for (name, delta, shift) in [
        ("delay-10", 0.0, 0.1),
        ("delay-25", 0.0, 0.25),
        ("delay-50", 0.0, 0.5),
        ("delta-25", 0.05, 0.25),
        ("delta-50", 0.05, 0.5),
    ] {
        for change in [0, 300] {
            let mut delays = each(1_000..1_000 + STREAMS, |seed| delay(seed, delta, shift, change));
            delays.sort_unstable();
            missed += delays.iter().filter(|delay| **delay > PATIENCE).count();
            let nine_tenths = delays[delays.len() * 9 / 10];
            table.seen(
                &format!("{name}-{change}"),
                delays[delays.len() / 2] as f64,
                format!("nine tenths within {nine_tenths}"),
            );
        }
    }
    table.seen("missed", missed as f64, "");
}

/// Windows from the change to the alarm, [`PATIENCE`] + 1 where none came.
fn delay(seed: u64, delta: f64, shift: f64, change: usize) -> usize {
    let mut stream = Stream::new(seed, REFERENCE, delta);
    for _ in 0..change {
        let cells = stream.window(WINDOW, 0.0);
        stream.look(&cells);
    }
    let mut alarmed = |_: &usize| {
        let cells = stream.window(WINDOW, shift);
        stream.look(&cells).named
    };
    (1..=PATIENCE).find(|window| alarmed(window)).unwrap_or(PATIENCE + 1)
}

pub fn edges(table: &mut Table) {
    let mut stream = Stream::new(1, REFERENCE, 0.05);
    let mut values: Vec<f64> = (0..5_000).map(|_| stream.source.normal() + 0.5).collect();
    values.push(1e6);
    let cells = stream.cells(&values);
    let seen = stream.look(&cells).named;
    table.seen("outlier", if seen { 1.0 } else { f64::INFINITY }, "");
    for n in [50, 100, 200] {
        let alarmed = each(0..1_000, |seed| {
            let mut stream = Stream::new(seed, 5_000, 0.05);
            let cells = stream.window(n, 0.0);
            stream.look(&cells).named
        });
        let share = alarmed.iter().filter(|alarmed| **alarmed).count() as f64 / 1_000.0;
        table.seen(&format!("small-{n}"), share, "stated: one window in 1,000");
    }
    table.seen("scale", scales_that_differ() as f64, "");
}

/// Uniform draws against uniform draws moved by .535, at scale 1 and at scale 1e-9: windows whose evidence differs.
fn scales_that_differ() -> usize {
    let run = |scale: f64| -> Vec<(bool, f64)> {
        let mut source = Source::new(9);
        let values: Vec<f64> = (0..5_000).map(|_| source.uniform() * scale).collect();
        let reference = Reference::numbers(&values, 0, 1_024);
        let mut stream = Stream { source, reference, detector: Detector::default(), policy: policy(0.05) };
        (0..100)
            .map(|_| {
                let values: Vec<f64> = (0..WINDOW).map(|_| (stream.source.uniform() + 0.535) * scale).collect();
                let cells = stream.cells(&values);
                let watched = stream.look(&cells);
                (watched.named, watched.evidence)
            })
            .collect()
    };
    run(1.0).iter().zip(run(1e-9)).filter(|(one, other)| **one != *other || !one.0).count()
}
