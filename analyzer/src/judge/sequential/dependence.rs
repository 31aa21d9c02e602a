//! Whether windows are as independent as the guarantee assumes: measured, and published with every verdict.
//!
//! At the middle witness point, each window's count is compared with what the past leads to expect, in standard deviations of
//! independent draws: `z`. Independent values give `z` a mean square of 1 and no memory. A mean square above 1 says that values
//! within a window come in bunches; a lag-1 autocorrelation says that windows follow each other. Both shrink what a window is
//! worth: `n_eff = n / (mean square * (1 + rho) / (1 - rho))`.

use serde::{Deserialize, Serialize};

/// Weight that is left of a window after the next: about a hundred windows count.
const DECAY: f64 = 0.99;
/// Windows before the figures mean anything.
const WINDOWS_MIN: f64 = 20.0;

/// Decayed sums over windows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Dependence {
    windows: f64,
    squares: f64,
    products: f64,
    last: f64,
}

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// Lag-1 autocorrelation of windows, -1 to 1.
    pub autocorrelation: f64,
    /// Independent values that one value is worth, above 0 and at most 1.
    pub worth: f64,
}

impl Dependence {
    /// Takes a window: `count` of `n` values are in the point, where the past expects a share of `expected`.
    pub fn look(&mut self, count: u64, n: u64, expected: f64) {
        let variance = n as f64 * expected * (1.0 - expected);
        if variance < 1.0 {
            return;
        }
        let z = (count as f64 - n as f64 * expected) / variance.sqrt();
        self.windows = self.windows * DECAY + 1.0;
        self.squares = self.squares * DECAY + z * z;
        self.products = self.products * DECAY + z * self.last;
        self.last = z;
    }

    /// The figures, once there are enough windows.
    #[must_use]
    pub fn measured(&self) -> Option<Measured> {
        if self.windows < WINDOWS_MIN || self.squares <= 0.0 {
            return None;
        }
        let autocorrelation = (self.products / self.squares).clamp(-0.99, 0.99);
        let spread = (self.squares / self.windows).max(1.0);
        let memory = ((1.0 + autocorrelation) / (1.0 - autocorrelation)).max(1.0);
        Some(Measured { autocorrelation, worth: 1.0 / (spread * memory) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uniform(state: &mut u64) -> f64 {
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 * 2f64.powi(-53)
    }

    #[test]
    fn independent_windows_are_worth_what_they_hold() {
        let (mut seed, mut dependence) = (5, Dependence::default());
        for _ in 0..400 {
            let count = (0..200).filter(|_| uniform(&mut seed) < 0.5).count() as u64;
            dependence.look(count, 200, 0.5);
        }
        let found = dependence.measured().unwrap();
        assert!(found.autocorrelation.abs() < 0.25 && found.worth > 0.5, "{found:?}");
    }

    #[test]
    fn a_slow_wave_is_worth_little() {
        let mut dependence = Dependence::default();
        for window in 0..400 {
            let share = 0.5 + 0.2 * (f64::from(window) / 20.0).sin();
            dependence.look((share * 200.0) as u64, 200, 0.5);
        }
        let found = dependence.measured().unwrap();
        assert!(found.autocorrelation > 0.9 && found.worth < 0.02, "{found:?}");
    }

    #[test]
    fn a_few_windows_say_nothing() {
        let mut dependence = Dependence::default();
        (0..15).for_each(|_| dependence.look(100, 200, 0.5));
        assert_eq!(dependence.measured(), None);
    }
}
