//! One engine for means of bounded quantities: evidence against "the mean is at most m", valid at every look.
//!
//! Whoever bets the share `c` of a capital of 1 on each observation `v` of `[0, 1]` holds `prod (1 - c + c v / m)` of it: a martingale
//! if the mean is `m`, so it ever reaches `1 / alpha` with probability at most alpha (Ville; Waudby-Smith and Ramdas, arXiv 2010.09686,
//! section 4). The choice: the capital is spread over constant shares once and for all, as a universal portfolio is (their "grid Kelly";
//! Orabona and Jun, arXiv 2110.14099). What is held then depends on how often each value occurred and not on the order, so it is
//! computed from counts, which a database gives and which may be counted again when a row comes late. Bets on single observations learn
//! the variance by themselves; a normal approximation with an estimated variance does not hold at every look.

use contract::api::Interval;

use super::sequential::log_mean;

/// Bets, as logarithms of the odds `c / (1 - c)`: from .99 of the capital down to a ten thousandth, which a hundred million pairs ask for.
const ODDS_FROM: f64 = 4.6;
const ODDS_STEP: f64 = 0.6;
const BETS: u32 = 24;

/// Observations of a quantity between two bounds: how often each value occurred.
#[derive(Clone, Debug, PartialEq)]
pub struct Counts {
    low: f64,
    high: f64,
    values: Vec<(f64, u64)>,
}

impl Counts {
    /// Values beyond a bound count as the bound.
    ///
    /// # Panics
    /// Where `low` is not below `high`: a fault of the program.
    #[must_use]
    pub fn new(low: f64, high: f64, values: impl IntoIterator<Item = (f64, u64)>) -> Self {
        assert!(low < high, "the bounds {low} and {high} hold nothing");
        let values = values.into_iter().filter(|(value, n)| *n > 0 && !value.is_nan());
        Self { low, high, values: values.map(|(value, n)| (value.clamp(low, high), n)).collect() }
    }

    /// Observations.
    #[must_use]
    pub fn n(&self) -> u64 {
        self.values.iter().map(|(_, n)| n).sum()
    }

    /// Their mean; `None` of nothing.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        let sum: f64 = self.values.iter().map(|(value, n)| value * *n as f64).sum();
        (self.n() > 0).then(|| sum / self.n() as f64)
    }

    /// The same shares among `n` observations.
    #[must_use]
    pub fn scaled_to(&self, n: u64) -> Self {
        let factor = n as f64 / self.n().max(1) as f64;
        let values = self.values.iter().map(|(value, n)| (*value, (*n as f64 * factor).round() as u64));
        Self { values: values.collect(), ..*self }
    }

    /// Logarithm of the evidence that the mean is above `limit`.
    #[must_use]
    pub fn above(&self, limit: f64) -> f64 {
        evidence(self.unit().as_slice(), self.place(limit))
    }

    /// Logarithm of the evidence that the mean is below `limit`.
    #[must_use]
    pub fn below(&self, limit: f64) -> f64 {
        let mirrored: Vec<(f64, u64)> = self.unit().into_iter().map(|(value, n)| (1.0 - value, n)).collect();
        evidence(&mirrored, 1.0 - self.place(limit))
    }

    /// Bounds of the mean that hold at every look; each side alone is wrong with at most `alpha`. `None` of nothing.
    #[must_use]
    pub fn bounds(&self, alpha: f64) -> Option<Interval> {
        if self.n() == 0 {
            return None;
        }
        let (unit, needed) = (self.unit(), -alpha.ln());
        let mirrored: Vec<(f64, u64)> = unit.iter().map(|(value, n)| (1.0 - value, *n)).collect();
        let back = |unit: f64| self.low + unit * (self.high - self.low);
        Some(Interval { lower: back(least(&unit, needed)), upper: back(1.0 - least(&mirrored, needed)) })
    }

    fn unit(&self) -> Vec<(f64, u64)> {
        self.values.iter().map(|(value, n)| (self.place(*value), *n)).collect()
    }

    fn place(&self, value: f64) -> f64 {
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }
}

/// Logarithm of what is held by whoever bet on "the mean of these values of `[0, 1]` is above `m`".
fn evidence(values: &[(f64, u64)], m: f64) -> f64 {
    if m <= 0.0 {
        // nothing above 0 is allowed
        return if values.iter().any(|(value, _)| *value > 0.0) { f64::INFINITY } else { 0.0 };
    }
    log_mean((0..BETS).map(|bet| {
        let odds = (ODDS_FROM - f64::from(bet) * ODDS_STEP).exp();
        let share = odds / (1.0 + odds);
        values.iter().map(|(value, n)| *n as f64 * (share * (value / m - 1.0)).ln_1p()).sum::<f64>()
    }))
}

