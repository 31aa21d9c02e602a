//! One stream of bets, kept two ways: as a clock for pages and as an account for life.
//!
//! Each window the past chooses a bet, the window pays `L` with mean at most 1 if nothing moved. *Page*: `A = (A + 1) L`
//! with a fresh stake of 1 in every window that bets, so `A` minus the number of bets is a supermartingale and the mean
//! time until `A >= c` is at least `c` windows (e-detectors: Shin, Ramdas and Rinaldo, arXiv 2203.03532). *Life*: the b-th
//! bet is staked with `1 / (b (b + 1))` of a capital of 1, the unspent `1 / (b + 1)` counts as cash, so the whole is an
//! e-process: it ever reaches `1 / alpha` with probability at most alpha (Ville). Everything is in natural logarithms.

use serde::{Deserialize, Serialize};

/// What the bets so far are worth, in logarithms.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Channel {
    #[serde(with = "nothing_is_null")]
    page: f64,
    #[serde(with = "nothing_is_null")]
    staked: f64,
    bets: u64,
}

impl Default for Channel {
    fn default() -> Self {
        Self { page: f64::NEG_INFINITY, staked: f64::NEG_INFINITY, bets: 0 }
    }
}

impl Channel {
    /// A bet and what it paid: the logarithm of `L`. A window without a bet changes nothing; that is the point.
    pub fn bet(&mut self, log_paid: f64) {
        self.bets += 1;
        let bets = self.bets as f64;
        self.page = log_add(self.page, 0.0) + log_paid;
        self.staked = log_add(self.staked, -(bets * (bets + 1.0)).ln()) + log_paid;
    }

    /// Logarithm of the page evidence; minus infinity before the first bet.
    #[must_use]
    pub const fn page(&self) -> f64 {
        self.page
    }

    /// Logarithm of the e-value since the start, cash included; 0 before the first bet.
    #[must_use]
    pub fn life(&self) -> f64 {
        log_add(self.staked, -(self.bets as f64 + 1.0).ln())
    }

    /// After an alarm the clock starts at 0 again; the account of a lifetime goes on.
    pub const fn restart_page(&mut self) {
        self.page = f64::NEG_INFINITY;
    }
}

/// `ln(e^a + e^b)`.
#[must_use]
pub fn log_add(a: f64, b: f64) -> f64 {
    let (more, less) = if a > b { (a, b) } else { (b, a) };
    if more == f64::NEG_INFINITY { more } else { more + (less - more).exp().ln_1p() }
}

/// Logarithm of the mean of what is given in logarithms; minus infinity of nothing.
#[must_use]
pub fn log_mean(logs: impl IntoIterator<Item = f64>) -> f64 {
    let (sum, count) =
        logs.into_iter().fold((f64::NEG_INFINITY, 0u32), |(sum, count), log| (log_add(sum, log), count + 1));
    if count == 0 { sum } else { sum - f64::from(count).ln() }
}

/// JSON has no minus infinity: nothing staked is `null`.
mod nothing_is_null {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
    pub fn serialize<S: Serializer>(log: &f64, to: S) -> Result<S::Ok, S::Error> {
        log.is_finite().then_some(*log).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
        Ok(Option::<f64>::deserialize(from)?.unwrap_or(f64::NEG_INFINITY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bets_that_pay_nothing_extra_count_themselves() {
        let mut channel = Channel::default();
        assert_eq!((channel.page(), channel.life()), (f64::NEG_INFINITY, 0.0));
        for bets in 1..=5u32 {
            channel.bet(0.0);
            assert!((channel.page() - f64::from(bets).ln()).abs() < 1e-12, "stakes of 1 add up");
            assert!(channel.life().abs() < 1e-12, "capital of 1 stays 1");
        }
        channel.restart_page();
        assert_eq!(channel.page(), f64::NEG_INFINITY);
        assert!(channel.life().abs() < 1e-12);
    }

    #[test]
    fn a_lost_bet_loses_its_stake_and_no_more() {
        let mut channel = Channel::default();
        channel.bet(f64::NEG_INFINITY);
        assert!((channel.life() - 0.5f64.ln()).abs() < 1e-12, "half of the capital was not staked");
        channel.bet(30.0);
        assert!((channel.life() - (30.0f64.exp() / 6.0 + 1.0 / 3.0).ln()).abs() < 1e-12);
    }

    #[test]
    fn what_is_stored_comes_back_to_the_bit() {
        let mut channel = Channel::default();
        let round_trip =
            |channel: &Channel| -> Channel { serde_json::from_str(&serde_json::to_string(channel).unwrap()).unwrap() };
        assert_eq!(round_trip(&channel), channel);
        channel.bet(0.1 + 0.2);
        channel.bet(-1.0 / 3.0);
        assert_eq!(round_trip(&channel), channel);
    }

    #[test]
    fn means_in_logarithms() {
        assert_eq!(log_mean([]), f64::NEG_INFINITY);
        assert_eq!(log_mean([f64::NEG_INFINITY, f64::NEG_INFINITY]), f64::NEG_INFINITY);
        assert!((log_mean([900.0, f64::NEG_INFINITY]) - (900.0 - 2.0f64.ln())).abs() < 1e-12);
    }
}
