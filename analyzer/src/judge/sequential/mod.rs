//! The sequential detector: drift larger than the user cares about, at any number of looks.
//!
//! Null: the distribution lies within `Delta` of the truth that the frozen reference was drawn from, and the reference lies
//! within `eps_m` of that truth (which it does with probability `1 - delta`, once and for all windows: conditional on it,
//! nothing below reuses chance). Two channels bet against the null, each window by what earlier windows showed:
//!
//! * **slow**, for small drifts: a likelihood ratio at the witness point that the past makes most promising. Of `n` values
//!   `k` are in it; the null allows it a share of at most `q`; the past says `p > q`; the window pays
//!   `(p/q)^k ((1-p)/(1-q))^(n-k)`, mean at most 1 under the null. It bets on every observation, which needs a third of the
//!   windows that a bet on window means needs. Three memories (about 5, 10 and 33 windows) bet side by side.
//! * **fast**, for big ones: the window's distance beyond `eps_m + Delta` as a p-value, calibrated to
//!   `e(p) = (1 - p + p ln p) / (p ln^2 p)`, 1/2 at p = 1.
//!
//! The published evidence is the average of the two. What a [`Channel`] does with the payments, and why that bounds false
//! alarms, stands there.

mod channel;
mod dependence;
mod points;
mod together;

use serde::{Deserialize, Serialize};

pub use channel::{Channel, log_add, log_mean};
pub use dependence::{Dependence, Measured};
pub use points::{Point, of as points};
pub use together::{Alarm, alarm, discoveries, windows_to_false_alarm};

/// Share of a memory that is left after a window.
const DECAYS: [f64; 3] = [0.8, 0.9, 0.97];
/// The memory that tells whether a drift goes on.
const MIDDLE: usize = 1;

/// What one window brought.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// Counts by cell, see [`Reference::cells`](super::reference::Reference::cells).
    pub cells: &'a [u64],
    /// Logarithm of a p-value for "moved by at most the allowance".
    pub log_p: f64,
}

/// The evidence on one feature; all that has to be kept between windows. The same windows give the same bits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Detector {
    memories: Vec<Memory>,
    slow: Vec<Channel>,
    fast: Channel,
    /// What the bets of the middle memory paid lately: the logarithms, the older the lighter.
    lately: f64,
    dependence: Dependence,
}

/// Counts of the past at the points, the older the lighter.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Memory {
    n: f64,
    counts: Vec<f64>,
}

/// A bet: `share` of values are in (or, below, are not in) the point, where the null allows at most `allowed`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Bet {
    point: usize,
    above: bool,
    share: f64,
    allowed: f64,
    /// Expected logarithm of what one observation pays, if the past is right.
    growth: f64,
}

impl Detector {
    /// Takes one window. `allowance` is `eps_m + Delta`. A window without values changes nothing.
    pub fn look(&mut self, points: &[Point], allowance: f64, window: Look<'_>) {
        let n: u64 = window.cells.iter().sum();
        if n == 0 {
            return;
        }
        if self.memories.iter().any(|memory| memory.counts.len() != points.len()) || self.memories.is_empty() {
            self.memories = vec![Memory { n: 0.0, counts: vec![0.0; points.len()] }; DECAYS.len()];
            // capital is kept: who starts again where it was lost would be promised a false alarm
            self.slow.resize(DECAYS.len(), Channel::default());
        }
        let counts: Vec<u64> = points.iter().map(|point| point.count(window.cells)).collect();
        if let Some((point, expected)) = self.middle() {
            self.dependence.look(counts[point], n, expected);
        }
        self.lately *= DECAYS[MIDDLE];
        for (at, (memory, channel)) in self.memories.iter_mut().zip(&mut self.slow).enumerate() {
            // first the bet, then the look: a memory that knew the window would make the payments worthless
            if let Some(bet) = memory.bet(points, allowance) {
                let paid = bet.paid(counts[bet.point], n);
                channel.bet(paid);
                self.lately += if at == MIDDLE { paid } else { 0.0 };
            }
            memory.take(&counts, n, DECAYS[at]);
        }
        self.fast.bet(log_calibrated(window.log_p));
    }

    /// Logarithm of the page evidence.
    #[must_use]
    pub fn page(&self) -> f64 {
        log_mean([log_mean(self.slow.iter().map(Channel::page)), self.fast.page()])
    }