/// The least mean that the evidence does not speak against; it falls as the mean rises, so there is one.
fn least(values: &[(f64, u64)], needed: f64) -> f64 {
    let (mut refuted, mut allowed) = (0.0, 1.0);
    if evidence(values, refuted) < needed {
        return refuted;
    }
    loop {
        let middle = f64::midpoint(refuted, allowed);
        // a hundred millionth of the range is closer than any reader looks
        if allowed - refuted < 1e-8 {
            return refuted;
        }
        if evidence(values, middle) >= needed { refuted = middle } else { allowed = middle }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is held at the end of all sequences of `n` draws of three values, weighted by how likely each is, is the stake of 1 when the
    /// mean is the one bet against, and less when it is smaller.
    #[test]
    fn a_fair_game_pays_back_the_stake_and_no_more() {
        let expected = |shares: [f64; 3], values: [f64; 3], m: f64, n: u32| -> f64 {
            (0..3_u32.pow(n))
                .map(|sequence| {
                    let mut counts = [0_u64; 3];
                    (0..n).for_each(|place| counts[(sequence / 3_u32.pow(place) % 3) as usize] += 1);
                    let chance: f64 = shares.iter().zip(counts).map(|(share, n)| share.powi(n as i32)).product();
                    let counted: Vec<(f64, u64)> = values.into_iter().zip(counts).collect();
                    chance * evidence(&counted, m).exp()
                })
                .sum()
        };
        let (shares, values) = ([0.2, 0.5, 0.3], [0.0, 0.5, 1.0]);
        for n in 1..=8 {
            let fair = expected(shares, values, 0.55, n);
            assert!((fair - 1.0).abs() < 1e-12, "{fair} after {n}");
            assert!(expected(shares, values, 0.6, n) < 1.0, "a mean below the limit loses");
            assert!(expected(shares, values, 0.5, n) > 1.0, "a mean above it wins");
        }
    }

    #[test]
    fn bounds_hold_the_mean_and_close_in_by_the_variance() {
        let of = |values: &[(f64, u64)]| Counts::new(-1.0, 1.0, values.iter().copied()).bounds(0.05).unwrap();
        let wide = of(&[(-1.0, 500), (1.0, 500)]);
        assert!(wide.lower < 0.0 && wide.upper > 0.0 && (wide.lower + wide.upper).abs() < 1e-6, "{wide:?}");
        let calm = of(&[(-0.01, 500), (0.01, 500)]);
        assert!(calm.upper - calm.lower < (wide.upper - wide.lower) / 10.0, "{calm:?} beside {wide:?}");
        let many = of(&[(-1.0, 500_000), (1.0, 500_000)]);
        // the law of the iterated logarithm allows about 2 standard errors, this engine takes under 5
        assert!(many.upper < 5.0 / 1_000.0, "{many:?}");
        assert_eq!(Counts::new(0.0, 1.0, []).bounds(0.05), None);
        let all = of(&[(1.0, 10_000)]);
        assert!(all.upper == 1.0 && all.lower > 0.998, "{all:?}");
    }

    #[test]
    fn evidence_and_bounds_say_the_same() {
        let counts = Counts::new(-3.0, 3.0, [(-0.5, 40), (0.0, 100), (0.5, 60), (2.0, 5)]);
        let bounds = counts.bounds(0.05).unwrap();
        let enough = 20.0_f64.ln();
        assert!(counts.above(bounds.lower - 1e-4) >= enough && counts.above(bounds.lower + 1e-4) < enough);
        assert!(counts.below(bounds.upper + 1e-4) >= enough && counts.below(bounds.upper - 1e-4) < enough);
        let mean = counts.mean().unwrap();
        assert!(bounds.lower < mean && mean < bounds.upper);
        assert_eq!(counts.scaled_to(410).n(), 410);
    }

    #[test]
    fn of_shares_it_is_about_what_the_beta_binomial_says() {
        // .9820 and .9917 are the published bounds of that one
        for (agreed, n, published) in [(995, 1_000, 0.9820), (9_950, 10_000, 0.9917)] {
            let found = Counts::new(0.0, 1.0, [(1.0, agreed), (0.0, n - agreed)]).bounds(0.05).unwrap();
            assert!((found.lower - published).abs() < 0.003, "{found:?}");
        }
    }

    #[test]
    fn values_beyond_a_bound_count_as_the_bound_and_none_is_no_number() {
        let found = Counts::new(-1.0, 1.0, [(7.0, 2), (f64::NAN, 3), (0.5, 0)]);
        assert_eq!((found.n(), found.mean()), (2, Some(1.0)));
    }
}