    /// Logarithm of the e-value since the start of the detector.
    #[must_use]
    pub fn life(&self) -> f64 {
        if self.slow.is_empty() {
            return 0.0;
        }
        log_mean([log_mean(self.slow.iter().map(Channel::life)), self.fast.life()])
    }

    /// How much the logarithm of the evidence would grow in a window of `n` values, if they came like those of the last
    /// windows; 0 where these are within the allowance, and where bets on what was before lose: then a drift has ended.
    #[must_use]
    pub fn pace(&self, points: &[Point], allowance: f64, n: u64) -> f64 {
        let bet = self.memories.get(MIDDLE).and_then(|memory| memory.bet(points, allowance));
        bet.filter(|_| self.lately > 0.0).map_or(0.0, |bet| bet.growth * n as f64)
    }

    /// How far the windows seen are from independent, once there are enough of them.
    #[must_use]
    pub fn dependence(&self) -> Option<Measured> {
        self.dependence.measured()
    }

    /// What was remembered is of another reference's points: bets start anew with the capital there is. How far windows are from
    /// independent is measured in standard deviations, and goes on.
    pub fn forget(&mut self) {
        self.memories.clear();
        self.lately = 0.0;
    }

    /// The point whose share the longest memory holds nearest to one half, and that share.
    fn middle(&self) -> Option<(usize, f64)> {
        let memory = self.memories.last().filter(|memory| memory.n > 0.0)?;
        let shares = memory.counts.iter().map(|count| count / memory.n).enumerate();
        shares.min_by(|(_, a), (_, b)| (a - 0.5).abs().total_cmp(&(b - 0.5).abs()))
    }

    /// After an alarm: the page evidence starts at 0 again, what was remembered stays.
    pub fn restart_page(&mut self) {
        self.slow.iter_mut().for_each(Channel::restart_page);
        self.fast.restart_page();
    }
}

impl Memory {
    /// The bet that the past makes most promising; none where all it saw is allowed.
    fn bet(&self, points: &[Point], allowance: f64) -> Option<Bet> {
        if self.n <= 0.0 {
            return None;
        }
        let sides = points.iter().zip(&self.counts).enumerate().flat_map(|(point, (known, count))| {
            let above = bet(point, true, *count, self.n, known.least, known.most + allowance);
            let below = bet(point, false, self.n - *count, self.n, 1.0 - known.least, 1.0 - known.least + allowance);
            [above, below]
        });
        sides.flatten().max_by(|a, b| a.growth.total_cmp(&b.growth))
    }

    fn take(&mut self, counts: &[u64], n: u64, decay: f64) {
        self.n = self.n * decay + n as f64;
        for (known, count) in self.counts.iter_mut().zip(counts) {
            *known = *known * decay + *count as f64;
        }
    }
}

/// A bet that more than `allowed` of the values are there, where one could win. One more value, shared like the
/// reference, keeps the share below 1: a bet that can be lost wholly would be lost for life.
fn bet(point: usize, above: bool, count: f64, n: f64, reference: f64, allowed: f64) -> Option<Bet> {
    let share = (count + reference) / (n + 1.0);
    if !(allowed > 0.0 && allowed < 1.0 && share > allowed && share < 1.0) {
        return None;
    }
    let growth = share * (share / allowed).ln() + (1.0 - share) * ((1.0 - share) / (1.0 - allowed)).ln();
    Some(Bet { point, above, share, allowed, growth })
}

impl Bet {
    /// Logarithm of what a window pays of whose `n` values `count` are in the point.
    fn paid(self, count: u64, n: u64) -> f64 {
        let hits = if self.above { count } else { n - count } as f64;
        let misses = n as f64 - hits;
        hits * (self.share / self.allowed).ln() + misses * ((1.0 - self.share) / (1.0 - self.allowed)).ln()
    }
}

/// `ln e(p)` of `ln p`. With `x = -ln p`, `e = (e^x - 1 - x) / x^2`; near `p = 1` by its series.
fn log_calibrated(log_p: f64) -> f64 {
    let x = -log_p.min(0.0);
    if x < 0.1 {
        return (0.5 + x * (1.0 / 6.0 + x * (1.0 / 24.0 + x * (1.0 / 120.0 + x / 720.0)))).ln();
    }
    x - 2.0 * x.ln() + (-(1.0 + x) * (-x).exp()).ln_1p()
}

#[cfg(test)]
mod tests;
